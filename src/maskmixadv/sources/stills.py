"""Frames of a DICOM film without a place, such as an ultrasound cine, as pictures: each a file of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from maskmixadv.errors import InputError
from maskmixadv.formats import dicom_header, dicom_pixels
from maskmixadv.formats.dicom_header import number, text
from maskmixadv.formats.reading import Declared, check_size

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
SINGLE: Final = {
    _STORAGE + film: _STORAGE + picture
    for film, picture in (
        *(("3", "6.1"), ("3.1", "6.1")),  # ultrasound
        *((f"7.{kind}", "7") for kind in (1, 2, 3, 4)),  # secondary captures
        *((f"77.1.{kind}.1", f"77.1.{kind}") for kind in (1, 2, 4)),  # videos of endoscopes, microscopes, cameras
    )
}
"""SOPClassUID of one frame, by that of a film. Films of other classes keep theirs, which may have one frame."""
OF_FILMS: Final = (
    *("NumberOfFrames", "FrameIncrementPointer", "FrameTime", "FrameTimeVector", "PixelData"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "LossyImageCompressionRatio"),
)
"""Attributes that say something of all frames together."""
KIND: Final = "DICOM film"


def stills(path: Path) -> Iterator[Any]:
    """Yield each frame of a film as a pydicom dataset of one picture, without compression, in the film's order.

    Parameters
    ----------
    path
        A file of a class of pictures (`maskmixadv.formats.dicom_pictures.CLASSES`) with several frames.

    Raises
    ------
    InputError
        If it has one frame alone, is damaged, or larger than is taken.

    Examples
    --------
    >>> list(stills(Path("missing.dcm")))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: not a readable DICOM file (No such file or directory)
    """
    header = dicom_header.read(path, pixels=True)
    count = int(number(path, header, "NumberOfFrames", 1.0))
    if count < 2:
        raise InputError(f"{path}: holds one picture, allowed are several; there is nothing to split")
    if (bits := int(number(path, header, "BitsAllocated", 8.0))) % 8:
        raise InputError(f"{path}: BitsAllocated is {bits}, allowed are 8 and 16; export it again")
    rows, columns = (int(number(path, header, name, 0.0)) for name in ("Rows", "Columns"))
    coloured = dicom_pixels.in_colour(path, header) and not dicom_pixels.paletted(path, header)
    shape = (count, rows, columns, 3) if coloured else (count, rows, columns)
    check_size(path, Declared(shape, bits // 8), KIND)
    frames = dicom_pixels.stored(path, header, shape)
    for name in OF_FILMS:
        if name in header:
            del header[name]
    dicom_pixels.turn_words(header)  # of palettes and tables, as stills have the other order
    for at in range(count):
        yield _still(path, header, frames[at].tobytes(), at + 1, coloured=coloured)


def _still(path: Path, film: Any, pixels: bytes, at: int, *, coloured: bool) -> Any:  # noqa: ANN401
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    uid = text(path, film, "SOPClassUID")
    still = Dataset()
    still.update(film)
    still.SOPClassUID, still.SOPInstanceUID, still.InstanceNumber = UID(SINGLE.get(uid, uid)), generate_uid(), at
    if coloured:  # whatever the film stores, it is decoded so
        still.PhotometricInterpretation, still.PlanarConfiguration = "RGB", 0
    still.PixelData = pixels + bytes(len(pixels) % 2)
    still["PixelData"].VR = "OB" if still.BitsAllocated == 8 else "OW"
    still.file_meta = FileMetaDataset()
    still.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    still.file_meta.MediaStorageSOPClassUID = UID(still.SOPClassUID)
    still.file_meta.MediaStorageSOPInstanceUID = still.SOPInstanceUID
    return still
