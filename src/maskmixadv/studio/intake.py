"""Images that come in: refused before anything large is made of them, or anything beside them is read."""

import math
import re
import zlib
from pathlib import Path
from typing import Final

import tifffile
from PIL import Image

from maskmixadv.data import flat, formats, itk
from maskmixadv.data.nifti import in_one_line
from maskmixadv.errors import InputError
from maskmixadv.studio.refusals import RequestError, TooLargeError

MOST_BYTES: Final = 512 * 2**20
"""Of a file."""
MOST_UNPACKED: Final = 2**31
MOST_VOXELS: Final = 2**28
CHUNK: Final = 2**20
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
    if formats.suffix(Path(name)) == ".mhd":
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
    suffix = formats.suffix(path)
    if suffix.endswith(".gz"):
        _check_compressed(path)
    if suffix in itk.SUFFIXES:
        _check_complete(path, suffix)
    shape = _flat_shape(path) if suffix in flat.SUFFIXES else formats.peek(path)[0]  # pyright: ignore
    if min(shape, default=0) < 1:
        raise InputError(f"{path.name}: not a readable image (of {' × '.join(map(str, shape))} voxels)")
    if math.prod(shape) > MOST_VOXELS:
        raise TooLargeError(f"{path.name}: {' × '.join(map(str, shape))} voxels, allowed are up to {MOST_VOXELS}")


def _flat_shape(path: Path) -> tuple[int, ...]:
    try:
        if path.name.lower().endswith(flat.TIFF):
            with tifffile.TiffFile(path) as file:
                return (sum(math.prod(series.shape) for series in file.series),)
        with Image.open(path) as image:
            return image.size
    except Image.DecompressionBombError:
        raise TooLargeError(f"{path.name}: too many pixels, allowed are up to {Image.MAX_IMAGE_PIXELS}") from None
    except Exception as error:  # these libraries raise whatever they met
        raise InputError(f"{path.name}: not a readable image ({in_one_line(error) or type(error).__name__})") from None


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


def _check_compressed(path: Path) -> None:
    """Unpack without keeping anything: a small file may hold terabytes."""
    total, unpack = 0, zlib.decompressobj(wbits=31)
    try:
        with path.open("rb") as file:
            while not unpack.eof:
                chunk = unpack.unconsumed_tail or file.read(CHUNK)
                if not chunk:
                    raise InputError(f"{path.name}: not a readable image (the compressed file is cut off)")
                total += len(unpack.decompress(chunk, CHUNK))
                if total > MOST_UNPACKED:
                    raise TooLargeError(f"{path.name}: holds more than {MOST_UNPACKED >> 20} MB, which is the most")
    except (OSError, zlib.error) as error:
        raise InputError(f"{path.name}: not a readable image ({error})") from None
