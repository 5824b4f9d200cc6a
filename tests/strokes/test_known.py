"""What is known of pixels: masks that teach, strokes elsewhere; walks leave dense slices alone."""

from pathlib import Path

import numpy as np
import pytest

import mixed
import tiny
from maskmixadv.errors import InputError
from maskmixadv.strokes.enclosure import ENCLOSED, drawn_round
from maskmixadv.strokes.known import known
from maskmixadv.strokes.walker import load_beliefs, load_walked
from maskmixadv.types import IGNORE

ALL = {"a": None}


@pytest.mark.parametrize("enclosure", [False, True])
def test_masks_come_before_strokes_and_strokes_before_enclosure(enclosure: bool) -> None:
    _, scribble, dense = tiny.volume()
    bitten = mixed.only(dense, [1, 2])
    bitten[2, :, 24:] = IGNORE  # half of a slice
    case = tiny.case("a", scribble=scribble, dense=bitten)
    found = known(case, ALL, enclosure=enclosure)
    assert found.whole.tolist() == [False, True, False]
    np.testing.assert_array_equal(found.labels[1], dense[1])
    np.testing.assert_array_equal(found.labels[2, :, :24], dense[2, :, :24])
    np.testing.assert_array_equal(found.drawn[2, :, 24:], scribble[2, :, 24:])
    np.testing.assert_array_equal(found.labels[[0]], known(case, {}, enclosure=enclosure).labels[[0]])
    assert ((found.labels[0] == ENCLOSED).any(), (found.labels[1] == ENCLOSED).any()) == (enclosure, False)


def test_of_a_dense_slice_walks_begin_at_its_strokes() -> None:
    _, scribble, dense = tiny.volume()
    scribble[1][scribble[1] != 2] = IGNORE  # one class alone
    found = known(tiny.case("a", scribble=scribble, dense=dense), ALL, enclosure=True)
    assert found.whole.all()
    np.testing.assert_array_equal(found.seeds[1], dense[1])
    assert (found.seeds[[0, 2]] == ENCLOSED).any()
    assert (found.seeds[[0, 2]] == IGNORE).any()
    np.testing.assert_array_equal(found.labels, dense)


def test_what_has_neither_is_refused() -> None:
    with pytest.raises(InputError, match="a: has no scribble annotation"):
        known(tiny.case("a", scribble=None), {}, enclosure=False)


def test_only_the_slices_that_are_chosen_teach() -> None:
    _, scribble, dense = tiny.volume()
    found = known(tiny.case("a"), {"a": (2,)}, enclosure=False)
    np.testing.assert_array_equal(found.labels, np.stack([scribble[0], scribble[1], dense[2]]))


def test_nothing_is_walked_in_dense_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    corpus = tiny.corpus(tmp_path / "c", [tiny.case("a", scribble=None), tiny.case("b"), tiny.case("c")])

    def never(*_: object, **__: object) -> None:
        raise AssertionError("walked")

    monkeypatch.setattr("skimage.segmentation.random_walker", never)
    dense = corpus.load("a").dense
    (labels,) = load_walked(corpus, corpus.entries[:1], enclosure=True, taught=ALL)
    np.testing.assert_array_equal(labels, dense)
    (belief,) = load_beliefs(corpus, corpus.entries[:1], enclosure=True, taught=ALL)
    np.testing.assert_array_equal(belief.argmax(1), dense)
    assert set(np.unique(belief)) == {0, 255}


def test_dense_slices_say_nothing_of_how_strokes_are_drawn() -> None:
    _, scribble, dense = tiny.volume()
    dense[:, :20] = 1  # a structure at the rim: its background is no loop
    assert drawn_round([np.stack([scribble[0], dense[1]])])
    assert not drawn_round([dense])
