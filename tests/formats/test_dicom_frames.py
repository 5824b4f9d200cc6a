"""Enhanced multi-frame DICOM files: the same arrays, grids and masks as the classic series of the same slices."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK
from highdicom.legacy import LegacyConvertedEnhancedCTImage, LegacyConvertedEnhancedMRImage
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate_extended, generate_frames
from pydicom.uid import UID, CTImageStorage, JPEGLSLossless, RLELossless, generate_uid

import tiny
from dicoms import AXIAL, OBLIQUE, Change, pixels, write_series
from enhanced import CT, MR, Frame, classic, within, write_enhanced
from maskmixadv.errors import InputError
from maskmixadv.formats import dicom_frames, dicom_pixels, image_files, seg, series
from quick import quick

LABELS = (pixels() % 4).astype(np.uint8)
UPRIGHT = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))


def rescaled(number: int, one: FileDataset) -> None:
    """A slope and an intercept of its own for each slice, as Philips stores MR."""
    one.RescaleSlope, one.RescaleIntercept, one.RescaleType = 0.5 * (number + 1), -100.0 * number, "US"


def padded_ct(number: int, one: FileDataset) -> None:
    """Signed numbers of 12 bits with padding in the corners, and an overlay in the bits above."""
    values = np.frombuffer(one.PixelData, np.uint16).reshape(one.Rows, one.Columns).astype(np.int16) - 500
    values[0, 0] = -2000
    stored = (values & 0x0FFF).astype(np.uint16)
    stored[1, 1] |= 0x4000
    one.PixelData = stored.tobytes()
    one.Modality, one.PixelRepresentation, one.BitsStored, one.HighBit = "CT", 1, 12, 11
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = CTImageStorage
    one.RescaleSlope, one.RescaleIntercept, one.RescaleType = 1, -24 - number, "HU"
    one["PixelPaddingValue"] = pydicom.DataElement("PixelPaddingValue", "SS", -2000)


def bright(_: int, one: FileDataset) -> None:
    one.PhotometricInterpretation = "MONOCHROME1"


def sheared(number: int, one: FileDataset) -> None:
    one.ImagePositionPatient = (np.array(one.ImagePositionPatient) + 2.0 * number * np.array(OBLIQUE[1])).tolist()


def both(
    tmp_path: Path, change: Change | None = None, *, directions: Any = OBLIQUE, **kwargs: Any
) -> tuple[Path, Path]:
    """Write one phantom as a classic series and as a multi-frame file."""
    folder = write_series(tmp_path / "s", pixels(), change=change, directions=directions)
    return folder, write_enhanced(tmp_path / "e" / "heart.dcm", classic(folder), **kwargs)


def same(one: Path, other: Path) -> None:
    left, right = image_files.read(one), image_files.read(other)
    np.testing.assert_array_equal(left.array, right.array)
    np.testing.assert_array_equal(left.affine, right.affine)
    assert left.spacing == right.spacing
    assert image_files.header(one).shape == image_files.header(other).shape == right.array.shape
    assert image_files.peek(one) == image_files.peek(other)


WAYS = list(product((None, rescaled, padded_ct, bright, sheared), (OBLIQUE, AXIAL, UPRIGHT)))
ONCE = {WAYS[at] for at in (0, 1, 2, 3, 7, 11, 12)}
"""Each change, and each direction of an image that is not changed."""


@pytest.mark.parametrize(("change", "directions"), quick(WAYS, *map(str, ONCE)))
def test_a_multi_frame_file_is_the_classic_series(
    tmp_path: Path, directions: Any, change: Change | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alone or in a folder, with lines on stderr that are the same but for the name."""
    folder, file = both(tmp_path, change, directions=directions, uid=CT if change is padded_ct else MR)
    image_files.read(folder)
    said = capsys.readouterr().err
    image_files.read(file)
    assert capsys.readouterr().err == said.replace(str(folder), str(file))
    assert ("padding" in said and "BitsStored" in said) is (change is padded_ct)
    same(folder, file)
    same(folder, file.parent)


@pytest.mark.parametrize(
    "shared",
    [(), ("PixelMeasuresSequence",), ("PixelMeasuresSequence", "PlaneOrientationSequence")],
    ids=["frames", "measures", "both"],
)
@pytest.mark.parametrize("name", ["IM_0001", "1.2.840.113", "a.DCM", "b.ima"])
def test_groups_of_each_frame_and_of_all_count_and_names_do_not(
    tmp_path: Path, shared: Sequence[str], name: str
) -> None:
    folder, file = both(tmp_path, rescaled, shared=shared)
    renamed = file.rename(file.parent / name)
    same(folder, renamed)
    assert image_files.readable(renamed)
    assert image_files.labels_name(renamed) == f"{name.removesuffix('.DCM').removesuffix('.ima')}.dcm"


@pytest.mark.parametrize("kind", ["MR", "CT"])
def test_what_highdicom_converts_is_read(tmp_path: Path, kind: str) -> None:
    """A file by another writer: what has no group of its own lies among unassigned attributes."""

    def change(number: int, one: FileDataset) -> None:
        if kind == "CT":
            padded_ct(number, one)
        one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        one.EchoTime = 12.5
        one.AcquisitionDate = one.ContentDate = one.SeriesDate = "20200101"
        one.AcquisitionTime = one.ContentTime = one.SeriesTime = "120000"
        one.Manufacturer, one.PatientPosition, one.FrameOfReferenceUID = "x", "HFS", one.FrameOfReferenceUID

    folder = write_series(tmp_path / "s", pixels(), change=change, directions=AXIAL)
    make = {"MR": LegacyConvertedEnhancedMRImage, "CT": LegacyConvertedEnhancedCTImage}[kind]
    made = make(classic(folder), generate_uid(), 2, generate_uid(), 1)
    made.save_as(tmp_path / "converted.dcm")
    same(folder, tmp_path / "converted.dcm")


@pytest.mark.parametrize("directions", [OBLIQUE, UPRIGHT])
def test_itk_finds_each_voxel_of_a_multi_frame_file_where_we_do(tmp_path: Path, directions: Any) -> None:
    """GDCM takes frames as they are stored, so here they are stored in their order."""
    folder = write_series(tmp_path / "s", pixels(), directions=directions)
    groups = ("PlaneOrientationSequence", "PixelMeasuresSequence")

    def in_order(made: FileDataset) -> None:
        slices = classic(folder)
        made.PixelData = b"".join(one.PixelData for one in slices)
        key = [
            int(each.FrameContentSequence[0].InStackPositionNumber) for each in made.PerFrameFunctionalGroupsSequence
        ]
        made.PerFrameFunctionalGroupsSequence = [
            made.PerFrameFunctionalGroupsSequence[at] for at in np.argsort(key).tolist()
        ]

    file = write_enhanced(tmp_path / "e.dcm", classic(folder), shared=groups, whole=in_order)
    image, volume = SimpleITK.ReadImage(str(file)), image_files.read(file)
    assert image.GetSize() == (4, 7, 5)
    assert volume.affine is not None
    for index in np.ndindex(4, 7, 5):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        w, h, d = np.rint((np.linalg.inv(volume.affine) @ [*(lps * [-1, -1, 1]), 1])[:3]).astype(int)
        assert volume.array[d, h, w] == image[index]


def test_compressed_segments_are_decoded_in_a_process_of_their_own(tmp_path: Path) -> None:
    """GDCM ends the process at some damaged files."""
    _, path = both(tmp_path, rescaled)
    plain, packed = pydicom.dcmread(path), pydicom.dcmread(path)
    packed.compress(JPEGLSLossless, generate_instance_uid=False)
    packed.save_as(tmp_path / "b.dcm")
    shape = (int(plain.NumberOfFrames), plain.Rows, plain.Columns)
    dicom_pixels.unpack(tmp_path / "b.dcm", packed, shape)
    assert packed.PixelData == plain.PixelData
    assert not packed.file_meta.TransferSyntaxUID.is_compressed
    damaged = (tmp_path / "b.dcm").read_bytes()
    (tmp_path / "c.dcm").write_bytes(damaged[:-200] + bytes(200))
    with pytest.raises(InputError, match=r"c\.dcm: "):
        dicom_pixels.unpack(tmp_path / "c.dcm", pydicom.dcmread(tmp_path / "c.dcm"), shape)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_frames_are_read(tmp_path: Path, syntax: str) -> None:
    folder, file = both(tmp_path, rescaled)
    packed = pydicom.dcmread(file)
    packed.compress(syntax, generate_instance_uid=False)
    packed.save_as(file)
    assert pydicom.dcmread(file).file_meta.TransferSyntaxUID == syntax
    same(folder, file)


@pytest.mark.parametrize("places", [(0, 1, 2, 3, 4), (0, 0, 0, 0, 0), (0, 2, 1, 3, 4), (0, 1, 2, 3)])
def test_a_table_that_takes_one_frame_for_another_is_refused(tmp_path: Path, places: tuple[int, ...]) -> None:
    array = pixels()
    folder = write_series(tmp_path / "classic", array)
    path = write_enhanced(tmp_path / "a.dcm", classic(folder))
    packed = pydicom.dcmread(path)
    packed.compress(RLELossless, generate_instance_uid=False)
    frames = list(generate_frames(packed.PixelData, number_of_frames=len(array)))
    longest = max(map(len, frames))
    content, begins, lengths = encapsulate_extended([frame + bytes(longest - len(frame)) for frame in frames])
    told = np.frombuffer(begins, "<u8")[list(places)].tobytes()
    packed.PixelData, packed.ExtendedOffsetTable, packed.ExtendedOffsetTableLengths = content, told, lengths
    packed.save_as(path)
    if places == (0, 1, 2, 3, 4):
        np.testing.assert_array_equal(image_files.read(path).array, array)
        return
    with pytest.raises(InputError, match=r"a\.dcm: ExtendedOffsetTable says (that frame 2 begins|4 places where)"):
        image_files.read(path)


def two(name: str, **by_volume: Sequence[Any]) -> Frame:
    """Say something in group `name` that differs between the first five slices and the others."""
    return lambda at, group: within(group, name, **{key: values[at // 5] for key, values in by_volume.items()})


def direction(at: int, group: Dataset) -> None:
    gradient = Dataset()
    gradient.DiffusionGradientOrientation = [1.0, 0.0, 0.0] if at < 5 else [0.0, 1.0, 0.0]
    within(group, "MRDiffusionSequence", DiffusionBValue=800.0, DiffusionGradientDirectionSequence=[gradient])


def counted_by(at: int, group: Dataset) -> None:
    within(group, "FrameContentSequence", DimensionIndexValues=[1, 1 + at // 5])


def with_dimensions(made: FileDataset) -> None:
    made.DimensionIndexSequence = [Dataset(), Dataset()]
    made.DimensionIndexSequence[0].DimensionIndexPointer = 0x00209057
    made.DimensionIndexSequence[1].DimensionIndexPointer = 0x2005140F
    made.DimensionIndexSequence[1].DimensionDescriptionLabel = "Dixon type"


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (two("FrameContentSequence", StackID=["1", "2"]), "StackID is 1, 2 in its slices, allowed is one"),
        (two("MREchoSequence", EffectiveEchoTime=[4.6, 100.0]), r"EffectiveEchoTime is 4\.6, 100 in its slices"),
        (two("MRDiffusionSequence", DiffusionBValue=[0.0, 800.0]), "DiffusionBValue is 0, 800 in its slices"),
        (
            two("MRImageFrameTypeSequence", ComplexImageComponent=["MAGNITUDE", "PHASE"]),
            "ComplexImageComponent is MAGNITUDE, PHASE in its slices",
        ),
        (
            two("FrameContentSequence", TemporalPositionIndex=[1, 2]),
            r"frame \d+: lies where .* frame \d+ does; TemporalPositionIndex is 1, 2; export",
        ),
        (
            two("CardiacSynchronizationSequence", NominalCardiacTriggerDelayTime=[0.0, 312.5]),
            r"does; NominalCardiacTriggerDelayTime is 0, 312\.5; export",
        ),
        (two("MRModifierSequence", InversionTimes=[200.0, 900.0]), "does; InversionTimes is 200, 900; export"),
        (direction, r"does; DiffusionGradientOrientation is \[0\.0, 1\.0, 0\.0\], \[1\.0, 0\.0, 0\.0\]; export"),
        (counted_by, "does; Dixon type counts 1, 2; export"),
        (None, "does; export each volume apart, or convert them to NIfTI"),
    ],
)
def test_several_volumes_in_one_file_are_refused_and_what_varies_is_named(
    tmp_path: Path, frame: Frame | None, words: str
) -> None:
    slices = classic(write_series(tmp_path / "s", pixels()))
    whole = with_dimensions if frame is counted_by else None
    file = write_enhanced(tmp_path / "e.dcm", [*slices, *slices], frame=frame, whole=whole)
    for read in (image_files.read, image_files.peek):
        with pytest.raises(InputError, match=words) as caught:
            read(file)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)


def of_class(uid: str) -> Callable[[FileDataset], None]:
    def change(made: FileDataset) -> None:
        made.SOPClassUID = uid

    return change


def without(*names: str) -> Callable[[FileDataset], None]:
    def change(made: FileDataset) -> None:
        for name in names:
            delattr(made, name)

    return change


def lacking(name: str) -> Frame:
    def change(at: int, group: Dataset) -> None:
        if at == 2:
            delattr(group, name)

    return change


def turned(at: int, group: Dataset) -> None:
    if at == 2:
        within(group, "PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0])


def coarser(at: int, group: Dataset) -> None:
    if at == 2:
        within(group, "PixelMeasuresSequence", PixelSpacing=[0.8, 0.7])


def one_frame_less(made: FileDataset) -> None:
    made.NumberOfFrames = len(made.PerFrameFunctionalGroupsSequence) - 1


def half_its_pixels(made: FileDataset) -> None:
    made.PixelData = made.PixelData[: len(made.PixelData) // 2]


def in_colour(made: FileDataset) -> None:
    made.SamplesPerPixel, made.PhotometricInterpretation = 3, "RGB"


@pytest.mark.parametrize(
    ("frame", "whole", "words"),
    [
        (turned, None, r"frame \d: ImageOrientationPatient is .*, but .* frame \d; split the series"),
        (coarser, None, r"frame \d: PixelSpacing is .*, but .* frame \d; split the series"),
        (lacking("PlanePositionSequence"), None, r"frame \d: lacks ImagePositionPatient"),
        (lacking("PixelMeasuresSequence"), None, r"frame \d: lacks PixelSpacing"),
        (None, one_frame_less, "NumberOfFrames is 4, but PerFrameFunctionalGroupsSequence describes 5"),
        (None, without("PerFrameFunctionalGroupsSequence"), "NumberOfFrames is 5, but .* describes 0"),
        (None, half_its_pixels, "pixels can't be read"),
        (None, in_colour, "3 samples a pixel"),
        (None, of_class("1.2.840.10008.5.1.4.1.1.4.3"), "is a multi-frame file of class 'Enhanced MR Color Image"),
        (None, of_class("1.2.840.10008.5.1.4.1.1.7.3"), "is a multi-frame file of class 'Multi-frame Grayscale Word"),
    ],
)
def test_what_is_no_volume_is_refused_as_in_a_classic_series(
    tmp_path: Path, frame: Frame | None, whole: Callable[[FileDataset], None] | None, words: str
) -> None:
    slices = classic(write_series(tmp_path / "s", pixels()))
    file = write_enhanced(tmp_path / "e.dcm", slices, shared=(), frame=frame, whole=whole)
    with pytest.raises(InputError, match=words) as caught:
        series.read(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_shifted_frames_are_refused_as_slices_are(tmp_path: Path) -> None:
    slices = classic(write_series(tmp_path / "s", pixels()))
    file = write_enhanced(tmp_path / "gap.dcm", [*slices[:2], *slices[3:]])
    with pytest.raises(InputError, match=r"gap\.dcm frame \d: the next slice is 12 mm away, others 6 mm; add what"):
        image_files.read(file)
    slices[2].ImagePositionPatient = (np.array(slices[2].ImagePositionPatient) + 3.0 * np.array(OBLIQUE[0])).tolist()
    with pytest.raises(InputError, match=r"frame \d: lies 3 mm beside the line"):
        image_files.read(write_enhanced(tmp_path / "beside.dcm", slices))


def test_a_part_of_a_concatenation_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its volume was shorter, without a word."""
    slices = classic(write_series(tmp_path / "s", pixels()))
    uid = generate_uid()

    def part(made: FileDataset) -> None:
        made.SeriesInstanceUID = made.ConcatenationUID = uid
        made.InConcatenationTotalNumber = 2

    for name, some in {"a": slices[:2], "b": slices[2:]}.items():
        write_enhanced(tmp_path / "parts" / f"{name}.dcm", some, whole=part)
    image_files.read(tmp_path / "parts")
    assert capsys.readouterr().err == ""
    alone = tmp_path / "parts" / "b.dcm"
    image_files.read(alone)
    told = "is 1 of 2 parts of a volume (InConcatenationTotalNumber), and the others are not there; add them"
    assert capsys.readouterr().err == f"{alone}: {told}\n"


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("13.1.1", "X-Ray 3D Angiographic"),
        ("104.1", "Encapsulated PDF"),
        ("481.2", "RTDOSE"),
        ("88.11", "SR"),
        ("11.1", "PR"),
    ],
)
def test_other_classes_of_dicom_are_refused_by_name(tmp_path: Path, uid: str, name: str) -> None:
    """A line called each of them one file of a series."""
    one = classic(write_series(tmp_path / "s", pixels()))[0]
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = UID(f"1.2.840.10008.5.1.4.1.1.{uid}")
    one.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(InputError, match=rf"a\.dcm: is DICOM of the class {name}, allowed are a folder of slices, "):
        image_files.read(tmp_path / "a.dcm")


def test_frames_of_several_files_are_one_volume_where_their_places_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As concatenations have it, and scanners that write a file with one frame for each slice."""
    folder = write_series(tmp_path / "s", pixels())
    slices, uid = classic(folder), generate_uid()

    def of_one_series(made: FileDataset) -> None:
        made.SeriesInstanceUID = uid

    for name, part in {"a": slices[:2], "b": slices[2:]}.items():
        write_enhanced(tmp_path / "parts" / f"{name}.dcm", part, whole=of_one_series)
    for at, one in enumerate(slices):
        write_enhanced(tmp_path / "each" / f"{at}.dcm", [one], whole=of_one_series)
    for place in (tmp_path / "parts", tmp_path / "each"):
        same(folder, place)
        volume = image_files.read(place)
        labels = volume.geometry.labels_path(tmp_path / "seg.dcm", tiny.CLASSES)
        assert labels.name == "seg.nii.gz"  # a SEG refers to one multi-frame file
        assert "multi-frame files, allowed is one); its labels are written as NIfTI" in capsys.readouterr().err
        volume.geometry.write_labels(labels, LABELS, tiny.CLASSES)
        np.testing.assert_array_equal(image_files.read_labels(labels).array, LABELS)
    write_enhanced(tmp_path / "each" / "other series.dcm", slices)
    with pytest.raises(InputError, match=r"holds 2 DICOM image series, .* or name each multi-frame file"):
        image_files.read(tmp_path / "each")


@pytest.mark.parametrize("shared", [(), ("PlaneOrientationSequence", "PixelMeasuresSequence")])
@pytest.mark.parametrize("change", [None, sheared])
def test_a_segmentation_of_a_multi_frame_file_refers_to_the_right_frames(
    tmp_path: Path, shared: Sequence[str], change: Change | None
) -> None:
    folder, file = both(tmp_path, change, shared=shared, seed=3)
    labels = np.zeros_like(LABELS)
    labels[1, 2:5, 1:3], labels[3, 0, 0], labels[3, 6, 3] = 1, 2, 3
    volume = image_files.read(file)
    place = volume.geometry.labels_path(tmp_path / "seg.dcm", tiny.CLASSES)
    volume.geometry.write_labels(place, labels, tiny.CLASSES)
    np.testing.assert_array_equal(seg.read(place, volume, tiny.CLASSES), labels)
    source, made = pydicom.dcmread(file), pydicom.dcmread(place)
    assert series.instance(file) == source.SOPInstanceUID
    assert seg.instances(place) == {source.SOPInstanceUID}
    assert seg.referenced(place) == source.SeriesInstanceUID
    assert made.FrameOfReferenceUID == source.FrameOfReferenceUID
    found = set()
    for group in made.PerFrameFunctionalGroupsSequence:
        origin = group.DerivationImageSequence[0].SourceImageSequence[0]
        number = origin.ReferencedFrameNumber
        drawn_at = source.PerFrameFunctionalGroupsSequence[number - 1].PlanePositionSequence[0].ImagePositionPatient
        assert group.PlanePositionSequence[0].ImagePositionPatient == drawn_at
        found.add(number)
    frames = [
        int(each.FrameContentSequence[0].InStackPositionNumber) for each in source.PerFrameFunctionalGroupsSequence
    ]
    assert found == {frames.index(2) + 1, frames.index(4) + 1}
    if change is None:  # highdicom finds the masks where the classic series has them
        image = image_files.read(folder)
        index = np.argwhere(hd.seg.segread(place).get_volume(segment_numbers=[3], combine_segments=True).array)
        assert len(index) == 1
        np.testing.assert_array_equal(seg.read(place, image, tiny.CLASSES), labels)


def test_a_segmentation_that_another_program_made_of_a_multi_frame_file_is_read(tmp_path: Path) -> None:
    """One of its own, as highdicom makes it of the file's pixels in the order of frames."""
    _, file = both(tmp_path, shared=("PlaneOrientationSequence", "PixelMeasuresSequence"), seed=5)
    source, volume = pydicom.dcmread(file), image_files.read(file)
    mask = (source.pixel_array > 450).astype(np.uint8)
    described = [seg._described(hd, 1, "LV")]
    made = hd.seg.Segmentation([source], mask, "BINARY", described, hd.UID(), 9, hd.UID(), 1, "x", "x", "1", "1")
    made.save_as(tmp_path / "seg.dcm")
    found = seg.read(tmp_path / "seg.dcm", volume, ("background", "LV"))
    np.testing.assert_array_equal(found, volume.array > 450)


def test_an_anonymised_file_gets_a_segmentation_and_one_without_identifiers_nifti(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyTime", "StudyID", "AccessionNumber")
    _, file = both(tmp_path, whole=without(*gone))
    volume = image_files.read(file)
    volume.geometry.write_labels(tmp_path / "seg.dcm", LABELS, tiny.CLASSES)
    np.testing.assert_array_equal(seg.read(tmp_path / "seg.dcm", volume, tiny.CLASSES), LABELS)
    _, file = both(tmp_path / "other", whole=without("StudyInstanceUID"))
    volume = image_files.read(file)
    assert volume.geometry.labels_path(tmp_path / "a.dcm", tiny.CLASSES).name == "a.nii.gz"
    assert "lacks StudyInstanceUID" in capsys.readouterr().err


def test_class_codes_in_a_multi_frame_file_are_not_inverted(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", LABELS, change=bright)
    file = write_enhanced(tmp_path / "e.dcm", classic(folder))
    np.testing.assert_array_equal(image_files.read_labels(file).array, LABELS)


def test_a_classic_slice_is_no_volume(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", pixels())
    assert not any(dicom_frames.is_volume(path) for path in folder.iterdir())
    assert not dicom_frames.is_volume(folder)
    one = next(folder.iterdir()).rename(folder / "IM.dcm")
    assert not image_files.readable(one)
    with pytest.raises(InputError, match="is one file of a DICOM series, allowed is a folder of its own"):
        image_files.read(one)


def test_a_volume_whose_frames_differ_in_time_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def late(at: int, group: Dataset) -> None:
        within(group, "FrameContentSequence", TemporalPositionIndex=1 + at % 2)
        within(group, "CardiacSynchronizationSequence", NominalCardiacTriggerDelayTime=300.0 * (at % 2))

    folder, file = both(tmp_path, frame=late)
    same(folder, file)
    capsys.readouterr()
    image_files.read(file)
    assert capsys.readouterr().err.splitlines() == [
        f"{file}: NominalCardiacTriggerDelayTime is 0, 300 in its slices; they are taken for one volume",
        f"{file}: TemporalPositionIndex is 1, 2 in its slices; they are taken for one volume",
    ]


def test_two_echoes_of_which_each_place_has_one_are_refused(tmp_path: Path) -> None:
    def echo(at: int, group: Dataset) -> None:
        within(group, "MREchoSequence", EffectiveEchoTime=4.6 if at % 2 else 9.2)

    _, file = both(tmp_path, frame=echo)
    with pytest.raises(
        InputError, match=r"heart\.dcm: EffectiveEchoTime is 4\.6, 9\.2 in its slices, allowed is one in"
    ):
        image_files.read(file)
