"""Strokes as people draw them: one closed stroke round the organ, one open stroke in each piece of a structure."""

from itertools import pairwise

import numpy as np
import scipy
import skimage
from jaxtyping import Bool, Float, Int, UInt8

from maskmixadv.types import IGNORE

SliceMask = Bool[np.ndarray, "h w"]

COMPACT = 0.6
"""Roundness (1 for a disc) above which a stroke is a ring inside the structure, not along its middle line."""
SMALL = 15
"""Pixels above which a piece of a structure gets a stroke; the largest piece always gets one."""

NEAREST = 1.5
"""Pixels between the organ and a stroke round it, at least: the organ is to lie in the stroke's hull."""


def draw_strokes(dense: UInt8[np.ndarray, "d h w"], *, rng: np.random.Generator) -> UInt8[np.ndarray, "d h w"]:
    """Draw strokes for dense masks; a slice without a structure gets a background stroke in its middle.

    Parameters
    ----------
    dense
        Class indices.
    rng
        Source of random numbers.

    Returns
    -------
    Class indices, ``IGNORE`` where nothing is drawn. Nothing is drawn beyond its structure.

    Examples
    --------
    >>> dense = np.zeros((1, 48, 48), np.uint8)
    >>> dense[0, 18:30, 14:34] = 1
    >>> scribble = draw_strokes(dense, rng=np.random.default_rng(0))
    >>> np.unique(scribble).tolist(), bool((dense[scribble == 1] == 1).all())
    ([0, 1, 255], True)
    """
    return np.stack([_slice(masks, rng) for masks in dense])


def _slice(masks: UInt8[np.ndarray, "h w"], rng: np.random.Generator) -> UInt8[np.ndarray, "h w"]:
    strokes = np.full_like(masks, IGNORE)
    strokes[draw_round(masks > 0, rng) & (masks == 0)] = 0
    for number in np.unique(masks[masks > 0]):
        pieces = pieces_of(masks == number)
        sizes = np.bincount(pieces.ravel())[1:]
        for piece in np.flatnonzero((sizes > SMALL) | (sizes == sizes.max())):
            strokes[_inside(pieces == piece + 1, rng)] = number
    return strokes


def draw_round(organ: SliceMask, rng: np.random.Generator, gap: float = 1.0) -> SliceMask:
    """Draw a closed, wavering stroke round the organ, some pixels away from it; round the middle if there is none.

    The organ lies in the stroke's convex hull, unless it fills a corner of the slice, where no stroke fits round it.

    Parameters
    ----------
    organ
        All structures together.
    rng
        Source of random numbers.
    gap
        Factor of the stroke's distance from the organ, which is 4 to 13 pixels at 1.

    Examples
    --------
    >>> organ = np.zeros((48, 48), bool)
    >>> organ[18:30, 14:34] = True
    >>> stroke = draw_round(organ, np.random.default_rng(0))
    >>> bool((stroke & organ).any()), pieces_of(stroke).max().item()
    (False, 1)
    """
    h, w = organ.shape
    points = np.argwhere(organ) if organ.any() else np.array([[h / 2, w / 2]])
    middle = points.mean(axis=0)
    theta = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    directions = np.stack((np.sin(theta), np.cos(theta)), axis=1)
    # The support function bounds the organ in each direction: a curve beyond it has the organ in its hull.
    reach = ((points - middle) @ directions.T).max(axis=0)
    waver = scipy.ndimage.gaussian_filter1d(rng.uniform(2, 9, len(theta)), 4, mode="wrap") + rng.uniform(2, 4)
    away = np.maximum(gap * waver, NEAREST)
    corners = np.clip(np.rint(middle + (reach + away)[:, None] * directions), 0, (h - 1, w - 1)).astype(int)
    return join(np.concatenate((corners[-1:], corners))[::-1], (h, w))


def join(corners: Int[np.ndarray, "n 2"], shape: tuple[int, ...]) -> SliceMask:
    """Draw lines from each corner to the next.

    Parameters
    ----------
    corners
        Row and column of each corner.
    shape
        Of the slice.

    Examples
    --------
    >>> join(np.array([[0, 0], [0, 2], [2, 2]]), (3, 3)).astype(int)
    array([[1, 1, 1],
           [0, 0, 1],
           [0, 0, 1]])
    """
    stroke = np.zeros(shape, bool)
    stroke[tuple(corners[0])] = True
    for (r0, c0), (r1, c1) in pairwise(corners):
        stroke[skimage.draw.line(r0, c0, r1, c1)] = True
    return stroke


def _inside(structure: SliceMask, rng: np.random.Generator) -> SliceMask:
    """Draw an open stroke in a structure, one to three pixels thick."""
    course = draw_open(structure, rng)
    thick = scipy.ndimage.binary_dilation(course) if depth(structure).max() > 3 and rng.random() < 0.5 else course
    return thick & structure


def draw_open(structure: SliceMask, rng: np.random.Generator) -> SliceMask:
    """Draw an open stroke of one pixel's width: part of a ring in a round structure, of the middle line in a long one.

    Examples
    --------
    >>> structure = np.zeros((32, 32), bool)
    >>> structure[8:24, 4:28] = True
    >>> stroke = draw_open(structure, np.random.default_rng(0))
    >>> bool(stroke.any()), bool((stroke & ~structure).any())
    (True, False)
    """
    below = depth(structure)
    deepest = below.max()
    roundness = np.pi * deepest**2 / structure.sum()
    if roundness > COMPACT:
        course = np.abs(below - rng.uniform(0.4, 0.7) * deepest) < 0.6
    else:
        course = skimage.morphology.skeletonize(structure) & (below > min(1.5, 0.5 * deepest))
    course &= _sector(structure, rng)
    return course if course.any() else below == deepest


def depth(structure: SliceMask) -> Float[np.ndarray, "h w"]:
    """Return the distance in pixels from each pixel of a structure to the nearest one outside; 0 outside.

    Pixels beyond the slice are outside.

    Examples
    --------
    >>> depth(np.ones((3, 5), bool))
    array([[1., 1., 1., 1., 1.],
           [1., 2., 2., 2., 1.],
           [1., 1., 1., 1., 1.]])
    """
    return np.asarray(scipy.ndimage.distance_transform_edt(np.pad(structure, 1)))[1:-1, 1:-1]


def pieces_of(mask: SliceMask) -> Int[np.ndarray, "h w"]:
    """Number the 8-connected pieces of a mask from 1; 0 outside.

    Examples
    --------
    >>> pieces_of(np.array([[True, False, False, True], [False, True, False, True]]))
    array([[1, 0, 0, 2],
           [0, 1, 0, 2]]...)
    """
    return np.asarray(skimage.measure.label(mask))


def _sector(structure: SliceMask, rng: np.random.Generator) -> SliceMask:
    """Pick a sector of 55 to 90 % of the full turn: people leave their strokes open."""
    rows, columns = np.indices(structure.shape)
    middle = np.argwhere(structure).mean(axis=0)
    theta = np.arctan2(rows - middle[0], columns - middle[1])
    return (theta - rng.uniform(0, 2 * np.pi)) % (2 * np.pi) < 2 * np.pi * rng.uniform(0.55, 0.9)
