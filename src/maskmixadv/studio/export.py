"""Exports of the studio: masks, the model, and a data set for nnU-Net."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.files import together, whole, write_text
from maskmixadv.formats.nifti import write_labels
from maskmixadv.processes import read_reason
from maskmixadv.sources import nnunet_export
from maskmixadv.studio.images.volumes import ShownImage
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.refusals import UnavailableError
from maskmixadv.studio.review.reviews import Verdict
from maskmixadv.tabular import csv_text

ExportKind = Literal["masks", "model", "nnunet"]


class CaseMask(NamedTuple):
    """The mask of a case, and what was said of its slices.

    Attributes
    ----------
    case
        Name of the case.
    shown
        Its image.
    labels
        Class indices, on the axes of the image's file.
    axis
        Axis along which slices are cut.
    verdicts
        Verdicts by slice.
    """

    case: str
    shown: ShownImage
    labels: UInt8[np.ndarray, "_ _ _"]
    axis: int
    verdicts: Mapping[int, Verdict]


def write_nnunet(layout: Layout, corpus: Corpus) -> tuple[Path, int]:
    """Write the folder's `corpus` as nnU-Net's raw dataset, with the next free number.

    Returns
    -------
    The dataset's directory, and the number of its files.

    Raises
    ------
    InputError
        If a case can't be read, or a file can't be written.
    """
    names = [path.name.removeprefix("Dataset") for path in layout.export.glob("Dataset*_*")]
    number = 1 + max((int(name[:3]) for name in names if name[:3].isdecimal()), default=100)
    name = re.sub(r"[^A-Za-z0-9]", "", layout.root.name) or "Studio"
    out = layout.export / f"Dataset{number}_{name}"
    nnunet_export.export(corpus, out)
    return out, sum(path.is_file() for path in out.rglob("*"))


def write_model(layout: Layout, run: str) -> tuple[Path, int]:
    """Write the network of `run` as ONNX, unless that was done before; returns the directory and the number of files.

    Another process does it, because torch and tracing take memory that the server would not give back.

    Raises
    ------
    UnavailableError
        If the network can't be exported; the message says why.
    """
    out, source = layout.check(layout.export / f"model-{run}"), layout.check(layout.runs / run)
    if not (out / "model.json").is_file():
        with whole(out) as place:
            _export_model(source, place)
    return out, len(list(out.iterdir()))


def _export_model(run: Path, place: Path) -> None:
    with TemporaryDirectory() as notes:
        reason = Path(notes, "reason")
        command = [sys.executable, "-m", "maskmixadv.studio.learning.export_job", str(run), str(place), str(reason)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            why = read_reason(reason) or "it ended without giving a reason (killed, or out of memory)"
            raise UnavailableError(f"export of the model: {why}")


def write_masks(out: Path, masks: Iterator[CaseMask], *, ignore: int) -> int:
    """Write a NIfTI file for each case, and ``slices.csv`` with the verdict on each slice; returns the number of files.

    A rejected slice gets the code `ignore` everywhere. Files of an earlier export are replaced only when all new ones
    are written.

    Raises
    ------
    InputError
        If a file can't be written.
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
