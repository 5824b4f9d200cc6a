"""What leaves the studio: masks; and by the command line's own ways, models and other programs' data sets."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskmixadv.data.corpus import make_directory, write_text
from maskmixadv.studio.reviews import Verdict
from maskmixadv.studio.volumes import Shown, write_labels

What = Literal["masks", "model", "nnunet"]
WHATS: Final[tuple[What, ...]] = ("masks", "model", "nnunet")


class Mask(NamedTuple):
    """A case's mask, as it is to be written; `axis` is the one along which its slices were looked at."""

    case: str
    shown: Shown
    labels: UInt8[np.ndarray, "_ _ _"]
    axis: int
    verdicts: Mapping[int, Verdict]


def write_masks(out: Path, masks: Iterator[Mask], *, ignore: int) -> int:
    """Write a NIfTI file a case, and ``slices.csv`` with what was said of each slice; returns how many files.

    Rejected slices are `ignore` throughout: nobody stands by what was predicted there.

    Raises
    ------
    InputError
        Where a file can't be written.
    """
    make_directory(out)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["case", "slice", "state"])
    files = 0
    for mask in masks:
        labels = np.moveaxis(mask.labels, mask.axis, 0).copy()
        for index in range(len(labels)):
            state = mask.verdicts.get(index, "predicted")
            table.writerow([mask.case, index, state])
            if state == "rejected":
                labels[index] = ignore
        write_labels(out / f"{mask.case}.nii.gz", np.moveaxis(labels, 0, mask.axis), mask.shown.volume)
        files += 1
    write_text(out / "slices.csv", text.getvalue())
    return files + 1
