"""A DICOM series as a volume, sorted by where its slices lie; pydicom comes with the extra ``dicom``."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from maskmixadv.errors import InputError, counted, say
from maskmixadv.formats import (
    dicom_dimensions,
    dicom_frames,
    dicom_grid,
    dicom_header,
    dicom_pictures,
    dicom_pixels,
)
from maskmixadv.formats.details import dicom_scales
from maskmixadv.formats.dicom_geometry import CALLED, LABELS_AS, SeriesGeometry
from maskmixadv.formats.dicom_grid import Slice, SlicePlane
from maskmixadv.formats.dicom_header import STRUCTURES, text
from maskmixadv.formats.reading import Declared, check_size
from maskmixadv.formats.slicing import Header
from maskmixadv.formats.volume import Volume
from maskmixadv.types import Spacing

SUFFIXES: Final[tuple[str, ...]] = ()
"""A series is a folder, whose name says nothing."""
__all__ = ["CALLED", "LABELS_AS"]
SHOWN: Final = 5
"""Files that a line names at most."""
MEASURES: Final = ("RescaleIntercept", "RescaleSlope", "ModalityLUTSequence")
"""What makes Hounsfield units of a CT's stored numbers."""


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
    pictures
        Files of pictures, each an image of its own, by their SeriesInstanceUID.
    films
        Files of several frames without a place, by what is said of them.

    Examples
    --------
    >>> scan([Path("missing")])
    Scan(series={}, segmentations=[], others={}, foreign=[], pictures={}, films={})
    """

    series: dict[str, list[Path]]
    segmentations: list[Path]
    others: dict[str, list[Path]]
    foreign: list[Path]
    pictures: dict[str, list[Path]]
    films: dict[str, list[Path]]

    @property
    def alone(self) -> list[Path]:
        """The files of pictures."""
        return [path for paths in self.pictures.values() for path in paths]


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


def contours(folder: Path) -> list[Path]:
    """Return the files of contours (RTSTRUCT) in `folder`, by their first bytes.

    Examples
    --------
    >>> contours(Path())
    []
    """
    inside = (path for path in sorted(folder.iterdir()) if path.is_file())
    return [path for path in inside if dicom_header.KINDS.get(dicom_header.stored_class(path)) == STRUCTURES]


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
    found = Scan(defaultdict(list), [], defaultdict(list), [], {}, {})
    loose: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(paths):
        if path.is_file() and dicom_header.is_dicom(path):
            _sort(path, found, loose)
        elif path.is_file() and not path.name.startswith("."):
            _must_not_be_called_dicom(path)
            found.foreign.append(path)
    for uid, files in found.series.items():
        files += loose.pop(uid, ())
    pictures, films, unknown = _parted(loose)
    others = {**found.others, **({"": unknown} if unknown else {})}
    return Scan(dict(found.series), found.segmentations, others, found.foreign, pictures, films)


def tell(found: Scan, where: Path) -> None:
    """Print a line on stderr for each kind of file that is passed over; pictures are not told, as they may be taken.

    Parameters
    ----------
    found
        What `scan` returned.
    where
        Folder that was scanned, for the line's beginning.

    Examples
    --------
    >>> tell(Scan({}, [], {}, [], {}, {}), Path("study"))  # nothing to tell
    """
    for said, paths in found.films.items():
        say(f"{where}: passed over, as a file has {said}: {listed_files(paths)}")
    for kind, paths in found.others.items():
        say(f"{where}: {_passed_over(kind, paths)}")
    if found.foreign:
        say(f"{where}: passed over, as no DICOM: {listed_files(found.foreign)}")


def by_place(paths: Sequence[Path]) -> list[list[Path]]:
    """Part a series into volumes: one, or several where slices lie at one place.

    Phases of a moving organ have one SeriesInstanceUID, and are sorted into folders: each folder is a volume then, and
    so is each multi-frame file.

    Raises
    ------
    InputError
        If a position can't be read.

    Examples
    --------
    >>> by_place([Path("study/1.dcm"), Path("study/2.dcm")])  # of one folder
    [[PosixPath('study/1.dcm'), PosixPath('study/2.dcm')]]
    """
    parts: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        parts[path if dicom_frames.is_volume(path) else path.parent].append(path)
    if len(parts) == 1:
        return [list(paths)]
    places = dicom_grid.places(paths)
    return [list(paths)] if len(set(places)) == len(places) else list(parts.values())


def read(folder: Path) -> Volume:
    """Read the one series whose files lie in `folder`, or the multi-frame file of this name, as `volume` does.

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


def peek(folder: Path) -> tuple[tuple[int, int, int], Spacing | None]:
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
    found = header(folder)
    d, h, w = found.shape
    return (d, h, w), found.spacing


def header(folder: Path) -> Header:
    """Return shape, spacing and affine, which pictures have not; raises as `peek`.

    Examples
    --------
    >>> Path("empty").mkdir()
    >>> header(Path("empty"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: empty: holds 0 DICOM image series, allowed is one a folder; sort them apart
    """
    paths = _only(folder)
    if _is_picture(paths):
        return dicom_pictures.header(paths[0])
    slices, plane = dicom_grid.ordered(paths)
    return Header((len(slices), *plane.shape), *dicom_grid.grid(slices, plane))


def declared(folder: Path) -> Declared:
    """Return shape ``d h w``, and bytes of a value in memory; raises as `peek`.

    Examples
    --------
    >>> Path("empty").mkdir()
    >>> declared(Path("empty"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: empty: holds 0 DICOM image series, allowed is one a folder; sort them apart
    """
    return Declared(peek(folder)[0], dicom_pixels.ITEMSIZE)


def coloured(folder: Path) -> bool:
    """Whether a file is a picture in colour, or the only image of a folder is; it says nothing of what it leaves out.

    Raises
    ------
    InputError
        If a file is damaged.

    Examples
    --------
    >>> Path("empty").mkdir()
    >>> coloured(Path("empty"))
    False
    """
    if folder.is_file():
        return dicom_pictures.is_picture(folder) and dicom_pictures.coloured(folder)
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if not any(map(dicom_pictures.is_picture, inside)):  # as a rule: then no header is read
        return False
    found = scan(inside)
    return len(found.alone) == 1 and not found.series and dicom_pictures.coloured(found.alone[0])


def volume(paths: Sequence[Path], *, codes: bool = False) -> Volume:
    """Read a series of slices or frames as a volume ``d h w``, the lowest along their normal first; or a picture.

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
        If slices are missing, double, of several grids or contrasts, in colour, or can't be read.

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
    if _is_picture(paths):
        return dicom_pictures.read(paths[0], codes=codes)
    slices, plane = dicom_grid.ordered(paths)
    return _volume(slices, plane, codes=codes)


def volumes(paths: Sequence[Path]) -> list[tuple[Volume, list[str]]]:
    """Read slices of which several lie at each place, as phases of a moving organ do, as channels of volumes.

    Parameters
    ----------
    paths
        Files of a series, in any order. Several series are one film if each has places of its own.

    Returns
    -------
    For each stack, as short and long axes of one series are, its volumes as channels, or one volume without channels,
    and what tells each volume apart, such as ``TriggerTime 33``; nothing for the single one of a series.

    Raises
    ------
    InputError
        As `volume`, but not where several slices lie at each place and their headers tell them apart.

    Examples
    --------
    >>> volumes([Path("missing.dcm")])
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: ...
    """
    stacks = dicom_grid.stacked(paths)
    found = [_stack(places, plane) for places, plane in stacks]
    if len(stacks) == 1:
        return found
    ids = [text(first.path, first.header, dicom_grid.STACK) for ((first, *_), *_), _ in stacks]
    called = [f"StackID {each}" for each in ids] if len(set(ids) - {""}) == len(ids) else []
    called = called or [f"stack {at}" for at in range(1, len(ids) + 1)]
    return [
        (volume, [f"{stack}: {name}" for name in names] or [stack])
        for (volume, names), stack in zip(found, called, strict=True)
    ]


def _stack(places: Sequence[Sequence[Slice]], plane: SlicePlane) -> tuple[Volume, list[str]]:
    """Read the volumes of one stack, whose slices at one place are together."""
    for place in places:
        uids = {text(each.path, each.header, "SeriesInstanceUID"): each.path for each in place}
        if len(uids) > 1:
            one, other = list(uids.values())[:2]
            raise InputError(f"{one}: lies where {other} does, of another series; sort series apart")
    _must_follow([place[0] for place in places])
    if len(places[0]) == 1:
        alone = [each for place in places for each in place]
        dicom_dimensions.must_be_one(alone)
        return _volume(alone, plane, codes=False), []
    names, parts = dicom_dimensions.parted(places)
    for part in parts:
        dicom_dimensions.must_be_one(part)
    slices = [each for part in parts for each in part]
    where, shape = dicom_dimensions.where(slices), (len(parts), len(places), *plane.shape)
    check_size(where, Declared(shape, dicom_pixels.ITEMSIZE), "film")
    (spacing, affine), *_ = [dicom_grid.grid(part, plane) for part in parts]
    _tell(where, parts[0], plane)
    array = _shown(where, slices, plane).reshape(shape)
    return Volume(array[0], spacing, affine, _geometry(parts[0], affine, spacing[0]), channels=array), names


def _must_follow(slices: Sequence[Slice]) -> None:
    """Refuse places of one series between those of another: two films, and not one whose slices are series each."""
    uids = [text(each.path, each.header, "SeriesInstanceUID") for each in slices]
    for at in range(1, len(uids)):
        if uids[at] != uids[at - 1] and uids[at] in uids[:at]:
            one, other = slices[at].path, slices[at - 1].path
            raise InputError(f"{other}: lies between slices of another series, as {one}; sort series apart")


def _volume(slices: Sequence[Slice], plane: SlicePlane, *, codes: bool) -> Volume:
    spacing, affine = dicom_grid.grid(slices, plane)
    where = dicom_dimensions.where(slices)
    check_size(where, Declared((len(slices), *plane.shape), dicom_pixels.ITEMSIZE), "DICOM series")
    if codes:
        for file in dict.fromkeys(each.file for each in slices):
            dicom_pixels.must_be_exact(file, dicom_header.read(file))
        dicom_grid.tell_of_gaps(where, slices, plane)
        array = np.stack([each.values for each in _pixels(slices, plane.shape)])
    else:
        _tell(where, slices, plane)
        array = _shown(where, slices, plane)
    return Volume(array, spacing, affine, _geometry(slices, affine, spacing[0]))


def _tell(where: Path, slices: Sequence[Slice], plane: SlicePlane) -> None:
    """Say what in the headers of an image was not taken at its word."""
    dicom_grid.tell_of_gaps(where, slices, plane)
    dicom_dimensions.tell(where, slices)
    for line in dicom_scales.unused([(each.path, each.header) for each in slices]):
        say(f"{where}: {line}")
    first = slices[0]
    if text(first.path, first.header, "Modality") == "CT" and not any(name in first.header for name in MEASURES):
        say(f"{where}: CT without {MEASURES[0]}; stored numbers are taken for Hounsfield units")


def _shown(where: Path, slices: Sequence[Slice], plane: SlicePlane) -> Float[np.ndarray, "d h w"]:
    invert = dicom_pixels.inverted(slices[0].path, slices[0].header)
    return dicom_pixels.shown(where, _pixels(slices, plane.shape), invert=invert)


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


def _pixels(slices: Sequence[Slice], shape: tuple[int, int]) -> list[dicom_pixels.SlicePixels]:
    """Return the pixels of slices in their order; each file is read once."""
    of: dict[Path, list[int]] = defaultdict(list)
    for at, each in enumerate(slices):
        of[each.file].append(at)
    found: dict[int, dicom_pixels.SlicePixels] = {}
    for file, places in of.items():
        inside = [slices[at] for at in places]
        read = dicom_pixels.read_frames(file, shape, inside) if inside[0].frame else [dicom_pixels.read(file, shape)]
        found |= dict(zip(places, read, strict=True))
    return [found[at] for at in range(len(slices))]


def _geometry(slices: Sequence[Slice], affine: Float[np.ndarray, "4 4"], thickness: float) -> SeriesGeometry:
    """Return the geometry of slices in order; frames go by the headers of their files."""
    if not any(each.frame for each in slices):
        return SeriesGeometry(tuple(each.header for each in slices), affine, thickness)
    headers = tuple(dicom_header.read(file) for file in dict.fromkeys(each.file for each in slices))
    return SeriesGeometry(headers, affine, thickness, tuple(each.frame for each in slices))


def _sort(path: Path, found: Scan, loose: dict[str, list[Path]]) -> None:
    """Put a DICOM file where it belongs; images without a position into `loose`, by their series."""
    header = dicom_header.read(path)
    if kind := dicom_header.kind(path, header):
        (found.segmentations if kind == dicom_header.SEG else found.others[kind]).append(path)
        return
    placed = dicom_header.placed(header)
    if not placed and "Rows" not in header and dicom_header.may_be_image(path, header):
        raise InputError(f"{path}: lacks ImagePositionPatient and Rows, as if cut off; export it again, or move it")
    uid = text(path, header, "SeriesInstanceUID")
    if placed and not uid:
        raise InputError(f"{path}: lacks SeriesInstanceUID, which says what it is a slice of; export it again")
    (found.series if placed else loose)[uid].append(path)


def _parted(loose: dict[str, list[Path]]) -> tuple[dict[str, list[Path]], dict[str, list[Path]], list[Path]]:
    """Part images without a position: pictures by series, films by what is said of them, and others."""
    pictures: dict[str, list[Path]] = defaultdict(list)
    films: dict[str, list[Path]] = defaultdict(list)
    unknown: list[Path] = []
    for uid, paths in loose.items():
        for path in paths:
            enhanced = dicom_frames.is_volume(path)  # it should have said where its frames lie
            if not enhanced and (said := dicom_pictures.several_frames(path, dicom_header.read(path))):
                films[said].append(path)
            elif dicom_pictures.is_picture(path):
                pictures[uid].append(path)
            else:
                unknown.append(path)
    return dict(pictures), dict(films), unknown


def _is_picture(paths: Sequence[Path]) -> bool:
    return len(paths) == 1 and dicom_pictures.is_picture(paths[0])


def _must_not_be_called_dicom(path: Path) -> None:
    if path.suffix.lower() in CALLED:
        raise InputError(f"{path}: {dicom_header.DAMAGED}")


def _passed_over(kind: str, paths: Sequence[Path]) -> str:
    """Say of what kind files are and why they are not read."""
    if kind == STRUCTURES:
        return f"{dicom_header.CONTOURS}: {listed_files(paths)}"
    if not kind:
        return f"passed over, as images without ImagePositionPatient: {listed_files(paths)}"
    return f"passed over, as {kind} is no image: {listed_files(paths)}"


def listed_files(paths: Sequence[Path]) -> str:
    """Count files, and name the first of them.

    Examples
    --------
    >>> listed_files([Path("study/1.dcm")])
    '1 file (1.dcm)'
    """
    shown = ", ".join(path.name for path in paths[:SHOWN]) + (", …" if len(paths) > SHOWN else "")
    return f"{counted(len(paths), 'file')} ({shown})"


def found_instead(found: Scan) -> str:
    """Say in a few words what files hold among which no image was found; empty if there were none.

    Examples
    --------
    >>> found_instead(Scan({}, [Path("seg.dcm")], {"SR": [Path("1.dcm")]}, [], {}, {}))
    '1 SEG without the images that it is of; passed over, as SR is no image: 1 file (1.dcm)'
    """
    count = len(found.segmentations)
    segs = (
        ["1 SEG without the images that it is of"]
        if count == 1
        else [f"{count} SEGs without the images that they are of"]
    )
    return "; ".join(
        [
            *(segs if count else ()),
            *(f"passed over, as a file has {said}: {listed_files(paths)}" for said, paths in found.films.items()),
            *(_passed_over(kind, paths) for kind, paths in found.others.items()),
            *([f"no DICOM: {listed_files(found.foreign)}"] if found.foreign else ()),
        ]
    )


def _only(folder: Path) -> list[Path]:
    """Return the files of the one series in a folder, or its one picture; a file is what it holds."""
    if folder.is_file():
        return [folder]
    found = scan(folder.iterdir())
    pictures = found.alone
    if not found.series and len(pictures) > 1:
        said = f"holds {len(pictures)} pictures ({listed_files(pictures)}), allowed is one image a folder"
        raise InputError(f"{folder}: {said}; name the files, or put them beside other images")
    none = not found.series and not pictures
    if none and (found.segmentations or found.others or found.films):
        raise InputError(f"{folder}: holds no DICOM image series ({found_instead(found)})")
    if none and found.foreign:
        raise InputError(f"{folder}: holds 0 DICOM image series ({found_instead(found)}), allowed is one")
    if none or len(found.series) > 1:
        files = [path for paths in found.series.values() for path in paths]
        alone = ", or name each multi-frame file" if any(map(dicom_frames.is_volume, files)) else ""
        said = f"holds {len(found.series)} DICOM image series, allowed is one a folder; sort them apart{alone}"
        raise InputError(f"{folder}: {said}")
    tell(found, folder)
    inside = [path for path in sorted(folder.iterdir()) if holds_dicom(path)]
    if inside:
        say(f"{folder}: folders in it are passed over: {listed_files(inside)}")
    if found.segmentations:
        say(f"{folder}: passed over, as SEG is no image: {listed_files(found.segmentations)}")
    if found.series and pictures:
        say(f"{folder}: passed over, as pictures that lie nowhere in the patient: {listed_files(pictures)}")
    return next(iter(found.series.values()), pictures)
