"""Benchmarks of steps run, with settings that take seconds, and record what their tables show."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import parts
import released
import scaling
import search
import steps
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.sources.phantoms import phantom
from recorded import Recorded

SMALL = ["--batch", "2", "--window", "48", "--device", "cpu"]


def at_once(do: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """In place of `run_apart`, which takes seconds for a process of its own."""
    return do(*args, **kwargs)


def test_steps(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    steps.main(["--methods", "mean-teacher", "--rounds", "1", "--steps", "1", *SMALL])
    figures = recorded("steps")
    assert (figures["batch"], figures["window"], figures["engine"]) == (2, 48, "plain")
    assert {row["method"]: row["ratio"] > 0 for row in figures["rows"]} == {"pce": True, "mean-teacher": True}
    assert "| pce |" in capsys.readouterr().out


def test_steps_of_methods_that_are_none() -> None:
    with pytest.raises(InputError, match="methods: 'blur', allowed are"):
        steps.main(["--methods", "blur"])


def test_steps_are_recorded_on_a_cuda_device_alone() -> None:
    with pytest.raises(InputError, match="graph: recording steps needs a CUDA device"):
        steps.main(["--methods", "pce", "--engine", "graph", *SMALL])


@pytest.mark.slow
def test_parts(recorded: Recorded) -> None:
    parts.main(parts.Parts(methods=("maskmixadv",), batch=2, window=48, side=64, steps=1, device="cpu"))
    (row,) = recorded("parts")["rows"]
    timed = [row[f"{part}_ms"] for part in ("draw", "forward", "backward", "update")]
    assert all(each > 0 for each in timed)
    assert row["step_ms"] == pytest.approx(sum(timed), abs=0.1)


def test_scaling(recorded: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(scaling, "run_apart", at_once)
    monkeypatch.setattr(scaling, "PRESET", replace(scaling.PRESET, size=48, window=32, batch=2))
    monkeypatch.setattr(scaling, "BLOCK", 4)
    monkeypatch.setattr(scaling, "BATCHES", 2)
    words = ["--methods", "pce", "--batches", "1", "--windows", "16", "--slices", "5", "--rounds", "1", "--steps", "1"]
    scaling.main([*words, "--device", "cpu"])
    figures = recorded("scaling")
    (batch,), (window,), (resident, streamed) = (figures[kind] for kind in ("batch", "window", "slices"))
    assert (batch["batch"], window["window"], resident["slices"]) == (1, 16, 5)
    assert (resident["streamed"], resident["cold"]) == (False, None)
    assert streamed["streamed"]
    assert streamed["cold"]["ratio"] > 0
    assert capsys.readouterr().out.count("| pce |") == 4


def test_search(corpus: Path, recorded: Recorded) -> None:
    change = ("steps=2", "batch=2", "size=48", "window=32", "augment.rotate=5", "method.tv=0.2")
    search.main(search.Search(corpus, method="pce-tv", change=change, device="cpu"))
    figures = recorded("search")
    assert 0 <= figures["dice"] <= 1
    assert len(figures["cases"]) == 2  # two phases of one patient
    assert (figures["schedule"]["steps"], figures["schedule"]["augment"]["rotate"]) == (2, 5.0)
    assert figures["method"] == {"name": "pce-tv", "tv": 0.2}


def test_search_of_fields_that_are_none(corpus: Path) -> None:
    with pytest.raises(InputError, match="change: 'colour', Schedule has no such field"):
        search.main(search.Search(corpus, change=("colour=red",), device="cpu"))


def test_released_files(corpus: Path, tmp_path: Path) -> None:
    """What the released way reads: a file a slice, and a file a volume of masks."""
    opened = Corpus.open(corpus)
    files = released.write_slices(opened, [opened.entries[0].patient], tmp_path)
    masks = released.write_masks(opened, tmp_path / "masks")
    read = released.SliceFiles(files, masks, 48)
    assert len(read) == sum(entry.shape[0] for entry in opened.of([opened.entries[0].patient]))
    sample = read[0]
    assert {name: tuple(each.shape) for name, each in sample.items()} == {
        "image": (1, 48, 48), "label": (48, 48), "mask": (48, 48),
    }  # fmt: skip


@pytest.mark.slow
def test_released(corpus: Path, tmp_path: Path, recorded: Recorded) -> None:
    """Six processes, two a method."""
    prior = phantom.prepare(tmp_path / "prior", cases=6, seed=9, size=64).root  # other patients than the corpus's
    released.main(released.Released(corpus, prior, batch=2, window=32, rounds=1, steps=1, device="cpu"))
    rows = recorded("released")["rows"]
    assert [row["method"] for row in rows] == list(released.METHODS)
    assert all(row["ratio"] > 0 and row["habit_ms"] > 0 for row in rows)
