"""Phantoms that are no hearts, and that nothing believes in hearts."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage
from scipy import ndimage
from skimage.morphology import convex_hull_image

import tiny
from maskmixadv import methods
from maskmixadv.checking.check import check
from maskmixadv.cli.app import run
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.evaluation.evaluate import evaluate
from maskmixadv.sampling.ranges import Augment
from maskmixadv.sources.phantoms import phantom
from maskmixadv.strokes.draw import SMALL, draw_strokes, pieces_of
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit
from maskmixadv.types import IGNORE
from quick import quick

HEART = ([363, 763, 767], 1045)
SHORT = replace(tiny.SCHEDULE, steps=2, batch=2, window=48, validate_every=2, augment=Augment())


@pytest.fixture(scope="module", params=phantom.STILL)
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return phantom.prepare(tmp_path_factory.mktemp(request.param) / "c", organ=request.param, cases=6, size=96)


@pytest.fixture(scope="module")
def cases(corpus: Corpus) -> list[Case]:
    return list(corpus.load_all(corpus.entries))


def masks(case: Case) -> np.ndarray:
    assert case.dense is not None
    return case.dense


def ml(case: Case, held: np.ndarray) -> float:
    assert case.spacing is not None
    return float(held.sum() * np.prod(case.spacing) / 1000)


def test_the_same_seed_makes_the_same_patients(corpus: Corpus, tmp_path: Path) -> None:
    organ = corpus.name.split("-")[1]
    more = phantom.prepare(tmp_path / "more", organ=organ, cases=7, size=96)
    other = phantom.prepare(tmp_path / "other", organ=organ, cases=6, size=96, seed=1)
    assert [entry.sha256 for entry in more.entries[:6]] == [entry.sha256 for entry in corpus.entries]
    assert other.hash() != corpus.hash()


def test_hearts_are_what_they_were(tmp_path: Path) -> None:
    """Recorded results are of these hearts: what is drawn, in which order, must stay."""
    hearts = phantom.prepare(tmp_path / "c", cases=5, size=64)
    case = hearts.load(hearts.entries[0])
    assert case.scribble is not None
    found = [int((masks(case) == k).sum()) for k in (1, 2, 3)], int((case.scribble != IGNORE).sum())
    assert found == HEART
    assert (hearts.name, hearts.classes) == ("phantom-0", phantom.CLASSES)


def test_a_corpus_of_an_organ(corpus: Corpus, cases: list[Case]) -> None:
    told, problems = check(corpus)
    assert problems == []
    assert corpus.classes[1] in told
    assert corpus.name in ("phantom-prostate-0", "phantom-kidney-0")
    assert len({case.patient for case in cases}) == 6
    assert {case.phase for case in cases} == {None}
    rows = list(csv.DictReader((corpus.root / "truth.csv").open()))
    for row, case in zip(rows, cases, strict=True):
        for k, name in enumerate(corpus.classes[1:], 1):
            assert float(row[f"{name.replace(' ', '_')}_ml"]) == pytest.approx(ml(case, masks(case) == k), abs=0.01)


def test_a_tumour_lies_in_one_of_two_kidneys(tmp_path: Path) -> None:
    made = phantom.prepare(tmp_path / "c", organ="kidney", cases=6, size=96)
    for case in made.load_all(made.entries):
        dense = masks(case)
        held = np.asarray(skimage.measure.label(dense > 0, connectivity=3))
        assert held.max() == 2
        assert len(np.unique(held[dense == 2])) == 1
        assert 3 < ml(case, dense == 2) < 30
        middle = dense[len(dense) // 2]
        assert pieces_of(middle > 0).max() == 2
        # Growing the tumour meets kidney before it meets anything else, but for the notch and the rim.
        ring = ndimage.binary_dilation(dense == 2, np.ones((1, 3, 3))) & (dense != 2)
        assert (dense[ring] == 1).mean() > 0.4


def test_a_prostates_outer_zone_lies_behind_the_inner(tmp_path: Path) -> None:
    made = phantom.prepare(tmp_path / "c", organ="prostate", cases=6, size=96)
    for case in made.load_all(made.entries):
        dense = masks(case)
        assert np.asarray(skimage.measure.label(dense > 0, connectivity=3)).max() == 1
        inner, outer = (np.argwhere(dense == k).mean(axis=0)[1] for k in (1, 2))
        assert outer > inner
        assert 25 < ml(case, dense > 0) < 80


def test_strokes_are_in_every_piece(cases: list[Case]) -> None:
    for case in cases:
        assert case.scribble is not None
        drawn = case.scribble != IGNORE
        np.testing.assert_array_equal(case.scribble[drawn], masks(case)[drawn])
        for scribble, dense in zip(case.scribble, masks(case), strict=True):
            assert convex_hull_image(scribble == 0)[dense > 0].all()
            for k in (1, 2):
                pieces = pieces_of(dense == k)
                for piece in range(1, pieces.max() + 1):
                    if (pieces == piece).sum() > SMALL:
                        assert (scribble[pieces == piece] == k).any()


def test_specks_have_no_stroke_but_the_largest() -> None:
    dense = np.zeros((1, 32, 32), np.uint8)
    dense[0, 4:12, 4:12], dense[0, 20:22, 20:22] = 1, 1
    dense[0, 28, 28] = 2
    strokes = draw_strokes(dense, rng=np.random.default_rng(0))[0]
    assert (strokes[4:12, 4:12] == 1).any()
    assert not (strokes[20:22, 20:22] == 1).any()
    assert strokes[28, 28] == 2


def test_an_organ_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"organ: 'liver', allowed are heart, prostate, kidney"):
        phantom.prepare(tmp_path / "c", organ="liver")
    assert not (tmp_path / "c").exists()


# Nothing believes in hearts


@pytest.fixture(scope="module")
def kidneys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kidneys")
    for name, seed in (("corpus", "0"), ("prior", "1")):
        made = ["prepare", "phantom", str(root / name), "--organ", "kidney", "--cases", "6"]
        assert run([*made, "--size", "64", "--seed", seed]) == 0
    return root


@pytest.mark.parametrize("name", quick(methods.ALL, "walk-teacher"))
@pytest.mark.slow
def test_every_method_learns_kidneys(kidneys: Path, tmp_path: Path, name: str) -> None:
    method = methods.ALL[name]()
    prior = kidneys / "prior" if method.wants_prior else None
    root, out = kidneys / "corpus", tmp_path / "run"
    learnt = begin(root, out, method=method, schedule=SHORT, prior_root=prior, enclosure=True)
    assert fit(learnt)
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert rows
    for row in rows:
        assert all(np.isfinite(float(cell)) for cell in row.values() if cell)


@pytest.mark.slow
def test_kidneys_are_scored_and_segmented(kidneys: Path, tmp_path: Path) -> None:
    learnt = begin(kidneys / "corpus", tmp_path / "run", method=methods.ALL["pce"](), schedule=SHORT)
    assert fit(learnt)
    summary = evaluate(learnt.root)
    assert list(summary.classes) == ["kidney", "tumour"]
    out = tmp_path / "run" / "evaluation-test"
    (line, *_) = csv.DictReader((out / "clinical.csv").open())
    assert {"kidney_ml", "tumour_ml", "truth_kidney_ml", "truth_tumour_ml"} < set(line)
    assert "ejection" not in (out / "report.html").read_text()


def test_another_organs_prior_is_refused(kidneys: Path, tmp_path: Path) -> None:
    phantom.prepare(tmp_path / "hearts", cases=5, size=64)
    with pytest.raises(InputError, match="classes background, RV, Myo, LV, allowed are background, kidney, tumour"):
        begin(
            kidneys / "corpus",
            tmp_path / "run",
            method=methods.MaskMixAdv(),
            schedule=SHORT,
            prior_root=tmp_path / "hearts",
        )
