"""Partial cross-entropy: learn from the labelled pixels alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

from torch import nn

from maskmixadv.methods.method import Method, Phase
from maskmixadv.networks.losses import partial_cross_entropy
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Task


@final
@dataclass(frozen=True)
class PCE(Method):
    """Partial cross-entropy (L_pCE), the simplest way to learn from strokes (Tang et al., CVPR 2018).

    Examples
    --------
    >>> from maskmixadv.methods import PCE, first_terms
    >>> list(first_terms(PCE()))
    ['net/pce']
    """

    def players(self, task: Task) -> dict[str, nn.Module]:
        """One U-Net."""
        return {"net": UNet(task.channels, len(task.classes))}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Minimise the cross-entropy of the labelled pixels."""
        logits = nets["net"](batch.image)
        yield Phase("net", {"pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight)})
