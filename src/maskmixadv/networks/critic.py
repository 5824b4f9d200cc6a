"""The shape critic."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn


class Critic(nn.Module):
    """Patch critic of MaskMixAdv: five 4×4 convolutions of stride 2, one score a patch of 94 pixels.

    Differs from the released code: it reads one channel a class, so soft maps reach it with their gradient.
    """

    def __init__(self, classes: int, widths: Sequence[int] = (64, 128, 256, 512)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((classes, *widths[:-1]), widths, strict=True):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, stride=2, padding=1))

    def forward(self, maps: Float[Tensor, "b k h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """Scores: positive where a patch looks like a mask that people draw."""
        return self.layers(maps).float()
