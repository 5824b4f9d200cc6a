"""The network's grid of pixels, and the way from a volume's own grid to it and back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from maskmixadv.corpus.entry import Entry
from maskmixadv.strokes.regrid import Strokes, corner, resized, restore
from maskmixadv.types import IGNORE, Spacing

SHRUNK: Final = 3.0
"""Pixels of an image's side in one of the grid's from which on a line says so."""
PIXELS_AT_ONCE: Final = 2**24
"""Pixels of slices that are resampled at once at most."""
Corners = Sequence[tuple[int, int]]
"""Row and column of each slice, on the network's grid, where its canvas begins; 0 along an axis that is padded."""


class Placed(NamedTuple):
    """Labels of d slices on training canvases, where these begin, and what became of each slice's strokes.

    Attributes
    ----------
    target
        Labels on the canvas, ``IGNORE`` beyond the image.
    corners
        Where each slice's canvas begins.
    resampled, held
        For each slice and each of its strokes: the number of the stroke's own pixels that still show on the network's
        grid, and on the canvas.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from maskmixadv.sampling.grid import Grid, strokes
    >>> labels = torch.full((1, 8, 8), 255, dtype=torch.uint8)
    >>> labels[0, 2, 1:7] = 1
    >>> placed = Grid(size=4).placed(labels, None, strokes(labels.numpy(), dense=False))
    >>> placed.target.shape, [int(count) for count in placed.held[0]]
    (torch.Size([1, 4, 4]), [6])
    """

    target: UInt8[Tensor, "d s s"]
    corners: Corners
    resampled: Sequence[Int[np.ndarray, "_"]]
    held: Sequence[Int[np.ndarray, "_"]]


@dataclass(frozen=True)
class Grid:
    """Square pixels in plane; the axis through the slices is never resampled.

    Attributes
    ----------
    size
        Side of the training canvas in pixels.
    mm
        Millimetres per pixel. None, for corpora of unknown spacing: a slice's longer side is `size` pixels.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.sampling.grid import Grid
    >>> grid, spacing = Grid(size=64, mm=1.5), (8.0, 1.0, 1.0)
    >>> grid.resized((90, 60), spacing)
    (60, 40)
    >>> grid.image(torch.rand(3, 90, 60), spacing).shape
    torch.Size([3, 64, 64])
    """

    size: int
    mm: float | None = None

    def resized(self, shape: tuple[int, int], spacing: Spacing | None) -> tuple[int, int]:
        """Return the height and width on this grid of slices of `shape` pixels (h, w).

        Raises
        ------
        InputError
            Where the grid is in mm and `spacing` (mm; d, h, w) is unknown.
        """
        return resized(shape, spacing, size=self.size, mm=self.mm)

    def holds(self, spacing: Spacing | None) -> bool:
        """Whether slices of `spacing` can be resampled to it: it is in mm, and their spacing is unknown."""
        return self.mm is None or spacing is not None

    def image(
        self,
        image: Float[Tensor, "d h w"],
        spacing: Spacing | None,
        canvas: tuple[int, int] | None = None,
        corners: Corners | None = None,
    ) -> Float[Tensor, "d H W"]:
        """Return slices on this grid, padded with 0 or cut to a canvas.

        Parameters
        ----------
        image
            Slices on their own grid, ``(d, h, w)``.
        spacing
            Millimetres along d, h, w; None where unknown.
        canvas
            Height and width of the canvas in pixels; None: `size` × `size`.
        corners
            Where each slice is cut; None: centrally.

        Raises
        ------
        InputError
            Where the grid is in mm and `spacing` is unknown.
        """
        small = self.resized((image.shape[1], image.shape[2]), spacing)
        resampled = _by_parts(image, small, mode="bilinear", antialias=True)
        return _cut(resampled, canvas or (self.size, self.size), corners, 0)

    def labels(
        self, labels: UInt8[Tensor, "d h w"], spacing: Spacing | None, *, dense: bool = False
    ) -> UInt8[Tensor, "d H W"]:
        """Return labels on the training canvas, ``IGNORE`` beyond the image.

        Parameters
        ----------
        labels
            Labels on their own grid, ``(d, h, w)``.
        spacing
            Millimetres along d, h, w; None where unknown.
        dense
            True for dense masks, which are resampled by nearest neighbour alone; false for strokes, each of which keeps
            at least a pixel.

        Raises
        ------
        InputError
            Where the grid is in mm and `spacing` is unknown.
        """
        return self.placed(labels, spacing, strokes(labels.numpy(), dense=dense)).target

    def placed(self, labels: UInt8[Tensor, "d h w"], spacing: Spacing | None, drawn: Sequence[Strokes]) -> Placed:
        """Return labels on training canvases that lie where each slice is annotated.

        Parameters
        ----------
        labels, spacing
            As in `labels`.
        drawn
            The strokes of each slice, each of which keeps at least a pixel, or the structures of a dense slice, which
            is resampled by nearest neighbour alone.

        Raises
        ------
        InputError
            Where the grid is in mm and `spacing` is unknown.
        """
        small = self.resized((labels.shape[1], labels.shape[2]), spacing)
        resampled = _by_parts(labels, small, mode="nearest-exact")
        for k, each in enumerate(drawn):
            if not each.whole:
                resampled[k] = torch.from_numpy(restore(each, resampled[k].numpy()))
        seen = [each.visible(shown) for each, shown in zip(drawn, resampled.numpy(), strict=True)]
        corners = tuple(corner(each, self.size) for each in seen)
        target = _cut(resampled, (self.size, self.size), corners, IGNORE)
        held = [each.within(at, self.size).counts() for each, at in zip(seen, corners, strict=True)]
        return Placed(target, corners, tuple(each.counts() for each in seen), tuple(held))

    def restore(
        self, maps: Float[Tensor, "d k H W"], shape: tuple[int, int], spacing: Spacing | None
    ) -> Float[Tensor, "d k h w"]:
        """Return maps on the slices' own grid: the way back of `image`, for a canvas that was not cut.

        Parameters
        ----------
        maps
            Maps of k channels on a canvas, ``(d, k, H, W)``.
        shape
            Height and width of the slices in pixels.
        spacing
            Millimetres along d, h, w; None where unknown.

        Raises
        ------
        InputError
            Where the grid is in mm and `spacing` is unknown.
        """
        small = self.resized(shape, spacing)
        return F.interpolate(_centre(maps, small, 0), shape, mode="bilinear")


def shrunk(grid: Grid, entries: Sequence[Entry]) -> str:
    """Return a line on cases whose pixels are much finer than the grid's; empty if there are none.

    Examples
    --------
    >>> from maskmixadv.corpus.entry import Entry
    >>> large = Entry("a", "a", (1, 4000, 3000), None, scribble=True, dense=False, sha256="0")
    >>> print(shrunk(Grid(144), [large]))
    slices are shrunk in 1 of 1 cases: a pixel of the network's grid takes up to 27.8 of the image's (4000 × 3000 ...
    """
    found = []
    for entry in entries:
        if grid.holds(entry.spacing):
            _, h, w = entry.shape
            small = grid.resized((h, w), entry.spacing)
            if (factor := max(h / small[0], w / small[1])) > SHRUNK:
                found.append((factor, (h, w), small))
    if not found:
        return ""
    factor, large, small = max(found)
    mm = "" if grid.mm is None else f", {grid.mm:g} mm a pixel"
    return (
        f"slices are shrunk in {len(found)} of {len(entries)} cases: a pixel of the network's grid takes up to "
        f"{factor:.1f} of the image's ({large[0]} × {large[1]} become {small[0]} × {small[1]}{mm}); a larger --size, "
        f"up to {math.ceil(grid.size * factor)}, learns finer pixels in windows"
    )


def covering(shape: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Return the smallest canvas that holds `shape` and whose sides are multiples of `multiple`.

    Examples
    --------
    >>> from maskmixadv.sampling.grid import covering
    >>> covering((60, 40), 16)
    (64, 48)
    """
    h, w = (-(-side // multiple) * multiple for side in shape)
    return h, w


def strokes(labels: UInt8[np.ndarray, "d h w"], *, dense: bool | Bool[np.ndarray, "d"]) -> list[Strokes]:
    """Return the strokes of each slice; in `dense` slices, or masks, each structure of a slice counts as one.

    Examples
    --------
    >>> import numpy as np
    >>> from maskmixadv.sampling.grid import strokes
    >>> labels = np.full((2, 4, 4), 255, np.uint8)
    >>> labels[0, 0], labels[0, 3] = 0, 1
    >>> [len(each) for each in strokes(labels, dense=False)]
    [2, 0]
    """
    pairs = zip(labels, np.broadcast_to(dense, len(labels)), strict=True)
    return [Strokes.dense(each) if whole else Strokes.of(each) for each, whole in pairs]


def _by_parts(maps: Tensor, small: tuple[int, int], **how: Any) -> Tensor:  # noqa: ANN401
    """Resample slices, some at a time: as floats, those of a whole CT would take gigabytes."""
    at_once = max(1, PIXELS_AT_ONCE // math.prod(maps.shape[1:]))
    kind = maps.dtype if maps.is_floating_point() else torch.float
    parts = (F.interpolate(part[:, None].to(kind), small, **how)[:, 0] for part in maps.split(at_once))
    return torch.cat([part.to(maps.dtype) for part in parts])


def _cut(maps: Tensor, canvas: tuple[int, int], corners: Corners | None, fill: int) -> Tensor:
    """Pad the last two axes centrally, or cut them at each slice's corner; without corners centrally, too."""
    excess = [max(0, length - side) for length, side in zip(maps.shape[-2:], canvas, strict=True)]
    middle = (excess[0] // 2, excess[1] // 2)
    if corners is None or all(at == middle for at in corners):
        return _centre(maps, canvas, fill)
    narrowed = [
        each[top : top + canvas[0], left : left + canvas[1]] for each, (top, left) in zip(maps, corners, strict=True)
    ]
    return _centre(torch.stack(narrowed), canvas, fill)


def _centre(maps: Tensor, canvas: tuple[int, int], fill: int) -> Tensor:
    """Pad or cut the last two axes centrally; going to a larger canvas and back is the identity."""
    for axis, side in ((-2, canvas[0]), (-1, canvas[1])):
        excess = maps.shape[axis] - side
        if excess > 0:
            maps = maps.narrow(axis, excess // 2, side)
    missing_h, missing_w = canvas[0] - maps.shape[-2], canvas[1] - maps.shape[-1]
    top, left = missing_h // 2, missing_w // 2
    return F.pad(maps, (left, missing_w - left, top, missing_h - top), value=fill)
