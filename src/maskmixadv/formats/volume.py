"""A volume and where it lies."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from maskmixadv.types import Spacing

if TYPE_CHECKING:
    import nibabel as nib


class Geometry(abc.ABC):
    """Where a file's voxels lie, as its format says it; labels of the same format are written with it.

    Each format has a subclass: `maskmixadv.formats.nifti.NiftiGeometry`, `maskmixadv.formats.itk.ItkGeometry`,
    `maskmixadv.formats.series.SeriesGeometry` and `maskmixadv.formats.flat.NoGeometry`.

    Examples
    --------
    >>> from maskmixadv.formats import image_files
    >>> from maskmixadv.formats.flat import NoGeometry
    >>> NoGeometry().write_labels(Path("labels.png"), np.ones((1, 4, 4), np.uint8))
    >>> image_files.read(Path("labels.png")).geometry
    NoGeometry()
    """

    @property
    def placed(self) -> bool:
        """Whether the file says where its voxels lie in the patient."""
        return True

    def labels_path(self, path: Path, classes: Sequence[str]) -> Path:  # noqa: ARG002
        """Return where labels can be written: `path`, or one of another format if the file's own can't hold them.

        A line on stderr then says why. Ask before the labels are made.

        Parameters
        ----------
        path
            The file to write, named as `maskmixadv.formats.image_files.labels_name` says.
        classes
            Names of the classes, background first.
        """
        return path

    @abc.abstractmethod
    def write_labels(self, path: Path, labels: UInt8[np.ndarray, "d h w"], classes: Sequence[str] = ()) -> None:
        """Write `labels` as a file of the same format, whole or not at all.

        Parameters
        ----------
        path
            The file to write; it is replaced if it exists.
        labels
            Class indices.
        classes
            Names of the classes, background first, for formats that store them (DICOM).

        Raises
        ------
        InputError
            If the file can't be written.
        """

    def nifti_header(self) -> "nib.Nifti1Header | None":
        """Return the file's NIfTI header; None for a file of another format."""
        return None


@dataclass(frozen=True)
class Volume:
    """A volume and where it lies.

    Attributes
    ----------
    array
        Voxels ``d h w`` as the file stores them, after the scaling that its header asks for.
    spacing
        Millimetres between voxels along d, h, w; None if the file does not say.
    affine
        Matrix from voxel (x, y, z, 1) to the world (mm, RAS); None if the file does not say.
    geometry
        The same as the file's format says it, for labels on the same grid.
    coloured
        Whether the file had colours, which `array` shows as grey.

    Examples
    --------
    >>> from maskmixadv.formats.flat import NoGeometry
    >>> volume = Volume(np.zeros((10, 256, 216)), (8.0, 1.5, 1.5), None, NoGeometry())
    >>> sagittal = volume.along(2)
    >>> sagittal.array.shape, sagittal.spacing
    ((216, 10, 256), (1.5, 8.0, 1.5))
    """

    array: Shaped[np.ndarray, "d h w"]
    spacing: Spacing | None
    affine: Float[np.ndarray, "4 4"] | None
    geometry: Geometry
    coloured: bool = False

    def along(self, axis: int) -> "Volume":
        """Return the volume with array axis `axis` (0 to 2) as d, and the other two in their order as h and w.

        Spacing and affine are reordered to match. `geometry` stays that of the file.
        """
        order = (axis, *(other for other in range(3) if other != axis))
        columns = [2 - order[2 - column] for column in range(3)]
        return replace(
            self,
            array=self.array.transpose(order),
            spacing=None if self.spacing is None else cast("Spacing", tuple(self.spacing[old] for old in order)),
            affine=None if self.affine is None else self.affine[:, [*columns, 3]],
        )
