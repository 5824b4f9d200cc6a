"""Noises: both views are disturbed, each on its own, on the image or on features."""

import abc
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from maskmixadv.errors import InputError
from maskmixadv.perturb.perturbation import Forward, Level, Perturbation, Views, in_place, mean
from maskmixadv.tensors import Batch, Maps

Grains = Float[Tensor, "f h w"]
"""Noise, one sample for all of the batch, as in the released code; a view and a level have each their own."""


class Gain(NamedTuple):
    """What maps are multiplied by."""

    gain: Grains


class Specks(NamedTuple):
    """In [0, 1]: the lowest are peppered, the highest salted."""

    chance: Grains


@dataclass(frozen=True)
class Noise(Perturbation):
    """Noise in both views, drawn for each; the mean of the views' maps is the way back.

    Attributes
    ----------
    level
        Where noise is laid: on the image, kept in [0, 1], or on the encoder's features, at every scale.
    """

    levels: ClassVar[tuple[Level, ...]] = ("image", "feature")

    level: Level = "image"

    @abc.abstractmethod
    def draw(self, maps: Maps, rng: Generator) -> Gain | Specks:
        """Draw one view's noise for `maps`."""

    @abc.abstractmethod
    def apply(self, maps: Maps, drawn: Gain | Specks) -> Maps:
        """Disturb `maps`."""

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:  # noqa: ARG002
        """Two views of the images, or of the features, of `batch`."""

        def disturbed(maps: Maps) -> tuple[Maps, Maps]:
            first, second = (self.apply(maps, self.draw(maps, batch.rng)) for _ in range(2))
            return first, second

        lost = torch.ones_like(batch.image[:, :1])
        if self.level == "feature":
            return in_place(
                batch,
                (batch.image, batch.image),
                mean,
                hidden=(lost, lost),
                disturb=lambda features: [disturbed(maps) for maps in features],
            )
        first, second = disturbed(batch.image)
        return in_place(batch, (first.clamp(0, 1), second.clamp(0, 1)), mean, hidden=(lost, lost))


@dataclass(frozen=True)
class Multiplied(Noise):
    """Noise that maps are multiplied by, its mean 1."""

    def apply(self, maps: Maps, drawn: Gain | Specks) -> Maps:
        """Multiply."""
        return maps * drawn[0]


@final
@dataclass(frozen=True)
class UniformNoise(Multiplied):
    """Maps times 1 + U(-size, size), as in cross-consistency training (Ouali et al., CVPR 2020).

    Attributes
    ----------
    size
        Largest change, as a fraction, in (0, 1].
    """

    size: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise InputError(f"size: {self.size}, allowed is a fraction above 0, at most 1")

    def draw(self, maps: Maps, rng: Generator) -> Gain:
        """Draw gains."""
        return Gain(1 + self.size * (2 * torch.rand(maps.shape[1:], generator=rng, device=maps.device) - 1))


@final
@dataclass(frozen=True)
class GaussianNoise(Multiplied):
    """Maps times 1 + N(0, size²).

    Differs from the paper: it multiplies by N(0, 1), whose mean is 0, so that hardly anything of the image is left.

    Attributes
    ----------
    size
        Standard deviation of the change, as a fraction, above 0.
    """

    size: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.size < float("inf"):
            raise InputError(f"size: {self.size}, allowed is a finite number above 0")

    def draw(self, maps: Maps, rng: Generator) -> Gain:
        """Draw gains."""
        return Gain(1 + self.size * torch.randn(maps.shape[1:], generator=rng, device=maps.device))


@final
@dataclass(frozen=True)
class SaltAndPepper(Noise):
    """Some values become their channel's largest, as many its smallest.

    The paper does not say how many.

    Attributes
    ----------
    density
        Fraction of the values that are replaced, in (0, 1].
    """

    density: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.density <= 1:
            raise InputError(f"density: {self.density}, allowed is a fraction above 0, at most 1")

    def draw(self, maps: Maps, rng: Generator) -> Specks:
        """Draw where they lie."""
        return Specks(torch.rand(maps.shape[1:], generator=rng, device=maps.device))

    def apply(self, maps: Maps, drawn: Gain | Specks) -> Maps:
        """Replace."""
        chance, low, high = drawn[0], maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        peppered = torch.where(chance < self.density / 2, low, maps)
        return torch.where(chance > 1 - self.density / 2, high, peppered)
