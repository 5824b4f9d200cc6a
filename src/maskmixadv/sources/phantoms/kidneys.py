"""Phantom kidneys: a slice shows both, one or none of them; one has a tumour inside."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from maskmixadv.sources.phantoms.anatomy import Ellipsoid, SliceValues, draw_grid, draw_lobes, millimetres
from maskmixadv.types import Spacing

KIDNEY, TUMOUR = 1, 2


@dataclass(frozen=True)
class Kidneys:
    """One patient's axial slices, feet to head: lengths in mm, brightness at most about 1.

    Attributes
    ----------
    shape, spacing
        Voxels, and mm between them, along d, h, w.
    sides, hila
        The patient's right and left kidney, and the notch of fat in each towards the spine.
    tumour
        The part of it outside its kidney is cut off.
    cortex, growth, liver, muscle, fat
        Brightness of kidney, tumour and the tissues around.
    bias, noise
        Strength of the receiver's shading, standard deviation of the noise.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> kidneys = Kidneys.draw(rng, 64)
    >>> masks, brightness = zip(*kidneys.slices(rng))
    >>> np.unique(masks).tolist(), len(masks) == kidneys.shape[0]
    ([0, 1, 2], True)
    """

    classes: ClassVar = ("background", "kidney", "tumour")
    shape: tuple[int, int, int]
    spacing: Spacing
    sides: tuple[Ellipsoid, Ellipsoid]
    hila: tuple[Ellipsoid, Ellipsoid]
    tumour: Ellipsoid
    cortex: float
    growth: float
    liver: float
    muscle: float
    fat: float
    bias: float
    noise: float

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int) -> "Kidneys":
        """Draw a patient whose slices have about `size` pixels a side."""
        shape, spacing = draw_grid(rng, size, slices=(8, 12), step=(9.0, 11.0), view=(280.0, 320.0))
        right, left = _side(rng, -1), _side(rng, 1)
        cortex = rng.uniform(0.6, 0.8)
        return cls(
            shape=shape,
            spacing=spacing,
            sides=(right, left),
            hila=(_hilum(right, -1), _hilum(left, 1)),
            tumour=_tumour(rng, *((right, -1) if rng.random() < 0.5 else (left, 1))),
            cortex=cortex,
            growth=cortex * rng.uniform(0.55, 0.75),
            liver=cortex * rng.uniform(0.8, 1.1),
            muscle=rng.uniform(0.3, 0.42),
            fat=rng.uniform(0.08, 0.16),
            bias=rng.uniform(0.05, 0.3),
            noise=rng.uniform(0.03, 0.07),
        )

    def slices(self, rng: np.random.Generator) -> Iterator[tuple[UInt8[np.ndarray, "h w"], SliceValues]]:
        """Yield class indices and brightness of each slice; `rng` places bowel and vessels."""
        rows, columns = millimetres(self.shape, self.spacing)
        body = self._body(rows, columns, rng)
        for k in range(self.shape[0]):
            z = (k - (self.shape[0] - 1) / 2) * self.spacing[0]
            masks = self._masks(z, rows, columns)
            image = body.copy()
            for side in self.sides:
                image[side.reach(z, rows, columns) < 1.25] = self.fat
            image[masks == KIDNEY] = self.cortex
            image[masks == TUMOUR] = self.growth
            yield masks, image

    def _masks(self, z: float, rows: SliceValues, columns: SliceValues) -> UInt8[np.ndarray, "h w"]:
        masks = np.zeros(rows.shape, np.uint8)
        for side, hilum in zip(self.sides, self.hila, strict=True):
            masks[(side.reach(z, rows, columns) < 1) & (hilum.reach(z, rows, columns) >= 1)] = KIDNEY
        masks[(masks == KIDNEY) & (self.tumour.reach(z, rows, columns) < 1)] = TUMOUR
        return masks

    def _body(self, rows: SliceValues, columns: SliceValues, rng: np.random.Generator) -> SliceValues:
        """Paint wall, liver, spleen, spine, muscles and bowel, as bright as the structures."""
        reach = np.hypot(rows / 105, columns / 145)
        body = np.where(reach < 1, self.fat * 1.5, 0.02)
        body[(reach > 0.86) & (reach < 0.95)] = self.muscle
        for _ in range(8):
            place, size = rng.uniform((-75, -85), (5, 85)), rng.uniform(6, 16)
            body[np.hypot(rows - place[0], columns - place[1]) < size] = self.cortex * rng.uniform(0.6, 1.1)
        body[np.hypot((rows + 25) / rng.uniform(45, 60), (columns + 85) / rng.uniform(35, 50)) < 1] = self.liver
        body[np.hypot((rows - 5) / rng.uniform(22, 32), (columns - 105) / rng.uniform(18, 26)) < 1] = self.liver
        for side in (-1, 1):
            body[np.hypot((rows - 42) / 22, (columns - 32 * side) / 17) < 1] = self.muscle
        body[np.hypot(rows - 42, columns) < 20] = rng.uniform(0.8, 1.0)
        body[np.hypot(rows - 12, columns - 8) < 10] = self.cortex * rng.uniform(0.9, 1.2)
        return body


def _side(rng: np.random.Generator, side: int) -> Ellipsoid:
    return Ellipsoid(
        centre=(rng.uniform(-14, 14), rng.uniform(18, 32), side * rng.uniform(62, 74)),
        axes=(rng.uniform(38, 50), rng.uniform(26, 32), rng.uniform(21, 26)),
        angle=side * np.deg2rad(rng.uniform(10, 35)),
        lobes=draw_lobes(rng),
    )


def _hilum(kidney: Ellipsoid, side: int) -> Ellipsoid:
    d, h, w = kidney.centre
    return Ellipsoid((d, h - 6, w - side * 0.95 * kidney.axes[2]), (0.45 * kidney.axes[0], 8.0, 11.0))


def _tumour(rng: np.random.Generator, kidney: Ellipsoid, side: int) -> Ellipsoid:
    """Draw a tumour in the half of its kidney that lies away from the spine."""
    d, h, w = kidney.centre
    radius = rng.uniform(11, 17)
    middle = (d + rng.uniform(-14, 14), h + rng.uniform(-8, 8), w + side * rng.uniform(3, 10))
    return Ellipsoid(middle, (radius, radius, radius), lobes=draw_lobes(rng))
