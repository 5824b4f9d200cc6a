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
        Images of the two views, ``(b, c, h, w)`` each. Where features are perturbed, both are the batch's images.
    targets
        Labels that hold in each view: a pixel that comes from another sample carries that sample's label.
    weights
        How much each pixel of `targets` counts. Each sums to 1 over the batch where every pixel is shown once by each
        view.
    merge
        Turns maps of the first and the second view into one map, in the batch's own places. From the views' images it
        makes the batch's images.
    relabel
        Turns labels in the batch's own places into labels of each view, as `targets` are made from the batch's.
    hidden
        1 where a view has lost what its image showed and shows nothing instead, so that it can be asked to restore it;
        None where other samples are shown instead.
    whole
        Number of samples, the first ones, that both views show in whole.
    disturb
        Turns the encoder's features of the images into pairs, the first and the second view's, one for each level; None
        where images are perturbed.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import MaskMix
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example()
    >>> views = MaskMix()(batch)
    >>> torch.equal(views.merge(*views.images), batch.image)
    True
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
        """Return each view's features.

        Views of the image pass the encoder as one batch of 2 b samples, so that they share its batch-norm statistics.

        Parameters
        ----------
        encoder
            Returns the features of images, finest level first.
        """
        if self.disturb is None:
            pairs = [maps.chunk(2) for maps in encoder(torch.cat(self.images))]
        else:
            pairs = self.disturb(encoder(self.images[0]))
        return [first for first, _ in pairs], [second for _, second in pairs]


class Perturbation(abc.ABC):
    """A way to make two views; concrete ones are final frozen dataclasses of their parameters.

    Random numbers are drawn first, from ``batch.rng`` alone, as a named tuple of tensors; then they are applied.

    Examples
    --------
    >>> from maskmixadv.perturb import ALL
    >>> [name for name, kind in ALL.items() if "feature" in kind.levels]
    ['maskmix', 'uniform-noise', 'gaussian-noise', 'salt-and-pepper', 'dropout2d', 'feature-dropout']
    """

    levels: ClassVar[tuple[Level, ...]] = ("image",)
    """Where it can be laid; where there is a choice, a field `level` makes it."""
    restores: ClassVar[bool] = True
    """Whether views say what they have `hidden`."""
    on_host: ClassVar[bool] = False
    """Whether views are worked out on the CPU in part, for which a GPU has to wait."""

    @abc.abstractmethod
    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:
        """Return two views of `batch`.

        Parameters
        ----------
        batch
            What is perturbed.
        forward
            The network, for perturbations that follow its gradient; the others ignore it.

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
    """Return views that leave every pixel in its place, so that each keeps its label, also where it is hidden.

    Parameters
    ----------
    batch
        What the views are made of.
    images, merge, hidden, whole, disturb
        As the attributes of `Views`.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb.perturbation import in_place, mean
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example()
    >>> nothing = torch.zeros_like(batch.image)
    >>> views = in_place(batch, (batch.image, batch.image), mean, hidden=(nothing, nothing))
    >>> views.targets[1] is batch.target
    True
    """
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
    """Merge two views that both show every pixel: the mean of their maps.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb.perturbation import mean
    >>> mean(torch.zeros(1), torch.ones(1))
    tensor([0.50])
    """
    return 0.5 * (first + second)


def symmetric_beta(alpha: float, batch: Batch) -> Float[Tensor, "b"]:
    """Draw a number from Beta(alpha, alpha) for each sample of `batch`, from its `rng`.

    Ulrich's closed form (Applied Statistics 33, 1984), since torch's own sampler takes no generator.

    Parameters
    ----------
    alpha
        At least 0.5; `check_alpha` refuses others.
    batch
        Gives the number of samples and the random numbers.

    Examples
    --------
    >>> from maskmixadv.perturb.perturbation import symmetric_beta
    >>> from maskmixadv.tensors import Batch
    >>> shares = symmetric_beta(1.0, Batch.example(samples=1000, side=16))
    >>> shares.mean().item()
    0.5
    """
    device = batch.image.device
    u, v = torch.rand(2, len(batch.image), generator=batch.rng, device=device)
    # At alpha = 1/2 the exponent is infinite and the radius 1: the arcsine law.
    radius = (1 - u ** (2 / (2 * alpha - 1))).sqrt() if alpha > 0.5 else torch.ones_like(u)
    return 0.5 + 0.5 * radius * torch.cos(2 * torch.pi * v)
