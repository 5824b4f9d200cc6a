"""Files: written whole or not at all, by one process at a time, under valid names; read up to a limit of bytes.

Whatever the package writes goes through here. A file is written beside its place under a random name, brought to the
disk, and renamed. If the process is killed or the disk is full, the earlier file stays. The next process deletes what
a killed one left behind. Nothing here imports torch.
"""

import errno
import hashlib
import json
import os
import shutil
import socket
import stat
import string
import sys
import tempfile
import time
import tomllib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from filelock import FileLock, Timeout

from maskmixadv.errors import InputError, UnwritableError, say
from maskmixadv.moved import HOST, PARTIAL, cannot_write, partial_name, put_all, sync, sync_directory, sync_tree

LOCK = ".lock"
"""File in a directory that is in use: its lock."""
HOLDER = ".lock.holder"
"""File in a directory that is in use: the name of the process that holds the lock."""
MOST_TEXT: Final = 64 * 2**20
"""Bytes of a JSON file at most."""
MOST_TOML: Final = 2**20
"""Bytes of a TOML file at most; people write them by hand."""
MOST_NESTED: Final = 200
"""Dots, or opening brackets, in one line of a TOML file at most; its parser's work grows with their square."""
_READ: Final = {
    "images": "images",
    "scribbles": "strokes",
    "masks": "masks",
    "imagesTr": "images",
    "labelsTr": "labels",
}
"""Folders of sources of a corpus, and what their files are taken for."""
_OF_NNUNET: Final = ("imagesTr", "labelsTr")
LONGEST_NAME: Final = 200
"""Bytes of a name at most: file systems take 255, of which suffixes need some."""

AHEAD: Final = 10**9
"""Bytes of items and results that `work_ahead` has in memory at most, unless a single one takes more."""
_SPECIAL: Final = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFBLK: "device", stat.S_IFCHR: "device"}
"""Kinds of files whose content may have no end, by the system's numbers."""
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


# Writing: whole or not at all.


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """Give a binary file to write, which replaces `path` when the block ends, and is deleted if the block fails.

    Raises
    ------
    InputError
        If it can't be written; an earlier file stays.

    Examples
    --------
    >>> with written(Path("notes.bin")) as file:
    ...     _ = file.write(b"all of it")
    >>> Path("notes.bin").read_bytes()
    b'all of it'
    """
    partial = partial_name(path)
    try:
        with _beside(partial, path) as file:
            yield file
        put_all({partial: path})
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """As `written`, for libraries that want a path: give one with the same name, in a temporary directory.

    Raises
    ------
    InputError
        If it can't be written; an earlier file stays.

    Examples
    --------
    >>> with replaced(Path("notes.txt")) as path:
    ...     _ = path.write_text("all of it")
    >>> path.name, Path("notes.txt").read_text()
    ('notes.txt', 'all of it')
    """
    partial = partial_name(path)
    try:
        partial.mkdir()
        yield partial / path.name
        put_in_place(partial / path.name, path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def lower_case(path: Path) -> Iterator[Path]:
    """Give the name of `path` in lower case, for libraries that know formats by it, and rename what they write.

    Examples
    --------
    >>> with lower_case(Path("HEART.NII.GZ")) as path:
    ...     _ = path.write_text("all of it")
    >>> path.name, Path("HEART.NII.GZ").read_text()
    ('heart.nii.gz', 'all of it')
    """
    low = path.with_name(path.name.lower())
    yield low
    low.replace(path)


def put_in_place(partial: Path, path: Path) -> None:
    """Rename the file or directory `partial` to `path` once all of it is on the disk.

    Raises
    ------
    OSError
        If it can't be renamed.

    Examples
    --------
    >>> partial = partial_name(Path("notes.txt"))
    >>> _ = partial.write_text("all of it")
    >>> put_in_place(partial, Path("notes.txt"))
    >>> [path.name for path in Path().iterdir()]
    ['notes.txt']
    """
    (sync_tree if partial.is_dir() else sync)(partial)
    partial.replace(path)
    sync_directory(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file, in UTF-8, whole or not at all.

    Raises
    ------
    InputError
        If it can't be written; an earlier file stays.

    Examples
    --------
    >>> write_text(Path("notes.txt"), "all of it")
    >>> read_text(Path("notes.txt"))
    'all of it'
    """
    write_texts({path: text})


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write several text files that belong together: all are on the disk before the first one takes its place.

    Raises
    ------
    InputError
        If one can't be written; the earlier files stay, all of them.

    Examples
    --------
    >>> write_texts({Path("scores.csv"): "dice", Path("summary.json"): "{}"})
    >>> sorted(path.name for path in Path().iterdir())
    ['scores.csv', 'summary.json']
    """
    moves = {partial_name(path): path for path in texts}
    try:
        for partial, path in moves.items():
            with _beside(partial, path) as file:
                file.write(texts[path].encode("utf-8", "replace"))
        put_all(moves)
    finally:
        for partial in moves:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


@contextmanager
def _beside(partial: Path, path: Path) -> Iterator[IO[bytes]]:
    """Give the new file `partial` to write, which is on the disk when the block ends; errors name `path`."""
    try:
        # Never through a link that lies there already, as a folder that was received may hold some.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(partial, flags, 0o666), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from None


@contextmanager
def whole(root: Path) -> Iterator[Path]:
    """Give a new directory beside `root`, which becomes `root` when the block ends, and is deleted if it fails.

    A process that is killed meanwhile leaves at most an empty `root`, so that the same command can be given again.

    Raises
    ------
    InputError
        If `root` is not empty, can't be made, or is where a disk is mounted.

    Examples
    --------
    >>> with whole(Path("run")) as place:
    ...     write_text(place / "run.json", "{}")
    >>> Path("run/run.json").is_file()
    True
    """
    claim(root)  # its complaints come before the work
    parent = root.resolve().parent
    sweep(parent)
    partial = partial_name(root.resolve())
    try:
        if root.resolve().is_mount():  # before hours of work: nothing can be renamed to its place
            raise InputError(f"{root}: is a disk of its own, allowed is a folder in it; name a new one there")
        try:
            partial.mkdir()
        except OSError as error:
            raise cannot_write(parent, error) from None
        yield partial
        sync_tree(partial)
        partial.replace(root.resolve())
        sync_directory(root.resolve().parent)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process was there first
            _must_be_empty(root)
        raise cannot_write(root, error) from None
    except InputError as error:
        if str(partial) not in str(error):
            raise
        raise type(error)(str(error).replace(str(partial), str(root))) from None  # nobody knows the hidden name
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):
            root.rmdir()  # empty, where it failed


@contextmanager
def together(folder: Path, *, new: bool = False) -> Iterator[Path]:
    """Give a new directory, whose files are moved into `folder` when the block ends, all of them or none.

    All are on the disk before the first one is renamed. Files of other names stay in `folder`, and where other
    processes do the same there, the files of two are not mixed.

    Parameters
    ----------
    folder
        Made where it is missing; gone again where nothing is written.
    new
        Whether no earlier file may be replaced.

    Raises
    ------
    InputError
        If they can't be written, or with `new` a file of such a name is there; earlier files stay.

    Examples
    --------
    >>> write_text(Path("notes.txt"), "mine")
    >>> with together(Path()) as place:
    ...     write_text(place / "a.csv", "1")
    ...     write_text(place / "b.csv", "2")
    >>> sorted(path.name for path in Path().iterdir())
    ['a.csv', 'b.csv', 'notes.txt']
    """
    there = folder.is_dir()
    make_directory(folder)
    # In the folder: what a killed process leaves is deleted when it is used next, and it may be another disk.
    partial = partial_name(folder / "files")
    try:
        partial.mkdir()
        yield partial
        sync_tree(partial)
        put_all({path: folder / path.name for path in sorted(partial.iterdir())}, new=new)
    except OSError as error:
        raise cannot_write(folder, error) from None
    except InputError as error:
        if str(partial) not in str(error):
            raise
        raise type(error)(str(error).replace(str(partial), str(folder))) from None  # nobody knows the hidden name
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if not there:
            with suppress(OSError):
                folder.rmdir()  # empty, where it failed


def claim(root: Path) -> None:
    """Make directory `root`, which must be new or empty; a lock's files do not count.

    Raises
    ------
    InputError
        If it holds something, can't be made, or would be read as an image or label (`must_not_be_read`).

    Examples
    --------
    >>> write_text(Path("notes.txt"), "mine")
    >>> claim(Path())
    Traceback (most recent call last):
    maskmixadv.errors.InputError: .: already holds 'notes.txt'; name a new or an empty directory
    """
    must_not_be_read(root)
    make_directory(root)
    _must_be_empty(root)


def must_not_be_read(out: Path) -> None:
    """Check that outputs in `out` would not be read as images, strokes or masks of a folder or data set later.

    Raises
    ------
    InputError
        If `out` is, or lies in, ``images``, ``scribbles`` or ``masks`` of a folder of images, or ``imagesTr`` or
        ``labelsTr`` of a raw data set of nnU-Net. Hidden folders there are not read.

    Examples
    --------
    >>> for part in ("images", "masks"):
    ...     make_directory(Path("mine") / part)
    >>> must_not_be_read(Path("mine/labels"))
    >>> must_not_be_read(Path("mine/images/labels"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: mine/images/labels: lies in mine/images, which is read as images of mine; name ...
    """
    for root in (out.absolute(), out.resolve()):  # either may be the one that goes through a link
        for place in (root, *root.parents):
            if place.name in _READ and _is_read(place) and not _hidden(root, place):
                shown = _shorter(place)
                lies = "is" if place == root else f"lies in {shown}, which is"
                told = f"{lies} read as {_READ[place.name]} of {shown.parent}"
                raise InputError(f"{out}: {told}; name another directory for outputs")


def _is_read(place: Path) -> bool:
    """Whether there is something beside a folder of this name that makes it part of the sources of a corpus."""
    if place.name in _OF_NNUNET:
        return (place.parent / "dataset.json").is_file()
    beside = [name for name in _READ if name not in ("images", *_OF_NNUNET)]
    images = (place.parent / "images").is_dir()
    return images and any(os.path.lexists(place.parent / name) for name in (*beside, "classes.toml"))


def _hidden(root: Path, place: Path) -> bool:
    """Whether `root`, which is `place` or lies in it, lies in a hidden folder there."""
    return any(part.startswith(".") for part in root.relative_to(place).parts)


def _shorter(path: Path) -> Path:
    """Return a path from the working directory, where it lies in there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _must_be_empty(root: Path) -> None:
    taken = next((path for path in root.iterdir() if path.name not in (LOCK, HOLDER)), None)
    if taken is not None:
        raise InputError(f"{root}: already holds {taken.name!r}; name a new or an empty directory")


def make_directory(root: Path) -> None:
    """Make directory `root` if it is missing, and delete what killed processes left in it (`sweep`).

    Raises
    ------
    InputError
        If it can't be made.

    Examples
    --------
    >>> make_directory(Path("a/b"))
    >>> Path("a/b").is_dir()
    True
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        kind = InputError if isinstance(error, FileExistsError | NotADirectoryError) else UnwritableError
        raise kind(f"{root}: can't be made a directory ({error.strerror})") from None
    sweep(root)


def sweep(folder: Path) -> None:
    """Delete unfinished files in `folder` (`partial_name`) of processes of this machine that have ended.

    Examples
    --------
    >>> write_text(Path("notes.txt"), "mine")
    >>> partial_name(Path("table.csv")).touch()
    >>> sweep(Path())  # this process is alive: its unfinished file stays
    >>> len(list(Path().iterdir()))
    2
    """
    with suppress(OSError):
        for path in folder.iterdir():
            writer = _writer(path.name)
            if writer is not None and not _alive(writer):
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def set_aside(path: Path) -> Path:
    """Rename a file that another one takes the place of, so that nothing is lost; returns its new path.

    Raises
    ------
    InputError
        If it can't be renamed.

    Examples
    --------
    >>> for text in ("one", "two"):
    ...     write_text(Path("a.nrrd"), text)
    ...     print(set_aside(Path("a.nrrd")))
    a.nrrd.bak
    a.nrrd.1.bak
    """
    names = (f"{path.name}.{number}.bak" if number else f"{path.name}.bak" for number in count())
    kept = next(place for name in names if not (place := path.with_name(name)).exists())
    try:
        path.rename(kept)
    except OSError as error:
        raise cannot_write(path, error) from None
    return kept


def _writer(name: str) -> int | None:
    """Return the process of this machine that is in a name of `partial_name`; None for other names."""
    parts = name.split("-", 4)
    ours = len(parts) == 5 and parts[:2] == [PARTIAL, HOST] and set(parts[3]) <= set(string.hexdigits)
    return int(parts[2]) if ours and parts[2].isdecimal() else None


def nameless(folder: Path) -> IO[bytes]:
    """Open a new file without a name on the disk of `folder`, for bytes; it is gone when it is closed.

    Nobody takes it for a whole file, and nothing of it is left when the process is killed. Writes are not buffered.

    Raises
    ------
    OSError
        If it can't be made.

    Examples
    --------
    >>> with nameless(Path()) as file:
    ...     _ = file.write(b"slices")
    ...     list(Path().iterdir())
    []
    """
    return tempfile.TemporaryFile(dir=folder, buffering=0)  # type: ignore[return-value]


# One at a time.


@contextmanager
def held(place: Path, *, name: str = LOCK, wait: bool = False) -> Iterator[None]:
    """Lock directory `place` for this process; the system unlocks it if the process dies.

    Parameters
    ----------
    place
        An existing directory.
    name
        Name of the lock's file in it; another one than the default locks only what goes by that name.
    wait
        Whether to wait, with a line on stderr, for another process that holds the lock.

    Raises
    ------
    InputError
        If another process holds the lock and `wait` is false (the line says which one), or no lock can be made.

    Examples
    --------
    >>> with held(Path()), held(Path()):
    ...     pass
    Traceback (most recent call last):
    maskmixadv.errors.InputError: .: in use by process ...; wait for it, or stop it
    """
    holder = place / f"{name}.holder"
    lock = FileLock(place / name, thread_local=False)  # a generator may end in another thread than it began in
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise InputError(f"{place}: in use by {_holder(holder)}; wait for it, or stop it") from None
            say(f"{place}: waiting for {_holder(holder)}")
            lock.acquire()
    except OSError as error:
        raise cannot_write(place, error, done="locked") from None
    try:
        sweep(place)
        with suppress(InputError):  # who holds it can't be said then
            write_text(holder, _myself())
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def in_use(place: Path) -> bool:
    """Whether a process holds directory `place` (`held`), as a training that goes on does its run.

    Examples
    --------
    >>> with held(Path()):
    ...     in_use(Path())
    True
    >>> in_use(Path())
    False
    """
    if not (place / HOLDER).is_file():
        return False
    lock = FileLock(place / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # as in a folder that may only be read
        return False
    lock.release()
    return False


def tell_holder(place: Path, more: str) -> None:
    """Add `more` to what others are told who find `place` locked; the lock must be held by this process.

    Examples
    --------
    >>> with held(Path()):
    ...     tell_holder(Path(), "port 8000")
    ...     with held(Path()):
    ...         pass
    Traceback (most recent call last):
    maskmixadv.errors.InputError: .: in use by process ... (maskmixadv...), port 8000; wait for it, or stop it
    """
    with suppress(InputError):
        write_text(place / f"{LOCK}.holder", f"{_myself()}, {more}")


def _myself() -> str:
    what = " ".join(["maskmixadv", *sys.argv[1:]])[:200]
    return f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')} ({what})"


def _holder(path: Path) -> str:
    try:
        text = path.read_bytes()[:500].decode(errors="replace")
    except OSError:
        text = ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()) or "another process"


# Names.


def check_name(name: object, where: str) -> str:
    """Return `name` if it is a valid file name: no path, not hidden, of printable characters.

    Parameters
    ----------
    name
        Up to 200 bytes.
    where
        Beginning of the error's text.

    Raises
    ------
    InputError
        If it is none.

    Examples
    --------
    >>> check_name("patient 7", "corpus.json: case")
    'patient 7'
    >>> check_name("../secret", "corpus.json: case")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: corpus.json: case: name '../secret', allowed is up to 200 bytes ...
    """
    if (
        not isinstance(name, str)
        or not name.isprintable()
        or not name.strip()
        or name.startswith(".")
        or {"/", "\\", "\0"} & set(name)
        or len(name.encode("utf-8", "replace")) > LONGEST_NAME
    ):
        raise InputError(
            f"{where}: name {str(name)[:60]!r}, allowed is up to {LONGEST_NAME} bytes of printable characters without "
            "/ or \\, no dot first"
        )
    return name


# Reading, bounded.


def read_bytes(path: Path, *, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes.

    Raises
    ------
    InputError
        If it is missing, no regular file, unreadable, or larger.

    Examples
    --------
    >>> write_text(Path("notes.txt"), "all of it")
    >>> read_bytes(Path("notes.txt"), most=4)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: notes.txt: more than 4 bytes, which is the most
    """
    try:
        if "\0" in str(path):
            raise InputError(f"{str(path)!r}: can't be read (a NUL in its name)")
        if not path.is_file():  # a pipe would never end
            raise InputError(f"{path}: {no_file(path)}")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from None
    except ValueError as error:  # a name that this system can't have
        raise InputError(f"{str(path)!r}: can't be read ({error})") from None
    if len(content) > most:
        raise InputError(f"{path}: more than {most} bytes, which is the most")
    return content


def no_file(path: Path) -> str:
    """Say what is there in place of a regular file, whose content can be read up to its end.

    Examples
    --------
    >>> no_file(Path("missing.png")), no_file(Path("/dev/null"))
    ('no such file', 'is a device, allowed is a regular file; save what it gives as one')
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # missing, or a name that this system can't have
        return "no such file"
    if kind := _SPECIAL.get(stat.S_IFMT(mode)):
        return f"is a {kind}, allowed is a regular file; save what it gives as one"
    return "no such file, but a folder" if stat.S_ISDIR(mode) else "no such file"


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal.

    Raises
    ------
    OSError
        If it can't be read.

    Examples
    --------
    >>> write_text(Path("notes.txt"), "all of it")
    >>> sha256(Path("notes.txt"))[:8]
    '07630777'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path, *, most: int = MOST_TEXT) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Raises
    ------
    InputError
        If `read_bytes` would, or if it is not UTF-8.

    Examples
    --------
    >>> Path("notes.txt").write_bytes("Größe".encode("latin-1"))
    5
    >>> read_text(Path("notes.txt"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: notes.txt: not a text in UTF-8 (invalid start byte at byte 2)
    """
    try:
        return read_bytes(path, most=most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text in UTF-8 ({error.reason} at byte {error.start})") from None


def read_json(path: Path, *, most: int = MOST_TEXT) -> Any:  # noqa: ANN401
    """Return the content of a JSON file.

    Raises
    ------
    InputError
        If it is missing, larger than `most` bytes, nested too deeply, or no JSON. NaN and infinity are no JSON.

    Examples
    --------
    >>> write_text(Path("a.json"), '{"dice": NaN}')
    >>> read_json(Path("a.json"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.json: not readable JSON (NaN is no JSON)
    """
    text = read_text(path, most=most)
    try:
        raw = json.loads(text, parse_constant=_no_constant)
        if "\\ud" in text.lower():
            json.dumps(raw, ensure_ascii=False).encode()  # halves of characters can't be written again
    except RecursionError:
        raise InputError(f"{path}: not readable JSON (nested too deeply)") from None
    except (ValueError, MemoryError) as error:
        raise InputError(f"{path}: not readable JSON ({' '.join(str(error).split())[:200]})") from None
    return raw


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises
    ------
    InputError
        If it is missing, larger than `MOST_TOML` bytes, nested too deeply, or no TOML.

    Examples
    --------
    >>> write_text(Path("table.toml"), "steps = 8000")
    >>> read_toml(Path("table.toml"))
    {'steps': 8000}
    """
    text = read_text(path, most=MOST_TOML)
    if any(max(line.count("."), line.count("["), line.count("{")) > MOST_NESTED for line in text.splitlines()):
        raise InputError(f"{path}: not readable TOML (more than {MOST_NESTED} dots or brackets in a line)")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{path}: not readable TOML (nested too deeply)") from None
    except (ValueError, MemoryError) as error:
        raise InputError(f"{path}: not readable TOML (not valid TOML: {' '.join(str(error).split())[:200]})") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


# Work ahead.


def work_ahead(
    do: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    threads: int,
    size: Callable[[_Item], int] = lambda _: 0,
) -> Iterator[_Result]:
    """Yield ``do(item)`` for each of `items`, in order, while `threads` threads work ahead.

    At most two results a thread wait to be taken, as results are volumes; of large ones fewer. One that takes more than
    `AHEAD` bytes is worked on alone, and taken before the next item is asked for.

    Parameters
    ----------
    do
        What to do with an item, in one of the threads.
    items
        The items.
    threads
        Number of threads.
    size
        About how many bytes an item and its result take in memory.

    Examples
    --------
    >>> list(work_ahead(abs, [-3, -2, -1], threads=2))
    [3, 2, 1]
    """
    waiting: deque[tuple[Future[_Result], int]] = deque()

    def full(needed: int = 0) -> bool:
        return len(waiting) == 2 * threads or sum(each for _, each in waiting) + needed > AHEAD

    with ThreadPoolExecutor(max_workers=threads) as pool:
        for item in items:
            needed = size(item)
            while waiting and full(needed):
                yield waiting.popleft()[0].result()
            waiting.append((pool.submit(do, item), needed))
            del item  # else it would stay in memory while the next one comes
            while waiting and full():
                yield waiting.popleft()[0].result()
        while waiting:
            yield waiting.popleft()[0].result()


def _alive(pid: int) -> bool:
    if sys.platform == "win32":  # where signal 0 would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
