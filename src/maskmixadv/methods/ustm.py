"""USTM: agree with an uncertainty-aware mean teacher that sees the image turned."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from maskmixadv.methods.method import Method, Phase, check_fractions, check_weights, player
from maskmixadv.methods.parts.teacher import (
    Teacher,
    certain_pixels,
    check_decay,
    check_passes,
    opinions,
    pace,
)
from maskmixadv.methods.parts.views import quarters, turned
from maskmixadv.networks.losses import certain_consistency, partial_cross_entropy
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Task


@final
@dataclass(frozen=True)
class USTM(Method):
    """Uncertainty-aware self-ensembling and transformation-consistent model.

    Liu et al., Pattern Recognition 2022.

    Differs from the released code: the limit of uncertainty is a fraction of log k for k classes, where there it is one
    of log 2, whatever k.

    Attributes
    ----------
    weight
        Weight of the consistency with the teacher, at the end of `ramp`.
    ramp
        Fraction of the run over which that weight rises, and the limit of uncertainty from ¾ of log k to log k; in [0,
        1]. With 0 both are at their end from the first step.
    decay
        Fraction of itself that the teacher keeps in a step, in [0, 1).
    noise
        Standard deviation of the noise on the teacher's images, in intensities; cut off at twice that.
    passes
        Number of the teacher's predictions that its uncertainty is measured by; at least 2.

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> from maskmixadv.methods import USTM, first_terms
    >>> list(first_terms(USTM(passes=2)))
    ['net/pce', 'net/consistency']
    """

    semi_supervised: ClassVar[bool] = True

    weight: float = 1.0
    ramp: float = 1.0
    decay: float = 0.99
    noise: float = 0.1
    passes: int = 8

    def __post_init__(self) -> None:
        check_weights(self, "weight", "noise")
        check_fractions(self, "ramp")
        check_decay(self.decay)
        check_passes(self.passes)

    def scalars(self, step: int, progress: float) -> dict[str, float]:
        """Return how far weight and teacher have come."""
        return pace(step, progress, ramp=self.ramp, decay=self.decay)

    def players(self, task: Task) -> dict[str, nn.Module]:
        """Return the student, which is evaluated, and its teacher."""
        net = UNet(task.channels, len(task.classes), biases=task.biases)
        return {"net": net, "teacher": Teacher(net)}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Learn from labels, and from the teacher's prediction of the turned image; then the teacher follows."""
        teacher, now = player(nets, "teacher", Teacher), self.now(batch)
        logits = nets["net"](batch.image)
        number = quarters(batch)
        image = turned(batch.image, number)
        target, uncertainty = opinions(teacher, batch, image, noise=self.noise, passes=self.passes)
        certain = certain_pixels(uncertainty, rise=now["rise"], classes=logits.shape[1])
        consistency = certain_consistency(probs=turned(logits.softmax(1), number), target=target, certain=certain)
        terms = {
            "pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "consistency": self.weight * now["rise"] * consistency,
        }
        yield Phase("net", terms)
        teacher.follow(nets["net"], keep=now["keep"])
