"""Pictures come in as other programs show them: turned by EXIF, with black and white as declared, and in mm."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files
from maskmixadv.formats.flat import declared

PIXELS = (np.arange(48).reshape(6, 8) * 5).astype(np.uint8)
LABELS = (PIXELS > 100).astype(np.uint8)


def with_orientation(path: Path, pixels: np.ndarray, orientation: int) -> Path:
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="minisblack", extratags=[(274, "H", 1, orientation, True)])
        return path
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[274] = orientation
    image.save(path, exif=exif)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_pictures_are_turned_as_they_are_shown(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = with_orientation(tmp_path / f"a{suffix}", PIXELS, orientation)
    if suffix == ".jpg":
        with Image.open(path) as stored:
            shown = np.asarray(ImageOps.exif_transpose(stored))
    else:
        image = Image.fromarray(PIXELS)
        image.getexif()[274] = orientation
        shown = np.asarray(ImageOps.exif_transpose(image))
    volume = image_files.read(path)
    np.testing.assert_array_equal(volume.array[0], shown)
    assert volume.array.shape == ((1, 6, 8) if orientation < 5 else (1, 8, 6))
    out = tmp_path / "out" / image_files.labels_name(path)  # labels lie on what is seen
    out.parent.mkdir()
    image_files.write_labels(out, (volume.array > 100).astype(np.uint8), volume)
    with Image.open(out) as written:
        np.testing.assert_array_equal(np.asarray(written), shown > 100)
    if suffix != ".jpg":
        turned = image_files.read_labels(with_orientation(tmp_path / f"labels{suffix}", LABELS, orientation))
        np.testing.assert_array_equal(turned.array[0], shown > 100)


def test_every_page_of_a_tiff_is_turned(tmp_path: Path) -> None:
    pages = np.stack([PIXELS, 255 - PIXELS])
    path = with_orientation(tmp_path / "a.tif", pages, 6)
    np.testing.assert_array_equal(image_files.read(path).array, np.rot90(pages, -1, (1, 2)))
    (tmp_path / "a.json").write_text('{"spacing": [8, 1, 2]}')
    assert image_files.peek(path) == (image_files.read(path).array.shape, (8.0, 1.0, 2.0))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int16, np.float32])
def test_white_is_white(tmp_path: Path, dtype: type) -> None:
    shown = (PIXELS > 100).astype(dtype) if dtype is bool else PIXELS.astype(dtype)
    stored = -shown if dtype is np.float32 else ~shown
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    found = image_files.read(tmp_path / "a.tif").array[0]
    np.testing.assert_array_equal(found, shown)


def test_labels_of_which_programs_disagree_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", LABELS, photometric="miniswhite")
    with pytest.raises(InputError, match=r"a\.tif: labels of photometric MINISWHITE.*allowed is MINISBLACK or a PNG"):
        image_files.read_labels(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("CMYK", ".tif"), ("CMYK", ".jpg"), ("YCbCr", ".tif"), ("LAB", ".tif"), ("P", ".tif"), ("P", ".png")],
)
def test_other_kinds_of_colours_are_converted(tmp_path: Path, mode: str, suffix: str) -> None:
    colours = np.zeros((6, 8, 3), np.uint8)
    colours[:, :4, 0], colours[:3, :, 1] = 255, 128
    image = Image.fromarray(colours).convert(mode)
    image.save(tmp_path / f"a{suffix}")
    with Image.open(tmp_path / f"a{suffix}") as stored:
        expected = np.asarray(stored.convert("RGB"), np.float32) @ np.array([0.2125, 0.7154, 0.0721], np.float32)
    volume = image_files.read(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(volume.array[0], expected, atol=0.01)
    assert volume.coloured


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_colours_that_pillow_converts_are_turned_once(tmp_path: Path, orientation: int) -> None:
    palette = np.repeat(np.arange(256, dtype=np.uint16)[None] * 257, 3, 0)
    how: Any = {"photometric": "palette", "colormap": palette, "extratags": [(274, "H", 1, orientation, True)]}
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **how)
    turned = np.rot90(PIXELS, {1: 0, 3: 2, 6: -1, 8: 1}[orientation])
    if orientation < 5:
        np.testing.assert_array_equal(image_files.read(tmp_path / "a.tif").array[0], turned)
    else:
        with pytest.raises(InputError, match=f"orientation {orientation}, rows as columns, in colours"):
            image_files.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image_files.read_labels(tmp_path / "a.tif").array[0], turned)


def test_opacity_and_bits_change_nothing(tmp_path: Path) -> None:
    opaque = Image.merge("LA", (Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)))
    for name, image in (("la.png", opaque), ("bit.png", Image.fromarray(LABELS.astype(bool)))):
        image.save(tmp_path / name)
    np.testing.assert_array_equal(image_files.read(tmp_path / "la.png").array[0], PIXELS)
    np.testing.assert_array_equal(image_files.read_labels(tmp_path / "bit.png").array[0], LABELS)


STACK = np.stack([PIXELS] * 3)


@pytest.mark.parametrize("beside", ["a.json", "a_0000.json"])
def test_nnunets_spacing_beside_a_tiff(tmp_path: Path, beside: str) -> None:
    tifffile.imwrite(path := tmp_path / "a_0000.tif", STACK, photometric="minisblack")
    assert image_files.read(path).spacing is None
    (tmp_path / beside).write_text('{"spacing": [8, 1.5, 1.25]}')
    assert image_files.read(path).spacing == (8.0, 1.5, 1.25)
    assert image_files.peek(path) == ((3, 6, 8), (8.0, 1.5, 1.25))
    assert declared(path).shape == (3, 6, 8)
    (tmp_path / beside).write_text('{"shapes": []}')  # of another program
    assert image_files.read(path).spacing is None
    for wrong in ([8, 1.5], [8, 1.5, 0], "8", [8, 1.5, "x"]):
        (tmp_path / beside).write_text(json.dumps({"spacing": wrong}))
        with pytest.raises(InputError, match=rf"{beside}: spacing is .*allowed are three numbers of mm"):
            image_files.read(path)


@pytest.mark.parametrize(
    ("unit", "mm"),
    [
        *(("mm", 1.0), ("um", 1e-3), ("micron", 1e-3), ("\\u00B5m", 1e-3), ("cm", 10.0), ("pixel", None)),
        *(("millimeters", 1.0), ("Millimetre", 1.0), ("meters", 1e3), ("nanometer", 1e-6), ("inches", 25.4)),
    ],
)
def test_imagejs_spacing(tmp_path: Path, unit: str, mm: float | None) -> None:
    part = 1 / 16 if unit == "meters" else 1  # a voxel measures up to half a metre
    told: Any = {"axes": "ZYX", "spacing": 5.0 * part, "unit": unit}
    dots = (1 / part / 2, 1 / part / 4)
    tifffile.imwrite(path := tmp_path / "a.tif", STACK, imagej=True, resolution=dots, metadata=told)
    spacing = image_files.read(path).spacing
    assert spacing is None if mm is None else spacing == pytest.approx((5 * part * mm, 4 * part * mm, 2 * part * mm))


def test_omes_spacing(tmp_path: Path) -> None:
    told: Any = {"axes": "ZYX", "PhysicalSizeX": 2.0, "PhysicalSizeY": 4.0, "PhysicalSizeZ": 5.0}
    tifffile.imwrite(path := tmp_path / "a.ome.tif", STACK, ome=True, metadata=told)
    assert image_files.read(path).spacing == pytest.approx((0.005, 0.004, 0.002))
    told |= {"PhysicalSizeXUnit": "mm", "PhysicalSizeYUnit": "mm", "PhysicalSizeZUnit": "mm"}
    tifffile.imwrite(path, STACK, ome=True, metadata=told)
    assert image_files.read(path).spacing == pytest.approx((5.0, 4.0, 2.0))


@pytest.mark.parametrize(("more", "mm"), [({"zunit": "mm"}, (5.0, 4e-3, 2e-3)), ({"yunit": "mm"}, (5e-3, 4.0, 2e-3))])
def test_imagejs_axes_may_have_units_of_their_own(tmp_path: Path, more: Any, mm: tuple[float, ...]) -> None:
    told: Any = {"axes": "ZYX", "spacing": 5.0, "unit": "micron", **more}
    tifffile.imwrite(path := tmp_path / "a.tif", STACK, imagej=True, resolution=(1 / 2, 1 / 4), metadata=told)
    assert image_files.read(path).spacing == pytest.approx(mm)


@pytest.mark.parametrize("unit", ["mm", "cm"])
def test_omes_depth_is_as_the_rows_where_it_is_not_said(tmp_path: Path, unit: str) -> None:
    told: Any = {"axes": "ZYX", "PhysicalSizeX": 2.0, "PhysicalSizeY": 4.0}
    told |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(path := tmp_path / "a.ome.tif", STACK, ome=True, metadata=told)
    mm = {"mm": 1.0, "cm": 10.0}[unit]
    assert image_files.read(path).spacing == pytest.approx((4 * mm, 4 * mm, 2 * mm))


def test_dots_an_inch_are_of_print(tmp_path: Path) -> None:
    tifffile.imwrite(path := tmp_path / "a.tif", PIXELS, resolution=(72, 72), resolutionunit="INCH")
    assert image_files.read(path).spacing is None


def test_pages_that_were_written_one_by_one_are_a_stack(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for number in range(3):
            file.write(PIXELS + np.uint8(number), contiguous=False)
    found = image_files.read(tmp_path / "a.tif").array
    np.testing.assert_array_equal(found, [PIXELS + np.uint8(number) for number in range(3)])


@pytest.mark.parametrize("imagej", [True, False])
def test_times_that_become_slices_are_told(tmp_path: Path, imagej: bool) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=imagej, photometric="minisblack", metadata={"axes": "TYX"})
    assert image_files.read(tmp_path / "a.tif").notes == ("times (axis T) are taken as slices",)


def test_pages_in_several_files_are_refused(tmp_path: Path) -> None:
    """OME's files may tell of one another."""
    lies = "".join(f'<TiffData FirstZ="{z}" IFD="0"><UUID FileName="{z}.ome.tif">x</UUID></TiffData>' for z in range(2))
    told = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        f'DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="6" SizeZ="2" SizeC="1" SizeT="1">{lies}</Pixels>'
        "</Image></OME>"
    )
    tifffile.imwrite(tmp_path / "0.ome.tif", PIXELS, description=told, metadata=None)
    with pytest.raises(InputError, match=r"its pages lie in 2 files \(0\.ome\.tif, …\), allowed is one"):
        image_files.read(tmp_path / "0.ome.tif")


def test_complex_pixels_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS.astype(np.complex64))
    with pytest.raises(InputError, match="pixels are of type complex64, allowed are real numbers"):
        image_files.read(tmp_path / "a.tif")


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_further_pictures_under_a_pictures_name_are_refused(tmp_path: Path, format_: str) -> None:
    """An animation, and a stack whose file has another name."""
    first, *others = (Image.fromarray(each) for each in (PIXELS, 255 - PIXELS, PIXELS))
    first.save(tmp_path / "a.png", format_, save_all=True, append_images=others)
    with pytest.raises(InputError, match="has 3 pictures, allowed is one; save them as the pages of a TIFF"):
        image_files.read(tmp_path / "a.png")


def test_labels_that_were_packed_with_losses_are_refused(tmp_path: Path) -> None:
    Image.fromarray(LABELS).save(tmp_path / "a.png", "JPEG")
    Image.fromarray(LABELS).save(tmp_path / "a.tif", compression="jpeg")
    with pytest.raises(InputError, match=r"a\.png: holds a JPEG, which changes class codes"):
        image_files.read_labels(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.tif: labels packed by JPEG, which changes class codes"):
        image_files.read_labels(tmp_path / "a.tif")


def test_labels_with_transparent_pixels_are_refused(tmp_path: Path) -> None:
    """They may mean nothing drawn, whatever code they have."""
    codes, solid, drawn = (np.repeat(each[..., None], 3, -1) for each in (LABELS, LABELS * 0 + 255, LABELS * 255))
    for name, opacity, is_right in (("right", solid, True), ("wrong", drawn, False)):
        both = np.concatenate([codes, opacity[..., :1]], -1)
        Image.fromarray(both).save(tmp_path / f"{name}.png")
        Image.merge("LA", [Image.fromarray(np.ascontiguousarray(both[..., k])) for k in (0, 3)]).save(
            tmp_path / f"{name}-la.png"
        )
        tifffile.imwrite(tmp_path / f"{name}.tif", both, photometric="rgb", extrasamples=["unassalpha"])
        for file in (f"{name}.png", f"{name}-la.png", f"{name}.tif"):
            if is_right:
                np.testing.assert_array_equal(image_files.read_labels(tmp_path / file).array[0], LABELS)
            else:
                with pytest.raises(InputError, match=r"labels have transparent pixels \(alpha 0 to 255\)"):
                    image_files.read_labels(tmp_path / file)


@pytest.mark.parametrize(
    ("unit", "dots", "told"),
    [("INCH", 72, ""), ("INCH", 300, ""), ("CENTIMETER", 118.11, ""), ("NONE", 50, ""), ("INCH", 1, ""),
     ("CENTIMETER", 5000, "0.002"), ("INCH", 36.29, "0.7")],
)  # fmt: skip
def test_a_resolution_that_is_no_printers_is_told(tmp_path: Path, unit: Any, dots: float, told: str) -> None:
    tifffile.imwrite(path := tmp_path / "a.tif", PIXELS, resolution=(dots, dots), resolutionunit=unit, metadata=None)
    volume = image_files.read(path)
    assert volume.spacing is None
    said = "is not used, as most are a printer's; a JSON file beside it can say the spacing"
    assert volume.notes == ((f"its resolution, by which pixels are {told} mm wide, {said}",) if told else ())
    (tmp_path / "a.json").write_text('{"spacing": [1, 0.5, 0.5]}')
    assert image_files.read(path).notes == ()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_a_picture_of_a_resolution_that_is_no_printers_is_told(tmp_path: Path, suffix: str) -> None:
    picture, path = Image.fromarray(PIXELS), tmp_path / f"a{suffix}"
    for dots in (72, 96, 300):
        picture.save(path, dpi=(dots, dots))
        assert image_files.read(path).notes == ()
    picture.save(path, dpi=(5000, 5000))
    told = "its resolution, by which pixels are 0.00508 mm wide, is not used, as most are a printer's"
    assert image_files.read(path).notes == (f"{told}; a TIFF with a JSON file beside it can say the spacing",)


def indexed(path: Path, bits: int, known: int) -> Path:
    """Write a PNG of the colours 0 to 3 with a palette of so many; Pillow writes whole ones alone."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = {8: [b"\0\1", b"\2\3"], 4: [b"\x01", b"\x23"], 2: [b"\x10", b"\xb0"]}[bits]
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    head = struct.pack(">IIBBBBB", 2, 2, bits, 3, 0, 0, 0)
    palette = bytes([0, 0, 0, 250, 0, 0, 0, 250, 0, 0, 0, 250])[: 3 * known]
    parts = (b"IHDR", head), (b"PLTE", palette), (b"IDAT", packed), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_colours_that_a_palette_lacks_are_refused(tmp_path: Path, bits: int) -> None:
    """Pillow takes them for black; codes need no palette."""
    path = indexed(tmp_path / "a.png", bits, known=2)
    with pytest.raises(InputError, match=r"a\.png: has pixels of colour 3, its palette has 2, from 0 on"):
        image_files.read(path)
    assert image_files.read_labels(path).array.tolist() == [[[0, 1], [2, 3]]]
    assert image_files.read(indexed(tmp_path / "b.png", bits, known=4)).coloured


def test_a_tiff_whose_palette_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    palette = np.repeat(np.arange(256, dtype=np.uint16)[None] * 257, 3, 0)
    tifffile.imwrite(path, np.eye(4, dtype=np.uint8), photometric="palette", colormap=palette)
    with tifffile.TiffFile(path) as file:
        at = file.pages.first.tags["ColorMap"].offset + 4
    content = bytearray(path.read_bytes())
    content[at : at + 4] = (48).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tif: its ColorMap has 48 numbers, allowed are 768; save it again"):
        image_files.read(path)


def bmp(path: Path, bits: int, palette: list[int], rows: list[bytes]) -> Path:
    """Write a BMP with a palette, the lowest row first."""
    colours = b"".join(bytes([grey, grey, grey, 0]) for grey in palette)
    content = b"".join(row.ljust(4, b"\0") for row in rows[::-1])
    head = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, bits, 0, len(content), 0, 0, len(palette), 0)
    start = 14 + len(head) + len(colours)
    path.write_bytes(b"BM" + struct.pack("<IHHI", start + len(content), 0, 0, start) + head + colours + content)
    return path


def test_bmps_come_in_as_shown(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.bmp")
    Image.fromarray(LABELS).save(tmp_path / "b.bmp")
    np.testing.assert_array_equal(image_files.read(tmp_path / "a.bmp").array[0], PIXELS)
    np.testing.assert_array_equal(image_files.read_labels(tmp_path / "b.bmp").array[0], LABELS)
    coloured = np.stack([PIXELS, PIXELS // 2, PIXELS // 3], 2)
    Image.fromarray(coloured).save(tmp_path / "c.bmp")
    channels = image_files.read(tmp_path / "c.bmp").channels
    assert channels is not None
    np.testing.assert_array_equal(channels[:, 0], np.moveaxis(coloured, 2, 0))
    assert image_files.labels_name(tmp_path / "a.bmp") == "a.png"
    codes = bmp(tmp_path / "d.bmp", 8, [9, 200, 0, 100], [b"\0\1", b"\2\3"])
    assert image_files.read_labels(codes).array.tolist() == [[[0, 1], [2, 3]]]
    assert image_files.read(codes).array.tolist() == [[[9, 200], [0, 100]]]


@pytest.mark.parametrize(
    ("bits", "palette", "rows"),
    [(8, [0, 255], [b"\0\1", b"\1\0"]), (4, [0, 255], [b"\x01", b"\x10"]), (4, list(range(16)), [b"\x01", b"\x23"])],
)
def test_a_bmp_that_pillow_takes_for_another_one_is_refused(
    tmp_path: Path, bits: int, palette: list[int], rows: list[bytes]
) -> None:
    for ask in (image_files.read, image_files.read_labels):
        with pytest.raises(InputError, match=rf"a\.bmp: a BMP of {bits} bits with a grey palette, which is read as of"):
            ask(bmp(tmp_path / "a.bmp", bits, palette, rows))
