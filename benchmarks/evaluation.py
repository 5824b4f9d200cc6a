"""Seconds until the commands answer, predict and evaluate: ``python benchmarks/evaluation.py RUN``.

Each figure is of a process of its own, from its start to its end, as a user meets it; medians over rounds. A volume's
seconds, reading and writing included, are the difference of predicting many and one; what is left of the one is the
start. Of an evaluation, the lines that it prints as cases are done tell its parts.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, NamedTuple

import nibabel as nib
import numpy as np
import tyro
from tyro.conf import Positional, arg

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.device import device_name, pick_device
from maskmixadv.errors import InputError
from maskmixadv.runs.origin import same_corpus
from maskmixadv.runs.run import Run
from record import append

COMMANDS = ("", "prepare", "check", "annotate", "train", "evaluate", "predict", "bench", "demo")
"""Whose ``--help`` is timed; the first is the program's own."""
SLICES = 10
"""Of the volume that is predicted, as near as the corpus has one."""
MANY = 11
"""Volumes that are predicted in one go, to compare with one."""


@dataclass(frozen=True)
class Evaluation:
    """Time the command line with a run whose corpus is at hand.

    Attributes
    ----------
    root
        Directory of the run, which stays as it is.
    rounds
        How often each figure is taken, at least 1.
    device
        Where to compute; by default the fastest that is there.
    note
        What else is to be known of the machine, such as what it was busy with.
    """

    root: Annotated[Positional[Path], arg(metavar="RUN")]
    rounds: int = 3
    device: Annotated[str | None, arg(metavar="DEVICE")] = None
    note: str = ""

    @property
    def place(self) -> list[str]:
        """Options that name the device."""
        return [] if self.device is None else ["--device", self.device]


class Parts(NamedTuple):
    """Seconds of an evaluation until its first case is done, until its last one is, and from there to its end."""

    first: float
    others: float
    report: float


def seconds(argv: list[str]) -> float:
    """How long a command takes."""
    began = time.perf_counter()
    _checked(argv, subprocess.run(_line(argv), check=False, capture_output=True).returncode)
    return time.perf_counter() - began


def helps(rounds: int) -> dict[str, float]:
    """Seconds of each command's ``--help``."""
    return {name: median(seconds([*name.split(), "--help"]) for _ in range(rounds)) for name in COMMANDS}


def prediction(options: Evaluation, image: Path, folder: Path) -> tuple[float, float]:
    """Seconds of a start, and of a volume after it."""
    images = [folder / f"{number}.nii.gz" for number in range(MANY)]
    for each in images:
        each.symlink_to(image)
    head, tail = ["predict", str(options.root)], ["--out", str(folder / "labels"), *options.place]
    one, many = (
        median(seconds([*head, *map(str, of), *tail]) for _ in range(options.rounds)) for of in (images[:1], images)
    )
    each = (many - one) / (MANY - 1)
    return one - each, each


def evaluation(options: Evaluation, folder: Path) -> Parts:
    """Seconds of an evaluation's parts."""
    argv = ["evaluate", str(options.root), "--out", str(folder / "evaluation"), *options.place]
    rounds = [_parts(argv) for _ in range(options.rounds)]
    return Parts(*(median(part) for part in zip(*rounds, strict=True)))


def volume(run: Run, corpus: Corpus, path: Path) -> tuple[int, int, int]:
    """Write a test case's image to `path`; returns its shape d h w."""
    entry = min(corpus.of(run.learnt_from.test), key=lambda entry: abs(entry.shape[0] - SLICES))
    spacing = entry.spacing or corpus.nominal
    image = corpus.load(entry).shown.transpose(2, 1, 0)
    nib.save(nib.Nifti1Image(image, np.diag([*spacing[::-1], 1.0])), path)
    return entry.shape


def main(argv: list[str]) -> None:
    """Measure, print Markdown tables, append to the records."""
    options = tyro.cli(Evaluation, args=argv)
    if options.rounds < 1:
        raise InputError(f"rounds: {options.rounds}, allowed is 1 or more")
    run, device, busy = Run.open(options.root), pick_device(options.device), os.getloadavg()[0]
    corpus = same_corpus(run.learnt_from)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        shape = volume(run, corpus, folder / "volume.nii.gz")
        start, each = prediction(options, folder / "volume.nii.gz", folder)
        parts = evaluation(options, folder)
    found = {"help": helps(options.rounds), "predict": {"start": start, "volume": each}, "evaluate": parts._asdict()}
    cases = sum(entry.dense for entry in corpus.of(run.learnt_from.test))
    facts = {"rounds": options.rounds, "cases": cases, "shape": shape, "load": busy, "note": options.note}
    append("evaluation", {"seconds": _rounded(found), **facts}, device)
    print(f"{device_name(device)}, load {busy:.1f} before; medians of {options.rounds}. {options.note}\n")
    print("| | seconds |\n| --- | --- |")
    for command, took in found["help"].items():
        print(f"| `{' '.join(['maskmixadv', *command.split()])} --help` | {took:.2f} |")
    print(f"| `predict`, start | {start:.2f} |\n| `predict`, a volume of {' × '.join(map(str, shape))} | {each:.2f} |")
    print(f"| `evaluate`, {cases} volumes | {sum(parts):.1f} |\n| – until the first is done | {parts.first:.1f} |")
    print(f"| – the others | {parts.others:.1f} |\n| – summary and report | {parts.report:.1f} |")


def _line(argv: list[str]) -> list[str]:
    return [sys.executable, "-c", "from maskmixadv.cli.app import main; main()", *argv]


def _parts(argv: list[str]) -> Parts:
    began = time.perf_counter()
    with subprocess.Popen(_line(argv), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        done = list(_times(process))
    ended = time.perf_counter()
    _checked(argv, process.returncode)
    return Parts(done[0] - began, done[-1] - done[0], ended - done[-1])


def _times(process: "subprocess.Popen[str]") -> Iterator[float]:
    """When each case was told."""
    assert process.stderr is not None
    for line in process.stderr:
        if " Dice " in line:
            yield time.perf_counter()


def _checked(argv: list[str], code: int) -> None:
    if code:
        raise InputError(f"maskmixadv {shlex.join(argv)}: ended with exit code {code}")


def _rounded(found: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {key: round(value, 3) for key, value in of.items()} for name, of in found.items()}


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"evaluation: {error}")
