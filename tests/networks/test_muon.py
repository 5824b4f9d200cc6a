"""Muon: steps along kernels are orthogonal, all else is AdamW's, and a run goes on as it would have."""

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

import tiny
from maskmixadv.methods import PCE
from maskmixadv.networks.muon import SWEEPS, Muon, orthogonal
from maskmixadv.networks.unet import UNet
from maskmixadv.training.engine import set_rate
from watch import Watch
from weights import equal, weights

SCHEDULE = dataclasses.replace(tiny.SCHEDULE, optimiser="muon")


def network() -> UNet:
    torch.manual_seed(0)
    return UNet(1, 4).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def give_gradients(net: nn.Module, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)


def rows(kernel: Tensor) -> Tensor:
    return kernel.detach().permute(0, 2, 3, 1).flatten(1)


@pytest.mark.parametrize("shape", [(16, 144), (144, 16), (64, 96)])
def test_singular_values_come_to_about_1(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(2, *shape) * torch.tensor([30.0, 1e-3])[:, None, None]
    one, other = torch.linalg.svdvals(orthogonal(matrices))
    for values in (one, other):
        assert 0.6 < values.min() <= values.max() < 1.3


def test_a_kernel_takes_the_steps_of_torchs_muon() -> None:
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.randn(64, 32, 3, 3).contiguous(memory_format=torch.channels_last))
    bias, matrix = nn.Parameter(torch.zeros(64)), nn.Parameter(rows(kernel).clone())
    own = Muon([kernel, bias], lr=0.02, weight_decay=0.1)
    torchs = torch.optim.Muon([matrix], lr=0.02, weight_decay=0.1, ns_steps=SWEEPS, adjust_lr_fn="match_rms_adamw")
    before = matrix.detach().clone()
    for _ in range(4):
        kernel.grad, bias.grad = torch.randn_like(kernel), torch.randn_like(bias)
        matrix.grad = rows(kernel.grad)
        own.step()
        torchs.step()
    moved = (matrix - before).detach()
    assert (rows(kernel) - matrix).detach().norm() < 0.02 * moved.norm()  # bfloat16 rounds in other places


def test_layout_in_memory_changes_nothing() -> None:
    kernels = [nn.Parameter(torch.ones(32, 16, 3, 3)) for _ in range(2)]
    kernels[1].data = kernels[1].data.contiguous(memory_format=torch.channels_last)
    gradient = torch.randn(32, 16, 3, 3, generator=torch.Generator().manual_seed(0))
    for kernel in kernels:
        bias = nn.Parameter(torch.zeros(1))
        kernel.grad = gradient.clone(memory_format=torch.preserve_format)
        Muon([kernel, bias], lr=0.1, weight_decay=0.0).step()
    torch.testing.assert_close(*kernels)


def test_first_last_and_coarsest_convolutions_are_adamws() -> None:
    net, other = network(), network()
    optimisers = (
        Muon(list(net.parameters()), lr=0.01, weight_decay=0.1),
        torch.optim.AdamW(other.parameters(), lr=0.01, weight_decay=0.1),
    )
    for each in (net, other):
        give_gradients(each, 1)
    for optimiser in optimisers:
        optimiser.step()
    pairs = zip(net.named_parameters(), other.parameters(), strict=True)
    same = {name for (name, one), two in pairs if torch.allclose(one, two, atol=1e-6)}
    kernels = {name for name, parameter in net.named_parameters() if parameter.ndim == 4}
    assert same & kernels == {
        "encoder.levels.0.0.weight", "encoder.levels.3.4.weight", "encoder.levels.4.0.weight",
        "encoder.levels.4.4.weight", "decoders.0.steps.0.block.0.weight", "decoders.0.steps.0.block.4.weight",
        "decoders.0.head.weight",
    }  # fmt: skip
    assert same - kernels == {name for name, parameter in net.named_parameters() if parameter.ndim == 1}


def test_a_rate_that_is_set_is_everyones() -> None:
    net = network()
    optimiser = Muon(list(net.parameters()), lr=0.01, weight_decay=0.1)
    for _ in range(2):  # before and after a state is loaded
        before = copy.deepcopy(net.state_dict())
        give_gradients(net, 1)
        set_rate(optimiser, 0.0)
        optimiser.step()
        assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())
        optimiser.load_state_dict(optimiser.state_dict())


def test_what_has_no_gradient_stays() -> None:
    net = network()
    optimiser = Muon(list(net.parameters()), lr=0.01, weight_decay=0.1)
    before = copy.deepcopy(net.state_dict())
    optimiser.step()
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


def test_a_loaded_run_goes_on_bit_for_bit() -> None:
    whole, begun, loaded = (tiny.loop(PCE(), schedule=SCHEDULE) for _ in range(3))
    for _ in range(6):
        whole.advance()
    for _ in range(3):
        begun.advance()
    loaded.load(copy.deepcopy(begun.state()))
    for _ in range(3):
        loaded.advance()
    assert equal(weights(whole.nets), weights(loaded.nets))


def test_a_step_waits_for_no_device() -> None:
    """Also with its rate on the device, where a recorded step reads it."""
    net = network()
    optimiser = Muon(list(net.parameters()), lr=0.01, weight_decay=0.1)
    for group in optimiser.param_groups:
        group["lr"] = torch.tensor(group["lr"])
    give_gradients(net, 1)
    optimiser.step()
    with Watch() as watch:
        optimiser.step()
    assert watch.waits == []
