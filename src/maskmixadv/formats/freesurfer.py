"""FreeSurfer's MGH files. Arrays are ``d h w``, which is the file's ``x y z`` transposed."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from jaxtyping import Float, UInt8
from nibabel.freesurfer.mghformat import MGHHeader

from maskmixadv.errors import InputError
from maskmixadv.files import replaced
from maskmixadv.formats import nifti
from maskmixadv.formats.nifti import BEHIND
from maskmixadv.formats.reading import DEFLATED, Declared, LargeError, check_size, fill, reading
from maskmixadv.formats.slicing import Header
from maskmixadv.formats.volume import MOST_CHANNELS, Geometry, Volume, check_spacing, several_told, tilt
from maskmixadv.types import Spacing

SUFFIXES: Final = (".mgz", ".mgh")
LABELS_AS: Final[Mapping[str, str]] = {}
KIND: Final = "MGH file"
HEAD: Final = 284
"""Bytes before the voxels."""
PLACED: Final = slice(28, 30)
"""Those of them that say whether spacing and place of the voxels are known."""
VERSION: Final = 1
"""The only one there is."""
FOOTER: Final = 4
"""Bytes behind the voxels that say the repetition time; texts follow them, which are not read."""


@dataclass(frozen=True)
class MghGeometry(Geometry):
    """Where a file's voxels lie, as FreeSurfer says it.

    Attributes
    ----------
    affine
        Matrix from voxel to world (mm, RAS); None where the file says that it knows none.

    Examples
    --------
    >>> MghGeometry(np.diag([1.0, 2, 5, 1])).write_labels(Path("a.mgz"), np.ones((3, 7, 5), np.uint8))
    >>> read(Path("a.mgz")).spacing
    (5.0, 2.0, 1.0)
    """

    affine: Float[np.ndarray, "4 4"] | None

    @property
    def placed(self) -> bool:
        """Whether the file says where it lies in the patient."""
        return self.affine is not None

    def write_labels(self, path: Path, labels: UInt8[np.ndarray, "d h w"], classes: Sequence[str] = ()) -> None:  # noqa: ARG002
        """Write an MGH file, packed if its name says so."""
        made: Any = nib.MGHImage  # whose annotation of arrays takes none
        image = made(labels.T, np.eye(4) if self.affine is None else self.affine)
        content = bytearray(image.to_bytes())
        if self.affine is None:
            content[PLACED] = bytes(2)
        packed = path.name.lower().endswith(".mgz")
        with replaced(path) as place:
            place.write_bytes(gzip.compress(content, mtime=0) if packed else content)

    def nifti_header(self) -> "nib.Nifti1Header | None":
        """Return the header of a NIfTI file on the same grid; None where the file knows of none."""
        if self.affine is None:
            return None
        image: Any = nib.Nifti1Image(np.zeros((1, 1, 1), np.uint8), self.affine)
        image.header.set_xyzt_units("mm")
        for form in ("qform", "sform"):
            getattr(image, f"set_{form}")(self.affine, code=1)
        return image.header


def read(path: Path) -> Volume:
    """Read a volume as ``d h w``, which is the file's ``x y z`` transposed.

    A short fourth axis, of up to 4, is taken as channels, unless the file has a repetition time: then it is time.

    Raises
    ------
    InputError
        If the file is missing, damaged, larger than is taken, or has a fourth axis that is or could be time, or its
        axes are not at right angles.

    Examples
    --------
    >>> nib.save(nib.MGHImage(np.zeros((5, 7, 3), np.float32), np.diag([0.9, 0.7, 5, 1])), "brain.mgz")
    >>> volume = read(Path("brain.mgz"))
    >>> volume.array.shape, [round(length, 3) for length in volume.spacing], volume.geometry.placed
    ((3, 7, 5), [5.0, 0.7, 0.9], True)
    """
    with _opened(path) as (stream, told):
        shape = _shape(path, told)
        stored = np.empty(shape[::-1], told.get_data_dtype())
        with reading(path, KIND):
            fill(path, stream, stored, KIND)
            behind = stream.read(BEHIND + 1)  # this checks the checksum of a packed file, too
    if len(behind) > BEHIND:
        raise LargeError(f"{path}: not a readable {KIND} (holds more than its header declares)")
    voxels, count = stored.astype(stored.dtype.newbyteorder("="), copy=False), shape[3]
    repeats = float(np.frombuffer(behind[:FOOTER], ">f4")[0]) if len(behind) >= FOOTER else 0.0
    if count > 1 and repeats != 0:
        raise InputError(
            f"{path}: has {count} frames, which are times: the repetition time is {repeats:g} ms; allowed are "
            "channels. Save each frame as a file"
        )
    spacing, affine = _grid(path, told)
    place = MghGeometry(affine)
    if count == 1:
        return Volume(voxels[0], spacing, affine, place)
    return Volume(voxels[0], spacing, affine, place, channels=voxels, notes=(several_told(count),))


def read_labels(path: Path) -> Volume:
    """Read class codes ``d h w``; raises as `read`, and if the file has several frames.

    Examples
    --------
    >>> nib.save(nib.MGHImage(np.eye(4, dtype=np.uint8)[..., None], np.eye(4)), "labels.mgz")
    >>> read_labels(Path("labels.mgz")).array[0, 0].tolist()
    [1, 0, 0, 0]
    """
    volume = read(path)
    if volume.channels is not None:
        raise InputError(f"{path}: labels have {len(volume.channels)} frames, allowed is one of class codes")
    return volume


def channels(path: Path) -> int:
    """Return the number of channels: the number of frames; raises as `peek`.

    Examples
    --------
    >>> nib.save(nib.MGHImage(np.zeros((5, 7, 3, 2), np.float32), np.eye(4)), "two.mgz")
    >>> channels(Path("two.mgz"))
    2
    """
    with _opened(path) as (_, told):
        return _shape(path, told)[3]


def peek(path: Path) -> tuple[tuple[int, int, int], Spacing | None]:
    """Return shape and spacing (mm) along d, h, w, from the header alone.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing, or too short for what its header declares.

    Examples
    --------
    >>> nib.save(nib.MGHImage(np.zeros((5, 7, 3), np.uint8), np.diag([1, 2, 5, 1])), "brain.mgh")
    >>> peek(Path("brain.mgh"))
    ((3, 7, 5), (5.0, 2.0, 1.0))
    """
    with _opened(path) as (_, told):
        w, h, d, _ = _shape(path, told)
        return (d, h, w), _grid(path, told)[0]


def header(path: Path) -> Header:
    """Return shape, spacing and, where the file says where it lies, the affine; raises as `peek`.

    Examples
    --------
    >>> nib.save(nib.MGHImage(np.zeros((5, 7, 3), np.uint8), np.diag([1, 2, 5, 1])), "brain.mgz")
    >>> header(Path("brain.mgz")).across(0)
    'inferior-superior'
    """
    with _opened(path) as (_, told):
        w, h, d, _ = _shape(path, told)
        spacing, affine = _grid(path, told)
        return Header((d, h, w), spacing, affine)


def declared(path: Path) -> Declared:
    """Return what the header declares: shape ``x y z frames``, and bytes of a value.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing.

    Examples
    --------
    >>> nib.save(nib.MGHImage(np.zeros((5, 7, 3), np.int16), np.eye(4)), "brain.mgz")
    >>> declared(Path("brain.mgz"))
    Declared(shape=(5, 7, 3, 1), itemsize=2)
    """
    with _opened(path) as (_, told):
        return _declared(path, told)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Give a stream of the file's unpacked content, at its voxels, and the header."""
    with nifti.opened(path, KIND) as stream:
        with reading(path, KIND):
            head = stream.read(HEAD)
            told: Any = MGHHeader(head, check=False) if len(head) == HEAD else None
            if told is not None:
                told["goodRASFlag"] = int.from_bytes(head[PLACED], "big", signed=True)  # nibabel sets it
        if told is None or int(told["version"]) != VERSION:
            raise InputError(f"{path}: not a readable {KIND} (it has no such header)")
        size, taken, packed = path.stat().st_size, _declared(path, told), nifti.packed(path)
        check_size(path, taken, KIND, held=size if packed else size - HEAD, ratio=DEFLATED if packed else 1.0)
        yield stream, told


def _declared(path: Path, told: Any) -> Declared:  # noqa: ANN401
    with reading(path, KIND, wrong=f"voxels are of type {int(told['type'])}, allowed are FreeSurfer's 0, 1, 3 and 4"):
        itemsize = told.get_data_dtype().itemsize
    return check_size(path, Declared(tuple(map(int, told["dims"])), itemsize), KIND)


def _shape(path: Path, told: Any) -> tuple[int, int, int, int]:  # noqa: ANN401
    w, h, d, count = _declared(path, told).shape
    if count > MOST_CHANNELS:
        allowed = f"allowed are up to {MOST_CHANNELS} channels, as more could be times"
        raise InputError(f"{path}: has {count} frames, {allowed}; save each frame as a file")
    return w, h, d, count


def _grid(path: Path, told: Any) -> tuple[Spacing | None, Float[np.ndarray, "4 4"] | None]:  # noqa: ANN401
    """Return spacing (mm) along d, h, w, and the affine (mm, RAS); None where the header says that it has none."""
    if int(told["goodRASFlag"]) < 1:
        return None, None
    w, h, d = (float(length) for length in told["delta"])
    check_spacing(path, (d, h, w), "delta")
    with reading(path, KIND, wrong="Mdc, Pxyz_c are no grid", advice="; save it again"):
        affine = np.asarray(told.get_affine(), dtype=np.float64)
    if not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
        raise InputError(f"{path}: Mdc, Pxyz_c are no grid (not of finite numbers with a size); save it again")
    if angle := tilt(affine):
        raise InputError(f"{path}: axes are {angle:.1f}° from right angles (tilt), allowed is none; resample it")
    return (d, h, w), affine
