"""What a training imports and reads before its first step: what the step needs, and no more."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from maskmixadv.errors import InputError
from maskmixadv.methods import PCE
from maskmixadv.sources.phantoms import phantom
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit

LATER = {
    "torch._dynamo", "sympy", "tensorboard", "matplotlib", "jinja2", "nibabel", "h5py", "scipy.ndimage",
    "skimage.measure._label", "skimage.segmentation.random_walker_segmentation",
}  # fmt: skip
"""Modules that the first step of a training does without, once its slices are kept."""
COUNTED = """
import sys
from maskmixadv.cli.app import run
from maskmixadv.training.loop import Loop

class Enough(Exception):
    pass

advance = Loop.advance
def first(self):
    advance(self)
    raise Enough
Loop.advance = first
try:
    run(sys.argv[1:])
except Enough:
    print(*sorted(sys.modules))
"""


def imported(words: list[str]) -> set[str]:
    """Names of the modules that a fresh process has imported after its first step."""
    done = subprocess.run([sys.executable, "-c", COUNTED, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["walk-teacher", "pce"])
def test_the_first_step_waits_for_no_import_that_it_needs_not(method: str, tmp_path: Path) -> None:
    phantom.prepare(tmp_path / "corpus", cases=6, size=64)
    short = ["--preset", "cpu", "--size", "48", "--window", "32", "--steps", "2", "--device", "cpu"]
    begun = [
        imported(["train", str(tmp_path / "corpus"), "--out", str(tmp_path / out), *short, method]) for out in "ab"
    ]
    assert {"torch", "scipy.ndimage"} <= begun[0]  # sanity: strokes are followed there
    assert sorted(begun[1] & LATER) == []


def test_a_validation_case_that_cannot_be_read_ends_a_training_soon(tmp_path: Path) -> None:
    """Though it is read beside the first steps, and wanted long after them."""
    corpus = phantom.prepare(tmp_path / "corpus", cases=6, size=64)
    schedule = replace(tiny.SCHEDULE, steps=10**6, validate_every=10**6)
    run = begin(corpus.root, tmp_path / "run", method=PCE(), schedule=schedule)
    (name,) = run.learnt_from.val
    for path in (corpus.root / "cases").glob(f"{name}*"):
        path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=name):
        fit(run, device="cpu")
