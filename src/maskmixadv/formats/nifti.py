"""NIfTI files. Arrays are ``d h w``, which is the file's ``x y z`` transposed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from jaxtyping import Float, Shaped, UInt8
from nibabel.arrayproxy import ArrayProxy

from maskmixadv.errors import InputError, say
from maskmixadv.files import lower_case, replaced
from maskmixadv.formats.details import nifti_fields
from maskmixadv.formats.details.nifti_fields import in_colour
from maskmixadv.formats.details.nifti_forms import placed_header
from maskmixadv.formats.flat import colours, grey, uncoloured
from maskmixadv.formats.reading import CHUNK, DEFLATED, SPLIT, Declared, LargeError, check_size, existing, fill, reading
from maskmixadv.formats.slicing import Header
from maskmixadv.formats.volume import MOST_CHANNELS, Geometry, Volume, check_spacing, differ, several_told, tilt
from maskmixadv.types import Spacing

SUFFIXES: Final = (".nii.gz", ".nii")
LABELS_AS: Final[Mapping[str, str]] = {}
GEOMETRY: Final = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
"""Fields of a header that say where its voxels lie, beside the first four of ``pixdim``."""
KIND: Final = "NIfTI file"
RESIZED: Final = 0.01
"""By which part ``pixdim`` may differ from the sform before the sform counts."""
SIZES: Final = (348, 540)
"""Bytes of NIfTI-1's header and of NIfTI-2's."""
UNITS: Final = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres of the header's unit of length, by its code: not said (taken as mm), metre, mm, micrometre."""
UNIT_NAMES: Final = {0: "not said", 1: "meter", 2: "mm", 3: "micron"}
"""Their names."""
PACKED: Final = b"\x1f\x8b"
"""First bytes of a packed file."""
UNSCALED: Final = ((None, None), (1, 0))
"""Slopes and intercepts that leave values as they are."""
MOST_HEADER: Final = 2**24
"""Bytes before the voxels: a header and its extensions."""
BEHIND: Final = 2**20
"""Bytes that a packed file may hold behind its voxels."""
SPARE: Final = 2
"""Bytes behind the voxels that mean nothing."""


def _gunzip() -> Any:  # noqa: ANN401
    try:
        return import_module("isal.igzip")
    except ImportError:
        return import_module("gzip")


GUNZIP: Final[Any] = _gunzip()
"""What unpacks files: isal, of the extra ``fast``, takes a third of the time."""

_Affine = Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class NiftiGeometry(Geometry):
    """Where a file's voxels lie, as NIfTI says it.

    Attributes
    ----------
    header
        The file's header, of either version.
    forms
        Matrices from voxel to world (mm, RAS) by a form of the header that differs from the one that is used.

    Examples
    --------
    >>> NiftiGeometry(nib.Nifti1Header()).placed  # neither qform nor sform is set
    False
    """

    header: nib.Nifti1Header
    forms: Mapping[str, Float[np.ndarray, "4 4"]] = field(default_factory=dict)

    @property
    def placed(self) -> bool:
        """Whether the header has a qform or an sform; without one its affine says nothing of the patient."""
        header: Any = self.header
        return any(header[key] > 0 for key in ("qform_code", "sform_code"))

    def write_labels(self, path: Path, labels: UInt8[np.ndarray, "d h w"], classes: Sequence[str] = ()) -> None:  # noqa: ARG002
        """Write a NIfTI file of the same version and shape, with the same two forms."""
        shape = tuple(map(int, self.header.get_data_shape()))
        if math.prod(shape) != labels.size:
            shape = labels.T.shape
        header = labels_header(self.header, shape)
        with replaced(path) as place, lower_case(place) as low:
            # Without an affine, nibabel leaves the header's forms as they are.
            nib.save(nib.Nifti1Image(labels.T.reshape(shape), None, header), low)

    def other_affines(self) -> Mapping[str, Float[np.ndarray, "4 4"]]:
        """Return those of the form that is not used, by its name, ``sform`` or ``qform``."""
        return self.forms

    def nifti_header(self) -> nib.Nifti1Header:
        """Return the file's header."""
        return self.header


def read(path: Path) -> Volume:
    """Read a volume as ``d h w``, which is the file's ``x y z`` transposed.

    A short fourth axis, of up to 4, is taken as channels unless the header says that it is time; also then where
    `channels_named <maskmixadv.formats.details.nifti_fields.channels_named>` is as many. Voxels of datatype
    RGB24 and RGBA32 are red, green and blue, and an opacity that is left out; `array` shows them as grey.

    Raises
    ------
    InputError
        If the file is missing, damaged, larger than is taken, or has a fourth axis that is or could be time, or its
        header has no grid of finite size.

    Examples
    --------
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3)), np.diag([0.9, 0.7, 5, 1])), "heart.nii.gz")
    >>> volume = read(Path("heart.nii.gz"))
    >>> volume.array.shape, volume.spacing, volume.geometry.placed
    ((3, 7, 5), (5.0, 0.7, 0.9), True)
    """
    with opened(path, KIND) as stream:
        header = _header(path, stream)
        shape, count = _fitting(path, header), _channels(path, header)
        array = _voxels(path, stream, header).reshape(shape if count == 1 else (*shape, count))
    spacing, affine, others = _grid(path, header)
    place = NiftiGeometry(header, others)
    notes = tuple(_unused(_forms(path, header)))
    if in_colour(header):
        pixels = np.stack([array.T[name] for name in array.dtype.names or ()], -1)
        (made, coloured), opaque = grey(pixels), pixels.shape[-1] == 3
        told = () if opaque else ("opacity (alpha) is left out",)
        return Volume(made, spacing, affine, place, coloured, colours(pixels), colours=True, notes=(*told, *notes))
    if count == 1:
        return Volume(array.T, spacing, affine, place, notes=notes)
    told = several_told(count)
    if time := nifti_fields.time(header, tuple(map(int, header.get_data_shape()))):
        told += f", as {nifti_fields.DATASET} names them; by {time} it would be time"
    return Volume(array.T[0], spacing, affine, place, channels=array.T, notes=(told, *notes))


def read_volumes(path: Path) -> tuple[Volume, str]:
    """Read all volumes of a file as channels, also where they are times, and say what the header has of times.

    Raises
    ------
    InputError
        As `read`, but not for a long fourth axis or one that is time.

    Examples
    --------
    >>> film = nib.Nifti1Image(np.zeros((5, 7, 3, 30), np.int16), np.eye(4))
    >>> film.header.set_xyzt_units("mm", "msec")
    >>> film.header["pixdim"][4] = 33
    >>> nib.save(film, "cine.nii.gz")
    >>> volume, told = read_volumes(Path("cine.nii.gz"))
    >>> volume.channels.shape, told
    ((30, 3, 7, 5), 'pixdim[4] is 33, and xyzt_units says milliseconds')
    """
    with opened(path, KIND) as stream:
        header = _header(path, stream)
        shape = _stored(path, header)
        space, count = _axes(shape, most=math.prod(shape))
        if space is None or in_colour(header):
            has = "voxels in colour" if in_colour(header) else f"{len(shape)} axes {shape}"
            raise InputError(f"{path}: has {has}, allowed are volumes along a fourth one")
        array = _voxels(path, stream, header).reshape((*space, count))
    told = nifti_fields.time(header, shape)
    header = header.copy()
    header.set_data_shape(space)
    spacing, affine, others = _grid(path, header)
    place = NiftiGeometry(header, others)
    return Volume(array[..., 0].T, spacing, affine, place, channels=array.T if count > 1 else None), told


def read_slice(path: Path, index: int) -> Shaped[np.ndarray, "h w"] | None:
    """Read the slice ``array[index]`` of what `read` returns, and nothing that lies behind it in the file.

    Parameters
    ----------
    path
        The file.
    index
        Place of the slice along the file's last axis.

    Returns
    -------
    None if the file has another number of axes than 3, voxels in colour, or no such slice.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing or too short.

    Examples
    --------
    >>> nib.save(nib.Nifti1Image(np.arange(30).reshape(5, 2, 3).astype(np.int16), np.eye(4)), "heart.nii.gz")
    >>> read_slice(Path("heart.nii.gz"), 1).tolist() == read(Path("heart.nii.gz")).array[1].tolist()
    True
    """
    with opened(path, KIND) as stream:
        header = _header(path, stream)
        w, h, d = _fitting(path, header)
        if tuple(header.get_data_shape()) != (w, h, d) or not 0 <= index < d or in_colour(header):
            return None
        with reading(path, KIND):
            if packed(path):
                _skip(stream, header, index * w * h * header.get_data_dtype().itemsize)
            return np.asanyarray(ArrayProxy(stream, header)[..., index]).T


def _voxels(path: Path, stream: Any, header: Any) -> Shaped[np.ndarray, "..."]:  # noqa: ANN401
    """Read all voxels ``x y z …``; a packed file holds not much more, and its checksum is right."""
    nifti_fields.tell_of_scaling(path, header)
    header = nifti_fields.uncalibrated(header)
    with reading(path, KIND):
        if packed(path):
            voxels = _unpacked(path, stream, header)
            behind = len(stream.read(BEHIND + 1))  # this checks the checksum, too
        else:
            voxels = np.asanyarray(ArrayProxy(stream, header))
            needed = math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize
            behind = path.stat().st_size - header.get_data_offset() - needed
    if packed(path) and behind > BEHIND:
        raise LargeError(f"{path}: not a readable {KIND} (holds more than its header declares)")
    if behind > SPARE:
        said = f"{behind:,} bytes follow the voxels that it declares, and are left out"
        say(f"{path}: {said}; look whether dim and datatype are right")
    return voxels


def _unpacked(path: Path, stream: Any, header: Any) -> Shaped[np.ndarray, "..."]:  # noqa: ANN401
    """Read the voxels of a packed file; without a copy where the header asks for no scaling."""
    if header.get_slope_inter() not in UNSCALED:
        return np.asanyarray(ArrayProxy(stream, header))
    voxels = np.empty(header.get_data_shape()[::-1], header.get_data_dtype())
    _skip(stream, header, 0)
    fill(path, stream, voxels, KIND)
    return voxels.T


def _skip(stream: Any, header: Any, count: int) -> None:  # noqa: ANN401
    """Go past the first `count` bytes of a packed file's voxels, in larger pieces than `seek` takes."""
    stream.seek(header.get_data_offset())  # a few bytes back
    while count and (part := stream.read(min(count, CHUNK))):
        count -= len(part)


def read_labels(path: Path) -> Volume:
    """Read class codes ``d h w``; raises as `read`.

    Examples
    --------
    >>> nib.save(nib.Nifti1Image(np.eye(4, dtype=np.uint8)[..., None], np.eye(4)), "labels.nii.gz")
    >>> read_labels(Path("labels.nii.gz")).array[0, 0].tolist()
    [1, 0, 0, 0]
    """
    return uncoloured(path, _read_alone(path, "labels have", "of class codes"))


def read_grey(path: Path) -> Volume:
    """Read an image ``d h w`` where only one of a single channel will do.

    Raises
    ------
    InputError
        As `read`, and if the file has several volumes.

    Examples
    --------
    >>> nib.save(nib.Nifti1Image(np.zeros((8, 8, 3, 2)), np.eye(4)), "two.nii.gz")
    >>> read_grey(Path("two.nii.gz"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: two.nii.gz: the image has 2 volumes (dim[4]), allowed is one; split it first, as ...
    """
    return _read_alone(path, "the image has")


def _read_alone(path: Path, has: str, of: str = "") -> Volume:
    volume = read(path)
    if volume.colours:
        return replace(volume, channels=None, colours=False)
    if volume.channels is not None:
        allowed = f"allowed is one {of}".rstrip()
        raise InputError(
            f"{path}: {has} {len(volume.channels)} volumes (dim[4]), {allowed}; split it first, as {SPLIT} does"
        )
    return volume


def channels(path: Path) -> int:
    """Return the number of channels: the length of a short fourth axis, else 1; raises as `peek`.

    Examples
    --------
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3, 2)), np.eye(4)), "two.nii")
    >>> channels(Path("two.nii"))
    2
    """
    with opened(path, KIND) as stream:
        header = _header(path, stream)
        _fitting(path, header)
        return _channels(path, header)


def may_be_coloured(path: Path) -> bool:
    """Whether a file's voxels are red, green and blue, as its header says; raises as `peek`.

    Examples
    --------
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3)), np.eye(4)), "grey.nii")
    >>> may_be_coloured(Path("grey.nii"))
    False
    """
    with opened(path, KIND) as stream:
        return in_colour(_header(path, stream))


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
    with opened(path, KIND) as stream:
        header = _header(path, stream)
        w, h, d = _fitting(path, header)
        return (d, h, w), _grid(path, header)[0]


def header(path: Path) -> Header:
    """Return shape, spacing and, where a form is set, the affine; raises as `peek`.

    Examples
    --------
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3)), np.diag([0.9, 0.7, 5, 1])), "heart.nii")
    >>> header(Path("heart.nii")).across(0)
    'inferior-superior'
    """
    with opened(path, KIND) as stream:
        told = _header(path, stream)
        w, h, d = _fitting(path, told)
        spacing, affine, _ = _grid(path, told)
        return Header((d, h, w), spacing, affine if NiftiGeometry(told).placed else None)


def forms(path: Path) -> Mapping[str, _Affine]:
    """Return affines by the forms of the header that are not used, where they differ; raises as `peek`.

    Examples
    --------
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3)), np.diag([0.9, 0.7, 5, 1])), "heart.nii")
    >>> forms(Path("heart.nii"))
    {}
    """
    with opened(path, KIND) as stream:
        told = _header(path, stream)
        _fitting(path, told)
        return _grid(path, told)[2]


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
    with opened(path, KIND) as stream:
        return _declared(path, _header(path, stream))


@contextmanager
def opened(path: Path, kind: str) -> Iterator[Any]:
    """Give a stream of the unpacked content of a file that may be packed; `kind` is what it should be, for an error.

    Raises
    ------
    InputError
        If the file is missing, or can't be opened.

    Examples
    --------
    >>> with GUNZIP.open("notes.txt", "wb") as file:
    ...     written = file.write(b"packed")
    >>> with opened(Path("notes.txt"), "text") as stream:
    ...     stream.read()
    b'packed'
    """
    with ExitStack() as streams:
        with reading(path, kind):
            stream: Any = streams.enter_context((GUNZIP.open if packed(existing(path)) else open)(path, "rb"))
        yield stream


def packed(path: Path) -> bool:
    """Whether a file is packed, which its first bytes say; people give such files either name.

    Examples
    --------
    >>> Path("plain.nii.gz").write_bytes(b"plain")
    5
    >>> packed(Path("plain.nii.gz"))
    False
    """
    with path.open("rb") as file:
        return file.read(len(PACKED)) == PACKED


def _header(path: Path, stream: Any) -> Any:  # noqa: ANN401
    """Read the header, with the extensions that lie between it and the voxels; `stream` is near the voxels then."""
    with reading(path, KIND):
        head = stream.read(SIZES[1] + 4)
        kind = _layout(path, head)
        raw = kind(head[: kind.sizeof_hdr], check=False)
        nifti_fields.check(path, raw)
        if raw.get_data_offset() == 0:  # not said: right behind the header, as other programs have it
            raw.set_data_offset(kind.single_vox_offset)
            head = raw.binaryblock + head[kind.sizeof_hdr :]
        offset = raw.get_data_offset()
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
        shape, dtype = header.get_data_shape(), header.get_data_dtype()
        scaled = nifti_fields.uncalibrated(header).get_slope_inter()
    if not in_colour(header) and (dtype.kind not in "biuf" or dtype.itemsize > 8):
        raise InputError(f"{path}: voxels are of type {dtype}, allowed are numbers of up to 8 bytes; save one channel")
    return Declared(tuple(map(int, shape)), 8 if scaled not in UNSCALED else dtype.itemsize)


def _fitting(path: Path, header: Any) -> tuple[int, int, int]:  # noqa: ANN401
    """Return the shape w, h, d, once it is known that the file can hold that many voxels."""
    return _shape(path, _stored(path, header))


def _stored(path: Path, header: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Return the shape along all axes, once it is known that the file can hold that many voxels."""
    taken = _declared(path, header)
    stored = Declared(taken.shape, header.get_data_dtype().itemsize)
    size, whole = path.stat().st_size, not packed(path)
    check_size(path, taken, KIND)
    offset = header.get_data_offset() if whole else 0
    check_size(path, stored, KIND, held=size - offset, ratio=1.0 if whole else DEFLATED)
    return taken.shape


def _shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the shape w, h, d; a single slice may lack the third axis, a single frame may have more axes of 1."""
    space, _ = _axes(shape)
    if space is None:
        more = f", as a fourth one above {MOST_CHANNELS} could be time" if len(shape) == 4 else ""
        allowed = f"allowed is a 3D volume, or up to {MOST_CHANNELS} channels of one"
        raise InputError(f"{path}: has {len(shape)} axes {shape}, {allowed}{more}; split it first, as {SPLIT} does")
    return space


def _axes(shape: tuple[int, ...], most: int = MOST_CHANNELS) -> tuple[tuple[int, int, int] | None, int]:
    """Return the shape w, h, d, None if there is no such, and the number of channels, at most `most`.

    Vectors lie along a fifth axis in NIfTI, and channels in practice along the fourth.
    """
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 5 and shape[3] == 1:
        shape = (*shape[:3], shape[4])
    if len(shape) == 2:
        shape = (*shape, 1)
    count = shape[3] if len(shape) == 4 else 1
    if len(shape) not in (3, 4) or count > most:
        return None, count
    w, h, d = map(int, shape[:3])
    return (w, h, d), count


def _channels(path: Path, header: Any) -> int:  # noqa: ANN401
    """Return the number of channels, if the header does not say that their axis is time, or a file names them."""
    shape = tuple(map(int, header.get_data_shape()))
    count = _axes(shape)[1]
    if count > 1 and in_colour(header):
        raise InputError(f"{path}: has {count} volumes in colour, allowed is one; save each as a file")
    if count > 1 and (told := nifti_fields.time(header, shape)) and nifti_fields.channels_named(path) != count:
        raise InputError(
            f"{path}: has 4 axes {shape}, of which the last could be time: {told}; allowed are channels. Save each "
            f"volume as a file, as {SPLIT} does, as NAME_0000, NAME_0001 if they are channels, "
            "or put the dataset.json that names these beside the image or its folder"
        )
    return count


def _grid(path: Path, header: Any) -> tuple[Spacing, _Affine, dict[str, _Affine]]:  # noqa: ANN401
    """Return spacing (mm) along d, h, w, the affine (mm, RAS), and those of forms that differ from it.

    The affine is nibabel's choice: the sform if it is set, else the qform, else none of the two. A sform with axes that
    are not at right angles, as a registration leaves it, is passed over if there is a qform, as ITK does it.
    """
    unit = UNITS.get(int(header["xyzt_units"]) & 7)
    if unit is None:
        raise InputError(
            f"{path}: xyzt_units {int(header['xyzt_units'])}, allowed are metre, millimetre and micrometre"
        )
    header = header.copy()
    header["pixdim"][1:4] = sizes = _sizes(path, header)  # signs are left out of account
    check_spacing(path, tuple(size * unit for size in sizes), f"pixdim with xyzt_units {_unit_name(header)}")
    forms = {name: _in_mm(form, unit) for name, form in _forms(path, header).items() if form is not None}
    with reading(path, KIND):
        base = {} if forms else {"neither": _in_mm(header.get_base_affine(), unit)}
    name, affine = next(iter((forms | base).items()))
    if (angle := tilt(affine)) and "qform" in forms and not tilt(forms["qform"]):
        name, affine = "qform", forms["qform"]
    elif angle:
        raise InputError(
            f"{path}: {name}: axes are {angle:.1f}° from right angles (tilt), allowed is none; resample it"
        )
    w, h, d = _along(path, name, affine, [size * unit for size in sizes])
    shape = _shape(path, tuple(map(int, header.get_data_shape())))
    return (d, h, w), affine, {each: form for each, form in forms.items() if differ(form, affine, shape)}


def _unit_name(header: Any) -> str:  # noqa: ANN401
    return UNIT_NAMES[int(header["xyzt_units"]) & 7]  # nibabel's would fail at an unknown unit of time


def _sizes(path: Path, header: Any) -> list[float]:  # noqa: ANN401
    """Return ``pixdim`` along x, y, z; along an axis of one voxel it may be missing or 0, and 1 is taken."""
    shape = _shape(path, tuple(map(int, header.get_data_shape())))
    sizes = [abs(float(size)) for size in header["pixdim"][1:4]]
    return [1.0 if length == 1 and not 0 < size < math.inf else size for size, length in zip(sizes, shape, strict=True)]


def _form(path: Path, header: Any, name: str) -> _Affine:  # noqa: ANN401
    """Return a form of the header, which must be of finite numbers."""
    with reading(path, KIND, wrong=f"{name} is no grid", advice="; save it again"):
        affine = np.asarray(getattr(header, f"get_{name}")(), dtype=np.float64)
    if not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
        raise InputError(f"{path}: {name} is no grid (not of finite numbers with a size); save it again")
    return affine


def _forms(path: Path, header: Any) -> dict[str, _Affine | None]:  # noqa: ANN401
    """Return the forms that are set; None for one that is damaged, if the other is not."""
    forms: dict[str, _Affine | None] = {}
    damaged: list[InputError] = []
    for name in ("sform", "qform"):
        if header[f"{name}_code"] > 0:
            try:
                forms[name] = _form(path, header, name)
            except InputError as error:
                forms[name] = None
                damaged.append(error)
    if damaged and not any(form is not None for form in forms.values()):
        raise damaged[0]
    return forms


def _unused(forms: Mapping[str, _Affine | None]) -> Iterator[str]:
    """Yield a line on each form that is set and can't say where the voxels lie, though another one does."""
    for name, form in forms.items():
        if form is None:
            yield f"{name} is damaged, and not used"
        elif len(forms) > 1 and tilt(form):
            yield f"{name} has axes that are not at right angles, and is not used"


def _in_mm(affine: _Affine, unit: float) -> _Affine:
    return affine if unit == 1 else np.diag([unit, unit, unit, 1.0]) @ affine


def _along(path: Path, name: str, affine: _Affine, sizes: list[float]) -> list[float]:
    """Return the spacing along x, y, z: as ``pixdim`` says, or as a sform does that says otherwise."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if name != "sform" or np.allclose(lengths, sizes, rtol=RESIZED):
        return sizes
    check_spacing(path, tuple(lengths.tolist()), "sform")
    return lengths.tolist()


def write_image(path: Path, array: Shaped[np.ndarray, "d h w"], like: Volume) -> None:
    """Write an image as NIfTI on the grid of `like`, of whose header nothing else is kept; raises as `write_labels`.

    Parameters
    ----------
    path
        The file to write, ``.nii`` or ``.nii.gz``; it is replaced if it exists.
    array
        Intensities, of the shape of `like`. Numbers of 8 bytes with a fraction are stored in 4.
    like
        A volume of any format. Without a place in the patient, its voxels start at 0.

    Examples
    --------
    >>> from maskmixadv.formats.flat import NoGeometry
    >>> like = Volume(np.zeros((2, 4, 5)), (8.0, 1.5, 1.5), np.diag([1.5, 1.5, 8.0, 1.0]), NoGeometry())
    >>> write_image(Path("a.nii.gz"), np.full((2, 4, 5), 700, np.int16), like)
    >>> read(Path("a.nii.gz")).array.dtype, read(Path("a.nii.gz")).spacing
    (dtype('<i2'), (8.0, 1.5, 1.5))
    """
    stored = array.astype(np.float32) if array.dtype == np.float64 else array
    header = labels_header(_nifti_header(like), stored.T.shape)
    header.set_data_dtype(stored.dtype)
    with replaced(path) as place, lower_case(place) as low:
        nib.save(nib.Nifti1Image(stored.T, None, header), low)


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
    NiftiGeometry(_nifti_header(like)).write_labels(path, labels)


def _nifti_header(like: Volume) -> nib.Nifti1Header:
    """Return the header of a volume of any format; without a place in the patient, one with voxels of 1 mm."""
    header = like.geometry.nifti_header()
    if header is not None:
        return header
    d, h, w = like.array.shape
    return placed_header(np.eye(4) if like.affine is None else like.affine, (w, h, d))


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
    for name in GEOMETRY:
        header[name] = image[name]
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
