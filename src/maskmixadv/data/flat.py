"""PNG, JPEG and TIFF: pictures without a place in the patient; the pages of a TIFF are a volume's slices."""

from pathlib import Path
from typing import Final

import numpy as np
import tifffile
from jaxtyping import Shaped
from PIL import Image, ImageSequence

from maskmixadv.data.nifti import Volume, in_one_line
from maskmixadv.errors import InputError
from maskmixadv.files import replaced

TIFF: Final = (".tiff", ".tif")
JPEG: Final = (".jpeg", ".jpg")
SUFFIXES: Final = (".png", *JPEG, *TIFF)
_LUMA: Final = (0.2125, 0.7154, 0.0721)
"""Brightness of red, green and blue (ITU-R BT.709)."""
_PLAIN: Final = ("1", "L", "F", "I", "I;16", "I;16L", "I;16B")
"""Pillow's names for images of one channel."""


def read(path: Path) -> Volume:
    """Read an image; colours become grey.

    Raises
    ------
    InputError
        Where the file is missing, damaged, or not a slice or a stack of slices.
    """
    array, coloured = grey(_pixels(path, indices=False))
    return Volume(array, None, None, None, coloured)


def read_labels(path: Path) -> Volume:
    """Read class codes; of a file with a palette its indices.

    Raises
    ------
    InputError
        Where `read` does, or the file can't hold codes: a JPEG's are not what was saved, and colours are none.
    """
    if path.name.lower().endswith(JPEG):
        raise InputError(f"{path}: JPEG changes class codes when it saves them, allowed is PNG or TIFF; draw it anew")
    array, coloured = grey(_pixels(path, indices=True))
    if coloured:
        raise InputError(f"{path}: labels are colours, allowed are class codes 0, 1, … in one channel; convert it")
    return Volume(array, None, None, None)


def write_labels(path: Path, labels: Shaped[np.ndarray, "d h w"]) -> None:
    """Write class codes as uint8, whole or not at all: TIFF by the name, else PNG, which holds one slice.

    Raises
    ------
    InputError
        Where the file can't be written.
    """
    codes = labels.astype(np.uint8)
    with replaced(path) as place:
        if path.name.lower().endswith(TIFF):
            tifffile.imwrite(place, codes, photometric="minisblack", compression="zlib", metadata={"axes": "ZYX"})
        else:
            Image.fromarray(codes[0]).save(place, format="PNG")


def grey(pixels: Shaped[np.ndarray, "d h w *c"]) -> tuple[Shaped[np.ndarray, "d h w"], bool]:
    """Take the colours from pixels, if they have any: one channel, and whether it had to be mixed of several."""
    if pixels.ndim == 3:
        return pixels, False
    red = pixels[..., 0]
    if all(np.array_equal(red, pixels[..., channel]) for channel in (1, 2)):
        return red, False
    return (pixels[..., :3] @ np.array(_LUMA, np.float32)).astype(np.float32), True


def _pixels(path: Path, *, indices: bool) -> Shaped[np.ndarray, "d h w *c"]:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        if path.name.lower().endswith(TIFF):
            return _pages(path, indices)
        with Image.open(path) as image:
            return _decoded(image, indices)[None]
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a readable image ({in_one_line(error)})") from None


def _decoded(image: Image.Image, indices: bool) -> Shaped[np.ndarray, "h w *c"]:
    if image.mode in _PLAIN or (image.mode == "P" and indices):
        pixels = np.asarray(image)
        return pixels.astype(np.uint8) if pixels.dtype == bool else pixels
    return np.asarray(image.convert("L" if image.mode == "LA" else "RGB"))


def _pages(path: Path, indices: bool) -> Shaped[np.ndarray, "d h w *c"]:
    with tifffile.TiffFile(path) as file:
        if len(file.series) > 1:
            shapes = ", ".join(str(series.shape) for series in file.series[:3])
            raise InputError(f"{path}: pages differ ({shapes}), allowed is one stack of equal slices; save them apart")
        (series,) = file.series
        mapped = series.pages[0].photometric == tifffile.PHOTOMETRIC.PALETTE  # pyright: ignore
        try:
            array = series.asarray() if indices or not mapped else None
        except ValueError:  # a compression for which tifffile needs more than is installed, and Pillow does not
            array = None
        axes = series.axes
    if array is None:
        with Image.open(path) as image:
            return np.stack([_decoded(page, indices) for page in ImageSequence.Iterator(image)])
    return _stacked(path, array, axes)


def _stacked(path: Path, array: np.ndarray, axes: str) -> Shaped[np.ndarray, "d h w *c"]:
    """Bring a TIFF's axes, each with its letter, into order: one of slices, rows, columns, and samples if any."""
    kept = [place for place, letter in enumerate(axes) if array.shape[place] > 1 or letter in "YX"]
    letters = "".join(axes[place] for place in kept)
    array = array.reshape([array.shape[place] for place in kept])
    planes, samples = letters.replace("S", ""), "S" in letters
    if samples:
        array = np.moveaxis(array, letters.index("S"), -1)
    if not planes.endswith("YX") or len(planes) > 3 or "C" in planes or (samples and array.shape[-1] < 3):
        raise InputError(f"{path}: has axes {letters} {array.shape}, allowed is a slice or a stack of slices; split it")
    return array if len(planes) == 3 else array[None]
