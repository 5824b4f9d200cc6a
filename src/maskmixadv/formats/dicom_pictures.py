"""DICOM pictures: X-rays, ultrasound, secondary captures, photographs. One file is one slice, which lies nowhere."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from maskmixadv.errors import InputError
from maskmixadv.formats import dicom_grid, dicom_header, dicom_pixels, flat
from maskmixadv.formats.details import dicom_scales
from maskmixadv.formats.dicom_geometry import PictureGeometry
from maskmixadv.formats.dicom_header import number, numbers, text
from maskmixadv.formats.reading import SPLIT, Declared, check_size, reading
from maskmixadv.formats.slicing import Header
from maskmixadv.formats.volume import Volume, check_spacing
from maskmixadv.types import Spacing

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
CLASSES: Final = frozenset(
    _STORAGE + each
    for each in (
        *("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1"),  # CR; DX, MG and intra-oral, processed or not
        *("12.1", "12.2", "12.3"),  # angiography and fluoroscopy
        *("6", "6.1", "3", "3.1"),  # ultrasound, of one frame and of several
        *("7", "7.1", "7.2", "7.3", "7.4"),  # secondary captures
        *("20",),  # nuclear medicine
        *("77.1.1", "77.1.1.1", "77.1.2", "77.1.2.1", "77.1.3"),  # endoscopes and microscopes
        *("77.1.4", "77.1.4.1", "77.1.5.1", "77.1.5.2", "77.1.7"),  # photographs, also of eyes and skin
    )
)
"""SOPClassUIDs of files that are pictures, if they have one frame and no place in the patient."""
KIND: Final = "DICOM picture"
PLACED: Final = {
    "PixelSpacing": "",
    "ImagerPixelSpacing": "the spacing is that at the detector (ImagerPixelSpacing), so lengths are magnified",
    "NominalScannedPixelSpacing": "the spacing is that of the scanned film (NominalScannedPixelSpacing), so lengths "
    "are magnified",
}
"""What says how far pixels lie apart, the best first, and what a user is told of it."""
DETECTOR: Final = "ImagerPixelSpacing"
CENTIMETRES: Final = 3
"""Code of the unit cm along a side of an ultrasound region."""
SAME: Final = 1e-3
"""By which part spacings may differ that are taken as one."""
FLAT: Final = "no thickness is said, so 1 mm is taken, and volumes are areas times 1 mm"
"""What a user is told of a picture with a spacing."""


class _Facts(NamedTuple):
    """What a header says of a picture: rows and columns, mm along d, h, w, whether it is in colour, and notes."""

    shape: tuple[int, int]
    spacing: Spacing | None
    coloured: bool
    notes: tuple[str, ...]


def is_picture(path: Path) -> bool:
    r"""Whether a file is of a class of pictures and does not say where it lies; not if it can't be read.

    A film of several frames is one, too, as it is no slice of a series; `read` refuses it.

    Examples
    --------
    >>> head = bytes(128) + b"DICM" + b"\x02\x00\x02\x00UI\x1a\x001.2.840.10008.5.1.4.1.1.7\0"
    >>> Path("screen.dcm").write_bytes(head)
    166
    >>> is_picture(Path("screen.dcm")), is_picture(Path("missing.dcm"))
    (True, False)
    """
    if dicom_header.stored_class(path) not in CLASSES:
        return False
    facts = path.stat()
    return _unplaced(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=4096)
def _unplaced(path: Path, _changed: int, _size: int) -> bool:
    try:
        return not dicom_header.placed(dicom_header.read(path))
    except InputError:  # who reads it is told what is wrong
        return True


def several_frames(path: Path, header: Any) -> str:  # noqa: ANN401
    """Say that a file without a place has several frames, and what to do; empty if it has one.

    Parameters
    ----------
    path
        The header's file, for an error's text.
    header
        A pydicom dataset.

    Raises
    ------
    InputError
        If NumberOfFrames is no number.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> film = Dataset()
    >>> film.SOPClassUID, film.NumberOfFrames = "1.2.840.10008.5.1.4.1.1.3.1", 30
    >>> several_frames(Path("film.dcm"), film)
    "30 frames of class 'Ultrasound Multi-frame Image Storage' without a place, allowed is one picture a file; ..."
    """
    frames = number(path, header, "NumberOfFrames", 1.0) if text(path, header, "NumberOfFrames") else 1.0
    if frames <= 1:
        return ""
    from pydicom.uid import UID

    called = UID(text(path, header, "SOPClassUID")).name
    allowed = "allowed is one picture a file; save the frames that count as files of their own"
    return f"{frames:g} frames of class {called!r} without a place, {allowed}"


def read(path: Path, *, codes: bool = False) -> Volume:
    """Read a picture as a volume ``1 h w``, as bright as it is shown; colours become grey and are channels, too.

    Grey pixels are float32 after the rescaling that the header asks for, with padding and bits above as in slices of a
    series (`maskmixadv.formats.dicom_pixels`). Colours are RGB, whatever the file stores.

    Parameters
    ----------
    path
        The file.
    codes
        Pixels are class codes: neither inverted nor padded, and of a palette its indices.

    Raises
    ------
    InputError
        If the file is damaged, larger than is taken, or has several frames, or codes are colours.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> from pydicom.dataset import FileMetaDataset
    >>> from pydicom.uid import ExplicitVRLittleEndian
    >>> xray = Dataset()
    >>> xray.file_meta = FileMetaDataset()
    >>> xray.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    >>> xray.Rows, xray.Columns, xray.SamplesPerPixel, xray.PhotometricInterpretation = 2, 3, 1, "MONOCHROME1"
    >>> xray.BitsAllocated, xray.BitsStored, xray.HighBit, xray.PixelRepresentation = 16, 12, 11, 0
    >>> xray.ImagerPixelSpacing = [0.2, 0.2]
    >>> xray.PixelData = np.array([[0, 1, 2], [3, 4, 5]], np.uint16).tobytes()
    >>> xray.save_as("xray.dcm", enforce_file_format=False)
    >>> volume = read(Path("xray.dcm"))
    >>> volume.array[0].tolist(), volume.spacing
    ([[5.0, 4.0, 3.0], [2.0, 1.0, 0.0]], (1.0, 0.2, 0.2))
    """
    header = dicom_header.read(path)
    facts = _facts(path, header)
    if codes:
        dicom_pixels.must_be_exact(path, header)
    check_size(path, Declared((*facts.shape, 3 if facts.coloured else 1), dicom_pixels.ITEMSIZE), KIND)
    indices = codes and dicom_pixels.paletted(path, header)
    if facts.coloured and not indices:
        pixels = dicom_pixels.read_colours(path, facts.shape)[None]
        (array, coloured), several = flat.grey(pixels), flat.colours(pixels)
    elif codes:
        array, coloured, several = dicom_pixels.read(path, facts.shape).values[None], False, None
    else:
        invert = dicom_pixels.inverted(path, header)
        array = dicom_pixels.shown(path, [dicom_pixels.read(path, facts.shape)], invert=invert)
        coloured, several = False, None
    thickness = facts.spacing[0] if facts.spacing else 1.0
    geometry = PictureGeometry((_sound(header),), None, thickness, spacing=facts.spacing)
    made = Volume(array, facts.spacing, None, geometry, coloured, several, several is not None, facts.notes)
    return flat.uncoloured(path, made) if codes else made


def header(path: Path) -> Header:
    """Return shape and spacing (mm) along d, h, w; raises as `read` for what the header says.

    Examples
    --------
    >>> header(Path("missing.dcm"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: ...
    """
    facts = _facts(path, dicom_header.read(path))
    return Header((1, *facts.shape), facts.spacing)


def coloured(path: Path) -> bool:
    """Return whether the pixels of a picture differ in colour; only one that may be in colour is read for it.

    Raises
    ------
    InputError
        If `read` would.

    Examples
    --------
    >>> coloured(Path("missing.dcm"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: ...
    """
    return _facts(path, dicom_header.read(path)).coloured and read(path).coloured


def _facts(path: Path, header: Any) -> _Facts:  # noqa: ANN401
    if said := several_frames(path, header):
        raise InputError(f"{path}: has {said}, as {SPLIT} does, or as PNG")
    (rows,), (columns,) = (numbers(path, header, name, 1) for name in ("Rows", "Columns"))
    if rows < 1 or columns < 1:
        raise InputError(f"{path}: {rows:g} × {columns:g} pixels; allowed is above 0")
    in_colour = dicom_pixels.in_colour(path, header)
    if not in_colour:
        dicom_pixels.must_be_grey(path, header)
    spacing, notes = _spacing(path, header)
    notes += dicom_scales.unused([(path, header)])
    return _Facts((int(rows), int(columns)), spacing, in_colour, tuple(notes))


def _spacing(path: Path, header: Any) -> tuple[Spacing | None, list[str]]:  # noqa: ANN401
    """Return millimetres along d, h, w, and what a user may want to know of them."""
    notes: list[str] = []
    between, name = _between(path, header, notes)
    if between is None:
        if (aspect := _aspect(path, header)) is not None:
            tall, wide = aspect
            said = f"PixelAspectRatio is {tall:g} to {wide:g} and no spacing is said"
            notes.append(f"{said}, so pixels are taken as they are stored, as if square")
        return None, notes
    thickness = dicom_grid.thickness(path, header)
    spacing = (thickness or 1.0, float(between[0]), float(between[1]))
    check_spacing(path, spacing, name)
    dicom_grid.must_agree(path, header, between, name)
    return spacing, notes if thickness else [*notes, FLAT]


def _between(path: Path, header: Any, notes: list[str]) -> tuple[np.ndarray | None, str]:  # noqa: ANN401
    """Return millimetres between rows and between columns, and what says so; a line on them is added to `notes`."""
    for name, told in PLACED.items():
        if not text(path, header, name):
            continue
        between = numbers(path, header, name, 2)
        if not between.any():
            notes.append(f"{name} is 0 × 0 mm, which is taken as not said")
            continue
        uncorrected = name == "PixelSpacing" and text(path, header, DETECTOR) == text(path, header, name)
        if told or uncorrected:
            notes.append(told or PLACED[DETECTOR])
        return between, name
    found = _regions(path, header)
    if not found:
        return None, ""
    if all(np.allclose(each, found[0], rtol=SAME) for each in found):
        notes.append("the spacing is that of the ultrasound region")
        return np.array(found[0]), "PhysicalDeltaX and PhysicalDeltaY"
    shown = ", ".join(f"{tall:.3g} × {wide:.3g}" for tall, wide in found)
    notes.append(f"its ultrasound regions have several spacings ({shown} mm), so none is taken")
    return None, ""


def _regions(path: Path, header: Any) -> Sequence[tuple[float, float]]:  # noqa: ANN401
    """Return millimetres between rows and columns of each ultrasound region whose two sides are lengths."""
    found = []
    with reading(
        path, dicom_header.KIND, wrong="SequenceOfUltrasoundRegions can't be read", advice="; export it again"
    ):
        regions = list(header.get("SequenceOfUltrasoundRegions") or ())
    for region in regions:
        units = [number(path, region, f"PhysicalUnits{side}Direction", 0.0) for side in "YX"]
        tall, wide = (10 * abs(number(path, region, f"PhysicalDelta{side}", 0.0)) for side in "YX")
        if units == [CENTIMETRES, CENTIMETRES] and tall and wide:
            found.append((tall, wide))
    return found


def _aspect(path: Path, header: Any) -> tuple[float, float] | None:  # noqa: ANN401
    """Return height and width of a pixel where the header says that they differ."""
    if not text(path, header, "PixelAspectRatio"):
        return None
    tall, wide = map(float, numbers(path, header, "PixelAspectRatio", 2))
    return None if np.isclose(tall, wide, rtol=dicom_grid.UNEVEN) else (tall, wide)


def _sound(header: Any) -> Any:  # noqa: ANN401
    """Return a header without a spacing of 0, which no segmentation may repeat."""
    if "PixelSpacing" in header and not np.any(header.PixelSpacing or 0):
        del header.PixelSpacing
    return header
