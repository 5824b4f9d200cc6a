"""What is said of a TIFF file's pixels by nnU-Net's JSON file beside it, or by ImageJ's or OME's fields in it.

That is how large they are, and of which values their numbers are.
"""

import html
import math
import re
from pathlib import Path
from typing import Any, Final

import tifffile

from maskmixadv.errors import InputError, counted
from maskmixadv.files import read_json
from maskmixadv.formats.reading import in_one_line, reading
from maskmixadv.formats.volume import check_spacing
from maskmixadv.types import Spacing

TIFF: Final = (".tiff", ".tif")
KIND: Final = "image"
_CHANNEL: Final = re.compile(r"_\d{4}$")
"""The number of a channel in nnU-Net's names of images, which that of the JSON file beside it lacks."""
_MM: Final = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 10.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1000.0),
    **dict.fromkeys(("in", "inch", "inches"), 25.4),
    **dict.fromkeys(("um", "µm", "μm", "u00b5m", "micron", "microns"), 1e-3),
    **dict.fromkeys(("micrometer", "micrometers", "micrometre", "micrometres"), 1e-3),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), 1e-6),
    **dict.fromkeys(("Å", "å", "\u212b", "angstrom", "angstroms"), 1e-7),
}
"""Millimetres of a unit of length, by its names in ImageJ and OME."""
_NO_LENGTHS: Final = ("", "pixel", "pixels", "reference frame")
"""What ImageJ and OME write where they know of no length."""
_PRINTED: Final = (
    72,
    75,
    90,
    96,
    100,
    120,
    144,
    150,
    180,
    192,
    200,
    240,
    254,
    300,
    350,
    360,
    400,
    600,
    720,
    1200,
    2400,
)
"""Pixels an inch that programs write for a printer or a screen, or where they know of none."""
_INCHES: Final = {2: 1.0, 3: 2.54}
"""What turns a resolution into pixels an inch, by TIFF's code of its unit: inch, centimetre."""
_PIXELS, _FIELD = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>"), re.compile(r"""(\w+)\s*=\s*("[^"]*"|'[^']*')""")
_NONE, _DENSITY = 20, 21
"""ImageJ's numbers of no function of calibration, and of an optical density that is not calibrated."""


def beside(path: Path) -> Path | None:
    """Return the file that says a TIFF file's spacing, as nnU-Net names it; None if there is none.

    Examples
    --------
    >>> Path("a.json").touch()
    >>> beside(Path("a_0000.tif")), beside(Path("b.tif")), beside(Path("a.png"))
    (PosixPath('a.json'), None, None)
    """
    lower = path.name.lower()
    suffix = next((each for each in TIFF if lower.endswith(each)), None)
    if suffix is None:
        return None
    stem = path.name[: -len(suffix)]
    names = (stem, _CHANNEL.sub("", stem))
    return next((file for name in names if (file := path.with_name(f"{name}.json")).is_file()), None)


def by_json(path: Path) -> Spacing | None:
    """Return millimetres along d, h, w that the JSON file beside a TIFF file says; None if there is none.

    Raises
    ------
    InputError
        If it is malformed.

    Examples
    --------
    >>> _ = Path("a.json").write_text('{"spacing": [8, 1.5, 1.5]}')
    >>> by_json(Path("a.tif")), by_json(Path("b.tif"))
    ((8.0, 1.5, 1.5), None)
    """
    told = beside(path)
    raw = None if told is None else read_json(told)
    return _three(told, raw["spacing"]) if told is not None and isinstance(raw, dict) and "spacing" in raw else None


def by_fields(path: Path, file: tifffile.TiffFile) -> Spacing | None:
    """Return millimetres along d, h, w that ImageJ's or OME's fields in an open TIFF file say; None if there are none.

    Raises
    ------
    InputError
        If they are malformed.

    Examples
    --------
    >>> import numpy as np
    >>> tifffile.imwrite("a.tif", np.ones((4, 5), np.uint8))
    >>> with tifffile.TiffFile("a.tif") as file:
    ...     by_fields(Path("a.tif"), file) is None
    True
    """
    with reading(path, KIND):
        return _imagej(path, file) or _ome(path, file)


def taller(columns: float, rows: float) -> float:
    """Return by what a pixel is taller than wide, by how many there are along a length; 1 where that is not said.

    Examples
    --------
    >>> taller(100.0, 50.0), taller(0.0, 0.0)
    (2.0, 1.0)
    """
    return columns / rows if columns > 0 and rows > 0 else 1.0


def tall(page: Any) -> float:  # noqa: ANN401
    """Return by what a TIFF page's pixels are taller than wide; 1 where it does not say.

    Examples
    --------
    >>> import numpy as np
    >>> tifffile.imwrite("a.tif", np.ones((4, 5), np.uint8), resolution=(100, 50))
    >>> with tifffile.TiffFile("a.tif") as file:
    ...     tall(file.pages.first)
    2.0
    """
    if "XResolution" not in page.tags or "YResolution" not in page.tags:
        return 1.0
    (columns, over_columns), (rows, over_rows) = (page.tags[name].value for name in ("XResolution", "YResolution"))
    return taller(float(columns * over_rows), float(rows * over_columns))


def has_depth(file: tifffile.TiffFile) -> bool:
    """Whether OME's fields say how far slices lie apart, if they say how large pixels are, and there are several.

    Examples
    --------
    >>> import numpy as np
    >>> told = {"axes": "ZYX", "PhysicalSizeX": 1, "PhysicalSizeY": 1}
    >>> tifffile.imwrite("a.ome.tif", np.ones((3, 4, 5), np.uint8), metadata=told)
    >>> with tifffile.TiffFile("a.ome.tif") as file:
    ...     has_depth(file)
    False
    """
    fields = _ome_fields(file)
    return "PhysicalSizeX" not in fields or "PhysicalSizeZ" in fields or len(file.series[0].pages) == 1


def passed_over(path: Path, file: tifffile.TiffFile) -> tuple[str, ...]:
    """Return a line on each thing that ImageJ's or OME's fields in an open TIFF file say and that is not used.

    That is a unit of length that is not known, a resolution that is none of a printer's and a stack's spacing without
    one between slices, where no file beside it says the spacing, and drawings beside the pixels.

    Raises
    ------
    InputError
        If the file beside it is malformed.

    Examples
    --------
    >>> import numpy as np
    >>> tifffile.imwrite("a.tif", np.ones((4, 5), np.uint8), imagej=True, metadata={"unit": "cubit"})
    >>> with tifffile.TiffFile("a.tif") as file:
    ...     passed_over(Path("a.tif"), file)
    ("its unit of length is 'cubit', which is not known, so its spacing is not used",)
    """
    told: Any = file.imagej_metadata or {}
    units = [_word(told.get(key, "")) for key in ("unit", "yunit", "zunit")]
    if file.is_ome:
        pixels = _ome_fields(file)
        units += [pixels.get(f"PhysicalSize{axis}Unit", "") for axis in "XYZ" if f"PhysicalSize{axis}" in pixels]
    odd = next((unit for unit in units if unit not in _MM and unit.lower() not in _NO_LENGTHS), "")
    lines = []
    said = by_json(path) is not None
    if odd and not said:
        lines.append(f"its unit of length is {odd!r:.40}, which is not known, so its spacing is not used")
    elif not said and by_fields(path, file) is None:
        lines += unused(_an_inch(file.pages.first), "a JSON file beside it")
    if not (said or has_depth(file)):
        lines.append("PhysicalSizeZ is not said, so slices are taken to lie as far apart as rows")
    drawn = [told.get("Overlays") or (), told.get("ROI") or ()]
    if count := sum(1 if isinstance(each, bytes) else len(each) for each in drawn):
        left = f"{'is' if count == 1 else 'are'} left out"
        lines.append(f"{counted(count, 'drawing')} of ImageJ, overlays or a selection, {left}")
    return tuple(lines)


def unused(an_inch: float, what: str) -> tuple[str, ...]:
    """Return a line on a resolution that may be that of what was pictured; nothing for those of printers and screens.

    Parameters
    ----------
    an_inch
        Pixels an inch; up to 1 where that is not said.
    what
        What can say the spacing in its place.

    Examples
    --------
    >>> unused(72.009, "a note")
    ()
    >>> unused(5000.0, "a note")
    ("its resolution, by which pixels are 0.00508 mm wide, is not used, as most are a printer's; a note can say ...",)
    """
    if not an_inch > 1 or any(abs(an_inch - usual) <= 0.5 for usual in _PRINTED):
        return ()
    size = f"its resolution, by which pixels are {25.4 / an_inch:.3g} mm wide, is not used"
    return (f"{size}, as most are a printer's; {what} can say the spacing",)


def _an_inch(page: Any) -> float:  # noqa: ANN401
    """Return a page's pixels an inch; 0 where it does not say."""
    inches = _INCHES.get(int(page.tags["ResolutionUnit"].value) if "ResolutionUnit" in page.tags else 2)
    if inches is None or "XResolution" not in page.tags:
        return 0.0
    count, over = page.tags["XResolution"].value
    return inches * count / over if over else 0.0


def calibration(path: Path, file: tifffile.TiffFile) -> tuple[float, float]:
    """Return slope and offset by which ImageJ's fields in an open TIFF file turn its numbers into values.

    ImageJ stores signed numbers of 16 bits as unsigned ones with an offset of -32768.

    Raises
    ------
    InputError
        If they are malformed, or say another function than a straight line.

    Examples
    --------
    >>> import numpy as np
    >>> signed = {"cf": 0, "c0": -32768.0, "c1": 1.0}
    >>> tifffile.imwrite("a.tif", np.ones((4, 5), np.uint16), imagej=True, metadata=signed)
    >>> with tifffile.TiffFile("a.tif") as file:
    ...     calibration(Path("a.tif"), file)
    (1.0, -32768.0)
    """
    with reading(path, KIND):
        told: Any = file.imagej_metadata or {}
    function = told.get("cf", _NONE)
    if function in (_NONE, _DENSITY):
        return 1.0, 0.0
    numbers = [told.get(name, math.nan) for name in ("c0", "c1")]
    known = all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
    if function != 0 or not known or numbers[1] == 0:
        said = in_one_line(f"cf={function}, c0={numbers[0]}, c1={numbers[1]}")
        raise InputError(f"{path}: ImageJ's calibration {said}, allowed is a straight line (cf=0); save it without one")
    return float(numbers[1]), float(numbers[0])


def _imagej(path: Path, file: tifffile.TiffFile) -> Spacing | None:
    told: Any = file.imagej_metadata or {}
    unit = told.get("unit", "")
    # ImageJ writes the units of rows and depth only where they differ from that of columns.
    z, y, x = (_MM.get(_word(told.get(key, unit))) for key in ("zunit", "yunit", "unit"))
    tags = file.pages.first.tags
    if z is None or y is None or x is None or "XResolution" not in tags or "YResolution" not in tags:
        return None
    (rows, over_rows), (columns, over_columns) = (tags[name].value for name in ("YResolution", "XResolution"))
    if not (columns and rows):
        return None
    height, width = y * over_rows / rows, x * over_columns / columns
    # ImageJ leaves out a distance of 1 between the slices of a stack.
    alone = int(told.get("images", 1)) <= 1 and "spacing" not in told
    return _three(path, [height if alone else z * abs(float(told.get("spacing", 1.0))), height, width])


def _ome(path: Path, file: tifffile.TiffFile) -> Spacing | None:
    told = _ome_fields(file)
    if "PhysicalSizeX" not in told or "PhysicalSizeY" not in told:
        return None
    sizes = []
    for axis in ("Z" if "PhysicalSizeZ" in told else "Y", "Y", "X"):
        mm = _MM.get(told.get(f"PhysicalSize{axis}Unit", "µm"))
        if mm is None:
            return None
        sizes.append(float(told[f"PhysicalSize{axis}"]) * mm)
    return _three(path, sizes)


def _ome_fields(file: tifffile.TiffFile) -> dict[str, str]:
    """Return what OME says of a file's pixels; nothing if it is another one."""
    found = _PIXELS.search(file.ome_metadata or "") if file.is_ome else None
    # XML may write the sign of micro as a number.
    return {name: html.unescape(value[1:-1]) for name, value in _FIELD.findall(found[0])} if found else {}


def _word(unit: object) -> str:
    """Return a unit as ImageJ writes it, in lower case."""
    return str(unit).strip("\\ ").lower()


def _three(path: Path, sizes: Any) -> Spacing:  # noqa: ANN401
    if (
        not isinstance(sizes, list)
        or len(sizes) != 3
        or not all(isinstance(mm, int | float) and 0 < mm < math.inf for mm in sizes)
    ):
        raise InputError(
            f"{path}: spacing is {in_one_line(str(sizes))}, allowed are three numbers of mm above 0: d, h, w"
        )
    d, h, w = map(float, sizes)
    check_spacing(path, (d, h, w), "spacing")
    return d, h, w
