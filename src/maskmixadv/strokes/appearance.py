"""How much each pixel of a slice looks like the strokes of each class, by intensity and colour alone.

Random walks know edges, and how far strokes are. Where a structure has its own intensity or colour, its strokes say
more: a pixel that looks like them, and unlike the others', is rather of their class (appearance models of strokes:
Rother et al., GrabCut, ACM TOG 2004; priors of random walks: Grady, CVPR 2005). Densities are Parzen's (Ann. Math.
Statist. 1962).

The background's strokes never show all that is background. So a tenth of its density is that of all unknown pixels.
"""

from typing import Final

import numpy as np
import scipy
from jaxtyping import Bool, Float, Float32, UInt8

from maskmixadv.strokes.enclosure import ENCLOSED
from maskmixadv.types import IGNORE

SMOOTHED: Final = (0.5, 2.0)
"""Standard deviations, in pixels, of the filters through which intensities are compared."""
WIDTH: Final = 0.5
"""Width of a kernel, as a part of the standard deviation of intensities within the structures' strokes."""
FLAT: Final = 0.01
"""What is added to that deviation, in parts of the range of intensities."""
FEW: Final = 5
"""Pixels of structures' strokes up to which their deviation says less than that of all strokes, as with points."""
SHARED: Final = 0.6
"""Part of the deviation of all strokes that is taken for that within a structure where there are few pixels."""
MOST: Final = 200
"""Pixels of a class's strokes that are compared, evenly spread over them."""
ANYTHING: Final = 0.1
"""Part of the background's density that is the density of all unknown pixels."""
LEAST: Final = 1e-3
"""Part of the density of all unknown pixels that each class has at least."""
SETTINGS: Final = (SMOOTHED, WIDTH, FLAT, FEW, SHARED, MOST, ANYTHING, LEAST)
"""All constants that change what is returned; kept beliefs are told apart by them."""
_AT_ONCE: Final = 50_000
"""Pixels that are multiplied at once."""
_NEAR: Final = 500
"""Pixels of these whose distances are made densities at once: so few that they stay in a processor's cache."""


def appearance(
    image: Float[np.ndarray, "*c h w"], seeds: UInt8[np.ndarray, "h w"], classes: UInt8[np.ndarray, "k"]
) -> Float32[np.ndarray, "k h w"]:
    """Return the probability of each class in each unknown pixel by what it looks like; 1 in all others.

    Parameters
    ----------
    image
        Intensities; several channels come first.
    seeds
        Strokes, ``ENCLOSED`` being background, and ``IGNORE`` unknown.
    classes
        The classes that have strokes, at least two.

    Examples
    --------
    >>> image = np.zeros((8, 16))
    >>> image[:, 8:] = 1
    >>> seeds = np.full((8, 16), IGNORE, np.uint8)
    >>> seeds[2, :4], seeds[5, 12:] = 1, 2
    >>> appearance(image, seeds, np.array([1, 2], np.uint8))[:, 0, [0, 15]].round(2)
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    seen = _seen(image if image.ndim == 3 else image[None])
    drawn, unknown = np.where(seeds == ENCLOSED, np.uint8(0), seeds), seeds == IGNORE
    seen /= WIDTH * np.sqrt(seen.shape[-1]) * _deviation(seen, drawn, classes)
    anything = _density(seen, unknown, unknown)
    densities = np.stack([_density(seen, drawn == label, unknown) for label in classes.tolist()])
    densities[classes == 0] = (1 - ANYTHING) * densities[classes == 0] + ANYTHING * anything
    densities += LEAST * anything + np.float32(1e-12)
    found = np.ones((len(classes), *seeds.shape), np.float32)
    found[:, unknown] = densities / densities.sum(0)
    return found


def _seen(image: Float[np.ndarray, "c h w"]) -> Float32[np.ndarray, "h w f"]:
    """Return the features of each pixel: its channels, smoothed."""
    smoothed = [scipy.ndimage.gaussian_filter(channel, sigma) for channel in image for sigma in SMOOTHED]
    return np.stack(smoothed, -1).astype(np.float32)


def _deviation(
    seen: Float32[np.ndarray, "h w f"], drawn: UInt8[np.ndarray, "h w"], classes: UInt8[np.ndarray, "k"]
) -> Float32[np.ndarray, "f"]:
    """Return the standard deviation of each feature within the structures' strokes.

    The background is of many kinds, so that its own says nothing of how well structures can be told apart.
    """
    structures = [seen[drawn == label] for label in classes.tolist() if label]
    count = sum(map(len, structures))
    within = np.mean([values.std(0) for values in structures], 0)
    everywhere = SHARED * seen[drawn != IGNORE].std(0)
    found = (count * within + FEW * everywhere) / (count + FEW) + np.float32(FLAT)
    # Along a stroke what is smoothed more hardly changes, elsewhere in the structure it does.
    return np.repeat(found.reshape(-1, len(SMOOTHED)).max(1), len(SMOOTHED))


def _density(
    seen: Float32[np.ndarray, "h w f"], samples: Bool[np.ndarray, "h w"], asked: Bool[np.ndarray, "h w"]
) -> Float32[np.ndarray, "n"]:
    """Return the density of the pixels `samples` at the pixels `asked`, but for a factor that all share."""
    values, points = seen[samples], seen[asked]
    if len(values) > MOST:
        values = values[np.linspace(0, len(values) - 1, MOST).astype(np.intp)]
    found, own = np.empty(len(points), np.float32), (values**2).sum(1)
    for begin in range(0, len(points), _AT_ONCE):
        part = points[begin : begin + _AT_ONCE]
        squares, products = (part**2).sum(1)[:, None], 2 * part @ values.T
        for first in range(0, len(part), _NEAR):
            rows = slice(first, first + _NEAR)
            away = squares[rows] + own
            away -= products[rows]
            np.maximum(away, 0, out=away)
            away /= -2
            found[begin : begin + _AT_ONCE][rows] = np.exp(away, out=away).mean(1)
    return found
