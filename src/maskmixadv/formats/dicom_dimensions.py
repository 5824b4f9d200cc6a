"""What tells slices of one DICOM series apart beside their place: echoes, phases, diffusion weightings, stacks."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from maskmixadv.errors import InputError, counted, say
from maskmixadv.formats.dicom_frames import INDEX, SourceSlice
from maskmixadv.formats.dicom_header import KIND, text
from maskmixadv.formats.reading import SPLIT, reading

B_VALUE: Final = "DiffusionBValue"
DIRECTION: Final = "DiffusionGradientOrientation"
ONE: Final = ("StackID", "ComplexImageComponent")
"""Texts of which a volume has one."""
CONTRAST: Final = ("EffectiveEchoTime", "EchoTime", B_VALUE)
"""Numbers that make the contrast of an MR, of which a volume has one."""
NEAR: Final = 0.1
"""By which part of the largest one such numbers may differ: another field of view may need another echo time."""
TIMES: Final = ("TriggerTime", "NominalCardiacTriggerDelayTime", "InversionTime", "InversionTimes")
"""Times (ms) that may differ between slices of one volume, as each may have been acquired in its own breath-hold."""
FAR: Final = 50.0
"""Milliseconds by which `TIMES` differ where a line says so."""
LACKING: Final = 0.5
"""By how many steps one step in time may be longer at a place than it is at others, before something is missing."""
LATE: Final = 0.9
"""By how many steps one place's times may begin later than those at others."""
FEW: Final = 3
"""Steps of which a place's own median says how long one is."""
COUNTED: Final = ("CardiacNumberOfImages", "NumberOfTemporalPositions")
"""Numbers of volumes that a header says."""
WALL: Final = ("FrameReferenceDateTime", "FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime")
"""Times of a day, with its date where the header has one."""
CLOCKS: Final = ("FrameReferenceTime", "TemporalPositionTimeOffset", *WALL)
"""When slices were acquired. Each has a time of its own, so it tells them apart where nothing else does."""
MOVING: Final = (*TIMES, *CLOCKS)
"""What counts by its order at each place."""
PHASES: Final = ("NominalPercentageOfCardiacPhase", "NominalPercentageOfRespiratoryPhase")
KINDS: Final = (
    *("TemporalPositionIndex", "TemporalPositionIdentifier", "FrameType", "ImageType"),
    *(*PHASES, "FlipAngle", "KVP", "ConvolutionKernel"),
)
"""What a line tells of wherever it differs."""
DIMENSIONS: Final = (
    *(*ONE, *CONTRAST, DIRECTION, "VelocityEncodingDirection"),
    *("TemporalPositionIndex", "TemporalPositionIdentifier", *PHASES, *TIMES),
    *("FlipAngle", "KVP", "ConvolutionKernel", "FrameType", "ImageType", "EchoNumbers", "SequenceName"),
    *("AcquisitionNumber", "FrameAcquisitionNumber"),
)
"""What may differ between slices at one place, the likeliest first."""
COUNT: Final = "dimension"
"""Before the number and name of what a multi-frame file counts its frames by."""
DAY: Final = 24 * 60 * 60
CLOCK: Final = re.compile(r"(\d{8})? ?(\d{2}):?(\d{2}):?(\d{2}(?:\.\d*)?)(?:[+-]\d{4})?")
"""A date and time, or a time alone, as DICOM writes it."""
MOST: Final = 3
"""Dimensions that a line names at most."""
SHOWN: Final = 5
"""Values that a line names at most."""
AnySlice = TypeVar("AnySlice", bound=SourceSlice)
PRIVATE_B: Final = (
    (0x0019, "SIEMENS MR HEADER", (0x0C,)),
    (0x2001, "Philips Imaging DD 001", (0x03,)),
    (0x0043, "GEMS_PARM_01", (0x39,)),
)
"""Where makers store a b-value: group, private creator and elements."""
PRIVATE_DIRECTION: Final = (
    (0x0019, "SIEMENS MR HEADER", (0x0E,)),
    (0x2005, "Philips MR Imaging DD 001", (0xB0, 0xB1, 0xB2)),
    (0x0019, "GEMS_ACQU_01", (0xBB, 0xBC, 0xBD)),
)
"""Where makers store the direction of a diffusion gradient: group, private creator and elements."""
GE_FLAG: Final = 100_000
"""GE adds multiples of it to the b-value."""


def must_be_one(slices: Sequence[SourceSlice]) -> None:
    """Check that slices have one contrast and are of one stack, also where each has a place of its own.

    Parameters
    ----------
    slices
        All slices of a volume.

    Raises
    ------
    InputError
        If echo times or b-values differ by more than a tenth, or stacks or components of complex numbers differ.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> slices = []
    >>> for number, echo in enumerate((10, 20, 10)):
    ...     header = Dataset()
    ...     header.EchoTime = echo
    ...     slices.append(SourceSlice(Path(f"s/{number}"), header, Path(f"s/{number}"), 0))
    >>> must_be_one(slices)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: s: EchoTime is 10, 20 in its slices, allowed is one in a volume; split the series, ...
    """
    for name in (*ONE, *CONTRAST):
        found = _values(slices, name)
        if len(found) > 1 and (name in ONE or not _near(found)):
            said = f"{name} is {_shown(found)} in its slices, allowed is one in a volume"
            raise InputError(f"{where(slices)}: {said}; {_apart(slices, 'split the series')}")


def tell(place: Path, slices: Sequence[SourceSlice]) -> None:
    """Print a line on stderr for each thing that differs between slices which are taken for one volume all the same.

    Parameters
    ----------
    place
        Their folder or file, for the line's beginning.
    slices
        All slices of a volume, which `must_be_one` has let through.

    Examples
    --------
    >>> tell(Path("series"), [])  # nothing to tell
    """
    for name in (*CONTRAST, *TIMES, *KINDS):
        found = _values(slices, name)
        if len(found) > 1 and (name not in TIMES or _spread(found) > FAR):
            say(f"{place}: {name} is {_shown(found)} in its slices; they are taken for one volume")


def double(one: SourceSlice, other: SourceSlice, places: Sequence[Sequence[SourceSlice]]) -> str:
    """Return the line on two slices at one place, which names what tells them apart.

    Parameters
    ----------
    one, other
        The two.
    places
        All slices, those at one place together.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> late, early = Dataset(), Dataset()
    >>> late.TriggerTime, early.TriggerTime = 300, 0
    >>> pair = [SourceSlice(Path(n), h, Path(n), 0) for n, h in (("a", late), ("b", early))]
    >>> double(*pair, [pair])
    "a: lies where b does; TriggerTime is 0, 300; sort phases or echoes apart, as 'maskmixadv split' does"
    """
    found = [_differs(places, name) for name in DIMENSIONS if _varies(places, name)][:MOST]
    clocks = [name for name in CLOCKS if _varies(places, name)][:1]
    said = ", ".join(found) or _counted_by(places) or "".join(_differs(places, name) for name in clocks)
    advice = _apart([one, other], "sort phases or echoes apart")
    return f"{one.path}: lies where {other.path} does; {said}{'; ' if said else ''}{advice}"


def parted(places: Sequence[Sequence[AnySlice]]) -> tuple[list[str], list[list[AnySlice]]]:
    """Part slices of which several lie at each place into volumes, in the order of what tells them apart.

    Parameters
    ----------
    places
        All slices, those at one place together.

    Returns
    -------
    What tells each volume apart, as ``TriggerTime 33``, and its slices in the order of their places. Times count by
    their order at each place, as each slice may have its own; other numbers and texts are the same at all places.

    Raises
    ------
    InputError
        If one place has more slices than another, or others, or nothing tells them apart.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> late, early = Dataset(), Dataset()
    >>> late.TriggerTime, early.TriggerTime = 300, 0
    >>> pair = [SourceSlice(Path(n), h, Path(n), 0) for n, h in (("a", late), ("b", early))]
    >>> names, volumes = parted([pair])
    >>> names, [[each.path.name for each in volume] for volume in volumes]
    (['TriggerTime 0', 'TriggerTime 300'], [['b'], ['a']])
    """
    first, counts = places[0][0], [len(place) for place in places]
    if len(set(counts)) > 1:
        few, many = (places[counts.index(count)] for count in (min(counts), max(counts)))
        said = f"{counted(len(few), 'slice')} at its place, but {len(many)} at that of {many[0].path}"
        raise InputError(f"{few[0].path}: {said}, allowed is the same number at each; add what is missing")
    by = _telling(places)
    if not by:
        _must_be_even(places)
        said = "nothing in the headers tells them apart"
        raise InputError(f"{first.path}: {counts[0]} slices lie at its place, and {said}; export the series again")
    rows = [sorted(place, key=lambda each: _key(each, by)) for place in places]
    _must_be_the_same(rows, by)
    _tell_of_fewer(first, counts[0])
    said = [" ".join(_said(each, name) for name in by) for each in rows[0]]
    return said, [list(volume) for volume in zip(*rows, strict=True)]


def _telling(places: Sequence[Sequence[SourceSlice]]) -> list[str]:
    """Return names whose values tell slices at one place apart; nothing if there are none.

    What a multi-frame file counts its frames by, and when slices were acquired, is asked where the rest does not do.
    """
    counts = tuple(f"{COUNT} {at} ({name})" for at, name in enumerate(_counting(places[0][0]), 1))
    return next(filter(None, (_enough(places, (*DIMENSIONS, *more)) for more in ((), counts, (*counts, *CLOCKS)))), [])


def _enough(places: Sequence[Sequence[SourceSlice]], names: Sequence[str]) -> list[str]:
    """Return those of the names that tell slices at one place apart, times last; nothing if they don't do.

    A name counts if it tells more slices apart than those before it, and, but for times, has the same values
    as often everywhere.
    """
    by: list[str] = []
    told = 1
    for name in sorted(names, key=lambda name: name in MOVING):
        everywhere = name in MOVING or all(_counts(each, name) == _counts(places[0], name) for each in places)
        if not everywhere or not _varies(places, name):
            continue
        more = min(len({_key(each, [*by, name]) for each in place}) for place in places)
        if more > told:
            by, told = [*by, name], more
        if told == len(places[0]):
            return by
    return []


def _must_be_even(places: Sequence[Sequence[SourceSlice]]) -> None:
    """Refuse values that one place has more often than another, of which some are missing here and some there."""
    for name in (name for name in DIMENSIONS if name not in MOVING and _varies(places, name)):
        counts = [_counts(each, name) for each in places]
        for place, count in zip(places, counts, strict=True):
            value = next((each for each in counts[0] if count[each] != counts[0][each]), None)
            if value is not None and set(count) == set(counts[0]):
                said = f"{counted(count[value], 'slice')} at its place with {name} {value}"
                more = f"{counts[0][value]} at that of {places[0][0].path}"
                raise InputError(f"{place[0].path}: {said}, but {more}; add what is missing")


def _must_be_the_same(rows: Sequence[Sequence[SourceSlice]], by: Sequence[str]) -> None:
    """Refuse rows, each the slices at a place in their order, whose slices of one number are no volume."""
    fixed, times = ([name for name in by if (name in MOVING) == moving] for moving in (False, True))
    for row in rows:
        for one, other in zip(row, rows[0], strict=True):
            here, there = (" ".join(f"{name} {_value(each, name)}" for name in fixed) for each in (one, other))
            lacking = [name for name in times if bool(_value(one, name)) != bool(_value(other, name))]
            if here != there:
                said = f"is the slice at its place that follows by its {', '.join(fixed)}: {here}"
                raise InputError(f"{one.path}: {said}, but {there} does in {other.path}; add what is missing")
            if lacking:
                said, had = (one, other) if not _value(one, lacking[0]) else (other, one)
                raise InputError(f"{said.path}: lacks {lacking[0]}, which {had.path} has; export the series again")
    kinds = [tuple(_value(each, name) for name in fixed) for each in rows[0]]
    for kind in dict.fromkeys(kinds):
        within = [at for at, each in enumerate(kinds) if each == kind]
        for name in times:
            _must_be_at_steps([[row[at] for at in within] for row in rows], name)


def _must_be_at_steps(rows: Sequence[Sequence[SourceSlice]], name: str) -> None:
    """Refuse times that skip one at a place and not at others, or begin one later: something else is missing there.

    Steps are told by their number at each place, as each breath-hold has another rate of the heart.
    """
    found = [[_number(_value(each, name), name) for each in row] for row in rows]
    found = [[each for each in row if math.isfinite(each)] for row in found]
    if len({len(each) for each in found}) > 1 or len(found[0]) != len(rows[0]) or len(found[0]) < 2:
        return
    times = np.array(found)
    steps = np.diff(times)
    own = np.median(steps, axis=1, keepdims=True)
    unit = own if steps.shape[1] >= FEW else np.full_like(own, np.median(steps))
    if unit.min() <= 0:
        return
    relative = steps / unit
    usual = np.median(relative, axis=0)
    place, at = divmod(int(np.argmax(relative - usual)), relative.shape[1])
    if relative[place, at] - relative[:, at].min() >= LACKING:
        other = int(np.argmin(relative[:, at]))
        here, there = (
            f"from {_value(row[at], name)} to {_value(row[at + 1], name)}" for row in (rows[place], rows[other])
        )
        said, there = f"{name} goes {here} after it", f"{there} at that of {rows[other][at].path}"
        raise InputError(f"{rows[place][at].path}: {said}, but {there}; add what is missing, or sort phases apart")
    if name in CLOCKS:  # one place may have been acquired after another
        return
    late, early = int(times[:, 0].argmax()), int(times[:, 0].argmin())
    if times[late, 0] - times[early, 0] >= LATE * float(np.median(steps)):
        said = f"{name} begins with {times[late, 0]:g} at its place"
        there = f"{times[early, 0]:g} at that of {rows[early][0].path}"
        raise InputError(f"{rows[late][0].path}: {said}, but with {there}; add what is missing, or sort phases apart")


def _tell_of_fewer(first: SourceSlice, count: int) -> None:
    """Say where a header counts more volumes than there are."""
    for name in COUNTED:
        with suppress(ValueError):
            if (told := int(text(first.path, first.header, name))) > 0 and count % told:
                say(f"{first.path}: {name} is {told}, but {count} slices lie at each place; look whether some lack")
                return


def _key(one: SourceSlice, by: Sequence[str]) -> tuple[tuple[float, tuple[tuple[float, str], ...], str], ...]:
    """Return what slices at one place are sorted by: numbers in their order, then texts, with numbers in them."""
    values = [(_value(one, name), name) for name in by]
    return tuple((_number(value, name), _pieces(value), value) for value, name in values)


def _pieces(value: str) -> tuple[tuple[float, str], ...]:
    """Return a text in pieces, whose numbers count as such: ``ep_b800#2`` is before ``ep_b800#10``."""
    pieces = re.split(r"([0-9]+(?:\.[0-9]+)?)", value)
    return tuple((float(each), "") if at % 2 else (math.inf, each) for at, each in enumerate(pieces))


def _number(value: str, name: str) -> float:
    """Return a number, of a date and time its seconds; infinity where it is neither."""
    with suppress(ValueError):
        clock = CLOCK.fullmatch(value) if name in WALL else None
        if clock is None:
            return float(value)
        days = date.fromisoformat(clock[1]).toordinal() if clock[1] else 0
        return days * DAY + int(clock[2]) * 3600 + int(clock[3]) * 60 + float(clock[4])
    return math.inf


def where(slices: Sequence[SourceSlice]) -> Path:
    """Return where slices lie: in a multi-frame file, or the first one's folder.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> where([SourceSlice(Path("a/1.dcm"), Dataset(), Path("a/1.dcm"), 0)])
    PosixPath('a')
    """
    first = slices[0]
    alone = first.frame and all(each.file == first.file for each in slices)
    return first.file if alone else first.file.parent


def _apart(slices: Sequence[SourceSlice], otherwise: str) -> str:
    advice = "export each volume apart, or convert them to NIfTI" if slices[0].frame else otherwise
    return f"{advice}, as {SPLIT} does"


def _all(places: Sequence[Sequence[SourceSlice]]) -> list[SourceSlice]:
    return [each for place in places for each in place]


def _differs(places: Sequence[Sequence[SourceSlice]], name: str) -> str:
    return f"{name} is {_shown(_values(_all(places), name))}"


def _varies(places: Sequence[Sequence[SourceSlice]], name: str) -> bool:
    return any(len(_values(place, name)) > 1 for place in places)


def _said(one: SourceSlice, name: str) -> str:
    value = _value(one, name)
    return f"{name} {value}" if value else f"no {name}"


def _counts(slices: Sequence[SourceSlice], name: str) -> Counter[str]:
    return Counter(_value(each, name) for each in slices)


def _values(slices: Sequence[SourceSlice], name: str) -> list[str]:
    """Return what slices say under a name, each value once; numbers in their order."""
    found = {_value(each, name) for each in slices} - {""}
    try:
        return sorted(found, key=float)
    except ValueError:
        return sorted(found)


def _value(one: SourceSlice, name: str) -> str:
    if name.startswith(COUNT):
        found = _index(one, int(name.split()[1]) - 1)
        return "" if found is None else str(found)
    said = text(one.path, one.header, name)
    if said and name in WALL:
        day = text(one.path, one.header, "AcquisitionDate") if name == "AcquisitionTime" else ""
        return f"{day} {said}".strip()
    if said or name not in {B_VALUE, DIRECTION}:
        with suppress(ValueError):
            return f"{float(said):.10g}"  # one number, however it is spelled
        return said
    for group, creator, elements in PRIVATE_B if name == B_VALUE else PRIVATE_DIRECTION:
        # A header that was changed by others may hold anything here; then nothing is known of its diffusion.
        with suppress(KeyError, TypeError, ValueError, IndexError):
            block = one.header.private_block(group, creator)
            found = [_floats(block[element].value) for element in elements]
            if name == B_VALUE:
                return f"{found[0][0] % GE_FLAG:g}"
            return str([round(each, 6) for values in found for each in values])
    return ""


def _floats(value: Any) -> list[float]:  # noqa: ANN401
    return [float(each) for each in ([value] if isinstance(value, int | float | str) else value)]


def _numbers(values: Sequence[str]) -> list[float]:
    found = list[float]()
    for value in values:
        with suppress(ValueError):
            found.append(float(value))
    return found


def _spread(values: Sequence[str]) -> float:
    found = _numbers(values)
    return max(found) - min(found) if found else 0.0


def _near(values: Sequence[str]) -> bool:
    return _spread(values) <= NEAR * max(map(abs, _numbers(values)), default=0.0)


def _shown(values: Sequence[str]) -> str:
    return ", ".join(values[:SHOWN]) + (f" and {len(values) - SHOWN} more" if len(values) > SHOWN else "")


def _counted_by(places: Sequence[Sequence[SourceSlice]]) -> str:
    """Return what the file itself counts the frames at one place by; empty if it does not say."""
    for at, label in enumerate(_counting(places[0][0])):
        found = {_index(each, at) for each in _all(places)}
        if any(len({_index(each, at) for each in place}) > 1 for place in places):
            return f"{label} counts {_shown([str(each) for each in sorted(found, key=lambda each: each or 0)])}"
    return ""


def _counting(one: SourceSlice) -> list[str]:
    """Return the names of what a multi-frame file counts its frames by, in their order."""
    from pydicom.datadict import keyword_for_tag

    found = list[str]()
    with reading(one.path, KIND):
        for item in one.header.get(INDEX) or ():
            pointer = item.get("DimensionIndexPointer")
            name = str(item.get("DimensionDescriptionLabel") or keyword_for_tag(pointer) or pointer)
            found.append(" ".join(name.split()))
    return found


def _index(one: SourceSlice, at: int) -> int | None:
    indices = one.header.get("DimensionIndexValues") or ()
    indices = [indices] if isinstance(indices, int) else indices
    return int(indices[at]) if at < len(indices) else None
