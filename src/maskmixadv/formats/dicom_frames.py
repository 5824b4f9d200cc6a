"""Frames of enhanced multi-frame DICOM files as slices: each gets a header as the file of a classic slice has it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from maskmixadv.errors import InputError
from maskmixadv.formats import dicom_header
from maskmixadv.formats.dicom_header import number, text
from maskmixadv.formats.reading import reading

CLASSES: Final = {
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT",
    "1.2.840.10008.5.1.4.1.1.4.1": "Enhanced MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "Legacy Converted Enhanced MR",
    "1.2.840.10008.5.1.4.1.1.130": "Enhanced PET",
    "1.2.840.10008.5.1.4.1.1.128.1": "Legacy Converted Enhanced PET",
}
"""SOPClassUIDs of files whose frames are read as slices."""
SHARED: Final = "SharedFunctionalGroupsSequence"
PER_FRAME: Final = "PerFrameFunctionalGroupsSequence"
INDEX: Final = "DimensionIndexSequence"
"""The one sequence of the whole file that is looked at: it names what the frames are counted by."""
MAPPED: Final = "RealWorldValueMappingSequence"
"""A group whose items are several of one kind, and so are kept."""
GROUPS: Final = (
    *("UnassignedSharedConvertedAttributesSequence", "UnassignedPerFrameConvertedAttributesSequence"),
    *("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"),
    *("PixelValueTransformationSequence", "FrameContentSequence"),
    *("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"),
    *("MREchoSequence", "MRModifierSequence", "MRDiffusionSequence", "MRTimingAndRelatedParametersSequence"),
    *("CardiacSynchronizationSequence", "RespiratorySynchronizationSequence", "TemporalPositionSequence"),
    *("MRVelocityEncodingSequence", "CTXRayDetailsSequence", "CTReconstructionSequence"),
)
"""Functional groups that are looked into. What no group of its own holds comes first, so that the others count."""
WITHIN: Final = ("DiffusionGradientDirectionSequence",)
"""Sequences in a group that are looked into."""


@dataclass(frozen=True)
class SourceSlice:
    """A slice, and where it is stored.

    Attributes
    ----------
    path
        What lines call it: its file, and for a frame the frame's number.
    header
        A pydicom dataset without pixels, with the attributes that the file of a classic slice has.
    file
        Its file.
    frame
        Number of its frame, from 1; 0: it has a file of its own.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> SourceSlice(Path("heart.dcm frame 7"), Dataset(), Path("heart.dcm"), 7).frame
    7
    """

    path: Path
    header: Any
    file: Path
    frame: int


def is_volume(path: Path) -> bool:
    r"""Whether a file is an enhanced multi-frame image, as its first bytes say; not if it can't be read.

    Examples
    --------
    >>> head = bytes(128) + b"DICM" + b"\x02\x00\x02\x00UI\x1c\x001.2.840.10008.5.1.4.1.1.4.1\0"
    >>> Path("heart.dcm").write_bytes(head)
    168
    >>> is_volume(Path("heart.dcm")), is_volume(Path("missing.dcm"))
    (True, False)
    """
    return dicom_header.stored_class(path) in CLASSES


def slices(path: Path) -> list[SourceSlice]:
    """Return the slices that a file holds: its frames in their order, or itself.

    Raises
    ------
    InputError
        If it can't be read, is a multi-frame file of another class, or says of its frames less than it has.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> slice_ = Dataset()
    >>> slice_.Rows = 256
    >>> slice_.save_as("a.dcm", implicit_vr=True, little_endian=True)
    >>> [(each.path.name, each.frame) for each in slices(Path("a.dcm"))]
    [('a.dcm', 0)]
    """
    header = dicom_header.read(path)
    declared = number(path, header, "NumberOfFrames", 1.0)
    if SHARED not in header and PER_FRAME not in header and int(declared) <= 1:
        return [SourceSlice(path, header, path, 0)]
    _must_be_read(path, header)
    with reading(path, dicom_header.KIND, wrong="its functional groups can't be read", advice="; export it again"):
        shared, frames = list(header.get(SHARED) or ()), list(header.get(PER_FRAME) or ())
        if len(frames) == declared:
            common = _common(header)
            return [
                SourceSlice(Path(f"{path} frame {at}"), _flat(common, [*shared, own]), path, at)
                for at, own in enumerate(frames, 1)
            ]
    said = f"NumberOfFrames is {declared:g}, but {PER_FRAME} describes {len(frames)}"
    raise InputError(f"{path}: {said}; export it again")


def _must_be_read(path: Path, header: Any) -> None:  # noqa: ANN401
    uid = text(path, header, "SOPClassUID")
    if uid in CLASSES:
        return
    from pydicom.uid import UID

    allowed = f"allowed are {', '.join(CLASSES.values())} and one slice a file; convert it to classic DICOM"
    raise InputError(f"{path}: is a multi-frame file of class {UID(uid).name!r}, {allowed}")


def _common(header: Any) -> Any:  # noqa: ANN401
    """Return what holds for all frames: attributes of the whole file, without sequences and private ones."""
    from pydicom import Dataset

    common = Dataset()
    for element in header:
        if element.keyword == INDEX or not (element.VR == "SQ" or element.tag.is_private):
            common[element.tag] = element
    for name in ("NumberOfFrames", "ImageType"):  # of frames, FrameType says it
        if name in common:
            del common[name]
    return common


def _flat(common: Any, groups: list[Any]) -> Any:  # noqa: ANN401
    """Return a frame's header; what is said of the frame counts more than what is said of all."""
    from pydicom import Dataset

    flat = Dataset()
    flat.update(common)
    for group in groups:
        if MAPPED in group:
            flat[MAPPED] = group[MAPPED]
        for name in GROUPS:
            for item in group.get(name) or ():
                for element in _elements(item):
                    flat[element.tag] = element
    return flat


def _elements(item: Any) -> Iterator[Any]:  # noqa: ANN401
    for element in item:
        if element.keyword in WITHIN:
            for inner in element.value:
                yield from inner
        elif element.VR != "SQ":
            yield element
