"""A cache of files' contents: each is kept while its file does not change, up to a number of bytes."""

import os
import stat
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Final, Generic, TypeVar

from maskmixadv.errors import InputError
from maskmixadv.studio.memory import within_memory

Content = TypeVar("Content")
Stamp = tuple[Path, int, int, int]
"""One state of a file's content: path, time of the last change in ns, size in bytes, and when its entry last changed.

Files out of one archive may have one time and one size. That of the entry tells them apart when they are renamed."""
FRESH: Final = 2.0
"""Seconds in which the files of a folder are looked at once."""


def stamp(path: Path) -> Stamp:
    """Identify the present state of a file's content, or of a folder's files.

    A folder whose list of files stays as it was is looked into again after `FRESH` seconds, as it may have hundreds.

    Raises
    ------
    InputError
        If the file is gone.
    """
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            return _of_folder(path, facts.st_mtime_ns, int(time.monotonic() / FRESH))
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from None
    return path, facts.st_mtime_ns, facts.st_size, facts.st_ctime_ns


@lru_cache(maxsize=4096)
def _of_folder(path: Path, changed: int, _: int) -> Stamp:
    with os.scandir(path) as inside:
        facts = [each.stat() for each in inside if each.is_file()]
    newest = max([changed, *(each.st_mtime_ns for each in facts)])
    entries = max((each.st_ctime_ns for each in facts), default=0)
    return path, newest, sum(each.st_size for each in facts), entries


class FileCache(Generic[Content]):
    """Contents of files; the least recently used one is dropped first.

    Parameters
    ----------
    read
        Reads the content of a path, or of several that are one content.
    size
        Returns how many bytes a content takes.
    limit
        How many bytes all contents may take; the latest one always stays.
    """

    def __init__(self, read: Callable[..., Content], size: Callable[[Content], int], limit: int) -> None:
        self._read, self._size, self._limit = read, size, limit
        self._held: OrderedDict[tuple[Stamp, ...], tuple[Content, int]] = OrderedDict()
        self._bytes = 0
        self._lock = RLock()

    def get(self, *paths: Path) -> Content:
        """Return the content of `paths`; one thread at a time reads, so that no file is read twice.

        Raises
        ------
        InputError
            If it can't be read, or takes too much memory.
        """
        with self._lock:
            key = tuple(map(stamp, paths))
            if key not in self._held:
                with within_memory(paths[0]):
                    self._hold(key, self._read(*paths))
            self._held.move_to_end(key)
            return self._held[key][0]

    def holds(self, *paths: Path) -> bool:
        """Return whether `get` would return at once; never waits for a read."""
        return tuple(map(stamp, paths)) in self._held

    def drop(self, *paths: Path) -> None:
        """Forget the content of `paths`, as where it depends on another file, which has changed."""
        with self._lock:
            held = self._held.pop(tuple(map(stamp, paths)), None)
            self._bytes -= held[1] if held else 0

    def put(self, content: Content, *paths: Path) -> None:
        """Keep the content that was just written to the first of `paths`, which are those that `get` is asked for."""
        with self._lock:
            for key in [key for key in self._held if key[0][0] == paths[0]]:
                self._bytes -= self._held.pop(key)[1]
            self._hold(tuple(map(stamp, paths)), content)

    def _hold(self, key: tuple[Stamp, ...], content: Content) -> None:
        self._held[key] = content, self._size(content)
        self._bytes += self._held[key][1]
        while len(self._held) > 1 and self._bytes > self._limit:
            self._bytes -= self._held.popitem(last=False)[1][1]
