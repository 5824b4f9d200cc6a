"""DICOM segmentations (SEG), read and written by highdicom, which the extra ``dicom`` installs."""

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from jaxtyping import Shaped, UInt8

from maskmixadv.errors import InputError, counted, listed, nearest, say
from maskmixadv.files import replaced
from maskmixadv.formats import dicom_header, dicom_pixels
from maskmixadv.formats.details.class_colours import cielab, colour_of
from maskmixadv.formats.reading import DEFLATED, Declared, check_size, existing, in_one_line, reading
from maskmixadv.formats.volume import Volume
from maskmixadv.optional import needed
from maskmixadv.spelling import folded

KIND: Final = "DICOM SEG"
SCHEME: Final = "99MASKMIXADV"
"""Scheme of the codes that name the classes: a private one, as DICOM's own has no codes for a user's classes."""


DEMANDED: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("SpecificCharacterSet", "ImageType", "InstanceCreationDate", "ContentDate", "Modality", "Manufacturer"),
)
"""Attributes of patient, study and file that DICOM demands of a segmentation."""
EMPTY: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
"""Those of them that may be empty (type 2), but not missing."""
UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID", "SOPInstanceUID")
"""What a segmentation says of the slices that it was drawn on; the last one tells them apart."""
FRAME: Final = "FrameOfReferenceUID"
IDENTITY: Final = ("PatientID", "StudyInstanceUID")
"""What a segmentation and its series have in common, by which a file is known that was laid to another one."""
LIKELY: Final = 0.5
"""From which fraction or probability on a voxel of a fractional segment belongs to it."""
LABELMAP: Final = "LABELMAP"
"""SegmentationType of files whose pixels are the numbers of segments."""
BACKGROUND: Final = ("125040", "DCM")
"""Code and scheme of the type of a segment that is what no other one is."""
NUMBERED: Final = "SegmentIdentificationSequence"
SHARED: Final = ("PlaneOrientationSequence", "PixelMeasuresSequence")
"""Functional groups that a segmentation repeats of a multi-frame file."""
LONGEST: Final = 64
"""Characters of a segment's label; a longer name is its description."""
CHARACTERS: Final = "SpecificCharacterSet"
SINGLE: Final = ("ISO_IR ", "GB")
"""How names of character sets begin that are said alone."""
UNICODE: Final = "ISO_IR 192"
"""Name of the character set that has all characters."""
_ABOUT: Final = (0x0008, 0x0010, 0x0012, 0x0032, 0x0038, 0x0040)
"""Groups of attributes that describe patients, studies and staff."""


def referenced(path: Path) -> str | None:
    """Return the UID of the series that a segmentation was drawn on; None if it does not say.

    Raises
    ------
    InputError
        If the file can't be read.

    Examples
    --------
    >>> referenced(Path("missing.dcm"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: no such file
    """
    found = _read(path)
    with reading(path, KIND):
        sequence = found.get("ReferencedSeriesSequence")
        return str(sequence[0].SeriesInstanceUID) if sequence else None


def instances(path: Path) -> frozenset[str]:
    """Return the UIDs of the slices that a segmentation was drawn on; raises as `referenced`.

    Examples
    --------
    >>> instances(Path("missing.dcm"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: no such file
    """
    return _instances(path, _read(path))


def names(path: Path) -> list[str]:
    """Return the labels of a segmentation's segments but background, in the file's order; raises as `referenced`.

    Examples
    --------
    >>> names(Path("missing.dcm"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: no such file
    """
    return list(_labels(path, _read(path)).values())


def read(path: Path, image: Volume, classes: Sequence[str]) -> UInt8[np.ndarray, "d h w"]:
    """Read a segmentation onto the grid of `image`.

    Parameters
    ----------
    path
        The segmentation's file.
    image
        The series that it was drawn on, as `maskmixadv.formats.series.read` returns it.
    classes
        Names of the classes, background first; the segments' labels are among them, upper and lower case are the same.

    Returns
    -------
    Class indices of the image's shape.

    Raises
    ------
    InputError
        If it can't be read, is not or only partly on the image's grid, segments overlap, or a segment's label is no
        class.

    Examples
    --------
    >>> from maskmixadv.formats.flat import NoGeometry
    >>> image = Volume(np.zeros((3, 7, 5)), (5.0, 0.7, 0.9), np.diag([0.9, 0.7, 5.0, 1.0]), NoGeometry())
    >>> read(Path("missing.dcm"), image, ["background", "LV"])
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: no such file
    """
    found, labels = _read(path), np.zeros(image.array.shape, np.uint8)
    _must_be_described(path, found)
    grid = _grid(path, image) if found.get(FRAME) else None  # then its slices say where it lies
    _tell_of_identity(path, found, image)
    _tell_of_frame(path, found, image)
    slices = [str(header.get("SOPInstanceUID")) for header in getattr(image.geometry, "headers", ())]
    frames = getattr(image.geometry, "frames", ())
    _tell_of_others(path, found, slices)
    places = {folded(name): place for place, name in enumerate(classes) if place}
    called = _labels(path, found)
    if several := [name for name, count in Counter(map(folded, called.values())).items() if count > 1]:
        say(f"{path}: segments whose names are one, or differ in spelling alone, are one class: {listed(several)}")
    for number, name in called.items():
        place = places.get(folded(name))
        if place is None:
            raise InputError(f"{path}: segment {name!r} is no class, allowed are {nearest(name, classes[1:])}")
        values, drawn = _values(path, found, number, grid, slices, frames)
        mask = values >= LIKELY
        _tell_of_parts(path, name, values)
        if (outside := drawn - int(np.count_nonzero(mask))) > 0:
            said = f"{counted(outside, 'voxel')} of segment {name!r} lie outside its series, allowed are none"
            raise InputError(f"{path}: {said}; look whether slices of the series are missing")
        if mask.shape != labels.shape:
            raise InputError(f"{path}: has shape {mask.shape}, its series has {labels.shape}; export it anew")
        if (others := labels[mask & (labels > 0) & (labels != place)]).size:
            said = f"segment {name!r} overlaps {classes[others[0]]!r}"
            raise InputError(f"{path}: {said}, allowed is one class a voxel; cut one out of the other")
        labels[mask] = place
    return labels


def write(
    path: Path,
    labels: UInt8[np.ndarray, "d h w"],
    headers: Sequence[Any],
    classes: Sequence[str],
    *,
    thickness: float = 1.0,
    frames: Sequence[int] = (),
    colours: Sequence[str] = (),
) -> None:
    """Write `labels` as a segmentation of a series, one segment a class; whole or not at all.

    Parameters
    ----------
    path
        The file to write; it is replaced if it exists.
    labels
        Class indices on the series' grid.
    headers
        Headers of the series' slices (pydicom datasets), in the order of `labels`; of frames, that of their file.
    classes
        Names of the classes, background first.
    thickness
        SliceThickness (mm) of slices that don't say theirs.
    frames
        Number of each slice's frame in a multi-frame file, from 1; empty for slices with a file each.
    colours
        Each class's colour for programs that show it, such as ``#4aa8ff``; empty: the studio's
        (`maskmixadv.formats.details.class_colours.colour_of`).

    Raises
    ------
    InputError
        If the file can't be written, or the headers lack what a segmentation must repeat.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> write(Path("seg.dcm"), np.ones((1, 2, 3), np.uint8), [Dataset()], ["background", "LV"])
    Traceback (most recent call last):
    maskmixadv.errors.InputError: seg.dcm: no SEG can be made of its series (...); mend its headers
    """
    made = _made(path, labels, headers, classes, thickness, frames)
    _forget(made, headers[0])
    _spell(made, classes)
    for number, segment in enumerate(made.SegmentSequence, 1):
        segment.RecommendedDisplayCIELabValue = cielab(colours[number] if colours else colour_of(number))
    with replaced(path) as place:
        made.save_as(place)


def must_be_possible(path: Path, headers: Sequence[Any], classes: Sequence[str], *, frames: Sequence[int] = ()) -> None:
    """Check that a segmentation of a series can be made, before there are labels for it.

    Parameters
    ----------
    path
        The file that is to be written, for the error's text.
    headers, classes, frames
        As for `write`.

    Raises
    ------
    InputError
        If it can't.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> must_be_possible(Path("seg.dcm"), [Dataset()], ["background", "LV"])
    Traceback (most recent call last):
    maskmixadv.errors.InputError: seg.dcm: no SEG can be made of its series (...); mend its headers
    """
    shape = [int(headers[0].get(name) or 0) for name in ("Rows", "Columns")]
    labels = np.zeros((len(frames or headers), *shape), np.uint8)
    labels[:1] = 1  # empty slices are left out of the file, so this one alone is packed
    _made(path, labels, headers, classes, 1.0, frames)


def _made(
    path: Path,
    labels: UInt8[np.ndarray, "d h w"],
    headers: Sequence[Any],
    classes: Sequence[str],
    thickness: float,
    frames: Sequence[int],
) -> Any:  # noqa: ANN401
    hd = _highdicom(path)
    _must_be_identified(path, headers)
    _must_be_labels(path, classes[1:])
    if frames and len(headers) > 1:
        said = f"its slices lie in {len(headers)} multi-frame files, allowed is one"
        raise InputError(f"{path}: no SEG can be made of its series ({said})")
    if frames:
        labels = labels[np.argsort(frames)]  # highdicom takes them in the file's order
    try:
        headers = [_completed(header, thickness) for header in headers]
        headers = [_with_shared(header, thickness) for header in headers] if frames else headers
        made = hd.seg.Segmentation(
            source_images=list(headers),
            pixel_array=labels,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_described(hd, number, name) for number, name in enumerate(classes) if number],
            series_instance_uid=hd.UID(),
            series_number=1000,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="maskmixadv",
            manufacturer_model_name="maskmixadv",
            software_versions=version("maskmixadv"),
            device_serial_number="0",
            series_description="maskmixadv",
        )
    except Exception as error:  # highdicom lets through whatever it meets in the headers
        raise InputError(f"{path}: no SEG can be made of its series ({in_one_line(error)}); mend its headers") from None
    return made


def _must_be_identified(path: Path, headers: Sequence[Any]) -> None:
    """Check that a segmentation can say what it was drawn on."""
    placed = any(dicom_header.placed(header) for header in headers)
    demanded = [name for name in UIDS if placed or name != FRAME]  # a picture lies in no frame of reference
    lacking = next((name for name in demanded if not all(header.get(name) for header in headers)), None)
    if lacking is not None:
        raise InputError(f"{path}: no SEG can be made of its series (a slice lacks {lacking}); mend its headers")
    if len({str(header.get(UIDS[-1])) for header in headers}) < len(headers):
        raise InputError(f"{path}: no SEG can be made of its series (slices share one {UIDS[-1]}); mend its headers")


def _must_be_labels(path: Path, classes: Sequence[str]) -> None:
    """Check that segments can be called as the classes are."""
    labels = [name[:LONGEST] for name in classes]
    if odd := next((name for name in classes if "\\" in name), ""):
        said = f"class {odd!r:.80} has a backslash, by which DICOM parts texts"
        raise InputError(f"{path}: no SEG can be made of its series ({said}); rename it")
    if twice := next((name for name in classes if labels.count(name[:LONGEST]) > 1), ""):
        said = f"class {twice!r:.80} and another one begin with the same {LONGEST} characters, and labels have no more"
        raise InputError(f"{path}: no SEG can be made of its series ({said}); rename it")


def _spell(made: Any, classes: Sequence[str]) -> None:  # noqa: ANN401
    """Say another character set than the image's where this one lacks characters of the classes' names."""
    from pydicom.charset import convert_encodings

    said = made.get(CHARACTERS)
    known = convert_encodings(said) if said else ["ascii"]
    for name in classes[1:]:
        try:
            name.encode(known[0])
        except UnicodeEncodeError:
            if CHARACTERS in made:
                del made[CHARACTERS]  # the image's header has the same element
            made.SpecificCharacterSet = UNICODE
            return


def _completed(header: Any, thickness: float) -> Any:  # noqa: ANN401
    """Return a header with each attribute that may be empty, and with others that anonymised files often lack."""
    values = {**dict.fromkeys(EMPTY, ""), "Modality": "OT", "SliceThickness": thickness}
    missing = {name: value for name, value in values.items() if header.get(name) in (None, "")}
    spelled = str(header.get(CHARACTERS) or "").startswith(SINGLE) if CHARACTERS in header else True
    if missing or not spelled:
        header = copy.deepcopy(header)  # a shallow copy shares its attributes
    if not spelled:  # highdicom refuses other ones, as of Japanese names, and those that are misspelled
        header.decode()
        header.SpecificCharacterSet = UNICODE
    for name, value in missing.items():
        setattr(header, name, value)
    return header


def _with_shared(header: Any, thickness: float) -> Any:  # noqa: ANN401
    """Return the header of a multi-frame file that says once what holds for all frames, as highdicom needs it.

    Frames were seen to have one orientation and one spacing; some makers repeat these for each frame.
    """
    from pydicom import Dataset

    shared, first = header.SharedFunctionalGroupsSequence, header.PerFrameFunctionalGroupsSequence[0]
    group, changed = Dataset(), Dataset()
    for each in shared:
        group.update(each)
    for name in SHARED:
        if not group.get(name):
            setattr(group, name, copy.deepcopy(first.get(name)))
    measures = group.PixelMeasuresSequence[0]
    if measures.get("SliceThickness") in (None, ""):
        group.PixelMeasuresSequence = copy.deepcopy(group.PixelMeasuresSequence)
        group.PixelMeasuresSequence[0].SliceThickness = thickness
    changed.update(header)
    changed.SharedFunctionalGroupsSequence = [group]
    return changed


def _instances(path: Path, found: Any) -> frozenset[str]:  # noqa: ANN401
    with reading(path, KIND):
        listed = [one for series in found.get("ReferencedSeriesSequence", ()) for one in _instances_in(series)]
        return frozenset(str(one.ReferencedSOPInstanceUID) for one in listed)


def _instances_in(series: Any) -> Iterable[Any]:  # noqa: ANN401
    return series.get("ReferencedInstanceSequence", ())


def _tell_of_frame(path: Path, found: Any, image: Volume) -> None:  # noqa: ANN401
    """Say where a segmentation lies in another frame of reference than its series: places in two do not compare."""
    for name, mine, other in _differing(found, image, [FRAME]):
        said = f"its {name} is {mine}, that of its series {other}"
        say(f"{path}: {said}; it is laid on it by its places all the same, so look whether it fits")


def _tell_of_identity(path: Path, found: Any, image: Volume) -> None:  # noqa: ANN401
    """Say where a segmentation is of another patient or study than its series, though it refers to that one."""
    for name, mine, other in _differing(found, image, IDENTITY):
        said = f"its {name} is {mine!r:.80}, that of its series {other!r:.80}"
        say(f"{path}: {said}; look whether it is of this patient and study")


def _differing(found: Any, image: Volume, names: Sequence[str]) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401
    """Yield attributes that a segmentation and its series have with other values: name, its own value, the series'."""
    headers = getattr(image.geometry, "headers", ())
    for name in names:
        mine, other = (str(each.get(name) or "").strip() for each in (found, headers[0] if headers else {}))
        if mine and other and mine != other:
            yield name, mine, other


def _tell_of_others(path: Path, found: Any, slices: Sequence[str]) -> None:  # noqa: ANN401
    """Say how many slices become background that the file does not refer to, as nobody may have looked at them.

    Programs leave out frames without a drawing, and as a rule list their slices all the same.
    """
    listed = _instances(path, found)
    if listed and (others := [each for each in slices if each not in listed]):
        said = f"refers to {len(slices) - len(others)} of {counted(len(slices), 'slice')} of its series"
        say(f"{path}: {said}; where it draws nothing, the others are background")


def _forget(made: Any, image: Any) -> None:  # noqa: ANN401
    """Delete attributes that a segmentation repeats of an image's header and DICOM does not demand, such as remarks."""
    repeated = [
        element.tag
        for element in made
        if element.tag.group in _ABOUT and element.keyword not in DEMANDED and image.get(element.tag) == element
    ]
    for tag in repeated:
        del made[tag]


def _described(hd: Any, number: int, name: str) -> Any:  # noqa: ANN401
    from pydicom.sr.codedict import codes

    learning = cast("Any", codes).DCM.ArtificialIntelligence
    described = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:LONGEST],
        segmented_property_category=cast("Any", codes).SCT.AnatomicalStructure,
        segmented_property_type=hd.sr.CodedConcept(f"class{number}", SCHEME, name[:LONGEST]),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence("maskmixadv", learning, version("maskmixadv")),
    )
    if len(name) > LONGEST:
        described.SegmentDescription = name
    return described


def _name(segment: Any) -> str:  # noqa: ANN401
    """Return what a segment is called: its label, or all of its name where the label is only its beginning."""
    label, whole = str(segment.segment_label), str(segment.get("SegmentDescription") or "")
    return whole if len(label) == LONGEST and whole.startswith(label) else label


def _grid(path: Path, image: Volume) -> Any:  # noqa: ANN401
    """Return the grid of `image` as highdicom describes it, d, h, w to LPS; None for sheared slices and pictures."""
    hd = _highdicom(path)
    if image.affine is None and getattr(image.geometry, "headers", ()):
        return None
    if image.affine is None:
        raise InputError(f"{path}: its series has no place in the patient, one is needed")
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    try:
        return hd.VolumeGeometry(lps[:, [2, 1, 0, 3]], image.array.shape, coordinate_system="PATIENT")
    except ValueError:
        return None


def _labels(path: Path, found: Any) -> dict[int, str]:  # noqa: ANN401
    """Return labels of segments by their number; a segment of all that is in no other one is left out."""
    with reading(path, KIND):
        numbers = [int(number) for number in found.segment_numbers]
        described = {number: found.get_segment_description(number) for number in numbers if number}
        types = {number: each.segmented_property_type for number, each in described.items()}
        labels = {
            number: _name(each)
            for number, each in described.items()
            if (types[number].value, types[number].scheme_designator) != BACKGROUND
        }
    if nameless := [number for number, label in labels.items() if not folded(label)]:
        raise InputError(f"{path}: segment {nameless[0]} has no SegmentLabel, allowed is a class's name; name it")
    return labels


def _must_be_described(path: Path, found: Any) -> None:  # noqa: ANN401
    """Refuse a map of labels with numbers of no segment, which would be background; 0 and padding are."""
    if str(found.SegmentationType) != LABELMAP:
        return
    with reading(path, KIND):
        described = sorted(map(int, found.segment_numbers))
        stored = set(np.unique(found.pixel_array).tolist())
        unknown = sorted(stored - {0, *described, int(found.get("PixelPaddingValue") or 0)})
    if unknown:
        said = f"its voxels are of segment {unknown[0]}, described are {described}"
        raise InputError(f"{path}: {said}; export it anew")


def _values(
    path: Path,
    found: Any,  # noqa: ANN401
    number: int,
    grid: Any,  # noqa: ANN401
    slices: Sequence[str],
    frames: Sequence[int],
) -> tuple[Shaped[np.ndarray, "d h w"], int]:
    """Return which part of each voxel belongs to a segment, and how many voxels do in the file, wherever these lie.

    Voxels are found by their place, or by their slices where these are sheared.
    """
    with reading(path, KIND, wrong="not on the grid of its series", advice="; export it anew"):
        if grid is None:
            listed = {"ignore_spatial_locations": True, "assert_missing_frames_are_empty": True}
            values = (
                found.get_pixels_by_source_frame(slices[0], list(frames), segment_numbers=[number], **listed)
                if frames
                else found.get_pixels_by_source_instance(slices, segment_numbers=[number], **listed)
            )[..., 0]
            drawn = _drawn(found, number)
        else:
            whole = found.get_volume(segment_numbers=[number])
            values = whole.match_geometry(grid).array[..., 0]
            drawn = int(np.count_nonzero(whole.array >= LIKELY))
    return np.asarray(values), drawn


def _tell_of_parts(path: Path, name: str, values: Shaped[np.ndarray, "d h w"]) -> None:
    """Say how many voxels belong to a segment in part, and became part of it or not."""
    parts = values[(values > 0) & (values < 1)]
    if parts.size:
        below = int(np.count_nonzero(parts < LIKELY))
        said = f"{counted(parts.size, 'voxel')} of segment {name!r} {'is' if parts.size == 1 else 'are'} fractions"
        say(f"{path}: {said}; {below} below {LIKELY:g} are left out, and others are taken whole")


def _drawn(found: Any, number: int) -> int:  # noqa: ANN401
    """Return how many voxels of a file's frames belong to a segment."""
    stored = np.asarray(found.pixel_array).reshape(-1, found.Rows, found.Columns)
    if str(found.SegmentationType) == LABELMAP:
        return int(np.count_nonzero(stored == number))
    of = np.array(_segments(found)) == number
    return int(np.count_nonzero(stored[of] >= LIKELY * int(found.get("MaximumFractionalValue") or 1)))


def _segments(found: Any) -> list[int]:  # noqa: ANN401
    """Return of which segment each frame is; nothing for a map of labels, whose frames are of all."""
    if str(found.SegmentationType) == LABELMAP:
        return []
    shared = found.SharedFunctionalGroupsSequence[0]
    groups = [each if NUMBERED in each else shared for each in found.PerFrameFunctionalGroupsSequence]
    return [int(each[NUMBERED][0].ReferencedSegmentNumber) for each in groups]


def _read(path: Path) -> Any:  # noqa: ANN401
    hd = _highdicom(path)
    with reading(path, KIND):
        found = hd.seg.segread(existing(path))
        frames, rows, columns = (int(found.get(name) or 0) for name in ("NumberOfFrames", "Rows", "Columns"))
        told, described = len(found.PerFrameFunctionalGroupsSequence), list(map(int, found.segment_numbers))
        unknown = sorted(set(_segments(found)) - set(described))
    if frames != told:
        said = f"NumberOfFrames is {frames}, but PerFrameFunctionalGroupsSequence describes {told}"
        raise InputError(f"{path}: {said}; export it anew")
    if unknown:
        raise InputError(f"{path}: frames are of segment {unknown[0]}, described are {described}; export it anew")
    check_size(path, Declared((frames, rows, columns), 1), KIND, held=path.stat().st_size, ratio=DEFLATED * 8)
    dicom_pixels.unpack(path, found, (frames, rows, columns))
    return found


def _highdicom(path: Path) -> Any:  # noqa: ANN401
    return needed("highdicom", extra="dicom", what=f"{path}: DICOM SEG")
