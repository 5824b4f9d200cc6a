"""Views that mix samples where they are salient: cuts, puzzles, cycles."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import tiny
from maskmixadv.perturb import (
    Collage,
    CoMixup,
    CycleMixPerturbation,
    PuzzleMix,
)
from maskmixadv.perturb.collage import is_own, own
from maskmixadv.perturb.comixup import _neighbours
from maskmixadv.perturb.cyclemix import turned
from maskmixadv.perturb.graphcut import smallest_cut
from maskmixadv.perturb.saliency import saliency, salient_cells
from maskmixadv.types import IGNORE
from perturbed import forward


@settings(max_examples=25)
@given(seed=st.integers(0, 9999))
def test_the_smallest_cut_is_the_smallest_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chosen, left = rng.uniform(-1, 2, (2, 3, 3))
    down, right = rng.uniform(0, 1, (2, 3)), rng.uniform(0, 1, (3, 2))

    def cost(mask: np.ndarray) -> float:
        borders = (down * (mask[1:] != mask[:-1])).sum() + (right * (mask[:, 1:] != mask[:, :-1])).sum()
        return np.where(mask, chosen, left).sum() + borders

    best = min(cost(np.reshape(bits, (3, 3))) for bits in itertools.product([False, True], repeat=9))
    found = smallest_cut(chosen=chosen, left=left, down=down, right=right)
    assert cost(found) == pytest.approx(best, abs=3e-3)  # rounded to 1/10,000 a term


def test_saliency_is_the_gradients_size() -> None:
    batch = tiny.batch(size=6)
    step = torch.zeros_like(batch.image)
    step[1, 0, 2, 3] = 1e-2

    def loss(image: Tensor) -> Tensor:
        losses = nn.functional.cross_entropy(
            forward(image).double(), batch.target.long(), ignore_index=IGNORE, reduction="none"
        )
        return (losses * batch.weight).sum()

    with torch.no_grad():
        slope = (loss(batch.image + step) - loss(batch.image - step)) / 2e-2
    assert saliency(batch, forward)[1, 2, 3].item() == pytest.approx(abs(slope.item()), rel=0.02)
    torch.testing.assert_close(salient_cells(batch, forward, 2).mean((1, 2)), torch.ones(2))


@pytest.mark.parametrize("side", [2, 8])
def test_a_puzzle_shows_what_is_salient(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without other costs, the first view shows each cell of the sample that is the more salient there."""
    monkeypatch.setattr("maskmixadv.perturb.puzzlemix.drawn_side", lambda _: side)
    batch = tiny.batch(b=3, size=16)
    salient = salient_cells(batch, forward, side)
    more = (salient > salient.roll(-1, 0)).repeat_interleave(16 // side, 1).repeat_interleave(16 // side, 2)
    puzzle = PuzzleMix(beta=0.0, gamma=0.0, eta=0.0, move=100.0)
    assert torch.equal(is_own(puzzle.draw(batch, forward).first), more)


def test_a_price_on_borders_keeps_neighbours_together() -> None:
    batch = tiny.batch(b=3, size=32)
    borders = []
    for beta in (0.0, 0.2, 50.0):
        rng = torch.Generator().manual_seed(3)
        first = PuzzleMix(beta=beta, move=100.0).draw(dataclasses.replace(batch, rng=rng), forward).first
        shown = is_own(first)
        borders.append((shown[:, 1:] != shown[:, :-1]).sum().item())
    assert borders[0] > borders[1] > borders[2] == 0


def test_salient_cells_move_to_where_they_are_shown() -> None:
    salient = np.array([[5.0, 1.0], [1.0, 1.0]])
    shown = np.array([[False, False], [False, True]])
    assert PuzzleMix(move=0.1)._assignment(salient, shown)[1, 1] == 0
    assert PuzzleMix(move=100.0)._assignment(salient, shown).tolist() == [[0, 1], [2, 3]]


@settings(max_examples=15)
@given(seed=st.integers(0, 999), b=st.integers(1, 5))
def test_joint_mixing_only_improves(seed: int, b: int) -> None:
    torch.manual_seed(seed)
    salient = torch.rand(b, 4, 4) ** 4 * 5

    def worth(choice: Tensor, mixing: CoMixup) -> float:
        shown = nn.functional.one_hot(choice, b).movedim(-1, 1).float()
        alike = sum((each * _neighbours(each)).sum() for each in shown) / 2
        common = sum((x * y).sum() for x, y in itertools.combinations(shown, 2))
        return ((shown * salient).sum() + mixing.beta * 4 / 16 * alike - mixing.gamma * common).item()

    mine = torch.arange(b)[:, None, None].expand(b, 4, 4)
    values = [worth(mine, CoMixup())] + [worth(CoMixup(sweeps=n).choices(salient)[0], CoMixup()) for n in (1, 2, 4)]
    assert all(later >= earlier - 1e-4 for earlier, later in itertools.pairwise(values))
    first, second = CoMixup().choices(salient)
    assert ((first == mine) ^ (second == mine) | torch.tensor(b == 1)).all()


def test_joint_mixing_is_diverse() -> None:
    """One sample is the most salient everywhere: with no price on it, every output would show it."""
    salient = torch.stack([torch.full((4, 4), 3.0), torch.ones(4, 4), torch.ones(4, 4)])
    alone, _ = CoMixup(beta=0.0, gamma=0.0).choices(salient)
    shared, _ = CoMixup(beta=0.0, gamma=5.0).choices(salient)
    assert (alone == 0).all()
    assert torch.equal(shared, torch.arange(3)[:, None, None].expand(3, 4, 4))


def test_turning_is_torchs() -> None:
    maps = torch.rand(4, 5, 5)
    expected = torch.stack([torch.rot90(each, k, (0, 1)) for k, each in enumerate(maps)])
    assert torch.equal(turned(maps, torch.arange(4)), expected)
    tall = torch.rand(2, 5, 3)
    assert torch.equal(turned(tall, torch.tensor([0, 2])), torch.stack([tall[0], torch.rot90(tall[1], 2, (0, 1))]))


def test_a_cycle_loses_no_pixel() -> None:
    batch = tiny.batch(b=2, size=32)
    collage = CycleMixPerturbation(side=0.5).draw(batch, forward)
    assert (collage.seen == 0).any()
    shown = torch.cat((collage.first[collage.seen[:, 0] > 0], collage.second.flatten()))
    assert set(shown.tolist()) == set(range(batch.target.numel()))


def test_a_collage_of_one_sample_is_that_sample() -> None:
    batch = tiny.batch(b=1)
    mask = torch.rand(1, 32, 32) < 0.5
    first, second = Collage.exchange(mask, own(batch.image).roll(-1, 0)).split(batch.image)
    assert torch.equal(first, batch.image)
    assert torch.equal(second, batch.image)
