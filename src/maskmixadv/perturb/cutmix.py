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
    """A box of another sample, with its labels, in the first view; its complement in the second (Yun et al., 2019).

    The box's side is √(1 - λ) of the window's, λ ~ Beta(alpha, alpha), its centre uniform, clipped at the rim. The
    other sample is the batch's next one: a batch's slices come in random order.

    Differs from the paper: each sample has its own box, where the batch shared one; the second view shows what the
    first replaced.

    Attributes
    ----------
    alpha
        Of λ's distribution, at least 0.5; 1 is uniform.
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
    """Refuse what `symmetric_beta` can't draw from."""
    if not 0.5 <= alpha < float("inf"):
        raise InputError(f"alpha: {alpha}, allowed is a finite number of at least 0.5")
