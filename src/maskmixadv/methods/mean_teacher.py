"""Mean teacher under scribbles: agree with the average of your own past under noise."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

from torch import nn
from torch.nn import functional as F  # noqa: N812

from maskmixadv.methods.method import Method, Phase, check_fractions, check_weights, player
from maskmixadv.methods.parts.teacher import Teacher, check_decay, settled, sigmoid_rampup
from maskmixadv.methods.parts.views import noisy
from maskmixadv.networks.losses import partial_cross_entropy
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Task


@final
@dataclass(frozen=True)
class MeanTeacher(Method):
    """Mean teacher (Tarvainen and Valpola, NeurIPS 2017) with strokes in place of labelled images.

    Differs from the released code: the teacher follows the student; there it kept its random weights.

    Attributes
    ----------
    weight
        Of the consistency with the teacher, at the end of `ramp`.
    ramp
        Fraction of the run over which that weight rises, from 0 to 1; 0 has it whole from the first step.
    decay
        What the teacher keeps of itself in a step, 0 to below 1.
    noise
        Standard deviation of the noise on the teacher's image, in intensities of [0, 1]; cut off at twice that.
    """

    weight: float = 0.1
    ramp: float = 1.0
    decay: float = 0.99
    noise: float = 0.1

    def __post_init__(self) -> None:
        check_weights(self, "weight", "noise")
        check_fractions(self, "ramp")
        check_decay(self.decay)

    def kind(self, step: int, progress: float) -> Hashable | None:
        """Steps are alike once weight and teacher have settled."""
        return () if settled(progress=progress, ramp=self.ramp, step=step, decay=self.decay) else None

    def players(self, task: Task) -> dict[str, nn.Module]:
        """The student, which is scored, and its teacher."""
        net = UNet(task.channels, len(task.classes))
        return {"net": net, "teacher": Teacher(net)}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Learn from labels, and from the teacher's opinion of a noisier image; then the teacher follows."""
        teacher = player(nets, "teacher", Teacher)
        logits = nets["net"](batch.image)
        opinion = teacher(noisy(batch.image, self.noise, batch.rng))
        weight = self.weight * sigmoid_rampup(batch.progress, self.ramp)
        terms = {
            "pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "consistency": weight * F.mse_loss(logits.softmax(1), opinion),
        }
        yield Phase("net", terms)
        teacher.follow(nets["net"], step=batch.step, decay=self.decay)
