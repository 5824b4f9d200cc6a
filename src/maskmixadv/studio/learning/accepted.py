"""Accepted slices: later exports keep their labels, and trainings learn from them.

A person accepts a slice of one run's prediction. The labels of the slice are those in that run's file.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskmixadv.errors import InputError, counted
from maskmixadv.studio.images.marks import Marks
from maskmixadv.studio.layout import REVIEWS, Layout
from maskmixadv.studio.learning.predictions import StoredPredictions
from maskmixadv.studio.review.reviews import Review, Reviews


class AcceptedSlice(NamedTuple):
    """An accepted slice: the run whose prediction was accepted, the file of that prediction, and the slice's labels."""

    run: str
    path: Path
    labels: UInt8[np.ndarray, "h w"]


class AcceptedOfCase(NamedTuple):
    """The accepted slices of a case by their place, and a line for each one whose labels can't be used."""

    slices: dict[int, AcceptedSlice]
    lost: list[str]


class Accepted:
    """The accepted slices of a folder, from its reviews and predictions."""

    def __init__(self, reviews: Reviews, predictions: StoredPredictions) -> None:
        self._reviews, self._predictions = reviews, predictions

    @classmethod
    def read(cls, layout: Layout) -> "Accepted":
        """Read the reviews of a folder.

        Raises
        ------
        InputError
            If they are malformed.
        """
        return cls(Reviews(layout.check(layout.root / REVIEWS), Marks(layout)), StoredPredictions(layout))

    def cases(self) -> list[str]:
        """Return the names of the cases with accepted slices, in order; also where their image is another one now."""
        return [case for case in self._reviews.cases() if self._reviews.accepted(case) or self._held_back(case)]

    def _held_back(self, case: str) -> int:
        """Return how many slices were accepted on another image than the case has by now."""
        notes = self._reviews.held_back(case)
        return 0 if notes is None else sum(said.verdict == "accepted" for said in notes.reviews.values())

    def standing(self, case: str) -> dict[int, Review]:
        """Return the reviews of a case's accepted slices whose prediction is there."""
        gone = self.gone(case)
        return {at: said for at, said in self._reviews.accepted(case).items() if said.run not in gone}

    def gone(self, case: str) -> dict[str, int]:
        """Return of how many accepted slices of a case the prediction is gone, by run."""
        runs = Counter(said.run for said in self._reviews.accepted(case).values())
        return {run: count for run, count in sorted(runs.items()) if not self._is_there(case, run)}

    def _is_there(self, case: str, run: str) -> bool:
        try:
            return self._predictions.file(run, case) is not None
        except InputError:  # a link out of the folder
            return False

    def of(self, case: str, shape: tuple[int, ...], axis: int, classes: int) -> AcceptedOfCase:
        """Return the accepted slices of `case`, whose image has `shape` and is cut into slices along `axis`.

        A slice is lost if its prediction is gone or damaged, or does not fit the image, the axis or the number of
        `classes`.
        """
        slices, lost = dict[int, AcceptedSlice](), list[str]()
        if count := self._held_back(case):
            lost.append(f"{case}: {counted(count, 'slice')} accepted on another image of this name, left out")
        for index, review in self._reviews.accepted(case).items():
            try:
                path, labels = self._volume(case, review, shape)
                slices[index] = AcceptedSlice(review.run, path, _slice(labels, index, review, axis, classes))
            except InputError as error:
                lost.append(f"{case}: slice {index + 1} as run {review.run} had it was accepted, and {error}")
        return AcceptedOfCase(slices, lost)

    def _volume(self, case: str, review: Review, shape: tuple[int, ...]) -> tuple[Path, UInt8[np.ndarray, "_ _ _"]]:
        path = self._predictions.file(review.run, case)
        labels = self._predictions.labels(review.run, case, shape)
        if path is None or labels is None:
            raise InputError("is gone")
        return path, labels


def _slice(
    labels: UInt8[np.ndarray, "_ _ _"], index: int, review: Review, axis: int, classes: int
) -> UInt8[np.ndarray, "h w"]:
    if not review.along(axis):
        raise InputError(f"was cut along axis {review.axis}, slices are cut along axis {axis} now")
    if index >= labels.shape[axis]:
        raise InputError("is gone")
    plane = np.moveaxis(labels, axis, 0)[index]
    if plane.max() >= classes:
        raise InputError(f"holds class {plane.max()}, allowed are 0 to {classes - 1}")
    return plane
