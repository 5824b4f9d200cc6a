"""Dropout: its rate, its scale, its layout, and what it does not touch."""

import pytest
import torch

from maskmixadv.networks.dropout import FastDropout


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_fraction_is_zeroed_and_the_rest_scaled(p: float, kind: torch.dtype) -> None:
    torch.manual_seed(0)
    kept = FastDropout(p)(torch.ones(4, 16, 64, 63, dtype=kind))
    assert kept.dtype == kind
    assert (kept == 0).float().mean().item() == pytest.approx(p, abs=0.005)
    torch.testing.assert_close(kept[kept != 0].float().mean().item(), 1 / (1 - p), rtol=5e-3, atol=0)


def test_elements_are_dropped_independently() -> None:
    torch.manual_seed(0)
    dropped = (FastDropout(0.5)(torch.ones(64, 8, 16, 16)) == 0).double().flatten(1)
    neighbours = torch.corrcoef(torch.stack([dropped[:, each::8].flatten() for each in range(8)]))
    assert (neighbours - torch.eye(8)).abs().max() < 0.02
    assert len({tuple(row[:64].tolist()) for row in dropped}) == 64


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_memory_layout_stays(layout: torch.memory_format) -> None:
    maps = torch.rand(2, 6, 8, 10).contiguous(memory_format=layout)
    assert FastDropout(0.3)(maps).is_contiguous(memory_format=layout)


def test_the_gradient_is_dropped_alike() -> None:
    maps = torch.rand(2, 4, 8, 8, requires_grad=True)
    kept = FastDropout(0.4)(maps)
    kept.sum().backward()
    assert maps.grad is not None
    torch.testing.assert_close(maps.grad * maps, kept)


def test_a_seed_is_a_mask() -> None:
    maps, dropout = torch.ones(2, 4, 8, 8), FastDropout(0.4)
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(dropout(maps))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_evaluation_and_the_ends_of_the_range() -> None:
    maps = torch.rand(2, 4, 8, 8)
    assert FastDropout(0.4).eval()(maps) is maps
    assert torch.equal(FastDropout(0.0)(maps), maps)
    assert not FastDropout(1.0)(maps).any()
