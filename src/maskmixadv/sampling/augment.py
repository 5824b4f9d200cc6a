"""Augmentation of slices: parameters are drawn, then applied to a whole batch on its device.

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
"""Column and row of a point in each slice, in [-1, 1] over the canvas."""


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of one batch: what was drawn for each sample.

    Attributes
    ----------
    affine
        Maps window coordinates to canvas coordinates, both in [-1, 1].
    gain, offset, gamma
        Intensities x become ``gain * x ** gamma + offset``, clipped to [0, 1]; for all channels, or each its own.
    window
        Side of the window in pixels.
    tint
        Of red, green and blue before their intensities change: the angle in radians by which they are turned round the
        grey axis, and the factor by which they are moved away from it. None for images without colours.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.sampling.augment import draw_augmentation
    >>> from maskmixadv.sampling.ranges import Augment
    >>> rng = torch.Generator().manual_seed(0)
    >>> drawn = draw_augmentation(Augment(), torch.zeros(2, 2), canvas=64, window=48, rng=rng)
    >>> drawn.image(torch.rand(2, 1, 64, 64)).shape
    torch.Size([2, 1, 48, 48])
    >>> drawn.labels(torch.zeros(2, 64, 64, dtype=torch.uint8)).shape
    torch.Size([2, 48, 48])
    """

    affine: Float[Tensor, "b 2 3"]
    gain: Float[Tensor, "b _ 1 1"]
    offset: Float[Tensor, "b _ 1 1"]
    gamma: Float[Tensor, "b _ 1 1"]
    window: int
    tint: Float[Tensor, "b 2 1 1 1"] | None = None

    def part(self, rows: slice) -> "Augmentation":
        """Return the augmentation of some of the samples."""
        return replace(
            self,
            affine=self.affine[rows],
            gain=self.gain[rows],
            offset=self.offset[rows],
            gamma=self.gamma[rows],
            tint=None if self.tint is None else self.tint[rows],
        )

    def image(self, image: Image) -> Float[Tensor, "b c side side"]:
        """Return images in their windows, ``(b, c, window, window)``: resampled, then changed in intensity."""
        return self.shaded(self.maps(image))

    def maps(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c side side"]:
        """Return maps in [0, 1] in their windows: resampled bilinearly, 0 beyond the canvas."""
        return self._sample(maps, "bilinear").clamp(0, 1)

    def shaded(self, image: Image) -> Image:
        """Return images with changed intensities, clipped to [0, 1]."""
        image = image if self.tint is None else tinted(image, self.tint)
        return (self.gain * image**self.gamma + self.offset).clamp(0, 1)

    def labels(self, labels: Labels) -> UInt8[Tensor, "b side side"]:
        """Return labels in their windows: resampled by nearest neighbour, ``IGNORE`` beyond the canvas."""
        # grid_sample pads with 0, so labels are shifted until "nothing known" is 0, and back afterwards.
        shifted = labels[:, None].float() - IGNORE
        return (self._sample(shifted, "nearest")[:, 0] + IGNORE).to(torch.uint8)

    def _sample(self, maps: Float[Tensor, "b c h w"], mode: str) -> Float[Tensor, "b c side side"]:
        grid = F.affine_grid(self.affine, [*maps.shape[:2], self.window, self.window], align_corners=False)
        return F.grid_sample(maps, grid, mode=mode, padding_mode="zeros", align_corners=False)


def tinted(image: Float[Tensor, "b 3 h w"], tint: Float[Tensor, "b 2 1 1 1"]) -> Float[Tensor, "b 3 h w"]:
    """Change the hue and the saturation of images; grey stays grey, and the mean of red, green and blue stays as it is.

    Parameters
    ----------
    image
        Intensities in [0, 1]; so are those that are returned, cut off where necessary.
    tint
        For each image the angle in radians by which colours are turned round the grey axis, and the factor by which
        their distance from it is multiplied.

    Examples
    --------
    >>> red = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    >>> third = torch.tensor([2 * math.pi / 3, 1.0]).reshape(1, 2, 1, 1, 1)
    >>> tinted(red, third).flatten().round().tolist()  # green
    [0.0, 1.0, 0.0]
    """
    angle, factor = tint[:, 0], tint[:, 1]
    chroma = image - image.mean(1, keepdim=True)
    # A turn round the axis (1, 1, 1), by Rodrigues' formula. Without a turn nothing is added.
    across = (image.roll(1, 1) - image.roll(-1, 1)) / math.sqrt(3)
    return (image + (factor * angle.cos() - 1) * chroma + factor * angle.sin() * across).clamp(0, 1)


def draw_augmentation(
    ranges: Augment,
    centre: Centre,
    *,
    canvas: int,
    window: int,
    rng: torch.Generator,
    channels: int = 1,
    coloured: bool = False,
) -> Augmentation:
    """Draw the augmentation of a batch.

    Parameters
    ----------
    ranges
        Ranges of the parameters.
    centre
        Column and row of the middle of what is annotated in each slice, in [-1, 1] over the canvas, ``(b, 2)``. Windows
        lie about it, but for those that stray.
    canvas, window
        Sides in pixels.
    rng
        Source of the random numbers, on the device of `centre`.
    channels
        Of the images. Beside what all share, each one's intensities change on their own, half as much.
    coloured
        Whether the channels are red, green and blue, which change together, in hue and in saturation, too.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.sampling.augment import draw_augmentation
    >>> from maskmixadv.sampling.ranges import Augment
    >>> none = Augment(turns=False, rotate=0.0, scale=0.0, shift=0.0, intensity=0.0)
    >>> drawn = draw_augmentation(none, torch.zeros(1, 2), canvas=64, window=32, rng=torch.Generator())
    >>> drawn.affine  # half of the canvas, in its middle
    tensor([[[0.5, 0.0, 0.0],
             [0.0, 0.5, 0.0]]])
    """
    n, device = len(centre), centre.device
    spread = torch.rand(n, 10, generator=rng, device=device) * 2 - 1
    zoom = (window / canvas) * torch.exp(spread[:, 1] * math.log1p(ranges.scale))
    linear = zoom[:, None, None] * _rotation(torch.deg2rad(spread[:, 0] * ranges.rotate))
    if ranges.turns:
        linear = linear @ _turn(torch.randint(8, (n,), generator=rng, device=device))
    near = centre + spread[:, 2:4] * ranges.shift * window / canvas * 2
    astray = spread[:, 7:8] < 2 * ranges.stray - 1
    # Up to a quarter of a window beyond the border, so that the canvas's rim is seen within windows, too.
    middle = torch.where(astray, spread[:, 8:10] * (1 - window / canvas / 2), near)
    gain, gamma, offset = (spread[:, 4:7].T * ranges.intensity)[..., None, None, None]
    tint = None
    if coloured:  # as another camera or another stain changes them
        turn, factor = (torch.rand(2, n, generator=rng, device=device) * 2 - 1)[..., None, None, None]
        tint = torch.stack((turn * math.radians(ranges.hue), 1 + factor * ranges.saturation), 1)
    elif channels > 1:  # beside what they share, as another scanner changes one sequence
        own = (torch.rand(3, n, channels, generator=rng, device=device) * 2 - 1) * ranges.intensity / 2
        gain, gamma, offset = torch.stack((gain, gamma, offset)) + own[..., None, None]
    return Augmentation(
        affine=torch.cat((linear, middle[:, :, None]), dim=2),
        gain=1 + gain,
        offset=offset / 2,
        gamma=1 + gamma,
        window=window,
        tint=tint,
    )


def _rotation(angle: Float[Tensor, "b"]) -> Float[Tensor, "b 2 2"]:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((torch.stack((cos, -sin), 1), torch.stack((sin, cos), 1)), 1)


def _turn(number: Int[Tensor, "b"]) -> Float[Tensor, "b 2 2"]:
    """Turn by ``number % 4`` right angles, mirrored from 4 on; entries are exact."""
    quarter, mirror = number % 4, 1.0 - 2 * (number // 4)
    cos, sin = (quarter == 0).float() - (quarter == 2).float(), (quarter == 1).float() - (quarter == 3).float()
    return torch.stack((torch.stack((mirror * cos, -sin), 1), torch.stack((mirror * sin, cos), 1)), 1)
