"""What DICOM headers say beside the pixels that are used: other scales of measured values, and drawings above them."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskmixadv.errors import counted
from maskmixadv.formats.dicom_frames import MAPPED
from maskmixadv.formats.dicom_header import KIND, number, text
from maskmixadv.formats.reading import in_one_line, reading

PHILIPS: Final = (0x2005, 0x100E)
"""Philips' own slope, which is the same for all slices that may be compared where RescaleSlope is not."""
NEAR: Final = 1e-4
"""Part by which two slopes or intercepts may differ that are taken for one."""
OVERLAYS: Final = range(0x6000, 0x6020, 2)
"""Groups of attributes of drawings above a picture."""
DRAWN: Final = 0x3000
"""Element of such a group that holds the drawing."""
RELATION: Final = "PixelIntensityRelationship"
LOGARITHM: Final = "LOG"
_Line = tuple[float, float]


def unused(headers: Sequence[tuple[Path, Any]]) -> list[str]:
    """Return a line for each scale that headers say beside the one that is used, if it gives other values.

    So it does for overlays with a drawing, for tables of how brightness is shown, for text in the pixels, and for
    pixels that are logarithms.

    Parameters
    ----------
    headers
        Files of slices of one volume, for an error's text, with their pydicom datasets.

    Raises
    ------
    InputError
        If a scale can't be read.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> header, mapping = Dataset(), Dataset()
    >>> mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept, mapping.LUTLabel = 0.5, 0.0, "T1"
    >>> header.RealWorldValueMappingSequence = [mapping]
    >>> unused([(Path("a.dcm"), header)])
    ['RealWorldValueMappingSequence says T1 of 0.5 a stored number and 0 more, which is not used']
    """
    told = [_mapped(path, header) for path, header in headers]
    found = []
    if name := next((name for name, _, used in told if name and not used), ""):
        several = len({line for _, line, _ in told}) > 1
        found.append(f"{MAPPED} says {name}, {_ending(several)}")
    if count := sum(_drawn(header) for _, header in headers):
        found.append(
            f"{counted(count, 'overlay')} with a drawing, as an annotation, {'is' if count == 1 else 'are'} left out"
        )
    if any(header.get("VOILUTSequence") for _, header in headers):
        found.append("VOILUTSequence, by which viewers show other brightness, is not used")
    if any(text(path, header, "BurnedInAnnotation") == "YES" for path, header in headers):
        found.append("text is burned into the pixels (BurnedInAnnotation), and learnt from as they are")
    related = [text(path, header, RELATION) for path, header in headers]
    if LOGARITHM in related:
        mixed = ", and those of others are not, so their brightness may differ" if set(related) != {LOGARITHM} else ""
        found.append(
            f"{RELATION} says that pixels are logarithms of a beam's intensity; they are taken as they are{mixed}"
        )
    own = [_philips(path, header) for path, header in headers]
    if any(each is not None and not np.isclose(each, 1.0, rtol=NEAR) for each in own):
        said = sorted({f"{each:.4g}" for each in own if each is not None})
        tag = "({:04X},{:04X})".format(*PHILIPS)
        found.append(f"Philips' own scale {tag} multiplies by {', '.join(said[:3])}, {_ending(len(said) > 1)}")
    return found


def _drawn(header: Any) -> int:  # noqa: ANN401
    """Return how many overlays of a header hold a drawing."""
    groups = [(group, DRAWN) for group in OVERLAYS]
    return sum(tag in header and isinstance(header[tag].value, bytes) and any(header[tag].value) for tag in groups)


def _ending(several: bool) -> str:
    more = ", and differs between slices, so their brightness may, too" if several else ""
    return f"which is not used{more}"


def _mapped(path: Path, header: Any) -> tuple[str, tuple[_Line, ...], bool]:  # noqa: ANN401
    """Return what mappings say, their slopes and intercepts, and whether one of them is what is used."""
    with reading(path, KIND, wrong=f"{MAPPED} can't be read", advice="; export it again"):
        items = list(header.get(MAPPED) or ())
    used = tuple(number(path, header, f"Rescale{name}", usual) for name, usual in (("Slope", 1.0), ("Intercept", 0.0)))
    lines, name = list[_Line](), ""
    for item in items:
        label = in_one_line(text(path, item, "LUTLabel") or _unit(item) or "values")
        if not text(path, item, "RealWorldValueSlope"):
            return f"{label} by a table", (), False
        line = tuple(number(path, item, f"RealWorldValue{each}", 0.0) for each in ("Slope", "Intercept"))
        lines.append((line[0], line[1]))
        name = name or f"{label} of {line[0]:.4g} a stored number and {line[1]:.4g} more"
    return name, tuple(lines), any(np.allclose(line, used, rtol=NEAR) for line in lines)


def _unit(item: Any) -> str:  # noqa: ANN401
    with suppress(AttributeError, IndexError, TypeError):
        return str(item.MeasurementUnitsCodeSequence[0].CodeMeaning)
    return ""


def _philips(path: Path, header: Any) -> float | None:  # noqa: ANN401
    """Return by what the intensities that are used would be multiplied; None where Philips says nothing."""
    with suppress(AttributeError, IndexError, KeyError, TypeError, ValueError, ZeroDivisionError):
        if not text(path, header, "Manufacturer").lower().startswith("philips"):
            return None
        value = header[PHILIPS].value
        own = np.frombuffer(value, "<f4")[0] if isinstance(value, bytes) else value
        return 1 / (float(own) * (number(path, header, "RescaleSlope", 1.0) or 1.0))
    return None
