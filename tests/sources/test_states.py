"""States of a folder of images: a training keeps its own, and finds one of the same content after files were copied."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import own
from maskmixadv.errors import InputError
from maskmixadv.methods.pce import PCE
from maskmixadv.runs.origin import same_corpus
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import PRESETS
from maskmixadv.sources import follow
from maskmixadv.sources.opening import open_corpus
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")

SHORT = replace(PRESETS["demo"], size=64, window=32, steps=1)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images, of which one state is kept."""
    monkeypatch.setattr(follow, "KEPT", 1)
    return own.folder(tmp_path / "src", scribbled=2, masked=1)


def begun(source: Path) -> Run:
    return begin(source, source.parent / "run", method=PCE(), schedule=SHORT)


def copied(source: Path, second: float = 0) -> None:
    """Change the times of all files alone, as a copy does."""
    for path in (source / "images").iterdir():
        os.utime(path, (1e9 + second, 1e9 + second))


def test_a_training_keeps_the_state_that_it_learns_from(source: Path) -> None:
    run = begun(source)

    def draw(_: object = None) -> None:
        own.case(source, f"s{len(list((source / 'images').iterdir()))}", 5)
        open_corpus(source)

    assert fit(run, device="cpu", watch=draw)
    assert (run.root / "pieces.json").is_file()
    assert not [path.name for path in run.learnt_from.root.iterdir() if path.name.startswith(".")]
    draw()
    assert not run.learnt_from.root.exists()
    with pytest.raises(
        InputError, match=r"src: has changed since the run began, and .* not kept \(of its states the last 1 are"
    ):
        same_corpus(run.learnt_from)


def test_a_state_of_the_same_content_takes_its_place(source: Path) -> None:
    run = begun(source)
    copied(source)
    there = open_corpus(source)
    assert there.root != run.learnt_from.root
    assert not run.learnt_from.root.exists()
    assert same_corpus(run.learnt_from).root.resolve() == there.root.resolve()
    assert begun(source).learnt_from == run.learnt_from, "the same command goes on with it"
    assert fit(Run.open(run.root), device="cpu")
    assert json.loads((run.root / "run.json").read_text())["corpus"]["root"] == str(run.learnt_from.root)


def test_a_folder_that_was_copied_without_its_states_makes_them_anew(source: Path) -> None:
    run = begun(source)
    (source / ".corpus").rename(source.parent / "gone")
    copied(source)
    assert same_corpus(run.learnt_from).hash() == run.learnt_from.hash


def test_a_clock_that_is_put_back_costs_no_state(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "KEPT", 2)
    roots = [open_corpus(source).root]
    os.utime(roots[0] / "corpus.json", (4e9, 4e9))
    for second in range(3):
        copied(source, second)
        roots.append(open_corpus(source).root)
    assert [root.exists() for root in roots] == [False, False, True, True]
