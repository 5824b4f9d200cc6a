"""What a network looks at, for perturbations that follow its gradient."""

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
    """Return `net` as a function that leaves no trace in it: no dropout, batch norm's statistics untouched."""

    def forward(image: Image) -> Logits:
        training = net.training
        net.eval()
        try:
            return net(image)
        finally:
            net.train(training)

    return forward


def needed(forward: Forward | None) -> Forward:
    """Return `forward`, or raise TypeError where there is none."""
    if forward is None:
        raise TypeError("this perturbation follows the network's gradient and needs its forward function")
    return forward


def saliency(batch: Batch, forward: Forward) -> Float[Tensor, "b h w"]:
    """Size of the gradient of the partial cross-entropy, as the root of its mean square over channels."""
    with torch.enable_grad():
        image = batch.image.detach().requires_grad_()
        loss = partial_cross_entropy(logits=forward(image), target=batch.target, weight=batch.weight)
        (gradient,) = torch.autograd.grad(loss, image)
    return gradient.square().mean(1).sqrt()


def on_cells(maps: Float[Tensor, "b c h w"], side: int) -> Float[Tensor, "b c side side"]:
    """Mean of each cell."""
    return F.adaptive_avg_pool2d(maps, side)


def salient_cells(batch: Batch, forward: Forward, side: int) -> Float[Tensor, "b side side"]:
    """Saliency of each cell, 1 in the mean over a sample's; 0 where there is no gradient at all."""
    cells = on_cells(saliency(batch, forward)[:, None], side)[:, 0]
    return cells / cells.mean((1, 2), keepdim=True).clamp(min=torch.finfo(cells.dtype).tiny)


def drawn_side(batch: Batch) -> int:
    """Draw how many cells a side the batch's masks have: one of `GRIDS` that divides the window, or 1 if none does."""
    h, w = batch.image.shape[-2:]
    sides = [side for side in GRIDS if h % side == 0 and w % side == 0] or [1]
    return sides[int(torch.randint(len(sides), (1,), generator=batch.rng, device=batch.image.device))]
