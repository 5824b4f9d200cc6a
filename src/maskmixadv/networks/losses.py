"""Losses: pure functions of tensors. Their names are nouns, their arguments keywords."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from maskmixadv.tensors import Image, Indicator, Labels, Logits, Loss, Probs, Weight
from maskmixadv.types import IGNORE


def partial_cross_entropy(*, logits: Logits, target: Labels, weight: Weight) -> Loss:
    """Cross-entropy over the pixels that carry a label (L_pCE); 0 where none does.

    Parameters
    ----------
    logits
        Scores, ``(b, k, h, w)``.
    target
        Labels, ``(b, h, w)``, with ``IGNORE`` where nothing is known.
    weight
        How much each pixel counts, ``(b, h, w)``, as in `Batch.weight`. With the weights of `uniform` it is the papers'
        mean over labelled pixels.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import partial_cross_entropy, uniform
    >>> from maskmixadv.types import IGNORE
    >>> target = torch.tensor([[[0, 1, IGNORE]]], dtype=torch.uint8)
    >>> logits = torch.zeros(1, 2, 1, 3)
    >>> partial_cross_entropy(logits=logits, target=target, weight=uniform(target))  # log 2
    tensor(0.6931)
    """
    return (F.cross_entropy(logits, target.long(), ignore_index=IGNORE, reduction="none") * weight).sum()


def uniform(target: Labels) -> Weight:
    """Return the weights of a mean over the labelled pixels: equal, summing to 1 over the batch; all 0 without labels.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import uniform
    >>> from maskmixadv.types import IGNORE
    >>> uniform(torch.tensor([[[0, 1, IGNORE]]], dtype=torch.uint8))
    tensor([[[0.50, 0.50, 0.00]]])
    """
    labelled = (target != IGNORE).float()
    return labelled / labelled.sum().clamp(min=1)


def balanced(target: Labels, share: Mapping[int, float]) -> Weight:
    """Return the weights of a mean over groups of pixels, each group averaged over its own pixels first.

    Parameters
    ----------
    target
        Labels, ``(b, h, w)``; codes that are no classes may stand for groups of their own, such as ``ENCLOSED``.
    share
        How much each code's group counts, at least 0. Groups without a pixel leave their share to the others.

    Returns
    -------
    Weight
        Sums to 1 over the batch; all 0 where no code of `share` occurs.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import balanced
    >>> balanced(torch.tensor([[[0, 0, 0, 1]]], dtype=torch.uint8), {0: 1.0, 1: 1.0})
    tensor([[[0.167, 0.167, 0.167, 0.500]]])
    """
    weight = torch.zeros(target.shape, device=target.device)
    for code, counts in share.items():
        group = (target == code).float()
        weight += counts * group / group.sum().clamp(min=1)
    return weight / weight.sum().clamp(min=1e-6)


def alike(*weights: Weight) -> Weight:
    """Return weights with which slices of several groups count alike.

    Parameters
    ----------
    *weights
        For each group the weights of a mean over it, ``(b, h, w)``: summing to 1 over the batch, or all 0. A slice
        belongs to the group in which it has a weight, and to no other.

    Returns
    -------
    Weight
        Each group's weights times its share of the slices that have a weight; sums to 1 over the batch, or all are 0.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import alike, uniform
    >>> strokes, dense = torch.full((2, 3, 2, 2), IGNORE, dtype=torch.uint8)
    >>> strokes[0, 0, 0], dense[1:] = 1, 0  # one slice with a stroke of two pixels, two dense slices
    >>> alike(uniform(strokes), uniform(dense)).sum((1, 2))
    tensor([0.33, 0.33, 0.33])
    """
    counts = [(weight.flatten(1) > 0).any(1).sum() for weight in weights]
    total = torch.stack(counts).sum().clamp(min=1)
    return torch.stack([weight * (count / total) for weight, count in zip(weights, counts, strict=True)]).sum(0)


def dice_loss(*, probs: Probs, target: Labels, weight: Weight | None = None) -> Loss:
    """Return 1 - Dice with squared denominators, over the whole batch; mean of all classes, the background included.

    For each class it is ``1 - (2 Σ s t + ε) / (Σ s² + Σ t² + ε)`` with ε = 1e-5: the form of V-Net (Milletari et al.,
    2016) in WSL4MIS and MaskMixAdv.

    Parameters
    ----------
    probs
        Class probabilities s, ``(b, k, h, w)``.
    target
        Labels t without ``IGNORE``, ``(b, h, w)``; `partial_dice` is for labels with it.
    weight
        How much each pixel counts in the three sums, ``(b, h, w)``; None: all count alike.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import dice_loss, one_hot
    >>> target = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    >>> [dice_loss(probs=probs, target=target).item() for probs in (one_hot(target, 2), one_hot(1 - target, 2))]
    [0.000, 1.000]
    """
    smooth = 1e-5
    truth = one_hot(target, probs.shape[1])
    dims = (0, 2, 3)
    squares = probs.square()
    if weight is not None:
        truth, squares = truth * weight[:, None], squares * weight[:, None]
    overlap = (probs * truth).sum(dims)
    size = squares.sum(dims) + truth.sum(dims)
    return (1 - (2 * overlap + smooth) / (size + smooth)).mean()


def partial_dice(*, probs: Probs, target: Labels) -> Loss:
    """Return `dice_loss` over the pixels that carry a label; 0 where none does.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import partial_dice
    >>> from maskmixadv.types import IGNORE
    >>> target = torch.full((1, 2, 2), IGNORE, dtype=torch.uint8)
    >>> partial_dice(probs=torch.full((1, 4, 2, 2), 0.25), target=target).item()
    0.0
    """
    return dice_loss(probs=probs * (target != IGNORE)[:, None], target=target)


def entropy(logits: Logits) -> Loss:
    """Mean entropy of the pixels' predictions as a fraction of the largest one, log k: in [0, 1].

    Entropy minimisation (Grandvalet and Bengio, NeurIPS 2004).

    Parameters
    ----------
    logits
        Scores, ``(b, k, h, w)``.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import entropy
    >>> entropy(torch.zeros(1, 4, 2, 2))
    tensor(1.00)
    """
    each = -(logits.softmax(1) * logits.log_softmax(1)).sum(1)
    return each.mean() / math.log(logits.shape[1])


def contour_length(probs: Probs) -> Loss:
    """Length of the structures' soft contours: mean over structures and pixels of the contour's map.

    The contour of a map is its opening minus its erosion, both by 3×3 windows (min- and max-pooling). It is one pixel
    wide; parts that are thinner than three pixels have none. Channel 0, the background, is left out.

    Parameters
    ----------
    probs
        Class probabilities, ``(b, k, h, w)``, k at least 2.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import contour_length
    >>> probs = torch.zeros(1, 2, 8, 8)
    >>> probs[:, 1, 2:6, 2:6] = 1  # a square of 4 × 4 pixels: 12 of them are its contour
    >>> contour_length(probs).item() * 64
    12.0
    """
    eroded = -F.max_pool2d(-probs[:, 1:], 3, stride=1, padding=1)
    opened = F.max_pool2d(eroded, 3, stride=1, padding=1)
    return (opened - eroded).mean()


def total_variation(probs: Probs) -> Loss:
    """Absolute differences between neighbours along h and w, summed over classes, mean over pixels.

    Parameters
    ----------
    probs
        Class probabilities, ``(b, k, h, w)``.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import one_hot, total_variation
    >>> halves = torch.tensor([[[0, 1]] * 2], dtype=torch.uint8)
    >>> total_variation(one_hot(halves, 2))  # 2 rows × 2 classes / 4 pixels
    tensor(1.)
    """
    b, _, h, w = probs.shape
    return (probs.diff(dim=2).abs().sum() + probs.diff(dim=3).abs().sum()) / (b * h * w)


def mumford_shah(*, probs: Probs, image: Image) -> Loss:
    """Squared distance of intensities from their class's mean, mean over samples, channels and pixels.

    ``Σ_k (I - μ_k)² s_k`` with ``μ_k = Σ I s_k / Σ s_k`` of each sample: the region term of the Mumford-Shah
    functional (Kim and Ye, IEEE TIP 2020).

    Parameters
    ----------
    probs
        Class probabilities s, ``(b, k, h, w)``.
    image
        Intensities I in [0, 1], ``(b, c, h, w)``.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import mumford_shah, one_hot
    >>> image = torch.tensor([[[[0.0, 1.0]]]])
    >>> apart, together = torch.tensor([[[0, 1]]], dtype=torch.uint8), torch.zeros(1, 1, 2, dtype=torch.uint8)
    >>> [mumford_shah(probs=one_hot(labels, 2), image=image).item() for labels in (apart, together)]
    [0.00, 0.25]
    """
    mass, _, variance = _by_class(probs, image)
    h, w = image.shape[-2:]
    return (mass * variance).sum(1).mean() / (h * w)


def intensity_spread(*, probs: Probs, image: Image) -> Loss:
    """Standard deviation of intensity within the classes minus that of the classes' means; mean over samples.

    A class counts by ``m / (m + 1)``, m = ``Σ s_k`` being its mass in pixels, so that a class that a slice does not
    show has no influence. 1e-6 is added under both roots.

    Parameters
    ----------
    probs
        Class probabilities s, ``(b, k, h, w)``.
    image
        Intensities in [0, 1], ``(b, c, h, w)``.

    Returns
    -------
    Loss
        Small, and below 0, where classes are even in themselves and differ from one another.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import intensity_spread, one_hot
    >>> image = torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]])
    >>> apart, mixed = (torch.tensor([[labels]], dtype=torch.uint8) for labels in ([0, 0, 1, 1], [0, 1, 0, 1]))
    >>> [intensity_spread(probs=one_hot(labels, 2), image=image).item() for labels in (apart, mixed)]
    [-0.50, 0.50]
    """
    mass, mean, variance = _by_class(probs, image)
    share = mass / (mass + 1)
    share = share / share.sum(1, keepdim=True)
    middle = (share * mean).sum(1, keepdim=True)
    within = (share * (variance + 1e-6).sqrt()).sum(1)
    between = ((share * (mean - middle).square()).sum(1) + 1e-6).sqrt()
    return (within - between).mean()


def restoration(*, restored: Image, image: Image, hidden: Indicator) -> Loss:
    """Mean squared error over the pixels where `hidden` is 1 (L_rec); 0 where none is.

    Differs from the paper: an error e above 1 counts 2 e - 1, not e². No restored intensity that lies within [0, 1], as
    images do, is that far off; but under SGD with momentum the square's slope, which grows without end, let a
    restoration swing ever further until it left the finite numbers.

    Parameters
    ----------
    restored, image
        The restored and the true image, ``(b, c, h, w)``.
    hidden
        1 where a pixel was hidden from the network, ``(b, 1, h, w)``.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import restoration
    >>> image, hidden = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]])
    >>> restoration(restored=torch.full_like(image, 0.5), image=image, hidden=hidden)
    tensor(0.2500)
    """
    # Twice Huber's loss is the square up to 1, and a line beyond.
    error = 2 * F.huber_loss(restored, image, reduction="none") * hidden
    return error.sum() / (hidden.sum() * image.shape[1]).clamp(min=1)


def adversarial(scores: Float[Tensor, "b 1 h w"], *, real: bool) -> Loss:
    """Binary cross-entropy of a critic's patch scores with one answer for all (non-saturating GAN loss).

    Parameters
    ----------
    scores
        The critic's scores before the sigmoid, ``(b, 1, h, w)``.
    real
        The answer: whether the critic's maps were masks that people drew.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import adversarial
    >>> adversarial(torch.zeros(2, 1, 2, 2), real=True)  # undecided: log 2
    tensor(0.6931)
    """
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)))


def most_probable(probs: Float[Tensor, "b k h w"]) -> Labels:
    """Return the class with the highest value at each pixel, without gradient; the first one where several are equal.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import most_probable
    >>> most_probable(torch.tensor([[[[0.7, 0.2]], [[0.3, 0.8]]]]))
    tensor([[[0, 1]]], dtype=torch.uint8)
    """
    return probs.detach().max(1).indices.to(torch.uint8)  # argmax takes seven times as long on a CPU


def one_hot(labels: Labels, classes: int) -> Probs:
    """Return labels as probabilities of 0 and 1; pixels of ``IGNORE`` have 0 in every class.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import one_hot
    >>> from maskmixadv.types import IGNORE
    >>> one_hot(torch.tensor([[[1, IGNORE]]], dtype=torch.uint8), classes=2).tolist()
    [[[[0.0, 0.0]], [[1.0, 0.0]]]]
    """
    index = torch.arange(classes, device=labels.device, dtype=labels.dtype)
    return (labels[:, None] == index[None, :, None, None]).float()


def certain_consistency(*, probs: Probs, target: Probs, certain: Float[Tensor, "b h w"]) -> Loss:
    """Half the squared distance of two distributions, mean over the pixels where `certain` is 1; 0 where none is.

    The consistency loss of UA-MT (Yu et al., MICCAI 2019). The factor of a half is its code's and keeps the loss in
    [0, 1].

    Parameters
    ----------
    probs, target
        Class probabilities, ``(b, k, h, w)``.
    certain
        1 where a pixel counts, else 0; ``(b, h, w)``.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import certain_consistency, one_hot
    >>> labels = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    >>> one, other = one_hot(labels, 2), one_hot(torch.zeros_like(labels), 2)
    >>> certain_consistency(probs=one, target=other, certain=torch.ones(1, 1, 2))
    tensor(0.5000)
    """
    distance = (probs - target).square().sum(1) / 2
    return (certain * distance).sum() / certain.sum().clamp(min=1)


def disagreement(*, one: Probs, other: Probs, where: Indicator | None = None) -> Loss:
    """1 - cosine of the angle between two distributions over the classes, mean over pixels: in [0, 1].

    The consistency loss of CycleMix, ShapePU and ZScribbleSeg (Zhang and Zhuang).

    Parameters
    ----------
    one, other
        Class probabilities, ``(b, k, h, w)``.
    where
        1 at the pixels that count, ``(b, 1, h, w)``; None: all count. Where no pixel counts, the loss is 0.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import disagreement, one_hot
    >>> labels = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    >>> disagreement(one=one_hot(labels, 2), other=one_hot(1 - labels, 2))
    tensor(1.)
    """
    # torch's cosine_similarity is ten times as slow on a CPU, where the classes' axis is strided.
    lengths = (one.square().sum(1) * other.square().sum(1)).clamp(min=1e-12).sqrt()
    distance = 1 - (one * other).sum(1) / lengths
    if where is None:
        return distance.mean()
    return (distance * where[:, 0]).sum() / where.sum().clamp(min=1)


def marginal(*, logits: Logits, negative: Bool[Tensor, "b k h w"]) -> Loss:
    """``-log Σ_c p_c`` over the classes c that a pixel may have, mean over the pixels that can't have all classes.

    The marginal likelihood of ShapePU (Zhang and Zhuang, MICCAI 2022).

    Parameters
    ----------
    logits
        Scores, ``(b, k, h, w)``.
    negative
        True for the classes that a pixel surely does not have, ``(b, k, h, w)``. Pixels where it is true for all
        classes are taken as pixels of which nothing is known.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.losses import marginal
    >>> negative = torch.tensor([True, False, False, False])[None, :, None, None]
    >>> marginal(logits=torch.zeros(1, 4, 1, 1), negative=negative)  # -log ¾
    tensor(0.2877)
    """
    negative = negative & ~negative.all(1, keepdim=True)
    allowed = logits.masked_fill(negative, torch.finfo(logits.dtype).min)
    surprise = logits.logsumexp(1) - allowed.logsumexp(1)
    counted = negative.any(1).to(logits.dtype)
    return (surprise * counted).sum() / counted.sum().clamp(min=1)


def _by_class(
    probs: Probs, image: Image
) -> tuple[Float[Tensor, "b k 1"], Float[Tensor, "b k c"], Float[Tensor, "b k c"]]:
    """Mass in pixels of each class in each sample, and the mean and variance of the image there."""
    weight = probs[:, :, None]
    mass = weight.sum((3, 4))
    mean = (weight * image[:, None]).sum((3, 4)) / mass.clamp(min=1e-6)
    away = (image[:, None] - mean[..., None, None]).square()
    return mass, mean, (weight * away).sum((3, 4)) / mass.clamp(min=1e-6)
