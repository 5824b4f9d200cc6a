"""Several files in one request's body, as the page sends those of a folder, written as they come in."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

from maskmixadv.studio.refusals import RequestError, TooLargeError

MOST_LINE: Final = 2000
"""Bytes of a line before a file."""
MOST_FILES: Final = 20_000


class _Announced(NamedTuple):
    name: str
    size: int


class Parcels:
    """Writes files into a folder. In the body a line of JSON with ``name`` and ``size`` comes before each one's bytes.

    Parameters
    ----------
    folder
        An existing folder, in which each file is new.
    check
        Returns a file's name, or raises a `RequestError`.
    """

    def __init__(self, folder: Path, check: Callable[[str], str]) -> None:
        self._folder, self._check = folder, check
        self._line, self._files = bytearray(), 0
        self._file: IO[bytes] | None = None
        self._left = 0

    def take(self, part: bytes) -> None:
        """Write the next bytes of the body.

        Raises
        ------
        RequestError
            If they are no such files, a name is not allowed or comes twice, or there are too many.
        OSError
            If a file can't be written.
        """
        rest = memoryview(part)
        while rest:
            if self._file is None:
                rest = self._head(rest)
                continue
            self._file.write(rest[: self._left])
            taken = min(self._left, len(rest))
            rest, self._left = rest[taken:], self._left - taken
            if not self._left:
                self.close()

    def end(self) -> None:
        """See that the last file is whole; raises a `RequestError` if it is not, or there is no file."""
        if self._left or self._line or not self._files:
            raise RequestError("the upload is cut off; try again")

    def close(self) -> None:
        """Close the file that is being written."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _head(self, rest: memoryview) -> memoryview:
        """Read the line before a file as far as it is here, and open the file once it is; returns the other bytes."""
        line, found, _ = bytes(rest[: MOST_LINE + 1]).partition(b"\n")
        self._line += line
        if len(self._line) > MOST_LINE:
            raise RequestError("the upload is malformed")
        if not found:
            return rest[len(line) :]
        told = _announced(bytes(self._line))
        self._line.clear()
        self._files += 1
        if self._files > MOST_FILES:
            raise TooLargeError(f"more than {MOST_FILES} files, which is the most")
        try:
            self._file = (self._folder / self._check(told.name)).open("xb")
        except FileExistsError:
            raise RequestError(f"{told.name}: two files have this name; rename one of them") from None
        self._left = told.size
        if not told.size:
            self.close()
        return rest[len(line) + 1 :]


def _announced(line: bytes) -> _Announced:
    with suppress(ValueError, RecursionError):
        match json.loads(line):
            case {"name": str(name), "size": int(size)} if size >= 0 and not isinstance(size, bool):
                return _Announced(name, size)
    raise RequestError("the upload is malformed")
