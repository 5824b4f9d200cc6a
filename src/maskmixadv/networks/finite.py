"""Numbers that are none: NaN and infinity among weights."""

from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor, nn


def not_finite(nets: Mapping[str, nn.Module]) -> str | None:
    """Name the first weight or buffer of `nets` that holds NaN or infinity, by player; None where none does."""
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
