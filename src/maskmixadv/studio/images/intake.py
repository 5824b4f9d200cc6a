"""Checks of uploads, before a large array is made and before any other file is read."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files, itk
from maskmixadv.formats.dicom_geometry import CALLED
from maskmixadv.formats.reading import LargeError, at_most
from maskmixadv.studio.layout import case_of
from maskmixadv.studio.refusals import RequestError, TooLargeError

MOST_BYTES: Final = 512 * 2**20
"""Of an uploaded file."""
MOST_UNPACKED: Final = 2**31
"""Bytes of a file that was unpacked."""
MOST_VOXELS: Final = 2**28
PLAIN_NAME: Final = re.compile(r"\w[\w .+()-]{0,99}")
PLAIN: Final = "up to 100 letters, digits, spaces and _ . + - ( ), no sign first"
"""What `PLAIN_NAME` allows, in words."""
ELSEWHERE: Final = re.compile(rb"^(?:data ?file:|ElementDataFile\s*=)[ \t]*([^\r\n]*)", re.MULTILINE | re.IGNORECASE)
"""The line in a header of ITK's formats that names the file with the voxels."""
HEADER: Final = 2**16
"""Bytes in which a header must end."""


def check_name(name: str) -> str:
    """Return the file name of an upload if it is allowed.

    Raises
    ------
    RequestError
        If it has other characters than are allowed, or is that of an image in several files.

    Examples
    --------
    >>> check_name("heart 1.nii.gz")
    'heart 1.nii.gz'
    """
    if not PLAIN_NAME.fullmatch(name):
        raise RequestError(f"name of the image: allowed are {PLAIN}")
    suffix = "" if _called_dicom(name) else image_files.suffix(Path(name))
    if allowed := itk.LABELS_AS.get(suffix):
        raise RequestError(f"{name}: the voxels of {suffix} are in another file, allowed is {allowed}; save it as one")
    return name


def case_called(name: str) -> str:
    """Return the case of an upload that will be called so; what a DICOM file is shows when it is there.

    Examples
    --------
    >>> case_called("hand.dcm"), case_called("heart.nii.gz"), case_called("notes.txt")
    ('hand', 'heart', '')
    """
    return unicodedata.normalize("NFC", Path(name).stem) if _called_dicom(name) else case_of(name)


def suffix_called(name: str) -> str:
    """Return the suffix of an upload that will be called so; raises an `InputError` where it is none of images.

    Examples
    --------
    >>> suffix_called("hand.DCM")
    '.dcm'
    """
    return Path(name).suffix.lower() if _called_dicom(name) else image_files.suffix(Path(name))


def _called_dicom(name: str) -> bool:
    return name.lower().endswith(CALLED)


def check_series_name(name: str) -> str:
    """Return the name of an uploaded series, which becomes a folder's, if it is allowed.

    Raises
    ------
    RequestError
        If it has other characters than are allowed, or a suffix of a file that is no image.

    Examples
    --------
    >>> check_series_name("T1 axial")
    'T1 axial'
    """
    if not PLAIN_NAME.fullmatch(name) or name[-1] in " ." or Path(name).suffix.lower() in image_files.BESIDE:
        raise RequestError(f"name of the folder: allowed are {PLAIN}, and no suffix of a text; rename it")
    return name


def check_part(name: str) -> str:
    """Return the name of a file of an uploaded series if it is allowed; raises a `RequestError` if not.

    Examples
    --------
    >>> check_part("1.2.840.113619.2.5.dcm")
    '1.2.840.113619.2.5.dcm'
    """
    if not PLAIN_NAME.fullmatch(name):
        raise RequestError(
            f"{name[:100]!r}: file names of a series may have {PLAIN}; rename it, or put the folder into images/ "
            "yourself"
        )
    return name


def check_declared(path: Path) -> None:
    """Check the header of an image before the image is read.

    Raises
    ------
    TooLargeError
        If the image is too large.
    InputError
        If the file is damaged, or its voxels are in another file.
    """
    suffix = image_files.suffix(path)
    if suffix in itk.SUFFIXES:
        _check_complete(path, suffix)
    found = image_files.declared(path)
    if found.voxels > MOST_VOXELS:
        raise TooLargeError(f"{path.name}: {' × '.join(map(str, found.shape))} voxels, allowed are up to {MOST_VOXELS}")


@contextmanager
def taken() -> Iterator[None]:
    """Limit the size of files that the block reads; a larger one raises a `TooLargeError`."""
    try:
        with at_most(MOST_UNPACKED):
            yield
    except LargeError as error:
        raise TooLargeError(str(error)) from None


def _check_complete(path: Path, suffix: str) -> None:
    """Refuse a header that names another file for its voxels: it could name any file of this machine."""
    try:
        with path.open("rb") as file:
            named = [name.strip() for name in ELSEWHERE.findall(file.read(HEADER))]
    except OSError as error:
        raise InputError(f"{path.name}: can't be read ({error.strerror})") from None
    allowed = re.compile(rb"LOCAL" if suffix != ".mhd" else rb"[\w -][\w .-]*\.z?raw")
    if any(not allowed.fullmatch(name) for name in named):
        raise InputError(f"{path.name}: its voxels are in another file, allowed are images complete in one file")
