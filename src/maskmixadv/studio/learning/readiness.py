"""What a training would lack, seen before it begins, and how to mend it; and how long it would take."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from maskmixadv.corpus.case import whole_slices
from maskmixadv.errors import InputError, listed
from maskmixadv.files import read_json, read_text
from maskmixadv.runs.course import read_course
from maskmixadv.runs.schedule import OFFERED, PRESETS
from maskmixadv.strokes.enclosure import is_closed
from maskmixadv.studio.images.volumes import ByteVolume
from maskmixadv.studio.layout import Layout, latest
from maskmixadv.studio.learning.training import PHASE, PROCESS, Progress, further
from maskmixadv.types import IGNORE

PACE: Final = 2.5e5
"""Pixels that the default method learns from in a second on two cores of a processor."""
NAMED: Final = 5
"""How many slices a line names at most."""


@dataclass(frozen=True)
class Want:
    """Something that a training would lack, and how to mend it.

    Attributes
    ----------
    case, slice
        Where to begin; empty and None where it is nowhere in particular. Slices are counted as they are seen.
    """

    what: str
    mend: str
    case: str = ""
    slice: int | None = None


def wants(drawn: Iterable[tuple[str, ByteVolume]], classes: Sequence[str]) -> list[Want]:
    """Return what strokes lack.

    Parameters
    ----------
    drawn
        Each case with strokes: its name, and its strokes as they are seen, class indices or ``IGNORE``.
    classes
        Names of the classes, background first.

    Examples
    --------
    >>> strokes = np.full((1, 16, 16), IGNORE, np.uint8)
    >>> strokes[0, 4, 4:12] = 1
    >>> [want.what for want in wants([("heart", strokes)], ["background", "LV", "RV"])]
    ['No background is drawn.', 'RV has no stroke.']
    """
    pixels, opened, bare = np.zeros(256, np.int64), list[tuple[str, int]](), list[tuple[str, int]]()
    for case, strokes in drawn:
        for index in np.flatnonzero((strokes != IGNORE).any((1, 2)) & ~whole_slices(strokes)).tolist():
            plane = strokes[index]
            pixels += np.bincount(plane.ravel(), minlength=256)
            if not (plane == 0).any():
                bare.append((case, index))
            elif not is_closed(plane):
                opened.append((case, index))
        whole = strokes[whole_slices(strokes)]
        pixels += np.bincount(whole.ravel(), minlength=256)
    if not pixels[: len(classes)].any():
        return [
            Want(
                "No slice has strokes.",
                "Draw a stroke inside each structure of a slice, and a background loop round all.",
            )
        ]
    found = list[Want]()
    if not pixels[0]:
        found.append(Want("No background is drawn.", "Choose background (0) and draw a loop round all structures."))
    elif bare:
        found.append(_want(bare, "without background", "Draw a loop of background (0) round the structures."))
    found += [
        Want(
            f"{name} has no stroke.",
            f"Draw it where it is to be seen (key {code}), or remove it under Names and colours.",
        )
        for code, name in enumerate(classes)
        if code and not pixels[code]
    ]
    if opened:
        mend = "Close it round all structures; else no training knows that everything outside is background."
        found.append(_want(opened, "with an open background loop", mend))
    return found


def _want(places: list[tuple[str, int]], what: str, mend: str) -> Want:
    named = listed([f"{case} {index + 1}" for case, index in places], NAMED)
    count = "1 slice" if len(places) == 1 else f"{len(places)} slices"
    return Want(f"{count} {what}: {named}.", mend, *places[0])


@dataclass(frozen=True)
class Further:
    """How long a training goes on from another run if nothing else is said; `seconds` is None if that is not known."""

    steps: int
    seconds: float | None


def seconds(pace: float | None, beside: float = 0.0) -> dict[str, float]:
    """Return about how long each preset takes on this computer's processor, in seconds.

    Parameters
    ----------
    pace
        Pixels a second of an earlier run here (`pace`); None takes `PACE`.
    beside
        Seconds beside the steps (`beside`).

    Examples
    --------
    >>> times = seconds(None)
    >>> round(times["paper"] / 86_400, 1), round(times["cpu"] / 60, 1)
    (2.2, 3.7)
    """
    return {name: beside + _stepping(name, PRESETS[name].steps, pace) for name in OFFERED}


def further_of(pace: float | None, beside: float, *, known: bool) -> dict[str, Further]:
    """Return by preset how long a training goes on from another run; the time only if it is `known` of this device."""
    return {
        name: Further(further(name), beside + _stepping(name, further(name), pace) if known else None)
        for name in OFFERED
    }


def _stepping(preset: str, steps: int, pace: float | None) -> float:
    return steps * _pixels(PRESETS[preset].batch, PRESETS[preset].window) / (pace or PACE)


def beside(layout: Layout) -> float:
    """Return the seconds that the latest training here took beside its steps: to start, to read, to predict.

    0 if that is not known.
    """
    run = latest(layout.state)
    if run is None:
        return 0.0
    try:
        if read_text(layout.state / run / PHASE, most=100).strip() != "done":
            return 0.0
        spent = (layout.state / run / PHASE).stat().st_mtime - (layout.state / run / PROCESS).stat().st_mtime
        return max(0.0, spent - max(row.seconds for row in read_course(layout.runs / run / "log.csv")))
    except (InputError, OSError, ValueError):
        return 0.0


def pace(runs: Path) -> float | None:
    """Return the pixels a second from which the latest run on a processor learnt; None if that is not known."""
    found = runs.iterdir() if runs.is_dir() else ()
    for run in sorted(path for path in found if path.is_dir())[::-1]:
        rate = Progress.read(run).rate
        try:
            record = read_json(run / "run.json")
            if rate and "thread" in record["device"]:  # a processor's name ends with its threads
                return rate * _pixels(int(record["schedule"]["batch"]), int(record["schedule"]["window"]))
        except (InputError, ValueError, KeyError, TypeError, OverflowError):
            continue
    return None


def has_gpu() -> bool:
    """Whether this computer seems to have a GPU of NVIDIA; torch, which knows, would take seconds to import."""
    return any(Path(f"/dev/{name}").exists() for name in ("nvidia0", "nvidiactl", "dxg"))


def _pixels(batch: int, window: int) -> float:
    """Return the pixels that a step learns from."""
    return float(batch * window**2)
