"""A zip of one DICOM series, unpacked into a temporary folder while it is read, and read there as any series."""

import io
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from maskmixadv.errors import InputError, counted
from maskmixadv.files import partial_name, sweep
from maskmixadv.formats import dicom_pixels, series
from maskmixadv.formats.reading import CHUNK, Declared, check_bytes, check_packed, existing, reading
from maskmixadv.formats.slicing import Header
from maskmixadv.formats.volume import Volume
from maskmixadv.types import Spacing

SUFFIXES: Final = (".zip",)
LABELS_AS: Final[Mapping[str, str]] = {".zip": ".dcm"}
"""Labels of a series are one file, a DICOM segmentation."""
KIND: Final = "zip of a DICOM series"
MOST_FILES: Final = 20_000
"""Files in a zip at most."""
MOST_LISTED: Final = 2**23
"""Bytes of a zip's list of its files at most, which zipfile reads at once."""
ADVICE: Final = "; copy it again, or unpack it into a folder of its own"
ENCRYPTED: Final = 1
"""Bit in a file's flags."""
LONGEST: Final = 100
"""Characters that are kept of a file's name."""


def read(path: Path) -> Volume:
    """Read a series as `maskmixadv.formats.series.read` does.

    Raises
    ------
    InputError
        If the file is no zip, is damaged, encrypted or unpacks to more than is taken, or its files are not one series.

    Examples
    --------
    >>> with zipfile.ZipFile("empty.zip", "w") as archive:
    ...     archive.writestr("notes.txt", "no series")
    >>> read(Path("empty.zip"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: empty.zip: holds 0 DICOM image series (no DICOM: 1 file (notes.txt)), allowed is one
    """
    with _unpacked(path) as folder:
        return series.read(folder)


def read_labels(path: Path) -> Volume:
    """Read class codes that are stored as an image series; raises as `read`.

    Examples
    --------
    >>> Path("text.zip").write_text("text")
    4
    >>> read_labels(Path("text.zip"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: text.zip: not a readable zip of a DICOM series (File is not a zip file); copy it ...
    """
    with _unpacked(path) as folder:
        return series.read_labels(folder)


def peek(path: Path) -> tuple[tuple[int, int, int], Spacing | None]:
    """Return shape and spacing (mm) along d, h, w; raises as `read`.

    Examples
    --------
    >>> peek(Path("missing.zip"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.zip: no such file
    """
    found = header(path)
    d, h, w = found.shape
    return (d, h, w), found.spacing


def header(path: Path) -> Header:
    """Return shape, spacing and affine; raises as `read`. The last ones are kept while their files do not change.

    Examples
    --------
    >>> header(Path("missing.zip"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.zip: no such file
    """
    facts = existing(path).stat()
    return _facts(path, facts.st_mtime_ns, facts.st_size)[0]


def declared(path: Path) -> Declared:
    """Return shape ``d h w`` and bytes of a value in memory; raises as `read`.

    Examples
    --------
    >>> declared(Path("missing.zip"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.zip: no such file
    """
    return Declared(header(path).shape, dicom_pixels.ITEMSIZE)


def coloured(path: Path) -> bool:
    """Return whether a zip holds a picture in colour; raises as `read`.

    Examples
    --------
    >>> coloured(Path("missing.zip"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.zip: no such file
    """
    facts = existing(path).stat()
    return _facts(path, facts.st_mtime_ns, facts.st_size)[1]


@lru_cache(maxsize=256)
def _facts(path: Path, _changed: int, _size: int) -> tuple[Header, bool]:
    """Return the header, and whether it is a picture in colour: a zip is unpacked once for both."""
    with _unpacked(path) as folder:
        return series.header(folder), series.coloured(folder)


class _Bounded(io.FileIO):
    """A file of which no more is read at once than a list of files may take."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MOST_LISTED:
            raise ValueError("its list of files is too long")
        return super().read(size)


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """Give a folder with the files of a zip, all side by side; errors name them as files in the zip."""
    place = partial_name(Path(tempfile.gettempdir()) / "series")
    sweep(place.parent)
    folder = place / path.name
    try:
        with reading(path, KIND, advice=ADVICE):
            place.mkdir(mode=0o700)
            folder.mkdir()
            _unpack(path, folder)
        yield folder
    except InputError as error:
        raise type(error)(str(error).replace(str(folder), str(path))) from None
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _unpack(path: Path, folder: Path) -> None:
    held = existing(path).stat().st_size
    with _Bounded(path) as file, zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if not member.is_dir() and not _hidden(member.filename)]
        if len(members) > MOST_FILES:
            raise InputError(f"{path}: holds {len(members)} files, allowed are {MOST_FILES} of one series")
        check_bytes(path, sum(member.file_size for member in members), counted(len(members), "file"))
        for number, member in enumerate(members):
            if member.flag_bits & ENCRYPTED:
                raise InputError(f"{path}: is encrypted; unpack it into a folder")
            check_packed(path, member, held, KIND)
            with archive.open(member) as stream, _new(folder, member.filename, number).open("xb") as out:
                shutil.copyfileobj(stream, out, CHUNK)


def _hidden(name: str) -> bool:
    """Whether a file is hidden, or one that macOS adds."""
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in (".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _new(folder: Path, name: str, number: int) -> Path:
    """Return a path in `folder` for a file of a zip. It never leads elsewhere: folders in the name are left out."""
    plain = re.sub(r"[^\w.+-]", "_", re.split(r"[/\\]", name)[-1])[-LONGEST:].lstrip(".")
    path = folder / (plain or str(number))
    return path.with_name(f"{number}-{path.name}") if path.exists() else path
