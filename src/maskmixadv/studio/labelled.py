"""Labels on the grid of their image. An image may be replaced at any time; its labels follow it, or are refused.

The image's header alone is read: it says where the labels' voxels are in it. A picture has no place in a patient; of it
shapes alone are compared.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files
from maskmixadv.formats.slicing import View
from maskmixadv.formats.volume import Volume
from maskmixadv.sources.labels import on_grid
from maskmixadv.studio.images.volumes import ByteVolume
from maskmixadv.studio.layout import Layout

PUT_BACK: Final = "put the image back that it was made on, or take this file away"
"""What to do about labels that do not fit their image."""


def with_image(layout: Layout, case: str, *paths: Path) -> tuple[Path, ...]:
    """Return files of `case` with that of its image behind them, if there is one: what is read changes with both."""
    image = layout.image(case)
    return paths if image is None else (*paths, image)


def like(image: Path | None) -> tuple[Path, Volume] | None:
    """Return an image's file and where it lies, for labels on its grid; None for a picture, whose header says nothing.

    Raises
    ------
    InputError
        If its header is damaged.
    """
    grid = None if image is None else image_files.grid(image)
    return None if image is None or grid is None or grid.array.size == 0 else (image, grid)


def laid(path: Path, labels: Volume, image: Path | None, around: int, advice: str = PUT_BACK) -> ByteVolume:
    """Return labels on the grid of their image (`maskmixadv.sources.labels.on_grid`).

    Raises
    ------
    InputError
        If they do not fit the image, or lie elsewhere; `path` and `advice` are for its text.
    """
    grid = like(image)
    return labels.array if grid is None else on_grid(path, labels, around, *grid, advice)


def shape_on(path: Path, image: Path | None = None, advice: str = PUT_BACK) -> tuple[int, ...]:
    """Return the shape that the labels in a file have on the grid of their image, from both headers alone.

    Raises
    ------
    InputError
        As `laid`, or if a header is damaged.
    """
    return laid(path, image_files.grid(path), image, 0, advice).shape


def alike(path: Path, image: Path | None = None) -> bool:
    """Whether labels in a file have the axes of their image, and lie on it; by both headers alone."""
    if image is None:
        return True
    try:
        shape_on(path, image)
        return image_files.header(path).stored_as(image_files.header(image)) in (None, View())
    except InputError:
        return False


def must_fit(path: Path, found: tuple[int, ...], shape: tuple[int, ...], advice: str = PUT_BACK) -> None:
    """Refuse labels of another shape than their image's, as those of a picture may be, with an `InputError`."""
    if found != shape:
        raise InputError(f"{path}: has shape {found}, its image has {shape}; {advice}")


def moved(path: Path, labels: ByteVolume, drawn_on: Volume, image: Path | None, around: int) -> ByteVolume:
    """Return labels that were made on the image `drawn_on` on the grid of the image that took its place.

    Raises
    ------
    InputError
        As `laid`.
    """
    return laid(path, replace(drawn_on, array=labels, channels=None), image, around)
