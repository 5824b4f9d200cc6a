import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.morphology import convex_hull_image

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.metrics.masks import dice
from maskmixadv.sources.phantoms import phantom
from maskmixadv.strokes.draw import draw_strokes
from maskmixadv.types import IGNORE


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return phantom.prepare(tmp_path_factory.mktemp("phantom") / "c", cases=6, size=96)


@pytest.fixture(scope="module")
def cases(corpus: Corpus) -> list[Case]:
    return list(corpus.load_all(corpus.entries))


def test_the_same_seed_makes_the_same_hearts(corpus: Corpus, tmp_path: Path) -> None:
    again = phantom.prepare(tmp_path / "again", cases=6, size=96)
    other = phantom.prepare(tmp_path / "other", cases=6, size=96, seed=1)
    assert again.hash() == corpus.hash() != other.hash()


def test_more_cases_keep_the_earlier_ones(corpus: Corpus, tmp_path: Path) -> None:
    more = phantom.prepare(tmp_path / "more", cases=9, size=96)
    assert [entry.sha256 for entry in more.entries[:6]] == [entry.sha256 for entry in corpus.entries]
    assert [entry.phase for entry in more.entries[-2:]] == ["ES", "ED"]


def test_truth_is_the_masks_volumes(corpus: Corpus, cases: list[Case]) -> None:
    rows = list(csv.DictReader((corpus.root / "truth.csv").open()))
    assert [row["patient"] for row in rows] == ["phantom000", "phantom001", "phantom002"]
    for row in rows:
        volumes = {
            case.phase: (case.dense == 3).sum() * np.prod(case.spacing) / 1000
            for case in cases
            if case.patient == row["patient"] and case.dense is not None and case.spacing is not None
        }
        assert float(row["lv_edv_ml"]) == pytest.approx(volumes["ED"], abs=0.01)
        assert float(row["lv_esv_ml"]) == pytest.approx(volumes["ES"], abs=0.01)
        drawn = phantom.Heart.draw(np.random.default_rng((0, int(row["patient"][-3:]))), 96)
        assert float(row["ef_percent"]) == pytest.approx(100 * drawn.ejection, abs=4)
        assert 20 < float(row["ef_percent"]) < 70


def test_hearts_have_a_hearts_size_and_shape(cases: list[Case]) -> None:
    for case in cases:
        assert case.dense is not None
        assert case.spacing is not None
        for plane in case.dense:
            labels = set(np.unique(plane))
            assert {0, 2, 3} <= labels
            # The muscle rings the cavity: growing the cavity meets muscle first.
            cavity = plane == 3
            grown = (
                cavity | np.roll(cavity, 1, 0) | np.roll(cavity, -1, 0) | np.roll(cavity, 1, 1) | np.roll(cavity, -1, 1)
            )
            assert set(np.unique(plane[grown & ~cavity])) == {2}
        assert 1 not in case.dense[-1]
        if case.phase == "ED":
            diameter = 2 * np.sqrt((case.dense[0] == 3).sum() * case.spacing[1] * case.spacing[2] / np.pi)
            assert 40 < diameter < 64


def test_systole_keeps_the_muscle(cases: list[Case]) -> None:
    by_name = {case.name: case.dense for case in cases}
    for patient in range(3):
        diastole, systole = (by_name[f"phantom{patient:03d}_{phase}"] for phase in ("ED", "ES"))
        assert diastole is not None
        assert systole is not None
        assert (systole == 2).sum() == pytest.approx((diastole == 2).sum(), rel=0.08)


def test_strokes_are_like_peoples(cases: list[Case]) -> None:
    for case in cases:
        assert case.scribble is not None
        assert case.dense is not None
        drawn = case.scribble != IGNORE
        np.testing.assert_array_equal(case.scribble[drawn], case.dense[drawn])
        assert 0.005 < drawn.mean() < 0.05
        for scribble, dense in zip(case.scribble, case.dense, strict=True):
            assert set(np.unique(scribble)) == {*np.unique(dense), IGNORE}
            assert convex_hull_image(scribble == 0)[dense > 0].all()


def test_a_threshold_does_not_find_the_structures(cases: list[Case]) -> None:
    """The best band of intensities, chosen with the truth at hand, is far from a segmentation."""
    levels = np.linspace(0, 1, 26)
    for label, limit in ((1, 0.5), (2, 0.5), (3, 0.6)):
        best = []
        for case in cases:
            assert case.dense is not None
            truth = case.dense == label
            bands = ((low, high) for low in levels for high in levels if high > low)
            best.append(max(dice(truth, (case.image[0] >= low) & (case.image[0] <= high)) for low, high in bands))
        assert np.mean(best) < limit


def test_folds_hold_all_parts() -> None:
    for patients in (3, 5, 10, 23):
        names = [f"p{number}" for number in range(patients)]
        splits = phantom.folds(names)
        for split in splits:
            assert all(split)
            assert sorted([*split.train, *split.val, *split.test]) == sorted(names)
        tested = [patient for split in splits for patient in split.test]
        assert sorted(tested) == sorted(names)


@pytest.mark.parametrize(("field", "value"), [("cases", 4), ("size", 63), ("seed", -1)])
def test_impossible_phantoms(tmp_path: Path, field: str, value: int) -> None:
    changed: dict[str, Any] = {field: value}
    with pytest.raises(InputError, match=f"{field}: {value}, allowed is"):
        phantom.prepare(tmp_path / "c", **changed)
    assert not (tmp_path / "c").exists()


def test_strokes_in_small_and_empty_masks() -> None:
    masks = np.zeros((2, 32, 32), np.uint8)
    masks[0, 15, 15] = 1
    strokes = draw_strokes(masks, rng=np.random.default_rng(0))
    assert strokes[0, 15, 15] == 1
    assert (strokes[1] == 0).any()
    assert set(np.unique(strokes[1])) == {0, IGNORE}
