"""A case: one volume of one patient, with what was drawn on it. Nothing here imports torch."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv.errors import InputError
from maskmixadv.types import IGNORE, Spacing

PERCENTILE: Final = 99
"""Of a volume's intensities, which is 1 after scaling."""


@dataclass(frozen=True)
class Case:
    """One volume of one patient.

    Attributes
    ----------
    name
        Unique in its corpus; also the file's name.
    patient
        Whose volume it is; folds are by patient.
    image
        Intensities in [0, 1].
    scribble, dense
        Class indices of the image's shape (which `validate` sees to), ``IGNORE`` where nothing was drawn;
        either may be missing.
    spacing
        Millimetres between voxels along d, h, w; None where the source does not say.
    affine
        Voxel (x, y, z) to world in mm, as NIfTI has it; None where the source does not say.
    phase
        Time in the cardiac cycle, such as ``ED`` or ``ES``.
    group
        What folds are stratified by, such as a disease.
    """

    name: str
    patient: str
    image: Float[np.ndarray, "d h w"]
    scribble: UInt8[np.ndarray, "_ _ _"] | None = None
    dense: UInt8[np.ndarray, "_ _ _"] | None = None
    spacing: Spacing | None = None
    affine: Float[np.ndarray, "4 4"] | None = None
    phase: str | None = None
    group: str | None = None


def recode(labels: np.ndarray, *, classes: int, ignore: int | None, where: str) -> UInt8[np.ndarray, "..."]:
    """Turn a file's codes into class indices and ``IGNORE``.

    Parameters
    ----------
    labels
        Codes as the file has them, of any shape and number type.
    classes
        How many classes there are; codes 0..classes-1 stay.
    ignore
        The file's code for "unlabelled", or None where it can't occur.
    where
        The file, for the error's text.

    Raises
    ------
    InputError
        Where a code is not declared.
    """
    allowed = [*range(classes), *([] if ignore is None else [ignore])]
    stray = np.setdiff1d(np.unique(labels), allowed)
    if stray.size:
        shown = ", ".join(f"{code:g}" for code in stray[:5])
        raise InputError(f"{where}: label {shown} is not declared, allowed are {', '.join(map(str, allowed))}")
    coded = labels.astype(np.uint8)
    if ignore is not None:
        coded[labels == ignore] = IGNORE
    return coded


def validate(case: Case, *, classes: int, where: str) -> Case:
    """Return `case` unchanged if it can be learnt from or scored on.

    Raises
    ------
    InputError
        Where shapes differ, the image is not finite or constant, or its annotation shows no structure.
    """
    if case.image.ndim != 3 or 0 in case.image.shape:
        raise InputError(f"{where}: image has shape {case.image.shape}, allowed is a volume of 3 axes")
    if not np.isfinite(case.image).all():
        raise InputError(f"{where}: image holds NaN or infinity, allowed are finite numbers")
    if case.image.min() == case.image.max():
        raise InputError(f"{where}: image is constant ({case.image.flat[0]:g}), allowed is one with contrast")
    for kind, labels in (("scribble", case.scribble), ("dense mask", case.dense)):
        if labels is None:
            continue
        if labels.shape != case.image.shape:
            raise InputError(f"{where}: {kind} has shape {labels.shape}, image has {case.image.shape}; must be equal")
        codes = set(np.unique(labels).tolist())
        if not codes & set(range(1, classes)):
            raise InputError(f"{where}: {kind} is all background, allowed is one with at least one structure")
    return case


def normalise(image: np.ndarray, *, where: str) -> Float[np.ndarray, "d h w"]:
    """Scale a volume to [0, 1], cut off at its 99th percentile, as ACDC's pre-processed release does.

    Raises
    ------
    InputError
        Where it holds NaN or infinity, or is constant.
    """
    volume = np.asarray(image, dtype=np.float32)
    if not np.isfinite(volume).all():
        raise InputError(f"{where}: image holds NaN or infinity, allowed are finite numbers")
    low, high = float(volume.min()), float(np.percentile(volume, PERCENTILE))
    if high <= low:
        high = float(volume.max())
    if high <= low:
        raise InputError(f"{where}: image is constant ({low:g}), allowed is one with contrast")
    return np.clip((volume - low) / (high - low), 0.0, 1.0).astype(np.float32)
