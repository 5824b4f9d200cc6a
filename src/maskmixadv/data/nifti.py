"""NIfTI in and out: arrays as ``d h w``, which is the file's ``x y z`` transposed; grid and header kept."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float, Shaped
from nibabel.filebasedimages import ImageFileError

from maskmixadv.data.corpus import Spacing
from maskmixadv.errors import InputError

SUFFIXES = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Volume:
    """A volume and where it lies.

    Attributes
    ----------
    array
        Voxels ``d h w``, as stored (after the header's scaling).
    spacing
        Millimetres along d, h, w.
    affine
        Voxel (x, y, z) to world in mm.
    header
        The file's own, for writing labels on the same grid.
    """

    array: Shaped[np.ndarray, "d h w"]
    spacing: Spacing
    affine: Float[np.ndarray, "4 4"]
    header: Any


def read(path: Path) -> Volume:
    """Read a 3D volume.

    Raises
    ------
    InputError
        Where the file is missing, damaged, or not 3D.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        image = nib.load(path)
        stored = np.asanyarray(image.dataobj)  # pyright: ignore[reportAttributeAccessIssue]
    except (ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: not a readable NIfTI file ({_line(error)})") from None
    if stored.ndim == 4 and stored.shape[3] == 1:
        stored = stored[..., 0]
    if stored.ndim != 3:
        raise InputError(f"{path}: has {stored.ndim} axes {stored.shape}, allowed is a 3D volume; split it first")
    header: Any = image.header
    w, h, d = (float(mm) for mm in header.get_zooms()[:3])
    return Volume(stored.T, (d, h, w), np.asarray(image.affine, dtype=np.float64), header)  # pyright: ignore


def write_labels(path: Path, labels: Shaped[np.ndarray, "d h w"], like: Volume) -> None:
    """Write `labels` as uint8 on the grid of `like`; whole or not at all.

    Raises
    ------
    InputError
        Where the file can't be written.
    """
    header = like.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    partial = path.with_name(f".partial-{path.name}")
    try:
        nib.save(nib.Nifti1Image(np.ascontiguousarray(labels.T.astype(np.uint8)), like.affine, header), partial)
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: can't be written ({error.strerror})") from None


def stem(path: Path) -> str:
    """File name without ``.nii`` or ``.nii.gz``."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.stem


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
