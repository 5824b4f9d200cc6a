"""Slices that a corpus's cache keeps are those that a first training makes."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.masks import Masks
from maskmixadv.methods.walk_teacher import WalkTeacher
from maskmixadv.sampling import kept
from maskmixadv.sampling.grid import Grid
from maskmixadv.sampling.loading import load_slices
from maskmixadv.sampling.slices import Slices
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Six cases: the second has no annotation, the third a mask alone."""
    cases = [tiny.case(f"p{number}", number) for number in range(6)]
    cases[1] = tiny.case("p1", 1, scribble=None, dense=None)
    cases[2] = tiny.case("p2", 2, scribble=None)
    return tiny.corpus(tmp_path / "corpus", cases)


def loaded(corpus: Corpus, *, keep: bool = True, size: int = 48, **how: Any) -> Slices:
    settings = {"supervision": "scribble", "enclosure": True, "beliefs": True, "unlabelled": True, "seed": 3, **how}
    return load_slices(corpus, corpus.entries[:4], grid=Grid(size, 1.5), device=CPU, keep=keep, **settings)


def files(corpus: Corpus) -> dict[Path, int]:
    return {path: path.stat().st_ino for path in (corpus.root / "cache" / "slices").rglob("*.npz")}


def assert_same(some: Slices, others: Slices) -> None:
    for name in ("image", "target", "centre", "whole", "walked", "bare", "places"):
        torch.testing.assert_close(getattr(some, name), getattr(others, name), rtol=0, atol=0, msg=name)
    assert some.learnt == others.learnt


@pytest.mark.parametrize(
    "how",
    [
        {"masks": Masks("auto"), "in_parts": True},
        {"masks": Masks("1", "slices")},
        {"beliefs": False, "unlabelled": False},
        {"supervision": "dense", "beliefs": False, "unlabelled": False, "masks": Masks("all")},
        {"supervision": "random_walker", "beliefs": False},
    ],
)
def test_what_is_kept_is_what_was_made(corpus: Corpus, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = loaded(corpus, keep=False, **how)
    assert not files(corpus)
    assert_same(loaded(corpus, **how), plain)
    there = files(corpus)
    with monkeypatch.context() as blind:
        blind.setattr(Grid, "image", None)  # nothing is resampled again
        blind.setattr(Grid, "placed", None)
        assert_same(loaded(corpus, **how), plain)
    assert files(corpus) == there


def test_a_damaged_file_is_made_anew(corpus: Corpus) -> None:
    plain = loaded(corpus)
    damaged, *_ = sorted(there := files(corpus))
    damaged.write_bytes(damaged.read_bytes()[:-400])
    assert_same(loaded(corpus), plain)
    after = files(corpus)
    assert after.keys() == there.keys()
    assert [path for path in there if after[path] != there[path]] == [damaged]


def test_a_missing_one_is_made_among_those_that_are_there(corpus: Corpus) -> None:
    plain = loaded(corpus)
    missing = sorted(there := files(corpus))[2]
    missing.unlink()
    assert_same(loaded(corpus), plain)
    assert files(corpus).keys() == there.keys()


def test_each_setting_has_files_of_its_own_and_the_newest_stay(corpus: Corpus) -> None:
    for size in (48, 40, 44, 52):
        loaded(corpus, size=size)
    first = {path.name for path in files(corpus)}
    assert len(files(corpus)) == 4 * kept.NEWEST
    loaded(corpus, size=40)  # used last
    loaded(corpus, size=56)
    loaded(corpus, size=64)
    assert len(files(corpus)) == 4 * kept.NEWEST
    assert len(first & {path.name for path in files(corpus)}) == 4


def test_a_clock_that_is_put_back_deletes_nothing_new(corpus: Corpus) -> None:
    for size in (32, 40, 48):
        loaded(corpus, size=size)
    for path in (before := files(corpus)):
        os.utime(path, (4e9, 4e9))
    loaded(corpus, size=56)
    assert len(set(files(corpus)) - set(before)) == len(before) // kept.NEWEST


def test_what_is_kept_in_a_corpus_that_may_only_be_read_is_read(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    plain = loaded(corpus)
    monkeypatch.setattr(os, "utime", refused)
    monkeypatch.setattr(Grid, "image", None)  # nothing is resampled again
    assert_same(loaded(corpus), plain)


def test_other_strokes_are_other_slices(corpus: Corpus, tmp_path: Path) -> None:
    loaded(corpus)
    cases = list(corpus.load_all(corpus.entries))
    assert cases[0].scribble is not None
    cases[0].scribble[1, 20, 20] = 3
    other = tiny.corpus(tmp_path / "other", cases)
    (corpus.root / "cache").rename(other.root / "cache")
    before = len(files(other))
    assert_same(loaded(other), loaded(other, keep=False))
    assert len(files(other)) == before + 1


def test_nothing_is_kept_where_the_disk_has_no_room(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SHARE", 1e-12)
    plain = loaded(corpus, keep=False)
    assert_same(loaded(corpus), plain)
    assert not files(corpus)


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(corpus: Corpus) -> None:
    plain = loaded(corpus, keep=False)
    (corpus.root / "cache" / "slices").write_text("a file, where the folder would have to be")
    assert_same(loaded(corpus), plain)


def test_a_line_says_so_where_they_are_many(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kept, "WORTH_TELLING", 1)
    loaded(corpus)
    assert "slices: 0 MB of slices are kept for the next training, and can be removed" in capsys.readouterr().err
    loaded(corpus)
    assert "kept" not in capsys.readouterr().err


def test_a_training_learns_the_same_from_what_is_kept_and_keeps_no_test_patient(corpus: Corpus, tmp_path: Path) -> None:
    weights = []
    for name in ("first", "second"):
        run = begin(corpus.root, tmp_path / name, method=WalkTeacher(), schedule=tiny.SCHEDULE)
        assert fit(run, device="cpu")
        weights.append(run.load(CPU)["nets"]["net"])
        assert {path.parent.name for path in files(corpus)} == {"p0", "p2", "p3"}
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
