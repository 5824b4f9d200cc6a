"""Images of several channels, pictures in colour, and folders that mix them."""

import json
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import own
import tiny
from maskmixadv.corpus.channels import COLOURS
from maskmixadv.errors import InputError
from maskmixadv.formats import nifti
from maskmixadv.inference.predictor import Predictor
from maskmixadv.inference.segment import segment
from maskmixadv.sources import follow
from maskmixadv.studio.images.volumes import show
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import training
from maskmixadv.studio.learning.scaling import scaled
from studio_server import SHAPE, client, plane, refused, strokes, trained

pytestmark = pytest.mark.usefixtures("unpictured")


def sequences(folder: Path, name: str, channels: int = 2, seed: int = 0) -> list[np.ndarray]:
    """Write an image with a file for each channel; returns them."""
    image = tiny.volume(seed)[0]
    arrays = [(image * 1000).astype(np.int16), ((1 - image) * 700).astype(np.int16), (image * 90).astype(np.int16)]
    for number, array in enumerate(arrays[:channels]):
        own.write(folder / "images" / f"{name}_{number:04d}.nii.gz", array)
    return arrays[:channels]


def cells(folder: Path, name: str, seed: int = 0, *, coloured: bool = True) -> np.ndarray:
    """Write a picture and its strokes; returns the picture."""
    grey, drawn = tiny.volume(seed)[0][1], tiny.volume(seed)[1][1:2]
    pixels = np.stack([grey, 1 - grey, grey / 2], -1) if coloured else grey
    picture = (pixels * 200).astype(np.uint8)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(folder / "images" / f"{name}.png")
    own.write(folder / "scribbles" / f"{name}.png", own.coded(drawn))
    return picture


def classes(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.toml").write_text(own.CLASSES)
    return folder


def predicted(layout: Layout) -> dict[str, np.ndarray]:
    return {path.name.split(".")[0]: nifti.read(path).array for path in (layout.predictions / "001").glob("*.nii.gz")}


def told(page: httpx.Client) -> dict[str, dict]:
    return {case["name"]: case for case in page.get("/api/folder").json()["cases"]}


def test_colours_are_served_as_the_picture_has_them(tmp_path: Path) -> None:
    folder = classes(tmp_path / "cells")
    picture, grey = cells(folder, "a"), cells(folder, "b", coloured=False)
    Image.fromarray(np.stack([grey] * 3, -1)).save(folder / "images" / "c.png")
    with client(folder) as page:
        cases = told(page)
        assert [case["coloured"] for case in cases.values()] == [True, False, False]
        assert cases["a"]["channels"] == [{"name": "colours", "low": 0.0, "high": 255.0, "padded": False}]
        served = page.get("/api/cases/a/slices/0/image").content
        shown = np.frombuffer(served, "<u2").reshape(*SHAPE, 3)
        np.testing.assert_array_equal(shown, picture.astype(int) * 257)  # 255 becomes 65,535
        assert plane(page.get("/api/cases/c/slices/0/image"), "<u2").max() == 65535
        page.put("/api/cases/a/slices/0/scribble", content=strokes(2).tobytes())
        np.testing.assert_array_equal(plane(page.get("/api/cases/a/slices/0/scribble")), strokes(2))


def test_channels_are_one_case_with_strokes_of_its_name(tmp_path: Path) -> None:
    folder = classes(tmp_path / "hearts")
    arrays = sequences(folder, "h")
    with client(folder) as page:
        (case,) = told(page).values()
        assert (case["name"], case["coloured"]) == ("h", False)
        assert [each["name"] for each in case["channels"]] == ["channel 0", "channel 1"]
        for number, array in enumerate(arrays):
            shown = plane(page.get(f"/api/cases/h/slices/1/image?channel={number}"), "<u2")
            scaled = (array[1] - array.min()) / (array.max() - array.min()) * 65535
            np.testing.assert_allclose(shown, scaled, atol=0.51)
        for channel in (2, -1):
            refused(page.get(f"/api/cases/h/slices/1/image?channel={channel}"), 404, "channel")
        page.put("/api/cases/h/slices/1/scribble", content=strokes().tobytes())
        assert [path.name for path in (folder / "scribbles").iterdir()] == ["h.nii.gz"]
        refused(page.put("/api/images/h.nii.gz", content=b""), 409, "there already")
        third = (folder / "images" / "h_0001.nii.gz").read_bytes()
        assert page.put("/api/images/h_0002.nii.gz", content=third).json() == {"case": "h"}
        (case,) = told(page).values()
        assert len(case["channels"]) == 3
    assert follow.current(folder).entries[0].name == "h"  # the command line's


def test_a_case_that_lacks_a_channel_is_shown_and_told(tmp_path: Path) -> None:
    folder = classes(tmp_path / "hearts")
    for number, name in enumerate(("a", "b", "c")):
        sequences(folder, name, seed=number)
        own.write(folder / "scribbles" / f"{name}.nii.gz", own.coded(tiny.volume(number)[1]))
    sequences(folder, "lacks", channels=1)
    sequences(folder, "more", channels=3)
    own.write(folder / "images" / "plain.nii.gz", tiny.volume(4)[0])
    own.write(folder / "images" / "drawn_0000.nii.gz", tiny.volume(5)[0])
    own.write(folder / "scribbles" / "drawn_0000.nii.gz", own.coded(tiny.volume(5)[1]))
    with client(folder) as page:
        lines = page.get("/api/folder").json()["problems"]
        assert list(told(page)) == ["a", "b", "c", "drawn_0000", "lacks", "more", "plain"]
        assert [line.split(":")[0] for line in lines] == [
            f"images/{name}.nii.gz" for name in ("drawn_0000", "lacks_0000", "more_0000", "plain")
        ]
        advice = ["call them drawn", "add lacks_0001.", "remove more_0002.", "call it plain_0000, and add plain_0001."]
        for line, words in zip(lines, advice, strict=True):
            assert words in line
        assert {proposal["case"] for proposal in page.get("/api/queue").json()} <= {"a", "b", "c"}
        page.put("/api/cases/lacks/slices/1/scribble", content=strokes().tobytes())
        np.testing.assert_array_equal(plane(page.get("/api/cases/lacks/slices/1/scribble")), strokes())
    layout = trained(folder)
    assert set(predicted(layout)) == {"a", "b", "c"}
    left_out = json.loads((layout.state / "001" / training.LEFT_OUT).read_text())
    assert [line.split(":")[0] for line in left_out] == ["images/drawn_0000.nii.gz", "images/lacks_0000.nii.gz"]


def many(folder: Path, name: str, channels: int, *, scribble: bool = True, seed: int = 0) -> None:
    """Write an image with `channels` channels in one file, and its strokes."""
    image, drawn, _ = tiny.volume(seed)
    stacked = np.stack([image.T * (number + 1) + number * image.T**2 for number in range(channels)], -1)
    (folder / "images").mkdir(exist_ok=True, parents=True)
    nib.save(nib.Nifti1Image((stacked * 900).astype(np.int16), own.AFFINE), folder / "images" / f"{name}.nii.gz")
    if scribble:
        own.write(folder / "scribbles" / f"{name}.nii.gz", own.coded(drawn))


def test_one_file_of_other_channels_than_most_is_the_odd_one(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=3, masked=0)
    many(folder, "odd", 3)
    with client(folder) as page:
        (line,) = page.get("/api/folder").json()["problems"]
        assert "images/odd.nii.gz: has 3 channels, most images here have one; take it to a folder" in line
        assert "odd" not in {each["case"] for each in page.get("/api/queue").json()}
        left_out, folds = page.post("/api/export", json={"what": "nnunet"}).json()["problems"]
        assert left_out == line
        assert folds.startswith("fold 0 of 'own' has no annotated case to validate on")
    layout = trained(folder)
    assert set(predicted(layout)) == {"s0", "s1", "s2"}
    assert json.loads((layout.state / "001" / training.LEFT_OUT).read_text()) == [line]
    with pytest.raises(InputError, match=r"odd\.nii\.gz: has 3 channels, allowed are images with 1"):
        follow.current(folder)


def test_most_files_of_several_channels_are_usual(tmp_path: Path) -> None:
    folder = classes(tmp_path / "hearts")
    many(folder, "a", 2)
    many(folder, "b", 2, seed=1)
    sequences(folder, "files")
    own.case(folder, "grey", 3)
    with client(folder) as page:
        (line,) = page.get("/api/folder").json()["problems"]
        assert line.startswith("images/grey.nii.gz: has one channel, most images here have 2 channels")
    assert set(predicted(trained(folder))) == {"a", "b", "files"}


def test_what_classes_toml_says_is_usual(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=2, masked=0)
    many(folder, "two", 2)
    text = (folder / "classes.toml").read_text()
    (folder / "classes.toml").write_text(text + '[[channel]]\nname = "T1"\n[[channel]]\nname = "T2"\n')
    with client(folder) as page:
        lines = page.get("/api/folder").json()["problems"]
        assert [line.split(":")[0] for line in lines] == ["images/s0.nii.gz", "images/s1.nii.gz"]


def worked(page: httpx.Client, place: str, what: str) -> None:
    """Do something to a slice that is no stroke."""
    mask = tiny.volume()[2][1].tobytes()
    match what:
        case "accepted":
            page.put(f"{place}/proposal", content=mask).raise_for_status()
        case "painted":
            page.put(f"{place}/mask", content=mask).raise_for_status()
        case _:
            page.put(f"{place}/scribble?seconds=90", content=np.full(SHAPE, 255, np.uint8).tobytes()).raise_for_status()


@pytest.mark.parametrize("what", ["accepted", "painted", "drawn and erased"])
def test_a_case_with_work_keeps_its_name_when_channels_come(tmp_path: Path, what: str) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=0, masked=0)
    own.case(folder, "p_0000", scribble=False)
    with client(folder) as page:
        worked(page, "/api/cases/p_0000/slices/1", what)
        before = told(page)["p_0000"]
        own.case(folder, "p_0001", 1, scribble=False)
        assert list(told(page)) == ["p_0000", "p_0001"]
        assert told(page)["p_0000"] == before
        if what != "drawn and erased":
            assert page.post("/api/export", json={"what": "masks"}).json()["files"] == 2


def test_work_without_an_image_is_named(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=0, masked=0)
    own.case(folder, "p", scribble=False)
    with client(folder) as page:
        worked(page, "/api/cases/p/slices/1", "accepted")
        worked(page, "/api/cases/p/slices/0", "drawn")
        (folder / "images" / "p.nii.gz").rename(folder / "images" / "q.nii.gz")
        (line,) = page.get("/api/folder").json()["problems"]
        assert line.startswith("p: no image of this name, but 1 slice accepted, 1.5 minutes of drawing; call its image")


def test_numbered_pictures_stay_images_of_their_own(tmp_path: Path) -> None:
    folder = classes(tmp_path / "cells")
    for number in range(3):
        cells(folder, f"p_{number:04d}", number)
    for path in (folder / "scribbles").iterdir():
        path.unlink()
    with client(folder) as page:
        assert list(told(page)) == ["p_0000", "p_0001", "p_0002"]


@pytest.mark.parametrize("kind", [pytest.param("colours", marks=pytest.mark.slow), "sequences"])
def test_a_training_sees_all_channels(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = classes(tmp_path / kind)
    if kind == "colours":
        for number, name in enumerate("abc"):
            cells(folder, name, number, coloured=name != "c")  # grey becomes red, green and blue
    else:
        for number, name in enumerate("ab"):
            sequences(folder, name, seed=number)
            own.write(folder / "scribbles" / f"{name}.nii.gz", own.coded(tiny.volume(number)[1]))
    layout = trained(folder)
    channels = Predictor.load(layout.runs / "001").channels
    assert (len(channels), channels == COLOURS) == ((3, True) if kind == "colours" else (2, False))
    depth = 1 if kind == "colours" else 3
    shapes = {name: labels.shape for name, labels in predicted(layout).items()}
    assert shapes == dict.fromkeys("ab", (depth, *SHAPE))
    left_out = json.loads((layout.state / "001" / training.LEFT_OUT).read_text())
    if kind == "colours":  # the grey picture is learnt from in colour, and predicted neither here nor by `predict`
        assert segment(layout.runs / "001", [folder / "images" / "c.png"], tmp_path / "out") == 2
        assert "c.png: has one channel, allowed are images with 3 (red, green, blue)" in left_out[0]
        assert left_out[0] in capfd.readouterr().err
    assert len(left_out) == (kind == "colours")
    with client(folder) as page:
        assert page.put("/api/cases/a/slices/0/review", json={"verdict": "accepted"}).status_code == 200
        answer = page.post("/api/export", json={"what": "nnunet"}).json()
        assert len(list((Path(answer["path"]) / "imagesTr").glob("a_*.nii.gz"))) == len(channels)
        assert page.post("/api/export", json={"what": "masks"}).status_code == 200
    mask = nib.load(folder / "export" / "masks" / "a.nii.gz")
    assert mask.shape == (SHAPE[1], SHAPE[0], depth)  # pyright: ignore[reportAttributeAccessIssue]


def test_padding_takes_no_contrast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = classes(tmp_path / "ct")
    image = (tiny.volume()[0] * 1500 - 1000).astype(np.int16)
    image[:, :8], image[:, -4:] = -32768, -3024
    own.write(folder / "images" / "ct.nii.gz", image)
    measured = image[image > -3000]
    with client(folder) as page:
        (channel,) = told(page)["ct"]["channels"]
        assert (channel["low"], channel["high"], channel["padded"]) == (measured.min(), measured.max(), True)
        shown = plane(page.get("/api/cases/ct/slices/1/image"), "<u2").astype(float)
    inside = image[1] > -3000
    assert (shown[~inside] == 0).all()
    scaled = (image[1] - measured.min().astype(float)) / (measured.max() - measured.min().astype(float)) * 65535
    np.testing.assert_allclose(shown[inside], scaled[inside], atol=0.51)
    assert "padding" not in capsys.readouterr().err


def test_the_channels_of_one_file_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.random.default_rng(0).random((8, 9, 3, 2)), np.diag([1.0, 1.0, 8.0, 1.0])), path)
    assert [channel.name for channel in show(path).channels] == ["channel 0", "channel 1"]


def test_channels_are_shown_once_dataset_json_names_them(tmp_path: Path) -> None:
    """The Decathlon's headers call channels times: an image stayed refused until the studio was started anew."""
    image = nib.Nifti1Image(np.random.default_rng(0).integers(0, 9, (8, 6, 3, 2)).astype(np.int16), np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    folder = classes(tmp_path / "hearts")
    (folder / "images").mkdir()
    nib.save(image, tmp_path / "a.nii.gz")
    with client(folder) as page:
        sent = (tmp_path / "a.nii.gz").read_bytes()
        refused(page.put("/api/images/a.nii.gz", content=sent), 400, "or put the dataset.json that names these beside")
        (folder / "images" / "b.nii.gz").write_bytes(sent)
        assert "b" not in told(page)
        (folder / "dataset.json").write_text('{"modality": {"0": "T2", "1": "ADC"}}')
        assert len(told(page)["b"]["channels"]) == 2
        assert page.put("/api/images/a.nii.gz", content=sent).json() == {"case": "a"}
        assert page.get("/api/folder").json()["problems"] == []


def timed(folder: Path, values: np.ndarray) -> None:
    """Save an image whose header calls its channels times, and the `dataset.json` that names them."""
    image = nib.Nifti1Image(values.astype(np.int16), np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    (folder / "images").mkdir()
    nib.save(image, folder / "images" / "b.nii.gz")
    (folder / "dataset.json").write_text('{"modality": {"0": "T2", "1": "ADC"}}')


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("anew", [False, True])
def test_channels_are_refused_once_dataset_json_is_gone(tmp_path: Path, anew: bool, alike: bool) -> None:
    """They stayed shown, and every training refused them; also where the studio was started anew."""
    folder = classes(tmp_path / "hearts")
    values = np.random.default_rng(0).integers(0, 9, (8, 6, 3, 2))
    timed(folder, values[..., :1].repeat(2, -1) if alike else values)

    def gone(page: httpx.Client) -> None:
        assert "b" not in told(page)
        (line,) = page.get("/api/folder").json()["problems"]
        assert "put the dataset.json" in line
        assert page.get("/api/cases/b/slices/0/image").status_code == 400

    with client(folder) as page:
        assert "b" in told(page)
        page.get("/api/cases/b/slices/0/image").raise_for_status()
        kept = (folder / "dataset.json").read_text()
        (folder / "dataset.json").unlink()
        if not anew:
            gone(page)
            (folder / "dataset.json").write_text(kept)
            assert "b" in told(page)
            (folder / "dataset.json").write_text('{"modality": {"0": "T2"}}')
            gone(page)
    if anew:
        with client(folder) as page:
            gone(page)


def test_intensities_are_interpolated_bit_for_bit() -> None:
    """They are looked up; a proposal says the same as when each was interpolated."""
    pixels = np.random.default_rng(0).integers(0, 2**16, (40, 50, 3)).astype(np.uint16)
    for bend in (((50.0, 0.0), (60_000.0, 1.0)), ((0.5, 0.0), (7.25, 0.4), (65_535.0, 1.0))):
        values, become = zip(*bend, strict=True)
        expected = np.interp(pixels, values, become).astype(np.float32)
        assert scaled(pixels, bend).tobytes() == expected.tobytes()
