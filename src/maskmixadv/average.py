"""Moving averages of a network's weights."""

from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, *, decay: float) -> None:
    """Move `average` to `net`, an equal module: it keeps `decay` of itself, in weights and in floating buffers."""
    get_ema_multi_avg_fn(decay)(_floating(average), _floating(net), 0)


def _floating(net: nn.Module) -> list[Tensor]:
    # Not by state_dict, which takes as long as the averaging.
    return [tensor for tensor in chain(net.parameters(), net.buffers()) if tensor.is_floating_point()]
