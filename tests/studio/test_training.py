"""Trainings: begun by the page, followed by their files, found again, and honest about how they ended."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import own
import tiny
from maskmixadv import methods
from maskmixadv.cli import train as cli_train
from maskmixadv.errors import InputError
from maskmixadv.files import write_text
from maskmixadv.formats import nifti
from maskmixadv.methods import registry
from maskmixadv.runs import schedule
from maskmixadv.runs.odds import Odds
from maskmixadv.strokes.enclosure import drawn_round
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import job, training
from maskmixadv.studio.learning.process import Process
from maskmixadv.studio.learning.training import Order, Training, failure
from studio_server import SLICE, client, refused, same_grid

ENOUGH = 120.0


def wait(ask: Callable[[], dict[str, Any]], until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask how a training goes until it has come to something; returns the last answer."""
    deadline = time.monotonic() + ENOUGH
    while not until(course := ask()):
        assert time.monotonic() < deadline, course
        time.sleep(0.1)
    return course


def over(course: dict[str, Any]) -> bool:
    return course["state"] not in ("running", "predicting")


def asked(page: httpx.Client) -> Callable[[], dict[str, Any]]:
    return lambda: page.get("/api/train").json()


@pytest.mark.parametrize("exports", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_one_volume_is_enough(tmp_path: Path, exports: bool) -> None:
    folder = own.folder(tmp_path / "f", scribbled=1, masked=1)
    with client(folder) as page:
        begun = page.post("/api/train", json={"preset": "cpu", "steps": 3, "method": "maskmixadv"}).json()
        assert (begun["state"], begun["run"]) == ("running", "001")
        refused(page.post("/api/train", json={"preset": "cpu"}), 409, "runs already")
        course = wait(asked(page), over)
        assert course["state"] == "done", course
        assert (course["step"], course["steps"]) == (3, 3)
        assert course["losses"][-1][0] == 3
        assert course["losses"][-1][1] > 0
        assert [step for step, _ in course["validation"]] == [1, 2, 3]  # of the case with a mask alone
        told = page.get("/api/folder").json()
        assert told["run"] == {"name": "001"}
        assert all(case["predicted"] for case in told["cases"])
        assert np.frombuffer(page.get(f"{SLICE}/prediction").content, np.uint8).max() < 4
        if exports:  # the browser's whole round does it, too
            exported = page.post("/api/export", json={"what": "model"}, timeout=300).json()
            assert exported == {"path": str(folder / "export/model-001"), "files": 3, "problems": []}
            assert (folder / "export/model-001/model.onnx").stat().st_size > 100_000
    run = json.loads((folder / "runs/001/run.json").read_text())
    assert run["enclosure"] is True  # the squares of these strokes are closed
    assert run["method"]["adv"] == 0
    assert run["command"].startswith("maskmixadv train ")
    image, labels = (nifti.read(folder / part / "s0.nii.gz") for part in ("images", "predictions/001"))
    same_grid(labels, image)
    with np.load(folder / "predictions/001/s0.npz") as arrays:
        assert arrays["disagreement"].shape == image.array.shape
        assert arrays["disagreement"].max() > 0  # two decoders after three steps


def test_masks_that_validate_are_asked_for_odds(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "f", scribbled=1, masked=3)
    with client(folder) as page:
        page.post("/api/train", json={"preset": "cpu", "steps": 2, "method": "pce"})
        assert wait(asked(page), over)["state"] == "done"
        root = Layout(folder).runs / "001"
        odds = Odds.of_run(root, tuple(tiny.CLASSES))
        assert (odds.patients, len(odds.factors)) == (3, len(tiny.CLASSES))
        # The page names those that are used, and what they are worth.
        for used in (False, True):
            found = replace(odds, used=used, before=0.81, after=0.86)
            found.write(root)
            told = f"{found}; Dice of each 0.810, with odds by the others 0.860"
            assert asked(page)()["odds"] == (told if used else None)


@pytest.mark.slow
def test_a_server_that_was_killed_finds_the_run_again_and_stops_it(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "f", scribbled=1, masked=0)
    command = [sys.executable, "-m", "maskmixadv", "studio", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        address, token = first.stdout.readline().strip().split("#")
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        order = {"preset": "cpu", "steps": 100_000, "method": "pce"}
        httpx.post(f"{address}api/train", json=order, headers={"X-Token": token}, trust_env=False).raise_for_status()
        first.kill()
    with client(folder) as page:
        course = wait(asked(page), lambda course: course["step"] > 0)
        assert course["state"] == "running"
        assert course["rate"] > 0
        assert course["remaining"] > 0
        refused(page.post("/api/train", json={"preset": "cpu"}), 409)
        assert page.delete("/api/train").status_code == 200
        course = wait(asked(page), over)
        assert course["state"] == "stopped", (folder / ".studio/001/output.txt").read_text()
        assert (folder / "runs/001/last.pt").is_file()
        assert page.get("/api/folder").json()["run"] == {"name": "001"}  # what it had learnt was used
        doubt = np.frombuffer(page.get(f"{SLICE}/disagreement").content, np.uint8)
        assert doubt.max() > 0  # of one decoder
        refused(page.delete("/api/train"), 409, "no training")


def test_a_run_that_can_not_begin_says_why(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "f", scribbled=1, masked=0)
    (folder / "scribbles" / "s0.nii.gz").unlink()
    with client(folder) as page:
        page.post("/api/train", json={"preset": "cpu", "steps": 1})
        course = wait(asked(page), over)
        assert course["state"] == "failed"
        assert "draw some" in course["error"]
        assert "\n" not in course["error"]


def test_who_reads_that_a_training_failed_can_read_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = own.folder(tmp_path / "f", scribbled=1, masked=0)
    (folder / "scribbles" / "s0.nii.gz").unlink()
    layout = Layout.open(folder)
    notes = layout.state / "001"
    notes.mkdir()
    write_text(notes / training.ORDER, json.dumps({"preset": "cpu", "method": "pce"}))
    read = list[str]()

    def noting(path: Path, text: str) -> None:
        write_text(path, text)
        if path.name == training.PHASE:
            read.append(failure(notes))

    monkeypatch.setattr(job, "write_text", noting)
    with pytest.raises(InputError, match="draw some"):
        job.work(layout, "001")
    assert len(read) == 1
    assert "draw some" in read[0]


def test_a_run_that_was_killed_says_so_and_the_next_one_begins(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "f", scribbled=1, masked=0)
    with client(folder) as page:
        page.post("/api/train", json={"preset": "cpu", "steps": 100_000, "method": "pce"})
        process = Process.read(folder / ".studio/001/process.json")
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        course = wait(asked(page), over)
        assert course["state"] == "failed"
        assert "without giving a reason" in course["error"]
        assert page.post("/api/train", json={"preset": "cpu", "steps": 100_000}).json()["run"] == "002"
        page.delete("/api/train")
        wait(asked(page), over)


def begun(folder: Path, process: Process, phase: str = "") -> Training:
    """Lay down the notes of a training, as if it had been begun by another server."""
    layout = Layout.open(folder)
    notes = layout.state / "001"
    notes.mkdir()
    process.write(notes / training.PROCESS)
    (notes / training.OUTPUT).write_text("Traceback (most recent call last):\n  File …\nMemoryError: too large\n")
    if phase:
        (notes / training.PHASE).write_text(phase)
    return Training(layout)


def test_a_number_that_another_process_got_is_not_the_run(tmp_path: Path) -> None:
    here = Process.this()
    assert here.alive
    stranger = Process(here.pid, "an earlier start")
    assert not stranger.alive
    stranger.terminate()  # ends nothing: this process goes on
    course = begun(tmp_path / "f", stranger).course()
    assert course.state == "failed"
    assert str(course.error).endswith("output.txt: MemoryError: too large")


@pytest.mark.parametrize(("phase", "state"), [("", "running"), ("predicting", "predicting"), ("done", "done")])
def test_a_process_that_lives_tells_its_phase(tmp_path: Path, phase: str, state: str) -> None:
    assert begun(tmp_path / "f", Process.this(), phase).course().state == state


def test_the_reason_that_a_training_wrote_is_told_before_what_it_printed(tmp_path: Path) -> None:
    assert "printed nothing" in failure(tmp_path)
    (tmp_path / training.OUTPUT).write_text("step 20/100  3 s left\nmaskmixadv: x.nii.gz: is bad\n\n")
    assert failure(tmp_path).startswith("it ended without giving a reason")
    assert failure(tmp_path).endswith("output.txt: maskmixadv: x.nii.gz: is bad")  # of an earlier version
    (tmp_path / training.REASON).write_text("x.nii.gz: is bad\n")
    assert failure(tmp_path) == "x.nii.gz: is bad"


def test_what_the_page_may_ask_for_is_what_there_is() -> None:
    annotation = str(cli_train.Train.__dataclass_fields__["preset"].type)
    for preset in schedule.OFFERED:
        assert preset in schedule.PRESETS
        assert repr(preset) in annotation
    for preset in training.PRESET_CHOICES:
        Order(preset, registry.DEFAULT_METHOD).check()
    for name, kind in methods.ALL.items():
        if kind.supervision == "dense":
            with pytest.raises(InputError, match="method"):
                Order("cpu", name).check()
        else:
            Order("cpu", name).check()


def test_open_strokes_enclose_nothing() -> None:
    scribble = tiny.volume()[1]
    assert drawn_round([scribble])
    gap = scribble.copy()
    gap[0, 5, 8:11] = 255  # a hand's small gap
    assert drawn_round([gap])
    opened = scribble.copy()
    opened[0, 5, 6:36] = 255
    assert not drawn_round([opened, scribble])
    dab = np.full_like(scribble, 255)
    dab[0, 3:9, 3:9] = 0  # "nothing here", beside whatever else is in the slice
    assert not drawn_round([scribble, dab])
    assert not drawn_round([np.full_like(scribble, 255)])
    outside = scribble.copy()
    outside[0, 1, 1] = 1  # says nothing there, so it takes nothing away elsewhere
    assert drawn_round([outside])
    assert drawn_round([scribble, tiny.volume()[2]])  # masks are not strokes
    assert not drawn_round([tiny.volume()[2]])
