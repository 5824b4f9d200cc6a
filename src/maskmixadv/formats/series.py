"""A DICOM series as a volume, sorted by where its slices lie; pydicom comes with the extra ``dicom``."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import nibabel as nib
import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv.errors import InputError, counted, say
from maskmixadv.formats import dicom_header, dicom_pixels, nifti, seg
from maskmixadv.formats.dicom_header import number, numbers, text
from maskmixadv.formats.reading import Declared, check_size
from maskmixadv.formats.slicing import Header
from maskmixadv.formats.volume import Geometry, Volume
from maskmixadv.types import Spacing

SUFFIXES: Final[tuple[str, ...]] = ()
"""A series is a folder, whose name says nothing."""
LABELS_AS: Final[Mapping[str, str]] = {"": ".dcm"}
"""Labels of a series are one file, a DICOM segmentation."""
ITEMSIZE: Final = 4
"""Bytes of a value in memory."""
UNEVEN: Final = 0.02
"""By which part of the largest distance between slices the distances may differ."""
TURNED: Final = 1e-3
"""How much a direction's cosines may differ between slices."""

SKEW: Final = 1e-2
"""How much the lengths of the two directions, and the cosine between them, may differ from 1 and 0."""
SHOWN: Final = 5
"""Files that a line names at most."""
SHEAR: Final = 1e-2
"""From which tangent on slices are said to be sheared against one another."""
CALLED: Final = (".dcm", ".dicom", ".ima")
"""Suffixes of DICOM files; one with another content is damaged."""
EQUAL: Final = ("Modality", "Units", "PhotometricInterpretation", "FrameOfReferenceUID", "PatientID")
"""Texts that are equal in all slices of a volume."""
MOSAIC: Final = "MOSAIC"
"""ImageType of Siemens' files in which all slices of a volume lie side by side."""
MEASURES: Final = ("RescaleIntercept", "RescaleSlope", "ModalityLUTSequence")
"""What makes Hounsfield units of a CT's stored numbers."""
THICKNESS: Final = ("SpacingBetweenSlices", "SliceThickness")
GRID: Final = {"PixelSpacing": 2, "ImageOrientationPatient": 6, "Rows": 1, "Columns": 1}
"""Attributes that are equal in all slices of a volume, with their number of values."""


class Scan(NamedTuple):
    """Files by what they hold.

    Attributes
    ----------
    series
        Files of each image series, by its SeriesInstanceUID.
    segmentations
        Files of segmentations (SEG).
    others
        DICOM files that are no slices, by their kind, such as ``RTSTRUCT`` or ``SR``; images without a position under
        an empty name.
    foreign
        Files that are no DICOM. Hidden files are not among them.

    Examples
    --------
    >>> scan([Path("missing")])
    Scan(series={}, segmentations=[], others={}, foreign=[])
    """

    series: dict[str, list[Path]]
    segmentations: list[Path]
    others: dict[str, list[Path]]
    foreign: list[Path]


@dataclass(frozen=True)
class SeriesGeometry(Geometry):
    """Where the slices of a series lie, as DICOM says it.

    Attributes
    ----------
    headers
        The slices' headers (pydicom datasets without pixels), in the volume's order.
    affine
        Matrix from voxel (x, y, z, 1) to the world (mm, RAS), for labels as NIfTI.
    thickness
        Millimetres between slices, for labels of slices that don't say how thick they are.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> SeriesGeometry((Dataset(), Dataset())).placed
    True
    """

    headers: tuple[Any, ...]
    affine: Float[np.ndarray, "4 4"] | None = None
    thickness: float = 1.0

    def labels_path(self, path: Path, classes: Sequence[str]) -> Path:
        """Return `path`, or one of a NIfTI file where no SEG can be made of the series; a line then says why."""
        try:
            seg.must_be_possible(path, self.headers, classes)
        except InputError as error:
            other = path.with_name(path.name.removesuffix(LABELS_AS[""]) + nifti.SUFFIXES[0])
            say(f"{error}; its labels are written as NIfTI, {other.name}")
            return other
        return path

    def write_labels(self, path: Path, labels: UInt8[np.ndarray, "d h w"], classes: Sequence[str] = ()) -> None:
        """Write a DICOM segmentation, whose segments `classes` name, or NIfTI where the path's suffix says so."""
        if path.name.endswith(nifti.SUFFIXES):
            image = nib.Nifti1Image(labels.T, self.affine)
            image.header.set_xyzt_units("mm")
            nifti.NiftiGeometry(image.header).write_labels(path, labels, classes)
        else:
            seg.write(path, labels, self.headers, classes, thickness=self.thickness)


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
    return folder.is_dir() and any(dicom_header.is_dicom(path) for path in folder.iterdir() if path.is_file())


def scan(paths: Iterable[Path]) -> Scan:
    """Sort files by what they hold, and DICOM images by series.

    An image without a position belongs to its series if others of the series have one, as it may be a slice.

    Raises
    ------
    InputError
        If pydicom is missing, or a file is damaged.

    Examples
    --------
    >>> Path("notes.txt").touch()
    >>> scan(Path().iterdir()).foreign
    [PosixPath('notes.txt')]
    """
    found = Scan(defaultdict(list), [], defaultdict(list), [])
    loose: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(paths):
        if path.is_file() and dicom_header.is_dicom(path):
            _sort(path, found, loose)
        elif path.is_file() and not path.name.startswith("."):
            _must_not_be_called_dicom(path)
            found.foreign.append(path)
    for uid, files in found.series.items():
        files += loose.pop(uid, ())
    others = {**found.others, **({"": [path for files in loose.values() for path in files]} if loose else {})}
    return Scan(dict(found.series), found.segmentations, others, found.foreign)


def tell(found: Scan, where: Path) -> None:
    """Print a line on stderr for each kind of file that is passed over.

    Parameters
    ----------
    found
        What `scan` returned.
    where
        Folder that was scanned, for the line's beginning.

    Examples
    --------
    >>> tell(Scan({}, [], {}, []), Path("study"))  # nothing to tell
    """
    for kind, paths in found.others.items():
        say(f"{where}: {_passed_over(kind, paths)}")
    if found.foreign:
        say(f"{where}: passed over, as no DICOM: {_listed(found.foreign)}")


def by_place(paths: Sequence[Path]) -> list[list[Path]]:
    """Part a series into volumes: one, or one a folder where slices of several folders lie at one place.

    Phases of a moving organ have one SeriesInstanceUID, and are sorted into folders.

    Raises
    ------
    InputError
        If a position can't be read.

    Examples
    --------
    >>> by_place([Path("study/1.dcm"), Path("study/2.dcm")])  # of one folder
    [[PosixPath('study/1.dcm'), PosixPath('study/2.dcm')]]
    """
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        folders[path.parent].append(path)
    if len(folders) == 1:
        return [list(paths)]
    headers = [(path, dicom_header.read(path)) for path in paths]
    places = {tuple(numbers(*each, "ImagePositionPatient", 3).round(2).tolist()) for each in headers}
    return [list(paths)] if len(places) == len(paths) else list(folders.values())


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

    Codes are not inverted, whatever the header says of how they are shown. Segmentations (SEG) are read by
    `maskmixadv.formats.seg.read`.

    Examples
    --------
    >>> Path("empty").mkdir()
    >>> read_labels(Path("empty"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: empty: holds 0 DICOM image series, allowed is one a folder; sort them apart
    """
    return volume(_only(folder), codes=True)


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
    """Return shape ``d h w``, and bytes of a value in memory; raises as `peek`.

    Examples
    --------
    >>> Path("empty").mkdir()
    >>> declared(Path("empty"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: empty: holds 0 DICOM image series, allowed is one a folder; sort them apart
    """
    return Declared(peek(folder)[0], ITEMSIZE)


def volume(paths: Sequence[Path], *, codes: bool = False) -> Volume:
    """Read a series of single slices as a volume ``d h w``, the lowest along their normal first.

    Intensities are float32, after the rescaling that each slice's header asks for. They are as bright as they are shown
    (``MONOCHROME1`` is inverted), and padding has the lowest value of the others. Lines on stderr say what in the
    headers was not taken at its word.

    Parameters
    ----------
    paths
        The series' files, in any order.
    codes
        Pixels are class codes: neither inverted nor padded.

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
    where = slices[0].path.parent
    check_size(where, Declared((len(slices), *plane.shape), ITEMSIZE), "DICOM series")
    _tell_of_gaps(where, slices, plane)
    first = slices[0]
    if not codes and text(*first[:2], "Modality") == "CT" and not any(name in first.header for name in MEASURES):
        say(f"{where}: CT without {MEASURES[0]}; stored numbers are taken for Hounsfield units")
    pixels = [dicom_pixels.read(each.path, plane.shape) for each in slices]
    if codes:
        array = np.stack([each.values for each in pixels])
    else:
        array = dicom_pixels.shown(where, pixels, invert=dicom_pixels.inverted(*slices[0][:2]))
    return Volume(array, spacing, affine, SeriesGeometry(tuple(each.header for each in slices), affine, spacing[0]))


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
    return text(path, dicom_header.read(path), "PatientID")


def modality(path: Path) -> str:
    """Return the Modality of a DICOM file, such as ``CT``; empty if it does not say.

    Raises
    ------
    InputError
        If the file is damaged.

    Examples
    --------
    >>> modality(Path("missing.dcm"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: ...
    """
    return dicom_header.text(path, dicom_header.read(path), "Modality")


def instance(path: Path) -> str:
    """Return the SOPInstanceUID of a file, by which others refer to it; empty if it has none; raises as `patient`.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> slice_ = Dataset()
    >>> slice_.SOPInstanceUID = "1.2.3"
    >>> slice_.save_as("a.dcm", implicit_vr=True, little_endian=True)
    >>> instance(Path("a.dcm"))
    '1.2.3'
    """
    return text(path, dicom_header.read(path), "SOPInstanceUID")


def _sort(path: Path, found: Scan, loose: dict[str, list[Path]]) -> None:
    """Put a DICOM file where it belongs; images without a position into `loose`, by their series."""
    header = dicom_header.read(path)
    if kind := dicom_header.kind(path, header):
        (found.segmentations if kind == dicom_header.SEG else found.others[kind]).append(path)
        return
    placed = "ImagePositionPatient" in header or "SharedFunctionalGroupsSequence" in header
    if not placed and "Rows" not in header and dicom_header.may_be_image(path, header):
        raise InputError(f"{path}: lacks ImagePositionPatient and Rows, as if cut off; export it again, or move it")
    uid = text(path, header, "SeriesInstanceUID")
    if placed and not uid:
        raise InputError(f"{path}: lacks SeriesInstanceUID, which says what it is a slice of; export it again")
    (found.series if placed else loose)[uid].append(path)


def _must_not_be_called_dicom(path: Path) -> None:
    if path.suffix.lower() in CALLED:
        raise InputError(f"{path}: is called a DICOM file and is none, perhaps damaged; export it again, or move it")


def _passed_over(kind: str, paths: Sequence[Path]) -> str:
    """Say of what kind files are and why they are not read."""
    if kind == dicom_header.STRUCTURES:
        return f"contours of {kind} are not read, export them as a SEG or NIfTI: {_listed(paths)}"
    if not kind:
        return f"passed over, as images without ImagePositionPatient: {_listed(paths)}"
    return f"passed over, as {kind} is no image: {_listed(paths)}"


def _listed(paths: Sequence[Path]) -> str:
    shown = ", ".join(path.name for path in paths[:SHOWN]) + (", …" if len(paths) > SHOWN else "")
    return f"{counted(len(paths), 'file')} ({shown})"


def _only(folder: Path) -> list[Path]:
    found = scan(folder.iterdir())
    if not found.series and found.others:
        said = "; ".join(_passed_over(kind, paths) for kind, paths in found.others.items())
        raise InputError(f"{folder}: holds no DICOM image series ({said})")
    if len(found.series) != 1:
        raise InputError(
            f"{folder}: holds {len(found.series)} DICOM image series, allowed is one a folder; sort them apart"
        )
    tell(found, folder)
    inside = [path for path in sorted(folder.iterdir()) if holds_dicom(path)]
    if inside:
        say(f"{folder}: folders in it are passed over: {_listed(inside)}")
    if found.segmentations:
        say(f"{folder}: passed over, as SEG is no image: {_listed(found.segmentations)}")
    return next(iter(found.series.values()))


def _ordered(paths: Sequence[Path]) -> tuple[list[Slice], SlicePlane]:
    """Sort slices by their place along the normal of the first one, once they are seen to have one grid."""
    headers = [(path, dicom_header.read(path)) for path in paths]
    for path, header in headers:
        _must_be_plain(path, header)
        for name, count in GRID.items():
            mine, others = numbers(path, header, name, count), numbers(paths[0], headers[0][1], name, count)
            if not np.allclose(mine, others, atol=TURNED):
                here, there = f"{name} is {mine.tolist()}", f"{others.tolist()} in {paths[0]}"
                raise InputError(f"{path}: {here}, but {there}; split the series")
        for name in EQUAL:
            if (mine := text(path, header, name)) != (others := text(paths[0], headers[0][1], name)):
                raise InputError(f"{path}: {name} is {mine!r}, but {others!r} in {paths[0]}; split the series")
    plane = _plane(*headers[0])
    normal = np.cross(plane.along_row, plane.along_column)
    positions = [numbers(path, header, "ImagePositionPatient", 3) for path, header in headers]
    placed = [Slice(*each, float(normal @ at), at) for each, at in zip(headers, positions, strict=True)]
    return sorted(placed, key=lambda each: each.place), plane


def _must_be_plain(path: Path, header: Any) -> None:  # noqa: ANN401
    if int(number(path, header, "NumberOfFrames", 1.0)) > 1 or "SharedFunctionalGroupsSequence" in header:
        raise InputError(f"{path}: is a multi-frame file, allowed is one slice a file; convert it to classic DICOM")
    missing = [name for name in (*GRID, "ImagePositionPatient") if name not in header]
    if missing:
        detector = "ImagerPixelSpacing" in header and "PixelSpacing" in missing
        why = "; its ImagerPixelSpacing holds at the detector, not in the patient" if detector else ""
        raise InputError(f"{path}: lacks {', '.join(missing)}, which a slice of a volume has{why}; export it again")
    if MOSAIC in text(path, header, "ImageType"):
        raise InputError(
            f"{path}: ImageType is {MOSAIC}, slices side by side, allowed is one a file; convert it to NIfTI"
        )
    dicom_pixels.must_be_grey(path, header)


def _plane(path: Path, header: Any) -> SlicePlane:  # noqa: ANN401
    (rows,), (columns,) = (numbers(path, header, name, 1) for name in ("Rows", "Columns"))
    between = numbers(path, header, "PixelSpacing", 2)
    along = numbers(path, header, "ImageOrientationPatient", 6).reshape(2, 3)
    if between.min() <= 0 or rows < 1 or columns < 1:
        raise InputError(f"{path}: {rows:g} × {columns:g} pixels, {between.tolist()} mm apart; allowed is above 0")
    if not np.allclose(along @ along.T, np.eye(2), atol=SKEW):
        raise InputError(f"{path}: ImageOrientationPatient is {along.ravel().tolist()}, allowed are two unit vectors")
    if text(path, header, "PixelAspectRatio"):
        tall, wide = numbers(path, header, "PixelAspectRatio", 2)
        if not np.isclose(tall * between[1], wide * between[0], rtol=UNEVEN):
            said = f"PixelAspectRatio is {tall:g} to {wide:g}, PixelSpacing {between.tolist()}"
            raise InputError(f"{path}: {said}; only one can be right, mend its header")
    return SlicePlane((int(rows), int(columns)), between, along[0], along[1])


def _grid(slices: Sequence[Slice], plane: SlicePlane) -> tuple[Spacing, Float[np.ndarray, "4 4"]]:
    """Return spacing and affine (RAS) of slices in order.

    DICOM's patient axes are LPS; its PixelSpacing is between rows, then between columns.
    """
    between_rows, between_columns = map(float, plane.between)
    normal = np.cross(plane.along_row, plane.along_column)
    step = _step(slices, normal)
    between_slices = float(np.linalg.norm(step)) if _shear(step, normal) < SHEAR else float(normal @ step)
    columns = [plane.along_row * between_columns, plane.along_column * between_rows, step, slices[0].position]
    affine = np.eye(4)
    affine[:3] = np.column_stack(columns)
    affine[:2] *= -1
    return (between_slices, between_rows, between_columns), affine


def _shear(step: Float[np.ndarray, "3"], normal: Float[np.ndarray, "3"]) -> float:
    """Return how far a slice is shifted sideways against the one below, in units of their distance."""
    along = float(normal @ step)
    return float(np.linalg.norm(step - along * normal)) / abs(along)


def _tell_of_gaps(where: Path, slices: Sequence[Slice], plane: SlicePlane) -> None:
    """Say where positions and headers disagree on how slices follow one another."""
    first, normal = slices[0], np.cross(plane.along_row, plane.along_column)
    if len(slices) == 1:
        if not any(text(first.path, first.header, name) for name in THICKNESS):
            say(f"{where}: one slice without SliceThickness; 1 mm is taken, so volumes may be wrong")
        return
    step = _step(slices, normal)
    if (shear := _shear(step, normal)) >= SHEAR:
        said = f"slices are sheared by {np.degrees(np.arctan(shear)):.1f}° (GantryDetectorTilt)"
        say(f"{where}: {said}; volumes are right, distances across slices are not")
    gap = float(normal @ step)
    if text(first.path, first.header, THICKNESS[0]):
        told = abs(number(first.path, first.header, THICKNESS[0], gap))
        if not np.isclose(told, gap, rtol=UNEVEN):
            said = f"SpacingBetweenSlices is {told:.4g} mm, positions lie {gap:.4g} mm apart"
            say(f"{where}: {said}; positions count")


def _step(slices: Sequence[Slice], normal: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return the vector from each slice to the next, in mm (LPS)."""
    if len(slices) == 1:
        return normal * _thickness(slices[0])
    gaps = np.diff([each.place for each in slices])
    if gaps.min() <= UNEVEN * gaps.max():
        one, other = slices[at := int(gaps.argmin())], slices[at + 1]
        uid, also = (text(each.path, each.header, "SOPInstanceUID") for each in (one, other))
        if uid and uid == also:
            raise InputError(f"{one.path}: has the place and SOPInstanceUID of {other.path}; take one of the two away")
        raise InputError(f"{one.path}: lies where {other.path} does; sort phases or echoes apart")
    if np.ptp(gaps) > UNEVEN * gaps.max():
        at = int(gaps.argmax())
        found = f"the next slice is {gaps[at]:.4g} mm away, others {gaps.min():.4g} mm"
        raise InputError(f"{slices[at].path}: {found}; add what is missing")
    step = (slices[-1].position - slices[0].position) / (len(slices) - 1)
    for place, each in enumerate(slices):
        apart = np.linalg.norm(slices[0].position + place * step - each.position)
        if apart > UNEVEN * np.linalg.norm(step):
            raise InputError(f"{each.path}: lies {apart:.3g} mm beside the line through the others; split the series")
    return step


def _thickness(only: Slice) -> float:
    """Return the thickness of a single slice in mm; 1 if its header does not say."""
    for name in THICKNESS:
        if text(only.path, only.header, name):
            thickness = number(only.path, only.header, name, 1.0)
            if thickness > 0:
                return thickness
    return 1.0
