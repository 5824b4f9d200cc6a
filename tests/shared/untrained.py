"""Networks with random weights, ready to predict."""

import torch
from torch import nn

import tiny
from maskmixadv import methods
from maskmixadv.inference.predictor import Predictor, fuse_norms
from maskmixadv.sampling.grid import Grid


def predictor(name: str) -> Predictor:
    """A method's network with random weights, as a run's is loaded."""
    torch.manual_seed(1)
    net = methods.ALL[name]().players(tiny.TASK)["net"]
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)  # pyright: ignore[reportArgumentType]
            nn.init.uniform_(part.running_var, 0.5, 2.0)  # pyright: ignore[reportArgumentType]
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=0.2)
    return Predictor(fuse_norms(net), Grid(48, 1.4), tiny.CLASSES)
