"""A stroke along a structure's skeleton, after the paper's generator of scribbles."""

from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np
import scipy
import skimage
from jaxtyping import Int

from maskmixadv.strokes.draw import SliceMask, depth, join, pieces_of

Track = Int[np.ndarray, "_ 2"]
Pixel = tuple[int, int]

ERODED = 900
"""Area in pixels above which a structure is eroded."""
MOVED = 1000
"""Area in pixels above which a structure's stroke is moved."""
SHIFT = 6
"""How far a stroke is shifted at most, in pixels."""
TURN = 15
"""How far a stroke is turned at most, in degrees."""
INSIDE: Final = 0.75
"""Fraction of a moved stroke that must lie in its structure; otherwise it is not moved."""
WALKS = 4
"""Random walks of which the longest is taken."""
MOVES = 6
"""Attempts to move a stroke."""
_FULL: Final = np.ones((3, 3), bool)
_ROUND: Final = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))


def draw_skeleton(structure: SliceMask, rng: np.random.Generator) -> SliceMask:
    """Draw as the paper does: one path through the skeleton, without branches, somewhat shifted and turned.

    Differs from the released code: the longest of four random walks is taken, as one of them may end in a spur at once,
    where the code rolls one walk back to its last fork; a shift is at most half the structure's depth, and a stroke
    of which more than a quarter would leave its structure is not moved.

    Examples
    --------
    >>> structure = np.zeros((32, 32), bool)
    >>> structure[8:24, 4:28] = True
    >>> stroke = draw_skeleton(structure, np.random.default_rng(0))
    >>> pieces_of(stroke).max().item(), bool((stroke & ~structure).any())
    (1, False)
    """
    area = structure.sum()
    body = np.asarray(scipy.ndimage.binary_erosion(structure, _FULL, iterations=2)) if area > ERODED else structure
    skeleton = skimage.morphology.skeletonize(body if body.any() else structure, method="lee") > 0
    if not skeleton.any():
        return skeleton
    path = _path(skeleton, rng)
    return join(_moved(path, structure, rng) if area > MOVED else path, structure.shape)


def _path(skeleton: SliceMask, rng: np.random.Generator) -> Track:
    pieces = pieces_of(skeleton)
    largest = pixels_of(pieces == np.bincount(pieces[skeleton]).argmax())
    held = set(largest)
    start = next((pixel for pixel in largest if len(neighbours(pixel, held)) == 1), largest[0])
    return np.array(max((_walked(held, start, rng) for _ in range(WALKS)), key=len))


def pixels_of(mask: SliceMask) -> list[Pixel]:
    """List the pixels (row, column) of a mask, row by row.

    Examples
    --------
    >>> pixels_of(np.array([[False, True], [True, True]]))
    [(0, 1), (1, 0), (1, 1)]
    """
    return [(int(row), int(column)) for row, column in np.argwhere(mask)]


def neighbours(pixel: Pixel, among: AbstractSet[Pixel]) -> list[Pixel]:
    """List which of the eight neighbours of a pixel are in the set `among`; orthogonal ones come first.

    Examples
    --------
    >>> neighbours((1, 1), {(0, 0), (1, 1), (1, 2), (5, 5)})
    [(1, 2), (0, 0)]
    """
    row, column = pixel
    return [step for down, right in _ROUND if (step := (row + down, column + right)) in among]


def _walked(pixels: set[Pixel], start: Pixel, rng: np.random.Generator) -> list[Pixel]:
    """Walk to neighbours at random, to none twice, until there is none.

    Orthogonal neighbours come first: past a corner, a diagonal step would lead into a dead end.
    """
    path, left = [start], pixels - {start}
    while True:
        free = neighbours(path[-1], left)
        if not free:
            return path
        row, column = path[-1]
        choices = [step for step in free if step[0] == row or step[1] == column] or free
        path.append(choices[int(rng.integers(len(choices)))])
        left.remove(path[-1])


def _moved(path: Track, structure: SliceMask, rng: np.random.Generator) -> Track:
    reach = min(SHIFT, depth(structure).max() / 2)
    middle = path.mean(axis=0)
    for _ in range(MOVES):
        shift, angle = rng.uniform(-reach, reach, 2), np.deg2rad(rng.uniform(-TURN, TURN))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moved = np.rint((path - middle) @ turn.T + middle + shift).astype(int)
        within = ((moved >= 0) & (moved < structure.shape)).all(axis=1)
        if within.all() and structure[tuple(moved.T)].mean() >= INSIDE:
            return moved
    return path
