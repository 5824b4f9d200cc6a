"""Pixels of a TIFF that tifffile alone can't unpack: those packed by LZW or PackBits.

Pillow unpacks them, but it keeps 8 of 16 bits of colours, does not invert what is deeper than 8 bits where 0 is white,
and mixes up the bytes of numbers whose most significant byte comes first. Here it unpacks bytes alone.
"""

import struct
from collections.abc import Mapping
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from jaxtyping import Shaped, UInt8
from PIL.TiffImagePlugin import TiffImageFile

from maskmixadv.errors import InputError
from maskmixadv.formats.reading import Declared, check_size, reading

PACKED: Final[Mapping[int, float]] = {5: 4096.0, 32773: 128.0}
"""TIFF's codes of LZW and of PackBits, and how many bytes one unpacks to at most."""
PREDICTORS: Final = (1, 2, 3)
"""How rows are stored: as they are, as differences of pixels, or as differences of the bytes of fractions."""
_LONG, _HEAD = 4, 8
"""TIFF's code of a number of 32 bits, and the bytes before the fields of a file."""


def can_unpack(page: tifffile.TiffPage) -> bool:
    """Whether a page is packed in a way that is unpacked here, and its numbers are of whole bytes.

    Examples
    --------
    >>> tifffile.imwrite("a.tif", np.ones((4, 5), np.uint8))
    >>> with tifffile.TiffFile("a.tif") as file:
    ...     can_unpack(file.pages.first)
    False
    """
    told: Any = page
    whole = told.dtype is not None and told.dtype.itemsize * 8 == told.bitspersample
    return (
        whole
        and told.axes in ("YX", "YXS", "SYX")
        and int(told.compression) in PACKED
        and int(told.predictor) in PREDICTORS
    )


def hollow(path: Path, file: tifffile.TiffFile) -> str:
    """Say how many pages, strips or tiles of a file's first series hold nothing; empty where all hold something.

    OME's fields may say more pages than there are. Some programs leave out strips that are 0, and so do those that were
    stopped as they wrote.

    Raises
    ------
    InputError
        If one has a place in the file, and no bytes there.

    Examples
    --------
    >>> tifffile.imwrite("a.tif", np.ones((4, 5), np.uint8))
    >>> with tifffile.TiffFile("a.tif") as file:
    ...     hollow(Path("a.tif"), file)
    ''
    """
    with reading(path, "image"):
        series: Any = file.series[0]
        if lacking := sum(page is None for page in series.pages):
            return f"{lacking} of {len(series.pages)} pages are missing"
        if series.dataoffset is not None:  # all in one piece, whatever is said of its parts
            return ""
        pages = [page for page in series.pages if page is not None]
        parts = [part for page in pages for part in zip(page.dataoffsets, page.databytecounts, strict=False)]
    empty = [offset for offset, count in parts if not count]
    if any(empty):
        told = f"{len(empty)} of {len(parts)} strips or tiles have 0 bytes"
        raise InputError(f"{path}: not a readable image ({told}); save it again")
    return f"{len(empty)} of {len(parts)} strips or tiles hold nothing" if empty else ""


def beyond(path: Path, file: tifffile.TiffFile) -> str:
    """Say which pages are left out: those beyond ImageJ's or OME's fields, and what may be smaller versions of others.

    Such a version is half as large as the page before, a third and so on; where it says itself what it is, nothing is
    lost. Also said is where the fields say more pages than there are. Empty where nothing is left out.

    Raises
    ------
    InputError
        If the file is damaged.

    Examples
    --------
    >>> tifffile.imwrite("a.tif", np.ones((4, 5), np.uint8))
    >>> with tifffile.TiffFile("a.tif") as file:
    ...     beyond(Path("a.tif"), file)
    ''
    """
    with reading(path, "image"):
        series: Any = file.series[0]
        smaller = sum(not page.is_reduced for level in series.levels[1:] for page in level.pages if page is not None)
        if smaller:
            pages = sum(len(level.pages) for level in series.levels)
            return f"{smaller} of {pages} pages are left out, as they may be smaller versions, which they do not say"
        if not (file.is_ome or file.is_imagej):
            return ""
        levels = [page for level in series.levels for page in level.pages]
        told: Any = file.imagej_metadata or {}
        count, said = len(file.pages), int(told.get("images", 0))
    if (left := count - len(levels)) > 0:
        return f"{left} of {count} pages are left out, as its fields say fewer"
    held = len(series.pages)
    return f"its fields say {said} pages, of which it holds {held}" if file.is_imagej and said > held else ""


def unpack(path: Path, page: tifffile.TiffPage) -> Shaped[np.ndarray, "..."]:
    """Return a page's pixels as tifffile would, with its axes and in its type.

    Parameters
    ----------
    path
        The file.
    page
        A page of which `can_unpack` is true, of an open file.

    Raises
    ------
    InputError
        If it is damaged.

    Examples
    --------
    >>> from PIL import Image
    >>> pixels = np.arange(20, dtype=np.uint16).reshape(4, 5)
    >>> Image.fromarray(pixels).save("a.tif", compression="tiff_lzw")
    >>> with tifffile.TiffFile("a.tif") as file:
    ...     bool((unpack(Path("a.tif"), file.pages.first) == pixels).all())
    True
    """
    each: Any = page
    told = each.keyframe  # what further pages do not repeat
    shape, y = tuple(told.shape), told.axes.index("Y")
    beside = told.axes.endswith("S")  # samples of a pixel lie side by side
    samples = shape[-1] if beside else 1
    part = (told.tilelength, told.tilewidth) if told.is_tiled else (min(told.rowsperstrip, shape[y]), shape[y + 1])
    chunk = [*[1] * y, *part, *[samples] * beside]
    found = np.zeros(shape, told.dtype)
    places = product(*(range(-(-whole // side)) for whole, side in zip(shape, chunk, strict=True)))
    for place, offset, count in zip(places, each.dataoffsets, each.databytecounts, strict=True):
        start = [at * side for at, side in zip(place, chunk, strict=True)]
        held = [min(side, whole - at) for at, side, whole in zip(start, chunk, shape, strict=True)]
        rows, width = chunk[y] if told.is_tiled else held[y], chunk[y + 1]
        told.parent.filehandle.seek(offset)
        row = width * samples * told.dtype.itemsize
        check_size(path, Declared((rows, row), 1), "image", held=count, ratio=PACKED[int(told.compression)])
        content = _bytes(told.parent.filehandle.read(count), told, (rows, row))
        if content is None:
            raise InputError(f"{path}: not a readable image (packed pixels at byte {offset} are damaged)")
        values = _values(content, told, samples).reshape([*[1] * y, rows, width, *[samples] * beside])
        within = tuple(slice(at, at + side) for at, side in zip(start, held, strict=True))
        found[within] = values[tuple(map(slice, held))]
    return found


def _bytes(packed: bytes, told: Any, shape: tuple[int, int]) -> UInt8[np.ndarray, "rows bytes"] | None:  # noqa: ANN401
    """Unpack a strip or a tile, as a picture whose pixels are its bytes; None if it is damaged."""
    rows, row = shape
    fields = {256: row, 257: rows, 258: 8, 259: int(told.compression), 262: 1, 266: int(told.fillorder)}
    fields |= {273: 0, 277: 1, 278: rows, 279: len(packed)}
    fields[273] = _HEAD + 2 + 12 * len(fields) + 4
    entries = b"".join(struct.pack("<HHII", number, _LONG, 1, value) for number, value in sorted(fields.items()))
    head = b"II*\0" + struct.pack("<IH", _HEAD, len(fields)) + entries + bytes(4)
    try:
        with TiffImageFile(BytesIO(head + packed)) as image:
            return np.array(image)
    except (OSError, ValueError, SyntaxError):
        return None


def _values(content: UInt8[np.ndarray, "rows bytes"], told: Any, samples: int) -> Shaped[np.ndarray, "rows w s"]:  # noqa: ANN401
    """Return the numbers that rows of bytes hold, whose differences are stored where a predictor says so."""
    dtype: np.dtype[Any] = told.dtype.newbyteorder("=")
    rows, size = len(content), told.dtype.itemsize
    if int(told.predictor) == 3:  # bytes of one significance lie side by side, the most significant first
        summed = np.cumsum(content.reshape(rows, -1, samples), axis=1, dtype=np.uint8)
        ordered = np.ascontiguousarray(np.moveaxis(summed.reshape(rows, size, -1), 1, 2))
        return ordered.view(dtype.newbyteorder(">")).astype(dtype).reshape(rows, -1, samples)
    whole = np.dtype(f"u{size}")
    numbers = content.view(whole.newbyteorder(told.parent.byteorder)).astype(whole).reshape(rows, -1, samples)
    if int(told.predictor) == 2:
        numbers = np.cumsum(numbers, axis=1, dtype=whole)
    return numbers.view(dtype)
