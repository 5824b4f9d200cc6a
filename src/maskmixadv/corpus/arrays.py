"""Arrays as users hand them over, checked: volumes, labels and spacings. Nothing here imports torch."""

import math
from collections.abc import Sequence
from typing import Final, SupportsFloat

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from maskmixadv.errors import InputError, counted
from maskmixadv.formats.volume import wrong_spacing
from maskmixadv.types import Spacing

SpacingLike = Sequence[SupportsFloat] | np.ndarray
"""Millimetres along d, h, w as users give them: three numbers of any type."""
_AXES: Final = "3 axes: slices, rows, columns (one slice is array[None])"
FLAT: Final = 1e-6
"""Part of a box's volume that a voxel's has at least, if its axes are three directions."""
OTHER: Final = 0.01
"""By which part a spacing may differ from that of an affine, as headers round."""
_REAL: Final = "biuf"
"""Kinds of NumPy types that hold real numbers."""


def as_volume(image: np.ndarray, where: str) -> Shaped[np.ndarray, "d h w"]:
    """Return `image` unchanged if it is a volume of real numbers.

    Parameters
    ----------
    image
        Intensities in any unit, of shape ``(d, h, w)``.
    where
        What the error's text begins with.

    Raises
    ------
    InputError
        Where it is no NumPy array, has another number of axes or an axis of length 0, holds no real numbers, or masks
        some of them out.

    Examples
    --------
    >>> as_volume(np.zeros((64, 64)), "image")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: image: has shape (64, 64), allowed are 3 axes: slices, ...
    """
    if not isinstance(image, np.ndarray):
        raise InputError(f"{where}: is a {type(image).__name__}, allowed is a NumPy array")
    if isinstance(image, np.ma.MaskedArray) and np.ma.is_masked(image):
        told = f"masks {counted(int(np.ma.count_masked(image)), 'voxel')} out, allowed are arrays that have all"
        raise InputError(f"{where}: {told}; fill them first (image.filled(value))")
    if image.ndim != 3 or 0 in image.shape:
        raise InputError(f"{where}: has shape {image.shape}, allowed are {_AXES}")
    if image.dtype.kind not in _REAL:
        raise InputError(f"{where}: is of type {image.dtype}, allowed are real numbers")
    return image


def as_channels(image: np.ndarray, where: str) -> Shaped[np.ndarray, "c d h w"]:
    """Return the channels of an image of real numbers, ``(d, h, w)`` or ``(c, d, h, w)``.

    Raises
    ------
    InputError
        As `as_volume` does.

    Examples
    --------
    >>> as_channels(np.zeros((8, 64, 64)), "image").shape
    (1, 8, 64, 64)
    """
    if isinstance(image, np.ndarray) and image.ndim == 4 and len(image):
        for channel in image:
            as_volume(channel, where)
        return image
    return as_volume(image, where)[None]


def as_labels(labels: np.ndarray, where: str) -> UInt8[np.ndarray, "d h w"]:
    """Return `labels` as uint8, whatever type of whole numbers they came in.

    Parameters
    ----------
    labels
        Codes from 0 to 255, of shape ``(d, h, w)``; also as booleans, or as floats without a fraction.
    where
        What the error's text begins with.

    Raises
    ------
    InputError
        Where it is no volume, or holds something else.

    Examples
    --------
    >>> as_labels(np.array([[[0.0, 1.0, 255.0]]]), "mask")
    array([[[  0,   1, 255]]], dtype=uint8)
    """
    volume = as_volume(labels, where)
    if volume.dtype == np.uint8:
        return volume
    coded = volume.astype(np.uint8) if volume.dtype.kind == "b" else _coded(volume)
    stray = volume[coded != volume]
    if stray.size:
        raise InputError(f"{where}: label {stray[0]:g}, allowed are whole numbers from 0 to 255")
    return coded


def as_spacing(spacing: SpacingLike, where: str) -> Spacing:
    """Return the spacing as three floats.

    Parameters
    ----------
    spacing
        Millimetres between voxels along d, h, w.
    where
        What the error's text begins with.

    Raises
    ------
    InputError
        Where it is not three finite numbers above 0, or a voxel of a size or a shape that no image has.

    Examples
    --------
    >>> as_spacing((10, 1.5, 1.5), "heart")
    (10.0, 1.5, 1.5)
    """
    try:
        numbers = [float(each) for each in np.asarray(spacing, dtype=np.float64)]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 3 or not all(0 < each < math.inf for each in numbers):
        raise InputError(f"{where}: spacing {spacing!r:.60}, allowed are 3 finite numbers above 0 (mm along d, h, w)")
    if told := wrong_spacing(numbers):
        raise InputError(f"{where}: spacing: {told}; correct the unit or the spacing (mm along d, h, w)")
    d, h, w = numbers
    return d, h, w


def as_affine(affine: np.ndarray, where: str, spacing: Spacing | None = None) -> Float[np.ndarray, "4 4"]:
    """Return the matrix from voxel (x, y, z, 1) to the patient, in double precision.

    Parameters
    ----------
    affine
        Four rows of four numbers, the last one 0, 0, 0, 1.
    where
        What the error's text begins with.
    spacing
        Millimetres along d, h, w that are given beside it; None: none are.

    Raises
    ------
    InputError
        Where it is no such matrix, its numbers are not finite, its axes span no volume, or its voxels have another size
        than `spacing`, as where axes are in another order.

    Examples
    --------
    >>> as_affine(np.diag([1.5, 1.5, 0.0, 1.0]), "image")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: image: affine has axes that span no volume, allowed are three directions
    """
    try:
        matrix = np.asarray(affine, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty((0, 0))
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.array_equal(matrix[3], (0, 0, 0, 1)):
        told = " × ".join(map(str, matrix.shape)) + " numbers" if matrix.size > 1 else f"a {type(affine).__name__}"
        raise InputError(
            f"{where}: affine is {told}, allowed are 4 × 4 finite numbers, the last row 0, 0, 0, 1 (as nibabel has it)"
        )
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not lengths.min() > 0 or not abs(np.linalg.det(matrix[:3, :3] / lengths)) > FLAT:
        raise InputError(f"{where}: affine has axes that span no volume, allowed are three directions")
    if spacing is not None and not np.allclose(lengths[::-1], spacing, rtol=OTHER, atol=0):
        own, given = (" × ".join(f"{size:.4g}" for size in sizes) for sizes in (lengths[::-1], spacing))
        raise InputError(
            f"{where}: spacing is {given} mm, but the affine's is {own}, its columns from the last to the first; "
            "allowed are the same (of what nibabel reads: array.T, zooms[::-1] and its affine)"
        )
    return matrix


def _coded(volume: np.ndarray) -> UInt8[np.ndarray, "d h w"]:
    """Return what of `volume` fits uint8; what does not, NaN too, becomes another number than it was."""
    return np.clip(np.nan_to_num(volume), 0, 255).astype(np.uint8)
