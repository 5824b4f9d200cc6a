"""What lies in the folder is deleted or replaced while it is open: nothing fails, and nothing is taken for another."""

import os
import shutil
from itertools import product
from pathlib import Path

import httpx
import numpy as np
import pytest

import own
import tiny
from maskmixadv.formats import nifti
from quick import quick
from studio_server import SHAPE, SLICE, client, plane, predict, refused, strokes

DENSE = tiny.volume()[2]
GONE = "hearts: the studio's folder was renamed, or taken away; give it back this name and place"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = own.folder(tmp_path / "hearts", scribbled=2, masked=1)
    predict(found)
    return found


def image(path: Path, depth: int = 3) -> None:
    own.write(path, (tiny.volume(5)[0][:depth] * 900).astype(np.int16))


def asked(page: httpx.Client) -> dict[str, int]:
    """Ask for everything that reads the folder; returns the answers' statuses."""
    gets = [
        "/api/folder", "/api/queue", "/api/clinical", "/api/train", "/api/ready",
        *(f"{SLICE}/{what}" for what in ("image", "scribble", "prediction", "disagreement", "mask", "preview")),
    ]  # fmt: skip
    found = {each: page.get(each).status_code for each in gets}
    for what in ("masks", "nnunet", "seg", "meshes", "overlays", "volumes"):
        found[what] = page.post("/api/export", json={"what": what}).status_code
    found["look"] = page.put(f"{SLICE}/looked").status_code
    found["review"] = page.put(f"{SLICE}/review", json={"verdict": "rejected"}).status_code
    found["fill"] = page.post("/api/cases/s0/fill").status_code
    found["stop"] = page.delete("/api/train").status_code
    return found


@pytest.mark.parametrize(
    ("part", "left"),
    quick(
        product(["predictions", "runs", "export", ".studio", "scribbles", "masks"], ["gone", "a file"]),
        ".studio-gone", "runs-a file",
        name="-".join,
    ),
)  # fmt: skip
def test_a_folder_that_goes_away_does_not_stop_the_page(folder: Path, part: str, left: str) -> None:
    with client(folder) as page:
        page.get("/api/folder").raise_for_status()
        shutil.rmtree(folder / part)
        if left == "a file":
            (folder / part).write_bytes(b"x")
        statuses = asked(page)
        assert {each: status for each, status in statuses.items() if status >= 500} == {}
        assert statuses["/api/folder"] == 200
        if part != "scribbles":
            page.put(f"{SLICE}/scribble", content=strokes().tobytes()).raise_for_status()


def test_strokes_are_saved_where_their_folder_went_away(folder: Path) -> None:
    with client(folder) as page:
        shutil.rmtree(folder / "scribbles")
        page.put(f"{SLICE}/scribble", content=strokes().tobytes()).raise_for_status()
        np.testing.assert_array_equal(plane(page.get(f"{SLICE}/scribble")), strokes())


def test_what_was_said_of_slices_that_an_image_no_longer_has_does_not_hold(folder: Path) -> None:
    with client(folder) as page:
        for index, verdict in ((2, "accepted"), (0, "rejected")):
            page.put(f"/api/cases/s0/slices/{index}/review", json={"verdict": verdict}).raise_for_status()
        page.put("/api/cases/s0/slices/1/looked").raise_for_status()
        image(folder / "images" / "s0.nii.gz", depth=1)
        (folder / "predictions" / "001" / "s0.nii.gz").unlink()
        (folder / "scribbles" / "s0.nii.gz").unlink()
        page.put("/api/cases/s0/slices/0/mask", content=DENSE[1].tobytes()).raise_for_status()
        case = next(each for each in page.get("/api/folder").json()["cases"] if each["name"] == "s0")
        assert set(case["reviews"]) <= {"0"}
        assert case["masks"]["looked"] == [0]
        counts = page.get("/api/clinical").json()["slices"]["s0"]
        assert counts["looked_at"] <= counts["slices"] == 1
        assert page.post("/api/export", json={"what": "masks"}).status_code == 200


def test_what_was_said_of_slices_along_another_axis_does_not_hold(folder: Path) -> None:
    with client(folder) as page:
        page.put("/api/cases/s0/slices/1/review", json={"verdict": "accepted"}).raise_for_status()
        text = (folder / "studio.json").read_text()
    (folder / "studio.json").write_text(text.replace('"axis": 0', '"axis": 2'))
    with client(folder) as page:
        case = next(each for each in page.get("/api/folder").json()["cases"] if each["name"] == "s0")
        assert case["reviews"] == {}
        assert case["masks"]["looked"] == []


def test_images_that_change_places_are_read_again(folder: Path) -> None:
    """Two files of one size and one time, as they come out of an archive; renaming changes neither."""
    one, other = (folder / "images" / f"{name}.nii" for name in ("x0", "x1"))
    for path, sign in ((one, 1), (other, -1)):
        own.write(path, (sign * tiny.volume()[0] * 900).astype(np.int16))
        os.utime(path, (1e9, 1e9))
    with client(folder) as page:
        before = [plane(page.get(f"/api/cases/{name}/slices/1/image"), "<u2") for name in ("x0", "x1")]
        changed = {each["name"]: each["changed"] for each in page.get("/api/folder").json()["cases"]}
        one.rename(folder / "elsewhere")
        other.rename(one)
        (folder / "elsewhere").rename(other)
        after = [plane(page.get(f"/api/cases/{name}/slices/1/image"), "<u2") for name in ("x0", "x1")]
        np.testing.assert_array_equal(after, before[::-1])
        now = {each["name"]: each["changed"] for each in page.get("/api/folder").json()["cases"]}
        assert now["x0"] != changed["x0"]


def test_labels_of_a_class_that_there_is_not_are_told(folder: Path) -> None:
    like = nifti.read(folder / "images" / "s0.nii.gz")
    nifti.write_labels(folder / "predictions" / "001" / "s0.nii.gz", np.full(like.array.shape, 9, np.uint8), like)
    with client(folder) as page:
        refused(page.get(f"{SLICE}/prediction"), 400, "s0.nii.gz", "class 9", "0 to 3")
        refused(page.put(f"{SLICE}/review", json={"verdict": "accepted"}), 400, "class 9")
        for what in ("masks", "overlays", "meshes", "volumes"):
            told = page.post("/api/export", json={"what": what})
            assert told.status_code == 200, told.text
            assert "class 9" in " ".join(told.json()["problems"])


def test_a_later_proposal_does_not_make_earlier_ones_empty(folder: Path) -> None:
    """The file of accepted proposals is deleted, or damaged: what it held is lost, and not background."""
    path = folder / "predictions" / "000" / "s0.nii.gz"
    with client(folder) as page:
        page.put("/api/cases/s0/slices/0/proposal", content=DENSE[1].tobytes()).raise_for_status()
        content = path.read_bytes()
        path.unlink()
        told = page.put("/api/cases/s0/slices/2/proposal", content=DENSE[1].tobytes()).json()
        assert told["reviews"] == {"2": "accepted"}
        path.write_bytes(content[: len(content) // 2])
        refused(page.put(f"{SLICE}/proposal", content=DENSE[1].tobytes()), 400, "000/s0.nii.gz")
        assert path.read_bytes() == content[: len(content) // 2]


def test_a_proposal_on_another_picture_leaves_those_on_the_one_before(tmp_path: Path) -> None:
    """A picture is put in another one's place, and back: its accepted slice had the labels of the other one."""
    images = tmp_path / "images"
    one, other = (np.random.default_rng(seed).integers(0, 256, (1, *SHAPE), np.uint8) for seed in range(2))
    labels = DENSE[1].clip(max=1)
    case, file = "/api/cases/a/slices/0", tmp_path / "predictions" / "000" / "a.nii.gz"
    own.write(images / "a.png", one)
    with client(tmp_path) as page:
        page.put(f"{case}/proposal", content=labels.tobytes()).raise_for_status()
        own.write(images / "a.png", other)
        refused(page.put(f"{case}/proposal", content=bytes(labels.size)), 400, "accepted on another image", "put the")
        own.write(images / "a.png", one)
        np.testing.assert_array_equal(plane(page.get(f"{case}/prediction")), labels)
        own.write(images / "a.png", other)
        file.unlink()  # as the line tells
        page.put(f"{case}/proposal", content=bytes(labels.size)).raise_for_status()
        own.write(images / "a.png", one)
        refused(page.get(f"{case}/prediction"), 400, "accepted on another image")
        refused(page.post("/api/export", json={"what": "masks"}), 409, "accepted on another image")


def test_a_folder_that_is_renamed_is_named_and_goes_on_when_it_is_back(folder: Path) -> None:
    """The page said that there are no images yet, and that the image was renamed."""
    with client(folder) as page:
        strokes = page.get("/api/cases/s0/slices/1/scribble").content
        folder.rename(away := folder.with_name("elsewhere"))
        told = page.get("/api/folder").json()
        assert (told["cases"], told["problems"]) == ([], [GONE])
        refused = page.get("/api/cases/s0/slices/1/scribble")
        assert (refused.status_code, refused.json()["error"]) == (404, GONE)
        assert not folder.exists(), "nothing is written in its place"
        away.rename(folder)
        assert page.get("/api/folder").json()["problems"] == []
        assert page.get("/api/cases/s0/slices/1/scribble").content == strokes
