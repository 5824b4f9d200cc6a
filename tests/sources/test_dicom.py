"""DICOM: slices find their place whatever their files are called, and segmentations theirs."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

import own
import tiny
from dicoms import AXIAL, OBLIQUE, Change, pixels, write_contours, write_seg, write_series
from enhanced import classic, write_enhanced
from maskmixadv.cli.app import run
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.formats import dicom_geometry, image_files, seg, series
from maskmixadv.formats.details.class_colours import cielab, colour_of
from maskmixadv.inference.predictor import Predictor
from maskmixadv.sources import dicom, folder


@pytest.mark.parametrize("directions", [OBLIQUE, AXIAL, ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))])
def test_a_series_lies_where_dicom_says(tmp_path: Path, directions: Any) -> None:
    array = pixels()
    volume = series.read(write_series(tmp_path / "s", array, directions=directions))
    np.testing.assert_array_equal(volume.array, array)
    assert volume.spacing == pytest.approx((6.0, 0.9, 0.7))
    assert series.peek(tmp_path / "s") == ((5, 7, 4), volume.spacing)
    assert volume.affine is not None
    for d, h, w in ((0, 0, 0), (4, 6, 3), (2, 1, 3), (1, 5, 0)):
        # PS3.3 C.7.6.2.1.1: position + column index * spacing between columns * row direction + …
        lps = np.array([-31.0, 12.5, 40.0]) + w * 0.7 * np.array(directions[0]) + h * 0.9 * np.array(directions[1])
        lps += d * 6.0 * np.cross(*directions)
        np.testing.assert_allclose(volume.affine @ [w, h, d, 1], [-lps[0], -lps[1], lps[2], 1], atol=1e-9)


@pytest.mark.parametrize("directions", [OBLIQUE, ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))])
def test_itk_finds_each_voxel_where_we_do(tmp_path: Path, directions: Any) -> None:
    volume = series.read(write_series(tmp_path / "s", pixels(), directions=directions))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "s")))
    image = reader.Execute()
    assert volume.affine is not None
    for index in np.ndindex(4, 7, 5):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        w, h, d = np.rint((np.linalg.inv(volume.affine) @ [*(lps * [-1, -1, 1]), 1])[:3]).astype(int)
        assert volume.array[d, h, w] == image[index]


def test_intensities_are_rescaled_slice_by_slice(tmp_path: Path) -> None:
    def rescale(number: int, one: FileDataset) -> None:
        one.RescaleSlope, one.RescaleIntercept = 0.5 * (number + 1), -1000

    array = pixels()
    volume = series.read(write_series(tmp_path / "s", array, change=rescale))
    slopes = 0.5 * np.arange(1, 6)[:, None, None]
    np.testing.assert_allclose(volume.array, array * slopes - 1000, atol=1e-3)


def attribute(name: str, value: Any, at: int = 2) -> Change:
    return lambda number, one: setattr(one, name, value) if number == at else None


def removed(name: str) -> Change:
    return lambda _, one: delattr(one, name)


def moved(number: int, one: FileDataset) -> None:
    if number == 2:
        one.ImagePositionPatient = (np.array(one.ImagePositionPatient, float) + 3.0 * np.array(OBLIQUE[0])).tolist()


def double(number: int, one: FileDataset) -> None:
    """Two phases of a moving organ: each place comes twice."""
    one.ImagePositionPatient = (np.array([-31.0, 12.5, 40.0]) + number // 2 * 6.0 * np.cross(*OBLIQUE)).tolist()


def missing(number: int, one: FileDataset) -> None:
    if number > 2:
        one.ImagePositionPatient = (np.array(one.ImagePositionPatient, float) + 6.0 * np.cross(*OBLIQUE)).tolist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (attribute("PixelSpacing", [0.8, 0.7]), r"PixelSpacing is \[0\.8, 0\.7\]"),
        (attribute("ImageOrientationPatient", [1, 0, 0, 0, 1, 0]), "ImageOrientationPatient is"),
        (attribute("SeriesInstanceUID", "1.2.3"), "holds 2 DICOM image series, allowed is one"),
        (moved, "lies 3 mm beside the line"),
        (missing, r"the next slice is 12 mm away, others 6 mm"),
        (double, "lies where .* does; sort phases"),
        (removed("PixelSpacing"), "lacks PixelSpacing"),
        (removed("PixelData"), "pixels can't be read"),
        (attribute("RescaleSlope", 2), "lacks RescaleSlope, which .* has; split the series"),
        (attribute("RescaleType", "HU"), "RescaleType is 'HU', but ''"),
        (attribute("SamplesPerPixel", 3), "3 samples a pixel, allowed is one"),
        (attribute("NumberOfFrames", 4), "multi-frame"),
    ],
)
def test_a_wrong_series_is_named(tmp_path: Path, change: Change, words: str) -> None:
    write_series(tmp_path / "s", pixels(), change=change)
    with pytest.raises(InputError, match=words) as caught:
        series.read(tmp_path / "s")
    assert str(tmp_path / "s") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_slice_is_as_thick_as_it_says(tmp_path: Path) -> None:
    volume = series.read(write_series(tmp_path / "s", pixels()[:1]))
    assert volume.spacing == pytest.approx((5.0, 0.9, 0.7))


def test_a_segmentation_comes_back_from_where_it_went(tmp_path: Path) -> None:
    """Empty slices at the ends and within, and an oblique grid; segments lie where highdicom says."""
    written = write_series(tmp_path / "s", pixels())
    labels = np.zeros((5, 7, 4), np.uint8)
    labels[1, 2:5, 1:3], labels[3, 0, 0], labels[3, 6, 3] = 1, 2, 3
    write_seg(tmp_path / "seg.dcm", written, labels)
    image = series.read(written)
    np.testing.assert_array_equal(seg.read(tmp_path / "seg.dcm", image, tiny.CLASSES), labels)
    assert seg.names(tmp_path / "seg.dcm") == ["RV", "Myo", "LV"]
    header = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (header.PatientID, header.Modality) == ("p", "SEG")
    assert [each.RecommendedDisplayCIELabValue for each in header.SegmentSequence] == [
        cielab(colour_of(code)) for code in (1, 2, 3)
    ]
    assert header.FrameOfReferenceUID == pydicom.dcmread(next(written.iterdir())).FrameOfReferenceUID
    volume = hd.seg.segread(tmp_path / "seg.dcm").get_volume(segment_numbers=[3], combine_segments=True)
    (index,) = np.argwhere(volume.array)
    lps = (volume.affine @ [*index, 1])[:3]
    assert image.affine is not None
    np.testing.assert_allclose(image.affine @ [3, 6, 3, 1], [*(lps * [-1, -1, 1]), 1], atol=1e-4)


@pytest.mark.parametrize("said", [None, "ISO_IR 100"])
@pytest.mark.parametrize("name", ["Höhle", "左心室", "x" * 70])
def test_a_segment_is_called_as_its_class_is(tmp_path: Path, said: str | None, name: str) -> None:
    """Characters that the image's character set lacks became question marks, and long names were cut."""

    def change(_: int, one: FileDataset) -> None:
        if said:
            one.SpecificCharacterSet, one.PatientName = said, "Müller^J"

    written = write_series(tmp_path / "s", pixels(), change=change)
    labels, names = np.ones((5, 7, 4), np.uint8), ("background", name)
    write_seg(tmp_path / "seg.dcm", written, labels, names)
    np.testing.assert_array_equal(seg.read(tmp_path / "seg.dcm", series.read(written), names), labels)
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (made.PatientName, made.SegmentSequence[0].SegmentLabel) == ("Müller^J" if said else "A^B", name[:64])
    fits = name.isascii() or (said is not None and name == "Höhle")
    assert made.get("SpecificCharacterSet") == (said if fits else "ISO_IR 192")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("a\\b",), "has a backslash, by which DICOM parts"),
        (("x" * 64 + "1", "x" * 64 + "2"), "begin with the same 64"),
    ],
)
def test_a_class_that_no_segment_can_be_called_is_refused(tmp_path: Path, names: tuple[str, ...], told: str) -> None:
    written = write_series(tmp_path / "s", pixels())
    with pytest.raises(InputError, match=rf"seg\.dcm: no SEG can be made of its series \(class '.*{told}"):
        write_seg(tmp_path / "seg.dcm", written, np.ones((5, 7, 4), np.uint8), ("background", *names))
    assert not (tmp_path / "seg.dcm").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("said", "patient"),
    [("", "A^B"), (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"), ("ISO_IR_100", "Müller"), ("GB18030", "王^小东")],
)
def test_series_of_any_character_set_get_a_segmentation(tmp_path: Path, said: Any, patient: str) -> None:
    """Those that name several sets, as Japanese ones do, or an empty one, got NIfTI."""

    def change(_: int, one: FileDataset) -> None:
        one.SpecificCharacterSet, one.PatientName = said, patient

    written = write_series(tmp_path / "s", pixels(), change=change)
    image, labels = series.read(written), np.ones((5, 7, 4), np.uint8)
    for name in ("LV", "左心室"):
        image.geometry.write_labels(tmp_path / "seg.dcm", labels, ("background", name))
        made = pydicom.dcmread(tmp_path / "seg.dcm")
        assert (made.PatientName, made.SegmentSequence[0].SegmentLabel) == (patient, name)


@pytest.mark.parametrize("lacking", [False, True])
def test_a_segmentation_of_another_frame_of_reference_is_told(
    tmp_path: Path, lacking: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without one its slices say where it lies; highdicom's words were that None is no coordinate system."""
    written = write_series(tmp_path / "s", pixels())
    labels = np.zeros((5, 7, 4), np.uint8)
    labels[1, 2:5, 1:3], labels[3, 0, 0] = 1, 2
    write_seg(tmp_path / "seg.dcm", written, labels, ("background", "organ", "lesion"))
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    made.FrameOfReferenceUID = None if lacking else "1.2.3"
    made.save_as(tmp_path / "seg.dcm")
    capsys.readouterr()
    found = seg.read(tmp_path / "seg.dcm", series.read(written), ("background", "organ", "lesion"))
    np.testing.assert_array_equal(found, labels)
    told = f"{tmp_path / 'seg.dcm'}: its FrameOfReferenceUID is 1.2.3, that of its series "
    assert capsys.readouterr().err.startswith(told) is not lacking


@pytest.mark.parametrize("name", ["PatientID", "StudyInstanceUID"])
def test_a_segmentation_of_another_patient_or_study_is_told(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that lacks it, as programs that anonymise leave it, is not told."""
    written = write_series(tmp_path / "s", pixels())
    labels = np.zeros((5, 7, 4), np.uint8)
    labels[1, 2:5, 1:3] = 1
    write_seg(tmp_path / "seg.dcm", written, labels, ("background", "organ"))
    for value, told in (("1.2.3", True), ("", False)):
        made = pydicom.dcmread(tmp_path / "seg.dcm")
        mine = getattr(pydicom.dcmread(next(written.iterdir())), name)
        setattr(made, name, value)
        made.save_as(tmp_path / "seg.dcm")
        capsys.readouterr()
        found = seg.read(tmp_path / "seg.dcm", series.read(written), ("background", "organ"))
        np.testing.assert_array_equal(found, labels)
        said = f"its {name} is '1.2.3', that of its series '{mine}'; look whether it is of this patient and study"
        assert capsys.readouterr().err == (f"{tmp_path / 'seg.dcm'}: {said}\n" if told else "")


def test_segments_of_one_name_are_one_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was not said, and where they overlap, segment 'organ' overlapped 'organ'."""
    organ, lesion = boxes()
    written = write_series(tmp_path / "s", pixels())
    described = [seg._described(hd, number, name) for number, name in ((1, "organ"), (2, "Organ"))]
    masks = np.stack([organ, lesion], axis=-1).astype(np.uint8)
    made = hd.seg.Segmentation(
        headers_of(written), masks, "BINARY", described, hd.UID(), 9, hd.UID(), 1, "x", "x", "1", "1"
    )
    made.save_as(tmp_path / "seg.dcm")
    found = seg.read(tmp_path / "seg.dcm", series.read(written), ("background", "organ"))
    np.testing.assert_array_equal(found, organ | lesion)
    said = "segments whose names are one, or differ in spelling alone, are one class: organ"
    assert capsys.readouterr().err == f"{tmp_path / 'seg.dcm'}: {said}\n"


def test_a_segmentation_takes_over_no_texts(tmp_path: Path) -> None:
    """It names the patient, as DICOM demands of every file; what else was written into the images stays there."""
    told = "seen by Dr. Mustermann"

    def remark(_: int, one: FileDataset) -> None:
        one.ImageComments = one.SeriesDescription = one.ProtocolName = one.AdditionalPatientHistory = told

    written = write_series(tmp_path / "s", pixels(), change=remark)
    labels = np.zeros((5, 7, 4), np.uint8)
    labels[1, 2:5, 1:3] = 1
    write_seg(tmp_path / "seg.dcm", written, labels)
    assert pydicom.dcmread(tmp_path / "seg.dcm").PatientName == "A^B"
    assert told.encode() not in (tmp_path / "seg.dcm").read_bytes()


def test_prepare_takes_series_and_segmentations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "src"
    image, _, dense = tiny.volume()
    for number in range(2):
        write_series(source / f"p{number}" / "SA stack", image * 900, patient=f"id{number}", seed=number)
    (source / "masks").mkdir()
    write_seg(source / "masks" / "p1.dcm", source / "p1" / "SA stack", dense)
    (source / "notes.txt").write_text("not DICOM")
    corpus = dicom.prepare(source, tmp_path / "c")
    assert corpus.classes == tiny.CLASSES
    cases = own.by_name(corpus)
    assert {name: case.patient for name, case in cases.items()} == {"p0_SA_stack": "id0", "p1_SA_stack": "id1"}
    assert cases["p0_SA_stack"].dense is None
    said = capsys.readouterr().err
    assert "without a SEG, so without annotation: p0_SA_stack" in said
    assert "nobody drew" not in said
    np.testing.assert_array_equal(cases["p1_SA_stack"].dense, dense)
    assert cases["p1_SA_stack"].spacing == pytest.approx((6.0, 0.9, 0.7))
    assert corpus.folds["own"][0].train == ("id1",)
    assert run(["prepare", "dicom", str(source), str(tmp_path / "d"), "--patient", "^(p.)"]) == 0
    (source / "classes.toml").write_text('[[class]]\nname = "background"\n[[class]]\nname = "RV"\n')
    with pytest.raises(InputError, match="segment 'Myo' is no class, allowed are RV"):
        dicom.prepare(source, tmp_path / "e")


def test_all_series_without_a_mask_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(10):
        write_series(tmp_path / "src" / f"p{number}", pixels(number), seed=number)
    dicom.prepare(tmp_path / "src", tmp_path / "c")
    told = "without a SEG, so without annotation: p0, p1, p2, p3, p4, p5, p6, p7 and 2 more\n"
    said = capsys.readouterr().err
    assert told in said
    assert f"{tmp_path / 'src'}: nobody drew in it; to draw strokes, put its series into images/ of a folder" in said
    assert "maskmixadv studio FOLDER" in said


def test_codes_of_classes_are_not_passed_over_unsaid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = study(tmp_path, lesion1=half())
    declared = source / "classes.toml"
    for number, (text, said) in enumerate([("ignore = 2", False), ("ignore = 0", True), ("", False)]):
        declared.write_text(f'{text}\n[[class]]\nname = "background"\n[[class]]\nname = "lesion"\n')
        dicom.prepare(source, tmp_path / f"c{number}")
        assert (f"{declared}: its codes and its ignore are not used" in capsys.readouterr().err) is said
    declared.write_text(declared.read_text() + "code = 255\n")
    dicom.prepare(source, tmp_path / "codes")
    assert "its codes and its ignore are not used" in capsys.readouterr().err


def test_one_structure_in_two_spellings_is_one_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = study(tmp_path, lesion1=half())
    second = write_series(source / "q", pixels(), patient="other", seed=1)
    write_seg(source / "q.dcm", second, half().astype(np.uint8), ("background", "Lesion"))
    corpus = dicom.prepare(source, tmp_path / "c")
    assert corpus.classes == ("background", "lesion")
    assert "differ in spelling alone are one class: Lesion\n" in capsys.readouterr().err
    for case in own.by_name(corpus).values():
        np.testing.assert_array_equal(case.dense, half())


def test_a_segment_called_background_is_no_structure(tmp_path: Path) -> None:
    source = study(tmp_path, lesion1=half(), background2=~half())
    with pytest.raises(InputError, match="segment 'background' is no class, allowed are lesion"):
        dicom.prepare(source, tmp_path / "c")


def test_prepare_refuses(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no DICOM image series"):
        dicom.prepare(tmp_path / "empty", tmp_path / "c")
    written = write_series(tmp_path / "src" / "a", pixels())
    write_seg(tmp_path / "src" / "seg.dcm", written, np.ones((5, 7, 4), np.uint8))
    for path in written.iterdir():
        path.unlink()
    write_series(written, pixels())
    with pytest.raises(InputError, match=r"seg\.dcm: is a SEG of series .*, which is not in"):
        dicom.prepare(tmp_path / "src", tmp_path / "c")
    next(written.iterdir()).write_bytes(b"\0" * 128 + b"DICMgarbage")
    with pytest.raises(InputError, match=r"IM000\d: "):
        dicom.prepare(tmp_path / "src" / "a", tmp_path / "c")


def study(tmp_path: Path, **segments: np.ndarray) -> Path:
    """Write a series, and a SEG for each mask, which is called as its segment and a number."""
    written = write_series(tmp_path / "src" / "p", pixels(), patient="id")
    for name, mask in segments.items():
        write_seg(tmp_path / "src" / f"{name}.dcm", written, mask.astype(np.uint8), ("background", name[:-1]))
    return tmp_path / "src"


def half() -> np.ndarray:
    """Return a mask of half the voxels of `study`'s series."""
    mask = np.zeros(pixels().shape, bool)
    mask[:, ::2] = True
    return mask


def headers_of(folder: Path) -> list[Any]:
    """Return the headers of a series' slices in their order."""
    geometry = series.read(folder).geometry
    assert isinstance(geometry, dicom_geometry.SeriesGeometry)
    return list(geometry.headers)


def seen(folder: Path, array: np.ndarray) -> np.ndarray:
    """Return an array of a series in the radiological view."""
    return series.header(folder).radiological(0).seen(array)


def boxes() -> tuple[np.ndarray, np.ndarray]:
    """Return an organ and a lesion in it."""
    organ, lesion = np.zeros((5, 7, 4), bool), np.zeros((5, 7, 4), bool)
    organ[1:4, 1:6], lesion[2, 2:4, 1:3] = True, True
    return organ, lesion


def test_segmentations_of_one_series_are_as_segments_of_one_file(tmp_path: Path) -> None:
    organ, lesion = boxes()
    corpus = dicom.prepare(study(tmp_path, organ1=organ & ~lesion, lesion1=lesion), tmp_path / "c")
    assert corpus.classes == ("background", "lesion", "organ")
    np.testing.assert_array_equal(
        own.by_name(corpus)["p"].dense, seen(tmp_path / "src" / "p", np.where(lesion, 1, 2 * organ))
    )


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("organ1", "lesion1"), r"organ1\.dcm: segment 'organ' overlaps 'lesion' of .*lesion1\.dcm"),
        (("organ1", "organ2"), r"organ2\.dcm: segment 'organ' is drawn in .*organ1\.dcm, too; keep one"),
    ],
)
def test_segmentations_that_contradict_one_another_are_named(
    tmp_path: Path, names: tuple[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = study(tmp_path, **dict(zip(names, boxes(), strict=True)))
    assert run(["prepare", "dicom", str(source), str(tmp_path / "c")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(words, line)
    assert not (tmp_path / "c").exists()


def test_segments_of_one_file_that_overlap_are_named(tmp_path: Path) -> None:
    organ, lesion = boxes()
    written = write_series(tmp_path / "s", pixels())
    headers = headers_of(written)
    described = [seg._described(hd, number, name) for number, name in ((1, "organ"), (2, "lesion"))]
    masks = np.stack([organ, lesion], axis=-1).astype(np.uint8)
    made = hd.seg.Segmentation(headers, masks, "BINARY", described, hd.UID(), 9, hd.UID(), 1, "x", "x", "1", "1")
    made.save_as(tmp_path / "seg.dcm")
    with pytest.raises(InputError, match=r"seg\.dcm: segment 'lesion' overlaps 'organ'"):
        seg.read(tmp_path / "seg.dcm", series.read(written), ("background", "organ", "lesion"))


def undescribed(made: Any) -> None:
    for frame in made.PerFrameFunctionalGroupsSequence:
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber += 1


ODD: dict[str, tuple[Callable[[Any], object], str]] = {
    "fewer frames": (
        lambda made: setattr(made, "NumberOfFrames", int(made.NumberOfFrames) - 1),
        "NumberOfFrames is 9, but PerFrameFunctionalGroupsSequence describes 10; export it anew",
    ),
    "a segment without a name": (undescribed, r"frames are of segment 3, described are \[1, 2\]"),
}


@pytest.mark.parametrize("kind", ODD)
def test_frames_of_a_segmentation_are_not_left_out(tmp_path: Path, kind: str) -> None:
    change, words = ODD[kind]
    written = write_series(tmp_path / "s", pixels())
    labels, names = np.ones((5, 7, 4), np.uint8), ("background", "organ", "lesion")
    labels[:, 3:] = 2
    write_seg(tmp_path / "seg.dcm", written, labels, names)
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    change(made)
    made.save_as(tmp_path / "seg.dcm")
    with pytest.raises(InputError, match=words):
        seg.read(tmp_path / "seg.dcm", series.read(written), names)


@pytest.mark.parametrize("sheared", [False, True])
@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_segments_beyond_their_series_are_refused(tmp_path: Path, kind: str, sheared: bool) -> None:
    """A folder lacks a slice that is drawn on; where it holds no drawing, nothing is lost."""

    def change(number: int, one: FileDataset) -> None:
        x, y, z = one.ImagePositionPatient
        one.ImagePositionPatient = [x, y + number * sheared, z]

    written = write_series(tmp_path / "s", pixels(), directions=AXIAL, change=change)
    headers, names = headers_of(written), ("background", "organ")
    mask = np.zeros((5, 7, 4), np.uint8)
    mask[1:, 2:4, 1:3] = 1
    made = hd.seg.Segmentation(
        headers, mask.astype(float) if kind == "FRACTIONAL" else mask, kind, [seg._described(hd, 1, "organ")],
        hd.UID(), 9, hd.UID(), 1, "x", "x", "1", "1",
    )  # fmt: skip
    made.save_as(tmp_path / "seg.dcm")
    files = {pydicom.dcmread(file).SOPInstanceUID: file for file in written.iterdir()}
    files[headers[0].SOPInstanceUID].unlink()
    np.testing.assert_array_equal(seg.read(tmp_path / "seg.dcm", series.read(written), names), mask[1:])
    files[headers[4].SOPInstanceUID].unlink()
    with pytest.raises(InputError, match=r"seg.dcm: 4 voxels of segment 'organ' lie outside its series, allowed are"):
        seg.read(tmp_path / "seg.dcm", series.read(written), names)


@pytest.mark.parametrize("drawn", [(0, 5), (1, 3)])
def test_slices_that_a_segmentation_does_not_refer_to_are_told(
    tmp_path: Path, drawn: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """They may be background, or slices that nobody has looked at; slices without a drawing are referred to."""
    written = write_series(tmp_path / "s", pixels())
    mask = np.zeros((5, 7, 4), np.uint8)
    mask[2, 2:4] = 1
    first, end = drawn
    made = hd.seg.Segmentation(
        headers_of(written)[first:end], mask[first:end], "BINARY", [seg._described(hd, 1, "organ")],
        hd.UID(), 9, hd.UID(), 1, "x", "x", "1", "1",
    )  # fmt: skip
    made.save_as(tmp_path / "seg.dcm")
    found = seg.read(tmp_path / "seg.dcm", series.read(written), ("background", "organ"))
    np.testing.assert_array_equal(found, mask)
    said = "refers to 2 of 5 slices of its series; where it draws nothing, the others are background"
    assert capsys.readouterr().err == ("" if drawn == (0, 5) else f"{tmp_path / 'seg.dcm'}: {said}\n")


@pytest.mark.parametrize("kind", ["FRACTIONAL", "LABELMAP"])
def test_segmentations_of_other_types_are_read(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A voxel belongs to a fractional segment if at least half of it does."""
    organ, lesion = boxes()
    written = write_series(tmp_path / "s", pixels())
    headers = headers_of(written)
    mask = np.where(lesion, 0.7, np.where(organ, 0.3, 0)) if kind == "FRACTIONAL" else lesion.astype(np.uint8)
    described = [seg._described(hd, 1, "lesion")]
    made = hd.seg.Segmentation(headers, mask, kind, described, hd.UID(), 9, hd.UID(), 1, "x", "x", "1", "1")
    made.save_as(tmp_path / "seg.dcm")
    found = seg.read(tmp_path / "seg.dcm", series.read(written), ("background", "lesion"))
    np.testing.assert_array_equal(found, lesion)
    parts, below = np.count_nonzero(lesion | organ), np.count_nonzero(organ & ~lesion)
    said = (
        f"{parts} voxels of segment 'lesion' are fractions; {below} below 0.5 are left out, and others are taken whole"
    )
    told = f"{tmp_path / 'seg.dcm'}: {said}\n"
    assert capsys.readouterr().err == (told if kind == "FRACTIONAL" else "")


def test_a_segment_without_a_label_is_named(tmp_path: Path) -> None:
    """A line said that class '' of DICOM was wrong, and of which file it was not."""
    write_seg(tmp_path / "seg.dcm", write_series(tmp_path / "s", pixels()), np.ones((5, 7, 4), np.uint8))
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    made.SegmentSequence[0].SegmentLabel = " "
    made.save_as(tmp_path / "seg.dcm")
    with pytest.raises(
        InputError, match=r"seg\.dcm: segment 1 has no SegmentLabel, allowed is a class's name; name it"
    ):
        seg.names(tmp_path / "seg.dcm")


def labelmap(path: Path, written: Path, mask: np.ndarray, change: Callable[[Any], object]) -> Path:
    described = [seg._described(hd, 1, "organ"), seg._described(hd, 2, "lesion")]
    made = hd.seg.Segmentation(
        headers_of(written), mask, "LABELMAP", described, hd.UID(), 9, hd.UID(), 1, "x", "x", "1", "1"
    )
    change(made)
    made.save_as(path)
    return path


@pytest.mark.parametrize("how", ["number", "type"])
def test_background_that_a_map_of_labels_describes_is_background(tmp_path: Path, how: str) -> None:
    """As dcmqi writes it; it became a class, whose voxels were all the others."""

    def change(made: Any) -> None:
        made.PixelPaddingValue = 7  # highdicom leaves the segment of this number out
        if how == "type":
            one = made.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0]
            one.CodeValue, one.CodingSchemeDesignator = "125040", "DCM"
        elif how == "number":
            made.SegmentSequence[1].SegmentLabel = "lesion"
            made.SegmentSequence = made.SegmentSequence[:2]

    _, lesion = boxes()
    source = tmp_path / "src"
    mask = np.where(lesion, 2, 1).astype(np.uint8) if how == "type" else lesion.astype(np.uint8)
    path = labelmap(source / "seg.dcm", written := write_series(source / "s", pixels()), mask, change)
    assert seg.names(path) == ["lesion"]
    np.testing.assert_array_equal(seg.read(path, series.read(written), ("background", "lesion")), lesion)


def test_numbers_of_no_segment_in_a_map_of_labels_are_refused(tmp_path: Path) -> None:
    written = write_series(tmp_path / "s", pixels())
    mask = np.full((5, 7, 4), 2, np.uint8)

    def change(made: Any) -> None:
        made.SegmentSequence = made.SegmentSequence[:2]

    path = labelmap(tmp_path / "seg.dcm", written, mask, change)
    with pytest.raises(InputError, match=r"seg.dcm: its voxels are of segment 2, described are \[1\]; export it anew"):
        seg.read(path, series.read(written), ("background", "organ"))


def test_a_healthy_patient_is_a_case_without_a_structure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = study(tmp_path, lesion1=np.zeros((5, 7, 4), bool))
    assert run(["prepare", "dicom", str(source), str(tmp_path / "c")]) == 0
    case = own.by_name(Corpus.open(tmp_path / "c"))["p"]
    assert case.dense is not None
    assert not case.dense.any()
    assert "without" not in capsys.readouterr().err


def test_phases_in_a_folder_each_are_a_case_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They have one SeriesInstanceUID; a SEG belongs to the phase whose slices it lists."""
    source, arrays = tmp_path / "src", {"ed": pixels(0), "es": pixels(1)}
    uid, frame = generate_uid(), generate_uid()

    def of_one_series(_: int, one: FileDataset) -> None:
        one.SeriesInstanceUID, one.FrameOfReferenceUID = uid, frame

    organ, lesion = boxes()
    for (name, array), mask in zip(arrays.items(), (organ, lesion), strict=True):
        written = write_series(source / name, array, change=of_one_series)
        write_seg(source / f"{name}.dcm", written, mask.astype(np.uint8), ("background", "organ"))
    cases = own.by_name(dicom.prepare(source, tmp_path / "c"))
    assert sorted(cases) == ["ed", "es"]
    np.testing.assert_array_equal(cases["ed"].dense, seen(source / "ed", organ))
    np.testing.assert_array_equal(cases["es"].dense, seen(source / "es", lesion))
    assert "has slices at one place in 2 folders; each folder is a case" in capsys.readouterr().err


def test_a_series_may_lie_in_several_folders(tmp_path: Path) -> None:
    written = write_series(tmp_path / "src" / "a", pixels())
    (tmp_path / "src" / "b").mkdir()
    for path in sorted(written.iterdir())[:2]:
        path.rename(tmp_path / "src" / "b" / path.name)
    (case,) = own.by_name(dicom.prepare(tmp_path / "src", tmp_path / "c")).values()
    assert case.image.shape[-3:] == (5, 7, 4)


def test_objects_beside_a_series_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "src"
    write_series(source / "p", pixels())
    for kind in ("RTSTRUCT", "RTDOSE", "SR", "PR"):

        def other(_: int, one: FileDataset, kind: str = kind) -> None:
            one.Modality, one.SeriesInstanceUID = kind, generate_uid()

        write_series(source / kind, pixels()[:1], change=other)
    assert list(own.by_name(dicom.prepare(source, tmp_path / "c"))) == ["p"]
    said = capsys.readouterr().err
    assert f"{source}: contours of RTSTRUCT are not read, export them as a SEG or NIfTI: 1 file (IM0000)\n" in said
    for kind in ("RTDOSE", "SR", "PR"):
        assert f"{source}: passed over, as {kind} is no image: 1 file (IM0000)\n" in said


def test_a_folder_of_own_images_may_hold_series(tmp_path: Path) -> None:
    image, scribble, _ = tiny.volume()
    source = own.folder(tmp_path / "src", scribbled=0, masked=0)
    volume = series.read(write_series(source / "images" / "a", image * 900))
    assert volume.affine is not None
    own.write(source / "scribbles" / "a.nii.gz", own.coded(scribble), volume.affine)
    write_enhanced(source / "images" / "b.dcm", classic(source / "images" / "a"))
    own.write(source / "scribbles" / "b.nii.gz", own.coded(scribble), volume.affine)
    cases = own.by_name(folder.prepare(source, tmp_path / "c"))
    np.testing.assert_array_equal(cases["a"].scribble, volume.header.radiological(0).seen(scribble))
    for name in ("image", "scribble"):
        np.testing.assert_array_equal(getattr(cases["a"], name), getattr(cases["b"], name))


def test_predict_writes_a_segmentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.corpus(tmp_path / "c")
    short = ["--steps", "1", "--batch", "2", "--size", "48", "--window", "48", "--preset", "cpu"]
    assert run(["train", str(tmp_path / "c"), "--out", str(tmp_path / "run"), *short, "pce"]) == 0
    image, _, dense = tiny.volume()
    for name in ("a", "b"):
        write_series(tmp_path / "in" / name, image * 900)
    monkeypatch.setattr(Predictor, "labels", lambda *_, **__: dense)
    predict = ["predict", str(tmp_path / "run")]
    assert run([*predict, str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["a.dcm", "b.dcm", "clinical.csv"]
    assert run([*predict, str(tmp_path / "in" / "a"), "--out", str(tmp_path / "one")]) == 0
    volume = series.read(tmp_path / "in" / "a")
    np.testing.assert_array_equal(seg.read(tmp_path / "one" / "a.dcm", volume, tiny.CLASSES), dense)
    monkeypatch.setattr(Predictor, "labels", lambda *_, **__: np.zeros_like(dense))
    assert run([*predict, str(tmp_path / "in" / "b"), "--out", str(tmp_path / "none")]) == 0
    assert not seg.read(tmp_path / "none" / "b.dcm", series.read(tmp_path / "in" / "b"), tiny.CLASSES).any()


@pytest.mark.slow
def test_predict_says_first_that_labels_become_nifti(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No result is lost where no SEG can be made, nor a file of others replaced."""
    tiny.corpus(tmp_path / "c")
    short = ["--steps", "1", "--batch", "2", "--size", "48", "--window", "48", "--preset", "cpu"]
    assert run(["train", str(tmp_path / "c"), "--out", str(tmp_path / "run"), *short, "pce"]) == 0
    image, _, dense = tiny.volume()
    written = write_series(tmp_path / "in" / "a", image * 900, change=removed("StudyInstanceUID"))
    said: list[str] = []

    def labels(*_: object, **__: object) -> np.ndarray:
        said.append(capsys.readouterr().err)
        return dense

    monkeypatch.setattr(Predictor, "labels", labels)
    predict = ["predict", str(tmp_path / "run"), str(written), "--out", str(tmp_path / "out")]
    for _ in range(2):  # its own file may be replaced
        assert run(predict) == 0
    assert "a slice lacks StudyInstanceUID); mend its headers; its labels are written as NIfTI, a.nii.gz" in said[0]
    np.testing.assert_array_equal(image_files.read_labels(tmp_path / "out" / "a.nii.gz").array, dense)
    shutil.copytree(tmp_path / "out", tmp_path / "mended")
    (tmp_path / "out" / "a.nii.gz").write_bytes(b"corrected by hand")
    assert run(predict) == 2
    assert len(said) == 2
    assert "a.nii.gz: is there already and was changed since" in capsys.readouterr().err
    said.clear()
    mended = write_series(tmp_path / "mended-in" / "a", image * 900)
    assert run([*predict[:2], str(mended), "--out", str(tmp_path / "mended")]) == 0
    assert f"a.nii.gz: of an earlier call is deleted, as labels of {mended} are a.dcm now" in capsys.readouterr().err
    assert [path.name for path in sorted((tmp_path / "mended").glob("a.*"))] == ["a.dcm"]


def test_prepare_takes_multi_frame_files_and_segmentations_of_them(tmp_path: Path) -> None:
    """The same cases as those of the classic series: image, grid, patient and mask."""
    image, _, dense = tiny.volume()
    for number in range(2):
        folder = write_series(tmp_path / "classic" / f"p{number}", image * (900 - number), patient=f"id{number}")
        file = write_enhanced(tmp_path / "enhanced" / f"p{number}" / "IM1", classic(folder), seed=number)
        volume = image_files.read(file)
        place = volume.geometry.labels_path(tmp_path / "enhanced" / f"{number}.dcm", tiny.CLASSES)
        volume.geometry.write_labels(place, dense, tiny.CLASSES)
        write_seg(tmp_path / "classic" / f"{number}.dcm", folder, dense)
    found = [own.by_name(dicom.prepare(tmp_path / name, tmp_path / f"c-{name}")) for name in ("classic", "enhanced")]
    assert list(found[0]) == list(found[1]) == ["p0", "p1"]
    for name, case in found[0].items():
        own.same(case, found[1][name])
        assert found[1][name].dense is not None
        assert case.patient == found[1][name].patient == f"id{name[1]}"


def test_multi_frame_files_of_one_series_are_a_case_each_where_they_lie_at_one_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Phases of a heart, a file each; a SEG belongs to the file that it refers to."""
    uid, source = generate_uid(), tmp_path / "src"

    def of_one_series(made: FileDataset) -> None:
        made.SeriesInstanceUID = uid

    organ, _ = boxes()
    for number in range(2):
        slices = classic(write_series(tmp_path / f"s{number}", pixels(number)))
        for one in slices:
            one.FrameOfReferenceUID, one.StudyInstanceUID = "1.2.3", "1.2.4"
        write_enhanced(source / f"{number}.dcm", slices, whole=of_one_series)
    image_files.read(source / "1.dcm").geometry.write_labels(
        source / "seg.dcm", organ.astype(np.uint8), ("background", "organ")
    )
    cases = own.by_name(dicom.prepare(source, tmp_path / "c"))
    assert f"series {uid} has slices at one place in 2 files; each file is a case" in capsys.readouterr().err
    assert list(cases) == ["0", "1"]
    assert cases["0"].dense is None
    np.testing.assert_array_equal(cases["1"].dense, image_files.header(source / "1.dcm").radiological(0).seen(organ))


@pytest.mark.slow
def test_predict_gives_a_multi_frame_file_the_masks_of_its_classic_series(tmp_path: Path, trained: Path) -> None:
    """A file that is named, one in a folder of files, and one that is alone in a folder."""
    image, _, _ = tiny.volume()
    folder = write_series(tmp_path / "in" / "classic", image * 900)
    write_enhanced(tmp_path / "in" / "alone" / "IM_0001", classic(folder), seed=1)
    named = write_enhanced(tmp_path / "named" / "heart.dcm", classic(folder), seed=2)
    predict = ["predict", str(trained), "--pieces", "all"]
    assert run([*predict, str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    assert run([*predict, str(named), "--out", str(tmp_path / "one")]) == 0
    expected = seg.read(tmp_path / "out" / "classic.dcm", series.read(folder), tiny.CLASSES)
    assert expected.any()
    for path, made in (
        (tmp_path / "in" / "alone", tmp_path / "out" / "alone.dcm"),
        (named, tmp_path / "one" / "heart.dcm"),
    ):
        np.testing.assert_array_equal(seg.read(made, image_files.read(path), tiny.CLASSES), expected)
        np.testing.assert_array_equal(seg.read(made, series.read(folder), tiny.CLASSES), expected)


def test_predict_takes_a_folder_of_multi_frame_files_and_others(
    tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, _, _ = tiny.volume()
    slices = classic(write_series(tmp_path / "s", image * 900))
    images = tmp_path / "images"
    write_enhanced(images / "a.dcm", slices)
    write_enhanced(images / "b", slices)
    assert run(["predict", str(trained), str(images), "--out", str(tmp_path / "1")]) == 0
    assert sorted(path.name for path in (tmp_path / "1").glob("*.dcm")) == ["a.dcm", "b.dcm"]
    own.case(tmp_path, "c")
    write_contours(images / "rt.dcm", tmp_path / "s")
    capsys.readouterr()
    assert run(["predict", str(trained), str(images), "--out", str(tmp_path / "2")]) == 0
    assert sorted(path.name for path in (tmp_path / "2").glob("[abc].*")) == ["a.dcm", "b.dcm", "c.nii.gz"]
    assert capsys.readouterr().err.startswith(f"{images}: contours of RTSTRUCT are not read, export them as a SEG or")


def test_contours_beside_a_series_are_named_and_stop_nothing(
    tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, _, _ = tiny.volume()
    source = tmp_path / "in"
    folder = write_series(source / "a", image * 900)
    told = "contours of RTSTRUCT are not read, export them as a SEG or NIfTI"
    write_contours(folder / "RS.1.2.3", folder)
    assert run(["prepare", "dicom", str(source), str(tmp_path / "c")]) == 0
    assert f"{source}: {told}: 1 file (RS.1.2.3)\n" in capsys.readouterr().err
    predict = ["predict", str(trained)]
    assert run([*predict, str(folder), "--out", str(tmp_path / "1")]) == 0
    assert f"{folder}: {told}: 1 file (RS.1.2.3)\n" in capsys.readouterr().err
    write_contours(source / "rt.dcm", folder)
    assert run([*predict, str(source), "--out", str(tmp_path / "2")]) == 0
    said = capsys.readouterr().err
    assert f"{source}: {told}: rt.dcm\n" in said
    assert f"{folder}: {told}: 1 file (RS.1.2.3)\n" in said
    assert run([*predict, str(source / "rt.dcm"), "--out", str(tmp_path / "3")]) == 2
    assert capsys.readouterr().err == f"maskmixadv: {source / 'rt.dcm'}: {told}\n"


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "s", pixels())
    for name in ("pydicom", "highdicom"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"DICOM needs pydicom; install it with .*\[dicom\]"):
        series.read(tmp_path / "s")
    with pytest.raises(InputError, match=r"x\.dcm: DICOM SEG needs highdicom; install it with .*\[dicom\]"):
        seg.names(tmp_path / "x.dcm")


def test_series_in_linked_folders_are_found_once(tmp_path: Path) -> None:
    study = tmp_path / "study"
    write_series(study / "a", pixels(), patient="a")
    write_series(tmp_path / "elsewhere" / "b", pixels(1), patient="b")
    (study / "b").symlink_to(tmp_path / "elsewhere" / "b")
    (study / "again").symlink_to(study)
    assert [entry.name for entry in dicom.prepare(study, tmp_path / "c").entries] == ["a", "b"]
