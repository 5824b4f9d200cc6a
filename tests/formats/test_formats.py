"""Any format in, labels of the same grid out."""

import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import own
from maskmixadv.errors import InputError
from maskmixadv.formats import image_files, nifti
from maskmixadv.formats.flat import NoGeometry
from maskmixadv.formats.volume import Volume
from maskmixadv.sources import folder

RNG = np.random.default_rng(0)
VOLUME = RNG.integers(0, 900, (3, 7, 5)).astype(np.int16)
ONE_FILE = {".mhd": ".mha", ".nhdr": ".nrrd"}
"""The suffixes of labels of images in two files."""
CODES = RNG.integers(0, 4, (3, 7, 5)).astype(np.uint8)


def oblique(shape: tuple[int, ...] = (3, 7, 5), array: np.ndarray = VOLUME) -> Any:
    """ITK's image of a turned volume."""
    turn, tilt = np.deg2rad(25), np.deg2rad(-40)
    about_z = [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    about_x = [[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]]
    image = SimpleITK.GetImageFromArray(array.reshape(shape))
    image.SetSpacing((0.7, 0.9, 5.0))
    image.SetOrigin((12.0, -30.0, 7.5))
    image.SetDirection((np.array(about_z) @ about_x).ravel().tolist())
    return image


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd", ".nii.gz"])
def test_itk_files_lie_where_itk_says(tmp_path: Path, suffix: str) -> None:
    """ITK itself says where each voxel lies (in LPS); NIfTI's affine says the same in RAS, in every format."""
    image, path = oblique(), tmp_path / f"a{suffix}"
    SimpleITK.WriteImage(image, str(path))
    volume = image_files.read(path)
    np.testing.assert_array_equal(volume.array, VOLUME)
    assert volume.spacing == pytest.approx((5.0, 0.9, 0.7))
    assert image_files.peek(path) == ((3, 7, 5), volume.spacing)
    assert volume.affine is not None
    for index in ((0, 0, 0), (4, 0, 0), (0, 6, 0), (1, 2, 2)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], lps * [-1, -1, 1], atol=1e-4)


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd", ".nii.gz", ".nii"])
def test_labels_go_back_onto_the_images_grid(tmp_path: Path, suffix: str) -> None:
    image, path = oblique(), tmp_path / f"a{suffix}"
    SimpleITK.WriteImage(image, str(path))
    (tmp_path / "out").mkdir()
    written = tmp_path / "out" / image_files.labels_name(path)
    image_files.write_labels(written, CODES, image_files.read(path))
    assert [each.name for each in (tmp_path / "out").iterdir()] == [f"a{ONE_FILE.get(suffix, suffix)}"]
    labels = SimpleITK.ReadImage(str(written))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(labels), CODES)
    assert labels.GetPixelID() == SimpleITK.sitkUInt8
    for mine, theirs in zip(
        (labels.GetSpacing(), labels.GetOrigin(), labels.GetDirection()),
        (image.GetSpacing(), image.GetOrigin(), image.GetDirection()),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_labels_in_nifti_say_nothing_of_the_patient(tmp_path: Path, suffix: str, kind: type) -> None:
    path = own.write(tmp_path / f"a{suffix}", VOLUME)
    nib.save(kind(VOLUME.T, own.AFFINE), path)
    own.named(path)
    image_files.write_labels(tmp_path / f"b{suffix}", CODES, image_files.read(path))
    own.same_place(path, tmp_path / f"b{suffix}")
    written = image_files.read(tmp_path / f"b{suffix}")
    header = written.geometry.nifti_header()
    assert header is not None
    np.testing.assert_array_equal(written.array, CODES)
    assert (written.array.dtype, len(header.structarr["db_name"].tobytes().strip(b"\0"))) == (np.uint8, 0)


def test_labels_of_a_header_with_bytes_the_other_way_round_lie_as_it_does(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    image = nib.Nifti1Image(VOLUME.T, own.AFFINE, header)
    image.set_qform(own.AFFINE, code=1)
    image.set_sform(None, code=0)
    nib.save(image, tmp_path / "a.nii")
    image_files.write_labels(tmp_path / "b.nii", CODES, image_files.read(tmp_path / "a.nii"))
    own.same_place(tmp_path / "a.nii", tmp_path / "b.nii")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".png", ".tif"])
def test_labels_say_nothing_of_the_patient(tmp_path: Path, suffix: str) -> None:
    path, name = tmp_path / f"a{suffix}", own.PATIENT.decode()
    if suffix in (".nrrd", ".mha"):
        image = oblique()
        image.SetMetaData("PatientName", name)
        SimpleITK.WriteImage(image, str(path))
    elif suffix == ".png":
        about = PngInfo()
        about.add_text("PatientName", name)
        Image.fromarray(CODES[0]).save(path, pnginfo=about)
    else:
        tifffile.imwrite(path, VOLUME, photometric="minisblack", description=name)
    assert own.PATIENT in path.read_bytes()
    image_files.write_labels(tmp_path / f"b{suffix}", CODES[:1] if suffix == ".png" else CODES, image_files.read(path))
    assert own.PATIENT not in (tmp_path / f"b{suffix}").read_bytes()


def test_a_format_is_a_line_in_the_table(tmp_path: Path) -> None:
    """Each module offers what `Format` names; a suffix belongs to one format, and labels stay in it."""
    for module in (*image_files.FORMATS, image_files.FOLDER):
        assert isinstance(module, image_files.Format), f"{module} lacks a word of Format"
    assert len(set(image_files.SUFFIXES)) == len(image_files.SUFFIXES)
    for suffix in image_files.SUFFIXES:
        image = tmp_path / f"a{suffix}"
        if suffix == ".zip":
            assert image_files.labels_name(image) == "a.dcm"  # as a folder's: a DICOM segmentation
            continue
        assert image_files.format_of(image) is image_files.format_of(tmp_path / image_files.labels_name(image))


def test_labels_of_any_volume_can_be_nifti(tmp_path: Path) -> None:
    """What the studio keeps: on the grid of an NRRD file, and of a picture, which has none."""
    SimpleITK.WriteImage(oblique(), str(tmp_path / "a.nrrd"))
    Image.fromarray(VOLUME[0].astype(np.uint8)).save(tmp_path / "a.png")
    for suffix, codes in ((".nrrd", CODES), (".png", CODES[:1])):
        image = image_files.read(tmp_path / f"a{suffix}")
        nifti.write_labels(tmp_path / "labels.nii.gz", codes, image)
        labels = nifti.read(tmp_path / "labels.nii.gz")
        np.testing.assert_array_equal(labels.array, codes)
        assert labels.affine is not None
        np.testing.assert_allclose(labels.affine, np.eye(4) if image.affine is None else image.affine, atol=1e-4)
        assert labels.spacing == pytest.approx(image.spacing or (1.0, 1.0, 1.0))


def test_a_slice_of_itk_is_a_volume_of_one(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(VOLUME[0])
    image.SetSpacing((0.5, 0.6))
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
    volume = image_files.read(tmp_path / "a.mha")
    np.testing.assert_array_equal(volume.array, VOLUME[:1])
    assert volume.spacing == (1.0, 0.6, 0.5)
    image_files.write_labels(tmp_path / "b.mha", CODES[:1], volume)
    assert SimpleITK.ReadImage(str(tmp_path / "b.mha")).GetSpacing() == (0.5, 0.6)


def test_nifti_of_one_slice(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(VOLUME[0].T, np.eye(4)), tmp_path / "a.nii.gz")
    volume = image_files.read(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume.array, VOLUME[:1])
    assert image_files.peek(tmp_path / "a.nii.gz") == ((1, 7, 5), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
def test_grey_pictures_come_in_as_they_are(tmp_path: Path, suffix: str, dtype: type) -> None:
    pixels = RNG.integers(0, np.iinfo(dtype).max, (7, 5)).astype(dtype)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path)
    volume = image_files.read(path)
    assert volume == Volume(volume.array, None, None, NoGeometry())
    np.testing.assert_array_equal(volume.array, pixels[None])
    np.testing.assert_array_equal(image_files.read_labels(path).array, pixels[None])
    image_files.write_labels(path, CODES[:1], volume)
    np.testing.assert_array_equal(image_files.read_labels(path).array, CODES[:1])


@pytest.mark.parametrize("how", ["pages", "stack", "imagej", "lzw"])
def test_pages_of_a_tiff_are_slices(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.tif"
    pixels = VOLUME.astype(np.uint16)
    if how == "lzw":
        first, *others = (Image.fromarray(page) for page in pixels)
        first.save(path, save_all=True, append_images=others, compression="tiff_lzw")
    elif how == "pages":
        with tifffile.TiffWriter(path) as writer:
            for page in pixels:
                writer.write(page, contiguous=False, metadata=None)
    else:
        words: Any = {"imagej": True, "metadata": {"axes": "ZYX"}} if how == "imagej" else {"photometric": "minisblack"}
        tifffile.imwrite(path, pixels, **words)
    np.testing.assert_array_equal(image_files.read(path).array, pixels)
    image_files.write_labels(tmp_path / "b.tif", CODES, image_files.read(path))
    np.testing.assert_array_equal(image_files.read_labels(tmp_path / "b.tif").array, CODES)


def test_colours_become_grey(tmp_path: Path) -> None:
    colours = RNG.integers(0, 255, (7, 5, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", np.stack([colours, colours]), photometric="rgb")
    tifffile.imwrite(tmp_path / "planes.tif", np.moveaxis(colours, -1, 0), photometric="rgb", planarconfig="separate")
    for path, slices in ((tmp_path / "a.png", 1), (tmp_path / "a.tif", 2), (tmp_path / "planes.tif", 1)):
        volume = image_files.read(path)
        assert volume.coloured
        assert volume.array.shape == (slices, 7, 5)
        np.testing.assert_allclose(volume.array[0], colours @ np.array([0.2125, 0.7154, 0.0721]), rtol=1e-5)
        with pytest.raises(InputError, match=r"\.\w+: labels are colours"):
            image_files.read_labels(path)
    grey = np.repeat(colours[..., :1], 3, axis=-1)
    Image.fromarray(grey).convert("RGBA").save(tmp_path / "b.png")
    volume = image_files.read(tmp_path / "b.png")
    assert not volume.coloured, "grey that was saved as colours stays exactly as it was"
    np.testing.assert_array_equal(volume.array[0], grey[..., 0])


def test_a_palettes_indices_are_codes(tmp_path: Path) -> None:
    drawn = Image.fromarray(CODES[0]).convert("P")
    drawn.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    drawn.putdata(CODES[0].ravel().tolist())
    for suffix in (".png", ".tif"):
        drawn.save(tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(image_files.read_labels(tmp_path / f"a{suffix}").array, CODES[:1])
        assert image_files.read(tmp_path / f"a{suffix}").coloured


def test_labels_of_jpeg_are_png(tmp_path: Path) -> None:
    path = tmp_path / "a.JPG"
    Image.fromarray(VOLUME[0].astype(np.uint8)).save(path)
    assert image_files.read(path).array.shape == (1, 7, 5)
    assert image_files.labels_name(path) == "a.png"
    with pytest.raises(InputError, match="JPEG changes class codes"):
        image_files.read_labels(path)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".tif", ".nrrd", ".mha", ".nii.gz"):
        path = tmp_path / f"bad{suffix}"
        path.write_bytes(b"not an image at all")
        with pytest.raises(InputError, match=rf"bad\{suffix}: not a readable") as caught:
            image_files.read(path)
        assert "\n" not in str(caught.value)
        with pytest.raises(InputError, match="no such file"):
            image_files.read(tmp_path / f"none{suffix}")
    Image.fromarray(VOLUME[0].astype(np.uint8)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"cut\.png: not a readable"):
        image_files.read(tmp_path / "cut.png")
    tifffile.imwrite(
        tmp_path / "time.tif", np.zeros((2, 4, 7, 5), np.uint8), photometric="minisblack", metadata={"axes": "TZYX"}
    )
    tifffile.imwrite(tmp_path / "channels.tif", np.zeros((2, 7, 5), np.uint8), metadata={"axes": "CYX"})
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as writer:
        for side in (4, 6):
            writer.write(np.zeros((side, side), np.uint8))
    for name, words in (("time", r"axes TZYX \(2, 4, 7, 5\)"), ("channels", "axes CYX"), ("mixed", "pages differ")):
        with pytest.raises(InputError, match=rf"{name}\.tif: .*{words}.*allowed"):
            image_files.read(tmp_path / f"{name}.tif")
    five = SimpleITK.GetImageFromArray(np.zeros((3, 4, 5, 5)), isVector=True)
    SimpleITK.WriteImage(five, str(tmp_path / "five.nrrd"))
    with pytest.raises(InputError, match=r"five\.nrrd: has 5 components, allowed are up to 4"):
        image_files.read(tmp_path / "five.nrrd")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(InputError, match=r"a\.nrrd: \.nrrd needs SimpleITK; install it with .*\[formats\]"):
        image_files.read(tmp_path / "a.nrrd")


def test_pictures_with_png_scribbles_make_a_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A JPEG with a PNG scribble, a colour PNG with a TIFF mask: sizes of their own, no spacing."""
    source = tmp_path / "src"
    for name, (h, w) in (("a", (40, 52)), ("b", (61, 33))):
        pixels = RNG.integers(0, 255, (1, h, w) if name == "a" else (h, w, 3)).astype(np.uint8)
        own.write(source / "images" / f"{name}.{'jpg' if name == 'a' else 'png'}", pixels)
    drawn = np.full((1, 40, 52), 2, np.uint8)
    drawn[0, 5], drawn[0, 20, 10:20] = 0, 1
    own.write(source / "scribbles" / "a.png", drawn)
    mask = np.zeros((61, 33), np.uint8)
    mask[10:20, 10:20] = 1
    (source / "masks").mkdir()
    tifffile.imwrite(source / "masks" / "b.tif", mask)
    corpus = folder.prepare(source, tmp_path / "c", confirm=lambda _: True)
    assert corpus.classes == ("background", "class1")
    assert [(entry.shape, entry.spacing) for entry in corpus.entries] == [((1, 40, 52), None), ((1, 61, 33), None)]
    assert [channel.name for channel in corpus.channels] == ["red", "green", "blue"]
    assert "grey becomes red, green and blue in a.jpg" in capsys.readouterr().err
    first, second = (corpus.load(entry).image for entry in corpus.entries)
    assert (first[0] == first[1]).all()
    assert (second[0] != second[1]).any()
    grey = folder.prepare(source, tmp_path / "grey", confirm=lambda _: True, colours=False)
    assert [channel.name for channel in grey.channels] == ["image"]
    assert grey.load(grey.entries[1]).image.shape == (1, 1, 61, 33)
    assert "colours become grey in b.png" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"has shape \(1, .*allowed along axis 1 is a volume"):
        folder.prepare(source, tmp_path / "d", axis=1, confirm=lambda _: True)


@pytest.mark.parametrize("name", ["A.NII.GZ", "A.Nii.gz", "A.NII", "A.NRRD", "A.Mha", "A.TIF", "A.PNG"])
def test_names_may_be_in_upper_case(tmp_path: Path, name: str) -> None:
    """Labels have the image's own name, too."""
    path, low = tmp_path / name, tmp_path / "low" / name.lower()
    low.parent.mkdir()
    if low.suffix == ".tif":
        tifffile.imwrite(low, VOLUME, photometric="minisblack")
    elif low.suffix == ".png":
        Image.fromarray(VOLUME[0].astype(np.uint8)).save(low)
    else:
        SimpleITK.WriteImage(oblique(), str(low))
    low.rename(path)
    volume = image_files.read(path)
    codes = CODES[: len(volume.array)]
    written = low.parent / image_files.labels_name(path)
    assert written.name == name
    image_files.write_labels(written, codes, volume)
    np.testing.assert_array_equal(image_files.read_labels(written).array, codes)
    assert [each.name for each in low.parent.iterdir()] == [name]


def png(array: np.ndarray, rows: Sequence[np.ndarray], *, kind: int = 0, interlaced: bool = False) -> bytes:
    """A PNG of an array's size and type that holds these rows, whatever they are."""
    h, w = array.shape[:2]
    packed = zlib.compress(b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", w, h, 8 * array.dtype.itemsize, kind, 0, 0, interlaced)
    parts = ((b"IHDR", head), (b"IDAT", packed[:50]), (b"IDAT", packed[50:]), (b"IEND", b""))
    made = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


PASSES = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))


@pytest.mark.parametrize("shape", [(20, 24), (1, 3), (9, 5, 3), (7, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_that_ends_before_its_last_row_is_refused(
    tmp_path: Path, shape: tuple[int, ...], dtype: type, interlaced: bool
) -> None:
    """Pillow leaves the rows black that are missing, and says nothing: labels would have background there."""
    array = np.random.default_rng(0).integers(1, 255, shape).astype(dtype)
    turns = [array[row::rows, column::columns] for row, rows, column, columns in PASSES] if interlaced else [array]
    rows, kind = [row for turn in turns if turn.size for row in turn], 2 if len(shape) == 3 else 0
    (tmp_path / "a.png").write_bytes(png(array, rows, kind=kind, interlaced=interlaced))
    found = image_files.read(tmp_path / "a.png")
    colours = found.array[0] if found.channels is None else np.moveaxis(found.channels[:, 0], 0, -1)
    np.testing.assert_array_equal(colours, array)
    (tmp_path / "a.png").write_bytes(png(array, rows[:-1], kind=kind, interlaced=interlaced))
    for read in (image_files.read, image_files.read_labels):
        with pytest.raises(InputError, match=rf"a\.png: (declares {shape[0]} rows|holds|not a readable|labels)"):
            read(tmp_path / "a.png")
