"""Where a network is in doubt: its two decoders disagree, or its one decoder's probabilities are spread."""

import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from maskmixadv.data.corpus import Spacing
from maskmixadv.losses import most_probable
from maskmixadv.nets import UNet
from maskmixadv.predict import Predictor
from maskmixadv.types import Image, Logits

Labels = UInt8[np.ndarray, "d h w"]


class OneDecoder(nn.Module):
    """A network as one of its decoders has it."""

    def __init__(self, net: UNet, decoder: int) -> None:
        super().__init__()
        self.net, self.decoder = net, decoder

    def forward(self, image: Image) -> Logits:
        """Logits of the one decoder."""
        return self.net.decode(self.net.encode(image), self.decoder)


def judge(predictor: Predictor, image: Float[np.ndarray, "d h w"], spacing: Spacing | None) -> tuple[Labels, Labels]:
    """Predict labels, and say where they are doubtful.

    Parameters
    ----------
    image, spacing
        As for `Predictor.probs`.

    Returns
    -------
    Labels, and doubt from 0 to 255: with two decoders the part of the probability that they give to
    different classes, which is half the sum of the absolute differences; with one the entropy, relative to the
    highest there is.
    """
    net = predictor.net
    if isinstance(net, UNet) and len(net.decoders) == 2:
        one, other = (_as(predictor, OneDecoder(net, number)).probs(image, spacing) for number in range(2))
        probs, doubt = (one + other) / 2, (one - other).abs().sum(1) / 2
    else:
        probs = predictor.probs(image, spacing)
        doubt = torch.special.entr(probs).sum(1) / math.log(probs.shape[1])
    return most_probable(probs).cpu().numpy(), _bytes(doubt)


def _as(predictor: Predictor, net: nn.Module) -> Predictor:
    return Predictor(net, predictor.grid, predictor.classes, predictor.multiple)


def _bytes(doubt: Float[Tensor, "d h w"]) -> Labels:
    return (doubt.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
