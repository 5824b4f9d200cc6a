"""The stranger's hand: strokes that are known as pixels become moves of a mouse."""

from itertools import pairwise

import numpy as np
from scipy import ndimage
from skimage.draw import line

from stranger import SHORTEST, Path2D, trace


def followed(paths: list[Path2D], shape: tuple[int, int]) -> np.ndarray:
    """Pixels under the straight moves of a mouse."""
    under = np.zeros(shape, bool)
    for path in paths:
        for (x, y), (to_x, to_y) in pairwise(path):
            under[line(int(y), int(x), int(to_y), int(to_x))] = True
    return under


def test_a_ring_is_followed_all_the_way_round_with_few_moves() -> None:
    y, x = np.mgrid[:96, :96] - 48
    ring = np.abs(np.hypot(y, x) - 30) < 3
    paths = trace(ring)
    under = followed(paths, ring.shape)
    assert not (under & ~ring).any()
    assert np.asarray(ndimage.binary_dilation(under, iterations=4))[ring].mean() > 0.98
    assert sum(map(len, paths)) < 60


def test_strokes_apart_stay_apart_and_specks_are_left_out() -> None:
    drawn = np.zeros((64, 64), bool)
    drawn[10:12, 5:40] = drawn[40:42, 20:60] = True
    drawn[60, : SHORTEST - 2] = True
    paths = trace(drawn)
    assert len(paths) == 2
    assert sorted(round(path[0][1]) // 30 for path in paths) == [0, 1]
    assert trace(np.zeros((8, 8), bool)) == []


def test_a_dot_is_drawn_where_there_is_nothing_else() -> None:
    drawn = np.zeros((16, 16), bool)
    drawn[5, 8] = True
    assert trace(drawn) == [[(8.5, 5.5)]]
