"""Views that mix two samples: boxes, and shares."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import tiny
from maskmixadv.networks.losses import one_hot
from maskmixadv.perturb import (
    CutMix,
    Mixup,
)
from maskmixadv.perturb.collage import is_own
from maskmixadv.perturb.mixup import Shares
from maskmixadv.perturb.perturbation import symmetric_beta
from maskmixadv.types import IGNORE
from perturbed import resized


def test_a_box_covers_its_share() -> None:
    batch = tiny.batch(b=300, size=40)
    mask = is_own(CutMix().draw(batch).first)
    boxes = ~mask
    tall, wide = boxes.any(2).sum(1), boxes.any(1).sum(1)
    assert torch.equal(boxes.sum((1, 2)), tall * wide)
    # λ is uniform and a half on average, less what is clipped: a third of the box's side at most.
    assert 0.2 < boxes.float().mean() < 0.5


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.5])
def test_shares_are_beta(alpha: float) -> None:
    drawn = symmetric_beta(alpha, tiny.batch(b=9000, size=1)).numpy()
    assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert stats.kstest(drawn, stats.beta(1.3 * alpha, 1.3 * alpha).cdf).pvalue < 0.01


def test_mixup_by_hand() -> None:
    labels = torch.tensor([[[1, 1, IGNORE, 2, IGNORE]], [[3, 1, 3, IGNORE, IGNORE]]], dtype=torch.uint8)
    weight = torch.tensor([[[0.1, 0.2, 0.0, 0.3, 0.0]], [[0.2, 0.1, 0.1, 0.0, 0.0]]])
    batch = resized(tiny.batch(), image=torch.rand(2, 1, 1, 5), target=labels, weight=weight)
    shares = Shares(torch.tensor([0.75, 0.25]).view(2, 1, 1, 1))
    first, second = shares.split(torch.tensor([1.0, 0.0]).view(2, 1, 1, 1))
    assert first.flatten().tolist() == [0.75, 0.75]
    assert second.flatten().tolist() == [0.25, 0.25]
    assert [each[0, 0].tolist() for each in shares.relabel(labels)] == [
        [1, 1, 3, 2, IGNORE],
        [3, 1, 3, 2, IGNORE],
    ]
    torch.testing.assert_close(
        torch.stack([each[0, 0] for each in shares.reweigh(batch)]),
        torch.tensor([[0.075, 0.175, 0.025, 0.225, 0.0], [0.15, 0.125, 0.075, 0.075, 0.0]]),
    )


@settings(max_examples=20)
@given(seed=st.integers(0, 99))
def test_unmixed_probabilities_are_probabilities(seed: int) -> None:
    torch.manual_seed(seed)
    probs, labels = torch.randn(2, 3, 4, 8, 8).mul(4).softmax(2), torch.randint(4, (3, 8, 8)).to(torch.uint8)
    shares = Mixup().draw(tiny.batch(b=3, seed=seed))
    merged = shares.merge(*probs)
    assert merged.min() >= 0
    torch.testing.assert_close(merged.sum(1), torch.ones(3, 8, 8))
    truth = one_hot(labels, 4)
    torch.testing.assert_close(shares.merge(*shares.split(truth)), truth, rtol=1e-4, atol=1e-5)


def test_mixup_keeps_away_from_halves() -> None:
    share = Mixup(alpha=1.0, margin=0.4).draw(tiny.batch(b=500, size=1)).first
    assert ((2 * share - 1).abs() >= 0.4 - 1e-6).all()
    assert (share < 0.5).any()
    assert (share > 0.5).any()
