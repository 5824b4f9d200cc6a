"""Losses of a prediction and its image, by name."""

from collections.abc import Callable

import torch

from maskmixadv.networks.crf import Kernel, gated_crf
from maskmixadv.networks.losses import (
    contour_length,
    entropy,
    intensity_spread,
    mumford_shah,
    total_variation,
)

NARROW = Kernel(radius=2, position=3.0, intensity=0.2)

LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "contour": lambda probs, _: contour_length(probs),
    "total variation": lambda probs, _: total_variation(probs),
    "entropy": lambda probs, _: entropy(probs.log()),
    "mumford-shah": lambda probs, image: mumford_shah(probs=probs, image=image),
    "spread": lambda probs, image: intensity_spread(probs=probs, image=image),
    "crf": lambda probs, image: gated_crf(probs=probs, image=image, kernel=NARROW),
}
