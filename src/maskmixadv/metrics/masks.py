"""How well a prediction matches a dense mask: Dice overlap, surface distances in mm, volumes in ml.

Axes are ``d h w``. The surface of a mask is its voxels with a face neighbour outside it. Beyond the array is outside,
but not across an axis of one voxel: a single slice's surface is its contour. SciPy measures the distances: MONAI's and
MedPy's agree with it to rounding (the tests compare them), but the one costs every process an import of torch and the
other ten times as long.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import scipy
from jaxtyping import Bool, Float, UInt8

from maskmixadv.corpus.arrays import SpacingLike, as_labels, as_spacing
from maskmixadv.corpus.names import check_classes
from maskmixadv.errors import InputError
from maskmixadv.types import IGNORE, Spacing

_LEAF: Final = 32
"""Points in a leaf of the search tree: twice SciPy's default, as a tree is asked only once."""


class Surface(NamedTuple):
    """Distances in mm between two surfaces; all are NaN if one of the masks is empty, or both are.

    Attributes
    ----------
    hd95
        95th percentile of the distances of both directions, pooled (as in MedPy, and in the tables of this field).
    hd95_max
        The larger of the two directions' own 95th percentiles (as in MONAI).
    assd
        Mean of the distances of both directions, pooled (as MedPy's ``assd``).

    Examples
    --------
    >>> Surface(hd95=3.5, hd95_max=4.0, assd=1.2).assd
    1.2
    """

    hd95: float
    hd95_max: float
    assd: float


class Score(NamedTuple):
    """Scores of one class in one case.

    Attributes
    ----------
    class_name
        Name of the class.
    dice
        In [0, 1]; NaN if the class is in neither mask.
    hd95, hd95_max, assd
        Distances in mm, as `Surface` has them; NaN if the class is not in both masks.
    truth_ml, predicted_ml
        Volumes in ml.

    Examples
    --------
    >>> Score("LV", 0.9, 3.5, 4.0, 1.2, truth_ml=120.0, predicted_ml=114.0).dice
    0.9
    """

    class_name: str
    dice: float
    hd95: float
    hd95_max: float
    assd: float
    truth_ml: float
    predicted_ml: float


def dice(truth: Bool[np.ndarray, "d h w"], predicted: Bool[np.ndarray, "d h w"]) -> float:
    """Return the Dice coefficient of two masks: twice their overlap over the sum of their volumes.

    Returns
    -------
    A number in [0, 1]; 0 if one mask is empty, NaN if both are.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> truth = np.zeros((1, 8, 8), bool)
    >>> truth[0, 2:6, 2:6] = True
    >>> dice(truth, np.roll(truth, 1, axis=2))
    0.75
    """
    _same_shape(truth, predicted)
    total = np.count_nonzero(truth) + np.count_nonzero(predicted)
    return float(2.0 * np.count_nonzero(truth & predicted) / total) if total else math.nan


def dices(truth: UInt8[np.ndarray, "d h w"], predicted: UInt8[np.ndarray, "d h w"], classes: int) -> list[float]:
    """Return the Dice coefficient of every class but the background.

    Parameters
    ----------
    truth, predicted
        Class indices; voxels whose truth is ``IGNORE`` count on neither side.
    classes
        Number of classes, with the background.

    Returns
    -------
    As `dice`, in the order of the classes.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> truth = np.array([[[0, 1, 1, 2]]], np.uint8)
    >>> dices(truth, np.array([[[0, 1, 2, 2]]], np.uint8), classes=4)
    [0.67, 0.67, nan]
    """
    return [dice(*pair) for pair in _pairs(truth, predicted, classes)]


def surface(
    truth: Bool[np.ndarray, "d h w"],
    predicted: Bool[np.ndarray, "d h w"],
    spacing: Spacing,
    known: Bool[np.ndarray, "d h w"] | None = None,
) -> Surface:
    """Return distances between the surfaces of two masks; the order of the masks does not matter.

    Parameters
    ----------
    truth, predicted
        The masks.
    spacing
        Millimetres between voxels along d, h, w.
    known
        Voxels whose class is known; a border with unknown voxels is no surface. None: all are known.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> truth = np.zeros((1, 8, 8), bool)
    >>> truth[0, 2:6, 2:6] = True
    >>> surface(truth, np.roll(truth, 1, axis=2), (8.0, 1.5, 1.5))
    Surface(hd95=1.5, hd95_max=1.5, assd=0.75)
    """
    _same_shape(truth, predicted)
    box = tuple(_extents(truth | predicted))
    points, others = (
        _border(mask[box], mask.shape, None if known is None else known[box]) * np.asarray(spacing)
        for mask in (truth, predicted)
    )
    if not (points.size and others.size):
        return Surface(math.nan, math.nan, math.nan)
    onward, back = _distances(points, others)
    pooled = np.concatenate([onward, back])
    return Surface(
        hd95=float(np.percentile(pooled, 95)),
        hd95_max=float(max(np.percentile(onward, 95), np.percentile(back, 95))),
        assd=float(pooled.mean()),
    )


def score(
    truth: np.ndarray,
    predicted: np.ndarray,
    *,
    classes: Sequence[str],
    spacing: SpacingLike,
) -> tuple[Score, ...]:
    """Score every class but the background: Dice, distances between surfaces in mm, volumes in ml.

    Parameters
    ----------
    truth
        Class indices ``(d, h, w)``, of any type of whole numbers; voxels that are ``IGNORE`` (255) count on neither
        side.
    predicted
        Class indices of the same shape.
    classes
        Names of the k classes, background first.
    spacing
        Millimetres between voxels along d, h, w.

    Returns
    -------
    One score a class, in the order of `classes`, without the background.

    Raises
    ------
    InputError
        Where the shapes differ, an array is no volume of labels, a label is not that of a class, `classes` is no list
        of at least two different names, or the spacing is not above 0. It is a ValueError.

    Examples
    --------
    >>> truth = np.zeros((1, 64, 64), np.uint8)
    >>> truth[:, 20:40, 20:40] = 1
    >>> (found,) = score(truth, np.roll(truth, 2, axis=2), classes=["background", "tumour"], spacing=(8, 1.5, 1.5))
    >>> found.class_name, found.dice, found.hd95, found.truth_ml
    ('tumour', 0.9, 3.0, 7.2)
    """
    truth, predicted = as_labels(truth, "truth"), as_labels(predicted, "prediction")
    spacing = as_spacing(spacing, "score")
    check_classes(classes, "score")
    _check_codes(truth, predicted, len(classes))
    known = truth != IGNORE
    seen = None if known.all() else known
    return tuple(
        Score(str(name), dice(*pair), *surface(*pair, spacing, seen), *(_millilitres(mask, spacing) for mask in pair))
        for name, pair in zip(classes[1:], _pairs(truth, predicted, len(classes)), strict=True)
    )


def _pairs(
    truth: UInt8[np.ndarray, "d h w"], predicted: UInt8[np.ndarray, "d h w"], classes: int
) -> Iterator[tuple[Bool[np.ndarray, "d h w"], Bool[np.ndarray, "d h w"]]]:
    """Yield each structure's two masks, without the voxels of which nothing is known."""
    _same_shape(truth, predicted)
    known = truth != IGNORE
    yield from (((truth == k), (predicted == k) & known) for k in range(1, classes))


def _check_codes(truth: UInt8[np.ndarray, "_ _ _"], predicted: UInt8[np.ndarray, "_ _ _"], classes: int) -> None:
    _same_shape(truth, predicted)
    for labels, where, allowed in ((truth, "truth", f" and {IGNORE}"), (predicted, "prediction", "")):
        stray = labels[(labels >= classes) & ((labels != IGNORE) | (not allowed))]
        if stray.size:
            raise InputError(f"{where}: label {stray[0]}, allowed are 0 to {classes - 1}{allowed}")


def _millilitres(mask: Bool[np.ndarray, "d h w"], spacing: Spacing) -> float:
    return float(np.count_nonzero(mask) * math.prod(spacing) / 1000)


def _distances(
    points: Float[np.ndarray, "n 3"], others: Float[np.ndarray, "m 3"]
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "m"]]:
    """From each point of a surface to the nearest of the other surface's, in both directions."""
    # A tree of the surface voxels, as a distance transform of the box pays for each stray blob's reach.
    onward, _ = scipy.spatial.KDTree(others, leafsize=_LEAF).query(points)
    back, _ = scipy.spatial.KDTree(points, leafsize=_LEAF).query(others)
    return np.asarray(onward), np.asarray(back)


def _border(
    mask: Bool[np.ndarray, "d h w"], shape: tuple[int, ...], known: Bool[np.ndarray, "d h w"] | None
) -> Float[np.ndarray, "n 3"]:
    """Surface voxels of `mask`, which is a part of an array of `shape`."""
    inside = mask if known is None else mask | ~known
    return np.argwhere(mask & ~scipy.ndimage.binary_erosion(inside, _neighbours(shape))).astype(np.float64)


def _neighbours(shape: tuple[int, ...]) -> Bool[np.ndarray, "3 3 3"]:
    """A voxel and its face neighbours, along the axes that have more than one voxel."""
    near = np.zeros((3, 3, 3), bool)
    near[1, 1, 1] = True
    for axis, length in enumerate(shape):
        if length > 1 or max(shape) == 1:
            near[tuple(slice(None) if axis == other else 1 for other in range(3))] = True
    return near


def _extents(mask: Bool[np.ndarray, "d h w"]) -> Iterator[slice]:
    """Yield the extent of a mask along each axis, with one voxel more on both sides, by which the surface is found."""
    for axis, length in enumerate(mask.shape):
        held = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        first, last = (int(held[0]), int(held[-1])) if held.size else (0, 0)
        yield slice(max(0, first - 1), min(length, last + 2))


def _same_shape(truth: np.ndarray, predicted: np.ndarray) -> None:
    if truth.shape != predicted.shape:
        raise InputError(f"prediction has shape {predicted.shape}, truth has {truth.shape}; must be equal")
