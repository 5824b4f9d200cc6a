"""Large slices, a few rows at a time: means on a coarser grid, and the likeliest classes on the slice's own grid.

So neither probabilities of all classes nor copies of the image are held for all of a slice's pixels.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8


def shrunk(image: Float[np.ndarray, "*c h w"], factor: int) -> Float32[np.ndarray, "*c H W"]:
    """Return the means of squares of `factor` × `factor` pixels; the last ones of a row or column may be smaller.

    Examples
    --------
    >>> shrunk(np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), 2).tolist()
    [[0.25, 1.0]]
    """
    h, w = image.shape[-2:]
    firsts = np.arange(0, w, factor)
    widths = np.diff(firsts, append=w)
    rows = [image[..., row : row + factor, :].mean(-2, dtype=np.float32) for row in range(0, h, factor)]
    return np.stack([np.add.reduceat(row, firsts, -1) / widths for row in rows], -2).astype(np.float32)


def likeliest(
    probs: Float[np.ndarray, "k H W"],
    shape: tuple[int, int],
    factor: int,
    said: Sequence[Float[np.ndarray, "h w"]] | None = None,
) -> UInt8[np.ndarray, "h w"]:
    """Return the place of the likeliest class in each pixel of a slice; the first one of several that are as likely.

    Parameters
    ----------
    probs
        Probabilities on a grid whose pixels are `factor` × `factor` of the slice's; what lies between their middles is
        interpolated linearly.
    shape
        Rows and columns of the slice.
    factor
        As for `shrunk`.
    said
        What is added to the probability of each class in each pixel of the slice.

    Examples
    --------
    >>> likeliest(np.array([[[1.0, 0.2]], [[0.0, 0.8]]]), (1, 6), 3)
    array([[0, 0, 0, 1, 1, 1]], dtype=uint8)
    """
    h, w = shape
    left, right, part = _between(w, probs.shape[2], factor)
    coarse = probs.astype(np.float32)
    wide = coarse[..., left] * (1 - part) + coarse[..., right] * part
    above, below, parts = _between(h, probs.shape[1], factor)
    labels = np.empty(shape, np.uint8)
    for first, last in _runs(above, below):
        low, rows = wide[:, above[first]], slice(first, last)
        rise = wide[:, below[first]] - low
        most = np.full((last - first, w), -np.inf, np.float32)
        for place in range(len(probs)):
            found = parts[rows, None] * rise[place] + low[place]
            if said is not None:
                found += said[place][rows]
            np.putmask(labels[rows], found > most, place)
            np.maximum(most, found, out=most)
    return labels


def _between(
    length: int, small: int, factor: int
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"], Float32[np.ndarray, "n"]]:
    """Return the two pixels of the coarser grid between whose middles each pixel's lies, and how far along it is."""
    places = (np.arange(length) + 0.5) / factor - 0.5
    low = np.floor(places).astype(np.intp)
    return low.clip(0), (low + 1).clip(max=small - 1), (places - low).astype(np.float32)


def _runs(above: Int[np.ndarray, "n"], below: Int[np.ndarray, "n"]) -> list[tuple[int, int]]:
    """Return the first row of each run that lies between the same two, and the row after its last."""
    ends = np.flatnonzero(np.diff(above) + np.diff(below)) + 1
    return list(zip([0, *ends.tolist()], [*ends.tolist(), len(above)], strict=True))
