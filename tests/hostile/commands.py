"""Commands that make something, each with what must be there when it is done; given again, they must work."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import torch

import own
import tiny
from maskmixadv.cli.app import run
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.sources.phantoms import phantom

SHORT = ["--preset", "cpu", "--size", "64", "--window", "48", "--batch", "2"]
SAVING_OFTEN = (
    "import sys; from maskmixadv.cli import app as cli; from maskmixadv.training import fit as train; "
    "train.SAVE_SECONDS = 0.2; sys.exit(cli.run(sys.argv[1:]))"
)


@dataclass(frozen=True)
class Given:
    """What commands work on, under `root`."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> "Given":
        """Make a corpus, a run, a folder of images, and releases in miniature."""
        given = cls(root)
        phantom.prepare(given.corpus, cases=8, size=64)
        train = ["train", str(given.corpus), "--out", str(given.run), *SHORT, "--steps", "2", "pce"]
        assert run(train) == 0
        own.folder(given.folder, scribbled=4, masked=2)
        given.acdc.mkdir()
        for number in range(1, 9):
            image, scribble, dense = tiny.volume(number)
            with h5py.File(given.acdc / f"patient{number:03d}_frame01.h5", "w") as file:
                drawn = own.coded(scribble).astype(np.uint16)
                for key, array in (("image", image), ("scribble", drawn), ("label", dense)):
                    file.create_dataset(key, data=array)
        return given

    @property
    def corpus(self) -> Path:
        return self.root / "corpus"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def folder(self) -> Path:
        return self.root / "folder"

    @property
    def acdc(self) -> Path:
        return self.root / "acdc"


Words = Callable[[Given, Path], Sequence[str | Path]]


@dataclass(frozen=True)
class Command:
    """A command that makes `out`, and what it made in a form that can be compared."""

    name: str
    words: Words
    made: Callable[[Path], Any]

    def start(self, given: Given, out: Path, **how: Any) -> "subprocess.Popen[str]":
        """Start it in a session of its own."""
        command = [sys.executable, "-c", SAVING_OFTEN, *map(str, self.words(given, out))]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **how
        )

    def finish(self, given: Given, out: Path, **how: Any) -> tuple[int, str]:
        """Run it to its end; returns its exit code and what it said on stderr."""
        process = self.start(given, out, **how)
        _, said = process.communicate(timeout=300)
        return process.returncode, said

    def killed(self, given: Given, out: Path, after: float) -> bool:
        """Kill it `after` so many seconds, as the system does; returns whether it still ran."""
        process = self.start(given, out)
        try:
            process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            process.kill()
        # Pipes are not read to their end here: orphans would hold them open, and are to be found.
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        assert orphans(process.pid) == []
        return process.returncode == -signal.SIGKILL


def orphans(session: int, patience: float = 10.0) -> list[str]:
    """Processes of a session that do not end within so many seconds."""
    until = time.monotonic() + patience
    while found := _of(session):
        if time.monotonic() > until:
            return found
        time.sleep(0.05)
    return []


def _of(session: int) -> list[str]:
    listed = subprocess.run(
        ["ps", "-s", str(session), "-o", "stat=,args="], capture_output=True, text=True, check=False
    )
    return [line for line in listed.stdout.splitlines() if not line.lstrip().startswith("Z")]


def files(out: Path) -> dict[str, str]:
    """All files by their content; what is volatile by its presence."""
    return {
        str(path.relative_to(out)): _content(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and not {"cache", ".lock", "tensorboard"} & set(path.relative_to(out).parts)
    }


def _content(path: Path) -> str:
    if path.name.endswith((".nii.gz", ".nii")):  # gzip notes when and under which name
        return hashlib.sha256(np.asarray(nib.load(path).dataobj).tobytes()).hexdigest()  # pyright: ignore
    volatile = ("run.json", "summary.json", "model.json", "log.csv", ".maskmixadv.json")
    if path.suffix in (".html", ".onnx") or path.name in volatile:
        return "there"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def corpus(out: Path) -> Any:
    """A corpus's content."""
    opened = Corpus.open(out)
    return files(out), opened.hash(), [case.name for case in opened.load_all(opened.entries)]


def weights(out: Path) -> Any:
    """A run's weights, to the bit, and the rows of its log."""
    state = torch.load(out / "last.pt", weights_only=True)
    rows = [line.split(",", 2)[0] for line in (out / "log.csv").read_text().splitlines()]
    scored = {name: tensor.numpy().tobytes() for name, tensor in state["scored"].items()}
    return state["step"], scored, rows


COMMANDS = (
    Command("prepare phantom", lambda _, out: ["prepare", "phantom", out, "--cases", "8", "--size", "64"], corpus),
    Command("prepare acdc", lambda given, out: ["prepare", "acdc", given.acdc, out], corpus),
    Command("prepare folder", lambda given, out: ["prepare", "folder", given.folder, out], corpus),
    Command("annotate", lambda given, out: ["annotate", "scribbles", given.corpus, "--out", out], corpus),
    Command(
        "train",
        lambda given, out: ["train", given.corpus, "--out", out, *SHORT, "--steps", "24", "pce"],
        weights,
    ),
    Command("evaluate", lambda given, out: ["evaluate", given.run, "--out", out], files),
    Command("predict", lambda given, out: ["predict", given.run, given.folder / "images", "--out", out], files),
    Command("export nnunet", lambda given, out: ["export", "nnunet", given.corpus, out], files),
    Command("export model", lambda given, out: ["export", "model", given.run, out], files),
)
BY_NAME = {command.name: command for command in COMMANDS}
