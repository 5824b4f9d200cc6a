"""Perturbations: a frozen dataclass each, that makes two views of a batch and knows the way back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from maskmixadv.errors import InputError
from maskmixadv.types import Batch, Image, Labels

Mask = Float[Tensor, "b 1 h w"]
"""1 where a pixel is visible in the first view, 0 where it is in the second."""


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

    Differs from the released code: each sample has its own mask, where the batch shared one.

    Attributes
    ----------
    ratio
        Fraction of cells visible in the first view, in (0, 1).
    patch
        Side of a cell in pixels.
    """

    ratio: float = 0.5
    patch: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise InputError(f"ratio: {self.ratio}, allowed is a fraction between 0 and 1, both excluded")
        if self.patch < 1:
            raise InputError(f"patch: {self.patch}, allowed is a side of at least 1 pixel")

    def draw(self, batch: Batch) -> Mask:
        """Draw a mask for every sample: exactly ``int(ratio * cells)`` cells are 1."""
        b, _, h, w = batch.image.shape
        rows, columns = -(-h // self.patch), -(-w // self.patch)
        noise = torch.rand(b, rows * columns, generator=batch.rng, device=batch.image.device)
        rank = noise.argsort(1).argsort(1)
        cells = (rank < int(self.ratio * rows * columns)).float().view(b, 1, rows, columns)
        return cells.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)[..., :h, :w]

    def __call__(self, batch: Batch) -> Views:
        """Two views of the images of `batch`."""
        mask = self.draw(batch)
        return Views(split(batch.image, mask), (batch.target, batch.target), merging(mask))


def split(maps: Tensor, mask: Mask) -> tuple[Tensor, Tensor]:
    """What each view sees of `maps`, 0 elsewhere."""
    return mask * maps, (1 - mask) * maps


def merging(mask: Mask) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the way back: each view's map where that view saw its input."""
    return lambda first, second: mask * first + (1 - mask) * second
