"""Points in a structure, drawn as discs, after the generator of the paper's first release."""

import numpy as np
import skimage
from jaxtyping import Int

from maskmixadv.strokes.draw import SliceMask, pieces_of

Places = Int[np.ndarray, "_ 2"]

JITTER = 5
"""Pixels along each axis that a single point lies from its piece's middle at most."""
TRIES = 6
"""How often a single point is drawn anew where it missed its piece."""


def place_points(structure: SliceMask, *, count: int, rng: np.random.Generator) -> Places:
    """Choose `count` points in each 8-connected piece of a structure, or all pixels of a piece that has fewer.

    A single point lies near the piece's middle, several lie anywhere in it.

    Returns
    -------
    Row and column of each point.

    Examples
    --------
    >>> structure = np.zeros((32, 32), bool)
    >>> structure[8:24, 4:28] = True
    >>> places = place_points(structure, count=2, rng=np.random.default_rng(0))
    >>> places.shape, bool(structure[tuple(places.T)].all())
    ((2, 2), True)
    """
    pieces = pieces_of(structure)
    placed = [_placed(np.argwhere(pieces == number), count, rng) for number in range(1, pieces.max() + 1)]
    return np.concatenate([np.empty((0, 2), np.int64), *placed])


def scatter_points(structure: SliceMask, *, count: int, rng: np.random.Generator) -> Places:
    """Choose `count` points anywhere in a structure, or all its pixels if it has fewer.

    Returns
    -------
    Row and column of each point.

    Examples
    --------
    >>> scatter_points(np.eye(2, dtype=bool), count=5, rng=np.random.default_rng(0)).shape
    (2, 2)
    """
    return _scattered(np.argwhere(structure), count, rng)


def draw_discs(places: Places, structure: SliceMask, *, radius: int) -> SliceMask:
    """Draw a disc of `radius` pixels, 0 or more, round each point (row and column).

    Differs from the released code: discs are clipped to their structure.

    Examples
    --------
    >>> draw_discs(np.array([[0, 1]]), np.ones((3, 3), bool), radius=1).astype(int)
    array([[1, 1, 1],
           [1, 1, 1],
           [0, 0, 0]])
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
