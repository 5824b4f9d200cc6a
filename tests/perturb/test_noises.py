"""Noises, dropout, and the worst noise that the network tells."""

import pytest
import torch
from torch import Tensor, nn

import tiny
from maskmixadv.perturb import (
    VAT,
    Dropout2d,
    FeatureDropout,
    GaussianNoise,
    SaltAndPepper,
    UniformNoise,
)
from perturbed import forward


def test_noises_by_their_numbers() -> None:
    maps, rng = torch.ones(2, 1, 100, 100), torch.Generator().manual_seed(0)
    maps[:, :, 0, 0], maps[:, :, 0, 1] = 0.0, 2.0
    uniform, gaussian = (noise.draw(maps, rng).gain for noise in (UniformNoise(size=0.3), GaussianNoise(size=0.2)))  # pyright: ignore[reportAttributeAccessIssue]
    assert 0.7 <= uniform.min() < 0.71
    assert 1.29 < uniform.max() <= 1.3
    assert uniform.mean().item() == pytest.approx(1, abs=0.01)
    assert gaussian.mean().item() == pytest.approx(1, abs=0.01)
    assert gaussian.std().item() == pytest.approx(0.2, abs=0.01)
    specks = SaltAndPepper(density=0.1)
    noisy = specks.apply(maps, specks.draw(maps, rng))
    assert (noisy == 2).float().mean().item() == pytest.approx(0.05, abs=0.01)
    assert (noisy == 0).float().mean().item() == pytest.approx(0.05, abs=0.01)


def test_dropped_channels() -> None:
    maps, drop = torch.ones(20, 100, 2, 2), Dropout2d(p=0.25)
    dropped = drop.apply(maps, drop.draw(maps, torch.Generator().manual_seed(0)))
    assert set(dropped.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(dropped.amin((2, 3)), dropped.amax((2, 3)))


def test_the_most_active_places_are_dropped() -> None:
    maps = torch.tensor([[[[1.0, 0.6, 0.4]], [[1.0, 1.0, 0.4]]], [[[-1.0, -2.0, -3.0]]] * 2]).view(2, 2, 1, 3)
    drop = FeatureDropout(low=0.7, high=0.7)
    dropped = drop.apply(maps, drop.draw(maps, torch.Generator()))
    assert torch.equal(dropped[0, :, 0], torch.tensor([[0.0, 0.0, 0.4], [0.0, 0.0, 0.4]]))
    assert torch.equal(dropped[1], maps[1])


def test_vat_is_worse_than_chance() -> None:
    batch = tiny.batch(b=3)
    added = VAT(size=0.02).draw(batch, forward).added
    torch.testing.assert_close(added.square().mean((1, 2, 3)).sqrt(), torch.full((3,), 0.02))
    chance = torch.randn(20, *added.shape)
    chance *= 0.02 / chance.square().mean((2, 3, 4), keepdim=True).sqrt()

    def divergence(change: Tensor) -> float:
        expected, found = (forward(image).log_softmax(1) for image in (batch.image, batch.image + change))
        return nn.functional.kl_div(found, expected, log_target=True, reduction="sum").item()

    assert divergence(added) > 1.5 * max(divergence(change) for change in chance)


def test_vat_of_a_constant_network_is_nothing() -> None:
    batch = tiny.batch()
    made = VAT()(batch, lambda image: image.repeat(1, 4, 1, 1) * 0)
    assert torch.equal(made.images[1], batch.image)
