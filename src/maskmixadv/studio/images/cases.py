"""The cases of a folder: its images, how they are seen, and uploads."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from threading import Lock

import numpy as np
from jaxtyping import UInt16

from maskmixadv.errors import InputError
from maskmixadv.files import cannot_write, make_directory, partial_name, put_in_place
from maskmixadv.formats import image_files
from maskmixadv.formats.slicing import View
from maskmixadv.sources import pairs
from maskmixadv.studio.cache import Stamp, stamp
from maskmixadv.studio.images import grouping
from maskmixadv.studio.images.intake import case_called, check_name, check_series_name, suffix_called
from maskmixadv.studio.images.marks import Marks, header_of
from maskmixadv.studio.images.volumes import Facts, ShownImage, ShownImages, show
from maskmixadv.studio.layout import Layout, printable, too_long
from maskmixadv.studio.memory import within_memory
from maskmixadv.studio.refusals import MissingError, RequestError, TakenError, TooLargeError

Edges = tuple[tuple[str, str], ...]
"""Letters of the patient's sides at the first and the last slice, row and column."""


@dataclass(frozen=True)
class KnownCases:
    """All cases of a folder.

    Attributes
    ----------
    images
        The files of each image, also of those that can't be read.
    facts
        Facts of each image that can be read, on the axes of its file.
    views
        How the image is seen, by case.
    changed
        When the files last changed, by case; for comparison alone.
    edges
        Where its first and last slice, row and column lie in the patient (`Header.edges`), by case.
    problems
        A line for each file that is no case, and each case that has other channels than most.
    odd
        Those cases.
    """

    images: Mapping[str, tuple[Path, ...]]
    facts: dict[str, Facts]
    views: Mapping[str, View]
    changed: Mapping[str, str]
    edges: Mapping[str, Edges | None]
    problems: list[str]
    odd: Collection[str]


class Cases:
    """The images of a folder by case; safe for many threads."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._lock, self._marks = layout, Lock(), Marks(layout)
        self._volumes = ShownImages(layout.state / "images.json")
        self._views: tuple[tuple[Stamp | tuple[str, int], ...], Mapping[str, View], Mapping[str, Edges | None]] = (
            (),
            {},
            {},
        )

    def known(self) -> KnownCases:
        """Return all cases; images that are new are read."""
        with self._layout.at_once():  # or each case that anybody worked in would list all images
            return self._known()

    def _known(self) -> KnownCases:
        found = grouping.find(self._layout)
        told = self._volumes.facts(found.files)
        facts = {case: each for case, each in told.items() if isinstance(each, Facts)}
        wrong = [str(each) for each in told.values() if isinstance(each, InputError)]
        views, edges = self._seen({case: found.files[case] for case in facts})
        changed = {case: "-".join(str(stamp(path)[1:]) for path in found.files[case]) for case in facts}
        return KnownCases(
            found.files, facts, views, changed, edges, [*found.problems, *found.odd.values(), *wrong], found.odd
        )

    def open(self, case: str) -> tuple[ShownImage, View]:
        """Return the image of `case`, and how it is seen.

        Raises
        ------
        MissingError
            If there is no such case.
        InputError
            If the image can't be read.
        """
        known = self.known()
        if case not in known.images:
            if gone := self._layout.gone():
                raise MissingError(gone)
            raise MissingError(f"{printable(case)[:80]}: no such case; its image was renamed, or taken away")
        shown = self._volumes.get(known.images[case])
        return shown, (known.views if case in known.views else self.known().views)[case]

    def first(self, case: str, index: int) -> UInt16[np.ndarray, "h w"] | None:
        """Return a slice as it is seen, of a large image that is read only now (`ShownImages.first`); None else."""
        known = self.known()
        facts, view = known.facts.get(case), known.views.get(case)
        if facts is None or view is None or view.axis != 0 or not 0 <= index < facts.shape[0]:
            return None
        plane = self._volumes.first(known.images[case], facts, view.stored(index, facts.shape[0]))
        return None if plane is None else view.seen(plane[None])[0]

    def place(self, case: str) -> tuple[tuple[int, int, int], View]:
        """Return the shape of an image and how it is seen, without reading it as a rule; raises as `open`."""
        known = self.known()
        if case in known.facts:
            return known.facts[case].shape, known.views[case]
        shown, view = self.open(case)
        d, h, w = shown.volume.array.shape
        return (d, h, w), view

    def new_upload(self, file: str) -> Path:
        """Return a path to write an upload to that will be called `file`; `take_upload` or the caller removes it.

        Uploads that a killed server left are deleted by the next server.

        Raises
        ------
        RequestError
            If the name is taken or not allowed.
        """
        self._check_free(check_name(file), case_called(file))
        return partial_name(self._layout.state / f"upload{suffix_called(file)}")

    def take_upload(self, upload: Path, file: str) -> str:
        """Make the complete file `upload` an image called `file`; returns its case.

        Raises
        ------
        RequestError
            If it is no image, too large, or the name was taken meanwhile.
        InputError
            If the disk is full.
        """
        return self._take(upload, file, case_called(file))

    @contextmanager
    def new_series(self, name: str) -> Iterator[Path]:
        """Give a folder for the files of a series that will be called `name`; what is left of it is removed at the end.

        Uploads that a killed server left are deleted by the next server.

        Raises
        ------
        RequestError
            If the name is taken or not allowed.
        InputError
            If the folder can't be made.
        """
        self._check_free(check_series_name(name), name)
        upload = partial_name(self._layout.state / "series")
        make_directory(upload)
        try:
            yield upload
        finally:
            rmtree(upload, ignore_errors=True)

    def take_series(self, upload: Path, name: str) -> str:
        """Make the folder `upload` a series called `name`; returns its case, and raises as `take_upload`."""
        return self._take(upload, name, name)

    def _take(self, upload: Path, file: str, case: str) -> str:
        try:
            with within_memory(upload):
                shown = show(upload)
        except InputError as error:
            kind = TooLargeError if isinstance(error, TooLargeError) else RequestError
            raise kind(str(error).replace(str(upload), file).replace(upload.name, file)) from None
        with self._lock:
            self._check_free(file, case)
            try:
                put_in_place(upload, self._layout.images / file)
            except OSError as error:
                raise cannot_write(self._layout.images / file, error) from None
        path = self._layout.images / file
        self._volumes.keep(path, shown)
        return next(case for case, paths in grouping.find(self._layout).files.items() if path in paths)

    def _seen(self, images: Mapping[str, Sequence[Path]]) -> tuple[Mapping[str, View], Mapping[str, Edges | None]]:
        """Return how the images are seen, as training sees them (`pairs.cuts`), and where their edges lie."""
        axes = self._marks.axes()
        key = *(stamp(path) for paths in images.values() for path in paths), *sorted(axes.items())
        if self._views[0] != key:
            cut = [pairs.Pair(case, case, paths[0], axis=axes.get(case)) for case, paths in images.items()]
            views = pairs.cuts(cut, read=header_of).views
            edges = {case: header_of(paths[0]).edges(views[case]) for case, paths in images.items()}
            self._views = key, views, edges
        return self._views[1:]

    def _check_free(self, file: str, case: str) -> None:
        if long := too_long(case):
            raise RequestError(f"{file}: {long}")
        found = grouping.find(self._layout).files
        taken = {
            name.casefold()
            for held, paths in found.items()
            for name in (held, *(image_files.stem(path) for path in paths))
        }
        if not case or case.casefold() in taken or (self._layout.images / file).exists():
            raise TakenError(f"{file}: an image of this name is there already; rename it")
