"""The instant answer of large slices, with small ones that are taken for large."""

import numpy as np
import pytest
from scipy import ndimage

from maskmixadv.strokes import propose
from maskmixadv.strokes.bands import likeliest, shrunk
from maskmixadv.strokes.propose import enclosed, propose_slice
from maskmixadv.strokes.walker import Plan, believe_slice
from maskmixadv.types import IGNORE

SIDE = 72


def slide(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A picture in colour with two structures, and strokes of one pixel's width."""
    image = np.random.default_rng(seed).normal(0.2, 0.03, (3, SIDE, SIDE))
    image[0, 10:34, 12:40] += 0.5
    image[1, 42:60, 30:66] += 0.5
    scribble = np.full((SIDE, SIDE), IGNORE, np.uint8)
    scribble[20, 18:30], scribble[50, 36:60], scribble[4, 5:60] = 1, 2, 0
    return image, scribble


def looped(scribble: np.ndarray) -> np.ndarray:
    """The same strokes in a loop of background."""
    loop = scribble.copy()
    loop[[2, -5], 2:-4] = loop[2:-4, [2, -5]] = 0
    return loop


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take any slice as large, with a grid as that of others."""
    monkeypatch.setattr(propose, "LARGE", 1_400)
    monkeypatch.setattr(propose, "MOST", 1_400)
    monkeypatch.setattr(propose, "FINE", 1_400)


def test_means_are_those_of_squares() -> None:
    image = np.random.default_rng(0).random((2, 6, 9))
    np.testing.assert_allclose(shrunk(image, 3), image.reshape(2, 2, 3, 3, 3).mean((2, 4)), rtol=1e-6)
    np.testing.assert_allclose(shrunk(image[0], 4)[-1, -1], image[0, 4:, 8:].mean(), rtol=1e-6)


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_the_likeliest_is_that_of_interpolated_probabilities(factor: int) -> None:
    probs = np.random.default_rng(factor).random((3, 4, 5))
    h, w = 4 * factor - factor // 2, 5 * factor - factor // 2
    zoomed = [np.asarray(ndimage.zoom(each, factor, order=1, mode="nearest", grid_mode=True)) for each in probs]
    fine = np.stack(zoomed)[:, :h, :w]
    np.testing.assert_array_equal(likeliest(probs, (h, w), factor), fine.argmax(0))
    said = np.random.default_rng(9).random(fine.shape)
    np.testing.assert_array_equal(likeliest(probs, (h, w), factor, list(said)), (fine + said).argmax(0))


@pytest.mark.parametrize("loop", [False, True])
def test_small_slices_are_what_beliefs_say(loop: bool) -> None:
    image, scribble = slide()
    scribble = looped(scribble) if loop else scribble
    beliefs = believe_slice(
        image, enclosed(scribble), classes=3, plan=Plan(most=propose.MOST), corrections=propose.CORRECTIONS
    )
    np.testing.assert_array_equal(propose_slice(image, scribble, classes=3), beliefs.argmax(0))


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_large_slices_are_nearly_the_same(loop: bool, told: bool, request: pytest.FixtureRequest) -> None:
    image, scribble = slide()
    scribble = looped(scribble) if loop else scribble
    said = np.random.default_rng(5).dirichlet((1, 1, 1), (SIDE, SIDE)).transpose(2, 0, 1) if told else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(propose, "MOST", 1_400)
        whole = propose_slice(image, scribble, classes=3, said=said)
    request.getfixturevalue("large")
    found = propose_slice(image, scribble, classes=3, said=said)
    assert found is not None
    assert (found == whole).mean() > 0.98
    drawn = scribble != IGNORE
    np.testing.assert_array_equal(found[drawn], scribble[drawn])


@pytest.mark.usefixtures("large")
def test_a_dot_in_a_large_slice_is_kept_and_found() -> None:
    image, scribble = slide()
    scribble[scribble == 2] = IGNORE
    scribble[51, 47] = 2
    found = propose_slice(image, scribble, classes=3)
    assert found is not None
    assert found[51, 47] == 2
    assert (found[44:58, 32:64] == 2).mean() > 0.5


@pytest.mark.usefixtures("large")
def test_large_slices_of_which_walks_say_nothing() -> None:
    image, scribble = slide()
    constant = propose_slice(np.ones_like(image), scribble, classes=3)
    assert constant is not None
    np.testing.assert_array_equal(constant, np.where(scribble == IGNORE, 0, scribble))
    whole = np.ones((SIDE, SIDE), np.uint8)
    whole[:, 40:] = 2
    scribble = whole.copy()
    scribble[8, 8] = IGNORE  # no pixel of the coarser grid is unknown
    np.testing.assert_array_equal(propose_slice(image, scribble, classes=3), whole)
