"""Positive-unlabelled learning: how many unlabelled pixels each class has, and which pixels surely do not have it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maskmixadv.networks.losses import one_hot
from maskmixadv.tensors import Batch, Labels, Probs
from maskmixadv.types import IGNORE

Share = Float[Tensor, "k"]
"""Fraction of pixels a class."""


def trained_share(batch: Batch, classes: int) -> Share:
    """Return the share of each class in the cross-entropy: the prior that a network trained by it has learnt.

    Parameters
    ----------
    batch
        Gives labels and weights of pixels.
    classes
        Number of classes k.

    Examples
    --------
    >>> from maskmixadv.methods.parts.ratios import trained_share
    >>> from maskmixadv.tensors import Batch
    >>> trained_share(Batch.example(), 4)
    tensor([0.40, 0.30, 0.20, 0.10])
    """
    return (one_hot(batch.target, classes) * batch.weight[:, None]).sum((0, 2, 3))


@torch.no_grad()
def mixture_ratios(*, probs: Probs, target: Labels, share: Share, rounds: int = 20) -> Share:
    """Return the share of each class among the unlabelled pixels, by expectation maximisation.

    An unlabelled pixel has class k with probability ``r_k ∝ p_k π_k / share_k`` (E), and π is the mean of r over the
    unlabelled pixels (M). It begins at `share` (Saerens et al., Neural Computation 2002; ShapePU).

    Parameters
    ----------
    probs
        Class probabilities p by the network, ``(b, k, h, w)``.
    target
        Labels, with ``IGNORE`` where a pixel is unlabelled.
    share
        The prior under which `probs` were learnt; a class with a share of 0 gets 0.
    rounds
        Number of rounds of E and M.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.parts.ratios import mixture_ratios
    >>> from maskmixadv.networks.losses import one_hot
    >>> labels = torch.tensor([[[0, 0, 0, 1]]], dtype=torch.uint8)
    >>> unlabelled = torch.full_like(labels, 255)
    >>> mixture_ratios(probs=one_hot(labels, 2), target=unlabelled, share=torch.tensor([0.5, 0.5]))
    tensor([0.75, 0.25])
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
    """Return the classes that unlabelled pixels surely do not have: all but the pixels with the highest scores.

    Of each class, the fraction `ratios` of the batch's unlabelled pixels may have it. Of a class without a label in the
    batch (a `share` of 0) nothing is known, and it is true nowhere.

    Parameters
    ----------
    scores
        How likely each pixel is to have a class, ``(b, k, h, w)``.
    target
        Labels, with ``IGNORE`` where a pixel is unlabelled.
    share
        Share of each class among the labels, as `trained_share`.
    ratios
        Share of each class among the unlabelled pixels, as `mixture_ratios`.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.parts.ratios import negatives
    >>> scores = torch.tensor([[[[0.1, 0.2, 0.3, 0.9]]]])
    >>> unlabelled, one = torch.full((1, 1, 4), 255, dtype=torch.uint8), torch.ones(1)
    >>> negatives(scores=scores, target=unlabelled, share=one, ratios=0.25 * one).flatten().tolist()
    [True, True, True, False]
    """
    unlabelled = (target == IGNORE)[:, None]
    ranked = scores.masked_fill(~unlabelled, torch.inf).transpose(0, 1).flatten(1).sort(1).values
    place = ((1 - ratios) * unlabelled.sum()).long().clamp(0, ranked.shape[1] - 1)
    threshold = ranked.gather(1, place[:, None])[:, 0]
    return unlabelled & (scores < threshold[:, None, None]) & (share > 0)[:, None, None]
