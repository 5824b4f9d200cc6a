"""What the command ``bench`` does: reads a table, makes its runs, writes and prints what they come to."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from maskmixadv.bench import paired, records
from maskmixadv.bench.cells import Cell, Parse, cells
from maskmixadv.bench.render import render
from maskmixadv.bench.runner import complain, make
from maskmixadv.bench.table import Table, read
from maskmixadv.bench.workers import Workers
from maskmixadv.errors import InputError
from maskmixadv.files import make_directory, write_text


def bench(
    path: Path,
    workers: Callable[[], Workers],
    *,
    parse: Parse,
    out: Path | None = None,
    runs: Path = Path("runs/bench"),
    only: Sequence[str] = (),
    folds: Sequence[int] = (),
    seeds: Sequence[int] = (),
    dry: bool = False,
) -> int:
    """Make the runs of a table that are missing, and render all that are there.

    Parameters
    ----------
    path
        The table's file.
    workers
        Makes what makes the runs; called once the table is read.
    parse
        Reads the words of a command that makes a corpus (`Table.prepare`).
    out
        Directory for scores and tables; None: ``results/`` and the table's name.
    runs
        Directory for the runs themselves.
    only, folds, seeds
        Rows, folds and seeds to run now; all of the table's where empty.
    dry
        Check the table and list its runs, and make none.

    Returns
    -------
    0; 2 where a run failed of wrong input, 1 where one failed of anything else; 130 where it was interrupted.

    Raises
    ------
    InputError
        Where the table or an option is wrong; nothing is trained then.
    """
    table = read(path)
    out = out or Path("results") / table.name
    chosen = _chosen(table, path, only, folds, seeds)
    made_by = workers()
    every = cells(table, parse, out=out, runs=runs)
    wanted = [c for c in every if c.row in chosen.rows and c.fold in chosen.folds and c.seed in chosen.seeds]
    if dry:
        print("\n".join(f"{_state(cell)}  {cell.folder}" for cell in wanted))
        return 0
    try:
        failed = make(list(dict.fromkeys(cell.job for cell in wanted if not cell.job.done)), made_by)
    except KeyboardInterrupt:
        print("maskmixadv: interrupted, runs are saved; the same command goes on", file=sys.stderr)
        return 130
    _write(table, every, out)
    return complain(failed)


def _chosen(table: Table, path: Path, only: Sequence[str], folds: Sequence[int], seeds: Sequence[int]) -> Table:
    """`table` less what is not to be run now."""
    for name, given, there in (
        ("only", only, [row.name for row in table.rows]),
        ("fold", folds, table.folds),
        ("seed", seeds, table.seeds),
    ):
        unknown = [value for value in given if value not in there]
        if unknown:
            raise InputError(f"{name}: {unknown[0]!r} is not in {path}, it has {', '.join(map(str, there))}")
    return replace(
        table,
        rows=tuple(row for row in table.rows if not only or row.name in only),
        folds=tuple(folds) or table.folds,
        seeds=tuple(seeds) or table.seeds,
    )


def _state(cell: Cell) -> str:
    if cell.job.done:
        return "done   "
    return "begun  " if (cell.job.run / "run.json").is_file() else "missing"


def _write(table: Table, every: tuple[Cell, ...], out: Path) -> None:
    found = records.finished(every)
    tested = paired.against_reference(table, found)
    page = render(table, found, tested)
    make_directory(out)
    write_text(out / "table.md", page)
    write_text(out / "results.csv", records.table(found))
    write_text(out / "tests.csv", paired.csv_text(tested))
    print(page)
    print(f"{out}: table.md, results.csv, tests.csv")
