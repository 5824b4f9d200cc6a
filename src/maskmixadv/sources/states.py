"""States of a folder of images: the corpora in its ``.corpus``, one a state; `follow` makes and deletes them."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from maskmixadv.processes import using

PLACE: Final = ".corpus"
"""Where a folder of images keeps the corpora of its states."""


def followed(root: Path) -> Path | None:
    """Return the folder of images that has, or had, `root` as the corpus of one of its states; None where none has.

    Examples
    --------
    >>> Path("mine/images").mkdir(parents=True)
    >>> followed(Path("mine/.corpus/9f3c")), followed(Path("mine/corpus"))
    (PosixPath('mine'), None)
    """
    source = root.parent.parent
    return source if root.parent.name == PLACE and (source / "images").is_dir() else None


def kept(root: Path) -> AbstractContextManager[None]:
    """Keep a state of a folder while the block goes on, however often the folder changes; other corpora stay anyway.

    Examples
    --------
    >>> with kept(Path("corpus")):
    ...     pass
    """
    return using(root) if followed(root) else nullcontext()
