"""How wide structures are where their strokes run, and the odds of walks that follow. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import distance_transform_edt

LARGEST_ODDS = 50.0
"""Odds stay between this and its inverse."""


@dataclass
class Widths:
    """Measures how far a class reaches from its strokes, by random walks, over many slices.

    Where nothing shows an edge, a walk's border lies half way between two strokes. But people draw strokes in the
    middle of structures. So the border between a thin structure and a wide one should lie nearer to the thin one's
    stroke. If two strokes are at the distance d, a walk that starts at x has the probability 1 - x / d to reach the
    first one first. With odds in the ratio of the two half-widths, the border lies where these meet.

    Attributes
    ----------
    classes
        Number of classes k, the background among them.

    Examples
    --------
    A class whose strokes run twice as far from its border:

    >>> belief = np.zeros((2, 9, 9), np.float32)
    >>> belief[0, :, :6], belief[1, :, 6:] = 1, 1
    >>> strokes = np.full((9, 9), 255, np.uint8)
    >>> strokes[4, 2], strokes[4, 7] = 0, 1
    >>> found = Widths(2)
    >>> found.add(belief, strokes)
    >>> found.mean
    (4.0, 2.0)
    """

    classes: int
    _sum: Float[np.ndarray, "k"] = field(init=False)
    _count: Float[np.ndarray, "k"] = field(init=False)

    def __post_init__(self) -> None:
        self._sum, self._count = np.zeros(self.classes), np.zeros(self.classes)

    def add(self, belief: Float[np.ndarray, "k h w"], strokes: UInt8[np.ndarray, "h w"]) -> None:
        """Measure a slice.

        Parameters
        ----------
        belief
            Class probabilities by walks; 0 where no walk arrives, which counts as background.
        strokes
            Class indices of the strokes; anything from k on is no stroke.
        """
        likeliest = belief.argmax(0)
        for label in range(self.classes):
            drawn, inside = strokes == label, likeliest == label
            if not drawn.any() or inside.all():
                continue
            # Beyond the image lies no structure, and nobody knows where the background ends.
            padded = np.pad(inside, 1, constant_values=label == 0)
            reach = distance_transform_edt(padded)[1:-1, 1:-1][drawn]
            self._sum[label] += reach.sum()
            self._count[label] += len(reach)

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean distance in pixels from a class's strokes to its border, as walks see it; 0 for classes without any."""
        return tuple((self._sum / np.maximum(self._count, 1)).tolist())


def odds(widths: Sequence[float], power: float) -> tuple[float, ...]:
    """Return the odds of each class: its width to some power; 1 for classes without strokes.

    Those of the structures have the geometric mean 1. None is beyond ``LARGEST_ODDS`` or its inverse.

    Parameters
    ----------
    widths
        `Widths.mean`, the background's first.
    power
        0: all odds are 1. 1: in a plain image borders lie where half-widths meet.

    Examples
    --------
    >>> odds((8.0, 1.0, 4.0), power=1.0)
    (4.0, 0.5, 2.0)
    """
    found = np.array(widths)
    structures = found[1:][found[1:] > 0]
    if not len(structures):
        return (1.0,) * len(found)
    middle = np.exp(np.log(structures).mean())
    raised = np.where(found > 0, found / middle, 1.0) ** power
    return tuple(raised.clip(1 / LARGEST_ODDS, LARGEST_ODDS).tolist())
