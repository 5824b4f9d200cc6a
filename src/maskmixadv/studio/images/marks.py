"""The marks of a folder's images (`maskmixadv.sources.marks`)."""

from collections.abc import Callable, Hashable
from typing import Final

from maskmixadv.errors import InputError
from maskmixadv.sources.marks import Mark, axis_by_now, mark_of
from maskmixadv.studio import work
from maskmixadv.studio.cache import FileCache
from maskmixadv.studio.layout import Found, Layout


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


_READ: Final[FileCache[Mark]] = FileCache(mark_of, lambda _: 1, 1 << 16)
