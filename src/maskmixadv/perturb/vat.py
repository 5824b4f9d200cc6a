"""Virtual adversarial training: the small change of the image that changes the network's answer most."""

from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from maskmixadv.errors import InputError
from maskmixadv.perturb.perturbation import Forward, Perturbation, Views, in_place, mean
from maskmixadv.perturb.saliency import needed
from maskmixadv.tensors import Batch, Image

PROBE = 0.01
"""Size of the change along which the network is asked; large enough for 16-bit arithmetic to notice."""


class Change(NamedTuple):
    """What is added to the images.

    Attributes
    ----------
    added
        Its root mean square over each sample is the perturbation's `size`.

    Examples
    --------
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.perturb import VAT, as_tested
    >>> from maskmixadv.tensors import Batch
    >>> change = VAT(size=0.05).draw(Batch.example(), as_tested(UNet(1, 4)))
    >>> change.added.square().mean((1, 2, 3)).sqrt()
    tensor([0.05, 0.05])
    """

    added: Image


@final
@dataclass(frozen=True)
class VAT(Perturbation):
    """The virtual adversarial direction is added to the second view; the first view is clean.

    Miyato et al., IEEE TPAMI 2019. It is the direction in which the network's probabilities change most, by the
    Kullback-Leibler divergence. `steps` of power iteration find it, starting at a random one. The views' maps are
    merged by the mean.

    Differs from the paper: `size` is that of a pixel, not a vector's length, so that it does not depend on the window;
    the network runs as at test time, so that its batch-norm statistics stay as they are.

    Attributes
    ----------
    size
        Root mean square of the change, in intensities, in (0, 1].
    steps
        Steps of power iteration, at least 1.

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.perturb import VAT, as_tested
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example()
    >>> views = VAT()(batch, as_tested(UNet(1, 4)))
    >>> torch.equal(views.images[0], batch.image)
    True
    """

    size: float = 0.03
    steps: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise InputError(f"size: {self.size}, allowed is a number above 0, at most 1")
        if self.steps < 1:
            raise InputError(f"steps: {self.steps}, allowed is at least 1")

    def draw(self, batch: Batch, forward: Forward | None = None) -> Change:
        """Draw a direction, and turn it to where the network's answer changes most."""
        ask, image = needed(forward), batch.image.detach()
        # Detached afterwards: weights that autocast casts under no_grad it would keep, without their gradient.
        expected = ask(image).softmax(1).detach()
        direction = _unit(torch.randn(image.shape, generator=batch.rng, device=image.device))
        for _ in range(self.steps):
            with torch.enable_grad():
                probe = (PROBE * direction).requires_grad_()
                loss = F.kl_div(ask(image + probe).log_softmax(1), expected, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, probe)
            direction = _unit(gradient)
        return Change(self.size * direction)

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:
        """Return the clean images and the changed ones, kept in [0, 1]."""
        changed = (batch.image + self.draw(batch, forward).added).clamp(0, 1)
        lost = torch.ones_like(batch.image[:, :1])
        return in_place(batch, (batch.image, changed), mean, hidden=(torch.zeros_like(lost), lost))


def _unit(vectors: Tensor) -> Tensor:
    """Scale each sample to a root mean square of 1; 0 stays 0."""
    # Scaled first, as the squares of tiny gradients are 0.
    scaled = vectors / vectors.abs().amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(vectors.dtype).tiny)
    return scaled / scaled.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-6)
