"""Strokes of large images, which are on disk slice by slice until there is time to write the whole file."""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv.errors import InputError
from maskmixadv.files import make_directory, read_bytes, read_text, write_text, written
from maskmixadv.studio.layout import Layout

IDLE: Final = 3.0
"""Seconds after the last stroke until files are written whole."""
SLICE: Final = re.compile(r"[012]-(0|[1-9][0-9]*)")
"""The name of a slice's file: its axis and index."""
IMAGE: Final = "image.json"
"""Name of the file that tells the image which a case's slices were drawn on."""
MOST: Final = 2**28
"""Bytes of a slice at most."""


@dataclass(frozen=True)
class PendingSlice:
    """A slice's strokes, in the codes of the file, row by row; it lies at `index` along the file's `axis`."""

    axis: int
    index: int
    codes: bytes


class Pending:
    """The slices of a folder that are not in their case's file yet, under ``.studio/strokes/CASE``."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._root = layout, layout.state / "strokes"

    def keep(self, case: str, axis: int, index: int, codes: UInt8[np.ndarray, "h w"], image: str = "") -> None:
        """Write a slice; it is on disk when the method returns. `image` tells the image that it was drawn on.

        Raises
        ------
        InputError
            If it can't be written.
        """
        folder = self._layout.check(self._root / case)
        make_directory(folder)
        if not (folder / IMAGE).exists():
            write_text(folder / IMAGE, image)
        with written(folder / f"{axis}-{index}") as file:
            file.write(zlib.compress(np.ascontiguousarray(codes).tobytes(), 1))

    def cases(self) -> list[str]:
        """Return the cases that have slices here, in order."""
        inside = self._root.iterdir() if self._root.is_dir() else ()
        return sorted(path.name for path in inside if self.has(path.name))

    def has(self, case: str) -> bool:
        """Return whether a case has slices here."""
        return bool(self._files(case))

    def image(self, case: str) -> str:
        """Return what was said of the image that a case's slices were drawn on; empty where nothing was.

        Raises
        ------
        InputError
            If it can't be read.
        """
        path = self._layout.check(self._root / case / IMAGE)
        return read_text(path) if path.is_file() else ""

    def of(self, case: str) -> Iterator[PendingSlice]:
        """Yield the slices of a case.

        Raises
        ------
        InputError
            If one can't be read.
        """
        self._layout.check(self._root / case)
        for path in self._files(case):
            axis, _, index = path.name.partition("-")
            unpacked = zlib.decompressobj()
            try:
                yield PendingSlice(int(axis), int(index), unpacked.decompress(read_bytes(path, most=MOST), MOST))
            except zlib.error as error:
                raise InputError(f"{path}: damaged strokes of a slice ({error}); delete it") from None

    def _files(self, case: str) -> list[Path]:
        return sorted(path for path in (self._root / case).glob("[012]-*") if SLICE.fullmatch(path.name))

    def done(self, case: str, slices: Iterable[tuple[int, int]]) -> None:
        """Delete `slices` of a case, by axis and index, which are in its file by now; with the last one its folder."""
        folder = self._root / case
        for axis, index in slices:
            (folder / f"{axis}-{index}").unlink(missing_ok=True)
        if folder.is_dir() and not self.has(case):
            for path in list(folder.iterdir()):
                path.unlink()
            folder.rmdir()


class Idle:
    """Calls `act` once nobody has called `soon` for a while."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._timer: Timer | None = None

    def soon(self) -> None:
        """Begin to wait, from now."""
        self.stop()
        self._timer = Timer(IDLE, self._act)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
