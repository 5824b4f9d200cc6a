"""What a DICOM series says of its slices and of the files beside them is used, told or refused by name."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from pydicom.dataset import FileDataset

import tiny
from dicoms import AXIAL, OBLIQUE, Change, pixels, write_series
from maskmixadv.errors import InputError
from maskmixadv.formats import dicom_geometry, image_files, seg, series

LABELS = (pixels() % 4).astype(np.uint8)


def attribute(name: str, value: Any) -> Change:
    return lambda _, one: setattr(one, name, value)


def removed(*names: str) -> Change:
    def change(_: int, one: FileDataset) -> None:
        for name in names:
            delattr(one, name)

    return change


def sheared(number: int, one: FileDataset) -> None:
    """Tilt the gantry: the table moves by 6 mm along the normal, and each slice lies 2 mm further down its columns."""
    one.GantryDetectorTilt = 18.4
    one.ImagePositionPatient = (np.array(one.ImagePositionPatient) + 2.0 * number * np.array(OBLIQUE[1])).tolist()


@pytest.mark.parametrize("shift", [0.0, 0.005, 2.0])
def test_labels_as_nifti_of_sheared_slices_are_read_by_itk_or_a_line_says_so(
    tmp_path: Path, shift: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rounded positions shear a little, and ITK takes the qform in place of such a sform, or refuses the file."""

    def change(number: int, one: FileDataset) -> None:
        del one.StudyInstanceUID
        place = np.array(one.ImagePositionPatient) + shift * number * np.array(OBLIQUE[1])
        one.ImagePositionPatient = place.tolist()

    volume = series.read(write_series(tmp_path / "s", pixels(), change=change))
    capsys.readouterr()
    place = volume.geometry.labels_path(tmp_path / "a.dcm", tiny.CLASSES)
    told = capsys.readouterr().err
    volume.geometry.write_labels(place, LABELS, tiny.CLASSES)
    if shift < 1:
        assert told.endswith("its labels are written as NIfTI, a.nii.gz\n")
        theirs = SimpleITK.ReadImage(place)
        lps = theirs.TransformIndexToPhysicalPoint((3, 6, 4))
        assert volume.affine is not None
        np.testing.assert_allclose([-lps[0], -lps[1], lps[2]], (volume.affine @ [3, 6, 4, 1])[:3], atol=0.05)
        np.testing.assert_array_equal(image_files.read_labels(place).array, LABELS)
    else:
        said = "slices are sheared by 18.4°, which its sform alone holds, and ITK, as of 3D Slicer, refuses it"
        assert told.endswith(f"its labels are written as NIfTI, a.nii.gz; {said}\n")
    assert capsys.readouterr().err == ""


def test_sheared_slices_count_their_distance_along_the_normal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = series.read(write_series(tmp_path / "s", pixels(), change=sheared))
    assert volume.spacing == pytest.approx((6.0, 0.9, 0.7))  # what a voxel's volume follows from
    assert volume.affine is not None
    assert abs(np.linalg.det(volume.affine[:3, :3])) == pytest.approx(6.0 * 0.9 * 0.7)
    assert "slices are sheared by 18.4° (GantryDetectorTilt); volumes are right" in capsys.readouterr().err
    volume.geometry.write_labels(tmp_path / "seg.dcm", LABELS, tiny.CLASSES)
    np.testing.assert_array_equal(seg.read(tmp_path / "seg.dcm", volume, tiny.CLASSES), LABELS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (attribute("SpacingBetweenSlices", 1.2), "SpacingBetweenSlices is 1.2 mm, positions lie 6 mm apart"),
        (attribute("SpacingBetweenSlices", 6), ""),
        (attribute("SpacingBetweenSlices", None), ""),
    ],
)
def test_positions_count_and_a_line_says_so(
    tmp_path: Path, change: Change, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert series.read(write_series(tmp_path / "s", pixels(), change=change)).spacing == pytest.approx((6, 0.9, 0.7))
    said = capsys.readouterr().err
    assert words in said
    assert bool(said) == bool(words)


def test_one_slice_of_unknown_thickness_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume = series.read(write_series(tmp_path / "s", pixels()[:1], change=attribute("SliceThickness", None)))
    assert volume.spacing == pytest.approx((1.0, 0.9, 0.7))
    assert "one slice without SliceThickness; 1 mm is taken" in capsys.readouterr().err


def on_detector(_: int, one: FileDataset) -> None:
    one.ImagerPixelSpacing = one.PixelSpacing
    del one.PixelSpacing


def of_two_frames(number: int, one: FileDataset) -> None:
    one.FrameOfReferenceUID = f"1.2.{number % 2}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (on_detector, "lacks PixelSpacing, .* ImagerPixelSpacing holds at the detector"),
        (attribute("PixelAspectRatio", [1, 1]), r"PixelAspectRatio is 1 to 1, PixelSpacing \[0\.9, 0\.7\]"),
        (of_two_frames, r"FrameOfReferenceUID is '1\.2\.\d', but '1\.2\.\d' in"),
        (removed("ImagePositionPatient"), "images without ImagePositionPatient: 5 files"),
        (attribute("Modality", "RTSTRUCT"), "contours of RTSTRUCT are not read, export them as a SEG or NIfTI"),
        *(
            (attribute(name, None), f"{name} (is|missing)")
            for name in ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient")
        ),
        *(
            (attribute(name, None), f"{name} (is|missing)")
            for name in ("BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel", "RescaleSlope", "NumberOfFrames")
        ),
    ],
)
def test_headers_that_say_too_little_are_refused_by_name(tmp_path: Path, change: Change, words: str) -> None:
    write_series(tmp_path / "s", pixels(), change=change)
    with pytest.raises(InputError, match=words) as caught:
        series.read(tmp_path / "s")
    assert "\n" not in str(caught.value)


def test_numbers_that_are_none_are_refused_by_name(tmp_path: Path) -> None:
    for path in write_series(tmp_path / "s", pixels(), change=attribute("RescaleSlope", "1.25")).iterdir():
        path.write_bytes(path.read_bytes().replace(b"DS\x04\x001.25", b"DS\x04\x001,25"))
    with pytest.raises(InputError, match=r"IM\d+: RescaleSlope is '1,25', needed are 1 numbers"):
        series.read(tmp_path / "s")


def test_what_is_passed_over_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_series(tmp_path / "s", pixels())
    write_series(folder / "older", pixels()[:1])
    (folder / "report.pdf").write_text("seen")
    (folder / "IM9999").write_bytes(b"a slice that lost its beginning")
    (folder / ".hidden").touch()
    for name in ("RTSTRUCT", "SR"):
        other = write_series(tmp_path / name, pixels()[:1], change=attribute("Modality", name))
        (other / "IM0000").rename(folder / name)
    assert len(series.read(folder).array) == 5
    assert capsys.readouterr().err.splitlines() == [
        f"{folder}: contours of RTSTRUCT are not read, export them as a SEG or NIfTI: 1 file (RTSTRUCT)",
        f"{folder}: passed over, as SR is no image: 1 file (SR)",
        f"{folder}: passed over, as no DICOM: 2 files (IM9999, report.pdf)",
        f"{folder}: folders in it are passed over: 1 file (older)",
    ]


@pytest.mark.parametrize("tag", [b"\x10\x00\x20\x00", b"\x20\x00\x0e\x00"])  # PatientID, SeriesInstanceUID
def test_an_end_that_is_cut_off_in_its_header_is_not_passed_over(tmp_path: Path, tag: bytes) -> None:
    *_, last = sorted(write_series(tmp_path / "s", pixels()).iterdir())
    whole = last.read_bytes()
    last.write_bytes(whole[: whole.index(tag)])
    with pytest.raises(InputError, match=f"{last.name}: lacks ImagePositionPatient and Rows, as if cut off"):
        series.read(tmp_path / "s")


@pytest.mark.parametrize("name", ["IM.dcm", "IM.IMA"])
def test_a_damaged_slice_is_not_passed_over(tmp_path: Path, name: str) -> None:
    folder = write_series(tmp_path / "s", pixels())
    next(folder.iterdir()).rename(folder / name).write_bytes(b"")
    with pytest.raises(InputError, match=f"{name}: is called a DICOM file and is none"):
        series.read(folder)


def test_slices_without_dicoms_sign_are_read(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", pixels())
    for path in sorted(folder.iterdir())[:3]:
        path.write_bytes(path.read_bytes()[132:])
    np.testing.assert_array_equal(series.read(folder).array, pixels())


ANONYMISED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID")


def test_anonymised_series_get_a_segmentation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What DICOM lets be empty is put in empty, and the distance of slices is their thickness."""
    gone = (*ANONYMISED, "AccessionNumber", "ReferringPhysicianName", "Modality", "SliceThickness")
    volume = series.read(write_series(tmp_path / "s", pixels(), change=removed(*gone)))
    place = volume.geometry.labels_path(tmp_path / "seg.dcm", tiny.CLASSES)
    assert place == tmp_path / "seg.dcm"
    volume.geometry.write_labels(place, LABELS, tiny.CLASSES)
    np.testing.assert_array_equal(seg.read(place, volume, tiny.CLASSES), LABELS)
    assert isinstance(volume.geometry, dicom_geometry.SeriesGeometry)
    assert "PatientID" not in volume.geometry.headers[0]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (removed("StudyInstanceUID"), "a slice lacks StudyInstanceUID"),
        (attribute("FrameOfReferenceUID", None), "a slice lacks FrameOfReferenceUID"),
        (attribute("SOPInstanceUID", "1.2.3"), "slices share one SOPInstanceUID"),
    ],
)
def test_labels_are_nifti_where_no_segmentation_can_be_made(
    tmp_path: Path, change: Change, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = series.read(write_series(tmp_path / "s", pixels(), change=change, directions=AXIAL))
    place = volume.geometry.labels_path(tmp_path / "a.b.dcm", tiny.CLASSES)
    assert place == tmp_path / "a.b.nii.gz"
    said = capsys.readouterr().err
    assert words in said
    assert said.endswith("its labels are written as NIfTI, a.b.nii.gz\n")
    volume.geometry.write_labels(place, LABELS, tiny.CLASSES)
    written = image_files.read_labels(place)
    np.testing.assert_array_equal(written.array, LABELS)
    assert written.affine is not None
    assert volume.affine is not None
    np.testing.assert_allclose(written.affine, volume.affine, atol=1e-4)


def of_two_units(number: int, one: FileDataset) -> None:
    one.Modality, one.Units = "PT", "BQML" if number % 2 else "CNTS"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (attribute("ImageType", ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]), "ImageType is MOSAIC, slices side by"),
        (of_two_units, r"Units is '\w+', but '\w+' in .*; split the series"),
    ],
)
def test_slices_that_are_no_volume_are_refused(tmp_path: Path, change: Change, words: str) -> None:
    write_series(tmp_path / "s", pixels(), change=change)
    with pytest.raises(InputError, match=words):
        series.read(tmp_path / "s")


def test_a_copy_of_a_slice_is_named(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", pixels())
    shutil.copy(folder / "IM0002", folder / "IM0002 (1)")
    with pytest.raises(InputError, match=r"has the place and SOPInstanceUID of .*IM0002.*; take one of the two away"):
        series.read(folder)


@pytest.mark.parametrize("said", [True, False])
def test_a_ct_whose_numbers_may_be_no_hounsfield_units_is_told(
    tmp_path: Path, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(_: int, one: FileDataset) -> None:
        one.Modality = "CT"
        if said:
            one.RescaleIntercept, one.RescaleSlope = -1024, 1

    series.read(write_series(tmp_path / "s", pixels(), change=change))
    told = f"{tmp_path}/s: CT without RescaleIntercept; stored numbers are taken for Hounsfield units\n"
    assert capsys.readouterr().err == ("" if said else told)


def test_one_file_of_a_series_names_its_folder() -> None:
    with pytest.raises(InputError, match=r"IM1\.DCM: is one file of a DICOM series, allowed is a folder of its own"):
        image_files.suffix(Path("IM1.DCM"))


def alternating(name: str, *values: Any) -> Change:
    return lambda number, one: setattr(one, name, values[number % len(values)])


def alternating_b(creator: str, group: int, element: int, vr: str, *values: Any) -> Change:
    """B-values as scanners stored them before DICOM had an attribute for them."""

    def change(number: int, one: FileDataset) -> None:
        one.private_block(group, creator, create=True).add_new(element, vr, values[number % len(values)])

    return change


ECHOES = [
    (alternating("EchoTime", 10, 80), "EchoTime is 10, 80"),
    (alternating("DiffusionBValue", 0.0, 1000.0), "DiffusionBValue is 0, 1000"),
    (alternating_b("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", 50, 800), "DiffusionBValue is 50, 800"),
    (alternating_b("Philips Imaging DD 001", 0x2001, 0x03, "FL", 0.0, 600.0), "DiffusionBValue is 0, 600"),
    (alternating_b("GEMS_PARM_01", 0x0043, 0x39, "IS", [1000000050, 8], [1000000400, 8]), "DiffusionBValue is 50, 400"),
]


@pytest.mark.parametrize(("change", "words"), ECHOES)
def test_slices_of_several_contrasts_are_no_volume_even_at_places_of_their_own(
    tmp_path: Path, change: Change, words: str
) -> None:
    folder = write_series(tmp_path / "s", pixels(), change=change)
    for read in (series.read, series.peek):
        with pytest.raises(InputError, match=f"{folder}: {words} in its slices, allowed is one in a volume; split the"):
            read(folder)


def at_one_place(number: int, one: FileDataset) -> None:
    """Each place twice, and the two differ in something."""
    one.ImagePositionPatient = (np.array([-31.0, 12.5, 40.0]) + number // 2 * 6.0 * np.cross(*OBLIQUE)).tolist()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([alternating("EchoTime", 10, 80)], "EchoTime is 10, 80 in its slices, allowed is one"),
        ([alternating("TriggerTime", 0, 300)], "does; TriggerTime is 0, 300; sort phases or echoes apart"),
        ([alternating("InversionTime", 200, 900)], "does; InversionTime is 200, 900; sort phases"),
        (
            [alternating("TriggerTime", 0, 300), alternating("AcquisitionNumber", 1, 2)],
            "does; TriggerTime is 0, 300, AcquisitionNumber is 1, 2; sort phases",
        ),
        ([], "does; sort phases or echoes apart"),
    ],
)
def test_what_tells_slices_at_one_place_apart_is_named(tmp_path: Path, changes: list[Change], words: str) -> None:
    def change(number: int, one: FileDataset) -> None:
        for each in (at_one_place, *changes):
            each(number, one)

    folder = write_series(tmp_path / "s", pixels(shape=(6, 7, 4)), change=change)
    with pytest.raises(InputError, match=words):
        series.read(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (alternating("EchoTime", 1.12, 1.15), "EchoTime is 1.12, 1.15"),
        (alternating("TriggerTime", 0, 300), "TriggerTime is 0, 300"),
        (alternating("TriggerTime", 0, 12), ""),
        (alternating("InversionTime", 240, 320), "InversionTime is 240, 320"),
        (alternating("InversionTime", *range(200, 1200, 200)), "InversionTime is 200, 400, 600, 800, 1000"),
        (alternating("ImageType", ["ORIGINAL", "M"], ["ORIGINAL", "P"]), "ImageType is ['ORIGINAL', 'M'], ['ORIGINAL"),
        (alternating("EchoTime", 10, 10.0), ""),
        (alternating("EchoTime", "", None), ""),
    ],
)
def test_what_may_differ_between_slices_of_a_volume_is_told(
    tmp_path: Path, change: Change, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each slice of a heart may have a breath-hold of its own."""
    folder = write_series(tmp_path / "s", pixels(), change=change)
    np.testing.assert_array_equal(series.read(folder).array, pixels())
    said = capsys.readouterr().err
    assert bool(said) == bool(words)
    if words:
        (line,) = said.splitlines()
        assert line.startswith(f"{folder}: {words}")
        assert line.endswith(" in its slices; they are taken for one volume")
