"""What leaves the studio: masks, and what other programs learn from."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskmixadv.files import together, whole, write_text
from maskmixadv.formats.nifti import write_labels
from maskmixadv.sources import nnunet_export
from maskmixadv.studio.images import readable
from maskmixadv.studio.images.volumes import Shown
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.refusals import UnavailableError
from maskmixadv.studio.review.reviews import Verdict
from maskmixadv.tabular import csv_text

What = Literal["masks", "model", "nnunet"]


class Mask(NamedTuple):
    """A case's mask, as it is to be written; `axis` is the one along which its slices were looked at."""

    case: str
    shown: Shown
    labels: UInt8[np.ndarray, "_ _ _"]
    axis: int
    verdicts: Mapping[int, Verdict]


def write_nnunet(layout: Layout) -> tuple[Path, int, list[str]]:
    """Write the folder as nnU-Net's raw dataset under a number of its own.

    Returns
    -------
    Where, how many files, and a line for each file of the folder that is not in it.

    Raises
    ------
    InputError
        Where nothing is drawn yet, or a file is wrong.
    """
    taken = [path.name for path in layout.export.glob("Dataset*_*")]
    number = 1 + max((int(name[7:10]) for name in taken if name[7:10].isdecimal()), default=100)
    name = re.sub(r"[^A-Za-z0-9]", "", layout.root.name) or "Studio"
    out = layout.export / f"Dataset{number}_{name}"
    corpus, left_out = readable.corpus(layout)
    nnunet_export.export(corpus, out)
    return out, sum(path.is_file() for path in out.rglob("*")), left_out


def write_model(layout: Layout, run: str) -> tuple[Path, int]:
    """Write the network of `run` as ONNX, once; returns where, and how many files.

    In a process of its own, as torch and tracing take seconds and memory that the server does not give back.

    Raises
    ------
    UnavailableError
        With what the export said, where it could not be done.
    """
    out, source = layout.check(layout.export / f"model-{run}"), layout.check(layout.runs / run)
    if not (out / "model.json").is_file():
        with whole(out) as place:
            _export_model(source, place)
    return out, len(list(out.iterdir()))


def _export_model(run: Path, place: Path) -> None:
    command = [sys.executable, "-m", "maskmixadv", "export", "model", str(run), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it ended without a word"]
        raise UnavailableError(f"export of the model: {said[-1].removeprefix('maskmixadv: ')}")


def write_masks(out: Path, masks: Iterator[Mask], *, ignore: int) -> int:
    """Write a NIfTI file a case, and ``slices.csv`` with what was said of each slice; returns how many files.

    Rejected slices are `ignore` throughout: nobody stands by what was predicted there. What an earlier export left in
    `out` is replaced when all is written, not before.

    Raises
    ------
    InputError
        Where a file can't be written.
    """
    rows: list[dict[str, Any]] = []
    files = 0
    with together(out) as place:
        for mask in masks:
            labels = np.moveaxis(mask.labels, mask.axis, 0).copy()
            states = [mask.verdicts.get(index, "predicted") for index in range(len(labels))]
            rows += [{"case": mask.case, "slice": index, "state": state} for index, state in enumerate(states)]
            labels[[state == "rejected" for state in states]] = ignore
            write_labels(place / f"{mask.case}.nii.gz", np.moveaxis(labels, 0, mask.axis), mask.shown.volume)
            files += 1
        write_text(place / "slices.csv", csv_text(["case", "slice", "state"], rows))
    return files + 1
