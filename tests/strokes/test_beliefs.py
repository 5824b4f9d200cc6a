"""What random walks believe, and how it reaches a batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.segmentation import random_walker

import tiny
from maskmixadv.methods import WalkTeacher
from maskmixadv.sampling.grid import Grid
from maskmixadv.sampling.loading import load_slices
from maskmixadv.strokes.appearance import SETTINGS
from maskmixadv.strokes.corrections import Corrections
from maskmixadv.strokes.enclosure import ENCLOSED, enclose
from maskmixadv.strokes.walker import SHARP, believe_slice, load_beliefs
from maskmixadv.training.loop import Loop
from maskmixadv.types import IGNORE

CPU = torch.device("cpu")


def drawn(*, enclosed: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image, scribble, dense = tiny.volume()
    seeds = enclose(scribble) if enclosed else scribble
    noisy = np.clip(image[0] + np.random.default_rng(0).normal(0, 0.1, image[0].shape), 0, 1)
    return noisy.astype(np.float32), seeds[0], dense[0]


def test_beliefs_are_scikit_images_probabilities() -> None:
    image, seeds, _ = drawn()
    markers = np.where(seeds == IGNORE, 0, seeds + 1.0).astype(int)
    scaled = -1 + 2 * (image.astype(np.float64) + 0.35) / (1.35 + 0.35)
    exact = random_walker(scaled, markers, beta=SHARP, mode="bf", return_full_prob=True)
    belief = believe_slice(image, seeds, classes=4)
    np.testing.assert_allclose(belief / 255, exact, atol=0.01)


def test_beliefs_find_the_structures_and_sum_to_one() -> None:
    image, seeds, dense = drawn(enclosed=True)
    belief = believe_slice(image, seeds, classes=4)
    np.testing.assert_allclose(belief.sum(0, dtype=int), 255, atol=3)
    assert (belief.argmax(0) == dense).mean() > 0.95
    assert 0.02 < (belief.max(0) < 230).mean() < 0.5


def test_of_strokes_and_of_what_is_enclosed_there_is_no_doubt() -> None:
    image, seeds, _ = drawn(enclosed=True)
    assert (seeds == ENCLOSED).any()
    belief = believe_slice(image, seeds, classes=4)
    classes = np.where(seeds == ENCLOSED, 0, seeds)
    for label in range(4):
        there = belief[:, classes == label]
        assert (there[label] == 255).all()
        assert there.sum() == 255 * there.shape[1]


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_a_class_without_a_stroke_is_not_believed_in(missing: int) -> None:
    image, seeds, _ = drawn()
    seeds[seeds == missing] = IGNORE
    belief = believe_slice(image, seeds, classes=4)
    assert not belief[missing].any()
    assert all(belief[label].max() == 255 for label in {0, 1, 2, 3} - {missing})


def test_one_class_alone_says_nothing_beyond_its_strokes() -> None:
    image, seeds, _ = drawn()
    seeds[seeds != 2] = IGNORE
    belief = believe_slice(image, seeds, classes=4)
    assert not belief[:, seeds == IGNORE].any()
    assert (belief[2, seeds == 2] == 255).all()


def test_beliefs_are_kept(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    first = list(load_beliefs(corpus, corpus.entries, enclosure=True))
    kept = {path: path.stat().st_mtime_ns for path in (corpus.root / "cache").glob("*.npz")}
    assert len(kept) == 6
    again = list(load_beliefs(corpus, corpus.entries, enclosure=True))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert kept == {path: path.stat().st_mtime_ns for path in (corpus.root / "cache").glob("*.npz")}


def test_beliefs_of_other_constants_are_not_taken_for_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tiny.corpus(tmp_path / "corpus")
    for looks, settings, kept in ((0.5, SETTINGS, 1), (0.5, SETTINGS, 1), (0.5, (0.9, *SETTINGS), 2), (0.0, (), 3)):
        monkeypatch.setattr("maskmixadv.strokes.appearance.SETTINGS", settings)
        list(load_beliefs(corpus, corpus.entries[:1], enclosure=True, corrections=Corrections(looks)))
        assert len(list((corpus.root / "cache").glob("walker-*.npz"))) == kept


@pytest.mark.parametrize("memory", [None, 0.0])
def test_a_batch_holds_beliefs_that_lie_as_its_image_does(tmp_path: Path, memory: float | None) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    slices = load_slices(
        corpus, corpus.entries[:4], grid=Grid(48), supervision="scribble", enclosure=True, device=CPU, beliefs=True,
        memory=memory, folder=tmp_path,
    )  # fmt: skip
    assert slices.image.shape == (12, 5, 48, 48)
    batch = Loop(tiny.run(WalkTeacher(), enclosure=True), slices, None, CPU).batch()
    assert batch.image.shape[1] == 1
    assert batch.belief is not None
    assert batch.belief.shape == (3, 4, 32, 32)
    # Strokes went through the same affine map, to the nearest pixel: most of what they say is believed there.
    labelled = batch.target != IGNORE
    believed = batch.belief.argmax(1)
    assert labelled.any()
    assert (believed == batch.target)[labelled].float().mean() > 0.9
