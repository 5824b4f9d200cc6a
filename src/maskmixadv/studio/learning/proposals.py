"""Proposals: what a slice's strokes say at once, before any training."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv.errors import InputError
from maskmixadv.formats.slicing import View
from maskmixadv.strokes.fill import fill
from maskmixadv.strokes.propose import FINE, LARGE, drawn_classes, propose_slice
from maskmixadv.strokes.shapes import between
from maskmixadv.strokes.walker import BYTES
from maskmixadv.studio.images.cases import Cases
from maskmixadv.studio.images.planes import labels_of
from maskmixadv.studio.images.volumes import ByteVolume, ShownImage
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning.corpus import Dense
from maskmixadv.studio.learning.newest import Newest
from maskmixadv.studio.learning.predictions import StoredPredictions
from maskmixadv.studio.learning.scaling import Bend, Scaling, scaled
from maskmixadv.studio.memory import must_be_free, within_memory
from maskmixadv.studio.scribbles import Scribbles
from maskmixadv.types import IGNORE

Plane = UInt8[np.ndarray, "h w"]
"""Class indices of a slice as it is seen."""
Filled = dict[int, Plane]
"""Slices by their numbers on the page."""
Answer = Filled | InputError | None
"""Slices, or why there are none where something is wrong."""
NOTHING: Final[Future[Plane | None]] = Future()
NOTHING.set_result(None)
PIXEL, CLASS, CHANNEL = 32, 20, 8
"""Bytes that a slice's proposal takes for each pixel: as measured, and beside these for each class and each channel."""
IN_BANDS: Final = (20, 10, 6)
"""The same for large slices, beside the walk on a coarser grid: most is done with a few rows at a time."""


class Proposals:
    """Computes proposals of a folder's slices, one at a time; the newest request wins.

    Parameters
    ----------
    layout
        The folder.
    cases, scribbles, predictions, dense
        Images, strokes, predictions and dense slices of the folder.
    """

    def __init__(
        self, layout: Layout, cases: Cases, scribbles: Scribbles, predictions: StoredPredictions, dense: Dense
    ) -> None:
        self._cases, self._scribbles, self._predictions, self._dense = cases, scribbles, predictions, dense
        self._scaling = Scaling(layout)
        self._slices: Newest[Plane] = Newest("instant answer")
        self._volumes: Newest[Filled | InputError] = Newest("filling between slices")

    def ask(self, case: str, index: int, labels: bytes, coding: str | None = None) -> "Future[Plane | None]":
        """Compute what strokes say of a slice.

        Parameters
        ----------
        case, index
            The slice, as it is numbered on the page.
        labels
            Its strokes, row by row; 255 where nothing is drawn. They need not be saved yet.
        coding
            What they mean (`maskmixadv.studio.palette.Palette.coding`); None: what they mean by now.

        Returns
        -------
        Class indices; None if the strokes are of one class alone, something newer was asked for, or computing failed.

        Raises
        ------
        RequestError
            If there is no such slice, or `labels` does not fit it or the classes.
        """
        shown, view = self._cases.open(case)
        strokes = labels_of(labels, shown.volume.array, view, index)
        self._scribbles.check(strokes, coding)
        if len(drawn_classes(strokes)) < 2:
            return NOTHING
        return self._slices.ask(partial(self._slice, case, shown, view, index, strokes))

    def fill(self, case: str) -> "Future[Answer]":
        """Compute what the saved strokes say of their slices and those between (`maskmixadv.strokes.fill`).

        Returns
        -------
        The slices as they are numbered on the page; None as in `ask`, or where there is no slice between such slices.
        An error if memory lacks, or a file can't be read.

        Raises
        ------
        RequestError
            If there is no such case.
        InputError
            If its strokes can't be read.
        """
        shown, view = self._cases.open(case)
        strokes = view.seen(self._scribbles.read(case, shown.volume.array.shape))
        return self._volumes.ask(_tried(case, partial(self._volume, case, shown, view, strokes)))

    def shapes(self, case: str) -> "Future[Answer]":
        """Compute shapes between slices that are known (`maskmixadv.strokes.shapes`).

        Known are corrected and accepted slices, and what strokes say of the others that have some of two classes.

        Returns
        -------
        Slices between known ones as they are numbered on the page; None as in `ask`, or where no structure is known on
        two slices with others between them. An error as in `fill`.

        Raises
        ------
        RequestError
            If there is no such case.
        InputError
            If its strokes or masks can't be read.
        """
        shown, view = self._cases.open(case)
        strokes = view.seen(self._scribbles.read(case, shown.volume.array.shape))
        whole = self._whole(case, shown, view)
        return self._volumes.ask(_tried(case, partial(self._shapes, case, shown, view, strokes, whole)))

    def _shapes(self, case: str, shown: ShownImage, view: View, strokes: ByteVolume, whole: Filled) -> Filled | None:
        drawn = [index for index, each in enumerate(strokes) if index not in whole and len(drawn_classes(each)) > 1]
        said = {index: self._slice(case, shown, view, index, strokes[index]) for index in drawn}
        known = whole | {index: labels for index, labels in said.items() if labels is not None}
        found = between(known, whole=whole, spacing=_pixel(shown, view))
        return {k: np.where(strokes[k] == IGNORE, labels, strokes[k]) for k, labels in found.items()} or None

    def _whole(self, case: str, shown: ShownImage, view: View) -> Filled:
        """Return the labels of corrected and accepted slices."""
        shape, axis = shown.volume.array.shape, view.axis
        masks = np.full(shape, IGNORE, np.uint8)
        planes = np.moveaxis(masks, axis, 0)
        for index, each in self._dense.accepted.of(case, shape, axis, self._classes).slices.items():
            planes[index] = each.labels
        for index in self._dense.corrected.dense(case, axis, shape):
            planes[index] = np.moveaxis(self._dense.corrected.read(case, shape), axis, 0)[index]
        return {index: labels for index, labels in enumerate(view.seen(masks)) if (labels != IGNORE).all()}

    def _volume(self, case: str, shown: ShownImage, view: View, strokes: ByteVolume) -> Filled | None:
        drawn = np.flatnonzero((strokes != IGNORE).any((1, 2)))
        if len(drawn) < 2:
            return None
        part = range(int(drawn[0]), int(drawn[-1]) + 1)
        channels = shown.stored.shape[-1] if shown.coloured else len(shown.stored)
        between = 8 * channels * len(part) * strokes[0].size  # intensities of four bytes, and part of them once more
        needed = max(self._bytes(strokes[0].size, channels), self._by_pixels(strokes[0].size, channels))
        must_be_free(needed + between, f"{case}: filling slices {_told(part)}")
        bends = self._scaling.bends(shown, view, self._predictions.latest(), lambda: enumerate(strokes))
        image = np.empty((channels, len(part), *strokes.shape[1:]), np.float32)
        for place, index in enumerate(part):  # one by one, to save memory
            image[:, place] = _intensities(shown, view, index, bends)
        image = image if channels > 1 else image[0]
        found = fill(
            image,
            strokes[part.start : part.stop],
            classes=self._classes,
            spacing=_pixel(shown, view),
            said=lambda index: self._said(case, shown, view, part[index]),
        )
        return {part.start + index: labels for index, labels in found.items()} or None

    def _slice(self, case: str, shown: ShownImage, view: View, index: int, strokes: Plane) -> Plane | None:
        channels = shown.stored.shape[-1] if shown.coloured else len(shown.stored)
        must_be_free(self._bytes(strokes.size, channels), f"{case}: a proposal of slice {index + 1}")
        said = self._said(case, shown, view, index)
        drawn = partial(self._drawn, case, shown, view, {index: strokes})
        bends = self._scaling.bends(shown, view, self._predictions.latest(), drawn)
        return propose_slice(_intensities(shown, view, index, bends), strokes, classes=self._classes, said=said)

    def _drawn(self, case: str, shown: ShownImage, view: View, newer: Filled) -> Iterator[tuple[int, Plane]]:
        """Yield the slices with strokes; those that are not saved yet take the place of saved ones."""
        shape = shown.volume.array.shape
        saved = view.seen(self._scribbles.read(case, shape))
        for stored in self._scribbles.drawn(case, view.axis, shape):
            index = view.stored(stored, shape[view.axis])
            if index not in newer:
                yield index, saved[index]
        yield from newer.items()

    def _said(self, case: str, shown: ShownImage, view: View, index: int) -> Float[np.ndarray, "k h w"] | None:
        """Return the latest run's probabilities in a slice, or None where there are none."""
        run = self._predictions.latest()
        if run is None:
            return None
        probs = self._predictions.probabilities(run, case, view, index, shown.volume.array.shape)
        return None if probs is None or len(probs) != self._classes else probs

    def _bytes(self, pixels: int, channels: int) -> int:
        """Return about how many bytes a slice's proposal takes."""
        if pixels < LARGE:
            return self._by_pixels(pixels, channels)
        return FINE * BYTES + self._by_pixels(pixels, channels, IN_BANDS)

    def _by_pixels(self, pixels: int, channels: int, each: tuple[int, int, int] = (PIXEL, CLASS, CHANNEL)) -> int:
        return pixels * (each[0] + each[1] * self._classes + each[2] * channels)

    @property
    def _classes(self) -> int:
        return len(self._scribbles.palette.classes)


def _tried(case: str, job: Callable[[], Filled | None]) -> Callable[[], Answer]:
    """Return a job whose errors are its answer: whoever asked for it is told why nothing comes."""

    def tried() -> Answer:
        try:
            with within_memory(Path(case)):
                return job()
        except InputError as error:
            return error

    return tried


def _told(part: range) -> str:
    return f"{part.start + 1} to {part.stop}"


def _pixel(shown: ShownImage, view: View) -> tuple[float, float]:
    """Return the size of a pixel along rows and columns, in mm; 1 where the image does not say it."""
    spacing = shown.volume.spacing
    _, rows, columns = view.order
    return (1.0, 1.0) if spacing is None else (spacing[rows], spacing[columns])


def _intensities(shown: ShownImage, view: View, index: int, bends: tuple[Bend, ...]) -> Float[np.ndarray, "*c h w"]:
    """Return a slice's intensities in [0, 1]."""
    channels = [scaled(shown.pixels(view, place)[index], each) for place, each in enumerate(bends)]
    image = np.moveaxis(channels[0], -1, 0) if shown.coloured else np.stack(channels)
    return image if len(image) > 1 else image[0]
