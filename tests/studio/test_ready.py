"""Before a training the page says what is missing, how to mend it, and how long it takes."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import own
from maskmixadv.runs.schedule import PRESETS
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import readiness
from maskmixadv.studio.learning.training import PHASE, PROCESS, further
from maskmixadv.types import IGNORE
from studio_server import SLICE, client, strokes

CLASSES = ("background", "RV", "LV")


def loop(*, whole: bool = True) -> np.ndarray:
    plane = np.full((1, 40, 40), IGNORE, np.uint8)
    plane[0, 4, 4:36] = plane[0, 35, 4:36] = plane[0, 4:36, 4] = 0
    if whole:
        plane[0, 4:36, 35] = 0
    plane[0, 18, 10:20], plane[0, 24, 10:20] = 1, 2
    return plane


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plane: plane, []),
        (lambda plane: np.full_like(plane, IGNORE), ["No slice has strokes."]),
        (lambda plane: np.where(plane == 0, IGNORE, plane), ["No background is drawn."]),
        (lambda plane: np.where(plane == 2, IGNORE, plane), ["LV has no stroke."]),
        (lambda _: loop(whole=False), ["1 slice with an open background loop: a 1."]),
    ],
)
def test_what_strokes_lack_is_said(change: Callable[[np.ndarray], np.ndarray], said: list[str]) -> None:
    found = readiness.wants([("a", change(loop()))], CLASSES)
    assert [each.what for each in found] == said
    assert all(each.mend.endswith(".") for each in found)


def test_a_slice_without_background_among_others_is_named_as_it_is_seen() -> None:
    both = np.concatenate([loop(), np.where(loop() == 0, IGNORE, loop())])
    (found,) = readiness.wants([("a", both)], CLASSES)
    assert (found.case, found.slice) == ("a", 1)
    assert "a 2" in found.what


def test_a_dense_slice_lacks_nothing() -> None:
    dense = np.zeros((1, 40, 40), np.uint8)
    dense[0, 10:20, 10:20], dense[0, 20:30, 20:30] = 1, 2
    assert readiness.wants([("a", dense)], CLASSES) == []


def test_the_page_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=0, masked=1)
    monkeypatch.setattr(readiness, "has_gpu", lambda: False)
    with client(folder) as page:
        (want,) = page.get("/api/ready").json()["wants"]
        assert want["what"] == "No slice has strokes."
        page.put(f"{SLICE.replace('s0', 'm0')}/scribble", content=strokes(1).tobytes()).raise_for_status()
        said = [want["what"] for want in page.get("/api/ready").json()["wants"]]
        assert said == ["No background is drawn.", "Myo has no stroke.", "LV has no stroke."]
        times = page.get("/api/ready").json()["seconds"]
        assert times["paper"] > 86_400 > times["cpu"]
        about = {each["name"]: each["about"] for each in page.get("/api/folder").json()["methods"]}
        assert all(text[0].isupper() and text.endswith(".") for text in about.values())


def test_the_time_is_that_of_an_earlier_run_here(tmp_path: Path) -> None:
    run = tmp_path / "001"
    run.mkdir()
    assert readiness.pace(tmp_path) is None
    record = {"device": "Some processor, 2 threads", "schedule": {"steps": 100, "batch": 4, "window": 100}}
    (run / "run.json").write_text(json.dumps(record))
    (run / "log.csv").write_text("step,seconds,net/ce\n10,1.0,1.0\n30,11.0,0.5\n")
    assert readiness.pace(tmp_path) == pytest.approx(2 * 4 * 100**2)
    record["device"] = "Some GPU"
    (run / "run.json").write_text(json.dumps(record))
    assert readiness.pace(tmp_path) is None


def test_the_time_of_a_training_that_goes_on_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout.open(own.folder(tmp_path / "hearts", scribbled=1, masked=0))
    assert readiness.beside(layout) == 0
    notes, run = layout.state / "001", layout.runs / "001"
    notes.mkdir()
    run.mkdir()
    (notes / PROCESS).write_text("{}")
    (notes / PHASE).write_text("done")
    os.utime(notes / PROCESS, (1000, 1000))
    os.utime(notes / PHASE, (1120, 1120))
    assert readiness.beside(layout) == 0, "its steps' time is not known"
    record = {"device": "Some processor, 2 threads", "schedule": {"steps": 100, "batch": 4, "window": 96}}
    (run / "run.json").write_text(json.dumps(record))
    (run / "log.csv").write_text("step,seconds,net/ce\n50,50.0,1.0\n100,100.0,0.5\n")
    assert readiness.beside(layout) == 20
    monkeypatch.setattr(readiness, "has_gpu", lambda: False)
    with client(layout.root) as page:
        told = page.get("/api/ready").json()
        assert told["seconds"]["cpu"] == pytest.approx(20 + PRESETS["cpu"].steps)
        assert told["further"]["cpu"] == {"steps": further("cpu"), "seconds": pytest.approx(20 + further("cpu"))}
        monkeypatch.setattr(readiness, "has_gpu", lambda: True)
        told = page.get("/api/ready").json()
        assert (told["seconds"], told["further"]["fast"]) == ({}, {"steps": further("fast"), "seconds": None})
