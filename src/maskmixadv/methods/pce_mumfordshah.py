"""Partial cross-entropy and the Mumford-Shah functional: classes of even intensity with short borders."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

from torch import nn

from maskmixadv.methods.method import Method, Phase, check_weights
from maskmixadv.networks.losses import mumford_shah, partial_cross_entropy, total_variation
from maskmixadv.tensors import Batch


@final
@dataclass(frozen=True)
class PCEMumfordShah(Method):
    """Partial cross-entropy and the Mumford-Shah functional (Kim and Ye, IEEE TIP 2020).

    Differs from the released code: the image is compared with the mean intensity of each class; there image and
    probabilities are swapped, and at first the length was that of the image. Both terms are means over pixels, not
    sums.

    Attributes
    ----------
    ms
        Weight of the squared distance of intensities to their class's mean, at least 0. The released code's 1e-6 times
        a sum over 12 slices of 256 × 256 pixels is 0.8 times the mean.
    tv
        Weight of the length of borders, at least 0; the released code weighs both parts alike.

    Raises
    ------
    InputError
        Where a weight is negative.

    Examples
    --------
    >>> from maskmixadv.methods import PCEMumfordShah, first_terms
    >>> list(first_terms(PCEMumfordShah(tv=0.1)))
    ['net/pce', 'net/ms', 'net/tv']
    """

    ms: float = 0.8
    tv: float = 0.8

    def __post_init__(self) -> None:
        check_weights(self, "ms", "tv")

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Minimise the cross-entropy of the labelled pixels, and the functional's two parts."""
        logits = nets["net"](batch.image)
        probs = logits.softmax(1)
        terms = {
            "pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "ms": self.ms * mumford_shah(probs=probs, image=batch.image),
            "tv": self.tv * total_variation(probs),
        }
        yield Phase("net", terms)
