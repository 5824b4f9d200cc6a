"""Losses: pure functions of tensors, each a noun."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from maskmixadv.tensors import Image, Labels, Logits, Loss, Probs
from maskmixadv.types import IGNORE


def partial_cross_entropy(*, logits: Logits, target: Labels, weight: Float[Tensor, "b h w"]) -> Loss:
    """Cross-entropy over the pixels that carry a label (L_pCE); 0 where none does.

    Parameters
    ----------
    logits, target
        Scores, and labels with ``IGNORE`` where nothing is known.
    weight
        What each pixel counts, as in `Batch.weight`: with ``uniform`` weights it is the papers' mean over
        labelled pixels.
    """
    return (F.cross_entropy(logits, target.long(), ignore_index=IGNORE, reduction="none") * weight).sum()


def uniform(target: Labels) -> Float[Tensor, "b h w"]:
    """Weights of a mean over the labelled pixels."""
    labelled = (target != IGNORE).float()
    return labelled / labelled.sum().clamp(min=1)


def balanced(target: Labels, share: Mapping[int, float]) -> Float[Tensor, "b h w"]:
    """Weights of a mean over groups, each averaged over its own pixels first.

    Parameters
    ----------
    target
        Labels; other codes may stand for groups of their own.
    share
        What each code's group counts; codes that do not occur in `target` leave theirs to the others.
    """
    weight = torch.zeros(target.shape, device=target.device)
    for code, counts in share.items():
        group = (target == code).float()
        weight += counts * group / group.sum().clamp(min=1)
    return weight / weight.sum().clamp(min=1e-6)


def dice_loss(*, probs: Probs, target: Labels) -> Loss:
    """1 - Dice with squared denominators, over the whole batch, mean of all classes with background.

    The form of V-Net (Milletari et al., 2016) in WSL4MIS and MaskMixAdv: ``1 - (2 Σ s t + ε) / (Σ s² + Σ t² + ε)``
    with ε = 1e-5. `target` holds no ``IGNORE``; `partial_dice` is for those that do.
    """
    smooth = 1e-5
    truth = one_hot(target, probs.shape[1])
    dims = (0, 2, 3)
    overlap = (probs * truth).sum(dims)
    size = probs.square().sum(dims) + truth.sum(dims)
    return (1 - (2 * overlap + smooth) / (size + smooth)).mean()


def partial_dice(*, probs: Probs, target: Labels) -> Loss:
    """`dice_loss` over the pixels that carry a label; 0 where none does."""
    return dice_loss(probs=probs * (target != IGNORE)[:, None], target=target)


def entropy(logits: Logits) -> Loss:
    """Mean entropy of the pixels' predictions as a fraction of the largest, log k: in [0, 1].

    Entropy minimisation (Grandvalet and Bengio, NeurIPS 2004).
    """
    each = -(logits.softmax(1) * logits.log_softmax(1)).sum(1)
    return each.mean() / math.log(logits.shape[1])


def contour_length(probs: Probs) -> Loss:
    """Mean over structures and pixels of a soft contour: a mask's opening without its erosion.

    Both by 3×3 windows, so that the contour is one pixel wide; what is thinner than three pixels has none. The
    background, channel 0, has no contour of its own.
    """
    eroded = -F.max_pool2d(-probs[:, 1:], 3, stride=1, padding=1)
    opened = F.max_pool2d(eroded, 3, stride=1, padding=1)
    return (opened - eroded).mean()


def total_variation(probs: Probs) -> Loss:
    """Absolute differences between neighbours along h and w, summed over classes, mean over pixels."""
    b, _, h, w = probs.shape
    return (probs.diff(dim=2).abs().sum() + probs.diff(dim=3).abs().sum()) / (b * h * w)


def mumford_shah(*, probs: Probs, image: Image) -> Loss:
    """Squared distance of intensities from their class's mean, mean over samples, channels and pixels.

    ``Σ_k (I - μ_k)² s_k`` with ``μ_k = Σ I s_k / Σ s_k`` of each sample: the region term of the Mumford-Shah
    functional (Kim and Ye, IEEE TIP 2020).
    """
    mass, _, variance = _by_class(probs, image)
    h, w = image.shape[-2:]
    return (mass * variance).sum(1).mean() / (h * w)


def intensity_spread(*, probs: Probs, image: Image) -> Loss:
    """Standard deviation of intensity within the classes less that of the classes' means; mean over samples.

    Each class counts by ``m / (m + 1)`` with its mass ``m = Σ s_k`` in pixels, so that one that a slice does not show
    says nothing. The squares have 1e-6 added under the root.
    """
    mass, mean, variance = _by_class(probs, image)
    share = mass / (mass + 1)
    share = share / share.sum(1, keepdim=True)
    middle = (share * mean).sum(1, keepdim=True)
    within = (share * (variance + 1e-6).sqrt()).sum(1)
    between = ((share * (mean - middle).square()).sum(1) + 1e-6).sqrt()
    return (within - between).mean()


def restoration(*, restored: Image, image: Image, hidden: Float[Tensor, "b 1 h w"]) -> Loss:
    """Mean squared error over the pixels where `hidden` is 1 (L_rec); 0 where none is."""
    error = (restored - image).square() * hidden
    return error.sum() / (hidden.sum() * image.shape[1]).clamp(min=1)


def adversarial(scores: Float[Tensor, "b 1 h w"], *, real: bool) -> Loss:
    """Binary cross-entropy of a critic's patch scores against one answer (non-saturating GAN loss)."""
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)))


def most_probable(probs: Float[Tensor, "b k h w"]) -> Labels:
    """The class with the highest value at each pixel, without gradient; the first one of equals."""
    return probs.detach().max(1).indices.to(torch.uint8)  # argmax takes seven times as long on a CPU


def one_hot(labels: Labels, classes: int) -> Probs:
    """Labels as probabilities 0 and 1; ``IGNORE`` is 0 in every class."""
    index = torch.arange(classes, device=labels.device, dtype=labels.dtype)
    return (labels[:, None] == index[None, :, None, None]).float()


def _by_class(
    probs: Probs, image: Image
) -> tuple[Float[Tensor, "b k 1"], Float[Tensor, "b k c"], Float[Tensor, "b k c"]]:
    """Mass in pixels of each class in each sample, and the mean and variance of the image there."""
    weight = probs[:, :, None]
    mass = weight.sum((3, 4))
    mean = (weight * image[:, None]).sum((3, 4)) / mass.clamp(min=1e-6)
    away = (image[:, None] - mean[..., None, None]).square()
    return mass, mean, (weight * away).sum((3, 4)) / mass.clamp(min=1e-6)


def certain_consistency(*, probs: Probs, target: Probs, certain: Float[Tensor, "b h w"]) -> Loss:
    """Half the squared distance of two distributions, in [0, 1], mean of the pixels where `certain` is 1.

    0 where none is. The consistency of UA-MT (Yu et al., MICCAI 2019); the half, which leaves the
    largest distance at 1, is its code's.
    """
    distance = (probs - target).square().sum(1) / 2
    return (certain * distance).sum() / certain.sum().clamp(min=1)


def disagreement(*, one: Probs, other: Probs, where: Float[Tensor, "b 1 h w"] | None = None) -> Loss:
    """1 - cosine of the angle between two distributions, mean of the pixels where `where` is 1, of all without it.

    In [0, 1]; 0 where `where` is 1 nowhere. The consistency of CycleMix, ShapePU and ZScribbleSeg (Zhang and
    Zhuang), over the classes of each pixel.
    """
    # torch's cosine_similarity takes its norms over strided classes, which is ten times as slow on a CPU.
    lengths = (one.square().sum(1) * other.square().sum(1)).clamp(min=1e-12).sqrt()
    distance = 1 - (one * other).sum(1) / lengths
    if where is None:
        return distance.mean()
    return (distance * where[:, 0]).sum() / where.sum().clamp(min=1)


def marginal(*, logits: Logits, negative: Bool[Tensor, "b k h w"]) -> Loss:
    """``-log Σ p_c`` over the classes c that a pixel may have, mean of the pixels that may not have all.

    The marginal probability of ShapePU (Zhang and Zhuang, MICCAI 2022).

    Parameters
    ----------
    logits
        Scores.
    negative
        The classes that a pixel surely has not. Where it names them all it is taken to name none.
    """
    negative = negative & ~negative.all(1, keepdim=True)
    allowed = logits.masked_fill(negative, torch.finfo(logits.dtype).min)
    surprise = logits.logsumexp(1) - allowed.logsumexp(1)
    counted = negative.any(1).to(logits.dtype)
    return (surprise * counted).sum() / counted.sum().clamp(min=1)
