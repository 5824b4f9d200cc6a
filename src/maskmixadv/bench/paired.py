"""Compares every row of a table with its reference row, paired by case and class, on the runs that both have.

The unit of a test is the patient: one patient's cases, as a heart's two phases, are not independent of each other.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from maskmixadv import tabular
from maskmixadv.bench.records import MEASURES, Finished, pooled
from maskmixadv.bench.stats import Comparison, compare, holm
from maskmixadv.bench.table import Table
from maskmixadv.corpus.names import MEAN
from maskmixadv.errors import InputError
from maskmixadv.metrics import scores

SAME: Final = 1e-4
"""Part of a true volume by which those of two runs may differ, as files round them."""


_Rows = Sequence[scores.CaseScore]


class Paired(NamedTuple):
    """A row compared with the reference.

    Attributes
    ----------
    row
        Its name.
    measure, column
        What was compared: one of `MEASURES`, of a class or of the ``mean`` over the classes.
    comparison
        Difference, interval and p-value.
    p_holm
        P-value that is corrected for all rows of this measure and column (`holm`).
    left_out
        Values, of a class in a case, that one of the two rows has and the other lacks.
    """

    row: str
    measure: str
    column: str
    comparison: Comparison
    p_holm: float
    left_out: int


def against_reference(table: Table, found: Sequence[Finished]) -> tuple[Paired, ...]:
    """Test every row against the reference on the runs (fold, seed) that both have.

    P-values are corrected for all rows of one measure and one column.

    Raises
    ------
    InputError
        If two runs of one fold were scored on different cases, or against different masks.
    """
    rows = {row.name: [each for each in found if each.cell.row.name == row.name] for row in table.rows}
    pairs = {
        name: _by_column(*_pair(of, rows[table.reference])) for name, of in rows.items() if name != table.reference
    }
    made: list[Paired] = []
    for measure in MEASURES:
        for column in columns(table, found):
            tested = {name: of.get(column, ((), ())) for name, of in pairs.items() if of}
            compared = {
                name: compare(
                    row=_values(one, other, measure), reference=_values(other, one, measure), patients=_patients(one)
                )
                for name, (one, other) in tested.items()
            }
            corrected = holm([each.p for each in compared.values()])
            made += [
                Paired(name, measure, column, each, p, _left_out(*tested[name], measure))
                for (name, each), p in zip(compared.items(), corrected, strict=True)
            ]
    return tuple(made)


def columns(table: Table, found: Sequence[Finished]) -> tuple[str, ...]:
    """Return the columns: the classes and ``mean``. Before the first run, they are those of published figures."""
    run = [row.score.class_name for each in found for row in each.scores]
    told = [label for row in table.rows for figures in row.published.values() for label in figures if label != MEAN]
    return (*dict.fromkeys(run or told), MEAN)


def csv_text(made: Sequence[Paired]) -> str:
    """Return the text of ``tests.csv``, which has a line for each comparison."""
    columns = ("row", "measure", "class", "n", "difference", "low", "high", "p", "p_holm", "left_out")
    lines = []
    for row, measure, column, each, p, left_out in made:
        numbers = (each.difference, each.low, each.high, each.p, p)
        lines.append((row, measure, column, each.n, *(f"{number:.6g}" for number in numbers), left_out))
    return tabular.csv_text(columns, (dict(zip(columns, line, strict=True)) for line in lines))


def _pair(
    one: Sequence[Finished], other: Sequence[Finished]
) -> tuple[tuple[scores.CaseScore, ...], tuple[scores.CaseScore, ...]]:
    """Return the scores of the runs that both have, in the same order."""
    both = {(e.cell.fold, e.cell.seed) for e in one} & {(e.cell.fold, e.cell.seed) for e in other}
    first, second = (pooled([e for e in of if (e.cell.fold, e.cell.seed) in both]) for of in (one, other))
    keys = [{(row.case, row.score.class_name) for row in rows} for rows in (first, second)]
    lacking = sorted(keys[0] ^ keys[1])
    if lacking:
        names = f"{one[0].cell.row.name!r} and {other[0].cell.row.name!r}"
        raise InputError(f"{names}: not scored on the same cases, {' '.join(lacking[0])} is in one alone; score again")
    by_key = {(row.case, row.score.class_name): row for row in second}
    paired = tuple(by_key[row.case, row.score.class_name] for row in first)
    for mine, theirs in zip(first, paired, strict=True):
        volumes = (mine.score.truth_ml, theirs.score.truth_ml)
        compared = not math.isnan(mine.score.dice - theirs.score.dice)
        if compared and not math.isclose(*volumes, rel_tol=SAME):
            names = f"{one[0].cell.row.name!r} and {other[0].cell.row.name!r}"
            told = f"{mine.case} has {volumes[0]:g} and {volumes[1]:g} ml of {mine.score.class_name}"
            raise InputError(f"{names}: not scored against the same masks, {told}; score the older one again")
    return first, paired


def _by_column(one: _Rows, other: _Rows) -> dict[str, tuple[_Rows, _Rows]]:
    """Return the rows of each column, class by class, as each pass through those of all classes costs; and of all."""
    found: dict[str, tuple[list[scores.CaseScore], list[scores.CaseScore]]] = {}
    for row, paired in zip(one, other, strict=True):
        for of, each in zip(found.setdefault(row.score.class_name, ([], [])), (row, paired), strict=True):
            of.append(each)
    return {**found, MEAN: (one, other)} if one else {}


def _values(rows: _Rows, others: _Rows, measure: str) -> Float[np.ndarray, "n"]:
    """Return a measure of each case of `rows`: of their class, or the mean over the classes in which both rows have it.

    A mean over classes that the other row lacks would be one of other structures, some of which are harder.
    """
    by_case: dict[str, list[float]] = {}
    for row, other in zip(rows, others, strict=True):
        values = by_case.setdefault(row.case, [])
        both = (getattr(each.score, measure) for each in (row, other))
        values += [] if any(map(math.isnan, both)) else [getattr(row.score, measure)]
    return np.array([np.mean(values) if values else np.nan for values in by_case.values()])


def _left_out(rows: _Rows, others: _Rows, measure: str) -> int:
    """Count the values that one of two rows has and the other lacks."""
    return sum(
        math.isnan(getattr(row.score, measure)) != math.isnan(getattr(other.score, measure))
        for row, other in zip(rows, others, strict=True)
    )


def _patients(rows: _Rows) -> list[str]:
    """Return whose each case is, in the order of `_values`; a case of an unknown patient is one of its own."""
    return list({row.case: row.patient or row.case for row in rows}.values())
