"""Losses: pure functions of tensors, each a noun."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from maskmixadv.data.corpus import IGNORE
from maskmixadv.types import Image, Labels, Logits, Loss, Probs


def partial_cross_entropy(*, logits: Logits, target: Labels, share: Float[Tensor, "k"] | None = None) -> Loss:
    """Cross-entropy over the pixels that carry a label; 0 where none does.

    Parameters
    ----------
    logits, target
        Scores, and labels with ``IGNORE`` where nothing is known.
    share
        None: the mean over labelled pixels (L_pCE of the papers). Else each class is averaged over its own
        pixels first, and the classes that occur are averaged with these weights: the form that enclosure
        needs, as its background is a hundred times the strokes.
    """
    pixelwise = F.cross_entropy(logits, target.long(), ignore_index=IGNORE, reduction="none")
    if share is None:
        return pixelwise.sum() / (target != IGNORE).sum().clamp(min=1)
    sums, counts = (_per_class(maps, target, len(share)) for maps in (pixelwise, torch.ones_like(pixelwise)))
    weight = share * (counts > 0)
    return (weight * sums / counts.clamp(min=1)).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)


def dice_loss(*, probs: Probs, target: Labels) -> Loss:
    """1 - Dice with squared denominators, over the whole batch, mean of all classes with background.

    The form of V-Net (Milletari et al., 2016) in WSL4MIS and MaskMixAdv: ``1 - (2 Σ s t + ε) / (Σ s² + Σ t² + ε)``
    with ε = 1e-5. `target` holds no ``IGNORE``.
    """
    smooth = 1e-5
    truth = one_hot(target, probs.shape[1])
    dims = (0, 2, 3)
    overlap = (probs * truth).sum(dims)
    size = probs.square().sum(dims) + truth.sum(dims)
    return (1 - (2 * overlap + smooth) / (size + smooth)).mean()


def restoration(*, restored: Image, image: Image, hidden: Float[Tensor, "b 1 h w"]) -> Loss:
    """Mean squared error over the pixels where `hidden` is 1 (L_rec); 0 where none is."""
    error = (restored - image).square() * hidden
    return error.sum() / (hidden.sum() * image.shape[1]).clamp(min=1)


def adversarial(scores: Float[Tensor, "b 1 h w"], *, real: bool) -> Loss:
    """Binary cross-entropy of a critic's patch scores against one answer (non-saturating GAN loss)."""
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)))


def one_hot(labels: Labels, classes: int) -> Probs:
    """Labels as probabilities 0 and 1; ``IGNORE`` is 0 in every class."""
    index = torch.arange(classes, device=labels.device, dtype=labels.dtype)
    return (labels[:, None] == index[None, :, None, None]).float()


def _per_class(maps: Float[Tensor, "b h w"], target: Labels, classes: int) -> Float[Tensor, "k"]:
    # One bin more takes what is not labelled.
    index = target.long().clamp(max=classes).flatten()
    return maps.new_zeros(classes + 1).index_add(0, index, maps.flatten())[:classes]
