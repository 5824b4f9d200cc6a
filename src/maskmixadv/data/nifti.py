"""NIfTI in and out: arrays as ``d h w``, which is the file's ``x y z`` transposed; grid and header kept."""

import math
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from jaxtyping import Float, Shaped
from nibabel.filebasedimages import ImageFileError

from maskmixadv.data.corpus import Spacing
from maskmixadv.errors import InputError
from maskmixadv.files import replaced

SUFFIXES = (".nii.gz", ".nii")
GEOMETRY = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
"""Fields of a header that say where its voxels lie, beside the first four of ``pixdim``."""
_UNREADABLE = (ImageFileError, OSError, EOFError, ValueError, zlib.error)


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


def read(path: Path) -> Volume:
    """Read a 3D volume.

    Raises
    ------
    InputError
        Where the file is missing, damaged, or not 3D.
    """
    image, stored = _open(path)
    try:
        array = np.asanyarray(stored)
    except _UNREADABLE as error:
        raise InputError(f"{path}: not a readable NIfTI file ({in_one_line(error)})") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: voxels are of type {array.dtype}, allowed are numbers; save one channel")
    array = array.reshape(_shape(path, image))
    return Volume(array.T, _spacing(image.header), np.asarray(image.affine, dtype=np.float64), image.header)


def peek(path: Path) -> tuple[tuple[int, int, int], Spacing | None]:
    """Return shape and spacing along d, h, w, from the header alone.

    Raises
    ------
    InputError
        As `read` does.
    """
    image, _ = _open(path)
    w, h, d = _shape(path, image)
    return (d, h, w), _spacing(image.header)


def _open(path: Path) -> tuple[Any, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        image: Any = nib.load(path)
        return image, image.dataobj
    except _UNREADABLE as error:
        raise InputError(f"{path}: not a readable NIfTI file ({in_one_line(error)})") from None


def _shape(path: Path, image: Any) -> tuple[int, int, int]:  # noqa: ANN401
    """Shape w, h, d; one slice may lack its third axis, and one frame may have a fourth."""
    shape = tuple(image.shape)
    if len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3:
        raise InputError(f"{path}: has {len(shape)} axes {shape}, allowed is a 3D volume; split it first")
    return shape


def _spacing(header: Any) -> Spacing | None:  # noqa: ANN401
    w, h, d = (float(mm) for mm in (*header.get_zooms(), 1.0)[:3])
    return (d, h, w) if all(math.isfinite(mm) and mm > 0 for mm in (d, h, w)) else None


def write_labels(path: Path, labels: Shaped[np.ndarray, "d h w"], like: Volume) -> None:
    """Write `labels` as uint8 on the grid of `like`; whole or not at all.

    Raises
    ------
    InputError
        Where the file can't be written.
    """
    header = labels_header(like)
    with replaced(path) as place:
        nib.save(nib.Nifti1Image(np.ascontiguousarray(labels.T.astype(np.uint8)), like.affine, header), place)


def labels_header(like: Volume) -> nib.Nifti1Header:
    """Make a header for labels on the grid of `like`: its geometry, and nothing else that its file says.

    Texts and extensions may name the patient, and are of the image.
    """
    kind = nib.Nifti2Header if isinstance(like.header, nib.Nifti2Header) else nib.Nifti1Header
    header: Any = kind()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(like.array.T.shape)
    header["pixdim"][:4] = like.header["pixdim"][:4]
    for field in GEOMETRY:
        header[field] = like.header[field]
    header.set_slope_inter(1, 0)
    return header


def stem(path: Path) -> str:
    """File name without ``.nii`` or ``.nii.gz``."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.stem


def in_one_line(error: Exception) -> str:
    """What a library complains of, without its line breaks."""
    return " ".join(str(error).split())
