"""Accepted slices teach: they lie under the strokes of the next training, and of the data set for nnU-Net."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import own
import tiny
from maskmixadv.formats import nifti
from maskmixadv.runs import schedule
from maskmixadv.sources import follow
from maskmixadv.studio.images.cases import Cases
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import corpus as learning
from maskmixadv.studio.learning import job, training
from maskmixadv.studio.session import Session
from maskmixadv.types import IGNORE
from studio_server import SLICE, client, plane, predict, strokes

LESION = np.s_[1:, 20:36, 36:46]
"""Stripes in the last two slices of s0, on which no stroke lies."""
DENSE = tiny.volume()[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own.folder(tmp_path / "hearts", scribbled=2, masked=1)


@pytest.fixture
def page(folder: Path) -> Iterator[httpx.Client]:
    predict(folder)
    with client(folder) as trusted:
        yield trusted


def review(page: httpx.Client, case: str, index: int, verdict: str | None = "accepted") -> dict[str, str]:
    answer = page.put(f"/api/cases/{case}/slices/{index}/review", json={"verdict": verdict})
    assert answer.status_code == 200, answer.text
    return answer.json()["reviews"]


def learnt(folder: Path) -> learning.Learnt:
    """The corpus of a training that begins now."""
    layout = Layout.open(folder)
    return learning.corpus(layout, Cases(layout).known(), learning.Dense.read(layout))


def scribble(found: learning.Learnt, case: str) -> np.ndarray:
    scribble = own.by_name(found.corpus)[case].scribble
    assert scribble is not None
    return scribble


def erase(folder: Path, case: str, where: Any) -> None:
    path = folder / "scribbles" / f"{case}.nii.gz"
    volume = nifti.read(path)
    codes = volume.array.astype(np.uint8)
    codes[where] = 4
    nifti.write_labels(path, codes, volume)


# A training follows them.


def with_lesion(folder: Path) -> np.ndarray:
    """Give slices 1 and 2 of s0 stripes and no strokes; returns masks in which the stripes are the last class."""
    image = nifti.read(folder / "images" / "s0.nii.gz").array.copy()
    image[LESION] = np.where(np.arange(10) % 4 < 2, 900, 0)
    own.write(folder / "images" / "s0.nii.gz", image)
    erase(folder, "s0", slice(1, None))
    masks = DENSE.copy()
    masks[LESION] = 3
    return masks


def trained(layout: Layout, run: str, method: str) -> np.ndarray:
    """Train and predict as the studio's process does; returns the labels of slices 1 and 2 of s0."""
    notes = layout.state / run
    notes.mkdir()
    (notes / training.ORDER).write_text(json.dumps({"preset": "cpu", "method": method, "steps": 40}))
    assert job.work(layout, run) == 0
    return nifti.read(layout.predictions / run / "s0.nii.gz").array[1:]


def dice(labels: np.ndarray, masks: np.ndarray) -> float:
    pairs = [(labels == code, masks == code) for code in (1, 2, 3)]
    return float(np.mean([2 * (one & other).sum() / (one.sum() + other.sum()) for one, other in pairs]))


@pytest.mark.parametrize("method", ["pce", pytest.param("walk-teacher", marks=pytest.mark.slow)])
def test_the_network_follows_two_accepted_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    folder = own.folder(tmp_path / "f", scribbled=2, masked=0)
    masks = with_lesion(folder)
    small = replace(schedule.PRESETS["cpu"], size=48, window=48, batch=3 if method == "pce" else 4)
    monkeypatch.setitem(schedule.PRESETS, "cpu", small)
    with client(folder) as page:
        layout = Layout.open(folder)
        without = trained(layout, "001", method)
        assert page.get("/api/train").json()["learnt"] == {"scribbled": 4, "accepted": {}, "corrected": {}}
        like = nifti.read(folder / "images" / "s0.nii.gz")
        nifti.write_labels(folder / "predictions" / "001" / "s0.nii.gz", masks, like)
        for index in (1, 2):
            review(page, "s0", index)
        followed = trained(layout, "002", method)
        course = page.get("/api/train").json()
    assert course["learnt"] == {"scribbled": 4, "accepted": {"s0": {"1": "001", "2": "001"}}, "corrected": {}}
    assert course["left_out"] == []
    assert json.loads((folder / "runs/002/run.json").read_text())["enclosure"] is True  # strokes are loops as before
    scores = dice(without, masks[1:]), dice(followed, masks[1:])
    print("Dice without and with two accepted slices:", scores)
    assert scores[1] > max(0.65, scores[0] + 0.2)
    stripes = without[:, *LESION[1:]] == 3, followed[:, *LESION[1:]] == 3
    assert stripes[0].mean() < 0.2
    assert stripes[1].mean() > 0.7


# What the corpus is made of.


def test_accepted_slices_lie_under_the_strokes(page: httpx.Client, folder: Path) -> None:
    before = scribble(learnt(folder), "s0")
    review(page, "s0", 1)
    review(page, "s0", 2, "rejected")
    found = learnt(folder)
    after = scribble(found, "s0")
    np.testing.assert_array_equal(after[1], np.where(before[1] == IGNORE, DENSE[1], before[1]))
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert (found.accepted, found.left_out) == ({"s0": {1: "001"}}, [])
    assert found.corpus.split("own", 1).val == ("m0",)


def test_a_case_without_strokes_learns_from_its_accepted_slices(page: httpx.Client, folder: Path) -> None:
    review(page, "s1", 0)
    (folder / "scribbles" / "s1.nii.gz").unlink()
    found = learnt(folder)
    np.testing.assert_array_equal(scribble(found, "s1")[0], DENSE[0])
    assert (scribble(found, "s1")[1:] == IGNORE).all()
    assert found.corpus.split("own", 1).train == ("s0", "s1")


def test_what_was_accepted_is_of_its_own_run(page: httpx.Client, folder: Path) -> None:
    erase(folder, "s0", slice(None))
    review(page, "s0", 0)
    predict(folder, "002")
    like = nifti.read(folder / "images" / "s0.nii.gz")
    nifti.write_labels(folder / "predictions" / "002" / "s0.nii.gz", np.full_like(DENSE, 2), like)
    review(page, "s0", 2)
    found = learnt(folder)
    drawn = scribble(found, "s0")
    np.testing.assert_array_equal(drawn[0], DENSE[0])
    assert (drawn[2] == 2).all()
    assert (drawn[1] == IGNORE).all()
    assert found.accepted == {"s0": {0: "001", 2: "002"}}


def test_a_case_with_a_mask_alone_still_validates(page: httpx.Client, folder: Path) -> None:
    review(page, "m0", 1)
    found = learnt(folder)
    assert found.corpus.split("own", 1) == (("s0", "s1"), ("m0",), ())
    assert found.accepted == {}
    (line,) = found.left_out
    assert line.startswith("m0: accepted slices are left out")


def test_masks_that_are_learnt_from_are_not_given_up_for_accepted_slices(page: httpx.Client, folder: Path) -> None:
    review(page, "s0", 1)
    for path in (folder / "scribbles").iterdir():
        path.unlink()
    found = learnt(folder)
    assert found.corpus.split("own", 1).train == ("m0",)
    (line,) = found.left_out
    assert "no case has strokes" in line


def test_accepted_slices_that_show_nothing_are_learnt_from(page: httpx.Client, folder: Path) -> None:
    like = nifti.read(folder / "images" / "s1.nii.gz")
    nifti.write_labels(folder / "predictions" / "001" / "s1.nii.gz", np.zeros_like(DENSE), like)
    review(page, "s1", 0)
    drawn = scribble(learnt(folder), "s1")  # beside strokes, a slice of background says where nothing is
    assert not ((drawn[0] == IGNORE) | ((drawn[0] > 0) & (tiny.volume()[1][0] == IGNORE))).any()
    erase(folder, "s1", slice(None))
    found = learnt(folder)
    assert found.corpus.split("own", 1).train == ("s0", "s1"), "that there is nothing is known, too"
    assert not found.left_out


def test_slices_are_laid_along_the_axis_that_the_studio_cuts(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "f", scribbled=1, masked=0)
    for part in ("images", "scribbles"):
        volume = nifti.read(folder / part / "s0.nii.gz")
        own.write(folder / part / "s0.nii.gz", volume.array.transpose(1, 0, 2), own.AFFINE[:, [0, 2, 1, 3]])
    like = nifti.read(folder / "images" / "s0.nii.gz")
    (folder / "predictions" / "001").mkdir(parents=True)
    nifti.write_labels(folder / "predictions" / "001" / "s0.nii.gz", DENSE.transpose(1, 0, 2), like)
    erase(folder, "s0", np.s_[:, 1])
    with client(folder) as page:
        review(page, "s0", 1)
    np.testing.assert_array_equal(scribble(learnt(folder), "s0")[1], DENSE[1])
    assert json.loads((folder / "studio.json").read_text())["cases"]["s0"]["reviews"]["1"]["axis"] == 1


# What goes wrong leaves one slice out.


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def wrong_shape(path: Path) -> None:
    own.write(path, np.zeros((3, 8, 8), np.uint8))


def stray_class(path: Path) -> None:
    own.write(path, np.full(DENSE.shape, 9, np.uint8))


def elsewhere(path: Path) -> None:
    own.write(path, DENSE, own.AFFINE + np.eye(4) * [5, 5, 5, 0])


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (cut, "001/s0.nii.gz"), (wrong_shape, "(3, 8, 8)"), (stray_class, "class 9"), (Path.unlink, "is gone"),
    (elsewhere, "corners"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), DAMAGES)
def test_a_lost_prediction_costs_its_slices_alone(
    page: httpx.Client, folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    before = scribble(learnt(folder), "s0")
    review(page, "s0", 1)
    review(page, "s1", 2)
    damage(folder / "predictions" / "001" / "s0.nii.gz")
    found = learnt(folder)
    np.testing.assert_array_equal(scribble(found, "s0"), before)
    assert found.accepted == {"s1": {2: "001"}}
    (line,) = found.left_out
    assert said in line
    assert "\n" not in line


def test_an_image_that_moved_costs_the_slices_of_earlier_runs_alone(page: httpx.Client, folder: Path) -> None:
    review(page, "s0", 1)
    predict(folder, "002")
    review(page, "s0", 2)
    elsewhere(folder / "predictions" / "001" / "s0.nii.gz")
    found = learnt(folder)
    assert found.accepted == {"s0": {2: "002"}}
    (line,) = found.left_out
    assert "predictions/001/s0.nii.gz" in line


def test_a_slice_of_another_axis_is_left_out(page: httpx.Client, folder: Path) -> None:
    review(page, "s0", 1)
    notes = json.loads((folder / "studio.json").read_text())
    notes["cases"]["s0"]["reviews"]["1"]["axis"] = 2
    (folder / "studio.json").write_text(json.dumps(notes))
    (line,) = learnt(folder).left_out
    assert "axis 2" in line
    del notes["cases"]["s0"]["reviews"]["1"]["axis"]  # of an earlier version
    (folder / "studio.json").write_text(json.dumps(notes))
    assert learnt(folder).accepted == {"s0": {1: "001"}}
    assert Session(folder).export("masks").problems == []
    assert "s0,1,accepted" in (folder / "export/masks/slices.csv").read_text()


def test_an_accepted_image_that_is_gone_is_told(page: httpx.Client, folder: Path) -> None:
    review(page, "s1", 1)
    for part in ("images", "scribbles"):
        (folder / part / "s1.nii.gz").unlink()
    found = learnt(folder)
    assert found.corpus.split("own", 1).train == ("s0",)
    (line,) = found.left_out
    assert line.startswith("s1: ")


# The cache, exports, and the server.


def test_a_corpus_that_did_not_change_is_made_once(page: httpx.Client, folder: Path) -> None:
    plain = learnt(folder).corpus.root
    assert follow.current(folder).root == plain  # the command line's
    review(page, "s0", 1)
    taught = learnt(folder).corpus.root
    assert taught != plain
    assert learnt(folder).corpus.root == taught
    case, same = (Path("cases", f"{name}.npz") for name in ("s0", "s1"))
    assert (plain / same).samefile(taught / same)
    assert not (plain / case).samefile(taught / case)
    review(page, "s0", 1, None)
    assert learnt(folder).corpus.root == plain


def test_accepted_slices_go_to_nnunet(page: httpx.Client, folder: Path) -> None:
    review(page, "s0", 1)
    told = page.post("/api/export", json={"what": "nnunet"}).json()
    labels = nifti.read(Path(told["path"]) / "labelsTr" / "s0.nii.gz").array
    drawn = nifti.read(folder / "scribbles" / "s0.nii.gz").array
    np.testing.assert_array_equal(labels[1], np.where(drawn[1] == 4, DENSE[1], drawn[1]))
    np.testing.assert_array_equal(labels[[0, 2]], drawn[[0, 2]])
    cut(folder / "predictions" / "001" / "s0.nii.gz")
    (line,) = page.post("/api/export", json={"what": "nnunet"}).json()["problems"]
    assert "slice 2" in line


def test_a_stroke_on_an_accepted_slice_takes_the_acceptance_back(page: httpx.Client, folder: Path) -> None:
    same = plane(page.get(f"{SLICE}/scribble")).tobytes()
    review(page, "s0", 1)
    review(page, "s0", 2)
    answer = page.put(f"{SLICE}/scribble?seconds=1", content=same)
    assert answer.json()["reviews"] == {"1": "accepted", "2": "accepted"}, "nothing was drawn"
    answer = page.put(f"{SLICE}/scribble", content=strokes(2).tobytes())
    assert (answer.json()["scribbled"], answer.json()["reviews"]) == ([0, 1, 2], {"2": "accepted"})
    assert page.get("/api/folder").json()["cases"][1]["reviews"] == {"2": "accepted"}
    assert set(json.loads((folder / "studio.json").read_text())["cases"]["s0"]["reviews"]) == {"2"}
    review(page, "s0", 1, "rejected")
    answer = page.put(f"{SLICE}/scribble", content=strokes(3).tobytes())
    assert answer.json()["reviews"] == {"1": "rejected", "2": "accepted"}, "a correction leaves a rejection"
    assert learnt(folder).accepted == {"s0": {2: "001"}}
