"""The flagship: a teacher and random walks from the strokes agree on labels, from which the network learns."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskmixadv.errors import InputError
from maskmixadv.losses import dice_loss, most_probable, one_hot, partial_cross_entropy
from maskmixadv.methods.method import Method, Phase, check_fractions, check_weights, player
from maskmixadv.methods.teacher import Teacher, check_decay, settled, sigmoid_rampup
from maskmixadv.nets import UNet
from maskmixadv.types import Batch, Belief, Probs, Task


class Advisor(Teacher):
    """A teacher without dropout, which hears the walks from the strokes before it speaks.

    Parameters
    ----------
    net
        The network to follow.
    odds
        What each class's probabilities are multiplied by before one is chosen.
    """

    odds: Float[Tensor, "k 1 1"]

    def __init__(self, net: nn.Module, odds: list[float]) -> None:
        super().__init__(net)
        self.register_buffer("odds", torch.tensor(odds)[:, None, None])

    def train(self, mode: bool = True) -> "Advisor":  # noqa: ARG002
        """Keep the one mode that there is: nothing is dropped."""
        nn.Module.train(self, False)
        return self

    def advise(self, batch: Batch, trust: float) -> Probs:
        """Class probabilities, of which the strokes are sure.

        Parameters
        ----------
        batch
            With beliefs.
        trust
            What the teacher counts beside the walks, at least 0. Where those say nothing, it is heard alone.
        """
        if batch.belief is None:
            raise InputError("flagship: the batch has no beliefs; load its slices with beliefs")
        heard = max(trust, 1e-3) * self(batch.image) * _drawn(batch.belief)
        voices = (batch.belief + heard) * self.odds
        strokes = one_hot(batch.target, voices.shape[1])
        drawn = strokes.sum(1, keepdim=True)
        return strokes + (1 - drawn) * voices / voices.sum(1, keepdim=True).clamp(min=1e-12)


def _drawn(belief: Belief) -> Float[Tensor, "b k 1 1"]:
    """1 for classes that walks reach at all, as strokes show each one that a slice has; for all where none walks."""
    reached = belief.amax((2, 3), keepdim=True) > 0
    return (reached | ~reached.any(1, keepdim=True)).float()


@final
@dataclass(frozen=True)
class Flagship(Method):
    """Learn from labels on which random walks and a mean teacher agree.

    Attributes
    ----------
    ce
        Weight of the cross-entropy over the strokes' pixels, at least 0.
    pse
        Weight of the losses against the agreed labels, at least 0.
    trust
        What the teacher counts beside the walks, at the end of `ramp`.
    ramp
        Fraction of the run over which that rises from nearly 0.
    decay
        What the teacher keeps of itself in a step, 0 to below 1.
    thin
        Names of classes that are thin walls, with commas between them; names that a task does not have are left out.
    odds
        What a thin class's probability is multiplied by before the agreed label is chosen, above 0.
    """

    believes: ClassVar[bool] = True

    ce: float = 1.0
    pse: float = 1.0
    trust: float = 1.0
    ramp: float = 0.3
    decay: float = 0.99
    thin: str = "Myo"
    odds: float = 0.5

    def __post_init__(self) -> None:
        check_weights(self, "ce", "pse", "trust", "odds")
        check_fractions(self, "ramp")
        check_decay(self.decay)

    def kind(self, step: int, progress: float) -> Hashable | None:
        """Steps are alike once trust and teacher have settled."""
        return () if settled(progress=progress, ramp=self.ramp, step=step, decay=self.decay) else None

    def players(self, task: Task) -> dict[str, nn.Module]:
        """The network, and its teacher."""
        net = UNet(task.channels, len(task.classes))
        thin = self.thin.split(",")
        return {"net": net, "teacher": Advisor(net, [self.odds if name in thin else 1.0 for name in task.classes])}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Learn from strokes and agreed labels; then the teacher follows."""
        teacher = player(nets, "teacher", Advisor)
        agreed = most_probable(teacher.advise(batch, self.trust * sigmoid_rampup(batch.progress, self.ramp)))
        logits = nets["net"](batch.image)
        terms = {
            "ce": self.ce * partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "pse-ce": self.pse * F.cross_entropy(logits, agreed.long()),
            "pse-dice": self.pse * dice_loss(probs=logits.softmax(1), target=agreed),
        }
        yield Phase("net", terms)
        teacher.follow(nets["net"], step=batch.step, decay=self.decay)
