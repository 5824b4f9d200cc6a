"""Perturbations: a frozen dataclass each, that makes two views of a batch and knows the way back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from maskmixadv.errors import InputError
from maskmixadv.types import Batch, Image, Labels

Mask = Float[Tensor, "b 1 h w"]
"""1 where a view sees a pixel, 0 where it is hidden from it."""


class Masks(NamedTuple):
    """What two views see; every pixel is seen by one of them at least.

    Attributes
    ----------
    first, second
        Masks of the two views.
    whole
        So many samples, the first ones, are seen whole by both.
    """

    first: Mask
    second: Mask
    whole: int = 0

    def split(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """What each view sees of `maps`, 0 elsewhere; at a coarser scale where the maps have one."""
        return _shrunk(self.first, maps) * maps, _shrunk(self.second, maps) * maps

    def merge(self, first: Tensor, second: Tensor) -> Tensor:
        """Each view's map where that view saw its input, the mean where both did."""
        return (self.first * first + self.second * second) / (self.first + self.second)


class Views(NamedTuple):
    """Two views of a batch.

    Attributes
    ----------
    images
        The two views.
    targets
        Labels valid in each.
    merge
        Maps of the first and of the second view to one map in the batch's own frame; of the images themselves
        it gives the batch's image.
    """

    images: tuple[Image, Image]
    targets: tuple[Labels, Labels]
    merge: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class MaskMix:
    """Two complementary random masks on a coarse grid: what one view hides, the other shows.

    Differs from the released code: each sample has its own masks, where the batch shared one; and some samples
    may be left whole.

    Attributes
    ----------
    ratio
        Fraction of cells visible in the first view, in (0, 1).
    patch
        Side of a cell in pixels.
    whole
        Fraction of the samples that both views see whole, in [0, 1].
    """

    ratio: float = 0.5
    patch: int = 8
    whole: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise InputError(f"ratio: {self.ratio}, allowed is a fraction between 0 and 1, both excluded")
        if self.patch < 1:
            raise InputError(f"patch: {self.patch}, allowed is a side of at least 1 pixel")
        if not 0 <= self.whole <= 1:
            raise InputError(f"whole: {self.whole}, allowed is a fraction from 0 to 1")

    def draw(self, batch: Batch) -> Masks:
        """Draw masks: ``int(ratio * cells)`` cells are the first view's, ``int(whole * b)`` samples are whole."""
        b, _, h, w = batch.image.shape
        rows, columns = -(-h // self.patch), -(-w // self.patch)
        noise = torch.rand(b, rows * columns, generator=batch.rng, device=batch.image.device)
        rank = noise.argsort(1).argsort(1)
        cells = (rank < int(self.ratio * rows * columns)).float().view(b, 1, rows, columns)
        mask = cells.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)[..., :h, :w]
        # A batch's slices come in random order, so the first ones are any.
        whole = int(self.whole * b)
        seen = (torch.arange(b, device=mask.device) < whole).float().view(b, 1, 1, 1)
        return Masks(mask.maximum(seen), (1 - mask).maximum(seen), whole)

    def __call__(self, batch: Batch) -> Views:
        """Two views of the images of `batch`."""
        masks = self.draw(batch)
        return Views(masks.split(batch.image), (batch.target, batch.target), masks.merge)


def _shrunk(mask: Mask, maps: Float[Tensor, "b f h2 w2"]) -> Float[Tensor, "b 1 h2 w2"]:
    """Take the mask at the maps' scale: exact where a cell's side is a multiple of that scale's stride."""
    return F.interpolate(mask, maps.shape[-2:], mode="nearest-exact")
