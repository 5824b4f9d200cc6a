"""The loss of the gated conditional random field: neighbours that look alike should have the same label."""

from collections.abc import Iterator
from types import EllipsisType
from typing import NamedTuple

import torch

from maskmixadv.tensors import Image, Loss, Probs

Region = tuple[EllipsisType, slice, slice]
"""Which rows and columns of maps."""


class Kernel(NamedTuple):
    """Similarity of two pixels i and j: ``k_ij = exp(-|f_i - f_j|² / 2)``, f being scaled position and intensity.

    Attributes
    ----------
    radius
        Half the side of the window in pixels: only pairs within a window of ``2 radius + 1`` pixels count.
    position
        Distance in pixels that counts as 1 in f.
    intensity
        Difference of intensity that counts as 1 in f.

    Examples
    --------
    >>> from maskmixadv.networks.crf import Kernel
    >>> Kernel(radius=3)
    Kernel(radius=3, position=6.0, intensity=0.1)
    """

    radius: int = 5
    position: float = 6.0
    intensity: float = 0.1


def gated_crf(*, probs: Probs, image: Image, kernel: Kernel) -> Loss:
    """Mean over pixels i of ``Σ_j k_ij (1 - Σ_c p_ic p_jc)``, j being the other pixels of i's window (Potts model).

    Obukhov et al., *Gated CRF Loss for Weakly Supervised Semantic Image Segmentation* (2019), with one kernel and all
    gates open. The gradient is exact.

    Differs from the released code: pixels beyond the border do not count. There the image is padded with zeros, which
    take part in the kernel's sum; this adds a constant.

    Parameters
    ----------
    probs
        Class probabilities, ``(b, k, h, w)``.
    image
        Intensities in [0, 1], ``(b, c, h, w)``.
    kernel
        How similar two pixels are.

    Returns
    -------
    Loss
        At least 0; 0 where all neighbours have one and the same sure class.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.crf import Kernel, gated_crf
    >>> from maskmixadv.networks.losses import one_hot
    >>> image = torch.zeros(1, 1, 4, 4)
    >>> one = one_hot(torch.zeros(1, 4, 4, dtype=torch.uint8), 2)
    >>> two = one_hot(torch.tensor([[[0, 1, 0, 1]] * 4], dtype=torch.uint8), 2)
    >>> [gated_crf(probs=probs, image=image, kernel=Kernel(radius=1)).item() for probs in (one, two)]
    [0.00, 3.67]
    """
    b, _, h, w = probs.shape
    messages, total = _messages(probs, image, kernel)
    agreement = (probs * messages).sum()
    # The kernel is symmetric, so the gradient is twice the one with the neighbours held fixed.
    return (total - 2 * agreement + agreement.detach()) / (b * h * w)


@torch.no_grad()
def _messages(probs: Probs, image: Image, kernel: Kernel) -> tuple[Probs, Loss]:
    """What each pixel receives from its window, ``Σ_j k_ij p_j``, and the sum of all ``k_ij``."""
    probs = probs.contiguous()
    messages = torch.zeros_like(probs)
    scaled = (image / kernel.intensity).contiguous()
    total = torch.zeros((), device=probs.device, dtype=probs.dtype)
    for down, right in _half_window(kernel.radius, *image.shape[-2:]):
        here, there = _pair(down, right)
        distance = (scaled[here] - scaled[there]).square_().sum(1, keepdim=True)
        alike = distance.add_((down**2 + right**2) / kernel.position**2).mul_(-0.5).exp_()
        messages[here].addcmul_(alike, probs[there])
        messages[there].addcmul_(alike, probs[here])
        total += 2 * alike.sum()
    return messages, total


def _half_window(radius: int, h: int, w: int) -> Iterator[tuple[int, int]]:
    """Offsets down and right, one of each pair of opposite ones, that fit into an image of h × w."""
    across = min(radius, w - 1)
    for down in range(min(radius, h - 1) + 1):
        for right in range(-across if down else 1, across + 1):
            yield down, right


def _pair(down: int, right: int) -> tuple[Region, Region]:
    """Where the pixels are that have a neighbour at this offset, and where those neighbours are."""
    return (..., _cut(-down), _cut(-right)), (..., _cut(down), _cut(right))


def _cut(offset: int) -> slice:
    """All but the first `offset` entries, or all but the last ``-offset``."""
    return slice(offset, None) if offset >= 0 else slice(None, offset)
