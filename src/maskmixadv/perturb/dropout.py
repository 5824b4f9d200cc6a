"""Dropout of features: one view is decoded from all of them, the other from those that are left."""

import abc
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from maskmixadv.errors import InputError
from maskmixadv.perturb.perturbation import Forward, Level, Perturbation, Views, in_place, mean
from maskmixadv.tensors import Batch, Maps


class KeptChannels(NamedTuple):
    """The channels that dropout keeps.

    Attributes
    ----------
    channels
        1 for channels that are kept, 0 for the others.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import Dropout2d
    >>> kept = Dropout2d(p=0.25).draw(torch.rand(2, 400, 4, 4), torch.Generator().manual_seed(0))
    >>> kept.channels.mean().item()
    0.8
    """

    channels: Float[Tensor, "b f 1 1"]


class Threshold(NamedTuple):
    """The activity from which on places are dropped.

    Attributes
    ----------
    fraction
        Of the highest activity of each sample.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import FeatureDropout
    >>> drawn = FeatureDropout(low=0.8, high=0.8).draw(torch.rand(1, 8, 4, 4), torch.Generator())
    >>> drawn.fraction.item()
    0.8
    """

    fraction: Float[Tensor, "b 1 1 1"]


@dataclass(frozen=True)
class DroppedFeatures(Perturbation):
    """Base of perturbations that drop a part of the second view's features, at every scale anew.

    The first view has all features, as the main decoder of cross-consistency training (Ouali et al., CVPR 2020).

    Examples
    --------
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.perturb import Dropout2d
    >>> from maskmixadv.tensors import Batch
    >>> first, second = Dropout2d()(Batch.example()).encode(UNet(1, 4).encode)
    >>> [tuple(maps.shape) for maps in second[:2]]
    [(2, 16, 32, 32), (2, 32, 16, 16)]
    """

    levels: ClassVar[tuple[Level, ...]] = ("feature",)

    @abc.abstractmethod
    def draw(self, maps: Maps, rng: Generator) -> KeptChannels | Threshold:
        """Draw what `maps` lose."""

    @abc.abstractmethod
    def apply(self, maps: Maps, drawn: KeptChannels | Threshold) -> Maps:
        """Return the maps without what was drawn."""

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:  # noqa: ARG002
        """Return the features of `batch`, clean and with dropout."""
        lost = torch.ones_like(batch.image[:, :1])
        return in_place(
            batch,
            (batch.image, batch.image),
            mean,
            hidden=(torch.zeros_like(lost), lost),
            disturb=lambda features: [(maps, self.apply(maps, self.draw(maps, batch.rng))) for maps in features],
        )


@final
@dataclass(frozen=True)
class Dropout2d(DroppedFeatures):
    """Channels are dropped and the others scaled up to make up for them, as for WSL4MIS's second decoder.

    Luo et al., MICCAI 2022.

    Attributes
    ----------
    p
        Probability that a channel is dropped, in (0, 1).

    Raises
    ------
    InputError
        Where `p` is not allowed.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import Dropout2d
    >>> dropout, maps = Dropout2d(p=0.5), torch.ones(1, 64, 2, 2)
    >>> dropout.apply(maps, dropout.draw(maps, torch.Generator().manual_seed(0))).unique()
    tensor([0., 2.])
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.p < 1:
            raise InputError(f"p: {self.p}, allowed is a probability between 0 and 1, both excluded")

    def draw(self, maps: Maps, rng: Generator) -> KeptChannels:
        """Draw the channels that are kept."""
        noise = torch.rand(*maps.shape[:2], 1, 1, generator=rng, device=maps.device)
        return KeptChannels((noise >= self.p).float())

    def apply(self, maps: Maps, drawn: KeptChannels | Threshold) -> Maps:
        """Zero the other channels, and multiply those that are kept by ``1 / (1 - p)``."""
        return maps * (drawn[0] / (1 - self.p))


@final
@dataclass(frozen=True)
class FeatureDropout(DroppedFeatures):
    """The most active places are dropped: those whose mean over channels is at least a fraction of the largest.

    From cross-consistency training (Ouali et al., CVPR 2020). Where the largest mean is not above 0, nothing is active
    and nothing is dropped.

    Attributes
    ----------
    low, high
        Bounds of the fraction, which is drawn uniformly for each sample; 0 < low <= high <= 1.

    Raises
    ------
    InputError
        Where the bounds are not allowed.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import FeatureDropout
    >>> dropout, maps = FeatureDropout(low=0.7, high=0.7), torch.tensor([[[[0.2, 0.6, 0.8, 1.0]]]])
    >>> dropout.apply(maps, dropout.draw(maps, torch.Generator()))
    tensor([[[[0.20, 0.60, 0.00, 0.00]]]])
    """

    low: float = 0.7
    high: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high <= 1:
            raise InputError(f"low, high: {self.low}, {self.high}, allowed is 0 < low <= high <= 1")

    def draw(self, maps: Maps, rng: Generator) -> Threshold:
        """Draw the fraction for each sample."""
        u = torch.rand(len(maps), 1, 1, 1, generator=rng, device=maps.device)
        return Threshold(self.low + (self.high - self.low) * u)

    def apply(self, maps: Maps, drawn: KeptChannels | Threshold) -> Maps:
        """Zero the most active places."""
        activity = maps.mean(1, keepdim=True)
        most = activity.amax((2, 3), keepdim=True)
        return maps * ((activity < most * drawn[0]) | (most <= 0))
