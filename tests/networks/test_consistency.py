"""Losses between two opinions, and of what a pixel is not."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from maskmixadv.networks.losses import certain_consistency, disagreement, marginal


def probs(*columns: tuple[float, ...]) -> torch.Tensor:
    """One row of pixels, each with its classes."""
    return torch.tensor(columns).T.reshape(1, len(columns[0]), 1, -1)


def test_certain_consistency_by_hand() -> None:
    one, other = probs((1.0, 0.0), (0.5, 0.5), (0.2, 0.8)), probs((0.0, 1.0), (0.5, 0.5), (0.8, 0.2))
    certain = torch.tensor([[[1.0, 0.0, 1.0]]])
    loss = certain_consistency(probs=one, target=other, certain=certain)
    assert loss.item() == pytest.approx((1 + 0.36) / 2)
    assert certain_consistency(probs=one, target=other, certain=certain * 0).item() == 0


def test_consistency_where_all_is_certain_is_the_squared_error_of_classes() -> None:
    one, other = torch.randn(2, 2, 3, 5, 7).softmax(2)
    loss = certain_consistency(probs=one, target=other, certain=torch.ones(2, 5, 7))
    torch.testing.assert_close(loss, F.mse_loss(one, other) * 3 / 2)


def test_disagreement_by_hand() -> None:
    one, other = probs((1.0, 0.0), (1.0, 0.0), (0.6, 0.4)), probs((0.0, 1.0), (0.5, 0.5), (0.6, 0.4))
    right_angle, half = 1.0, 1 - math.sqrt(0.5)
    assert disagreement(one=one, other=other).item() == pytest.approx((right_angle + half) / 3, abs=1e-6)
    where = torch.tensor([[[[0.0, 1.0, 1.0]]]])
    assert disagreement(one=one, other=other, where=where).item() == pytest.approx(half / 2, abs=1e-6)
    assert disagreement(one=one, other=other, where=where * 0).item() == 0


def test_disagreement_is_one_minus_torchs_cosine() -> None:
    one, other = torch.randn(2, 2, 4, 5, 7).softmax(2)
    expected = 1 - F.cosine_similarity(one, other, dim=1).mean()
    torch.testing.assert_close(disagreement(one=one, other=other), expected)
    torch.testing.assert_close(disagreement(one=other, other=one), expected)


def test_marginal_by_hand() -> None:
    logits = probs((0.5, 0.3, 0.2), (0.1, 0.2, 0.7), (0.4, 0.4, 0.2)).log()
    negative = torch.tensor([[0, 1, 0], [0, 1, 1], [0, 0, 0]], dtype=torch.bool).T.reshape(1, 3, 1, 3)
    loss = marginal(logits=logits, negative=negative)
    assert loss.item() == pytest.approx((-math.log(0.7) - math.log(0.1)) / 2, abs=1e-6)


def test_marginal_says_nothing_without_a_negative_or_with_all() -> None:
    logits = torch.randn(1, 3, 1, 2, requires_grad=True)
    for negative in (torch.zeros(1, 3, 1, 2), torch.ones(1, 3, 1, 2)):
        loss = marginal(logits=logits, negative=negative.bool())
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.item() == 0
        assert gradient.abs().sum() == 0


def test_order_of_samples_and_classes_does_not_matter() -> None:
    one, other = torch.randn(2, 3, 4, 5, 7).softmax(2)
    negative, certain = torch.rand(3, 4, 5, 7) < 0.4, (torch.rand(3, 5, 7) < 0.5).float()

    def losses(samples: list[int], classes: list[int]) -> torch.Tensor:
        a, b, n = (each[samples][:, classes] for each in (one, other, negative))
        return torch.stack(
            (
                certain_consistency(probs=a, target=b, certain=certain[samples]),
                disagreement(one=a, other=b, where=certain[samples][:, None]),
                marginal(logits=a.log(), negative=n),
            )
        )

    torch.testing.assert_close(losses([0, 1, 2], [0, 1, 2, 3]), losses([2, 0, 1], [3, 1, 0, 2]))


def test_gradients() -> None:
    logits = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    other = torch.randn(2, 3, 2, 2, dtype=torch.float64).softmax(1)
    certain = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]], dtype=torch.float64).expand(2, 2, 2)
    negative = torch.rand(2, 3, 2, 2) < 0.5
    for loss in (
        lambda z: certain_consistency(probs=z.softmax(1), target=other, certain=certain),
        lambda z: disagreement(one=z.softmax(1), other=other, where=certain[:, None]),
        lambda z: marginal(logits=z, negative=negative),
    ):
        assert torch.autograd.gradcheck(loss, logits)
