"""NRRD files that are packed by bzip2, which ITK does not unpack: it gets a copy of raw voxels."""

import bz2
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Final

from maskmixadv.errors import InputError
from maskmixadv.formats.details import metaimage
from maskmixadv.formats.details.metaimage import MOST_TEXT
from maskmixadv.formats.reading import CHUNK, reading

_CHANGED: Final = (b"encoding", b"data file", b"datafile", b"byte skip", b"byteskip")
"""Fields that say how the voxels are stored."""


@contextmanager
def unpacked(path: Path, fields: Mapping[str, str], needed: int, kind: str) -> Iterator[Path]:
    r"""Give a copy of an NRRD file whose voxels are not packed; it is removed afterwards.

    Parameters
    ----------
    path, fields
        The file, and its fields with names in lower case.
    needed
        Bytes of all voxels, as the header declares them. As many are unpacked, in pieces.
    kind
        What the file should be, for an error's text.

    Raises
    ------
    InputError
        If it can't be unpacked, holds fewer bytes, or its voxels lie in several files or behind lines of text.

    Examples
    --------
    >>> head = b"NRRD0004\ntype: uint8\ndimension: 1\nsizes: 3\nencoding: bzip2\n\n"
    >>> _ = Path("a.nrrd").write_bytes(head + bz2.compress(bytes([1, 2, 3])))
    >>> with unpacked(Path("a.nrrd"), {"encoding": "bzip2"}, 3, "NRRD file") as plain:
    ...     plain.read_bytes()[-18:]
    b'encoding: raw\n\n\x01\x02\x03'
    """
    elsewhere = next((fields[name] for name in ("data file", "datafile") if name in fields), "")
    skipped = next((fields[name] for name in ("byte skip", "byteskip") if name in fields), "0")
    lines = next((fields[name] for name in ("line skip", "lineskip") if name in fields), "0")
    files = metaimage.files(path, elsewhere) if elsewhere else [path]
    if len(files) != 1 or lines != "0" or not skipped.isdecimal():
        said = "voxels packed by bzip2 in several files, or with parts to skip, allowed is one file of voxels"
        raise InputError(f"{path}: {said}; save it with gzip")
    with ExitStack() as stack:
        with reading(path, kind):
            plain = Path(stack.enter_context(TemporaryDirectory()), "raw.nrrd")
            held = _unpack(path, files[0], int(skipped), needed, plain)
        if held < needed:
            said = f"its packed voxels are {held} bytes, and {needed} are declared"
            raise InputError(f"{path}: not a readable {kind} ({said})")
        yield plain


def _unpack(path: Path, file: Path, skipped: int, needed: int, plain: Path) -> int:
    """Write the header of `path` and the voxels that `file` holds to `plain`; return how many bytes these are."""
    with path.open("rb") as stream:
        head = _head(stream)
        start = stream.tell() if file == path else 0
    kept = [line for line in head if line.partition(b":")[0].strip().lower() not in _CHANGED]
    left = needed
    with plain.open("wb") as copy, file.open("rb") as stream:
        copy.write(b"".join([*kept, b"encoding: raw\n\n"]))
        stream.seek(start)
        with bz2.BZ2File(stream) as packed:
            while skipped and (part := packed.read(min(skipped, CHUNK))):
                skipped -= len(part)
            while left and (part := packed.read(min(left, CHUNK))):
                left -= copy.write(part)
    return needed - left


def _head(stream: BinaryIO) -> list[bytes]:
    """Return the lines of a header, to the empty one."""
    lines = list[bytes]()
    for line in iter(lambda: stream.readline(MOST_TEXT), b""):
        if not line.strip():
            break
        lines.append(line if line.endswith(b"\n") else line + b"\n")
    return lines
