"""DICOM series in the studio: folders and zips in ``images/``, and sent by the page."""

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom.dataset import FileDataset

import own
import tiny
from dicom_pictures import CINE, PHOTO, colours, write_picture
from dicoms import AXIAL, packed, write_contours, write_series
from enhanced import classic, write_enhanced
from maskmixadv.formats import image_files, nifti, seg, zipped
from maskmixadv.sources.opening import open_corpus
from maskmixadv.studio import cache
from maskmixadv.studio.http import protect
from studio_server import SHAPE, client, plane, refused, same_grid, strokes, trained

VOXELS = (tiny.volume()[0] * 900).astype(np.uint16)


def series(folder: Path, name: str = "heart") -> Path:
    return write_series(folder / name, VOXELS, directions=AXIAL)


def body(files: dict[str, bytes]) -> bytes:
    return b"".join(
        json.dumps({"name": name, "size": len(content)}).encode() + b"\n" + content for name, content in files.items()
    )


def sent(source: Path) -> bytes:
    return body({file.name: file.read_bytes() for file in sorted(source.iterdir())})


def told(page: httpx.Client) -> tuple[list[str], list[str]]:
    answer = page.get("/api/folder").json()
    return [case["name"] for case in answer["cases"]], answer["problems"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hearts" / "images").mkdir(parents=True)
    (tmp_path / "hearts" / "classes.toml").write_text(own.CLASSES)
    return tmp_path / "hearts"


@pytest.fixture
def page(folder: Path) -> Iterator[httpx.Client]:
    with client(folder) as trusted:
        yield trusted


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_series_is_shown_drawn_on_learnt_from_and_exported(folder: Path, tmp_path: Path, kind: str) -> None:
    source = series(folder / "images" if kind == "folder" else tmp_path)
    image = source if kind == "folder" else packed(source, folder / "images" / "heart.zip")
    volume = image_files.read(source)
    with client(folder) as page:
        assert told(page) == (["heart"], [])
        (case,) = page.get("/api/folder").json()["cases"]
        assert (case["shape"], case["spacing"]) == ([3, *SHAPE], [6.0, 0.9, 0.7])
        assert case["edges"] == [["F", "H"], ["A", "P"], ["R", "L"]]
        shown = plane(page.get("/api/cases/heart/slices/1/image"), "<u2")
        scaled = (VOXELS[1] - float(VOXELS.min())) / float(np.ptp(VOXELS)) * 65535
        np.testing.assert_allclose(shown, scaled, atol=0.51)
        page.put("/api/cases/heart/slices/1/scribble", content=strokes().tobytes())
        same_grid(nifti.read(folder / "scribbles" / "heart.nii.gz"), volume)
        painted = tiny.volume()[2]
        for index, labels in enumerate(painted):
            assert page.put(f"/api/cases/heart/slices/{index}/mask", content=labels.tobytes()).status_code == 200
        assert page.post("/api/export", json={"what": "masks"}).status_code == 200
        assert page.post("/api/export", json={"what": "seg"}).json()["problems"] == []
    mask = nifti.read(folder / "export" / "masks" / "heart.nii.gz")
    same_grid(mask, volume)
    np.testing.assert_array_equal(mask.array, painted)
    np.testing.assert_array_equal(seg.read(folder / "export/seg/heart.dcm", volume, tiny.CLASSES), painted)
    corpus = open_corpus(folder)
    scribble = corpus.load(corpus.entries[0]).scribble
    assert scribble is not None
    np.testing.assert_array_equal(scribble[1], strokes())
    assert image_files.labels_name(image) == "heart.dcm"


@pytest.mark.parametrize("kind", ["file", "folder", "zip"])
def test_a_multi_frame_file_is_shown_drawn_on_and_exported(folder: Path, tmp_path: Path, kind: str) -> None:
    source = series(tmp_path)
    name = {"file": "heart.dcm", "folder": "heart/IM_0001", "zip": "alone/IM_0001"}[kind]
    file = write_enhanced(folder / "images" / name if kind != "zip" else tmp_path / name, classic(source))
    if kind == "zip":
        packed(file.parent, folder / "images" / "heart.zip")
    volume = image_files.read(source)
    painted = tiny.volume()[2]
    with client(folder) as page:
        assert told(page) == (["heart"], [])
        (case,) = page.get("/api/folder").json()["cases"]
        assert (case["shape"], case["spacing"]) == ([3, *SHAPE], [6.0, 0.9, 0.7])
        assert case["edges"] == [["F", "H"], ["A", "P"], ["R", "L"]]
        shown = plane(page.get("/api/cases/heart/slices/1/image"), "<u2")
        scaled = (VOXELS[1] - float(VOXELS.min())) / float(np.ptp(VOXELS)) * 65535
        np.testing.assert_allclose(shown, scaled, atol=0.51)
        page.put("/api/cases/heart/slices/1/scribble", content=strokes().tobytes())
        same_grid(nifti.read(folder / "scribbles" / "heart.nii.gz"), volume)
        for index, labels in enumerate(painted):
            assert page.put(f"/api/cases/heart/slices/{index}/mask", content=labels.tobytes()).status_code == 200
        assert page.post("/api/export", json={"what": "seg"}).json()["problems"] == []
    for image in (volume, image_files.read(file)):
        np.testing.assert_array_equal(seg.read(folder / "export/seg/heart.dcm", image, tiny.CLASSES), painted)
    corpus = open_corpus(folder)
    scribble = corpus.load(corpus.entries[0]).scribble
    assert scribble is not None
    np.testing.assert_array_equal(scribble[1], strokes())


def test_a_folder_with_a_multi_frame_file_may_be_sent(page: httpx.Client, folder: Path, tmp_path: Path) -> None:
    file = write_enhanced(tmp_path / "alone" / "IM_0001.dcm", classic(series(tmp_path)))
    assert page.put("/api/images/heart/series", content=sent(file.parent)).json() == {"case": "heart"}
    assert (folder / "images" / "heart" / file.name).read_bytes() == file.read_bytes()
    assert page.put("/api/images/other.dcm", content=file.read_bytes()).json() == {"case": "other"}


def test_contours_are_named_on_the_page(folder: Path) -> None:
    images, said = folder / "images", "contours of RTSTRUCT are not read, export them as a SEG or NIfTI"
    source = series(images)
    write_contours(images / "rt.dcm", source)
    write_contours(source / "RS.1", source)
    (images / "only").mkdir()
    write_contours(images / "only" / "RS.2", source)
    with client(folder) as page:
        for _ in range(2):
            cases, problems = told(page)
            assert cases == ["heart"]
            assert f"images/heart: {said}: RS.1" in problems
            assert f"images/rt.dcm: {said}" in problems
            (other,) = [line for line in problems if "images/only" in line]
            assert f"holds no DICOM image series ({said}: 1 file (RS.2))" in other
            assert len(problems) == 3
        (source / "RS.1").unlink()
        assert len(told(page)[1]) == 2


@pytest.mark.slow
def test_a_training_learns_from_series_and_predicts_them(folder: Path, tmp_path: Path) -> None:
    series(folder / "images")
    packed(series(tmp_path), folder / "images" / "other.zip")
    with client(folder) as page:
        page.put("/api/cases/heart/slices/1/scribble", content=strokes().tobytes())
    layout = trained(folder)
    assert {path.name for path in (layout.predictions / "001").glob("*.nii.gz")} == {"heart.nii.gz", "other.nii.gz"}
    same_grid(nifti.read(layout.predictions / "001" / "other.nii.gz"), image_files.read(folder / "images" / "heart"))


def test_a_series_that_is_wrong_is_one_line_and_the_others_work(folder: Path) -> None:
    images = folder / "images"
    series(images)
    twice, cut = (series(images, name) for name in ("twice", "cut"))
    gap = write_series(images / "gap", np.concatenate([VOXELS, VOXELS]), directions=AXIAL)
    next(each for each in gap.iterdir() if _slice(each) == 2).unlink()
    shutil.copy(sorted(twice.iterdir())[0], twice / "copy")
    for each in cut.iterdir():
        each.write_bytes(each.read_bytes()[:3000])
    (images / "notes").mkdir()
    (images / "notes" / "read me").write_text("nothing")
    (images / "bad.zip").write_bytes(b"no zip")
    with client(folder) as page:
        cases, problems = told(page)
        assert cases == ["heart"]
        lines = {line.split(":")[0].removeprefix("images/").split("/")[0]: line for line in problems}
        assert len(problems) == 5
        assert "put images beside it" in lines["notes"]
        assert "unpack it into a folder of its own" in lines["bad.zip"]
        assert "export it" in lines["cut"]
        assert "take one of the two away" in lines["twice"]
        assert "add what is missing" in lines["gap"]
        shutil.rmtree(cut)
        series(images, "cut")  # mended
        assert told(page)[0] == ["cut", "heart"]


def _slice(path: Path) -> int:
    import pydicom

    return round((float(pydicom.dcmread(path).ImagePositionPatient[2]) - 40.0) / 6.0)


def test_a_file_that_changes_in_its_folder_is_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "FRESH", 1e-9)
    source = series(folder / "images")
    with client(folder) as page:
        assert told(page)[0] == ["heart"]
        file = sorted(source.iterdir())[0]
        whole = file.read_bytes()
        file.write_bytes(whole[:1000])
        cases, (problem,) = told(page)
        assert (cases, file.name in problem) == ([], True)
        file.write_bytes(whole)
        assert told(page) == (["heart"], [])


def test_links_out_of_the_folder_are_not_followed(folder: Path, tmp_path: Path) -> None:
    source, outside = series(folder / "images"), series(tmp_path / "outside")
    file = sorted(source.iterdir())[0]
    file.unlink()
    file.symlink_to(sorted(outside.iterdir())[0])
    (folder / "images" / "linked").symlink_to(outside)
    with client(folder) as page:
        cases, problems = told(page)
        assert cases == []
        assert ["link out of" in line for line in problems] == [True, True]


def test_a_folder_that_is_sent_is_a_series_in_images(page: httpx.Client, folder: Path, tmp_path: Path) -> None:
    source = series(tmp_path)
    assert page.put("/api/images/heart 1/series", content=sent(source)).json() == {"case": "heart 1"}
    kept = folder / "images" / "heart 1"
    assert {file.name: file.read_bytes() for file in kept.iterdir()} == {
        file.name: file.read_bytes() for file in source.iterdir()
    }
    refused(page.put("/api/images/HEART 1/series", content=sent(source)), 409, "there already")
    zip_file = packed(source, tmp_path / "a.zip").read_bytes()
    refused(page.put("/api/images/heart 1.zip", content=zip_file), 409, "there already")
    assert page.put("/api/images/b.zip", content=zip_file).json() == {"case": "b"}
    assert (folder / "images" / "b.zip").read_bytes() == zip_file
    assert told(page) == (["b", "heart 1"], [])


def test_what_is_no_series_leaves_nothing(page: httpx.Client, folder: Path, tmp_path: Path) -> None:
    source = series(tmp_path)
    files = {file.name: file.read_bytes() for file in sorted(source.iterdir())}
    first = next(iter(files))
    put = "/api/images/new/series"
    refused(page.put(put, content=b""), 400, "cut off")
    refused(page.put(put, content=sent(source)[:-1]), 400, "cut off")
    refused(page.put(put, content=b"{}\n"), 400, "malformed")
    refused(page.put(put, content=b"x" * 5000), 400, "malformed")
    refused(page.put(put, content=body(files) + body({first: b"x"})), 400, first, "two files")
    refused(page.put(put, content=body({"a.txt": b"text"})), 400, "new: holds 0 DICOM image series")
    refused(page.put(put, content=body({**files, first: files[first][:900]})), 400, f"new/{first}")
    for name in ("../x", "/etc/x", "a\\b", ".hidden", "", "a\nb", "a\0b"):
        refused(page.put(put, content=body({name: b"x"})), 400, "file names of a series")
    for name in (".hidden", "a.txt", "x%2F..%2Fy", "dot.", "-a"):
        assert page.put(f"/api/images/{name}/series", content=sent(source)).status_code in (400, 404, 405)
    assert not list((folder / "images").iterdir())
    assert [path.name for path in (folder / ".studio").iterdir() if "partial" in path.name] == []
    assert not (tmp_path / "x").exists()


def test_a_series_may_have_a_size(page: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protect, "MOST_BYTES", 20_000)
    content = body({"a": bytes(30_000)})
    refused(page.put("/api/images/new/series", content=content), 413, "20000 bytes")
    pieces = (content[at : at + 5000] for at in range(0, len(content), 5000))
    refused(page.put("/api/images/new/series", content=pieces), 413, "20000 bytes")
    assert not list((folder / "images").iterdir())
    assert [path.name for path in (folder / ".studio").iterdir() if "partial" in path.name] == []


def archive(*members: tuple[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as made:
        for name, content in members:
            made.writestr(name, content)
    return out.getvalue()


def test_zips_that_mean_harm_are_one_line(
    page: httpx.Client, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    slice_ = sorted(series(tmp_path).iterdir())[0].read_bytes()
    refused(
        page.put("/api/images/a.zip", content=archive(("../../out", b"x"), ("/tmp/out", b"y"))), 400, "a.zip: holds 0"
    )
    assert page.put("/api/images/out.zip", content=archive(("../../../out", slice_))).json() == {"case": "out"}
    monkeypatch.setattr("maskmixadv.studio.images.intake.MOST_UNPACKED", 2**20)
    refused(page.put("/api/images/a.zip", content=archive(("a", bytes(2**21)))), 413, "a.zip: declares 1 file,")
    lying = archive(("a", bytes(2**19))).replace((2**19).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    refused(page.put("/api/images/a.zip", content=lying), 400, "a.zip")
    monkeypatch.setattr(zipped, "MOST_LISTED", 1000)
    refused(page.put("/api/images/a.zip", content=archive(*((f"{n:05d}", b"") for n in range(99)))), 400, "too long")
    monkeypatch.setattr(zipped, "MOST_FILES", 5)
    refused(page.put("/api/images/a.zip", content=archive(*((f"{n}", b"") for n in range(6)))), 400, "holds 6 files")
    refused(page.put("/api/images/a.zip", content=archive(("a", b"x"), packing=zipfile.ZIP_LZMA)), 400, "unknown way")
    encrypted = bytearray(archive(("a", b"x")))
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    refused(page.put("/api/images/a.zip", content=bytes(encrypted)), 400, "is encrypted; unpack it")
    assert [path.name for path in (folder / "images").iterdir()] == ["out.zip"]
    assert not list((tmp_path / "temporary").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"hearts", "heart", "temporary"}


def test_pictures_are_shown_drawn_on_learnt_from_and_exported(folder: Path) -> None:
    """X-rays of one series lie side by side in images/, and are cases of their own."""

    def spaced(one: FileDataset) -> None:
        one.ImagerPixelSpacing = [0.5, 0.4]

    for name, plane_ in (("left.dcm", VOXELS[0]), ("right", VOXELS[1])):
        write_picture(folder / "images" / name, plane_, series="1.2.3", change=spaced)
    painted = tiny.volume()[2][0]
    with client(folder) as page:
        assert told(page) == (["left", "right"], [])
        case = page.get("/api/folder").json()["cases"][0]
        assert (case["shape"], case["spacing"], case["edges"]) == ([1, *SHAPE], [1.0, 0.5, 0.4], None)
        detector, flat = case["notes"]
        assert "at the detector (ImagerPixelSpacing), so lengths are magnified" in detector
        assert "no thickness is said" in flat
        shown = plane(page.get("/api/cases/right/slices/0/image"), "<u2")
        scaled = (VOXELS[1] - float(VOXELS[1].min())) / float(np.ptp(VOXELS[1])) * 65535
        np.testing.assert_allclose(shown, scaled, atol=0.51)
        page.put("/api/cases/left/slices/0/scribble", content=strokes().tobytes())
        assert page.put("/api/cases/right/slices/0/mask", content=painted.tobytes()).status_code == 200
        assert page.post("/api/export", json={"what": "masks"}).status_code == 200
        assert page.post("/api/export", json={"what": "seg"}).status_code == 200
    with client(folder) as page:
        assert page.get("/api/folder").json()["cases"][0]["notes"] == [detector, flat], "kept with the image's facts"
    image = image_files.read(folder / "images" / "right")
    np.testing.assert_array_equal(seg.read(folder / "export/seg/right.dcm", image, tiny.CLASSES)[0], painted)
    mask = nifti.read(folder / "export" / "masks" / "right.nii.gz")
    np.testing.assert_array_equal(mask.array[0], painted)
    assert mask.spacing == pytest.approx((1.0, 0.5, 0.4))
    corpus = open_corpus(folder)
    case_ = corpus.load(next(entry for entry in corpus.entries if entry.name == "left"))
    assert case_.scribble is not None
    np.testing.assert_array_equal(case_.scribble[0], strokes())


def test_dicom_files_that_are_images_may_be_sent(page: httpx.Client, folder: Path, tmp_path: Path) -> None:
    """A picture and a multi-frame file; slices, films and several pictures of a folder are refused in a line."""
    picture = write_picture(tmp_path / "in" / "hand.dcm", VOXELS[0])
    colour = write_picture(tmp_path / "in" / "skin.DCM", colours(shape=SHAPE), uid=PHOTO)
    enhanced = write_enhanced(tmp_path / "e.dcm", classic(series(tmp_path)))
    assert page.put("/api/images/hand.dcm", content=picture.read_bytes()).json() == {"case": "hand"}
    assert page.put("/api/images/skin.DCM", content=colour.read_bytes()).json() == {"case": "skin"}
    assert page.put("/api/images/heart.ima", content=enhanced.read_bytes()).json() == {"case": "heart"}
    assert sorted(path.name for path in (folder / "images").iterdir()) == ["hand.dcm", "heart.ima", "skin.DCM"]
    refused(page.put("/api/images/hand.dcm", content=picture.read_bytes()), 409, "is there already")
    refused(page.put("/api/images/hand.png", content=picture.read_bytes()), 409, "is there already")
    film = write_picture(tmp_path / "film.dcm", np.stack([VOXELS[0]] * 3), uid=CINE)
    refused(page.put("/api/images/film.dcm", content=film.read_bytes()), 400, "film.dcm: has 3 frames of class")
    slice_ = sorted((tmp_path / "heart").iterdir())[0]
    refused(page.put("/api/images/one.dcm", content=slice_.read_bytes()), 400, "is one file of a DICOM series")
    refused(page.put("/api/images/text.dcm", content=b"text"), 400, "is called a DICOM file and is none")
    refused(page.put("/api/images/two/series", content=sent(tmp_path / "in")), 400, "holds 2 pictures")
    shutil.copy(film, folder / "images" / "film.dcm")
    assert any("film.dcm: has 3 frames of class" in line for line in told(page)[1])
