"""A folder that is handed on without its runs: no new run is taken for one of before, nor its model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import own
from maskmixadv.files import sha256
from maskmixadv.inference import outputs
from maskmixadv.studio.export import model
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning.training import Order, Training
from maskmixadv.studio.session import Session
from studio_server import client, predict, refused, strokes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = own.folder(tmp_path / "hearts", scribbled=2, masked=1)
    predict(made)
    return made


def without_runs(folder: Path) -> None:
    for part in ("runs", "predictions", ".studio"):
        shutil.rmtree(folder / part, ignore_errors=True)


def begun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Begin a training that does nothing; returns the name of its run."""
    runs = list[str]()

    class Ended:
        def poll(self) -> int:
            return 0

    def start(_: Training, run: str, __: Path) -> Any:
        runs.append(run)
        return Ended()

    monkeypatch.setattr(Training, "_start_process", start)
    Session(folder).train(Order("cpu", "pce", 1))
    return runs[0]


@pytest.mark.parametrize("noted", ["a verdict", "a stroke", "a look", "a model"])
def test_a_number_that_is_named_anywhere_is_not_given_again(
    folder: Path, noted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "predictions" / "001").rename(folder / "predictions" / "007")
    session = Session(folder)
    if noted == "a verdict":
        session.review("s0", 1, "accepted")
    elif noted == "a stroke":
        session.draw("s0", 1, strokes(2).tobytes(), 1.0)
    elif noted == "a look":
        session.masks.look("s0", 1)
    else:
        Layout(folder).model("007").mkdir()
    without_runs(folder)
    assert begun(folder, monkeypatch) == "008"


def test_a_run_that_nothing_names_is_the_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_runs(folder)
    assert begun(folder, monkeypatch) == "001"


def test_volumes_count_no_look_at_labels_that_are_gone(folder: Path) -> None:
    session = Session(folder)
    session.review("s0", 1, "accepted")
    session.review("s0", 2, "accepted")
    shutil.rmtree(folder / "predictions" / "001")
    predict(folder, "002")
    with client(folder) as page:
        page.put("/api/cases/s0/slices/0/review", json={"verdict": "rejected"}).raise_for_status()
        counts = page.get("/api/clinical").json()["slices"]["s0"]
    assert counts == {"slices": 3, "looked_at": 1, "accepted": 0, "corrected": 0, "rejected": 1}


def exported(source: Path, place: Path) -> None:
    (place / "model.onnx").write_bytes((source / "last.pt").read_bytes())
    (place / "model.json").write_text(json.dumps({"checkpoint": sha256(source / "last.pt")}))


def test_a_model_that_calls_classes_otherwise_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that was renamed since the training has its former name in the model, without a word."""
    known = [each.name for each in Session(folder).classes()]

    def called(_: Path, place: Path) -> None:
        (place / "model.json").write_text(json.dumps({"classes": [known[0], "cavity", *known[2:-1]]}))

    monkeypatch.setattr(model, "_export_model", called)
    with client(folder) as page:
        renamed, added = page.post("/api/export", json={"what": "model"}).json()["problems"]
    assert renamed == f"the name {known[1]}: the model says cavity, as when run 001 was trained; train again"
    assert added == f"{known[-1]}: run 001 has not learnt it; train again"


def test_a_model_of_other_weights_is_exported_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_export_model", exported)
    weights, out = folder / "runs" / "001" / "last.pt", folder / "export" / "model-001"
    weights.parent.mkdir(parents=True)
    weights.write_text("weights")
    with client(folder) as page:

        def export() -> Any:
            return page.post("/api/export", json={"what": "model"})

        assert export().json() == {"path": str(out), "files": 2, "problems": []}
        before = (out / "model.json").stat().st_ino
        export().raise_for_status()
        assert (out / "model.json").stat().st_ino == before, "nothing to do"
        weights.write_text("other weights")
        export().raise_for_status()
        assert (out / "model.onnx").read_text() == "other weights"
        (folder / "export" / outputs.RECORD).unlink()  # of a version that kept none
        (out / "model.json").write_text("{}")
        (out / "notes.txt").write_text("mine")
        (line,) = export().json()["problems"]
        assert line.endswith("notes.txt")
        assert json.loads((out / "model.json").read_text()) == {"checkpoint": sha256(weights)}
        (out / "model.onnx").write_text("quantised")
        export().raise_for_status()
        weights.write_text("third weights")
        refused(export(), 409, "export/model-001: not replaced", "model.onnx")
        assert (out / "model.onnx").read_text() == "quantised"
        assert json.loads((out / "model.json").read_text()) != {"checkpoint": sha256(weights)}, "both or neither"
        weights.unlink()
        export().raise_for_status()
