"""Strokes on another grid: on a coarser one, each stroke keeps at least one pixel if there is room for it.

Nearest-neighbour resampling alone loses strokes thinner than a pixel of the coarser grid. Nothing here imports torch.
"""

import math
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

MOST_SIDE: Final = 2048
"""Pixels that a slice's side may have on any grid."""
MOST_GROWTH: Final = 4
"""How many times as many pixels as before it may have, where that is more."""
LEAST_SIDE: Final = 4
"""Pixels that its longer side must have, as nobody can tell a structure on fewer."""
MOST_SHRUNK: Final = 16
"""How many times as many pixels as on the grid a slice may have, where these are fewer."""
DEFAULT: Final = 144
"""Side in pixels of the coarsest canvas that a preset has by default (``cpu``)."""

SliceShape = tuple[int, int]


def millimetres(size: int, entries: Sequence[Entry]) -> float | None:
    """Return the millimetres a pixel at which the median field of view fills a canvas of `size` pixels.

    Parameters
    ----------
    size
        Side of the square canvas in pixels.
    entries
        Cases of the corpus, at least one.

    Returns
    -------
    Rounded to micrometres, below 0.1 mm to three digits; None if a case's spacing is unknown.

    Examples
    --------
    >>> entry = Entry("a", "a", (10, 256, 216), (8.0, 1.5, 1.5), scribble=True, dense=False, sha256="0")
    >>> millimetres(144, [entry])
    2.667
    >>> millimetres(144, [Entry("a", "a", (1, 500, 500), (1.0, 1e-4, 1e-4), scribble=True, dense=False, sha256="0")])
    0.000347
    """
    extents = []
    for entry in entries:
        if entry.spacing is None:
            return None
        _, h, w = entry.shape
        extents.append(max(h * entry.spacing[1], w * entry.spacing[2]))
    mm = float(np.median(extents)) / size
    return round(mm, max(3, 2 - math.floor(math.log10(mm))))  # of a microscope's pixels, micrometres leave nothing


def resized(shape: SliceShape, spacing: Spacing | None, *, size: int, mm: float | None) -> SliceShape:
    """Return the shape (h, w) that slices have on another grid.

    Parameters
    ----------
    shape
        Pixels along h and w.
    spacing
        Millimetres between voxels along d, h, w; None if unknown.
    size
        Pixels on the longer side, if `mm` is None.
    mm
        Millimetres a pixel of the other grid.

    Raises
    ------
    InputError
        If `mm` is given and `spacing` is unknown, or so large or small that slices would become huge, or a few pixels.

    Examples
    --------
    >>> resized((256, 216), (8.0, 1.5, 1.5), size=144, mm=3.0)
    (128, 108)
    >>> resized((256, 216), None, size=128, mm=None)
    (128, 108)
    """
    if spacing is None and mm is not None:
        raise InputError(
            f"image has no voxel spacing, and the grid is in mm ({mm} mm a pixel); give images with spacing"
        )
    _, step_h, step_w = spacing or (1.0, 1.0, 1.0)
    extent = (shape[0] * step_h, shape[1] * step_w)
    pixel = mm or max(extent) / size
    h, w = max(1, round(extent[0] / pixel)), max(1, round(extent[1] / pixel))
    huge = max(h, w) > max(MOST_SIDE, size, MOST_GROWTH * max(shape))
    if huge or (max(h, w) < LEAST_SIDE and MOST_SHRUNK * max(h, w) < max(shape)):
        raise InputError(
            f"pixels of {step_h:g} × {step_w:g} mm: slices of {shape[0]} × {shape[1]} pixels would become {h} × {w} "
            f"(the grid has {pixel:g} mm a pixel); correct the unit or the spacing in the file's header"
        )
    return h, w


def resized_case(entry: Entry, *, size: int, mm: float | None) -> SliceShape:
    """Return the shape (h, w) that a case's slices have on another grid.

    Raises
    ------
    InputError
        As `resized` does, with the case's name.

    Examples
    --------
    >>> in_metres = Entry("anna", "anna", (10, 256, 216), (8e-3, 1e-3, 1e-3), scribble=True, dense=False, sha256="0")
    >>> resized_case(in_metres, size=144, mm=2.667)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: anna: pixels of 0.001 × 0.001 mm: slices of 256 × 216 pixels would become 1 × 1 ...
    """
    try:
        return resized(entry.shape[1:], entry.spacing, size=size, mm=mm)
    except InputError as error:
        raise InputError(f"{entry.name}: {error}") from None


def nearest(length: int, small: int) -> Int[np.ndarray, "small"]:
    """Return, for each of `small` pixels along an axis, the one of `length` pixels in which its middle lies.

    Examples
    --------
    >>> nearest(10, 4)
    array([1, 3, 6, 8])
    """
    return (2 * np.arange(small) + 1) * length // (2 * small)


@dataclass(frozen=True)
class Strokes:
    """The p pixels of the n strokes of one slice. A stroke is a connected piece of one class.

    Attributes
    ----------
    shape
        Of the slice, in pixels.
    rows, columns
        Place of each pixel.
    piece
        Number of each pixel's stroke, from 0.
    label
        Class of each stroke.
    whole
        Whether they are the structures of a dense slice, which is resampled by nearest neighbour alone.

    Examples
    --------
    >>> drawn = np.full((4, 8), IGNORE, np.uint8)
    >>> drawn[0, :3], drawn[0, 5:], drawn[3] = 1, 1, 0
    >>> strokes = Strokes.of(drawn)
    >>> len(strokes), strokes.label, strokes.counts()
    (3, array([1, 1, 0], dtype=uint8), array([3, 3, 8]))
    >>> strokes.within((0, 4), 4).counts()  # those in the right half
    array([0, 3, 4])
    """

    shape: SliceShape
    rows: Int[np.ndarray, "p"]
    columns: Int[np.ndarray, "p"]
    piece: Int[np.ndarray, "p"]
    label: UInt8[np.ndarray, "n"]
    whole: bool = False

    @classmethod
    def of(cls, drawn: UInt8[np.ndarray, "h w"]) -> "Strokes":
        """Find the strokes of a slice; pixels that are ``IGNORE`` or ``ENCLOSED`` belong to none."""
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
        """Take all pixels of a structure in a dense mask as one stroke; background pixels belong to none."""
        rows, columns = np.nonzero((mask > 0) & (mask < ENCLOSED))
        label, piece = np.unique(mask[rows, columns], return_inverse=True)
        return cls(_shape(mask), rows, columns, piece, label, whole=True)

    def __len__(self) -> int:
        return len(self.label)

    def on(self, small: SliceShape) -> tuple[Int[np.ndarray, "p"], Int[np.ndarray, "p"]]:
        """Return the rows and columns of a grid of shape `small` in which the pixels' middles lie."""
        (h, w), (rows, columns) = self.shape, small
        return (2 * self.rows + 1) * rows // (2 * h), (2 * self.columns + 1) * columns // (2 * w)

    def visible(self, labels: UInt8[np.ndarray, "H W"]) -> "Strokes":
        """Return those pixels that `labels`, of the same slice on another grid, show; they have places on that grid."""
        rows, columns = self.on(_shape(labels))
        seen = labels[rows, columns] == self.label[self.piece]
        return Strokes(_shape(labels), rows[seen], columns[seen], self.piece[seen], self.label)

    def within(self, corner: SliceShape, size: int) -> "Strokes":
        """Return the pixels in a square of side `size` whose first pixel is `corner`; strokes keep their numbers."""
        rows, columns = self.rows - corner[0], self.columns - corner[1]
        inside = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
        return Strokes((size, size), rows[inside], columns[inside], self.piece[inside], self.label)

    def counts(self) -> Int[np.ndarray, "n"]:
        """Count the pixels of each stroke."""
        return np.bincount(self.piece, minlength=len(self))

    def present(self) -> Bool[np.ndarray, "n"]:
        """Return whether each stroke has a pixel."""
        return self.counts() > 0

    def structures(self) -> "Strokes":
        """Return the pixels of structures; strokes keep their numbers."""
        chosen = self.label[self.piece] > 0
        return Strokes(self.shape, self.rows[chosen], self.columns[chosen], self.piece[chosen], self.label)


def restore(strokes: Strokes, labels: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Give each stroke a pixel of `labels` if possible.

    A stroke that `labels` does not show gets the pixels that it lies in and in which nothing was drawn. If there are
    none, it takes a pixel from strokes that keep others. Structures come first, and may take the last pixel of a
    background stroke. No class loses its last pixel in the slice.

    Parameters
    ----------
    strokes
        Of a slice.
    labels
        The same slice on another grid, by nearest neighbours.

    Returns
    -------
    New labels, or the same array if it shows each stroke.

    Examples
    --------
    >>> drawn = np.full((4, 4), IGNORE, np.uint8)
    >>> drawn[0, 0] = 1
    >>> restore(Strokes.of(drawn), np.full((2, 2), IGNORE, np.uint8))
    array([[  1, 255],
           [255, 255]], dtype=uint8)
    """
    if strokes.visible(labels).present().all():
        return labels
    return _Contest.of(strokes, labels.copy()).settled()


@dataclass(frozen=True)
class _Contest:
    """Strokes that compete for the pixels of a grid: all q pairs of a stroke and a pixel in which it lies, once."""

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
        """Return the labels after all strokes that can get a pixel have one."""
        self._fill()
        while sum(self._take(int(piece)) for piece in self._lost()):
            pass  # a stroke that took a pixel may have made room for another
        return self.labels

    @property
    def _flat(self) -> UInt8[np.ndarray, "_"]:
        return self.labels.reshape(-1)

    def _shown(self) -> Int[np.ndarray, "n"]:
        """Count the pixels that each stroke has."""
        shows = self._flat[self.pixel] == self.label[self.piece]
        return np.bincount(self.piece[shows], minlength=len(self.label))

    def _lost(self) -> Int[np.ndarray, "_"]:
        """Return the strokes without a pixel, structures' first."""
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
        """Return the cost, from 1 (little) to 3, at which stroke `piece` may take `pixel`; 0 if it may not."""
        label, held = self.label[piece], self._flat[pixel]
        if held == label:
            return 1  # another stroke of its class came to be shown there meanwhile
        if np.count_nonzero(self._flat == held) == 1:
            return 0
        if self._spare(pixel):
            return 1 if held == 0 else 2
        return 3 if held == 0 and label > 0 else 0

    def _spare(self, pixel: int) -> bool:
        """Whether the strokes that `pixel` shows are shown by other pixels, too."""
        low, high = np.searchsorted(self.sorted_pixel, (pixel, pixel + 1))
        here = self.piece[self.by_pixel[low:high]]
        holders = here[self.label[here] == self._flat[pixel]]
        return all(self._count(int(holder)) > 1 for holder in holders)

    def _count(self, piece: int) -> int:
        low, high = np.searchsorted(self.piece, (piece, piece + 1))
        return int(np.count_nonzero(self._flat[self.pixel[low:high]] == self.label[piece]))


def coarser(drawn: UInt8[np.ndarray, "h w"], factor: int) -> UInt8[np.ndarray, "H W"]:
    """Resample strokes to a grid with pixels of `factor` × `factor` of the slice's, as `restore` does.

    The last pixels may reach beyond the slice.

    Examples
    --------
    >>> drawn = np.full((5, 5), IGNORE, np.uint8)
    >>> drawn[0, 0] = 1
    >>> coarser(drawn, 2)
    array([[  1, 255, 255],
           [255, 255, 255],
           [255, 255, 255]], dtype=uint8)
    """
    h, w = drawn.shape
    padded = np.pad(drawn, ((0, -h % factor), (0, -w % factor)), constant_values=IGNORE)
    rows, columns = (nearest(side, side // factor) for side in padded.shape)
    return restore(Strokes.of(padded), padded[np.ix_(rows, columns)])


def corner(shown: Strokes, size: int) -> SliceShape:
    """Return the first pixel (row, column) of a canvas of side `size` on a slice.

    Along each axis the canvas lies in the slice's middle unless it would cut off strokes. Then it is centred on the
    strokes; if these are larger than the canvas, on those of structures.

    Parameters
    ----------
    shown
        The slice's strokes.
    size
        Side of the canvas in pixels.

    Examples
    --------
    >>> drawn = np.full((100, 100), IGNORE, np.uint8)
    >>> drawn[50, 80:90] = 1
    >>> corner(Strokes.of(drawn), 50)
    (25, 50)
    """
    regions = [part for part in (shown, shown.structures()) if len(part.rows)]
    return (
        _begin([(int(part.rows.min()), int(part.rows.max())) for part in regions], shown.shape[0], size),
        _begin([(int(part.columns.min()), int(part.columns.max())) for part in regions], shown.shape[1], size),
    )


def _begin(regions: Sequence[tuple[int, int]], length: int, size: int) -> int:
    """Return a canvas's first pixel along an axis; a later one of `regions` counts if those before do not fit.

    A region is its first and its last pixel.
    """
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
