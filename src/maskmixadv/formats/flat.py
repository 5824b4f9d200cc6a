"""PNG, JPEG, BMP and TIFF: pictures without a place in the patient; the pages of a TIFF are a volume's slices."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageOps, ImageSequence

from maskmixadv.errors import InputError
from maskmixadv.files import replaced
from maskmixadv.formats.details import jpeg_whole, picture_bits, png_rows, tiff_fields, tiff_packed
from maskmixadv.formats.details.picture_notes import Stored
from maskmixadv.formats.details.tiff_fields import TIFF
from maskmixadv.formats.reading import (
    DEFLATED,
    Declared,
    LargeError,
    check_inflated,
    check_size,
    existing,
    reading,
)
from maskmixadv.formats.slicing import Header
from maskmixadv.formats.volume import LUMA, Geometry, Volume
from maskmixadv.types import Spacing

JPEG: Final = (".jpeg", ".jpg")
SUFFIXES: Final = (".png", *JPEG, ".bmp", *TIFF)
LABELS_AS: Final[Mapping[str, str]] = dict.fromkeys((*JPEG, ".bmp"), ".png")
"""JPEG changes codes when it stores them, and few programs write BMP."""
KIND: Final = "image"
OPENED: Final = ("PNG", "JPEG", "BMP", "TIFF")
"""Formats that Pillow may open, whatever the file's name."""
DEFLATE: Final = (8, 32946, 50013)
RATIO: Final = {1: 4.0, 5: 4096.0, 32773: 128.0, **dict.fromkeys(DEFLATE, DEFLATED)}
"""Bytes that one byte unpacks to at most, by TIFF's code of the compression; colours may be stored at half the rate."""
UNBOUNDED: Final = (34925, 34926, 50000)
"""Compressions that tifffile unpacks without a limit; Pillow stops at the declared size."""
UNCHECKED: Final = 2**29
"""Bytes that may be unpacked without a check beforehand."""
_STORED: Final = (
    tifffile.PHOTOMETRIC.MINISBLACK,
    tifffile.PHOTOMETRIC.MINISWHITE,
    tifffile.PHOTOMETRIC.RGB,
)
"""Kinds of pixels that are brightness or colours as they are stored; Pillow converts the others."""
_ACROSS: Final = (5, 6, 7, 8)
"""Orientations whose rows are shown as columns."""
_FLIPS: Final = {
    1: (False, False), 2: (False, True), 3: (True, True), 4: (True, False),
    5: (False, False), 6: (False, True), 7: (True, True), 8: (True, False),
}  # fmt: skip
"""Whether rows and columns are shown in the opposite order, by orientation, after rows and columns were exchanged."""
_LOSSY: Final = (6, 7, 22610, 33003, 33004, 33005, 34712, 34892, 34927, 50001)
"""TIFF's codes of compressions that may change values: JPEG and its kin, JPEG 2000, JPEG XR, WebP."""
_REDUCED, _MASK = 1, 4
"""TIFF's flags of a page that is a small version of another one, and of a mask of one."""
_FILES: Final = re.compile(r'<UUID\b[^>]*\bFileName="([^"]*)"')
"""Files that a TIFF of OME says its pages lie in."""
_PLAIN: Final = ("1", "L", "F", "I", "I;16", "I;16L", "I;16B")
"""Pillow's names for images of one channel."""


@dataclass(frozen=True)
class NoGeometry(Geometry):
    """Geometry of a picture, which has none: nothing says how large its pixels are or where they lie.

    Examples
    --------
    >>> NoGeometry().write_labels(Path("stack.tif"), np.ones((3, 4, 5), np.uint8))
    >>> read_labels(Path("stack.tif")).array.shape
    (3, 4, 5)
    """

    @property
    def placed(self) -> bool:
        """Never."""
        return False

    def write_labels(self, path: Path, labels: UInt8[np.ndarray, "d h w"], classes: Sequence[str] = ()) -> None:  # noqa: ARG002
        """Write a TIFF file if its name says so, else a PNG file, which holds one slice."""
        with replaced(path) as place:
            if path.name.lower().endswith(TIFF):
                tifffile.imwrite(place, labels, photometric="minisblack", compression="zlib", metadata={"axes": "ZYX"})
            else:
                Image.fromarray(labels[0]).save(place, format="PNG")


def read(path: Path) -> Volume:
    """Read a picture as a volume ``d h w``, as it is shown; a TIFF file's pages are its slices, colours become grey.

    It is turned as its EXIF orientation says, and inverted where 0 is white (a TIFF of MINISWHITE). The spacing of a
    TIFF is that of a JSON file beside it, as nnU-Net has it, or of ImageJ's or OME's fields in it.

    Raises
    ------
    InputError
        If the file is missing, damaged, larger than is taken, or not a slice or a stack of slices.

    Examples
    --------
    >>> Image.new("RGB", (5, 4), (255, 0, 0)).save("red.png")
    >>> volume = read(Path("red.png"))
    >>> volume.array.shape, volume.array[0, 0, :2].tolist(), volume.coloured
    ((1, 4, 5), [54.2, 54.2], True)
    """
    pixels = _pixels(path, indices=False)
    array, coloured = grey(pixels)
    several = colours(pixels)
    made = Volume(array, _spacing(path), None, NoGeometry(), coloured, several, several is not None)
    return replace(made, notes=_stored(path).notes)


def read_labels(path: Path) -> Volume:
    """Read class codes ``d h w``; those of a file with a palette are its indices. Turned and spaced as `read` does.

    Raises
    ------
    InputError
        If `read` would, or if the file holds colours, is a TIFF of MINISWHITE, whose codes programs do not agree about,
        or is a JPEG, which changes codes when it stores them.

    Examples
    --------
    >>> drawn = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8)).convert("P")
    >>> drawn.save("codes.png")
    >>> read_labels(Path("codes.png")).array[0].tolist()
    [[0, 1], [2, 1]]
    """
    if path.name.lower().endswith(JPEG):
        told = "JPEG changes class codes when it saves them, allowed is PNG or TIFF"
        raise InputError(f"{path}: {told}; set its values to the nearest codes, and save that")
    array, coloured = grey(_pixels(path, indices=True))
    return uncoloured(path, Volume(array, _spacing(path), None, NoGeometry(), coloured))


def uncoloured(path: Path, labels: Volume) -> Volume:
    """Return `labels` if their file `path` has no colours.

    Raises
    ------
    InputError
        If it has.

    Examples
    --------
    >>> uncoloured(Path("red.png"), Volume(np.ones((1, 4, 5)), None, None, NoGeometry(), coloured=True))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: red.png: labels are colours, allowed are class codes 0, 1, … in one channel; ...
    """
    if labels.coloured:
        raise InputError(f"{path}: labels are colours, allowed are class codes 0, 1, … in one channel; convert it")
    return labels


def peek(path: Path) -> tuple[tuple[int, int, int], Spacing | None] | None:
    """Return shape and spacing (mm) along d, h, w of a TIFF file whose spacing is known, else None.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing.

    Examples
    --------
    >>> tifffile.imwrite("stack.tif", np.ones((3, 4, 5), np.uint8), photometric="minisblack")
    >>> peek(Path("stack.tif")) is None
    True
    >>> _ = Path("stack.json").write_text('{"spacing": [8, 1.5, 1.5]}')
    >>> peek(Path("stack.tif"))
    ((3, 4, 5), (8.0, 1.5, 1.5))
    """
    if not path.name.lower().endswith(TIFF) or (spacing := _spacing(path)) is None:
        return None
    with _tiff(path) as file:
        _pages_declared(path, file)
        axes, shape = file.series[0].axes, file.series[0].shape
        turned = _orientation(file.series[0].keyframe) in _ACROSS
    planes = [
        count for letter, count in zip(axes, shape, strict=True) if letter != "S" and (count > 1 or letter in "YX")
    ]
    d, h, w = ([1] * (3 - len(planes)) + planes)[-3:]
    return (d, w, h) if turned else (d, h, w), spacing


def header(path: Path) -> Header:
    """Return the header of a picture or a stack of them; without a spacing, slices lie along the first axis.

    Raises
    ------
    InputError
        As `peek` does.

    Examples
    --------
    >>> header(Path("a.png")).single
    0
    """
    told = peek(path)
    return Header((1, 0, 0)) if told is None else Header(*told)


def grey(pixels: Shaped[np.ndarray, "d h w *c"]) -> tuple[Shaped[np.ndarray, "d h w"], bool]:
    """Turn colours to grey: brightness of red, green and blue (ITU-R BT.709).

    Parameters
    ----------
    pixels
        With or without a last axis of 3 or more channels; those after the third (opacity) are ignored.

    Returns
    -------
    The brightness, and whether the channels differed. Equal channels are returned as they are.

    Examples
    --------
    >>> brightness, mixed = grey(np.array([[[[255, 0, 0], [0, 255, 0]]]], np.uint8))
    >>> brightness.tolist(), mixed
    ([[[54.2, 182.4]]], True)
    """
    if pixels.ndim == 3:
        return pixels, False
    red = pixels[..., 0]
    if all(np.array_equal(red, pixels[..., channel]) for channel in (1, 2)):
        return red, False
    return (pixels[..., :3] @ np.array(LUMA, np.float32)).astype(np.float32), True


def colours(pixels: Shaped[np.ndarray, "d h w *c"]) -> Shaped[np.ndarray, "3 d h w"] | None:
    """Return the first three channels of pixels whose last axis has as many; None for others.

    Examples
    --------
    >>> colours(np.zeros((1, 4, 5, 4), np.uint8)).shape, colours(np.zeros((1, 4, 5), np.uint8)) is None
    ((3, 1, 4, 5), True)
    """
    return np.moveaxis(pixels[..., :3], -1, 0) if pixels.ndim == 4 else None


def _stored(path: Path) -> Stored:
    if not path.name.lower().endswith(TIFF):
        with _picture(path) as image, reading(path, KIND):
            mode, palette = image.mode, image.mode in ("P", "PA")
            opacity = mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info
            tall = tiff_fields.taller(*_density(image.info))
            an_inch = _density(image.info)[0] if "dpi" in image.info else 0.0
            more = (*tiff_fields.unused(an_inch, "a TIFF with a JSON file beside it"), *jpeg_whole.left_out(image))
            return Stored(palette, opacity, palette or mode not in (*_PLAIN, "LA", "La"), tall=tall, more=more)
    with _tiff(path) as file, reading(path, KIND):
        page: Any = file.series[0].keyframe
        palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
        axes, shape = file.series[0].axes, file.series[0].shape
        opacity = "S" in axes and int(page.samplesperpixel) in (2, 4) and page.photometric in _STORED
        times = "T" in axes and shape[axes.index("T")] > 1
        hollow, beyond = tiff_packed.hollow(path, file), tiff_packed.beyond(path, file)
        coloured, unsaid = palette or int(page.samplesperpixel) > 2, opacity and _unsaid(page)
        tall, more = tiff_fields.tall(page), tiff_fields.passed_over(path, file)
    tall = 1.0 if _spacing(path) else tall
    return Stored(palette, opacity, coloured, times, hollow, unsaid, tall, beyond, more)


def _density(info: Mapping[Any, Any]) -> tuple[float, float]:
    """Return how many pixels a picture has along a length, columns first; the same two numbers if it does not say."""
    columns, rows = info.get("dpi") or info.get("aspect") or info.get("jfif_density") or (1, 1)
    return float(columns), float(rows)


def may_be_coloured(path: Path) -> bool:
    """Return whether a file can hold colours, as its header says.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing.

    Examples
    --------
    >>> Image.new("P", (5, 4)).save("palette.png")
    >>> Image.new("L", (5, 4)).save("grey.png")
    >>> may_be_coloured(Path("palette.png")), may_be_coloured(Path("grey.png"))
    (True, False)
    """
    return _stored(path).colours


def declared(path: Path) -> Declared:
    """Return what the file's header declares.

    Raises
    ------
    InputError
        If the file is missing, damaged, or larger than is taken.

    Examples
    --------
    >>> Image.new("L", (5, 4)).save("a.png")
    >>> declared(Path("a.png"))
    Declared(shape=(4, 5, 1), itemsize=1)
    """
    if path.name.lower().endswith(TIFF):
        with _tiff(path) as file:
            return _pages_declared(path, file)
    with _picture(path) as image:
        return _picture_declared(path, image)


def _pixels(path: Path, *, indices: bool) -> Shaped[np.ndarray, "d h w *c"]:
    if path.name.lower().endswith(TIFF):
        return _pages(path, indices)
    with _picture(path) as image:
        _picture_declared(path, image)
        with reading(path, KIND):
            _must_be_one(path, image)
            if indices:
                _must_be_codes(path, image)
            deep, spread = picture_bits.deep(image), picture_bits.spread(image)  # known until it is decoded
            upright = ImageOps.exif_transpose(image)
        pixels = _decoded(path, upright, indices, spread)[None]
        if image.format == "PNG":
            png_rows.must_be_whole(path)
        elif image.format in jpeg_whole.JPEGS:
            jpeg_whole.must_be_whole(path, image)
    return pixels if deep is None else _sixteen(path, deep)


def _must_be_one(path: Path, image: Any) -> None:  # noqa: ANN401
    """Refuse an animation, or a stack of pages under a picture's name; a JPEG of several keeps thumbnails in it."""
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format not in jpeg_whole.JPEGS:
        raise InputError(f"{path}: has {count} pictures, allowed is one; save them as the pages of a TIFF")


def _must_be_codes(path: Path, image: Any) -> None:  # noqa: ANN401
    """Refuse a picture that may have other codes than those that were drawn."""
    if image.format in jpeg_whole.JPEGS:
        raise InputError(f"{path}: holds a JPEG, which changes class codes; allowed is PNG or TIFF; draw it anew")
    if image.mode in ("LA", "RGBA"):
        _must_be_opaque(path, *map(float, image.getextrema()[-1]))


def _must_be_opaque(path: Path, low: float, high: float) -> None:
    """Refuse labels some of whose pixels are transparent, as nothing says what these mean."""
    if low < high:
        raise InputError(
            f"{path}: labels have transparent pixels (alpha {low:g} to {high:g}), allowed is one channel of class "
            "codes; give these pixels a code, and save it without alpha"
        )


@contextmanager
def _picture(path: Path) -> Iterator[Image.Image]:
    """Open a picture of one of the formats that are read here; Pillow knows others that start programs."""
    jpeg_whole.must_be_read(existing(path))
    with reading(path, KIND):
        try:
            image = Image.open(path, formats=OPENED)
        except Image.DecompressionBombError:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise LargeError(f"{path}: too many pixels, allowed are up to {most}") from None
    with image:
        if image.format == "BMP":
            picture_bits.must_be_bits_of(path, image)
        yield image


def _sixteen(path: Path, stored: str) -> Shaped[np.ndarray, "1 h w *c"]:
    """Read all 16 bits of a PNG, in two passes where Pillow gives 8 bits at a time."""
    halves = []
    for half in picture_bits.SIXTEEN[stored]:
        with _picture(path) as image, reading(path, KIND):
            image.tile = [(*tile[:3], half) for tile in image.tile]  # pyright: ignore[reportAttributeAccessIssue]
            halves.append(np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16))
    if len(halves) == 1:  # grey's upper and lower bits lie side by side
        return (256 * halves[0][..., 0] + halves[0][..., 1])[None]
    upper, lower = halves
    return (256 * upper + lower)[None]


def _picture_declared(path: Path, image: Image.Image) -> Declared:
    with reading(path, KIND):
        (w, h), samples, wide = image.size, len(image.getbands()), image.mode.startswith(("I", "F"))
    packed = DEFLATED * 8 if image.format == "PNG" else math.inf  # a PNG has down to one bit a pixel
    held = path.stat().st_size
    return check_size(path, Declared((h, w, samples), 4 if wide else 1), KIND, held=held, ratio=packed)


def _decoded(path: Path, image: Image.Image, indices: bool, spread: int = 1) -> Shaped[np.ndarray, "h w *c"]:
    with reading(path, KIND):
        if indices and spread > 1:
            return np.asarray(image) // spread
        if image.mode in _PLAIN or (image.mode == "P" and indices):
            pixels = np.asarray(image)
            return pixels.astype(np.uint8) if pixels.dtype == bool else pixels
        picture_bits.must_have_colours(path, image)
        return np.asarray(image.convert("L" if image.mode == "LA" else "RGB"))


@contextmanager
def _tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file; references in it to other files are not followed."""
    with reading(path, KIND):
        file = tifffile.TiffFile(existing(path), _multifile=False)
        if file.is_shaped and len(file.series) > 1:  # pages that were written one by one are a stack
            file.close()
            file = tifffile.TiffFile(path, _multifile=False, is_shaped=False)
    with file:
        yield file


def _pages(path: Path, indices: bool) -> Shaped[np.ndarray, "d h w *c"]:
    with _tiff(path) as file:
        _pages_declared(path, file)
        if (empty := tiff_packed.hollow(path, file)) and indices:
            raise InputError(f"{path}: labels of which {empty}, allowed are labels of all pixels; save it again")
        if (beyond := tiff_packed.beyond(path, file)) and indices:
            raise InputError(f"{path}: labels of which {beyond}, allowed are labels of all slices; save it again")
        array, axes = _stack(path, file, indices), file.series[0].axes
        keyframe: Any = file.series[0].keyframe
        orientation = _orientation(keyframe)
        pages = [page for page in file.series[0].pages if isinstance(page, tifffile.TiffPage)]
        turned = {_orientation(page) for page in pages if "Orientation" in page.tags}  # others are as the first one
        if len(turned) > 1:
            listed = ", ".join(map(str, sorted(turned)))
            raise InputError(f"{path}: its pages have orientations {listed}, allowed is one; save it as it is shown")
        if other := next((at for at, page in enumerate(pages, 1) if _kind_of(page) != _kind_of(pages[0])), 0):
            said = f"its page {other} is a {_kind_of(pages[other - 1]) or 'page'}, and others are not"
            raise InputError(f"{path}: {said}; allowed are slices alone; save them without it")
        if "S" in axes and int(keyframe.samplesperpixel) == 2 and _unsaid(keyframe):
            raise InputError(
                f"{path}: has 2 samples a pixel, and ExtraSamples does not say that the second is opacity; allowed is "
                "one; save each channel as a file, as NAME_0000, NAME_0001"
            )
        if "S" in axes and keyframe.photometric in _STORED[:2] and int(keyframe.samplesperpixel) > 2:
            raise InputError(
                f"{path}: has {int(keyframe.samplesperpixel)} samples a pixel, and photometric "
                f"{keyframe.photometric.name} says that they are no colours; allowed is one; save each channel as a "
                "file, as NAME_0000, NAME_0001"
            )
        slope, offset = tiff_fields.calibration(path, file)
        order = [None if page is None else page.index for page in file.series[0].pages] if file.is_ome else None
    if array is not None:
        if (slope, offset) != (1.0, 0.0):
            array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64) * slope + offset
        if indices and "S" in axes and array.shape[axes.index("S")] in (2, 4):
            opacity = array.take(-1, axes.index("S"))
            _must_be_opaque(path, float(opacity.min()), float(opacity.max()))
        return _turned(_stacked(path, array, axes), orientation)
    if orientation in _ACROSS:  # Pillow mixes rows and columns up
        raise InputError(
            f"{path}: stored with orientation {orientation}, rows as columns, in colours that are converted; allowed "
            "is orientation 1; save it as it is shown"
        )
    with _picture(path) as image, reading(path, KIND):
        pages = ImageSequence.Iterator(image)
        found = [_decoded(path, page, indices, picture_bits.spread(page)) for page in pages]  # it turns them, too
        return np.stack(found if order is None else [0 * found[0] if at is None else found[at] for at in order])


def _stack(path: Path, file: tifffile.TiffFile, indices: bool) -> np.ndarray | None:
    """Return the pages as tifffile reads them; None if Pillow must read them: palettes, and rare kinds of colours."""
    with reading(path, KIND):
        page: Any = file.series[0].keyframe
        white = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        if indices and page.compression in _LOSSY:
            packed = f"labels packed by {getattr(page.compression, 'name', page.compression)}"
            raise InputError(f"{path}: {packed}, which changes class codes; allowed are LZW and deflate; draw it anew")
        if white and indices:
            raise InputError(
                f"{path}: labels of photometric MINISWHITE, whose codes some programs read inverted; allowed is "
                "MINISBLACK or a PNG file; save it so"
            )
        palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
        if palette and not indices and (count := page.colormap.size) != (whole := 3 * 2 ** int(page.bitspersample)):
            raise InputError(f"{path}: its ColorMap has {count} numbers, allowed are {whole}; save it again")
        plain = page.photometric in _STORED or (indices and palette)
        if page.compression in UNBOUNDED or not plain:
            return None
        array = _unpacked(path, file)
        if array is None:
            return None
        return _inverted(array, int(page.bitspersample)) if white else array


def _kind_of(page: Any) -> str:  # noqa: ANN401
    """Return what a page is beside an image by its own words: a small version of another page, or a mask of one."""
    told = page.tags.get("NewSubfileType")
    kind = int(told.value) if told is not None else 0
    return "mask" if kind & _MASK else "thumbnail" if kind & _REDUCED else ""


def _unsaid(page: Any) -> bool:  # noqa: ANN401
    """Whether a page does not say what a sample beside grey or colours is: opacity, or another channel."""
    return not page.extrasamples or int(page.extrasamples[0]) == 0


def _unpacked(path: Path, file: tifffile.TiffFile) -> np.ndarray | None:
    series: Any = file.series[0]
    try:
        return series.asarray()
    except NotImplementedError:  # numbers that are no whole bytes, of which Pillow reads some right
        if int(series.keyframe.bitspersample) not in (2, 4) or int(series.keyframe.predictor) != 1:
            raise
        return None
    except ValueError:  # it may lack what unpacks the pages
        if not tiff_packed.can_unpack(series.keyframe) or None in series.pages:
            return None
    return np.stack([tiff_packed.unpack(path, page) for page in series.pages]).reshape(series.shape)


def _inverted(array: np.ndarray, bits: int) -> np.ndarray:
    """Return values of which the lowest is white as values of which it is black."""
    if array.dtype == bool or array.dtype.kind == "i":
        return ~array
    return -array if array.dtype.kind == "f" else array.dtype.type(2**bits - 1) - array


def _orientation(page: Any) -> int:  # noqa: ANN401
    tag = page.tags.get("Orientation")
    return int(tag.value) if tag is not None and tag.value in range(1, 9) else 1


def _turned(pixels: Shaped[np.ndarray, "d _ _ *c"], orientation: int) -> Shaped[np.ndarray, "d _ _ *c"]:
    """Turn pages as they are shown; `orientation` is EXIF's and TIFF's number for it."""
    if orientation in _ACROSS:
        pixels = pixels.swapaxes(1, 2)
    rows, columns = _FLIPS[orientation]
    return pixels[:, :: -1 if rows else 1, :: -1 if columns else 1]


def _spacing(path: Path) -> Spacing | None:
    """Return millimetres along d, h, w of a TIFF file; None for other files, and where nothing is said."""
    if not path.name.lower().endswith(TIFF):
        return None
    if (spacing := tiff_fields.by_json(path)) is not None:
        return spacing
    with _tiff(path) as file:
        return tiff_fields.by_fields(path, file)


def _pages_declared(path: Path, file: tifffile.TiffFile) -> Declared:
    """Return the size of the one stack of pages, once it is known that the file can hold that much."""
    with reading(path, KIND):
        shapes = [tuple(map(int, series.shape)) for series in file.series]
        if len(shapes) != 1:
            shown = ", ".join(map(str, shapes[:3])) or "none"
            told = f"pages differ, they are {len(shapes)} stacks ({shown})"
            raise InputError(f"{path}: {told}, allowed is one stack of equal slices; save them apart")
        files = set(_FILES.findall(file.ome_metadata or "")) if file.is_ome else set()
        if len(files) > 1:
            told = f"its pages lie in {len(files)} files ({min(files):.60}, …)"
            raise InputError(f"{path}: {told}, allowed is one; save them as one file")
        page: Any = file.series[0].keyframe
        dtype = np.dtype(page.dtype or np.uint8)
        if dtype.kind not in "buif":
            raise InputError(f"{path}: pixels are of type {dtype}, allowed are real numbers; save one part of them")
        taken = Declared(shapes[0], dtype.itemsize)
        packed = RATIO.get(int(page.compression), math.inf) * 8 * taken.itemsize / int(page.bitspersample)
    check_size(path, taken, KIND, held=path.stat().st_size, ratio=packed)
    if page.compression in DEFLATE:
        _check_strips(path, file, taken.bytes)
    return taken


def _check_strips(path: Path, file: tifffile.TiffFile, most: int) -> None:
    """Unpack strips that may hold gigabytes piece by piece: tifffile would unpack them as a whole."""
    with reading(path, KIND), path.open("rb") as content:
        for page in file.series[0].pages:
            for offset, count in () if page is None else zip(page.dataoffsets, page.databytecounts, strict=False):
                if count * DEFLATED > most + UNCHECKED:
                    content.seek(offset)
                    check_inflated(path, [content.read(count)], most, KIND)


def _stacked(path: Path, array: np.ndarray, axes: str) -> Shaped[np.ndarray, "d h w *c"]:
    """Bring a TIFF's axes, each named by a letter, into the order slices, rows, columns, and channels if any."""
    if array.ndim != len(axes) or not array.size:
        raise InputError(f"{path}: not a readable {KIND} (pages of shape {array.shape}, axes {axes})")
    kept = [place for place, letter in enumerate(axes) if array.shape[place] > 1 or letter in "YX"]
    letters = "".join(axes[place] for place in kept)
    array = array.reshape([array.shape[place] for place in kept])
    planes, samples = letters.replace("S", ""), "S" in letters
    if samples:
        array = np.moveaxis(array, letters.index("S"), -1)
    if samples and array.shape[-1] == 2:  # grey and its opacity
        array, samples = array[..., 0], False
    if not planes.endswith("YX") or len(planes) > 3 or "C" in planes or (samples and array.shape[-1] not in (3, 4)):
        told = f"has axes {letters} {array.shape}, allowed is a slice or a stack of slices"
        raise InputError(f"{path}: {told}; save each channel or time as a file, channels as NAME_0000, NAME_0001")
    return array if len(planes) == 3 else array[None]
