"""What tells an image from another one that takes its place: its grid, or of a picture its content."""

from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files
from maskmixadv.formats.slicing import Header, View
from maskmixadv.formats.volume import Volume
from maskmixadv.sources.labels import on_grid
from maskmixadv.studio import work
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

    @classmethod
    def parsed(cls, raw: dict[str, Any]) -> "Mark":
        """Make a mark of what a file holds; raises whatever Python raises at a wrong key, type or value."""
        rows = raw["affine"]
        affine = None if rows is None else tuple(tuple(map(float, row)) for row in rows)
        shape = tuple(map(int, raw["shape"]))
        if len(shape) != 3 or min(shape) < 0 or not isinstance(raw["content"], str):
            raise ValueError(raw)
        if affine is not None and ([len(row) for row in affine] != [4] * 4 or not np.isfinite(affine).all()):
            raise ValueError(raw)
        return cls(shape, affine, raw["content"])

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

    def lies_as(self, header: Header) -> bool:
        """Whether the image has the axes and the place that `header` says."""
        return self.affine == _rows(header)

    def place(self, axis: int, index: int, view: View) -> tuple[int, int]:
        """Return the axis and the place of slice `index` along `axis` in the image to which `view` turns this one."""
        now = view.order.index(axis)
        return now, self.shape[axis] - 1 - index if view.flipped[now] else index

    @property
    def _header(self) -> Header:
        return Header(self.shape, affine=np.array(self.affine))


class Marks:
    """The marks of a folder's images. All of them share what was read: no image's header is read for each of them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def of(self, case: str) -> Mark | None:
        """Return the mark of the image of `case`; None if there is none, or it can't be read."""
        image = self._layout.image(case)
        try:
            return None if image is None else _READ.get(image)
        except InputError:
            return None

    def axes(self) -> dict[str, int]:
        """Return the axis along which each case was cut when somebody first worked in it (`maskmixadv.studio.work`).

        It is an axis of the image's file as it is by now. Images that come later do not change what slices are.
        """
        found = {case: self._axis(case, *noted) for case, noted in work.axes(self._layout).items()}
        return {case: axis for case, axis in found.items() if axis is not None}

    def _axis(self, case: str, axis: int, image: Any) -> int | None:  # noqa: ANN401
        now = self.of(case)
        if image is None or now is None:
            return axis
        with suppress(KeyError, TypeError, ValueError):  # whoever reads the notes tells of it
            then = Mark.parsed(image)
            view = then.turned(now)
            return None if view is None else then.place(axis, 0, view)[0]
        return axis


def _rows(header: Header) -> tuple[tuple[float, ...], ...] | None:
    return None if header.affine is None else tuple(tuple(map(float, row)) for row in header.affine)


def _mark(image: Path) -> Mark:
    header = image_files.header(image)
    if header.affine is not None:
        return Mark(tuple(header.shape), _rows(header))
    found = sha256()
    for path in sorted(image.iterdir()) if image.is_dir() else [image]:
        try:
            with path.open("rb") as file:
                found.update(f"{path.stat().st_size} ".encode() + file.read(FIRST))
        except OSError as error:
            raise InputError(f"{path}: can't be read ({error.strerror})") from None
    return Mark(tuple(header.shape), content=found.hexdigest()[:16])


_READ: Final[FileCache[Mark]] = FileCache(_mark, lambda _: 1, 1 << 16)
