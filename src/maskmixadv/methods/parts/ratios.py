"""Positive-unlabelled learning: how many unlabelled pixels each class has, and which it surely has not."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maskmixadv.networks.losses import one_hot
from maskmixadv.tensors import Batch, Labels, Probs
from maskmixadv.types import IGNORE

Share = Float[Tensor, "k"]
"""Fraction of pixels a class."""


def trained_share(batch: Batch, classes: int) -> Share:
    """Share of each class in what cross-entropy counts: the prior that a network trained on it has in mind."""
    return (one_hot(batch.target, classes) * batch.weight[:, None]).sum((0, 2, 3))


@torch.no_grad()
def mixture_ratios(*, probs: Probs, target: Labels, share: Share, rounds: int = 20) -> Share:
    """Share of each class among the unlabelled pixels, by expectation maximisation.

    A pixel of the unlabelled has class k with probability ``r_k ∝ p_k π_k / share_k`` (E), and π is the mean of r
    over the unlabelled pixels (M); it begins at `share` (Saerens et al., Neural Computation 2002; ShapePU).

    Parameters
    ----------
    probs, target
        What the network says; labels, with ``IGNORE`` where unlabelled.
    share
        The prior that `probs` were learnt under; a class of which it is 0 gets 0.
    rounds
        Of E and M.
    """
    with torch.autocast(probs.device.type, enabled=False):  # products of matrices below need full precision
        unlabelled = (target == IGNORE).flatten().float()
        pixels = probs.float().transpose(0, 1).flatten(1)
        pixels = pixels / share.clamp(min=1e-6)[:, None]
        ratios = share
        for _ in range(rounds):
            evidence = ratios @ pixels
            ratios = ratios * (pixels @ (unlabelled / evidence.clamp(min=1e-12))) / unlabelled.sum().clamp(min=1)
        return ratios


@torch.no_grad()
def negatives(
    *, scores: Float[Tensor, "b k h w"], target: Labels, share: Share, ratios: Share
) -> Bool[Tensor, "b k h w"]:
    """Which classes unlabelled pixels surely have not: all but the `ratios` of them with the highest scores.

    Over the whole batch. Of a class without a label in the batch (`share` 0) nothing is known.
    """
    unlabelled = (target == IGNORE)[:, None]
    ranked = scores.masked_fill(~unlabelled, torch.inf).transpose(0, 1).flatten(1).sort(1).values
    place = ((1 - ratios) * unlabelled.sum()).long().clamp(0, ranked.shape[1] - 1)
    threshold = ranked.gather(1, place[:, None])[:, 0]
    return unlabelled & (scores < threshold[:, None, None]) & (share > 0)[:, None, None]
