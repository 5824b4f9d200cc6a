"""WSL4MIS: two decoders, and pseudo labels that mix their predictions anew at each step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import nn

from maskmixadv.errors import InputError
from maskmixadv.methods.method import Method, Phase, check_weights, player
from maskmixadv.networks.losses import dice_loss, most_probable, partial_cross_entropy
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Image, Logits, Task


class TwoBranches(UNet):
    """U-Net with a second, auxiliary decoder, which sees the encoder's features with channels dropped.

    Parameters
    ----------
    channels
        Channels c of the image.
    classes
        Number of classes k, with the background.
    dropout
        Fraction of the channels that the auxiliary decoder misses at each of the five levels, in [0, 1).
    biases
        As in `UNet`.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.wsl4mis import TwoBranches
    >>> net, image = TwoBranches(1, 4, dropout=0.5).eval(), torch.rand(1, 1, 32, 32)
    >>> torch.equal(net(image), net.branches(image)[0])
    True
    """

    def __init__(self, channels: int, classes: int, dropout: float, *, biases: bool = False) -> None:
        super().__init__(channels, classes, decoders=2, biases=biases)
        self.dropout = nn.Dropout2d(dropout)

    def branches(self, image: Image) -> tuple[Logits, Logits]:
        """Return the logits of the main and of the auxiliary decoder."""
        features = self.encode(image)
        return self.decode(features, 0), self.decode([self.dropout(maps) for maps in features], 1)

    def forward(self, image: Image) -> Logits:
        """Return the logits of the main decoder."""
        return self.decode(self.encode(image), 0)


@final
@dataclass(frozen=True)
class WSL4MIS(Method):
    """Dual-branch network with dynamically mixed pseudo labels (Luo et al., MICCAI 2022).

    Attributes
    ----------
    pse
        Weight of the Dice loss against the mixed pseudo label, at least 0.
    dropout
        Fraction of the feature channels that the auxiliary decoder misses, in [0, 1).

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> from maskmixadv.methods import WSL4MIS, first_terms
    >>> list(first_terms(WSL4MIS(dropout=0.3)))
    ['net/pce', 'net/pse']
    """

    pse: float = 0.5
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_weights(self, "pse")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout: {self.dropout}, allowed is 0 to below 1")

    def players(self, task: Task) -> dict[str, nn.Module]:
        """Return one encoder with two decoders."""
        return {"net": TwoBranches(task.channels, len(task.classes), self.dropout, biases=task.biases)}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Both decoders learn from the labels and from a random mixture of their predictions."""
        logits = player(nets, "net", TwoBranches).branches(batch.image)
        probs = [z.softmax(1) for z in logits]
        share = torch.rand(1, generator=batch.rng, device=batch.image.device)
        mixed = share * probs[0].detach() + (1 - share) * probs[1].detach()
        pseudo = most_probable(mixed)
        pce = [partial_cross_entropy(logits=z, target=batch.target, weight=batch.weight) for z in logits]
        terms = {
            "pce": torch.stack(pce).mean(),
            "pse": self.pse * torch.stack([dice_loss(probs=s, target=pseudo) for s in probs]).mean(),
        }
        yield Phase("net", terms)
