"""Strokes and dense slices in one volume: every method learns from both, and neither drowns the other."""

from pathlib import Path

import numpy as np
import pytest
import torch

import mixed
import tiny
from maskmixadv.methods import PCE, Method, WalkTeacher
from maskmixadv.methods.registry import FROM_SCRIBBLES
from maskmixadv.networks.losses import alike, balanced, uniform
from maskmixadv.sampling.slices import Slices
from maskmixadv.strokes.enclosure import ENCLOSED
from maskmixadv.training.loop import Loop
from maskmixadv.types import IGNORE
from quick import quick
from variants import VARIANTS
from weights import equal, weights

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


def looped(method: Method, slices: Slices, *, enclosure: bool = False) -> Loop:
    prior = tiny.masks() if method.wants_prior else None
    return Loop(tiny.run(method, enclosure=enclosure), slices, prior, CPU)


@pytest.mark.parametrize(
    "name", quick(FROM_SCRIBBLES, "walk-teacher", "pce", "maskmixadv", "mean-teacher", "scribble2label")
)
def test_masks_and_strokes_of_all_pixels_teach_the_same(tmp_path: Path, name: str) -> None:
    """Bit for bit, in volumes that hold both kinds of slices; every loss and weight stays finite."""
    method, enclosure, loops = VARIANTS[name], name in ("pce", "walk-teacher", "maskmixadv"), []
    for as_strokes in (False, True):
        corpus = mixed.corpus(tmp_path / str(as_strokes), as_strokes=as_strokes)
        slices = mixed.loaded(corpus, supervision=method.supervision, enclosure=enclosure, beliefs=method.believes)
        assert slices.whole is not None
        assert slices.whole.tolist() == [False, True] * 4
        loops.append(looped(method, slices, enclosure=enclosure))
    for _ in range(3):
        losses = [loop.advance() for loop in loops]
        assert all(loss.isfinite() for loss in losses[0].values())
        assert equal(*losses)
    assert equal(*(weights(loop.nets) for loop in loops))
    assert loops[0].not_finite() is None


@pytest.mark.parametrize("enclosure", [False, True])
def test_slices_count_alike(tmp_path: Path, enclosure: bool) -> None:
    """Dense slices have three times as many labels as strokes; by pixels alone, they would drown them."""
    loop = looped(PCE(), mixed.loaded(mixed.corpus(tmp_path / "c"), enclosure=enclosure), enclosure=enclosure)
    seen = set()
    for _ in range(4):
        batch = loop.batch()
        assert batch.whole is not None
        each = batch.weight.sum((1, 2))
        assert each.sum() == pytest.approx(1)
        assert each[batch.whole].sum() == pytest.approx(batch.whole.float().mean().item())
        assert len(set(batch.weight[batch.whole].unique().tolist()) - {0.0}) <= 1  # every pixel alike
        count = int(batch.whole.sum())
        if count in (1, 2):
            assert uniform(batch.target)[batch.whole].sum() > 1.2 * batch.whole.float().mean()  # as it would be
        seen.add(count)
        loop.step += 1
    assert seen & {1, 2}


def test_of_one_kind_alone_weights_are_as_ever() -> None:
    strokes = tiny.batch(b=3).target
    strokes[0, :2] = ENCLOSED
    none = torch.full_like(strokes, IGNORE)
    share = {0: 3.0, 1: 1.0, 2: 1.0, 3: 1.0, ENCLOSED: 0.5}
    for rule in (uniform, lambda labels: balanced(labels, share)):
        assert torch.equal(alike(rule(strokes), uniform(none)), rule(strokes))
    assert torch.equal(alike(uniform(none), uniform(strokes)), uniform(strokes))


def test_slices_without_a_label_in_their_window_do_not_count() -> None:
    none = torch.full((3, 4, 4), IGNORE, dtype=torch.uint8)
    assert torch.equal(alike(uniform(none), uniform(none)), torch.zeros(3, 4, 4))
    strokes, dense = none.clone(), none.clone()
    strokes[0, 0, 0], dense[1] = 1, 0
    assert alike(uniform(strokes), uniform(dense)).sum((1, 2)).tolist() == pytest.approx([0.5, 0.5, 0])


def test_where_both_are_the_target_is_the_mask_and_the_belief_the_walk(tmp_path: Path) -> None:
    """A method can see what walks from a dense slice's own strokes say, beside its mask."""
    cases = [mixed.case(f"p{k}", k) for k in range(4)]
    noise = np.random.default_rng(0).random((3, 40, 48), dtype=np.float32)
    cases[0] = tiny.case("p0", image=noise, dense=mixed.only(tiny.volume(0)[2], [mixed.DENSE]))
    corpus = tiny.corpus(tmp_path / "c", [*cases, tiny.case("p4"), tiny.case("p5")])
    slices = mixed.loaded(corpus, beliefs=True)
    assert slices.whole is not None
    assert slices.whole.tolist() == [False, True, False, *[False, True] * 3]
    image = slices.target[1] != IGNORE
    assert image.sum() == 40 * 48
    both, alone = (slices.image[k, 1:].float() for k in (1, 4))
    assert alone.amax(0)[slices.target[4] != IGNORE].min() == 1  # a mask without strokes is its own belief
    assert ((both > 0.01) & (both < 0.99)).any()  # walks are no mask
    believed = both.argmax(0)[image]
    assert 0.5 < (believed == slices.target[1][image]).float().mean() < 1


def test_methods_see_which_slices_are_dense(tmp_path: Path) -> None:
    loop = looped(WalkTeacher(), mixed.loaded(mixed.corpus(tmp_path / "c"), beliefs=True))
    batch = loop.batch()
    assert batch.whole is not None
    assert loop.slices.whole is not None
    assert torch.equal(batch.whole, loop.slices.whole[batch.index])


# Dense slices that are studied.


def studying(place: Path) -> Slices:
    """Noise with strokes and a mask in the same slice, so that walks there are not sure."""
    noise = np.random.default_rng(0).random((3, 40, 48), dtype=np.float32)
    cases = [
        tiny.case(f"p{k}", k, image=noise, dense=mixed.only(tiny.volume(k)[2], [mixed.DENSE])) if k < 2
        else mixed.case(f"p{k}", k)
        for k in range(4)
    ]  # fmt: skip
    return mixed.loaded(tiny.corpus(place, [*cases, tiny.case("p4"), tiny.case("p5")]), beliefs=True)


def test_dense_slices_whose_strokes_are_known_are_studied(tmp_path: Path) -> None:
    slices = studying(tmp_path / "c")
    assert slices.whole is not None
    assert slices.walked is not None
    found = torch.nonzero(slices.walked)[:, 0]
    assert slices.whole[found].all()
    assert 0 < len(found) < slices.whole.sum()  # masks without strokes have no walks to compare with
    loop = looped(WalkTeacher(study=2, listen=0.0), slices)
    own, asked = looped(WalkTeacher(study=0), slices), []
    for _ in range(4):
        batch = loop.batch()
        plain = own.batch()
        assert torch.equal(batch.image, plain.image)  # what is studied comes beside the step's own slices
        assert plain.dense is None
        asked.append(batch.dense is not None)
        if batch.dense is not None:
            assert set(batch.dense.index.tolist()) <= set(found.tolist())
            assert batch.dense.whole is not None
            assert batch.dense.whole.all()
        loop.step += 1
        own.step += 1
    assert asked == [True, False, True, False]


def test_a_run_with_a_corrector_goes_on_bit_for_bit(tmp_path: Path) -> None:
    slices = studying(tmp_path / "c")
    method = WalkTeacher(study=2, listen=0.0, heed=0.1)
    through, first = looped(method, slices), looped(method, slices)
    terms = [set(through.advance()) for _ in range(4)]
    assert "corrector/dice" in terms[0] & terms[2]
    assert "corrector/dice" not in terms[1] | terms[3]
    for _ in range(2):
        first.advance()
    second = looped(method, slices)
    second.load(first.state())
    for _ in range(2):
        second.advance()
    assert equal(weights(through.nets), weights(second.nets))
    assert not equal(weights(first.nets), weights(second.nets))
