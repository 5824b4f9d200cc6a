"""What pixels look like, and what it adds to walks."""

from pathlib import Path

import numpy as np
import pytest

from maskmixadv.methods import PCE, WalkTeacher
from maskmixadv.sources.phantoms import phantom
from maskmixadv.strokes import appearance as module
from maskmixadv.strokes.appearance import appearance
from maskmixadv.strokes.corrections import PLAIN, Corrections
from maskmixadv.strokes.enclosure import ENCLOSED, enclose
from maskmixadv.strokes.walker import believe, load_beliefs
from maskmixadv.types import IGNORE

BOTH = np.array([0, 1], np.uint8)


def disc(radius: int = 14, side: int = 48) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side // 2
    return x**2 + y**2 < radius**2


def noisy(image: np.ndarray, deviation: float = 0.02) -> np.ndarray:
    return np.clip(image + np.random.default_rng(0).normal(0, deviation, image.shape), 0, 1)


def cell() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bright disc with a short line in it, and a ring about it as the background's stroke."""
    truth = disc()
    image = noisy(np.where(truth, 0.8, 0.2))
    seeds = np.full(truth.shape, IGNORE, np.uint8)
    seeds[disc(19) & ~disc(17)] = 0
    seeds[~disc(19)] = ENCLOSED
    seeds[24, 20:29] = 1
    return image, seeds, truth


def test_labels_of_noisy_hearts_are_better_with_it(tmp_path: Path) -> None:
    corpus = phantom.prepare(tmp_path / "corpus", cases=6, size=96)
    wrong = {0.0: 0, 0.5: 0}
    for case in map(corpus.load, corpus.entries[:4]):
        assert case.scribble is not None
        assert case.dense is not None
        for looks in wrong:
            labels = believe(
                case, enclose(case.scribble), classes=len(corpus.classes), corrections=Corrections(looks)
            ).argmax(1)
            wrong[looks] += int((labels != case.dense).sum())
    assert wrong[0.5] < 0.9 * wrong[0.0]


def test_what_looks_like_nothing_that_is_drawn_is_background() -> None:
    image, seeds, _ = cell()
    image[10:14, 20:28] = 0.95
    seen = appearance(image, seeds, BOTH)
    assert (seen[0, 11:13, 22:26] > 0.9).all()


def test_colours_of_one_brightness_are_told_apart() -> None:
    _, seeds, truth = cell()
    red, blue = np.array([0.8, 0.2, 0.2]), np.array([0.2, 0.285, 0.8])
    image = noisy(np.where(truth, red[:, None, None], blue[:, None, None]))
    seen, unknown = appearance(image, seeds, BOTH)[1], seeds == IGNORE
    assert seen[unknown & disc(9)].min() > 0.5 > seen[unknown & ~disc(16)].max()


def test_it_is_1_where_something_is_known_and_sums_to_1_elsewhere() -> None:
    image, seeds, _ = cell()
    seen = appearance(image, seeds, BOTH)
    assert (seen[:, seeds != IGNORE] == 1).all()
    np.testing.assert_allclose(seen[:, seeds == IGNORE].sum(0), 1, atol=1e-5)


def test_pixels_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    image, seeds, _ = cell()
    whole = appearance(image, seeds, BOTH)
    monkeypatch.setattr(module, "_AT_ONCE", 100)
    np.testing.assert_allclose(appearance(image, seeds, BOTH), whole, atol=1e-5)


def test_methods_say_how_much_it_counts_and_beliefs_are_kept_apart(tmp_path: Path) -> None:
    assert (PCE().corrections(), WalkTeacher(appearance=0.25).corrections()) == (PLAIN, Corrections(0.25, evened=True))
    corpus = phantom.prepare(tmp_path / "corpus", cases=6, size=64)
    entries, powers = corpus.entries[:1], (0.0, 1.0, 0.0, 1.0)
    found = [next(load_beliefs(corpus, entries, enclosure=False, corrections=Corrections(looks))) for looks in powers]
    assert (found[0] != found[1]).any()
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[3])


def test_densities_are_those_of_one_product_bit_for_bit() -> None:
    """They are made a few rows at a time, for a processor's cache; beliefs that are kept must stay what they were."""
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(37, 41, 4)).astype(np.float32)
    samples = rng.random(seen.shape[:2]) < 0.1
    values = seen[samples][:90]
    samples &= samples.cumsum().reshape(samples.shape) <= len(values)
    points = seen[~samples]
    squares = (points**2).sum(1)[:, None] + (values**2).sum(1) - 2 * points @ values.T
    expected = np.exp(squares.clip(0) / -2).mean(1)
    found = module._density(seen, samples, ~samples)  # pyright: ignore[reportPrivateUsage]
    assert found.tobytes() == expected.tobytes()
