"""Strokes and points drawn from dense masks: where they are, what they depend on, and the commands that make them."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

import tiny
from maskmixadv.checking.check import check
from maskmixadv.cli.app import run
from maskmixadv.errors import InputError
from maskmixadv.sources import acdc
from maskmixadv.sources.opening import open_corpus
from maskmixadv.sources.phantoms import phantom
from maskmixadv.strokes.annotate import Drawer, KeptAnnotator, PointAnnotator, ScribbleAnnotator, annotate
from maskmixadv.strokes.draw import draw_strokes, pieces_of
from maskmixadv.strokes.enclosure import enclose, outside
from maskmixadv.strokes.imperfect import Imperfection
from maskmixadv.strokes.points import draw_discs, place_points
from maskmixadv.strokes.styles import STYLES, shorten
from maskmixadv.types import IGNORE
from quick import quick

ANNOTATORS: list[Drawer] = [
    *(
        ScribbleAnnotator(style=style, closed=closed)
        for style in ("paper", "open", "random", "centre")
        for closed in (True, False)
    ),
    ScribbleAnnotator(length=0.4, thickness=5),
    PointAnnotator(),
    PointAnnotator(per_class=3),
]
MASKS = arrays(np.uint8, (2, 18, 21), elements=st.sampled_from([0, 0, 0, 0, 1, 1, 2, IGNORE]))


@pytest.fixture(scope="module")
def hearts() -> np.ndarray:
    """Eight slices of two phantoms, with structures of more than 1000 pixels and of a few."""
    cases = [phantom._case(patient, systole=False, seed=0, size=size) for patient, size in ((0, 96), (1, 192))]
    dense = [case.dense for case in cases if case.dense is not None]
    small = np.zeros_like(dense[1][:4])
    small[:, : dense[0].shape[1], : dense[0].shape[2]] = dense[0][[0, 1, -2, -1]]
    return np.concatenate((small, dense[1][[0, 1, -2, -1]]))


@pytest.mark.parametrize("annotator", ANNOTATORS, ids=str)
def test_every_class_is_labelled_and_nothing_is_beyond_it(annotator: Drawer, hearts: np.ndarray) -> None:
    drawn = annotator.draw(hearts, "case")
    labelled = drawn != IGNORE
    np.testing.assert_array_equal(drawn[labelled], hearts[labelled])
    for plane, masks in zip(drawn, hearts, strict=True):
        assert set(np.unique(plane)) == {*np.unique(masks), IGNORE}
    assert labelled.mean() < 0.06


@pytest.mark.parametrize("annotator", ANNOTATORS, ids=str)
@settings(max_examples=15)
@given(masks=MASKS)
def test_so_it_is_with_any_mask(annotator: Drawer, masks: np.ndarray) -> None:
    drawn = annotator.draw(masks, "case")
    labelled = drawn != IGNORE
    np.testing.assert_array_equal(drawn[labelled], masks[labelled])
    if not (isinstance(annotator, ScribbleAnnotator) and annotator.closed):  # no loop fits round what fills its slice
        for plane, truth in zip(drawn, masks, strict=True):
            assert set(np.unique(plane)) | {IGNORE} == set(np.unique(truth)) | {IGNORE}


@pytest.mark.parametrize("annotator", quick(ANNOTATORS, *map(str, ANNOTATORS[::4])), ids=str)
def test_a_slice_depends_on_seed_case_and_number_alone(annotator: Drawer, hearts: np.ndarray) -> None:
    drawn = annotator.draw(hearts, "case")
    np.testing.assert_array_equal(annotator.draw(hearts, "case"), drawn)
    np.testing.assert_array_equal(annotator.draw(hearts[:3], "case"), drawn[:3])
    assert (annotator.draw(hearts, "other") != drawn).any()
    assert (replace(annotator, seed=1).draw(hearts, "case") != drawn).any()
    same = np.stack([hearts[0]] * 2)
    first, second = annotator.draw(same, "case")
    assert (first != second).any()


@pytest.mark.parametrize("annotator", ANNOTATORS, ids=str)
def test_a_structures_stroke_does_not_depend_on_the_others(annotator: Drawer, hearts: np.ndarray) -> None:
    alone = np.where(hearts == 2, 2, 0).astype(np.uint8)
    np.testing.assert_array_equal(annotator.draw(alone, "case") == 2, annotator.draw(hearts, "case") == 2)


@pytest.mark.parametrize("style", quick(STYLES, "paper"))
def test_a_shorter_stroke_is_part_of_a_longer_one(style: Any, hearts: np.ndarray) -> None:
    counts = []
    longer = None
    for length in (1.0, 0.6, 0.25, 0.01):
        drawn = ScribbleAnnotator(style=style, length=length, closed=False).draw(hearts, "case")
        assert longer is None or (longer[drawn != IGNORE] != IGNORE).all()
        assert set(np.unique(drawn[0])) == {*np.unique(hearts[0]), IGNORE}
        longer = drawn
        counts.append(int((drawn != IGNORE).sum()))
    assert counts == sorted(counts, reverse=True)
    assert counts[2] < 0.6 * counts[0]


@given(course=arrays(bool, (9, 11)), length=st.floats(0.01, 1))
def test_what_is_kept_of_a_stroke_is_one_piece_of_each_part(course: np.ndarray, length: float) -> None:
    parts, kept = pieces_of(course), shorten(course, length)
    assert not (kept & ~course).any()
    for number in range(1, parts.max() + 1):
        part = parts == number
        assert (kept & part).sum() == np.ceil(length * part.sum())
        assert pieces_of(kept & part).max() == 1


def test_a_line_is_shortened_from_its_end() -> None:
    course = np.zeros((5, 12), bool)
    course[2, 1:11] = True
    kept = np.flatnonzero(shorten(course, 0.3)[2])
    assert kept.tolist() in ([1, 2, 3], [8, 9, 10])


@pytest.mark.parametrize("thickness", [1, 2, 5])
def test_a_closed_stroke_encloses_the_organ_at_any_length(thickness: int, hearts: np.ndarray) -> None:
    padded = np.pad(hearts, ((0, 0), (6, 6), (6, 6)))
    drawn = ScribbleAnnotator(length=0.2, thickness=thickness).draw(padded, "case")
    for plane, masks in zip(drawn, padded, strict=True):
        beyond = outside(plane)
        assert beyond is not None
        assert beyond.mean() > 0.3
        assert not (beyond & (masks > 0)).any()
        assert pieces_of(plane == 0).max() == 1
    assert set(np.unique(enclose(drawn)[padded > 0])) <= {1, 2, 3, IGNORE}


@pytest.mark.parametrize("closed", [True, False])
def test_a_smaller_gap_brings_the_backgrounds_stroke_nearer(closed: bool) -> None:
    masks = np.zeros((1, 160, 160), np.uint8)
    masks[0, 60:100, 60:100] = 1
    away = np.asarray(distance_transform_edt(masks[0] == 0))
    means = [
        float(away[ScribbleAnnotator(closed=closed, thickness=1, gap=gap).draw(masks, "case")[0] == 0].mean())
        for gap in (0.1, 0.3, 1.0, 2.0)
    ]
    assert means == sorted(means)
    assert 2 * means[0] < means[2] < means[3] / 1.4  # a round loop about a square keeps away from its sides


@pytest.mark.parametrize("gap", [pytest.param(0.1, marks=pytest.mark.slow), 0.3])
def test_a_near_loop_still_has_the_organ_in_its_hull(gap: float, hearts: np.ndarray) -> None:
    padded = np.pad(hearts, ((0, 0), (6, 6), (6, 6)))
    for seed in range(5):
        drawn = ScribbleAnnotator(thickness=1, gap=gap, seed=seed).draw(padded, "case")
        assert set(np.unique(enclose(drawn)[padded > 0])) <= {1, 2, 3, IGNORE}


def test_the_background_is_drawn_near_the_organ_also_in_empty_slices() -> None:
    masks = np.zeros((2, 80, 80), np.uint8)
    masks[0, 30:50, 30:50] = 1
    for closed in (True, False):
        drawn = ScribbleAnnotator(closed=closed).draw(masks, "case")
        for plane in drawn:
            rows, columns = np.nonzero(plane == 0)
            assert len(rows) > 20
            assert np.hypot(rows - 40, columns - 40).max() < 45
        assert (drawn[1] != 1).all()


@pytest.mark.parametrize("annotator", ANNOTATORS, ids=str)
def test_a_structure_of_one_pixel_is_labelled(annotator: Drawer) -> None:
    masks = np.zeros((1, 30, 30), np.uint8)
    masks[0, 0, 0], masks[0, 12, 17], masks[0, 20:22, 20] = 1, 2, 3
    drawn = annotator.draw(masks, "case")
    assert drawn[0, 0, 0] == 1
    assert drawn[0, 12, 17] == 2
    assert 3 in drawn[0, 20:22, 20]


def test_strokes_are_drawn_in_the_largest_piece_and_in_others_of_more_than_15_pixels() -> None:
    masks = np.zeros((1, 60, 60), np.uint8)
    masks[0, 5:25, 5:25], masks[0, 40:44, 40:44], masks[0, 50:53, 5:10] = 1, 1, 1
    for style in STYLES:
        drawn = ScribbleAnnotator(style=style).draw(masks, "case")[0] == 1  # pyright: ignore[reportArgumentType]
        assert drawn[5:25, 5:25].any(), style
        assert drawn[40:44, 40:44].any(), style
        assert not drawn[50:53, 5:10].any(), style


def test_the_paper_draws_one_path_without_branches() -> None:
    masks = np.zeros((1, 60, 60), np.uint8)
    masks[0, 28:32, 5:55] = masks[0, 5:55, 28:32] = 1  # a cross: its skeleton has four arms
    drawn = ScribbleAnnotator(thickness=1).draw(masks, "case")[0] == 1
    arms = [drawn[30, 10:20], drawn[30, 40:50], drawn[10:20, 30], drawn[40:50, 30]]
    around = [drawn[26:34, 12].any(), drawn[26:34, 48].any(), drawn[12, 26:34].any(), drawn[48, 26:34].any()]
    assert sum(around) == 2, arms


def test_the_phantoms_strokes_stay_what_they_were() -> None:
    """Results were learnt from them."""
    strokes = draw_strokes(tiny.volume()[2], rng=np.random.default_rng(0))
    assert hashlib.sha256(strokes.tobytes()).hexdigest()[:16] == "85081b62b17b944c"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_points_are_counted_by_piece(count: int) -> None:
    masks = np.zeros((1, 60, 60), np.uint8)
    masks[0, 5:25, 5:25], masks[0, 40:50, 40:50], masks[0, 30:32, 30], masks[0, 32, 31] = 1, 1, 2, 2
    drawn = PointAnnotator(per_class=count, radius=0).draw(masks, "case")[0]
    assert (drawn[5:25, 5:25] == 1).sum() == count
    assert (drawn[40:50, 40:50] == 1).sum() == count
    assert (drawn == 2).sum() == min(count, 3)
    assert (drawn == 0).sum() == 10


def test_one_point_lies_near_the_middle() -> None:
    block = np.zeros((60, 60), bool)
    block[10:51, 10:51] = True
    for seed in range(50):
        ((row, column),) = place_points(block, count=1, rng=np.random.default_rng(seed))
        assert abs(row - 30) <= 5
        assert abs(column - 30) <= 5
    ring = block.copy()
    ring[14:47, 14:47] = False  # none of the six draws can lie in it
    places = [place_points(ring, count=1, rng=np.random.default_rng(seed))[0] for seed in range(5)]
    assert all(ring[tuple(place)] for place in places)


def test_discs_are_round_and_clipped() -> None:
    plane = np.zeros((21, 21), bool)
    plane[:, :11] = True
    disc = draw_discs(np.array([[10, 10]]), np.ones_like(plane), radius=3)
    rows, columns = np.indices(disc.shape)
    np.testing.assert_array_equal(disc, np.hypot(rows - 10, columns - 10) < 3.5)
    np.testing.assert_array_equal(draw_discs(np.array([[10, 10]]), plane, radius=3), disc & plane)


def test_a_new_corpus_has_the_same_cases_and_says_how_it_was_made(tmp_path: Path) -> None:
    cases = [tiny.case(f"p{k}", k, affine=np.eye(4), phase="ED", group="NOR") for k in range(5)]
    old = tiny.corpus(tmp_path / "old", [*cases, tiny.case("p5", dense=None)])
    before = old.hash()
    new = annotate(old, tmp_path / "new", ScribbleAnnotator(length=0.5, seed=3))
    assert new == open_corpus(tmp_path / "new")
    assert old == open_corpus(tmp_path / "old")
    assert old.hash() == before
    assert (new.name, new.classes, new.folds, new.source) == (old.name, old.classes, old.folds, old.source)
    options = "--seed 3 --style paper --length 0.5 --closed --thickness 2 --gap 1.0 --from dense"
    assert new.notes == (f"annotate scribbles {options}; of the corpus {before[:16]}",)
    for one, other in zip(old.load_all(old.entries), new.load_all(new.entries), strict=True):
        assert (one.name, one.patient, one.spacing, one.phase, one.group) == (
            other.name,
            other.patient,
            other.spacing,
            other.phase,
            other.group,
        )
        np.testing.assert_array_equal(one.image, other.image)
        if one.dense is None:
            assert other.scribble is None
            assert one.scribble is not None
        else:
            np.testing.assert_array_equal(one.dense, other.dense)
            assert other.scribble is not None
            np.testing.assert_array_equal(
                other.scribble, ScribbleAnnotator(length=0.5, seed=3).draw(one.dense, one.name)
            )
    again = annotate(old, tmp_path / "again", ScribbleAnnotator(length=0.5, seed=3))
    assert again.hash() == new.hash() != annotate(old, tmp_path / "seed", ScribbleAnnotator(length=0.5)).hash()


def test_fewer_cases_leave_the_others_strokes(tmp_path: Path) -> None:
    cases = [tiny.case(f"p{k}", k) for k in range(4)]
    many = annotate(tiny.corpus(tmp_path / "a", cases), tmp_path / "b", ScribbleAnnotator(style="random"))
    few = annotate(tiny.corpus(tmp_path / "c", cases[:0:-1]), tmp_path / "d", ScribbleAnnotator(style="random"))
    assert [entry.sha256 for entry in many.entries[1:]] == [entry.sha256 for entry in few.entries]


def test_check_tells_shares_strokes_and_how_it_was_made(tmp_path: Path) -> None:
    corpus = annotate(tiny.corpus(tmp_path / "old"), tmp_path / "new", PointAnnotator(per_class=2, radius=0))
    told, problems = check(corpus)
    assert problems == []
    assert "made by: annotate points --seed 0 --per-class 2 --radius 0 --from dense" in told
    lines = [line.split() for line in told.splitlines()]
    pixels = 40 * 48
    assert [line[2] for line in lines if line[:2] == ["1", "RV"]] == [f"{2 / pixels:.2%}"]
    drawn = np.concatenate([case.scribble for case in corpus.load_all(corpus.entries) if case.scribble is not None])
    strokes = np.mean([pieces_of(plane == 2).max() for plane in drawn])
    assert [line[-1] for line in lines if line[:2] == ["2", "Myo"]] == [f"{strokes:.2f}"]


def test_check_counts_enclosure_among_slices_that_have_strokes(tmp_path: Path) -> None:
    sparse = annotate(tiny.corpus(tmp_path / "old"), tmp_path / "new", KeptAnnotator(), Imperfection(slices=1))
    assert "enclosure holds in 6 of 6 slices with strokes" in check(sparse)[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ScribbleAnnotator(length=0.0), r"length: 0\.0, allowed is a fraction above 0"),
        (lambda: ScribbleAnnotator(length=1.01), r"length: 1\.01, allowed"),
        (lambda: ScribbleAnnotator(length=float("nan")), "length: nan, allowed"),
        (lambda: ScribbleAnnotator(thickness=0), "thickness: 0, allowed are 1 to 15"),
        (lambda: ScribbleAnnotator(gap=0.0), r"gap: 0\.0, allowed are 0\.1 to 10"),
        (lambda: ScribbleAnnotator(gap=float("nan")), "gap: nan, allowed"),
        (lambda: ScribbleAnnotator(seed=-1), "seed: -1, allowed is 0 or more"),
        (lambda: PointAnnotator(per_class=4), "per-class: 4, allowed is 1, 2 or 3"),
        (lambda: PointAnnotator(radius=-1), "radius: -1, allowed are 0 to 15"),
    ],
)
def test_values_out_of_range(make: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tiny.corpus(tmp_path / "old", [*(tiny.case(f"p{k}", k) for k in range(3)), tiny.case("p3", dense=None)])
    scribbles = ["annotate", "scribbles", str(old.root), "--out", str(tmp_path / "s")]
    assert run([*scribbles, "--from", "dense", "--style", "open", "--length", "0.5", "--no-closed", "--seed", "7"]) == 0
    told = capsys.readouterr()
    assert "4 cases; 1 without a dense mask have no scribble" in told.out
    assert "s: nothing is drawn round the organs: train without --enclosure" in told.err
    made = open_corpus(tmp_path / "s")
    options = "--seed 7 --style open --length 0.5 --no-closed --thickness 2 --gap 1.0"
    assert made.notes[0].startswith(f"annotate scribbles {options}")
    assert run(["annotate", "points", str(made.root), "--out", str(tmp_path / "p"), "--per-class", "2"]) == 0
    assert "p: nothing is drawn round the organs: train without --enclosure" in capsys.readouterr().err
    assert run(["annotate", "scribbles", str(old.root), "--out", str(tmp_path / "closed")]) == 0
    assert "--enclosure" not in capsys.readouterr().err
    assert [note.split(" --")[0] for note in open_corpus(tmp_path / "p").notes] == [
        "annotate scribbles",
        "annotate points",
    ]
    assert run(["check", str(tmp_path / "p")]) == 0
    assert json.loads((tmp_path / "p" / "corpus.json").read_text())["notes"]


def test_what_is_wrong_is_one_line_and_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tiny.corpus(tmp_path / "old")
    bare = tiny.corpus(tmp_path / "bare", [tiny.case(f"p{k}", k, dense=None) for k in range(3)])
    out = ["--out", str(tmp_path / "new")]
    for command, words in (
        (["scribbles", str(old.root), *out, "--length", "1.5"], "length: 1.5, allowed"),
        (["scribbles", str(old.root), *out, "--length", "0"], "length: 0.0, allowed"),
        (["scribbles", str(old.root), *out, "--style", "baroque"], "'baroque'"),
        (["scribbles", str(old.root), *out, "--from", "scribble"], "'scribble'"),
        (["scribbles", str(old.root)], "--out"),
        (["scribbles", str(bare.root), *out], "no case has a dense mask"),
        (["scribbles", str(tmp_path), *out], "not a corpus"),
        (["scribbles", str(old.root), "--out", str(bare.root)], "already holds"),
        (["scribbles", str(old.root), "--out", str(old.root / "new")], "lies in the corpus"),
        (["points", str(old.root), *out, "--per-class", "4"], "per-class: 4, allowed is 1, 2 or 3"),
        (["points", str(old.root), *out, "--per-class", "one"], "'one'"),
        (["circles", str(old.root)], "circles"),
    ):
        capsys.readouterr()
        assert run(["annotate", *command]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        assert error.startswith("maskmixadv: ")
        assert words in error
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "old"]
        assert sorted(path.name for path in old.root.iterdir()) == ["cases", "corpus.json"]


@pytest.mark.parametrize("kind", ["scribbles", "points"])
def test_help_explains_every_field(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(["annotate", kind, "--help"])
    assert not end.value.code
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    fields = {
        "scribbles": ("--style", "--length", "--closed", "--thickness", "--gap"),
        "points": ("--per-class", "--radius"),
    }
    for option in ("--out", "--from", "--seed", *fields[kind]):
        assert option in told


@pytest.mark.slow
def test_real_masks(acdc_source: Path, tmp_path: Path) -> None:
    source = next(acdc_source.rglob("patient001_frame01.h5"))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / source.name).symlink_to(source)
    old = acdc.prepare(tmp_path / "src", tmp_path / "old")
    told, problems = check(annotate(old, tmp_path / "new", ScribbleAnnotator()))
    assert problems == []
    assert "enclosure holds in 10 of 10 slices" in told
    assert "foreground beyond the hull: 0 of" in told
