"""What headers of NRRD and MetaImage say and ITK passes over: it is refused, or told."""

import bz2
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError, say
from maskmixadv.formats.details import metaimage
from maskmixadv.formats.reading import CHUNK, reading

BZIP2: Final = ("bzip2", "bz2")
"""NRRD's names of an encoding that ITK does not unpack."""
SPARE: Final = 2
"""Bytes behind the voxels that mean nothing, such as an end of a line."""
NAMES: Final = (
    *("NDims", "DimSize", "HeaderSize", "ElementType", "ElementNumberOfChannels", "ElementDataFile", "DistanceUnits"),
    *("ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "TransformMatrix", "Rotation", "Orientation"),
    *("BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "CompressedData", "CompressedDataSize"),
    *("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset", "AnatomicalOrientation"),
)
"""MetaImage's fields by which voxels are read; its library knows them in this spelling alone."""
ORDERS: Final = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
"""Two names of one field."""
OLD: Final = ("old min", "oldmin", "old max", "oldmax")
"""NRRD's values that the lowest and the highest number stand for."""
ENDS: Final = ("axis mins", "axismins", "axis maxs", "axismaxs")
"""NRRD's places where an axis begins and ends."""


def check_metaimage(path: Path, lines: Sequence[tuple[str, str]]) -> None:
    """Refuse fields that MetaImage's library takes otherwise than they read, and tell of one that it leaves out.

    Parameters
    ----------
    path
        The file.
    lines
        Names and values of its fields, as they are written.

    Raises
    ------
    InputError
        If a field is spelled otherwise, comes twice, or contradicts another one, or the voxels are stored as text.

    Examples
    --------
    >>> check_metaimage(Path("a.mha"), [("elementspacing", "1 1 5")])
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.mha: field elementspacing, allowed is ElementSpacing, as programs pass ...
    """
    known, found = {name.lower(): name for name in NAMES}, dict[str, str]()
    for name, value in lines:
        if (spelled := known.get(name.lower(), name)) != name:
            said = f"field {name}, allowed is {spelled}, as programs pass over others"
            raise InputError(f"{path}: {said}; correct the header")
        if name in known.values() and found.setdefault(name, value) != value:
            said = f"{name} is {found[name][:40]} and {value[:40]}, allowed is one of the two"
            raise InputError(f"{path}: {said}; correct the header")
    if found.get("BinaryData", "True").lower().startswith(("f", "0")):
        said = f"BinaryData {found['BinaryData'][:10]}, which is voxels as text, allowed is True"
        raise InputError(f"{path}: {said}; save it as binary")
    one, other = (found.get(name, "").lower()[:1] for name in ORDERS)
    if one and other and one.replace("1", "t") != other.replace("1", "t"):
        said = " and ".join(f"{name} {found[name][:10]}" for name in ORDERS)
        raise InputError(f"{path}: {said} contradict each other; correct the header")


def tell_of_numbers(path: Path, fields: Mapping[str, str]) -> None:
    """Say what NRRD says of its numbers and axes that is not used.

    Parameters
    ----------
    path
        The file.
    fields
        Its fields, with names in lower case.

    Examples
    --------
    >>> tell_of_numbers(Path("a.nrrd"), {"old min": "nan"})  # nothing is said
    """
    if told := _said(fields, OLD):
        say(f"{path}: {told}, which values the stored numbers stand for, is not used")
    if (told := _said(fields, ENDS)) and "spacings" not in fields:
        say(f"{path}: {told}, which would say a spacing, is not used")


def _said(fields: Mapping[str, str], names: Sequence[str]) -> str:
    found = [(name, fields[name]) for name in names if set(fields.get(name, "nan").lower().split()) != {"nan"}]
    return " and ".join(f"{name} {value[:40]}" for name, value in found)


def tell_of_more(path: Path, fields: Mapping[str, str], needed: int, kind: str) -> None:
    """Say where more bytes follow the voxels of an NRRD file than its header declares.

    Parameters
    ----------
    path, fields
        The file, and its fields with names in lower case.
    needed
        Bytes of all voxels.
    kind
        What the file should be, for an error's text.

    Examples
    --------
    >>> _ = Path("a.nrrd").write_bytes(b"NRRD0004" + bytes([10, 10, 1, 2]))
    >>> tell_of_more(Path("a.nrrd"), {"encoding": "raw"}, 2, "image")  # nothing to tell
    """
    elsewhere = next((fields[name] for name in ("data file", "datafile") if name in fields), "")
    files = metaimage.files(path, elsewhere) if elsewhere else [path]
    packing = fields.get("encoding", "").lower()
    skipped = next((fields[name] for name in ("byte skip", "byteskip") if name in fields), "0")
    lines = next((fields[name] for name in ("line skip", "lineskip") if name in fields), "0")
    if packing not in ("raw", "gzip", "gz", *BZIP2) or lines != "0" or not skipped.isdecimal():
        return
    with reading(path, kind):
        held = sum(_held(file, 0 if elsewhere else _behind(path), packing, needed) - int(skipped) for file in files)
    _tell(path, held, needed)


def tell_of_more_in_metaimage(path: Path, fields: Mapping[str, str], needed: int) -> None:
    """Say where more bytes follow the voxels of a MetaImage file that is not packed; as `tell_of_more`.

    Examples
    --------
    >>> _ = Path("a.raw").write_bytes(bytes(100))
    >>> tell_of_more_in_metaimage(Path("a.mhd"), {"elementdatafile": "a.raw"}, 100)  # nothing to tell
    """
    name, before = fields.get("elementdatafile", ""), metaimage.whole(path, fields, "headersize")
    packed, text = (
        fields.get(field, usual).lower()[:1] for field, usual in (("compresseddata", "f"), ("binarydata", "t"))
    )
    if packed in ("t", "1") or text in ("f", "0") or before < 0:
        return
    if name.upper() == metaimage.LOCAL:
        held = path.stat().st_size - metaimage.behind(path)
    else:
        held = sum(file.stat().st_size - before for file in metaimage.files(path, name) if file.is_file())
    _tell(path, held, needed)


def _tell(path: Path, held: int, needed: int) -> None:
    if held - needed > SPARE:
        said = f"its voxels need {needed:,} bytes, and more follow, which are left out"
        say(f"{path}: {said}; look whether its size and the bytes to skip are right")


def _behind(path: Path) -> int:
    """Return the place behind an NRRD header, which ends with an empty line."""
    with path.open("rb") as stream:
        for line in iter(lambda: stream.readline(metaimage.MOST_TEXT), b""):
            if not line.strip():
                break
        return stream.tell()


def _held(file: Path, start: int, packing: str, needed: int) -> int:
    """Return how many bytes a file holds from a place on; of packed ones, a few more than needed are enough."""
    if packing == "raw":
        return file.stat().st_size - start
    with file.open("rb") as stream:
        stream.seek(start)
        held = 0
        with bz2.BZ2File(stream) if packing in BZIP2 else gzip.GzipFile(fileobj=stream) as packed:
            while held <= needed + CHUNK and (part := packed.read(CHUNK)):
                held += len(part)
    return held
