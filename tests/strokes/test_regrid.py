"""Each stroke has a pixel on the network's grid, wherever there is room for it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label as connected
from torch.nn import functional as F  # noqa: N812

from maskmixadv.sampling.grid import Grid
from maskmixadv.strokes import regrid
from maskmixadv.strokes.enclosure import ENCLOSED
from maskmixadv.strokes.regrid import Strokes, restore
from maskmixadv.types import IGNORE


@st.composite
def slices(draw: st.DrawFn, least: int = 6, most: int = 40) -> np.ndarray:
    """A slice with dots and lines of four classes."""
    h, w = draw(st.integers(least, most)), draw(st.integers(least, most))
    drawn = np.full((h, w), draw(st.sampled_from([IGNORE, ENCLOSED])), np.uint8)
    for _ in range(draw(st.integers(1, 12))):
        row, column = draw(st.integers(0, h - 1)), draw(st.integers(0, w - 1))
        length, across = draw(st.integers(1, 12)), draw(st.booleans())
        line = np.s_[row, column : column + length] if across else np.s_[row : row + length, column]
        drawn[line] = draw(st.integers(0, 3))
    return drawn


def nearest(drawn: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return F.interpolate(torch.from_numpy(drawn)[None, None].float(), shape, mode="nearest-exact")[0, 0].byte().numpy()


def under(drawn: np.ndarray, shape: tuple[int, int]) -> list[tuple[int, set[tuple[int, int]]]]:
    """Class of each piece, and the pixels of a grid of `shape` that it lies in, told independently."""
    known = np.where(drawn < ENCLOSED, drawn.astype(int) + 1, 0)
    pieces = np.asarray(connected(known))
    found = []
    for number in range(1, pieces.max() + 1):
        rows, columns = np.nonzero(pieces == number)
        at = {
            (int((r + 0.5) * shape[0] / drawn.shape[0]), int((c + 0.5) * shape[1] / drawn.shape[1]))
            for r, c in zip(rows, columns, strict=True)
        }
        found.append((int(drawn[rows[0], columns[0]]), at))
    return found


@settings(max_examples=300)
@given(drawn=slices(), h=st.integers(1, 40), w=st.integers(1, 40))
def test_each_piece_has_a_seen_pixel_where_there_is_one_to_have(drawn: np.ndarray, h: int, w: int) -> None:
    near, strokes = nearest(drawn, (h, w)), Strokes.of(drawn)
    kept = restore(strokes, near)
    pieces = under(drawn, (h, w))
    assert len(strokes) == len(pieces)
    seen = [any(kept[at] == label for at in pixels) for label, pixels in pieces]
    assert strokes.visible(kept).present().sum() == sum(seen)
    assert (kept is near) == all(any(near[at] == label for at in pixels) for label, pixels in pieces)
    for (label, pixels), shown in zip(pieces, seen, strict=True):
        assert shown or all(_taken(kept, pieces, at, label) for at in pixels)
    for at in np.argwhere(kept != near):  # nothing is drawn where no stroke lies
        assert any(label == kept[tuple(at)] and tuple(at) in pixels for label, pixels in pieces)
    assert set(np.unique(near[near < ENCLOSED])) <= set(np.unique(kept)), "no class loses its last pixel"


def _taken(kept: np.ndarray, pieces: list[tuple[int, set[tuple[int, int]]]], at: tuple[int, int], label: int) -> bool:
    """Whether a pixel is one that others can't spare."""
    held = int(kept[at])
    last = (kept == held).sum() == 1
    only = any(
        other == held and at in pixels and sum(kept[each] == held for each in pixels) == 1 for other, pixels in pieces
    )
    return held < ENCLOSED and (last or (only and (held > 0 or label == 0)))


@settings(max_examples=100)
@given(drawn=slices(), size=st.integers(6, 40))
def test_strokes_apart_all_survive(drawn: np.ndarray, size: int) -> None:
    """Pieces that share no pixel of the grid never cost each other anything."""
    grid = Grid(size)
    shape = grid.resized((drawn.shape[0], drawn.shape[1]), None)
    pieces = under(drawn, shape)
    canvas = grid.labels(torch.from_numpy(drawn)[None], None)[0].numpy()
    everywhere = [pixels for _, pixels in pieces]
    for number, (label, pixels) in enumerate(pieces):
        others = set().union(*(each for k, each in enumerate(everywhere) if k != number))
        if not pixels & others:
            top, left = (size - shape[0]) // 2, (size - shape[1]) // 2
            assert any(canvas[row + top, column + left] == label for row, column in pixels)


@settings(max_examples=60)
@given(drawn=slices(), factor=st.integers(1, 9))
def test_coarser_strokes_stay_in_their_place(drawn: np.ndarray, factor: int) -> None:
    coarse = regrid.coarser(drawn, factor)
    assert coarse.shape == tuple(-(-side // factor) for side in drawn.shape)
    for row, column in np.argwhere(coarse < ENCLOSED):
        block = drawn[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        assert coarse[row, column] in block


@settings(max_examples=60)
@given(drawn=slices(), size=st.integers(6, 60))
def test_a_canvas_is_cut_in_the_middle_unless_that_loses_strokes(drawn: np.ndarray, size: int) -> None:
    strokes = Strokes.of(drawn)
    h, w = drawn.shape
    middle = (max(0, h - size) // 2, max(0, w - size) // 2)
    corner = regrid.corner(strokes, size)
    held, before = (strokes.within(at, size) for at in (corner, middle))
    assert all(0 <= at <= max(0, side - size) for at, side in zip(corner, drawn.shape, strict=True))
    if len(before.rows) == len(strokes.rows):
        assert corner == middle
    elif strokes.rows.size and max(np.ptp(strokes.rows), np.ptp(strokes.columns)) < size:
        assert len(held.rows) == len(strokes.rows)


@pytest.mark.slow
def test_many_dots_are_settled_quickly() -> None:
    """Noise of dots where a pixel has room for one: thousands of lost strokes."""
    rng = np.random.default_rng(0)
    drawn = np.where(rng.random((600, 600)) < 0.05, rng.integers(0, 4, (600, 600)), IGNORE).astype(np.uint8)
    strokes = Strokes.of(drawn)
    kept = restore(strokes, nearest(drawn, (60, 60)))
    assert len(strokes) > 10_000
    assert set(np.unique(kept)) >= {0, 1, 2, 3}
