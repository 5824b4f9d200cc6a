"""Partial cross-entropy and entropy minimisation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

from torch import nn

from maskmixadv.methods.method import Method, Phase, check_weights
from maskmixadv.networks.losses import entropy, partial_cross_entropy
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Task


@final
@dataclass(frozen=True)
class PCEEntropy(Method):
    """Partial cross-entropy and entropy minimisation (Grandvalet and Bengio, NeurIPS 2004).

    Attributes
    ----------
    entropy
        Weight of the mean entropy of all pixels, as a fraction of log k; at least 0.

    Raises
    ------
    InputError
        Where the weight is negative.

    Examples
    --------
    >>> from maskmixadv.methods import PCEEntropy, first_terms
    >>> list(first_terms(PCEEntropy(entropy=0.2)))
    ['net/pce', 'net/entropy']
    """

    entropy: float = 0.1

    def __post_init__(self) -> None:
        check_weights(self, "entropy")

    def players(self, task: Task) -> dict[str, nn.Module]:
        """One U-Net."""
        return {"net": UNet(task.channels, len(task.classes))}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Minimise the cross-entropy of the labelled pixels and the entropy of all pixels."""
        logits = nets["net"](batch.image)
        terms = {
            "pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "entropy": self.entropy * entropy(logits),
        }
        yield Phase("net", terms)
