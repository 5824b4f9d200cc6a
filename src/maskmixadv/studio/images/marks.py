"""The marks of a folder's images (`maskmixadv.sources.marks`)."""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files
from maskmixadv.formats.slicing import Header
from maskmixadv.sources.marks import Mark, axis_by_now, mark_of
from maskmixadv.studio import work
from maskmixadv.studio.cache import FileCache
from maskmixadv.studio.layout import Found, Layout

KEPT: Final = 1 << 16
"""How many images' headers and marks are kept."""


def header_of(image: Path) -> Header:
    """Return the header of an image, which is read once in each of its states; raises as `image_files.header`."""
    return _HEADERS.get(image)


class Marks:
    """The marks of a folder's images. All of them share what was read: no image's header is read for each of them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def of(self, case: str) -> Mark | None:
        """Return the mark of the image of `case`; None if there is none, or it can't be read."""
        return self.once(("mark", case), lambda: self._of(case))

    def once(self, what: Hashable, find: Callable[[], Found]) -> Found:
        """Return what `find` does; found once while somebody looks at all cases (`Layout.once`)."""
        return self._layout.once(what, find)

    def _of(self, case: str) -> Mark | None:
        image = self._layout.image(case)
        try:
            return None if image is None else _READ.get(image)
        except InputError:
            return None

    def axes(self) -> dict[str, int]:
        """Return the axis along which each case was cut when somebody first worked in it (`maskmixadv.studio.work`).

        It is an axis of the image's file as it is by now. Images that come later do not change what slices are.
        """
        found = {case: axis_by_now(*noted, self.of(case)) for case, noted in work.axes(self._layout).items()}
        return {case: axis for case, axis in found.items() if axis is not None}


# Each case's first stroke notes an axis, after which all views are found anew: 500 headers take seconds.
_HEADERS: Final[FileCache[Header]] = FileCache(lambda image: image_files.header(image), lambda _: 1, KEPT)
_READ: Final[FileCache[Mark]] = FileCache(lambda image: mark_of(image, header_of), lambda _: 1, KEPT)
