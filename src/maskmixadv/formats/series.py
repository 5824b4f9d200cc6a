"""A DICOM series as a volume, sorted by where its slices lie; pydicom comes with the extra ``dicom``."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv.errors import InputError
from maskmixadv.formats import seg
from maskmixadv.formats.reading import DEFLATED, Declared, check_size, existing, in_one_line, reading
from maskmixadv.formats.slicing import Header
from maskmixadv.formats.volume import Geometry, Volume
from maskmixadv.optional import needed
from maskmixadv.types import Spacing

SUFFIXES: Final[tuple[str, ...]] = ()
"""A series is a folder, whose name says nothing."""
LABELS_AS: Final[Mapping[str, str]] = {"": ".dcm"}
"""Labels of a series are one file, a DICOM segmentation."""
UNEVEN: Final = 0.02
"""By which part of the largest distance between slices the distances may differ."""
TURNED: Final = 1e-3
"""How much a direction's cosines may differ between slices."""

SKEW: Final = 1e-2
"""How much the lengths of the two directions, and the cosine between them, may differ from 1 and 0."""
KIND: Final = "DICOM file"
SHOWN: Final = 5
"""Files that a line names at most."""
GRID: Final = {"PixelSpacing": 2, "ImageOrientationPatient": 6, "Rows": 1, "Columns": 1}
"""Attributes that are equal in all slices of a volume, with their number of values."""
FIRST: Final = (b"\x02\0\0\0", b"\x02\0\x01\0", b"\x08\0\0\0", b"\x08\0\x05\0", b"\x08\0\x08\0")
"""First elements of files that lack DICOM's sign."""
VR: Final = (b"UL", b"OB", b"CS")
DEFLATED_SYNTAX: Final = b"1.2.840.10008.1.2.1.99"
MOST_DEFLATED: Final = 2**30
"""Bytes that a deflated file may unpack to."""


class Scan(NamedTuple):
    """DICOM files by what they hold.

    Attributes
    ----------
    series
        Files of each image series, by its SeriesInstanceUID.
    segmentations
        Files of segmentations (SEG).
    others
        Files without a position, such as reports.

    Examples
    --------
    >>> scan([Path("missing")])
    Scan(series={}, segmentations=[], others=[])
    """

    series: dict[str, list[Path]]
    segmentations: list[Path]
    others: list[Path]


@dataclass(frozen=True)
class SeriesGeometry(Geometry):
    """Where the slices of a series lie, as DICOM says it.

    Attributes
    ----------
    headers
        The slices' headers (pydicom datasets without pixels), in the volume's order.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> SeriesGeometry((Dataset(), Dataset())).placed
    True
    """

    headers: tuple[Any, ...]

    def write_labels(self, path: Path, labels: UInt8[np.ndarray, "d h w"], classes: Sequence[str] = ()) -> None:
        """Write a DICOM segmentation, whose segments `classes` name."""
        seg.write(path, labels, self.headers, classes)


class Slice(NamedTuple):
    """One file of a series.

    Attributes
    ----------
    path, header
        The file and its header, a pydicom dataset without pixels.
    place
        How far it lies along the slices' normal, in mm.
    position
        Where its first pixel lies, in mm (LPS).

    Examples
    --------
    >>> from pydicom import Dataset
    >>> Slice(Path("1.dcm"), Dataset(), 12.5, np.array([0.0, 0.0, 12.5])).place
    12.5
    """

    path: Path
    header: Any
    place: float
    position: Float[np.ndarray, "3"]


class SlicePlane(NamedTuple):
    """The grid of a slice, as its header says it.

    Attributes
    ----------
    shape
        Rows and columns.
    between
        Millimetres between rows, and between columns.
    along_row, along_column
        Unit vectors (LPS) along a row and along a column.

    Examples
    --------
    >>> plane = SlicePlane((256, 216), np.array([1.4, 1.4]), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))
    >>> np.cross(plane.along_row, plane.along_column)  # the slices' normal
    array([0., 0., 1.])
    """

    shape: tuple[int, int]
    between: Float[np.ndarray, "2"]
    along_row: Float[np.ndarray, "3"]
    along_column: Float[np.ndarray, "3"]


def holds_dicom(folder: Path) -> bool:
    """Whether a file in `folder` begins as DICOM files do.

    Examples
    --------
    >>> Path("slice.dcm").write_bytes(bytes(128) + b"DICM")
    132
    >>> holds_dicom(Path())
    True
    """
    return folder.is_dir() and any(_is_dicom(path) for path in folder.iterdir() if path.is_file())


def scan(paths: Iterable[Path]) -> Scan:
    """Sort DICOM files by series; files of other kinds are passed over.

    An image without a position belongs to its series if others of the series have one, as it may be a slice.

    Raises
    ------
    InputError
        If pydicom is missing, or a file is damaged.

    Examples
    --------
    >>> Path("notes.txt").touch()
    >>> scan(Path().iterdir()).series
    {}
    """
    series: dict[str, list[Path]] = defaultdict(list)
    loose: dict[str, list[Path]] = defaultdict(list)
    segmentations = []
    for path in sorted(paths):
        if not path.is_file() or not _is_dicom(path):
            continue
        header = _header(path)
        if text(path, header, "Modality") == "SEG":
            segmentations.append(path)
            continue
        placed = "ImagePositionPatient" in header or "SharedFunctionalGroupsSequence" in header
        uid = text(path, header, "SeriesInstanceUID")
        if placed and not uid:
            raise InputError(f"{path}: lacks SeriesInstanceUID, which says what it is a slice of; export it again")
        (series if placed else loose)[uid].append(path)
    for uid, found in series.items():
        found += loose.pop(uid, ())
    return Scan(dict(series), segmentations, [path for found in loose.values() for path in found])


def tell(found: Scan, where: Path) -> None:
    """Print a line on stderr that names the DICOM files which are passed over, as they are no slices.

    Parameters
    ----------
    found
        What `scan` returned.
    where
        Folder that was scanned, for the line's beginning.

    Examples
    --------
    >>> tell(Scan({}, [], []), Path("study"))  # nothing to tell
    """
    if found.others:
        shown = ", ".join(path.name for path in found.others[:SHOWN]) + (", …" if len(found.others) > SHOWN else "")
        print(f"{where}: {len(found.others)} DICOM files without a position are passed over: {shown}", file=sys.stderr)


def read(folder: Path) -> Volume:
    """Read the one series whose files lie in `folder`, as `volume` does.

    Raises
    ------
    InputError
        If there is none or more than one, or `volume` can't read it.

    Examples
    --------
    >>> Path("empty").mkdir()
    >>> read(Path("empty"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: empty: holds 0 DICOM image series, allowed is one a folder; sort them apart
    """
    return volume(_only(folder))


def read_labels(folder: Path) -> Volume:
    """Read class codes that are stored as an image series; raises as `read`.

    Segmentations (SEG) are read by `maskmixadv.formats.seg.read`.

    Examples
    --------
    >>> Path("empty").mkdir()
    >>> read_labels(Path("empty"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: empty: holds 0 DICOM image series, allowed is one a folder; sort them apart
    """
    return read(folder)


def peek(folder: Path) -> tuple[tuple[int, int, int], Spacing]:
    """Return shape and spacing (mm) along d, h, w, without reading voxels.

    Raises
    ------
    InputError
        If `read` would for a header.

    Examples
    --------
    >>> Path("empty").mkdir()
    >>> peek(Path("empty"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: empty: holds 0 DICOM image series, allowed is one a folder; sort them apart
    """
    slices, plane = _ordered(_only(folder))
    return (len(slices), *plane.shape), _grid(slices, plane)[0]


def header(folder: Path) -> Header:
    """Return shape, spacing and affine; raises as `peek`.

    Examples
    --------
    >>> Path("empty").mkdir()
    >>> header(Path("empty"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: empty: holds 0 DICOM image series, allowed is one a folder; sort them apart
    """
    slices, plane = _ordered(_only(folder))
    return Header((len(slices), *plane.shape), *_grid(slices, plane))


def declared(folder: Path) -> Declared:
    """Refuse `folder`: no single file declares what a series holds.

    Raises
    ------
    InputError
        Always.

    Examples
    --------
    >>> Path("series").mkdir()
    >>> declared(Path("series"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: series: no such file
    """
    raise InputError(f"{existing(folder)}: is one file, a DICOM series is a folder")


def volume(paths: Sequence[Path]) -> Volume:
    """Read a series of single slices as a volume ``d h w``, the lowest along their normal first.

    Intensities are float32, after the rescaling that each slice's header asks for.

    Parameters
    ----------
    paths
        The series' files, in any order.

    Raises
    ------
    InputError
        If slices are missing, double, of several grids, in colour, multi-frame, or can't be read.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> from pydicom.dataset import FileMetaDataset
    >>> from pydicom.uid import ExplicitVRLittleEndian, generate_uid
    >>> slice_ = Dataset()
    >>> slice_.file_meta = FileMetaDataset()
    >>> slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    >>> slice_.Rows, slice_.Columns, slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 2, 3, 1, "MONOCHROME2"
    >>> slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 0
    >>> slice_.PixelSpacing, slice_.ImageOrientationPatient = [0.5, 0.5], [1, 0, 0, 0, 1, 0]
    >>> slice_.RescaleSlope, slice_.RescaleIntercept = 1, -1024
    >>> for number in (2, 0, 1):
    ...     slice_.ImagePositionPatient = [0, 0, 5 * number]
    ...     slice_.PixelData = np.full((2, 3), 1000 * number, np.uint16).tobytes()
    ...     slice_.save_as(f"{number}.dcm", enforce_file_format=False)
    >>> series = volume(list(Path().glob("*.dcm")))
    >>> series.array[:, 0, 0], series.spacing
    (array([-1024.,   -24.,   976.], dtype=float32), (5.0, 0.5, 0.5))
    """
    slices, plane = _ordered(paths)
    spacing, affine = _grid(slices, plane)
    check_size(slices[0].path.parent, Declared((len(slices), *plane.shape), 4), "DICOM series")
    array = np.stack([_pixels(each, plane.shape) for each in slices])
    return Volume(array, spacing, affine, SeriesGeometry(tuple(each.header for each in slices)))


def patient(path: Path) -> str:
    """Return the PatientID of a file; empty if it has none.

    Raises
    ------
    InputError
        If the file can't be read.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> slice_ = Dataset()
    >>> slice_.PatientID = "P7"
    >>> slice_.save_as("a.dcm", implicit_vr=True, little_endian=True)
    >>> patient(Path("a.dcm"))
    'P7'
    """
    return text(path, _header(path), "PatientID")


def pydicom(where: Path) -> Any:  # noqa: ANN401
    """Import pydicom.

    Parameters
    ----------
    where
        File that needs it, for the error's text.

    Raises
    ------
    InputError
        If it is not installed.

    Examples
    --------
    >>> pydicom(Path("a.dcm")).__name__
    'pydicom'
    """
    return needed("pydicom", extra="dicom", what=f"{where}: DICOM")


def text(path: Path, header: Any, name: str) -> str:  # noqa: ANN401
    """Return what a header says under `name`, in one line; empty if it says nothing.

    Parameters
    ----------
    path
        The header's file, for the error's text.
    header
        A pydicom dataset.
    name
        DICOM's keyword of the attribute, such as ``PatientID``.

    Raises
    ------
    InputError
        If the attribute can't be decoded.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> header = Dataset()
    >>> header.Modality = "MR"
    >>> text(Path("a.dcm"), header, "Modality"), text(Path("a.dcm"), header, "PatientID")
    ('MR', '')
    """
    with reading(path, KIND):
        value = header.get(name)
        return "" if value is None else " ".join(str(value).split())


def _is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's sign, or begins at once with an element of one of the groups that come first."""
    with reading(path, KIND), path.open("rb") as file:
        head = file.read(132)
    if head[128:] == b"DICM":
        return True
    named, length = head[4:6], int.from_bytes(head[4:8], "little")
    plausible = named in VR or (length % 2 == 0 and length < len(head))
    return head[:4] in FIRST and plausible


def _header(path: Path, *, pixels: bool = False) -> Any:  # noqa: ANN401
    library = pydicom(path)
    with reading(path, KIND):
        _must_be_small(path)
        return library.dcmread(path, stop_before_pixels=not pixels, force=True)


def _must_be_small(path: Path) -> None:
    """Refuse a large deflated file: it is unpacked as a whole before its header can be read."""
    with path.open("rb") as file:
        deflated = DEFLATED_SYNTAX in file.read(2**12)
    if deflated and path.stat().st_size * DEFLATED > MOST_DEFLATED:
        raise InputError(f"{path}: is deflated and may unpack to more than {MOST_DEFLATED} bytes; export it otherwise")


def _only(folder: Path) -> list[Path]:
    found = scan(folder.iterdir())
    if len(found.series) != 1:
        raise InputError(
            f"{folder}: holds {len(found.series)} DICOM image series, allowed is one a folder; sort them apart"
        )
    tell(found, folder)
    return next(iter(found.series.values()))


def _ordered(paths: Sequence[Path]) -> tuple[list[Slice], SlicePlane]:
    """Sort slices by their place along the normal of the first one, once they are seen to have one grid."""
    headers = [(path, _header(path)) for path in paths]
    for path, header in headers:
        _must_be_plain(path, header)
        for name, count in GRID.items():
            mine, others = _numbers(path, header, name, count), _numbers(paths[0], headers[0][1], name, count)
            if not np.allclose(mine, others, atol=TURNED):
                here, there = f"{name} is {mine.tolist()}", f"{others.tolist()} in {paths[0]}"
                raise InputError(f"{path}: {here}, but {there}; split the series")
    plane = _plane(*headers[0])
    normal = np.cross(plane.along_row, plane.along_column)
    positions = [_numbers(path, header, "ImagePositionPatient", 3) for path, header in headers]
    placed = [Slice(*each, float(normal @ at), at) for each, at in zip(headers, positions, strict=True)]
    return sorted(placed, key=lambda each: each.place), plane


def _must_be_plain(path: Path, header: Any) -> None:  # noqa: ANN401
    if int(_number(path, header, "NumberOfFrames", 1.0)) > 1 or "SharedFunctionalGroupsSequence" in header:
        raise InputError(f"{path}: is a multi-frame file, allowed is one slice a file; convert it to classic DICOM")
    missing = [name for name in (*GRID, "ImagePositionPatient") if name not in header]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}, which a slice of a volume has; export it again")
    if (samples := int(_number(path, header, "SamplesPerPixel", 1.0))) != 1:
        raise InputError(f"{path}: has {samples} samples a pixel, allowed is one; export it in grey")


def _plane(path: Path, header: Any) -> SlicePlane:  # noqa: ANN401
    (rows,), (columns,) = (_numbers(path, header, name, 1) for name in ("Rows", "Columns"))
    between = _numbers(path, header, "PixelSpacing", 2)
    along = _numbers(path, header, "ImageOrientationPatient", 6).reshape(2, 3)
    if between.min() <= 0 or rows < 1 or columns < 1:
        raise InputError(f"{path}: {rows:g} × {columns:g} pixels, {between.tolist()} mm apart; allowed is above 0")
    if not np.allclose(along @ along.T, np.eye(2), atol=SKEW):
        raise InputError(f"{path}: ImageOrientationPatient is {along.ravel().tolist()}, allowed are two unit vectors")
    return SlicePlane((int(rows), int(columns)), between, along[0], along[1])


def _numbers(path: Path, header: Any, name: str, count: int) -> Float[np.ndarray, "_"]:  # noqa: ANN401
    """Return the numbers under `name` in a header.

    Raises
    ------
    InputError
        If they are not `count` finite numbers.
    """
    with reading(path, KIND):
        value = header[name].value if name in header else None
    try:
        numbers = np.array(value, float).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        numbers = np.empty(0)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError(f"{path}: {name} is {in_one_line(repr(value))}, needed are {count} numbers; export it again")
    return numbers


def _number(path: Path, header: Any, name: str, otherwise: float) -> float:  # noqa: ANN401
    """Return one number of a header, or `otherwise` if it lacks `name`."""
    return float(_numbers(path, header, name, 1)[0]) if name in header else otherwise


def _grid(slices: Sequence[Slice], plane: SlicePlane) -> tuple[Spacing, Float[np.ndarray, "4 4"]]:
    """Return spacing and affine (RAS) of slices in order.

    DICOM's patient axes are LPS; its PixelSpacing is between rows, then between columns.
    """
    between_rows, between_columns = map(float, plane.between)
    step = _step(slices, np.cross(plane.along_row, plane.along_column))
    columns = [plane.along_row * between_columns, plane.along_column * between_rows, step, slices[0].position]
    affine = np.eye(4)
    affine[:3] = np.column_stack(columns)
    affine[:2] *= -1
    return (float(np.linalg.norm(step)), between_rows, between_columns), affine


def _step(slices: Sequence[Slice], normal: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return the vector from each slice to the next, in mm (LPS)."""
    if len(slices) == 1:
        return normal * _thickness(slices[0])
    gaps = np.diff([each.place for each in slices])
    if gaps.min() <= UNEVEN * gaps.max():
        at = int(gaps.argmin())
        raise InputError(f"{slices[at].path}: lies where {slices[at + 1].path} does; sort phases or echoes apart")
    if np.ptp(gaps) > UNEVEN * gaps.max():
        at = int(gaps.argmax())
        found = f"the next slice is {gaps[at]:.4g} mm away, others {gaps.min():.4g} mm"
        raise InputError(f"{slices[at].path}: {found}; add what is missing")
    step = (slices[-1].position - slices[0].position) / (len(slices) - 1)
    for number, each in enumerate(slices):
        apart = np.linalg.norm(slices[0].position + number * step - each.position)
        if apart > UNEVEN * np.linalg.norm(step):
            raise InputError(f"{each.path}: lies {apart:.3g} mm beside the line through the others; split the series")
    return step


def _thickness(only: Slice) -> float:
    """Return the thickness of a single slice in mm; 1 if its header does not say."""
    for name in ("SpacingBetweenSlices", "SliceThickness"):
        if text(only.path, only.header, name):
            thickness = _number(only.path, only.header, name, 1.0)
            if thickness > 0:
                return thickness
    return 1.0


def _pixels(each: Slice, shape: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    whole = _header(each.path, pixels=True)
    # The most frequent reason is a compression for which no library is installed.
    with reading(each.path, KIND, wrong="pixels can't be read", advice="; export it uncompressed"):
        stored = np.asarray(whole.pixel_array)
    if stored.shape != shape or stored.dtype.kind not in "iuf":
        raise InputError(f"{each.path}: pixels have shape {stored.shape}, its header says {shape}; export it again")
    slope, intercept = (
        _number(each.path, whole, f"Rescale{name}", value) for name, value in (("Slope", 1.0), ("Intercept", 0.0))
    )
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
