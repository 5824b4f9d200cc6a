"""Where a network is in doubt: two decoders disagree, or the probabilities of one decoder are spread."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from maskmixadv.inference.predictor import Predictor
from maskmixadv.networks.losses import most_probable
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Image, Logits
from maskmixadv.types import Spacing


class Overheard(nn.Module):
    """Wraps a network: the output is the network's own, and the probabilities of each decoder are kept.

    A decoder that the network does not use for its output is run, too; the encoder runs once.

    Attributes
    ----------
    said
        A list for each decoder: the probabilities of each batch, on the network's grid.
    """

    def __init__(self, net: UNet) -> None:
        super().__init__()
        self.net = net
        self.said: list[list[Tensor]] = [[] for _ in net.decoders]

    def forward(self, image: Image) -> Logits:
        """Return the network's own logits."""
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


class Judged(NamedTuple):
    """What a network says of a volume: labels, how doubtful they are, and class probabilities in steps of 1/255."""

    labels: UInt8[np.ndarray, "d h w"]
    doubt: UInt8[np.ndarray, "d h w"]
    probs: UInt8[np.ndarray, "d k h w"]


def judge(predictor: Predictor, image: Float[np.ndarray, "c d h w"], spacing: Spacing | None) -> Judged:
    """Predict labels, how doubtful they are, and probabilities.

    Parameters
    ----------
    image, spacing
        As for `Predictor.probs`.

    Returns
    -------
    The labels of `Predictor.labels`, and the doubt from 0 to 255. With two decoders, the doubt is the probability that
    they give to different classes, which is half the sum of the absolute differences. With one decoder, and in
    slices that are predicted in tiles, it is the entropy, relative to the highest possible entropy.
    """
    net = predictor.net
    if isinstance(net, UNet) and len(net.decoders) == 2 and not predictor.in_tiles(image, spacing):
        overheard = Overheard(net)
        probs = replace(predictor, net=overheard).probs(image, spacing)
        shape = (image.shape[2], image.shape[3])
        # Where odds go by what is drawn, some slices may go through the network twice: all of them come last.
        said = (torch.cat(maps)[-len(probs) :] for maps in overheard.said)
        one, other = (predictor.grid.restore(maps, shape, spacing) for maps in said)
        doubt = (one - other).abs().sum(1) / 2
    else:
        probs = predictor.probs(image, spacing)
        doubt = torch.special.entr(probs).sum(1) / math.log(probs.shape[1])
    return Judged(predictor.kept(most_probable(probs).cpu().numpy()), _bytes(doubt), _bytes(probs))


def _bytes(doubt: Float[Tensor, "d *k h w"]) -> UInt8[np.ndarray, "d *k h w"]:
    return (doubt.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
