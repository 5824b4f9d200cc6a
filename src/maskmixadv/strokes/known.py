"""What is known of a case's pixels: its mask where the mask is learnt from, its strokes elsewhere. No torch here."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from maskmixadv.corpus.case import Case, whole_slices
from maskmixadv.corpus.masks import Taught
from maskmixadv.errors import InputError
from maskmixadv.strokes.enclosure import ENCLOSED, enclose
from maskmixadv.types import IGNORE


class Known(NamedTuple):
    """What is known of the pixels of a case.

    Attributes
    ----------
    labels
        What is learnt: class indices, ``ENCLOSED`` where enclosure says background, ``IGNORE`` where nothing is known.
    drawn
        The same without enclosure.
    seeds
        Where the walks of beliefs begin: as `labels`, but a dense slice with strokes of at least two classes has these
        strokes alone.
    whole
        Whether each slice is dense: every pixel is labelled, by a mask or by strokes.
    contradicted
        Number of pixels in which the mask contradicts the strokes.

    Examples
    --------
    >>> image = np.zeros((1, 2, 1, 3))
    >>> scribble, dense = np.full((2, 2, 1, 3), IGNORE, np.uint8)
    >>> scribble[:, 0, 0], dense[1] = 0, 1
    >>> found = known(Case("a", "a", image, scribble, dense), {"a": None}, enclosure=False)
    >>> found.labels[:, 0].tolist(), found.whole.tolist(), found.contradicted
    ([[0, 255, 255], [1, 1, 1]], [False, True], 1)
    >>> found.walked.tolist()  # one class of strokes leads no walk
    [False, False]
    """

    labels: UInt8[np.ndarray, "d h w"]
    drawn: UInt8[np.ndarray, "d h w"]
    seeds: UInt8[np.ndarray, "d h w"]
    whole: Bool[np.ndarray, "d"]
    contradicted: int = 0

    @property
    def walked(self) -> Bool[np.ndarray, "d"]:
        """Whether each slice is dense, and yet is walked from its strokes alone: walks and mask can be compared."""
        return self.whole & (self.seeds == IGNORE).any((1, 2))


def known(case: Case, taught: Taught, *, enclosure: bool) -> Known:
    """Return what is known of a case: pixel by pixel the mask, or else the strokes.

    Parameters
    ----------
    case
        The case.
    taught
        The masks that are learnt from.
    enclosure
        Whether pixels beyond the hull of a background stroke are background (`maskmixadv.strokes.enclosure`).

    Raises
    ------
    InputError
        If the case has neither strokes nor a mask that is learnt from.

    Examples
    --------
    >>> mask = np.array([[[0, 1]]], np.uint8)
    >>> known(Case("a", "a", np.zeros((1, 1, 1, 2)), dense=mask), {"a": None}, enclosure=True).whole
    array([ True])
    """
    mask = mask_of(case, taught)
    if case.scribble is None and mask is None:
        raise InputError(f"{case.name}: has no scribble annotation")
    scribble = np.full(case.shape, IGNORE, np.uint8) if case.scribble is None else case.scribble
    strokes = enclose(scribble) if enclosure else scribble
    if mask is None:
        return Known(strokes, scribble, strokes, whole_slices(scribble))
    labels, drawn = (np.where(mask != IGNORE, mask, each) for each in (strokes, scribble))
    whole = whole_slices(drawn)
    apart = (mask != IGNORE) & (scribble != IGNORE) & (mask != scribble)
    return Known(labels, drawn, _seeds(labels, strokes, whole), whole, int(apart.sum()))


def mask_of(case: Case, taught: Taught) -> UInt8[np.ndarray, "d h w"] | None:
    """Return that part of a case's mask that is learnt from, ``IGNORE`` elsewhere; None if there is none.

    Examples
    --------
    >>> case = Case("a", "a", np.zeros((1, 2, 1, 1)), dense=np.ones((2, 1, 1), np.uint8))
    >>> mask_of(case, {"a": (1,)}).flatten().tolist(), mask_of(case, {})
    ([255, 1], None)
    """
    if case.dense is None or case.name not in taught:
        return None
    slices = taught[case.name]
    if slices is None:
        return case.dense
    part = np.full_like(case.dense, IGNORE)
    part[list(slices)] = case.dense[list(slices)]
    return part


def _seeds(
    labels: UInt8[np.ndarray, "d h w"], strokes: UInt8[np.ndarray, "d h w"], whole: Bool[np.ndarray, "d"]
) -> UInt8[np.ndarray, "d h w"]:
    seeds = labels.copy()
    for k in np.flatnonzero(whole):
        classes = np.unique(strokes[k])
        if np.count_nonzero(classes < ENCLOSED) > 1:
            seeds[k] = strokes[k]
    return seeds
