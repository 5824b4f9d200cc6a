"""Copy-paste: parts of densely labelled slices stand in other slices (Bai et al., CVPR 2023)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from maskmixadv.errors import InputError
from maskmixadv.tensors import Batch, Image, Labels, Weight
from maskmixadv.types import IGNORE


def pasted(batch: Batch, place: Bool[Tensor, "b h w"]) -> Image:
    """Return the images of a batch with its dense slices in place of its own where `place` is true.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from maskmixadv.methods.parts.copy_paste import pasted
    >>> from maskmixadv.tensors import Batch
    >>> batch = replace(Batch.example(), dense=Batch.example())
    >>> bool((pasted(batch, torch.ones(2, 32, 32, dtype=torch.bool)) == batch.dense.image).all())
    True
    """
    if batch.dense is None:
        raise InputError("walk-teacher: the batch has no dense slices to paste")
    mixed = torch.where(place[:, None], batch.dense.image, batch.image)
    return mixed.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Targets:
    """What the network learns of a step's images: what is known of them, and their pseudo-labels.

    Attributes
    ----------
    target
        What is known, ``(b, h, w)``, ``IGNORE`` elsewhere.
    weight
        How much each known pixel counts, ``(b, h, w)``.
    pseudo
        The pseudo-labels: the likeliest class, ``(b, h, w)``.
    ce_weight, dice_weight
        How much each pixel counts in cross-entropy and Dice against them, ``(b, h, w)``; None: all count alike.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.parts.copy_paste import Targets
    >>> from maskmixadv.tensors import Batch
    >>> batch, sure = Batch.example(), torch.ones(2, 32, 32)
    >>> targets = Targets(batch.target, batch.weight, batch.target, sure, dice_weight=None)
    >>> bool((targets.pasted(batch, torch.zeros(2, 32, 32, dtype=torch.bool)).target == batch.target).all())
    True
    """

    target: Labels
    weight: Weight
    pseudo: Labels
    ce_weight: Weight
    dice_weight: Weight | None

    def pasted(self, dense: Batch, place: Bool[Tensor, "b h w"]) -> "Targets":
        """Return them with dense slices in place of its own where `place` is true.

        There the masks are the pseudo-labels. They are no strokes: `target` and `weight` know nothing of them.
        """
        labelled = (dense.target != IGNORE).float()
        return Targets(
            target=self.target.masked_fill(place, IGNORE),
            weight=self.weight.masked_fill(place, 0),
            pseudo=torch.where(place, dense.target.masked_fill(dense.target == IGNORE, 0), self.pseudo),
            ce_weight=torch.where(place, labelled, self.ce_weight),
            dice_weight=torch.where(
                place, labelled, torch.ones_like(labelled) if self.dice_weight is None else self.dice_weight
            ),
        )


def places(batch: Batch, share: float) -> Bool[Tensor, "b h w"]:
    """Draw where one slice is put into another: within a rectangle, in every second sample beyond it.

    Parameters
    ----------
    batch
        Gives the shape and the random numbers.
    share
        Fraction of the samples that are mixed, in [0, 1].

    Examples
    --------
    >>> from maskmixadv.methods.parts.copy_paste import places
    >>> from maskmixadv.tensors import Batch
    >>> places(Batch.example(), 0.0).any().item(), places(Batch.example(), 1.0).any().item()
    (False, True)
    """
    b, _, h, w = batch.image.shape
    device = batch.image.device
    drawn = torch.rand(b, 5, 1, generator=batch.rng, device=device)
    size, middle = 0.3 + 0.5 * drawn[:, 0:2], 0.15 + 0.7 * drawn[:, 2:4]
    near = [
        (torch.arange(side, device=device) / side - middle[:, axis]).abs() < size[:, axis] / 2
        for axis, side in enumerate((h, w))
    ]
    beyond = (torch.arange(b, device=device) % 2 == 1)[:, None, None]
    return ((near[0][:, :, None] & near[1][:, None, :]) ^ beyond) & (drawn[:, 4:] < share)
