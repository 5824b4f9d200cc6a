"""One bad file does not take the others down: it is told in one line, and everything else goes on."""

import errno
import json
import os
import shutil
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
from maskmixadv.errors import DIVERGED, DivergedError, InputError
from maskmixadv.files import write_text
from maskmixadv.formats import image_files, nifti
from maskmixadv.inference.predictor import Predictor
from maskmixadv.methods.pce import PCE
from maskmixadv.runs.pieces import Piece, Pieces
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import doubt, job, training
from maskmixadv.studio.learning.process import Process
from maskmixadv.studio.learning.training import Training
from maskmixadv.studio.session import Session
from quick import quick
from studio_server import SLICE, client, plane, predict, refused, strokes
from untrained import predictor

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")

GOOD = ["m0", "s0", "s1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own.folder(tmp_path / "hearts", scribbled=2, masked=1)


def cut(path: Path, name: str | None = None) -> Path:
    """Damage a file, or make a damaged copy of it."""
    content = path.read_bytes()
    path = path if name is None else path.with_name(name)
    path.write_bytes(content[: len(content) // 2])
    return path


def works(page: httpx.Client, *cases: str, problems: int) -> list[str]:
    """Check that what the page asks for is answered, and `cases` are there; returns the problems."""
    told = page.get("/api/folder").json()
    assert [case["name"] for case in told["cases"]] == sorted(cases)
    assert len(told["problems"]) == problems, told["problems"]
    assert not [line for line in told["problems"] if "\n" in line or not line]
    assert page.get("/api/queue").status_code == 200
    assert page.get("/api/clinical").status_code == 200
    for case in cases:
        assert page.get(f"/api/cases/{case}/slices/1/image").status_code == 200
    return told["problems"]


BAD: dict[str, bytes] = {
    "bad.nii": b"garbage" * 99,
    "bad.tif": b"II*",
    "bad.png": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "bad.jpg": b"",
    "bad.nrrd": b"NRRD0004\n",
    "bad.mha": b"ObjectType = Image\n",
    "zero.tif": bytes.fromhex("49492a000800000000000000"),
}


@pytest.mark.parametrize("name", quick(BAD, "bad.tif", "bad.png", "bad.mha"))
def test_a_damaged_image_is_told_and_the_others_work(folder: Path, name: str) -> None:
    (folder / "images" / name).write_bytes(BAD[name])
    predict(folder)
    with client(folder) as page:
        (line,) = works(page, *GOOD, problems=1)
        assert name in line
        assert str(folder) not in line, "a short line has room above the list"
        refused(page.get(f"/api/cases/{name.split('.')[0]}/slices/0/image"), 400, name)
        assert page.post("/api/export", json={"what": "masks"}).json()["files"] == 4


def test_files_that_can_be_nobodys_are_told(folder: Path) -> None:
    (folder / "images" / "series").mkdir()
    (folder / "images" / "round.nii").symlink_to("round.nii")
    (folder / "images" / "line\nbreak.nii").write_bytes(b"")
    (folder / os.fsdecode(b"images/\xff.nii")).write_bytes(b"")
    (folder / "scribbles" / "notes.docx").write_text("hello")
    (folder / "scribbles" / "nobody.nii.gz").write_bytes(b"")
    (folder / "scribbles" / "s0.nii").write_bytes(b"")
    with client(folder) as page:
        problems = "\n".join(works(page, *GOOD, problems=8))  # two of s0: its first file, and that there are two
        for said in (
            "series: is a folder without DICOM files",
            "round.nii: is no",
            r"line\nbreak",
            r"\udcff",
            "docx",
            "nobody",
            "s0.",
        ):
            assert said in problems
        page.put("/api/cases/s1/slices/1/scribble", content=strokes().tobytes()).raise_for_status()


def test_a_damaged_scribble_is_told_and_not_written_over(folder: Path) -> None:
    damaged = cut(folder / "scribbles" / "s0.nii.gz").read_bytes()
    with client(folder) as page:
        (line,) = works(page, *GOOD, problems=1)
        assert "scribbles/s0.nii.gz" in line
        refused(page.get(f"{SLICE}/scribble"), 400, "s0.nii.gz")
        refused(page.put(f"{SLICE}/scribble", content=strokes().tobytes()), 400, "s0.nii.gz")
        assert (folder / "scribbles" / "s0.nii.gz").read_bytes() == damaged
        page.put("/api/cases/s1/slices/1/scribble", content=strokes().tobytes()).raise_for_status()
        np.testing.assert_array_equal(plane(page.get("/api/cases/s1/slices/1/scribble")), strokes())
        named = page.get("/api/folder").json()["classes"]
        named[1]["name"] = "renamed"
        page.put("/api/classes", json={"classes": named}).raise_for_status()
        refused(page.put("/api/classes", json={"classes": named[:-1]}), 400, "not removed")
        told = page.post("/api/export", json={"what": "nnunet"}).json()
        assert "s0.nii.gz" in told["problems"][0]
        assert told["files"] == 6  # two cases, and what says which they are
        (folder / "scribbles" / "s0.nii.gz").unlink()
        assert works(page, *GOOD, problems=0) == []
        page.put(f"{SLICE}/scribble", content=strokes().tobytes()).raise_for_status()


def test_strokes_of_another_shape_are_told(folder: Path) -> None:
    own.write(folder / "scribbles" / "s0.nii.gz", np.full((3, 8, 8), 4, np.uint8))
    with client(folder) as page:
        (line,) = works(page, *GOOD, problems=1)
        assert "(3, 8, 8)" in line


def test_damaged_strokes_tell_nothing_of_classes(folder: Path) -> None:
    (folder / "classes.toml").unlink()
    cut(folder / "scribbles" / "s0.nii.gz")
    with client(folder) as page:
        assert len(page.get("/api/folder").json()["classes"]) == 4


def wrong_shape(path: Path) -> None:
    own.write(path, np.zeros((3, 8, 8), np.uint8))


@pytest.mark.parametrize("damage", [cut, wrong_shape, lambda path: path.write_bytes(b"")])
def test_a_damaged_prediction_is_told_and_the_others_work(folder: Path, damage: Callable[[Path], Any]) -> None:
    predict(folder)
    damage(folder / "predictions" / "001" / "s0.nii.gz")
    with client(folder) as page:
        told = page.get("/api/folder").json()
        assert [case["name"] for case in told["cases"]] == GOOD
        assert page.get("/api/queue").status_code == 200
        refused(page.get(f"{SLICE}/prediction"), 400, "s0.nii.gz")
        for answer in (page.get("/api/clinical"), page.post("/api/export", json={"what": "masks"})):
            (line,) = answer.json()["problems"]
            assert "predictions/001/s0.nii.gz" in line
        assert sorted(path.name for path in (folder / "export/masks").iterdir()) == [
            "m0.nii.gz", "s1.nii.gz", "slices.csv",
        ]  # fmt: skip
        assert "s0," not in (folder / "export/masks/slices.csv").read_text()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(30), None])
def test_damaged_doubt_leaves_the_queue(folder: Path, content: bytes | None) -> None:
    predict(folder)
    path = folder / "predictions" / "001" / "s0.npz"
    if content is None:
        cut(path)
    else:
        path.write_bytes(content)
    with client(folder) as page:
        works(page, *GOOD, problems=0)
        assert {each["case"] for each in page.get("/api/queue").json()} >= {"m0", "s1"}
        refused(page.get(f"{SLICE}/disagreement"), 400, "s0.npz")


def test_an_accepted_slice_whose_prediction_is_gone_is_not_called_accepted(folder: Path) -> None:
    predict(folder)
    with client(folder) as page:
        page.put(f"{SLICE}/review", json={"verdict": "accepted"}).raise_for_status()
        predict(folder, "002")
        (folder / "predictions" / "001" / "s0.nii.gz").unlink()
        (line,) = page.post("/api/export", json={"what": "masks"}).json()["problems"]
        assert "slice 2" in line
        assert "s0,1,predicted" in (folder / "export/masks/slices.csv").read_text()


def test_verdicts_on_predictions_that_are_gone_are_named_and_do_not_hold(folder: Path) -> None:
    predict(folder)
    gone = folder / "predictions" / "001" / "s0.nii.gz"
    with client(folder) as page:
        page.put(f"{SLICE}/review", json={"verdict": "accepted"}).raise_for_status()
        predict(folder, "002")
        content = gone.read_bytes()
        gone.unlink()

        def case() -> dict[str, Any]:
            return next(each for each in page.get("/api/folder").json()["cases"] if each["name"] == "s0")

        assert case()["reviews"] == {}
        assert case()["masks"]["reviews"] == {}
        (line,) = page.get("/api/folder").json()["problems"]
        assert line.startswith("predictions/001/s0.nii.gz: is gone, so a slice accepted in it counts no longer")
        latest = page.get(f"{SLICE}/prediction")
        assert latest.status_code == 200, latest.text
        gone.write_bytes(content)
        assert case()["reviews"] == {"1": "accepted"}
        gone.unlink()
        page.put(f"{SLICE}/review", json={"verdict": "accepted"}).raise_for_status()  # now of run 002
        assert case()["reviews"] == {"1": "accepted"}
        assert page.get("/api/folder").json()["problems"] == []


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x 1 2": {}}', '{"x": [1]}', "[" * 100_000, '{"x": 1e999}', "\0"])
def test_damaged_notes_on_images_are_made_again(folder: Path, content: str) -> None:
    with client(folder) as page:
        told = page.get("/api/folder").json()
        notes = json.loads((folder / ".studio" / "images.json").read_text())
    mixed = content.replace("x 1 2", next(iter(notes)))
    (folder / ".studio" / "images.json").write_text(mixed)
    with client(folder) as page:
        assert page.get("/api/folder").json() == told


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{", "[" * 100_000, '{"format": 1, "cases": []}', '{"format": 2, "cases": {}}', '{"format": 1}',
        '{"format": 1, "cases": {"s0": {"reviews": {"1": {"verdict": "accepted", "run": 1}}, "seconds": {}}}}',
        '{"format": 1, "cases": {"s0": {"reviews": {}, "seconds": {"1": 1e999}}}}', "\0",
    ],
)  # fmt: skip
def test_damaged_verdicts_are_told_before_anything_is_written_over(folder: Path, content: str) -> None:
    (folder / "studio.json").write_text(content)
    with pytest.raises(InputError, match=r"studio\.json") as told:
        Session(folder)
    assert "\n" not in str(told.value)
    assert (folder / "studio.json").read_text() == content


def test_an_image_for_which_the_memory_does_not_suffice_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = image_files.read

    def short(path: Path) -> nifti.Volume:
        if path.name == "s1.nii.gz":
            raise MemoryError
        return read(path)

    monkeypatch.setattr(image_files, "read", short)
    with client(folder) as page:
        (line,) = works(page, "m0", "s0", problems=1)
        assert "memory" in line


# Trainings.


def over(page: httpx.Client) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (course := page.get("/api/train").json())["state"] in ("running", "predicting"):
        assert time.monotonic() < deadline, course
        time.sleep(0.1)
    return course


@pytest.mark.slow
def test_a_training_goes_on_without_what_is_damaged_and_says_so(folder: Path) -> None:
    own.case(folder, "s2", 5)
    cut(folder / "scribbles" / "s0.nii.gz")
    cut(folder / "images" / "s2.nii.gz")
    (folder / "images" / "notes.doc").write_text("hello")
    with client(folder) as page:
        page.post("/api/train", json={"preset": "cpu", "steps": 1, "method": "pce"}).raise_for_status()
        course = over(page)
        said = (folder / ".studio/001/output.txt").read_text()
        assert course["state"] == "done", said
        for name in ("scribbles/s0.nii.gz", "s2.nii.gz", "notes.doc"):
            assert [line for line in course["left_out"] if name in line], course["left_out"]
            assert name in said
        assert "s2: not predicted" in said
        assert sorted(path.name for path in (folder / "predictions/001").glob("*.nii.gz")) == [
            f"{name}.nii.gz" for name in GOOD
        ]
    assert json.loads((folder / "runs/001/run.json").read_text())["corpus"]["train"] == ["s1"]


@pytest.fixture
def trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A folder in which run 002 has learnt and is to predict, after run 001, with a network that needs no training."""
    layout = Layout.open(folder)
    predict(folder)
    (layout.state / "002").mkdir()
    replace(tiny.run(PCE()), root=layout.runs / "002").create()
    write_text(layout.runs / "002" / "last.pt", "")
    write_text(layout.state / "002" / training.ORDER, json.dumps({"preset": "cpu", "method": "pce", "steps": 1}))
    monkeypatch.setattr(Predictor, "load", lambda _: predictor("pce"))
    monkeypatch.setattr(job, "_train", lambda *_: True)
    return layout


def test_structures_of_which_one_piece_is_predicted_are_named(trained: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    piece = Piece(("LV",), kept=True, cases=9, outside=0.0, lost=0.0)
    monkeypatch.setattr(Predictor, "load", lambda _: replace(predictor("pce"), pieces=Pieces((piece,))))
    for _ in range(2):  # once, however often it predicts
        job.predict(trained, "002")
        assert Training(trained).course().left_out == ["pieces beside the largest one of LV"]
        shutil.rmtree(trained.predictions / "002")


def state(layout: Layout) -> str:
    """How run 002 ended, once its process, which here is the test's own, is gone."""
    Process(1, "long ago").write(layout.state / "002" / training.PROCESS)
    return Training(layout).course().state


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), None])
def test_an_image_that_can_not_be_predicted_leaves_the_others(
    trained: Layout, error: Exception | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judge, asked = doubt.judge, []

    def short(*args: Any) -> Any:
        asked.append(args)
        if len(asked) == 1 and error is not None:
            raise error
        return judge(*args)

    monkeypatch.setattr(doubt, "judge", short)
    if error is None:
        cut(trained.images / "m0.nii.gz")
    assert job.work(trained, "002") == 0
    assert "m0: not predicted" in capsys.readouterr().err
    assert sorted(path.name for path in (trained.predictions / "002").glob("*.nii.gz")) == ["s0.nii.gz", "s1.nii.gz"]
    assert state(trained) == "done"


@pytest.mark.parametrize("stopped", [False, True])
def test_weights_that_are_no_numbers_predict_nothing(
    trained: Layout, stopped: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Path) -> Predictor:
        raise InputError("runs/002/last.pt: weights are not finite; train again")

    monkeypatch.setattr(Predictor, "load", refuse)
    if stopped:
        write_text(trained.state / "002" / training.STOP, "asked to stop\n")
        monkeypatch.setattr(job, "_train", lambda *_: False)
    assert job.main([str(trained.root), "002"]) == 2
    assert capsys.readouterr().err == "maskmixadv: runs/002/last.pt: weights are not finite; train again\n"
    assert state(trained) == "failed"
    assert Training(trained).course().error == "runs/002/last.pt: weights are not finite; train again"
    with client(trained.root) as page:
        assert page.get("/api/folder").json()["run"] == {"name": "001"}
        np.testing.assert_array_equal(plane(page.get(f"{SLICE}/prediction")), tiny.volume()[2][1])


def test_a_training_that_diverged_predicts_nothing(trained: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object) -> bool:
        raise DivergedError("net/rec is not finite at step 20; the rate was 0.01")

    monkeypatch.setattr(job, "_train", diverge)
    monkeypatch.setattr(Predictor, "load", lambda _: pytest.fail("it is not to predict"))
    assert job.main([str(trained.root), "002"]) == DIVERGED
    assert state(trained) == "failed"
    assert Training(trained).course().error == "net/rec is not finite at step 20; the rate was 0.01"
    assert not (trained.predictions / "002").exists()


def test_predictions_that_can_not_be_written_are_no_predictions(
    trained: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, whole = [], os.fsync

    def full_soon(number: int) -> None:
        synced.append(number)
        if len(synced) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(number)

    monkeypatch.setattr(os, "fsync", full_soon)
    with pytest.raises(InputError, match="can't be written"):
        job.predict(trained, "002")
    assert [path.name for path in trained.predictions.iterdir()] == ["001"]


LOGS = (
    "step,net/ce,seconds\n1,nan,1\n2,.5,2\n3,", "step\nx\n", "step,net/ce\n1,2,3,4\n", "\0", "step,net/ce\n2,inf\n",
)  # fmt: skip


@pytest.mark.parametrize("log", LOGS)
def test_a_log_that_is_half_written_or_no_numbers_is_told_as_far_as_it_goes(folder: Path, log: str) -> None:
    layout = Layout.open(folder)
    for place in (layout.state / "001", layout.runs / "001"):
        place.mkdir()
    Process.this().write(layout.state / "001" / training.PROCESS)
    write_text(layout.runs / "001" / "run.json", json.dumps({"schedule": {"steps": 10}}))
    write_text(layout.runs / "001" / "log.csv", log)
    with client(folder) as page:
        course = page.get("/api/train")
        assert course.status_code == 200
        assert course.json()["state"] == "running"
        if "2,.5" in log:
            assert course.json()["losses"] == [[2, 0.5]]


def test_an_unforeseen_failure_is_told_with_its_kind(trained: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise MemoryError("too\nlarge")

    monkeypatch.setattr(job, "_train", fail)
    with pytest.raises(MemoryError):
        job.main([str(trained.root), "002"])
    assert state(trained) == "failed"
    assert Training(trained).course().error == "MemoryError: too large"


@pytest.mark.slow
def test_an_export_that_fails_says_why(folder: Path) -> None:
    layout = Layout.open(folder)
    predict(folder)
    (layout.runs / "001").mkdir()
    with client(folder) as page:
        refused(page.post("/api/export", json={"what": "model"}, timeout=120), 501, "export of the model", "not a run")
    assert not (layout.export / "model-001").exists()


def test_a_name_that_leaves_no_room_is_told_before_somebody_draws(folder: Path) -> None:
    """A file system takes 255 bytes; strokes have a longer suffix than a picture."""
    content = (folder / "images" / "s0.nii.gz").read_bytes()
    good, bad = "\u5fc3" * 66, "\u5fc3" * 70  # 198 and 210 bytes
    for name in (good, bad):
        (folder / "images" / f"{name}.nii.gz").write_bytes(content)
    with client(folder) as page:
        (line,) = works(page, *GOOD, good, problems=1)
        assert "210 bytes" in line
        assert "rename it" in line
        page.put(f"/api/cases/{good}/slices/1/scribble", content=strokes().tobytes()).raise_for_status()
        page.put(f"/api/cases/{good}/slices/1/proposal", content=tiny.volume()[2][1].tobytes()).raise_for_status()
        page.put(f"/api/cases/{good}/slices/1/mask", content=tiny.volume()[2][1].tobytes()).raise_for_status()
        refused(page.put(f"/api/images/{bad}.png", content=b"x"), 400, "210 bytes")


def test_an_image_that_memory_lacked_for_comes_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from maskmixadv.studio.images import volumes

    lacking, now = [True], [0.0]
    read = volumes.several.read

    def reads(paths: Any) -> Any:
        if lacking[0] and paths[0].name == "s0.nii.gz":
            raise MemoryError
        return read(paths)

    monkeypatch.setattr(volumes.several, "read", reads)
    monkeypatch.setattr(volumes, "monotonic", lambda: now[0])
    with client(folder) as page:
        (line,) = works(page, "m0", "s1", problems=1)
        assert "more memory than is free" in line
        lacking[0] = False
        assert page.get(f"{SLICE}/image").status_code == 200  # whoever asks for it gets it
        works(page, *GOOD, problems=0)
        lacking[0] = True
        os.utime(folder / "images" / "s0.nii.gz")
        works(page, "m0", "s1", problems=1)
        lacking[0] = False
        now[0] = 1000.0
        works(page, *GOOD, problems=0)


def test_a_training_that_is_slow_to_begin_is_not_started_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a loaded machine a process takes longer to write its number than the server waits."""
    import subprocess
    import sys

    children = []

    def slow(_: Training, _run: str, output: Path) -> Any:
        output.touch()
        children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        return children[-1]

    monkeypatch.setattr(training, "START_SECONDS", 0.0)
    monkeypatch.setattr(Training, "_start_process", slow)
    with client(folder) as page:
        told = page.post("/api/train", json={"preset": "cpu", "steps": 2}).json()
        assert (told["state"], told["run"]) == ("running", "001")
        refused(page.post("/api/train", json={"preset": "cpu", "steps": 2}), 409, "runs already")
        page.delete("/api/train").raise_for_status()
        assert children[0].wait(10) != 0
        assert page.get("/api/train").json()["state"] == "stopped"
