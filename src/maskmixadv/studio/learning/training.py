"""Trainings: each a process of its own, followed by its files, so that a server that starts later finds it again."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Final, Literal

from maskmixadv.errors import InputError
from maskmixadv.files import cannot_write, make_directory, read_json, read_text, write_text
from maskmixadv.methods.registry import FROM_SCRIBBLES
from maskmixadv.runs import schedule
from maskmixadv.runs.course import Logged, read_course
from maskmixadv.studio.layout import Layout, latest
from maskmixadv.studio.learning.process import Process
from maskmixadv.studio.refusals import RequestError, TakenError

AUTO: Final = "auto"
"""Instead of a preset's name: the one that the device deserves, as on the command line where none is named."""
OFFERED: Final = (AUTO, *reversed(schedule.OFFERED))
"""What the page offers as presets: what it takes where nobody chooses, then the shortest first."""
MOST_STEPS: Final = 1_000_000
ORDER, PROCESS, PHASE, STOP, OUTPUT = "order.json", "process.json", "phase", "stop", "output.txt"
LEFT_OUT: Final = "left-out.json"
"""Files of a training in the studio's notes."""
PATIENCE: Final = 30.0
"""Seconds in which a process has told its number."""
MOST_SAID: Final = 2**20
"""Bytes at the end of what a training said in which its complaint is looked for."""
RECENT: Final = 10
"""Rows of the log over which speed is measured."""

State = Literal["idle", "running", "predicting", "done", "stopped", "failed"]


@dataclass(frozen=True)
class Order:
    """What is to be trained; None: the preset's steps."""

    preset: str
    method: str
    steps: int | None = None

    def check(self) -> None:
        """Refuse what can't be trained.

        Raises
        ------
        RequestError
            Where preset, method or steps are not allowed.
        """
        if self.preset not in OFFERED:
            raise RequestError(f"preset: {self.preset!r:.50}, allowed are {', '.join(OFFERED)}")
        if self.method not in FROM_SCRIBBLES:
            raise RequestError(f"method: {self.method!r:.50}, allowed are {', '.join(FROM_SCRIBBLES)}")
        if self.steps is not None and not 1 <= self.steps <= MOST_STEPS:
            raise RequestError(f"steps: {self.steps}, allowed are 1 to {MOST_STEPS}")


@dataclass(frozen=True)
class Course:
    """How a training goes.

    Attributes
    ----------
    rate
        Steps a second.
    remaining
        Seconds until the last step.
    losses, validation
        (step, value), oldest first.
    error
        Why it failed.
    left_out
        A line for each file that it did not learn from, as something is wrong with it.
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


class Training:
    """The folder's trainings, of which one at a time runs."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._lock = layout, Lock()
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, order: Order) -> None:
        """Start a training, whose run gets the next number.

        Raises
        ------
        RequestError
            Where one runs already, or the order can't be.
        """
        order.check()
        with self._lock:
            if self._running():
                raise TakenError("a training runs already; stop it, or wait for it")
            run = self._layout.next_run()
            notes = self._layout.state / run
            make_directory(notes)
            write_text(notes / ORDER, json.dumps(asdict(order)))
            child = self._begun(run, notes / OUTPUT)
            self._children.append(child)
            deadline = time.monotonic() + PATIENCE
            while child.poll() is None and not (notes / PROCESS).exists() and time.monotonic() < deadline:
                time.sleep(0.02)

    def _begun(self, run: str, said: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "maskmixadv.studio.learning.job", str(self._layout.root), run]
        try:
            with said.open("xb") as output:
                return subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
        except OSError as error:
            raise cannot_write(said, error) from None

    def stop(self) -> None:
        """Ask the training that runs to stop: it saves, then predicts; asked again, it ends at once.

        Raises
        ------
        TakenError
            Where none runs.
        """
        notes = self._running()
        if notes is None:
            raise TakenError("no training runs")
        process = Process.read(notes / PROCESS)
        try:
            write_text(notes / STOP, "asked to stop\n")
        finally:  # also where the disk is full
            if process is not None:
                process.terminate()

    def course(self) -> Course:
        """How the latest training goes, or went."""
        notes = self._latest()
        if notes is None:
            return Course("idle")
        state = self._state(notes)
        log = Log.read(self._layout.runs / notes.name)
        going = state == "running" and log.rate
        return Course(
            state,
            run=notes.name,
            step=log.step,
            steps=log.steps,
            rate=log.rate if state == "running" else None,
            remaining=(log.steps - log.step) / log.rate if going and log.steps and log.rate else None,
            losses=log.losses,
            validation=log.validation,
            error=complaint(notes / OUTPUT) if state == "failed" else None,
            left_out=_left_out(notes / LEFT_OUT),
        )

    def _running(self) -> Path | None:
        notes = self._latest()
        return notes if notes and self._state(notes) in ("running", "predicting") else None

    def _latest(self) -> Path | None:
        run = latest(self._layout.state)
        return self._layout.state / run if run else None

    def _state(self, notes: Path) -> State:
        self._children = [child for child in self._children if child.poll() is None]  # else they stay as zombies
        process = Process.read(notes / PROCESS)
        alive = process is not None and process.alive  # looked at first: what ends meanwhile has told its phase
        phase = _phase(notes)
        if alive or phase in ("done", "stopped", "failed"):
            return phase
        return "stopped" if (notes / STOP).exists() else "failed"


@dataclass(frozen=True)
class Log:
    """What a run's own files say of its course."""

    step: int = 0
    steps: int | None = None
    rate: float | None = None
    losses: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def read(cls, run: Path) -> "Log":
        """Read ``run.json`` and ``log.csv`` of directory `run`, as far as they are there."""
        try:
            steps = int(read_json(run / "run.json")["schedule"]["steps"])
        except (InputError, ValueError, KeyError, TypeError, OverflowError):
            return cls()
        rows = _rows(run / "log.csv")
        losses = [(row.step, total) for row in rows if (total := _total(row)) is not None]
        validation = [(row.step, row.values["val/dice"]) for row in rows if "val/dice" in row.values]
        step = max((row.step for row in rows), default=0)
        return cls(step, steps, _rate(rows), losses, validation)


def complaint(output: Path) -> str:
    """What a process that failed said last: the command line's own line, or a traceback's last one."""
    try:
        with output.open("rb") as file:
            file.seek(-min(MOST_SAID, output.stat().st_size), os.SEEK_END)
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    said = next((line for line in reversed(lines) if line.startswith("maskmixadv: ")), None)
    if said is not None:
        return said.removeprefix("maskmixadv: ")
    if any(line.startswith("Traceback") for line in lines):
        return lines[-1]
    return f"it ended without a word (killed, or out of memory); what it said before: {output}"


def _phase(notes: Path) -> State:
    try:
        said = read_text(notes / PHASE, most=100).strip()
    except InputError:
        return "running"
    return said if said in ("predicting", "done", "stopped", "failed") else "running"


def _left_out(path: Path) -> list[str]:
    try:
        return [str(line) for line in read_json(path)]
    except (InputError, TypeError):
        return []


def _rows(path: Path) -> list[Logged]:
    """Rows of a log that is still being written: what is half there, or no number that can be drawn, is not taken."""
    try:
        rows = read_course(path, partial=True)
    except InputError:
        return []
    drawable = [{name: value for name, value in row.values.items() if math.isfinite(value)} for row in rows]
    return [replace(row, values=values) for row, values in zip(rows, drawable, strict=True)]


def _total(row: Logged) -> float | None:
    """Sum of the network's losses, which is what it minimises; None in a row of another kind."""
    terms = [value for name, value in row.values.items() if name.startswith("net/")]
    return sum(terms) if terms else None


def _rate(rows: Sequence[Logged]) -> float | None:
    """Steps a second lately."""
    timed = [(row.step, row.seconds) for row in rows if math.isfinite(row.seconds)][-RECENT:]
    if not timed:
        return None
    (first, begun), (last, now) = (timed[0] if len(timed) > 1 else (0, 0.0)), timed[-1]
    return (last - first) / (now - begun) if now > begun and last > first else None
