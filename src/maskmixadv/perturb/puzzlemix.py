"""Puzzle Mix: the salient cells of two samples, moved so that they do not cover each other."""

from dataclasses import dataclass, fields
from typing import ClassVar, final

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maskmixadv.errors import InputError
from maskmixadv.perturb.collage import Collage, Sources, enlarged, own
from maskmixadv.perturb.cutmix import check_alpha
from maskmixadv.perturb.graphcut import smallest_cut
from maskmixadv.perturb.perturbation import Forward, Perturbation, Views, symmetric_beta
from maskmixadv.perturb.saliency import GRIDS, drawn_side, needed, on_cells, salient_cells
from maskmixadv.tensors import Batch

Cells = Float[np.ndarray, "s s"]


@final
@dataclass(frozen=True)
class PuzzleMix(Perturbation):
    """Each cell shows the more salient of two samples, in connected regions (Kim, Choo, Song, ICML 2020).

    First a mask is chosen. A cell costs the saliency of the sample that it does not show, and in addition -`eta` log λ
    if it shows the own sample, -`eta` log (1 - λ) if the other, λ ~ Beta(alpha, alpha). A border between cells costs
    `beta` n / 16 (1 + `gamma` d), n being the cells a side and d the samples' difference across the border. Saliency is
    the size of the gradient, with mean 1 over a sample's cells. The mask is the exact minimum, by a minimum cut.

    Then each sample's cells change places, so that salient ones lie where their sample is shown. The assignment of
    cells to places maximises the saliency shown minus `move` times the squared distances, in cells.

    The other sample is the batch's next one. The second view shows, of both samples, the cells that the first does not,
    moved alike, so that nothing is lost. Pixels take their labels along.

    Differs from the paper: a cell shows one sample or the other, where there a third label mixes both half and half,
    which could not be parted again; a border counts between the two samples alone, not within one; whole cells of the
    mask are moved, by an exact assignment, where there patches of 4 pixels are moved by an approximate one; the batch
    shares one grid. Differs from CycleMix's released code, where labels stay behind when patches are moved.

    Attributes
    ----------
    alpha
        Parameter of λ's distribution, at least 0.5.
    beta
        Cost of a border between two cells of the finest grid, in mean saliencies, at least 0.
    gamma
        How much dearer a border is where intensities differ by 1, at least 0.
    eta
        How much λ counts, at least 0.
    move
        Cost of moving a cell by one place, in mean saliencies, at least 0; twice as far costs four times as much.

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.perturb import PuzzleMix, as_tested
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example()
    >>> views = PuzzleMix()(batch, as_tested(UNet(1, 4)))
    >>> torch.equal(views.merge(*views.images), batch.image)
    True
    """

    restores: ClassVar[bool] = False
    on_host: ClassVar[bool] = True

    alpha: float = 0.5
    beta: float = 1.2
    gamma: float = 0.5
    eta: float = 0.2
    move: float = 0.8

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < float("inf"):
                raise InputError(f"{field.name}: {getattr(self, field.name)}, allowed is a finite number of at least 0")

    def draw(self, batch: Batch, forward: Forward | None = None) -> Collage:
        """Draw λ and a grid, choose cells and move them."""
        return Collage.of(*self.sources(batch, needed(forward)))

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:
        """Return two views that complement each other; the cut and the assignment are computed on the CPU."""
        return self.draw(batch, forward).views(batch)

    def sources(self, batch: Batch, forward: Forward) -> tuple[Sources, Sources]:
        """Return where the pixels of the two views come from.

        Parameters
        ----------
        batch
            What is mixed.
        forward
            The network whose gradient says what is salient.
        """
        side = drawn_side(batch)
        salient = salient_cells(batch, forward, side)
        masks, moves = self._puzzle(batch, salient, on_cells(batch.image, side))
        device, base = batch.image.device, own(batch.image)[:, :1, :1]
        mask = enlarged(torch.from_numpy(masks).to(device), batch)
        mine, theirs = (
            start + _moved(torch.from_numpy(cells).to(device), batch)
            for start, cells in zip((base, base.roll(-1, 0)), moves, strict=True)
        )
        return mine.where(mask, theirs), theirs.where(mask, mine)

    def _puzzle(
        self, batch: Batch, salient: Float[Tensor, "b s s"], image: Float[Tensor, "b c s s"]
    ) -> tuple[Bool[np.ndarray, "b s s"], tuple[Int[np.ndarray, "b s s"], Int[np.ndarray, "b s s"]]]:
        """Return masks, true for the own sample, and the cell that each sample, own and next, shows at each place."""
        prior = symmetric_beta(self.alpha, batch).clamp(1e-3, 1 - 1e-3).cpu().numpy()
        ours, pixels = salient.cpu().numpy().astype(np.float64), image.cpu().numpy().astype(np.float64)
        theirs, others = np.roll(ours, -1, 0), np.roll(pixels, -1, 0)
        masks = np.stack(
            [
                self._mask(one, other, x, y, float(lam))
                for one, other, x, y, lam in zip(ours, theirs, pixels, others, prior, strict=True)
            ]
        )
        mine = np.stack([self._assignment(one, mask) for one, mask in zip(ours, masks, strict=True)])
        next_ = np.stack([self._assignment(one, ~mask) for one, mask in zip(theirs, masks, strict=True)])
        return masks, (mine, next_)

    def _mask(
        self, one: Cells, other: Cells, x: Float[np.ndarray, "c s s"], y: Float[np.ndarray, "c s s"], lam: float
    ) -> Bool[np.ndarray, "s s"]:
        down, right = _seam(x, y), _seam(x.swapaxes(1, 2), y.swapaxes(1, 2)).T
        border = self.beta * len(one) / GRIDS[-1]
        return smallest_cut(
            chosen=other - self.eta * np.log(lam),
            left=one - self.eta * np.log(1 - lam),
            down=border * (1 + self.gamma * down),
            right=border * (1 + self.gamma * right),
        )

    def _assignment(self, salient: Cells, shown: Bool[np.ndarray, "s s"]) -> Int[np.ndarray, "s s"]:
        """Return the number of the cell that lies at each place."""
        side = len(salient)
        where = np.stack(np.divmod(np.arange(side * side), side), axis=1)
        way = np.square(where[:, None] - where[None]).sum(2)
        place, cell = scipy.optimize.linear_sum_assignment(
            self.move * way - shown.reshape(-1, 1) * salient.reshape(1, -1)
        )
        return cell[place.argsort()].reshape(side, side)


def _seam(x: Float[np.ndarray, "c r s"], y: Float[np.ndarray, "c r s"]) -> Float[np.ndarray, "r-1 s"]:
    """Difference of intensities where cells of `x` lie above cells of `y`, or the other way round."""
    return 0.5 * (np.abs(x[:, :-1] - y[:, 1:]) + np.abs(y[:, :-1] - x[:, 1:])).mean(0)


def _moved(cells: Int[Tensor, "b s s"], batch: Batch) -> Sources:
    """Which of its sample's pixels lies at each place when `cells` do."""
    h, w = batch.image.shape[-2:]
    side = cells.shape[1]
    tall, wide = h // side, w // side
    cell = enlarged(cells, batch)
    rows, columns = torch.arange(h, device=cells.device), torch.arange(w, device=cells.device)
    row = cell // side * tall + (rows % tall)[:, None]
    column = cell % side * wide + columns % wide
    return row * w + column
