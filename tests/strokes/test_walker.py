"""Random walks from strokes: where they lead, what they keep, and coarser ones where memory is short."""

import numpy as np
import pytest
from skimage.segmentation import random_walker

import tiny
from maskmixadv.strokes import walker
from maskmixadv.strokes.enclosure import ENCLOSED, enclose
from maskmixadv.strokes.walker import SHARP, THRESHOLD, Plan, believe_slice, walk_slice
from maskmixadv.types import IGNORE


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image, scribble, dense = tiny.volume()
    return image[0], scribble[0], dense[0]


def test_a_slice_is_labelled_as_scikit_image_does() -> None:
    image, scribble, _ = drawn()
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 0.2, image.shape), 0, 1).astype(np.float32)
    markers = np.where(scribble == IGNORE, 0, scribble + 1.0).astype(int)
    scaled = -1 + 2 * (noisy.astype(np.float64) + 0.35) / (1.35 + 0.35)
    probs = random_walker(scaled, markers, beta=100, mode="bf", return_full_prob=True)
    labels = walk_slice(noisy, scribble)
    known = labels != IGNORE
    np.testing.assert_array_equal(known, probs.max(0) >= THRESHOLD)
    np.testing.assert_array_equal(labels[known], probs.argmax(0)[known])
    assert 0 < (~known).sum() < known.sum()


def test_a_walk_finds_the_edges() -> None:
    image, scribble, dense = drawn()
    labels = walk_slice(image, scribble)
    known = labels != IGNORE
    assert known.mean() > 0.95
    assert (labels == dense)[known].mean() > 0.95
    assert all((labels == label).sum() > (scribble == label).sum() for label in range(4))


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_a_class_without_a_stroke_is_nowhere_and_the_others_stay(missing: int) -> None:
    """Not even the codes may slip: those that are left are not consecutive."""
    image, scribble, dense = drawn()
    scribble[scribble == missing] = IGNORE
    labels = walk_slice(image, scribble)
    assert set(np.unique(labels)) - {IGNORE} == {0, 1, 2, 3} - {missing}
    known = (labels != IGNORE) & (dense != missing)
    assert (labels == dense)[known].mean() > 0.9


@pytest.mark.parametrize("label", [0, 2])
def test_one_class_alone_keeps_its_strokes_and_no_more(label: int) -> None:
    image, scribble, _ = drawn()
    scribble[scribble != label] = IGNORE
    np.testing.assert_array_equal(walk_slice(image, scribble), scribble)
    enclosed = enclose(scribble[None])[0]
    np.testing.assert_array_equal(walk_slice(image, enclosed), enclosed)


def test_where_nothing_can_be_found_nothing_changes() -> None:
    image, scribble, dense = drawn()
    empty = np.full_like(scribble, IGNORE)
    np.testing.assert_array_equal(walk_slice(image, empty), empty)
    np.testing.assert_array_equal(walk_slice(np.full_like(image, 0.5), scribble), scribble)
    np.testing.assert_array_equal(walk_slice(image, dense), dense)


def test_strokes_and_enclosure_stay() -> None:
    image, scribble, _ = drawn()
    seeds = enclose(scribble[None])[0]
    labels = walk_slice(image, seeds)
    np.testing.assert_array_equal(labels[seeds != IGNORE], seeds[seeds != IGNORE])
    assert not (labels[seeds == IGNORE] == ENCLOSED).any()
    assert set(np.unique(labels)) - {IGNORE} == {0, 1, 2, 3, ENCLOSED}


def test_what_is_enclosed_is_background_to_walks() -> None:
    """Four dots as background strokes: what lies beyond them says more."""
    image, scribble, _ = drawn()
    scribble[scribble == 0] = IGNORE
    for corner in ((5, 5), (5, 35), (35, 5), (35, 35)):
        scribble[corner] = 0
    even = np.full_like(image, 0.5)
    even[0, 0] = 1
    seeds = enclose(scribble[None])[0]
    inside = seeds != ENCLOSED
    labels = walk_slice(even, seeds)
    told = walk_slice(even, np.where(inside, seeds, np.uint8(0)))
    np.testing.assert_array_equal(labels[inside], told[inside])
    assert (labels[inside] != walk_slice(even, scribble)[inside]).sum() > 50


# Memory: as many at once as fit, and what does not on a coarser grid.


def big() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The slice, three times as large, with noise."""
    image, scribble, dense = (np.kron(each, np.ones((3, 3), each.dtype)) for each in drawn())
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 0.05, image.shape), 0, 1).astype(np.float32)
    return noisy[:-2, :-1], scribble[:-2, :-1], dense[:-2, :-1]  # no multiple of anything


@pytest.mark.parametrize("beta", [walker.BETA, SHARP])
def test_a_coarser_walk_says_much_the_same(beta: float) -> None:
    image, seeds, dense = big()
    exact, coarse = (walker._solved(image, seeds, beta, Plan(most)) for most in (10**6, 3_000))
    assert Plan(3_000).factor(seeds) == 3
    assert exact is not None
    assert coarse is not None
    np.testing.assert_array_equal(coarse[0], exact[0])
    assert coarse[1].shape == exact[1].shape == (4, *image.shape)
    np.testing.assert_allclose(coarse[1].sum(0), 1, atol=1e-6)
    assert (coarse[1].argmax(0) == exact[1].argmax(0)).mean() > 0.95
    assert (coarse[1].argmax(0) == dense).mean() > 0.93


def test_coarser_walks_keep_strokes_and_what_is_enclosed() -> None:
    image, scribble, dense = big()
    seeds = enclose(scribble[None])[0]
    labels = walk_slice(image, seeds, Plan(1_000))
    belief = believe_slice(image, seeds, classes=4, plan=Plan(1_000))
    known = seeds != IGNORE
    np.testing.assert_array_equal(labels[known], seeds[known])
    np.testing.assert_array_equal(belief.argmax(0)[known], np.where(seeds == ENCLOSED, 0, seeds)[known])
    assert (belief.argmax(0) == dense).mean() > 0.9


def test_thin_strokes_are_seeds_of_coarser_walks() -> None:
    image, _, _ = big()
    seeds = np.full(image.shape, IGNORE, np.uint8)
    seeds[60, 70], seeds[20, 60], seeds[5, 5] = 3, 1, 0
    belief = believe_slice(image, seeds, classes=4, plan=Plan(500))
    assert all((belief.argmax(0) == label).sum() > 50 for label in (0, 1, 3))
