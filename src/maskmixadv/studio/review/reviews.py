"""What people said of slices, and how long they drew in them: ``studio.json``.

Slices are numbered in the order in which the image's file stores them, and follow an image that is saved with
other axes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal

from maskmixadv.formats.slicing import View
from maskmixadv.sources.marks import Mark
from maskmixadv.studio.images.marks import Marks
from maskmixadv.studio.layout import RUN_NAME
from maskmixadv.studio.review.by_case import ByCase
from maskmixadv.studio.review.looked import axis_of, renumbered

Verdict = Literal["accepted", "rejected"]
REVIEWS_FORMAT: Final = 1
"""Version of the file's format."""


@dataclass(frozen=True)
class Review:
    """A verdict on a slice of the prediction by `run`.

    `axis` is the image file's axis along which slices were cut then; None in reviews of earlier versions.
    """

    verdict: Verdict
    run: str
    axis: int | None = None

    def along(self, axis: int) -> bool:
        """Whether it is on one of the slices along the file's `axis`."""
        return self.axis in (None, axis)


@dataclass(frozen=True)
class Seen:
    """What a page showed of a slice: the verdict, or None, and the latest run."""

    verdict: Verdict | None
    run: str | None


@dataclass(frozen=True)
class CaseNotes:
    """Notes on a case, by slice.

    Attributes
    ----------
    seconds
        How long people drew.
    corrected
        The latest run when somebody last drew, of slices that were drawn on when there was a run.
    axis
        The image file's axis along which slices were cut when somebody last drew; None in notes of earlier versions.
    """

    reviews: Mapping[int, Review] = field(default_factory=dict)
    seconds: Mapping[int, float] = field(default_factory=dict)
    corrected: Mapping[int, str] = field(default_factory=dict)
    axis: int | None = None

    def turned(self, mark: Mark, view: View) -> "CaseNotes":
        """Return the notes as those of an image with other axes (`maskmixadv.studio.review.by_case`).

        A verdict without an axis can't be turned, and does not hold.
        """
        reviews = dict[int, Review]()
        for index, said in self.reviews.items():
            if said.axis is not None and index < mark.shape[said.axis]:
                axis, place = mark.place(said.axis, index, view)
                reviews[place] = replace(said, axis=axis)
        if self.axis is None:
            return replace(self, reviews=reviews, corrected={})
        corrected, axis = renumbered(self.corrected, self.axis, mark, view), mark.place(self.axis, 0, view)[0]
        return replace(self, reviews=reviews, corrected=corrected, axis=axis)


class Reviews:
    """Reviews and drawing times by case and slice; every change is written to the file.

    Raises
    ------
    InputError
        If the file exists and is malformed.
    """

    def __init__(self, path: Path, marks: Marks) -> None:
        self._lock = Lock()
        self._cases = ByCase(path, REVIEWS_FORMAT, CaseNotes(), _notes, CaseNotes.turned, marks, " with its reviews")

    def judge(self, case: str, index: int, review: Review | None) -> None:
        """Keep the review of a slice; None takes an earlier one back."""
        with self._lock:
            notes = self._cases.of(case)
            others = {at: each for at, each in notes.reviews.items() if at != index}
            own = {} if review is None else {index: review}
            self._cases.keep(case, replace(notes, reviews={**others, **own}))

    def spend(self, case: str, index: int, seconds: float) -> None:
        """Add to the time that people drew in a slice."""
        with self._lock:
            notes = self._cases.of(case)
            spent = round(notes.seconds.get(index, 0.0) + seconds, 2)
            self._cases.keep(case, replace(notes, seconds={**notes.seconds, index: spent}))

    def correct(self, case: str, index: int, run: str | None, axis: int) -> None:
        """Note that somebody drew on slice `index` along `axis`, which `run` had predicted; None: there is no run."""
        with self._lock:
            notes = self._cases.of(case)
            corrected = notes.corrected if run is None else {**notes.corrected, index: run}
            if (after := replace(notes, corrected=corrected, axis=axis)) != notes:
                self._cases.keep(case, after)

    def held_back(self, case: str) -> CaseNotes | None:
        """Return the latest notes on a case if its image is another one by now, on which they don't hold; else None."""
        with self._lock:
            return self._cases.held_back(case)

    def corrected(self, case: str, run: str | None) -> tuple[int, ...]:
        """Return the slices on which somebody drew after `run` had predicted them."""
        with self._lock:
            return tuple(index for index, at in self._cases.of(case).corrected.items() if run is not None and at == run)

    def verdicts(self, case: str, run: str | None, axis: int, depth: int) -> dict[int, Verdict]:
        """Return the verdicts that hold for `run`: on all accepted slices, and on this run's rejected ones.

        None holds on slices along another axis than the file's `axis`, or from `depth` on: the image was replaced.
        """
        with self._lock:
            reviews = self._cases.of(case).reviews.items()
        return {
            index: said.verdict
            for index, said in reviews
            if index < depth and said.along(axis) and (said.verdict == "accepted" or said.run == run)
        }

    def elsewhere(self, case: str, axis: int) -> int:
        """Return how many slices of a case were judged along another axis than the file's `axis`."""
        with self._lock:
            return sum(not said.along(axis) for said in self._cases.of(case).reviews.values())

    def accepted(self, case: str) -> dict[int, Review]:
        """Return the reviews of the accepted slices of a case."""
        with self._lock:
            return {index: said for index, said in self._cases.of(case).reviews.items() if said.verdict == "accepted"}

    def cases(self) -> list[str]:
        """Return the names of the cases that have notes, in order."""
        with self._lock:
            return self._cases.names

    def judged(self) -> list[str]:
        """Return the names of the cases with verdicts, in order."""
        with self._lock:
            return [case for case in self._cases.names if self._cases.of(case).reviews]

    def runs(self) -> set[str]:
        """Return the names of all runs that notes name."""
        with self._lock:
            cases = [self._cases.of(case) for case in self._cases.names]
        judged = {said.run for notes in cases for said in notes.reviews.values()}
        return judged.union(*(notes.corrected.values() for notes in cases))

    def seconds(self, case: str) -> float:
        """Return how long people drew in a case."""
        with self._lock:
            return round(sum(self._cases.of(case).seconds.values(), start=0.0), 2)


def _notes(raw: dict[str, Any]) -> CaseNotes:
    return CaseNotes(
        reviews={_slice(index): _review(said) for index, said in raw["reviews"].items()},
        seconds={_slice(index): _seconds(spent) for index, spent in raw["seconds"].items()},
        corrected={_slice(index): _run(said) for index, said in raw.get("corrected", {}).items()},
        axis=axis_of(raw),
    )


def _slice(index: str) -> int:
    if int(index) < 0:
        raise ValueError(index)
    return int(index)


def _run(said: str) -> str:
    if not RUN_NAME.fullmatch(said):
        raise ValueError(said)
    return said


def _seconds(spent: float) -> float:
    if not 0 <= float(spent) < math.inf:
        raise ValueError(spent)
    return float(spent)


def _review(said: dict[str, Any]) -> Review:
    if said["verdict"] not in ("accepted", "rejected") or not RUN_NAME.fullmatch(said["run"]):
        raise ValueError(said)
    return Review(said["verdict"], said["run"], axis_of(said))
