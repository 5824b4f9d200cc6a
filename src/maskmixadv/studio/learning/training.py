"""Trainings. Each is a process of its own that is watched by its files, so that a later server finds it again."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal

from maskmixadv.errors import InputError
from maskmixadv.files import cannot_write, make_directory, read_json, read_text, write_text
from maskmixadv.methods.registry import FROM_SCRIBBLES
from maskmixadv.processes import last_line, read_reason
from maskmixadv.runs import schedule
from maskmixadv.runs.course import Logged, read_course
from maskmixadv.runs.odds import Odds
from maskmixadv.studio.layout import Layout, latest
from maskmixadv.studio.learning.preview import Look, Preview, ask
from maskmixadv.studio.learning.process import Process
from maskmixadv.studio.refusals import RequestError, TakenError

AUTO: Final = "auto"
"""Stands for the default preset of the device, as on the command line."""
PRESET_CHOICES: Final = (AUTO, *reversed(schedule.OFFERED))
"""The presets that the page offers: the default first, then the shortest first."""
MOST_STEPS: Final = 1_000_000
FURTHER: Final = 10
"""A training that goes on from another run takes a preset's steps over this, if nothing else is said."""
ORDER, PROCESS, PHASE, STOP, OUTPUT = "order.json", "process.json", "phase", "stop", "output.txt"
LEFT_OUT: Final = "left-out.json"
LEARNT: Final = "learnt.json"
REASON: Final = "reason"
"""Names of a training's files in the studio's notes."""
START_SECONDS: Final = 30.0
"""How long to wait for a new process to write its number."""
RECENT: Final = 10
"""How many rows of the log the speed is measured over."""

State = Literal["idle", "running", "predicting", "done", "stopped", "failed"]


def further(preset: str) -> int:
    """Return the steps of a training that goes on from another run, with the name of a preset."""
    return schedule.PRESETS[preset].steps // FURTHER


@dataclass(frozen=True)
class Order:
    """What is to be trained; `steps` are the preset's if None, and those of `further` where another run goes on.

    `goes_on` says whether to begin with the network of the latest run with predictions, where that fits.
    """

    preset: str
    method: str
    steps: int | None = None
    goes_on: bool = False

    def check(self) -> None:
        """Refuse an order that can't be trained.

        Raises
        ------
        RequestError
            If preset, method or steps are not allowed.
        """
        if self.preset not in PRESET_CHOICES:
            raise RequestError(f"preset: {self.preset!r:.50}, allowed are {', '.join(PRESET_CHOICES)}")
        if self.method not in FROM_SCRIBBLES:
            raise RequestError(f"method: {self.method!r:.50}, allowed are {', '.join(FROM_SCRIBBLES)}")
        if self.steps is not None and not 1 <= self.steps <= MOST_STEPS:
            raise RequestError(f"steps: {self.steps}, allowed are 1 to {MOST_STEPS}")


@dataclass(frozen=True)
class LearntSlices:
    """The slices that a training learns from.

    Attributes
    ----------
    scribbled
        Number of slices with strokes that are not dense.
    accepted
        Accepted slices by case, each with the run whose prediction was accepted.
    corrected
        Slices by case of which a person painted the mask.
    """

    scribbled: int
    accepted: Mapping[str, Mapping[int, str]]
    corrected: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "LearntSlices | None":
        """Read a file that `write` wrote; None if it is missing or malformed."""
        try:
            raw = read_json(path)
            accepted = {
                str(case): {int(index): str(run) for index, run in runs.items()}
                for case, runs in raw["accepted"].items()
            }
            painted = raw.get("corrected", {}).items()  # records of earlier versions have none
            corrected = {str(case): [int(index) for index in slices] for case, slices in painted}
            return cls(int(raw["scribbled"]), accepted, corrected)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return None

    def write(self, path: Path) -> None:
        """Write the record to a file, for `read`."""
        write_text(path, json.dumps(asdict(self), indent=1))


@dataclass(frozen=True)
class Course:
    """State and progress of a training.

    Attributes
    ----------
    rate
        Steps a second; None unless it runs.
    remaining
        Seconds until the last step; None unless it runs.
    losses, validation
        Pairs (step, value), oldest first.
    error
        Why it failed; None if it did not fail.
    left_out
        A line for each file or accepted slice that was left out.
    learnt
        What it learns from; None before that is known, and of runs of earlier versions.
    start
        Name of the run whose network it began with; None: it began anew, or that is not known yet.
    odds
        The odds of classes that masks of cases that validate have given, and what these gain; None: there are none, or
        it has not ended.
    """

    state: State
    run: str | None = None
    step: int = 0
    steps: int | None = None
    rate: float | None = None
    remaining: float | None = None
    losses: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    error: str | None = None
    left_out: list[str] = field(default_factory=list)
    learnt: LearntSlices | None = None
    start: str | None = None
    odds: str | None = None


class Training:
    """Trainings of a folder; one at a time runs.

    Parameters
    ----------
    layout
        Of the folder.
    named
        Returns the names of runs that are noted of cases: no other run may get them.
    """

    def __init__(self, layout: Layout, named: Callable[[], Iterable[str]] = tuple) -> None:
        self._layout, self._named, self._lock = layout, named, Lock()
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, order: Order) -> None:
        """Start a training. Its run gets the next number.

        Raises
        ------
        RequestError
            If a training runs already, or the order can't be trained.
        """
        order.check()
        with self._lock:
            if self._running():
                raise TakenError("a training runs already; stop it, or wait for it")
            run = self._layout.next_run(self._named())
            notes = self._layout.state / run
            make_directory(notes)
            write_text(notes / ORDER, json.dumps(asdict(order)))
            child = self._start_process(run, notes / OUTPUT)
            self._children[run] = child
            deadline = time.monotonic() + START_SECONDS
            while child.poll() is None and not (notes / PROCESS).exists() and time.monotonic() < deadline:
                time.sleep(0.02)

    def _start_process(self, run: str, output: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "maskmixadv.studio.learning.job", str(self._layout.root), run]
        try:
            with output.open("xb") as file:
                return subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
                )
        except OSError as error:
            raise cannot_write(output, error) from None

    def stop(self) -> None:
        """Ask the running training to stop: it saves and then predicts. Asked again, it ends at once.

        Raises
        ------
        TakenError
            If no training runs.
        """
        notes = self._running()
        if notes is None:
            raise TakenError("no training runs")
        process = Process.read(notes / PROCESS)
        try:
            write_text(notes / STOP, "asked to stop\n")
        finally:  # even if the disk is full
            if process is not None:
                process.terminate()
            elif (child := self._children.get(notes.name)) is not None:
                child.terminate()

    def course(self) -> Course:
        """Return the state and progress of the latest training."""
        notes = self._latest()
        if notes is None:
            return Course("idle")
        state = self._state(notes)
        progress = Progress.read(self._layout.runs / notes.name)
        running = state == "running"
        return Course(
            state,
            run=notes.name,
            step=progress.step,
            steps=progress.steps,
            rate=progress.rate if running else None,
            remaining=progress.remaining if running else None,
            losses=progress.losses,
            validation=progress.validation,
            error=failure(notes) if state == "failed" else None,
            left_out=left_out(notes / LEFT_OUT),
            learnt=LearntSlices.read(notes / LEARNT),
            start=progress.start,
            odds=progress.odds,
        )

    def preview(self, look: Look) -> Preview | None:
        """Return what the network of the running training says of a slice, or None while that is not known.

        From then on the training looks at this slice every few seconds.
        """
        notes = self._latest()
        return ask(notes, look) if notes and self._state(notes) == "running" else None

    def running(self) -> str | None:
        """Return the name of the run that trains or predicts, or None."""
        notes = self._running()
        return None if notes is None else notes.name

    def _running(self) -> Path | None:
        notes = self._latest()
        return notes if notes and self._state(notes) in ("running", "predicting") else None

    def _latest(self) -> Path | None:
        run = latest(self._layout.state)
        return self._layout.state / run if run else None

    def _state(self, notes: Path) -> State:
        for run, child in list(self._children.items()):
            if child.poll() is not None:  # poll() reaps those that ended
                self._children.pop(run, None)
        process = Process.read(notes / PROCESS)
        # Before the phase, which a process writes before it ends. One that is slow to begin has said no number yet.
        alive = notes.name in self._children if process is None else process.alive
        phase = _phase(notes)
        if alive or phase in ("done", "stopped", "failed"):
            return phase
        return "stopped" if (notes / STOP).exists() else "failed"


@dataclass(frozen=True)
class Progress:
    """What the files of a run say of its progress; rate, losses, validation, start and odds as in `Course`."""

    step: int = 0
    steps: int | None = None
    rate: float | None = None
    losses: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    start: str | None = None
    odds: str | None = None

    @classmethod
    def read(cls, run: Path) -> "Progress":
        """Read ``run.json``, ``log.csv`` and ``odds.json`` in directory `run`, as far as they exist."""
        try:
            record = read_json(run / "run.json")
            steps, start = int(record["schedule"]["steps"]), record.get("start")
            begun_with = Path(start["root"]).name if start else None
        except (InputError, ValueError, KeyError, TypeError, OverflowError):
            return cls()
        rows = _rows(run / "log.csv")
        losses = [(row.step, total) for row in rows if (total := _total(row)) is not None]
        validation = [(row.step, row.values["val/dice"]) for row in rows if "val/dice" in row.values]
        step = max((row.step for row in rows), default=0)
        return cls(step, steps, _rate(rows), losses, validation, begun_with, _gained(run, record))

    @property
    def remaining(self) -> float | None:
        """Seconds until the last step; None if the speed is not known yet."""
        return (self.steps - self.step) / self.rate if self.steps and self.rate else None


def _gained(run: Path, record: Mapping[str, Any]) -> str | None:
    try:
        odds = Odds.of_run(run, tuple(record["corpus"]["classes"]))
    except (InputError, KeyError, TypeError):
        return None
    return f"{odds}; Dice of each {odds.before:.3f}, with odds by the others {odds.after:.3f}" if odds.used else None


def failure(notes: Path) -> str:
    """Return why a training failed, in one line: the reason that its process wrote, or the last line that it printed.

    A process that was killed wrote no reason.
    """
    reason, output = read_reason(notes / REASON), notes / OUTPUT
    if reason is not None:
        return reason
    last = last_line(output)
    told = f"the last line of {output}: {last}" if last else f"it printed nothing to {output}"
    return f"it ended without giving a reason (killed, or out of memory); {told}"


def _phase(notes: Path) -> State:
    try:
        said = read_text(notes / PHASE, most=100).strip()
    except InputError:
        return "running"
    return said if said in ("predicting", "done", "stopped", "failed") else "running"


def left_out(path: Path) -> list[str]:
    """Return the lines of a file of what was left out; none if it is missing or malformed."""
    try:
        return [str(line) for line in read_json(path)]
    except (InputError, TypeError):
        return []


def _rows(path: Path) -> list[Logged]:
    """Read the rows of a log that may still be written; leaves out incomplete rows and values that are not finite."""
    try:
        rows = read_course(path, partial=True)
    except InputError:
        return []
    drawable = [{name: value for name, value in row.values.items() if math.isfinite(value)} for row in rows]
    return [replace(row, values=values) for row, values in zip(rows, drawable, strict=True)]


def _total(row: Logged) -> float | None:
    """Return the sum of the network's losses, which training minimises; None if the row has none."""
    terms = [value for name, value in row.values.items() if name.startswith("net/")]
    return sum(terms) if terms else None


def _rate(rows: Sequence[Logged]) -> float | None:
    """Return the steps a second over the last rows; None if that is not known yet."""
    timed = [(row.step, row.seconds) for row in rows if math.isfinite(row.seconds)][-RECENT:]
    if not timed:
        return None
    (first, begun), (last, now) = (timed[0] if len(timed) > 1 else (0, 0.0)), timed[-1]
    return (last - first) / (now - begun) if now > begun and last > first else None
