"""A case: one volume of one patient, with its annotations. Nothing here imports torch."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv.errors import InputError
from maskmixadv.types import IGNORE, Spacing

PERCENTILE: Final = 99
"""Percentile of a volume's intensities that scaling maps to 1."""


@dataclass(frozen=True)
class Case:
    """One volume of one patient.

    Attributes
    ----------
    name
        Unique in its corpus; also the file's name.
    patient
        Whose volume it is; folds are made by patient.
    image
        Intensities in [0, 1].
    scribble, dense
        Class indices of the image's shape (`validate` checks that), ``IGNORE`` where nothing was drawn. Either may be
        None.
    spacing
        Millimetres between voxels along d, h, w; None if the source does not say.
    affine
        Matrix from voxel (x, y, z, 1) to the world (mm, RAS), as in NIfTI; None if the source does not say.
    phase
        Time in the cardiac cycle, such as ``ED`` or ``ES``.
    group
        Name of a group by which folds may be stratified, such as a disease.

    Examples
    --------
    >>> mask = np.zeros((3, 8, 8), np.uint8)
    >>> mask[1, 2:5, 2:5] = 1
    >>> case = Case(name="p1_ED", patient="p1", image=mask.astype(np.float32), dense=mask, spacing=(8.0, 1.5, 1.5))
    >>> case.image.shape, case.scribble is None
    ((3, 8, 8), True)
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
        Number of classes; codes from 0 to ``classes - 1`` stay.
    ignore
        The file's code for "unlabelled"; None if it has none.
    where
        The file, for the error's text.

    Raises
    ------
    InputError
        If the file has any other code.

    Examples
    --------
    >>> recode(np.array([0, 1, 4]), classes=4, ignore=4, where="a.nii.gz")
    array([  0,   1, 255], dtype=uint8)
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
    """Return `case` unchanged if a method can learn from it, or be scored on it.

    Parameters
    ----------
    case
        Any case.
    classes
        Number of classes, with the background.
    where
        Beginning of the error's text.

    Raises
    ------
    InputError
        If shapes differ, the image is not finite or constant, or an annotation shows no structure.

    Examples
    --------
    >>> empty = np.zeros((1, 4, 4), np.uint8)
    >>> case = Case("a", "p", image=np.random.default_rng(0).random((1, 4, 4)), dense=empty)
    >>> validate(case, classes=4, where="a.nii.gz")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.nii.gz: dense mask is all background, allowed is one with at least one structure
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
    """Scale a volume to [0, 1] (float32): 0 is its lowest intensity, 1 its 99th percentile, where it is cut off.

    ACDC's pre-processed release is scaled in this way.

    Parameters
    ----------
    image
        Intensities ``d h w`` of any number type.
    where
        Beginning of the error's text.

    Raises
    ------
    InputError
        If it holds NaN or infinity, or is constant.

    Examples
    --------
    >>> normalise(np.arange(-100, 102).reshape(2, 1, 101), where="a.nii.gz")[:, 0, ::50].round(2).tolist()
    [[0.0, 0.25, 0.5], [0.51, 0.76, 1.0]]
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
