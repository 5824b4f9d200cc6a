"""A run that is trained beside others in one process, on a CUDA stream of its own."""

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor

from maskmixadv.errors import DivergedError
from maskmixadv.files import write_text
from maskmixadv.runs.checkpoint import Checkpoint, LogState, save
from maskmixadv.runs.course import Logged, course_text, read_course
from maskmixadv.runs.run import Run
from maskmixadv.sampling.slices import PriorMasks, Slices
from maskmixadv.training.engine import Engine, RecordingError
from maskmixadv.training.loop import Loop

LOG_STEPS: Final = 100
"""Steps between rows of ``log.csv``."""
AHEAD: Final = 2
"""Steps of a run that may be under way on the device."""
PACE_SECONDS: Final = 8.0
"""Over so many last seconds a run's pace is measured."""


class _Event(Protocol):
    """Something that a device will have done."""

    def query(self) -> bool:
        """Whether it has."""
        ...


class Place:
    """Where a run computes: one run after another has it for itself.

    Parameters
    ----------
    device
        The device.

    Attributes
    ----------
    stream
        CUDA stream that replays its steps; None on a CPU.
    recording
        CUDA stream that records them. Recorded steps keep that stream's workspace of cuBLAS, so that no two runs that
        go on at the same time may have the same one.

    Examples
    --------
    >>> Place(torch.device("cpu")).stream is None
    True
    """

    def __init__(self, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if on_gpu else None
        self.recording = torch.cuda.Stream(device) if on_gpu else None


class _Fetched(NamedTuple):
    """A row on its way from the device."""

    step: int
    seconds: float
    names: list[str]
    means: Tensor
    arrived: _Event | None


class Going:
    """A run that is being trained; the device is waited for only at its end.

    It is not validated meanwhile. Each run draws the random numbers that it would draw alone.

    Parameters
    ----------
    run
        What it is.
    slices, prior
        On the device.
    device
        Where to compute.
    place
        Its streams.
    graph
        Whether to record its steps.
    must_record
        Whether a step that can't be recorded ends the run; else it goes on operation by operation.
    state
        A checkpoint to go on from, on the device; None: begin.
    tell
        Is called with a line for people.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> from maskmixadv.training.data import training_slices
    >>> corpus, device = phantom.prepare(Path("corpus"), cases=6, size=64), torch.device("cpu")
    >>> schedule = replace(PRESETS["demo"], size=64, window=32, steps=2)
    >>> run = begin(corpus.root, Path("run"), method=PCE(), schedule=schedule)
    >>> going = Going(run, training_slices(run, corpus, device), None, device, Place(device), graph=False)
    >>> while going.left:
    ...     going.advance()
    >>> going.end()
    >>> [row.step for row in read_course(Path("run/log.csv"))], run.checkpoint.is_file()
    ([2], True)
    """

    def __init__(
        self,
        run: Run,
        slices: Slices,
        prior: PriorMasks | None,
        device: torch.device,
        place: Place,
        *,
        graph: bool,
        must_record: bool = False,
        state: Checkpoint | None = None,
        tell: Callable[[str], None] = print,
    ) -> None:
        self.run, self.place, self.graph, self._must_record, self._tell = run, place, graph, must_record, tell
        self._stream, self._device = place.stream, device
        self._noise = torch.Generator(device)
        with self._here():
            self.loop = Loop(
                run, slices, prior, device, engine=Engine(graph=graph, strict=True, recording=place.recording)
            )
            if state is not None:
                self.loop.load(state)
        log = LogState(seconds=0.0, pending={}) if state is None else state["log"]
        self._began = time.monotonic() - log["seconds"]
        self._under_way: deque[_Event] = deque()
        self._terms: dict[str, list[Tensor]] = {name: list(losses) for name, losses in log["pending"].items()}
        self._fetched: deque[_Fetched] = deque()
        there = read_course(self._log) if state is not None and self._log.is_file() else []
        self._rows = [row for row in there if row.step <= self.loop.step]
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), self.loop.step)])

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    @property
    def left(self) -> int:
        """Steps to go."""
        return self.run.schedule.steps - self.loop.step

    @property
    def pace(self) -> float | None:
        """Its steps a second lately; None until that can be said."""
        (since, first), (until, last) = self._marks[0], self._marks[-1]
        return (last - first) / (until - since) if until - since > PACE_SECONDS / 4 and last > first else None

    def mark(self) -> None:
        """Note how far it is, for `pace`."""
        self._marks.append((time.monotonic(), self.loop.step))
        while len(self._marks) > 2 and self._marks[-1][0] - self._marks[1][0] > PACE_SECONDS:
            self._marks.popleft()

    def busy(self) -> bool:
        """Whether the device has enough of its steps to do."""
        if len(self._under_way) == AHEAD and self._under_way[0].query():
            self._under_way.popleft()
        return len(self._under_way) == AHEAD

    def advance(self) -> None:
        """Hand one more step to the device."""
        with self._here():
            losses = self._step()
            for name, loss in losses.items():
                self._terms.setdefault(name, []).append(loss)
            if self.loop.step % LOG_STEPS == 0 or not self.left:
                self._fetch()
            if self._stream is not None:
                self._under_way.append(self._stream.record_event())

    def write_log(self) -> None:
        """Write ``log.csv`` with all rows that have arrived."""
        self._read()
        write_text(self._log, course_text(self._rows))

    def end(self, *, whole: bool = False) -> None:
        """Wait for the device, and save what is there; the log is written first.

        Parameters
        ----------
        whole
            Whether the checkpoint holds all that the run needs to go on; else it holds the scored network alone.

        Raises
        ------
        DivergedError
            Where losses or weights are no finite numbers.
        InputError
            Where it can't be saved, or the run's directory is gone.
        """
        if self._stream is not None:
            self._stream.synchronize()
        self.run.check_there()
        self.write_log()
        logged = ((name, value) for row in self._rows for name, value in row.values.items())
        worst = next((name for name, value in logged if not math.isfinite(value)), None)
        with self._here():
            worst = worst or self.loop.not_finite()
            if worst is not None:
                raise DivergedError(f"{self.run.root.name}: {worst} is not finite")
            log = LogState(seconds=self.seconds, pending=dict(self._terms))
            told = {"log": log, "settles": True, "steers": self.run.steers}
            state = self.loop.state()
            if whole:
                save(self.run.checkpoint, {**state, **told})
                return
            scored = {name: value.cpu() for name, value in state["scored"].items()}
        save(self.run.checkpoint, {"step": self.loop.step, "scored": scored, **told})

    @property
    def _log(self) -> Path:
        return self.run.root / "log.csv"

    def _here(self) -> AbstractContextManager[object]:
        """Compute on its own stream, and draw noise from a generator's state of its own, as if it were alone."""
        if self._stream is None:
            return contextlib.nullcontext()
        torch.cuda.default_generators[self._device.index or 0].graphsafe_set_state(self._noise)
        return torch.cuda.stream(self._stream)

    def _step(self) -> dict[str, Tensor]:
        """Take a step; where it can't be recorded and need not be, all from it on go operation by operation."""
        try:
            return self.loop.advance()
        except RecordingError as error:
            if isinstance(error.__cause__, torch.OutOfMemoryError):  # which another run's end may mend
                raise error.__cause__ from None
            if self._must_record:
                raise
            told = f"step {self.loop.step} can't be recorded ({error})"
            self._tell(f"{self.run.root.name}: {told}; it goes on operation by operation")
        self.graph = False
        self.loop.take_as_written()
        self._noise = torch.Generator(self._device)  # the other one may still be recording
        with self._here():
            return self.loop.advance()

    def _fetch(self) -> None:
        """Send the means of all losses since the last row on their way."""
        self._read()
        means = torch.stack([torch.stack(losses).mean() for losses in self._terms.values()])
        names = list(self._terms)
        self._terms.clear()
        sent = means.to("cpu", non_blocking=True)
        arrived = None if self._stream is None else self._stream.record_event()
        self._fetched.append(_Fetched(self.loop.step, self.seconds, names, sent, arrived))

    def _read(self) -> None:
        """Make rows of what has arrived."""
        while self._fetched and (self._fetched[0].arrived is None or self._fetched[0].arrived.query()):
            row = self._fetched.popleft()
            values = dict(zip(row.names, row.means.tolist(), strict=True))
            rate = self.run.schedule.lr_at(row.step - 1)
            self._rows.append(Logged(row.step, row.seconds, {"lr": rate, **values}))
