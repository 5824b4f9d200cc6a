"""NIfTI in and out: arrays as ``d h w``, which is the file's ``x y z`` transposed; grid and header kept."""

import gzip
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from jaxtyping import Shaped
from nibabel.arrayproxy import ArrayProxy

from maskmixadv.errors import InputError
from maskmixadv.files import replaced
from maskmixadv.formats.reading import DEFLATED, Declared, LargeError, check_size, existing, reading
from maskmixadv.formats.volume import Volume
from maskmixadv.types import Spacing

SUFFIXES = (".nii.gz", ".nii")
GEOMETRY = (
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


def read(path: Path) -> Volume:
    """Read a 3D volume.

    Raises
    ------
    InputError
        Where the file is missing, damaged, not 3D, or larger than is taken.
    """
    with _opened(path) as stream:
        header = _header(path, stream)
        shape = _fitting(path, header)
        with reading(path, KIND):
            voxels: Any = ArrayProxy(stream if _packed(path) else path, header)
            array = np.asanyarray(voxels).reshape(shape)
            affine = np.asarray(header.get_best_affine(), dtype=np.float64)
            behind = stream.read(BEHIND + 1) if _packed(path) else b""  # which looks at the checksum, too
        if len(behind) > BEHIND:
            raise LargeError(f"{path}: not a readable {KIND} (holds more than its header declares)")
    return Volume(array.T, _spacing(header), affine if np.isfinite(affine).all() else None, header)


def peek(path: Path) -> tuple[tuple[int, int, int], Spacing | None]:
    """Return shape and spacing along d, h, w, from the header alone.

    Raises
    ------
    InputError
        As `read` does.
    """
    with _opened(path) as stream:
        header = _header(path, stream)
        w, h, d = _fitting(path, header)
        return (d, h, w), _spacing(header)


def declared(path: Path) -> Declared:
    """Return what the header declares; raises as `peek`."""
    with _opened(path) as stream:
        return _declared(path, _header(path, stream))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Give the file's content, unpacked."""
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
    """Which of NIfTI's two layouts a file has: its first number is its header's size, in either order of bytes."""
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
    """Shape w, h, d of voxels of which the file can hold as many as it declares."""
    taken = _declared(path, header)
    stored = Declared(taken.shape, header.get_data_dtype().itemsize)
    size, packed = path.stat().st_size, _packed(path)
    check_size(path, taken, KIND)
    offset = 0 if packed else header.get_data_offset()
    check_size(path, stored, KIND, held=size - offset, ratio=DEFLATED if packed else 1.0)
    return _shape(path, taken.shape)


def _shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Shape w, h, d; one slice may lack its third axis, and one frame may have a fourth."""
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
