"""Strokes on disk: one NIfTI file a case on the image's grid, whole at any moment."""

from collections.abc import Container
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv.corpus.case import recode
from maskmixadv.errors import InputError
from maskmixadv.formats import image_files
from maskmixadv.formats.nifti import write_labels
from maskmixadv.formats.volume import Volume
from maskmixadv.studio.cache import Cache, Stamp, stamp
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.palette import Palette
from maskmixadv.studio.refusals import RequestError
from maskmixadv.types import IGNORE

CACHED_BYTES: Final = 2**29

Labels = UInt8[np.ndarray, "_ _ _"]


class Scribbles:
    """The folder's strokes; arrays have the files' axes, class indices, and ``IGNORE`` where nothing is drawn.

    Attributes
    ----------
    palette
        What the files' codes mean.
    """

    def __init__(self, layout: Layout, palette: Palette) -> None:
        self._layout, self.palette = layout, palette
        self._coded: Cache[Labels] = Cache(self._load, lambda labels: labels.nbytes, CACHED_BYTES)
        self._drawn: dict[Path, tuple[Stamp, int, tuple[int, ...], tuple[int, ...]]] = {}

    def files(self) -> dict[str, Path]:
        """Files of strokes, by case; those that can't be are left out."""
        return self._layout.listing(self._layout.scribbles)[0]

    def problems(self, cases: Container[str]) -> list[str]:
        """A line for each file that is none of strokes, or of no image's, as `cases` has them."""
        found, wrong = self._layout.listing(self._layout.scribbles)
        stray = [f"scribbles/{path.name}: no image of this name" for case, path in found.items() if case not in cases]
        return [*wrong, *stray]

    def read(self, case: str, shape: tuple[int, ...]) -> Labels:
        """Strokes of `case`, whose image has `shape`; to be copied before they are changed.

        Raises
        ------
        InputError
            Where the file is damaged, or does not fit image or classes.
        """
        path = self._layout.find(self._layout.scribbles, case)
        if path is None:
            return np.full(shape, IGNORE, np.uint8)
        labels = self._coded.get(path)
        if labels.shape != shape:
            raise InputError(f"{path}: has shape {labels.shape}, its image has {shape}; must be equal")
        return labels

    def check(self, labels: UInt8[np.ndarray, "h w"]) -> None:
        """Refuse what can't be strokes.

        Raises
        ------
        RequestError
            Where a class does not exist.
        """
        codes = np.unique(labels)
        stray = codes[(codes >= len(self.palette.classes)) & (codes != IGNORE)]
        if stray.size:
            raise RequestError(
                f"scribble: class {stray[0]}, allowed are 0 to {len(self.palette.classes) - 1}, and {IGNORE}"
            )

    def write(self, case: str, labels: Labels, like: Volume) -> None:
        """Keep `labels` as the strokes of `case`, whose image is `like`.

        Raises
        ------
        InputError
            Where the file can't be written; what was there stays.
        """
        path = self._layout.scribbles / f"{case}.nii.gz"
        before = self._layout.find(self._layout.scribbles, case)
        write_labels(path, np.where(labels == IGNORE, np.uint8(self.palette.ignore), labels), like)
        self._coded.put(path, labels)
        if before is not None and before != path:  # of another format
            before.unlink()

    def drawn(self, case: str, axis: int, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Slices along `axis` with strokes; raises as `read`."""
        path = self._layout.find(self._layout.scribbles, case)
        if path is None:
            return ()
        known = self._drawn.get(path)
        if known is None or known[:3] != (stamp(path), axis, shape):
            key, labels = stamp(path), self.read(case, shape)
            across = tuple(other for other in range(3) if other != axis)
            slices = tuple(np.flatnonzero((labels != IGNORE).any(across)).tolist())
            known = self._drawn[path] = (key, axis, shape, slices)
        return known[3]

    def any_drawn(self) -> bool:
        """Whether there are strokes of any case; a file that can't be read may hold some."""
        try:
            return any((self._coded.get(path) != IGNORE).any() for path in self.files().values())
        except InputError:
            return True

    def forget(self) -> None:
        """Delete the files; for when they hold no strokes."""
        for path in self.files().values():
            path.unlink()

    def _load(self, path: Path) -> Labels:
        codes = image_files.read_labels(path).array
        classes, ignore = len(self.palette.classes), self.palette.ignore
        return np.ascontiguousarray(recode(codes, classes=classes, ignore=ignore, where=str(path)))
