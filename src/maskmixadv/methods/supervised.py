"""Full supervision: learn from dense masks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from maskmixadv.methods.method import Method, Phase, check_weights
from maskmixadv.methods.pce_dice import labelled_terms
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Task
from maskmixadv.types import Supervision


@final
@dataclass(frozen=True)
class Supervised(Method):
    """Cross-entropy and Dice on dense masks: the result that learning from strokes is compared with.

    Attributes
    ----------
    ce
        Weight of the cross-entropy over all pixels, at least 0.
    dice
        Weight of the Dice loss over all pixels, at least 0.

    Raises
    ------
    InputError
        Where a weight is negative, or both are 0.

    Examples
    --------
    >>> from maskmixadv.methods import Supervised, first_terms
    >>> Supervised.supervision, list(first_terms(Supervised()))
    ('dense', ['net/ce', 'net/dice'])
    """

    supervision: ClassVar[Supervision] = "dense"

    ce: float = 0.5
    dice: float = 0.5

    def __post_init__(self) -> None:
        check_weights(self, "ce", "dice", some=True)

    def players(self, task: Task) -> dict[str, nn.Module]:
        """One U-Net."""
        return {"net": UNet(task.channels, len(task.classes))}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Minimise cross-entropy and Dice loss of all pixels."""
        yield Phase("net", labelled_terms(nets["net"](batch.image), batch, ce=self.ce, dice=self.dice))
