"""How well a prediction matches a dense mask: Dice overlap, surface distances in mm, volumes in ml.

Axes are ``d h w``. The surface of a mask is its voxels with a face neighbour outside it; beyond the array is
outside. SciPy measures the distances: MONAI's and MedPy's agree with it to rounding (the tests compare them),
but the one costs every process an import of torch and the other ten times as long.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import scipy
from jaxtyping import Bool, Float, UInt8

from maskmixadv.data.corpus import IGNORE, Spacing

_LEAF: Final = 32
"""Points in a leaf of the search tree: twice SciPy's default, as a tree is asked only once."""


class Surface(NamedTuple):
    """Distances in mm between two surfaces; 0 where both masks are empty, NaN where one is.

    Attributes
    ----------
    hd95
        95th percentile of the distances of both directions, pooled (as MedPy, and the tables of this field).
    hd95_max
        The larger of the two directions' own 95th percentiles (as MONAI).
    assd
        Mean of the distances of both directions, pooled (as MedPy's ``assd``).
    """

    hd95: float
    hd95_max: float
    assd: float


class Score(NamedTuple):
    """One class of one case: Dice in [0, 1], distances in mm as `Surface` has them, volumes in ml."""

    class_name: str
    dice: float
    hd95: float
    hd95_max: float
    assd: float
    truth_ml: float
    predicted_ml: float


def dice(truth: Bool[np.ndarray, "d h w"], predicted: Bool[np.ndarray, "d h w"]) -> float:
    """Twice the overlap over the sum of both volumes: in [0, 1], 1 where both are empty, 0 where one is.

    Raises
    ------
    ValueError
        Where the shapes differ.
    """
    _same_shape(truth, predicted)
    total = np.count_nonzero(truth) + np.count_nonzero(predicted)
    return 2.0 * np.count_nonzero(truth & predicted) / total if total else 1.0


def surface(truth: Bool[np.ndarray, "d h w"], predicted: Bool[np.ndarray, "d h w"], spacing: Spacing) -> Surface:
    """Distances between the surfaces of two masks; the order of the masks does not matter.

    Parameters
    ----------
    truth, predicted
        The masks.
    spacing
        Millimetres between voxels along d, h, w.

    Raises
    ------
    ValueError
        Where the shapes differ.
    """
    _same_shape(truth, predicted)
    filled = truth.any(), predicted.any()
    if not all(filled):
        return Surface(*[math.nan if any(filled) else 0.0] * 3)
    onward, back = _distances(truth, predicted, spacing)
    pooled = np.concatenate([onward, back])
    return Surface(
        hd95=float(np.percentile(pooled, 95)),
        hd95_max=float(max(np.percentile(onward, 95), np.percentile(back, 95))),
        assd=float(pooled.mean()),
    )


def score(
    truth: UInt8[np.ndarray, "d h w"],
    predicted: UInt8[np.ndarray, "d h w"],
    *,
    classes: Sequence[str],
    spacing: Spacing,
) -> tuple[Score, ...]:
    """Score every class but the background.

    Parameters
    ----------
    truth
        Class indices; voxels that are ``IGNORE`` count as background on both sides.
    predicted
        Class indices.
    classes
        Names of the k classes, background first.
    spacing
        Millimetres between voxels along d, h, w.

    Returns
    -------
    One score a class, in the order of `classes`.

    Raises
    ------
    ValueError
        Where the shapes differ.
    """
    _same_shape(truth, predicted)
    known = truth != IGNORE
    pairs = (((truth == k), (predicted == k) & known) for k in range(1, len(classes)))
    return tuple(
        Score(name, dice(*pair), *surface(*pair, spacing), *(_millilitres(mask, spacing) for mask in pair))
        for name, pair in zip(classes[1:], pairs, strict=True)
    )


def _millilitres(mask: Bool[np.ndarray, "d h w"], spacing: Spacing) -> float:
    return np.count_nonzero(mask) * math.prod(spacing) / 1000


def _distances(
    one: Bool[np.ndarray, "d h w"], other: Bool[np.ndarray, "d h w"], spacing: Spacing
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "m"]]:
    """From each surface voxel of a mask to the nearest of the other mask's, in both directions."""
    box = tuple(_extents(one | other))
    points, others = (_border(mask[box]) * np.asarray(spacing) for mask in (one, other))
    # A tree of the surface voxels, as a distance transform of the box pays for each stray blob's reach.
    onward, _ = scipy.spatial.KDTree(others, leafsize=_LEAF).query(points)
    back, _ = scipy.spatial.KDTree(points, leafsize=_LEAF).query(others)
    return np.asarray(onward), np.asarray(back)


def _border(mask: Bool[np.ndarray, "d h w"]) -> Float[np.ndarray, "n 3"]:
    return np.argwhere(mask ^ scipy.ndimage.binary_erosion(mask)).astype(np.float64)


def _extents(mask: Bool[np.ndarray, "d h w"]) -> Iterator[slice]:
    """Along each axis, from the first to the last voxel of a mask that is not empty."""
    for axis in range(mask.ndim):
        held = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        yield slice(int(held[0]), int(held[-1]) + 1)


def _same_shape(truth: np.ndarray, predicted: np.ndarray) -> None:
    if truth.shape != predicted.shape:
        raise ValueError(f"prediction has shape {predicted.shape}, truth has {truth.shape}; must be equal")
