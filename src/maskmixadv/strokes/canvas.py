"""The side of a run's canvas: the preset's, or a finer one where the structures would be a few pixels on it.

A canvas shows the whole field of view. In an image of the neck, the spinal cord is then ten pixels wide, and its grey
matter two, which no network learns. Windows are cut from a finer canvas instead. Nothing here imports torch.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, cast

import numpy as np
from jaxtyping import Bool, UInt8

from maskmixadv.corpus.case import structures
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.files import work_ahead
from maskmixadv.strokes.regrid import MOST_SIDE, millimetres, resized_case
from maskmixadv.types import IGNORE, STRIDE

SMALL: Final = 20
"""Pixels of the canvas that the structures of a slice span together, below which it is made finer."""
WANTED: Final = 32
"""Pixels that they span then, unless the images' own pixels are coarser."""
_CASES: Final = 16
"""Cases that are looked at, at most."""
_FOUND: Final[dict[tuple[int, str, tuple[Entry, ...]], "Canvas"]] = {}
"""Canvases by size, corpus and cases, whose records hash content: a table of runs asks the same for each cell."""


class Canvas(NamedTuple):
    """A canvas, and what it was chosen by.

    Attributes
    ----------
    size
        Side in pixels.
    span
        Pixels that the structures of the median slice spanned on the canvas of the preset; NaN if none is annotated.

    Examples
    --------
    >>> Canvas(320, 9.75).size
    320
    """

    size: int
    span: float


def fitted(size: int, corpus: Corpus, entries: Sequence[Entry]) -> Canvas:
    """Return a canvas of at least `size` pixels on which the structures of `entries` can be made out.

    The structures' extent is that of all strokes but the background's on a slice, or half of that of all strokes if
    this is more; where a case has no strokes, that of its mask's structures. The median slice counts.

    Parameters
    ----------
    size
        Side in pixels of the preset's canvas, which the median field of view of annotated cases fills.
    corpus, entries
        The corpus, and its training cases. Those without strokes and mask do not count.

    Returns
    -------
    The canvas of `size` pixels where the structures span at least `SMALL` of them or nothing is annotated. Otherwise
    one on which they span `WANTED`; its pixels are not finer than those of the median image.

    Raises
    ------
    InputError
        If a case's file is missing or damaged.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> fitted(144, corpus, corpus.entries)
    Canvas(size=144, span=...)
    """
    key = (size, str(corpus.root), tuple(entries))
    if key not in _FOUND:
        _FOUND[key] = _fitted(size, corpus, entries)
    return _FOUND[key]


def _fitted(size: int, corpus: Corpus, entries: Sequence[Entry]) -> Canvas:
    annotated = [entry for entry in entries if entry.scribble or entry.dense]
    if not annotated:
        return Canvas(size, float("nan"))
    mm, chosen = millimetres(size, annotated), _some(annotated)
    spans, scales = list[float](), list[float]()
    for entry, labels in zip(chosen, _drawn(corpus, chosen), strict=True):
        small = resized_case(entry, size=size, mm=mm)
        scale = (small[0] / entry.shape[1], small[1] / entry.shape[2])
        scales.append(max(scale))
        spans += _spans(labels, scale, strokes=entry.scribble)
    span = float(np.median(spans)) if spans else float("nan")
    if not span < SMALL:
        return Canvas(size, span)
    finest = size / float(np.median(scales))
    finer = min(size * WANTED / span, finest, MOST_SIDE)
    return Canvas(max(size, STRIDE * round(finer / STRIDE)), span)


def _some(entries: Sequence[Entry]) -> list[Entry]:
    """Return some entries, evenly spread."""
    count = min(len(entries), _CASES)
    return [entries[k * len(entries) // count] for k in range(count)]


def _drawn(corpus: Corpus, entries: Sequence[Entry]) -> Iterator[UInt8[np.ndarray, "d h w"]]:
    threads = os.cpu_count() or 1
    read = cast("Callable[[Entry], UInt8[np.ndarray, 'd h w']]", corpus.drawn)
    return work_ahead(read, entries, threads=threads, size=lambda entry: entry.bytes)


def _spans(labels: UInt8[np.ndarray, "d h w"], scale: tuple[float, float], *, strokes: bool) -> Iterator[float]:
    """Yield how many pixels of the canvas the structures of each slice that shows some span."""
    for drawn in labels:
        if (shown := structures(drawn)).any():
            ring = _extent(drawn != IGNORE, scale) if strokes else 0.0
            yield max(_extent(shown, scale), ring / 2)


def _extent(drawn: Bool[np.ndarray, "h w"], scale: tuple[float, float]) -> float:
    """Return the longer side, in pixels of the canvas, of the box round what is drawn."""
    sides = [np.flatnonzero(drawn.any(axis)) for axis in (1, 0)]
    return max(float(side[-1] - side[0] + 1) * factor for side, factor in zip(sides, scale, strict=True))
