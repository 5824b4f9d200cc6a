import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

import tiny
from maskmixadv.networks.losses import (
    adversarial,
    balanced,
    dice_loss,
    one_hot,
    partial_cross_entropy,
    restoration,
    uniform,
)
from maskmixadv.strokes.enclosure import ENCLOSED
from maskmixadv.types import IGNORE


def labels(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.uint8).view(1, 1, -1)


def scores(*columns: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(columns).T.reshape(1, 2, 1, -1)


def test_partial_cross_entropy_by_hand() -> None:
    logits = scores((0.0, 0.0), (math.log(3), 0.0), (9.0, 9.0))
    target = labels(0, 1, IGNORE)
    loss = partial_cross_entropy(logits=logits, target=target, weight=uniform(target))
    assert loss.item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_partial_cross_entropy_is_torchs_with_ignore_index() -> None:
    batch = tiny.batch()
    logits = torch.randn(2, 4, 32, 32)
    loss = partial_cross_entropy(logits=logits, target=batch.target, weight=uniform(batch.target))
    torch.testing.assert_close(loss, F.cross_entropy(logits, batch.target.long(), ignore_index=IGNORE))


def test_balanced_weights_average_each_group_first() -> None:
    codes = labels(0, 0, 0, 1, ENCLOSED, ENCLOSED, IGNORE)
    weight = balanced(codes, {0: 1.0, 1: 1.0, 2: 1.0, ENCLOSED: 2.0})
    torch.testing.assert_close(weight, torch.tensor([[[1 / 12] * 3 + [1 / 4] + [1 / 4] * 2 + [0]]]))


def test_without_a_label_the_loss_is_zero() -> None:
    target = labels(IGNORE, IGNORE)
    for weight in (uniform(target), balanced(target, {0: 1.0, 1: 1.0})):
        logits = torch.randn(1, 2, 1, 2, requires_grad=True)
        loss = partial_cross_entropy(logits=logits, target=target, weight=weight)
        loss.backward()
        assert loss.item() == 0
        assert logits.grad is not None
        assert logits.grad.abs().sum() == 0


def test_dice_by_hand() -> None:
    probs = torch.tensor([[[[0.5, 1.0]], [[0.5, 0.0]]]])
    loss = dice_loss(probs=probs, target=labels(0, 0))
    first = 1 - (2 * 1.5 + 1e-5) / (1.25 + 2 + 1e-5)
    second = 1 - 1e-5 / (0.25 + 1e-5)
    assert loss.item() == pytest.approx((first + second) / 2, abs=1e-6)
    assert dice_loss(probs=one_hot(labels(0, 1), 2), target=labels(0, 1)).item() == pytest.approx(0, abs=1e-6)


def test_dice_is_monais_squared_batch_dice() -> None:
    from monai.losses.dice import DiceLoss

    probs, target = torch.rand(2, 4, 8, 8).softmax(1), torch.randint(4, (2, 8, 8)).to(torch.uint8)
    other = DiceLoss(squared_pred=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5)(probs, one_hot(target, 4))
    torch.testing.assert_close(dice_loss(probs=probs, target=target), other)


def test_restoration_counts_hidden_pixels_alone() -> None:
    image, restored = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 5.0], [3.0, 5.0]]]])
    hidden = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    assert restoration(restored=restored, image=image, hidden=hidden).item() == pytest.approx((1 + 5) / 2)
    assert restoration(restored=restored, image=image, hidden=hidden * 0).item() == 0


def test_restoration_pulls_no_harder_than_an_error_of_1_does() -> None:
    """A slope without end let restorations swing ever further under SGD with momentum."""
    restored = torch.tensor([[[[0.5, 1.0, 3.0, 1e6]]]], requires_grad=True)
    restoration(restored=restored, image=torch.zeros(1, 1, 1, 4), hidden=torch.ones(1, 1, 1, 4)).backward()
    assert restored.grad is not None
    assert (4 * restored.grad).flatten().tolist() == [1, 2, 2, 2]


def test_the_adversary_wants_what_it_says() -> None:
    high = torch.full((1, 1, 2, 2), 5.0)
    assert adversarial(high, real=True) < 0.01 < adversarial(high, real=False)
    assert adversarial(torch.zeros(1, 1, 1, 1), real=True).item() == pytest.approx(math.log(2))


def test_one_hot_leaves_the_unknown_empty() -> None:
    assert one_hot(labels(1, IGNORE), 2)[0, :, 0].tolist() == [[0, 0], [1, 0]]


def test_gradients() -> None:
    target = labels(0, 1, IGNORE, 2).expand(2, 2, 4).contiguous()
    logits = torch.randn(2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    weight = uniform(target).double()
    truth = torch.where(target == IGNORE, 0, target).to(torch.uint8)
    assert torch.autograd.gradcheck(lambda z: partial_cross_entropy(logits=z, target=target, weight=weight), logits)
    assert torch.autograd.gradcheck(lambda z: dice_loss(probs=z.softmax(1), target=truth), logits)
