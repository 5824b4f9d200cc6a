"""Wrong strokes as people draw them: parts of a stroke that slip over the border of its structure.

In strokes that people drew on new images, 98 % of the wrong pixels lie in runs of three pixels or more. Half of them
lie in runs longer than 14 pixels, and less than 3 pixels beyond the border (``benchmarks/wrong_strokes.py``).
"""

from typing import Final

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int, UInt8

from maskmixadv.corpus.case import structures
from maskmixadv.strokes.draw import SliceMask
from maskmixadv.types import IGNORE

LENGTH: Final = 8.0
"""Mean length in pixels of a run along its stroke; lengths are distributed exponentially."""
BEYOND: Final = 2.0
"""Mean distance in pixels that a run's first pixel goes beyond the border, besides the one pixel that crosses it."""
_ROUND: Final = np.ones((3, 3), bool)

Labels = UInt8[np.ndarray, "d h w"]


def slip(drawn: Labels, masks: Labels, *, rate: float, whole: bool, rng: np.random.Generator) -> Labels:
    """Move runs of strokes over the border of their structure, so that their pixels have a wrong class there.

    Each structure has runs until its wrong pixels reach the rate. The last run is moved or left with such odds that
    the rate is right on average. Runs begin rather where the stroke is near the border: the odds fall with the square
    of the distance. The background's strokes stay, and no run moves onto other strokes.

    Parameters
    ----------
    drawn
        Class indices of strokes, ``IGNORE`` where nothing is drawn.
    masks
        Class indices of the dense mask, ``IGNORE`` where nothing is known.
    rate
        Fraction of each structure's stroke pixels that get a wrong class.
    whole
        Move whole connected strokes, as for points; otherwise parts of them.
    rng
        Source of random numbers.

    Examples
    --------
    >>> masks, drawn = np.zeros((1, 32, 64), np.uint8), np.full((1, 32, 64), IGNORE, np.uint8)
    >>> masks[0, 8:16], drawn[0, 12:14] = 1, 1
    >>> wrong = slip(drawn, masks, rate=0.25, whole=False, rng=np.random.default_rng(3))
    >>> round(float((masks[wrong == 1] != 1).mean()), 2)
    0.2
    """
    slipped = drawn.copy()
    for label in np.unique(drawn[structures(drawn)]).tolist():
        _slip_class(slipped, masks, label, rate=rate, whole=whole, rng=rng)
    return slipped


def _slip_class(
    slipped: Labels, masks: Labels, label: int, *, rate: float, whole: bool, rng: np.random.Generator
) -> None:
    """Move runs of one class's strokes in place."""
    inside = (masks == label) | (masks == IGNORE)
    distances, nearest = _borders(inside)
    left = (slipped == label) & (distances > 0)
    budget = rate * float((slipped == label).sum())
    while budget > 0 and left.any():
        places = np.argwhere(left)
        odds = distances[left] ** -2
        k, *start = places[rng.choice(len(places), p=odds / odds.sum())].tolist()
        reach, beyond = rng.exponential(LENGTH / 2), rng.exponential(BEYOND)
        run = _run(left[k], (start[0], start[1]), None if whole else round(reach))
        left[k] &= ~run
        way = nearest[k][:, start[0], start[1]] - start
        shift = np.rint(way * (1 + beyond / np.hypot(*way))).astype(int)
        moved = _moved(run, shift) & ((slipped[k] == IGNORE) | run)
        wrong = int((moved & ~inside[k]).sum())
        # The run that would exceed the budget is moved with the odds that make the rate right on average.
        if wrong and (wrong <= budget or rng.random() < budget / wrong):
            slipped[k][run] = IGNORE
            slipped[k][moved] = label
            left[k] &= ~moved
        budget -= wrong


def _borders(inside: Bool[np.ndarray, "d h w"]) -> tuple[Float[np.ndarray, "d h w"], Int[np.ndarray, "d 2 h w"]]:
    """Find each pixel's nearest pixel outside its slice's structure: the distance, and its row and column.

    The distance is 0 in slices that have no outside.
    """
    distances, nearest = np.zeros(inside.shape), np.zeros((len(inside), 2, *inside.shape[1:]), np.int64)
    for k, plane in enumerate(inside):
        if plane.any() and not plane.all():
            distances[k], nearest[k] = scipy.ndimage.distance_transform_edt(plane, return_indices=True)
    return distances, nearest


def _run(stroke: SliceMask, start: tuple[int, int], reach: int | None) -> SliceMask:
    """Return the part of a stroke within `reach` steps from `start` along it; None: the whole connected stroke."""
    run = np.zeros_like(stroke)
    run[start] = True
    if reach == 0:
        return run
    return np.asarray(scipy.ndimage.binary_dilation(run, _ROUND, iterations=reach or -1, mask=stroke))


def _moved(run: SliceMask, shift: Int[np.ndarray, "2"]) -> SliceMask:
    """Move a mask by rows and columns; what leaves the slice is cut off."""
    places = np.argwhere(run) + shift
    places = places[((places >= 0) & (places < run.shape)).all(axis=1)]
    moved = np.zeros_like(run)
    moved[tuple(places.T)] = True
    return moved
