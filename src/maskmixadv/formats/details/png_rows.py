"""Whether a PNG holds all of its rows: Pillow leaves those black that the packed pixels end before."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from maskmixadv.errors import InputError
from maskmixadv.formats.reading import CHUNK, reading

KIND: Final = "PNG file"
SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by PNG's number of the kind of colours."""
PASSES: Final = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
"""First row, step between rows, first column and step between columns of the passes of an interlaced PNG."""
WHOLE: Final = ((0, 1, 0, 1),)


def must_be_whole(path: Path) -> None:
    r"""Check that the packed pixels of a PNG unpack to as many bytes as its header declares, or more.

    Raises
    ------
    InputError
        If they do not, or can't be unpacked.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.new("L", (5, 4)).save("a.png")
    >>> must_be_whole(Path("a.png"))
    >>> content = Path("a.png").read_bytes()
    >>> at = content.index(b"IDAT")
    >>> row = zlib.compress(bytes(6))
    >>> half = b"".join([content[: at - 4], struct.pack(">I", len(row)), b"IDAT", row, bytes(4), content[-12:]])
    >>> Path("a.png").write_bytes(half) > 0
    True
    >>> must_be_whole(Path("a.png"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.png: declares 4 rows of 5 pixels, which take 24 bytes, and holds 6; save it again
    """
    with reading(path, KIND), path.open("rb") as file:
        w, h, needed = _declared(file)
        held, unpack = 0, zlib.decompressobj()
        for part in _packed(file):
            rest = part
            while rest and not unpack.eof and held < needed:
                held += len(unpack.decompress(rest, CHUNK))
                rest = unpack.unconsumed_tail
        while held < needed and (more := len(unpack.decompress(unpack.unconsumed_tail, CHUNK))):
            held += more
    if held < needed:
        said = f"declares {h} rows of {w} pixels, which take {needed} bytes, and holds {held}"
        raise InputError(f"{path}: {said}; save it again")


def _declared(file: BinaryIO) -> tuple[int, int, int]:
    """Return width, height, and the bytes of all rows, each of which begins with one that says how it is stored."""
    w, h, bits, kind, _, _, interlaced = struct.unpack(">IIBBBBB", file.read(33)[16:29])
    needed = 0
    for row, rows, column, columns in PASSES if interlaced else WHOLE:
        wide, tall = -(-(w - column) // columns), -(-(h - row) // rows)
        needed += tall * (1 + -(-wide * bits * SAMPLES[kind] // 8)) if wide > 0 and tall > 0 else 0
    return w, h, needed


def _packed(file: BinaryIO) -> Iterator[bytes]:
    """Give the packed pixels in pieces."""
    while len(head := file.read(8)) == 8:
        left, wanted = int.from_bytes(head[:4], "big"), head[4:] == b"IDAT"
        if not wanted:
            file.seek(left + 4, 1)
            continue
        while left and (part := file.read(min(left, CHUNK))):
            left -= len(part)
            yield part
        file.seek(4, 1)
