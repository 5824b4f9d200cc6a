"""Headers of DICOM files: what they say under a name, or one line; pydicom comes with the extra ``dicom``."""

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from maskmixadv.errors import InputError
from maskmixadv.formats.reading import DEFLATED, in_one_line, reading
from maskmixadv.optional import needed

KIND: Final = "DICOM file"
FIRST: Final = (b"\x02\0\0\0", b"\x02\0\x01\0", b"\x08\0\0\0", b"\x08\0\x05\0", b"\x08\0\x08\0")
"""First elements of files that lack DICOM's sign."""
VR: Final = (b"UL", b"OB", b"CS")
DEFLATED_SYNTAX: Final = b"1.2.840.10008.1.2.1.99"
MOST_DEFLATED: Final = 2**30
"""Bytes that a deflated file may unpack to."""
SEG: Final = "SEG"
STRUCTURES: Final = "RTSTRUCT"
"""Kind of a file of contours."""
CLASS: Final = b"\x02\x00\x02\x00UI"
"""How MediaStorageSOPClassUID begins; its length in two bytes and the UID follow."""
OWN_CLASS: Final = b"\x08\x00\x16\x00"
"""How SOPClassUID begins, which says the same in files without a group 2; its length may follow in four bytes."""
HEAD: Final = 2**10
"""Bytes at a file's beginning that hold it."""
CONTOURS: Final = f"contours of {STRUCTURES} are not read, export them as a SEG or NIfTI"
"""What is said of files of contours."""
DAMAGED: Final = "is called a DICOM file and is none, perhaps damaged; export it again, or move it"
"""What is said of other files with a suffix of DICOM files."""
KINDS: Final = {
    "1.2.840.10008.1.3.10": "DICOMDIR",
    "1.2.840.10008.5.1.4.1.1.66.4": SEG,
    "1.2.840.10008.5.1.4.1.1.66.7": SEG,
    "1.2.840.10008.5.1.4.1.1.66.1": "REG",
    "1.2.840.10008.5.1.4.1.1.66.3": "REG",
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE",
    "1.2.840.10008.5.1.4.1.1.481.3": STRUCTURES,
    "1.2.840.10008.5.1.4.1.1.481.5": "RTPLAN",
    "1.2.840.10008.5.1.4.1.1.481.8": "RTPLAN",
}
"""What files of a SOPClassUID are, where they are no images."""
OTHERS: Final = {
    "1.2.840.10008.5.1.4.1.1.4.2": "MR Spectroscopy",
    "1.2.840.10008.5.1.4.1.1.4.3": "Enhanced MR Color",
    "1.2.840.10008.5.1.4.1.1.6.2": "Enhanced US Volume",
    "1.2.840.10008.5.1.4.1.1.12.1.1": "Enhanced XA",
    "1.2.840.10008.5.1.4.1.1.12.2.1": "Enhanced XRF",
    "1.2.840.10008.5.1.4.1.1.13.1.1": "X-Ray 3D Angiographic",
    "1.2.840.10008.5.1.4.1.1.13.1.2": "X-Ray 3D Craniofacial",
    "1.2.840.10008.5.1.4.1.1.13.1.3": "Breast Tomosynthesis",
    "1.2.840.10008.5.1.4.1.1.30": "Parametric Map",
    "1.2.840.10008.5.1.4.1.1.66.5": "Surface Segmentation",
    "1.2.840.10008.5.1.4.1.1.77.1.5.4": "Ophthalmic Tomography",
    "1.2.840.10008.5.1.4.1.1.77.1.6": "Whole Slide Microscopy",
    "1.2.840.10008.5.1.4.1.1.104.1": "Encapsulated PDF",
}
"""Further classes of files that are no slices of a series, none of which is read, by their SOPClassUID."""
FAMILIES: Final = {"1.2.840.10008.5.1.4.1.1.88.": "SR", "1.2.840.10008.5.1.4.1.1.11.": "PR"}
"""The same by how the SOPClassUID begins."""
NO_IMAGES: Final = frozenset(
    {SEG, STRUCTURES, "RTDOSE", "RTPLAN", "RTRECORD", "SR", "PR", "KO", "REG", "FID", "DOC", "RWV", "PLAN"}
)
"""Modalities of files that are no images."""


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


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's sign, or begins at once with an element of one of the groups that come first.

    Examples
    --------
    >>> Path("notes.txt").write_text("not DICOM")
    9
    >>> is_dicom(Path("notes.txt"))
    False
    """
    with reading(path, KIND), path.open("rb") as file:
        head = file.read(132)
    if head[128:] == b"DICM":
        return True
    named, length = head[4:6], int.from_bytes(head[4:8], "little")
    plausible = named in VR or (length % 2 == 0 and length < len(head))
    return head[:4] in FIRST and plausible


def stored_class(path: Path) -> str:
    r"""Return the SOPClassUID that a file's first bytes say, for which no library is needed.

    It is empty if there is none, or the file can't be read: this is asked of any file that lies beside images.

    Examples
    --------
    >>> Path("a.dcm").write_bytes(bytes(128) + b"DICM" + CLASS + b"\x04\x001.2\0")
    144
    >>> stored_class(Path("a.dcm")), stored_class(Path("missing.dcm"))
    ('1.2', '')
    """
    if not path.is_file():
        return ""
    head = b""
    with suppress(OSError), path.open("rb") as file:
        head = file.read(HEAD)
    signed, at = head[128:132] == b"DICM", head.find(CLASS)
    if not signed and head[:4] not in FIRST:
        return ""
    if signed and at >= 0:
        start = at + len(CLASS) + 2
        length = int.from_bytes(head[start - 2 : start], "little")
    elif (at := head.find(OWN_CLASS)) >= 0:
        start = at + len(OWN_CLASS) + 4
        explicit = head[start - 4 : start - 2] == b"UI"
        length = int.from_bytes(head[start - (2 if explicit else 4) : start], "little")
    else:
        return ""
    return head[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")


def read(path: Path, *, pixels: bool = False) -> Any:  # noqa: ANN401
    """Read a file as a pydicom dataset.

    Parameters
    ----------
    path
        The file; it may lack DICOM's sign.
    pixels
        Read its pixels, too.

    Raises
    ------
    InputError
        If it can't be read.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> slice_ = Dataset()
    >>> slice_.Modality = "MR"
    >>> slice_.save_as("a.dcm", implicit_vr=True, little_endian=True)
    >>> read(Path("a.dcm")).Modality
    'MR'
    """
    library = pydicom(path)
    with reading(path, KIND):
        _must_be_small(path)
        return library.dcmread(path, stop_before_pixels=not pixels, force=True)


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


def numbers(path: Path, header: Any, name: str, count: int) -> Float[np.ndarray, "_"]:  # noqa: ANN401
    """Return the numbers under `name` in a header.

    Parameters
    ----------
    path, header, name
        As for `text`.
    count
        How many numbers there must be.

    Raises
    ------
    InputError
        If they are not `count` finite numbers.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> header = Dataset()
    >>> header.PixelSpacing = [0.9, 0.7]
    >>> numbers(Path("a.dcm"), header, "PixelSpacing", 2)
    array([0.9, 0.7])
    """
    with reading(path, KIND, wrong=f"{name} is no number", advice="; export it again"):
        value = header[name].value if name in header else None
    try:
        found = np.array(value, float).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        found = np.empty(0)
    if len(found) != count or not np.isfinite(found).all():
        raise InputError(f"{path}: {name} is {in_one_line(repr(value))}, needed are {count} numbers; export it again")
    return found


def number(path: Path, header: Any, name: str, otherwise: float) -> float:  # noqa: ANN401
    """Return one number of a header, or `otherwise` if it lacks `name`; raises as `numbers`.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> number(Path("a.dcm"), Dataset(), "RescaleSlope", 1.0)
    1.0
    """
    return float(numbers(path, header, name, 1)[0]) if name in header else otherwise


def kind(path: Path, header: Any) -> str:  # noqa: ANN401
    """Return what a file is that is no image, such as ``SEG``, ``RTSTRUCT`` or ``SR``; empty for an image.

    Raises
    ------
    InputError
        If the attributes that say so can't be decoded.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> contours, slice_ = Dataset(), Dataset()
    >>> contours.Modality, slice_.Modality, slice_.Rows = "RTSTRUCT", "MR", 256
    >>> kind(Path("a.dcm"), contours), kind(Path("b.dcm"), slice_)
    ('RTSTRUCT', '')
    """
    uid, modality = text(path, header, "SOPClassUID"), text(path, header, "Modality")
    family = next((name for start, name in FAMILIES.items() if uid.startswith(start)), "")
    directory = "DICOMDIR" if "DirectoryRecordSequence" in header else ""
    return KINDS.get(uid) or family or directory or (modality if modality in NO_IMAGES else "")


def placed(header: Any) -> bool:  # noqa: ANN401
    """Whether a header says where the image lies, or its frames.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> slice_ = Dataset()
    >>> slice_.ImagePositionPatient = [0, 0, 5]
    >>> placed(slice_), placed(Dataset())
    (True, False)
    """
    return "ImagePositionPatient" in header or "SharedFunctionalGroupsSequence" in header


def may_be_image(path: Path, header: Any) -> bool:  # noqa: ANN401
    """Return whether a file's class is one of images, or is not said; raises as `kind`.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> spectrum = Dataset()
    >>> may_be_image(Path("a.dcm"), spectrum)
    True
    >>> spectrum.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.2"
    >>> may_be_image(Path("a.dcm"), spectrum)
    False
    """
    from pydicom.uid import UID

    uid = text(path, header, "SOPClassUID")
    return not uid or UID(uid).name.endswith("Image Storage")


def _must_be_small(path: Path) -> None:
    """Refuse a large deflated file: it is unpacked as a whole before its header can be read."""
    with path.open("rb") as file:
        deflated = DEFLATED_SYNTAX in file.read(2**12)
    if deflated and path.stat().st_size * DEFLATED > MOST_DEFLATED:
        raise InputError(f"{path}: is deflated and may unpack to more than {MOST_DEFLATED} bytes; export it otherwise")
