"""DICOM pictures in corpora and predictions: beside their drawings, in studies, and as what `predict` is given."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset

import own
import tiny
from dicom_pictures import CINE, CR, CT, SC, US, colours, write_picture
from dicoms import AXIAL, pixels, write_series
from maskmixadv.checking.check import check
from maskmixadv.cli.app import run
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.formats import image_files, seg, series
from maskmixadv.sources import dicom, folder

NAMES = ("background", "bone")
STORED = (tiny.volume()[0] * 900).astype(np.uint16)
MASKS = tiny.volume()[2]
SCRIBBLES = tiny.volume()[1]


def loaded(corpus: Corpus) -> dict[str, np.ndarray]:
    return {entry.name: corpus.load(entry).image for entry in corpus.entries}


def own_folder(root: Path) -> Path:
    """X-rays of one series in one folder, each with strokes or a mask."""
    for number, kind in enumerate(("scribbles", "scribbles", "masks")):
        write_picture(root / "images" / f"x{number}.dcm", STORED[number % 3], uid=CR, series="1.2.3")
        (root / kind).mkdir(exist_ok=True)
        labels = MASKS if kind == "masks" else own.coded(SCRIBBLES)
        Image.fromarray(labels[number % 3]).save(root / kind / f"x{number}.png")
    (root / "classes.toml").write_text(own.CLASSES)
    return root


def test_pictures_of_one_folder_are_cases_of_their_own(tmp_path: Path) -> None:
    corpus = folder.prepare(own_folder(tmp_path / "hands"), tmp_path / "corpus")
    assert [(entry.name, entry.shape, entry.scribble, entry.dense) for entry in corpus.entries] == [
        ("x0", (1, *STORED.shape[1:]), True, False),
        ("x1", (1, *STORED.shape[1:]), True, False),
        ("x2", (1, *STORED.shape[1:]), False, True),
    ]
    for number, entry in enumerate(corpus.entries):
        case = corpus.load(entry)
        assert case.spacing is None
        drawn, expected = (case.scribble, SCRIBBLES) if number < 2 else (case.dense, MASKS)
        assert drawn is not None
        np.testing.assert_array_equal(drawn, expected[number][None])
    assert check(corpus)[1] == []


def test_colours_have_three_channels_and_notes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = STORED.shape[1:]

    def at_detector(one: FileDataset) -> None:
        one.ImagerPixelSpacing = [0.2, 0.2]

    for name in "ab":
        write_picture(tmp_path / "s/images" / f"{name}.dcm", colours(shape=shape), uid=US, change=at_detector)
        (tmp_path / "s/masks").mkdir(exist_ok=True)
        Image.fromarray(MASKS[1]).save(tmp_path / "s/masks" / f"{name}.png")
    (tmp_path / "s" / "classes.toml").write_text(own.CLASSES)
    corpus = folder.prepare(tmp_path / "s", tmp_path / "corpus")
    assert [channel.kind for channel in corpus.channels] == ["RGB"] * 3
    assert "(ImagerPixelSpacing), so lengths are magnified in a.dcm, b.dcm" in capsys.readouterr().err
    assert corpus.entries[0].spacing == pytest.approx((1.0, 0.2, 0.2))


def study(root: Path, name: str, number: int, *, patient: str = "p", series: str = "") -> Path:
    def spaced(one: FileDataset) -> None:
        one.PixelSpacing = [1.5, 1.5]

    return write_picture(root / name, STORED[number], patient=patient, series=series, change=spaced)


def test_each_picture_of_a_study_is_a_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Named by its file, of the patient that its header names; a SEG finds the picture of its series."""
    source = tmp_path / "study"
    for number, patient in enumerate(("p1", "p1", "p2")):
        study(source / patient, f"IM{number}", number, patient=patient, series="1.2.7" if number < 2 else "")
    image = image_files.read(source / "p1" / "IM1")
    image_files.write_labels(source / "seg.dcm", np.minimum(MASKS[1:2], 1), image, NAMES)
    write_picture(source / "film.dcm", np.stack([STORED[0]] * 4), uid=CINE)
    corpus = dicom.prepare(source, tmp_path / "corpus")
    assert [(each.name, each.patient, each.dense) for each in corpus.entries] == [
        ("p1_IM0", "p1", False), ("p1_IM1", "p1", True), ("p2_IM2", "p2", False),
    ]  # fmt: skip
    np.testing.assert_array_equal(corpus.load(corpus.entries[1]).dense, np.minimum(MASKS[1:2], 1))
    assert corpus.channels[0].kind == "MR"
    said = capsys.readouterr().err
    assert "without a SEG, so without annotation: p1_IM0, p2_IM2" in said
    assert "passed over, as a file has 4 frames of class 'Ultrasound Multi-frame Image Storage' without a place" in said
    assert "save the frames that count as files of their own: 1 file (film.dcm)" in said


def test_pictures_in_colour_and_grey_are_one_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(tmp_path / "s", "grey.dcm", 0)
    write_picture(tmp_path / "s" / "colour.dcm", colours(shape=STORED.shape[1:]), uid=US)
    corpus = dicom.prepare(tmp_path / "s", tmp_path / "corpus")
    assert [channel.kind for channel in corpus.channels] == ["RGB"] * 3
    assert {name: each.shape[0] for name, each in loaded(corpus).items()} == {"colour": 3, "grey": 3}
    assert "grey becomes red, green and blue in grey" in capsys.readouterr().err
    (tmp_path / "s" / "classes.toml").write_text(own.CLASSES + '\n[[channel]]\nname = "light"\n')
    corpus = dicom.prepare(tmp_path / "s", tmp_path / "other")
    assert {name: each.shape[0] for name, each in loaded(corpus).items()} == {"colour": 1, "grey": 1}
    assert "colours become grey in colour" in capsys.readouterr().err


def test_a_screenshot_does_not_change_a_corpus_of_ct(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its Modality is that of the scanner, its numbers are no Hounsfield units, and it has no SEG."""

    def ct(_: int, one: FileDataset) -> None:
        one.Modality, one.RescaleSlope, one.RescaleIntercept = "CT", 1, -1024

    def of_ct(one: FileDataset) -> None:
        one.Modality = "CT"

    write_series(tmp_path / "s" / "ct", pixels(), change=ct)
    write_picture(tmp_path / "s" / "dose.dcm", colours(), uid=SC, change=of_ct)
    corpus = dicom.prepare(tmp_path / "s", tmp_path / "corpus")
    assert [entry.name for entry in corpus.entries] == ["ct"]
    assert corpus.channels[0].kind == "CT"
    said = "passed over, as pictures without a SEG beside series: 1 file (dose.dcm); prepare them apart"
    assert said in capsys.readouterr().err
    shutil.rmtree(tmp_path / "s" / "ct")
    alone = dicom.prepare(tmp_path / "s", tmp_path / "alone")
    assert alone.channels[0].kind == "RGB"
    write_picture(tmp_path / "t" / "dose.dcm", STORED[0], uid=SC, change=of_ct)
    assert dicom.prepare(tmp_path / "t", tmp_path / "grey").channels[0].kind == "MR"


def test_what_was_found_instead_of_images_is_said(tmp_path: Path) -> None:
    source = write_series(tmp_path / "ct", STORED, directions=AXIAL)
    (tmp_path / "seg").mkdir()
    series.read(source).geometry.write_labels(tmp_path / "seg" / "a.dcm", MASKS, tiny.CLASSES)
    shutil.copy(tmp_path / "seg" / "a.dcm", tmp_path / "a.dcm")
    with pytest.raises(
        InputError, match="seg: no DICOM image series found in it; 1 SEG without the images that it is of"
    ):
        dicom.prepare(tmp_path / "seg", tmp_path / "corpus")
    write_picture(tmp_path / "bare" / "ct.dcm", STORED[0], uid=CT)
    shutil.copy(tmp_path / "seg" / "a.dcm", tmp_path / "seg" / "b.dcm")
    shutil.copytree(tmp_path / "seg", tmp_path / "bare" / "seg")
    said = r"2 SEGs without the images that they are of; .* images without ImagePositionPatient: 1 file \(ct\.dcm\)"
    with pytest.raises(InputError, match=said):
        dicom.prepare(tmp_path / "bare", tmp_path / "corpus")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="found in it; DICOM files have 'DICM' at byte 128"):
        dicom.prepare(tmp_path / "none", tmp_path / "corpus")


def test_predict_writes_a_segmentation_of_each_picture(
    tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it writes of a picture is what it writes of the same TIFF."""
    images = tmp_path / "images"
    for number in range(2):
        study(images, f"x{number}.dcm", number, series="1.2.3")
    write_picture(images / "film.dcm", np.stack([STORED[0]] * 4), uid=CINE)
    (tmp_path / "tiff").mkdir()
    Image.fromarray(STORED[0]).save(tmp_path / "tiff" / "x0.tif")
    (tmp_path / "tiff" / "x0.json").write_text('{"spacing": [1, 1.5, 1.5]}')
    predict = ["predict", str(trained), "--pieces", "all"]
    assert run([*predict, str(images), "--out", str(tmp_path / "all")]) == 2
    captured = capsys.readouterr()
    assert "film.dcm: has 4 frames of class 'Ultrasound Multi-frame Image Storage'" in captured.err
    assert "2 of 3 volumes segmented" in captured.out
    assert sorted(path.name for path in (tmp_path / "all").glob("*.dcm")) == ["x0.dcm", "x1.dcm"]
    assert run([*predict, str(images / "x0.dcm"), "--out", str(tmp_path / "one")]) == 0
    assert run([*predict, str(tmp_path / "tiff"), "--out", str(tmp_path / "flat")]) == 0
    image = image_files.read(images / "x0.dcm")
    expected = image_files.read_labels(tmp_path / "flat" / "x0.tif").array
    assert expected.any()
    for place in ("one", "all"):
        np.testing.assert_array_equal(seg.read(tmp_path / place / "x0.dcm", image, tiny.CLASSES), expected)
    alone = study(tmp_path / "alone", "x0.dcm", 0)
    assert run([*predict, str(alone.parent), "--out", str(tmp_path / "file")]) == 0
    assert (tmp_path / "file" / "x0.dcm").exists()
