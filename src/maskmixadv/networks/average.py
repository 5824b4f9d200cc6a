"""Moving averages of a network's weights."""

from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def warmed_up(decay: float, step: int) -> float:
    """Return the fraction of itself that a mean teacher keeps after step number `step`, counted from 0.

    It is ``min(1 - 1 / (step + 1), decay)``, as in the code of Tarvainen and Valpola (NeurIPS 2017): at first the
    teacher equals the network, then it is the mean of all networks so far, and from ``1 / (1 - decay)`` steps on it is
    their exponential moving average.

    Parameters
    ----------
    decay
        The fraction that it keeps in the end, in [0, 1].
    step
        Number of the step, counted from 0.

    Examples
    --------
    >>> from maskmixadv.networks.average import warmed_up
    >>> [warmed_up(0.99, step) for step in (0, 1, 9, 1000)]
    [0.0, 0.5, 0.9, 0.99]
    """
    return min(1 - 1 / (step + 1), decay)


def followed_closely(decay: float, step: int) -> float:
    """Return the fraction of itself that the evaluated average keeps after step number `step`, counted from 0.

    It is ``min((1 + step) / (10 + step), decay)``, as in TensorFlow's ``ExponentialMovingAverage``: at first the
    average equals the network, and while it warms up it covers the last ninth of the steps done. The mean of all
    networks so far (`warmed_up`) would include those of the first steps, which have little in common: with the preset
    ``cpu`` it finds nothing after 144 steps, where the network itself has a Dice of .86.

    Parameters
    ----------
    decay
        The fraction that it keeps in the end, in [0, 1].
    step
        Number of the step, counted from 0.

    Examples
    --------
    >>> from maskmixadv.networks.average import followed_closely
    >>> [followed_closely(0.99, step) for step in (0, 8, 9990)]
    [0.0, 0.5, 0.99]
    """
    return min((1 + step) / (10 + step), decay) if step else 0.0


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, *, decay: float | Tensor) -> None:
    """Move `average` towards `net`: ``average = decay * average + (1 - decay) * net``.

    Weights and floating-point buffers are moved; buffers of integers stay as they are.

    Parameters
    ----------
    average, net
        Modules of the same architecture; `average` is changed in place.
    decay
        Fraction of itself that `average` keeps, in [0, 1]. Where steps are recorded as CUDA graphs it is a tensor of
        shape ``()`` on the device, so that it can change from step to step.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from maskmixadv.networks.average import follow
    >>> average, net = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> _ = nn.init.constant_(average.weight, 0.0), nn.init.constant_(net.weight, 1.0)
    >>> follow(average, net, decay=0.9)
    >>> average.weight.item()
    0.10
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
