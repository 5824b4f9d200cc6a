"""Files: whole or not at all, one writer at a time, names that are names, and reading that is bounded.

Whatever the package writes goes through here. A file is written beside its place under a name that nobody can have
prepared, brought to the disk, and renamed; a kill or a full disk leaves what was there before. What a killed process
left behind is swept away by the next one. Nothing here imports torch.
"""

import json
import os
import re
import shutil
import socket
import sys
import time
import tomllib
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from filelock import FileLock, Timeout

from maskmixadv.errors import InputError

LOCK, HOLDER = ".lock", ".lock.holder"
"""Files of a directory that is in use: the lock, and who has it."""
MOST_TEXT: Final = 64 * 2**20
"""Bytes of a JSON file."""
MOST_TOML: Final = 2**20
"""Bytes of a TOML file, which people write."""
MOST_NESTED: Final = 200
"""Dots, or opening brackets, in one line of a TOML file; its parser's work grows with their square."""
LONGEST_NAME: Final = 200
"""Bytes of a name: file systems take 255, of which suffixes need some."""

_PARTIAL: Final = re.compile(r"\.partial-([0-9a-f]+)-(\d+)-[0-9a-f]+-.*", re.DOTALL)
_HOST: Final = f"{zlib.crc32(socket.gethostname().encode()):x}"
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


# Writing: whole or not at all.


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """Give a binary file to write, which becomes `path` if what follows succeeds, and is gone if it fails.

    Raises
    ------
    InputError
        Where it can't be written; what was there stays.

    Examples
    --------
    >>> with written(Path("notes.bin")) as file:
    ...     _ = file.write(b"all of it")
    """
    partial = partial_name(path)
    try:
        # Never through a link that lies there already, as a folder that was received may hold some.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(partial, flags, 0o666), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a path with the name of `path`, for libraries that go by names; what they write there becomes `path`.

    Raises
    ------
    InputError
        Where it can't be written; what was there stays.
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


def put_in_place(partial: Path, path: Path) -> None:
    """Rename `partial` to `path` once all of it is on the disk; raises OSError where it can't be."""
    _sync(partial)
    partial.replace(path)
    _sync_directory(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file, in UTF-8, whole or not at all.

    Raises
    ------
    InputError
        Where it can't be written; what was there stays.
    """
    write_texts({path: text})


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write several text files that belong together: all are on the disk before the first one takes its place.

    Raises
    ------
    InputError
        Where one can't be written; what was there stays, of all of them.
    """
    with ExitStack() as stack:
        for path, text in texts.items():
            file = stack.enter_context(written(path))
            file.write(text.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def whole(root: Path) -> Iterator[Path]:
    """Give a new directory beside `root`, which becomes `root` if what follows succeeds, and is gone if it fails.

    A process that is killed meanwhile leaves `root` empty at most, so that the same command can be given again.

    Raises
    ------
    InputError
        Where `root` holds something already, or can't be made.
    """
    claim(root)  # its complaints come before the work
    sweep(root.resolve().parent)
    partial = partial_name(root.resolve())
    try:
        partial.mkdir()
        yield partial
        _sync_tree(partial)
        partial.replace(root.resolve())
        _sync_directory(root.resolve().parent)
    except OSError as error:
        raise cannot_write(root, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):
            root.rmdir()  # empty, where it failed


@contextmanager
def together(folder: Path) -> Iterator[Path]:
    """Give a new directory whose files take their places in `folder` if what follows succeeds, all of them or none.

    All are on the disk before the first one is renamed; files of other names stay where they are in `folder`.

    Raises
    ------
    InputError
        Where they can't be written; what was there stays.
    """
    make_directory(folder)
    partial = partial_name(folder.resolve())
    try:
        partial.mkdir()
        yield partial
        _sync_tree(partial)
        for path in sorted(partial.iterdir()):
            path.replace(folder / path.name)
        _sync_directory(folder)
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def claim(root: Path) -> None:
    """Make directory `root`, which must be new or empty.

    Raises
    ------
    InputError
        Where something is there already, or it can't be made.
    """
    make_directory(root)
    taken = next((path for path in root.iterdir() if path.name not in (LOCK, HOLDER)), None)
    if taken is not None:
        raise InputError(f"{root}: already holds {taken.name!r}; name a new or an empty directory")


def make_directory(root: Path) -> None:
    """Make directory `root` where it is missing, and sweep away what killed processes left in it.

    Raises
    ------
    InputError
        Where it can't be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{root}: can't be made a directory ({error.strerror})") from None
    sweep(root)


def sweep(folder: Path) -> None:
    """Delete what processes of this machine that are no more were writing in `folder` when they were killed."""
    with suppress(OSError):
        for path in folder.iterdir():
            found = _PARTIAL.fullmatch(path.name)
            if found and found[1] == _HOST and not _alive(int(found[2])):
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def partial_name(path: Path) -> Path:
    """Name beside `path` for what is not whole yet: hidden, this process's own, and new each time."""
    return path.with_name(f".partial-{_HOST}-{os.getpid()}-{uuid.uuid4().hex[:12]}-{path.name[:80]}")


def cannot_write(path: Path, error: Exception) -> InputError:
    """What to say where `path` could not be written."""
    reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{path}: can't be written ({reason}); free space or name another place")


# One at a time.


@contextmanager
def held(place: Path, *, name: str = LOCK, wait: bool = False) -> Iterator[None]:
    """Hold directory `place` for this process alone; the system lets go of it where the process dies.

    Parameters
    ----------
    place
        A directory that is there.
    name
        Of the lock's file in it, where something in the directory is to be held and not all of it.
    wait
        Whether to wait, with a line on stderr, for another process that holds it.

    Raises
    ------
    InputError
        Where another process holds it and `wait` is false: the line says which one. Where no lock can be made.
    """
    holder = place / f"{name}.holder"
    lock = FileLock(place / name, thread_local=False)  # a generator may end in another thread than it began in
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise InputError(f"{place}: in use by {_holder(holder)}; wait for it, or stop it") from None
            print(f"{place}: waiting for {_holder(holder)}", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        raise InputError(f"{place}: can't be locked ({error.strerror}); free space or name another place") from None
    try:
        sweep(place)
        with suppress(InputError):  # who holds it can't be said then
            write_text(holder, _myself())
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


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
    """Return `name` if it names a file in a folder: no path, not hidden, of printable characters.

    Parameters
    ----------
    where
        Whose name it is, for the error's text.

    Raises
    ------
    InputError
        Where it is not one.
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
    """Content of a file of at most `most` bytes.

    Raises
    ------
    InputError
        Where it is missing, no file, can't be read, or is larger.
    """
    try:
        if not path.is_file():  # a pipe would never end
            raise InputError(f"{path}: no such file")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from None
    except ValueError as error:  # a name with a NUL
        raise InputError(f"{str(path)!r}: can't be read ({error})") from None
    if len(content) > most:
        raise InputError(f"{path}: more than {most} bytes, which is the most")
    return content


def read_text(path: Path, *, most: int = MOST_TEXT) -> str:
    """Text of a UTF-8 file; raises as `read_bytes`, and where it is not UTF-8."""
    try:
        return read_bytes(path, most=most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text in UTF-8 ({error.reason} at byte {error.start})") from None


def read_json(path: Path, *, most: int = MOST_TEXT) -> Any:  # noqa: ANN401
    """Content of a JSON file.

    Raises
    ------
    InputError
        Where it is missing, larger than `most` bytes, nested too deeply, or no JSON; NaN and infinity are none.
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


def read_toml(path: Path, *, most: int = MOST_TOML) -> dict[str, Any]:
    """Content of a TOML file.

    Raises
    ------
    InputError
        Where it is missing, larger than `most` bytes, nested too deeply, or no TOML.
    """
    text = read_text(path, most=most)
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


def work_ahead(do: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int) -> Iterator[_Result]:
    """Yield what `do` makes of each of `items`, in order; `threads` threads work ahead.

    No more than two results a thread wait to be taken, however slowly that goes, as results are volumes.
    """
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for item in items:
            waiting.append(pool.submit(do, item))
            if len(waiting) == 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


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


def _sync(path: Path) -> None:
    """Bring a file's content to the disk, so that its new name never comes before it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_tree(root: Path) -> None:
    for folder, _, names in os.walk(root):
        for name in names:
            _sync(Path(folder, name))
        _sync_directory(Path(folder))


def _sync_directory(folder: Path) -> None:
    """Bring a directory's names to the disk; not everywhere can a directory be opened."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
