"""Proposals: what a slice's strokes say at once, before any training."""

from concurrent.futures import Future
from functools import partial
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from maskmixadv.formats.slicing import View
from maskmixadv.strokes.fill import fill
from maskmixadv.strokes.propose import drawn_classes, propose_slice
from maskmixadv.studio.images.cases import Cases
from maskmixadv.studio.images.volumes import ByteVolume, ShownImage
from maskmixadv.studio.learning.newest import Newest
from maskmixadv.studio.learning.predictions import StoredPredictions
from maskmixadv.studio.refusals import MissingError, RequestError
from maskmixadv.studio.scribbles import Scribbles
from maskmixadv.types import IGNORE

Plane = UInt8[np.ndarray, "h w"]
"""Class indices of a slice as it is seen."""
Filled = dict[int, Plane]
"""Slices by their numbers on the page."""
NOTHING: Final[Future[Plane | None]] = Future()
NOTHING.set_result(None)


class Proposals:
    """Computes proposals of a folder's slices, one at a time; the newest request wins.

    Parameters
    ----------
    cases, scribbles, predictions
        Images, strokes and predictions of the folder.
    """

    def __init__(self, cases: Cases, scribbles: Scribbles, predictions: StoredPredictions) -> None:
        self._cases, self._scribbles, self._predictions = cases, scribbles, predictions
        self._slices: Newest[Plane] = Newest("instant answer")
        self._volumes: Newest[Filled] = Newest("filling between slices")

    def ask(self, case: str, index: int, labels: bytes) -> "Future[Plane | None]":
        """Compute what strokes say of a slice.

        Parameters
        ----------
        case, index
            The slice, as it is numbered on the page.
        labels
            Its strokes, row by row; 255 where nothing is drawn. They need not be saved yet.

        Returns
        -------
        Class indices; None if the strokes are of one class alone, something newer was asked for, or computing failed.

        Raises
        ------
        RequestError
            If there is no such slice, or `labels` does not fit it or the classes.
        """
        shown, view = self._cases.open(case)
        strokes = plane_of(labels, shown, view, index)
        self._scribbles.check(strokes)
        if len(drawn_classes(strokes)) < 2:
            return NOTHING
        return self._slices.ask(partial(self._slice, case, shown, view, index, strokes))

    def fill(self, case: str) -> "Future[Filled | None]":
        """Compute what the saved strokes say of their slices and those between (`maskmixadv.strokes.fill`).

        Returns
        -------
        The slices as they are numbered on the page; None as in `ask`, or where there is no slice between such slices.

        Raises
        ------
        RequestError
            If there is no such case.
        InputError
            If its strokes can't be read.
        """
        shown, view = self._cases.open(case)
        strokes = view.seen(self._scribbles.read(case, shown.volume.array.shape))
        return self._volumes.ask(partial(self._volume, shown, view, strokes))

    def _volume(self, shown: ShownImage, view: View, strokes: ByteVolume) -> "Filled | None":
        drawn = np.flatnonzero((strokes != IGNORE).any((1, 2)))
        if len(drawn) < 2:
            return None
        part = range(int(drawn[0]), int(drawn[-1]) + 1)
        image = np.stack([_intensities(shown, view, index) for index in part], -3)
        found = fill(image, strokes[part.start : part.stop], classes=self._classes)
        return {part.start + index: labels for index, labels in found.items()} or None

    def _slice(self, case: str, shown: ShownImage, view: View, index: int, strokes: Plane) -> Plane | None:
        said = self._said(case, shown, view, index)
        return propose_slice(_intensities(shown, view, index), strokes, classes=self._classes, said=said)

    def _said(self, case: str, shown: ShownImage, view: View, index: int) -> Float[np.ndarray, "k h w"] | None:
        """Return the latest run's probabilities in a slice, or None where there are none."""
        run = self._predictions.latest()
        if run is None:
            return None
        probs = self._predictions.probabilities(run, case, view, index, shown.volume.array.shape)
        return None if probs is None or len(probs) != self._classes else probs

    @property
    def _classes(self) -> int:
        return len(self._scribbles.palette.classes)


def plane_of(labels: bytes, shown: ShownImage, view: View, index: int) -> Plane:
    """Return the labels of a slice out of a request's body.

    Raises
    ------
    RequestError
        If there is no such slice, or their number is not that of its pixels.
    """
    shape = [shown.volume.array.shape[axis] for axis in view.order]
    if not 0 <= index < shape[0]:
        raise MissingError(f"no slice {index}, allowed are 0 to {shape[0] - 1}")
    if len(labels) != shape[1] * shape[2]:
        raise RequestError(f"labels: {len(labels)} bytes, allowed are {shape[1]} × {shape[2]}")
    return np.frombuffer(labels, np.uint8).reshape(shape[1:])


def _intensities(shown: ShownImage, view: View, index: int) -> Float[np.ndarray, "*c h w"]:
    """Return a slice's intensities in [0, 1], scaled as trainings scale them (`maskmixadv.corpus.scale.normalise`)."""
    channels = [
        _scaled(shown.pixels(view, channel)[index], *shown.ends[channel]) for channel in range(len(shown.channels))
    ]
    image = np.moveaxis(channels[0], -1, 0) if shown.coloured else np.stack(channels)
    return image if len(image) > 1 else image[0]


def _scaled(pixels: UInt16[np.ndarray, "h w *rgb"], low: float, high: float) -> Float[np.ndarray, "h w *rgb"]:
    return ((pixels.astype(np.float32) - low) / max(high - low, 1)).clip(0, 1)
