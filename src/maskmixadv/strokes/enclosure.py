"""Enclosure: annotators draw the background stroke round the organ, so beyond its hull all is background."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import scipy
import skimage
from jaxtyping import Bool, UInt8

from maskmixadv.types import IGNORE

ENCLOSED: Final = 254
"""Label of a pixel that enclosure, not a stroke, says is background."""

BRIDGED: Final = 2
"""Pixels by which a stroke is thickened before it is asked whether it is closed: people leave small gaps."""
INSIDE: Final = 0.2
"""Part of its hull that a closed stroke has inside; the rest is the stroke, and corners between hull and stroke."""


def outside(scribble: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"] | None:
    """Pixels beyond the convex hull of a slice's background stroke.

    Returns
    -------
    None where that says nothing: no background stroke with an area inside, or a structure's stroke beyond it.
    """
    inside = hull(scribble == 0)
    if inside is None:
        return None
    beyond = ~inside
    drawn_beyond = beyond & (scribble != 0) & (scribble != IGNORE)
    return None if drawn_beyond.any() else beyond


def enclose(scribble: UInt8[np.ndarray, "d h w"]) -> UInt8[np.ndarray, "d h w"]:
    """Label with ``ENCLOSED`` what lies beyond the hull of each slice's background stroke, where that holds."""
    labels = scribble.copy()
    for drawn, filled in zip(scribble, labels, strict=True):
        beyond = outside(drawn)
        if beyond is not None:
            filled[beyond & (drawn == IGNORE)] = ENCLOSED
    return labels


def drawn_round(scribbles: Iterable[UInt8[np.ndarray, "d h w"]]) -> bool:
    """Whether enclosure holds in these scribbles: wherever `outside` says something, the stroke is a closed loop."""
    says = [is_closed(drawn) for scribble in scribbles for drawn in scribble if outside(drawn) is not None]
    return bool(says) and all(says)


def is_closed(scribble: UInt8[np.ndarray, "h w"]) -> bool:
    """Whether a slice's background stroke is a loop, but for small gaps, with all structures' strokes inside."""
    around = hull(scribble == 0)
    if around is None:
        return False
    stroke = np.asarray(scipy.ndimage.binary_dilation(np.pad(scribble == 0, BRIDGED), iterations=BRIDGED), bool)
    within = np.asarray(scipy.ndimage.binary_fill_holes(stroke), bool)[BRIDGED:-BRIDGED, BRIDGED:-BRIDGED]
    stroke = stroke[BRIDGED:-BRIDGED, BRIDGED:-BRIDGED]
    structures = (scribble != 0) & (scribble != IGNORE)
    return bool((within & ~stroke).sum() >= INSIDE * around.sum() and not (structures & ~within).any())


def foreground(dense: UInt8[np.ndarray, "h w"], beyond: Bool[np.ndarray, "h w"]) -> int:
    """Count the pixels of structures `beyond` a hull."""
    return int(((dense != 0) & (dense != IGNORE) & beyond).sum())


def hull(stroke: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"] | None:
    """Pixels on and within the convex hull of a stroke; None where it has no area."""
    points = np.argwhere(stroke)
    if len(points) < 3:
        return None
    try:
        corners = points[scipy.spatial.ConvexHull(points).vertices]
    except scipy.spatial.QhullError:  # all points on one line
        return None
    inside = stroke.copy()
    inside[skimage.draw.polygon(corners[:, 0], corners[:, 1], stroke.shape)] = True
    return inside
