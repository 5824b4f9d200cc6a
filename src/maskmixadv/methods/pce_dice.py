"""Partial cross-entropy and partial Dice."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

from torch import nn

from maskmixadv.methods.method import Method, Phase, check_weights
from maskmixadv.networks.losses import partial_cross_entropy, partial_dice
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Logits, Loss, Task


@final
@dataclass(frozen=True)
class PCEDice(Method):
    """Partial cross-entropy and partial Dice: what nnU-Net does with its ignore label.

    Gotkowski et al., *Embarrassingly Simple Scribble Supervision for 3D Medical Segmentation* (2024).

    Differs from the paper: the Dice loss is this project's, with squared denominators and with the background.

    Attributes
    ----------
    ce
        Weight of the cross-entropy over labelled pixels, at least 0.
    dice
        Weight of the Dice loss over labelled pixels, at least 0.

    Raises
    ------
    InputError
        Where a weight is negative, or both are 0.

    Examples
    --------
    >>> from maskmixadv.methods import PCEDice, first_terms
    >>> list(first_terms(PCEDice(dice=0.5)))
    ['net/ce', 'net/dice']
    """

    ce: float = 1.0
    dice: float = 1.0

    def __post_init__(self) -> None:
        check_weights(self, "ce", "dice", some=True)

    def players(self, task: Task) -> dict[str, nn.Module]:
        """One U-Net."""
        return {"net": UNet(task.channels, len(task.classes))}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Minimise cross-entropy and Dice loss of the labelled pixels."""
        yield Phase("net", labelled_terms(nets["net"](batch.image), batch, ce=self.ce, dice=self.dice))


def labelled_terms(logits: Logits, batch: Batch, *, ce: float, dice: float) -> dict[str, Loss]:
    """Return the weighted cross-entropy and Dice loss over the pixels that carry a label, as ``ce`` and ``dice``.

    Parameters
    ----------
    logits
        Scores of the batch's images, ``(b, k, h, w)``.
    batch
        Gives labels and weights of pixels.
    ce, dice
        Weights of the losses.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.pce_dice import labelled_terms
    >>> from maskmixadv.tensors import Batch
    >>> labelled_terms(torch.zeros(2, 4, 32, 32), Batch.example(), ce=1.0, dice=0.0)["ce"]  # log 4
    tensor(1.386)
    """
    return {
        "ce": ce * partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
        "dice": dice * partial_dice(probs=logits.softmax(1), target=batch.target),
    }
