"""A volume and where it lies."""

import abc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Never, cast

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from maskmixadv.errors import InputError, say
from maskmixadv.formats.slicing import Header, View
from maskmixadv.types import Spacing

if TYPE_CHECKING:
    import nibabel as nib

FINEST: Final = 1e-6
"""Millimetres that a voxel must measure at least."""
COARSEST: Final = 500.0
"""Millimetres that a voxel may measure at most."""
UNLIKE: Final = 1000.0
"""How many times longer the two longer sides of a voxel may be than the shortest one."""
TILTED: Final = 0.02
"""Part of a voxel's volume that is lost where its axes are not at right angles: more than this is refused."""
DIFFERENT: Final = 0.05
"""Voxels by which a corner must lie elsewhere for two affines to differ."""

SAME: Final = 0.01
"""Share by which the spacings of two files may differ, where nothing else says where they lie."""
UNKNOWN: Final = (1.0, 1.0, 1.0)
"""The spacing that programs write where they know of none."""
MOST_CHANNELS: Final = 4
"""Length up to which a file's last axis beside those of space is taken as channels; a longer one may be time."""
LUMA: Final = (0.2125, 0.7154, 0.0721)
"""Brightness of red, green and blue (ITU-R BT.709)."""


def several_told(count: int) -> str:
    """Return the note on a file whose last axis is taken as channels.

    Examples
    --------
    >>> several_told(2)
    'the last axis, of 2, is taken as channels'
    """
    return f"the last axis, of {count}, is taken as channels"


class Geometry(abc.ABC):
    """Where a file's voxels lie, as its format says it; labels of the same format are written with it.

    Each format has a subclass: `maskmixadv.formats.nifti.NiftiGeometry`, `maskmixadv.formats.itk.ItkGeometry`,
    `maskmixadv.formats.dicom_geometry.SeriesGeometry` and `maskmixadv.formats.flat.NoGeometry`.

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

    def other_affines(self) -> Mapping[str, Float[np.ndarray, "4 4"]]:
        """Affines of the file that differ from the one that is used, by their names in the format."""
        return MappingProxyType({})

    def nifti_header(self) -> "nib.Nifti1Header | None":
        """Return the file's NIfTI header; None for a file of another format."""
        return None


@dataclass(frozen=True)
class HeaderGeometry(Geometry):
    """Geometry of a volume of which the header alone was read. It writes no labels.

    Examples
    --------
    >>> HeaderGeometry(Header((3, 64, 64))).placed
    False
    """

    header: Header
    forms: Mapping[str, Float[np.ndarray, "4 4"]] = field(default_factory=dict)

    @property
    def placed(self) -> bool:
        """Whether the header says where its voxels lie in the patient."""
        return self.header.affine is not None

    def write_labels(self, path: Path, labels: UInt8[np.ndarray, "d h w"], classes: Sequence[str] = ()) -> Never:  # noqa: ARG002
        """Refuse: read the image, and write with its own geometry."""
        raise TypeError(f"{path}: the image's header alone was read")

    def other_affines(self) -> Mapping[str, Float[np.ndarray, "4 4"]]:
        """Return those of the header's other forms."""
        return self.forms


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
        Whether the file's pixels differ in colour; `array` shows them as grey.
    channels
        Channels of an image that has several: red, green and blue, or others; else None.
    colours
        Whether `channels` are red, green and blue.
    notes
        What was done with the file that a user may want to know, such as ``opacity (alpha) is left out``.
    notes_by_file
        The notes of each of its files, where its channels lie in several; else empty.

    Examples
    --------
    >>> from maskmixadv.formats.flat import NoGeometry
    >>> volume = Volume(np.zeros((10, 256, 216)), (8.0, 1.5, 1.5), None, NoGeometry())
    >>> sagittal = volume.seen(View.along(2))
    >>> sagittal.array.shape, sagittal.spacing
    ((216, 10, 256), (1.5, 8.0, 1.5))
    """

    array: Shaped[np.ndarray, "d h w"]
    spacing: Spacing | None
    affine: Float[np.ndarray, "4 4"] | None
    geometry: Geometry
    coloured: bool = False
    channels: Shaped[np.ndarray, "c d h w"] | None = None
    colours: bool = False
    notes: tuple[str, ...] = ()
    notes_by_file: tuple[tuple[str, ...], ...] = ()

    @property
    def header(self) -> Header:
        """What the file says of its grid."""
        return Header(self.array.shape, self.spacing, self.affine if self.geometry.placed else None)

    @classmethod
    def of(cls, header: Header, forms: Mapping[str, Float[np.ndarray, "4 4"]] = MappingProxyType({})) -> "Volume":
        """Return a volume on a file's grid whose voxels are 0 and take no memory, to say where others lie.

        Parameters
        ----------
        header
            What the file says of its grid.
        forms
            Affines of the file that differ from the one that is used, by their names in the format.

        Examples
        --------
        >>> Volume.of(Header((10, 2560, 2160), (8.0, 1.5, 1.5))).array.base.nbytes
        1
        """
        nothing = np.broadcast_to(np.zeros(1, np.uint8), header.shape)
        return cls(nothing, header.spacing, cast("Any", header.affine), HeaderGeometry(header, forms))

    def seen(self, view: View) -> "Volume":
        """Return the volume as it is seen. Spacing, affine and channels follow; `geometry` stays that of the file."""
        return replace(
            self,
            array=view.seen(self.array),
            channels=None if self.channels is None else view.seen(self.channels),
            spacing=None if self.spacing is None else cast("Spacing", tuple(self.spacing[old] for old in view.order)),
            affine=None if self.affine is None else _seen_affine(self.affine, self.array.shape, view),
        )


def check_spacing(path: Path, spacing: Sequence[float], what: str) -> None:
    """Refuse a voxel of a size or a shape that no image has; it would ask for memory without end where it is resampled.

    Parameters
    ----------
    path
        The file, for the error's text.
    spacing
        Millimetres along the file's axes.
    what
        The header's field that says so, for the error's text.

    Raises
    ------
    InputError
        If a length is not finite, or not from a nanometre to half a metre, or one is less than a thousandth of all
        others.

    Examples
    --------
    >>> check_spacing(Path("a.nii"), (1500.0, 1500.0, 8000.0), "pixdim")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.nii: pixdim: a voxel of 1500 × 1500 × 8000 mm, allowed are 1e-06 to 500 mm; ...
    """
    if told := wrong_spacing(spacing):
        raise InputError(f"{path}: {what}: {told}; correct the header")


def wrong_spacing(spacing: Sequence[float]) -> str:
    """Say what is wrong with a voxel of a size or a shape that no image has; empty where nothing is.

    Examples
    --------
    >>> wrong_spacing((8.0, 1.5, 1.5)), wrong_spacing((8.0, 1.5, 1500.0))
    ('', 'a voxel of 8 × 1.5 × 1500 mm, allowed are 1e-06 to 500 mm')
    """
    said = f"a voxel of {' × '.join(f'{size:g}' for size in spacing)} mm"
    if not all(math.isfinite(size) and FINEST <= size <= COARSEST for size in spacing):
        return f"{said}, allowed are {FINEST:g} to {COARSEST:g} mm"
    shortest, next_one, *_ = (*sorted(spacing), math.inf)
    if shortest * UNLIKE < next_one < math.inf:
        told = f"one side is {next_one / shortest:.0f} times shorter than the others, allowed is up to {UNLIKE:g}"
        return f"{said}, of which {told}"
    return ""


def spaced_apart(one: "Volume", other: "Volume") -> bool:
    """Whether two files of one grid say different spacings, where that is all they can be compared by.

    Where both say where they lie in the patient, that counts. Programs write 1 mm where they know of no spacing.

    Examples
    --------
    >>> one, other = (Volume.of(Header((3, 64, 64), spacing)) for spacing in ((8.0, 1.5, 1.5), (8.0, 2.0, 2.0)))
    >>> spaced_apart(one, other), spaced_apart(one, one)
    (True, False)
    """
    both = one.geometry.placed and other.geometry.placed
    if both or one.spacing is None or other.spacing is None or UNKNOWN in (one.spacing, other.spacing):
        return False
    return not np.allclose(one.spacing, other.spacing, rtol=SAME)


def in_mm(spacing: Sequence[float]) -> str:
    """Return a spacing for people.

    Examples
    --------
    >>> in_mm((8.0, 1.5, 1.5))
    '8 × 1.5 × 1.5 mm'
    """
    return " × ".join(f"{mm:g}" for mm in spacing) + " mm"


def tilt(affine: Float[np.ndarray, "4 4"]) -> float:
    """Return by how many degrees the axes of a grid are off right angles; 0 if volumes are right in spite of it.

    Examples
    --------
    >>> tilted = np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    >>> round(tilt(tilted)), tilt(np.eye(4))
    (45, 0.0)
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if abs(float(np.linalg.det(axes))) >= 1 - TILTED:
        return 0.0
    return float(np.degrees(np.arcsin(min(1.0, float(np.abs(axes.T @ axes - np.eye(3)).max())))))


def differ(one: Float[np.ndarray, "4 4"], other: Float[np.ndarray, "4 4"], shape: tuple[int, int, int]) -> bool:
    """Whether two affines put a corner of a grid of `shape` (along x, y, z) at places that differ.

    Examples
    --------
    >>> differ(np.eye(4), np.diag([1.0, 1.0, 1.1, 1.0]), (5, 7, 3))
    True
    """
    return apart(one, other, shape) > DIFFERENT * float(np.linalg.norm(other[:3, :3], axis=0).min())


def apart(one: Float[np.ndarray, "4 4"], other: Float[np.ndarray, "4 4"], shape: tuple[int, int, int]) -> float:
    """Return how far apart (mm) the corners of a grid of `shape` (along x, y, z) lie by two affines, at most.

    Examples
    --------
    >>> apart(np.eye(4), np.diag([1.0, 1.0, 2.0, 1.0]), (5, 7, 3))
    2.0
    """
    w, h, d = shape
    corners = np.array([(x, y, z, 1) for x in (0, w - 1) for y in (0, h - 1) for z in (0, d - 1)])
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())


def tell_of_shift(path: Path, far: float, where: str, voxel: float) -> None:
    """Say where a file is taken as if it lay on another one's grid, although it lies a little beside it.

    Parameters
    ----------
    path, where
        The file, and the words for the other one.
    far
        Millimetres between their corners, at most.
    voxel
        The shortest side of a voxel, in mm.

    Examples
    --------
    >>> tell_of_shift(Path("labels.nii.gz"), 0.01, "its image a.nii.gz", 1.5)  # as headers are rounded
    """
    if far > DIFFERENT * voxel:
        told = f"its corners lie {far:.3g} mm from those of {where}, {far / voxel:.2g} of a voxel"
        say(f"maskmixadv: note: {path}: {told}; it is taken as if it lay there")


def _seen_affine(affine: Float[np.ndarray, "4 4"], shape: Sequence[int], view: View) -> Float[np.ndarray, "4 4"]:
    """Return the affine of an array of `shape` as it is seen."""
    columns = [2 - view.order[2 - column] for column in range(3)]
    seen = affine[:, [*columns, 3]]
    for place, (axis, backwards) in enumerate(zip(view.order, view.flipped, strict=True)):
        if backwards:
            seen[:, 3] += (shape[axis] - 1) * affine[:, 2 - axis]
            seen[:, 2 - place] = 0.0 - affine[:, 2 - axis]
    return seen
