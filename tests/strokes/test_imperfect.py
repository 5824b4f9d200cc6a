"""Wrong strokes, and strokes on few slices of few patients."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tiny
from maskmixadv.cli.app import run
from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError
from maskmixadv.sources.opening import open_corpus
from maskmixadv.sources.phantoms import phantom
from maskmixadv.strokes.annotate import Annotator, KeptAnnotator, PointAnnotator, ScribbleAnnotator, annotate
from maskmixadv.strokes.draw import pieces_of
from maskmixadv.strokes.imperfect import PERFECT, Imperfection, spread
from maskmixadv.strokes.slips import slip
from maskmixadv.types import IGNORE
from quick import quick

MASKS = arrays(np.uint8, (2, 14, 17), elements=st.sampled_from([0, 0, 1, 1, 2, IGNORE]))


@pytest.fixture(scope="module")
def hearts() -> dict[str, np.ndarray]:
    """Dense masks of phantoms by name."""
    cases = [phantom._case(patient, systole=late, seed=0, size=96) for patient in range(8) for late in (False, True)]
    return {case.name: case.dense for case in cases if case.dense is not None}


def wrong(annotator: Annotator, hearts: dict[str, np.ndarray], rate: float, seed: int = 0) -> dict[int, float]:
    """Share of each class's stroke pixels that are wrong over all hearts."""
    drawn, missed = np.zeros(4), np.zeros(4)
    for name, masks in hearts.items():
        case = tiny.case(name, image=masks.astype(np.float32), dense=masks, scribble=None)
        strokes = annotator.of(case)
        assert strokes is not None
        strokes = Imperfection(errors=rate).applied(strokes, masks, name, seed=seed, whole=annotator.whole)
        for label in range(4):
            drawn[label] += (strokes == label).sum()
            missed[label] += ((strokes == label) & (masks != label)).sum()
    return dict(enumerate(missed / drawn))


@pytest.mark.parametrize("rate", quick([0.03, 0.12], "0.12"))
def test_the_reached_rate_is_the_asked_one(hearts: dict[str, np.ndarray], rate: float) -> None:
    found = wrong(ScribbleAnnotator(style="open"), hearts, rate)
    assert found[0] == 0
    assert np.mean([found[1], found[2], found[3]]) == pytest.approx(rate, rel=0.2)


def test_the_rate_is_right_on_average(hearts: dict[str, np.ndarray]) -> None:
    few = dict(list(hearts.items())[:2])
    rates = [wrong(ScribbleAnnotator(style="open"), few, 0.05, seed) for seed in range(12)]
    assert np.mean([list(each.values())[1:] for each in rates]) == pytest.approx(0.05, rel=0.2)


def test_errors_are_runs_beyond_the_border_and_no_salt(hearts: dict[str, np.ndarray]) -> None:
    sizes, distances = [], []
    for name, masks in hearts.items():
        strokes = ScribbleAnnotator(style="open").draw(masks, name)
        made = Imperfection(errors=0.05).applied(strokes, masks, name, seed=0, whole=False)
        for plane, truth in zip(made, masks, strict=True):
            for label in (1, 2, 3):
                off = (plane == label) & (truth != label)
                sizes += np.bincount(pieces_of(off).ravel())[1:].tolist()
                places = np.argwhere(truth == label)
                distances += [float(np.hypot(*(places - pixel).T).min()) for pixel in np.argwhere(off)]
    assert sum(size for size in sizes if size >= 3) > 0.9 * sum(sizes)
    assert np.median(distances) < 5
    assert len(sizes) > 20


def test_wrong_points_are_whole_points(hearts: dict[str, np.ndarray]) -> None:
    name, masks = next(iter(hearts.items()))
    annotator = PointAnnotator(radius=0)
    points = annotator.draw(masks, name)
    made = Imperfection(errors=0.5).applied(points, masks, name, seed=0, whole=annotator.whole)
    assert (made != IGNORE).sum() == (points != IGNORE).sum()
    off = (made != IGNORE) & (made != masks)
    assert 0.2 < off.sum() / (points != IGNORE)[(points > 0)].sum() < 0.8


@settings(max_examples=30)
@given(masks=MASKS, seed=st.integers(0, 9))
def test_errors_stay_in_the_slice_and_on_free_ground(masks: np.ndarray, seed: int) -> None:
    drawn = ScribbleAnnotator().draw(masks, "case")
    made = slip(drawn, masks, rate=0.3, whole=False, rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(made == 0, drawn == 0)
    for label in (1, 2):
        assert (made == label).sum() <= (drawn == label).sum()
    np.testing.assert_array_equal(made, slip(drawn, masks, rate=0.3, whole=False, rng=np.random.default_rng(seed)))


def test_errors_depend_on_seed_and_case_alone(hearts: dict[str, np.ndarray]) -> None:
    masks = next(iter(hearts.values()))
    drawn = ScribbleAnnotator(style="open").draw(masks, "case")
    errors = Imperfection(errors=0.1)
    made = errors.applied(drawn, masks, "case", seed=0, whole=False)
    np.testing.assert_array_equal(errors.applied(drawn, masks, "case", seed=0, whole=False), made)
    assert (errors.applied(drawn, masks, "case", seed=1, whole=False) != made).any()
    assert (errors.applied(drawn, masks, "other", seed=0, whole=False) != made).any()


@given(shown=arrays(bool, 12), count=st.integers(1, 14))
def test_slices_are_spread_evenly(shown: np.ndarray, count: int) -> None:
    kept = spread(shown, count)
    assert kept.sum() == min(count, shown.sum())
    assert not (kept & ~shown).any()
    gaps = np.diff(np.flatnonzero(kept[shown]))
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


def entries(groups: dict[str, str | None]) -> list[Entry]:
    return [
        Entry(f"{patient}_{phase}", patient, (3, 8, 8), None, scribble=True, dense=True, sha256="0", group=group)
        for patient, group in groups.items()
        for phase in ("ED", "ES")
    ]


def test_patients_are_a_share_of_each_group_and_fewer_are_part_of_more() -> None:
    found = entries({f"p{k:02}": ("NOR", "HCM", None)[k % 3] for k in range(30)})
    chosen = [Imperfection(patients=share).among(found, 0) for share in (0.1, 0.3, 0.5, 1.0)]
    assert [len(each) for each in chosen] == [3, 9, 15, 30]
    assert all(few < more for few, more in pairwise(chosen))
    assert sorted(int(patient[1:]) % 3 for patient in chosen[1]) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert Imperfection(patients=0.3).among(found[::-1], 0) == chosen[1] != Imperfection(patients=0.3).among(found, 1)
    assert len(Imperfection(patients=0.001).among(found, 0)) == 1


def test_by_default_no_bit_changes(tmp_path: Path) -> None:
    old = tiny.corpus(tmp_path / "old")
    kept = annotate(old, tmp_path / "kept", KeptAnnotator())
    assert [entry.sha256 for entry in kept.entries] == [entry.sha256 for entry in old.entries]
    assert kept.notes == (f"annotate kept --seed 0; of the corpus {old.hash()[:16]}",)
    drawn, again = (
        annotate(old, tmp_path / name, ScribbleAnnotator(), of) for name, of in (("a", PERFECT), ("b", Imperfection()))
    )
    for case in drawn.load_all(drawn.entries):
        assert case.scribble is not None
        assert case.dense is not None
        np.testing.assert_array_equal(case.scribble, ScribbleAnnotator().draw(case.dense, case.name))
    assert drawn.hash() == again.hash()


@pytest.mark.parametrize("annotator", [KeptAnnotator(), ScribbleAnnotator(), PointAnnotator()], ids=str)
def test_a_sparse_corpus(annotator: Annotator, tmp_path: Path) -> None:
    cases = [
        replace(tiny.case(f"p{k}_{phase}", k, group="AB"[k % 2]), patient=f"p{k}")
        for k in range(6)
        for phase in ("ED", "ES")
    ]
    old = tiny.corpus(tmp_path / "old", cases)
    new = annotate(old, tmp_path / "new", annotator, Imperfection(slices=1, patients=0.5, errors=0.1))
    assert " --errors 0.1 --slices 1 --patients 0.5" in new.notes[0]
    held = [case for case in new.load_all(new.entries) if case.scribble is not None]
    assert len({case.patient for case in held}) == 3
    assert len(held) == 6
    for case in held:
        assert case.scribble is not None
        assert (case.scribble != IGNORE).any(axis=(1, 2)).tolist() == [False, True, False]
    assert [entry.dense for entry in new.entries] == [True] * 12


def test_slices_that_a_mask_does_not_know_show_what_is_drawn_in_them() -> None:
    drawn = np.full((5, 2, 3), IGNORE, np.uint8)
    masks = drawn.copy()
    drawn[:, 0, 0], masks[0] = 1, 1
    masks[1] = 0  # a stroke that the mask says to be wrong
    masks[2, 0, 0] = 0
    few = Imperfection(slices=9).applied(drawn, masks, "case", seed=0, whole=False)
    assert (few != IGNORE).any((1, 2)).tolist() == [True, False, False, True, True]


def test_strokes_that_stay_right_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    partly = tiny.volume(1)[2]
    partly[0] = IGNORE
    cases = [
        tiny.case("p0"),
        tiny.case("p1", dense=partly),
        tiny.case("p2", dense=None),
        tiny.case("p3", scribble=None),
    ]
    old = tiny.corpus(tmp_path / "old", cases)
    new = annotate(old, tmp_path / "new", KeptAnnotator(), Imperfection(errors=0.1))
    told = "strokes of 2 cases have no errors where no mask is known"
    assert capsys.readouterr().err == f"{old.root}: {told}\n"
    assert new.notes[0].endswith(f"; {told}")
    assert told not in annotate(old, tmp_path / "kept", KeptAnnotator()).notes[0]


def test_strokes_without_a_mask_are_thinned_and_stay_right(tmp_path: Path) -> None:
    old = tiny.corpus(tmp_path / "old", [tiny.case(f"p{k}", k, dense=None) for k in range(3)])
    new = annotate(old, tmp_path / "new", KeptAnnotator(), Imperfection(errors=0.5, slices=2))
    for before, after in zip(old.load_all(old.entries), new.load_all(new.entries), strict=True):
        assert before.scribble is not None
        assert after.scribble is not None
        kept = (after.scribble != IGNORE).any(axis=(1, 2))
        assert kept.sum() == 2
        np.testing.assert_array_equal(after.scribble[kept], before.scribble[kept])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Imperfection(errors=-0.1), r"errors: -0\.1, allowed is a fraction from 0 to 0\.5"),
        (lambda: Imperfection(errors=float("nan")), "errors: nan, allowed"),
        (lambda: Imperfection(slices=0), "slices: 0, allowed is 1 or more"),
        (lambda: Imperfection(patients=0.0), r"patients: 0\.0, allowed is a fraction above 0, at most 1"),
        (lambda: Imperfection(patients=1.5), r"patients: 1\.5, allowed"),
    ],
)
def test_values_out_of_range(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [*(tiny.case(f"p{k}", k) for k in range(4)), tiny.case("p4", scribble=None)]
    old = tiny.corpus(tmp_path / "old", cases)
    sparse = ["--slices", "2", "--patients", "0.5", "--errors", "0.05"]
    assert run(["annotate", "kept", str(old.root), "--out", str(tmp_path / "k"), *sparse]) == 0
    assert "5 cases; 1 have no strokes to keep; scribbles of 2 of 5 patients; see" in capsys.readouterr().out
    assert open_corpus(tmp_path / "k").notes[0].startswith("annotate kept --seed 0 --errors 0.05 --slices 2 --pat")
    assert run(["annotate", "points", str(old.root), "--out", str(tmp_path / "p"), "--slices", "1"]) == 0
    capsys.readouterr()
    for options, words in (
        (["--errors", "3"], "errors: 3.0, allowed is a fraction from 0 to 0.5"),
        (["--slices", "0"], "slices: 0, allowed is 1 or more"),
        (["--patients", "7"], "patients: 7.0, allowed is a fraction above 0"),
    ):
        assert run(["annotate", "kept", str(old.root), "--out", str(tmp_path / "new"), *options]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert words in error
        assert not (tmp_path / "new").exists()


def test_strokes_to_keep_are_needed(tmp_path: Path) -> None:
    bare = tiny.corpus(tmp_path / "bare", [tiny.case(f"p{k}", k, scribble=None) for k in range(3)])
    with pytest.raises(InputError, match="no case has a scribble to keep; at least one is needed"):
        annotate(bare, tmp_path / "new", KeptAnnotator())
