"""How pictures store their numbers, where Pillow changes or invents some: 16 bits, few bits, short palettes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskmixadv.errors import InputError

SIXTEEN: Final[Mapping[str, tuple[str, ...]]] = {
    "LA;16B": ("RGBA",), "RGB;16B": ("RGB;16B", "RGB;16L"), "RGBA;16B": ("RGBA;16B", "RGBA;16L"),
}  # fmt: skip
"""Names that make Pillow read the upper and the lower 8 bits of a PNG's 16, by its name for how they are stored."""
_SPREAD: Final[Mapping[str, int]] = {"L;2": 85, "L;4": 17, "L;2R": 85, "L;4R": 17}
"""By what Pillow multiplies grey of 2 or 4 bits, by its name for how it is stored, so that it fills 8 bits."""


def deep(image: Any) -> str | None:  # noqa: ANN401
    """Return how a PNG of 16 bits stores colours or opacity, by Pillow's name; None for other pictures.

    Pillow reads the upper 8 bits of these alone. It is known until the picture is decoded.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.new("L", (5, 4)).save("a.png")
    >>> with Image.open("a.png") as image:
    ...     deep(image) is None
    True
    """
    stored = [tile[3] for tile in image.tile] if image.format == "PNG" else []
    return next((each for each in stored if each in SIXTEEN), None)


def spread(image: Any) -> int:  # noqa: ANN401
    """Return by what Pillow will multiply a picture's stored numbers; it is known until that is decoded.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.new("L", (5, 4)).save("a.png")
    >>> with Image.open("a.png") as image:
    ...     spread(image)
    1
    """
    stored = [tile[3][0] if isinstance(tile[3], tuple) else tile[3] for tile in image.tile]
    return next((_SPREAD[each] for each in stored if each in _SPREAD), 1)


def must_be_bits_of(path: Path, image: Any) -> None:  # noqa: ANN401
    """Refuse a BMP of few bits whose palette is grey: Pillow takes its numbers to have as many bits as colours need.

    Raises
    ------
    InputError
        If there is such a palette.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.new("L", (5, 4)).save("a.bmp")
    >>> with Image.open("a.bmp") as image:
    ...     must_be_bits_of(Path("a.bmp"), image)
    """
    with path.open("rb") as file:
        head = file.read(30)
    at = 24 if head[14] == 12 else 28  # of the oldest form, which is shorter, and of all others
    bits, taken = int.from_bytes(head[at : at + 2], "little"), {"1": 1, "L": 8}.get(image.mode)
    if taken is not None and bits != taken and bits <= 8:
        raise InputError(
            f"{path}: a BMP of {bits} bits with a grey palette, which is read as of {taken}; save it as PNG"
        )


def must_have_colours(path: Path, image: Any) -> None:  # noqa: ANN401
    """Refuse pixels whose number the picture's palette does not have: Pillow takes them for black.

    Raises
    ------
    InputError
        If there are such pixels.

    Examples
    --------
    >>> from PIL import Image
    >>> image = Image.new("P", (5, 4), 3)
    >>> image.putpalette([0, 0, 0, 255, 255, 255])
    >>> must_have_colours(Path("a.png"), image)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.png: has pixels of colour 3, its palette has 2, from 0 on; save it again
    """
    if image.mode != "P" or image.palette is None:
        return
    most = int(np.asarray(image).max())
    if most >= (count := len(image.palette.getdata()[1]) // len(image.palette.mode)):
        raise InputError(f"{path}: has pixels of colour {most}, its palette has {count}, from 0 on; save it again")
