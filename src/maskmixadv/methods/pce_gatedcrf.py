"""Partial cross-entropy and the gated CRF loss: neighbours that look alike get the same label."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

from torch import nn

from maskmixadv.errors import InputError
from maskmixadv.methods.method import Method, Phase, check_weights
from maskmixadv.networks.crf import Kernel, gated_crf
from maskmixadv.networks.losses import partial_cross_entropy
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Task


@final
@dataclass(frozen=True)
class PCEGatedCRF(Method):
    """Partial cross-entropy and the gated CRF loss (Obukhov et al., 2019).

    Attributes
    ----------
    crf
        Weight of the CRF loss, at least 0.
    radius
        Half the side of the window of neighbours in pixels, at least 1.
    position
        Distance in pixels over which similarity falls off, above 0.
    intensity
        Difference of intensity, of images in [0, 1], over which similarity falls off; above 0.

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> from maskmixadv.methods import PCEGatedCRF, first_terms
    >>> list(first_terms(PCEGatedCRF(radius=3)))
    ['net/pce', 'net/crf']
    """

    crf: float = 0.1
    radius: int = 5
    position: float = 6.0
    intensity: float = 0.1

    def __post_init__(self) -> None:
        check_weights(self, "crf")
        if self.radius < 1:
            raise InputError(f"radius: {self.radius}, allowed is at least 1 pixel")
        for name in ("position", "intensity"):
            if not 0 < (scale := getattr(self, name)) < math.inf:
                raise InputError(f"{name}: {scale}, allowed is a finite number above 0")

    def players(self, task: Task) -> dict[str, nn.Module]:
        """One U-Net."""
        return {"net": UNet(task.channels, len(task.classes))}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Minimise the cross-entropy of the labelled pixels and the gated CRF loss."""
        logits = nets["net"](batch.image)
        kernel = Kernel(self.radius, self.position, self.intensity)
        terms = {
            "pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "crf": self.crf * gated_crf(probs=logits.softmax(1), image=batch.image, kernel=kernel),
        }
        yield Phase("net", terms)
