"""TIFF: all that a file says of its numbers is used or refused, whatever they are packed by."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files
from packed_tiff import LZW, PACKBITS, write

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 2000, (40, 48)).astype(np.uint16)


@pytest.mark.parametrize("packing", [LZW, PACKBITS])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_packed_numbers_are_those_that_were_stored(tmp_path: Path, packing: int, order: Any, kind: str) -> None:
    values = (DEEP % 100 if kind.endswith("t8") else DEEP).astype(kind)
    for photometric, shown in (("minisblack", values), ("miniswhite", inverted(values))):
        path = write(tmp_path / f"{photometric}.tif", values, packing, photometric=photometric, byteorder=order)
        np.testing.assert_array_equal(image_files.read(path).array, shown[None])


def inverted(values: np.ndarray) -> np.ndarray:
    unpacked = {"i": np.invert, "f": np.negative, "u": lambda each: np.iinfo(each.dtype).max - each}
    return unpacked[values.dtype.kind](values)


@pytest.mark.parametrize("how", [{}, {"rowsperstrip": 7}, {"tile": (16, 32)}, {"bigtiff": True, "predictor": 2}])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_packed_colours_keep_all_bits(tmp_path: Path, how: dict[str, Any], planes: Any) -> None:
    colours = RNG.integers(0, 2**16, (3, 40, 48)).astype(np.uint16)
    stored = np.moveaxis(colours, 0, -1) if planes == "contig" else colours
    path = write(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planes, **how)
    channels = image_files.read(path).channels
    assert channels is not None
    np.testing.assert_array_equal(channels[:, 0], colours)


def test_packed_pages_are_slices(tmp_path: Path) -> None:
    stack = RNG.normal(size=(3, 40, 48)).astype(np.float32)
    path = write(tmp_path / "a.tif", stack, photometric="minisblack", byteorder=">", rowsperstrip=16)
    np.testing.assert_array_equal(image_files.read(path).array, stack)


def test_differences_of_fractions_are_summed(tmp_path: Path) -> None:
    values = RNG.normal(size=(4, 8)).astype(np.float32)
    planes = values.astype(">f4").view(np.uint8).reshape(4, 8, 4).swapaxes(1, 2).reshape(4, 32)
    stored = np.diff(planes, axis=1, prepend=np.uint8(0)).view("<f4")
    path = write(tmp_path / "a.tif", stored, photometric="minisblack", extratags=[(65001, "H", 1, 3, True)])
    content = path.read_bytes()
    path.write_bytes(content.replace((65001).to_bytes(2, "little"), (317).to_bytes(2, "little"), 1))
    np.testing.assert_array_equal(image_files.read(path).array[0], values)


@pytest.mark.parametrize("packing", [LZW, PACKBITS])
def test_damaged_packed_pixels_are_refused(tmp_path: Path, packing: int) -> None:
    path = write(tmp_path / "a.tif", DEEP, packing, photometric="minisblack")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"a\.tif: not a readable image"):
        image_files.read(path)


@pytest.mark.parametrize("how", [{"rowsperstrip": 8}, {"tile": (16, 16), "compression": "zlib"}])
def test_pixels_that_no_strip_holds_are_told(tmp_path: Path, how: dict[str, Any]) -> None:
    """As in sparse files, and in those of a program that was stopped; labels would be background there."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DEEP, metadata=None, photometric="minisblack", **how)
    kind: Any = "Tile" if "tile" in how else "Strip"
    with tifffile.TiffFile(path, mode="r+") as file:
        offsets, counts = (file.pages.first.tags[f"{kind}{what}"] for what in ("Offsets", "ByteCounts"))
        lost: Any = counts.value
        counts.overwrite((*lost[:-1], 0))
        told = f"1 of {len(lost)} strips or tiles"
    with pytest.raises(InputError, match=rf"a\.tif: not a readable image \({told} have 0 bytes\)"):
        image_files.read(path)
    with tifffile.TiffFile(path, mode="r+") as file:
        offsets = file.pages.first.tags[f"{kind}Offsets"]
        kept: Any = offsets.value
        offsets.overwrite((*kept[:-1], 0))
    volume = image_files.read(path)
    assert volume.array[0, -1, -1] == 0
    assert volume.notes == (f"{told} hold nothing, and are taken as 0",)
    with pytest.raises(InputError, match=rf"a\.tif: labels of which {told} hold nothing"):
        image_files.read_labels(path)


def test_imagejs_calibration_gives_the_values(tmp_path: Path) -> None:
    """ImageJ stores a CT's signed numbers as unsigned ones."""
    path, values = tmp_path / "a.tif", DEEP.astype(np.int32) - 1000
    signed = {"cf": 0, "c0": -32768.0, "c1": 1.0, "vunit": "Gray Value"}
    tifffile.imwrite(path, (values + 32768).astype(np.uint16), imagej=True, metadata=signed)
    for read in (image_files.read, image_files.read_labels):
        np.testing.assert_array_equal(read(path).array[0], values)
    tifffile.imwrite(path, DEEP, imagej=True, metadata={"cf": 20})
    np.testing.assert_array_equal(image_files.read(path).array[0], DEEP)
    tifffile.imwrite(path, DEEP, imagej=True, metadata={"cf": 3, "c0": 1.0, "c1": 2.0})
    with pytest.raises(InputError, match=r"a\.tif: ImageJ's calibration cf=3, c0=1\.0, c1=2\.0, allowed is a straight"):
        image_files.read(path)


@pytest.mark.parametrize(
    ("prefix", "quote", "unit"), [("OME:", '"', None), ("", "'", "&#181;m"), ("", '"', "&#xB5;m"), ("", '"', "µm")]
)
def test_omes_spacing_in_whatever_words_of_xml(tmp_path: Path, prefix: str, quote: str, unit: str | None) -> None:
    where = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    sizes = [("X", 500), ("Y", 600), ("Z", 5000)]
    said = "".join(f' PhysicalSize{axis}="{size}"' for axis, size in sizes)
    said += "".join(f' PhysicalSize{axis}Unit="{unit}"' for axis, _ in sizes if unit)
    pixels = 'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="48" SizeY="40" SizeC="1" SizeZ="1" SizeT="1"'
    pixels += said
    text = (
        f'<OME xmlns{":OME" * bool(prefix)}="{where}"><Image ID="Image:0"><Pixels {pixels}><TiffData/></Pixels>'
        "</Image></OME>"
    )
    text = text.replace("</", f"</{prefix}").replace("<", f"<{prefix}").replace(f"<{prefix}/{prefix}", f"</{prefix}")
    content = f'<?xml version="1.0"?>{text.replace(chr(34), quote)}'.encode()
    tifffile.imwrite(tmp_path / "a.ome.tif", DEEP, description=content, metadata=None)
    assert image_files.read(tmp_path / "a.ome.tif").spacing == pytest.approx((5.0, 0.6, 0.5))


def test_a_second_sample_is_opacity_only_where_the_file_says_so(tmp_path: Path) -> None:
    two = np.dstack([DEEP, DEEP[::-1]])
    tifffile.imwrite(tmp_path / "a.tif", two, photometric="minisblack", planarconfig="contig")
    for read in (image_files.read, image_files.read_labels):
        with pytest.raises(InputError, match=r"a\.tif: has 2 samples a pixel, and ExtraSamples does not say"):
            read(tmp_path / "a.tif")
    four = RNG.integers(0, 255, (40, 48, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", four, photometric="rgb", extrasamples=["unspecified"])
    assert image_files.read(tmp_path / "b.tif").notes == (
        "a fourth sample, of which the file does not say what it is, is left out",
    )


def test_pages_that_are_turned_in_several_ways_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for orientation in (1, 3):
            tags: Any = [(274, "H", 1, orientation, True)]
            file.write(DEEP, photometric="minisblack", metadata=None, extratags=tags)
    with pytest.raises(InputError, match=r"a\.tif: its pages have orientations 1, 3, allowed is one"):
        image_files.read(tmp_path / "a.tif")


def test_a_voxel_of_a_size_that_no_image_has_is_refused(tmp_path: Path) -> None:
    """As in other formats: it would ask for memory without end where it is resampled."""
    sizes = {"PhysicalSizeX": 0.6, "PhysicalSizeY": 0.6, "PhysicalSizeXUnit": "m", "PhysicalSizeYUnit": "m"}
    tifffile.imwrite(tmp_path / "a.ome.tif", DEEP, metadata={"axes": "YX", **sizes})
    tifffile.imwrite(tmp_path / "b.tif", DEEP)
    (tmp_path / "b.json").write_text('{"spacing": [8, 1500, 1500]}')
    for name, told in (("a.ome.tif", r"a\.ome\.tif: spacing"), ("b.tif", r"b\.json: spacing")):
        for ask in (image_files.read, image_files.header):
            with pytest.raises(InputError, match=rf"{told}: a voxel of .* mm, allowed are 1e-06 to 500 mm"):
                ask(tmp_path / name)


@pytest.mark.parametrize(("unit", "known"), [("foo", False), ("pixel", True), ("", True), ("mm", True)])
def test_a_unit_that_is_no_length_is_told(tmp_path: Path, unit: str, known: bool) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DEEP, imagej=True, resolution=(2, 2), metadata={"unit": unit})
    volume = image_files.read(path)
    said = f"its unit of length is {unit!r}, which is not known, so its spacing is not used"
    assert (said in volume.notes, volume.spacing is None) == (not known, unit != "mm")
    (tmp_path / "a.json").write_text('{"spacing": [8, 1.5, 1.5]}')
    assert image_files.read(path).notes == ()


@pytest.mark.parametrize(
    ("unit", "mm", "told"),
    [("Å", 0.5e-4, ""), ("reference frame", None, ""), ("pixel", None, ""), ("yd", None, "its unit of length is 'yd'")],
)
def test_omes_units_are_known_or_told(tmp_path: Path, unit: str, mm: float | None, told: str) -> None:
    sizes = {f"PhysicalSize{axis}{what}": value for axis in "XY" for what, value in (("", 500), ("Unit", unit))}
    tifffile.imwrite(tmp_path / "a.ome.tif", DEEP, metadata={"axes": "YX", **sizes})
    volume = image_files.read(tmp_path / "a.ome.tif")
    assert volume.spacing == (None if mm is None else pytest.approx((mm, mm, mm)))
    assert [note[: len(told)] for note in volume.notes] == [told] * bool(told)


def test_drawings_that_imagej_keeps_beside_the_pixels_are_told(tmp_path: Path) -> None:
    drawn = {"Overlays": [b"Iout" + bytes(60), b"Iout" + bytes(60)], "ROI": b"Iout" + bytes(60)}
    tifffile.imwrite(tmp_path / "a.tif", DEEP, imagej=True, metadata=drawn)
    told = "3 drawings of ImageJ, overlays or a selection, are left out"
    assert image_files.read(tmp_path / "a.tif").notes == (told,)


@pytest.mark.parametrize(
    ("places", "order"),
    [((2, 1, 0), (2, 1, 0)), ((0, 1, 2), (0, 1, 2)), ((1, 2), (None, 0, 1)), ((2,), (None, None, 0))],
)
def test_pages_of_ome_in_colours_lie_where_it_says(
    tmp_path: Path, places: tuple[int, ...], order: tuple[int | None, ...]
) -> None:
    """Pillow reads these, in the order in which they are stored."""
    where = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    data = "".join(f'<TiffData IFD="{page}" FirstZ="{place}"/>' for page, place in enumerate(places))
    pixels = 'ID="P:0" DimensionOrder="XYZCT" Type="uint8" SizeX="48" SizeY="40" SizeC="1" SizeZ="3" SizeT="1"'
    text = f'<OME xmlns="{where}"><Image ID="I:0"><Pixels {pixels}>{data}</Pixels></Image></OME>'
    stored = RNG.integers(0, 256, (3, 40, 48)).astype(np.uint8)
    grey = np.repeat(np.arange(256, dtype=np.uint16)[None] * 257, 3, 0)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        for page in range(len(places)):
            said = text if page == 0 else None
            file.write(
                stored[page], photometric="palette", colormap=grey, description=said, metadata=None, contiguous=False
            )
    array = image_files.read(tmp_path / "a.ome.tif").array
    np.testing.assert_array_equal(array, [np.zeros((40, 48)) if page is None else stored[page] for page in order])
