"""A case: one volume of one patient, with its annotations. Nothing here imports torch."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, UInt8

from maskmixadv.corpus.arrays import SpacingLike, as_labels, as_spacing, as_volume
from maskmixadv.corpus.padding import without_padding
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
        What folds are stratified by, such as a disease.

    Examples
    --------
    >>> image = np.random.default_rng(0).random((8, 64, 64), dtype=np.float32)
    >>> scribble = np.full(image.shape, IGNORE, np.uint8)
    >>> scribble[3, 30:34, 30] = 1
    >>> Case(name="anna_ED", patient="anna", image=image, scribble=scribble, spacing=(8.0, 1.5, 1.5), phase="ED")
    Case(name='anna_ED', patient='anna', shape=(8, 64, 64), spacing=(8, 1.5, 1.5), phase='ED', scribble)
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

    @classmethod
    def from_arrays(
        cls,
        image: np.ndarray,
        *,
        name: str,
        scribble: np.ndarray | None = None,
        dense: np.ndarray | None = None,
        spacing: SpacingLike | None = None,
        patient: str | None = None,
        phase: str | None = None,
        group: str | None = None,
        ignore: int = IGNORE,
    ) -> "Case":
        """Make a case of NumPy arrays, all of one shape ``(d, h, w)``: slices, rows, columns.

        A network sees one slice ``(h, w)`` at a time. The first axis is the one along which the patient was cut into
        slices, as a rule the one of the largest spacing. What nibabel reads is ``(x, y, z)``: hand over ``array.T``
        and ``zooms[::-1]``.

        Parameters
        ----------
        image
            Intensities as the scanner gives them, in any unit and number type. They are scaled to [0, 1], as
            `normalise` does.
        name
            The case's name; a corpus has it once.
        scribble
            What was drawn, sparsely: class indices, 0 where the background was drawn, `ignore` where nothing was.
        dense
            A full mask: class indices, `ignore` where nothing is known.
        spacing
            Millimetres between voxels along d, h, w; None where unknown.
        patient
            Whose volume it is; None: `name`. Cases of one patient are never split between training and testing.
        phase
            Time in the cardiac cycle, such as ``ED`` or ``ES``.
        group
            What the patient belongs to, such as a disease.
        ignore
            The arrays' code for "nothing drawn", 0 to 255.

        Raises
        ------
        InputError
            Where an array has another number of axes or shape, the image is not finite or constant, a label is no
            whole number from 0 to 255, a scribble covers each voxel, or the spacing is not above 0.

        Examples
        --------
        >>> image = np.random.default_rng(0).normal(300.0, 40.0, (8, 64, 64))  # raw intensities
        >>> scribble = np.full(image.shape, 255)                               # nothing drawn yet
        >>> scribble[3, 5, 5:60], scribble[3, 30:34, 30] = 0, 1                # background, structure
        >>> Case.from_arrays(image, name="anna", scribble=scribble, spacing=(8, 1.5, 1.5))
        Case(name='anna', patient='anna', shape=(8, 64, 64), spacing=(8, 1.5, 1.5), scribble)
        """
        scaled = normalise(as_volume(image, f"{name}: image"), where=name)
        drawn = None if scribble is None else _ignored(scribble, ignore, f"{name}: scribble")
        if drawn is not None and not (drawn == IGNORE).any():
            raise InputError(f"{name}: scribble has no voxel of {ignore}, nothing drawn; a full mask is dense=…")
        made = cls(
            name=name,
            patient=name if patient is None else patient,
            image=scaled,
            scribble=drawn,
            dense=None if dense is None else _ignored(dense, ignore, f"{name}: dense mask"),
            spacing=None if spacing is None else as_spacing(spacing, name),
            phase=phase,
            group=group,
        )
        _check_shapes(made, name)
        return made

    def __repr__(self) -> str:
        """Say what it is, without its arrays."""
        said = [f"name={self.name!r}", f"patient={self.patient!r}", f"shape={self.image.shape}"]
        said += [] if self.spacing is None else [f"spacing=({', '.join(f'{mm:.4g}' for mm in self.spacing)})"]
        said += [f"{key}={value!r}" for key in ("phase", "group") if (value := getattr(self, key)) is not None]
        said += [kind for kind in ("scribble", "dense") if getattr(self, kind) is not None]
        return f"Case({', '.join(said)})"


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
        Number of classes, with the background. Background alone is an annotation, too: that of a healthy patient.
    where
        Beginning of the error's text.

    Raises
    ------
    InputError
        If shapes differ, the image is not finite or constant, or nothing is labelled in an annotation.

    Examples
    --------
    >>> nothing = np.full((1, 4, 4), IGNORE, np.uint8)
    >>> case = Case("a", "p", image=np.random.default_rng(0).random((1, 4, 4)), scribble=nothing)
    >>> validate(case, classes=4, where="a.nii.gz")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.nii.gz: nothing is labelled in the scribble, at least one pixel must be
    """
    if case.image.ndim != 3 or 0 in case.image.shape:
        raise InputError(f"{where}: image has shape {case.image.shape}, allowed is a volume of 3 axes")
    if not np.isfinite(case.image).all():
        raise InputError(f"{where}: image holds NaN or infinity, allowed are finite numbers")
    if case.image.min() == case.image.max():
        raise InputError(f"{where}: image is constant ({case.image.flat[0]:g}), allowed is one with contrast")
    _check_shapes(case, where)
    for kind, labels in (("scribble", case.scribble), ("dense mask", case.dense)):
        if labels is None:
            continue
        codes = set(np.unique(labels).tolist())
        if not codes & set(range(classes)):
            raise InputError(f"{where}: nothing is labelled in the {kind}, at least one pixel must be")
    return case


def whole_slices(labels: UInt8[np.ndarray, "d h w"]) -> Bool[np.ndarray, "d"]:
    """Return whether each slice is a dense slice: one of which every pixel is labelled.

    Examples
    --------
    >>> whole_slices(np.array([[[0, 1]], [[IGNORE, 1]]], np.uint8))
    array([ True, False])
    """
    return (labels != IGNORE).all(axis=(1, 2))


def _check_shapes(case: Case, where: str) -> None:
    for kind, labels in (("scribble", case.scribble), ("dense mask", case.dense)):
        if labels is not None and labels.shape != case.image.shape:
            raise InputError(f"{where}: {kind} has shape {labels.shape}, image has {case.image.shape}; must be equal")


def _ignored(labels: np.ndarray, ignore: int, where: str) -> UInt8[np.ndarray, "_ _ _"]:
    """Return `labels` with ``IGNORE`` in place of the code `ignore`."""
    coded = as_labels(labels, where)
    return coded if ignore == IGNORE else np.where(coded == ignore, np.uint8(IGNORE), coded)


def normalise(image: np.ndarray, *, where: str) -> Float[np.ndarray, "d h w"]:
    """Scale a volume to [0, 1] (float32): 0 is its lowest intensity, 1 its 99th percentile, where it is cut off.

    ACDC's pre-processed release is scaled in this way. Padding, a value far below all others that many voxels have,
    takes no part: it becomes the lowest intensity that was measured, and a line on stderr says so.

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
    volume = without_padding(volume, where=where)
    low, high = float(volume.min()), float(np.percentile(volume, PERCENTILE))
    if high <= low:
        high = float(volume.max())
    if high <= low:
        raise InputError(f"{where}: image is constant ({low:g}), allowed is one with contrast")
    return np.clip((volume - low) / (high - low), 0.0, 1.0).astype(np.float32)
