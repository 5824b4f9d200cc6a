"""Odds that make up for the sizes of strokes: where nothing shows an edge, pixels go to the nearest stroke."""

from pathlib import Path

import numpy as np
import pytest
import scipy

from maskmixadv.sources.phantoms import phantom
from maskmixadv.strokes import evened
from maskmixadv.strokes.corrections import PLAIN, Corrections
from maskmixadv.strokes.evened import even, evening_odds
from maskmixadv.strokes.walker import believe_slice, load_beliefs
from maskmixadv.types import IGNORE

EVENED = Corrections(evened=True)


def ring(side: int = 61) -> np.ndarray:
    """Strokes of a ring with a dot in it, within a frame of background; the nearest strokes' borders are circles."""
    seeds = np.full((side, side), IGNORE, np.uint8)
    seeds[[0, -1]] = seeds[:, [0, -1]] = 0
    rows, columns = np.ogrid[:side, :side]
    away = np.hypot(rows - side // 2, columns - side // 2)
    seeds[abs(away - 18) < 1] = 1
    seeds[away < 2] = 2
    return seeds


def nearest(seeds: np.ndarray, classes: tuple[int, ...]) -> np.ndarray:
    far = [scipy.ndimage.distance_transform_edt(seeds != label) for label in classes]
    return np.array(classes)[np.argmin(far, 0)]


def test_structures_share_pixels_as_the_nearest_strokes_do() -> None:
    seeds = ring()
    unclear = 0.5 + 0.001 * np.random.default_rng(0).standard_normal(seeds.shape)  # an image that shows nothing
    wanted = nearest(seeds, (0, 1, 2))
    plain, even = (believe_slice(unclear, seeds, classes=3, corrections=each).argmax(0) for each in (PLAIN, EVENED))
    assert dots_part(plain) < 0.6 * dots_part(wanted)  # the ring is reached first
    assert dots_part(even) == pytest.approx(dots_part(wanted), rel=0.2)


def dots_part(labels: np.ndarray) -> float:
    """Return the dot's part of both structures' pixels."""
    return float((labels == 2).sum() / (labels > 0).sum())


def test_edges_count_as_before() -> None:
    seeds = ring()
    rows, columns = np.ogrid[:61, :61]
    inside = np.hypot(rows - 30, columns - 30) < 6  # much smaller than the strokes say
    labels = believe_slice(np.where(inside, 1.0, 0.0), seeds, classes=3, corrections=EVENED).argmax(0)
    np.testing.assert_array_equal(labels == 2, inside)


def test_the_background_keeps_its_probability() -> None:
    seeds, classes = ring(), np.array([0, 1, 2], np.uint8)
    odds = evening_odds(seeds, classes)
    assert odds[0] == 1
    assert odds[1] < 1 < odds[2]
    assert odds[1] * odds[2] == pytest.approx(1)
    walks = np.random.default_rng(0).dirichlet(np.ones(3), seeds.shape).transpose(2, 0, 1)
    found = even(walks, seeds, classes)
    np.testing.assert_array_equal(found[0], walks[0])
    np.testing.assert_allclose(found.sum(0), 1)
    np.testing.assert_allclose(found[2] / found[1], walks[2] / walks[1] * odds[2] / odds[1])


@pytest.mark.parametrize("missing", [1, 2])
def test_one_structure_has_nothing_to_be_evened_with(missing: int) -> None:
    seeds = ring()
    seeds[seeds == missing] = IGNORE
    assert evening_odds(seeds, np.array([0, 3 - missing], np.uint8)).tolist() == [1, 1]
    image = np.random.default_rng(0).random(seeds.shape)
    pair = [believe_slice(image, seeds, classes=3, corrections=each) for each in (PLAIN, EVENED)]
    assert np.abs(pair[0].astype(int) - pair[1]).max() <= 1  # but for rounding


def test_where_all_is_drawn_nothing_is_evened() -> None:
    seeds = np.array([[1, 1, 2]], np.uint8)
    assert evening_odds(seeds, np.array([1, 2], np.uint8)).tolist() == [1, 1]


def test_a_coarser_grid_says_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds, classes = ring(121), np.array([0, 1, 2], np.uint8)
    monkeypatch.setattr(evened, "MOST", 10**6)
    fine = evening_odds(seeds, classes)
    monkeypatch.setattr(evened, "MOST", 4_000)
    np.testing.assert_allclose(np.log(evening_odds(seeds, classes)), np.log(fine), atol=0.3)


def test_kept_beliefs_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = phantom.prepare(tmp_path / "corpus", cases=6, size=64)
    entry = corpus.entries[0]
    plain, even, again = (
        next(load_beliefs(corpus, [entry], enclosure=True, corrections=each)) for each in (PLAIN, EVENED, EVENED)
    )
    assert (plain != even).any()
    np.testing.assert_array_equal(even, again)
    assert len(list((corpus.root / "cache").glob("walker-*.npz"))) == 2
    monkeypatch.setattr(evened, "SETTINGS", (1,))
    list(load_beliefs(corpus, [entry], enclosure=True, corrections=EVENED))
    assert len(list((corpus.root / "cache").glob("walker-*.npz"))) == 3
