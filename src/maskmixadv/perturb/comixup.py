"""Co-Mixup: the salient cells of the whole batch, shared out so that no two samples become alike."""

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

    Output j shows sample z_j(i) in cell i. What is sought is high in saliency, smooth and diverse: the sum over
    outputs and cells of the saliency shown, plus `beta` n / 16 for each pair of neighbours that show the same sample
    (n cells a side), less `gamma` for each pair of outputs that show the same sample in the same cell. From z_j = j,
    outputs are improved one after the other, all cells of one colour of a chequerboard at once, so that the sum
    never falls.

    The second view shows the own sample where the first does not, and elsewhere, by the same rule, the others.

    Differs from the paper: local improvement, where it has submodular relaxation; diversity counts common cells, and
    has no threshold; an output's own sample is fixed, so that each sample has two views; cells are of one sample,
    never of two at half strength.

    Attributes
    ----------
    beta
        What two neighbours of one sample earn on the finest grid, in mean saliencies, at least 0.
    gamma
        What two outputs with a common cell cost, in mean saliencies, at least 0.
    sweeps
        How often each output is improved, at least once.
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
        """Draw a grid, and share out its cells."""
        salient = salient_cells(batch, needed(forward), drawn_side(batch))
        first, second = self.choices(salient)
        pixels, (h, w) = own(batch.image), batch.image.shape[-2:]
        shown = [enlarged(choice, batch) * (h * w) + pixels[0] for choice in (first, second)]
        return Collage.of(shown[0], shown[1])

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:
        """Return two views that complement each other."""
        return self.draw(batch, forward).views(batch)

    def choices(self, salient: Float[Tensor, "b s s"]) -> tuple[Choice, Choice]:
        """Samples that the two views show, of each sample's saliency."""
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
