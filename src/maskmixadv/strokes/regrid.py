"""Strokes on another grid: a coarser one shows at least a pixel of each stroke that it has room for.

Nearest neighbours alone lose what is thinner than a pixel of the coarser grid. Nothing here imports torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import skimage
from jaxtyping import Bool, Int, UInt8

from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError
from maskmixadv.strokes.enclosure import ENCLOSED
from maskmixadv.types import IGNORE, Spacing

DEFAULT: Final = 144
"""Side in pixels of the coarsest canvas that a preset has by default (``cpu``)."""

SliceShape = tuple[int, int]


def millimetres(size: int, entries: Sequence[Entry]) -> float | None:
    """Millimetres a pixel that show the median field of view on a canvas of `size` pixels; None: a spacing is unknown.

    Parameters
    ----------
    entries
        Cases that are to be shown, at least one.
    """
    extents = []
    for entry in entries:
        if entry.spacing is None:
            return None
        _, h, w = entry.shape
        extents.append(max(h * entry.spacing[1], w * entry.spacing[2]))
    return round(float(np.median(extents)) / size, 3)


def resized(shape: SliceShape, spacing: Spacing | None, *, size: int, mm: float | None) -> SliceShape:
    """In-plane shape of slices of `shape` pixels (h, w) on a grid of `mm` a pixel; None: `size` on the longer side.

    Raises
    ------
    InputError
        Where the grid is in mm and `spacing` (mm; d, h, w) is unknown.
    """
    if spacing is None and mm is not None:
        raise InputError(
            f"image has no voxel spacing, and the grid is in mm ({mm} mm a pixel); give images with spacing"
        )
    _, step_h, step_w = spacing or (1.0, 1.0, 1.0)
    extent = (shape[0] * step_h, shape[1] * step_w)
    pixel = mm or max(extent) / size
    return max(1, round(extent[0] / pixel)), max(1, round(extent[1] / pixel))


def nearest(length: int, small: int) -> Int[np.ndarray, "small"]:
    """Which of `length` pixels along an axis each of `small` ones takes over: the one that its middle lies in."""
    return (2 * np.arange(small) + 1) * length // (2 * small)


@dataclass(frozen=True)
class Strokes:
    """Strokes of one slice: the connected pieces of each class, pixel by pixel.

    Attributes
    ----------
    shape
        Of the slice, in pixels.
    rows, columns
        Where each pixel lies.
    piece
        Which stroke it is of, from 0.
    label
        Class of each stroke.
    """

    shape: SliceShape
    rows: Int[np.ndarray, "p"]
    columns: Int[np.ndarray, "p"]
    piece: Int[np.ndarray, "p"]
    label: UInt8[np.ndarray, "n"]

    @classmethod
    def of(cls, drawn: UInt8[np.ndarray, "h w"]) -> "Strokes":
        """Find the strokes of a slice; ``IGNORE`` and ``ENCLOSED`` are none."""
        known = drawn < ENCLOSED
        rows, columns = np.nonzero(known)
        if not rows.size:
            return cls(_shape(drawn), rows, columns, rows, np.zeros(0, np.uint8))
        box = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
        coded = np.where(known[box], drawn[box] + 1, 0).astype(np.uint8)  # 0 is no stroke
        numbers = np.asarray(skimage.measure.label(coded))[known[box]] - 1
        _, first = np.unique(numbers, return_index=True)
        return cls(_shape(drawn), rows, columns, numbers, drawn[rows[first], columns[first]])

    @classmethod
    def dense(cls, mask: UInt8[np.ndarray, "h w"]) -> "Strokes":
        """Take all pixels of a structure in a dense mask as one stroke; background is none."""
        rows, columns = np.nonzero((mask > 0) & (mask < ENCLOSED))
        label, piece = np.unique(mask[rows, columns], return_inverse=True)
        return cls(_shape(mask), rows, columns, piece, label)

    def __len__(self) -> int:
        return len(self.label)

    def on(self, small: SliceShape) -> tuple[Int[np.ndarray, "p"], Int[np.ndarray, "p"]]:
        """Pixel (row, column) of a grid of `small` pixels in which each pixel's middle lies."""
        (h, w), (rows, columns) = self.shape, small
        return (2 * self.rows + 1) * rows // (2 * h), (2 * self.columns + 1) * columns // (2 * w)

    def visible(self, labels: UInt8[np.ndarray, "H W"]) -> "Strokes":
        """What `labels`, of the same slice on another grid, show of the strokes; there, with the same numbers."""
        rows, columns = self.on(_shape(labels))
        seen = labels[rows, columns] == self.label[self.piece]
        return Strokes(_shape(labels), rows[seen], columns[seen], self.piece[seen], self.label)

    def within(self, corner: SliceShape, size: int) -> "Strokes":
        """What lies in a square of `size` pixels whose first pixel is `corner`."""
        rows, columns = self.rows - corner[0], self.columns - corner[1]
        inside = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
        return Strokes((size, size), rows[inside], columns[inside], self.piece[inside], self.label)

    def counts(self) -> Int[np.ndarray, "n"]:
        """Pixels of each stroke."""
        return np.bincount(self.piece, minlength=len(self))

    def present(self) -> Bool[np.ndarray, "n"]:
        """Which strokes have a pixel."""
        return self.counts() > 0

    def structures(self) -> "Strokes":
        """The pixels that are not background's."""
        chosen = self.label[self.piece] > 0
        return Strokes(self.shape, self.rows[chosen], self.columns[chosen], self.piece[chosen], self.label)


def restore(strokes: Strokes, labels: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Return `labels` in which each stroke has a pixel where that can be; the same array where each has one already.

    A stroke that `labels`, of its slice on another grid, do not show gets the pixels that it lies in and in which
    nothing was drawn. Where there is none, it takes one from strokes that have others. Structures come first, and take
    background's last pixel of a stroke, too. No class loses the last pixel that it has in the slice.
    """
    if strokes.visible(labels).present().all():
        return labels
    return _Contest.of(strokes, labels.copy()).settled()


@dataclass(frozen=True)
class _Contest:
    """Strokes and the pixels of a grid that each lies in: all pairs of them, once."""

    labels: UInt8[np.ndarray, "H W"]
    label: UInt8[np.ndarray, "n"]
    piece: Int[np.ndarray, "q"]
    pixel: Int[np.ndarray, "q"]
    by_pixel: Int[np.ndarray, "q"]
    sorted_pixel: Int[np.ndarray, "q"]

    @classmethod
    def of(cls, strokes: Strokes, labels: UInt8[np.ndarray, "H W"]) -> "_Contest":
        pixels = np.ravel_multi_index(strokes.on(_shape(labels)), labels.shape)
        piece, pixel = np.divmod(np.unique(strokes.piece.astype(np.int64) * labels.size + pixels), labels.size)
        by_pixel = np.argsort(pixel, kind="stable")
        return cls(labels, strokes.label, piece, pixel, by_pixel, pixel[by_pixel])

    def settled(self) -> UInt8[np.ndarray, "H W"]:
        """Labels after all strokes that could get a pixel have one."""
        self._fill()
        while sum(self._take(int(piece)) for piece in self._lost()):
            pass  # what one took may have made room for another
        return self.labels

    @property
    def _flat(self) -> UInt8[np.ndarray, "_"]:
        return self.labels.reshape(-1)

    def _shown(self) -> Int[np.ndarray, "n"]:
        """Pixels that each stroke has."""
        shows = self._flat[self.pixel] == self.label[self.piece]
        return np.bincount(self.piece[shows], minlength=len(self.label))

    def _lost(self) -> Int[np.ndarray, "_"]:
        """Strokes without a pixel, structures' first."""
        lost = np.flatnonzero(self._shown() == 0)
        return lost[np.argsort(self.label[lost] == 0, kind="stable")]

    def _fill(self) -> None:
        """Give lost strokes the pixels in which nothing was drawn."""
        lost = self._shown() == 0
        for structures in (True, False):
            chosen = lost[self.piece] & ((self.label[self.piece] > 0) == structures)
            chosen &= self._flat[self.pixel] >= ENCLOSED
            self._flat[self.pixel[chosen]] = self.label[self.piece[chosen]]

    def _take(self, piece: int) -> bool:
        """Give a lost stroke one of the pixels that it lies in, if that may be."""
        low, high = np.searchsorted(self.piece, (piece, piece + 1))
        ranked = [(cost, pixel) for pixel in self.pixel[low:high].tolist() if (cost := self._cost(piece, pixel))]
        if not ranked:
            return False
        self._flat[min(ranked)[1]] = self.label[piece]
        return True

    def _cost(self, piece: int, pixel: int) -> int:
        """What it costs that `piece` takes `pixel`: 1 little, 3 much, 0 may not be."""
        label, held = self.label[piece], self._flat[pixel]
        if held == label:
            return 1  # another stroke of its class came to be shown there meanwhile
        if np.count_nonzero(self._flat == held) == 1:
            return 0
        if self._spare(pixel):
            return 1 if held == 0 else 2
        return 3 if held == 0 and label > 0 else 0

    def _spare(self, pixel: int) -> bool:
        """Whether the strokes that are shown by `pixel` are shown by others, too."""
        low, high = np.searchsorted(self.sorted_pixel, (pixel, pixel + 1))
        here = self.piece[self.by_pixel[low:high]]
        holders = here[self.label[here] == self._flat[pixel]]
        return all(self._count(int(holder)) > 1 for holder in holders)

    def _count(self, piece: int) -> int:
        low, high = np.searchsorted(self.piece, (piece, piece + 1))
        return int(np.count_nonzero(self._flat[self.pixel[low:high]] == self.label[piece]))


def coarser(drawn: UInt8[np.ndarray, "h w"], factor: int) -> UInt8[np.ndarray, "H W"]:
    """Strokes on a grid whose pixels are `factor` × `factor` of theirs; the last ones may reach beyond the slice."""
    h, w = drawn.shape
    padded = np.pad(drawn, ((0, -h % factor), (0, -w % factor)), constant_values=IGNORE)
    rows, columns = (nearest(side, side // factor) for side in padded.shape)
    return restore(Strokes.of(padded), padded[np.ix_(rows, columns)])


def corner(shown: Strokes, size: int) -> SliceShape:
    """Where on a slice a canvas of `size` pixels begins: in the middle, unless it would cut off what is `shown`.

    If so, it is centred on that, or on the structures alone where that is larger than the canvas.
    """
    regions = [part for part in (shown, shown.structures()) if len(part.rows)]
    return (
        _begin([(int(part.rows.min()), int(part.rows.max())) for part in regions], shown.shape[0], size),
        _begin([(int(part.columns.min()), int(part.columns.max())) for part in regions], shown.shape[1], size),
    )


def _begin(regions: Sequence[tuple[int, int]], length: int, size: int) -> int:
    """Begin along an axis; of `regions` (first and last pixel), a later one counts where those before don't fit."""
    middle = max(0, length - size) // 2
    begin = middle
    for first, last in regions:
        if middle <= first and last < middle + size:
            return middle
        begin = min(max(0, (first + last + 1 - size) // 2), max(0, length - size))
        if last - first < size:
            return begin
    return begin if len(regions) > 1 else middle


def _shape(labels: np.ndarray) -> SliceShape:
    h, w = labels.shape
    return h, w
