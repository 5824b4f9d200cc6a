"""Styles in which people draw a stroke in a structure, and the length that they draw.

A style returns the stroke's course, about one pixel wide, in one connected structure. The course may leave the
structure; `draw_in` cuts it off there.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
import scipy
from jaxtyping import Float, Int

from maskmixadv.strokes.draw import SMALL, SliceMask, depth, draw_open, join, pieces_of
from maskmixadv.strokes.skeleton import Pixel, Track, draw_skeleton, neighbours, pixels_of

SHORT: Final = 0.6
"""Fraction of the way to the rim that a short stroke goes, on both sides."""
WANDER: Final = 2.0
"""Length of a wandering stroke over the square root of its structure's area."""
_SWERVES: Final = np.array([0.0, *(side * angle for angle in np.arange(1, 11) * 0.3 for side in (1, -1))])
"""Turns in radians that are tried if the way is barred, the smallest first."""


def draw_in(structure: SliceMask, *, style: str, length: float, thickness: int, rng: np.random.Generator) -> SliceMask:
    """Draw a stroke in each piece of a structure: the largest, and those of more than 15 pixels.

    Parameters
    ----------
    structure
        Where to draw; nothing is drawn beyond it.
    style
        A name in `STYLES`.
    length
        Fraction of each stroke's course that is kept, from one of its ends; above 0, at most 1. A shorter stroke of the
        same random numbers is part of a longer one.
    thickness
        Of the stroke in pixels, 1 or more.
    rng
        Source of random numbers.

    Examples
    --------
    >>> structure = np.zeros((32, 32), bool)
    >>> structure[8:24, 4:28] = True
    >>> whole = draw_in(structure, style="open", length=1.0, thickness=1, rng=np.random.default_rng(0))
    >>> half = draw_in(structure, style="open", length=0.5, thickness=1, rng=np.random.default_rng(0))
    >>> bool((half & ~whole).any()), bool(half.sum() < whole.sum())
    (False, True)
    """
    drawn = np.zeros(np.add(structure.shape, 2), bool)  # a rim of zeros: no style meets the slice's edge
    for box, piece in _pieces(np.pad(structure, 1)):
        course = STYLES[style](piece, rng) & piece
        if not course.any():
            below = depth(piece)
            course = below == below.max()
        brush = np.ones((thickness, thickness), bool)
        drawn[box] |= np.asarray(scipy.ndimage.binary_dilation(shorten(course, length), brush)) & piece
    return drawn[1:-1, 1:-1]


def _pieces(structure: SliceMask) -> Iterator[tuple[tuple[slice, slice], SliceMask]]:
    """Yield each piece to draw in: its box in the slice, with a rim of one pixel, and its mask there."""
    pieces = pieces_of(structure)
    sizes = np.bincount(pieces.ravel())[1:]
    for number, (rows, columns) in enumerate(scipy.ndimage.find_objects(pieces)):
        if sizes[number] > SMALL or number == sizes.argmax():
            box = slice(rows.start - 1, rows.stop + 1), slice(columns.start - 1, columns.stop + 1)
            yield box, pieces[box] == number + 1


def shorten(course: SliceMask, length: float) -> SliceMask:
    """Keep the fraction `length` (above 0, at most 1) of each connected part of a stroke, from one of its ends on.

    Examples
    --------
    >>> shorten(np.ones((1, 8), bool), 0.5).sum().item()
    4
    """
    if length == 1:
        return course
    kept = np.zeros_like(course)
    parts = pieces_of(course)
    for number in range(1, parts.max() + 1):
        part = pixels_of(parts == number)
        # What is reached last from anywhere is an end.
        order = _reached(part, _reached(part, part[0])[-1])
        rows, columns = zip(*order[: int(np.ceil(length * len(order)))], strict=True)
        kept[rows, columns] = True
    return kept


def _reached(part: list[Pixel], start: Pixel) -> list[Pixel]:
    """Order pixels by the steps that they are away from `start`."""
    left = set(part) - {start}
    order, queue = [start], deque([start])
    while queue:
        steps = neighbours(queue.popleft(), left)
        left.difference_update(steps)
        order += steps
        queue += steps
    return order


def draw_wandering(structure: SliceMask, rng: np.random.Generator) -> SliceMask:
    """Draw a curve that wanders about in a structure and turns away from its rim; it is longer in a larger structure.

    Examples
    --------
    >>> structure = np.zeros((32, 32), bool)
    >>> structure[8:24, 4:28] = True
    >>> pieces_of(draw_wandering(structure, np.random.default_rng(0))).max().item()
    1
    """
    below = depth(structure)
    room = below > 1 if below.max() > 2 else structure
    places = np.argwhere(room)
    place = places[rng.integers(len(places))].astype(float)
    heading = rng.uniform(0, 2 * np.pi)
    course = np.zeros_like(structure)
    turn = 0.0
    for bend in rng.normal(0, 0.07, int(WANDER * np.sqrt(structure.sum()))):
        course[tuple(np.rint(place).astype(int))] = True
        turn = 0.8 * turn + bend
        steps = place + _directions(heading + turn + _SWERVES)
        free = room[tuple(np.rint(steps).astype(int).T)]
        if not free.any():
            break
        first = int(free.argmax())
        heading += turn + _SWERVES[first]
        place = steps[first]
    return course


def _directions(angles: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 2"]:
    return np.stack((np.sin(angles), np.cos(angles)), axis=1)


def draw_through_centre(structure: SliceMask, rng: np.random.Generator) -> SliceMask:
    """Draw one short straight stroke through a structure's middle, or where it is deepest, along about its longest way.

    Examples
    --------
    >>> structure = np.zeros((32, 32), bool)
    >>> structure[8:24, 4:28] = True
    >>> stroke = draw_through_centre(structure, np.random.default_rng(0))
    >>> pieces_of(stroke).max().item(), bool((stroke & ~structure).any())
    (1, False)
    """
    below = depth(structure)
    places = np.argwhere(below >= 0.8 * below.max())
    place = places[rng.integers(len(places))]
    angles = np.arange(0, 2 * np.pi, np.pi / 12)
    ways = [_way(structure, place, direction) for direction in _directions(angles)]
    half = len(ways) // 2
    chords = np.array([len(ways[k]) + len(ways[k + half]) for k in range(half)])
    k = int(rng.choice(np.flatnonzero(chords >= 0.8 * chords.max())))
    ends = (way[round(SHORT * (len(way) - 1))] for way in (ways[k], ways[k + half]))
    return join(np.stack(tuple(ends)), structure.shape)


def _way(structure: SliceMask, place: Int[np.ndarray, "2"], direction: Float[np.ndarray, "2"]) -> Track:
    """Return the pixels from `place` in a direction, up to the structure's rim."""
    far = np.arange(sum(structure.shape))
    points = np.rint(place + far[:, None] * direction).astype(int)
    inside = np.asarray(((points >= 0) & (points < structure.shape)).all(axis=1))
    inside[inside] = structure[tuple(points[inside].T)]
    return points[: len(points) if inside.all() else int(inside.argmin())]


STYLES: Final[Mapping[str, Callable[[SliceMask, np.random.Generator], SliceMask]]] = {
    "paper": draw_skeleton,
    "open": draw_open,
    "random": draw_wandering,
    "centre": draw_through_centre,
}
