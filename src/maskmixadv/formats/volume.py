"""A volume and where it lies."""

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Shaped

from maskmixadv.types import Spacing


@dataclass(frozen=True)
class Volume:
    """A volume and where it lies.

    Attributes
    ----------
    array
        Voxels ``d h w``, as stored (after the header's scaling).
    spacing
        Millimetres along d, h, w; None where the file does not say.
    affine
        Voxel (x, y, z) to world in mm; None where the file does not say.
    header
        The file's own, for writing labels on the same grid.
    coloured
        Whether the file had colours, which `array` has as grey.
    """

    array: Shaped[np.ndarray, "d h w"]
    spacing: Spacing | None
    affine: Float[np.ndarray, "4 4"] | None
    header: Any
    coloured: bool = False

    def along(self, axis: int) -> "Volume":
        """Return the volume with array axis `axis` (0 to 2) as d, and the other two in their order as h and w."""
        order = (axis, *(other for other in range(3) if other != axis))
        columns = [2 - order[2 - column] for column in range(3)]
        return replace(
            self,
            array=self.array.transpose(order),
            spacing=None if self.spacing is None else cast("Spacing", tuple(self.spacing[old] for old in order)),
            affine=None if self.affine is None else self.affine[:, [*columns, 3]],
        )
