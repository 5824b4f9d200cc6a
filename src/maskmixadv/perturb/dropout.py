"""Dropout of features: one view is decoded of all of them, the other of what is left."""

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
    """1 for channels that are kept, 0 for others."""

    channels: Float[Tensor, "b f 1 1"]


class Threshold(NamedTuple):
    """Fraction of the highest activity from which on a place is dropped."""

    fraction: Float[Tensor, "b 1 1 1"]


@dataclass(frozen=True)
class DroppedFeatures(Perturbation):
    """The second view's features are dropped in part, at every scale on their own; the first view has all.

    As in cross-consistency training (Ouali et al., CVPR 2020), whose main decoder sees clean features.
    """

    levels: ClassVar[tuple[Level, ...]] = ("feature",)

    @abc.abstractmethod
    def draw(self, maps: Maps, rng: Generator) -> KeptChannels | Threshold:
        """Draw what `maps` lose."""

    @abc.abstractmethod
    def apply(self, maps: Maps, drawn: KeptChannels | Threshold) -> Maps:
        """Drop."""

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:  # noqa: ARG002
        """Return the features of `batch`, clean and dropped."""
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
    """Channels are dropped, the others scaled up for them, as for WSL4MIS's second decoder (Luo et al., MICCAI 2022).

    Attributes
    ----------
    p
        Probability of each channel, in (0, 1).
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.p < 1:
            raise InputError(f"p: {self.p}, allowed is a probability between 0 and 1, both excluded")

    def draw(self, maps: Maps, rng: Generator) -> KeptChannels:
        """Draw channels."""
        noise = torch.rand(*maps.shape[:2], 1, 1, generator=rng, device=maps.device)
        return KeptChannels((noise >= self.p).float())

    def apply(self, maps: Maps, drawn: KeptChannels | Threshold) -> Maps:
        """Drop, and scale."""
        return maps * (drawn[0] / (1 - self.p))


@final
@dataclass(frozen=True)
class FeatureDropout(DroppedFeatures):
    """The most active places are dropped: those whose mean over channels is at least a fraction of the largest.

    From cross-consistency training. Where the largest mean is not above 0, nothing is active and nothing dropped.

    Attributes
    ----------
    low, high
        Bounds of the fraction, drawn uniformly for each sample; 0 < low <= high <= 1.
    """

    low: float = 0.7
    high: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high <= 1:
            raise InputError(f"low, high: {self.low}, {self.high}, allowed is 0 < low <= high <= 1")

    def draw(self, maps: Maps, rng: Generator) -> Threshold:
        """Draw a fraction for each sample."""
        u = torch.rand(len(maps), 1, 1, 1, generator=rng, device=maps.device)
        return Threshold(self.low + (self.high - self.low) * u)

    def apply(self, maps: Maps, drawn: KeptChannels | Threshold) -> Maps:
        """Drop."""
        activity = maps.mean(1, keepdim=True)
        most = activity.amax((2, 3), keepdim=True)
        return maps * ((activity < most * drawn[0]) | (most <= 0))
