"""Files that others wrote: a reader returns what they hold or raises one `InputError`, and takes limited memory.

A reader calls `check_size` before it allocates what a file declares, and calls its library inside `reading`. What a
file unpacks to may take at most `most_memory`. Nothing here imports torch.
"""

import logging
import math
import os
import sys
import warnings
import zipfile
import zlib
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple

import numpy as np

from maskmixadv.errors import InputError, counted
from maskmixadv.files import no_file

MEMORY: Final = "MASKMIXADV_MOST_MEMORY"
"""Environment variable: GB that the content of a file may take; without it, a quarter of the machine's memory."""
SHARE: Final = 4
UNKNOWN: Final = 2**34
"""Bytes of memory that a machine is taken to have if it does not say."""
DEFLATED: Final = 1032.0
"""Bytes that one byte of a deflated file unpacks to at most."""
CHUNK: Final = 2**20
TALKATIVE: Final = ("nibabel", "tifffile", "pydicom", "highdicom", "PIL")
"""Libraries that print more than one line about a damaged file on stderr."""
NAMED: Final = 5
"""Files that a line names at most."""
LONGEST: Final = 200
"""Characters of a library's message that are shown."""
SPLIT: Final = "'maskmixadv split'"
"""The command that saves each volume of a file as a file; lines that refuse several name it."""
_HEADERS: Final = Lock()
"""Headers of arrays are read one at a time: while one thread parses, Python 3.11 may fail in another (gh-106905)."""


_least: Final = ContextVar("most_memory", default=sys.maxsize)


class LargeError(InputError):
    """A file holds more than is taken.

    Examples
    --------
    >>> import os
    >>> os.environ["MASKMIXADV_MOST_MEMORY"] = "0.5"
    >>> check_bytes(Path("a.nii"), 10**9, "100 slices")
    Traceback (most recent call last):
    maskmixadv.formats.reading.LargeError: a.nii: declares 100 slices, 1 GB, allowed are 0.5 GB; make it smaller, ...
    >>> del os.environ["MASKMIXADV_MOST_MEMORY"]
    """


class Declared(NamedTuple):
    """What a file says that it holds.

    Attributes
    ----------
    shape
        Numbers of values along the file's axes.
    itemsize
        Bytes of one value in memory.

    Examples
    --------
    >>> found = Declared((256, 216, 10), 2)
    >>> found.voxels, found.bytes, str(found)
    (552960, 1105920, '256 × 216 × 10 values of 2 bytes')
    """

    shape: tuple[int, ...]
    itemsize: int

    @property
    def voxels(self) -> int:
        """How many values there are."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes that they take in memory."""
        return self.voxels * self.itemsize

    def __str__(self) -> str:
        return f"{' × '.join(map(str, self.shape))} values of {self.itemsize} bytes"


@contextmanager
def reading(path: Path, kind: str, *, wrong: str = "", advice: str = "") -> Iterator[None]:
    """Turn whatever a library raises at a file's bytes into an `InputError`; an `InputError` passes unchanged.

    Put it round calls of libraries, not round this package's own code.

    Parameters
    ----------
    path
        The file.
    kind
        What it should be, as in ``not a readable NIfTI file``.
    wrong, advice
        What to say instead of that, and after the reason.

    Raises
    ------
    InputError
        If anything was raised inside.

    Examples
    --------
    >>> with reading(Path("a.dat"), "array"):
    ...     np.frombuffer(b"odd", np.int16)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.dat: not a readable array (buffer size must be a multiple of element size)
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # libraries let through whatever they meet
        told = f"{path}: {wrong or f'not a readable {kind}'} ({_reason(error)}){advice}"
        raise (LargeError if isinstance(error, MemoryError) else InputError)(told) from None


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, EOFError):
        return "it is cut off"
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return error.strerror
    return in_one_line(error)


def existing(path: Path) -> Path:
    """Return `path` if it is a regular file; reading from a pipe would never end.

    Raises
    ------
    InputError
        If it is none.

    Examples
    --------
    >>> existing(Path("missing.nii"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.nii: no such file
    """
    try:
        found = path.is_file()
    except (OSError, ValueError):  # a name that is too long, or with a NUL
        found = False
    if not found:
        raise InputError(f"{in_one_line(str(path))}: {no_file(path)}")
    return path


def in_one_line(error: BaseException | str) -> str:
    r"""Return the first line of a message that is not empty: printable characters alone, at most 200 of them.

    An exception without a message gives the name of its class.

    Examples
    --------
    >>> in_one_line("\n bad \x07 header\nat byte 3"), in_one_line(KeyError())
    ('bad header', 'KeyError')
    """
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    text = " ".join("".join(c if c.isprintable() else " " for c in first).split())
    return (text if len(text) <= LONGEST else f"{text[:LONGEST]}…") or type(error).__name__


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Lower `most_memory` to `size` bytes for files that are read inside, in this thread.

    Examples
    --------
    >>> with at_most(1000):
    ...     most_memory()
    1000
    """
    before = _least.set(size)
    try:
        yield
    finally:
        _least.reset(before)


def most_memory() -> int:
    """Return the bytes of memory that the content of one file may take.

    It is a quarter of the machine's memory, or as many GB as the environment variable MASKMIXADV_MOST_MEMORY says.

    Raises
    ------
    InputError
        If that variable is no number above 0.

    Examples
    --------
    >>> import os
    >>> os.environ["MASKMIXADV_MOST_MEMORY"] = "0.5"
    >>> most_memory()
    500000000
    >>> del os.environ["MASKMIXADV_MOST_MEMORY"]
    """
    asked, least = os.environ.get(MEMORY), _least.get()
    if not asked:
        return min(least, _memory() // SHARE)
    try:
        gigabytes = float(asked)
    except ValueError:
        gigabytes = math.nan
    if not 0 < gigabytes < math.inf:
        raise InputError(f"{MEMORY}: {asked!r}, allowed is a number of GB above 0")
    return min(least, int(gigabytes * 1e9))


def check_size(path: Path, declared: Declared, kind: str, *, held: int | None = None, ratio: float = 1.0) -> Declared:
    """Return `declared` if it fits into `most_memory`, and the file can hold it.

    Parameters
    ----------
    path, kind
        The file, and what it should be, for the error's text.
    declared
        What its header says.
    held
        Bytes of the file that hold the values; None if that is unknown.
    ratio
        Bytes that one of these unpacks to at most.

    Raises
    ------
    LargeError
        If it would take more than `most_memory`.
    InputError
        If a side is not positive, or the file is too short for it.

    Examples
    --------
    >>> check_size(Path("a.nii"), Declared((256, 216, 10), 2), "NIfTI file", held=1000)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.nii: not a readable NIfTI file (declares 256 × 216 × 10 values of 2 bytes, ...)
    """
    if min(declared.shape, default=1) < 1:
        raise InputError(f"{path}: not a readable {kind} (declares {declared})")
    check_bytes(path, declared.bytes, str(declared))
    if held is not None and declared.bytes > held * ratio:
        raise InputError(f"{path}: not a readable {kind} (declares {declared}, of which it holds {held} bytes)")
    return declared


def check_bytes(path: Path, size: int, what: str) -> None:
    """Refuse a file that unpacks to more than `most_memory`.

    Parameters
    ----------
    path
        The file, for the error's text.
    size
        Bytes that it unpacks to.
    what
        What it declares, for the error's text.

    Raises
    ------
    LargeError
        If it does.

    Examples
    --------
    >>> check_bytes(Path("a.npz"), 1000, "2 arrays")
    """
    if size > (most := most_memory()):
        raise LargeError(
            f"{path}: declares {what}, {_gigabytes(size)}, allowed are {_gigabytes(most)}; make it smaller, or allow "
            f"more by the environment variable {MEMORY}"
        )


def check_inflated(path: Path, packed: Iterable[bytes], most: int, kind: str) -> None:
    """Unpack a deflated part of a file without keeping anything, as few bytes may unpack to gigabytes.

    Parameters
    ----------
    path, kind
        The file, and what it should be, for the error's text.
    packed
        The part's bytes, in pieces.
    most
        Bytes that it may unpack to.

    Raises
    ------
    InputError
        If it is damaged, or unpacks to more than `most` bytes.

    Examples
    --------
    >>> check_inflated(Path("a.tif"), [zlib.compress(bytes(10**6))], 1000, "image")
    Traceback (most recent call last):
    maskmixadv.formats.reading.LargeError: a.tif: not a readable image (unpacks to more than the 1000 bytes declared)
    """
    total, unpack = 0, zlib.decompressobj()
    with reading(path, kind):
        for part in packed:
            rest = part
            while rest and not unpack.eof:
                total += len(unpack.decompress(rest, CHUNK))
                rest = unpack.unconsumed_tail
                if total > most:
                    raise LargeError(f"{path}: not a readable {kind} (unpacks to more than the {most} bytes declared)")


def read_npz(path: Path, *, only: Container[str] | None = None) -> dict[str, np.ndarray]:
    """Read arrays of an ``.npz`` file by their names, without executing code (pickled objects are refused).

    Parameters
    ----------
    path
        The file.
    only
        Names of the arrays to read, as far as there are such; None: all.

    Raises
    ------
    InputError
        If it is missing, damaged, or its arrays take more than `most_memory`.

    Examples
    --------
    >>> np.savez("a.npz", image=np.zeros((3, 7, 5)))
    >>> {name: array.shape for name, array in read_npz(Path("a.npz")).items()}
    {'image': (3, 7, 5)}
    """
    kind = "archive of arrays"
    with reading(existing(path), kind, wrong="damaged"), zipfile.ZipFile(path) as archive:
        named = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        members = {name: member for name, member in named.items() if only is None or name in only}
        check_bytes(path, sum(member.file_size for member in members.values()), counted(len(members), "array"))
        held = path.stat().st_size
        found = {}
        for name, member in members.items():
            check_packed(path, member, held, kind)
            with archive.open(member) as stream:
                found[name] = _array(path, stream, member.file_size, kind)
    return found


def check_checkpoint(path: Path) -> None:
    """Check an archive of weights before torch reads it: whole, not compressed, and no parts that overlap.

    Raises
    ------
    InputError
        If it is no such archive, or damaged.

    Examples
    --------
    >>> with zipfile.ZipFile("a.pt", "w") as archive:
    ...     archive.writestr("weights", bytes(100))
    >>> check_checkpoint(Path("a.pt"))
    >>> Path("a.pt").write_bytes(Path("a.pt").read_bytes()[:100])
    100
    >>> check_checkpoint(Path("a.pt"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.pt: damaged (File is not a zip file); train again
    """
    with (
        reading(path, "checkpoint", wrong="damaged", advice="; train again"),
        zipfile.ZipFile(existing(path)) as archive,
    ):
        members = archive.infolist()
        check_bytes(path, sum(member.file_size for member in members), counted(len(members), "part"))
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("its parts are packed")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("its parts overlap")
        if (wrong := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {wrong} is wrong")


def check_packed(path: Path, member: zipfile.ZipInfo, held: int, kind: str) -> None:
    """Refuse a part of a zip file that declares more bytes than its packed bytes can unpack to.

    Parameters
    ----------
    path, kind
        The zip file, and what it should be, for the error's text.
    member
        The part.
    held
        Bytes of the zip file.

    Raises
    ------
    InputError
        If it does, or is packed in another way than most.

    Examples
    --------
    >>> member = zipfile.ZipInfo("image.npy")
    >>> member.file_size = 10**9
    >>> check_packed(Path("a.npz"), member, 1000, "archive of arrays")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.npz: not a readable archive of arrays (declares more than it holds)
    """
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{path}: not a readable {kind} (packed in an unknown way)")
    ratio = DEFLATED if member.compress_type == zipfile.ZIP_DEFLATED else 1.0
    if member.file_size > ratio * min(member.compress_size, held) + CHUNK:
        raise InputError(f"{path}: not a readable {kind} (declares more than it holds)")


def _array(path: Path, stream: Any, size: int, kind: str) -> np.ndarray:  # noqa: ANN401
    """Read one array after a check of its header; both take `size` bytes."""
    form = np.lib.format
    version = form.read_magic(stream)
    header = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
    with _HEADERS:
        shape, fortran, dtype = header(stream)
    if dtype.hasobject or dtype.itemsize == 0 or version not in ((1, 0), (2, 0)):
        raise InputError(f"{path}: not a readable {kind} (an array of {in_one_line(str(dtype))})")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize > size:
        raise InputError(f"{path}: not a readable {kind} (declares shape {shape} in {size} bytes)")
    array = np.empty(count, dtype)
    fill(path, stream, array, kind)
    if stream.read(1):  # this checks the checksum, too
        raise InputError(f"{path}: not a readable {kind} (holds more than it declares)")
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def fill(path: Path, stream: Any, array: np.ndarray, kind: str) -> None:  # noqa: ANN401
    r"""Fill `array`, which is contiguous, with bytes from `stream`.

    Parameters
    ----------
    path, kind
        The stream's file, and what it should be, for the error's text.
    stream
        A binary stream.
    array
        Its values are replaced.

    Raises
    ------
    InputError
        If the stream ends too early.

    Examples
    --------
    >>> import io
    >>> array = np.zeros(3, np.uint8)
    >>> fill(Path("a.dat"), io.BytesIO(b"\x01\x02\x03"), array, "array")
    >>> array
    array([1, 2, 3], dtype=uint8)
    """
    left = memoryview(array.reshape(-1).view(np.uint8))  # pyright: ignore[reportArgumentType]
    while left:
        part = stream.read(min(len(left), CHUNK))
        if not part:
            raise InputError(f"{path}: not a readable {kind} (it is cut off)")
        left[: len(part)] = part
        left = left[len(part) :]


def _memory() -> int:
    """Return the bytes of memory of this machine, or of its container."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        total = UNKNOWN
    try:
        allowed = int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):  # no container, or one without a limit
        allowed = total
    return min(total, allowed)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


for _name in TALKATIVE:
    logging.getLogger({"nibabel": "nibabel.global"}.get(_name, _name)).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=rf"{_name}(\.|$)")
