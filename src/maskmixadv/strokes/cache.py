"""Arrays that take long to compute, kept in directories under a hash of all that they depend on."""

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
    """Files of labels or beliefs in several directories.

    Parameters
    ----------
    folders
        Directories to look in; files are written into the first one that can be written. `turn` locks the first one.

    Examples
    --------
    >>> cache = ArrayCache([Path("cache")])
    >>> _ = cache.keep("a.npz", np.ones((1, 4, 4), np.uint8))
    >>> cache.read("a.npz", (1, 4, 4)).sum().item()
    16
    >>> cache.read("b.npz", (1, 4, 4)) is None
    True
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def read(self, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return the labels (d h w) or beliefs (d k h w) in file `name`; None if it is missing or damaged.

        It counts as damaged, too, if they are not of `shape` (d h w).
        """
        for folder in self._folders:
            with contextlib.suppress(OSError, InputError, KeyError):
                labels = read_npz(folder / name)["labels"]
                if labels.ndim > 2 and (labels.shape[0], *labels.shape[-2:]) == shape and labels.dtype == np.uint8:
                    return labels
        return None

    def keep(self, name: str, labels: np.ndarray) -> np.ndarray:
        """Write labels or beliefs into the first directory that can be written, if any, and return them."""
        for folder in self._folders:
            with contextlib.suppress(OSError, InputError):
                make_directory(folder)
                with written(folder / name) as file:
                    np.savez_compressed(file, labels=labels)
                break
        return labels

    @contextmanager
    def turn(self) -> Iterator["Turn"]:
        """Give a `Turn` to compute what is missing; it ends with the block."""
        turn = Turn(self._folders[0].absolute())
        try:
            yield turn
        finally:
            turn.end()


class Turn:
    """The right to compute what is missing in a directory. Another process waits for it, and then finds it computed.

    A process may take it several times. If the directory can't be locked, every process has it.

    Parameters
    ----------
    folder
        The directory.

    Examples
    --------
    >>> turn = Turn(Path("cache").absolute())
    >>> turn.take()
    >>> Path("cache/.lock").exists()
    True
    >>> turn.end()
    """

    _guards: ClassVar[defaultdict[Path, Lock]] = defaultdict(Lock)
    _holding: ClassVar[defaultdict[Path, list[ExitStack]]] = defaultdict(list)
    """The lock of each directory, once for each time that this process has taken it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._taken = folder, False

    def take(self) -> None:
        """Wait for it, with a line on stderr if another process has it."""
        if not self._taken:
            with self._guards[self._folder]:
                held_by = self._holding[self._folder]
                held_by.append(held_by[0] if held_by else _hold(self._folder))
            self._taken = True

    def end(self) -> None:
        """Give it back if it was taken."""
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
    """Return this program's directory in the user's cache.

    Examples
    --------
    >>> user_cache().name
    'maskmixadv'
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskmixadv"
