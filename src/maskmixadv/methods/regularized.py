"""Partial cross-entropy, entropy minimisation, and classes that differ in intensity."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

from torch import nn

from maskmixadv.methods.method import Method, Phase, check_weights
from maskmixadv.networks.losses import entropy, intensity_spread, partial_cross_entropy
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Task


@final
@dataclass(frozen=True)
class Regularized(Method):
    """Partial cross-entropy, entropy minimisation, and classes that are even in intensity and differ in it.

    Differs from the released code: there the spread between classes minus that within is minimised, which is the wrong
    way round, and its weight grows over the whole training; here it is constant.

    Attributes
    ----------
    entropy
        Weight of the mean entropy of all pixels, as a fraction of log k; at least 0.
    variance
        Weight of the standard deviation of intensity within classes minus that between them, at least 0.

    Raises
    ------
    InputError
        Where a weight is negative.

    Examples
    --------
    >>> from maskmixadv.methods import Regularized, first_terms
    >>> list(first_terms(Regularized(variance=0.2)))
    ['net/pce', 'net/entropy', 'net/variance']
    """

    entropy: float = 0.1
    variance: float = 0.1

    def __post_init__(self) -> None:
        check_weights(self, "entropy", "variance")

    def players(self, task: Task) -> dict[str, nn.Module]:
        """One U-Net."""
        return {"net": UNet(task.channels, len(task.classes))}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Minimise the cross-entropy of the labelled pixels, the entropy, and the spread of intensities."""
        logits = nets["net"](batch.image)
        spread = intensity_spread(probs=logits.softmax(1), image=batch.image)
        terms = {
            "pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "entropy": self.entropy * entropy(logits),
            "variance": self.variance * spread,
        }
        yield Phase("net", terms)
