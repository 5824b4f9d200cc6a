"""Arrays that take long to make, kept in directories under the hash of all that they depend on."""

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import ClassVar

import numpy as np

from maskmixadv.errors import InputError
from maskmixadv.files import held, make_directory, written
from maskmixadv.formats.reading import read_npz


class ArrayCache:
    """Labels or beliefs in the first of several directories that can be written.

    Parameters
    ----------
    folders
        Where to look and, in this order, where to write. The first one is locked while something is made for it.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def read(self, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """Labels (d h w) or beliefs (d k h w) of `shape` (d h w) that were kept, unless they are damaged."""
        for folder in self._folders:
            with contextlib.suppress(OSError, InputError, KeyError):
                labels = read_npz(folder / name)["labels"]
                if labels.ndim > 2 and (labels.shape[0], *labels.shape[-2:]) == shape and labels.dtype == np.uint8:
                    return labels
        return None

    def keep(self, name: str, labels: np.ndarray) -> np.ndarray:
        """Write labels or beliefs into the first directory that takes them; else they are only used."""
        for folder in self._folders:
            with contextlib.suppress(OSError, InputError):
                make_directory(folder)
                with written(folder / name) as file:
                    np.savez_compressed(file, labels=labels)
                break
        return labels

    @contextmanager
    def turn(self) -> Iterator["Turn"]:
        """Give the right to make what is missing, which is given back afterwards if it was taken."""
        turn = Turn(self._folders[0].absolute())
        try:
            yield turn
        finally:
            turn.end()


class Turn:
    """Right to make what is missing in a directory; another process that wants it waits, and then finds it made.

    A process may take it several times. Where the directory can't be locked, everybody has it.

    Parameters
    ----------
    folder
        The directory.
    """

    _guards: ClassVar[defaultdict[Path, Lock]] = defaultdict(Lock)
    _holding: ClassVar[defaultdict[Path, list[ExitStack]]] = defaultdict(list)
    """What holds each directory, as often as this process has taken it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._taken = folder, False

    def take(self) -> None:
        """Wait for it, with a line on stderr where another process has it."""
        if not self._taken:
            with self._guards[self._folder]:
                held_by = self._holding[self._folder]
                held_by.append(held_by[0] if held_by else _hold(self._folder))
            self._taken = True

    def end(self) -> None:
        """Give it back, if it was taken."""
        if self._taken:
            self._taken = False
            with self._guards[self._folder]:
                stack = self._holding[self._folder].pop()
                if not self._holding[self._folder]:
                    stack.close()


def _hold(folder: Path) -> ExitStack:
    stack = ExitStack()
    with contextlib.suppress(OSError, InputError):
        make_directory(folder)
        stack.enter_context(held(folder, wait=True))
    return stack


def user_cache() -> Path:
    """Where this user's programs keep such things."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskmixadv"
