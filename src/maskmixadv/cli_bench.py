"""The command ``bench``; nothing here imports torch before a table is read."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from maskmixadv.errors import InputError

if TYPE_CHECKING:
    from maskmixadv.bench.cells import Cell
    from maskmixadv.bench.engines import Engine
    from maskmixadv.bench.table import Table


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
        from maskmixadv.bench.cells import cells
        from maskmixadv.bench.runner import complain, make
        from maskmixadv.bench.table import read

        table = read(self.table)
        out = self.out or Path("results") / table.name
        chosen = self._chosen(table)
        every = cells(table, out=out, runs=self.runs)
        wanted = [c for c in every if c.row in chosen.rows and c.fold in chosen.folds and c.seed in chosen.seeds]
        if self.dry:
            print("\n".join(f"{_state(cell)}  {cell.folder}" for cell in wanted))
            return 0
        jobs = list(dict.fromkeys(cell.job for cell in wanted if not cell.job.done))
        engine = self._engine()
        try:
            failed = make(jobs, engine)
        except KeyboardInterrupt:
            print("maskmixadv: interrupted, runs are saved; the same command goes on", file=sys.stderr)
            return 130
        _write(table, every, out)
        return complain(failed)

    def _chosen(self, table: "Table") -> "Table":
        """`table` less what is not to be run now."""
        for name, given, there in (
            ("only", self.only, [row.name for row in table.rows]),
            ("fold", self.fold, table.folds),
            ("seed", self.seed, table.seeds),
        ):
            unknown = [value for value in given if value not in there]
            if unknown:
                raise InputError(f"{name}: {unknown[0]!r} is not in {self.table}, it has {', '.join(map(str, there))}")
        return replace(
            table,
            rows=tuple(row for row in table.rows if not self.only or row.name in self.only),
            folds=self.fold or table.folds,
            seeds=self.seed or table.seeds,
        )

    def _engine(self) -> "Engine":
        from maskmixadv.bench.engines import Local, Ray

        if self.cores < 1 or self.gpus < 0:
            raise InputError(f"cores, gpus: {self.cores}, {self.gpus}, allowed are at least 1 and at least 0")
        if self.engine == "ray":
            return Ray(self.address, cores=self.cores, gpus=self.gpus)
        return Local(self.devices.split(",") if self.devices else [None], self.jobs)


def _state(cell: "Cell") -> str:
    if cell.job.done:
        return "done   "
    return "begun  " if (cell.job.run / "run.json").is_file() else "missing"


def _write(table: "Table", cells: "tuple[Cell, ...]", out: Path) -> None:
    from maskmixadv.bench import paired, records
    from maskmixadv.bench.render import render
    from maskmixadv.data.corpus import make_directory, write_text

    found = records.finished(cells)
    make_directory(out)
    tested = paired.against_flagship(table, found)
    page = render(table, found, tested)
    write_text(out / "results.csv", records.table(found))
    write_text(out / "tests.csv", paired.csv_text(tested))
    write_text(out / "table.md", page)
    print(page)
    print(f"{out}: table.md, results.csv, tests.csv")
