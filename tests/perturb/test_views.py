"""Every perturbation: what its views are, the way back, and what its labels say."""

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import tiny
from maskmixadv.errors import InputError
from maskmixadv.perturb import (
    ALL,
    VAT,
    CoMixup,
    CutMix,
    Cutout,
    CycleMixPerturbation,
    Dropout2d,
    FeatureDropout,
    GaussianNoise,
    MaskMix,
    Mixup,
    Perturbation,
    PuzzleMix,
    SaltAndPepper,
    UniformNoise,
    as_tested,
)
from maskmixadv.types import IGNORE
from perturbed import features, resized, views

MIXING = ["maskmix", "mixup", "cutout", "cutmix", "puzzle-mix", "co-mixup", "cyclemix"]
"""Whose merged images must be the image; of all features' perturbations it is true as well."""
AT_LEVELS: list[Perturbation] = [
    kind(level=level) if len(kind.levels) > 1 else kind()  # pyright: ignore[reportCallIssue]
    for kind in ALL.values()
    for level in kind.levels
]
at_levels = pytest.mark.parametrize("perturbation", AT_LEVELS, ids=str)
sizes = st.integers(8, 40)


@settings(max_examples=40)
@given(
    ratio=st.floats(0.05, 0.95),
    patch=st.integers(1, 12),
    whole=st.sampled_from([0.0, 0.5, 1.0]),
    size=sizes,
    seed=st.integers(0, 99),
)
def test_merging_the_views_gives_the_image(ratio: float, patch: int, whole: float, size: int, seed: int) -> None:
    batch = tiny.batch(size=size, seed=seed)
    views = MaskMix(ratio=ratio, patch=patch, whole=whole)(batch)
    assert torch.equal(views.merge(*views.images), batch.image)


@pytest.mark.parametrize("name", MIXING)
@settings(max_examples=15)
@given(b=st.integers(1, 4), size=st.sampled_from([8, 16, 17, 20, 32]), seed=st.integers(0, 999), tall=st.booleans())
def test_merging_mixed_views_gives_the_image(name: str, b: int, size: int, seed: int, tall: bool) -> None:
    batch = tiny.batch(b=b, size=size, seed=seed)
    if tall:
        batch = resized(batch, image=batch.image[..., ::2], target=batch.target[..., ::2])
    mixed = views(ALL[name](), batch)
    merged = mixed.merge(*mixed.images)
    if name == "mixup":
        torch.testing.assert_close(merged, batch.image, rtol=1e-4, atol=1e-5)
    else:
        assert torch.equal(merged, batch.image)


@pytest.mark.parametrize("name", sorted(set(MIXING) - {"maskmix", "cutout"}))
def test_mixing_ones_show_the_other_sample(name: str) -> None:
    """The law above would hold of two clean images too."""
    batches = [tiny.batch(b=3, seed=seed) for seed in range(5)]
    mixed = [views(ALL[name](), batch) for batch in batches]
    for view in (0, 1):
        assert any((each.images[view] != batch.image).any() for each, batch in zip(mixed, batches, strict=True))
        assert any((each.targets[view] != batch.target).any() for each, batch in zip(mixed, batches, strict=True))


@at_levels
def test_views_have_the_batchs_shape(perturbation: Perturbation) -> None:
    for b in (1, 3):
        batch = tiny.batch(b=b)
        made = views(perturbation, batch)
        maps = torch.rand(2, b, 4, 32, 32)
        assert made.merge(*maps).shape == maps[0].shape
        assert (made.hidden is not None) == perturbation.restores
        for image, target, weight in zip(made.images, made.targets, made.weights, strict=True):
            assert image.shape == batch.image.shape
            assert image.dtype == torch.float32
            assert image.min() >= 0
            assert image.max() <= 1
            assert target.dtype == torch.uint8
            assert target.shape == weight.shape == batch.target.shape
        for view in made.encode(features):
            for maps, once in zip(view, features(batch.image), strict=True):
                assert maps.shape == once.shape
                assert maps.isfinite().all()


@at_levels
def test_views_are_a_function_of_the_generator(perturbation: Perturbation) -> None:
    def encoded(seed: int) -> list[Tensor]:
        batch = tiny.batch(b=3)
        rng = torch.Generator().manual_seed(seed)
        made = views(perturbation, dataclasses.replace(batch, rng=rng))
        first, second = made.encode(features)
        return [*first, *second, *made.targets]

    torch.manual_seed(0)
    one = encoded(0)
    torch.manual_seed(1)
    assert all(map(torch.equal, one, encoded(0)))
    assert any(not torch.equal(x, y) for seed in range(1, 6) for x, y in zip(one, encoded(seed), strict=True))


@at_levels
def test_perturbed_views_differ(perturbation: Perturbation) -> None:
    first, second = views(perturbation, tiny.batch(b=3)).encode(features)
    assert not all(map(torch.equal, first, second))


@at_levels
def test_labels_are_of_what_lies_there(perturbation: Perturbation) -> None:
    """On images that say their own labels, each view's target is its pixel's, wherever the pixel went."""
    batch = tiny.batch(b=3)
    image = batch.target.float()[:, None] / 255
    made = views(perturbation, dataclasses.replace(batch, image=image))
    if made.disturb is not None or perturbation.restores:
        assert all(torch.equal(target, batch.target) for target in made.targets)
        assert all(torch.equal(weight, batch.weight) for weight in made.weights)
        return
    for target, again, weight in zip(made.targets, made.relabel(batch.target), made.weights, strict=True):
        assert torch.equal(target, again)
        assert (weight[target == IGNORE] == 0).all()
    if not isinstance(perturbation, Mixup):
        for shown, target in zip(made.images, made.targets, strict=True):
            visible = shown[:, 0] > 0
            assert torch.equal((shown[:, 0] * 255).round()[visible], target.float()[visible])
        assert torch.stack(made.weights).sum().item() == pytest.approx(2, abs=0.5)


@pytest.mark.parametrize("name", ["puzzle-mix", "co-mixup", "cyclemix", "vat"])
def test_some_need_the_network(name: str) -> None:
    with pytest.raises(TypeError, match="needs its forward function"):
        ALL[name]()(tiny.batch())


@at_levels
def test_without_labels_views_stay_finite(perturbation: Perturbation) -> None:
    made = views(perturbation, tiny.batch(labelled=False))
    assert all(image.isfinite().all() for image in made.images)
    assert all((target == IGNORE).all() for target in made.targets)


def test_asking_the_network_leaves_no_trace() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    batch = tiny.batch()
    for perturbation in (VAT(), PuzzleMix(), CoMixup(), CycleMixPerturbation()):
        perturbation(batch, as_tested(net))
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(as_tested(net)(batch.image), as_tested(net)(batch.image))


def test_asking_the_network_in_16_bits_keeps_its_gradients() -> None:
    net, batch = nn.Conv2d(1, 4, 3, padding=1), tiny.batch()
    for perturbation in (VAT(), PuzzleMix()):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            views = perturbation(batch, as_tested(net))
            loss = net(views.images[1]).square().sum()
        assert loss.requires_grad
        (gradient,) = torch.autograd.grad(loss, net.weight)
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cutout(side=0.0),
        lambda: CycleMixPerturbation(side=1.5),
        lambda: CutMix(alpha=0.2),
        lambda: Mixup(margin=0.0),
        lambda: PuzzleMix(beta=-1.0),
        lambda: CoMixup(sweeps=0),
        lambda: CoMixup(gamma=float("inf")),
        lambda: UniformNoise(size=2.0),
        lambda: GaussianNoise(size=0.0),
        lambda: SaltAndPepper(density=0.0),
        lambda: Dropout2d(p=1.0),
        lambda: FeatureDropout(low=0.9, high=0.7),
        lambda: VAT(steps=0),
    ],
)
def test_impossible_perturbations(make: Any) -> None:
    with pytest.raises(InputError, match="allowed is"):
        make()


@pytest.mark.parametrize(("level", "expected"), [("image", [6]), ("feature", [3])])
def test_both_views_pass_the_encoder_at_once(level: Any, expected: list[int]) -> None:
    """Views of the image as one batch, which shares batch norm's statistics; views of features share the features."""
    batches: list[int] = []

    def encoder(image: Tensor) -> list[Tensor]:
        batches.append(len(image))
        return features(image)

    views(MaskMix(level=level), tiny.batch(b=3)).encode(encoder)
    assert batches == expected
