"""Fills the slices between slices with strokes: a random walk through the volume, from what these slices' strokes say.

A walk steps to the next slice as easily as to the next pixel, however far apart slices are: with 1.5 × 1.5 × 10 mm,
steps weighted by distance find less (Dice .62 beside .66 on hearts with strokes on every third slice), and so does
interpolation of shapes (.63). What pixels look like counts, too (`maskmixadv.strokes.appearance`; .68). Within slices
a step counts by its length in mm. Where a network has said something of the slices, its probabilities count as much as
the walks.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg

from maskmixadv.strokes.appearance import appearance
from maskmixadv.strokes.propose import LOOKS, drawn_classes, enclosed, propose_slice
from maskmixadv.strokes.regrid import coarser
from maskmixadv.strokes.walker import BETA, scaled
from maskmixadv.types import IGNORE

MOST: Final = 60_000
"""Voxels that are walked on their own grid; more are walked on a grid that is coarser within slices."""
MARGIN: Final = 8
"""Pixels round the structures of the slices with strokes within which those between are looked for."""
LEAST: Final = 1e-6
"""Weight of a step that each one has at least."""
EXACT: Final = 1e-3
"""Relative residual to which walks are solved."""
TRIES: Final = 300
"""Iterations after which a solution is taken as it is."""
Said = Callable[[int], Float[np.ndarray, "k h w"] | None]
"""Returns a network's probabilities in a slice, or None where there are none."""


def _silent(_: int) -> None:
    """Stand for a network that says nothing of any slice."""


def fill(
    image: Float[np.ndarray, "*c d h w"],
    scribble: UInt8[np.ndarray, "d h w"],
    *,
    classes: int,
    spacing: tuple[float, float] = (1.0, 1.0),
    said: Said = _silent,
    most: int = MOST,
) -> dict[int, UInt8[np.ndarray, "h w"]]:
    """Return the labels of the slices with strokes of two classes and of those between them, by their numbers.

    Parameters
    ----------
    image
        Intensities in [0, 1]; several channels come first.
    scribble
        The strokes, as for `maskmixadv.strokes.propose.propose_slice`.
    classes
        Number of classes, with the background.
    spacing
        Size of a pixel along rows and columns, in mm.
    said
        A network's probabilities in a slice by its number. Classes that no stroke has get none.
    most
        Voxels that are walked on their own grid.

    Returns
    -------
    Nothing if there are no slices between such slices.

    Examples
    --------
    >>> image = np.zeros((3, 32, 32))
    >>> image[:, 12:20, 12:20] = 1
    >>> scribble = np.full((3, 32, 32), IGNORE, np.uint8)
    >>> scribble[::2, 15:17, 13:19], scribble[::2, 4, 4:28] = 1, 0
    >>> found = fill(image, scribble, classes=2)
    >>> list(found), bool((found[1] == image[1]).all())
    ([0, 1, 2], True)
    """
    drawn = [k for k, strokes in enumerate(scribble) if len(drawn_classes(strokes)) > 1]
    gaps = [(low, high) for low, high in pairwise(drawn) if high - low > 1]
    if not gaps:
        return {}
    found = {k: propose_slice(image[..., k, :, :], scribble[k], classes=classes, said=said(k)) for k in drawn}
    known = {k: labels for k, labels in found.items() if labels is not None}
    box = _box(known, scribble.shape)
    area = math.prod(side.stop - side.start for side in box)
    factor = max(1, math.ceil(math.sqrt(area * sum(high - low - 1 for low, high in gaps) / most)))
    for low, high in gaps:
        part = (..., slice(low, high + 1), *box)
        told = partial(_told, said, low, box)
        gap = _Gap(image[part], scribble[part], known[low][box], known[high][box], told, spacing, _inner(box, scribble))
        between = _between(gap, factor)
        for k, labels in enumerate(between[1:-1], low + 1):
            known[k] = np.zeros(scribble.shape[1:], np.uint8)
            known[k][box] = labels
            known[k] = np.where(scribble[k] == IGNORE, known[k], scribble[k])
    return dict(sorted(known.items()))


class _Gap(NamedTuple):
    """Slices between two with strokes, which are the first and the last of them, with the labels of these.

    `inner` says whether the first and last row, and the first and last column, lie within the image, not at its rim.
    """

    image: Float[np.ndarray, "*c d h w"]
    scribble: UInt8[np.ndarray, "d h w"]
    first: UInt8[np.ndarray, "h w"]
    last: UInt8[np.ndarray, "h w"]
    said: Said
    spacing: tuple[float, float]
    inner: tuple[bool, ...]


def _box(known: dict[int, UInt8[np.ndarray, "h w"]], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns in which structures are looked for; of all slices if none was found."""
    seen = np.any([labels > 0 for labels in known.values()], 0)
    ends = []
    for axis, side in enumerate(shape[1:]):
        places = np.flatnonzero(seen.any(1 - axis))
        low, high = (places[0], places[-1]) if len(places) else (0, side)
        ends.append(slice(max(0, int(low) - MARGIN), min(side, int(high) + 1 + MARGIN)))
    return ends[0], ends[1]


def _inner(box: tuple[slice, slice], volume: UInt8[np.ndarray, "d h w"]) -> tuple[bool, ...]:
    """Return whether each edge of a box lies within the slices: those along rows first."""
    return tuple(
        inner for part, side in zip(box, volume.shape[1:], strict=True) for inner in (part.start > 0, part.stop < side)
    )


def _between(gap: _Gap, factor: int) -> UInt8[np.ndarray, "d h w"]:
    """Return the labels of a gap's slices, walked on a grid that is `factor` times as coarse within slices."""
    image, (h, w) = _coarse(gap.image, factor), gap.first.shape
    strokes = np.stack([coarser(each, factor) for each in gap.scribble])
    markers = strokes.astype(np.int32)
    edges = (markers[:, 0], markers[:, -1], markers[:, :, 0], markers[:, :, -1])
    for edge in (edge for edge, inner in zip(edges, gap.inner, strict=True) if inner):  # beyond it all is background
        edge[edge == IGNORE] = 0  # at the image's rim structures may be cut off
    middle = np.ix_(*(np.minimum(np.arange(side) * factor + factor // 2, full - 1)
                      for side, full in zip(markers.shape[1:], (h, w), strict=True)))  # fmt: skip
    markers[0], markers[-1] = gap.first[middle], gap.last[middle]
    names = np.unique(markers[markers != IGNORE]).astype(np.uint8)
    if len(names) == 1:
        return np.full((len(strokes), h, w), names[0])
    probs = _walked(image, markers, names, gap.spacing) * _looks(image, strokes, names) ** LOOKS
    labels = np.empty((len(strokes), h, w), np.uint8)
    for place, plane in enumerate(labels):  # one by one, to save memory
        found, told = probs[:, place], gap.said(place)
        if told is not None:  # as in `propose_slice`
            found = found / found.sum(0).clip(1e-9) + _coarse(told[names], factor)
        if factor > 1:
            found = np.asarray(ndimage.zoom(found, (1, factor, factor), order=1, mode="nearest", grid_mode=True))
        plane[:] = names[found[..., :h, :w].argmax(0)]
    return labels


def _told(said: Said, low: int, box: tuple[slice, slice], place: int) -> Float[np.ndarray, "k _ _"] | None:
    """Return what a network says of a gap's slice, whose first one is `low`, within a box."""
    found = said(low + place)
    return None if found is None else found[:, *box]


def _coarse(image: Float[np.ndarray, "*c d h w"], factor: int) -> Float[np.ndarray, "*c d H W"]:
    h, w = image.shape[-2:]
    beside = [(0, 0)] * (image.ndim - 2) + [(0, -h % factor), (0, -w % factor)]
    whole = np.pad(image, beside, mode="edge")
    rows, columns = whole.shape[-2] // factor, whole.shape[-1] // factor
    return whole.reshape(*whole.shape[:-2], rows, factor, columns, factor).mean((-3, -1))


def _walked(
    image: Float[np.ndarray, "*c d h w"],
    markers: Int[np.ndarray, "d h w"],
    names: UInt8[np.ndarray, "k"],
    spacing: tuple[float, float],
) -> Float[np.ndarray, "k d h w"]:
    """Return the probabilities that walks from each voxel reach each class first; ``IGNORE`` marks unknown voxels."""
    flat = markers.ravel()
    unknown, seeds = np.flatnonzero(flat == IGNORE), np.flatnonzero(flat != IGNORE)
    rows = _laplacian(image if image.ndim == 4 else image[None], spacing)[unknown]
    inner, outer = rows[:, unknown], -rows[:, seeds]
    scale = sparse.diags_array(1 / inner.diagonal())
    probs = np.zeros((len(names), flat.size))
    for prob, name in zip(probs[1:], names[1:], strict=True):
        prob[seeds] = flat[seeds] == name
        prob[unknown] = cg(inner, outer @ prob[seeds], rtol=EXACT, M=scale, maxiter=TRIES)[0]
    probs[0] = 1 - probs[1:].sum(0)
    return probs.clip(0, 1).reshape(len(names), *markers.shape)


def _laplacian(image: Float[np.ndarray, "c d h w"], spacing: tuple[float, float]) -> sparse.csr_array:
    """Return the graph's Laplacian: voxels beside one another, with weights as `skimage.segmentation` has them.

    Along rows and columns weights are divided by the squared length of a step, with a pixel's mean side as the unit.
    """
    size, shape = math.prod(image.shape[1:]), image.shape[1:]
    data, places = scaled(image), np.arange(size).reshape(shape)
    beta = BETA / (10 * max(float(data.std()), 1e-9) * math.sqrt(len(data)))
    tall, wide = spacing
    ends, weights = zip(*_steps(data, places, beta, (1.0, wide / tall, tall / wide)), strict=True)
    (one, other), weight = np.concatenate(ends, 1), np.concatenate(weights)
    both = np.concatenate((one, other)), np.concatenate((other, one))
    links = sparse.coo_array((np.concatenate((weight, weight)), both), shape=(size, size)).tocsr()
    return (sparse.diags_array(links.sum(1)) - links).tocsr()


def _steps(
    data: Float[np.ndarray, "c d h w"],
    places: Int[np.ndarray, "d h w"],
    beta: float,
    ease: tuple[float, float, float],
) -> Iterator[tuple[Int[np.ndarray, "2 n"], Float[np.ndarray, "n"]]]:
    """Yield the pairs of voxels beside one another along each axis, and the weights of steps between them.

    `ease` multiplies the weights along each axis.
    """
    for axis, (side, easily) in enumerate(zip(places.shape, ease, strict=True)):
        ends = [places.take(range(*span), axis).ravel() for span in ((side - 1,), (1, side))]
        squares = (np.diff(data, axis=1 + axis) ** 2).sum(0).ravel()
        yield np.stack(ends), easily * (np.exp(-beta * squares) + LEAST)


def _looks(
    image: Float[np.ndarray, "*c d h w"], strokes: UInt8[np.ndarray, "d h w"], names: UInt8[np.ndarray, "k"]
) -> Float[np.ndarray, "k d h w"]:
    """Return `appearance` in all slices by the strokes of those that have some: slices lie side by side for that."""
    d, h, w = strokes.shape
    seeds = np.stack([enclosed(each) for each in strokes])
    wide = np.moveaxis(image, -3, -2).reshape(*image.shape[:-3], h, d * w)
    missing = ~np.isin(names, seeds)
    found = appearance(wide, np.moveaxis(seeds, 0, 1).reshape(h, d * w), names[~missing])
    looks = np.ones((len(names), h, d, w), found.dtype)
    looks[~missing] = found.reshape(-1, h, d, w)
    return np.moveaxis(looks, 2, 1)
