"""What other programs write, by their own conventions or their formats' specifications."""

import gzip
import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from dicom_pictures import write_picture
from dicoms import pixels, write_series
from enhanced import classic, write_enhanced
from maskmixadv.errors import InputError
from maskmixadv.formats import image_files, series
from packed_tiff import packbits

CODES = np.arange(64).reshape(8, 8)


def in_bits(rows: np.ndarray, bits: int) -> np.ndarray:
    """Pack numbers of a few bits, row by row."""
    return np.packbits(np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :].reshape(8, -1), axis=1)


def write_png(path: Path, rows: np.ndarray, bits: int) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", *rows.shape[::-1], bits, 0, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in in_bits(rows, bits)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b""))


def write_tiff(path: Path, rows: np.ndarray, bits: int) -> None:
    """Write grey of a few bits, packed by PackBits."""
    packed = packbits(in_bits(rows, bits).tobytes())
    h, w = rows.shape
    fields = {256: w, 257: h, 258: bits, 259: 32773, 262: 1, 273: 8, 277: 1, 278: h, 279: len(packed)}
    entries = b"".join(struct.pack("<HHII", number, 4, 1, value) for number, value in fields.items())
    at = 8 + len(packed) + len(packed) % 2
    head = b"II*\0" + struct.pack("<I", at) + packed.ljust(at - 8, b"\0")
    path.write_bytes(head + struct.pack("<H", len(fields)) + entries + bytes(4))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_codes_of_a_few_bits_are_those_that_were_stored(tmp_path: Path, bits: int, suffix: str) -> None:
    """Pillow spreads grey of 2 or 4 bits over 8, by which code 3 of 2 bits becomes 255."""
    codes = CODES % 2**bits
    {"png": write_png, "tif": write_tiff}[suffix](path := tmp_path / f"a.{suffix}", codes, bits)
    np.testing.assert_array_equal(image_files.read_labels(path).array[0], codes)


@pytest.mark.parametrize(("more", "depth"), [({}, 1.0), ({"zunit": "cm"}, 10.0), ({"spacing": 3.0}, 3.0)])
def test_imagej_leaves_out_a_distance_of_1(tmp_path: Path, more: dict[str, Any], depth: float) -> None:
    told: Any = {"axes": "ZYX", "unit": "mm", **more}
    stack = np.zeros((3, 4, 5), np.uint8)
    tifffile.imwrite(path := tmp_path / "a.tif", stack, imagej=True, resolution=(2, 4), metadata=told)
    assert image_files.read(path).spacing == pytest.approx((depth, 0.25, 0.5))


def jpeg(pixels: np.ndarray, **how: Any) -> bytes:
    Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG", **how)
    return file.getvalue()


NOISE = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("grey", [True, False])
def test_a_jpeg_that_was_cut_off_and_closed_is_refused(tmp_path: Path, how: dict[str, Any], grey: bool) -> None:
    """Programs show grey pixels where packed ones are missing, and say nothing."""
    content = jpeg(NOISE[..., 0] if grey else NOISE, **how)
    (path := tmp_path / "a.jpg").write_bytes(content)
    assert image_files.read(path).array.shape == (1, 40, 50)
    head = content.index(b"\xff\xda") + 20
    for left in (0.3, 0.6, 0.95):
        path.write_bytes(content[: head + int(left * (len(content) - head))] + b"\xff\xd9")
        with pytest.raises(InputError, match=r"a.jpg: not a readable image \(.*, as if cut off\); save it again"):
            image_files.read(path)


def test_frames_of_jpeg_that_were_cut_off_and_closed_are_refused(tmp_path: Path) -> None:
    content = jpeg(NOISE[..., 0])

    def stored(frame: bytes) -> Path:
        def change(made: FileDataset) -> None:
            made.PixelData, made.file_meta.TransferSyntaxUID = encapsulate([frame]), JPEGBaseline8Bit
            made["PixelData"].VR = "OB"

        return write_picture(tmp_path / "a.dcm", NOISE[..., 0], change=change)

    assert image_files.read(stored(content)).array.shape == (1, 40, 50)
    path = stored(content[:-200] + b"\xff\xd9")
    with pytest.raises(InputError, match=r"a.dcm: pixels can't be read \(.*, as if cut off\); export it again"):
        image_files.read(path)


def mapping(slope: float, name: str = "T1") -> list[Dataset]:
    item = Dataset()
    item.RealWorldValueSlope, item.RealWorldValueIntercept, item.LUTLabel = slope, 10.0, name
    return [item]


MAPPED = "RealWorldValueMappingSequence says T1 of 0.5 a stored number and 10 more, which is not used"


@pytest.mark.parametrize("differs", [False, True])
@pytest.mark.parametrize("enhanced", [False, True])
def test_real_world_values_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], differs: bool, enhanced: bool
) -> None:
    def change(number: int, one: Dataset) -> None:
        one.RealWorldValueMappingSequence = mapping(0.5 + differs * number)

    path = write_series(tmp_path / "s", pixels(), change=None if enhanced else change)
    if enhanced:
        path = write_enhanced(tmp_path / "e.dcm", classic(path), frame=change)
    series.read(path)
    more = ", and differs between slices, so their brightness may, too" if differs else ""
    assert f"{path}: {MAPPED}{more}\n" in capsys.readouterr().err


def test_real_world_values_that_are_those_in_use_are_not_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(_: int, one: Dataset) -> None:
        one.RescaleSlope, one.RescaleIntercept = 0.5, 10.0
        one.RealWorldValueMappingSequence = mapping(3.0) + mapping(0.5)

    series.read(write_series(tmp_path / "s", pixels(), change=change))
    assert "RealWorld" not in capsys.readouterr().err


def test_real_world_values_of_a_picture_are_told(tmp_path: Path) -> None:
    def change(made: FileDataset) -> None:
        made.RealWorldValueMappingSequence = mapping(0.5)

    path = write_picture(tmp_path / "a.dcm", NOISE[..., 0], change=change)
    assert MAPPED in image_files.read(path).notes


def test_the_scale_of_philips_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says by what slices may be compared of which each has a RescaleSlope of its own."""

    def change(number: int, one: Dataset) -> None:
        one.Manufacturer, one.RescaleSlope, one.RescaleIntercept = "Philips Medical Systems", 2.0, 0.0
        block = one.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", 0.5 if number < 3 else 0.25)

    folder = write_series(tmp_path / "s", pixels(), change=change)
    series.read(folder)
    said = "Philips' own scale (2005,100E) multiplies by 1, 2, which is not used, and differs between slices, so their"
    assert f"{folder}: {said} brightness may, too" in capsys.readouterr().err


def test_pixels_that_are_no_squares_are_told(tmp_path: Path) -> None:
    grey = Image.fromarray(NOISE[..., 0])
    grey.save(tmp_path / "a.png", dpi=(100, 50))
    grey.save(tmp_path / "a.jpg", dpi=(100, 50))
    content = jpeg(NOISE[..., 0])
    at = content.index(b"JFIF\0") + 7
    (tmp_path / "b.jpg").write_bytes(content[:at] + struct.pack(">BHH", 0, 2, 1) + content[at + 5 :])
    tifffile.imwrite(tmp_path / "a.tif", NOISE[..., 0], resolution=(100, 50))
    told = "its resolution says that pixels are 2 times as tall as wide; they are taken as square"
    for path in sorted(tmp_path.iterdir()):
        assert image_files.read(path).notes == (told,)
    grey.save(path := tmp_path / "c.png", dpi=(72, 72))
    assert not image_files.read(path).notes
    ours: Any = {"unit": "mm"}
    tifffile.imwrite(path := tmp_path / "c.tif", NOISE[..., 0], imagej=True, resolution=(2, 1), metadata=ours)
    assert not image_files.read(path).notes


def test_a_depth_that_ome_does_not_say_is_told(tmp_path: Path) -> None:
    told: Any = {"axes": "ZYX", "PhysicalSizeX": 2.0, "PhysicalSizeY": 4.0}
    tifffile.imwrite(path := tmp_path / "a.ome.tif", np.zeros((3, 4, 5), np.uint8), metadata=told)
    assert image_files.read(path).notes == (
        "PhysicalSizeZ is not said, so slices are taken to lie as far apart as rows",
    )
    tifffile.imwrite(path, np.zeros((3, 4, 5), np.uint8), metadata={**told, "PhysicalSizeZ": 1.0})
    assert not image_files.read(path).notes


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_more_voxels_than_nifti_declares_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    """As where a header has one axis too few."""
    image = nib.Nifti1Image(np.zeros((5, 4, 3, 2), np.int16), np.eye(4))
    nib.save(image, path := tmp_path / f"a.{suffix}")
    content = (gzip.decompress if suffix == "nii.gz" else bytes)(path.read_bytes())
    content = content[:40] + struct.pack("<h", 3) + content[42:]
    path.write_bytes(gzip.compress(content) if suffix == "nii.gz" else content)
    assert image_files.read(path).array.shape == (3, 4, 5)
    said = "120 bytes follow the voxels that it declares, and are left out; look whether dim and datatype are right"
    assert capsys.readouterr().err == f"{path}: {said}\n"


@pytest.mark.parametrize(("flag", "kind"), [(4, "mask"), (1, "thumbnail")])
def test_pages_that_are_no_slices_are_refused(tmp_path: Path, flag: int, kind: str) -> None:
    with tifffile.TiffWriter(path := tmp_path / "a.tif") as file:
        file.write(NOISE[..., 0], metadata=None)
        file.write(NOISE[..., 1], metadata=None, subfiletype=1)
    with tifffile.TiffFile(path, mode="r+") as file:
        page: Any = file.pages[1]
        page.tags["NewSubfileType"].overwrite(flag)
    with pytest.raises(InputError, match=f"a.tif: its page 2 is a {kind}, and others are not; allowed are slices"):
        image_files.read(path)


@pytest.mark.parametrize("picture", [False, True])
def test_labels_in_dicom_that_were_compressed_with_loss_are_refused(tmp_path: Path, picture: bool) -> None:
    """Codes that a JPEG changed were classes."""

    def change(made: FileDataset) -> None:
        made.PixelData, made.file_meta.TransferSyntaxUID = encapsulate([jpeg(NOISE[..., 0])]), JPEGBaseline8Bit
        made["PixelData"].VR = "OB"

    def flagged(_: int, one: Dataset) -> None:
        one.LossyImageCompression = "01"

    if picture:
        path = write_picture(tmp_path / "a.dcm", NOISE[..., 0], change=change)
    else:
        path = write_series(tmp_path / "s", pixels(), change=flagged)
    with pytest.raises(InputError, match=r"labels were compressed with loss \(.*\), which changes class codes; export"):
        image_files.read_labels(path)
    assert image_files.read(path).array.size


def test_an_archive_of_other_files_is_named_by_what_it_holds(tmp_path: Path) -> None:
    """A line said to sort its 0 series apart."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.nrrd", b"NRRD0004")
    with pytest.raises(
        InputError, match=r"a\.zip: holds 0 DICOM image series \(no DICOM: 1 file \(a\.nrrd\)\), allowed is"
    ):
        image_files.read(tmp_path / "a.zip")


def test_overlays_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(number: int, one: Dataset) -> None:
        one.add_new((0x6000, 0x0010), "US", 7)
        one.add_new((0x6000, 0x3000), "OW", bytes([number % 2] * 4))

    folder = write_series(tmp_path / "s", pixels(), change=change)
    series.read(folder)
    assert f"{folder}: 2 overlays with a drawing, as an annotation, are left out\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"BurnedInAnnotation": "YES"},
            "text is burned into the pixels (BurnedInAnnotation), and learnt from as they are",
        ),
        ({"BurnedInAnnotation": "NO"}, ""),
        ({"VOILUTSequence": [Dataset()]}, "VOILUTSequence, by which viewers show other brightness, is not used"),
        ({"VOILUTSequence": []}, ""),
        (
            {"PixelIntensityRelationship": "LOG"},
            "PixelIntensityRelationship says that pixels are logarithms of a beam's intensity; they are taken as",
        ),
        ({"PixelIntensityRelationship": "LIN"}, ""),
        ({"NumberOfSlices": 7}, "NumberOfSlices is 7, and 5 are there; look whether some lack"),
        ({"NumberOfSlices": 5}, ""),
        ({"KVP": (80, 140)}, "KVP is 80, 140 in its slices; they are taken for one volume"),
        (
            {"ConvolutionKernel": ("B30f", "B70f")},
            "ConvolutionKernel is B30f, B70f in its slices; they are taken for one",
        ),
    ],
)
def test_what_else_slices_say_is_told(
    tmp_path: Path, fields: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(number: int, one: Dataset) -> None:
        for name, value in fields.items():
            setattr(one, name, value[number % 2] if isinstance(value, tuple) else value)

    folder = write_series(tmp_path / "s", pixels(), change=change)
    series.read(folder)
    lines = capsys.readouterr().err.splitlines()
    assert [line[: len(str(folder)) + 2 + len(told)] for line in lines] == [f"{folder}: {told}"] * bool(told)


def test_text_that_is_burned_into_a_picture_is_told(tmp_path: Path) -> None:
    def change(made: FileDataset) -> None:
        made.BurnedInAnnotation, made.VOILUTSequence = "YES", [Dataset()]

    notes = image_files.read(write_picture(tmp_path / "a.dcm", NOISE[..., 0], change=change)).notes
    assert [note.split()[0] for note in notes] == ["VOILUTSequence,", "text"]


@pytest.mark.parametrize("name", ["PixelSpacing", "gap"])
def test_slices_of_a_size_that_no_image_has_are_refused(tmp_path: Path, name: str) -> None:
    def change(_: int, one: Dataset) -> None:
        one.PixelSpacing = [900.0, 0.7] if name == "PixelSpacing" else [0.9, 0.7]

    folder = write_series(tmp_path / "s", pixels(), change=change, gap=6.0 if name == "PixelSpacing" else 900.0)
    with pytest.raises(InputError, match=r"its spacing: a voxel of .* mm, allowed are 1e-06 to 500 mm; correct the"):
        series.read(folder)


OME = """<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">
<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="5" SizeY="4" SizeZ="{}" SizeC="1" SizeT="1">
<TiffData/></Pixels></Image></OME>"""


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (OME.format(4), ""),
        (OME.format(6), "2 of 6 pages are missing, and are taken as 0"),
        (OME.format(3), "1 of 4 pages are left out, as its fields say fewer"),
        ("ImageJ=1.53\nimages=4\nslices=4\n", ""),
        ("ImageJ=1.53\nimages=6\nslices=6\n", "its fields say 6 pages, of which it holds 4"),
        ("ImageJ=1.53\nimages=3\nslices=3\n", "1 of 4 pages are left out, as its fields say fewer"),
    ],
)
def test_other_numbers_of_pages_than_fields_say_are_told(tmp_path: Path, fields: str, told: str) -> None:
    """Slices that an interrupted microscope lacks were 0, and in labels background."""
    path = tmp_path / ("a.ome.tif" if "OME" in fields else "a.tif")
    stack = np.ones((4, 4, 5), np.uint8)
    tifffile.imwrite(path, stack, photometric="minisblack", description=fields, metadata=None)
    assert image_files.read(path).notes == ((told,) if told else ())
    if told:
        with pytest.raises(InputError, match=f"labels of which {told[:20]}"):
            image_files.read_labels(path)


@pytest.mark.parametrize(("count", "told"), [(1, ""), (2, "1 more picture lies"), (3, "2 more pictures lie")])
def test_pictures_behind_the_first_one_of_a_jpeg_are_told(tmp_path: Path, count: int, told: str) -> None:
    """The second view of a stereoscopic camera was left out, without a word."""
    page = Image.fromarray(NOISE[..., 0])
    page.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[page] * (count - 1))
    left = "is left out" if count == 2 else "are left out"
    said = (f"{told} behind the first one, and {left}",) if told else ()
    assert image_files.read(tmp_path / "a.jpg").notes == said


@pytest.mark.parametrize(
    ("marker", "bits", "told"),
    [(0xC1, 12, "a JPEG of 12 bits a value"), (0xC3, 8, "a lossless JPEG"), (0xF7, 8, "a lossless JPEG"),
     (0xC5, 8, "a hierarchical JPEG")],
)  # fmt: skip
def test_kinds_of_jpeg_that_are_not_read_are_named(tmp_path: Path, marker: int, bits: int, told: str) -> None:
    """They were refused as no image, or as damaged."""
    Image.fromarray(NOISE[..., 0]).save(path := tmp_path / "a.jpg")
    content = bytearray(path.read_bytes())
    at = content.index(b"\xff\xc0")
    content[at + 1], content[at + 4] = marker, bits
    path.write_bytes(content)
    for ask in (image_files.read, image_files.declared):
        with pytest.raises(InputError, match=rf"a\.jpg: {told}, allowed is one of 8 bits, with loss; save it as PNG"):
            ask(path)


@pytest.mark.parametrize("flagged", [False, True])
def test_a_page_that_may_be_a_smaller_version_is_told(tmp_path: Path, flagged: bool) -> None:
    """A second picture of half the size was passed over, without a word."""
    path, page = tmp_path / "a.tif", np.ones((8, 12), np.uint8)
    with tifffile.TiffWriter(path) as file:
        file.write(page, metadata=None)
        file.write(page[::2, ::2], metadata=None, subfiletype=int(flagged))
    told = "1 of 2 pages are left out, as they may be smaller versions, which they do not say"
    assert image_files.read(path).notes == (() if flagged else (told,))
    if not flagged:
        with pytest.raises(InputError, match=f"labels of which {told[:20]}"):
            image_files.read_labels(path)


@pytest.mark.parametrize("count", [3, 4])
def test_samples_that_are_no_colours_are_refused(tmp_path: Path, count: int) -> None:
    """They were taken for red, green and blue."""
    samples = np.zeros((count, 4, 5), np.uint8)
    how: Any = {"photometric": "minisblack", "planarconfig": "separate", "extrasamples": [0] * (count - 1)}
    tifffile.imwrite(path := tmp_path / "a.tif", samples, metadata=None, **how)
    with pytest.raises(InputError, match=f"has {count} samples a pixel, and photometric MINISBLACK says that they are"):
        image_files.read(path)
