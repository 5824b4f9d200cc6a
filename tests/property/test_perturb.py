import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from maskmixadv.errors import InputError
from maskmixadv.methods import MaskMixAdv
from maskmixadv.perturb import MaskMix

sizes = st.integers(8, 40)


@settings(max_examples=40, deadline=None)
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


@settings(max_examples=40, deadline=None)
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
    net = method.players(tiny.run(method).task)["net"].eval()
    batch = tiny.batch(size=96)
    masks = method._masks(net, batch)  # pyright: ignore[reportArgumentType]
    mask = masks.first
    both = method._views(net, torch.ones_like(batch.image), masks)  # pyright: ignore[reportArgumentType]
    for maps in both:
        side = maps.shape[-1]
        expected = mask.unfold(2, 96 // side, 96 // side).unfold(3, 96 // side, 96 // side).flatten(-2)
        assert torch.equal(expected.amin(-1), expected.amax(-1))
        hidden = maps[:2].abs().sum(1, keepdim=True) == 0
        assert torch.equal(hidden, expected.amin(-1) == 0)


@pytest.mark.parametrize(
    "fields", [{"ratio": 0.0}, {"ratio": 1.5}, {"patch": 0}, {"whole": 1.5}, {"rec": 10.0, "whole": 1.0}]
)
def test_impossible_masks(fields: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(fields))}: .*allowed is"):
        MaskMixAdv(**fields)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "fields", [{"dpce": -1.0}, {"adv": float("nan")}, {"dpce": 0.0, "rec": 0.0, "pse": 0.0, "adv": 0.0}]
)
def test_impossible_weights(fields: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"allowed|at least one"):
        MaskMixAdv(**fields)  # pyright: ignore[reportArgumentType]
