"""NIfTI files. Arrays are ``d h w``, which is the file's ``x y z`` transposed."""

import gzip
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from jaxtyping import Float, UInt8
from nibabel.arrayproxy import ArrayProxy

from maskmixadv.errors import InputError
from maskmixadv.files import replaced
from maskmixadv.formats.reading import DEFLATED, Declared, LargeError, check_size, existing, reading
from maskmixadv.formats.volume import Geometry, Volume
from maskmixadv.types import Spacing

SUFFIXES: Final = (".nii.gz", ".nii")
LABELS_AS: Final[Mapping[str, str]] = {}
GEOMETRY: Final = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
"""Fields of a header that say where its voxels lie, beside the first four of ``pixdim``."""
KIND: Final = "NIfTI file"
SIZES: Final = (348, 540)
"""Bytes of NIfTI-1's header and of NIfTI-2's."""
MOST_HEADER: Final = 2**24
"""Bytes before the voxels: a header and its extensions."""
BEHIND: Final = 2**20
"""Bytes that a packed file may hold behind its voxels."""


@dataclass(frozen=True)
class NiftiGeometry(Geometry):
    """Where a file's voxels lie, as NIfTI says it.

    Attributes
    ----------
    header
        The file's header, of either version.
    affine
        Matrix from voxel (x, y, z, 1) to the world (mm, RAS); None if the header's is not finite.

    Examples
    --------
    >>> NiftiGeometry(nib.Nifti1Header(), None).placed  # neither qform nor sform is set
    False
    """

    header: nib.Nifti1Header
    affine: Float[np.ndarray, "4 4"] | None

    @property
    def placed(self) -> bool:
        """Whether the header has a qform or an sform; without one its affine says nothing of the patient."""
        header: Any = self.header
        return any(header[key] > 0 for key in ("qform_code", "sform_code"))

    def write_labels(self, path: Path, labels: UInt8[np.ndarray, "d h w"], classes: Sequence[str] = ()) -> None:  # noqa: ARG002
        """Write a NIfTI file of the same version."""
        header = labels_header(self.header, labels.T.shape)
        with replaced(path) as place:
            nib.save(nib.Nifti1Image(np.ascontiguousarray(labels.T), self.affine, header), place)

    def nifti_header(self) -> nib.Nifti1Header:
        """Return the file's header."""
        return self.header


def read(path: Path) -> Volume:
    """Read a 3D volume as ``d h w``, which is the file's ``x y z`` transposed.

    Raises
    ------
    InputError
        If the file is missing, damaged, not 3D, or larger than is taken.

    Examples
    --------
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3)), np.diag([0.9, 0.7, 5, 1])), "heart.nii.gz")
    >>> volume = read(Path("heart.nii.gz"))
    >>> volume.array.shape, volume.spacing, volume.geometry.placed
    ((3, 7, 5), (5.0, 0.7, 0.9), True)
    """
    with _opened(path) as stream:
        header = _header(path, stream)
        shape = _fitting(path, header)
        with reading(path, KIND):
            voxels: Any = ArrayProxy(stream if _packed(path) else path, header)
            array = np.asanyarray(voxels).reshape(shape)
            affine = np.asarray(header.get_best_affine(), dtype=np.float64)
            behind = stream.read(BEHIND + 1) if _packed(path) else b""  # this checks the checksum, too
        if len(behind) > BEHIND:
            raise LargeError(f"{path}: not a readable {KIND} (holds more than its header declares)")
    finite = affine if np.isfinite(affine).all() else None
    return Volume(array.T, _spacing(header), finite, NiftiGeometry(header, finite))


def read_labels(path: Path) -> Volume:
    """Read class codes ``d h w``; raises as `read`.

    Examples
    --------
    >>> nib.save(nib.Nifti1Image(np.eye(4, dtype=np.uint8)[..., None], np.eye(4)), "labels.nii.gz")
    >>> read_labels(Path("labels.nii.gz")).array[0, 0].tolist()
    [1, 0, 0, 0]
    """
    return read(path)


def peek(path: Path) -> tuple[tuple[int, int, int], Spacing | None]:
    """Return shape and spacing (mm) along d, h, w, from the header alone.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing, or too short for what its header declares.

    Examples
    --------
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3)), np.diag([0.9, 0.7, 5, 1])), "heart.nii")
    >>> peek(Path("heart.nii"))
    ((3, 7, 5), (5.0, 0.7, 0.9))
    """
    with _opened(path) as stream:
        header = _header(path, stream)
        w, h, d = _fitting(path, header)
        return (d, h, w), _spacing(header)


def declared(path: Path) -> Declared:
    """Return what the header declares: shape ``x y z``, and bytes of a value after scaling.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing.

    Examples
    --------
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3), np.int16), np.eye(4)), "heart.nii.gz")
    >>> declared(Path("heart.nii.gz"))
    Declared(shape=(5, 7, 3), itemsize=2)
    """
    with _opened(path) as stream:
        return _declared(path, _header(path, stream))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Give a stream of the file's unpacked content."""
    with ExitStack() as opened:
        with reading(path, KIND):
            stream: Any = opened.enter_context((gzip.open if _packed(path) else open)(existing(path), "rb"))
        yield stream


def _packed(path: Path) -> bool:
    return path.name.endswith(".gz")


def _header(path: Path, stream: Any) -> Any:  # noqa: ANN401
    """Read the header, with the extensions that lie between it and the voxels; `stream` is at the voxels then."""
    with reading(path, KIND):
        head = stream.read(SIZES[1] + 4)
        kind = _layout(path, head)
        offset = kind(head[: kind.sizeof_hdr], check=False).get_data_offset()
        if not 0 <= offset <= MOST_HEADER:
            raise InputError(f"{path}: not a readable {KIND} (voxels from byte {offset} on, allowed is {MOST_HEADER})")
        return kind.from_fileobj(BytesIO(head + stream.read(max(0, offset - len(head)))))


def _layout(path: Path, head: bytes) -> Any:  # noqa: ANN401
    """Return the class of a file's header: its first number is the header's size, in either order of bytes."""
    for size, kind in zip(SIZES, (nib.Nifti1Header, nib.Nifti2Header), strict=True):
        if head[:4] in (size.to_bytes(4, "little"), size.to_bytes(4, "big")) and len(head) >= size:
            return kind
    raise InputError(f"{path}: not a readable {KIND} (it has no such header)")


def _declared(path: Path, header: Any) -> Declared:  # noqa: ANN401
    with reading(path, KIND):
        shape, dtype, scaled = header.get_data_shape(), header.get_data_dtype(), header.get_slope_inter()
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise InputError(f"{path}: voxels are of type {dtype}, allowed are numbers of up to 8 bytes; save one channel")
    return Declared(tuple(map(int, shape)), 8 if scaled not in ((None, None), (1, 0)) else dtype.itemsize)


def _fitting(path: Path, header: Any) -> tuple[int, int, int]:  # noqa: ANN401
    """Return the shape w, h, d, once it is known that the file can hold that many voxels."""
    taken = _declared(path, header)
    stored = Declared(taken.shape, header.get_data_dtype().itemsize)
    size, packed = path.stat().st_size, _packed(path)
    check_size(path, taken, KIND)
    offset = 0 if packed else header.get_data_offset()
    check_size(path, stored, KIND, held=size - offset, ratio=DEFLATED if packed else 1.0)
    return _shape(path, taken.shape)


def _shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the shape w, h, d; a single slice may lack the third axis, a single frame may have a fourth."""
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


def write_labels(path: Path, labels: UInt8[np.ndarray, "d h w"], like: Volume) -> None:
    """Write `labels` as NIfTI on the grid of `like`, of whatever format that was; whole or not at all.

    Parameters
    ----------
    path
        The file to write, ``.nii`` or ``.nii.gz``; it is replaced if it exists.
    labels
        Class indices, of the image's shape.
    like
        The image. Labels of one without a place in the patient get a voxel of 1 mm.

    Raises
    ------
    InputError
        If the file can't be written.

    Examples
    --------
    >>> from maskmixadv.formats.flat import NoGeometry
    >>> picture = Volume(np.zeros((1, 4, 5)), None, None, NoGeometry())
    >>> write_labels(Path("labels.nii.gz"), np.ones((1, 4, 5), np.uint8), picture)
    >>> read(Path("labels.nii.gz")).spacing
    (1.0, 1.0, 1.0)
    """
    header = like.geometry.nifti_header()
    if header is None:
        own = NiftiGeometry(nib.Nifti1Header(), np.eye(4) if like.affine is None else like.affine)
    else:
        own = NiftiGeometry(header, like.affine)
    own.write_labels(path, labels)


def labels_header(image: nib.Nifti1Header, shape: tuple[int, ...]) -> nib.Nifti1Header:
    """Make a header for labels on an image's grid, of the same version of NIfTI.

    It takes over the geometry, and nothing else: texts and extensions may name the patient.

    Parameters
    ----------
    image
        The image's header.
    shape
        Of the labels along the file's x, y, z.

    Examples
    --------
    >>> image = nib.Nifti1Header()
    >>> image.set_xyzt_units("mm")
    >>> image["descrip"] = b"Jane Doe"
    >>> labels = labels_header(image, (5, 7, 3))
    >>> labels.get_xyzt_units()[0], labels["descrip"].item()
    ('mm', b'')
    """
    header: Any = type(image)()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header["pixdim"][:4] = image["pixdim"][:4]
    for field in GEOMETRY:
        header[field] = image[field]
    header.set_slope_inter(1, 0)
    return header


def stem(path: Path) -> str:
    """Return a file's name without ``.nii`` or ``.nii.gz``, or else without its last suffix.

    Examples
    --------
    >>> stem(Path("patient001_frame01.nii.gz")), stem(Path("patient001_frame01.h5"))
    ('patient001_frame01', 'patient001_frame01')
    """
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.stem
