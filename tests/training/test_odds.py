"""Odds of classes are found by masks of validation patients, judged by others' masks, and used in predictions."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

import tiny
from maskmixadv.cli.app import run as command
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.evaluation.evaluate import BY_THESE, evaluate
from maskmixadv.inference.predictor import Predictor
from maskmixadv.methods.pce import PCE
from maskmixadv.runs.odds import FILE, Odds
from maskmixadv.runs.run import Run
from maskmixadv.sampling.grid import Grid
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit
from maskmixadv.training.odds import _met_part as met_part
from maskmixadv.training.odds import found_odds
from maskmixadv.training.settle import settle
from maskmixadv.types import IGNORE, Part

CLASSES = ("background", "cyst", "stone")
SIDE, DEPTH = 48, 3
RADIUS = {1: 9.0, 2: 5.0}
MIDDLE = {1: (16, 16), 2: (34, 32)}


def away(label: int) -> Float[np.ndarray, "h w"]:
    """Distance of each pixel from the middle of a structure."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.hypot(rows - MIDDLE[label][0], columns - MIDDLE[label][1])


def mask() -> UInt8[np.ndarray, "d h w"]:
    drawn = np.zeros((DEPTH, SIDE, SIDE), np.uint8)
    for label, radius in RADIUS.items():
        drawn[:, away(label) <= radius] = label
    return drawn


def written(root: Path, *, validation: int, dense: UInt8[np.ndarray, "d h w"]) -> Corpus:
    """Write a corpus of patients who all look the same: one to learn from, one to test, and some to validate on."""
    names = [f"p{number}" for number in range(validation + 2)]
    strokes = np.full_like(dense, IGNORE)
    strokes[:, ::6] = dense[:, ::6]
    image = np.random.default_rng(0).random((1, *dense.shape), dtype=np.float32)
    return Corpus.write(
        root / "corpus",
        [Case(name, name, image, strokes, dense, (5.0, 1.0, 1.0)) for name in names],
        name="stones",
        classes=CLASSES,
        folds={"one": [Split(tuple(names[:1]), tuple(names[2:]), tuple(names[1:2]))]},
    )


def begun(root: Path, *, validation: int = 6, dense: UInt8[np.ndarray, "d h w"] | None = None) -> tuple[Run, Corpus]:
    corpus = written(root, validation=validation, dense=mask() if dense is None else dense)
    return begin(corpus.root, root / "run", method=PCE(), schedule=tiny.SCHEDULE), corpus


def drawing(monkeypatch: pytest.MonkeyPatch, too_far: Sequence[float]) -> None:
    """Let networks draw the border of each structure some pixels too far out, case after case."""
    cases = iter([*too_far] * 60)

    def parts(self: Predictor, image: Any, *_: Any, **__: Any) -> Iterator[Float[Tensor, "b k h w"]]:
        further = next(cases)
        logits = [np.zeros((SIDE, SIDE)), *(RADIUS[label] + further - away(label) for label in RADIUS)]
        probs = torch.tensor(np.stack(logits), dtype=torch.float32).softmax(0).expand(image.shape[1], -1, -1, -1)
        factors = torch.tensor(self.odds.applied or (1.0,) * 3)[:, None, None]
        yield from (probs * factors / (probs * factors).sum(1, keepdim=True)).split(2)

    monkeypatch.setattr(Predictor, "parts", parts)


def octaves(odds: Odds) -> float:
    """How much more odds the background has than the structures."""
    return math.log2(odds.factors[0])


@pytest.fixture
def predictor() -> Predictor:
    """What draws is put in its place."""
    return Predictor(torch.nn.Identity(), Grid(SIDE), CLASSES)


def test_borders_too_far_out_give_the_background_half_of_what_would_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: Predictor
) -> None:
    run, corpus = begun(tmp_path)
    drawing(monkeypatch, [2.0])
    odds = found_odds(run, corpus, predictor)
    assert odds.used
    assert (odds.classes, odds.patients, odds.cases) == (CLASSES, 6, 6)
    assert octaves(odds) == pytest.approx(1 / math.log(2), abs=0.25)
    assert odds.before < 0.8 < 0.85 < odds.after
    assert np.prod(odds.factors[1:]) == pytest.approx(1, abs=1e-3)


def test_borders_too_far_in_give_it_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: Predictor) -> None:
    run, corpus = begun(tmp_path)
    drawing(monkeypatch, [-2.0])
    assert octaves(found_odds(run, corpus, predictor)) == pytest.approx(-1 / math.log(2), abs=0.25)


def test_what_differs_from_patient_to_patient_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: Predictor
) -> None:
    run, corpus = begun(tmp_path)
    drawing(monkeypatch, [2.0, -2.0, 1.0, -1.0, 1.5, -1.5])
    odds = found_odds(run, corpus, predictor)
    assert (odds.used, odds.applied, odds.patients) == (False, None, 6)


def test_two_patients_decide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: Predictor) -> None:
    run, corpus = begun(tmp_path, validation=2)
    drawing(monkeypatch, [2.0])
    assert found_odds(run, corpus, predictor) == Odds()


def test_some_voxels_say_what_all_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: Predictor) -> None:
    run, corpus = begun(tmp_path)
    drawing(monkeypatch, [2.0])
    every = found_odds(run, corpus, predictor)
    monkeypatch.setattr("maskmixadv.training.odds.MOST", 600)
    some = found_odds(run, corpus, predictor)
    assert octaves(some) == pytest.approx(octaves(every), abs=0.25)
    assert some.after == pytest.approx(every.after, abs=0.05)


def test_of_large_slices_some_rows_say_what_all_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: Predictor
) -> None:
    run, corpus = begun(tmp_path)
    drawing(monkeypatch, [2.0])
    every = found_odds(run, corpus, predictor)
    looked: list[int] = []
    monkeypatch.setattr("maskmixadv.training.odds.AT_ONCE", 2 * 3 * SIDE * SIDE // 2)

    def counted(probs: Tensor, *others: Any) -> Any:
        looked.append(probs.shape[2])
        return met_part(probs, *others)

    monkeypatch.setattr("maskmixadv.training.odds._met_part", counted)
    some = found_odds(run, corpus, predictor)
    assert set(looked) == {SIDE // 2}
    assert octaves(some) == pytest.approx(octaves(every), abs=0.25)


def test_pixels_that_nobody_labelled_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: Predictor
) -> None:
    dense = mask()
    dense[1:] = IGNORE
    run, corpus = begun(tmp_path, dense=dense)
    drawing(monkeypatch, [2.0])
    odds = found_odds(run, corpus, predictor)
    assert octaves(odds) == pytest.approx(1 / math.log(2), abs=0.25)
    assert odds.after > 0.85


def test_a_training_keeps_them_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = begun(tmp_path)
    drawing(monkeypatch, [2.0])
    assert fit(run, device="cpu")
    told = capsys.readouterr().err
    assert "odds of classes by the masks of 6 validation patients: background " in told
    assert "(odds.json; '--odds neutral' leaves them out)" in told
    kept = Odds.of_run(run.root, CLASSES)
    assert kept.used
    assert Predictor.load(run.root, "cpu").odds == kept
    assert Predictor.load(run.root, "cpu", odds=False).odds.applied is None
    # What was decided stays.
    (run.root / FILE).unlink()
    assert settle(run, "cpu")[0] == Odds()


@pytest.fixture(scope="module")
def weighted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a trained run that leaves the background nothing."""
    run, _ = begun(tmp_path_factory.mktemp("weighted"))
    assert fit(run, device="cpu")
    Odds(CLASSES, (1e-9, 1.0, 1.0), used=True, patients=6, cases=6).write(run.root)
    return run


def test_probabilities_have_them_and_sum_to_one(weighted: Run) -> None:
    image = np.random.default_rng(0).random((1, DEPTH, SIDE, SIDE), dtype=np.float32)
    own, given = (
        Predictor.load(weighted.root, "cpu", odds=odds).probs(image, (5.0, 1.0, 1.0)) for odds in (False, True)
    )
    wanted = own * torch.tensor([1e-9, 1, 1])[:, None, None]
    torch.testing.assert_close(given, wanted / wanted.sum(1, keepdim=True))
    torch.testing.assert_close(given.sum(1), torch.ones_like(given[:, 0]))


@pytest.mark.parametrize(("options", "some"), [([], True), (["--odds", "neutral"], False)])
def test_predict_uses_them(weighted: Run, tmp_path: Path, options: list[str], some: bool) -> None:
    image = np.random.default_rng(0).random((SIDE, SIDE, DEPTH))
    nib.save(nib.Nifti1Image(image, np.diag([1, 1, 5, 1])), tmp_path / "a.nii")
    images, out = str(tmp_path / "a.nii"), tmp_path / "out"
    assert command(["predict", str(weighted.root), images, "--out", str(out), "--pieces", "all", *options]) == 0
    assert np.asanyarray(nib.Nifti1Image.from_filename(out / "a.nii").dataobj).any() == some


def test_evaluate_names_them_and_by_whom_they_were_chosen(weighted: Run, tmp_path: Path) -> None:
    expected: list[tuple[Part, bool, str]] = [
        ("test", True, "background 1e-09, cyst 1, stone 1"),
        ("test", False, "neutral"),
        ("val", True, f"background 1e-09, cyst 1, stone 1{BY_THESE}"),
    ]
    for split, odds, told in expected:
        out = tmp_path / f"{split}-{odds}"
        evaluate(weighted.root, split=split, out=out, odds=odds, device="cpu", jobs=1)
        assert json.loads((out / "summary.json").read_text())["provenance"]["evaluation"]["odds"] == told
        assert f"<td>{told}</td>" in (out / "report.html").read_text()
