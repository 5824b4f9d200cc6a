"""The optimisers take torch's steps, bit for bit, go on from torch's states, and cost no import of its compiler."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from maskmixadv.networks.optimiser import SGD, Adam, Optimiser

Pair = tuple[Callable[[list[nn.Parameter]], Optimiser], Callable[[list[nn.Parameter]], torch.optim.Optimizer]]

PAIRS: dict[str, Pair] = {
    "adam": (lambda of: Adam(of, lr=0.02), lambda of: torch.optim.Adam(of, lr=0.02, fused=True)),
    "adamw": (
        lambda of: Adam(of, lr=0.02, weight_decay=0.1, decoupled=True),
        lambda of: torch.optim.AdamW(of, lr=0.02, weight_decay=0.1, fused=True),
    ),
    "sgd": (
        lambda of: SGD(of, lr=0.02, momentum=0.9, weight_decay=0.1),
        lambda of: torch.optim.SGD(of, lr=0.02, momentum=0.9, weight_decay=0.1, fused=True),
    ),
    "descent": (
        lambda of: SGD(of, lr=0.02, momentum=0.0, weight_decay=0.0),
        lambda of: torch.optim.SGD(of, lr=0.02, fused=True),
    ),
}


def parameters(seed: int = 0) -> list[nn.Parameter]:
    rng = torch.Generator().manual_seed(seed)
    kernel = torch.randn(8, 4, 3, 3, generator=rng).contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(kernel), nn.Parameter(torch.randn(8, generator=rng)), nn.Parameter(torch.ones(2))]


def give_gradients(of: list[nn.Parameter], step: int) -> None:
    """Of all but the last one, which never has one."""
    rng = torch.Generator().manual_seed(step)
    for parameter in of[:-1]:
        parameter.grad = torch.randn(parameter.shape, generator=rng)


def assert_equal(some: list[nn.Parameter], others: list[nn.Parameter]) -> None:
    assert all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("name", PAIRS)
def test_steps_are_torchs(name: str) -> None:
    own, torchs = parameters(), parameters()
    ours, theirs = (make(of) for make, of in zip(PAIRS[name], (own, torchs), strict=True))
    for step in range(5):
        for of, optimiser in ((own, ours), (torchs, theirs)):
            give_gradients(of, step)
            optimiser.step()
            optimiser.zero_grad()
        assert_equal(own, torchs)
    assert all(parameter.grad is None for parameter in own)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("of_torch", [False, True])
def test_it_goes_on_from_a_state(name: str, *, of_torch: bool) -> None:
    make, make_torchs = PAIRS[name]
    first = parameters()
    before = make_torchs(first) if of_torch else make(first)
    for step in range(3):
        give_gradients(first, step)
        before.step()
    second = [nn.Parameter(each.detach().clone(memory_format=torch.preserve_format)) for each in first]
    after = make(second)
    after.load_state_dict(before.state_dict())
    for step in range(3, 6):
        for of, optimiser in ((first, before), (second, after)):
            give_gradients(of, step)
            optimiser.step()
    assert_equal(first, second)


def test_states_of_other_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"states of \[2\] parameters, wanted are those of \[3\]"):
        Adam(parameters(), lr=0.1).load_state_dict(Adam(parameters()[:2], lr=0.1).state_dict())


def test_torchs_compiler_stays_out() -> None:
    code = (
        "import sys, torch; from maskmixadv.networks.optimiser import SGD, Adam\n"
        "weight = torch.nn.Parameter(torch.ones(1))\n"
        "for optimiser in (Adam([weight], lr=0.1), SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.0)):\n"
        "    weight.sum().backward(); optimiser.step(); optimiser.zero_grad()\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
