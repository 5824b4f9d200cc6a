"""Noise: both views are disturbed, each by noise of its own, on the image or on features."""

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
    """Noise that maps are multiplied by.

    Attributes
    ----------
    gain
        Factors about 1.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import UniformNoise
    >>> UniformNoise(size=0.1).draw(torch.rand(2, 1, 8, 8), torch.Generator()).gain.shape
    torch.Size([1, 8, 8])
    """

    gain: Grains


class Specks(NamedTuple):
    """Noise that decides which values are replaced.

    Attributes
    ----------
    chance
        In [0, 1]: values with the lowest become pepper, those with the highest become salt.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import SaltAndPepper
    >>> SaltAndPepper().draw(torch.rand(2, 1, 8, 8), torch.Generator()).chance.shape
    torch.Size([1, 8, 8])
    """

    chance: Grains


@dataclass(frozen=True)
class Noise(Perturbation):
    """Base of perturbations with noise in both views, drawn for each; their maps are merged by the mean.

    Attributes
    ----------
    level
        Where noise is laid: on the image, which is kept in [0, 1], or on the encoder's features, at every scale.

    Examples
    --------
    >>> from maskmixadv.perturb import GaussianNoise
    >>> from maskmixadv.tensors import Batch
    >>> views = GaussianNoise(level="image")(Batch.example())
    >>> bool((views.images[0] != views.images[1]).any())
    True
    """

    levels: ClassVar[tuple[Level, ...]] = ("image", "feature")

    level: Level = "image"

    @abc.abstractmethod
    def draw(self, maps: Maps, rng: Generator) -> Gain | Specks:
        """Draw the noise of one view of `maps`."""

    @abc.abstractmethod
    def apply(self, maps: Maps, drawn: Gain | Specks) -> Maps:
        """Return the maps with the noise that was drawn."""

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:  # noqa: ARG002
        """Return two views of the images, or of the features, of `batch`."""

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
    """Base of noises that maps are multiplied by, with mean 1.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import UniformNoise
    >>> from maskmixadv.perturb.noise import Gain
    >>> UniformNoise().apply(torch.ones(1, 1, 1, 2), Gain(torch.tensor([[[0.9, 1.2]]])))
    tensor([[[[0.90, 1.20]]]])
    """

    def apply(self, maps: Maps, drawn: Gain | Specks) -> Maps:
        """Return the maps times the gains."""
        return maps * drawn[0]


@final
@dataclass(frozen=True)
class UniformNoise(Multiplied):
    """Maps times 1 + U(-size, size), as in cross-consistency training (Ouali et al., CVPR 2020).

    Attributes
    ----------
    size
        Largest change, as a fraction, in (0, 1].

    Raises
    ------
    InputError
        Where `size` is not allowed.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import UniformNoise
    >>> gain = UniformNoise(size=0.2).draw(torch.rand(2, 1, 64, 64), torch.Generator().manual_seed(0)).gain
    >>> gain.min().item(), gain.max().item()
    (0.8, 1.2)
    """

    size: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise InputError(f"size: {self.size}, allowed is a fraction above 0, at most 1")

    def draw(self, maps: Maps, rng: Generator) -> Gain:
        """Draw the gains."""
        return Gain(1 + self.size * (2 * torch.rand(maps.shape[1:], generator=rng, device=maps.device) - 1))


@final
@dataclass(frozen=True)
class GaussianNoise(Multiplied):
    """Maps times 1 + N(0, size²).

    Differs from the paper, which multiplies by N(0, 1): its mean is 0, so that hardly anything of the image is left.

    Attributes
    ----------
    size
        Standard deviation of the change, as a fraction, above 0.

    Raises
    ------
    InputError
        Where `size` is not allowed.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import GaussianNoise
    >>> gain = GaussianNoise(size=0.2).draw(torch.rand(2, 1, 64, 64), torch.Generator().manual_seed(0)).gain
    >>> gain.std().item()
    0.2
    """

    size: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.size < float("inf"):
            raise InputError(f"size: {self.size}, allowed is a finite number above 0")

    def draw(self, maps: Maps, rng: Generator) -> Gain:
        """Draw the gains."""
        return Gain(1 + self.size * torch.randn(maps.shape[1:], generator=rng, device=maps.device))


@final
@dataclass(frozen=True)
class SaltAndPepper(Noise):
    """Some values become their channel's largest, and as many its smallest.

    The paper does not say how many.

    Attributes
    ----------
    density
        Fraction of the values that are replaced, in (0, 1].

    Raises
    ------
    InputError
        Where `density` is not allowed.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import SaltAndPepper
    >>> from maskmixadv.perturb.noise import Specks
    >>> maps, chance = torch.tensor([[[[0.1, 0.5, 0.6, 0.9]]]]), torch.tensor([[[0.5, 0.01, 0.99, 0.5]]])
    >>> SaltAndPepper(density=0.1).apply(maps, Specks(chance))
    tensor([[[[0.10, 0.10, 0.90, 0.90]]]])
    """

    density: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.density <= 1:
            raise InputError(f"density: {self.density}, allowed is a fraction above 0, at most 1")

    def draw(self, maps: Maps, rng: Generator) -> Specks:
        """Draw which values are replaced."""
        return Specks(torch.rand(maps.shape[1:], generator=rng, device=maps.device))

    def apply(self, maps: Maps, drawn: Gain | Specks) -> Maps:
        """Return the maps with salt and pepper."""
        chance, low, high = drawn[0], maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        peppered = torch.where(chance < self.density / 2, low, maps)
        return torch.where(chance > 1 - self.density / 2, high, peppered)
