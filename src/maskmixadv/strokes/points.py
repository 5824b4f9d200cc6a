"""Points in a structure, drawn as discs, after the generator of the paper's first release."""

import numpy as np
import skimage
from jaxtyping import Int

from maskmixadv.strokes.draw import SliceMask, pieces_of

Places = Int[np.ndarray, "_ 2"]

JITTER, TRIES = 5, 6
"""A single point is drawn so many pixels at most from its piece's middle in each axis; so often, until one is in it."""


def place_points(structure: SliceMask, *, count: int, rng: np.random.Generator) -> Places:
    """Choose `count` points in each 8-connected piece of a structure, or all pixels of a piece that has fewer.

    One alone lies near the piece's middle, several lie anywhere in it.
    """
    pieces = pieces_of(structure)
    placed = [_placed(np.argwhere(pieces == number), count, rng) for number in range(1, pieces.max() + 1)]
    return np.concatenate([np.empty((0, 2), np.int64), *placed])


def scatter_points(structure: SliceMask, *, count: int, rng: np.random.Generator) -> Places:
    """Choose `count` points anywhere in a structure, or all its pixels if it has fewer."""
    return _scattered(np.argwhere(structure), count, rng)


def draw_discs(places: Places, structure: SliceMask, *, radius: int) -> SliceMask:
    """Draw a disc of `radius` pixels, 0 or more, round each point.

    Differs from the released code: discs are clipped to their structure.
    """
    drawn = np.zeros_like(structure)
    for place in places:
        drawn[skimage.draw.disk(tuple(place), radius + 0.5, shape=structure.shape)] = True
    return drawn & structure


def _placed(pixels: Places, count: int, rng: np.random.Generator) -> Places:
    if count > 1:
        return _scattered(pixels, count, rng)
    middle = np.rint(pixels.mean(axis=0)).astype(int)
    for place in middle + rng.integers(-JITTER, JITTER, (TRIES, 2), endpoint=True):
        if (pixels == place).all(axis=1).any():
            return place[None]
    return _scattered(pixels, 1, rng)


def _scattered(pixels: Places, count: int, rng: np.random.Generator) -> Places:
    return rng.permutation(pixels)[:count]
