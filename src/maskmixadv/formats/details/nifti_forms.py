"""Forms of NIfTI by which a volume of another format says where it lies."""

from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float

from maskmixadv.formats.volume import differ


def placed_header(affine: Float[np.ndarray, "4 4"], shape: tuple[int, int, int]) -> nib.Nifti1Header:
    """Return a header of a volume of `shape` (along x, y, z) that lies where `affine` (mm, RAS) says.

    The sform says it to the bit. The qform, whose axes are at right angles, says it, too, where it is as good: ITK
    reads no sform of which an angle is off by 0.01°, as it is where positions are rounded, and takes the qform.

    Examples
    --------
    >>> affine = np.diag([0.7, 0.9, 5.0, 1.0])
    >>> affine[0, 2] = 0.001
    >>> header = placed_header(affine, (5, 7, 3))
    >>> header["sform_code"].item(), header["qform_code"].item(), held_by_qform(affine, (5, 7, 3))
    (2, 2, True)
    >>> affine[0, 2] = 3
    >>> placed_header(affine, (5, 7, 3))["qform_code"].item(), held_by_qform(affine, (5, 7, 3))
    (0, False)
    """
    header: Any = nib.Nifti1Image(np.broadcast_to(np.zeros(1, np.uint8), shape), affine).header
    if held_by_qform(affine, shape):
        header.set_qform(affine, code="aligned")
    return header


def held_by_qform(affine: Float[np.ndarray, "4 4"], shape: tuple[int, int, int]) -> bool:
    """Whether axes of a grid of `shape` (along x, y, z) are so near right angles that a qform says where it lies.

    Examples
    --------
    >>> held_by_qform(np.diag([0.7, 0.9, 5.0, 1.0]), (5, 7, 3))
    True
    """
    header: Any = nib.Nifti1Header()
    header.set_qform(affine, code="aligned")
    return not differ(header.get_qform(), affine, shape)
