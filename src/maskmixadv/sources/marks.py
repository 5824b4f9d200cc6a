"""What tells an image from another one that takes its place; and along which axis a case of a studio's folder is cut.

An image is known by its grid, or where its file says none, as a picture, by its content.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskmixadv.errors import InputError
from maskmixadv.files import read_json
from maskmixadv.formats import image_files
from maskmixadv.formats.slicing import Header, View
from maskmixadv.formats.volume import Volume
from maskmixadv.sources.labels import on_grid

NOTES: Final = "cases.json"
"""Name of the file in which the studio notes along which axis cases are cut, beside other things."""
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

    Examples
    --------
    >>> then, now = (Mark((1, 6, 8), None, content) for content in "ab")
    >>> then.turned(now) is None  # another picture
    True
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


def mark_of(image: Path, read: Callable[[Path], Header] | None = None) -> Mark:
    """Return the mark of the image in a file, or in a series' folder.

    Parameters
    ----------
    image
        The file, or the folder of a series.
    read
        Reads the image's header; None: `maskmixadv.formats.image_files.header`.

    Raises
    ------
    InputError
        If its header is damaged, or it can't be read.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.new("L", (8, 6)).save("a.png")
    >>> mark_of(Path("a.png")).affine is None  # its content tells it from others
    True
    """
    header = (read or image_files.header)(image)
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


def axis_by_now(axis: int, image: Any, now: Mark | None) -> int | None:  # noqa: ANN401
    """Return the axis of a file along which a case is cut that was cut along `axis` of an earlier one.

    Parameters
    ----------
    axis
        An axis, 0 to 2.
    image
        The earlier image's mark, as a file holds it; None if it is not known.
    now
        That of the image by now; None if it is not known.

    Returns
    -------
    :
        None if it is another image by now.

    Examples
    --------
    >>> then = {"shape": [1, 6, 8], "affine": None, "content": "a"}
    >>> axis_by_now(0, then, Mark((1, 6, 8), None, "a")), axis_by_now(0, then, Mark((1, 6, 8), None, "b"))
    (0, None)
    """
    if image is None or now is None:
        return axis
    with suppress(KeyError, TypeError, ValueError):  # whoever reads the notes tells of it
        then = Mark.parsed(image)
        view = then.turned(now)
        return None if view is None else then.place(axis, 0, view)[0]
    return axis


def kept_axes(folder: Path, images: Mapping[str, Path]) -> dict[str, int]:
    """Return the axes along which the studio keeps cutting cases of `folder` in which somebody has worked.

    Parameters
    ----------
    folder
        A folder with ``images/``.
    images
        The first file of each case's image.

    Raises
    ------
    InputError
        If the studio's notes are malformed.

    Examples
    --------
    >>> kept_axes(Path(), {"a": Path("images/a.nii.gz")})  # no studio worked there
    {}
    """
    path = folder / NOTES
    if not path.is_file():
        return {}
    noted = read_json(path)
    cases = noted.get("cases") if isinstance(noted, dict) else None
    if not isinstance(cases, dict) or not all(isinstance(notes, dict) for notes in cases.values()):
        raise InputError(f"{path}: malformed, has no notes by case; correct it, or delete it")
    found = dict[str, int]()
    for name, image in images.items():
        notes = cases.get(name, {})
        axis = notes.get("axis")
        if axis is None:
            continue
        if type(axis) is not int or axis not in range(3):
            raise InputError(f"{path}: case {name} has axis {axis!r:.62}, allowed are 0 to 2; correct it")
        now = None
        with suppress(InputError):  # whoever reads the image tells of it
            now = mark_of(image)
        by_now = axis_by_now(axis, notes.get("image"), now)
        found |= {} if by_now is None else {name: by_now}
    return found


def _rows(header: Header) -> tuple[tuple[float, ...], ...] | None:
    return None if header.affine is None else tuple(tuple(map(float, row)) for row in header.affine)
