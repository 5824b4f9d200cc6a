"""Odds of classes are found by masks of validation patients, judged by others' masks, and used in predictions."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
from maskmixadv.errors import InputError
from maskmixadv.evaluation.evaluate import BY_THESE, evaluate
from maskmixadv.inference.predictor import Predictor, multiplied
from maskmixadv.methods.pce import PCE
from maskmixadv.metrics.masks import dices
from maskmixadv.networks.losses import most_probable
from maskmixadv.runs.odds import FILE, Odds
from maskmixadv.runs.pieces import Pieces
from maskmixadv.runs.run import Run
from maskmixadv.sampling.grid import Grid
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit
from maskmixadv.training.odds import PARTS, Shift, found_odds
from maskmixadv.training.odds import _Masks as Masks
from maskmixadv.training.odds import _met_part as met_part
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


def mask(cyst: float = RADIUS[1]) -> UInt8[np.ndarray, "d h w"]:
    drawn = np.zeros((DEPTH, SIDE, SIDE), np.uint8)
    for label, radius in (RADIUS | {1: cyst}).items():
        drawn[:, away(label) <= radius] = label
    return drawn


def written(root: Path, *, dense: Sequence[UInt8[np.ndarray, "d h w"]]) -> Corpus:
    """Write a corpus of patients with these masks: one to learn from, one to test, and the others to validate on."""
    names = [f"p{number}" for number in range(len(dense))]

    def case(name: str, own: UInt8[np.ndarray, "d h w"]) -> Case:
        strokes = np.full_like(own, IGNORE)
        strokes[:, ::6] = own[:, ::6]
        image = np.random.default_rng(0).random((1, *own.shape), dtype=np.float32)
        return Case(name, name, image, strokes, own, (5.0, 1.0, 1.0))

    return Corpus.write(
        root / "corpus",
        [case(*each) for each in zip(names, dense, strict=True)],
        name="stones",
        classes=CLASSES,
        folds={"one": [Split(tuple(names[:1]), tuple(names[2:]), tuple(names[1:2]))]},
    )


def begun(root: Path, *, validation: int = 6, dense: UInt8[np.ndarray, "d h w"] | None = None) -> tuple[Run, Corpus]:
    return begun_with(root, [mask() if dense is None else dense] * (validation + 2))


def begun_with(root: Path, dense: Sequence[UInt8[np.ndarray, "d h w"]]) -> tuple[Run, Corpus]:
    corpus = written(root, dense=dense)
    return begin(corpus.root, root / "run", method=PCE(), schedule=tiny.SCHEDULE), corpus


def drawing(monkeypatch: pytest.MonkeyPatch, too_far: Sequence[float], cysts: Sequence[float] = (RADIUS[1],)) -> None:
    """Let networks draw the border of each structure some pixels too far out, case after case.

    Where cysts of several radii are drawn, their stones are drawn half as much too far in.
    """
    cases = iter([*zip(too_far, itertools.cycle(cysts), strict=False)] * 60)

    def parts(self: Predictor, image: Any, *_: Any, **__: Any) -> Iterator[Float[Tensor, "b k h w"]]:
        further, cyst = next(cases)
        stone = further if len(cysts) == 1 else -further / 2
        radius = {1: cyst + further, 2: RADIUS[2] + stone}
        logits = [np.zeros((SIDE, SIDE)), *(radius[label] - away(label) for label in RADIUS)]
        probs = torch.tensor(np.stack(logits), dtype=torch.float32).softmax(0).expand(image.shape[1], -1, -1, -1)
        factors = torch.tensor(self.odds.of_case() or (1.0,) * 3)[:, None, None]
        yield from (probs * factors / (probs * factors).sum(1, keepdim=True)).split(2)

    monkeypatch.setattr(Predictor, "parts", parts)


def octaves(odds: Odds) -> float:
    """How much more odds the background has than the structures."""
    return math.log2(odds.factors[0])


@pytest.fixture
def predictor() -> Predictor:
    """What draws is put in its place."""
    return Predictor(torch.nn.Identity(), Grid(SIDE), CLASSES)


def test_borders_too_far_out_give_the_background_three_quarters_of_what_would_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: Predictor
) -> None:
    run, corpus = begun(tmp_path)
    drawing(monkeypatch, [2.0])
    odds = found_odds(run, corpus, predictor)
    assert odds.used
    assert (odds.classes, odds.patients, odds.cases) == (CLASSES, 6, 6)
    assert octaves(odds) == pytest.approx(1.5 / math.log(2), abs=0.25)
    assert odds.before < 0.8 < 0.85 < odds.after
    assert np.prod(odds.factors[1:]) == pytest.approx(1, abs=1e-3)


def test_borders_too_far_in_give_it_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: Predictor) -> None:
    run, corpus = begun(tmp_path)
    drawing(monkeypatch, [-2.0])
    assert octaves(found_odds(run, corpus, predictor)) == pytest.approx(-1.5 / math.log(2), abs=0.25)


def test_what_small_structures_need_is_not_taken_from_large_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: Predictor
) -> None:
    cysts, too_far = [3.0, 9.0] * 3, [1.5, 0.0] * 3
    run, corpus = begun_with(tmp_path, [mask(cyst) for cyst in (6.0, 6.0, *cysts)])
    drawing(monkeypatch, too_far, cysts)
    odds = found_odds(run, corpus, predictor)
    assert odds.used
    assert odds.power >= 1
    small, large = (odds.of_case(np.array(drawn)) for drawn in ((6000, 200, 170), (6000, 760, 236)))
    assert small is not None
    assert large is not None
    assert small[1] / small[0] < 0.75 * large[1] / large[0]
    # Where all structures have their usual size, there is nothing to tell a power by.
    drawing(monkeypatch, [2.0])
    same = found_odds(*begun(tmp_path / "same"), predictor)
    assert (same.power, same.usual) == (0.0, ())


def test_what_differs_from_patient_to_patient_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: Predictor
) -> None:
    run, corpus = begun(tmp_path)
    drawing(monkeypatch, [2.0, -2.0, 1.0, -1.0, 1.5, -1.5])
    odds = found_odds(run, corpus, predictor)
    assert (odds.used, odds.of_case(), odds.patients) == (False, None, 6)


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


@pytest.mark.parametrize("pushed", [(1, 2), (0, 1), (2, 0)])
def test_the_farthest_odds_give_the_dice_that_they_are_judged_by(pushed: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    cases: list[tuple[Tensor, UInt8[np.ndarray, "d h w"]]] = []
    for large in (1, 2):
        logits = random.normal(0, 6, (1, 3, 24, 24))
        logits[:, large] += 5
        probs = torch.tensor(logits, dtype=torch.float32).softmax(1)
        truth = random.integers(0, 3, (1, 24, 24)).astype(np.uint8)
        cases.append((probs, truth))
    masks = Masks.of([met_part(probs, truth, 10_000, random) for probs, truth in cases])
    shift = Shift.neutral(3)
    for place, way in [(3, 1), (pushed[0], 1), (pushed[1], 2)] * 30:
        allowed = list(shift.near(place, 2))
        shift = allowed[min(way, len(allowed) - 1)]
    odds = Odds(
        CLASSES,
        tuple(2.0 ** (each / PARTS) for each in shift.logs),
        power=shift.power / PARTS,
        usual=tuple(masks.usual.tolist()),
        used=True,
    )
    for (probs, truth), judged in zip(cases, masks.dice(shift), strict=True):
        drawn = np.bincount(most_probable(probs).flatten(), minlength=3)
        labels = most_probable(multiplied(probs, odds.of_case(drawn))).numpy()
        assert judged == pytest.approx(np.mean(dices(truth, labels, 3)))


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
    assert octaves(odds) == pytest.approx(1.5 / math.log(2), abs=0.25)
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
    assert Predictor.load(run.root, "cpu", odds=False).odds.of_case() is None
    # What was decided stays.
    assert settle(run, "cpu")[0] == kept
    (run.root / FILE).unlink()
    with pytest.raises(InputError, match=r"odds\.json: is missing, though the run has decided on odds"):
        settle(run, "cpu")


@pytest.fixture(scope="module")
def weighted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a trained run that leaves the background nothing."""
    run, _ = begun(tmp_path_factory.mktemp("weighted"))
    assert fit(run, device="cpu")
    network = Predictor.load(run.root, "cpu").network
    Odds(CLASSES, (1e-9, 1.0, 1.0), used=True, patients=6, cases=6).write(run.root, network)
    Pieces.of_run(run.root, CLASSES).write(run.root, network)
    return run


def test_probabilities_have_them_and_sum_to_one(weighted: Run) -> None:
    image = np.random.default_rng(0).random((1, DEPTH, SIDE, SIDE), dtype=np.float32)
    own, given = (
        Predictor.load(weighted.root, "cpu", odds=odds).probs(image, (5.0, 1.0, 1.0)) for odds in (False, True)
    )
    wanted = own * torch.tensor([1e-9, 1, 1])[:, None, None]
    torch.testing.assert_close(given, wanted / wanted.sum(1, keepdim=True))
    torch.testing.assert_close(given.sum(1), torch.ones_like(given[:, 0]))


class Rarer(torch.nn.Module):
    """A network that finds less background."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        logits = self.net(image)
        return logits - logits.mean((0, 2, 3), keepdim=True)


def test_those_that_go_by_size_are_known_before_the_first_slice_is_given(
    weighted: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(0).random((1, DEPTH, SIDE, SIDE), dtype=np.float32)
    odds = Odds(CLASSES, (0.6, 1.2, 1 / 1.2), 1.5, (0.7, 0.4), used=True, patients=6, cases=6)
    loaded = Predictor.load(weighted.root, "cpu")
    predictor = replace(loaded, net=Rarer(loaded.net), odds=odds)
    alone = replace(predictor, odds=Odds())
    own = alone.probs(image, (5.0, 1.0, 1.0))
    factors = odds.of_case(np.bincount(alone.labels(image, (5.0, 1.0, 1.0)).ravel(), minlength=3))
    assert factors != odds.factors
    wanted = own * torch.tensor(factors)[:, None, None]
    wanted /= wanted.sum(1, keepdim=True)
    torch.testing.assert_close(predictor.probs(image, (5.0, 1.0, 1.0)), wanted)
    # What does not fit into memory goes through the network twice.
    monkeypatch.setattr("maskmixadv.inference.predictor.KEPT", 0)
    torch.testing.assert_close(predictor.probs(image, (5.0, 1.0, 1.0)), wanted)
    # Of many slices some are looked at: here, as many of each kind.
    many = np.tile(image, (1, 64, 1, 1))
    torch.testing.assert_close(predictor.probs(many, (5.0, 1.0, 1.0))[:DEPTH], wanted, atol=0.02, rtol=0.02)


@pytest.mark.parametrize(("options", "some"), [([], True), (["--odds", "neutral"], False)])
def test_predict_uses_them(weighted: Run, tmp_path: Path, options: list[str], some: bool) -> None:
    image = np.random.default_rng(0).random((SIDE, SIDE, DEPTH))
    nib.save(nib.Nifti1Image(image, np.diag([1, 1, 5, 1])), tmp_path / "a.nii")
    images, out = str(tmp_path / "a.nii"), tmp_path / "out"
    assert command(["predict", str(weighted.root), images, "--out", str(out), "--pieces", "all", *options]) == 0
    assert np.asanyarray(nib.Nifti1Image.from_filename(out / "a.nii").dataobj).any() == some


@pytest.mark.usefixtures("undrawn")
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
