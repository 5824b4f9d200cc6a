"""The gated conditional random field's loss: neighbours that look alike should have one label."""

from collections.abc import Iterator
from types import EllipsisType
from typing import NamedTuple

import torch

from maskmixadv.tensors import Image, Loss, Probs

Window = tuple[EllipsisType, slice, slice]
"""Which rows and columns of maps."""


class Kernel(NamedTuple):
    """How alike two pixels are: ``exp(-|f_i - f_j|² / 2)`` with features of place and intensity.

    Attributes
    ----------
    radius
        Half the window's side in pixels; only pairs within a window count.
    position
        Distance in pixels that counts as 1.
    intensity
        Difference of intensity that counts as 1.
    """

    radius: int = 5
    position: float = 6.0
    intensity: float = 0.1


def gated_crf(*, probs: Probs, image: Image, kernel: Kernel) -> Loss:
    """Mean over pixels of ``Σ_j k_ij (1 - Σ_c p_ic p_jc)`` over the other pixels j of i's window (Potts model).

    Obukhov et al., *Gated CRF Loss for Weakly Supervised Semantic Image Segmentation* (2019), with one kernel and all
    gates open.

    Differs from the released code: pixels beyond the border do not exist; there, zeros that pad the image take part
    in the kernel's sum, which adds a constant.
    """
    b, _, h, w = probs.shape
    messages, total = _messages(probs, image, kernel)
    agreement = (probs * messages).sum()
    # The kernel is symmetric, so the gradient is twice the one with the neighbours held fixed.
    return (total - 2 * agreement + agreement.detach()) / (b * h * w)


@torch.no_grad()
def _messages(probs: Probs, image: Image, kernel: Kernel) -> tuple[Probs, Loss]:
    """What each pixel hears from its window, ``Σ_j k_ij p_j``, and the sum of all ``k_ij``."""
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


def _pair(down: int, right: int) -> tuple[Window, Window]:
    """Where the pixels are that have a neighbour at this offset, and where those neighbours are."""
    return (..., _cut(-down), _cut(-right)), (..., _cut(down), _cut(right))


def _cut(offset: int) -> slice:
    """All but the first `offset` entries, or all but the last ``-offset``."""
    return slice(offset, None) if offset >= 0 else slice(None, offset)
