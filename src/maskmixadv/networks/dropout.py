"""Dropout whose random bits cost little on a CPU."""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

_BITS: Final = 15
"""Random bits that decide on an element; a probability is rounded to a multiple of 2^-15."""
_ONE: Final = 0x3F80
"""Bits of 1 in bfloat16; those of 0 are all 0."""


class Dropout(nn.Dropout):
    """Zero each element with probability `p` in training, and scale the others by ``1 / (1 - p)``.

    On a CPU torch draws 32 bits an element, on one thread, which is a tenth of a training step; 15 bits are enough.
    Both draw from torch's own generator, not the same numbers.
    """

    def forward(self, input: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
        """Maps with elements zeroed; in evaluation the maps themselves."""
        if not self.training or not self.p:
            return input
        if input.device.type != "cpu" or self.p == 1 or torch.compiler.is_compiling():
            return F.dropout(input, self.p)
        return input * _kept(input, self.p).to(input.dtype).mul_(1 / (1 - self.p))


def _kept(maps: Float[Tensor, "b f h w"], p: float) -> Float[Tensor, "b f h w"]:
    """1 with probability ``1 - p``, else 0, in bfloat16; laid out in memory as `maps` are.

    Made of integers in place, as comparing and then converting takes five times as long.
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
