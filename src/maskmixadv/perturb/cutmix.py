"""CutMix: a box of another sample."""

from dataclasses import dataclass
from typing import ClassVar, final

from maskmixadv.errors import InputError
from maskmixadv.perturb.collage import Collage, own
from maskmixadv.perturb.cutout import boxes
from maskmixadv.perturb.perturbation import Forward, Perturbation, Views, symmetric_beta
from maskmixadv.tensors import Batch


@final
@dataclass(frozen=True)
class CutMix(Perturbation):
    """A box of another sample in the first view; the rest of both samples in the second (Yun et al., ICCV 2019).

    The box's side is √(1 - λ) times the window's, λ ~ Beta(alpha, alpha); its centre is uniform over the window, and it
    is clipped at the rim. The other sample is the next one in the batch, whose slices come in random order.

    Differs from the paper: each sample has its own box, where there the batch shares one; the second view shows what
    the first replaced.

    Attributes
    ----------
    alpha
        Parameter of λ's distribution, at least 0.5; 1 is uniform.

    Raises
    ------
    InputError
        Where `alpha` is not allowed.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import CutMix
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example()
    >>> views = CutMix()(batch)
    >>> torch.equal(views.merge(*views.images), batch.image)
    True
    """

    restores: ClassVar[bool] = False

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_alpha(self.alpha)

    def draw(self, batch: Batch) -> Collage:
        """Draw a box for each sample."""
        h, w = batch.image.shape[-2:]
        box = boxes((1 - symmetric_beta(self.alpha, batch)).clamp(min=0).sqrt(), batch, h=h, w=w)
        return Collage.exchange(box[:, 0] == 0, own(batch.image).roll(-1, 0))

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:  # noqa: ARG002
        """Return two views that complement each other."""
        return self.draw(batch).views(batch)


def check_alpha(alpha: float) -> None:
    """Raise `InputError` where `symmetric_beta` can't draw with `alpha`: below 0.5, or not finite.

    Examples
    --------
    >>> from maskmixadv.perturb.cutmix import check_alpha
    >>> check_alpha(0.25)
    Traceback (most recent call last):
    ...
    maskmixadv.errors.InputError: alpha: 0.25, allowed is a finite number of at least 0.5
    """
    if not 0.5 <= alpha < float("inf"):
        raise InputError(f"alpha: {alpha}, allowed is a finite number of at least 0.5")
