"""Co-Mixup: the salient cells of the whole batch, distributed so that no two samples become alike."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from maskmixadv.errors import InputError
from maskmixadv.perturb.collage import Collage, enlarged, own
from maskmixadv.perturb.perturbation import Forward, Perturbation, Views
from maskmixadv.perturb.saliency import GRIDS, drawn_side, needed, salient_cells
from maskmixadv.tensors import Batch

Choice = Int[Tensor, "b s s"]
"""Which sample each output shows in each cell."""


@final
@dataclass(frozen=True)
class CoMixup(Perturbation):
    """Cells of all the batch's samples, mixed jointly (Kim, Choo, Jeong, Song, ICLR 2021).

    Output j shows sample z_j(i) in cell i. The outputs are to be salient, smooth and diverse. They maximise a sum of
    three parts: the saliency shown, over outputs and cells; plus `beta` n / 16 for each pair of neighbouring cells that
    show the same sample (n cells a side); minus `gamma` for each pair of outputs that show the same sample in the same
    cell. Starting at z_j = j, outputs are improved one after the other, in each all cells of one colour of a
    chequerboard at once, so that the sum never falls.

    The second view shows the own sample where the first does not. In its other cells it shows other samples, by the
    same rule.

    Differs from the paper: the sum is improved locally, where the paper has submodular relaxation; diversity counts
    common cells and has no threshold; an output's own sample is fixed, so that each sample has two views; a cell shows
    one sample, never two at half strength.

    Attributes
    ----------
    beta
        Gain of two neighbours of one sample on the finest grid, in mean saliencies, at least 0.
    gamma
        Cost of two outputs with a common cell, in mean saliencies, at least 0.
    sweeps
        How often each output is improved, at least once.

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.perturb import CoMixup, as_tested
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example(samples=3)
    >>> views = CoMixup()(batch, as_tested(UNet(1, 4)))
    >>> torch.equal(views.merge(*views.images), batch.image)
    True
    """

    restores: ClassVar[bool] = False
    on_host: ClassVar[bool] = True

    beta: float = 0.3
    gamma: float = 0.1
    sweeps: int = 2

    def __post_init__(self) -> None:
        for name in ("beta", "gamma"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name}: {getattr(self, name)}, allowed is a finite number of at least 0")
        if self.sweeps < 1:
            raise InputError(f"sweeps: {self.sweeps}, allowed is at least 1")

    def draw(self, batch: Batch, forward: Forward | None = None) -> Collage:
        """Draw a grid, and distribute its cells."""
        salient = salient_cells(batch, needed(forward), drawn_side(batch))
        first, second = self.choices(salient)
        pixels, (h, w) = own(batch.image), batch.image.shape[-2:]
        shown = [enlarged(choice, batch) * (h * w) + pixels[0] for choice in (first, second)]
        return Collage.of(shown[0], shown[1])

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:
        """Return two views that complement each other."""
        return self.draw(batch, forward).views(batch)

    def choices(self, salient: Float[Tensor, "b s s"]) -> tuple[Choice, Choice]:
        """Return the number of the sample that each view shows in each cell.

        Parameters
        ----------
        salient
            Saliency of each sample's cells, ``(b, s, s)``, at least 0.
        """
        mine = torch.arange(len(salient), device=salient.device)[:, None, None].expand(salient.shape)
        gain = salient.expand(len(salient), *salient.shape)
        first = self._improved(mine, gain, torch.ones_like(mine, dtype=torch.bool))
        free = first == mine
        barred = torch.eye(len(salient), device=salient.device, dtype=torch.bool)[..., None, None] & free[:, None]
        second = self._improved(mine.roll(-1, 0).where(free, mine), gain.masked_fill(barred, -torch.inf), free)
        return first, second

    def _improved(self, start: Choice, gain: Float[Tensor, "b b s s"], free: Bool[Tensor, "b s s"]) -> Choice:
        """Improve `start` in its `free` cells; `gain` is what each output earns with each sample."""
        count, side = len(gain), gain.shape[-1]
        shown = F.one_hot(start, count).movedim(-1, 1).to(gain.dtype)
        beta = self.beta * side / GRIDS[-1]
        line = torch.arange(side, device=gain.device)
        white = (line[:, None] + line) % 2 == 0
        for _ in range(self.sweeps):
            for output in range(count):
                common = shown.sum(0) - shown[output]
                for colour in (white, ~white):
                    worth = gain[output] + beta * _neighbours(shown[output]) - self.gamma * common
                    best = F.one_hot(worth.argmax(0), count).movedim(-1, 0).to(gain.dtype)
                    shown[output] = best.where(colour & free[output], shown[output])
        return shown.argmax(1)


def _neighbours(shown: Float[Tensor, "k s s"]) -> Float[Tensor, "k s s"]:
    """How many of the four neighbours show each sample."""
    padded = F.pad(shown, (1, 1, 1, 1))
    return padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
