"""Mean teacher under strokes: agree with the average of past networks, under noise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn
from torch.nn import functional as F  # noqa: N812

from maskmixadv.methods.method import Method, Phase, check_fractions, check_weights, player
from maskmixadv.methods.parts.teacher import Teacher, check_decay, pace
from maskmixadv.methods.parts.views import noisy
from maskmixadv.networks.losses import partial_cross_entropy
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Task


@final
@dataclass(frozen=True)
class MeanTeacher(Method):
    """Mean teacher (Tarvainen and Valpola, NeurIPS 2017) with strokes instead of labelled images.

    Differs from the released code, in which the teacher keeps its random weights: here it follows the student.

    Attributes
    ----------
    weight
        Weight of the consistency with the teacher, at the end of `ramp`.
    ramp
        Fraction of the run over which that weight rises, in [0, 1]; with 0 it is whole from the first step.
    decay
        Fraction of itself that the teacher keeps in a step, in [0, 1).
    noise
        Standard deviation of the noise on the teacher's image, in intensities; cut off at twice that.

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> from maskmixadv.methods import MeanTeacher, first_terms
    >>> list(first_terms(MeanTeacher(weight=0.5)))
    ['net/pce', 'net/consistency']
    """

    semi_supervised: ClassVar[bool] = True

    weight: float = 0.1
    ramp: float = 1.0
    decay: float = 0.99
    noise: float = 0.1

    def __post_init__(self) -> None:
        check_weights(self, "weight", "noise")
        check_fractions(self, "ramp")
        check_decay(self.decay)

    def scalars(self, step: int, progress: float) -> dict[str, float]:
        """Return how far weight and teacher have come."""
        return pace(step, progress, ramp=self.ramp, decay=self.decay)

    def players(self, task: Task) -> dict[str, nn.Module]:
        """Return the student, which is evaluated, and its teacher."""
        net = UNet(task.channels, len(task.classes), biases=task.biases)
        return {"net": net, "teacher": Teacher(net)}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Learn from labels, and from the teacher's prediction of a noisier image; then the teacher follows."""
        teacher, now = player(nets, "teacher", Teacher), self.now(batch)
        logits = nets["net"](batch.image)
        opinion = teacher(noisy(batch.image, self.noise, batch.rng))
        terms = {
            "pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "consistency": self.weight * now["rise"] * F.mse_loss(logits.softmax(1), opinion),
        }
        yield Phase("net", terms)
        teacher.follow(nets["net"], keep=now["keep"])
