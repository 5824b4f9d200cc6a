"""Where a network is in doubt: its two decoders disagree, or its one decoder's probabilities are spread."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from maskmixadv.inference.predictor import Predictor
from maskmixadv.networks.losses import most_probable
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Image, Logits
from maskmixadv.types import Spacing

Labels = UInt8[np.ndarray, "d h w"]


class Overheard(nn.Module):
    """A network that answers as it always does, and keeps what each of its decoders says of what it is asked.

    A decoder that the answer does not need is asked for its own sake; the encoder works once.

    Attributes
    ----------
    said
        A list a decoder: probabilities of each batch, on the network's grid.
    """

    def __init__(self, net: UNet) -> None:
        super().__init__()
        self.net = net
        self.said: list[list[Tensor]] = [[] for _ in net.decoders]

    def forward(self, image: Image) -> Logits:
        """The network's own logits."""
        heard: dict[nn.Module, Any] = {}

        def keep(part: nn.Module, _: object, maps: object) -> None:
            heard[part] = maps

        hooks = [part.register_forward_hook(keep) for part in (self.net.encoder, *self.net.decoders)]
        try:
            logits = self.net(image)
        finally:
            for hook in hooks:
                hook.remove()
        for decoder, said in zip(self.net.decoders, self.said, strict=True):
            maps = heard[decoder] if decoder in heard else decoder(heard[self.net.encoder])
            said.append(maps.softmax(1))
        return logits


def judge(predictor: Predictor, image: Float[np.ndarray, "d h w"], spacing: Spacing | None) -> tuple[Labels, Labels]:
    """Predict labels, and say where they are doubtful.

    Parameters
    ----------
    image, spacing
        As for `Predictor.probs`.

    Returns
    -------
    Labels, which are those of `Predictor.labels`, and doubt from 0 to 255: with two decoders the part of the
    probability that they give to different classes, which is half the sum of the absolute differences; with one the
    entropy, relative to the highest there is.
    """
    net = predictor.net
    if isinstance(net, UNet) and len(net.decoders) == 2:
        overheard = Overheard(net)
        probs = replace(predictor, net=overheard).probs(image, spacing)
        shape = (image.shape[1], image.shape[2])
        one, other = (predictor.grid.restore(torch.cat(maps), shape, spacing) for maps in overheard.said)
        doubt = (one - other).abs().sum(1) / 2
    else:
        probs = predictor.probs(image, spacing)
        doubt = torch.special.entr(probs).sum(1) / math.log(probs.shape[1])
    return most_probable(probs).cpu().numpy(), _bytes(doubt)


def _bytes(doubt: Float[Tensor, "d h w"]) -> Labels:
    return (doubt.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
