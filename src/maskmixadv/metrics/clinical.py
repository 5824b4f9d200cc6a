"""Clinical measures of a segmentation: volumes, for a heart also ejection fraction and mass, and their agreement.

Nothing here imports torch.
"""

import math
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskmixadv.corpus.names import CAVITIES, heart_measures
from maskmixadv.spelling import folded
from maskmixadv.tabular import csv_text
from maskmixadv.types import Spacing

MUSCLE: Final = 1.05
"""Density of heart muscle in g/ml."""
LIMITS: Final = 1.96
"""Standard deviations on either side of the mean that hold 95 % of a normal distribution."""
PHASES: Final = ("ED", "ES")
"""End-diastole and end-systole."""
CASES: Final = ("case", "ed", "es")
"""Columns of ``clinical.csv`` with names of cases: a line has the first one, or both others."""
_FRAME: Final = re.compile(r"(.+)_(?:frame\d+|(ED|ES))(?:_0000)?", re.IGNORECASE)
"""Name of one of a patient's frames, with the challenges' and nnU-Net's endings."""

Unit = Literal["ml", "voxels"]


class Measure(NamedTuple):
    """A clinical measure and its unit.

    Examples
    --------
    >>> Measure("LV EF", "%").column
    'lv_ef_percent'
    """

    name: str
    unit: str

    @property
    def column(self) -> str:
        """Its name in files: lower case, without spaces."""
        return f"{self.name}_{self.unit}".lower().replace(" ", "_").replace("%", "percent")


Measured = dict[Measure, float]


@dataclass(frozen=True)
class CaseVolumes:
    """Volumes of one case's structures.

    Attributes
    ----------
    case, patient
        Names of the case and its patient.
    phase
        ``ED`` (end-diastole), ``ES`` (end-systole), or empty if unknown.
    unit
        ``ml``, or ``voxels`` if the spacing is unknown.
    predicted, truth
        Volumes by class; `truth` is empty if there is none.

    Examples
    --------
    >>> CaseVolumes("p1_ED", "p1", "ED", "ml", predicted={"LV": 118.0}, truth={"LV": 120.0}).predicted["LV"]
    118.0
    """

    case: str
    patient: str
    phase: str
    unit: Unit
    predicted: dict[str, float]
    truth: dict[str, float]


@dataclass(frozen=True)
class Record:
    """A line of ``clinical.csv``: measures of one case, or of a heart's two phases.

    Attributes
    ----------
    patient
        Name of the patient.
    cases
        Names of the cases: one under ``case``, or a heart's two under ``ed`` and ``es``.
    predicted, truth
        Values by measure; `truth` is empty if there is none.

    Examples
    --------
    >>> Record("p1", {"case": "p1_ED"}, {Measure("LV", "ml"): 118.0}, {}).cases
    {'case': 'p1_ED'}
    """

    patient: str
    cases: dict[str, str]
    predicted: Measured
    truth: Measured


@dataclass(frozen=True)
class Agreement:
    """How well a predicted measure agrees with its true values (Bland and Altman, Lancet 1986).

    Attributes
    ----------
    count
        Number of patients or cases that have both values.
    truth
        Mean of the true values.
    bias
        Mean of predicted minus true.
    low, high
        95 % limits of agreement: bias ∓ 1.96 standard deviations (n - 1) of the differences; NaN if `count` is 1.
    r
        Pearson's correlation; NaN if either side is constant, and if `count` is below 3, as two always lie on a line.

    Examples
    --------
    >>> Agreement(count=20, truth=120.0, bias=-2.0, low=-12.0, high=8.0, r=0.98).bias
    -2.0
    """

    count: int
    truth: float
    bias: float
    low: float
    high: float
    r: float


def volumes(
    name: str, labels: UInt8[np.ndarray, "d h w"], *, classes: Sequence[str], spacing: Spacing | None
) -> CaseVolumes:
    """Measure the volumes of a predicted segmentation; patient and phase are taken from the file's name.

    Parameters
    ----------
    name
        The file's name without suffix; ``patientXXX_frameYY`` and ``patientXXX_ED`` are frames of a patient.
    labels
        Class indices.
    classes
        Names of the k classes, background first.
    spacing
        Millimetres along d, h, w; None gives volumes in voxels.

    Examples
    --------
    >>> labels = np.ones((10, 10, 10), np.uint8)
    >>> found = volumes("p1_ED", labels, classes=["background", "LV"], spacing=(5.0, 2.0, 2.0))
    >>> found.patient, found.phase, found.predicted
    ('p1', 'ED', {'LV': 20.0})
    """
    found = _FRAME.fullmatch(name)
    patient, phase = (found[1], (found[2] or "").upper()) if found else (name, "")
    counts = np.zeros(256, np.int64)
    for plane in labels:  # all at once, it takes eight bytes a voxel
        counts += np.bincount(plane.ravel(), minlength=256)
    size = math.prod(spacing) / 1000 if spacing else 1
    found_of = zip(classes[1:], counts[1 : len(classes)], strict=True)
    predicted = {each: float(count * size) for each, count in found_of}
    return CaseVolumes(name, patient, phase, "ml" if spacing else "voxels", predicted, {})


def with_phases(found: Sequence[CaseVolumes]) -> tuple[CaseVolumes, ...]:
    """Add phases to hearts of which a patient has several cases without one: the largest LV is ED, the smallest ES.

    A phase that a case of the patient has by its name is not given to another one.

    Examples
    --------
    >>> frames = [CaseVolumes(f"p1_frame0{i}", "p1", "", "ml", {"LV": ml}, {}) for i, ml in ((1, 120.0), (8, 50.0))]
    >>> [each.phase for each in with_phases(frames)]
    ['ED', 'ES']
    """
    frames: dict[str, list[CaseVolumes]] = {}
    given: dict[str, set[str]] = {}
    for each in found:
        given.setdefault(each.patient, set()).add(each.phase)
        if not each.phase and _heart(each.predicted):
            frames.setdefault(each.patient, []).append(each)
    phases: dict[str, str] = {}
    for patient, of in frames.items():
        if len(of) > 1:
            ranked = sorted(of, key=lambda each: each.predicted[_heart(each.predicted)["LV"]])
            ends = ((ranked[-1], "ED"), (ranked[0], "ES"))
            phases |= {each.case: phase for each, phase in ends if phase not in given[patient]}
    return tuple(replace(each, phase=phases.get(each.case, each.phase)) for each in found)


def records(found: Sequence[CaseVolumes]) -> tuple[Record, ...]:
    """Make a record of each heart that has both phases in one unit (`phase_pairs`), and one of each other case.

    Examples
    --------
    >>> phases = [CaseVolumes(f"p1_{of}", "p1", of, "ml", {"LV": ml}, {}) for of, ml in (("ED", 120.0), ("ES", 48.0))]
    >>> (heart,) = records(phases)
    >>> heart.cases, heart.predicted[Measure("LV EF", "%")]
    ({'ed': 'p1_ED', 'es': 'p1_ES'}, 60.0)
    """
    hearts = [each for each in found if _heart(each.predicted)]
    by_name = {each.case: each for each in hearts}
    pairs = [
        (by_name[diastole], by_name[systole])
        for unit in dict.fromkeys(each.unit for each in hearts)
        for diastole, systole in phase_pairs((e.case, e.patient, e.phase) for e in hearts if e.unit == unit)
    ]
    paired = {each.case for each in chain.from_iterable(pairs)}
    single = (each for each in found if each.case not in paired)
    return (*(_of_heart(*pair) for pair in pairs), *(_of_case(each) for each in single))


def phase_pairs(named: Iterable[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Return the cases, of each (case, patient, phase), that are end-diastole and end-systole of one heart.

    A patient with several cases of one phase, as of two visits, has a pair for each beginning of names before ``_ED``
    and ``_ES``. Others of them have none: which ones belong together, nothing says.

    Examples
    --------
    >>> phase_pairs([("a1", "a", "ED"), ("a2", "a", "ES"), ("b1", "b", "ED"), ("b2", "b", "ED"), ("b3", "b", "ES")])
    [('a1', 'a2')]
    >>> phase_pairs([(f"p_{visit}_{phase}", "p", phase) for phase in ("ES", "ED") for visit in (1, 2)])
    [('p_1_ED', 'p_1_ES'), ('p_2_ED', 'p_2_ES')]
    """
    patients: dict[str, list[tuple[str, str]]] = {}
    for case, patient, phase in named:
        if phase in PHASES:
            patients.setdefault(patient, []).append((case, phase))
    groups = list[list[tuple[str, str]]]()
    for of in patients.values():
        if len(of) == len({phase for _, phase in of}):
            groups.append(of)
            continue
        visits: dict[str, list[tuple[str, str]]] = {}
        for case, phase in of:
            begun = _FRAME.fullmatch(case)
            visits.setdefault(begun[1] if begun else case, []).append((case, phase))
        groups += visits.values()
    found = ({phase: case for case, phase in of} for of in groups if len(of) == len({phase for _, phase in of}))
    return [(of[PHASES[0]], of[PHASES[1]]) for of in found if len(of) == len(PHASES)]


def table(found: Sequence[Record], earlier: Sequence[Mapping[str, str]] = ()) -> str:
    """Return the text of ``clinical.csv``, a line a record.

    A value that a record lacks is empty, an undefined one is ``nan``. Where a class is called as another one's truth,
    its predictions have ``predicted_`` before their name.

    Parameters
    ----------
    found
        The records.
    earlier
        Lines of an earlier file, which stand above them.

    Examples
    --------
    >>> print(table([Record("p1", {"case": "p1_ED"}, {Measure("LV", "ml"): 118.0}, {Measure("LV", "ml"): 120.0})]))
    patient,case,lv_ml,truth_lv_ml
    p1,p1_ED,118,120
    """
    truths = {f"truth_{measure.column}" for each in found for measure in each.truth}
    lines: list[Mapping[str, str]] = [{column: value for column, value in line.items() if value} for line in earlier]
    lines += [
        {
            "patient": each.patient,
            **each.cases,
            **{_column(measure, truths): f"{value:.7g}" for measure, value in each.predicted.items()},
            **{f"truth_{measure.column}": f"{value:.7g}" for measure, value in each.truth.items()},
        }
        for each in found
    ]
    columns = dict.fromkeys(chain.from_iterable(lines))
    # What was measured stands first, then predictions, then truths, also where records differ in what they have.
    named = {"patient", *CASES}
    order = sorted(columns, key=lambda column: (column not in named, column.startswith("truth_")))
    return csv_text(order, lines)


def _column(measure: Measure, truths: Container[str]) -> str:
    return f"predicted_{measure.column}" if measure.column in truths else measure.column


def pairs(found: Iterable[Record]) -> dict[Measure, list[tuple[float, float]]]:
    """Collect the pairs (predicted, true) of each measure, if both values are finite.

    Examples
    --------
    >>> lv = Measure("LV", "ml")
    >>> pairs([Record("p1", {"case": "p1"}, {lv: 118.0}, {lv: 120.0}), Record("p2", {"case": "p2"}, {lv: 90.0}, {})])
    {Measure(name='LV', unit='ml'): [(118.0, 120.0)]}
    """
    held: dict[Measure, list[tuple[float, float]]] = {}
    for each in found:
        for measure, truth in each.truth.items():
            pair = (each.predicted[measure], truth)
            held.setdefault(measure, []).extend([pair] if np.isfinite(pair).all() else [])
    return {measure: of for measure, of in held.items() if of}


def agreements(found: Iterable[Record]) -> dict[Measure, Agreement]:
    """Compare the predicted with the true values of each measure.

    Examples
    --------
    >>> lv = Measure("LV", "ml")
    >>> found = [Record(str(ml), {"case": str(ml)}, {lv: 0.9 * ml}, {lv: ml}) for ml in (100.0, 120.0, 140.0)]
    >>> agreements(found)[lv].bias
    -12.0
    """
    return {measure: _agreement(*np.array(of).T) for measure, of in pairs(found).items()}


def _agreement(predicted: np.ndarray, truth: np.ndarray) -> Agreement:
    difference = predicted - truth
    bias = float(difference.mean())
    reach = LIMITS * float(difference.std(ddof=1)) if difference.size > 1 else math.nan
    # By their range: the deviation of equal numbers is not always 0, as their mean is rounded.
    tells = difference.size > 2 and np.ptp(predicted) > 0 and np.ptp(truth) > 0
    r = float(np.corrcoef(predicted, truth)[0, 1]) if tells else math.nan
    return Agreement(difference.size, float(truth.mean()), bias, bias - reach, bias + reach, r)


def is_heart(of: Mapping[str, float]) -> bool:
    """Whether structures are those of a heart: one of them is called ``LV``.

    Examples
    --------
    >>> is_heart({"lv": 120.0}), is_heart({"liver": 1500.0})
    (True, False)
    """
    return bool(_heart(of))


def _heart(of: Mapping[str, float]) -> dict[str, str]:
    """Return which of `of` are a heart's structures, by their usual names; empty without a left ventricle."""
    named = {name.casefold(): name for name in of}
    held = {usual: named[usual.casefold()] for usual in (*CAVITIES, "Myo") if usual.casefold() in named}
    return held if "LV" in held else {}


def _of_case(each: CaseVolumes) -> Record:
    taken = heart_measures(each.predicted)  # in corpora of early versions
    predicted, truth = (
        {Measure(f"class {name}" if folded(name) in taken else name, each.unit): ml for name, ml in of.items()}
        for of in (each.predicted, each.truth)
    )
    return Record(each.patient, {"case": each.case}, predicted, truth)


def _of_heart(diastole: CaseVolumes, systole: CaseVolumes) -> Record:
    cases = {"ed": diastole.case, "es": systole.case}
    predicted = measure(diastole.predicted, systole.predicted, diastole.unit)
    return Record(diastole.patient, cases, predicted, measure(diastole.truth, systole.truth, diastole.unit))


def measure(diastole: Mapping[str, float], systole: Mapping[str, float], unit: Unit) -> Measured:
    """Measure a heart.

    Parameters
    ----------
    diastole, systole
        Volumes by class, in `unit`.
    unit
        Of the volumes.

    Returns
    -------
    For each ventricle the end-diastolic, end-systolic and stroke volume, and the ejection fraction in % (NaN if it is
    empty). For the left one also its muscle's mass at end-diastole in g, or the muscle's volume if the unit is voxels.

    Examples
    --------
    >>> heart = measure({"LV": 120.0, "Myo": 100.0}, {"LV": 48.0, "Myo": 98.0}, "ml")
    >>> {name: value for (name, unit), value in heart.items()}
    {'LV EDV': 120.0, 'LV ESV': 48.0, 'LV SV': 72.0, 'LV EF': 60.0, 'LV mass': 105.0}
    """
    heart, held = _heart(diastole), {}
    for cavity in CAVITIES:
        if cavity in heart:
            edv, esv = diastole[heart[cavity]], systole[heart[cavity]]
            held[Measure(f"{cavity} EDV", unit)] = edv
            held[Measure(f"{cavity} ESV", unit)] = esv
            held[Measure(f"{cavity} SV", unit)] = edv - esv
            held[Measure(f"{cavity} EF", "%")] = 100 * (edv - esv) / edv if edv else math.nan
        if cavity == "LV" and "Myo" in heart:
            muscle = diastole[heart["Myo"]]
            held |= {Measure("LV mass", "g"): MUSCLE * muscle} if unit == "ml" else {Measure("LV muscle", unit): muscle}
    return held
