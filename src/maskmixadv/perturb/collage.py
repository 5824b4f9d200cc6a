"""Collages: views put together from pixels of several samples, kept as maps of where each pixel comes from."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maskmixadv.perturb.perturbation import Views
from maskmixadv.tensors import Batch, Image, Indicator, Labels

Sources = Int[Tensor, "b h w"]
"""Number of the batch's pixel that a view shows at each place, counted over samples, rows and columns."""


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

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb.collage import Collage, own
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example()
    >>> mine = own(batch.image)
    >>> collage = Collage.exchange(mine % 2 == 0, mine.roll(1, 0))  # every second column from the other sample
    >>> torch.equal(collage.merge(*collage.split(batch.image)), batch.image)
    True
    """

    first: Sources
    second: Sources
    back: Int[Tensor, "b h w"]
    seen: Indicator

    @classmethod
    def of(cls, first: Sources, second: Sources, seen: Indicator | None = None) -> "Collage":
        """Return a collage of the sources of two views, with the way back.

        A pixel is taken back from the first view where that shows the pixel of its own sample, else from the second.

        Parameters
        ----------
        first, second
            Sources of the two views.
        seen
            1 where the first view shows its source, 0 where it shows nothing; None: it shows all.
        """
        seen = torch.ones_like(first, dtype=torch.float32)[:, None] if seen is None else seen
        places, count = own(first), first.numel()
        back = torch.zeros(count + 1, dtype=torch.long, device=first.device)
        # Pixels that are not a sample's own go to one extra entry: a boolean index would make a GPU wait.
        for sources, shown, offset in ((second, True, count), (first, seen[:, 0] > 0, 0)):
            kept = is_own(sources) & shown
            back[sources.where(kept, count).flatten()] = places.flatten() + offset
        return cls(first, second, back[:-1].view(first.shape), seen)

    @classmethod
    def exchange(cls, mask: Bool[Tensor, "b h w"], other: Sources) -> "Collage":
        """Return a collage whose first view shows the own sample where `mask`, and whose second shows it elsewhere.

        Parameters
        ----------
        mask
            Where the first view shows its own sample.
        other
            Sources that the views show where they don't show their own sample.
        """
        mine = own(other)
        return cls.of(mine.where(mask, other), mine.where(~mask, other))

    def views(self, batch: Batch) -> Views:
        """Return the two views of `batch`; pixels that the first view does not show keep their label."""
        first, second = self.split(batch.image)
        return Views(
            images=(first * self.seen, second),
            targets=self.relabel(batch.target),
            weights=(batch.weight.flatten()[self.first], batch.weight.flatten()[self.second]),
            merge=self.merge,
            relabel=self.relabel,
        )

    def split(self, maps: Image) -> tuple[Image, Image]:
        """Return what each view would show if the first one showed all its sources."""
        flat = maps.permute(0, 2, 3, 1).flatten(0, 2)
        return flat[self.first].permute(0, 3, 1, 2), flat[self.second].permute(0, 3, 1, 2)

    def relabel(self, labels: Labels) -> tuple[Labels, Labels]:
        """Return the labels of the pixels that each view shows."""
        return labels.flatten()[self.first], labels.flatten()[self.second]

    def merge(self, first: Float[Tensor, "b k h w"], second: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k h w"]:
        """Return the maps in the batch's own places, each pixel from the view that shows it."""
        flat = torch.cat((first, second)).permute(0, 2, 3, 1).flatten(0, 2)
        return flat[self.back].permute(0, 3, 1, 2)


def own(like: Tensor) -> Sources:
    """Return the sources of views that show their own sample as it is.

    Parameters
    ----------
    like
        A tensor of the batch, ``(b, …, h, w)``.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb.collage import own
    >>> own(torch.zeros(2, 1, 1, 3)).tolist()
    [[[0, 1, 2]], [[3, 4, 5]]]
    """
    b, *_, h, w = like.shape
    return torch.arange(b * h * w, device=like.device).view(b, h, w)


def is_own(sources: Sources) -> Bool[Tensor, "b h w"]:
    """Whether each pixel of a view comes from the view's own sample.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb.collage import is_own
    >>> is_own(torch.tensor([[[0, 4, 2]], [[3, 1, 5]]])).tolist()
    [[[True, False, True]], [[True, False, True]]]
    """
    b, h, w = sources.shape
    return sources // (h * w) == torch.arange(b, device=sources.device)[:, None, None]


def enlarged(cells: Tensor, batch: Batch) -> Tensor:
    """Return cells as pixels: each cell becomes a rectangle of equal values.

    Parameters
    ----------
    cells
        Shape ``(b, r, c)``.
    batch
        Gives h and w, which must be multiples of r and c.

    Returns
    -------
    Tensor
        Shape ``(b, h, w)``.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb.collage import enlarged
    >>> from maskmixadv.tensors import Batch
    >>> enlarged(torch.zeros(2, 4, 4), Batch.example(side=16)).shape
    torch.Size([2, 16, 16])
    """
    h, w = batch.image.shape[-2:]
    return cells.repeat_interleave(h // cells.shape[1], 1).repeat_interleave(w // cells.shape[2], 2)
