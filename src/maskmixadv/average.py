"""Moving averages of a network's weights."""

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, *, decay: float) -> None:
    """Move `average` to `net`, an equal module: it keeps `decay` of itself, in weights and in floating buffers."""
    own, theirs = (list(each.state_dict().values()) for each in (average, net))
    moved = [(mine, its) for mine, its in zip(own, theirs, strict=True) if mine.is_floating_point()]
    get_ema_multi_avg_fn(decay)([mine for mine, _ in moved], [its for _, its in moved], 0)
