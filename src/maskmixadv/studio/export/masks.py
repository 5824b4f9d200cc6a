"""Exports of masks: what holds of each slice of a case, and its labels as NIfTI."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from jaxtyping import UInt8

from maskmixadv.files import write_text
from maskmixadv.formats.nifti import write_labels
from maskmixadv.formats.slicing import View
from maskmixadv.studio.export.folders import renewed
from maskmixadv.studio.images.volumes import ShownImage
from maskmixadv.tabular import csv_text
from maskmixadv.types import IGNORE

State = Literal["predicted", "accepted", "corrected", "rejected", "unlabelled"]
"""What holds of a slice: a run predicted it, a person accepted, painted or rejected it, or nothing is known."""
STATES: Final[tuple[State, ...]] = get_args(State)


@dataclass(frozen=True)
class CaseMask:
    """The mask of a case, and what holds of its slices.

    Attributes
    ----------
    case
        Name of the case.
    shown, view
        Its image, and how it is seen.
    labels
        Class indices, on the axes of the image's file; 255 where nothing is known.
    states
        What holds of each slice, in the order of the image's file.
    looked
        Slices that a person looked at.
    """

    case: str
    shown: ShownImage
    view: View
    labels: UInt8[np.ndarray, "_ _ _"]
    states: tuple[State, ...]
    looked: frozenset[int] = frozenset()

    @property
    def known(self) -> bool:
        """Whether each slice has labels."""
        return "unlabelled" not in self.states

    def without_rejected(self, fill: int) -> UInt8[np.ndarray, "_ _ _"]:
        """Return the labels with `fill` throughout rejected slices, and where nothing is known."""
        labels = self.labels.copy()
        labels[labels == IGNORE] = fill
        np.moveaxis(labels, self.view.axis, 0)[[state == "rejected" for state in self.states]] = fill
        return labels

    def lacking(self) -> str:
        """Return a line that says which slices are rejected or unknown; empty if none are."""
        lost = [str(index + 1) for index, state in enumerate(self.states) if state in ("rejected", "unlabelled")]
        listed = ", ".join(lost[:MOST_LISTED]) + ", …" * (len(lost) > MOST_LISTED)
        return f"{self.case}: nothing in slices that are rejected or unknown ({listed})" if lost else ""


MOST_LISTED: Final = 8
"""Slices that a line lists at most."""


def write_masks(out: Path, masks: Iterator[CaseMask], problems: list[str], *, ignore: int) -> int:
    """Write a NIfTI file for each case, and ``slices.csv`` with what holds of each slice; returns the number of files.

    Rejected and unknown slices get the code `ignore` everywhere. Files of an earlier export are replaced only when all
    new ones are written (`renewed`).

    Raises
    ------
    EmptyError
        If there is no case; the error has `problems`.
    InputError
        If a file can't be written.
    """
    rows: list[dict[str, Any]] = []
    with renewed(out, problems) as new:
        for mask in masks:
            rows += [{"case": mask.case, "slice": index, "state": state} for index, state in enumerate(mask.states)]
            write_labels(new.place / f"{mask.case}.nii.gz", mask.without_rejected(ignore), mask.shown.volume)
        if rows:
            write_text(new.place / "slices.csv", csv_text(["case", "slice", "state"], rows))
    return new.files
