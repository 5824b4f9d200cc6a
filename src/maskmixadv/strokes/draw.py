"""Strokes as people draw them: one closed stroke round the organ, one open stroke in each piece of a structure."""

from itertools import pairwise

import numpy as np
import scipy
import skimage
from jaxtyping import Bool, Float, Int, UInt8

from maskmixadv.types import IGNORE

SliceMask = Bool[np.ndarray, "h w"]

COMPACT = 0.6
"""A structure at least so round is drawn as a ring inside it, a longer one along its middle line."""
SMALL = 15
"""A piece of a structure with more pixels than this is drawn in, also where it is not the largest."""


def draw_strokes(dense: UInt8[np.ndarray, "d h w"], *, rng: np.random.Generator) -> UInt8[np.ndarray, "d h w"]:
    """Draw strokes for dense masks: ``IGNORE`` elsewhere, never beyond their own structure.

    Slices without a structure get a background stroke in their middle.
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


def draw_round(organ: SliceMask, rng: np.random.Generator) -> SliceMask:
    """Draw a closed, wavering stroke round everything, with some pixels of distance; round the middle if all is empty.

    The organ lies in its hull, unless it fills a corner of the slice, where no stroke fits round it.
    """
    h, w = organ.shape
    points = np.argwhere(organ) if organ.any() else np.array([[h / 2, w / 2]])
    middle = points.mean(axis=0)
    theta = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    directions = np.stack((np.sin(theta), np.cos(theta)), axis=1)
    # The support function bounds the organ in each direction: a curve beyond it has the organ in its hull.
    reach = ((points - middle) @ directions.T).max(axis=0)
    waver = scipy.ndimage.gaussian_filter1d(rng.uniform(2, 9, len(theta)), 4, mode="wrap") + rng.uniform(2, 4)
    corners = np.clip(np.rint(middle + (reach + waver)[:, None] * directions), 0, (h - 1, w - 1)).astype(int)
    return join(np.concatenate((corners[-1:], corners))[::-1], (h, w))


def join(corners: Int[np.ndarray, "n 2"], shape: tuple[int, ...]) -> SliceMask:
    """Draw lines from each corner to the next."""
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
    """Draw the course of an open stroke: part of a ring in a round structure, of the middle line in a longer one."""
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
    """Distance in pixels to the nearest pixel that is not the structure's; beyond the slice there is none of it."""
    return np.asarray(scipy.ndimage.distance_transform_edt(np.pad(structure, 1)))[1:-1, 1:-1]


def pieces_of(mask: SliceMask) -> Int[np.ndarray, "h w"]:
    """Number the 8-connected pieces of a mask from 1; 0 elsewhere."""
    return np.asarray(skimage.measure.label(mask))


def _sector(structure: SliceMask, rng: np.random.Generator) -> SliceMask:
    """Pick a sector of 55 to 90 % of the full turn: people leave their strokes open."""
    rows, columns = np.indices(structure.shape)
    middle = np.argwhere(structure).mean(axis=0)
    theta = np.arctan2(rows - middle[0], columns - middle[1])
    return (theta - rng.uniform(0, 2 * np.pi)) % (2 * np.pi) < 2 * np.pi * rng.uniform(0.55, 0.9)
