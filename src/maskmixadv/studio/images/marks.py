"""What tells an image from another one that takes its place: its grid, or of a picture its content."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files
from maskmixadv.formats.slicing import Header, View
from maskmixadv.formats.volume import Volume
from maskmixadv.sources.labels import on_grid
from maskmixadv.studio.cache import FileCache
from maskmixadv.studio.layout import Layout

FIRST: Final = 2**20
"""Bytes of a picture by which it is known, beside its size."""


@dataclass(frozen=True)
class Mark:
    """An image, as far as it matters to what is noted of its slices.

    Attributes
    ----------
    shape
        Voxels along d, h, w.
    affine
        Matrix from voxel (x, y, z, 1) to the patient (mm, RAS), row by row; None if the file does not say.
    content
        Where it does not, something that another file does not have.
    """

    shape: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...] | None = None
    content: str = ""

    def turned(self, now: "Mark") -> View | None:
        """Return the view that turns slices of this image to those of the image `now`; None if it is another image."""
        if self == now:
            return View()
        if self.affine is None or now.affine is None:
            return None
        then, here = self._header, now._header
        try:
            on_grid(Path(), Volume.of(then), 0, Path(), Volume.of(here))
        except InputError:
            return None
        return then.stored_as(here)

    def place(self, axis: int, index: int, view: View) -> tuple[int, int]:
        """Return the axis and the place of slice `index` along `axis` in the image to which `view` turns this one."""
        now = view.order.index(axis)
        return now, self.shape[axis] - 1 - index if view.flipped[now] else index

    @property
    def _header(self) -> Header:
        return Header(self.shape, affine=np.array(self.affine))


class Marks:
    """The marks of a folder's images."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._marks: FileCache[Mark] = FileCache(_mark, lambda _: 1, 1 << 16)

    def of(self, case: str) -> Mark | None:
        """Return the mark of the image of `case`; None if there is none, or it can't be read."""
        image = self._layout.image(case)
        try:
            return None if image is None else self._marks.get(image)
        except InputError:
            return None


def _mark(image: Path) -> Mark:
    header = image_files.header(image)
    if header.affine is not None:
        return Mark(tuple(header.shape), tuple(tuple(map(float, row)) for row in header.affine))
    found = sha256()
    for path in sorted(image.iterdir()) if image.is_dir() else [image]:
        try:
            with path.open("rb") as file:
                found.update(f"{path.stat().st_size} ".encode() + file.read(FIRST))
        except OSError as error:
            raise InputError(f"{path}: can't be read ({error.strerror})") from None
    return Mark(tuple(header.shape), content=found.hexdigest()[:16])
