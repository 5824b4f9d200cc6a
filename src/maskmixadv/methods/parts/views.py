"""What second views of a batch are made of: noise, quarter turns, occlusion, a mixture of neighbours."""

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from maskmixadv.errors import InputError
from maskmixadv.networks.losses import one_hot
from maskmixadv.tensors import Batch, Image, Indicator, Labels, Logits, Maps, Probs, Weight
from maskmixadv.types import IGNORE, STRIDE

BLOCKS: Final = tuple(blocks for blocks in range(1, STRIDE + 1) if STRIDE % blocks == 0)
"""Numbers of blocks that the side of a window can be cut into, whatever its length: it is a multiple of the stride."""

Quarters = Int[Tensor, "1"]
"""A number of right angles, 0 to 3, on the device."""


def noisy(image: Image, spread: float, rng: torch.Generator) -> Image:
    """Add Gaussian noise of standard deviation `spread`, cut off at twice that."""
    noise = torch.randn(image.shape, generator=rng, device=image.device) * spread
    return image + noise.clamp(-2 * spread, 2 * spread)


def quarters(batch: Batch) -> Quarters:
    """Draw one number of right angles for the whole batch."""
    return torch.randint(4, (1,), generator=batch.rng, device=batch.image.device)


def turned(maps: Float[Tensor, "b f s s"], number: Quarters) -> Float[Tensor, "b f s s"]:
    """Turn square maps by `number` right angles; ``4 - number`` turns them back."""
    ways = torch.stack([torch.rot90(maps, way, (2, 3)) for way in range(4)])
    return ways.index_select(0, number % 4)[0]  # the number stays on the device


def occlusion(batch: Batch, side: int) -> Indicator:
    """Draw a square for each sample to hide (Cutout: DeVries and Taylor, 2017).

    Its middle lies anywhere on the image, so that it may reach over the border.
    """
    b, _, h, w = batch.image.shape
    device = batch.image.device
    middle = torch.rand(b, 2, 1, 1, generator=batch.rng, device=device)
    rows = (torch.arange(h, device=device)[:, None] + 0.5 - middle[:, 0:1] * h).abs() < side / 2
    columns = (torch.arange(w, device=device)[None, :] + 0.5 - middle[:, 1:2] * w).abs() < side / 2
    return (~(rows & columns)).float()


class Mixture(NamedTuple):
    """Each sample mixed with its neighbour in the batch, of which the slices come in random order.

    Attributes
    ----------
    own
        1 where a sample shows itself, 0 where its neighbour.
    shown
        0 in the square that is hidden.
    """

    own: Indicator
    shown: Indicator

    def maps(self, maps: Maps) -> Maps:
        """Mix maps; 0 where hidden."""
        return self.shown * (self.own * maps + (1 - self.own) * maps.roll(1, 0))

    def labels(self, labels: Labels) -> Labels:
        """Mix labels; ``IGNORE`` where hidden."""
        mixed = torch.where(self.own[:, 0] == 1, labels, labels.roll(1, 0))
        return mixed.masked_fill(self.shown[:, 0] == 0, IGNORE)

    def weight(self, weight: Weight) -> Weight:
        """Mix weights of pixels, so that they are 1 in all again; 0 where hidden."""
        mixed = self.maps(weight[:, None])[:, 0]
        return mixed / mixed.sum().clamp(min=1e-6)


def mixture(batch: Batch, salient: Float[Tensor, "b 1 h w"], *, blocks: int, side: int) -> Mixture:
    """Draw a mixture in which, block by block, the more salient of two neighbours is shown.

    The fraction that a sample keeps of itself is drawn from Beta(½, ½); it keeps those blocks in which its saliency
    exceeds its neighbour's most.

    Parameters
    ----------
    batch
        What is mixed.
    salient
        How much each pixel matters, at least 0; compared after division by its sum over the sample.
    blocks
        Blocks along a side; sides of the image must be multiples of it.
    side
        Of the hidden square, in pixels.
    """
    b, _, h, w = batch.image.shape
    block = salient.unflatten(3, (blocks, -1)).unflatten(2, (blocks, -1)).sum((1, 3, 5)).flatten(1)
    block = block / block.sum(1, keepdim=True).clamp(min=1e-12)
    noise = torch.rand(b, 1 + blocks**2, generator=batch.rng, device=batch.image.device)
    share = (noise[:, :1] * torch.pi / 2).sin().square()
    tie = noise[:, 1:] * 1e-6  # where neither has a label, chance decides
    rank = (block.roll(1, 0) - block + tie).argsort(1).argsort(1)
    own = (rank < (share * blocks**2).round()).float().view(b, 1, blocks, blocks)
    own = own.repeat_interleave(h // blocks, 2).repeat_interleave(w // blocks, 3)
    return Mixture(own, occlusion(batch, side))


def mixed_again(
    net: Callable[[Image], Logits], batch: Batch, probs: Probs, *, blocks: int, side: int
) -> tuple[Mixture, Logits]:
    """Mix the images of `batch`, turn the mixtures, ask `net`, and turn its answer back (CycleMix).

    Parameters
    ----------
    net
        Gives logits.
    probs
        What it says of the images themselves: says what is salient.
    blocks, side
        As in `mixture`.
    """
    salient = label_saliency(probs=probs, target=batch.target, weight=batch.weight)
    mix = mixture(batch, salient, blocks=blocks, side=side)
    number = quarters(batch)
    return mix, turned(net(turned(mix.maps(batch.image), number)), 4 - number)


def check_blocks(blocks: int) -> None:
    """Raise `InputError` where windows, whose sides are multiples of 16, can't be cut into `blocks` a side."""
    if blocks not in BLOCKS:
        raise InputError(f"blocks: {blocks}, allowed are {', '.join(map(str, BLOCKS[:-1]))} and {BLOCKS[-1]}")


def label_saliency(*, probs: Probs, target: Labels, weight: Weight) -> Float[Tensor, "b 1 h w"]:
    """How much each pixel matters to cross-entropy: the length of its gradient by the pixel's logits.

    Known in closed form, so that it costs no pass back to the image; 0 where there is no label.
    """
    gradient = (probs.detach() - one_hot(target, probs.shape[1])).square().sum(1).sqrt()
    return (gradient * weight)[:, None]
