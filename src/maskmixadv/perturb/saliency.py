"""Saliency: where a network looks, for perturbations that follow its gradient."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskmixadv.networks.losses import partial_cross_entropy
from maskmixadv.perturb.perturbation import Forward
from maskmixadv.tensors import Batch, Image, Logits

GRIDS = (2, 4, 8, 16)
"""Cells a side, of which a saliency map has one, as in CycleMix."""


def as_tested(net: nn.Module) -> Forward:
    """Return `net` as a function that runs it as at test time, without dropout or new batch-norm statistics.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.perturb import as_tested
    >>> forward, image = as_tested(UNet(1, 4)), torch.rand(1, 1, 16, 16)
    >>> torch.equal(forward(image), forward(image))
    True
    """

    def forward(image: Image) -> Logits:
        training = net.training
        net.eval()
        try:
            return net(image)
        finally:
            net.train(training)

    return forward


def needed(forward: Forward | None) -> Forward:
    """Return `forward`.

    Raises
    ------
    TypeError
        Where it is None.

    Examples
    --------
    >>> from maskmixadv.perturb.saliency import needed
    >>> needed(None)
    Traceback (most recent call last):
    ...
    TypeError: this perturbation follows the network's gradient and needs its forward function
    """
    if forward is None:
        raise TypeError("this perturbation follows the network's gradient and needs its forward function")
    return forward


def saliency(batch: Batch, forward: Forward) -> Float[Tensor, "b h w"]:
    """Return the size of partial cross-entropy's gradient at each pixel: its root mean square over channels.

    Parameters
    ----------
    batch
        Images with labels.
    forward
        The network.

    Examples
    --------
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.perturb.saliency import as_tested, saliency
    >>> from maskmixadv.tensors import Batch
    >>> saliency(Batch.example(), as_tested(UNet(1, 4))).shape
    torch.Size([2, 32, 32])
    """
    with torch.enable_grad():
        image = batch.image.detach().requires_grad_()
        loss = partial_cross_entropy(logits=forward(image), target=batch.target, weight=batch.weight)
        (gradient,) = torch.autograd.grad(loss, image)
    return gradient.square().mean(1).sqrt()


def on_cells(maps: Float[Tensor, "b c h w"], side: int) -> Float[Tensor, "b c side side"]:
    """Return the mean of each cell of a grid of `side` × `side` cells.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.perturb.saliency import on_cells
    >>> on_cells(torch.arange(4.0).view(1, 1, 1, 4).repeat(1, 1, 4, 1), 2)
    tensor([[[[0.50, 2.50],
              [0.50, 2.50]]]])
    """
    return F.adaptive_avg_pool2d(maps, side)


def salient_cells(batch: Batch, forward: Forward, side: int) -> Float[Tensor, "b side side"]:
    """Return the saliency of each cell, with mean 1 over a sample's cells; 0 where there is no gradient at all.

    Parameters
    ----------
    batch
        Images with labels.
    forward
        The network.
    side
        Number of cells a side.

    Examples
    --------
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.perturb.saliency import as_tested, salient_cells
    >>> from maskmixadv.tensors import Batch
    >>> salient_cells(Batch.example(), as_tested(UNet(1, 4)), side=4).mean((1, 2))
    tensor([1.0, 1.0])
    """
    cells = on_cells(saliency(batch, forward)[:, None], side)[:, 0]
    return cells / cells.mean((1, 2), keepdim=True).clamp(min=torch.finfo(cells.dtype).tiny)


def drawn_side(batch: Batch) -> int:
    """Draw the number of cells a side of the batch's masks: one of ``GRIDS`` that divides the window, else 1.

    Examples
    --------
    >>> from maskmixadv.perturb.saliency import drawn_side
    >>> from maskmixadv.tensors import Batch
    >>> drawn_side(Batch.example()) in (2, 4, 8, 16)
    True
    """
    h, w = batch.image.shape[-2:]
    sides = [side for side in GRIDS if h % side == 0 and w % side == 0] or [1]
    return sides[int(torch.randint(len(sides), (1,), generator=batch.rng, device=batch.image.device))]
