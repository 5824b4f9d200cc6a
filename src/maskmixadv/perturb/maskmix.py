"""MaskMix: each view shows what the other one hides."""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from maskmixadv.errors import InputError, counted
from maskmixadv.perturb.perturbation import Forward, Level, Perturbation, Views, in_place
from maskmixadv.tensors import Batch, Indicator
from maskmixadv.types import STRIDE


class ViewMasks(NamedTuple):
    """What two views show; every pixel is shown by at least one of them.

    Attributes
    ----------
    first, second
        1 where the first and the second view show a pixel, 0 where it is hidden.
    whole
        Number of samples, the first ones, that both views show in whole.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb import ViewMasks
    >>> left = torch.tensor([[[[1.0, 1.0, 0.0]]]])
    >>> masks = ViewMasks(left, 1 - left)
    >>> masks.split(torch.full((1, 1, 1, 3), 5.0))[1].tolist()
    [[[[0.0, 0.0, 5.0]]]]
    """

    first: Indicator
    second: Indicator
    whole: int = 0

    def split(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each view shows of `maps`, 0 elsewhere; masks are shrunk to the maps' resolution."""
        # Masks stay in full precision: spread over channels in half precision they take a CPU eight times as long.
        first, second = ((_shrunk(mask, maps) * maps).to(maps.dtype) for mask in (self.first, self.second))
        return first, second

    def merge(self, first: Tensor, second: Tensor) -> Tensor:
        """Return each view's map where that view showed its input, and the mean where both did."""
        return (self.first * first + self.second * second) / (self.first + self.second)

    @property
    def hidden(self) -> tuple[Indicator, Indicator]:
        """For each view, 1 where it hides a pixel."""
        return 1 - self.first, 1 - self.second


@final
@dataclass(frozen=True)
class MaskMix(Perturbation):
    """Two complementary random masks on a coarse grid (Li, Zheng, Wu, Bioengineering 2024).

    Differs from the released code: each sample has its own masks, where there the batch shares one; and some samples
    may be left whole.

    Attributes
    ----------
    level
        Where masks are laid: on the image, or on the encoder's features, with one grid for all scales.
    ratio
        Fraction of cells visible in the first view, in (0, 1).
    patch
        Side of a cell in pixels; on features it is rounded up to a multiple of 16, the network's stride.
    whole
        Fraction of the samples that both views show in whole, in [0, 1].

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> from maskmixadv.perturb import MaskMix
    >>> from maskmixadv.tensors import Batch
    >>> masks = MaskMix(ratio=0.25).draw(Batch.example())
    >>> masks.first.mean().item(), (masks.first + masks.second).unique().tolist()
    (0.25, [1.0])
    """

    levels: ClassVar[tuple[Level, ...]] = ("image", "feature")

    level: Level = "image"
    ratio: float = 0.5
    patch: int = 8
    whole: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise InputError(f"ratio: {self.ratio}, allowed is a fraction between 0 and 1, both excluded")
        if self.patch < 1:
            raise InputError(f"patch: {self.patch}, allowed is a side of at least 1 pixel")
        if not 0 <= self.whole <= 1:
            raise InputError(f"whole: {self.whole}, allowed is a fraction from 0 to 1")

    def idle(self, share: int, window: int) -> tuple[str, ...]:
        """Return a line on each fraction that comes to nothing, as it is rounded down.

        Parameters
        ----------
        share
            Number of samples of a batch.
        window
            Side of a sample in pixels.

        Examples
        --------
        >>> MaskMix(whole=0.5).idle(2, 64)
        ()
        >>> MaskMix(whole=0.5).idle(1, 64)
        ('whole: 0.5, of 1 sample a process none is shown in whole; 2 or more have one',)
        """
        lines = list[str]()
        if self.whole and not int(self.whole * share):
            needed = math.ceil(1 / self.whole)
            needed += not int(self.whole * needed)  # 49 times 1 / 49 is a little below 1
            told = f"of {counted(share, 'sample')} a process none is shown in whole"
            lines.append(f"whole: {self.whole:g}, {told}; {needed} or more have one")
        cells = (-(-window // self._side)) ** 2
        if not int(self.ratio * cells):
            told = f"of {counted(cells, 'cell')} of {self._side} pixels the first view shows none"
            lines.append(f"ratio: {self.ratio:g}, {told}; a smaller patch or a larger window has more cells")
        return tuple(lines)

    @property
    def _side(self) -> int:
        """Pixels of a side of a cell. On features, it is a multiple of the coarsest scale's: cells are whole there."""
        return self.patch if self.level == "image" else -(-self.patch // STRIDE) * STRIDE

    def draw(self, batch: Batch) -> ViewMasks:
        """Draw masks: ``int(ratio * cells)`` cells are the first view's, ``int(whole * b)`` samples are whole."""
        b, _, h, w = batch.image.shape
        patch = self._side
        rows, columns = -(-h // patch), -(-w // patch)
        noise = torch.rand(b, rows * columns, generator=batch.rng, device=batch.image.device)
        rank = noise.argsort(1).argsort(1)
        cells = (rank < int(self.ratio * rows * columns)).float().view(b, 1, rows, columns)
        mask = cells.repeat_interleave(patch, 2).repeat_interleave(patch, 3)[..., :h, :w]
        # A batch's slices come in random order, so that its first ones are a random choice.
        whole = int(self.whole * b)
        seen = (torch.arange(b, device=mask.device) < whole).float().view(b, 1, 1, 1)
        return ViewMasks(mask.maximum(seen), (1 - mask).maximum(seen), whole)

    def __call__(self, batch: Batch, forward: Forward | None = None) -> Views:  # noqa: ARG002
        """Return two views of the images, or of the features, of `batch`."""
        masks = self.draw(batch)
        if self.level == "image":
            return in_place(batch, masks.split(batch.image), masks.merge, hidden=masks.hidden, whole=masks.whole)
        return in_place(
            batch,
            (batch.image, batch.image),
            masks.merge,
            hidden=masks.hidden,
            whole=masks.whole,
            disturb=lambda features: [masks.split(maps) for maps in features],
        )


def _shrunk(mask: Indicator, maps: Float[Tensor, "b f h2 w2"]) -> Float[Tensor, "b 1 h2 w2"]:
    """Return the mask at the maps' resolution: exact where a cell's side is a multiple of that scale's stride."""
    return F.interpolate(mask, maps.shape[-2:], mode="nearest-exact")
