"""Sizes and shapes against the released networks' (method.md of the paper's code: counted by running them)."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from maskmixadv.networks import unet as nets
from maskmixadv.networks.critic import Critic
from maskmixadv.networks.dropout import FastDropout
from maskmixadv.networks.unet import UNet


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_parameters_are_as_many_as_in_the_released_networks() -> None:
    assert count(UNet(1, 4, biases=True).encoder) == 1_180_464
    assert count(UNet(1, 4, biases=True).decoders) == 633_300
    assert count(UNet(1, 4, biases=True)) == 1_813_764
    assert count(UNet(1, 4, decoders=2, biases=True)) == 2_447_064
    assert count(UNet(1, 4, restores=True, biases=True)) == 2_446_629
    assert count(UNet(1, 4, decoders=2, restores=True, biases=True)) == 3_079_929
    assert count(Critic(1)) == 2_762_689


def made(*, biases: bool) -> UNet:
    torch.manual_seed(3)
    return UNet(1, 4, decoders=2, restores=True, biases=biases)


def test_biases_that_a_norm_subtracts_are_left_out_and_nothing_else_changes() -> None:
    with_biases, without = (made(biases=biases).state_dict() for biases in (True, False))
    left_out = with_biases.keys() - without.keys()
    assert len(left_out) == 2 * 5 + 3 * 2 * 4
    assert all(name.endswith((".0.bias", ".4.bias")) for name in left_out)
    assert all(torch.equal(with_biases[name], weight) for name, weight in without.items())


def test_no_convolution_has_a_bias_where_a_norm_follows_and_all_others_have() -> None:
    for part in made(biases=False).modules():
        inner = list(part.children()) if isinstance(part, nn.Sequential) else []
        for layer, following in pairwise(inner):
            if isinstance(layer, nn.Conv2d):
                assert isinstance(following, nn.BatchNorm2d)
                assert layer.bias is None
    others = [net for net in made(biases=False).modules() if isinstance(net, nn.Conv2d) and net.bias is not None]
    assert len(others) == 3 * 4 + 3  # before each doubling, and at each end


def test_a_step_learns_the_same_with_and_without_them() -> None:
    image = torch.rand(2, 1, 32, 48, dtype=torch.double)
    losses, gradients = [], []
    for biases in (True, False):
        net = made(biases=biases).double()
        for part in net.modules():
            if isinstance(part, FastDropout):
                part.p = 0.0
        features = net.encode(image)
        loss = net.decode(features, 1).log_softmax(1)[:, 1].mean() + net.restore(features).square().mean()
        loss.backward()
        losses.append(loss.item())
        gradients.append({name: weight.grad for name, weight in net.named_parameters() if weight.grad is not None})
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)  # decoders end in single precision
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient, rtol=1e-5, atol=1e-8)
    for name in gradients[0].keys() - gradients[1].keys():
        assert gradients[0][name].abs().max() < 1e-8, name


def test_shapes() -> None:
    net = UNet(2, 5, decoders=2, restores=True)
    image = torch.rand(2, 2, 64, 32)
    features = net.encode(image)
    assert [tuple(maps.shape[1:]) for maps in features] == [
        (16, 64, 32), (32, 32, 16), (64, 16, 8), (128, 8, 4), (256, 4, 2)
    ]  # fmt: skip
    assert net.decode(features, 1).shape == (2, 5, 64, 32)
    assert net.restore(features).shape == image.shape
    assert Critic(5)(torch.rand(2, 5, 64, 64)).shape == (2, 1, 2, 2)


def test_two_decoders_give_the_mean_of_their_probabilities() -> None:
    net = UNet(1, 3, decoders=2).eval()
    image = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        features = net.encode(image)
        mean = (net.decode(features, 0).softmax(1) + net.decode(features, 1).softmax(1)) / 2
        torch.testing.assert_close(net(image).softmax(1), mean)


def test_a_network_without_a_restoring_decoder_says_so() -> None:
    net = UNet(1, 2)
    with pytest.raises(RuntimeError, match="without a restoring decoder"):
        net.restore(net.encode(torch.rand(1, 1, 32, 32)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_joined_maps_are_concatenated_and_their_gradients_lie_apart(layout: torch.memory_format) -> None:
    maps = [torch.rand(2, f, 4, 6).contiguous(memory_format=layout).requires_grad_() for f in (3, 5)]
    weight = torch.rand(2, 8, 4, 6).contiguous(memory_format=layout)
    joined = nets._join(*maps)
    assert torch.equal(joined, torch.cat(maps, 1))
    found = torch.autograd.grad((joined * weight).sum(), maps)
    expected = torch.autograd.grad((torch.cat(maps, 1) * weight).sum(), maps)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
        assert one.is_contiguous(memory_format=layout)


def interpolated(maps: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=True)


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.bfloat16, 2**-7), (torch.half, 2**-10), (torch.float, 1e-6)])
def test_doubling_by_products_is_the_interpolation_to_rounding(kind: torch.dtype, tolerance: float) -> None:
    """As a CUDA device does it, without a change of precision or layout. Values are up to 1."""
    maps = torch.rand(2, 16, 24, 20).to(kind).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.rand(2, 16, 48, 40).to(kind)
    found = nets._doubled_by_products(maps)
    assert found.dtype == kind
    assert found.is_contiguous(memory_format=torch.channels_last)
    exact = maps.detach().float().requires_grad_()
    expected = interpolated(exact)
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=tolerance)
    (gradient,) = torch.autograd.grad(found, maps, weight)
    (of_exact,) = torch.autograd.grad(expected, exact, weight.float())
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    # A pixel's gradient sums up to 9 parts, which add up to 4 at most; each addition may be rounded.
    torch.testing.assert_close(gradient.float(), of_exact, rtol=0, atol=16 * tolerance)


@pytest.mark.parametrize(("side", "other"), [(1, 1), (1, 7), (5, 2)])
def test_doubling_by_products_of_small_maps(side: int, other: int) -> None:
    maps = torch.rand(1, 3, side, other)
    torch.testing.assert_close(nets._doubled_by_products(maps), interpolated(maps))


def test_doubling_by_products_under_autocast_stays_as_precise_as_the_maps_are() -> None:
    maps = torch.rand(1, 16, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert nets._doubled_by_products(maps.bfloat16()).dtype == torch.bfloat16
        assert nets._doubled_by_products(maps).dtype == torch.float


def test_what_a_prediction_left_in_the_cache_can_be_learnt_through() -> None:
    nets._doubling_kept.cache_clear()
    with torch.inference_mode():
        nets._doubled_by_products(torch.rand(1, 2, 3, 3))
    maps = torch.rand(1, 2, 3, 3, requires_grad=True)
    nets._doubled_by_products(maps).sum().backward()
    assert maps.grad is not None


@pytest.mark.parametrize("kind", [torch.float, torch.bfloat16])
def test_a_cpu_doubles_in_single_precision_and_gives_back_what_came(kind: torch.dtype) -> None:
    maps = torch.rand(1, 3, 5, 4).to(kind)
    assert torch.equal(nets._doubled(maps), interpolated(maps.float()).to(kind))
