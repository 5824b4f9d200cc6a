"""Masks that hide parts of a view."""

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from maskmixadv.methods import MaskMixAdv
from maskmixadv.perturb import (
    Cutout,
    MaskMix,
)


def test_views_complement_each_other_or_are_whole() -> None:
    batch = tiny.batch(b=64, size=16)
    first, second, count = MaskMix(whole=0.25).draw(batch)
    both = (first + second).flatten(1)
    whole = (both == 2).all(1)
    assert ((both == 1).all(1) | whole).all()
    assert whole.sum() == count == 16
    assert whole[:16].all()
    assert not (MaskMix().draw(batch).first == 1).flatten(1).all(1).any()
    assert (MaskMix(whole=1.0).draw(batch).second == 1).all()


@settings(max_examples=40)
@given(ratio=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_the_ratio_is_what_the_first_view_sees(ratio: float, seed: int) -> None:
    mask = MaskMix(ratio=ratio, patch=4).draw(tiny.batch(size=32, seed=seed)).first
    assert mask.sum(dim=(1, 2, 3)).tolist() == [int(ratio * 64) * 16] * 2
    assert set(mask.unique().tolist()) <= {0.0, 1.0}


def test_every_sample_has_its_own_mask_of_whole_cells() -> None:
    mask = MaskMix(patch=8).draw(tiny.batch(b=2, size=32)).first
    assert not torch.equal(mask[0], mask[1])
    cells = mask.unfold(2, 8, 8).unfold(3, 8, 8).flatten(-2)
    assert torch.equal(cells.amin(-1), cells.amax(-1))


@pytest.mark.parametrize("patch", [4, 16, 24])
def test_feature_masks_agree_over_the_scales(patch: int) -> None:
    """Each cell of the coarsest scale is wholly visible or wholly hidden at every finer one."""
    method = MaskMixAdv(level="feature", patch=patch, whole=0.0)
    torch.manual_seed(0)
    net: Any = method.players(tiny.run(method).task)["net"].eval()
    batch = tiny.batch(size=96)
    batch = dataclasses.replace(batch, image=torch.ones_like(batch.image))
    made = method.views(batch)
    assert made.hidden is not None
    mask = 1 - made.hidden[0]
    for maps in made.encode(net.encode)[0]:
        side = maps.shape[-1]
        expected = mask.unfold(2, 96 // side, 96 // side).unfold(3, 96 // side, 96 // side).flatten(-2)
        assert torch.equal(expected.amin(-1), expected.amax(-1))
        hidden = maps.abs().sum(1, keepdim=True) == 0
        assert torch.equal(hidden, expected.amin(-1) == 0)


def test_a_square_is_cut_out_of_the_first_view() -> None:
    batch = dataclasses.replace(tiny.batch(b=200, size=40), image=torch.ones(200, 1, 40, 40))
    first, second = Cutout(side=0.25)(batch).images
    assert (second == 1).all()
    holes = (first == 0)[:, 0]
    tall, wide = holes.any(2).sum(1), holes.any(1).sum(1)
    assert torch.equal(holes.sum((1, 2)), tall * wide)  # boxes
    assert max(tall.max(), wide.max()) == 10
    assert min(tall.min(), wide.min()) >= 5  # half of it at least lies within
    assert holes.any(0).all()
