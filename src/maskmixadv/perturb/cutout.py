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
    """A square is hidden from the first view; the second is the image as it is (DeVries and Taylor, 2017).

    Differs from the paper, which has one view. The complement of the first view would show the square alone, which is
    next to nothing; so the second view shows the whole image. Where both views show a pixel, the mean of their maps is
    taken.

    Attributes
    ----------
    side
        Side of the square, as a fraction of the window's, in (0, 1].

    Raises
    ------
    InputError
        Where `side` is not allowed.

    Examples
    --------
    >>> from maskmixadv.perturb import Cutout
    >>> from maskmixadv.tensors import Batch
    >>> views = Cutout(side=0.25)(Batch.example(samples=1))
    >>> views.hidden[0].sum().item() <= 8 * 8  # a quarter of 32 pixels, clipped at the rim
    True
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
    """Draw a square for each sample: 1 within it, 0 elsewhere.

    Its centre is uniform over the window, at whose rim it is clipped.

    Parameters
    ----------
    side
        Side of the square as a fraction of the window's height and width.
    batch
        Gives the window and the random numbers.

    Examples
    --------
    >>> from maskmixadv.perturb.cutout import squares
    >>> from maskmixadv.tensors import Batch
    >>> squares(0.25, Batch.example(samples=3)).shape
    torch.Size([3, 1, 32, 32])
    """
    b, _, h, w = batch.image.shape
    device = batch.image.device
    return boxes(torch.full((b,), side, device=device), batch, h=h, w=w)


def boxes(side: torch.Tensor, batch: Batch, *, h: int, w: int) -> Indicator:
    """Draw a box for each sample, as `squares` does, with sides of their own.

    Parameters
    ----------
    side
        Side of each box as a fraction of the window's height and width, ``(b,)``.
    batch
        Gives the random numbers.
    h, w
        Height and width of the window in pixels.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb.cutout import boxes
    >>> from maskmixadv.tensors import Batch
    >>> boxes(torch.tensor([0.0, 2.0]), Batch.example(), h=16, w=16).mean((1, 2, 3))
    tensor([0., 1.])
    """
    centre = torch.rand(2, len(side), 1, generator=batch.rng, device=side.device)
    reach = side[:, None] / 2
    rows, columns = ((torch.arange(n, device=side.device) + 0.5) / n for n in (h, w))
    tall, wide = (rows - centre[0]).abs() <= reach, (columns - centre[1]).abs() <= reach
    return (tall[:, None, :, None] & wide[:, None, None, :]).float()
