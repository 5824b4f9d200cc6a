"""Strokes and dense slices in one volume, from files to scores."""

from pathlib import Path

import numpy as np
import pytest

import mixed
import own
import tiny
from maskmixadv.cli.app import run
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.runs.run import Run
from maskmixadv.sources.nnunet_export import export
from maskmixadv.tabular import read_csv

pytestmark = pytest.mark.usefixtures("narrow", "unpictured", "undrawn")

SHORT = ["--preset", "cpu", "--size", "48", "--window", "32", "--steps", "2", "--device", "cpu", "pce"]


def folder(source: Path) -> Path:
    """Two mixed volumes, one with a few dense slices alone, one with strokes, and two with whole masks."""
    own.folder(source, scribbled=1, masked=2)
    for number, kinds in (("x0", "both"), ("x1", "both"), ("d0", "masks")):
        _, scribble, dense = tiny.volume()
        own.case(source, number, scribble=False)
        if kinds == "both":
            own.write(source / "scribbles" / f"{number}.nii.gz", own.coded(mixed.only(scribble, [0, 1])))
        own.write(source / "masks" / f"{number}.nii.gz", own.coded(mixed.only(dense, [1])))
    return source


@pytest.fixture
def root(tmp_path: Path) -> Path:
    assert run(["prepare", "folder", str(folder(tmp_path / "src")), str(tmp_path / "c")]) == 0
    return tmp_path


def test_partly_dense_volumes_teach_and_are_not_held_out(root: Path) -> None:
    (own_fold,) = Corpus.open(root / "c").folds["own"]
    assert own_fold.train == ("d0", "s0", "x0", "x1")
    assert own_fold.val == ("m0", "m1")


def test_check_counts_both_kinds(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(root / "c")]) == 0
    told = capsys.readouterr().out
    assert "with scribbles 3, with dense masks 5, with both 2\n" in told
    assert "slices with strokes 7, with dense masks 9, with both 2\n" in told
    assert "partly dense volumes 3: " in told
    assert "no stroke in 2 of 9 slices" in told  # slice 2 of x0 and x1; slice 1 has a mask


@pytest.mark.usefixtures("plain")
def test_a_training_learns_from_both_and_scores_what_is_known(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(root / "run")
    assert run(["train", str(root / "c"), "--out", out, *SHORT]) == 0
    told = capsys.readouterr().err
    assert (
        "learnt from: 4 patients, 8 slices, 3 of them dense; strokes: background 5, RV 5, Myo 5, LV 5; masks: " in told
    )
    assert "kept for scoring" not in told
    assert run(["evaluate", out, "--split", "val"]) == 0
    assert "know only some slices" not in capsys.readouterr().err
    assert run(["evaluate", out, "--split", "train"]) == 0
    assert "3 of 3 masks know only some slices; 3 of their 9 slices are scored" in capsys.readouterr().err
    scores = read_csv(root / "run" / "evaluation-train" / "scores.csv")
    found = [float(row["truth_ml"]) for row in scores if row["class"] == "RV"]
    assert found == pytest.approx([(24**2 - 16**2) * 8 * 1.5**2 / 1000] * 3, rel=0.01)  # of one slice each


@pytest.mark.parametrize(
    ("words", "dense"),
    [
        pytest.param(["--masks", "none"], 0, marks=pytest.mark.slow),
        (["--masks", "all"], 3),
        pytest.param(["--masks", "1"], 1, marks=pytest.mark.slow),
        (["--masks", "2", "--masks-of", "slices"], 2),
    ],
)
def test_the_command_says_which_masks_teach(
    root: Path, words: list[str], dense: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(root / "c"), "--out", str(root / "run"), *words, *SHORT]) == 0
    told = capsys.readouterr().err
    assert (f"{dense} of them dense" in told) == (dense > 0)
    assert (Run.open(root / "run").masks.which, bool(dense)) == (words[1], dense > 0)


def test_too_few_masks_are_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(root / "c"), "--out", str(root / "run"), "--masks", "9", *SHORT]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "masks: 9, but only 3 training patients have masks" in line
    assert not (root / "run").exists()


def test_a_dataset_of_nnunet_may_mix_them(root: Path) -> None:
    """Exported and read again, each slice is what it was."""
    corpus = Corpus.open(root / "c")
    export(corpus, root / "Dataset101_Mixed")
    assert run(["prepare", "nnunet", str(root / "Dataset101_Mixed"), str(root / "again")]) == 0
    again = Corpus.open(root / "again")
    assert {entry.name for entry in again.entries if entry.partly} == {"x0", "x1"}
    for name in ("x0", "d0", "s0"):
        one, other = (
            np.minimum.reduce([labels for labels in (case.dense, case.scribble) if labels is not None])
            for case in (corpus.load(name), again.load(name))
        )
        np.testing.assert_array_equal(one, other)
