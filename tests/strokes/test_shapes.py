"""Shapes between slices."""

import numpy as np
import pytest

from maskmixadv.strokes.shapes import between


def disc(radius: float, at: tuple[float, float] = (32, 32), shape: tuple[int, int] = (64, 64)) -> np.ndarray:
    y, x = np.indices(shape)
    return (((y - at[0]) ** 2 + (x - at[1]) ** 2) <= radius**2).astype(np.uint8)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_a_sphere_of_two_slices_gives_the_disc_between() -> None:
    found = between({1: disc(10), 5: disc(18)})
    assert list(found) == [2, 3, 4]
    for number, radius in ((2, 12), (3, 14), (4, 16)):
        assert dice(found[number] == 1, disc(radius) == 1) > 0.97
    for number, labels in between({0: disc(12), 3: disc(12)}).items():
        np.testing.assert_array_equal(labels, disc(12), err_msg=str(number))


def test_a_shape_that_lies_elsewhere_moves_on_a_straight_line() -> None:
    found = between({0: disc(5, (10, 8)), 2: disc(5, (40, 50))})
    np.testing.assert_array_equal(found[1], disc(5, (25, 29)))


def test_a_wall_stays_round_what_it_encloses() -> None:
    def heart(radius: float, at: tuple[float, float]) -> np.ndarray:
        return np.where(disc(radius, at), 2, disc(radius + 4, at)).astype(np.uint8)

    middle = between({0: heart(6, (30, 30)), 2: heart(12, (34, 36))})[1]
    wanted = heart(9, (32, 33))
    for label in (1, 2):
        assert dice(middle == label, wanted == label) > 0.9
    hollow = between(
        {0: np.where(heart(6, (30, 30)) == 1, 1, 0).astype(np.uint8), 2: (heart(6, (34, 36)) == 1) * np.uint8(1)}
    )
    assert dice(hollow[1] == 1, heart(6, (32, 33)) == 1) > 0.9, "a hole of background stays one"


def test_what_one_slice_alone_has_is_not_between() -> None:
    both = np.where(disc(4, (10, 10)), 2, disc(10)).astype(np.uint8)
    assert between({0: disc(10), 4: np.zeros((64, 64), np.uint8)}) == {}
    found = between({0: both, 2: disc(10)})
    assert set(np.unique(found[1])) == {0, 1}
    assert between({0: both, 1: disc(10)}) == {}
    assert between({3: both}) == {}
    assert between({}) == {}


@pytest.mark.parametrize(("whole", "expected"), [((), {0, 1, 2}), ((2,), {0, 1})])
def test_a_structure_goes_on_beyond_a_slice_that_was_drawn_without_it(
    whole: tuple[int, ...], expected: set[int]
) -> None:
    """Of a slice that is known as a whole it is known that it lacks the structure."""
    both = np.where(disc(4, (10, 10)), 2, disc(10)).astype(np.uint8)
    found = between({0: both, 2: disc(10), 4: both}, whole=whole)
    assert list(found) == [1, 3]
    assert set(np.unique(found[1])) == expected


def test_distances_are_in_mm() -> None:
    """A pixel that is four times as tall as wide counts four times."""
    wide, tall = np.zeros((2, 40, 40), np.uint8)
    wide[18:22, 8:32], tall[10:30, 18:22] = 1, 1
    one, other = (between({0: wide, 2: tall}, spacing=spacing)[1] for spacing in ((1.0, 1.0), (4.0, 1.0)))
    assert (one != other).any()
    twice = between({0: wide, 2: tall}, spacing=(2.0, 2.0))[1]
    np.testing.assert_array_equal(one, twice)


def test_shapes_may_touch_the_edge() -> None:
    first, last = np.zeros((2, 20, 20), np.uint8)
    first[:8], last[:12] = 1, 1
    np.testing.assert_array_equal(between({0: first, 2: last})[1][:, 10], [1] * 10 + [0] * 10)
