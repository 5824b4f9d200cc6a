"""Training: a run's steps are taken, logged, validated and saved."""

import math
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.device import pick_device
from maskmixadv.errors import DivergedError
from maskmixadv.files import held
from maskmixadv.formats.reading import reading
from maskmixadv.inference.predictor import Predictor
from maskmixadv.metrics.scores import mean_dice_of
from maskmixadv.pictures import contact_sheet
from maskmixadv.runs.checkpoint import save
from maskmixadv.runs.origin import same_corpus
from maskmixadv.runs.run import Run
from maskmixadv.runs.start import weights_of
from maskmixadv.sampling.grid import shrunk
from maskmixadv.sampling.loading import load_masks, load_slices
from maskmixadv.sampling.slices import PriorMasks, Slices
from maskmixadv.sampling.storage import GB
from maskmixadv.training.distribute import ALONE, Ranks
from maskmixadv.training.engine import Engine
from maskmixadv.training.log import RunLog
from maskmixadv.training.loop import Loop

SAVE_SECONDS = 45.0
"""Seconds between checkpoints: a killed run loses at most the steps of so many seconds."""
LOG_STEPS = 20
"""Steps between rows of ``log.csv``."""
HELD: Final = 10**9
"""Bytes of validation cases up to which they stay in memory."""
PICTURED = 6
"""Slices in a picture of progress."""


Watch = Callable[[Loop], None]
"""What is called while a training goes on, to look at its networks."""


@dataclass(frozen=True)
class Validation:
    """Densely labelled validation cases. They show how a training goes, and change nothing in it.

    They are held in memory, unless they take more than `HELD` bytes.

    Attributes
    ----------
    run
        The run that is validated.
    cases
        Its validation patients' cases that have dense masks.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> schedule = replace(PRESETS["demo"], size=64, window=32, steps=10)
    >>> run = begin(corpus.root, Path("run"), method=PCE(), schedule=schedule)
    >>> validation = Validation.load(corpus, run)
    >>> [case.name for case in validation.cases]
    ['phantom001_ED', 'phantom001_ES']
    >>> round(validation.dice(run.method.players(run.task)["net"], step=0), 1)   # untrained
    0.0
    >>> [path.name for path in Path("run/pictures").iterdir()]
    ['step_000000.png']
    """

    run: Run
    cases: Sequence[Case]

    @classmethod
    def load(cls, corpus: Corpus, run: Run) -> "Validation":
        """Load the validation cases of `run` from its corpus; there may be none."""
        entries = [entry for entry in corpus.of(run.learnt_from.val) if entry.dense]
        large = sum(entry.bytes for entry in entries) > HELD
        return cls(run, _Read(corpus, entries) if large else tuple(corpus.load_all(entries)))

    def dice(self, net: nn.Module, step: int) -> float | None:
        """Return the mean Dice of `net` as `evaluate` computes it, in [0, 1]; None without cases.

        A picture of the predictions is written into the run's directory, under the number of the step.
        """
        if not self.cases:
            return None
        classes = self.run.task.classes
        predictor = Predictor(net, self.run.grid, classes, channels=self.run.learnt_from.channels)
        pictures: list[_Middle] = []
        found = mean_dice_of(self._predicted(predictor, pictures), classes)
        self._picture(pictures, step)
        return found if math.isfinite(found) else None

    def _predicted(self, predictor: Predictor, pictures: "list[_Middle]") -> Iterator[tuple[Case, np.ndarray]]:
        """Yield the cases with their predictions, and keep some of their middle slices."""
        every = max(1, len(self.cases) // PICTURED)
        for number, case in enumerate(self.cases):
            labels = predictor.labels(case.image, case.spacing)
            if number % every == 0 and len(pictures) < PICTURED and case.dense is not None:
                middle = len(labels) // 2
                pictures.append(_Middle(case.picture[middle].copy(), labels[middle], case.dense[middle].copy()))
            yield case, labels
            del case, labels  # else large ones would stay in memory while the next ones are made

    def _picture(self, pictures: "list[_Middle]", step: int) -> None:
        folder = self.run.root / "pictures"
        folder.mkdir(exist_ok=True)
        contact_sheet(
            folder / f"step_{step:06d}.png",
            [each.image for each in pictures],
            {"prediction": [each.labels for each in pictures], "truth": [each.truth for each in pictures]},
            self.run.task.classes,
        )


class _Middle(NamedTuple):
    """A case's middle slice: what a picture of progress shows."""

    image: np.ndarray
    labels: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class _Read(Sequence[Case]):
    """Cases that are read each time that they are wanted, one by one."""

    corpus: Corpus
    entries: Sequence[Entry]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        return self.corpus.load(self.entries[index])


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
        disk, a checkpoint can't be read or saved, the ranks can't share the work, or the device can't do what `engine`
        asks.
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
    ['last.pt', 'log.csv', 'run.json']
    """
    ranks.check(run.method, run.schedule.batch)
    with held(run.root) if ranks.rank == 0 else nullcontext():
        return _fit(run, device, ranks, engine, memory, watch)


def _fit(
    run: Run, device: str | None, ranks: Ranks, engine: Engine | None, memory: float | None, watch: Watch | None
) -> bool:
    place = pick_device(device)
    engine = engine or Engine.usual(place, ranks.size)
    engine.check(place, ranks.size)
    corpus = same_corpus(run.learnt_from)
    slices = training_slices(run, corpus, place, memory)
    if not ranks.rank:
        tell_learnt(run, slices)
        if told := shrunk(run.grid, corpus.of(run.learnt_from.train)):
            print(f"{run.root}: {told}", file=sys.stderr)
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
    return loop.step >= run.schedule.steps


def training_slices(
    run: Run,
    corpus: Corpus,
    device: torch.device,
    memory: float | None = None,
    entries: Sequence[Entry] | None = None,
) -> Slices:
    """Load the slices that `run` learns from.

    Parameters
    ----------
    run
        The run.
    corpus
        Its corpus, as `maskmixadv.runs.origin.same_corpus` opens it.
    device
        Where to hold the slices.
    memory
        GB of memory that they may take, as in `fit`.
    entries
        The cases; None: those of the run's training patients.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> schedule = replace(PRESETS["demo"], size=64, window=32, steps=10)
    >>> run = begin(corpus.root, Path("run"), method=PCE(), schedule=schedule)
    >>> slices = training_slices(run, corpus, torch.device("cpu"))
    >>> slices.image.shape, slices.target.shape
    (torch.Size([18, 1, 64, 64]), torch.Size([18, 64, 64]))
    """
    slices = load_slices(
        corpus,
        corpus.of(run.learnt_from.train) if entries is None else entries,
        grid=run.grid,
        supervision=run.method.supervision,
        enclosure=run.enclosure,
        device=device,
        beliefs=run.method.believes,
        looks=run.method.looks(),
        masks=run.masks,
        unlabelled=run.unlabelled,
        seed=run.seed,
        memory=memory,
        folder=run.root,
        in_parts=run.schedule.side < run.schedule.size,
        keep=True,
    )
    if slices.mapping is not None:
        print(f"{run.root}: {len(slices.mapping) / GB:.1f} GB of slices stream from the disk", file=sys.stderr)
    return slices


def tell_learnt(run: Run, slices: Slices) -> None:
    """Say on stderr what `run` learns from, and which of its training slices it leaves out.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> schedule = replace(PRESETS["demo"], size=64, window=32, steps=10)
    >>> run = begin(corpus.root, Path("run"), method=PCE(), schedule=schedule)
    >>> import contextlib
    >>> with contextlib.redirect_stderr(sys.stdout):
    ...     tell_learnt(run, training_slices(run, corpus, torch.device("cpu")))
    run: learnt from: 1 patient, 18 slices; strokes: background 18, RV 17, Myo ..., LV 18
    """
    if slices.learnt is not None:
        for line in slices.learnt.told().splitlines():
            print(f"{run.root}: {line}", file=sys.stderr)


def prior_masks(run: Run, device: torch.device) -> PriorMasks | None:
    """Load the unpaired masks of `run`, or None where it has no prior.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> schedule = replace(PRESETS["demo"], size=64, window=32, steps=10)
    >>> run = begin(corpus.root, Path("run"), method=PCE(), schedule=schedule)
    >>> prior_masks(run, torch.device("cpu")) is None
    True
    """
    if run.prior_from is None:
        return None
    corpus, cases = same_corpus(run.prior_from), set(run.prior_from.cases)
    return load_masks(corpus, [e for e in corpus.entries if e.name in cases], grid=run.grid, device=device)


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
        loop, schedule = self._loop, self._loop.run.schedule
        if self._validation.done():
            self._validation.result()  # which raises where cases can't be read
        last = loop.step == schedule.steps
        if last or loop.step % LOG_STEPS == 0:
            self._write()
        if last or loop.step % schedule.validate_every == 0:
            self._log.validated(loop.step, self._validation.result().dice(loop.scored, loop.step))
        if last or time.monotonic() - self._saved_at > SAVE_SECONDS:
            self._save()

    def _write(self) -> None:
        self._check_losses()
        self._log.write(self._loop.step, lr=self._rate(self._loop.step))

    def _check_losses(self) -> None:
        if (found := self._log.not_finite(self._loop.step)) is not None:
            raise self._diverged(*found)

    def _save(self) -> None:
        """Save a checkpoint, but only of finite weights: an earlier one is worth more than one that is not finite."""
        loop = self._loop
        self._check_losses()
        if (name := loop.not_finite()) is not None:
            raise self._diverged(f"weight {name}", loop.step)
        self._log.flush()
        save(loop.run.checkpoint, {**loop.state(), "log": self._log.state()})
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
    if threading.current_thread() is not threading.main_thread():  # where Python hears no signals
        yield caught
        return

    def remember(number: int, _: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
