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
ENTRIES: Final = 0xB002
"""Field that lists the pictures of a JPEG of several."""
START: Final = b"\xff\xd8"
BEFORE: Final = 2**22
"""Bytes within which a JPEG says what kind it is: profiles and notes lie before."""


def must_be_read(path: Path) -> None:
    r"""Refuse a JPEG that Pillow does not read, by what it is: of 12 bits a value, without loss, or hierarchical.

    Files that are no JPEG are passed over.

    Raises
    ------
    InputError
        If it is such a one, or can't be read.

    Examples
    --------
    >>> _ = Path("a.jpg").write_bytes(bytes.fromhex("ffd8ffc1000b0c0010001001011100ffd9"))
    >>> must_be_read(Path("a.jpg"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.jpg: a JPEG of 12 bits a value, allowed is one of 8 bits, with loss; save it as ...
    """
    with reading(path, KIND), path.open("rb") as file:
        kind = jpeg_scans.unlike(file.read(BEFORE)) if file.read(2) == START and not file.seek(0) else ""
    if kind:
        raise InputError(f"{path}: {kind}, allowed is one of {jpeg_scans.BITS} bits, with loss; save it as PNG or TIFF")


def left_out(image: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return a line on pictures that lie behind the first one of a JPEG and are no thumbnails; none if there are none.

    Parameters
    ----------
    image
        A picture as Pillow opened it.

    Examples
    --------
    >>> page = Image.linear_gradient("L")
    >>> page.save("a.jpg", format="MPO", save_all=True, append_images=[page])
    >>> with Image.open("a.jpg") as image:
    ...     left_out(image)
    ('1 more picture lies behind the first one, and is left out',)
    """
    listed = (getattr(image, "mpinfo", None) or {}).get(ENTRIES) or [] if image.format in JPEGS else []
    kinds = [str(each.get("Attribute", {}).get("MPType", "")) for each in listed[1:]]
    count = sum("Thumbnail" not in kind for kind in kinds)
    said = "lies behind the first one, and is left out" if count == 1 else "lie behind the first one, and are left out"
    return (f"{count} more picture{'' if count == 1 else 's'} {said}",) if count else ()


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
