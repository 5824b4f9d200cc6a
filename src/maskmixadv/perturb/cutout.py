"""Cutout: one view lacks a square."""

from dataclasses import dataclass
from typing import final

import torch

from maskmixadv.errors import InputError
from maskmixadv.perturb.maskmix import ViewMasks
from maskmixadv.perturb.perturbation import Forward, Perturbation, Views, in_place
from maskmixadv.tensors import Batch, Indicator

SIDE = 0.15
"""Of the window: the 32 pixels of CycleMix's 212."""


@final
@dataclass(frozen=True)
class Cutout(Perturbation):
    """A square is hidden from the first view; the second is the image as it came (DeVries & Taylor, 2017).

    Differs from the paper: there is one view. A second that saw the square alone would be the complement, and
    would see next to nothing; so the clean image stands beside the cut one, and where both saw a pixel, the mean
    of their maps is taken.

    Attributes
    ----------
    side
        Of the square, as a fraction of the window's, in (0, 1].
    """

    side: float = SIDE

    def __post_init__(self) -> None:
        if not 0 < self.side <= 1:
            raise InputError(f"side: {self.side}, allowed is a fraction above 0, at most 1")

    def draw(self, batch: Batch) -> ViewMasks:
        """Draw a square for each sample."""
        seen = 1 - squares(self.side, batch)
        return ViewMasks(seen, torch.ones_like(seen))

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:  # noqa: ARG002
        """Return the cut images and the clean ones."""
        masks = self.draw(batch)
        return in_place(batch, masks.split(batch.image), masks.merge, hidden=masks.hidden)


def squares(side: float, batch: Batch) -> Indicator:
    """Draw one square a sample, its centre uniform over the window, clipped at the rim; 1 within."""
    b, _, h, w = batch.image.shape
    device = batch.image.device
    return boxes(torch.full((b,), side, device=device), batch, h=h, w=w)


def boxes(side: torch.Tensor, batch: Batch, *, h: int, w: int) -> Indicator:
    """Draw one box a sample, of `side` times the window's height and width; as `squares`."""
    centre = torch.rand(2, len(side), 1, generator=batch.rng, device=side.device)
    reach = side[:, None] / 2
    rows, columns = ((torch.arange(n, device=side.device) + 0.5) / n for n in (h, w))
    tall, wide = (rows - centre[0]).abs() <= reach, (columns - centre[1]).abs() <= reach
    return (tall[:, None, :, None] & wide[:, None, None, :]).float()
