"""The command ``bench``: reads a table, makes its runs, writes and prints the results."""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from maskmixadv.bench import paired, records
from maskmixadv.bench.cells import Cell, Parse, cells
from maskmixadv.bench.render import headed, render
from maskmixadv.bench.runner import make, report_failures
from maskmixadv.bench.table import Table, read
from maskmixadv.bench.workers import Workers
from maskmixadv.errors import INTERRUPTED, InputError, nearest, say
from maskmixadv.files import cannot_write, make_directory, nameless, read_text, write_texts
from maskmixadv.formats import image_files
from maskmixadv.processes import hearing

SIGNS: Final = {"table.md": " runs are done: ", "results.csv": "row,method,fold,seed", "tests.csv": "row,measure,class"}
"""Files that are written of a whole table, with words that each one has; without a finished run results are empty."""


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
    """Make the runs of a table that are missing, and render all that are finished.

    Parameters
    ----------
    path
        File of the table.
    workers
        Returns the workers that make the runs; called when the table has been read.
    parse
        Parses a command that makes a corpus (`Table.prepare`).
    out
        Directory for scores and tables; ``results/NAME`` of the table if None.
    runs
        Directory for the runs themselves.
    only, folds, seeds
        Rows, folds and seeds to run now; all of the table's if empty.
    dry
        Whether to check the table and list its runs only.

    Returns
    -------
    The exit code: 0; 2 if runs failed of wrong input only; 1 if a run failed of something else; 130 if interrupted.

    Raises
    ------
    InputError
        If the table or an option is wrong; nothing is trained then.
    """
    table = read(path)
    out = out or Path("results") / table.name
    chosen = _chosen(table, path, only, folds, seeds)
    _must_be_free(out)
    made_by = workers()
    every = cells(table, parse, out=out, runs=runs)
    _must_be_its_own(out, table, every)
    records.finished(every)  # what is damaged is found before hours of training
    wanted = [c for c in every if c.row in chosen.rows and c.fold in chosen.folds and c.seed in chosen.seeds]
    if dry:
        print("\n".join(f"{_state(cell)}  {cell.folder}" for cell in wanted))
        return 0
    jobs = list(dict.fromkeys(cell.job for cell in wanted if not cell.job.done))
    for folder in (out, runs) if jobs else ():  # else hours of training could not be filed
        _must_be_writable(folder)
    try:
        with hearing(signal.SIGTERM, call=_stop):  # as of a queue whose time is over: like Ctrl-C
            failed = make(jobs, made_by)
    except KeyboardInterrupt:
        say("maskmixadv: interrupted, runs are saved; the same command goes on")
        return INTERRUPTED
    try:
        _write(table, every, out)
    finally:  # also where the tables can't be written
        code = report_failures(failed)
    return code


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def _chosen(table: Table, path: Path, only: Sequence[str], folds: Sequence[int], seeds: Sequence[int]) -> Table:
    """Return `table` with only the rows, folds and seeds that are to run now."""
    for name, given, there in (
        ("only", only, [row.name for row in table.rows]),
        ("fold", folds, table.folds),
        ("seed", seeds, table.seeds),
    ):
        unknown = [value for value in given if value not in there]
        if unknown:
            raise InputError(f"{name}: {unknown[0]!r} is not in {path}, it has {nearest(str(unknown[0]), there)}")
    return replace(
        table,
        rows=tuple(row for row in table.rows if not only or row.name in only),
        folds=tuple(folds) or table.folds,
        seeds=tuple(seeds) or table.seeds,
    )


def _must_be_free(out: Path) -> None:
    """Check that `out` holds no file of others under the names that are written, and no images where it holds none."""
    there = {out / name: sign for name, sign in SIGNS.items() if os.path.lexists(out / name)}
    if not there:
        image_files.must_hold_none(out)
    for path, sign in there.items():
        if (text := read_text(path)).strip() and sign not in text:
            raise InputError(f"{path}: is there already, and not of a table of runs; name another directory by --out")


def _must_be_writable(folder: Path) -> None:
    make_directory(folder)
    try:
        nameless(folder).close()
    except OSError as error:
        raise cannot_write(folder, error) from None


def _must_be_its_own(out: Path, table: Table, every: Sequence[Cell]) -> None:
    """Refuse the directory of a table with another title of which no run is one of this table's."""
    page = out / "table.md"
    text = read_text(page) if page.is_file() else ""
    if text and not text.startswith(f"{headed(table)}\n") and not any(cell.job.done for cell in every):
        first = text.partition("\n")[0]
        raise InputError(
            f"{page}: is of a table with another title, {first[2:60]!r}; name another directory by --out, or delete it"
        )


def _state(cell: Cell) -> str:
    if cell.job.done:
        return "done   "
    return "begun  " if (cell.job.run / "run.json").is_file() else "missing"


def _write(table: Table, every: tuple[Cell, ...], out: Path) -> None:
    found = records.finished(every)
    tested = paired.against_reference(table, found)
    page = render(table, found, tested)
    texts = (page, records.table(found), paired.csv_text(tested))
    print(page)
    make_directory(out)
    write_texts({out / name: text for name, text in zip(SIGNS, texts, strict=True)})
    print(f"{out}: table.md, results.csv, tests.csv")
