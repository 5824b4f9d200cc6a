"""Shapes between slices: structures that are known on two slices change steadily from one to the other.

The signed distances to a structure's outline are interpolated linearly between two slices (Raya and Udupa, 1990), while
its middle moves on a straight line. Structures with holes, such as the heart's wall, are taken as filled, and smaller
structures lie over larger ones. What pixels look like takes no part.

On ACDC's hearts with masks on every third slice, the slices between had a Dice of .85 (RV), .72 (Myo) and .90 (LV);
without filling and moving it was .82, .64 and .90.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

MARGIN: Final = 2
"""Pixels of background round the structures within which distances are measured."""


def between(
    known: Mapping[int, UInt8[np.ndarray, "h w"]],
    *,
    whole: Collection[int] = (),
    spacing: tuple[float, float] = (1.0, 1.0),
) -> dict[int, UInt8[np.ndarray, "h w"]]:
    """Return the labels of slices between known ones, by their numbers.

    A structure is carried from a slice that has it to the next one that has it. Nothing of it lies beyond these, or
    between a slice that has it and one of `whole` that lacks it.

    Parameters
    ----------
    known
        Labels of slices by their numbers, 0 for background.
    whole
        Slices whose labels are known to hold all structures. Another slice may have been drawn for one structure
        alone, so structures that it lacks go on beyond it.
    spacing
        Size of a pixel along rows and columns, in mm.

    Returns
    -------
    Slices that are not in `known`, and of which a structure was found.

    Examples
    --------
    >>> first, last = np.zeros((2, 9, 9), np.uint8)
    >>> first[3:6, 3:6], last[1:8, 1:8] = 1, 1
    >>> found = between({0: first, 2: last})
    >>> list(found), found[1].sum(1).tolist()
    ([1], [0, 0, 5, 5, 5, 5, 5, 0, 0])
    """
    found = dict[int, UInt8[np.ndarray, "h w"]]()
    gaps = _gaps(known, whole)
    for low, high in sorted(gaps, key=lambda ends: ends[1] - ends[0]):
        numbers = [number for number in range(low + 1, high) if number not in known]
        ways = [(number - low) / (high - low) for number in numbers]
        planes = _changing((known[low], known[high]), gaps[low, high], ways, spacing)
        for number, plane in zip(numbers, planes, strict=True):
            before = found.get(number, np.zeros_like(plane))
            found[number] = np.where(before > 0, before, plane)
    return {number: labels for number, labels in sorted(found.items()) if labels.any()}


def _gaps(known: Mapping[int, UInt8[np.ndarray, "h w"]], whole: Collection[int]) -> dict[tuple[int, int], list[int]]:
    """Return the structures that are carried between two slices, by the slices' numbers."""
    has = {number: set(np.unique(known[number]).tolist()) - {0} for number in sorted(known)}
    gaps = defaultdict[tuple[int, int], list[int]](list)
    for structure in sorted(set[int]().union(*has.values())):
        ends = [number for number, held in has.items() if structure in held or number in whole]
        for low, high in pairwise(ends):
            if high - low > 1 and structure in has[low] & has[high]:
                gaps[low, high].append(structure)
    return gaps


class _Shape(NamedTuple):
    """A structure on two slices: signed distances to its outline, and how far its middle moves between them.

    Distances are measured `margin` pixels farther than the labels reach, as they are moved.
    """

    label: int
    first: Float[np.ndarray, "H W"]
    last: Float[np.ndarray, "H W"]
    move: Float[np.ndarray, "2"]
    margin: int

    def at(self, way: float) -> Bool[np.ndarray, "h w"]:
        """Return the structure's pixels at a part of the way from the first slice to the last."""
        first = ndimage.shift(self.first, way * self.move, order=1, mode="nearest")
        last = ndimage.shift(self.last, (way - 1) * self.move, order=1, mode="nearest")
        inner = slice(self.margin, -self.margin)
        return ((1 - way) * first + way * last > 0)[inner, inner]


def _changing(
    ends: tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]],
    structures: Sequence[int],
    ways: Sequence[float],
    spacing: tuple[float, float],
) -> Iterator[UInt8[np.ndarray, "h w"]]:
    """Yield the labels at parts of the way between two slices."""
    box = ndimage.find_objects(np.isin(ends, structures).any(0).astype(np.uint8))[0]
    first, last = (np.where(np.isin(labels, structures), labels, 0)[box] for labels in ends)
    pairs = [(label, _filled(first, label), _filled(last, label)) for label in (0, *structures)]
    pairs.sort(key=lambda pair: -(pair[1].sum() + pair[2].sum()))
    shapes = [_shape(label, one, other, spacing) for label, one, other in pairs if one.any() and other.any()]
    for way in ways:
        labels = np.zeros_like(ends[0])
        for shape in shapes:
            labels[box][shape.at(way)] = shape.label
        yield labels


def _filled(labels: UInt8[np.ndarray, "h w"], label: int) -> Bool[np.ndarray, "h w"]:
    """Return a structure with its holes; of the background, the holes in all structures together."""
    mask = np.asarray(ndimage.binary_fill_holes(labels == label if label else labels > 0))
    return mask if label else mask & (labels == 0)


def _shape(
    label: int, first: Bool[np.ndarray, "h w"], last: Bool[np.ndarray, "h w"], spacing: tuple[float, float]
) -> _Shape:
    move = np.subtract(*(np.argwhere(mask).mean(0) for mask in (last, first)))
    margin = MARGIN + int(np.ceil(np.abs(move).max()))
    near, far = (_signed(np.pad(mask, margin), spacing) for mask in (first, last))
    return _Shape(label, near, far, move, margin)


def _signed(mask: Bool[np.ndarray, "h w"], spacing: tuple[float, float]) -> Float[np.ndarray, "h w"]:
    """Return the distance of each pixel to the mask's outline in mm, positive within the mask."""
    within, without = (ndimage.distance_transform_edt(each, sampling=spacing) for each in (mask, ~mask))
    return np.asarray(within) - np.asarray(without)
