"""Enclosure: annotators draw the background stroke round the organ, so all is background beyond its convex hull."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import scipy
from jaxtyping import Bool, Int, UInt8

from maskmixadv.corpus.case import whole_slices
from maskmixadv.types import IGNORE

ENCLOSED: Final = 254
"""Label of a pixel that is background by enclosure, not by a stroke."""

BRIDGED: Final = 2
"""Pixels by which a stroke is thickened before a test of whether it is closed, as people leave small gaps."""
INSIDE: Final = 0.2
"""Fraction of its hull's area that a closed stroke must have inside."""


def outside(scribble: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"] | None:
    """Return the pixels beyond the convex hull of a slice's background stroke.

    Parameters
    ----------
    scribble
        Class indices, 0 for the background's stroke, ``IGNORE`` where nothing is drawn.

    Returns
    -------
    None if they can't be taken for background: the background stroke has no area, or a structure's stroke lies beyond.

    Examples
    --------
    >>> scribble = np.full((8, 8), IGNORE, np.uint8)
    >>> scribble[1, 1:7] = scribble[6, 1:7] = scribble[1:7, 1] = scribble[1:7, 6] = 0
    >>> int(outside(scribble).sum())  # all but 6 × 6 pixels
    28
    """
    inside = hull(scribble == 0)
    if inside is None:
        return None
    beyond = ~inside
    drawn_beyond = beyond & (scribble != 0) & (scribble != IGNORE)
    return None if drawn_beyond.any() else beyond


def enclose(scribble: UInt8[np.ndarray, "d h w"]) -> UInt8[np.ndarray, "d h w"]:
    """Label pixels beyond the hull of each slice's background stroke with ``ENCLOSED``, if `outside` finds any.

    Strokes stay as they are.

    Examples
    --------
    >>> scribble = np.full((1, 8, 8), IGNORE, np.uint8)
    >>> scribble[0, 1, 1:7] = scribble[0, 6, 1:7] = scribble[0, 1:7, 1] = scribble[0, 1:7, 6] = 0
    >>> enclose(scribble)[0, :3, :3]
    array([[254, 254, 254],
           [254,   0,   0],
           [254,   0, 255]], dtype=uint8)
    """
    labels = scribble.copy()
    for drawn, filled in zip(scribble, labels, strict=True):
        beyond = outside(drawn)
        if beyond is not None:
            filled[beyond & (drawn == IGNORE)] = ENCLOSED
    return labels


def drawn_round(scribbles: Iterable[UInt8[np.ndarray, "d h w"]]) -> bool:
    """Whether enclosure holds in these scribbles: in each slice in which `outside` finds pixels, the stroke is a loop.

    Dense slices, of which every pixel is labelled, do not tell how people draw strokes, and do not count.

    Examples
    --------
    >>> scribble = np.full((1, 24, 24), IGNORE, np.uint8)
    >>> scribble[0, 2, 2:22] = scribble[0, 21, 2:22] = scribble[0, 2:22, 2] = scribble[0, 2:22, 21] = 0
    >>> drawn_round([scribble])
    True
    >>> scribble[..., 12:] = IGNORE  # half of the loop
    >>> drawn_round([scribble])
    False
    """
    sparse = (drawn for scribble in scribbles for drawn in scribble[~whole_slices(scribble)])
    says = [is_closed(drawn) for drawn in sparse if outside(drawn) is not None]
    return bool(says) and all(says)


def is_closed(scribble: UInt8[np.ndarray, "h w"]) -> bool:
    """Whether a slice's background stroke is a loop (gaps of 4 pixels don't count) with all structures' strokes inside.

    Examples
    --------
    >>> scribble = np.full((24, 24), IGNORE, np.uint8)
    >>> scribble[2, 2:22] = scribble[21, 2:22] = scribble[2:22, 2] = scribble[2:22, 21] = 0
    >>> scribble[10:13, 2] = IGNORE
    >>> is_closed(scribble)
    True
    """
    around = hull(scribble == 0)
    return around is not None and _closes(scribble, around)


def beyond_loop(scribble: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"] | None:
    """Return the pixels beyond the hull of a slice's background stroke; None if `is_closed` does not hold.

    Examples
    --------
    >>> scribble = np.full((24, 24), IGNORE, np.uint8)
    >>> scribble[2, 2:22] = scribble[21, 2:22] = scribble[2:22, 2] = scribble[2:22, 21] = 0
    >>> int(beyond_loop(scribble).sum())
    176
    """
    around = hull(scribble == 0)
    return None if around is None or not _closes(scribble, around) else ~around


def _closes(scribble: UInt8[np.ndarray, "h w"], around: Bool[np.ndarray, "h w"]) -> bool:
    """Whether `is_closed` holds for a background stroke with hull `around`."""
    stroke = np.asarray(scipy.ndimage.binary_dilation(np.pad(scribble == 0, BRIDGED), iterations=BRIDGED), bool)
    within = np.asarray(scipy.ndimage.binary_fill_holes(stroke), bool)[BRIDGED:-BRIDGED, BRIDGED:-BRIDGED]
    stroke = stroke[BRIDGED:-BRIDGED, BRIDGED:-BRIDGED]
    structures = (scribble != 0) & (scribble != IGNORE)
    return bool((within & ~stroke).sum() >= INSIDE * around.sum() and not (structures & ~within).any())


def foreground(dense: UInt8[np.ndarray, "h w"], beyond: Bool[np.ndarray, "h w"]) -> int:
    """Count the pixels of structures in `dense` that are `beyond` a hull.

    Examples
    --------
    >>> foreground(np.array([[0, 1, 2, IGNORE]], np.uint8), np.array([[True, True, False, True]]))
    1
    """
    return int(((dense != 0) & (dense != IGNORE) & beyond).sum())


def hull(stroke: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"] | None:
    """Return the pixels on and within the convex hull of a stroke; None if it has no area.

    Examples
    --------
    >>> hull(np.eye(3, dtype=bool)[::-1] | np.eye(3, dtype=bool)).sum().item()
    9
    >>> hull(np.eye(3, dtype=bool)) is None
    True
    """
    points = np.argwhere(stroke)
    if len(points) < 3:
        return None
    try:
        corners = points[scipy.spatial.ConvexHull(points).vertices]
    except scipy.spatial.QhullError:  # all points on one line
        return None
    return _filled(corners, stroke.shape[0], stroke.shape[1])


def _filled(corners: Int[np.ndarray, "n 2"], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Return the pixels on and within a convex polygon whose corners are given in rows and columns, counterclockwise.

    Its borders are found row by row in whole numbers, which takes a twentieth of the time of a test of each pixel.
    """
    top, bottom = corners[:, 0].min(), corners[:, 0].max()
    rows = np.arange(top, bottom + 1)
    first, last = np.zeros_like(rows), np.full_like(rows, width - 1)
    for (row, column), (next_row, next_column) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        down, right = next_row - row, next_column - column
        if down > 0:  # rounded up: pixels of the polygon lie at or right of this edge
            first = np.maximum(first, column - (-right * (rows - row)) // down)
        elif down < 0:
            last = np.minimum(last, column + (-right * (rows - row)) // -down)
    columns, inside = np.arange(width), np.zeros((height, width), bool)
    inside[top : bottom + 1] = (columns >= first[:, None]) & (columns <= last[:, None])
    return inside
