"""Collages: views put together of pixels of several samples, as maps of where each pixel comes from."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maskmixadv.perturb.perturbation import Views
from maskmixadv.tensors import Batch, Image, Indicator, Labels

Sources = Int[Tensor, "b h w"]
"""Which pixel of the batch, counted over samples, rows and columns, a view shows at each place."""


class Collage(NamedTuple):
    """Where the pixels of two views come from; each pixel is shown by its own sample's first or second view.

    Attributes
    ----------
    first, second
        Sources of the two views.
    back
        Where each pixel of the batch is shown: counted over the first views, then over the second ones.
    seen
        1 where the first view shows its source, 0 where it shows nothing.
    """

    first: Sources
    second: Sources
    back: Int[Tensor, "b h w"]
    seen: Indicator

    @classmethod
    def of(cls, first: Sources, second: Sources, seen: Indicator | None = None) -> "Collage":
        """Find the way back: from the first view where it shows a pixel of its own sample, else from the second."""
        seen = torch.ones_like(first, dtype=torch.float32)[:, None] if seen is None else seen
        places, count = own(first), first.numel()
        back = torch.zeros(count + 1, dtype=torch.long, device=first.device)
        # One entry too many takes what is not a sample's own: a boolean index would wait for the device.
        for sources, shown, offset in ((second, True, count), (first, seen[:, 0] > 0, 0)):
            kept = is_own(sources) & shown
            back[sources.where(kept, count).flatten()] = places.flatten() + offset
        return cls(first, second, back[:-1].view(first.shape), seen)

    @classmethod
    def exchange(cls, mask: Bool[Tensor, "b h w"], other: Sources, second: Sources | None = None) -> "Collage":
        """Show the own sample in the first view where `mask`, in the second elsewhere, and `other` beside it.

        Parameters
        ----------
        second
            What the second view shows beside its own, where that is not `other`.
        """
        mine = own(other)
        return cls.of(mine.where(mask, other), mine.where(~mask, other if second is None else second))

    def views(self, batch: Batch) -> Views:
        """Two views of `batch`; pixels that the first does not show keep their label."""
        first, second = self.split(batch.image)
        return Views(
            images=(first * self.seen, second),
            targets=self.relabel(batch.target),
            weights=(batch.weight.flatten()[self.first], batch.weight.flatten()[self.second]),
            merge=self.merge,
            relabel=self.relabel,
        )

    def split(self, maps: Image) -> tuple[Image, Image]:
        """What each view shows, as though the first showed all its sources."""
        flat = maps.permute(0, 2, 3, 1).flatten(0, 2)
        return flat[self.first].permute(0, 3, 1, 2), flat[self.second].permute(0, 3, 1, 2)

    def relabel(self, labels: Labels) -> tuple[Labels, Labels]:
        """Labels that lie under the pixels of each view."""
        return labels.flatten()[self.first], labels.flatten()[self.second]

    def merge(self, first: Float[Tensor, "b k h w"], second: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k h w"]:
        """Each pixel's map from the view that shows it, in its own place."""
        flat = torch.cat((first, second)).permute(0, 2, 3, 1).flatten(0, 2)
        return flat[self.back].permute(0, 3, 1, 2)


def own(like: Tensor) -> Sources:
    """Sources of views that show their own sample as it is; `like` has the batch's sides, first and last."""
    b, *_, h, w = like.shape
    return torch.arange(b * h * w, device=like.device).view(b, h, w)


def is_own(sources: Sources) -> Bool[Tensor, "b h w"]:
    """Whether the pixel comes from the view's own sample."""
    b, h, w = sources.shape
    return sources // (h * w) == torch.arange(b, device=sources.device)[:, None, None]


def enlarged(cells: Tensor, batch: Batch) -> Tensor:
    """Cells ``b r c`` as pixels; the sides of `batch` are multiples of theirs."""
    h, w = batch.image.shape[-2:]
    return cells.repeat_interleave(h // cells.shape[1], 1).repeat_interleave(w // cells.shape[2], 2)
