"""What the page asks for and gets, by a real server on loopback, and what lies on disk afterwards."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest

import own
import tiny
from maskmixadv.formats import nifti
from maskmixadv.sources import classes
from maskmixadv.sources.opening import open_corpus
from studio_server import SHAPE, SLICE, client, plane, predict, refused, same_grid, strokes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own.folder(tmp_path / "hearts", scribbled=2, masked=1)


@pytest.fixture
def page(folder: Path) -> Iterator[httpx.Client]:
    with client(folder) as trusted:
        yield trusted


def test_the_folder_is_told(page: httpx.Client, folder: Path) -> None:
    told = page.get("/api/folder").json()
    assert told["name"] == "hearts"
    assert [each["name"] for each in told["classes"]] == list(tiny.CLASSES)
    assert [case["name"] for case in told["cases"]] == ["m0", "s0", "s1"]
    assert told["run"] is None
    assert told["problems"] == []
    image = nifti.read(folder / "images" / "s0.nii.gz").array
    case = told["cases"][1]
    assert case["shape"] == [3, *SHAPE]
    assert case["spacing"] == list(nifti.read(folder / "images" / "s0.nii.gz").spacing or ())
    expected = {"name": "image", "low": image.min(), "high": image.max(), "padded": False}
    assert (case["channels"], case["coloured"]) == ([expected], False)
    assert case["scribbled"] == [0, 1, 2]
    assert told["cases"][0]["scribbled"] == []


def test_a_slice_comes_in_16_bits(page: httpx.Client, folder: Path) -> None:
    image = nifti.read(folder / "images" / "s0.nii.gz").array.astype(float)
    shown = plane(page.get(f"{SLICE}/image"), "<u2")
    expected = (image[1] - image.min()) / (image.max() - image.min()) * 65535
    np.testing.assert_allclose(shown, expected, atol=0.51)
    assert page.get("/api/cases/s0/slices/3/image").status_code == 404
    assert page.get("/api/cases/s0/slices/-1/image").status_code == 404


def test_strokes_are_kept_on_the_images_grid(page: httpx.Client, folder: Path) -> None:
    before = nifti.read(folder / "scribbles" / "s0.nii.gz").array
    np.testing.assert_array_equal(plane(page.get(f"{SLICE}/scribble")), tiny.volume()[1][1])
    drawn = strokes(2)
    answer = page.put(f"{SLICE}/scribble?seconds=1.5", content=drawn.tobytes())
    assert (answer.json()["scribbled"], answer.json()["reviews"]) == ([0, 1, 2], {})
    np.testing.assert_array_equal(plane(page.get(f"{SLICE}/scribble")), drawn)
    stored, image = (nifti.read(folder / part / "s0.nii.gz") for part in ("scribbles", "images"))
    np.testing.assert_array_equal(stored.array[1], np.where(drawn == 255, 4, drawn))
    np.testing.assert_array_equal(stored.array[[0, 2]], before[[0, 2]])
    same_grid(stored, image)
    page.put(f"{SLICE}/scribble?seconds=2", content=np.full(SHAPE, 255, np.uint8).tobytes())
    case = page.get("/api/folder").json()["cases"][1]
    assert case["scribbled"] == [0, 2]
    assert case["seconds"] == 3.5


def test_a_case_without_strokes_gets_a_file(page: httpx.Client, folder: Path) -> None:
    assert (plane(page.get("/api/cases/m0/slices/1/scribble")) == 255).all()
    page.put("/api/cases/m0/slices/1/scribble", content=strokes().tobytes())
    corpus = open_corpus(folder)  # the command line sees it
    (entry,) = [entry for entry in corpus.entries if entry.name == "m0"]
    scribble = corpus.load(entry).scribble
    assert scribble is not None
    np.testing.assert_array_equal(scribble[1], strokes())


def test_thick_slices_are_cut_as_training_cuts_them(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "f", scribbled=1, masked=0)
    for part in ("images", "scribbles"):
        volume = nifti.read(source / part / "s0.nii.gz")
        turned = nib.Nifti1Image(volume.array.transpose(1, 0, 2).T, own.AFFINE[:, [0, 2, 1, 3]])
        nib.save(turned, source / part / "s0.nii.gz")
    with client(source) as page:
        case = page.get("/api/folder").json()["cases"][0]
        assert case["shape"] == [3, *SHAPE]
        assert case["spacing"][0] == max(case["spacing"])
        page.put(f"{SLICE}/scribble", content=strokes(3).tobytes())
        np.testing.assert_array_equal(plane(page.get(f"{SLICE}/scribble")), strokes(3))
    (entry,) = (corpus := open_corpus(source)).entries
    scribble = corpus.load(entry).scribble
    assert scribble is not None
    np.testing.assert_array_equal(scribble[1], strokes(3))
    assert nifti.read(source / "scribbles" / "s0.nii.gz").array.shape == (40, 3, 48)


def test_classes_are_renamed_and_added(page: httpx.Client, folder: Path) -> None:
    told = page.get("/api/folder").json()["classes"]
    told[1] = {"name": 'right "V" é', "colour": "#123456"}
    assert page.put("/api/classes", json={"classes": told}).json()["classes"][1] == told[1]
    assert classes.read(folder / "classes.toml").names[1] == told[1]["name"]
    refused(page.put("/api/classes", json={"classes": told[:-1]}), 400, "not removed", "s0, s1 have strokes")
    refused(page.put("/api/classes", json={"classes": [*told, told[1]]}), 400, "unique")
    refused(page.put("/api/classes", json={"classes": [{"name": "a\nb", "colour": "#123456"}] * 2}), 400, "name")
    # Code 4 means unlabelled in the files that came with the folder.
    refused(page.put("/api/classes", json={"classes": [*told, {"name": "fat", "colour": "#ffffff"}]}), 409, "code 4")


def test_a_new_folder_takes_images_classes_and_strokes(tmp_path: Path, folder: Path) -> None:
    fresh = tmp_path / "fresh"
    with client(fresh) as page:
        assert page.get("/api/folder").json()["cases"] == []
        image = (folder / "images" / "s0.nii.gz").read_bytes()
        assert page.put("/api/images/s0.nii.gz", content=image).json() == {"case": "s0"}
        refused(page.put("/api/images/S0.nii", content=image), 409, "there already")
        assert (fresh / "images" / "s0.nii.gz").read_bytes() == image
        named = [{"name": name, "colour": "#4aa8ff"} for name in ("background", "liver")]
        page.put("/api/classes", json={"classes": named})
        page.put(f"{SLICE}/scribble", content=strokes().tobytes())
        added = [*named, {"name": "tumour", "colour": "#ff0000"}]
        assert page.put("/api/classes", json={"classes": added}).status_code == 200
        np.testing.assert_array_equal(plane(page.get(f"{SLICE}/scribble")), strokes())
        refused(page.put(f"{SLICE}/scribble", content=strokes(3).tobytes()), 400, "class 3")
    assert nifti.read(fresh / "scribbles" / "s0.nii.gz").array.max() == 255
    assert open_corpus(fresh).classes == ("background", "liver", "tumour")


def test_classes_that_nobody_named_are_guessed_from_the_codes(folder: Path) -> None:
    (folder / "classes.toml").unlink()
    with client(folder) as page:
        told = page.get("/api/folder").json()
        assert [each["name"] for each in told["classes"]] == ["background", "class1", "class2", "class3"]
        assert len({each["colour"] for each in told["classes"]}) == 4
        np.testing.assert_array_equal(plane(page.get(f"{SLICE}/scribble")), tiny.volume()[1][1])
    assert classes.read(folder / "classes.toml").ignore == 4


def test_predictions_reviews_and_masks(page: httpx.Client, folder: Path) -> None:
    refused(page.get(f"{SLICE}/prediction"), 404, "prediction")
    refused(page.put(f"{SLICE}/review", json={"verdict": "accepted"}), 404)
    refused(page.post("/api/export", json={"what": "masks"}), 409, "train first")
    dense = predict(folder)
    np.testing.assert_array_equal(plane(page.get(f"{SLICE}/prediction")), dense[1])
    assert plane(page.get("/api/cases/s0/slices/2/disagreement")).min() == 255
    assert page.put(f"{SLICE}/review", json={"verdict": "accepted"}).json() == {"reviews": {"1": "accepted"}}
    page.put("/api/cases/s0/slices/2/review", json={"verdict": "rejected"})
    told = page.post("/api/export", json={"what": "masks"}).json()
    assert Path(told["path"]) == folder / "export" / "masks"
    assert told["files"] == 4
    mask, image = nifti.read(folder / "export/masks/s0.nii.gz"), nifti.read(folder / "images" / "s0.nii.gz")
    np.testing.assert_array_equal(mask.array[:2], dense[:2])
    assert (mask.array[2] == 4).all()
    same_grid(mask, image)
    assert "s0,2,rejected" in (folder / "export/masks/slices.csv").read_text()
    refused(page.put(f"{SLICE}/review", json={"verdict": "perfect"}), 400)


def test_what_was_accepted_outlives_later_runs(page: httpx.Client, folder: Path) -> None:
    dense = predict(folder)
    page.put(f"{SLICE}/review", json={"verdict": "accepted"})
    page.put("/api/cases/s0/slices/2/review", json={"verdict": "rejected"})
    predict(folder, "002")
    like = nifti.read(folder / "images" / "s0.nii.gz")
    nifti.write_labels(folder / "predictions" / "002" / "s0.nii.gz", np.zeros_like(dense), like)
    assert page.get("/api/folder").json()["cases"][1]["reviews"] == {"1": "accepted"}
    np.testing.assert_array_equal(plane(page.get(f"{SLICE}/prediction")), dense[1])
    assert not plane(page.get("/api/cases/s0/slices/2/prediction")).any()
    page.post("/api/export", json={"what": "masks"})
    np.testing.assert_array_equal(nifti.read(folder / "export/masks/s0.nii.gz").array[1], dense[1])


def test_the_queue_spreads_out_and_then_follows_doubt(page: httpx.Client, folder: Path) -> None:
    first = page.get("/api/queue").json()
    assert (first[0]["case"], first[0]["slice"]) == ("m0", 1)  # the one without strokes, its middle
    predict(folder)
    page.put("/api/cases/m0/slices/0/review", json={"verdict": "accepted"})
    page.put("/api/cases/m0/slices/1/review", json={"verdict": "rejected"})
    queue = [(each["case"], each["slice"]) for each in page.get("/api/queue").json()]
    assert queue[:3] == [("m0", 1), ("s0", 2), ("s1", 0)]
    assert ("m0", 0) not in queue


def test_volumes_are_measured(page: httpx.Client, folder: Path) -> None:
    assert page.get("/api/clinical").json() == {"cases": [], "slices": {}, "heart": None, "problems": []}
    dense = predict(folder)
    spacing = nifti.read(folder / "images" / "s0.nii.gz").spacing
    assert spacing is not None
    (measured,) = [each for each in page.get("/api/clinical").json()["cases"] if each["case"] == "s0"]
    assert measured["spacing_known"]
    np.testing.assert_allclose(measured["volumes"]["LV"], (dense == 3).sum() * np.prod(spacing) / 1000)


def test_strokes_go_to_nnunet(page: httpx.Client, folder: Path) -> None:
    for number in (101, 102):
        told = page.post("/api/export", json={"what": "nnunet"}).json()
        assert Path(told["path"]) == folder / "export" / f"Dataset{number}_hearts"
        assert told["files"] == sum(path.is_file() for path in Path(told["path"]).rglob("*"))
    labels = nifti.read(folder / "export/Dataset101_hearts/labelsTr/s0.nii.gz").array
    np.testing.assert_array_equal(labels, nifti.read(folder / "scribbles" / "s0.nii.gz").array)


def test_files_that_are_no_images_are_told_and_harm_nobody(folder: Path) -> None:
    (folder / "images" / "notes.doc").write_text("hello")
    (folder / "images" / "cut.nii.gz").write_bytes((folder / "images" / "s0.nii.gz").read_bytes()[:200])
    with client(folder) as page:
        told = page.get("/api/folder").json()
        assert [case["name"] for case in told["cases"]] == ["m0", "s0", "s1"]
        assert len(told["problems"]) == 2
        refused(page.get("/api/cases/cut/slices/0/image"), 400, "cut off")


def test_a_restarted_server_knows_all(folder: Path) -> None:
    predict(folder)
    with client(folder) as page:
        page.put(f"{SLICE}/scribble?seconds=4", content=strokes().tobytes())
        page.put(f"{SLICE}/review", json={"verdict": "accepted"})
        told = page.get("/api/folder").json()
    with client(folder) as page:
        assert page.get("/api/folder").json() == told
        np.testing.assert_array_equal(plane(page.get(f"{SLICE}/scribble")), strokes())
    assert json.loads((folder / "studio.json").read_text())["cases"]["s0"]["seconds"] == {"1": 4.0}


@pytest.mark.parametrize("names", [("background", "RV", "Myo", "Mean"), ("RV", "background", "Myo", "LV")])
def test_classes_that_could_not_be_read_again_are_refused(folder: Path, names: tuple[str, ...]) -> None:
    """They were written, and from then on nothing was saved and the studio did not open the folder any more."""
    with client(folder) as page:
        before = (folder / "classes.toml").read_bytes()
        rows = [{"name": name, "colour": "#4aa8ff"} for name in names]
        refused(page.put("/api/classes", json={"classes": rows}), 400, "classes: class")
        assert (folder / "classes.toml").read_bytes() == before
        assert page.put(f"{SLICE}/scribble", content=strokes().tobytes()).status_code == 200
