"""Clinical measures of predictions, as the page shows them."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv.metrics.clinical import Measure, Record, records, volumes, with_phases
from maskmixadv.types import Spacing

SHOWN: Final = {"edv": "LV EDV", "esv": "LV ESV", "sv": "LV SV", "ef": "LV EF", "mass": "LV mass"}


def measured(
    predicted: Sequence[tuple[str, UInt8[np.ndarray, "_ _ _"], Spacing | None]], classes: Sequence[str]
) -> dict[str, Any]:
    """Measure what was predicted: each case's name, labels and spacing (mm, along the labels' axes).

    Returns
    -------
    ``cases``: volumes by class, in ml or voxels; ``heart``: the left ventricle's measures of each patient with both
    phases, None where the classes are no heart's.
    """
    found = [volumes(case, labels, classes=classes, spacing=spacing) for case, labels, spacing in predicted]
    hearts = [record for record in records(with_phases(found)) if "ed" in record.cases]
    return {
        "cases": [{"case": each.case, "spacing_known": each.unit == "ml", "volumes": each.predicted} for each in found],
        "heart": [_heart(record) for record in hearts] or None,
    }


def _heart(record: Record) -> dict[str, Any]:
    by_name: dict[str, tuple[Measure, float]] = {measure.name: (measure, v) for measure, v in record.predicted.items()}
    values = {key: by_name[name][1] if name in by_name else math.nan for key, name in SHOWN.items()}
    return {
        "patient": record.patient,
        **{key: value if math.isfinite(value) else None for key, value in values.items()},
    }
