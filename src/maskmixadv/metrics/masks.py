"""How well a prediction matches a dense mask: Dice overlap, surface distances in mm, volumes in ml.

Axes are ``d h w``. The surface of a mask is its voxels with a face neighbour outside it. Beyond the array is outside,
but not across an axis of one voxel: a single slice's surface is its contour. SciPy measures the distances: MONAI's and
MedPy's agree with it to rounding (the tests compare them), but the one costs every process an import of torch and the
other ten times as long.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int, UInt8

from maskmixadv.corpus.arrays import SpacingLike, as_labels, as_spacing
from maskmixadv.corpus.names import check_classes
from maskmixadv.errors import InputError
from maskmixadv.types import IGNORE, Spacing

_LEAF: Final = 32
"""Points in a leaf of the search tree: twice SciPy's default, as a tree is asked only once."""
_PART: Final = 2**20
"""Voxels that are counted at once: NumPy takes eight bytes for each of them."""
_Box = tuple[slice, ...]


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
    return _dice(*(int(np.count_nonzero(mask)) for mask in (truth, predicted, truth & predicted)))


def _dice(true: int, drawn: int, both: int) -> float:
    """Return the Dice coefficient of masks of so many voxels; NaN if both are empty."""
    return 2.0 * both / (true + drawn) if true + drawn else math.nan


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
    true, drawn, both = tallies(truth, predicted, classes).sum(1)[:, 1:].tolist()
    return [_dice(*each) for each in zip(true, drawn, both, strict=True)]


def tallies(
    truth: UInt8[np.ndarray, "d h w"], predicted: UInt8[np.ndarray, "d h w"], classes: int
) -> Int[np.ndarray, "3 d k"]:
    """Count each slice's voxels by class: those that are true, those that are predicted, and those that are both.

    Both volumes are gone through once, however many classes there are.

    Parameters
    ----------
    truth, predicted
        Class indices; voxels whose truth is ``IGNORE`` count on neither side.
    classes
        Number of classes k, with the background.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> truth = np.array([[[0, 1, 1, 2]]], np.uint8)
    >>> tallies(truth, np.array([[[0, 1, 2, 2]]], np.uint8), classes=3)[:, 0].tolist()
    [[1, 2, 1], [1, 1, 2], [1, 1, 1]]
    """
    _same_shape(truth, predicted)
    found = np.zeros((3, len(truth), classes), np.int64)
    for number, planes in enumerate(zip(truth, predicted, strict=True)):
        plane, drawn = (each.ravel() for each in planes)
        for first in range(0, plane.size, _PART):
            part, other = plane[first : first + _PART], drawn[first : first + _PART]
            known = part != IGNORE
            if not known.all():
                part, other = part[known], other[known]
            for of, labels in enumerate((part, other, part[part == other])):
                found[of, number] += np.bincount(labels, minlength=256)[:classes]
    return found


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
    one, other = (mask.astype(np.uint8) for mask in (truth, predicted))
    if known is not None:
        one, other = (np.where(known, mask, np.uint8(IGNORE)) for mask in (one, other))
    (found,) = _distances(one, other, 2, spacing)
    return found


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
    known, size = truth != IGNORE, math.prod(spacing)
    counts = tallies(truth, predicted, len(classes)).sum(1)[:, 1:].T.tolist()
    seen = predicted if known.all() else np.where(known, predicted, np.uint8(IGNORE))
    distances = _distances(truth, seen, len(classes), spacing)
    return tuple(
        Score(str(name), _dice(*of), *between, *(float(count * size / 1000) for count in of[:2]))
        for name, of, between in zip(classes[1:], counts, distances, strict=True)
    )


def _check_codes(truth: UInt8[np.ndarray, "_ _ _"], predicted: UInt8[np.ndarray, "_ _ _"], classes: int) -> None:
    _same_shape(truth, predicted)
    for labels, where, allowed in ((truth, "truth", f" and {IGNORE}"), (predicted, "prediction", "")):
        stray = labels[(labels >= classes) & ((labels != IGNORE) | (not allowed))]
        if stray.size:
            raise InputError(f"{where}: label {stray[0]}, allowed are 0 to {classes - 1}{allowed}")


def _distances(
    truth: UInt8[np.ndarray, "d h w"], predicted: UInt8[np.ndarray, "d h w"], classes: int, spacing: Spacing
) -> list[Surface]:
    """Return the distances of every class but the background; both volumes have ``IGNORE`` where nothing is known."""
    boxes = [
        None if one is None and other is None else _round([box for box in (one, other) if box], truth.shape)
        for one, other in zip(
            *(scipy.ndimage.find_objects(labels, classes - 1) for labels in (truth, predicted)), strict=True
        )
    ]
    there = [box for box in boxes if box]
    if not there:
        return [Surface(math.nan, math.nan, math.nan)] * len(boxes)
    within = _round(there, truth.shape)
    truth, predicted = truth[within], predicted[within]
    outlines = _outline(truth), _outline(predicted)
    shared = (outlines[0] & outlines[1] & (truth == predicted)).ravel()
    places = [_by_class(*each, classes) for each in zip((truth, predicted), outlines, strict=True)]
    found = list[Surface]()
    for box, *pair in zip(boxes, *places, strict=True):
        # Counted from the corner of the class's own box.
        corner = [own.start - all_of.start for own, all_of in zip(box or within, within, strict=True)]
        points = [
            (np.stack(np.unravel_index(each, truth.shape), 1) - corner).astype(np.float64) * np.asarray(spacing)
            for each in pair
        ]
        found.append(_between(points[0], points[1], ~shared[pair[0]], ~shared[pair[1]]))
    return found


def _between(
    points: Float[np.ndarray, "n 3"],
    others: Float[np.ndarray, "m 3"],
    apart: Bool[np.ndarray, "n"],
    others_apart: Bool[np.ndarray, "m"],
) -> Surface:
    """Measure two surfaces, of which some points are `apart` from those of the other one."""
    if not (len(points) and len(others)):
        return Surface(math.nan, math.nan, math.nan)
    onward, back = _nearest(points, others, apart), _nearest(others, points, others_apart)
    pooled = np.concatenate([onward, back])
    return Surface(
        hd95=float(np.percentile(pooled, 95)),
        hd95_max=float(max(np.percentile(onward, 95), np.percentile(back, 95))),
        assd=float(pooled.mean()),
    )


def _nearest(
    points: Float[np.ndarray, "n 3"], others: Float[np.ndarray, "m 3"], apart: Bool[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """From each point of a surface to the nearest of the other surface's: 0 for those that are not `apart` from it."""
    found = np.zeros(len(points))
    if apart.any():
        # A tree of the surface voxels, as a distance transform of the box pays for each stray blob's reach.
        found[apart], _ = scipy.spatial.KDTree(others, leafsize=_LEAF).query(points[apart])
    return found


def _outline(labels: UInt8[np.ndarray, "d h w"]) -> Bool[np.ndarray, "d h w"]:
    """Return the surface voxels of all classes but the background."""
    found, known = np.zeros(labels.shape, bool), labels != IGNORE
    for axis, length in enumerate(labels.shape):
        if length > 1 or max(labels.shape) == 1:
            here, seen, surface = (np.moveaxis(each, axis, 0) for each in (labels, known, found))
            surface[0] = surface[-1] = True
            unlike = (here[1:] != here[:-1]) & seen[1:] & seen[:-1]
            surface[1:] |= unlike
            surface[:-1] |= unlike
    return found & known & (labels > 0)


def _by_class(
    labels: UInt8[np.ndarray, "d h w"], chosen: Bool[np.ndarray, "d h w"], classes: int
) -> list[Int[np.ndarray, "_"]]:
    """Return the places of the chosen voxels of every class but the background, each in the array's order."""
    places = np.flatnonzero(chosen)
    of = labels.ravel()[places]
    ends = np.cumsum(np.bincount(of, minlength=classes)[:classes])
    return np.split(places[np.argsort(of, kind="stable")][ends[0] : ends[-1]], ends[1:-1] - ends[0])


def _round(boxes: Sequence[_Box], shape: tuple[int, ...]) -> _Box:
    """Return the box round some, with one voxel more on all sides, by which surfaces are found."""
    return tuple(
        slice(max(0, min(each.start for each in along) - 1), min(length, max(each.stop for each in along) + 1))
        for along, length in zip(zip(*boxes, strict=True), shape, strict=True)
    )


def _same_shape(truth: np.ndarray, predicted: np.ndarray) -> None:
    if truth.shape != predicted.shape:
        raise InputError(f"prediction has shape {predicted.shape}, truth has {truth.shape}; must be equal")
