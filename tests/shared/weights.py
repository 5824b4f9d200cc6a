"""Weights of networks, to be compared bit for bit."""

import torch
from torch import Tensor, nn


def weights(nets: dict[str, nn.Module]) -> dict[str, Tensor]:
    """Copies of all weights and buffers, by ``player.key``."""
    return {f"{player}.{key}": value.clone() for player, net in nets.items() for key, value in net.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether both have the same names, and the same bits under each."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
