"""A canvas is finer than the preset's where the structures would be a few pixels on it, and else as it was."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.errors import InputError
from maskmixadv.runs.schedule import Changes
from maskmixadv.strokes.canvas import SMALL, WANTED, fitted
from maskmixadv.training.recipe import Recipe
from maskmixadv.types import IGNORE, Spacing


def case(name: str, side: int, width: int, *, dense: bool = False, spacing: Spacing | None = None) -> Case:
    """A square of `width` pixels: its mask, or a line through it and a ring of background of twice its width."""
    image = np.zeros((1, 2, side, side), np.float32)
    middle, half = side // 2, width // 2
    image[..., middle - half : middle + half, middle - half : middle + half] = 1
    if dense:
        return Case(name, name, image, dense=(image[0] > 0).astype(np.uint8), spacing=spacing)
    strokes = np.full((2, side, side), IGNORE, np.uint8)
    strokes[:, middle, middle - half : middle + half] = 1
    inside = np.s_[middle - width : middle + width]
    strokes[:, [middle - width, middle + width - 1], inside] = 0
    strokes[:, inside, [middle - width, middle + width - 1]] = 0
    return Case(name, name, image, strokes, spacing=spacing)


def corpus(place: Path, cases: Sequence[Case]) -> Corpus:
    names = tuple(each.name for each in cases)
    folds = {"own": [Split(names, (), ())]}
    return Corpus.write(place / "corpus", cases, name="squares", classes=("background", "square"), folds=folds)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("spacing", [None, (5.0, 0.5, 0.5)])
def test_small_structures_get_a_finer_canvas(tmp_path: Path, dense: bool, spacing: Spacing | None) -> None:
    few = [case(f"c{k}", 600, 50, dense=dense, spacing=spacing) for k in range(3)]
    there = corpus(tmp_path, few)

    size, span = fitted(144, there, there.entries)

    assert span == pytest.approx(50 * 144 / 600)
    assert size == 384  # 144 * 32 / 12
    assert fitted(size, there, there.entries).span == pytest.approx(WANTED)


def test_a_corpus_that_is_made_anew_with_other_spacings_has_another_canvas(tmp_path: Path) -> None:
    """In one process; the hashes of its files, which hold no spacing, stay."""
    for spacings in ((0.5, 0.5), (0.5, 4.0)):
        few = [case(f"c{k}", 600, 50, spacing=(5.0, mm, mm)) for k, mm in enumerate(spacings)]
        there = corpus(tmp_path, few)
        found = fitted(144, there, there.entries)
        (tmp_path / "corpus").rename(tmp_path / f"{spacings}")
        apart = corpus(tmp_path / "apart" / f"{spacings}", few)
        assert found == fitted(144, apart, apart.entries)


def test_a_canvas_is_never_finer_than_the_images(tmp_path: Path) -> None:
    there = corpus(tmp_path, [case("c", 256, 8)])
    assert fitted(144, there, there.entries).size == 256


def test_large_structures_keep_the_canvas(tmp_path: Path) -> None:
    there = corpus(tmp_path, [case("c", 600, 84)])  # 20.2 pixels
    assert fitted(144, there, there.entries) == (144, pytest.approx(84 * 144 / 600))


def test_small_images_keep_the_canvas(tmp_path: Path) -> None:
    there = corpus(tmp_path, [case("c", 40, 4)])  # enlarged by the canvas anyway
    size, span = fitted(144, there, there.entries)
    assert span < SMALL
    assert size == 144


def test_the_median_slice_counts(tmp_path: Path) -> None:
    there = corpus(tmp_path, [case("a", 600, 300), case("b", 600, 300), case("c", 600, 20)])
    assert fitted(144, there, there.entries).size == 144


def test_points_far_apart_are_no_small_structures(tmp_path: Path) -> None:
    strokes = np.full((1, 600, 600), IGNORE, np.uint8)
    strokes[0, 300, 300], strokes[0, 100, 480] = 1, 0
    there = corpus(tmp_path, [Case("c", "c", case("c", 600, 50).image[:, :1], strokes)])
    assert fitted(144, there, there.entries).size == 144


def test_cases_without_annotation_say_nothing(tmp_path: Path) -> None:
    image = case("b", 600, 50).image[:, :1]
    bare = [Case("a", "a", image, dense=np.zeros((1, 600, 600), np.uint8)), case("b", 600, 50)]
    there = corpus(tmp_path, bare)
    assert np.isnan(fitted(144, there, there.entries[:1]).span)
    assert fitted(144, there, there.entries).size == 384


def test_images_without_annotation_change_no_canvas(tmp_path: Path) -> None:
    """They are not learnt from, so that the grid's millimetres are not theirs either, whatever they show."""
    drawn = case("a", 144, 24, spacing=(5.0, 1.0, 1.0))
    image = np.linspace(0, 1, 160_000, dtype=np.float32).reshape(1, 1, 400, 400)
    others = [(5.0, 1.0, 1.0), None, (5.0, 0.1, 0.1)]
    bare = [Case(name, name, image, spacing=mm) for name, mm in zip("bcd", others, strict=True)]
    there = corpus(tmp_path, [drawn, *bare])
    alone = fitted(144, there, there.entries[:1])
    assert alone == (144, 24.0)
    assert all(fitted(144, there, [there.entries[0], *there.entries[k:]]) == alone for k in (1, 2, 3))
    assert np.isnan(fitted(144, there, there.entries[1:]).span)


def test_damaged_strokes_are_named(tmp_path: Path) -> None:
    there = corpus(tmp_path, [case("c", 600, 50)])
    path = there.root / "cases" / "c.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"c\.npz: missing or damaged .*prepare the corpus again"):
        fitted(144, there, there.entries)


@pytest.mark.parametrize(
    ("preset", "changes", "side"),
    [
        ("cpu", Changes(), 384),
        ("fast", Changes(), 256),  # on which they span 21 pixels
        ("cpu", Changes(size=144), 144),
        ("cpu", Changes(size=200), 200),
        ("paper", Changes(), 256),
    ],
)
def test_runs_use_it_unless_a_size_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], preset: str, changes: Changes, side: int
) -> None:
    there = corpus(tmp_path, [case(f"c{k}", 600, 50) for k in range(5)])
    for method in ("pce", "walk-teacher"):
        recipe = Recipe(there.root, {"name": method}, preset, changes)
        assert recipe.begin(tmp_path / method, write=False).grid.size == side
        assert not capsys.readouterr().err
        run = recipe.begin(tmp_path / method)
        assert (run.schedule.size, run.grid.size) == (side, side)
        told = capsys.readouterr().err
        assert ("--size" in told) == (side == 384)
        if side == 384:
            assert "structures span 12 pixels of a canvas of 144: it has 384 instead" in told


def test_the_same_cases_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of runs asks for each of its cells."""
    there = corpus(tmp_path, [case("c", 600, 50)])
    found = fitted(144, there, there.entries)
    monkeypatch.setattr(Corpus, "drawn", lambda *_: pytest.fail("read again"))
    assert fitted(144, there, there.entries) == found
