"""Where the slices of a DICOM series lie, or that a picture lies nowhere; labels are written by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv.errors import InputError, say
from maskmixadv.formats import nifti, seg
from maskmixadv.formats.details import nifti_forms
from maskmixadv.formats.volume import Geometry
from maskmixadv.types import Spacing

CALLED: Final = (".dcm", ".dicom", ".ima")
"""Suffixes of DICOM files; one with another content is damaged."""
LABELS_AS: Final[Mapping[str, str]] = dict.fromkeys(("", *CALLED), ".dcm")
"""Labels of a series are one file, a DICOM segmentation."""


@dataclass(frozen=True)
class SeriesGeometry(Geometry):
    """Where the slices of a series lie, as DICOM says it.

    Attributes
    ----------
    headers
        The slices' headers (pydicom datasets without pixels), in the volume's order. Slices that are frames have the
        headers of their files, each once.
    affine
        Matrix from voxel (x, y, z, 1) to the world (mm, RAS), for labels as NIfTI.
    thickness
        Millimetres between slices, for labels of slices that don't say how thick they are.
    frames
        Numbers of the slices' frames in their multi-frame file, from 1; empty for slices with a file each.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> SeriesGeometry((Dataset(), Dataset())).placed
    True
    """

    headers: tuple[Any, ...]
    affine: Float[np.ndarray, "4 4"] | None = None
    thickness: float = 1.0
    frames: tuple[int, ...] = ()

    def labels_path(self, path: Path, classes: Sequence[str]) -> Path:
        """Return `path`, or one of a NIfTI file where no SEG can be made of the series; a line then says why."""
        try:
            seg.must_be_possible(path, self.headers, classes, frames=self.frames)
        except InputError as error:
            other = path.with_name(path.name.removesuffix(LABELS_AS[""]) + nifti.SUFFIXES[0])
            say(f"{error}; its labels are written as NIfTI, {other.name}{self._sheared()}")
            return other
        return path

    def _sheared(self) -> str:
        """Say what comes of labels as NIfTI where slices are sheared; empty where they are not."""
        h, w = (int(self.headers[0].get(name) or 1) for name in ("Rows", "Columns"))
        if self.affine is None or nifti_forms.held_by_qform(self.affine, (w, h, len(self.frames or self.headers))):
            return ""
        axes = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        angle = float(np.degrees(np.arcsin(min(1.0, float(np.abs(axes.T @ axes - np.eye(3)).max())))))
        return (
            f"; slices are sheared by {angle:.1f}°, which its sform alone holds, and ITK, as of 3D Slicer, refuses it"
        )

    def write_labels(
        self, path: Path, labels: UInt8[np.ndarray, "d h w"], classes: Sequence[str] = (), colours: Sequence[str] = ()
    ) -> None:
        """Write a DICOM segmentation, whose segments `classes` name, or NIfTI where the path's suffix says so.

        Parameters
        ----------
        path, labels, classes
            As in `maskmixadv.formats.volume.Geometry.write_labels`.
        colours
            Each class's colour, such as ``#4aa8ff``, for a segmentation; empty: the studio's.
        """
        if path.name.endswith(nifti.SUFFIXES):
            d, h, w = labels.shape
            header: Any = nifti_forms.placed_header(np.eye(4) if self.affine is None else self.affine, (w, h, d))
            header.set_xyzt_units("mm")
            nifti.NiftiGeometry(header).write_labels(path, labels, classes)
        else:
            seg.write(
                path, labels, self.headers, classes, thickness=self.thickness, frames=self.frames, colours=colours
            )


@dataclass(frozen=True)
class PictureGeometry(SeriesGeometry):
    """Geometry of a DICOM picture, which lies nowhere in the patient; a segmentation refers to it by its file.

    Attributes
    ----------
    spacing
        Millimetres along d, h, w, for labels as NIfTI; None if the file does not say.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> geometry = PictureGeometry((Dataset(),), spacing=(1.0, 0.2, 0.2))
    >>> geometry.placed, geometry.nifti_header()["pixdim"][1:4]
    (False, array([0.2, 0.2, 1. ], dtype=float32))
    """

    spacing: Spacing | None = None

    @property
    def placed(self) -> bool:
        """Never."""
        return False

    def nifti_header(self) -> nib.Nifti1Header:
        """Return a header with the spacing and without a place; voxels of unknown size are 1 mm."""
        header: Any = nib.Nifti1Header()
        header.set_data_shape((1, 1, 1))
        header.set_zooms((self.spacing or (1.0, 1.0, 1.0))[::-1])
        header.set_xyzt_units("mm")
        return header

    def write_labels(
        self, path: Path, labels: UInt8[np.ndarray, "d h w"], classes: Sequence[str] = (), colours: Sequence[str] = ()
    ) -> None:
        """Write a DICOM segmentation, or NIfTI where the path's suffix says so; parameters are a series'."""
        if path.name.endswith(nifti.SUFFIXES):
            nifti.NiftiGeometry(self.nifti_header()).write_labels(path, labels, classes)
        else:
            super().write_labels(path, labels, classes, colours)
