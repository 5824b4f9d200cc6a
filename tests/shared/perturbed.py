"""A small network to ask for perturbed views, and batches of chosen images."""

import dataclasses

import torch
from torch import Tensor, nn

from maskmixadv.networks.losses import uniform
from maskmixadv.networks.unet import Features
from maskmixadv.perturb import Perturbation, Views
from maskmixadv.tensors import Batch


def forward(image: Tensor) -> Tensor:
    """A network of one convolution."""
    torch.manual_seed(5)
    return nn.Conv2d(image.shape[1], 4, 5, padding=2)(image)


def views(perturbation: Perturbation, batch: Batch) -> Views:
    return perturbation(batch, forward)


def resized(batch: Batch, *, image: Tensor, target: Tensor, weight: Tensor | None = None) -> Batch:
    weight = uniform(target) if weight is None else weight
    return dataclasses.replace(batch, image=image, target=target, weight=weight, prior=None, belief=None)


def features(image: Tensor) -> Features:
    return [image.repeat(1, 3, 1, 1), nn.functional.avg_pool2d(image, 2).repeat(1, 5, 1, 1)]
