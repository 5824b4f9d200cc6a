"""Whether a JPEG holds all of its pixels: Pillow makes grey ones of those that the packed pixels end before."""

from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from maskmixadv.errors import InputError
from maskmixadv.formats.details import jpeg_scans
from maskmixadv.formats.reading import reading

KIND: Final = "image"
JPEGS: Final = ("JPEG", "MPO")
"""Pillow's names of JPEGs."""


def must_be_whole(path: Path, image: Any) -> None:  # noqa: ANN401
    r"""Check that a JPEG holds all of its pixels.

    Parameters
    ----------
    path
        The file.
    image
        It as Pillow opened it.

    Raises
    ------
    InputError
        If it does not.

    Examples
    --------
    >>> Image.linear_gradient("L").save("a.jpg")
    >>> with Image.open("a.jpg") as image:
    ...     must_be_whole(Path("a.jpg"), image)
    >>> Path("b.jpg").write_bytes(Path("a.jpg").read_bytes()[:-500] + b"\xff\xd9") > 0
    True
    >>> with Image.open("b.jpg") as image:
    ...     must_be_whole(Path("b.jpg"), image)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: b.jpg: not a readable image (packed pixels end too early, as if cut off); save it ...
    """
    with reading(path, KIND):
        content = path.read_bytes()
        lacking, more = jpeg_scans.lacking(content), jpeg_scans.with_more(content)
        if not lacking and more is not None:
            with Image.open(BytesIO(more), formats=JPEGS) as other:
                lacking = "" if np.array_equal(np.asarray(image), np.asarray(other)) else "packed pixels end too early"
    if lacking:
        raise InputError(f"{path}: not a readable {KIND} ({lacking}, as if cut off); save it again")
