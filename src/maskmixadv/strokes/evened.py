"""How much larger strokes draw walks to themselves than smaller ones do, whatever the image shows.

A random walk finds a stroke the sooner, the larger it is: from a pixel half way between a ring and a dot in its middle
it nearly always reaches the ring first. So where edges are weak a small stroke's structure gets too little. In an image
without edges nothing but distance should count: each pixel should go to the structure whose stroke is nearest. The odds
here are those with which the structures of a slice would then share its pixels as nearest strokes do (discrete Voronoi
regions). They share among structures alone what is no background: where people draw the background says little of how
far a structure reaches.
"""

import math
from typing import Final

import numpy as np
import scipy
import skimage
from jaxtyping import Float, Int, UInt8

from maskmixadv.strokes.regrid import coarser
from maskmixadv.types import IGNORE

MOST: Final = 6_000
"""Unknown pixels up to which a slice is walked on its own grid; on coarser ones odds differ by some hundredths."""
ROUNDS: Final = 30
"""How often the odds are moved."""
STEP: Final = 0.5
"""Power of the ratio of wanted to found pixels by which they are moved."""
LARGEST: Final = 50.0
"""Odds stay between this and its inverse."""
SETTINGS: Final = (MOST, ROUNDS, STEP, LARGEST)
"""All constants that change what is returned; kept beliefs are told apart by them."""


def even(
    walks: Float[np.ndarray, "k h w"], seeds: UInt8[np.ndarray, "h w"], classes: UInt8[np.ndarray, "k"]
) -> Float[np.ndarray, "k h w"]:
    """Return what walks say, with the probability of all structures together shared among them by `evening_odds`.

    Parameters
    ----------
    walks
        Probabilities of the classes.
    seeds, classes
        As for `evening_odds`.

    Examples
    --------
    >>> seeds = np.full((41, 41), IGNORE, np.uint8)
    >>> seeds[[0, -1]] = seeds[:, [0, -1]] = 1
    >>> seeds[20, 20] = 2
    >>> walks = np.full((2, 41, 41), 0.5)
    >>> even(walks, seeds, np.array([1, 2], np.uint8))[:, 10, 10].round(1)
    array([0.2, 0.8])
    """
    structures = _structures(classes)
    shared = walks[structures] * evening_odds(seeds, classes)[structures, None, None]
    found = walks.copy()
    found[structures] = shared * (walks[structures].sum(0) / shared.sum(0).clip(1e-12))
    return found


def evening_odds(seeds: UInt8[np.ndarray, "h w"], classes: UInt8[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
    """Return the odds among structures that make up for the sizes of strokes.

    A pixel that is as near to strokes of several classes is taken for the first one's. So another order of the classes
    gives slightly other odds: on ACDC 5 % in the mean, which change the likeliest class of one pixel in a thousand.

    Parameters
    ----------
    seeds
        Strokes as class indices, ``IGNORE`` where nothing is known.
    classes
        The classes that have strokes, in order.

    Returns
    -------
    A number for each class: structures' geometric mean is 1, the background's number is 1. All are 1 if fewer than two
    structures have strokes.

    Examples
    --------
    >>> seeds = np.full((41, 41), IGNORE, np.uint8)
    >>> seeds[[0, -1]] = seeds[:, [0, -1]] = 1  # a frame, and a dot in it
    >>> seeds[20, 20] = 2
    >>> evening_odds(seeds, np.array([1, 2], np.uint8)).round(1)
    array([0.4, 2.3])
    """
    odds = np.ones(len(classes))
    structures = _structures(classes)
    factor = max(1, math.ceil(math.sqrt(np.count_nonzero(seeds == IGNORE) / MOST)))
    drawn = coarser(seeds, factor) if factor > 1 else seeds
    unknown = drawn == IGNORE
    # On a coarser grid there may be no room for each stroke, nor for anything else.
    if len(odds[structures]) < 2 or not unknown.any() or not np.isin(classes, drawn).all():
        return odds
    near = np.stack([scipy.ndimage.distance_transform_edt(drawn != label)[unknown] for label in classes.tolist()])
    wanted = _shares(near.argmin(0), len(classes))[structures]
    walked = _walked_blindly(np.where(unknown, 0, np.searchsorted(classes, drawn) + 1))[:, unknown]
    for _ in range(ROUNDS):
        found = _shares((walked * odds[:, None]).argmax(0), len(classes))[structures]
        moved = odds[structures] * ((wanted / wanted.sum()) / (found / found.sum())) ** STEP
        odds[structures] = (moved / np.exp(np.log(moved).mean())).clip(1 / LARGEST, LARGEST)
    return odds


def _structures(classes: UInt8[np.ndarray, "k"]) -> slice:
    """Return the places of all classes but the background."""
    return slice(1, None) if classes[0] == 0 else slice(None)


def _shares(labels: Int[np.ndarray, "n"], count: int) -> Float[np.ndarray, "k"]:
    """Return how many pixels have each label, and one more."""
    return np.bincount(labels, minlength=count) + 1.0


def _walked_blindly(markers: Int[np.ndarray, "h w"]) -> Float[np.ndarray, "k h w"]:
    """Return the probabilities of walks for which every step is as easy."""
    ramp = np.arange(markers.size, dtype=float).reshape(markers.shape)  # a constant image would be refused
    return skimage.segmentation.random_walker(ramp, markers, beta=0.0, mode="bf", return_full_prob=True)
