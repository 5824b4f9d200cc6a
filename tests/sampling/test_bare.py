"""Slices and patients without annotation are loaded where they are asked for, and nothing else changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import sparse
import tiny
from maskmixadv.errors import InputError
from maskmixadv.sampling.grid import Grid
from maskmixadv.types import IGNORE


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


def test_nothing_is_known_of_them(tmp_path: Path) -> None:
    """Slices 0 and 1 of p0 (its third image is constant), all of p1, then p2 and p3, who have no strokes."""
    slices = sparse.loaded(sparse.corpus(tmp_path / "c"))
    assert slices.bare is not None
    assert slices.bare.tolist() == [True, False, True, False, True, *[True] * 6]
    assert (slices.target[slices.bare] == IGNORE).all()
    assert (slices.image[slices.bare, 1:] == 0).all()
    assert (slices.image[~slices.bare, 1:].sum(1) > 0.9).any()
    assert (slices.image[:, 0].flatten(1).amax(1) > 0.8).all()
    for flags in (slices.whole, slices.walked):
        assert flags is not None
        assert not flags.any()


def test_those_with_labels_stay_what_they_are(tmp_path: Path) -> None:
    corpus = sparse.corpus(tmp_path / "c")
    slices, labelled = sparse.loaded(corpus), sparse.loaded(corpus, unlabelled=False)
    assert labelled.bare is None
    assert slices.bare is not None
    for name in ("image", "target", "centre"):
        assert torch.equal(getattr(slices, name)[~slices.bare], getattr(labelled, name))


def test_where_all_have_labels_nothing_is_added(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    one, other = (sparse.loaded(corpus, unlabelled=each) for each in (False, True))
    assert other.bare is None
    assert one.learnt == other.learnt
    for name in ("image", "target", "centre"):
        assert torch.equal(getattr(one, name), getattr(other, name))


def test_a_centre_is_that_of_the_case_s_other_slices_or_of_all(tmp_path: Path) -> None:
    centre = sparse.loaded(sparse.corpus(tmp_path / "c")).centre
    assert not torch.equal(centre[1], centre[3])
    assert torch.equal(centre[[0, 2, 4]], centre[[1, 3, 3]])
    torch.testing.assert_close(centre[5:], ((centre[1] + centre[3]) / 2).expand(6, 2))


def test_their_canvases_lie_where_those_of_the_case_s_other_slices_do(tmp_path: Path) -> None:
    """An organ in a corner of a wide field of view, which shows something nowhere else."""
    image, scribble, _ = (np.zeros((3, 160, 160), a.dtype) for a in tiny.volume())
    scribble[:] = IGNORE
    for whole, part in zip((image, scribble), tiny.volume(), strict=False):
        whole[:, 118:158, 1:49] = part
    scribble[[0, 2]] = IGNORE
    wide = tiny.case("p0", image=image, scribble=scribble, dense=None)
    corpus = tiny.corpus(tmp_path / "c", [wide, *(tiny.case(f"p{k}", k) for k in range(1, 4))])
    slices = sparse.loaded(corpus)
    assert slices.bare is not None
    assert slices.bare.tolist()[:3] == [True, False, True]
    assert ((slices.image[0, 0] - slices.image[1, 0]).abs() < 0.11).all()  # the same squares under other noise
    assert slices.image[0, 0].max() > 0.7


def test_they_are_counted(tmp_path: Path) -> None:
    corpus = sparse.corpus(tmp_path / "c")
    learnt, before = (sparse.loaded(corpus, unlabelled=each).learnt for each in (True, False))
    assert learnt is not None
    assert before is not None
    assert learnt.told() == (
        "learnt from: 2 patients, 2 slices, 9 slices without annotation (2 patients without any); "
        "strokes: background 2, RV 2, Myo 2, LV 2\n"
        "not learnt from: 1 slice without a label; masks of 6 slices, kept for scoring (--masks all learns from them)"
    )
    assert "not learnt from: 2 of 4 training patients, without scribble (p2, p3; 1 with" in before.told()
    assert "4 slices without a label" in before.told()


def test_many_are_counted_legibly(tmp_path: Path) -> None:
    learnt = sparse.loaded(sparse.corpus(tmp_path / "c")).learnt
    assert learnt is not None
    learnt.unlabelled, learnt.unannotated = 1204, 0
    assert learnt.told().startswith("learnt from: 2 patients, 2 slices, 1,204 slices without annotation; strokes")


def test_they_stream_from_the_disk(tmp_path: Path) -> None:
    corpus = sparse.corpus(tmp_path / "c")
    memory, disk = (sparse.loaded(corpus, memory=gb, folder=tmp_path) for gb in (1.0, 0.0))
    assert disk.mapping is not None
    for name in ("image", "target", "centre", "bare"):
        assert torch.equal(getattr(disk, name), getattr(memory, name))


def test_cases_of_unknown_spacing_are_left_out_of_a_grid_in_mm(tmp_path: Path) -> None:
    cases = [tiny.case("p0"), tiny.case("p1", 1, scribble=None, spacing=None), tiny.case("p2"), tiny.case("p3")]
    corpus = tiny.corpus(tmp_path / "c", cases)
    slices = sparse.loaded(corpus)
    assert slices.bare is None
    assert slices.learnt is not None
    assert "1 of 2 training patients, without scribble (p1" in slices.learnt.told()
    assert len(sparse.loaded(corpus, grid=Grid(48))) == len(slices) + 3


def test_something_must_be_labelled(tmp_path: Path) -> None:
    cases = [replace(tiny.case(f"p{k}", k), scribble=None) for k in range(3)]
    with pytest.raises(InputError, match="no training case has a scribble annotation"):
        sparse.loaded(tiny.corpus(tmp_path / "c", cases))
