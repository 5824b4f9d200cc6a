"""Augmentation: draw parameters, then apply them, batched and on the device.

One affine map a sample holds turns, flips, rotation, scale, shift and the cutting of the training window, so
that a slice is interpolated once.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from maskmixadv.sampling.ranges import Augment
from maskmixadv.tensors import Image, Labels
from maskmixadv.types import IGNORE

Centre = Float[Tensor, "b 2"]
"""Column and row of each window's middle, in [-1, 1] over the canvas."""


@dataclass(frozen=True)
class Augmentation:
    """Parameters of one batch: data that can be logged and replayed.

    Attributes
    ----------
    affine
        Window coordinates to canvas coordinates, both in [-1, 1].
    gain, offset, gamma
        Intensities become ``gain * x ** gamma + offset``.
    window
        Side of the window in pixels.
    """

    affine: Float[Tensor, "b 2 3"]
    gain: Float[Tensor, "b 1 1 1"]
    offset: Float[Tensor, "b 1 1 1"]
    gamma: Float[Tensor, "b 1 1 1"]
    window: int

    def part(self, rows: slice) -> "Augmentation":
        """Parameters of some of the samples."""
        return replace(
            self,
            affine=self.affine[rows],
            gain=self.gain[rows],
            offset=self.offset[rows],
            gamma=self.gamma[rows],
        )

    def image(self, image: Image) -> Float[Tensor, "b c side side"]:
        """Resample, then change intensities."""
        return self.shaded(self.maps(image))

    def maps(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c side side"]:
        """Resample bilinearly, 0 beyond the canvas; in [0, 1]."""
        return self._sample(maps, "bilinear").clamp(0, 1)

    def shaded(self, image: Image) -> Image:
        """Change intensities, kept in [0, 1]."""
        return (self.gain * image**self.gamma + self.offset).clamp(0, 1)

    def labels(self, labels: Labels) -> UInt8[Tensor, "b side side"]:
        """Resample by nearest neighbour, ``IGNORE`` beyond the canvas."""
        # grid_sample pads with 0, so the label that means "nothing known" is made 0 for the while.
        shifted = labels[:, None].float() - IGNORE
        return (self._sample(shifted, "nearest")[:, 0] + IGNORE).to(torch.uint8)

    def _sample(self, maps: Float[Tensor, "b c h w"], mode: str) -> Float[Tensor, "b c side side"]:
        grid = F.affine_grid(self.affine, [*maps.shape[:2], self.window, self.window], align_corners=False)
        return F.grid_sample(maps, grid, mode=mode, padding_mode="zeros", align_corners=False)


def draw_augmentation(
    ranges: Augment, centre: Centre, *, canvas: int, window: int, rng: torch.Generator
) -> Augmentation:
    """Draw one sample's parameters for each row of `centre`; `canvas` and `window` are sides in pixels."""
    n, device = len(centre), centre.device
    spread = torch.rand(n, 10, generator=rng, device=device) * 2 - 1
    zoom = (window / canvas) * torch.exp(spread[:, 1] * math.log1p(ranges.scale))
    linear = zoom[:, None, None] * _rotation(torch.deg2rad(spread[:, 0] * ranges.rotate))
    if ranges.turns:
        linear = linear @ _turn(torch.randint(8, (n,), generator=rng, device=device))
    near = centre + spread[:, 2:4] * ranges.shift * window / canvas * 2
    astray = spread[:, 7:8] < 2 * ranges.stray - 1
    # Half a window beyond the border at most, so that the canvas's rim is seen as well as its middle.
    middle = torch.where(astray, spread[:, 8:10] * (1 - window / canvas / 2), near)
    gain, gamma, offset = (spread[:, 4:7].T * ranges.intensity)[..., None, None, None]
    return Augmentation(
        affine=torch.cat((linear, middle[:, :, None]), dim=2),
        gain=1 + gain,
        offset=offset / 2,
        gamma=1 + gamma,
        window=window,
    )


def _rotation(angle: Float[Tensor, "b"]) -> Float[Tensor, "b 2 2"]:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((torch.stack((cos, -sin), 1), torch.stack((sin, cos), 1)), 1)


def _turn(number: Int[Tensor, "b"]) -> Float[Tensor, "b 2 2"]:
    """Turn by ``number % 4`` right angles, mirrored from 4 on; entries are exact."""
    quarter, mirror = number % 4, 1.0 - 2 * (number // 4)
    cos, sin = (quarter == 0).float() - (quarter == 2).float(), (quarter == 1).float() - (quarter == 3).float()
    return torch.stack((torch.stack((mirror * cos, -sin), 1), torch.stack((mirror * sin, cos), 1)), 1)
