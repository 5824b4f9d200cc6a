"""Which slices people looked at, what dense slices are used for, and along which axis: ``cases.json``.

Slices are numbered in the order in which the image's file stores them, and follow an image that is saved with
other axes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final, get_args

from maskmixadv.formats.slicing import View
from maskmixadv.sources.marks import Mark
from maskmixadv.studio.images.marks import Marks
from maskmixadv.studio.images.readable import Use
from maskmixadv.studio.layout import RUN_NAME
from maskmixadv.studio.review.by_case import ByCase

LOOKED_FORMAT: Final = 1
"""Version of the file's format."""


@dataclass(frozen=True)
class CaseLooked:
    """What is noted of a case.

    Attributes
    ----------
    looked
        The slices that people looked at, each with the latest run whose labels they saw.
    use
        What its dense slices are for.
    axis
        The image file's axis along which slices were cut when somebody first worked in it; None before that, and in
        notes of earlier versions.
    """

    looked: Mapping[int, str] = field(default_factory=dict)
    use: Use = "auto"
    axis: int | None = None

    def turned(self, mark: Mark, view: View) -> "CaseLooked":
        """Return the notes as those of an image with other axes (`maskmixadv.studio.review.by_case`)."""
        if self.axis is None:
            return replace(self, looked={})
        axis = mark.place(self.axis, 0, view)[0]
        return replace(self, looked=renumbered(self.looked, self.axis, mark, view), axis=axis)


def renumbered(noted: Mapping[int, str], axis: int, mark: Mark, view: View) -> dict[int, str]:
    """Return what is noted of slices along `axis` of the image `mark`, by their places in the one that `view` shows."""
    return {mark.place(axis, index, view)[1]: each for index, each in noted.items() if index < mark.shape[axis]}


class Looked:
    """What people looked at, by case; every change is written to the file.

    Raises
    ------
    InputError
        If the file exists and is malformed.
    """

    def __init__(self, path: Path, marks: Marks) -> None:
        self._lock, self._cases = Lock(), ByCase(path, LOOKED_FORMAT, CaseLooked(), _looked, CaseLooked.turned, marks)

    def look(self, case: str, index: int, run: str, axis: int) -> None:
        """Keep that somebody looked at the labels that `run` gave slice `index` along `axis`."""
        with self._lock:
            of = self._cases.of(case)
            if of.looked.get(index) != run:
                self._cases.keep(case, replace(of, looked={**of.looked, index: run}, axis=axis))

    def held_back(self, case: str) -> int:
        """Return how many slices of a case people looked at on another image than it has by now."""
        with self._lock:
            notes = self._cases.held_back(case)
        return 0 if notes is None else len(notes.looked)

    def at(self, case: str, run: str | None, depth: int) -> list[int]:
        """Return those of a case's `depth` slices whose labels by `run` somebody looked at, in order."""
        with self._lock:
            return sorted(i for i, at in self._cases.of(case).looked.items() if at == run and i < depth)

    def runs(self) -> set[str]:
        """Return the names of all runs whose labels somebody looked at."""
        with self._lock:
            return {run for case in self._cases.names for run in self._cases.of(case).looked.values()}

    def cut(self, case: str, axis: int) -> None:
        """Keep the axis along which a case is cut while somebody works in it; one that is kept already stays."""
        with self._lock:
            of = self._cases.of(case)
            if of.axis is None:
                self._cases.keep(case, replace(of, axis=axis))

    def use(self, case: str) -> Use:
        """Return what the dense slices of a case are for."""
        with self._lock:
            return self._cases.of(case).use

    def set_use(self, case: str, use: Use) -> None:
        """Say what the dense slices of a case are for."""
        with self._lock:
            self._cases.keep(case, replace(self._cases.of(case), use=use))


def _looked(raw: dict[str, Any]) -> CaseLooked:
    looked = {int(index): str(run) for index, run in raw["looked"].items()}
    if raw["use"] not in get_args(Use) or not all(
        index >= 0 and RUN_NAME.fullmatch(run) for index, run in looked.items()
    ):
        raise ValueError(raw)
    return CaseLooked(looked, raw["use"], axis_of(raw))


def axis_of(raw: dict[str, Any]) -> int | None:
    """Return the axis of a file that notes name; raises a ValueError if it is none."""
    axis = raw.get("axis")
    if axis not in (None, 0, 1, 2) or isinstance(axis, bool):
        raise ValueError(raw)
    return axis
