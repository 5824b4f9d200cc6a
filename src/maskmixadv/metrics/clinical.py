"""What clinicians read off a segmentation: volumes, of a heart also ejection fraction and mass; and how right they are.

Nothing here imports torch.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskmixadv.tabular import csv_text
from maskmixadv.types import Spacing

MUSCLE: Final = 1.05
"""Grams that a millilitre of heart muscle weighs."""
CAVITIES: Final = ("LV", "RV")
"""Structures with an ejection fraction; with an ``LV`` there is a heart, whose muscle is called ``Myo``."""
LIMITS: Final = 1.96
"""Standard deviations either side that hold 95 % of a normal distribution."""
_FRAME: Final = re.compile(r"(.+)_(?:frame\d+|(ED|ES))(?:_0000)?", re.IGNORECASE)
"""Name of one of a patient's frames, with the challenges' and nnU-Net's endings."""

Unit = Literal["ml", "voxels"]


class Measure(NamedTuple):
    """What is measured, and in which unit; `column` is its name in files."""

    name: str
    unit: str

    @property
    def column(self) -> str:
        """Lower case, without spaces."""
        return f"{self.name}_{self.unit}".lower().replace(" ", "_").replace("%", "percent")


Measured = dict[Measure, float]


@dataclass(frozen=True)
class CaseVolumes:
    """Volumes of one case's structures, by class, in `unit`.

    Attributes
    ----------
    phase
        ``ED``, ``ES``, or empty where it is not known.
    truth
        Empty where there is none.
    """

    case: str
    patient: str
    phase: str
    unit: Unit
    predicted: dict[str, float]
    truth: dict[str, float]


@dataclass(frozen=True)
class Record:
    """A line of ``clinical.csv``: measures of one case, or of a heart's two.

    Attributes
    ----------
    cases
        What was measured: the case, or by phase (``ed``, ``es``) the patient's two.
    truth
        Empty where there is none.
    """

    patient: str
    cases: dict[str, str]
    predicted: Measured
    truth: Measured


@dataclass(frozen=True)
class Agreement:
    """How one measure of predictions agrees with the truth's, over `count` patients or cases that have both.

    Attributes
    ----------
    truth
        Mean of the true values.
    bias
        Mean of predicted minus true.
    low, high
        95 % limits of agreement (Bland and Altman): bias ∓ 1.96 standard deviations of the differences (n - 1); NaN
        for one alone.
    r
        Pearson's correlation; NaN where either has no spread.
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
    """Measure what was predicted for a file; patient and phase are what its name says.

    Parameters
    ----------
    name
        The file's, without suffix: ``patientXXX_frameYY`` and ``patientXXX_ED`` are frames of a patient.
    labels
        Class indices.
    classes
        Names of the k classes, background first.
    spacing
        Millimetres along d, h, w; None gives volumes in voxels.
    """
    found = _FRAME.fullmatch(name)
    patient, phase = (found[1], (found[2] or "").upper()) if found else (name, "")
    counts = np.bincount(labels.ravel(), minlength=len(classes))[1 : len(classes)]
    size = math.prod(spacing) / 1000 if spacing else 1
    predicted = {each: float(count * size) for each, count in zip(classes[1:], counts, strict=True)}
    return CaseVolumes(name, patient, phase, "ml" if spacing else "voxels", predicted, {})


def with_phases(found: Sequence[CaseVolumes]) -> tuple[CaseVolumes, ...]:
    """Find the phases of patients of whom several cases have none: the largest LV is ``ED``, the smallest ``ES``."""
    frames: dict[str, list[CaseVolumes]] = {}
    for each in found:
        if not each.phase and _heart(each.predicted):
            frames.setdefault(each.patient, []).append(each)
    phases: dict[str, str] = {}
    for of in frames.values():
        if len(of) > 1:
            ranked = sorted(of, key=lambda each: each.predicted[_heart(each.predicted)["LV"]])
            phases |= {ranked[-1].case: "ED", ranked[0].case: "ES"}
    return tuple(replace(each, phase=phases.get(each.case, each.phase)) for each in found)


def records(found: Sequence[CaseVolumes]) -> tuple[Record, ...]:
    """Make a record of each heart that has both phases in one unit, and one of each other case."""
    phased: dict[tuple[str, Unit], dict[str, CaseVolumes]] = {}
    for each in found:
        if _heart(each.predicted) and each.phase in ("ED", "ES"):
            phased.setdefault((each.patient, each.unit), {}).setdefault(each.phase, each)
    pairs = [(of["ED"], of["ES"]) for of in phased.values() if len(of) == 2]
    paired = {each.case for each in chain.from_iterable(pairs)}
    single = (each for each in found if each.case not in paired)
    return (*(_of_heart(*pair) for pair in pairs), *(_of_case(each) for each in single))


def table(found: Sequence[Record]) -> str:
    """Text of ``clinical.csv``: a line a record; what a record lacks is empty, what is undefined is ``nan``."""
    lines = [
        {
            "patient": each.patient,
            **each.cases,
            **{measure.column: f"{value:.7g}" for measure, value in each.predicted.items()},
            **{f"truth_{measure.column}": f"{value:.7g}" for measure, value in each.truth.items()},
        }
        for each in found
    ]
    columns = dict.fromkeys(chain.from_iterable(lines))
    # What was measured stands first, then predictions, then truths, also where records differ in what they have.
    named = {"patient", *chain.from_iterable(each.cases for each in found)}
    order = sorted(columns, key=lambda column: (column not in named, column.startswith("truth_")))
    return csv_text(order, lines)


def pairs(found: Iterable[Record]) -> dict[Measure, list[tuple[float, float]]]:
    """Collect (predicted, true) of each measure, where both are defined."""
    held: dict[Measure, list[tuple[float, float]]] = {}
    for each in found:
        for measure, truth in each.truth.items():
            pair = (each.predicted[measure], truth)
            held.setdefault(measure, []).extend([pair] if np.isfinite(pair).all() else [])
    return {measure: of for measure, of in held.items() if of}


def agreements(found: Iterable[Record]) -> dict[Measure, Agreement]:
    """Compare each measure's predictions with the truth."""
    return {measure: _agreement(*np.array(of).T) for measure, of in pairs(found).items()}


def _agreement(predicted: np.ndarray, truth: np.ndarray) -> Agreement:
    difference = predicted - truth
    bias = float(difference.mean())
    reach = LIMITS * float(difference.std(ddof=1)) if difference.size > 1 else math.nan
    varied = predicted.std() > 0 and truth.std() > 0
    r = float(np.corrcoef(predicted, truth)[0, 1]) if varied else math.nan
    return Agreement(difference.size, float(truth.mean()), bias, bias - reach, bias + reach, r)


def _heart(of: Mapping[str, float]) -> dict[str, str]:
    """Return which of `of` are a heart's structures, by their usual names; empty without a left ventricle."""
    named = {name.casefold(): name for name in of}
    held = {usual: named[usual.casefold()] for usual in (*CAVITIES, "Myo") if usual.casefold() in named}
    return held if "LV" in held else {}


def _of_case(each: CaseVolumes) -> Record:
    predicted, truth = (
        {Measure(name, each.unit): volume for name, volume in of.items()} for of in (each.predicted, each.truth)
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

    Returns
    -------
    End-diastolic, end-systolic and stroke volume of each ventricle, its ejection fraction in % (NaN for an empty one),
    and the left one's mass at end-diastole in g; where voxels are all that is known, its muscle's volume.
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
