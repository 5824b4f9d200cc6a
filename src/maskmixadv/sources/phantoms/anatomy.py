"""Parts of phantoms: ellipsoids in millimetres, and a scanner's image of painted tissue."""

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
    centre
        Its middle, in mm along d, h, w from the volume's middle.
    axes
        Its half axes in mm along d, h, w, before it is turned.
    angle
        Angle in radians by which it is turned in the slice.
    lobes
        Amplitude and phase of the outline's second harmonic, then of its third.

    Examples
    --------
    >>> rows, columns = millimetres((3, 8, 8), (10.0, 5.0, 5.0))
    >>> ball = Ellipsoid(centre=(0.0, 0.0, 0.0), axes=(12.0, 12.0, 12.0))
    >>> int((ball.reach(0.0, rows, columns) < 1).sum())  # pixels in the middle slice
    21
    """

    centre: Point
    axes: Point
    angle: float = 0.0
    lobes: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def reach(self, z: float, rows: SliceValues, columns: SliceValues) -> SliceValues:
        """Return each pixel's distance from the middle over the body's radius in that direction: below 1 inside.

        Parameters
        ----------
        z
            Place of the slice in mm.
        rows, columns
            Place of each pixel in mm (`millimetres`).
        """
        y, x = rows - self.centre[1], columns - self.centre[2]
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        v, u = (cosine * y + sine * x) / self.axes[1], (cosine * x - sine * y) / self.axes[2]
        theta = np.arctan2(v, u)
        second, turn, third, twist = self.lobes
        outline = 1 + second * np.cos(2 * theta + turn) + third * np.cos(3 * theta + twist)
        return np.sqrt(u**2 + v**2 + ((z - self.centre[0]) / self.axes[0]) ** 2) / outline


def draw_lobes(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Draw the lobes of an outline that is slightly out of round.

    Examples
    --------
    >>> len(draw_lobes(np.random.default_rng(0)))
    4
    """
    return rng.uniform(0, 0.09), rng.uniform(0, 6.28), rng.uniform(0, 0.06), rng.uniform(0, 6.28)


def draw_grid(
    rng: np.random.Generator,
    size: int,
    *,
    slices: tuple[int, int],
    step: tuple[float, float],
    view: tuple[float, float],
) -> tuple[tuple[int, int, int], Spacing]:
    """Draw a volume's shape (voxels along d, h, w) and spacing (mm).

    Parameters
    ----------
    rng
        Source of random numbers.
    size
        Side of a slice in pixels at most; at least 0.82 of it.
    slices
        Number of slices: the least, and one more than the most.
    step
        Least and most millimetres from slice to slice.
    view
        Least and most millimetres that `size` pixels measure.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> draw_grid(rng, 128, slices=(8, 12), step=(3.5, 4.5), view=(110.0, 140.0))
    ((8, 120, 111), (4.3, 0.87, 0.87))
    """
    h, w = (round(size * rng.uniform(0.82, 1.0)) for _ in range(2))
    mm = rng.uniform(*view) / size
    return (int(rng.integers(*slices)), h, w), (round(rng.uniform(*step), 1), mm, mm)


def millimetres(shape: tuple[int, int, int], spacing: Spacing) -> tuple[SliceValues, SliceValues]:
    """Return each pixel's place in its slice: mm along h, and along w, from the middle.

    Examples
    --------
    >>> rows, columns = millimetres((3, 2, 4), (10.0, 5.0, 5.0))
    >>> rows[:, 0], columns[0]
    (array([-5.,  0.]), array([-10.,  -5.,   0.,   5.]))
    """
    _, h, w = shape
    rows, columns = np.mgrid[:h, :w].astype(np.float64)
    return (rows - h / 2) * spacing[1], (columns - w / 2) * spacing[2]


def scanned(
    volume: Float[np.ndarray, "d h w"], *, bias: float, noise: float, rng: np.random.Generator
) -> Float[np.ndarray, "d h w"]:
    """Return the image that a scanner takes of tissue: with texture, blur, the receiver's shading and Rician noise.

    Parameters
    ----------
    volume
        Brightness of tissue, about 1 at most.
    bias
        Strength of the shading.
    noise
        Standard deviation of the noise.
    rng
        Source of random numbers.

    Examples
    --------
    >>> tissue = np.full((3, 64, 64), 0.5)
    >>> image = scanned(tissue, bias=0.0, noise=0.05, rng=np.random.default_rng(0))
    >>> round(image.mean().item(), 1)
    0.5
    """
    texture = ndimage.gaussian_filter(rng.standard_normal(volume.shape), (0, 2, 2))
    blurred = ndimage.gaussian_filter(volume * (1 + 0.5 * texture), (0.35, 0.7, 0.7))
    tilt = rng.uniform(-1, 1, 2)
    rows, columns = np.mgrid[-1 : 1 : volume.shape[1] * 1j, -1 : 1 : volume.shape[2] * 1j]
    shaded = blurred * np.exp(bias * (tilt[0] * rows + tilt[1] * columns))
    real, imaginary = noise * rng.standard_normal((2, *volume.shape))
    return np.hypot(shaded + real, imaginary)
