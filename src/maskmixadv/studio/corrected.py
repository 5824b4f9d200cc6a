"""Masks that people painted: one NIfTI file for each case, on the grid of its image.

A slice in such a file is dense if each of its pixels has a class. The others hold the folder's code of a pixel without
label.
"""

from collections.abc import Callable, Container
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv.files import make_directory, set_aside
from maskmixadv.formats.nifti import write_labels
from maskmixadv.formats.volume import Volume
from maskmixadv.sources.labels import Kind
from maskmixadv.sources.labels import read as read_coded
from maskmixadv.studio import labelled
from maskmixadv.studio.cache import FileCache, Stamp, stamp
from maskmixadv.studio.images.marks import Marks
from maskmixadv.studio.images.volumes import ByteVolume
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.palette import Palette
from maskmixadv.studio.refusals import RequestError
from maskmixadv.types import IGNORE

CACHED_BYTES: Final = 2**28


class Corrected:
    """The masks of a folder: those that people painted here, and those that came with it in ``masks/``.

    Arrays have the axes of the images' files. They hold class indices, or ``IGNORE`` where no label is known. A file
    that lies elsewhere than its image is neither read nor written over.

    Parameters
    ----------
    layout
        The folder.
    palette
        Returns the classes of the codes in the files.
    """

    def __init__(self, layout: Layout, palette: Callable[[], Palette]) -> None:
        self._layout, self._palette, self._marks = layout, palette, Marks(layout)
        self._dense: dict[Path, tuple[tuple[tuple[Stamp, ...], int, tuple[int, ...]], tuple[int, ...]]] = {}
        self._shapes: FileCache[tuple[int, ...]] = FileCache(labelled.shape_on, lambda _: 1, 1 << 16)
        self._painted: FileCache[ByteVolume]
        self._given: FileCache[ByteVolume]
        self.forget()

    def problems(self, cases: Container[str]) -> list[str]:
        """Return a line for each file that can't be used, or that belongs to none of `cases`."""
        found, wrong = self._layout.listing(self._layout.corrected)
        stray = [f"corrected/{path.name}: no image of this name" for case, path in found.items() if case not in cases]
        return [*wrong, *stray]

    def cases(self) -> list[str]:
        """Return the cases that have a file, in order."""
        return list(self._layout.listing(self._layout.corrected).files)

    def path(self, case: str) -> Path | None:
        """Return the file of a case, or None; raises as `Layout.find`."""
        return self._layout.find(self._layout.corrected, case)

    def read(self, case: str, shape: tuple[int, ...]) -> ByteVolume:
        """Return what people painted of `case`, whose image has `shape`; copy the array before you change it.

        Raises
        ------
        InputError
            If the file is damaged, does not fit the image or the classes, or lies elsewhere.
        """
        found = self._fitting(self._painted, case, self.path(case), shape)
        return np.full(shape, IGNORE, np.uint8) if found is None else found

    def has_given(self, case: str) -> bool:
        """Return whether a mask of `case` came with the folder."""
        return case in self._layout.listing(self._layout.masks).files

    def check_given(self, case: str) -> None:
        """Refuse a mask that came with the folder and lies elsewhere than its image, by their headers alone.

        Raises
        ------
        InputError
            If it does, or its file is damaged.
        """
        if (path := self._layout.find(self._layout.masks, case)) is not None:
            self._shapes.get(*labelled.with_image(self._layout, case, path))

    def given(self, case: str, shape: tuple[int, ...]) -> ByteVolume | None:
        """Return the mask that came with the folder, or None; raises as `read`."""
        return self._fitting(self._given, case, self._layout.find(self._layout.masks, case), shape)

    def dense(self, case: str, axis: int, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the places of the painted slices along `axis`; raises as `read`."""
        path = self.path(case)
        if path is None:
            return ()
        key = tuple(map(stamp, labelled.with_image(self._layout, case, path))), axis, shape
        known = self._dense.get(path)
        if known is None or known[0] != key:
            whole = (np.moveaxis(self.read(case, shape), axis, 0) != IGNORE).all(axis=(1, 2))
            known = self._dense[path] = key, tuple(np.flatnonzero(whole).tolist())
        return known[1]

    def check(self, labels: UInt8[np.ndarray, "h w"], coding: str | None) -> None:
        """Refuse a slice with a pixel of no class, or of other classes (`Palette.coding`), with a `RequestError`."""
        self._palette().check_coding(coding)
        classes = len(self._palette().classes)
        if labels.max(initial=0) >= classes:
            raise RequestError(f"mask: class {labels.max()}, allowed are 0 to {classes - 1}, as each pixel has a class")

    def write(self, case: str, labels: ByteVolume, like: Volume) -> None:
        """Write `labels` as the painted mask of `case`, whose image is `like`; one without a label is deleted.

        Raises
        ------
        InputError
            If the file can't be written; an earlier one stays.
        """
        path, before = self._layout.corrected / f"{case}.nii.gz", self.path(case)
        if (labels != IGNORE).any():
            make_directory(self._layout.corrected)
            write_labels(path, self._palette().coded.encoded(labels), like)
            if (mark := self._marks.of(case)) is not None and mark.lies_as(like.header):  # else the file is read anew
                self._painted.put(labels, *labelled.with_image(self._layout, case, path))
        else:
            path.unlink(missing_ok=True)
        if before is not None and before != path:  # of another format
            set_aside(before)

    def forget(self) -> None:
        """Forget what was read: the codes in the files mean other classes from now on."""
        self._painted = FileCache(self._load_painted, _size, CACHED_BYTES)
        self._given = FileCache(self._load_given, _size, CACHED_BYTES)

    def any_painted(self) -> bool:
        """Return whether any case has a painted slice; a file that can't be read counts, since it may hold one."""
        return bool(self.cases())

    def _fitting(
        self, kept: FileCache[ByteVolume], case: str, path: Path | None, shape: tuple[int, ...]
    ) -> ByteVolume | None:
        if path is None:
            return None
        labels = kept.get(*labelled.with_image(self._layout, case, path))
        labelled.must_fit(path, labels.shape, shape)
        return labels

    def _load_painted(self, path: Path, image: Path | None = None) -> ByteVolume:
        return self._load(path, image, "either")

    def _load_given(self, path: Path, image: Path | None = None) -> ByteVolume:
        return self._load(path, image, "mask")

    def _load(self, path: Path, image: Path | None, kind: Kind) -> ByteVolume:
        grid = labelled.like(image)
        return np.ascontiguousarray(read_coded(path, self._palette().coded, kind, grid, labelled.PUT_BACK))


def _size(labels: ByteVolume) -> int:
    return labels.nbytes
