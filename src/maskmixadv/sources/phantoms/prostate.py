"""Phantom prostates: a gland of two zones; the outer zone is a crescent round the back of the inner one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from maskmixadv.sources.phantoms.anatomy import Ellipsoid, SliceValues, draw_grid, draw_lobes, millimetres
from maskmixadv.types import Spacing

TRANSITION, PERIPHERAL = 1, 2


@dataclass(frozen=True)
class Prostate:
    """One patient's axial slices, apex to base: lengths in mm, brightness at most about 1.

    Attributes
    ----------
    shape, spacing
        Voxels, and mm between them, along d, h, w.
    gland, inner
        The whole gland, and its transition zone; the rest of the gland is the peripheral zone.
    zones
        Brightness of the transition and the peripheral zone.
    muscle, fat, rectum
        Brightness of the tissues around.
    bias, noise
        Strength of the receiver's shading, standard deviation of the noise.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> prostate = Prostate.draw(rng, 64)
    >>> masks, brightness = zip(*prostate.slices(rng))
    >>> np.unique(masks).tolist(), len(masks) == prostate.shape[0]
    ([0, 1, 2], True)
    """

    classes: ClassVar = ("background", "transition zone", "peripheral zone")
    shape: tuple[int, int, int]
    spacing: Spacing
    gland: Ellipsoid
    inner: Ellipsoid
    zones: tuple[float, float]
    muscle: float
    fat: float
    rectum: float
    bias: float
    noise: float

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int) -> "Prostate":
        """Draw a patient whose slices have about `size` pixels a side."""
        shape, spacing = draw_grid(rng, size, slices=(8, 12), step=(3.5, 4.5), view=(110.0, 140.0))
        centre = (rng.uniform(-3, 3), rng.uniform(-8, 4), rng.uniform(-5, 5))
        axes = (rng.uniform(17, 23), rng.uniform(17, 22), rng.uniform(23, 29))
        share = rng.uniform(0.62, 0.78)
        middle = (centre[0] + 3, centre[1] - (1 - share) * axes[1] * 0.8, centre[2])
        return cls(
            shape=shape,
            spacing=spacing,
            gland=Ellipsoid(centre, axes, lobes=draw_lobes(rng)),
            inner=Ellipsoid(middle, (0.85 * axes[0], share * axes[1], share * axes[2]), lobes=draw_lobes(rng)),
            zones=(rng.uniform(0.38, 0.5), rng.uniform(0.68, 0.85)),
            muscle=rng.uniform(0.15, 0.28),
            fat=rng.uniform(0.55, 0.8),
            rectum=rng.uniform(0.1, 0.9),
            bias=rng.uniform(0.1, 0.45),
            noise=rng.uniform(0.03, 0.08),
        )

    def slices(self, rng: np.random.Generator) -> Iterator[tuple[UInt8[np.ndarray, "h w"], SliceValues]]:
        """Yield class indices and brightness of each slice; `rng` places vessels and the transition zone's nodules."""
        rows, columns = millimetres(self.shape, self.spacing)
        body, nodules = self._body(rows, columns, rng), self._nodules(rng)
        for k in range(self.shape[0]):
            z = (k - (self.shape[0] - 1) / 2) * self.spacing[0]
            masks = self._masks(z, rows, columns)
            image = body.copy()
            image[self.gland.reach(z, rows, columns) < 1.12] = self.muscle
            for label, brightness in zip((TRANSITION, PERIPHERAL), self.zones, strict=True):
                image[masks == label] = brightness
            for nodule, brightness in nodules:
                image[(nodule.reach(z, rows, columns) < 1) & (masks == TRANSITION)] = brightness
            yield masks, image

    def _masks(self, z: float, rows: SliceValues, columns: SliceValues) -> UInt8[np.ndarray, "h w"]:
        masks = np.zeros(rows.shape, np.uint8)
        gland = self.gland.reach(z, rows, columns) < 1
        masks[gland] = PERIPHERAL
        masks[gland & (self.inner.reach(z, rows, columns) < 1)] = TRANSITION
        return masks

    def _nodules(self, rng: np.random.Generator) -> list[tuple[Ellipsoid, float]]:
        """Draw nodules, some as bright as the peripheral zone."""
        middle, axes = np.array(self.inner.centre), np.array(self.inner.axes)
        found = []
        for _ in range(6):
            d, h, w = middle + rng.uniform(-0.7, 0.7, 3) * axes
            radius = rng.uniform(2.5, 6)
            found.append((Ellipsoid((d, h, w), (radius, radius, radius)), rng.uniform(0.25, self.zones[1])))
        return found

    def _body(self, rows: SliceValues, columns: SliceValues, rng: np.random.Generator) -> SliceValues:
        """Paint fat, pelvic muscles, bone, rectum and vessels, as bright as the structures."""
        _, h, w = self.gland.centre
        body = np.full(rows.shape, self.fat)
        for side in (-1, 1):
            body[np.hypot((rows - h) / 40, (columns - w - side * rng.uniform(44, 50)) / 11) < 1] = self.muscle
            body[np.hypot((rows - h + 20) / 30, (columns - w - side * 68) / 14) < 1] = rng.uniform(0.5, 0.7)
        behind = h + self.gland.axes[1] + rng.uniform(13, 18)
        body[np.hypot((rows - behind) / 14, (columns - w) / 18) < 1] = self.muscle
        body[np.hypot((rows - behind) / 11, (columns - w) / 15) < 1] = self.rectum
        for _ in range(10):
            place, size = rng.uniform((h - 45, w - 50), (h + 45, w + 50)), rng.uniform(1.5, 4)
            body[np.hypot(rows - place[0], columns - place[1]) < size] = self.zones[1] * rng.uniform(0.6, 1.2)
        return body
