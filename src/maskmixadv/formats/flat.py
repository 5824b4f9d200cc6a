"""PNG, JPEG and TIFF: pictures without a place in the patient; the pages of a TIFF are a volume's slices."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageSequence

from maskmixadv.errors import InputError
from maskmixadv.files import replaced
from maskmixadv.formats.reading import DEFLATED, Declared, LargeError, check_inflated, check_size, existing, reading
from maskmixadv.formats.slicing import Header
from maskmixadv.formats.volume import Geometry, Volume
from maskmixadv.types import Spacing

TIFF: Final = (".tiff", ".tif")
JPEG: Final = (".jpeg", ".jpg")
SUFFIXES: Final = (".png", *JPEG, *TIFF)
LABELS_AS: Final[Mapping[str, str]] = dict.fromkeys(JPEG, ".png")
"""JPEG changes codes when it stores them."""
KIND: Final = "image"
OPENED: Final = ("PNG", "JPEG", "TIFF")
"""Formats that Pillow may open, whatever the file's name."""
DEFLATE: Final = (8, 32946, 50013)
RATIO: Final = {1: 4.0, 5: 4096.0, 32773: 128.0, **dict.fromkeys(DEFLATE, DEFLATED)}
"""Bytes that one byte unpacks to at most, by TIFF's code of the compression; colours may be stored at half the rate."""
UNBOUNDED: Final = (34925, 34926, 50000)
"""Compressions that tifffile unpacks without a limit; Pillow stops at the declared size."""
UNCHECKED: Final = 2**29
"""Bytes that may be unpacked without a check beforehand."""
_LUMA: Final = (0.2125, 0.7154, 0.0721)
"""Brightness of red, green and blue (ITU-R BT.709)."""
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
    """Read a picture as a volume ``d h w``; a TIFF file's pages are its slices, colours become grey.

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
    array, coloured = grey(_pixels(path, indices=False))
    return Volume(array, None, None, NoGeometry(), coloured)


def read_labels(path: Path) -> Volume:
    """Read class codes ``d h w``; those of a file with a palette are its indices.

    Raises
    ------
    InputError
        If `read` would, or if the file holds colours, or is a JPEG, which changes codes when it stores them.

    Examples
    --------
    >>> drawn = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8)).convert("P")
    >>> drawn.save("codes.png")
    >>> read_labels(Path("codes.png")).array[0].tolist()
    [[0, 1], [2, 1]]
    """
    if path.name.lower().endswith(JPEG):
        raise InputError(f"{path}: JPEG changes class codes when it saves them, allowed is PNG or TIFF; draw it anew")
    array, coloured = grey(_pixels(path, indices=True))
    return uncoloured(path, Volume(array, None, None, NoGeometry(), coloured))


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


def peek(path: Path) -> tuple[tuple[int, int, int], Spacing | None] | None:  # noqa: ARG001
    """Return None, as pictures have no spacing.

    Examples
    --------
    >>> peek(Path("a.png")) is None
    True
    """
    return None


def header(path: Path) -> Header:  # noqa: ARG001
    """Return the header of a picture or a stack of them, whose slices lie along its first axis.

    Examples
    --------
    >>> header(Path("a.png")).single
    0
    """
    return Header((1, 0, 0))


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
    return (pixels[..., :3] @ np.array(_LUMA, np.float32)).astype(np.float32), True


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
        return _decoded(path, image, indices)[None]


@contextmanager
def _picture(path: Path) -> Iterator[Image.Image]:
    """Open a picture of one of the formats that are read here; Pillow knows others that start programs."""
    with reading(path, KIND):
        try:
            image = Image.open(existing(path), formats=OPENED)
        except Image.DecompressionBombError:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise LargeError(f"{path}: too many pixels, allowed are up to {most}") from None
    with image:
        yield image


def _picture_declared(path: Path, image: Image.Image) -> Declared:
    with reading(path, KIND):
        (w, h), samples, wide = image.size, len(image.getbands()), image.mode.startswith(("I", "F"))
    packed = DEFLATED * 8 if image.format == "PNG" else math.inf  # a PNG has down to one bit a pixel
    held = path.stat().st_size
    return check_size(path, Declared((h, w, samples), 4 if wide else 1), KIND, held=held, ratio=packed)


def _decoded(path: Path, image: Image.Image, indices: bool) -> Shaped[np.ndarray, "h w *c"]:
    with reading(path, KIND):
        if image.mode in _PLAIN or (image.mode == "P" and indices):
            pixels = np.asarray(image)
            return pixels.astype(np.uint8) if pixels.dtype == bool else pixels
        return np.asarray(image.convert("L" if image.mode == "LA" else "RGB"))


@contextmanager
def _tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file; references in it to other files are not followed."""
    with reading(path, KIND):
        file = tifffile.TiffFile(existing(path), _multifile=False)
    with file:
        yield file


def _pages(path: Path, indices: bool) -> Shaped[np.ndarray, "d h w *c"]:
    with _tiff(path) as file:
        _pages_declared(path, file)
        array, axes = _stack(path, file, indices), file.series[0].axes
    if array is not None:
        return _stacked(path, array, axes)
    with _picture(path) as image, reading(path, KIND):
        return np.stack([_decoded(path, page, indices) for page in ImageSequence.Iterator(image)])


def _stack(path: Path, file: tifffile.TiffFile, indices: bool) -> np.ndarray | None:
    """Return the pages as tifffile reads them; None if Pillow must read them: palettes, and rare compressions."""
    with reading(path, KIND):
        page: Any = file.series[0].keyframe
        mapped = page.photometric == tifffile.PHOTOMETRIC.PALETTE
        if page.compression in UNBOUNDED or (mapped and not indices):
            return None
        try:
            return file.series[0].asarray()
        except ValueError:
            return None


def _pages_declared(path: Path, file: tifffile.TiffFile) -> Declared:
    """Return the size of the one stack of pages, once it is known that the file can hold that much."""
    with reading(path, KIND):
        shapes = [tuple(map(int, series.shape)) for series in file.series]
        if len(shapes) != 1:
            shown = ", ".join(map(str, shapes[:3])) or "none"
            raise InputError(f"{path}: pages differ ({shown}), allowed is one stack of equal slices; save them apart")
        page: Any = file.series[0].keyframe
        taken = Declared(shapes[0], np.dtype(page.dtype or np.uint8).itemsize)
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
    if not planes.endswith("YX") or len(planes) > 3 or "C" in planes or (samples and array.shape[-1] < 3):
        raise InputError(f"{path}: has axes {letters} {array.shape}, allowed is a slice or a stack of slices; split it")
    return array if len(planes) == 3 else array[None]
