"""The instant answer: the labels that a slice's strokes say by themselves, in a fraction of a second.

They are what trainings by `walk-teacher` begin with (`maskmixadv.strokes.walker.believe_slice`), on a grid that is
coarse enough for the time, and with a network's probabilities where there is one. In large slices probabilities are
interpolated a few rows at a time (`maskmixadv.strokes.bands`), and are not rounded to steps of 1/255. There the time
that this saves is spent on a finer grid: on slides of 4000 × 4000 pixels with 64 cells the Dice of nuclei is .85
instead of .79. What is smaller than a pixel of the grid, 18 of the slide's, is still not found.
"""

import math
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, UInt8

from maskmixadv.memory import Budget, free
from maskmixadv.strokes.bands import likeliest, shrunk
from maskmixadv.strokes.corrections import Corrections
from maskmixadv.strokes.enclosure import ENCLOSED, beyond_loop
from maskmixadv.strokes.regrid import coarser
from maskmixadv.strokes.walker import Plan, believe_slice, open_box, solve_slice
from maskmixadv.types import IGNORE

LOOKS: Final = 0.5
"""Power of what pixels look like: the default of `walk-teacher`."""
CORRECTIONS: Final = Corrections(looks=LOOKS, evened=True)
"""What is done with walks, by the defaults of `walk-teacher`."""
MOST: Final = 12_000
"""Unknown pixels up to which a slice is walked on its own grid, which takes a tenth of a second; one with more is
walked on a coarser grid."""
LARGE: Final = 2**19
"""Pixels from which on a slice is large: its labels are found a few rows at a time, in a fourth of the time."""
FINE: Final = 50_000
"""As `MOST`, for large slices: their walks take half a second."""


def propose_slice(
    image: Float[np.ndarray, "*c h w"],
    scribble: UInt8[np.ndarray, "h w"],
    *,
    classes: int,
    said: Float[np.ndarray, "k h w"] | None = None,
) -> UInt8[np.ndarray, "h w"] | None:
    """Return the labels that a slice's strokes say, or None if these are not of two classes at least.

    Parameters
    ----------
    image
        Intensities in [0, 1]; several channels come first.
    scribble
        The strokes: class indices, ``IGNORE`` where nothing is drawn. Outside of a closed loop of background all is
        background.
    classes
        Number of classes, with the background.
    said
        A network's probabilities, which count as much as the walks. Classes without a stroke in the slice get none.

    Examples
    --------
    >>> image = np.zeros((4, 8))
    >>> image[:, 4:] = 1
    >>> scribble = np.full((4, 8), IGNORE, np.uint8)
    >>> scribble[1, 1], scribble[1, 6] = 0, 1
    >>> propose_slice(image, scribble, classes=2)[0]
    array([0, 0, 0, 0, 1, 1, 1, 1], dtype=uint8)
    """
    if len(drawn_classes(scribble)) < 2:
        return None
    seeds, labels = enclosed(scribble), np.zeros_like(scribble)
    box = open_box(seeds)  # beyond it all is background
    inside, told = image[(..., *box)], None if said is None else said[:, *box]
    if seeds[box].size < LARGE:
        labels[box] = _found(inside, seeds[box], classes, told)
    else:
        labels[box] = _found_in_bands(inside, seeds[box], told)
    return labels


def _found(
    image: Float[np.ndarray, "*c h w"],
    seeds: UInt8[np.ndarray, "h w"],
    classes: int,
    said: Float[np.ndarray, "k h w"] | None,
) -> UInt8[np.ndarray, "h w"]:
    """Return the labels that strokes say in a slice, or in the part of it that is not beyond a loop."""
    plan = Plan(most=MOST, budget=Budget(free() // 4))
    voices = believe_slice(image, seeds, classes=classes, plan=plan, corrections=CORRECTIONS).astype(np.float32)
    reached = np.flatnonzero(voices.any((1, 2)))
    voices /= voices.sum(0).clip(1)
    if said is not None:
        for code in reached:
            np.add(voices[code], said[code], out=voices[code], where=seeds == IGNORE)
    return voices.argmax(0).astype(np.uint8)


def _found_in_bands(
    image: Float[np.ndarray, "*c h w"],
    seeds: UInt8[np.ndarray, "h w"],
    said: Float[np.ndarray, "k h w"] | None,
) -> UInt8[np.ndarray, "h w"]:
    """As `_found`, where pixels are so many that what is done with each of them takes most of the time."""
    plan = Plan(most=FINE, budget=Budget(free() // 4))
    # Where nearly all is drawn, too: the graph of a walk has all pixels.
    factor = max(plan.factor(seeds), math.ceil(math.sqrt(seeds.size / LARGE)))
    small, drawn = shrunk(image, factor), coarser(seeds, factor)
    walked = solve_slice(small, drawn, plan=replace(plan, most=drawn.size), corrections=CORRECTIONS)
    if walked is None:  # the image is constant, of which nothing is said; or all is drawn on the coarser grid
        told = not (drawn == IGNORE).any()
        drawn[drawn == ENCLOSED] = 0
        names = drawn_classes(drawn)
        walked = names, np.float32(told) * (drawn == names[:, None, None])
    names, probs = walked
    labels = names[likeliest(probs, seeds.shape, factor, None if said is None else [said[name] for name in names])]
    np.copyto(labels, seeds, where=seeds < ENCLOSED)
    labels[seeds == ENCLOSED] = 0
    return labels


def enclosed(scribble: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Return strokes with ``ENCLOSED`` beyond their background's loop; as they are if it is no closed loop.

    Examples
    --------
    >>> scribble = np.full((24, 24), IGNORE, np.uint8)
    >>> scribble[2, 2:22] = scribble[21, 2:22] = scribble[2:22, 2] = scribble[2:22, 21] = 0
    >>> enclosed(scribble)[:3, :3]
    array([[254, 254, 254],
           [254, 254, 254],
           [254, 254,   0]], dtype=uint8)
    """
    box = _box(scribble == 0)
    part = scribble[box]
    structures = (scribble != 0) & (scribble != IGNORE)
    beyond = None if structures.sum() > structures[box].sum() else beyond_loop(part)
    if beyond is None:
        return scribble
    seeds = np.full_like(scribble, ENCLOSED)
    seeds[box] = np.where(beyond & (part == IGNORE), ENCLOSED, part)
    return seeds


def _box(stroke: Bool[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """Return the smallest box that holds a stroke; the whole slice if there is none."""
    rows, columns = (np.flatnonzero(stroke.any(axis)) for axis in (1, 0))
    if not len(rows):
        return slice(None), slice(None)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def drawn_classes(scribble: UInt8[np.ndarray, "*d h w"]) -> UInt8[np.ndarray, "k"]:
    """Return the classes that have strokes.

    Examples
    --------
    >>> drawn_classes(np.array([[0, IGNORE, 2, 2]], np.uint8))
    array([0, 2], dtype=uint8)
    """
    found = np.unique(scribble)
    return found[found != IGNORE]
