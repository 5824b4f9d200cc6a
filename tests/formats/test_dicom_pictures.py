"""DICOM pictures: the values that pydicom itself makes of them, their spacing, and what is told or refused."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, convert_color_space
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicom_pictures import (
    CINE,
    CR,
    CT,
    DX,
    MG,
    PHOTO,
    SC,
    US,
    XA,
    Whole,
    colours,
    grey,
    lossless,
    most_significant_first,
    region,
    write_picture,
)
from dicoms import packed, pixels, write_series
from enhanced import classic, write_enhanced
from maskmixadv.errors import InputError
from maskmixadv.formats import dicom_header, dicom_pixels, image_files, nifti, seg, series

CLASSES = ("background", "bone")


def set_to(**values: object) -> Whole:
    def change(one: FileDataset) -> None:
        for name, value in values.items():
            setattr(one, name, value)

    return change


@pytest.mark.parametrize("uid", [CR, DX, MG, US, SC, XA])
@pytest.mark.parametrize("name", ["a.dcm", "b.IMA", "IM_0001", "1.2.840.113"])
def test_a_grey_picture_is_a_slice_of_its_own(tmp_path: Path, uid: str, name: str) -> None:
    path = write_picture(tmp_path / name, grey(), uid=uid)
    volume = image_files.read(path)
    np.testing.assert_array_equal(volume.array, grey()[None])
    assert (volume.spacing, volume.affine, volume.geometry.placed, volume.notes) == (None, None, False, ())
    assert image_files.readable(path)
    assert image_files.header(path).shape == (1, 32, 40)
    assert image_files.declared(path) == ((1, 32, 40), 4)
    assert image_files.stem(path) == name.removesuffix(".dcm").removesuffix(".IMA")
    assert not image_files.coloured(path)


def test_values_are_those_that_pydicom_and_itk_make(tmp_path: Path) -> None:
    """The lowest value of MONOCHROME1 is shown white; rescaled, and by a table."""

    def table(one: FileDataset) -> None:
        item = Dataset()
        item.LUTDescriptor, item.ModalityLUTType = [900, 0, 16], "US"
        item.LUTData = (np.arange(900, dtype=np.uint16) * 7 + 3).tolist()
        item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
        one.ModalityLUTSequence = [item]

    for change in (set_to(RescaleSlope=2.5, RescaleIntercept=-100), table):
        path = write_picture(tmp_path / "a.dcm", grey(), change=change)
        found = pydicom.dcmread(path)
        np.testing.assert_allclose(image_files.read(path).array[0], apply_modality_lut(found.pixel_array, found))
    path = write_picture(tmp_path / "b.dcm", grey(), shown="MONOCHROME1")
    np.testing.assert_array_equal(image_files.read(path).array[0], 899 - grey().astype(float) + grey().min())
    signed = write_picture(tmp_path / "c.dcm", grey().astype(np.int16) - 400)
    image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(signed)))
    np.testing.assert_array_equal(image_files.read(signed).array, image)


def test_padding_and_high_bits_are_those_of_slices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(one: FileDataset) -> None:
        array = grey() | (np.eye(32, 40, dtype=np.uint16) << 14)
        array[0, 1] = 2000
        one.PixelData, one.BitsStored, one.HighBit, one.PixelPaddingValue = array.tobytes(), 12, 11, 2000

    path = write_picture(tmp_path / "a.dcm", grey(), change=change)
    expected = grey().astype(float)
    expected[0, 1] = np.delete(expected.ravel(), 1).min()
    np.testing.assert_array_equal(image_files.read(path).array[0], expected)
    said = capsys.readouterr().err
    assert f"{path}: 1 of 1280 pixels are padding" in said
    assert f"{path}: 32 of 1280 pixels have bits above BitsStored" in said


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("shown", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("uid", [US, SC, PHOTO])
def test_colours_are_red_green_and_blue(tmp_path: Path, uid: str, shown: str, planar: int) -> None:
    def change(one: FileDataset) -> None:
        one.PlanarConfiguration = planar
        if planar:
            one.PixelData = np.ascontiguousarray(np.moveaxis(colours(), -1, 0)).tobytes()

    path = write_picture(tmp_path / "a.dcm", colours(), uid=uid, shown=shown, change=change)
    rgb = convert_color_space(colours(), shown, "RGB")
    volume = image_files.read(path)
    assert volume.channels is not None
    np.testing.assert_array_equal(volume.channels[:, 0], np.moveaxis(rgb, -1, 0))
    Image.fromarray(rgb).save(tmp_path / "a.png")
    png = image_files.read(tmp_path / "a.png")
    np.testing.assert_array_equal(volume.array, png.array)
    assert volume.coloured
    assert volume.colours
    assert image_files.coloured(path)


def test_grey_that_is_stored_as_colours_is_what_it_is_in_a_png(tmp_path: Path) -> None:
    same = np.repeat((grey() % 256).astype(np.uint8)[..., None], 3, axis=2)
    Image.fromarray(same).save(tmp_path / "a.png")
    volume, png = (
        image_files.read(write_picture(tmp_path / "a.dcm", same, uid=SC)),
        image_files.read(tmp_path / "a.png"),
    )
    np.testing.assert_array_equal(volume.array, png.array)
    assert (volume.coloured, volume.colours) == (png.coloured, png.colours) == (False, True)


@pytest.mark.parametrize(("shown", "syntax"), [
    ("YBR_PARTIAL_422", JPEGBaseline8Bit), ("YBR_RCT", JPEGBaseline8Bit), ("YBR_RCT", ExplicitVRLittleEndian),
    ("YBR_PARTIAL_420", ExplicitVRLittleEndian),
])  # fmt: skip
def test_colours_that_no_library_turns_are_refused(tmp_path: Path, shown: str, syntax: UID) -> None:
    """Brightness and two differences would be taken for red, green and blue."""

    def change(one: FileDataset) -> None:
        if syntax == JPEGBaseline8Bit:
            packed = io.BytesIO()
            Image.fromarray(colours()).save(packed, "JPEG")
            one.file_meta.TransferSyntaxUID = syntax
            one.PixelData = encapsulate([packed.getvalue()])

    path = write_picture(tmp_path / "a.dcm", colours(), uid=US, shown=shown, change=change)
    with pytest.raises(
        InputError, match=rf"a\.dcm: PhotometricInterpretation is '{shown}' in .*, allowed are RGB, YBR_"
    ):
        image_files.read(path)


@pytest.mark.parametrize("high", [11, 15])
def test_bits_beside_colours_are_cut_off(tmp_path: Path, high: int, capsys: pytest.CaptureFixture[str]) -> None:
    def change(one: FileDataset) -> None:
        one.BitsStored, one.HighBit = 12, high

    values = colours().astype(np.uint16) * 16
    others = 0x5000 if high == 11 else 5
    path = write_picture(tmp_path / "a.dcm", (values << (high - 11)) + np.uint16(others), uid=US, change=change)
    volume = image_files.read(path)
    assert volume.channels is not None
    np.testing.assert_array_equal(volume.channels[:, 0], np.moveaxis(values, -1, 0))
    assert f"{path}: 3840 of 3840 values have bits above BitsStored" in capsys.readouterr().err


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_is_read_in_both_orders_of_bytes(tmp_path: Path, bits: int) -> None:
    """Tables of 8 bits lie in words, too, whose bytes then change places."""

    def change(one: FileDataset) -> None:
        for name, seed in (("Red", 1), ("Green", 2), ("Blue", 3)):
            values = np.random.default_rng(seed).integers(0, 2**bits, 16).astype(f"<u{bits // 8}")
            setattr(one, f"{name}PaletteColorLookupTableDescriptor", [16, 0, bits])
            one[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
            setattr(one, f"{name}PaletteColorLookupTableData", values.tobytes())

    path = write_picture(tmp_path / "a.dcm", grey() % 16, uid=US, shown="PALETTE COLOR", change=change)
    little = image_files.read(path)
    most_significant_first(path)
    np.testing.assert_array_equal(image_files.read(path).channels, little.channels)  # pyright: ignore[reportArgumentType]


def test_a_palette_in_segments_is_the_same_in_both_orders_of_bytes(tmp_path: Path) -> None:
    """The library turns its words by itself."""

    def change(one: FileDataset) -> None:
        for name, seed in (("Red", 1), ("Green", 2), ("Blue", 3)):
            values = np.random.default_rng(seed).integers(0, 2**16, 16).tolist()
            setattr(one, f"{name}PaletteColorLookupTableDescriptor", [16, 0, 16])
            one[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
            words = np.array([0, 16, *values], "<u2").tobytes()  # one segment of numbers as they are
            setattr(one, f"Segmented{name}PaletteColorLookupTableData", words)

    path = write_picture(tmp_path / "a.dcm", grey() % 16, uid=US, shown="PALETTE COLOR", change=change)
    little = image_files.read(path)
    most_significant_first(path)
    np.testing.assert_array_equal(image_files.read(path).channels, little.channels)  # pyright: ignore[reportArgumentType]


def test_bits_above_numbers_of_a_palette_are_cut_off(tmp_path: Path) -> None:
    def change(one: FileDataset) -> None:
        one.BitsStored, one.HighBit = 4, 3
        for name in ("Red", "Green", "Blue"):
            setattr(one, f"{name}PaletteColorLookupTableDescriptor", [16, 0, 8])
            one[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
            setattr(one, f"{name}PaletteColorLookupTableData", bytes(range(0, 160, 10)))

    indices = (grey() % 16).astype(np.uint8)
    path = write_picture(tmp_path / "a.dcm", indices | np.uint8(0x80), uid=US, shown="PALETTE COLOR", change=change)
    np.testing.assert_array_equal(image_files.read(path).array[0], indices * 10)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_is_looked_up_and_its_indices_are_codes(tmp_path: Path, bits: int) -> None:
    def change(one: FileDataset) -> None:
        for name, seed in (("Red", 1), ("Green", 2), ("Blue", 3)):
            values = np.random.default_rng(seed).integers(0, 2**bits, 256)
            setattr(one, f"{name}PaletteColorLookupTableDescriptor", [256, 0, bits])
            one[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
            setattr(one, f"{name}PaletteColorLookupTableData", values.astype(f"<u{bits // 8}").tobytes())

    indices = (grey() % 256).astype(np.uint8)
    path = write_picture(tmp_path / "a.dcm", indices, uid=US, shown="PALETTE COLOR", change=change)
    volume = image_files.read(path)
    assert volume.channels is not None
    expected = apply_color_lut(indices, pydicom.dcmread(path))
    np.testing.assert_array_equal(volume.channels[:, 0], np.moveaxis(expected, -1, 0))
    assert volume.coloured
    np.testing.assert_array_equal(image_files.read_labels(path).array[0], indices)


def test_a_jpeg_of_a_scope_is_what_pillow_reads(tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(colours(shape=(4, 5))).resize((40, 32), Image.Resampling.BICUBIC))
    stream = io.BytesIO()
    Image.fromarray(smooth).save(stream, format="JPEG", quality=95, subsampling=1)

    def change(one: FileDataset) -> None:
        one.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        one.PixelData, one.PhotometricInterpretation = encapsulate([stream.getvalue()]), "YBR_FULL_422"
        one["PixelData"].is_undefined_length = True

    volume = image_files.read(write_picture(tmp_path / "a.dcm", smooth, uid=PHOTO, change=change))
    assert volume.channels is not None
    decoded = np.asarray(Image.open(stream).convert("RGB"), float)
    assert np.abs(np.moveaxis(volume.channels[:, 0].astype(float), 0, -1) - decoded).max() <= 3


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEGLosslessSV1])
def test_compressed_pictures_are_decoded(tmp_path: Path, syntax: UID) -> None:
    path = write_picture(tmp_path / "a.dcm", grey())
    if syntax == JPEGLosslessSV1:
        lossless(path)
    else:
        one = pydicom.dcmread(path)
        one.compress(syntax, generate_instance_uid=False)
        one.save_as(path)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    pixels = dicom_pixels.read(path, (32, 40)).values
    np.testing.assert_array_equal(pixels, grey())


def test_a_damaged_file_does_not_end_the_process(tmp_path: Path) -> None:
    """GDCM ends its own where a JPEG says a precision that there is not; the next file is read."""
    sound = lossless(write_picture(tmp_path / "a.dcm", grey()))
    content = bytearray(sound.read_bytes())
    content[content.index(b"\xff\xd8\xff") + 6] = 255
    (tmp_path / "b.dcm").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.dcm: not a readable compressed DICOM file \(it killed the reader\)"):
        image_files.read(tmp_path / "b.dcm")
    np.testing.assert_array_equal(image_files.read(sound).array[0], grey())


@pytest.mark.parametrize(
    ("there", "said"),
    [(False, "pip install 'maskmixadv\\[dicom\\]'\", or export it uncompressed"), (True, "export it")],
)
def test_a_compression_without_a_decoder_names_the_remedy(
    tmp_path: Path, there: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(one: FileDataset) -> None:
        one.file_meta.TransferSyntaxUID = HTJ2KLossless
        one.PixelData = encapsulate([b"\0" * 100])
        one["PixelData"].is_undefined_length = True

    monkeypatch.setattr(dicom_pixels, "find_spec", lambda _: object() if there else None)
    path = write_picture(tmp_path / "a.dcm", grey(), change=change)
    with pytest.raises(InputError, match=f"no decoder of High-Throughput JPEG 2000.* is installed; .*{said}") as error:
        image_files.read(path)
    assert ("pip install" in str(error.value)) is not there


SPACINGS: list[tuple[Whole, tuple[float, float] | None, str]] = [
    (set_to(PixelSpacing=[0.5, 0.25]), (0.5, 0.25), "no thickness is said, so 1 mm"),
    (set_to(PixelSpacing=[0.5, 0.25], ImagerPixelSpacing=[0.6, 0.3]), (0.5, 0.25), "no thickness is said"),
    (set_to(PixelSpacing=[0.6, 0.3], ImagerPixelSpacing=[0.6, 0.3]), (0.6, 0.3), "at the detector (Imager"),
    (set_to(ImagerPixelSpacing=[0.6, 0.3]), (0.6, 0.3), "(ImagerPixelSpacing), so lengths are magnified"),
    (set_to(NominalScannedPixelSpacing=[0.6, 0.3]), (0.6, 0.3), "scanned film (NominalScannedPixelSpacing)"),
    (set_to(PixelSpacing=[0.0, 0.0]), None, "PixelSpacing is 0 × 0 mm, which is taken as not said"),
    (set_to(PixelSpacing=None, ImagerPixelSpacing=[0.6, 0.3]), (0.6, 0.3), "at the detector"),
    (set_to(PixelAspectRatio=[4, 3]), None, "PixelAspectRatio is 4 to 3 and no spacing is said"),
    (lambda one: region(one, tall=0.05, wide=-0.02), (0.5, 0.2), "that of the ultrasound region"),
    (lambda one: region(one, tall=0.05, wide=0.02, unit=4), None, ""),
]  # fmt: skip


@pytest.mark.parametrize(("change", "between", "told"), SPACINGS)
def test_spacing_is_what_the_header_says(
    tmp_path: Path, change: Whole, between: tuple[float, float] | None, told: str
) -> None:
    path = write_picture(tmp_path / "a.dcm", grey(), uid=US, change=change)
    volume = image_files.read(path)
    assert volume.spacing == (None if between is None else pytest.approx((1.0, *between)))
    assert image_files.header(path).spacing == volume.spacing
    assert any(told in note for note in volume.notes) or (not told and volume.notes == ())


def test_regions_of_several_spacings_say_none(tmp_path: Path) -> None:
    def change(one: FileDataset) -> None:
        for wide in (0.02, 0.02, 0.03):
            region(one, tall=0.05, wide=wide)
        region(one, tall=1.0, wide=0.001, unit=4)

    volume = image_files.read(write_picture(tmp_path / "a.dcm", grey(), uid=US, change=change))
    assert volume.spacing is None
    assert volume.notes == (
        "its ultrasound regions have several spacings (0.5 × 0.2, 0.5 × 0.2, 0.5 × 0.3 mm), so none is taken",
    )


def test_a_thickness_that_is_said_counts(tmp_path: Path) -> None:
    change = set_to(PixelSpacing=[0.5, 0.25], SliceThickness=4)
    volume = image_files.read(write_picture(tmp_path / "a.dcm", grey(), uid=SC, change=change))
    assert (volume.spacing, volume.notes) == ((4.0, 0.5, 0.25), ())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_to(PixelSpacing=[0.5, -0.5]), "PixelSpacing: a voxel of 1 × 0.5 × -0.5 mm, allowed are"),
        (set_to(PixelSpacing=[0.5, 0.5], PixelAspectRatio=[4, 3]), "PixelAspectRatio is 4 to 3, PixelSpacing"),
        (set_to(PresentationLUTShape="INVERSE"), "PresentationLUTShape is 'INVERSE', but MONOCHROME2 shows 0 black"),
        (set_to(PhotometricInterpretation="HSV"), "PhotometricInterpretation is 'HSV', allowed are"),
        (set_to(Rows=0), "0 × 40 pixels; allowed is above 0"),
        (set_to(Rows=33), "pixels can't be read"),
        (lambda one: one.pop("PixelData"), "pixels can't be read"),
    ],
)
def test_what_can_t_be_right_is_one_line(tmp_path: Path, change: Callable[[FileDataset], object], said: str) -> None:
    path = write_picture(tmp_path / "a.dcm", grey(), uid=DX, change=lambda one: (change(one), None)[1])
    with pytest.raises(InputError, match=said) as error:
        image_files.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_more_pixels_than_the_header_says_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_picture(tmp_path / "a.dcm", grey(), change=set_to(Rows=31))
    np.testing.assert_array_equal(image_files.read(path).array[0], grey()[:31])
    assert f"{path}: 31 × 40 need 2,480 bytes, its pixels have 80 more, which are left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("uid", "called"), [(CINE, "Ultrasound Multi-frame Image Storage"), (XA, "X-Ray Angiographic Image Storage")]
)
def test_films_are_refused_with_their_class_and_frames(tmp_path: Path, uid: str, called: str) -> None:
    path = write_picture(tmp_path / "film.dcm", np.stack([grey()] * 7), uid=uid)
    said = f"film.dcm: has 7 frames of class '{called}' without a place, allowed is one picture a file; save"
    for read in (image_files.read, image_files.header, image_files.coloured):
        with pytest.raises(InputError, match=said):
            read(path)
    one = write_picture(tmp_path / "one.dcm", grey(), uid=uid, change=set_to(NumberOfFrames=1))
    assert image_files.read(one).array.shape == (1, 32, 40)


def test_slices_of_ct_stay_slices(tmp_path: Path) -> None:
    bare = write_picture(tmp_path / "ct" / "a.dcm", grey(), uid=CT)
    with pytest.raises(InputError, match="is one file of a DICOM series"):
        image_files.read(bare)
    with pytest.raises(InputError, match="images without ImagePositionPatient"):
        image_files.read(bare.parent)
    text = tmp_path / "text.dcm"
    text.write_text("no DICOM at all")
    with pytest.raises(InputError, match="is called a DICOM file and is none"):
        image_files.read(text)


def test_a_picture_with_a_place_is_a_slice(tmp_path: Path) -> None:
    change = set_to(ImagePositionPatient=[0, 0, 0])
    assert not image_files.readable(write_picture(tmp_path / "a.dcm", grey(), uid=SC, change=change))


def test_a_folder_of_pictures_holds_several_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also of one series. One alone may have a folder or a zip; beside slices it is passed over."""
    for name in ("a.dcm", "b.dcm"):
        write_picture(tmp_path / "both" / name, colours(), uid=US, series="1.2.3")
    assert image_files.several_in(tmp_path / "both")
    with pytest.raises(
        InputError, match=r"holds 2 pictures \(2 files \(a\.dcm, b\.dcm\)\), allowed is one image a folder"
    ):
        image_files.read(tmp_path / "both")
    alone = write_picture(tmp_path / "alone" / "IM1", colours(), uid=US)
    assert image_files.several_in(alone.parent)
    for image in (alone.parent, packed(alone.parent, tmp_path / "alone.zip")):
        assert image_files.coloured(image)
        np.testing.assert_array_equal(image_files.read(image).array, image_files.read(alone).array)
    folder = write_series(tmp_path / "slices", pixels())
    write_picture(folder / "screen.dcm", colours(), uid=SC)
    assert not image_files.several_in(folder)
    assert not image_files.coloured(folder)
    capsys.readouterr()
    assert image_files.read(folder).array.shape == (5, 7, 4)
    said = f"{folder}: passed over, as pictures that lie nowhere in the patient: 1 file (screen.dcm)"
    assert said in capsys.readouterr().err
    write_enhanced(tmp_path / "mixed" / "e.dcm", classic(write_series(tmp_path / "s", pixels())))
    write_picture(tmp_path / "mixed" / "p.dcm", grey())
    assert image_files.several_in(tmp_path / "mixed")


def test_a_folder_of_a_segmentation_alone_says_so(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", pixels())
    (tmp_path / "seg").mkdir()
    series.read(folder).geometry.write_labels(tmp_path / "seg" / "a.dcm", (pixels() % 2).astype(np.uint8), CLASSES)
    with pytest.raises(InputError, match=r"holds no DICOM image series \(1 SEG without the images that it is of\)"):
        image_files.read(tmp_path / "seg")


def test_labels_are_a_segmentation_that_refers_to_the_picture(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.dcm", grey(), change=set_to(ImagerPixelSpacing=[0.2, 0.2]))
    volume, labels = image_files.read(path), (grey() % 2).astype(np.uint8)[None]
    assert image_files.labels_name(path) == "a.dcm"
    out = tmp_path / "labels" / "a.dcm"
    out.parent.mkdir()
    assert volume.geometry.labels_path(out, CLASSES) == out
    image_files.write_labels(out, labels, volume, CLASSES)
    np.testing.assert_array_equal(seg.read(out, volume, CLASSES), labels)
    assert seg.instances(out) == {series.instance(path)}
    assert dicom_header.stored_class(out) == "1.2.840.10008.5.1.4.1.1.66.4"
    assert "FrameOfReferenceUID" not in pydicom.dcmread(out)


def test_a_picture_without_identifiers_gets_nifti_with_its_spacing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(one: FileDataset) -> None:
        one.PixelSpacing = [0.5, 0.25]
        del one.StudyInstanceUID

    volume = image_files.read(write_picture(tmp_path / "a.dcm", grey(), change=change))
    out = volume.geometry.labels_path(tmp_path / "x.dcm", CLASSES)
    assert out.name == "x.nii.gz"
    assert "a slice lacks StudyInstanceUID" in capsys.readouterr().err
    labels = (grey() % 2).astype(np.uint8)[None]
    image_files.write_labels(out, labels, volume, CLASSES)
    found = nifti.read_labels(out)
    np.testing.assert_array_equal(found.array, labels)
    assert found.spacing == pytest.approx((1.0, 0.5, 0.25))
    assert not found.geometry.placed


def test_old_files_without_a_preamble_are_read(tmp_path: Path) -> None:
    one = pydicom.dcmread(write_picture(tmp_path / "a.dcm", grey(), uid=SC))
    bare = Dataset()
    bare.ImageType = ["ORIGINAL", "PRIMARY"]
    bare.update({element.tag: element for element in one})
    bare.save_as(tmp_path / "old.dcm", implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert "TransferSyntaxUID" not in pydicom.dcmread(tmp_path / "old.dcm", force=True).file_meta
    np.testing.assert_array_equal(image_files.read(tmp_path / "old.dcm").array[0], grey())
