"""Files that are written under another name first, and then renamed to their places: several of them all or none.

Names of unfinished files say which process writes them. Nothing here imports torch.
"""

import errno
import os
import socket
import sys
import uuid
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError, UnwritableError

PARTIAL: Final = ".partial"
"""Begin of the names of unfinished files."""
HOST: Final = f"{zlib.crc32(socket.gethostname().encode()):x}"
"""This machine in these names."""


def put_all(moves: Mapping[Path, Path], *, new: bool = False) -> None:
    """Rename files to their places, all of them or none.

    Where one can't be renamed, or the program is interrupted, earlier files are put back. Other processes that do so in
    the same folders wait, so that the files of two are not mixed; not on systems that can't lock a folder.

    Parameters
    ----------
    moves
        The place of each file, by where it is.
    new
        Whether no place may hold a file.

    Raises
    ------
    InputError
        If a file can't be renamed, or with `new` a file is there.

    Examples
    --------
    >>> partial = partial_name(Path("notes.txt"))
    >>> _ = partial.write_text("all of it")
    >>> put_all({partial: Path("notes.txt")})
    >>> Path("notes.txt").read_text()
    'all of it'
    """
    several = len(moves) > 1
    folders = {path.parent for path in moves.values()}
    with _alone(folders if several or new else ()), _as_before() as done:
        for partial, path in moves.items():
            if new and os.path.lexists(path):
                raise InputError(f"{path}: exists, allowed is a name that is free; move it, or give another folder")
            try:
                if several:
                    done[path] = _kept(path)
                partial.replace(path)
            except OSError as error:
                raise cannot_write(path, error) from None
    for folder in folders:
        sync_directory(folder)


@contextmanager
def _as_before() -> Iterator[dict[Path, Path | None]]:
    """Give a dictionary for where earlier files are kept, by their places; if the block fails, they are put back.

    None stands for a place that held no file.
    """
    done = dict[Path, Path | None]()
    try:
        yield done
    except BaseException:
        for path, earlier in done.items():
            with suppress(OSError):
                path.unlink(missing_ok=True) if earlier is None else earlier.replace(path)
        raise
    finally:
        for earlier in filter(None, done.values()):
            with suppress(OSError):
                earlier.unlink(missing_ok=True)


def _kept(path: Path) -> Path | None:
    """Give an earlier file a second, hidden name, and return that; None where there is none."""
    if not os.path.lexists(path) or (path.is_dir() and not path.is_symlink()):
        return None
    kept = partial_name(path)
    try:
        os.link(path, kept, follow_symlinks=False)
    except (OSError, NotImplementedError):  # some file systems know no second names
        path.rename(kept)
    return kept


@contextmanager
def _alone(folders: Collection[Path]) -> Iterator[None]:
    """Wait for other processes that are in this block with one of `folders`, where the system can lock a folder."""
    with ExitStack() as stack:
        if sys.platform != "win32":
            import fcntl

            for folder in sorted(each.resolve() for each in folders):
                with suppress(OSError):
                    number = os.open(folder, os.O_RDONLY)
                    stack.callback(os.close, number)  # which unlocks it
                    fcntl.flock(number, fcntl.LOCK_EX)
        yield


def partial_name(path: Path) -> Path:
    """Return a name beside `path` for an unfinished file: hidden, with this process's number, and new each time.

    Examples
    --------
    >>> partial_name(Path("out/table.csv"))
    PosixPath('out/.partial-...-table.csv')
    """
    return path.with_name(f"{PARTIAL}-{HOST}-{os.getpid()}-{uuid.uuid4().hex[:12]}-{cut(path.name, 80)}")


def cut(name: str, most: int) -> str:
    """Return a name's beginning of at most `most` bytes: file systems count bytes, and a character may have four.

    Examples
    --------
    >>> cut("Größe", 4)
    'Grö'
    """
    return os.fsencode(name)[:most].decode(errors="ignore")


def cannot_write(path: Path, error: Exception, *, done: str = "written") -> UnwritableError:
    """Return the error that says why `path` could not be written, in one line.

    Parameters
    ----------
    path
        The file, or the folder.
    error
        Why.
    done
        What could not be done with it.

    Examples
    --------
    >>> cannot_write(Path("a.nii"), OSError(28, "No space left on device"))
    UnwritableError("a.nii: can't be written (No space left on device); free space or name another place")
    """
    number = error.errno if isinstance(error, OSError) else None
    return UnwritableError(f"{path}: can't be {done} ({reason_of(error)}); {remedy(number)}name another place", number)


def reason_of(error: Exception) -> str:
    """Return in a few words why something could not be written.

    Examples
    --------
    >>> reason_of(OSError(13, "Permission denied")), reason_of(EOFError())
    ('Permission denied', 'EOFError')
    """
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def remedy(number: int | None, then: str = " or ") -> str:
    """Return what mends an error of the system, and what `then` joins to it; nothing where that is not known.

    Parameters
    ----------
    number
        The system's number of the error; None where it is not known.
    then
        What follows.

    Examples
    --------
    >>> [remedy(number) for number in (errno.ENOSPC, errno.EACCES, errno.ENOENT, None)]
    ['free space or ', 'allow writing there or ', 'make its folder again or ', '']
    """
    for numbers, told in _REMEDIES.items():
        if number in numbers:
            return told + then
    return ""


_REMEDIES: Final = {
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG): "free space",
    (errno.EACCES, errno.EPERM, errno.EROFS): "allow writing there",
    (errno.ENOENT, errno.ENOTDIR): "make its folder again",
}
"""What mends errors of the system, by their numbers."""


def sync(path: Path) -> None:
    """Bring a file's content to the disk, so that its new name never comes before it.

    Examples
    --------
    >>> _ = Path("notes.txt").write_text("all of it")
    >>> sync(Path("notes.txt"))
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_tree(root: Path) -> None:
    """Bring a directory and what is in it to the disk.

    Examples
    --------
    >>> _ = Path("notes.txt").write_text("all of it")
    >>> sync_tree(Path())
    """
    for folder, _, names in os.walk(root):
        for name in names:
            sync(Path(folder, name))
        sync_directory(Path(folder))


def sync_directory(folder: Path) -> None:
    """Bring a directory's names to the disk; not everywhere can a directory be opened.

    Examples
    --------
    >>> sync_directory(Path())
    """
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
