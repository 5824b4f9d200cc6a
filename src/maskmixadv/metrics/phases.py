"""Volumes of an evaluation by phase of the heart, and what is predicted where there is nothing."""

import math
from collections.abc import Container, Iterable, Sequence

import numpy as np

from maskmixadv.metrics.clinical import Agreement, Measure, Record, agreements, phase_pairs
from maskmixadv.metrics.excess import ALL, ByPhase, Excess, Volumes
from maskmixadv.metrics.scores import CaseScore
from maskmixadv.tabular import csv_text


def by_phase(rows: Sequence[CaseScore]) -> ByPhase:
    """Sum volumes over the cases of each phase, and over all cases.

    Parameters
    ----------
    rows
        Scores of every case in every class, with their excess.

    Returns
    -------
    Volumes by phase (in alphabetical order; ``all`` is the last) and class. Without phases there is ``all`` alone.

    Examples
    --------
    >>> from maskmixadv.metrics.masks import Score
    >>> scored = CaseScore(
    ...     "a", "a", "", "ED", Score("LV", 0.9, 3.5, 4.0, 1.2, 120.0, 114.0), "known", Excess(3, 1, 6.0, 12.0)
    ... )
    >>> found = by_phase([scored])
    >>> list(found), found["ED"]["LV"].ratio, found["ED"]["LV"].stray
    (['ED', 'all'], 0.95, 0.05)
    """
    phases = sorted({row.phase for row in rows if row.phase})
    names = dict.fromkeys(row.score.class_name for row in rows)
    parts: dict[str, dict[str, list[CaseScore]]] = {phase: {name: [] for name in names} for phase in (*phases, ALL)}
    for row in rows:
        for phase in dict.fromkeys((row.phase, ALL) if row.phase else (ALL,)):
            parts[phase][row.score.class_name].append(row)
    return {phase: {name: _volumes(of) for name, of in part.items()} for phase, part in parts.items()}


def ejection(rows: Sequence[CaseScore], partly: Container[str] = ()) -> dict[str, Agreement]:
    """Compare predicted and true change of each class's volume from end-diastole to end-systole: (ED − ES) / ED in %.

    For a cavity it is the ejection fraction. A wall ejects nothing, and the change of its volume is small.

    Parameters
    ----------
    rows
        Scores of every case in every class. Patients with cases of the phases ``ED`` and ``ES`` count
        (`maskmixadv.metrics.clinical.phase_pairs`).
    partly
        Cases that don't count, as their masks know some slices alone: part of a heart ejects no volume.

    Examples
    --------
    >>> from maskmixadv.metrics.masks import Score
    >>> def scored(phase, truth, predicted):
    ...     return CaseScore(phase, "p", "", phase, Score("RV", 0.9, 3.5, 4.0, 1.2, truth, predicted), "known")
    >>> ejection([scored("ED", 100.0, 100.0), scored("ES", 40.0, 55.0)])["RV"].bias
    -15.0
    """
    held: dict[tuple[str, str], dict[str, CaseScore]] = {}
    for row in rows:
        held.setdefault((row.score.class_name, row.source), {})[row.case] = row
    pairs = (
        Record(
            of[diastole].patient,
            {"ed": diastole, "es": systole},
            {Measure(name, "%"): _change(of[diastole].score.predicted_ml, of[systole].score.predicted_ml)},
            {Measure(name, "%"): _change(of[diastole].score.truth_ml, of[systole].score.truth_ml)},
        )
        for (name, _), of in held.items()
        for diastole, systole in phase_pairs(
            (row.case, row.patient, row.phase) for row in of.values() if row.case not in partly
        )
    )
    return {measure.name: agreed for measure, agreed in agreements(pairs).items()}


def table(rows: Iterable[CaseScore]) -> str:
    """Return the text of ``volumes.csv``: a line for each case and class.

    Examples
    --------
    >>> from maskmixadv.metrics.masks import Score
    >>> lv = Score("LV", 0.9, 3.5, 4.0, 1.2, 120.0, 114.0)
    >>> print(table([CaseScore("a", "a", "", "ED", lv, "known", Excess(3, 1, 6.0, 12.0))]))
    case,patient,group,phase,class,truth_ml,predicted_ml,empty_slices,stray_slices,stray_ml,beyond_ml,spacing
    a,a,,ED,LV,120,114,3,1,6,12,known
    """
    numbers = ("truth_ml", "predicted_ml", *Excess._fields)
    columns = (*CaseScore._fields[:4], "class", *numbers, "spacing")
    lines = []
    for row in rows:
        values = (row.score.truth_ml, row.score.predicted_ml, *_excess(row))
        cells = (*row[:4], row.score.class_name, *(f"{value:.6g}" for value in values), row.source)
        lines.append(dict(zip(columns, cells, strict=True)))
    return csv_text(columns, lines)


def _volumes(rows: Sequence[CaseScore]) -> Volumes:
    """Sum one class's volumes."""
    truth, predicted = (sum(getattr(row.score, name) for row in rows) for name in ("truth_ml", "predicted_ml"))
    of = [_excess(row) for row in rows]
    dices = [row.score.dice for row in rows if not math.isnan(row.score.dice)]
    ratio, stray, beyond = (
        part / truth if truth else math.nan
        for part in (predicted, sum(each.stray_ml for each in of), sum(each.beyond_ml for each in of))
    )
    return Volumes(
        cases=len(rows),
        dice=float(np.mean(dices)) if dices else math.nan,
        ratio=ratio,
        empty_slices=sum(each.empty_slices for each in of),
        stray_slices=sum(each.stray_slices for each in of),
        stray=stray,
        beyond=beyond,
    )


def _excess(row: CaseScore) -> Excess:
    if row.excess is None:
        raise ValueError(f"{row.case}: scores that were read from a file say nothing of slices")
    return row.excess


def _change(diastole: float, systole: float) -> float:
    return 100 * (diastole - systole) / diastole if diastole else math.nan
