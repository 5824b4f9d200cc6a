"""Images that come in: refused before anything large is made of them, or anything beside them is read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files, itk
from maskmixadv.formats.reading import LargeError, at_most
from maskmixadv.studio.refusals import RequestError, TooLargeError

MOST_BYTES: Final = 512 * 2**20
"""Of a file."""
MOST_UNPACKED: Final = 2**31
MOST_VOXELS: Final = 2**28
NAME: Final = re.compile(r"\w[\w .+()-]{0,99}")
ELSEWHERE: Final = re.compile(rb"^(?:data ?file:|ElementDataFile\s*=)[ \t]*([^\r\n]*)", re.MULTILINE | re.IGNORECASE)
"""Where a header of ITK's formats says in which file the voxels are."""
HEADER: Final = 2**16


def check_name(name: str) -> str:
    """Return the file name `name`, which a request gave.

    Raises
    ------
    RequestError
        Where it is not plain, or not an image's that is complete in one file.
    """
    if not NAME.fullmatch(name):
        raise RequestError(
            "name of the image: allowed are up to 100 letters, digits, spaces and _ . + - ( ), no sign first"
        )
    if image_files.suffix(Path(name)) == ".mhd":
        raise RequestError(f"{name}: the voxels of .mhd are in another file, allowed is .mha; save it as one file")
    return name


def check_declared(path: Path) -> None:
    """Look at what a file says of itself, before it is read.

    Raises
    ------
    TooLargeError
        Where it holds more than is taken.
    InputError
        Where it is damaged, or its voxels lie elsewhere.
    """
    suffix = image_files.suffix(path)
    if suffix in itk.SUFFIXES:
        _check_complete(path, suffix)
    found = image_files.declared(path)
    if found.voxels > MOST_VOXELS:
        raise TooLargeError(f"{path.name}: {' × '.join(map(str, found.shape))} voxels, allowed are up to {MOST_VOXELS}")


@contextmanager
def taken() -> Iterator[None]:
    """Take less of a file than the command line does, and refuse what is larger with its own status."""
    try:
        with at_most(MOST_UNPACKED):
            yield
    except LargeError as error:
        raise TooLargeError(str(error)) from None


def _check_complete(path: Path, suffix: str) -> None:
    """A header may name any file of this machine as the one with its voxels."""
    try:
        with path.open("rb") as file:
            named = [name.strip() for name in ELSEWHERE.findall(file.read(HEADER))]
    except OSError as error:
        raise InputError(f"{path.name}: can't be read ({error.strerror})") from None
    allowed = re.compile(rb"LOCAL" if suffix != ".mhd" else rb"[\w -][\w .-]*\.z?raw")
    if any(not allowed.fullmatch(name) for name in named):
        raise InputError(f"{path.name}: its voxels are in another file, allowed are images complete in one file")
