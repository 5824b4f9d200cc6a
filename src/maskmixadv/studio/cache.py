"""What was read lately: kept while the file stays as it is, and up to so many bytes."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Generic, TypeVar

from maskmixadv.errors import InputError
from maskmixadv.studio.memory import within_memory

Content = TypeVar("Content")
Stamp = tuple[Path, int, int]


def stamp(path: Path) -> Stamp:
    """Name one state of a file's content: path, time of the last change in ns, size in bytes.

    Raises
    ------
    InputError
        Where it is not there any more.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from None
    return path, facts.st_mtime_ns, facts.st_size


class FileCache(Generic[Content]):
    """Files' contents by their stamps; the one that was not asked for longest goes first.

    Parameters
    ----------
    read
        Makes the content of a path.
    size
        How many bytes a content takes.
    limit
        How many bytes all may take; the latest stays in any case.
    """

    def __init__(self, read: Callable[[Path], Content], size: Callable[[Content], int], limit: int) -> None:
        self._read, self._size, self._limit = read, size, limit
        self._held: OrderedDict[Stamp, Content] = OrderedDict()
        self._lock = RLock()

    def get(self, path: Path) -> Content:
        """Content of `path`; one thread at a time reads, so that none reads what another is reading.

        Raises
        ------
        InputError
            Where it can't be read, also for want of memory.
        """
        with self._lock:
            key = stamp(path)
            if key not in self._held:
                with within_memory(path):
                    self._hold(key, self._read(path))
            self._held.move_to_end(key)
            return self._held[key]

    def put(self, path: Path, thing: Content) -> None:
        """Note that `path` holds `thing` now."""
        with self._lock:
            for key in [key for key in self._held if key[0] == path]:
                del self._held[key]
            self._hold(stamp(path), thing)

    def _hold(self, key: Stamp, thing: Content) -> None:
        self._held[key] = thing
        while len(self._held) > 1 and sum(map(self._size, self._held.values())) > self._limit:
            self._held.popitem(last=False)
