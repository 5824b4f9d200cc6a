from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from skimage.draw import polygon

import tiny
from maskmixadv.checking.check import check
from maskmixadv.sources import mscmr
from maskmixadv.strokes.enclosure import ENCLOSED, enclose, hull, outside
from maskmixadv.types import IGNORE


def ring() -> np.ndarray:
    scribble = np.full((20, 20), IGNORE, np.uint8)
    scribble[4, 4:16] = scribble[15, 4:16] = scribble[4:16, 4] = scribble[4:16, 15] = 0
    scribble[9, 9:11] = 1
    return scribble


def test_beyond_the_hull_is_background() -> None:
    beyond = outside(ring())
    expected = np.ones((20, 20), bool)
    expected[4:16, 4:16] = False
    np.testing.assert_array_equal(beyond, expected)


def test_a_hull_is_that_polygon_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    for number in range(300):
        stroke = np.zeros(rng.integers(3, 60, 2), bool)
        stroke[tuple(rng.integers(stroke.shape, size=(3 + number % 40, 2)).T)] = True
        points = np.argwhere(stroke)
        inside = hull(stroke)
        if inside is None:
            continue
        corners = points[ConvexHull(points).vertices]
        expected = stroke.copy()
        expected[polygon(corners[:, 0], corners[:, 1], stroke.shape)] = True
        np.testing.assert_array_equal(inside, expected)


def test_an_open_stroke_encloses_its_hull() -> None:
    scribble = ring()
    scribble[4, 5:15] = IGNORE
    beyond = outside(scribble)
    assert beyond is not None
    assert not beyond[6, 10]
    assert beyond[2, 10]


def test_it_is_not_applied_where_a_structure_lies_outside() -> None:
    scribble = ring()
    scribble[1, 1] = 2
    assert outside(scribble) is None


def test_it_needs_a_stroke_with_an_inside() -> None:
    empty = np.full((20, 20), IGNORE, np.uint8)
    assert outside(empty) is None
    empty[5] = 0
    assert outside(empty) is None


def test_strokes_stay_and_slices_are_apart() -> None:
    plain = np.full((20, 20), IGNORE, np.uint8)
    labels = enclose(np.stack((ring(), plain)))
    np.testing.assert_array_equal(labels[1], plain)
    drawn = ring() != IGNORE
    np.testing.assert_array_equal(labels[0][drawn], ring()[drawn])
    assert set(np.unique(labels[0][~drawn])) == {IGNORE, ENCLOSED}


def test_check_tells_and_complains(tmp_path: Path) -> None:
    fine = tiny.corpus(tmp_path / "fine")
    told, problems = check(fine)
    assert problems == []
    assert "enclosure holds in 18 of 18 slices" in told
    _, scribble, _ = tiny.volume()
    scribble[1] = IGNORE
    scribble[scribble == 3] = IGNORE
    bare = tiny.corpus(tmp_path / "bare", [tiny.case(f"p{k}", scribble=scribble, dense=None) for k in range(3)])
    told, problems = check(bare)
    assert "no stroke in 3 of 9 slices of scribbled cases (p0 slice 2; p1 slice 2; p2 slice 2)" in told
    assert any("no stroke of class 3 (LV)" in problem for problem in problems)


@pytest.mark.slow
def test_real_strokes_enclose_the_heart(mscmr_source: Path, tmp_path: Path) -> None:
    told, problems = check(mscmr.prepare(mscmr_source, tmp_path / "c"))
    assert problems == []
    assert "enclosure holds in 381 of 382 slices" in told
