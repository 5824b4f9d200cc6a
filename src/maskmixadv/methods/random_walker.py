"""Learn from the labels that a random walker makes of the strokes."""

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
class RandomWalker(Method):
    """Cross-entropy and Dice on labels that a random walker (Grady, IEEE TPAMI 2006) makes of the strokes.

    Differs from the released code, in which a slice without strokes of one of the structures becomes background
    altogether. `maskmixadv.strokes.walker` says which pixels stay unknown here.

    Attributes
    ----------
    ce
        Weight of the cross-entropy over known pixels, at least 0.
    dice
        Weight of the Dice loss over known pixels, at least 0.

    Raises
    ------
    InputError
        Where a weight is negative, or both are 0.

    Examples
    --------
    >>> from maskmixadv.methods import RandomWalker, first_terms
    >>> RandomWalker.supervision, list(first_terms(RandomWalker()))
    ('random_walker', ['net/ce', 'net/dice'])
    """

    supervision: ClassVar[Supervision] = "random_walker"

    ce: float = 0.5
    dice: float = 0.5

    def __post_init__(self) -> None:
        check_weights(self, "ce", "dice", some=True)

    def players(self, task: Task) -> dict[str, nn.Module]:
        """One U-Net."""
        return {"net": UNet(task.channels, len(task.classes))}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Minimise cross-entropy and Dice loss of the known pixels."""
        yield Phase("net", labelled_terms(nets["net"](batch.image), batch, ce=self.ce, dice=self.dice))
