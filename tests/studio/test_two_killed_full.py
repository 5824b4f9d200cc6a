"""Two servers of one folder, kills, full disks: nothing that was acknowledged is lost."""

import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest

import own
import tiny
from maskmixadv.cli.app import run as command_line
from maskmixadv.errors import InputError
from maskmixadv.formats import nifti
from maskmixadv.studio.learning.process import Process
from maskmixadv.studio.session import Session, served
from studio_server import SHAPE, SLICE, client, plane, predict, strokes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own.folder(tmp_path / "hearts", scribbled=2, masked=1)


@contextmanager
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str, dict[str, str]]]:
    """A server as a user starts it; yields it, its address, and the headers that it trusts."""
    command = [sys.executable, "-m", "maskmixadv", "studio", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        address, token = started.stdout.readline().strip().split("/#")
        try:
            yield started, address, {"X-Token": token}
        finally:
            started.kill()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def left_behind(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*.partial*")]


# Two at once.


def test_the_second_server_says_who_has_the_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with process(folder) as (first, _, _):
        before = content(folder)
        assert command_line(["studio", str(folder)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert re.search(rf"in use by process {first.pid} on .* \(maskmixadv studio ", said)
        assert content(folder) == before
        first.send_signal(signal.SIGKILL)
        first.wait()
    with client(folder) as page:  # a killed one holds nothing
        assert page.get("/api/folder").status_code == 200


def test_two_sessions_of_one_process_are_two_as_well(folder: Path) -> None:
    with served(folder) as first:
        with pytest.raises(InputError, match="in use"), served(folder):
            pass
        assert Session(folder).folder() == first.folder()  # who only looks, and serves nobody, may
    with served(folder):
        pass


def test_a_link_for_a_lock_is_refused_and_not_followed(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (folder / ".studio").mkdir()
    (folder / ".studio" / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match="link"), served(folder):
        pass
    assert (tmp_path / "victim").read_text() == "precious"


# Killed.


@pytest.mark.slow
def test_a_server_that_is_killed_has_lost_nothing_that_it_acknowledged(folder: Path) -> None:
    predict(folder)
    rng, drawn, said = random.Random(13), dict[int, np.ndarray](), dict[int, str]()
    for _ in range(4):
        with process(folder) as (server, address, headers):
            page = httpx.Client(base_url=address, headers=headers, timeout=20, trust_env=False)
            assert _work(page, rng, drawn, said, server.kill) > 5
            server.wait()
        stored = nifti.read(folder / "scribbles" / "s0.nii.gz").array
        assert [at for at, labels in drawn.items() if not np.array_equal(stored[at], own.coded(labels))] == []
        reviews = json.loads((folder / "studio.json").read_text())["cases"]["s1"]["reviews"]
        assert {at: reviews[str(at)]["verdict"] for at in said} == said
    with client(folder) as page:
        assert left_behind(folder) == []
        for at, labels in drawn.items():
            np.testing.assert_array_equal(plane(page.get(f"/api/cases/s0/slices/{at}/scribble")), labels)
        told = next(case for case in page.get("/api/folder").json()["cases"] if case["name"] == "s1")
        assert {at: told["reviews"][str(at)] for at in said} == said


def _work(
    page: httpx.Client, rng: random.Random, drawn: dict[int, np.ndarray], said: dict[int, str], kill: Callable[[], None]
) -> int:
    """Draw, review and upload until nobody answers; note what holds as it was acknowledged, and how often.

    What nobody acknowledged may have come through, or not.
    """
    acknowledged, least = 0, rng.randrange(6, 20)
    with suppress(httpx.HTTPError):
        while True:
            if acknowledged == least:
                threading.Timer(rng.uniform(0, 0.05), kill).start()
            at, labels, verdict = rng.randrange(3), strokes(rng.randrange(4)), rng.choice(["accepted", "rejected"])
            drawn.pop(at, None)
            page.put(f"/api/cases/s0/slices/{at}/scribble?seconds=1", content=labels.tobytes()).raise_for_status()
            drawn[at] = labels
            said.pop(at, None)
            page.put(f"/api/cases/s1/slices/{at}/review", json={"verdict": verdict}).raise_for_status()
            said[at] = verdict
            assert page.put(f"/api/images/bad{acknowledged}.nii.gz", content=bytes(5000)).status_code == 400
            acknowledged += 1
    return acknowledged


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
def test_a_training_that_is_killed_while_it_predicts_leaves_earlier_predictions(folder: Path) -> None:
    predict(folder)
    for number in range(8):
        own.case(folder, f"x{number}", number, scribble=False)
    with client(folder) as page:
        page.post("/api/train", json={"preset": "cpu", "steps": 1, "method": "pce"}).raise_for_status()
        run = page.get("/api/train").json()["run"]
        wait(lambda: bool(left_behind(folder / "predictions")))
        job = Process.read(folder / ".studio" / run / "process.json")
        assert job is not None
        os.kill(job.pid, signal.SIGKILL)
        wait(lambda: page.get("/api/train").json()["state"] not in ("running", "predicting"))
        assert page.get("/api/train").json()["state"] == "failed"
        assert page.get("/api/folder").json()["run"] == {"name": "001"}
        np.testing.assert_array_equal(plane(page.get(f"{SLICE}/prediction")), tiny.volume()[2][1])
    with client(folder) as page:
        assert left_behind(folder) == []
        assert page.get("/api/folder").json()["run"] == {"name": "001"}


# Full.


class Disk:
    """A folder on a disk that can be filled and freed."""

    def __init__(self, folder: Path, fill: Callable[[], None], free: Callable[[], None]) -> None:
        self.folder, self.fill, self.free = folder, fill, free


@pytest.fixture(params=["tmpfs", "fsync"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A small disk; or one that says that it is full as late as a disk can, when all was written."""
    if request.param == "fsync":
        whole = os.fsync

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        folder = own.folder(tmp_path / "hearts", scribbled=2, masked=1)
        yield Disk(
            folder, lambda: monkeypatch.setattr(os, "fsync", full), lambda: monkeypatch.setattr(os, "fsync", whole)
        )
        return
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield Disk(own.folder(place / "hearts", scribbled=2, masked=1), lambda: fill(place), (place / "filler").unlink)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(place: Path) -> None:
    with (place / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(os.urandom(512))
        except OSError:
            pass


def test_on_a_full_disk_what_was_there_stays_and_the_same_request_works_once_there_is_space(disk: Disk) -> None:
    folder = disk.folder
    predict(folder)
    with client(folder) as page:
        names = page.get("/api/folder").json()["classes"]
        image = (folder / "images" / "s0.nii.gz").read_bytes()
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 4, SHAPE).astype(np.uint8).tobytes()
        page.put(f"{SLICE}/scribble?seconds=2", content=strokes(2).tobytes()).raise_for_status()
        page.put(f"{SLICE}/review", json={"verdict": "accepted"}).raise_for_status()
        page.post("/api/export", json={"what": "masks"}).raise_for_status()
        requests: dict[str, Callable[[], httpx.Response]] = {
            "strokes": lambda: page.put(f"{SLICE}/scribble?seconds=3", content=noise),
            "a verdict": lambda: page.put(f"{SLICE}/review", json={"verdict": "rejected"}),
            "classes": lambda: page.put("/api/classes", json={"classes": [*names[:-1], {**names[-1], "name": "new"}]}),
            "an image": lambda: page.put("/api/images/new.nii.gz", content=image),
            "masks": lambda: page.post("/api/export", json={"what": "masks"}),
            "nnU-Net": lambda: page.post("/api/export", json={"what": "nnunet"}),
            "a training": lambda: page.post("/api/train", json={"preset": "cpu", "steps": 1}),
        }
        before, told = content(folder), page.get("/api/folder").json()
        disk.fill()
        answers = {name: request() for name, request in requests.items()}
        told_of = {name: answer.json().get("error", "nothing") for name, answer in answers.items()}
        assert {name: said for name, said in told_of.items() if "can't be" not in said or "\n" in said} == {}
        again = {name: answer.status_code for name, answer in answers.items()}  # later, the page then knows
        assert {name: (status, told_of[name]) for name, status in again.items() if status != 503} == {}
        assert page.get("/api/folder").json() == told
        np.testing.assert_array_equal(plane(page.get(f"{SLICE}/scribble")), strokes(2))
        disk.free()
        now = content(folder)
        assert {name: now.get(name) for name in before} == before
        assert left_behind(folder) == []
        answers = {name: request() for name, request in requests.items() if name != "a training"}
        assert {name: answer.text for name, answer in answers.items() if answer.status_code != 200} == {}
        case = next(case for case in page.get("/api/folder").json()["cases"] if case["name"] == "s0")
        assert case["seconds"] == 5  # those that could not be kept are not counted twice
        np.testing.assert_array_equal(plane(page.get(f"{SLICE}/scribble")).tobytes(), noise)
        assert "s0,1,rejected" in (folder / "export" / "masks" / "slices.csv").read_text()
