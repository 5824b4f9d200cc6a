"""Partial cross-entropy and short contours."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

from torch import nn

from maskmixadv.methods.method import Method, Phase, check_weights
from maskmixadv.networks.losses import contour_length, partial_cross_entropy
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Task


@final
@dataclass(frozen=True)
class PCETotalVariation(Method):
    """Partial cross-entropy and the length of the structures' soft contours.

    Differs from the released code: the contours of all samples' structures count; there the first sample is left out,
    and the background's contour counts, too.

    Attributes
    ----------
    tv
        Weight of the contours' mean over pixels and structures, at least 0.

    Raises
    ------
    InputError
        Where the weight is negative.

    Examples
    --------
    >>> from maskmixadv.methods import PCETotalVariation, first_terms
    >>> list(first_terms(PCETotalVariation(tv=0.02)))
    ['net/pce', 'net/tv']
    """

    tv: float = 0.01

    def __post_init__(self) -> None:
        check_weights(self, "tv")

    def players(self, task: Task) -> dict[str, nn.Module]:
        """One U-Net."""
        return {"net": UNet(task.channels, len(task.classes))}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Minimise the cross-entropy of the labelled pixels and the length of contours."""
        logits = nets["net"](batch.image)
        terms = {
            "pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "tv": self.tv * contour_length(logits.softmax(1)),
        }
        yield Phase("net", terms)
