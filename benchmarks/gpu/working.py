"""What a lot's worker processes do on the CPU: corpora, random walks, training slices, scores."""

import contextlib
import math
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import maskmixadv
from lot import CorpusOf, Piece, Split
from maskmixadv.errors import InputError
from maskmixadv.evaluation.evaluate import evaluate, folder
from maskmixadv.processes import told_to
from maskmixadv.runs.origin import same_corpus
from maskmixadv.runs.run import Run
from maskmixadv.sources.opening import open_corpus
from maskmixadv.strokes.walker import load_beliefs
from maskmixadv.training.data import training_slices
from maskmixadv.training.settle import settle
from maskmixadv.training.together import begin_for, hand_over

OUTPUT = "output.txt"
"""File in a run's folder with what was said of it."""


def make_corpus(of: CorpusOf, work: Path) -> float:
    """Make a corpus, unless it is there; returns the seconds that it took."""
    began = time.monotonic()
    if not (work / of.name / "corpus.json").is_file():
        source = str(Path(maskmixadv.__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
        for command in of.commands:
            words = [sys.executable, "-m", "maskmixadv", *shlex.split(command)]
            done = subprocess.run(words, cwd=work, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"corpus {of.name}: {command}: {(done.stderr or done.stdout).strip()[-300:]}")
    open_corpus(work / of.name)
    return time.monotonic() - began


def walk(root: Path, patients: Sequence[str], *, enclosure: bool, part: tuple[int, int], aside: Path) -> float:
    """Compute and keep beliefs of a part of the cases with strokes; returns the seconds that it took.

    One process at a time computes what a corpus's cache lacks. So each part has a folder of its own `aside`, with the
    corpus's files, from which the beliefs then go into the corpus's cache.

    Parameters
    ----------
    root
        The corpus.
    patients
        Whose cases are wanted.
    enclosure
        As runs have it.
    part
        Number of the part, and of all parts.
    aside
        The part's own folder, which is new.
    """
    began, (number, parts) = time.monotonic(), part
    wanted = [entry for entry in open_corpus(root).of(tuple(patients)) if entry.scribble][number::parts]
    (aside / "cache").mkdir(parents=True)
    (root / "cache").mkdir(exist_ok=True)
    for path in root.iterdir():
        if path.name != "cache" and not path.name.startswith("."):
            (aside / path.name).symlink_to(path.resolve())
    for path in (root / "cache").glob("*.npz"):
        (aside / "cache" / path.name).symlink_to(path.resolve())
    for _ in load_beliefs(open_corpus(aside), wanted, enclosure=enclosure):
        pass
    for path in (aside / "cache").glob("*.npz"):
        if not path.is_symlink():
            path.replace(root / "cache" / path.name)
    return time.monotonic() - began


def begin(piece: Piece, device: str) -> None:
    """Write a run down as one that trains on `device`."""
    with told_to(piece.root.with_name(f"{piece.name}.txt")):
        begin_for(piece.recipe, piece.root, device)


def keep(piece: Piece, patients: Sequence[str], *, part: tuple[int, int]) -> float:
    """Keep slices of a part of the cases in the corpus's cache; returns the seconds that it took.

    Parameters
    ----------
    piece
        A run that has begun, and learns from such slices.
    patients
        Whose cases are wanted, also by other runs.
    part
        Number of the part, and of all parts.
    """
    began, (number, parts) = time.monotonic(), part
    run = Run.open(piece.root)
    corpus = same_corpus(run.learnt_from)
    with told_to(piece.root / OUTPUT), contextlib.suppress(InputError):  # which the run's own slices will say
        training_slices(run, corpus, torch.device("cpu"), math.inf, corpus.of(tuple(patients))[number::parts])
    return time.monotonic() - began


def slices(piece: Piece, file: Path) -> float:
    """Save what a run learns from, and what is to be said of it, in a file; returns the seconds that it took."""
    began = time.monotonic()
    with told_to(piece.root / OUTPUT):
        hand_over(Run.open(piece.root), file)
    return time.monotonic() - began


def say(root: Path, text: str) -> None:
    """Add a line to what was said of a run."""
    with (root / OUTPUT).open("a") as file:
        file.write(f"{text}\n")


def score(root: Path, split: Split, *, largest: bool) -> float:
    """Score a run as the command ``evaluate`` does; returns the seconds that it took."""
    began = time.monotonic()
    out = folder(root, split)
    out = out.with_name(f"{out.name}-largest") if largest else out
    words = ["maskmixadv", "evaluate", str(root), "--split", split, "--device", "cpu", "--out", str(out)]
    words += ["--pieces", "largest"] if largest else []
    with told_to(root / OUTPUT):
        settle(Run.open(root), "cpu")
        evaluate(root, split=split, out=out, largest=largest or None, device="cpu", jobs=1, command=shlex.join(words))
    return time.monotonic() - began
