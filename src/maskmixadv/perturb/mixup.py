"""Mixup: two samples laid over each other."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from maskmixadv.errors import InputError
from maskmixadv.perturb.cutmix import check_alpha
from maskmixadv.perturb.perturbation import Forward, Perturbation, Views, symmetric_beta
from maskmixadv.tensors import Batch, Image, Labels, Weight
from maskmixadv.types import IGNORE


class Shares(NamedTuple):
    """How much of each sample its first view holds; the second view holds the rest.

    Attributes
    ----------
    first
        λ, in [0, 1] and never 1/2.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb.mixup import Shares
    >>> shares, maps = Shares(torch.full((2, 1, 1, 1), 0.75)), torch.tensor([0.0, 1.0])[:, None, None, None]
    >>> first, second = shares.split(maps)
    >>> first.flatten().tolist(), shares.merge(first, second).flatten().tolist()
    ([0.25, 0.75], [0.0, 1.0])
    """

    first: Float[Tensor, "b 1 1 1"]

    def split(self, maps: Image) -> tuple[Image, Image]:
        """Return λ x + (1 - λ) x' and (1 - λ) x + λ x', x' being the batch's next sample."""
        other = maps.roll(-1, 0)
        return torch.lerp(other, maps, self.first), torch.lerp(maps, other, self.first)

    def merge(self, first: Float[Tensor, "b k h w"], second: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k h w"]:
        """Undo `split`: (λ a - (1 - λ) b) / (2 λ - 1), kept at 0 or above without changing its sum over channels.

        Images come back as they were. Probabilities, which no network mixes as exactly as images are mixed, stay
        probabilities: negative ones become 0, and the others are scaled so that all sum to 1 again.
        """
        parted = (self.first * first - (1 - self.first) * second) / (2 * self.first - 1)
        positive = parted.clamp(min=0)
        # The guard is for channels that are all 0; a positive sum is never below the one it is scaled to.
        return positive * (parted.sum(1, keepdim=True).clamp(min=0) / positive.sum(1, keepdim=True).clamp(min=1e-12))

    def relabel(self, labels: Labels) -> tuple[Labels, Labels]:
        """Return each view's labels: the heavier sample's where both samples' are known, else the known one."""
        heavy, other = self.first[:, 0] > 0.5, labels.roll(-1, 0)
        first, second = torch.where(heavy, labels, other), torch.where(heavy, other, labels)
        return torch.where(first == IGNORE, second, first), torch.where(second == IGNORE, first, second)

    def reweigh(self, batch: Batch) -> tuple[Weight, Weight]:
        """Return the weights of each view's labels: a sample's, times its share, where the view carries its label."""
        share = self.first[:, 0]
        both = [(share, 1 - share), (1 - share, share)]
        mine = [(batch.target == target) * batch.weight for target in self.relabel(batch.target)]
        theirs = [
            (batch.target.roll(-1, 0) == target) * batch.weight.roll(-1, 0) for target in self.relabel(batch.target)
        ]
        first, second = (a * x + b * y for (a, b), x, y in zip(both, mine, theirs, strict=True))
        return first, second


@final
@dataclass(frozen=True)
class Mixup(Perturbation):
    """Each sample laid over the batch's next one: λ of it in the first view, 1 - λ in the second.

    Zhang et al., ICLR 2018. Where both samples carry a label, and the labels differ, the heavier sample's holds. A
    label counts as much as its sample's share, so that where labels agree, or one alone is known, cross-entropy is the
    paper's.

    Differs from the paper: λ ~ Beta(alpha, alpha) is kept at least `margin` / 2 from 1/2, as two views of equal halves
    can't be told apart again; a pixel has one label, where the paper mixes both.

    Attributes
    ----------
    alpha
        Parameter of λ's distribution, at least 0.5.
    margin
        Least difference between a sample's shares in the two views, in (0, 1].

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import Mixup
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example()
    >>> views = Mixup()(batch)
    >>> torch.allclose(views.merge(*views.images), batch.image, atol=1e-5)
    True
    """

    restores: ClassVar[bool] = False

    alpha: float = 0.5
    margin: float = 0.5

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if not 0 < self.margin <= 1:
            raise InputError(f"margin: {self.margin}, allowed is a number above 0, at most 1")

    def draw(self, batch: Batch) -> Shares:
        """Draw λ for each sample."""
        lead = 2 * symmetric_beta(self.alpha, batch) - 1
        sign = torch.where(lead < 0, -1.0, 1.0)
        return Shares((0.5 + 0.5 * sign * lead.abs().clamp(min=self.margin)).view(-1, 1, 1, 1))

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:  # noqa: ARG002
        """Return two views that complement each other."""
        shares = self.draw(batch)
        return Views(
            images=shares.split(batch.image),
            targets=shares.relabel(batch.target),
            weights=shares.reweigh(batch),
            merge=shares.merge,
            relabel=shares.relabel,
        )
