"""What phantoms are made of: ellipsoids in millimetres, and what a scanner makes of painted tissue."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from maskmixadv.types import Spacing

SliceValues = Float[np.ndarray, "h w"]
Point = tuple[float, float, float]
"""Millimetres along d, h, w from the volume's middle."""


@dataclass(frozen=True)
class Ellipsoid:
    """A rounded body, whose outline in a slice may have lobes.

    Attributes
    ----------
    centre, axes
        Its middle, and its half axes in mm along d, h, w before it is turned.
    angle
        By which it is turned in the slice, in radians.
    lobes
        Amplitude and phase of the outline's second and third harmonic.
    """

    centre: Point
    axes: Point
    angle: float = 0.0
    lobes: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def reach(self, z: float, rows: SliceValues, columns: SliceValues) -> SliceValues:
        """Distance from the middle over the body's own reach in that direction: below 1 inside, in the slice at `z`."""
        y, x = rows - self.centre[1], columns - self.centre[2]
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        v, u = (cosine * y + sine * x) / self.axes[1], (cosine * x - sine * y) / self.axes[2]
        theta = np.arctan2(v, u)
        second, turn, third, twist = self.lobes
        outline = 1 + second * np.cos(2 * theta + turn) + third * np.cos(3 * theta + twist)
        return np.sqrt(u**2 + v**2 + ((z - self.centre[0]) / self.axes[0]) ** 2) / outline


def draw_lobes(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Draw an outline that is a little out of round."""
    return rng.uniform(0, 0.09), rng.uniform(0, 6.28), rng.uniform(0, 0.06), rng.uniform(0, 6.28)


def draw_grid(
    rng: np.random.Generator,
    size: int,
    *,
    slices: tuple[int, int],
    step: tuple[float, float],
    view: tuple[float, float],
) -> tuple[tuple[int, int, int], Spacing]:
    """Draw a volume's shape and spacing: slices of about `size` pixels a side.

    Parameters
    ----------
    slices
        Their least number, and one more than their most.
    step, view
        Least and most mm from slice to slice, and that `size` pixels measure.
    """
    h, w = (round(size * rng.uniform(0.82, 1.0)) for _ in range(2))
    mm = rng.uniform(*view) / size
    return (int(rng.integers(*slices)), h, w), (round(rng.uniform(*step), 1), mm, mm)


def millimetres(shape: tuple[int, int, int], spacing: Spacing) -> tuple[SliceValues, SliceValues]:
    """Return each pixel's place in its slice, along h and w from the middle."""
    _, h, w = shape
    rows, columns = np.mgrid[:h, :w].astype(np.float64)
    return (rows - h / 2) * spacing[1], (columns - w / 2) * spacing[2]


def scanned(
    volume: Float[np.ndarray, "d h w"], *, bias: float, noise: float, rng: np.random.Generator
) -> Float[np.ndarray, "d h w"]:
    """Add texture, blur, the receiver's shading and Rician noise.

    Parameters
    ----------
    volume
        Brightness of tissue, about 1 at most.
    bias, noise
        Strength of the shading, standard deviation of the noise.
    """
    texture = ndimage.gaussian_filter(rng.standard_normal(volume.shape), (0, 2, 2))
    blurred = ndimage.gaussian_filter(volume * (1 + 0.5 * texture), (0.35, 0.7, 0.7))
    tilt = rng.uniform(-1, 1, 2)
    rows, columns = np.mgrid[-1 : 1 : volume.shape[1] * 1j, -1 : 1 : volume.shape[2] * 1j]
    shaded = blurred * np.exp(bias * (tilt[0] * rows + tilt[1] * columns))
    real, imaginary = noise * rng.standard_normal((2, *volume.shape))
    return np.hypot(shaded + real, imaginary)
