"""What the command ``bench`` does: reads a table, makes its runs, writes and prints what they come to."""

import sys
from dataclasses import replace
from pathlib import Path

from maskmixadv.bench import paired, records
from maskmixadv.bench.cells import Cell, cells
from maskmixadv.bench.engines import Engine, Local, Ray
from maskmixadv.bench.render import render
from maskmixadv.bench.runner import complain, make
from maskmixadv.bench.table import Table, read
from maskmixadv.cli_bench import Bench
from maskmixadv.errors import InputError
from maskmixadv.files import make_directory, write_text


def bench(options: Bench) -> int:
    """Make the runs of a table that are missing, and render all that are there.

    Returns
    -------
    0; 2 where a run failed of wrong input, 1 where one failed of anything else; 130 where it was interrupted.

    Raises
    ------
    InputError
        Where the table or an option is wrong; nothing is trained then.
    """
    table = read(options.table)
    out = options.out or Path("results") / table.name
    chosen = _chosen(table, options)
    engine = _engine(options)
    every = cells(table, out=out, runs=options.runs)
    wanted = [c for c in every if c.row in chosen.rows and c.fold in chosen.folds and c.seed in chosen.seeds]
    if options.dry:
        print("\n".join(f"{_state(cell)}  {cell.folder}" for cell in wanted))
        return 0
    try:
        failed = make(list(dict.fromkeys(cell.job for cell in wanted if not cell.job.done)), engine)
    except KeyboardInterrupt:
        print("maskmixadv: interrupted, runs are saved; the same command goes on", file=sys.stderr)
        return 130
    _write(table, every, out)
    return complain(failed)


def _chosen(table: Table, options: Bench) -> Table:
    """`table` less what is not to be run now."""
    for name, given, there in (
        ("only", options.only, [row.name for row in table.rows]),
        ("fold", options.fold, table.folds),
        ("seed", options.seed, table.seeds),
    ):
        unknown = [value for value in given if value not in there]
        if unknown:
            raise InputError(f"{name}: {unknown[0]!r} is not in {options.table}, it has {', '.join(map(str, there))}")
    return replace(
        table,
        rows=tuple(row for row in table.rows if not options.only or row.name in options.only),
        folds=options.fold or table.folds,
        seeds=options.seed or table.seeds,
    )


def _engine(options: Bench) -> Engine:
    if options.cores < 1 or options.gpus < 0:
        raise InputError(f"cores, gpus: {options.cores}, {options.gpus}, allowed are at least 1 and at least 0")
    if options.engine == "ray":
        return Ray(options.address, cores=options.cores, gpus=options.gpus)
    return Local(options.devices.split(",") if options.devices else [None], options.jobs)


def _state(cell: Cell) -> str:
    if cell.job.done:
        return "done   "
    return "begun  " if (cell.job.run / "run.json").is_file() else "missing"


def _write(table: Table, every: tuple[Cell, ...], out: Path) -> None:
    found = records.finished(every)
    tested = paired.against_flagship(table, found)
    page = render(table, found, tested)
    make_directory(out)
    write_text(out / "table.md", page)
    write_text(out / "results.csv", records.table(found))
    write_text(out / "tests.csv", paired.csv_text(tested))
    print(page)
    print(f"{out}: table.md, results.csv, tests.csv")
