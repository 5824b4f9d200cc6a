"""A process of its own for libraries that a damaged file can crash: SimpleITK, HDF5, and GDCM that decodes DICOM.

The process is kept for the next file. If it dies, the file is refused, and the next file gets a new process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, Timer
from typing import Any, Final

import numpy as np

from maskmixadv.errors import InputError
from maskmixadv.formats import apart_child
from maskmixadv.formats.reading import fill, in_one_line, most_memory

SECONDS: Final = 60.0
"""Time that a header may take, with the import of the library."""
RATE: Final = 2e6
"""Bytes a second of a slow disk, by which values get more time than a header."""
SPARE: Final = 2**32
"""Bytes of address space for libraries and threads, beside twice what a file may take."""


class Reader:
    """A process that reads files, one at a time; use `reader` to get one.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("a.h5", "w") as file:
    ...     file["image"] = np.ones((2, 3))
    >>> with reader() as process:
    ...     process.header(Path("a.h5"), "HDF5 file", {"hdf5": "a.h5", "name": "label"})
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.h5: not a readable HDF5 file (...)
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-P", apart_child.__file__, str(2 * most_memory() + SPARE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    @property
    def alive(self) -> bool:
        """Whether this process can ask it; after a fork it belongs to the parent alone."""
        return self.owner == os.getpid() and self._process.poll() is None

    def header(self, path: Path, kind: str, order: dict[str, Any], *, most: int = 0) -> dict[str, Any]:
        """Return what a file's header says.

        Parameters
        ----------
        path, kind
            The file, and what it should be, for the error's text.
        order
            What to read: ``{"itk": path}``, ``{"hdf5": path, "name": array}`` or ``{"dicom": path}``.
        most
            Bytes of values that are decoded for it, which gives it more time.

        Raises
        ------
        InputError
            If the file can't be read, or crashes the process.
        """
        # The process has the working directory of the time when it was started.
        absolute = {key: str(Path(order[key]).absolute()) for key in ("itk", "hdf5", "dicom") if key in order}
        with self._timed(path, kind, SECONDS + most / RATE):
            return self._ask(path, kind, order | absolute)

    def values(self, path: Path, kind: str, array: np.ndarray) -> None:
        """Read the values of the last header into `array`, which has its size and type; raises as `header`."""
        with self._timed(path, kind, SECONDS + array.nbytes / RATE):
            if self._ask(path, kind, {"values": True})["bytes"] != array.nbytes:
                raise self._ended(path, kind, "it gave another number of values")
            fill(path, self._process.stdout, array, kind)

    def end(self) -> None:
        """Stop the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # it died with something unread
                    pipe.close()
        if self.owner == os.getpid():
            self._process.kill()
            self._process.wait()

    def _ask(self, path: Path, kind: str, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            answer = json.loads(line)
        except ValueError:  # it was cut off
            raise EOFError from None
        if "error" in answer:
            raise InputError(f"{path}: not a readable {kind} ({in_one_line(' '.join(answer['error']))})")
        return answer

    @contextmanager
    def _timed(self, path: Path, kind: str, seconds: float) -> Iterator[None]:
        """End the process if it takes longer, or is out of step; the file is to blame."""
        late: list[bool] = []
        timer = Timer(seconds, lambda: (late.append(True), self._process.kill()))
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, EOFError):
            reason = f"it took more than {seconds:.0f} s" if late else "it killed the reader"
            raise self._ended(path, kind, reason) from None
        finally:
            timer.cancel()

    def _ended(self, path: Path, kind: str, reason: str) -> InputError:
        self.end()
        return InputError(f"{path}: not a readable {kind} ({reason})")


@contextmanager
def reader() -> Iterator[Reader]:
    """Give this process's one `Reader`, to one thread at a time; a new one if the last has died.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("a.h5", "w") as file:
    ...     file["image"] = np.ones((2, 3))
    >>> array = np.empty((2, 3))
    >>> with reader() as process:
    ...     header = process.header(Path("a.h5"), "HDF5 file", {"hdf5": "a.h5", "name": "image"})
    ...     process.values(Path("a.h5"), "HDF5 file", array)
    >>> header["shape"], array.sum().item()
    ([2, 3], 6.0)
    """
    global _reader
    with _lock:
        if _reader is None or not _reader.alive:
            if _reader is not None:
                _reader.end()
            _reader = Reader()
        try:
            yield _reader
        except InputError:
            raise
        except BaseException:  # out of step
            _reader.end()
            raise


_lock = Lock()
_reader: Reader | None = None
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: globals().update(_lock=Lock(), _reader=None))
