"""The command ``bench``: its options; torch is imported when a table is read."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from maskmixadv.errors import InputError

if TYPE_CHECKING:
    from maskmixadv.bench.workers import Workers


@dataclass(frozen=True)
class Bench:
    """Run a table of methods × folds × seeds and render it; what is done is skipped, what was begun goes on.

    Attributes
    ----------
    table
        TOML file; benchmarks/tables holds the paper's.
    out
        Directory for scores, results.csv, tests.csv and table.md; by default results/ and the table's name.
    runs
        Directory for the runs themselves; tables share it, and a run that two of them ask for is made once.
    only
        Rows to run now, by name; by default all.
    fold
        Folds to run now; by default the table's.
    seed
        Seeds to run now; by default the table's.
    jobs
        Runs at a time on each device; at least 1. Each gets its part of the cores, unless OMP_NUM_THREADS is set.
    devices
        Where to compute, such as cuda:0,cuda:1; by default the fastest that is there.
    engine
        local: processes of this machine. ray: tasks on all machines of a Ray cluster with a shared file system.
    address
        Of the Ray cluster; by default one on this machine is begun.
    cores
        Cores that a run takes on a Ray cluster; at least 1.
    gpus
        GPUs that a run takes on a Ray cluster, at least 0; a fraction lets runs share one.
    dry
        Check the table and list its runs, and make none.
    """

    table: Annotated[Positional[Path], arg(metavar="TABLE.toml")]
    out: Path | None = None
    runs: Path = Path("runs/bench")
    only: Annotated[tuple[str, ...], arg(metavar="ROW [ROW ...]")] = ()
    fold: Annotated[tuple[int, ...], arg(metavar="INT [INT ...]")] = ()
    seed: Annotated[tuple[int, ...], arg(metavar="INT [INT ...]")] = ()
    jobs: int = 1
    devices: str | None = None
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    cores: int = 1
    gpus: float = 0.0
    dry: bool = False

    def run(self) -> int:
        """Make the runs that are missing; returns 2 or 1 where one failed, 130 where it was interrupted."""
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
        from maskmixadv.bench.workers import Local, Ray

        if self.cores < 1 or self.gpus < 0:
            raise InputError(f"cores, gpus: {self.cores}, {self.gpus}, allowed are at least 1 and at least 0")
        if self.engine == "ray":
            return Ray(self.address, cores=self.cores, gpus=self.gpus)
        return Local(self.devices.split(",") if self.devices else [None], self.jobs)
