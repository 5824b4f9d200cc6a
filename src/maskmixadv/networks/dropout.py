"""Dropout that needs few random bits, which on a CPU are expensive."""

from typing import Final

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from maskmixadv.tensors import Maps

_BITS: Final = 15
"""Random bits that decide on an element; a probability is rounded to a multiple of 2^-15."""
_ONE: Final = 0x3F80
"""Bits of 1 in bfloat16; those of 0 are all 0."""


class FastDropout(nn.Dropout):
    """Zero each element with probability `p` in training, and multiply the others by ``1 / (1 - p)``.

    On a CPU, torch draws 32 random bits for each element, on one thread, which takes a tenth of a training step. Here
    15 bits decide, so that `p` is rounded to a multiple of 2⁻¹⁵. On other devices it is torch's own dropout. Both draw
    from torch's global generator, but not the same numbers.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.dropout import FastDropout
    >>> _ = torch.manual_seed(0)
    >>> FastDropout(0.5)(torch.ones(1, 4, 64, 64)).unique()
    tensor([0., 2.])
    """

    def forward(self, input: Maps) -> Maps:
        """Return the maps with some elements zeroed; in evaluation mode the maps themselves."""
        if not self.training or not self.p:
            return input
        if input.device.type != "cpu" or self.p == 1 or torch.compiler.is_compiling():
            return F.dropout(input, self.p)
        return input * _kept(input, self.p).to(input.dtype).mul_(1 / (1 - self.p))


def _kept(maps: Maps, p: float) -> Maps:
    """1 with probability ``1 - p``, else 0, in bfloat16; laid out in memory as `maps` are.

    It is computed from integers, in place, since comparing and then converting takes five times as long.
    """
    b, f, h, w = maps.shape
    bits = torch.empty(-(-maps.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    drawn = bits.view(torch.int16)[: maps.numel()].bitwise_and_(2**_BITS - 1)
    # The sign of (drawn - threshold), spread over all bits, is the mask of what is dropped.
    drawn.sub_(round(p * 2**_BITS)).bitwise_right_shift_(_BITS).bitwise_not_().bitwise_and_(_ONE)
    kept = drawn.view(torch.bfloat16)
    if maps.is_contiguous(memory_format=torch.channels_last):
        return kept.view(b, h, w, f).permute(0, 3, 1, 2)
    return kept.view(b, f, h, w)
