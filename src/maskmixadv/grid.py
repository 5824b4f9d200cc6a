"""The pixels that a network sees, and the way from a volume's own grid to them and back."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from maskmixadv.data.corpus import IGNORE, Spacing
from maskmixadv.errors import InputError


@dataclass(frozen=True)
class Grid:
    """Square in-plane pixels; the through-plane axis is never resampled.

    Attributes
    ----------
    size
        Side of the training canvas in pixels.
    mm
        Millimetres per pixel. None, for corpora of unknown spacing: a slice's longer side is `size` pixels.
    """

    size: int
    mm: float | None = None

    def resized(self, shape: tuple[int, int], spacing: Spacing | None) -> tuple[int, int]:
        """In-plane shape on this grid of slices of `shape` pixels (h, w).

        Raises
        ------
        InputError
            Where the grid is in mm and `spacing` (mm; d, h, w) is unknown.
        """
        if spacing is None and self.mm is not None:
            raise InputError(
                f"image has no voxel spacing, and the grid is in mm ({self.mm} mm a pixel); give images with spacing"
            )
        _, step_h, step_w = spacing or (1.0, 1.0, 1.0)
        extent = (shape[0] * step_h, shape[1] * step_w)
        mm = self.mm or max(extent) / self.size
        return max(1, round(extent[0] / mm)), max(1, round(extent[1] / mm))

    def image(
        self, image: Float[Tensor, "d h w"], spacing: Spacing | None, canvas: tuple[int, int] | None = None
    ) -> Float[Tensor, "d H W"]:
        """Resample slices, then pad with 0 or cut centrally to `canvas` (default: `size` × `size`)."""
        small = self.resized((image.shape[1], image.shape[2]), spacing)
        resampled = F.interpolate(image[:, None], small, mode="bilinear", antialias=True)[:, 0]
        return _centre(resampled, canvas or (self.size, self.size), 0)

    def labels(self, labels: UInt8[Tensor, "d h w"], spacing: Spacing | None) -> UInt8[Tensor, "d H W"]:
        """Resample labels by nearest neighbour to the training canvas, ``IGNORE`` beyond the image."""
        small = self.resized((labels.shape[1], labels.shape[2]), spacing)
        resampled = F.interpolate(labels[:, None].float(), small, mode="nearest-exact")[:, 0]
        return _centre(resampled.to(torch.uint8), (self.size, self.size), IGNORE)

    def restore(
        self, maps: Float[Tensor, "d k H W"], shape: tuple[int, int], spacing: Spacing | None
    ) -> Float[Tensor, "d k h w"]:
        """Way back of `image`: cut the padding off and resample to `shape` pixels (h, w)."""
        small = self.resized(shape, spacing)
        return F.interpolate(_centre(maps, small, 0), shape, mode="bilinear")


def covering(shape: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Return the smallest canvas that holds `shape` and whose sides are multiples of `multiple`."""
    h, w = (-(-side // multiple) * multiple for side in shape)
    return h, w


def _centre(maps: Tensor, canvas: tuple[int, int], fill: int) -> Tensor:
    """Pad or cut the last two axes centrally; going to a larger canvas and back is the identity."""
    for axis, side in ((-2, canvas[0]), (-1, canvas[1])):
        excess = maps.shape[axis] - side
        if excess > 0:
            maps = maps.narrow(axis, excess // 2, side)
    missing_h, missing_w = canvas[0] - maps.shape[-2], canvas[1] - maps.shape[-1]
    top, left = missing_h // 2, missing_w // 2
    return F.pad(maps, (left, missing_w - left, top, missing_h - top), value=fill)
