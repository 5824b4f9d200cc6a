"""What leaves the studio: masks, and what other programs learn from."""

import csv
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskmixadv.data import nnunet_export
from maskmixadv.data.corpus import Corpus
from maskmixadv.files import make_directory, write_text
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.refusals import UnavailableError
from maskmixadv.studio.reviews import Verdict
from maskmixadv.studio.volumes import Shown, write_labels

What = Literal["masks", "model", "nnunet"]


class Mask(NamedTuple):
    """A case's mask, as it is to be written; `axis` is the one along which its slices were looked at."""

    case: str
    shown: Shown
    labels: UInt8[np.ndarray, "_ _ _"]
    axis: int
    verdicts: Mapping[int, Verdict]


def write_nnunet(layout: Layout) -> tuple[Path, int]:
    """Write the folder as nnU-Net's raw dataset under a number of its own; returns where, and how many cases.

    Raises
    ------
    InputError
        Where nothing is drawn yet, or a file is wrong.
    """
    taken = [path.name for path in layout.export.glob("Dataset*_*")]
    number = 1 + max((int(name[7:10]) for name in taken if name[7:10].isdecimal()), default=100)
    name = re.sub(r"[^A-Za-z0-9]", "", layout.root.name) or "Studio"
    out = layout.export / f"Dataset{number}_{name}"
    return out, nnunet_export.export(Corpus.open(layout.root), out)


def write_model(layout: Layout, run: str) -> tuple[Path, int]:
    """Write the network of `run` as ONNX, once; returns where, and how many files.

    In a process of its own, as torch and tracing take seconds and memory that the server does not give back.

    Raises
    ------
    UnavailableError
        With what the export said, where it could not be done.
    """
    out = layout.check(layout.export / f"model-{run}")
    if not out.is_dir():
        partial = layout.export / f".partial-model-{run}"
        shutil.rmtree(partial, ignore_errors=True)
        command = [sys.executable, "-m", "maskmixadv", "export", "model", str(layout.runs / run), str(partial)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["it ended without a word"]
            raise UnavailableError(f"export of the model: {said[-1].removeprefix('maskmixadv: ')}")
        partial.rename(out)
    return out, len(list(out.iterdir()))


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
