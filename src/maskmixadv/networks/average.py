"""Moving averages of a network's weights."""

from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def warmed_up(decay: float, step: int) -> float:
    """What a teacher keeps of itself after step number `step`, counted from 0, in [0, `decay`].

    The mean of all networks so far in the beginning, the last network alone at first (Tarvainen and Valpola's code).
    """
    return min(1 - 1 / (step + 1), decay)


def followed_closely(decay: float, step: int) -> float:
    """What the scored average keeps of itself after step number `step`, counted from 0, in [0, `decay`].

    It warms up as a teacher's does, with the last network alone at first, and then reaches back over the last ninth of
    the steps done (as TensorFlow's ``ExponentialMovingAverage``). A mean of all networks so far would hold those of the
    first steps, which have little to do with one another: with the preset `cpu` it finds nothing after 144 steps, where
    the network itself has Dice .86.
    """
    return min((1 + step) / (10 + step), decay) if step else 0.0


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, *, decay: float | Tensor) -> None:
    """Move `average` to `net`, an equal module: it keeps `decay` of itself, in weights and in floating buffers.

    Parameters
    ----------
    decay
        In [0, 1]; on the device as a tensor without axes where steps are recorded, so that it can change.
    """
    old, new = _floating(average), _floating(net)
    if not isinstance(decay, Tensor):
        get_ema_multi_avg_fn(decay)(old, new, 0)
        return
    # As torch's own optimisers do it: a kernel for all tensors, not one a tensor.
    moves = torch._foreach_sub(new, old)  # pyright: ignore[reportPrivateImportUsage]
    torch._foreach_mul_(moves, torch.ones_like(decay) - decay)  # pyright: ignore[reportPrivateImportUsage]
    torch._foreach_add_(old, moves)  # pyright: ignore[reportPrivateImportUsage]


def _floating(net: nn.Module) -> list[Tensor]:
    # Not by state_dict, which takes as long as the averaging.
    return [tensor for tensor in chain(net.parameters(), net.buffers()) if tensor.is_floating_point()]
