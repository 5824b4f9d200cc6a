"""The default method: learn from labels on which random walks from the strokes and a mean teacher agree."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskmixadv.errors import InputError
from maskmixadv.methods.method import Descent, Method, Phase, check_fractions, check_weights, lazily, player
from maskmixadv.methods.parts.critic import critic_loss
from maskmixadv.methods.parts.teacher import Teacher, check_decay, settled, sigmoid_rampup
from maskmixadv.networks.critic import Critic
from maskmixadv.networks.losses import adversarial, dice_loss, most_probable, one_hot, partial_cross_entropy
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Belief, Probs, Task


class Advisor(Teacher):
    """A mean teacher without dropout that combines its prediction with random walks from the strokes.

    Parameters
    ----------
    net
        The network to follow.
    odds
        Factor of each class's probability before a class is chosen, above 0.

    Examples
    --------
    >>> from maskmixadv.methods.walk_teacher import Advisor
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.tensors import Batch
    >>> advisor, batch = Advisor(UNet(1, 4), odds=[1.0, 1.0, 0.5, 1.0]), Batch.example()
    >>> advisor.advise(batch, trust=1.0).sum(1).mean().item()
    1.0
    """

    odds: Float[Tensor, "k 1 1"]

    def __init__(self, net: nn.Module, odds: list[float]) -> None:
        super().__init__(net)
        self.register_buffer("odds", torch.tensor(odds)[:, None, None])

    def train(self, mode: bool = True) -> "Advisor":  # noqa: ARG002
        """Stay in evaluation mode: nothing is dropped."""
        nn.Module.train(self, False)
        return self

    def advise(self, batch: Batch, trust: float) -> Probs:
        """Return class probabilities; pixels of strokes have their stroke's class for sure.

        Parameters
        ----------
        batch
            What is segmented, with beliefs.
        trust
            How much the teacher counts beside the walks, at least 0. Where the walks say nothing, it alone decides.

        Raises
        ------
        InputError
            Where the batch has no beliefs.
        """
        if batch.belief is None:
            raise InputError("walk-teacher: the batch has no beliefs; load its slices with beliefs")
        heard = max(trust, 1e-3) * self(batch.image) * _drawn(batch.belief)
        voices = (batch.belief + heard) * self.odds
        strokes = one_hot(batch.target, voices.shape[1])
        drawn = strokes.sum(1, keepdim=True)
        return strokes + (1 - drawn) * voices / voices.sum(1, keepdim=True).clamp(min=1e-12)


def _drawn(belief: Belief) -> Float[Tensor, "b k 1 1"]:
    """1 for classes that walks reach, since strokes show each class of a slice; 1 for all where there are no walks."""
    reached = belief.amax((2, 3), keepdim=True) > 0
    return (reached | ~reached.any(1, keepdim=True)).float()


@final
@dataclass(frozen=True)
class WalkTeacher(Method):
    """Learn from labels on which random walks and a mean teacher agree: this project's own method.

    Attributes
    ----------
    ce
        Weight of the cross-entropy over the strokes' pixels, at least 0.
    pse
        Weight of the losses against the agreed labels, at least 0.
    trust
        How much the teacher counts beside the walks, at the end of `ramp`, at least 0.
    ramp
        Fraction of the run over which that rises from nearly 0, in [0, 1].
    decay
        Fraction of itself that the teacher keeps in a step, in [0, 1).
    thin
        Names of classes that are thin walls, with commas between them, such as ``Myo``. By default there are none,
        since names must not steer what is learnt. Names that a task does not have are ignored.
    odds
        Factor of a thin class's probability before the agreed label is chosen, above 0.
    adv
        Weight of a critic's opinion of the network's soft map, as in MaskMixAdv, at least 0. The critic needs masks of
        other patients; by default there is none.
    every
        Steps from one round of the critic to the next; it then counts that many times as much. None: 1 under SGD, 4
        under other optimisers, as in MaskMixAdv.

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> from maskmixadv.methods import WalkTeacher, first_terms
    >>> list(first_terms(WalkTeacher(thin="Myo")))
    ['net/ce', 'net/pse-ce', 'net/pse-dice']
    """

    believes: ClassVar[bool] = True

    ce: float = 1.0
    pse: float = 1.0
    trust: float = 1.0
    ramp: float = 0.3
    decay: float = 0.99
    thin: str = ""
    odds: float = 0.5
    adv: float = 0.0
    every: int | None = None

    def __post_init__(self) -> None:
        check_weights(self, "ce", "pse", "trust", "odds", "adv")
        if not self.odds:
            raise InputError("odds: 0, allowed is a number above 0")
        if not (self.ce or self.pse):
            raise InputError("ce, pse: both 0, at least one must be larger")
        if self.every is not None and self.every < 1:
            raise InputError(f"every: {self.every}, allowed is at least 1 step")
        check_fractions(self, "ramp")
        check_decay(self.decay)

    @property
    def wants_prior(self) -> bool:
        """Whether there is a critic, which needs masks of other patients."""
        return self.adv > 0

    def under(self, schedule: Descent) -> "WalkTeacher":
        """Return the method with `every` decided."""
        return self if self.every is not None else replace(self, every=lazily(schedule))

    def kind(self, step: int, progress: float) -> Hashable | None:
        """Return None until trust and teacher have settled; then whether the critic has its round."""
        now = self._criticised(step)
        return now if settled(progress=progress, ramp=self.ramp, step=step, decay=self.decay) else None

    def players(self, task: Task) -> dict[str, nn.Module]:
        """Return the network, its teacher, and the critic where it has a weight."""
        net = UNet(task.channels, len(task.classes))
        thin = self.thin.split(",")
        teacher = Advisor(net, [self.odds if name in thin else 1.0 for name in task.classes])
        critic = {"critic": Critic(len(task.classes))} if self.adv else {}
        return {"net": net, "teacher": teacher, **critic}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Learn from strokes and agreed labels; then the teacher follows, and the critic learns."""
        teacher = player(nets, "teacher", Advisor)
        agreed = most_probable(teacher.advise(batch, self.trust * sigmoid_rampup(batch.progress, self.ramp)))
        logits = nets["net"](batch.image)
        soft = logits.softmax(1)
        terms = {
            "ce": self.ce * partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "pse-ce": self.pse * F.cross_entropy(logits, agreed.long()),
            "pse-dice": self.pse * dice_loss(probs=soft, target=agreed),
        }
        now = self._criticised(batch.step)
        if now:
            terms["adv"] = (self.every or 1) * self.adv * adversarial(nets["critic"](soft), real=True)
        yield Phase("net", terms)
        teacher.follow(nets["net"], step=batch.step, decay=self.decay)
        if now:
            yield Phase("critic", {"critic": critic_loss(nets["critic"], soft.detach(), batch)})

    def _criticised(self, step: int) -> bool:
        return self.adv > 0 and step % (self.every or 1) == 0
