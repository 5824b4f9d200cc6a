"""The critic, which tells maps that a network made from masks that people drew."""

from collections.abc import Sequence
from typing import Final

from jaxtyping import Float
from torch import Tensor, nn

LEAST_SIDE: Final = 32
"""Pixels of the smallest side of maps that it has a score for: five convolutions halve it, and the last one needs 2."""


class Critic(nn.Module):
    """Patch critic of MaskMixAdv: five 4×4 convolutions of stride 2; each score looks at a patch of 94 × 94 pixels.

    Differs from the released code: it reads one channel a class, so that soft maps reach it with their gradient.

    Parameters
    ----------
    classes
        Number of classes k: channels of the maps.
    widths
        Channels after each of the convolutions but the last, which gives the score.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.critic import Critic
    >>> Critic(classes=4)(torch.rand(2, 4, 64, 96)).shape
    torch.Size([2, 1, 2, 3])
    """

    def __init__(self, classes: int, widths: Sequence[int] = (64, 128, 256, 512)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((classes, *widths[:-1]), widths, strict=True):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, stride=2, padding=1))

    def forward(self, maps: Float[Tensor, "b k h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """Return a score for each patch, before the sigmoid: above 0 where it looks like a mask that a person drew."""
        return self.layers(maps).float()
