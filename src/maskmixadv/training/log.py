"""Log of a training: ``log.csv``, TensorBoard events, and on stderr a progress bar or plain lines."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from maskmixadv.errors import InputError, counted
from maskmixadv.files import cannot_write, write_text
from maskmixadv.runs.checkpoint import LogState
from maskmixadv.runs.course import Logged, course_text, read_course
from maskmixadv.runs.run import Run

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PACE_FROM, PACE_TO = 3, 11
"""Steps between which a run's pace is measured: after the first ones, which are slow, and over a multiple of 4 steps,
as some losses come in every fourth step only."""
PLAIN_SECONDS = 10.0
"""Seconds between lines where there is no terminal."""
FLUSH_SECONDS = 2.0
"""Seconds after which a row is in ``log.csv`` at the latest."""


class RunLog:
    """Log of one run; a context manager.

    Parameters
    ----------
    run
        The run in whose directory it writes. An earlier log there is cut off after `step` and continued.
    step
        Steps done before.
    state
        The log's state then (`state`), or None at the beginning of a run.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> schedule = replace(PRESETS["demo"], size=64, window=32, steps=2)
    >>> run = begin(corpus.root, Path("run"), method=PCE(), schedule=schedule)
    >>> with RunLog(run, step=0, state=None) as log:
    ...     log.collect({"net/pce": torch.tensor(0.8)})
    ...     log.collect({"net/pce": torch.tensor(0.6)})
    ...     log.write(2, lr=0.01)
    >>> [(row.step, dict(row.values)) for row in read_course(Path("run/log.csv"))]
    [(2, {'lr': 0.01, 'net/pce': 0.7})]
    """

    def __init__(self, run: Run, step: int, state: LogState | None) -> None:
        state = state or LogState(seconds=0.0, pending={})
        self._path = run.root / "log.csv"
        self._steps = run.schedule.steps
        self._rows = _rows_up_to(self._path, step)
        self._terms: dict[str, list[Tensor]] = defaultdict(list, state["pending"])
        self._pace = _Pace(run, step, console=Console(stderr=True))
        self._began = time.monotonic() - state["seconds"]
        self._events = _Events(run.root / "tensorboard", step)
        self._console = Console(stderr=True)
        self._first, self._first_time = step, time.monotonic()
        self._told, self._flushed = 0.0, time.monotonic()
        self._dice: float | None = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(run.root.name, total=self._steps, completed=step, state="")

    @property
    def seconds(self) -> float:
        """Time spent in training and validation, over all resumptions."""
        return time.monotonic() - self._began

    def state(self) -> LogState:
        """Return what a checkpoint must hold for the log to go on."""
        return LogState(seconds=self.seconds, pending=dict(self._terms))

    def __enter__(self) -> "RunLog":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if kind is None:
            self.flush()
            self._events.close()
            return
        with suppress(InputError):  # the first complaint is the one to tell
            self.flush()
        with suppress(InputError):
            self._events.close()

    def collect(self, losses: dict[str, Tensor]) -> None:
        """Keep a step's losses, without waiting for the device."""
        for name, loss in losses.items():
            self._terms[name].append(loss)
        self._pace.took(losses)

    def not_finite(self, step: int) -> tuple[str, int] | None:
        """Name the first loss since the last row that is no finite number, and its step; None where all are.

        Parameters
        ----------
        step
            Steps done.
        """
        first: dict[str, int] = {}
        for name, losses in self._terms.items():
            fine = torch.stack(losses).isfinite().tolist()
            if not all(fine):
                # A term that does not come at each step can be told no nearer.
                first[name] = step - len(fine) + 1 + fine.index(False)
        worst = min(first, key=lambda name: first[name], default=None)
        return None if worst is None else (worst, first[worst])

    def write(self, step: int, *, lr: float) -> None:
        """Write a row: each term's mean since the row before."""
        # Fetched all at once, as a device is waited for at each fetch.
        fetched = torch.stack([torch.stack(losses).mean() for losses in self._terms.values()]).tolist()
        means = dict(zip(self._terms, fetched, strict=True))
        self._terms.clear()
        self._row(step, {"lr": lr, **means})
        self._flush_now_and_then()
        self._show(step, means)

    def validated(self, step: int, dice: float | None) -> None:
        """Write a row with the validation Dice, if there is one."""
        if dice is None:
            return
        self._dice, self._told = dice, 0.0
        self._row(step, {"val/dice": dice})
        self._flush_now_and_then()

    def flush(self) -> None:
        """Bring ``log.csv`` up to date on disk.

        Raises
        ------
        InputError
            Where it can't be written; the one that is there stays.
        """
        write_text(self._path, course_text(self._rows))
        self._events.flush()
        self._flushed = time.monotonic()

    def _flush_now_and_then(self) -> None:
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def _row(self, step: int, values: dict[str, float]) -> None:
        self._rows.append(Logged(step, self.seconds, values))
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def _show(self, step: int, means: dict[str, float]) -> None:
        rate = (step - self._first) / max(1e-9, time.monotonic() - self._first_time)
        losses = "  ".join(f"{name.removeprefix('net/')} {value:.3f}" for name, value in means.items())
        dice = "" if self._dice is None else f"  val Dice {self._dice:.3f}"
        state = f"{rate:.2f} steps/s  {losses}{dice}"
        self._bar.update(self._task, completed=step, state=state)
        if self._bar.disable and (time.monotonic() - self._told > PLAIN_SECONDS or step == self._steps):
            self._told = time.monotonic()
            left = (self._steps - step) / max(rate, 1e-9)
            self._console.print(
                f"step {step}/{self._steps}  {left:.0f} s left  {state}", soft_wrap=True, highlight=False
            )


def _rows_up_to(path: Path, step: int) -> list[Logged]:
    return [row for row in read_course(path) if row.step <= step] if path.is_file() else []


class _Events:
    """TensorBoard's files. A thread of TensorBoard writes them; its errors are raised by the methods here.

    Raises
    ------
    InputError
        From each method, where they can't be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder, self._step, self._hook = folder, step, threading.excepthook
        self._writer: SummaryWriter | None = None
        threading.excepthook = self._overheard

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Add a point to a curve."""
        with self._complaining():
            if self._writer is None:  # the first step does not wait for TensorBoard's import
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(self._folder), purge_step=self._step)
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Bring all to the disk."""
        if self._writer is not None:
            with self._complaining():
                self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            with self._complaining():
                self._writer.close()
        threading.excepthook = self._hook

    def _overheard(self, failure: threading.ExceptHookArgs) -> None:
        """Leave out the writing thread's complaint of a full disk, as the next method call raises it."""
        ours = type(failure.thread).__module__.startswith("tensorboard")
        if not (ours and issubclass(failure.exc_type, OSError)):
            self._hook(failure)

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self._folder, error) from None


class _Pace:
    """Says once how long a run will take, measured from its first steps; `step` is the number of steps done before."""

    def __init__(self, run: Run, step: int, *, console: Console) -> None:
        self._run, self._step, self._console = run, step, console
        self._taken, self._began = 0, 0.0

    def took(self, losses: dict[str, Tensor]) -> None:
        """Count a step, which gave `losses`."""
        self._taken += 1
        if self._taken not in (PACE_FROM, PACE_TO) or not losses:
            return
        next(iter(losses.values())).item()  # wait for the device, twice in a run
        if self._taken == PACE_FROM:
            self._began = time.monotonic()
        else:
            self._tell((time.monotonic() - self._began) / (PACE_TO - PACE_FROM))

    def _tell(self, seconds: float) -> None:
        left = self._run.schedule.steps - self._step - self._taken
        self._console.print(
            f"{self._run.root}: {counted(left, 'step')} to go {'takes' if left == 1 else 'take'} "
            f"about {in_words(left * seconds)}, without validation "
            f"({seconds:.2g} s a step, measured over {PACE_TO - PACE_FROM})",
            soft_wrap=True, highlight=False, markup=False,
        )  # fmt: skip


def in_words(seconds: float) -> str:
    """Say a duration in words, such as ``40 s``, ``4 min``, ``2 h 10 min`` or ``3 days``.

    Examples
    --------
    >>> in_words(250.0)
    '4 min'
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 48 else f"{round(hours / 24)} days"
