"""The course of a run: its steps are taken, logged, validated and saved."""

import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType

from torch import Tensor

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.device import pick_device
from maskmixadv.errors import DivergedError, InputError, say, word
from maskmixadv.files import held
from maskmixadv.formats.reading import reading
from maskmixadv.processes import hearing
from maskmixadv.runs.checkpoint import save
from maskmixadv.runs.origin import same_corpus
from maskmixadv.runs.run import Run
from maskmixadv.runs.start import weights_of
from maskmixadv.sampling.grid import shrunk
from maskmixadv.sources.states import kept
from maskmixadv.training.data import prior_masks, tell_learnt, training_slices
from maskmixadv.training.distribute import ALONE, Ranks
from maskmixadv.training.engine import Engine
from maskmixadv.training.log import RunLog
from maskmixadv.training.loop import Loop
from maskmixadv.training.settle import settle
from maskmixadv.training.validation import Validation

SAVE_SECONDS = 45.0
"""Seconds between checkpoints: a killed run loses at most the steps of so many seconds."""
LOG_STEPS = 20
"""Steps between rows of ``log.csv``."""

Watch = Callable[[Loop], None]
"""What is called while a training goes on, to look at its networks."""


def fit(
    run: Run,
    *,
    device: str | None = None,
    ranks: Ranks = ALONE,
    engine: Engine | None = None,
    memory: float | None = None,
    watch: Watch | None = None,
) -> bool:
    """Train `run` to its end, from its last checkpoint where it has one.

    There it is decided which odds classes have, and which structures are in one piece (`maskmixadv.training.settle`).

    Parameters
    ----------
    run
        What `maskmixadv.training.begin.begin` or `Run.open` gives.
    device
        Where to compute, such as ``cpu`` or ``cuda:0``; None: the fastest device that is there.
    ranks
        The processes that share the work; only the first one validates, logs and saves.
    engine
        How to compute; None: operation by operation.
    memory
        GB of the device's memory that slices may take. More slices than that stream from the run's directory. None:
        half of the memory that is free. It changes no result.
    watch
        Is called with the loop before the first step and after each one; must not change it. None: nobody watches.

    Returns
    -------
    True at the end of the run. False where Ctrl-C or a termination signal ended it early; the run can be resumed.

    Raises
    ------
    InputError
        Where another process trains this run, the corpus has changed since it began, slices fit neither memory nor
        disk, a checkpoint can't be read or saved, the run's directory is gone, the ranks can't share the work, or the
        device can't do what `engine` asks.
    DivergedError
        Where losses or weights are no longer finite numbers; the last finite checkpoint is kept.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> schedule = replace(PRESETS["demo"], size=64, window=32, steps=1)
    >>> run = begin(corpus.root, Path("run"), method=PCE(), schedule=schedule)
    >>> fit(run, device="cpu")
    True
    >>> sorted(path.name for path in run.root.iterdir() if path.is_file() and not path.name.startswith("."))
    ['last.pt', 'log.csv', 'pieces.json', 'run.json']
    """
    ranks.check(run.method, run.schedule.batch)
    with held(run.root) if ranks.rank == 0 else nullcontext():
        corpus = same_corpus(run.learnt_from)
        with kept(corpus.root):  # its validation cases and their masks are read until the end
            return _fit(run, corpus, device, ranks, engine, memory, watch)


def _fit(
    run: Run,
    corpus: Corpus,
    device: str | None,
    ranks: Ranks,
    engine: Engine | None,
    memory: float | None,
    watch: Watch | None,
) -> bool:
    place = pick_device(device)
    engine = engine or Engine.usual(place, ranks.size)
    engine.check(place, ranks.size)
    slices = training_slices(run, corpus, place, memory)
    if not ranks.rank:
        tell_learnt(run, slices)
        if told := shrunk(run.grid, corpus.of(run.learnt_from.train)):
            say(f"{run.root}: {told}")
    loop = Loop(run, slices, prior_masks(run, place), place, ranks, engine)
    logged, saved = None, None
    if run.checkpoint.is_file():
        with reading(run.checkpoint, "checkpoint", wrong="damaged", advice="; train again"):
            state = run.load(place)
            loop.load(state)
            logged, saved = state["log"], loop.step
    elif run.start is not None:
        loop.begin_with(weights_of(run.start, place))
    ranks.check_step(loop.step)
    with _interrupts() as interrupts:
        steps = _steps(loop, interrupts)
        if ranks.rank:
            deque(steps, maxlen=0)
        else:
            # Validation cases are read beside the first steps, which need none of them.
            with RunLog(run, loop.step, logged) as log, ThreadPoolExecutor(1) as beside:
                validation = beside.submit(Validation.load, corpus, run)
                _Witness(loop, validation, log, saved, watch or _unwatched).follow(steps)
    done = loop.step >= run.schedule.steps
    if done and not ranks.rank:
        run.check_there()
        try:
            settle(run, device)
        except InputError as error:
            left = f"all steps are taken and saved; 'maskmixadv train --resume {word(run.root)}' does the rest"
            raise type(error)(f"{error}; {left}") from None
    return done


def _steps(loop: Loop, interrupts: list[int]) -> Iterator[dict[str, Tensor]]:
    """Take step after step, until the last one, or until a rank is asked to stop."""
    while loop.step < loop.run.schedule.steps and not loop.ranks.any(bool(interrupts)):
        yield loop.advance()


def _unwatched(_: Loop) -> None:
    """Watch nothing."""


class _Witness:
    """Logs, validates and saves a loop as its steps are taken; `saved` is the checkpoint's step, if there is one."""

    def __init__(
        self, loop: Loop, validation: "Future[Validation]", log: RunLog, saved: int | None, watch: Watch
    ) -> None:
        self._loop, self._validation, self._log, self._saved, self._watch = loop, validation, log, saved, watch
        self._saved_at = time.monotonic()

    def follow(self, steps: Iterable[dict[str, Tensor]]) -> None:
        """Log, validate and save after each of `steps`, as often as is due, and save where they end early."""
        self._watch(self._loop)
        for losses in steps:
            self._log.collect(losses)
            self._attend()
            self._watch(self._loop)
        if self._loop.step < self._loop.run.schedule.steps:
            self._save()

    def _attend(self) -> None:
        try:
            self._look()
        except DivergedError:
            raise
        except Exception:
            with suppress(InputError, DivergedError):  # the first complaint is the one to tell
                self._save()
            raise
        if self._last or time.monotonic() - self._saved_at > SAVE_SECONDS:
            self._save()

    def _look(self) -> None:
        """Log and validate. Where that fails, the steps since the last checkpoint are still to be saved."""
        loop, schedule = self._loop, self._loop.run.schedule
        loop.run.check_there()
        if self._validation.done():
            self._validation.result()  # which raises where cases can't be read
        if self._last or loop.step % LOG_STEPS == 0:
            self._write()
        if self._last or loop.step % schedule.validate_every == 0:
            self._log.validated(loop.step, self._validation.result().dice(loop.scored, loop.step))

    @property
    def _last(self) -> bool:
        return self._loop.step == self._loop.run.schedule.steps

    def _write(self) -> None:
        self._check_losses()
        self._log.write(self._loop.step, lr=self._rate(self._loop.step))

    def _check_losses(self) -> None:
        if (found := self._log.not_finite(self._loop.step)) is not None:
            raise self._diverged(*found)

    def _save(self) -> None:
        """Save a checkpoint, but only of finite weights: an earlier one is worth more than one that is not finite."""
        loop = self._loop
        loop.run.check_there()
        self._check_losses()
        if (name := loop.not_finite()) is not None:
            raise self._diverged(f"weight {name}", loop.step)
        told = {"log": self._log.state(), "settles": True, "steers": loop.run.steers}
        try:
            self._log.flush()
        finally:  # a log that can't be written costs no trained step
            save(loop.run.checkpoint, {**loop.state(), **told})
        self._saved, self._saved_at = loop.step, time.monotonic()

    def _diverged(self, what: str, step: int) -> DivergedError:
        run = self._loop.run
        kept = "no checkpoint was saved before"
        if self._saved is not None:
            kept = f"the last finite checkpoint, of step {self._saved}, is {run.checkpoint}"
        return DivergedError(
            f"{run.root}: {what} is not finite at step {step} of {run.schedule.steps}, with {run.schedule.optimiser} "
            f"at rate {self._rate(step):.3g}; try a lower --lr than {run.schedule.lr:g}, or another --optimiser; {kept}"
        )

    def _rate(self, step: int) -> float:
        return self._loop.run.schedule.lr_at(step - 1)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collect signals that ask to stop. The step in progress is finished first, so that a whole step is saved."""
    caught: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        caught.append(number)

    with hearing(signal.SIGINT, signal.SIGTERM, call=remember):
        yield caught
