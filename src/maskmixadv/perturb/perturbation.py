"""What every perturbation is: an immutable dataclass that makes two views of a batch and knows the way back."""

import abc
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from maskmixadv.networks.unet import Features
from maskmixadv.tensors import Batch, Image, Indicator, Labels, Logits, Weight

Level = Literal["image", "feature"]
"""Where a perturbation is laid: on the image, or on the encoder's features, at every scale."""
Forward = Callable[[Image], Logits]
"""A network as a function, for perturbations that ask it where to strike; see `saliency.as_tested`."""


class Views(NamedTuple):
    """Two views of a batch.

    Attributes
    ----------
    images
        The two views; of a perturbation of features the batch's image, twice.
    targets
        Labels valid in each: a pixel that comes from another sample carries that one's label.
    weights
        What each pixel of `targets` counts: 1 in all over the batch where every pixel is shown once by each view.
    merge
        Maps of the first and of the second view to one map in the batch's own frame; of the images themselves
        it gives the batch's image.
    relabel
        Labels in the batch's own frame to those of each view, as `targets` are made of the batch's.
    hidden
        1 where a view has lost what its image showed and nothing stands in its place, so that it can be asked to
        restore it; None where other samples stand in its place.
    whole
        So many samples, the first ones, are seen whole by both.
    disturb
        The encoder's features of the image to those of each view; None where the images are perturbed themselves.
    """

    images: tuple[Image, Image]
    targets: tuple[Labels, Labels]
    weights: tuple[Weight, Weight]
    merge: Callable[[Tensor, Tensor], Tensor]
    relabel: Callable[[Labels], tuple[Labels, Labels]]
    hidden: tuple[Indicator, Indicator] | None = None
    whole: int = 0
    disturb: Callable[[Features], list[tuple[Tensor, Tensor]]] | None = None

    def encode(self, encoder: Callable[[Image], Features]) -> tuple[Features, Features]:
        """Each view's features. Views of the image pass the encoder as one batch of 2 b, and share its statistics."""
        if self.disturb is None:
            pairs = [maps.chunk(2) for maps in encoder(torch.cat(self.images))]
        else:
            pairs = self.disturb(encoder(self.images[0]))
        return [first for first, _ in pairs], [second for _, second in pairs]


class Perturbation(abc.ABC):
    """A way to make two views; concrete ones are final frozen dataclasses of parameters.

    What is random is drawn first, from ``batch.rng`` alone, as a named tuple of tensors; then it is applied.
    """

    levels: ClassVar[tuple[Level, ...]] = ("image",)
    """Where it can be laid; where there is a choice, a field `level` makes it."""
    restores: ClassVar[bool] = True
    """Whether views say what they have `hidden`."""
    on_host: ClassVar[bool] = False
    """Whether views are worked out on the CPU in part, for which a GPU has to wait."""

    @abc.abstractmethod
    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:
        """Two views of `batch`; perturbations that follow the network's gradient need its `forward`.

        Raises
        ------
        TypeError
            Where `forward` is needed and not given.
        """


def in_place(
    batch: Batch,
    images: tuple[Image, Image],
    merge: Callable[[Tensor, Tensor], Tensor],
    *,
    hidden: tuple[Indicator, Indicator],
    whole: int = 0,
    disturb: Callable[[Features], list[tuple[Tensor, Tensor]]] | None = None,
) -> Views:
    """Views that leave every pixel where it is, so that each keeps its label, hidden ones too."""
    return Views(
        images=images,
        targets=(batch.target, batch.target),
        weights=(batch.weight, batch.weight),
        merge=merge,
        relabel=lambda labels: (labels, labels),
        hidden=hidden,
        whole=whole,
        disturb=disturb,
    )


def mean(first: Tensor, second: Tensor) -> Tensor:
    """Merge views that see every pixel both."""
    return 0.5 * (first + second)


def symmetric_beta(alpha: float, batch: Batch) -> Float[Tensor, "b"]:
    """Draw from Beta(alpha, alpha) for each sample; `alpha` is at least 1/2.

    Ulrich's closed form (Applied Statistics 33, 1984), as torch's own sampler takes no generator.
    """
    device = batch.image.device
    u, v = torch.rand(2, len(batch.image), generator=batch.rng, device=device)
    # At alpha = 1/2 the exponent is infinite and the radius 1: the arcsine law.
    radius = (1 - u ** (2 / (2 * alpha - 1))).sqrt() if alpha > 0.5 else torch.ones_like(u)
    return 0.5 + 0.5 * radius * torch.cos(2 * torch.pi * v)
