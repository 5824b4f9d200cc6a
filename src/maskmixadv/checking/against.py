"""Notes on cases that are unlike all others of their corpus: classes exchanged, mirrored, or of another scale."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import listed
from maskmixadv.types import IGNORE

FEWEST: Final = 6
"""Cases from which on one can be unlike all others."""
CLEAR: Final = 1.0
"""How far apart two classes are in a case at least, in their own standard deviations, to be unlike those of others."""
USUAL: Final = 2.0
"""How far apart they are in half of the other cases at least."""
SCALE: Final = 5.0
"""How many times larger or smaller than the median pixels are that are told."""
_WORDS: Final = (
    ("darker than", "brighter than", "are the classes exchanged?"),
    ("above", "below", "is the image upside down, or are the classes exchanged?"),
    ("left of", "right of", "is the image mirrored, or are the classes exchanged?"),
)
"""How one class's strokes are to another's by intensity, row and column: less, more, and what is asked."""


class Sides(NamedTuple):
    """What a case's strokes say of each class; NaN where a class has none.

    Attributes
    ----------
    means, spreads
        Of the class's strokes, by class: intensity, row and column; mean and standard deviation.

    Examples
    --------
    >>> sides = Sides(np.array([[0.2, 5, 5], [0.8, 3, 5]]), np.array([[0.1, 2, 2], [0.1, 1, 1]]))
    >>> sides.means[1] > sides.means[0]  # the second class is brighter, and above the first
    array([ True, False, False])
    """

    means: Float[np.ndarray, "k 3"]
    spreads: Float[np.ndarray, "k 3"]


def sides(case: Case, classes: int) -> Sides | None:
    """Return what a case's strokes say of each of `classes`; None without strokes.

    Examples
    --------
    >>> scribble = np.full((1, 4, 4), IGNORE, np.uint8)
    >>> scribble[0, 1, :2] = 1
    >>> found = sides(Case("a", "a", np.ones((1, 1, 4, 4)), scribble), 2)
    >>> found.means[1].tolist(), found.spreads[1].tolist()
    ([1.0, 1.0, 0.5], [0.0, 0.0, 0.5])
    """
    if case.scribble is None:
        return None
    where = np.nonzero(case.scribble != IGNORE)
    labels, shown = case.scribble[where].astype(int), case.shown[where].astype(float)
    count = np.bincount(labels, minlength=classes)[:classes, None]
    values = np.stack((shown, where[1], where[2]), 1).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = _sums(labels, values, classes) / count
        spreads = np.sqrt(_sums(labels, (values - means[labels]) ** 2, classes) / count)
    return Sides(means, spreads)


def _sums(labels: np.ndarray, values: np.ndarray, classes: int) -> np.ndarray:
    return np.stack([np.bincount(labels, each, minlength=classes)[:classes] for each in values.T], 1)


def notes(found: Mapping[str, Sides], classes: Sequence[str]) -> Iterator[str]:
    """Yield a note on each case in which two classes lie the other way round than in all others.

    Two classes are compared where all other cases, five at least, tell them apart in the same way: by their
    intensities, or by which of them is further down or to the right.

    Parameters
    ----------
    found
        What strokes say (`sides`), by the case's name.
    classes
        Names of the classes.

    Examples
    --------
    >>> bright = Sides(np.array([[0.1, 9, 9], [0.8, 9, 9]]), np.full((2, 3), 0.05))
    >>> found = {**{f"p{n}": bright for n in range(5)}, "p5": Sides(bright.means[::-1], bright.spreads)}
    >>> list(notes(found, ["a", "b"]))
    ['p5: strokes of a are brighter than those of b, in all other cases darker; are the classes exchanged?']
    """
    names = list(found)
    if len(names) < FEWEST:
        return
    told: dict[int, tuple[bool, float, str]] = {}
    means, spreads = (np.array([getattr(each, part) for each in found.values()]) for part in Sides._fields)
    for one, other in combinations(range(len(classes)), 2):
        apart = (means[:, one] - means[:, other]) / (np.hypot(spreads[:, one], spreads[:, other]) + 1e-6)
        for kind, values in enumerate(apart.T):
            odd = _odd(values)
            if odd is not None:
                line = _line(kind, bool(values[odd] > 0), classes[one], classes[other])
                # The plainest pair is told; looks before places, as an image that is mirrored keeps its looks.
                told[odd] = max((kind == 0, abs(float(values[odd])), line), told.get(odd, (False, 0.0, "")))
    for odd in sorted(told):
        yield f"{names[odd]}: {told[odd][-1]}"


def _line(kind: int, more: bool, one: str, other: str) -> str:
    here, there = _WORDS[kind][1::-1] if more else _WORDS[kind][:2]
    usual = there.removesuffix(" than").removesuffix(" of")
    return f"strokes of {one} are {here} those of {other}, in all other cases {usual}; {_WORDS[kind][-1]}"


def _odd(values: Float[np.ndarray, "n"]) -> int | None:
    """Return the place of the one value that is clearly on the other side of 0 than all others; None without one."""
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < FEWEST:
        return None
    above = known[values[known] > 0]
    below = known[values[known] <= 0]
    few = min(above, below, key=len)
    others = np.setdiff1d(known, few)
    clear = len(few) == 1 and abs(values[few[0]]) >= CLEAR and np.median(np.abs(values[others])) >= USUAL
    return int(few[0]) if clear else None


def of_scale(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a note on the cases whose pixels are `SCALE` times larger or smaller than the median of all cases.

    Examples
    --------
    >>> cases = [Entry(f"p{n}", f"p{n}", (1, 8, 8), (8.0, 1.5, 1.5), True, False, "0") for n in range(5)]
    >>> list(of_scale([*cases, Entry("p5", "p5", (1, 8, 8), (8.0, 15.0, 15.0), True, False, "0")]))
    ['p5: pixels of 15 × 15 mm, the median of all cases is 1.5 mm; correct the spacing if it is wrong']
    """
    sides = {entry: np.sqrt(entry.spacing[1] * entry.spacing[2]) for entry in entries if entry.spacing is not None}
    if len(sides) < FEWEST:
        return
    usual = float(np.median(list(sides.values())))
    odd = [entry for entry, side in sides.items() if not 1 / SCALE < side / usual < SCALE]
    if odd and odd[0].spacing is not None:
        _, h, w = odd[0].spacing
        yield (
            f"{listed([entry.name for entry in odd])}: pixels of {h:g} × {w:g} mm, the median of all cases is "
            f"{usual:.3g} mm; correct the spacing if it is wrong"
        )
