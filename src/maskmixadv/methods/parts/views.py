"""Parts of second views of a batch: noise, quarter turns, occlusion, and mixtures of neighbours."""

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
    """Return images plus Gaussian noise.

    Parameters
    ----------
    image
        Images, ``(b, c, h, w)``.
    spread
        Standard deviation of the noise, in intensities; the noise is cut off at twice that.
    rng
        Source of the random numbers, on the images' device.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.parts.views import noisy
    >>> noise = noisy(torch.zeros(1, 1, 64, 64), 0.1, torch.Generator().manual_seed(0))
    >>> noise.std().item(), noise.max().item()
    (0.1, 0.2)
    """
    noise = torch.randn(image.shape, generator=rng, device=image.device) * spread
    return image + noise.clamp(-2 * spread, 2 * spread)


def quarters(batch: Batch) -> Quarters:
    """Draw one number of right angles for the whole batch.

    Examples
    --------
    >>> from maskmixadv.methods.parts.views import quarters
    >>> from maskmixadv.tensors import Batch
    >>> quarters(Batch.example()).item() in range(4)
    True
    """
    return torch.randint(4, (1,), generator=batch.rng, device=batch.image.device)


def turned(maps: Float[Tensor, "b f s s"], number: Quarters) -> Float[Tensor, "b f s s"]:
    """Turn square maps by `number` right angles, counter-clockwise; ``4 - number`` turns them back.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.parts.views import turned
    >>> turned(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([1])).tolist()
    [[[[2.0, 4.0], [1.0, 3.0]]]]
    """
    ways = torch.stack([torch.rot90(maps, way, (2, 3)) for way in range(4)])
    return ways.index_select(0, number % 4)[0]  # the number stays on the device


def occlusion(batch: Batch, side: int) -> Indicator:
    """Draw a square for each sample to hide: 0 within it, 1 elsewhere (Cutout: DeVries and Taylor, 2017).

    Its centre is uniform over the image, at whose rim it is clipped.

    Parameters
    ----------
    batch
        Gives the shape of the images and the random numbers.
    side
        Side of the square in pixels; 0 hides nothing.

    Examples
    --------
    >>> from maskmixadv.methods.parts.views import occlusion
    >>> from maskmixadv.tensors import Batch
    >>> occlusion(Batch.example(), side=0).mean().item()
    1.0
    """
    b, _, h, w = batch.image.shape
    device = batch.image.device
    middle = torch.rand(b, 2, 1, 1, generator=batch.rng, device=device)
    rows = (torch.arange(h, device=device)[:, None] + 0.5 - middle[:, 0:1] * h).abs() < side / 2
    columns = (torch.arange(w, device=device)[None, :] + 0.5 - middle[:, 1:2] * w).abs() < side / 2
    return (~(rows & columns)).float()


class Mixture(NamedTuple):
    """Each sample mixed with its neighbour in the batch, whose slices come in random order.

    Attributes
    ----------
    own
        1 where a sample shows itself, 0 where it shows its neighbour.
    shown
        0 in the square that is hidden, 1 elsewhere.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.parts.views import Mixture
    >>> own = torch.tensor([1.0, 0.0]).expand(2, 1, 1, 2)
    >>> mix = Mixture(own, torch.ones_like(own))
    >>> mix.labels(torch.tensor([[[0, 0]], [[1, 1]]], dtype=torch.uint8)).tolist()
    [[[0, 1]], [[1, 0]]]
    """

    own: Indicator
    shown: Indicator

    def maps(self, maps: Maps) -> Maps:
        """Return mixed maps; 0 where hidden."""
        return self.shown * (self.own * maps + (1 - self.own) * maps.roll(1, 0))

    def labels(self, labels: Labels) -> Labels:
        """Return mixed labels; ``IGNORE`` where hidden."""
        mixed = torch.where(self.own[:, 0] == 1, labels, labels.roll(1, 0))
        return mixed.masked_fill(self.shown[:, 0] == 0, IGNORE)

    def weight(self, weight: Weight) -> Weight:
        """Return mixed weights of pixels, scaled so that they sum to 1 again; 0 where hidden."""
        mixed = self.maps(weight[:, None])[:, 0]
        return mixed / mixed.sum().clamp(min=1e-6)


def mixture(batch: Batch, salient: Float[Tensor, "b 1 h w"], *, blocks: int, side: int) -> Mixture:
    """Draw a mixture in which, block by block, the more salient of two neighbours is shown.

    The fraction of blocks that a sample keeps is drawn from Beta(½, ½). It keeps those in which its saliency exceeds
    its neighbour's most.

    Parameters
    ----------
    batch
        What is mixed.
    salient
        How much each pixel matters, at least 0; compared after division by its sum over the sample.
    blocks
        Number of blocks along a side; the image's sides must be multiples of it.
    side
        Side of the hidden square, in pixels.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.parts.views import mixture
    >>> from maskmixadv.tensors import Batch
    >>> mix = mixture(Batch.example(), torch.rand(2, 1, 32, 32), blocks=4, side=8)
    >>> mix.own.shape, mix.own.unique().tolist()
    (torch.Size([2, 1, 32, 32]), [0.0, 1.0])
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
    """Mix the images of `batch`, turn the mixtures, and turn the network's prediction back (CycleMix).

    Parameters
    ----------
    net
        Gives logits.
    batch
        What is mixed.
    probs
        The network's probabilities of the images themselves, which say what is salient.
    blocks, side
        As in `mixture`.

    Returns
    -------
    tuple[Mixture, Logits]
        The mixture, and the logits of the mixed images.

    Examples
    --------
    >>> from maskmixadv.methods.parts.views import mixed_again
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.tensors import Batch
    >>> net, batch = UNet(1, 4), Batch.example()
    >>> mix, logits = mixed_again(net, batch, net(batch.image).softmax(1), blocks=4, side=8)
    >>> logits.shape
    torch.Size([2, 4, 32, 32])
    """
    salient = label_saliency(probs=probs, target=batch.target, weight=batch.weight)
    mix = mixture(batch, salient, blocks=blocks, side=side)
    number = quarters(batch)
    return mix, turned(net(turned(mix.maps(batch.image), number)), 4 - number)


def check_blocks(blocks: int) -> None:
    """Check that windows, whose sides are multiples of ``STRIDE``, can be cut into `blocks` blocks a side.

    Raises
    ------
    InputError
        Where they can't.

    Examples
    --------
    >>> from maskmixadv.methods.parts.views import check_blocks
    >>> check_blocks(3)
    Traceback (most recent call last):
    ...
    maskmixadv.errors.InputError: blocks: 3, allowed are 1, 2, 4, 8 and 16
    """
    if blocks not in BLOCKS:
        raise InputError(f"blocks: {blocks}, allowed are {', '.join(map(str, BLOCKS[:-1]))} and {BLOCKS[-1]}")


def label_saliency(*, probs: Probs, target: Labels, weight: Weight) -> Float[Tensor, "b 1 h w"]:
    """Return how much each pixel matters to cross-entropy: the length of its gradient by the pixel's logits.

    It is known in closed form, so that it costs no pass back to the image; 0 where there is no label.

    Parameters
    ----------
    probs
        Class probabilities, ``(b, k, h, w)``.
    target
        Labels, with ``IGNORE`` where nothing is known.
    weight
        How much each pixel counts, ``(b, h, w)``.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.parts.views import label_saliency
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example()
    >>> salient = label_saliency(probs=torch.full((2, 4, 32, 32), 0.25), target=batch.target, weight=batch.weight)
    >>> bool((salient[:, 0][batch.target == 255] == 0).all())
    True
    """
    gradient = (probs.detach() - one_hot(target, probs.shape[1])).square().sum(1).sqrt()
    return (gradient * weight)[:, None]
