from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmixadv.runs.schedule import PRESETS
from maskmixadv.sampling.augment import _turn, draw_augmentation
from maskmixadv.sampling.grid import Grid, covering
from maskmixadv.sampling.ranges import Augment
from maskmixadv.sampling.slices import order
from maskmixadv.types import IGNORE

STILL = Augment(turns=False, rotate=0.0, scale=0.0, shift=0.0, intensity=0.0)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labels(side: int = 16) -> torch.Tensor:
    return torch.randint(4, (1, side, side), generator=rng()).to(torch.uint8)


def test_nothing_drawn_changes_nothing() -> None:
    draw = draw_augmentation(STILL, torch.zeros(1, 2), canvas=16, window=16, rng=rng())
    image = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(draw.image(image), image)
    assert torch.equal(draw.labels(labels()), labels())


def test_a_window_is_cut_round_its_centre() -> None:
    centre = torch.tensor([[0.25, -0.25]])  # column 10, row 6 of 16
    draw = draw_augmentation(STILL, centre, canvas=16, window=8, rng=rng())
    assert torch.equal(draw.labels(labels()), labels()[:, 2:10, 6:14])


def test_beyond_the_canvas_nothing_is_known() -> None:
    draw = draw_augmentation(STILL, torch.tensor([[1.0, 1.0]]), canvas=16, window=16, rng=rng())
    moved = draw.labels(labels())
    assert (moved[:, 8:] == IGNORE).all()
    assert (moved[..., 8:] == IGNORE).all()
    assert torch.equal(moved[:, :8, :8], labels()[:, 8:, 8:])
    assert (draw.image(torch.ones(1, 1, 16, 16))[:, :, 9:] == 0).all()


def test_turns_are_the_eight_of_the_square() -> None:
    draw = draw_augmentation(STILL, torch.zeros(1, 2), canvas=16, window=16, rng=rng())
    seen = []
    for number in range(8):
        affine = torch.cat((_turn(torch.tensor([number])), torch.zeros(1, 2, 1)), dim=2)
        seen.append(type(draw)(affine, draw.gain, draw.offset, draw.gamma, 16).labels(labels())[0].numpy())
    plain = labels()[0].numpy()
    expected = [np.rot90(base, k) for base in (plain, plain[:, ::-1]) for k in range(4)]
    for turned in expected:
        assert sum(np.array_equal(turned, other) for other in seen) == 1


def test_stray_windows_lie_anywhere_on_the_canvas() -> None:
    still = Augment(turns=False, rotate=0.0, scale=0.0, shift=0.0, stray=0.5)
    middles = draw_augmentation(still, torch.zeros(400, 2), canvas=48, window=32, rng=rng()).affine[:, :, 2]
    astray = (middles != 0).any(1)
    assert 0.4 < astray.float().mean() < 0.6
    assert middles[astray].abs().max() <= 2 / 3 + 1e-6
    assert middles[astray].abs().amax(0).min() > 0.6


@settings(max_examples=30)
@given(seed=st.integers(0, 999))
def test_image_and_labels_move_together(seed: int) -> None:
    """A bright square with its label: wherever it goes, they agree but for the interpolated border."""
    square = torch.zeros(1, 1, 48, 48)
    square[..., 14:34, 14:34] = 1
    draw = draw_augmentation(Augment(intensity=0.0), torch.zeros(1, 2), canvas=48, window=48, rng=rng(seed))
    image = draw.image(square)
    moved = draw.labels(square[:, 0].to(torch.uint8))
    bright = (image[:, 0] > 0.5).to(torch.uint8)
    known = moved != IGNORE
    assert (bright[known] != moved[known]).float().mean() < 0.02
    assert image.min() >= 0
    assert image.max() <= 1


@settings(max_examples=30)
@given(count=st.integers(1, 17), batch=st.integers(1, 9), seed=st.integers(0, 9))
def test_an_epoch_sees_every_slice_once(count: int, batch: int, seed: int) -> None:
    drawn = torch.cat([order(step, count=count, batch=batch, seed=seed) for step in range(2 * count)])
    for epoch in range(len(drawn) // count):
        assert sorted(drawn[epoch * count : (epoch + 1) * count].tolist()) == list(range(count))


@settings(max_examples=40)
@given(h=st.integers(20, 90), w=st.integers(20, 90), mm=st.sampled_from([None, 1.0, 2.3]))
def test_the_grid_leads_back_home(h: int, w: int, mm: float | None) -> None:
    """A smooth image survives the way to the canvas and back, whatever its shape."""
    rows, columns = torch.linspace(0, 1, h)[:, None], torch.linspace(0, 1, w)[None]
    image = (rows + columns)[None] / 2
    grid, spacing = Grid(64, mm), (8.0, 1.5, 1.5)
    canvas = covering(grid.resized((h, w), spacing), 16)
    there = grid.image(image, spacing, canvas)
    assert there.shape[1] % 16 == there.shape[2] % 16 == 0
    back = grid.restore(there[:, None], (h, w), spacing)[:, 0]
    inner = (slice(None), slice(3, -3), slice(3, -3))
    torch.testing.assert_close(back[inner], image[inner], atol=0.05, rtol=0)


def test_the_grid_is_in_mm_where_spacing_is_known() -> None:
    grid = Grid(64, 2.0)
    assert grid.resized((40, 80), (8.0, 1.0, 1.0)) == (20, 40)
    assert grid.resized((40, 80), (8.0, 3.0, 1.5)) == (60, 60)
    with pytest.raises(ValueError, match="no voxel spacing"):
        grid.resized((40, 80), None)
    assert Grid(64).resized((40, 80), None) == (32, 64)


def test_labels_on_the_canvas_keep_their_place() -> None:
    truth = torch.zeros(1, 40, 80, dtype=torch.uint8)
    truth[:, 10:20, 30:50] = 2
    canvas = Grid(64).labels(truth, None)
    assert (canvas[:, :16] == IGNORE).all()
    assert (canvas[:, 48:] == IGNORE).all()
    assert torch.equal(canvas[:, 24:32, 24:40], torch.full((1, 8, 16), 2, dtype=torch.uint8))
    assert (canvas == 2).sum() == 8 * 16


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.window < preset.size])
@pytest.mark.parametrize("row", [0.03, 0.5, 0.97])
@pytest.mark.parametrize("column", [0.03, 0.97])
def test_windows_smaller_than_the_canvas_see_all_of_it(name: str, row: float, column: float) -> None:
    """Also strokes that lie farther from the structures' middle than a window reaches."""
    preset, count = PRESETS[name], 400
    strokes = torch.full((1, preset.size, preset.size), IGNORE, dtype=torch.uint8)
    top, left = int(row * preset.size), int(column * preset.size)
    strokes[0, top : top + 2, left : left + 2] = 1
    draw = draw_augmentation(preset.augment, torch.zeros(count, 2), canvas=preset.size, window=preset.window, rng=rng())
    seen = (draw.labels(strokes.expand(count, -1, -1)) == 1).flatten(1).any(1)
    assert seen.float().mean() > 0.02


def test_a_single_pixel_is_seen_by_most_windows() -> None:
    """A window shows up to 1.15 pixels of the canvas in one of its own: what is lost in a step comes in others."""
    preset, count = PRESETS["cpu"], 400
    strokes = torch.full((1, preset.size, preset.size), IGNORE, dtype=torch.uint8)
    strokes[0, 71, 71] = 1
    near = replace(preset.augment, stray=0.0)
    draw = draw_augmentation(near, torch.zeros(count, 2), canvas=preset.size, window=preset.window, rng=rng())
    seen = (draw.labels(strokes.expand(count, -1, -1)) == 1).flatten(1).any(1)
    assert seen.float().mean() > 0.8


COLOURED = {"channels": 3, "coloured": True}


@given(seed=st.integers(0, 10_000), hue=st.floats(0, 180), saturation=st.floats(0, 1))
@settings(max_examples=20)
def test_grey_stays_grey_whatever_the_hue(seed: int, hue: float, saturation: float) -> None:
    ranges = replace(Augment(), hue=hue, saturation=saturation)
    draw = draw_augmentation(ranges, torch.zeros(2, 2), canvas=16, window=16, rng=rng(seed), **COLOURED)
    grey = torch.rand(2, 1, 16, 16, generator=rng(seed)).expand(2, 3, 16, 16)
    made = draw.shaded(grey)
    torch.testing.assert_close(made, made[:, :1].expand_as(made), atol=1e-6, rtol=0)
    torch.testing.assert_close(made, replace(draw, tint=None).shaded(grey), atol=1e-5, rtol=0)


def test_without_ranges_colours_stay_to_the_bit() -> None:
    ranges = replace(STILL, hue=0.0, saturation=0.0)
    draw = draw_augmentation(ranges, torch.zeros(2, 2), canvas=16, window=16, rng=rng(), **COLOURED)
    image = torch.rand(2, 3, 16, 16, generator=rng())
    assert torch.equal(draw.shaded(image), image)


def test_hue_and_saturation_change_colours_within_bounds_and_keep_their_mean() -> None:
    draw = draw_augmentation(STILL, torch.zeros(64, 2), canvas=16, window=16, rng=rng(), **COLOURED)
    image = 0.4 + 0.2 * torch.rand(64, 3, 16, 16, generator=rng())
    made = draw.shaded(image)
    assert 0.02 < (made - image).abs().max() < 0.2
    torch.testing.assert_close(made.mean(1), image.mean(1))
    assert draw.shaded(torch.rand(64, 3, 16, 16, generator=rng()).round()).aminmax() == (0, 1)


def test_colours_are_drawn_after_all_else() -> None:
    one, three = (
        draw_augmentation(Augment(), torch.zeros(4, 2), canvas=16, window=16, rng=rng(), **of) for of in ({}, COLOURED)
    )
    for name in ("affine", "gain", "offset", "gamma"):
        assert torch.equal(getattr(one, name), getattr(three, name))
    assert one.tint is None
