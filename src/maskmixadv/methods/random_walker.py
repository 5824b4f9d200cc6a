"""Learn from what a random walker makes of the scribbles."""

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
    """Cross-entropy and Dice on labels that a random walker (Grady, IEEE TPAMI 2006) makes of the scribbles.

    Differs from the released code: there, a slice without strokes of one of the structures becomes background
    altogether. What stays unknown here is said in `maskmixadv.strokes.walker`.

    Attributes
    ----------
    ce
        Weight of the cross-entropy over known pixels, at least 0.
    dice
        Weight of the Dice loss over known pixels, at least 0.
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
        """Minimise both losses of the known pixels."""
        yield Phase("net", labelled_terms(nets["net"](batch.image), batch, ce=self.ce, dice=self.dice))
