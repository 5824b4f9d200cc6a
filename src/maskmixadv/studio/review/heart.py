"""Clinical measures of predictions, for the page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from maskmixadv.metrics.clinical import Record, records, volumes, with_phases
from maskmixadv.types import Spacing


@dataclass(frozen=True)
class CaseVolumes:
    """The volumes of a case by class: in ml if its spacing is known, else in voxels."""

    case: str
    spacing_known: bool
    volumes: Mapping[str, float]


@dataclass(frozen=True)
class HeartMeasures:
    """Measures of a patient's left ventricle: ml, % (`ef`) and g (`mass`); None where one is not defined."""

    patient: str
    edv: float | None
    esv: float | None
    sv: float | None
    ef: float | None
    mass: float | None


def measured(
    predicted: Sequence[tuple[str, UInt8[np.ndarray, "_ _ _"], Spacing | None]], classes: Sequence[str]
) -> tuple[list[CaseVolumes], list[HeartMeasures]]:
    """Measure predictions, each given as the case's name, its labels, and the spacing in mm along the labels' axes.

    Returns
    -------
    The volumes of each case, and the measures of the left ventricle of each patient with both phases. The latter are
    empty if the classes are not those of a heart.
    """
    found = [volumes(case, labels, classes=classes, spacing=spacing) for case, labels, spacing in predicted]
    hearts = [record for record in records(with_phases(found)) if "ed" in record.cases]
    return [CaseVolumes(each.case, each.unit == "ml", each.predicted) for each in found], list(map(_heart, hearts))


def _heart(record: Record) -> HeartMeasures:
    values = {measure.name: value for measure, value in record.predicted.items() if math.isfinite(value)}
    return HeartMeasures(
        record.patient,
        edv=values.get("LV EDV"),
        esv=values.get("LV ESV"),
        sv=values.get("LV SV"),
        ef=values.get("LV EF"),
        mass=values.get("LV mass"),
    )
