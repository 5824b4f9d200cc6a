"""A stroke along a structure's skeleton, after the paper's generator of scribbles."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Int
from scipy import ndimage
from skimage.morphology import skeletonize

from maskmixadv.data.strokes import depth, join

Mask = Bool[np.ndarray, "h w"]
Track = Int[np.ndarray, "n 2"]
Pixel = tuple[int, int]

ERODED, MOVED = 900, 1000
"""From what area in pixels on a structure is eroded, and a stroke moved."""
SHIFT, TURN = 6, 15
"""How far at most, in pixels and degrees."""
INSIDE: Final = 0.75
"""A moved stroke has at least this much of itself left in its structure, or it is not moved."""
WALKS, MOVES = 4, 6
_FULL: Final = np.ones((3, 3), bool)
NEIGHBOURS: Final = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Steps to the eight pixels round one."""


def draw_skeleton(structure: Mask, rng: np.random.Generator) -> Mask:
    """Draw as the paper does: one path through the skeleton, without branches, somewhat shifted and turned.

    Differs from the released code: the longest of four random walks is taken, as one of them may end in a spur at once;
    a shift is at most half the structure's depth, and a stroke that would mostly leave its structure is not moved.
    """
    area = structure.sum()
    body = np.asarray(ndimage.binary_erosion(structure, _FULL, iterations=2)) if area > ERODED else structure
    skeleton = skeletonize(body if body.any() else structure, method="lee") > 0
    if not skeleton.any():
        return skeleton
    path = _path(skeleton, rng)
    return join(_moved(path, structure, rng) if area > MOVED else path, structure.shape)


def _path(skeleton: Mask, rng: np.random.Generator) -> Track:
    labels, _ = ndimage.label(skeleton, _FULL)
    largest = labels == np.bincount(labels[skeleton]).argmax()
    ends = largest & (ndimage.convolve(largest.astype(np.uint8), _FULL.astype(np.uint8), mode="constant") == 2)
    start = tuple(int(at) for at in np.argwhere(ends if ends.any() else largest)[0])
    pixels = {(int(row), int(column)) for row, column in np.argwhere(largest)}
    return np.array(max((_walked(pixels, start, rng) for _ in range(WALKS)), key=len))


def _walked(pixels: set[Pixel], start: Pixel, rng: np.random.Generator) -> list[Pixel]:
    """Walk to neighbours at random, to none twice, until there is none.

    Orthogonal neighbours come first: past a corner, a diagonal step would lead into a dead end.
    """
    path, left = [start], pixels - {start}
    while True:
        row, column = path[-1]
        open_to = [step for down, right in NEIGHBOURS if (step := (row + down, column + right)) in left]
        straight = [step for step in open_to if step[0] == row or step[1] == column]
        choices = straight or open_to
        if not choices:
            return path
        path.append(choices[int(rng.integers(len(choices)))])
        left.remove(path[-1])


def _moved(path: Track, structure: Mask, rng: np.random.Generator) -> Track:
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
