"""Colours of classes, for formats that store them: those of the studio, where nobody chose others."""

import colorsys
from typing import Final

COLOURS: Final = ("#8b95a5", "#4aa8ff", "#ffb02e", "#ff5d73", "#3ecf8e", "#b58cff", "#ff8ad8", "#d4d96b")
"""Colours of the background and of the first structures; `colour_of` has those of more."""
_XYZ: Final = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
"""Rows of X, Y and Z by the linear red, green and blue of sRGB."""
_MOST: Final = 0xFFFF


def colour_of(code: int) -> str:
    """Return the default colour of the class with a code; no two classes have the same.

    Examples
    --------
    >>> colour_of(1), colour_of(8)
    ('#4aa8ff', '#df6020')
    >>> len({colour_of(code) for code in range(256)})
    256
    """
    if code < len(COLOURS):
        return COLOURS[code]
    # Hues a golden angle apart are never close to one another.
    light = (0.62, 0.78, 0.5)[code % 3]
    parts = colorsys.hls_to_rgb(code * 137.508 / 360 % 1, light, 0.75)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


def parts(colour: str) -> tuple[float, float, float]:
    """Return red, green and blue of a colour such as ``#4aa8ff``, each from 0 to 1.

    Examples
    --------
    >>> parts("#ff0033")
    (1.0, 0.0, 0.2)
    """
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def cielab(colour: str) -> list[int]:
    """Return a colour such as ``#4aa8ff`` as DICOM stores it: L*, a* and b*, each as a number of 16 bits.

    Examples
    --------
    >>> cielab("#000000"), cielab("#ffffff")
    ([0, 32896, 32896], [65535, 32896, 32894])
    """
    linear = [((part + 0.055) / 1.055) ** 2.4 if part > 0.04045 else part / 12.92 for part in parts(colour)]
    rows = [sum(of * part for of, part in zip(row, linear, strict=True)) for row in _XYZ]
    white = (0.9505, 1.0, 1.0889)
    x, y, z = (_root(each / whole) for each, whole in zip(rows, white, strict=True))
    lightness, a, b = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    return [round(lightness / 100 * _MOST), round((a + 128) / 255 * _MOST), round((b + 128) / 255 * _MOST)]


def _root(part: float) -> float:
    """Return the cube root, or what CIE has in its place for small parts."""
    return part ** (1 / 3) if part > (6 / 29) ** 3 else part / (3 * (6 / 29) ** 2) + 4 / 29
