"""Strokes on disk: one NIfTI file for each case, on the grid of its image."""

import json
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from threading import RLock
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskmixadv.errors import InputError
from maskmixadv.files import make_directory, set_aside
from maskmixadv.formats.nifti import write_labels
from maskmixadv.formats.slicing import View
from maskmixadv.formats.volume import Volume
from maskmixadv.sources import classes
from maskmixadv.sources.labels import read as read_drawn
from maskmixadv.sources.labels import unlike_strokes
from maskmixadv.sources.marks import Mark
from maskmixadv.studio import labelled
from maskmixadv.studio.cache import FileCache, Stamp, stamp
from maskmixadv.studio.images.marks import Marks
from maskmixadv.studio.images.volumes import ByteVolume
from maskmixadv.studio.layout import NOBODYS, Layout
from maskmixadv.studio.palette import Palette
from maskmixadv.studio.pending import Pending
from maskmixadv.studio.refusals import RequestError
from maskmixadv.types import IGNORE

CACHED_BYTES: Final = 2**29
LARGE: Final = 2**24
"""Voxels from which on a stroke is written as a slice, and the whole file later (`maskmixadv.studio.pending`)."""
LOST: Final = "put the image back that they were drawn on, or delete them"


class _Drawn(NamedTuple):
    """The slices of a file that have strokes, along an axis of an image with `shape`; for one state of both files."""

    stamps: tuple[Stamp, ...]
    axis: int
    shape: tuple[int, ...]
    slices: tuple[int, ...]


class _Newer(NamedTuple):
    """Strokes that are newer than their file: all of them, the image, and the slices along `axis` that have some.

    `image` is the state of the image's file then.
    """

    labels: ByteVolume
    like: Volume
    image: Stamp | None
    axis: int
    drawn: frozenset[int]
    kept: frozenset[tuple[int, int]]
    """Which slices of them are on disk, by axis and index."""


class Scribbles:
    """The strokes of a folder. Arrays have the axes of the images' files.

    They hold class indices, or ``IGNORE`` for no stroke. A file whose axes run otherwise than its image's is reordered,
    and a cropped one pasted. One that lies elsewhere is neither read nor written over.

    Parameters
    ----------
    layout
        Of the folder.
    palette
        The classes of the codes in the files; an attribute, too.
    open_image
        Returns the image of a case, or raises an `InputError`.
    """

    def __init__(self, layout: Layout, palette: Palette, open_image: Callable[[str], Volume]) -> None:
        self._layout, self.palette, self._open_image = layout, palette, open_image
        self._coded: FileCache[ByteVolume] = FileCache(self._load, lambda labels: labels.nbytes, CACHED_BYTES)
        self._drawn: dict[Path, _Drawn] = {}
        self._pending, self._marks = Pending(layout), Marks(layout)
        self._newer: dict[str, _Newer] = {}
        self._settling = RLock()
        self._classes: Stamp | None = None

    def changed_classes(self) -> str:
        """Say that ``classes.toml`` means other classes than those of this studio; empty if it does not.

        A file that is missing says nothing. Colours and channels may change.
        """
        path = self._layout.root / classes.FILE
        try:
            now = stamp(path) if path.is_file() else None
            if now is not None and now != self._classes and classes.read(path) != self.palette.coded:
                return f"{classes.FILE}: another program changed it; nothing is saved until the studio is started anew"
        except InputError as error:
            return f"{error}; nothing is saved until that is mended"
        self._classes = now
        return ""

    def must_be_current(self) -> None:
        """Refuse to write or learn labels whose classes another program changed; a `RequestError`."""
        if changed := self.changed_classes():
            raise RequestError(changed)

    def files(self) -> dict[str, Path]:
        """Return the files of strokes by case, without those that can't be used."""
        return self._layout.listing(self._layout.scribbles).files

    def problems(self, cases: Container[str]) -> list[str]:
        """Return a line for each file that can't be used, or that belongs to none of `cases`."""
        found, wrong = self._layout.listing(self._layout.scribbles)
        stray = [f"scribbles/{path.name}: {NOBODYS}" for case, path in found.items() if case not in cases]
        return [
            *wrong,
            *stray,
            *(f".studio/strokes/{case}: strokes that are not in scribbles/; {LOST}" for case in self.left()),
        ]

    def read(self, case: str, shape: tuple[int, ...]) -> ByteVolume:
        """Return the strokes of `case`, whose image has `shape`; copy the array before you change it.

        Raises
        ------
        InputError
            If the file is damaged, does not fit the image or the classes, or lies elsewhere, and as `recover`.
        """
        self.recover(case)
        return self._stored(case, shape)

    def _stored(self, case: str, shape: tuple[int, ...]) -> ByteVolume:
        path = self._layout.find(self._layout.scribbles, case)
        if (newer := self._newer.get(case)) is not None:
            path, labels = self._path(case), self._on_image(case, newer)
        elif path is None:
            return np.full(shape, IGNORE, np.uint8)
        else:
            labels = self._of(case, path)
        labelled.must_fit(path, labels.shape, shape)
        return labels

    def _on_image(self, case: str, newer: _Newer) -> ByteVolume:
        """Return newer strokes on the grid of the image as it is by now."""
        if newer.image == self._image(case):
            return newer.labels
        return labelled.moved(self._path(case), newer.labels, newer.like, self._layout.image(case), IGNORE)

    def _path(self, case: str) -> Path:
        return self._layout.scribbles / f"{case}.nii.gz"

    def _image(self, case: str) -> Stamp | None:
        image = self._layout.image(case)
        return None if image is None else stamp(image)

    def check(self, labels: UInt8[np.ndarray, "h w"], coding: str | None) -> None:
        """Refuse strokes of a class that does not exist, or of other classes (`Palette.coding`); a `RequestError`."""
        self.must_be_current()
        self.palette.check_coding(coding)
        codes = np.unique(labels)
        stray = codes[(codes >= len(self.palette.classes)) & (codes != IGNORE)]
        if stray.size:
            raise RequestError(
                f"scribble: class {stray[0]}, allowed are 0 to {len(self.palette.classes) - 1}, and {IGNORE}"
            )

    def write(self, case: str, labels: ByteVolume, like: Volume) -> None:
        """Write `labels` as the strokes of `case`, whose image is `like`.

        Raises
        ------
        InputError
            If the file can't be written, or would not be read again; an earlier one stays.
        """
        self._must_read_back(case, labels)
        path = self._path(case)
        make_directory(self._layout.scribbles)  # somebody may have taken it away
        before = self._layout.find(self._layout.scribbles, case)
        write_labels(path, self.palette.coded.encoded(labels), like)
        if (mark := self._marks.of(case)) is not None and mark.lies_as(like.header):  # else the file is read anew
            self._coded.put(labels, *labelled.with_image(self._layout, case, path))
        if before is not None and before != path:  # of another format
            set_aside(before)

    def write_slice(self, case: str, labels: ByteVolume, like: Volume, axis: int, index: int) -> bool:
        """Write `labels`, of which slice `index` along `axis` is new, as the strokes of `case`, whose image is `like`.

        Returns
        -------
        Whether the slice alone is on disk, as the image is large; `settle` then writes the file.

        Raises
        ------
        InputError
            If it can't be written, or would not be read again; nothing is changed then.
        """
        if labels.size < LARGE:
            self.write(case, labels, like)
            return False
        if (newer := self._newer.get(case)) is not None and newer.image != self._image(case):
            self.settle(case)  # its slices are numbered as those of the image that was there before
        self._check_left(case)
        self._must_read_back(case, labels)
        before = self.drawn(case, axis, labels.shape)
        plane = np.moveaxis(labels, axis, 0)[index]
        drawn = {*before, index} if (plane != IGNORE).any() else {*before} - {index}
        kept = self._newer[case].kept if case in self._newer else ()
        with self._settling:  # else `recover` would take the slice for one that a killed server left
            self._pending.keep(case, axis, index, self.palette.coded.encoded(plane[None])[0], self._told(case))
            self._newer[case] = _Newer(
                labels, like, self._image(case), axis, frozenset(drawn), frozenset({*kept, (axis, index)})
            )
        return True

    def _must_read_back(self, case: str, labels: ByteVolume) -> None:
        """Refuse strokes that would be refused when they are read; state their codes where that is all they lack.

        Raises
        ------
        RequestError
            If each pixel has a stroke, or other files leave open what their codes mean.
        InputError
            If ``classes.toml`` can't be written.
        """
        if not unlike_strokes(labels, self.palette.coded):
            return
        if (labels != IGNORE).all():
            raise RequestError(
                "scribble: each pixel has a stroke, allowed are strokes that leave some out; paint the mask in Review"
            )
        for other, path in ((other, path) for other, path in self.files().items() if other != case):
            try:
                self._of(other, path)
            except InputError as error:  # what its codes mean is for its user to say
                raise RequestError(f"scribble: can't be told from a mask before this is mended: {error}") from None
        stated = replace(self.palette, stated=True)
        stated.write(self._layout.root / classes.FILE)
        self.palette = stated

    def unsettled(self) -> list[str]:
        """Return the cases whose strokes are newer than their file."""
        return list(self._newer)

    def settle(self, case: str) -> None:
        """Write the file of a case whose strokes are newer; raises as `write`, and can be called again then."""
        if newer := self._newer.get(case):
            self.write(case, newer.labels, newer.like)
            self._pending.done(case, newer.kept)
            del self._newer[case]

    def left(self) -> list[str]:
        """Return the cases of which a killed server left slices that are not in their file."""
        return [case for case in self._pending.cases() if case not in self._newer]

    def recover(self, case: str) -> None:
        """Write slices that a killed server left into the file of `case`; nothing is done where there are none.

        Raises
        ------
        InputError
            If the image can't be read, they don't fit it, or the file can't be read or written. The slices stay then.
        """
        if case in self._newer or not self._pending.has(case):
            return
        with self._settling:
            if case not in self._newer and self._pending.has(case):
                self._recover(case, self._open_image(case))

    def _recover(self, case: str, like: Volume) -> None:
        self._check_left(case)
        labels, slices_left = self._stored(case, like.array.shape).copy(), list(self._pending.of(case))
        for each in slices_left:
            slices = np.moveaxis(labels, each.axis, 0)
            shape = slices.shape[1:]
            if each.index >= len(slices) or len(each.codes) != shape[0] * shape[1]:
                raise InputError(f"{case}: strokes of slice {each.index + 1} do not fit the image")
            plane = np.frombuffer(each.codes, np.uint8).reshape((1, *shape))
            slices[each.index] = self.palette.coded.indices(plane, dense=False, where=f"strokes of {case}")[0]
        self.write(case, labels, like)
        self._pending.done(case, [(each.axis, each.index) for each in slices_left])

    def _told(self, case: str) -> str:
        """Tell the image of a case, for the slices that are drawn on it."""
        mark = self._marks.of(case)
        return "" if mark is None else json.dumps(asdict(mark))

    def _check_left(self, case: str) -> None:
        """Refuse to go on where slices are left that were drawn on an image with other axes, or another image."""
        told, now = self._pending.image(case), self._marks.of(case)
        if not told or now is None:
            return
        try:
            same = Mark.parsed(json.loads(told)).turned(now) == View()
        except (KeyError, TypeError, ValueError):
            same = False
        if not same:
            raise InputError(f".studio/strokes/{case}: strokes that are not in scribbles/; {LOST}")

    def drawn(self, case: str, axis: int, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the slices along `axis` that have strokes; raises as `read`."""
        self.recover(case)
        newer = self._newer.get(case)
        if newer is not None and (newer.axis, newer.image) == (axis, self._image(case)):
            return tuple(sorted(newer.drawn))
        path = self._layout.find(self._layout.scribbles, case)
        if path is None:
            return ()
        known, now = self._drawn.get(path), tuple(map(stamp, labelled.with_image(self._layout, case, path)))
        if newer is not None or known is None or (known.stamps, known.axis, known.shape) != (now, axis, shape):
            labels = self.read(case, shape)
            across = tuple(other for other in range(3) if other != axis)
            slices = tuple(np.flatnonzero((labels != IGNORE).any(across)).tolist())
            if newer is not None:
                return slices
            known = self._drawn[path] = _Drawn(now, axis, shape, slices)
        return known.slices

    def any_drawn(self) -> bool:
        """Return whether any case has strokes; a file that can't be read counts, since it may hold some."""
        try:
            return bool(self.left()) or any(
                (self._of(case, path) != IGNORE).any() for case, path in self.files().items()
            )
        except InputError:
            return True

    def use(self, palette: Palette) -> None:
        """Take other classes; strokes that were read are read again with them."""
        self.palette = palette
        self._coded = FileCache(self._load, lambda labels: labels.nbytes, CACHED_BYTES)

    def cases_with(self, place: int) -> list[str]:
        """Return the cases with strokes of a class, and those whose strokes can't be read, since they may be of it."""
        found = (case for case, path in self.files().items() if self._may_hold(case, path, place))
        return sorted({*self.left(), *found})

    def _may_hold(self, case: str, path: Path, place: int) -> bool:
        try:
            return bool((self._of(case, path) == place).any())
        except InputError:
            return True

    def masks_with(self, place: int) -> list[str]:
        """Return the cases whose dense mask holds a class; masks that can't be read do not count."""
        found = []
        for case, path in self._layout.listing(self._layout.masks).files.items():
            with suppress(InputError):
                if (read_drawn(path, self.palette.coded, "mask", None) == place).any():
                    found.append(case)
        return found

    def forget(self) -> None:
        """Delete the files; call it only if they hold no strokes."""
        for path in self.files().values():
            path.unlink()

    def _of(self, case: str, path: Path) -> ByteVolume:
        return self._coded.get(*labelled.with_image(self._layout, case, path))

    def _load(self, path: Path, image: Path | None = None) -> ByteVolume:
        grid = labelled.like(image)
        return np.ascontiguousarray(read_drawn(path, self.palette.coded, "scribble", grid, labelled.PUT_BACK))
