"""How wide classes are where their strokes run, and the odds that follow."""

import numpy as np
import pytest

from maskmixadv.strokes.walker import believe_slice
from maskmixadv.strokes.widths import LARGEST_ODDS, Widths, odds
from maskmixadv.types import IGNORE

SIDE = 41


def stripes(*columns: int) -> np.ndarray:
    """Strokes of class 0, 1, 2 … down these columns."""
    strokes = np.full((SIDE, SIDE), IGNORE, np.uint8)
    for label, column in enumerate(columns):
        strokes[2:-2, column] = label
    return strokes


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.stack([labels == label for label in range(classes)]).astype(np.float32)


def test_widths_are_distances_from_strokes_to_borders() -> None:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[:, 20:26], labels[:, 26:] = 1, 2
    found = Widths(3)
    found.add(one_hot(labels, 3), stripes(5, 22, 32))
    background, thin, wide = found.mean
    assert background == 15  # the image's edge is no border of the background's
    assert thin == pytest.approx(3, abs=0.1)
    assert wide == pytest.approx(7, abs=0.6)  # but it is one of a structure's


def test_slices_without_a_class_say_nothing_of_it() -> None:
    found = Widths(3)
    found.add(one_hot(np.zeros((SIDE, SIDE), np.uint8), 3), stripes(5))
    assert found.mean == (0, 0, 0)
    assert odds(found.mean, 2.0) == (1, 1, 1)


def test_in_a_plain_image_odds_move_the_border_to_where_widths_meet() -> None:
    """Two strokes, one near the end of its structure: walks meet half way; odds of known widths give each its own."""
    left, right = 10, 30
    image = np.random.default_rng(0).random((SIDE, SIDE), np.float32) / 100
    belief = believe_slice(image, stripes(left, right), classes=2).astype(np.float32)
    half_way = int((belief.argmax(0)[SIDE // 2] == 0).sum())
    assert half_way == pytest.approx((left + right) / 2, abs=1)
    weighed = belief * np.array(odds((15.0, 5.0), 1.0))[:, None, None]
    border = int((weighed.argmax(0)[SIDE // 2] == 0).sum())
    assert border == pytest.approx(left + 15, abs=1)


def test_odds_are_bounded_and_structures_keep_their_mean() -> None:
    found = odds((1000.0, 1.0, 4.0, 0.0), 3.0)
    assert found[0] == LARGEST_ODDS
    assert found[1] * found[2] == pytest.approx(1)
    assert found[3] == 1  # no stroke of it
    assert odds((7.0, 3.0, 2.0), 0.0) == (1, 1, 1)
