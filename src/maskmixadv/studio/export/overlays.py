"""Pictures of slices with their labels: a veil in the structures' colours, and their outlines."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage

from maskmixadv.files import written
from maskmixadv.studio.export.folders import renewed
from maskmixadv.studio.export.masks import CaseMask
from maskmixadv.studio.images.volumes import TOP
from maskmixadv.studio.palette import PaletteClass

SIDE: Final = 512
"""Pixels of a picture's shorter side at least."""
VEIL: Final = 0.3
"""How much of a structure's colour covers the image."""
DARK, BRIGHT = 1.0, 99.5
"""Percentiles of a volume that are black and white in its pictures."""
RGB = UInt8[np.ndarray, "h w 3"]


def write_overlays(out: Path, masks: Iterable[CaseMask], classes: Sequence[PaletteClass], problems: list[str]) -> int:
    """Write ``NAME_NNN.png`` for each slice, turned and numbered as on the page; returns the number of files.

    For each case with slices that are rejected or unknown, which have no labels, a line is appended to `problems`.

    Raises
    ------
    RequestError
        If there is no case.
    InputError
        If a file can't be written.
    """
    colours = np.array([[int(each.colour[at : at + 2], 16) for at in (1, 3, 5)] for each in classes], np.float32)
    with renewed(out, problems) as new:
        for mask in masks:
            labels = mask.view.seen(mask.without_rejected(0))
            size = _size(mask)
            for index, image in enumerate(_images(mask)):
                picture = overlaid(
                    _resized(image, size, Image.Resampling.BICUBIC), _nearest(labels[index], size), colours
                )
                with written(new.place / f"{mask.case}_{index + 1:03d}.png") as file:
                    Image.fromarray(picture).save(file, "PNG")
            problems += filter(None, [mask.lacking()])
    return new.files


def overlaid(image: RGB, labels: UInt8[np.ndarray, "h w"], colours: Float[np.ndarray, "k 3"]) -> RGB:
    """Return an image with labels over it; background is left as it is."""
    shown, structures = image.astype(np.float32), labels > 0
    shown[structures] = (1 - VEIL) * shown[structures] + VEIL * colours[labels[structures]]
    rim = structures & np.asarray(ndimage.binary_dilation(edges(labels)), np.bool_)
    shown[rim] = colours[labels[rim]]
    return shown.round().astype(np.uint8)


def edges(labels: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return which pixels have a neighbour of another label, above, below, left or right."""
    found = np.zeros(labels.shape, np.bool_)
    for axis in (0, 1):
        differ = np.diff(labels.astype(np.int16), axis=axis) != 0
        found |= np.insert(differ, 0, False, axis=axis) | np.insert(differ, differ.shape[axis], False, axis=axis)
    return found


def _images(mask: CaseMask) -> Iterable[RGB]:
    """Yield the slices of a case's first channel, from black to white."""
    pixels = mask.shown.pixels(mask.view)
    low, high = (0.0, float(TOP))
    if not mask.shown.coloured:
        measured = pixels[pixels > 0] if mask.shown.channels[0].padded else pixels
        low, high = map(float, np.percentile(measured, [DARK, BRIGHT]))
    for plane in pixels:
        grey = np.clip((plane.astype(np.float32) - low) / max(high - low, 1.0) * 255, 0, 255).astype(np.uint8)
        yield grey if mask.shown.coloured else np.repeat(grey[..., None], 3, axis=2)


def _size(mask: CaseMask) -> tuple[int, int]:
    """Return width and height of a case's pictures, on which pixels have their true aspect."""
    shape, spacing = mask.shown.volume.array.shape, mask.shown.volume.spacing or (1.0, 1.0, 1.0)
    rows, columns = (shape[place] for place in mask.view.order[1:])
    tall, wide = (spacing[place] for place in mask.view.order[1:])
    height, width = rows * tall / min(tall, wide), columns * wide / min(tall, wide)
    times = max(1, math.ceil(SIDE / min(height, width)))
    return round(times * width), round(times * height)


def _resized(image: RGB, size: tuple[int, int], how: Image.Resampling) -> UInt8[np.ndarray, "_ _ 3"]:
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, how))


def _nearest(labels: UInt8[np.ndarray, "h w"], size: tuple[int, int]) -> UInt8[np.ndarray, "_ _"]:
    return np.asarray(Image.fromarray(np.ascontiguousarray(labels)).resize(size, Image.Resampling.NEAREST))
