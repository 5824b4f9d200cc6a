"""CycleMix's perturbation: samples are mixed, cut and turned."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Int
from torch import Tensor

from maskmixadv.perturb.collage import Collage, is_own
from maskmixadv.perturb.cutout import SIDE, Cutout, squares
from maskmixadv.perturb.perturbation import Forward, Perturbation, Views
from maskmixadv.perturb.puzzlemix import PuzzleMix
from maskmixadv.perturb.saliency import needed
from maskmixadv.tensors import Batch


@final
@dataclass(frozen=True)
class CycleMixPerturbation(Perturbation):
    """Puzzle Mix, then a square cut out of the first view, then a turn of each view (Zhang and Zhuang, CVPR 2022).

    The second view shows what the square hides of the own sample. `Views.merge` turns maps back.

    Differs from the paper: views are turned by right angles, which lose no pixel, each view by its own; windows that
    are not square are turned by half.

    Attributes
    ----------
    side
        Side of the square, as a fraction of the window's, in (0, 1].

    Raises
    ------
    InputError
        Where `side` is not allowed.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.perturb import CycleMixPerturbation, as_tested
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example()
    >>> views = CycleMixPerturbation()(batch, as_tested(UNet(1, 4)))
    >>> torch.equal(views.merge(*views.images), batch.image)
    True
    """

    restores: ClassVar[bool] = False
    on_host: ClassVar[bool] = True

    side: float = SIDE

    def __post_init__(self) -> None:
        Cutout(side=self.side)

    def draw(self, batch: Batch, forward: Forward | None = None) -> Collage:
        """Draw a puzzle, a square for each sample, and a turn for each view."""
        first, second = PuzzleMix().sources(batch, needed(forward))
        seen = 1 - squares(self.side, batch)
        lost = is_own(first) & (seen[:, 0] == 0)
        second = first.where(lost, second)
        h, w = batch.image.shape[-2:]
        step = 1 if h == w else 2
        turns = step * torch.randint(4 // step, (2, len(first)), generator=batch.rng, device=first.device)
        return Collage.of(turned(first, turns[0]), turned(second, turns[1]), turned(seen[:, 0], turns[0])[:, None])

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:
        """Return two views that complement each other."""
        return self.draw(batch, forward).views(batch)


def turned(maps: Tensor, turns: Int[Tensor, "b"]) -> Tensor:
    """Turn each map by its own number of right angles, counter-clockwise.

    Parameters
    ----------
    maps
        Shape ``(b, h, w)``.
    turns
        Number of right angles, 0 to 3; even where h and w differ.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb.cyclemix import turned
    >>> turned(torch.tensor([[[1, 2], [3, 4]]] * 2), torch.tensor([1, 2])).tolist()
    [[[2, 4], [1, 3]], [[4, 3], [2, 1]]]
    """
    square = maps.shape[1] == maps.shape[2]
    step = 1 if square else 2
    every = torch.stack([torch.rot90(maps, k, (1, 2)) for k in range(0, 4, step)])
    return every[turns // step, torch.arange(len(maps), device=maps.device)]
