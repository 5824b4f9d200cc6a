"""Losses of the methods with one network and one view: by hand, by another's code, by what must not change them."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch

import tiny
from maskmixadv.networks.crf import Kernel, gated_crf
from maskmixadv.networks.losses import (
    contour_length,
    dice_loss,
    entropy,
    intensity_spread,
    mumford_shah,
    one_hot,
    partial_dice,
    total_variation,
)
from maskmixadv.types import IGNORE
from regularisers import LOSSES, NARROW


@pytest.fixture(params=LOSSES, ids=str)
def loss(request: pytest.FixtureRequest) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    return LOSSES[request.param]


def random(b: int = 3, k: int = 4, side: int = 7, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and an image, in double precision."""
    rng = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(b, k, side, side, generator=rng, dtype=torch.float64)
    return logits.softmax(1), torch.rand(b, channels, side, side, generator=rng, dtype=torch.float64)


def square(low: int, high: int, *, side: int = 12, across: int = 0) -> torch.Tensor:
    """Two classes: a square from `low` to below `high`, moved `across` columns."""
    inside = torch.zeros(1, side, side, dtype=torch.uint8)
    inside[:, low:high, low + across : high + across] = 1
    return one_hot(inside, 2)


# What each is, by hand


def test_a_contour_is_one_pixel_wide() -> None:
    probs = square(3, 8)
    assert contour_length(probs).item() == pytest.approx(16 / 144)  # 5 × 5 without its inner 3 × 3
    assert contour_length(torch.cat((probs, torch.zeros_like(probs)))).item() == pytest.approx(8 / 144)
    assert contour_length(square(3, 5)).item() == 0  # thinner than the window


def test_every_sample_has_its_contour_counted_but_not_the_background() -> None:
    """A sum that leaves out the first or the last sample, or takes the background in, is another one."""
    empty, small, large = square(0, 0), square(3, 6), square(3, 9)
    for order in itertools.permutations((empty, small, large)):
        assert contour_length(torch.cat(order)).item() == pytest.approx((0 + 8 + 20) / 3 / 144)
    assert contour_length(square(3, 9).flip(1)).item() != pytest.approx(20 / 144)


def test_total_variation_counts_both_classes_of_every_sample() -> None:
    probs = torch.cat((square(3, 5), square(3, 9)))
    assert total_variation(probs).item() == pytest.approx((2 * 8 + 2 * 24) / 2 / 144)
    assert total_variation(probs.flip(0)).item() == total_variation(probs).item()
    assert total_variation(torch.full((1, 2, 4, 4), 0.5)).item() == 0


def test_entropy_is_a_fraction_of_the_largest() -> None:
    logits = torch.zeros(2, 4, 1, 1)
    assert entropy(logits).item() == pytest.approx(1)
    logits[0, 1] = 1e4
    assert entropy(logits).item() == pytest.approx(0.5)
    halves = torch.tensor([0.25, 0.75]).log().view(1, 2, 1, 1)
    expected = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(2)
    assert entropy(halves).item() == pytest.approx(expected)


def test_mumford_shah_by_hand() -> None:
    """With image and probabilities swapped, the sharp one would be 0.16."""
    image = torch.tensor([[[[0.1, 0.3, 0.8, 1.0]]]])
    sharp = one_hot(torch.tensor([[[0, 0, 1, 1]]], dtype=torch.uint8), 2)
    assert mumford_shah(probs=sharp, image=image).item() == pytest.approx(0.01)
    soft = torch.full((1, 2, 1, 4), 0.5)
    assert mumford_shah(probs=soft, image=image).item() == pytest.approx(0.1325)  # the image's variance
    mixed = torch.tensor([[[[1.0, 0.5, 0.0, 0.0]], [[0.0, 0.5, 1.0, 1.0]]]])
    first, second = (0.1 + 0.15) / 1.5, (0.15 + 1.8) / 2.5
    expected = (0.1 - first) ** 2 + 0.5 * (0.3 - first) ** 2
    expected += 0.5 * (0.3 - second) ** 2 + (0.8 - second) ** 2 + (1.0 - second) ** 2
    assert mumford_shah(probs=mixed, image=image).item() == pytest.approx(expected / 4)


def test_spread_by_hand() -> None:
    image = torch.tensor([[[[0.1, 0.3, 0.8, 1.0]]]])
    sharp = one_hot(torch.tensor([[[0, 0, 1, 1]]], dtype=torch.uint8), 3)  # the third class is absent
    expected = math.sqrt(0.01 + 1e-6) - math.sqrt(0.35**2 + 1e-6)
    assert intensity_spread(probs=sharp, image=image).item() == pytest.approx(expected)
    soft = torch.full((1, 2, 1, 4), 0.5)
    assert intensity_spread(probs=soft, image=image) > 0 > intensity_spread(probs=sharp, image=image)


def naive_crf(probs: torch.Tensor, image: torch.Tensor, kernel: Kernel) -> float:
    b, _, h, w = probs.shape
    total = 0.0
    for n, y, x, down, right in itertools.product(
        range(b), range(h), range(w), *[range(-kernel.radius, kernel.radius + 1)] * 2
    ):
        if (down, right) == (0, 0) or not (0 <= y + down < h and 0 <= x + right < w):
            continue
        place = (down**2 + right**2) / kernel.position**2
        difference = ((image[n, :, y, x] - image[n, :, y + down, x + right]) / kernel.intensity).square().sum().item()
        differ = 1 - (probs[n, :, y, x] * probs[n, :, y + down, x + right]).sum().item()
        total += math.exp(-(place + difference) / 2) * differ
    return total / (b * h * w)


@pytest.mark.parametrize("kernel", [NARROW, Kernel(), Kernel(radius=9)])
@pytest.mark.parametrize("channels", [1, 2])
def test_gated_crf_is_the_double_loop(kernel: Kernel, channels: int) -> None:
    probs, image = random(b=2, k=3, side=7, channels=channels)
    probs, image = probs[..., :5], image[..., :5]  # a window may be larger than the image
    loss = gated_crf(probs=probs, image=image, kernel=kernel)
    assert loss.item() == pytest.approx(naive_crf(probs, image, kernel), rel=1e-10)


def test_gated_crf_by_hand() -> None:
    """Two pixels that differ in class and 0.2 in intensity hear each other across one pixel."""
    probs = one_hot(torch.tensor([[[0, 1]]], dtype=torch.uint8), 2)
    image = torch.tensor([[[[0.1, 0.3]]]])
    loss = gated_crf(probs=probs, image=image, kernel=NARROW)
    assert loss.item() == pytest.approx(math.exp(-(1 / 9 + 1) / 2), rel=1e-6)


def test_partial_dice_is_monais_masked_dice() -> None:
    from monai.losses.dice import MaskedDiceLoss

    target = tiny.batch().target
    probs = torch.randn(2, 4, 32, 32).softmax(1)
    other = MaskedDiceLoss(squared_pred=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5)
    expected = other(probs, one_hot(target, 4), mask=(target != IGNORE)[:, None])
    torch.testing.assert_close(partial_dice(probs=probs, target=target), expected)


def test_partial_dice_knows_labelled_pixels_alone() -> None:
    target = tiny.batch().target
    probs, other = torch.randn(2, 2, 4, 32, 32).softmax(2)
    unlabelled = (target == IGNORE)[:, None]
    changed = torch.where(unlabelled, other, probs)
    assert partial_dice(probs=probs, target=target) == partial_dice(probs=changed, target=target)
    full = torch.where(target == IGNORE, 0, target).to(torch.uint8)
    assert partial_dice(probs=probs, target=full) == dice_loss(probs=probs, target=full)
    nothing = torch.full_like(target, IGNORE)
    assert partial_dice(probs=probs, target=nothing).item() == pytest.approx(0, abs=1e-6)


# What must not change them, and what must


def test_gradients(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    probs, image = random(b=2, k=3, side=5, channels=2)
    logits = probs.log().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z.softmax(1), image), logits)


def test_partial_dice_gradients() -> None:
    target = torch.tensor([[[0, 1, IGNORE], [2, 1, 0]]], dtype=torch.uint8)
    logits = torch.randn(1, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: partial_dice(probs=z.softmax(1), target=target), logits)


def test_samples_are_alike(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    probs, image = random()
    turned = [2, 0, 1]
    torch.testing.assert_close(loss(probs[turned], image[turned]), loss(probs, image))
    each = torch.stack([loss(probs[n : n + 1], image[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(loss(probs, image), each.mean())


def test_structures_are_alike(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    probs, image = random()
    torch.testing.assert_close(loss(probs[:, [0, 3, 1, 2]], image), loss(probs, image))


def test_directions_are_alike(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    probs, image = random()
    for change in (lambda x: x.flip(2), lambda x: x.flip(3), lambda x: x.mT):
        torch.testing.assert_close(loss(change(probs), change(image)), loss(probs, image))


def test_places_are_alike(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    """A square and its bright copy in the image, here or three columns further, away from the border."""
    here, there = ((square(4, 9, side=16, across=step) + 0.1) / 1.2 for step in (0, 3))
    torch.testing.assert_close(loss(there, there[:, 1:]), loss(here, here[:, 1:]))


@pytest.mark.parametrize("name", ["mumford-shah", "spread", "crf"])
def test_a_structure_belongs_where_the_image_shows_it(name: str) -> None:
    """The image is not the prediction: each says so with a bright square of another place, size or class."""
    image = square(3, 9)[:, 1:] * 0.5 + 0.2
    right = LOSSES[name](square(3, 9), image)
    assert right < LOSSES[name](square(3, 9, across=2), image)
    assert right < LOSSES[name](square(3, 7), image)
    torch.testing.assert_close(LOSSES[name](square(3, 9).flip(1), image), right)


@pytest.mark.parametrize("name", ["mumford-shah", "spread", "crf"])
def test_brightness_is_no_matter(name: str) -> None:
    """Only differences of intensity count; with image and probabilities swapped they would not be alone."""
    probs, image = random()
    torch.testing.assert_close(LOSSES[name](probs, image + 0.7), LOSSES[name](probs, image))


@pytest.mark.parametrize("name", LOSSES)
def test_it_learns_from_the_prediction(name: str) -> None:
    """A length of the image, or a loss of probabilities without their gradient, would say nothing to the net."""
    probs, image = random()
    probs.requires_grad_()
    LOSSES[name](probs, image).backward()
    assert probs.grad is not None
    assert (probs.grad.flatten(2).abs().sum(2)[:, 1:] > 0).all()


def test_certainty_without_bounds_is_finite(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    """Networks can be so sure that all classes but one have a probability of 0; and images can be even."""
    logits = torch.zeros(1, 3, 6, 6)
    logits[:, 0] = 1e4
    logits.requires_grad_()
    value = entropy(logits) if loss is LOSSES["entropy"] else loss(logits.softmax(1), torch.full((1, 1, 6, 6), 0.5))
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
