"""The command ``bench``; torch is imported when it runs."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from maskmixadv.errors import InputError

if TYPE_CHECKING:
    from maskmixadv.bench.workers import Workers


@dataclass(frozen=True)
class Bench:
    """Run a table of methods × folds × seeds and render it. Finished runs are skipped, unfinished ones go on.

    Attributes
    ----------
    table
        TOML file; the tables of the paper are in benchmarks/tables.
    out
        Directory for scores, results.csv, tests.csv and table.md; by default results/NAME of the table.
    runs
        Directory for the runs themselves. Tables share it: a run that is in two tables is made once.
    only
        Rows to run now, by name; by default all.
    fold
        Folds to run now; by default the table's.
    seed
        Seeds to run now; by default the table's.
    jobs
        How many runs to make at a time on each device; at least 1. They share the cores evenly, unless
        OMP_NUM_THREADS is set.
    together
        How many runs train side by side in one process on each device, for a GPU that one small run keeps waiting; they
        are not validated meanwhile. 1: each run in a process of its own. By default 12 on CUDA devices where jobs is 1,
        and 1 elsewhere.
    devices
        Devices to compute on, such as cuda:0,cuda:1; by default the fastest one.
    engine
        local: processes of this machine. ray: tasks on a Ray cluster whose machines share a file system.
    address
        Address of the Ray cluster; by default one is started on this machine.
    cores
        How many cores a run takes on a Ray cluster; at least 1.
    gpus
        How many GPUs a run takes on a Ray cluster; at least 0. With a fraction, runs share a GPU.
    dry
        Only check the table and list its runs.
    """

    table: Annotated[Positional[Path], arg(metavar="TABLE.toml")]
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    runs: Annotated[Path, arg(metavar="DIR")] = Path("runs/bench")
    only: Annotated[tuple[str, ...], arg(metavar="ROW [ROW ...]")] = ()
    fold: Annotated[tuple[int, ...], arg(metavar="INT [INT ...]")] = ()
    seed: Annotated[tuple[int, ...], arg(metavar="INT [INT ...]")] = ()
    jobs: int = 1
    together: Annotated[int | None, arg(metavar="INT")] = None
    devices: Annotated[str | None, arg(metavar="DEVICE[,DEVICE...]")] = None
    engine: Literal["local", "ray"] = "local"
    address: Annotated[str | None, arg(metavar="ADDRESS")] = None
    cores: int = 1
    gpus: float = 0.0
    dry: bool = False

    def run(self) -> int:
        """Make the runs that are missing; returns 2 or 1 if one failed, 130 if interrupted."""
        from maskmixadv.bench.command import bench
        from maskmixadv.cli.app import parse

        return bench(
            self.table,
            self._workers,
            parse=parse,
            out=self.out,
            runs=self.runs,
            only=self.only,
            folds=self.fold,
            seeds=self.seed,
            dry=self.dry,
        )

    def _workers(self) -> "Workers":
        from maskmixadv.bench.workers import Local, Ray, Together, at_once

        if self.cores < 1 or not 0 <= self.gpus < math.inf:
            raise InputError(f"cores, gpus: {self.cores}, {self.gpus}, allowed are at least 1 and at least 0")
        if self.engine == "ray":
            if self.together not in (None, 1):
                raise InputError(f"together: {self.together}, allowed on a Ray cluster is 1; give --gpus a fraction")
            return Ray(self.address, cores=self.cores, gpus=self.gpus)
        devices = self.devices.split(",") if self.devices else [None]
        together = at_once(devices, self.jobs) if self.together is None else self.together
        if together != 1 and self.jobs != 1:
            raise InputError(f"jobs, together: {self.jobs}, {together}, one of them must be 1")
        return Local(devices, self.jobs) if together == 1 else Together(devices, together)
