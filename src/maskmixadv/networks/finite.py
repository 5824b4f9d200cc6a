"""A search for NaN and infinity among the weights of networks."""

from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor, nn


def not_finite(nets: Mapping[str, nn.Module]) -> str | None:
    """Return the name of the first weight or buffer that holds NaN or infinity; None where none does.

    Parameters
    ----------
    nets
        Modules by the player's name.

    Returns
    -------
    str | None
        ``player.name``, such as ``net.head.weight``.

    Examples
    --------
    >>> from torch import nn
    >>> from maskmixadv.networks.finite import not_finite
    >>> net = nn.Linear(2, 1)
    >>> not_finite({"net": net}) is None
    True
    >>> _ = nn.init.constant_(net.bias, float("nan"))
    >>> not_finite({"net": net})
    'net.bias'
    """
    tensors: dict[str, Tensor] = {
        f"{player}.{name}": tensor
        for player, net in nets.items()
        for name, tensor in chain(net.named_parameters(), net.named_buffers())
        if tensor.is_floating_point() and tensor.numel()
    }
    if not tensors:
        return None
    # One question to the device, not one a tensor.
    whole = torch.stack([tensor.detach().isfinite().all() for tensor in tensors.values()]).tolist()
    return next((name for name, fine in zip(tensors, whole, strict=True) if not fine), None)
