"""What MetaImage's library passes over without a word: voxels that lie elsewhere, or are packed and damaged."""

import glob
import math
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from maskmixadv.errors import InputError
from maskmixadv.formats.reading import CHUNK, LargeError, reading

LOCAL: Final = "LOCAL"
"""What a header says where the voxels follow it."""
_EITHER: Final = 47
"""What makes zlib take its own format and gzip's, as the library does."""
_DATA: Final = b"elementdatafile"
_LIST: Final = re.compile(r"(ElementDataFile\s*[=:]|data ?file:)\s*LIST\b.*", re.IGNORECASE)
_NUMBER: Final = re.compile(r"%\d*[diu]")
MOST_TEXT: Final = 2**16
"""Bytes of a header's text that are looked at."""


def check_voxels(path: Path, fields: Mapping[str, str], sizes: Sequence[int], count: int, kind: str) -> None:
    """Check that the voxels are where the header says, and that there are as many as it declares.

    ITK leaves what it lacks as it finds it in memory.

    Parameters
    ----------
    path
        The file with the header.
    fields
        Its fields, with names in lower case.
    sizes
        Voxels along each axis, the quickest first.
    count
        Bytes of all voxels.
    kind
        What the file should be, for the error's text.

    Raises
    ------
    InputError
        If they are not.

    Examples
    --------
    >>> Path("a.zraw").write_bytes(zlib.compress(bytes(100)))
    12
    >>> check_voxels(Path("a.mhd"), {"elementdatafile": "a.zraw", "compresseddata": "True"}, [10, 10], 100, "image")
    >>> check_voxels(Path("a.mhd"), {"elementdatafile": "a.zraw", "compresseddata": "True"}, [10, 20], 200, "image")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.mhd: not a readable image (its packed voxels in a.zraw are 100 bytes, and 200 ...)
    """
    name, local = fields.get("elementdatafile", ""), fields.get("elementdatafile", "").upper() == LOCAL
    before = whole(path, fields, "headersize")
    if local and before > 0:
        raise InputError(f"{path}: HeaderSize {before} with ElementDataFile LOCAL, allowed is none; save it again")
    several = None if local else _listed(path, name.split(), len(sizes))
    if several is not None and several[0] != (wanted := math.prod(sizes[several[1] :])):
        told = f"ElementDataFile {name[:60]}: {several[0]} files, and its {tuple(sizes)} voxels lie in {wanted}"
        raise InputError(f"{path}: {told}; name each of them once")
    if not fields.get("compresseddata", "").lower().startswith(("t", "1")):
        return
    size = whole(path, fields, "compresseddatasize")
    if several is not None or "%" in name:
        raise InputError(f"{path}: ElementDataFile {name[:60]}: packed voxels in several files, allowed is one file")
    if local and size <= 0:
        raise InputError(f"{path}: CompressedDataSize is missing, by which packed voxels are found; save it again")
    file = path if local else path.parent / name
    start = behind(path) if local else max(0, before)
    if not file.is_file():
        raise InputError(f"{path}: ElementDataFile {name[:60]!r}, allowed is LOCAL or a file beside it; there is none")
    with reading(path, kind), file.open("rb") as stream:
        stream.seek(start)
        found, ended = _unpacked(stream, size if size > 0 else os.fstat(stream.fileno()).st_size, count)
    where = "" if local else f" in {name[:60]}"
    if found != count:
        more = "more than " if found > count else ""
        told = f"its packed voxels{where} are {more}{min(found, count)} bytes, and {count} are declared"
        raise (LargeError if found > count else InputError)(f"{path}: not a readable {kind} ({told})")
    if not ended:
        raise InputError(f"{path}: not a readable {kind} (its packed voxels{where} are cut off)")


def _listed(path: Path, words: Sequence[str], axes: int) -> tuple[int, int] | None:
    """Return how many files a header lists, and of how many axes each one is; None if it does not say so."""
    try:
        if words[:1] == ["LIST"]:
            return len(_lines(path)), int(words[1]) if len(words) > 1 else axes - 1
        if len(words) > 2 and "%" in words[0]:
            first, last, step, each = [*map(int, words[1:5]), *(1, axes - 1)[len(words) - 3 :]]
            return len(range(first, last + 1, step)), each
    except ValueError:
        raise InputError(f"{path}: ElementDataFile {' '.join(words)[:60]}, allowed are whole numbers") from None
    return None


def _lines(path: Path) -> list[str]:
    """Return the names that follow a header's last field, one on each line."""
    with path.open("rb") as stream:
        lines = stream.read(16 * MOST_TEXT).decode("utf-8", "surrogateescape").splitlines()
    start = next((place for place, line in enumerate(lines, 1) if _LIST.fullmatch(line)), len(lines))
    return [line.strip() for line in lines[start:] if line.strip()]


def _unpacked(stream: Any, size: int, most: int) -> tuple[int, bool]:  # noqa: ANN401
    """Return how many bytes `size` packed ones are, as far as `most`, and whether they end there; nothing is kept."""
    total, unpack = 0, zlib.decompressobj(_EITHER)
    while size > 0 and not unpack.eof and total <= most and (part := stream.read(min(size, CHUNK))):
        size, rest = size - len(part), part
        while rest and not unpack.eof and total <= most:
            total += len(unpack.decompress(rest, CHUNK))
            rest = unpack.unconsumed_tail
    return total, unpack.eof


def whole(path: Path, fields: Mapping[str, str], name: str) -> int:
    """Return a whole number that a field says, 0 if there is no such field.

    Raises
    ------
    InputError
        If it says none; `path` is the file, for the error's text.

    Examples
    --------
    >>> whole(Path("a.mha"), {"headersize": "-1"}, "headersize")
    -1
    """
    said = fields.get(name, "0")
    try:
        return int(float(said.split()[0]))
    except (ValueError, IndexError, OverflowError):
        raise InputError(f"{path}: {name} {said[:40]!r}, allowed is a whole number; save it again") from None


def behind(path: Path) -> int:
    r"""Return the place of the first byte behind the header.

    Examples
    --------
    >>> Path("a.mha").write_bytes(b"ElementDataFile = LOCAL\n" + bytes(10))
    34
    >>> behind(Path("a.mha"))
    24
    """
    with path.open("rb") as stream:
        for line in iter(lambda: stream.readline(MOST_TEXT), b""):
            if line.strip().lower().startswith(_DATA):
                break
        return stream.tell()


def with_unit(content: bytes, unit: str) -> bytes:
    r"""Return a MetaImage file that ITK wrote, which says no unit of length, with one; millimetres need none.

    Examples
    --------
    >>> with_unit(b"ElementSpacing = 1 1\nElementDataFile = LOCAL\n12", "cm")
    b'ElementSpacing = 1 1\nDistanceUnits = cm\nElementDataFile = LOCAL\n12'
    """
    last = b"ElementDataFile"
    return content if unit == "mm" else content.replace(last, f"DistanceUnits = {unit}\n".encode() + last, 1)


def files(path: Path, name: str) -> list[Path]:
    """Return the files that hold the voxels, by what the header says of them: one, a list, or a pattern.

    Parameters
    ----------
    path
        The file with the header, of MetaImage or NRRD.
    name
        What it says: a name, ``LIST`` with a name on each line that follows, or a pattern with first, last and step.

    Examples
    --------
    >>> files(Path("images/a.mhd"), "a.raw")
    [PosixPath('images/a.raw')]
    >>> Path("s01.raw").touch()
    >>> files(Path("a.mhd"), "s%02d.raw 1 5 2")
    [PosixPath('s01.raw')]
    """
    words = name.split()
    if not words or name.upper() == LOCAL:
        return []
    if words[0] == "LIST":
        return [path.parent / each for each in _lines(path)]
    if "%" in words[0] and not Path(words[0]).is_absolute():
        return sorted(path.parent.glob(_NUMBER.sub("*", glob.escape(words[0]))))
    return [path.parent / name]
