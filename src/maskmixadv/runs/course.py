"""A run's course, ``log.csv``: one reader and one writer for everything that shows how a training goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError
from maskmixadv.tabular import csv_text, read_csv

LONGEST: Final = 18
"""Digits of a step."""


@dataclass(frozen=True)
class Logged:
    """One row of ``log.csv``.

    Attributes
    ----------
    step
        Steps done.
    seconds
        Seconds spent in training and validation until then, over all resumptions.
    values
        The row's other cells by column: ``lr``, the mean of each weighted loss since the row before by ``player/term``,
        such as ``net/ce``, or ``val/dice``. A row has only the columns that it has a number for.

    Examples
    --------
    >>> Logged(step=20, seconds=1.5, values={"lr": 0.01, "net/ce": 0.8}).values["net/ce"]
    0.8
    """

    step: int
    seconds: float
    values: Mapping[str, float]


def read_course(path: Path, *, partial: bool = False) -> tuple[Logged, ...]:
    r"""Read a run's ``log.csv``, oldest row first.

    Parameters
    ----------
    path
        The file.
    partial
        Whether to leave out rows that can't be read, instead of raising for them; for a log that somebody else may
        have damaged or may still be writing.

    Raises
    ------
    InputError
        Where the file is missing, or too large, or no table; without `partial` also where a step is no whole number,
        another cell no number, or seconds are missing.

    Examples
    --------
    >>> text = "step,seconds,net/ce,val/dice\n20,1.5,0.8,\n40,3.0,,0.7\n"
    >>> _ = Path("log.csv").write_text(text)
    >>> [(row.step, dict(row.values)) for row in read_course(Path("log.csv"))]
    [(20, {'net/ce': 0.8}), (40, {'val/dice': 0.7})]
    """
    rows: list[Logged] = []
    for number, row in enumerate(read_csv(path, partial=partial), 2):
        try:
            rows.append(_logged(row, f"{path}: line {number}"))
        except InputError:
            if not partial:
                raise
    return tuple(rows)


def course_text(rows: Sequence[Logged]) -> str:
    r"""Return the text of ``log.csv`` with `rows`: six digits of each value, tenths of a second.

    Examples
    --------
    >>> course_text([Logged(20, 1.46, {"net/ce": 0.8}), Logged(40, 3.0, {"val/dice": 2 / 3})])
    'step,seconds,net/ce,val/dice\n20,1.5,0.8,\n40,3.0,,0.666667\n'
    """
    cells = [
        {"step": row.step, "seconds": f"{row.seconds:.1f}", **{name: f"{of:.6g}" for name, of in row.values.items()}}
        for row in rows
    ]
    return csv_text(list(dict.fromkeys(column for row in cells for column in row)), cells)


def _logged(row: dict[str, str], where: str) -> Logged:
    step, seconds = row.pop("step", ""), row.pop("seconds", "")
    if not step.isdecimal() or len(step) > LONGEST:
        raise InputError(f"{where}: step {step[:40]!r}, must be a whole number")
    values = {name: _number(cell, f"{where}: {name[:40]}") for name, cell in row.items() if cell}
    if not seconds:
        raise InputError(f"{where}: seconds are missing")
    return Logged(int(step), _number(seconds, f"{where}: seconds"), values)


def _number(cell: str, where: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise InputError(f"{where} {cell[:40]!r}, must be a number") from None
