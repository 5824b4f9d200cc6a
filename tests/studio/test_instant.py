"""The instant answer: what strokes say at once, by the same call as the page makes."""

import threading
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest

import own
import tiny
from maskmixadv.corpus.channels import KNEE, TOP
from maskmixadv.corpus.scale import normalise
from maskmixadv.formats import nifti
from maskmixadv.methods.walk_teacher import WalkTeacher
from maskmixadv.strokes.propose import CORRECTIONS, propose_slice
from maskmixadv.studio.images.cases import Cases
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import corpus as learning
from maskmixadv.studio.learning.newest import Newest
from maskmixadv.studio.learning.predictions import PROPOSED
from studio_server import SHAPE, SLICE, client, plane, predict, probable, refused, strokes

PROPOSAL = f"{SLICE}/proposal"


def two_classes() -> np.ndarray:
    labels = strokes(1)
    labels[30, 10:20] = 0
    return labels


def test_strokes_are_answered_with_what_they_say(page: httpx.Client, folder: Path) -> None:
    labels = two_classes()
    told = plane(page.post(PROPOSAL, content=labels.tobytes()))
    volume = nifti.read(folder / "images" / "s0.nii.gz").array
    image = normalise(volume, where="", percentile=TOP, knee=KNEE)[1]
    expected = propose_slice(image, labels, classes=len(tiny.CLASSES))
    assert expected is not None
    assert (told != expected).mean() < 0.01  # intensities came in 16 bits
    assert (told[labels != 255] == labels[labels != 255]).all()


def test_what_is_proposed_is_scaled_as_a_training_scales_it(tmp_path: Path) -> None:
    """In an image with a few voxels that are much brighter than all others."""
    folder, labels = own.folder(tmp_path / "f", scribbled=1, masked=1), two_classes()
    path = folder / "images" / "s0.nii.gz"
    image = nib.Nifti1Image.from_filename(path)
    volume = image.get_fdata()
    volume[:3, :4] = 8 * volume.max()
    nib.save(nib.Nifti1Image(volume.astype(np.float32), image.affine), path)
    with client(folder) as page:
        told = plane(page.post(PROPOSAL, content=labels.tobytes()))
    whole = nifti.read(path).array
    bent, straight = (normalise(whole, where="", percentile=TOP, knee=knee)[1] for knee in (KNEE, 0.0))
    expected, other = (propose_slice(each, labels, classes=len(tiny.CLASSES)) for each in (bent, straight))
    assert expected is not None
    assert other is not None
    assert (other != expected).mean() > 0.02, "the knee decides"
    assert (told != expected).mean() < 0.01


def test_nothing_is_proposed_of_one_class(page: httpx.Client) -> None:
    for labels in (strokes(1), np.full(SHAPE, 255, np.uint8)):
        answer = page.post(PROPOSAL, content=labels.tobytes())
        assert (answer.status_code, answer.content) == (204, b"")


def test_a_request_that_does_not_fit_is_refused(page: httpx.Client) -> None:
    refused(page.post(PROPOSAL, content=b"123"), 400, "3 bytes", "40 × 48")
    refused(page.post(PROPOSAL, content=strokes(7).tobytes()), 400, "class 7")
    refused(page.post("/api/cases/s0/slices/9/proposal", content=two_classes().tobytes()), 404, "no slice 9")
    refused(page.post("/api/cases/none/slices/1/proposal", content=two_classes().tobytes()), 404, "no such case")


def test_a_networks_probabilities_count(tmp_path: Path) -> None:
    folder, labels = own.folder(tmp_path / "f", scribbled=2, masked=1), two_classes()
    with client(folder) as page:
        before = plane(page.post(PROPOSAL, content=labels.tobytes()))
        predict(folder)
        file = probable(folder, 1)
        after = plane(page.post(PROPOSAL, content=labels.tobytes()))
        assert (after == 1).mean() > (before == 1).mean() + 0.1
        assert (after[labels == 0] == 0).all(), "strokes stand"
        file.write_bytes(b"damaged")
        assert page.post(PROPOSAL, content=labels.tobytes()).status_code == 204


def test_the_newest_job_wins() -> None:
    newest, begun, free = Newest[int]("test"), threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        free.wait(10)
        return 1

    first = newest.ask(slow)
    assert begun.wait(10)
    second, third = newest.ask(lambda: 2), newest.ask(lambda: 3)
    assert second.result(10) is None
    free.set()
    assert (first.result(10), third.result(10)) == (1, 3)


def test_a_job_that_fails_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    newest = Newest[int]("test")
    for _ in range(3):
        assert newest.ask(lambda: 1 // 0).result(10) is None
    assert capsys.readouterr().err.count("ZeroDivisionError") == 1


def test_pixels_look_as_in_trainings() -> None:
    assert WalkTeacher().corrections() == CORRECTIONS


def test_slices_between_strokes_are_filled(page: httpx.Client) -> None:
    assert page.post("/api/cases/s0/fill").status_code in (200, 204)
    ends = two_classes()
    for index in (0, 2):
        page.put(f"/api/cases/s0/slices/{index}/scribble", content=ends.tobytes()).raise_for_status()
    page.put(f"{SLICE}/scribble", content=np.full(SHAPE, 255, np.uint8).tobytes()).raise_for_status()
    answer = page.post("/api/cases/s0/fill")
    assert answer.headers["X-Slices"] == "0,1,2"
    labels = np.frombuffer(answer.content, np.uint8).reshape(3, *SHAPE)
    assert (labels[0] == plane(page.post("/api/cases/s0/slices/0/proposal", content=ends.tobytes()))).all()
    assert set(np.unique(labels[1])) == {0, 1}
    assert 0.3 < (labels[1] == 1).sum() / (labels[0] == 1).sum() < 3
    page.put("/api/cases/s0/slices/2/scribble", content=np.full(SHAPE, 255, np.uint8).tobytes()).raise_for_status()
    assert page.post("/api/cases/s0/fill").status_code == 204
    refused(page.post("/api/cases/none/fill"), 404, "no such case")


def test_what_memory_lacks_for_is_refused(page: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long volume took all memory, and the system ended the server."""
    ends, nothing = two_classes(), np.full(SHAPE, 255, np.uint8)
    for index, labels in ((0, ends), (1, nothing), (2, ends)):
        page.put(f"/api/cases/s0/slices/{index}/scribble", content=labels.tobytes()).raise_for_status()
    monkeypatch.setattr("maskmixadv.studio.memory.free", lambda: 2**16)
    refused(page.post("/api/cases/s0/fill"), 400, "s0: filling slices 1 to 3", "memory")
    refused(page.post("/api/cases/s0/shapes"), 400, "s0: a proposal of slice 1", "memory")
    assert page.post(PROPOSAL, content=ends.tobytes()).status_code == 204
    monkeypatch.undo()
    assert page.post("/api/cases/s0/fill").status_code == 200


def test_the_walk_of_a_large_slice_must_fit_into_memory(page: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = two_classes().tobytes()
    monkeypatch.setattr("maskmixadv.studio.memory.free", lambda: 2**20)
    assert page.post(PROPOSAL, content=labels).status_code == 200
    monkeypatch.setattr("maskmixadv.studio.learning.proposals.LARGE", 1)
    assert page.post(PROPOSAL, content=labels).status_code == 204


def test_a_file_that_filling_can_not_read_is_told(tmp_path: Path) -> None:
    """The page said instead that strokes were missing."""
    folder = own.folder(tmp_path / "hearts", scribbled=1, masked=0)
    predict(folder, cases=("s0",))
    with client(folder) as page:
        for index, labels in ((0, two_classes()), (1, np.full(SHAPE, 255, np.uint8)), (2, two_classes())):
            page.put(f"/api/cases/s0/slices/{index}/scribble", content=labels.tobytes()).raise_for_status()
        probable(folder, 1).write_bytes(b"damaged")
        refused(page.post("/api/cases/s0/fill"), 400, "s0.npz", "damaged", "train again")


def test_an_accepted_proposal_is_shown_learnt_from_and_taken_back(page: httpx.Client, folder: Path) -> None:
    told = plane(page.post(PROPOSAL, content=two_classes().tobytes()))
    assert page.put(PROPOSAL, content=told.tobytes()).json() == {"reviews": {"1": "accepted"}}
    assert (plane(page.get(f"{SLICE}/prediction")) == told).all()
    assert (plane(page.get(f"{SLICE}/disagreement")) == 0).all()
    case = page.get("/api/folder").json()["cases"][0]
    assert (case["reviews"], case["predicted"]) == ({"1": "accepted"}, False), "no run has predicted anything"
    assert page.get("/api/folder").json()["run"] is None
    layout = Layout.open(folder)
    learnt = learning.corpus(layout, Cases(layout).known(), learning.Dense.read(layout))
    assert learnt.accepted == {"s0": {1: PROPOSED}}
    scribble = learnt.corpus.load(learnt.corpus.entries[0]).scribble
    assert scribble is not None
    assert (scribble[1] != 255).all(), "the slice is dense"
    assert page.put(f"{SLICE}/review", json={"verdict": None}).json() == {"reviews": {}}
    assert page.get(f"{SLICE}/prediction").status_code == 404


def test_what_is_no_mask_is_not_accepted(page: httpx.Client) -> None:
    refused(page.put(PROPOSAL, content=two_classes().tobytes()), 400, "class 255")
    refused(page.put(PROPOSAL, content=b"1"), 400, "1 bytes")


def test_a_run_is_shown_where_no_proposal_was_accepted(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "f", scribbled=2, masked=1)
    with client(folder) as page:
        dense, other = predict(folder), np.full(SHAPE, 2, np.uint8)
        page.put(PROPOSAL, content=other.tobytes()).raise_for_status()
        assert page.get("/api/folder").json()["run"] == {"name": "001"}
        assert (plane(page.get(f"{SLICE}/prediction")) == other).all()
        assert (plane(page.get("/api/cases/s0/slices/2/prediction")) == dense[2]).all()
        exported = page.post("/api/export", json={"what": "masks"}).json()
        mask = nifti.read(Path(exported["path"]) / "s0.nii.gz").array
        assert (mask[1] == other).all()
        assert (mask[2] == dense[2]).all()
