"""Slices between slices with strokes are filled by walks."""

import numpy as np
import pytest

from maskmixadv.strokes.fill import fill
from maskmixadv.types import IGNORE


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("most", [60_000, 200])  # walked on the slices' own grid, and on a coarser one
def test_a_structure_that_the_image_cuts_off_reaches_its_rim(turn: int, most: int) -> None:
    image = np.zeros((3, 32, 32))
    image[:, :, :16] = 1
    scribble = np.full((3, 32, 32), IGNORE, np.uint8)
    scribble[::2, 4:28, 6], scribble[::2, 4:28, 24] = 1, 0
    image, scribble = (np.rot90(each, turn, (1, 2)).copy() for each in (image, scribble))
    found = fill(image, scribble, classes=2, most=most)
    assert all((labels == image[k]).all() for k, labels in found.items())


def test_far_from_structures_all_is_background() -> None:
    image = np.zeros((3, 64, 64))
    image[:, 28:36, 28:36] = 1
    image[1, 2:8, 2:8] = 1  # looks alike, and lies beyond the pixels that are looked at
    scribble = np.full((3, 64, 64), IGNORE, np.uint8)
    scribble[::2, 31:33, 29:35], scribble[::2, 24, 24:40] = 1, 0
    assert not fill(image, scribble, classes=2)[1][:20, :20].any()
