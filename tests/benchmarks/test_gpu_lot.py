"""A lot of runs is read, trained side by side, scored and handed out; a data set is packed and unpacked as it was."""

import contextlib
import json
import tarfile
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import h5py
import numpy as np
import pytest
import torch

import pack
import rebuild
import together
import working
from lot import Lot
from maskmixadv.errors import InputError
from maskmixadv.runs.course import read_course
from maskmixadv.runs.run import Run
from maskmixadv.sources.opening import open_corpus
from maskmixadv.training.engine import RecordingError
from maskmixadv.training.going import Going, Place
from maskmixadv.training.together import handed

LOT = """
[[corpora]]
name = "fewer"
commands = ["annotate kept phantoms --out fewer --slices 2"]

[[runs]]
name = "walks"
corpus = "phantoms"
method = { name = "walk-teacher" }
changes = { steps = 2, size = 48, window = 32 }
enclosure = true
keep = true

[[runs]]
name = "strokes"
corpus = "fewer"
method = { name = "pce" }
changes = { steps = 2, size = 48, window = 32 }

[[runs]]
name = "diverging"
corpus = "phantoms"
method = { name = "pce" }
changes = { steps = 2, size = 48, window = 32, optimiser = "sgd", lr = 1e38 }

[[runs]]
name = "nowhere"
corpus = "missing"
method = { name = "pce" }
"""


class Event:
    """Stands for a CUDA event."""

    done = False

    def query(self) -> bool:
        return self.done


class Stream:
    """Stands for a CUDA stream."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record_event(self) -> Event:
        self.events.append(Event())
        return self.events[-1]

    def synchronize(self) -> None:
        for event in self.events:
            event.done = True


def written(folder: Path, text: str) -> Path:
    path = folder / "lot.toml"
    path.write_text(text)
    return path


@pytest.mark.slow
def test_a_lot_is_trained_and_scored(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    (work / "phantoms").symlink_to(corpus)
    lot = written(tmp_path, LOT)
    together.main(together.Options(lot, work, out, at_once=2, seconds=120.0, processes=1, device="cpu"))
    told = json.loads((out / "lot.json").read_text())
    runs = told["runs"]
    assert {name.split("-")[0]: of["state"].split(":")[0] for name, of in runs.items()} == {
        "walks": "trained", "strokes": "trained", "diverging": "failed", "nowhere": "failed",
    }  # fmt: skip
    assert "not finite" in runs["diverging-fold1-seed0"]["state"]
    assert "missing" in runs["nowhere-fold1-seed0"]["state"]
    assert told["lot"] == LOT
    with tarfile.open(out / "scores.tgz") as archive:
        archive.extractall(tmp_path / "got", filter="data")
    got = tmp_path / "got" / "strokes-fold1-seed0"
    assert [row.step for row in read_course(got / "log.csv")] == [2]
    assert "learnt from: 1 patient" in (got / "output.txt").read_text()
    assert json.loads((got / "run.json").read_text())["corpus"]["root"] == "fewer"
    summary = (got / "evaluation-test" / "summary.json").read_text()
    assert str(tmp_path) not in summary
    assert runs["strokes-fold1-seed0"]["dice"]["test"] == json.loads(summary)["mean"]["dice"]["mean"]
    with tarfile.open(out / "weights-1.tar") as archive:
        archive.extractall(tmp_path / "got", filter="data")
    weights = torch.load(tmp_path / "got" / "walks-fold1-seed0.pt", weights_only=True)
    assert next(iter(weights.values())).dtype == torch.float16
    assert "2 of 4 runs trained" in capsys.readouterr().out


def test_a_lot_that_is_wrong(tmp_path: Path) -> None:
    run = '[[runs]]\nname = "a"\nmethod = { name = "pce" }\n'
    with pytest.raises(InputError, match="a-fold1-seed0 come twice"):
        Lot.read(written(tmp_path, run * 2)).pieces(tmp_path)
    with pytest.raises(InputError, match="preset 'slow', allowed are"):
        Lot.read(written(tmp_path, f'{run}preset = "slow"')).pieces(tmp_path)
    with pytest.raises(InputError, match=r"fold.*unknown"):
        Lot.read(written(tmp_path, f"{run}fold = 1"))


def test_runs_share_slices_unless_the_seed_chooses_masks(tmp_path: Path) -> None:
    run = '[[runs]]\nname = "a"\nmethod = { name = "pce" }\nseeds = [0, 1]\nfolds = [1, 2]\n'
    pieces = Lot.read(written(tmp_path, run)).pieces(tmp_path)
    assert [piece.name[2:] for piece in pieces] == ["fold1-seed0", "fold2-seed0", "fold1-seed1", "fold2-seed1"]
    assert len({piece.shared for piece in pieces}) == 2
    pieces = Lot.read(written(tmp_path, f'{run}masks = "4"')).pieces(tmp_path)
    assert len({piece.shared for piece in pieces}) == 4


def test_slices_of_several_folds_are_made_once(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of all cases are kept; then no fold makes any."""
    (tmp_path / "phantoms").symlink_to(corpus)
    run = '[[runs]]\nname = "a"\ncorpus = "phantoms"\nmethod = { name = "pce" }\nfolds = [1, 2]\n'
    run += "changes = { steps = 2, size = 48, window = 32 }\n"
    first, second = Lot.read(written(tmp_path, run)).pieces(tmp_path)
    assert first.alike == second.alike
    for piece in (first, second):
        working.begin(piece, "a device")
    patients = sorted({entry.patient for entry in open_corpus(corpus).entries})
    for part in range(2):
        working.keep(first, patients, part=(part, 2))
    monkeypatch.setattr("maskmixadv.sampling.loading._Source._made", lambda *_: iter(()))  # what is made is none
    working.slices(second, tmp_path / "slices.pt")
    slices, _, told = handed(tmp_path / "slices.pt", torch.device("cpu"))
    assert len(slices) > 4
    assert "learnt from" in told


def test_a_data_set_is_unpacked_as_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    volume = {
        "image": rng.integers(0, 300, (3, 20, 24)).astype(np.float32) / 7,
        "label": rng.integers(0, 4, (3, 20, 24)).astype(np.uint8),
        "scribble": rng.integers(0, 5, (3, 20, 24)).astype(np.uint16),
    }
    path = tmp_path / "set" / "volumes" / "a.h5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        for name, values in volume.items():
            file[name] = values
    pack.main(pack.Pack(tmp_path / "set", tmp_path / "packed"))
    assert rebuild.unpack(tmp_path / "packed", tmp_path / "there") == 1
    with h5py.File(tmp_path / "there" / "volumes" / "a.h5") as file:
        for name, values in volume.items():
            there = np.asarray(file[name])
            assert there.dtype == values.dtype
            assert np.array_equal(there, values)
    with pytest.raises(InputError, match="no H5 file"):
        pack.main(pack.Pack(tmp_path / "packed", tmp_path / "again"))


@pytest.fixture
def going(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Going:
    """A run of four steps on a stream that is none."""
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "default_generators", (Mock(),))
    changes = "{ steps = 4, size = 48, window = 32 }"
    lot = f'[[runs]]\nname = "a"\ncorpus = "{corpus}"\nmethod = {{ name = "pce" }}\nchanges = {changes}'
    (piece,) = Lot.read(written(tmp_path, lot)).pieces(tmp_path)
    working.begin(piece, "a device")
    working.slices(piece, tmp_path / "slices.pt")
    slices, prior, _ = handed(tmp_path / "slices.pt", torch.device("cpu"))
    place = Place(torch.device("cpu"))
    place.stream = cast("Any", Stream())
    return Going(Run.open(piece.root), slices, prior, torch.device("cpu"), place, graph=False)


def test_a_run_waits_while_two_of_its_steps_are_under_way(going: Going) -> None:
    events = cast("Any", going.place.stream).events
    going.advance()
    assert not going.busy()
    going.advance()
    assert going.busy()
    events[0].done = True
    assert not going.busy()
    going.advance()
    going.advance()
    going.end()
    assert going.left == 0
    assert [row.step for row in read_course(going.run.root / "log.csv")] == [4]
    assert going.run.facts.device == "a device"


def test_a_step_that_can_not_be_recorded_is_taken_operation_by_operation(
    going: Going, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(error: Exception) -> None:
        def step(*_: object) -> None:
            raise error

        monkeypatch.setattr(going.loop, "_steps", step)

    fails(RuntimeError("it fails anyhow"))
    with pytest.raises(RuntimeError, match="anyhow"):
        going.advance()
    fails(RecordingError("no capture at all"))
    going.graph = True
    going.advance()
    assert (going.loop.step, going.graph) == (1, False)
    assert "step 0 can't be recorded (no capture at all)" in capsys.readouterr().out
