"""Training: the loop runs, validates, shows itself and saves; what it was begun with stands in the run."""

import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import numpy as np
import torch
from torch import Tensor, nn

from maskmixadv.data.corpus import Case, Corpus
from maskmixadv.distribute import ALONE, Ranks
from maskmixadv.engine import Engine
from maskmixadv.log import Log
from maskmixadv.loop import Loop
from maskmixadv.metrics import dice
from maskmixadv.pictures import contact_sheet
from maskmixadv.predict import Predictor
from maskmixadv.run import Run, pick_device, same_corpus, save
from maskmixadv.slices import Masks, Slices, load_masks, load_slices
from maskmixadv.storage import GB

SAVE_SECONDS = 45.0
"""A killed run loses at most the steps of so many seconds."""
LOG_STEPS = 20
PICTURED = 6
"""Slices in a picture of progress."""


@dataclass(frozen=True)
class Validation:
    """Densely labelled validation cases, held in memory; they steer nothing, they only show how it goes."""

    run: Run
    cases: tuple[Case, ...]

    @classmethod
    def load(cls, corpus: Corpus, run: Run) -> "Validation":
        """Load the validation patients of `run`; there may be none."""
        entries = [entry for entry in corpus.of(run.corpus["val"]) if entry.dense]
        return cls(run, tuple(corpus.load_all(entries)))

    def dice(self, net: nn.Module, step: int) -> float | None:
        """Mean Dice over cases and structures, with a picture in the run's directory; None without cases."""
        if not self.cases:
            return None
        classes = self.run.task.classes
        predictor = Predictor(net, self.run.grid, classes)
        predicted = [predictor.labels(case.image, case.spacing) for case in self.cases]
        self._picture(predicted, step)
        scores = [
            dice(case.dense == label, labels == label)
            for case, labels in zip(self.cases, predicted, strict=True)
            for label in range(1, len(classes))
        ]
        return float(np.mean(scores))

    def _picture(self, predicted: list[np.ndarray], step: int) -> None:
        shown = list(zip(self.cases, predicted, strict=True))[:: max(1, len(predicted) // PICTURED)][:PICTURED]
        middles = [(case, labels, len(labels) // 2) for case, labels in shown]
        folder = self.run.root / "pictures"
        folder.mkdir(exist_ok=True)
        contact_sheet(
            folder / f"step_{step:06d}.png",
            [case.image[k] for case, _, k in middles],
            {
                "prediction": [labels[k] for _, labels, k in middles],
                "truth": [case.dense[k] for case, _, k in middles if case.dense is not None],
            },
            self.run.task.classes,
        )


def fit(
    run: Run,
    *,
    device: str | None = None,
    ranks: Ranks = ALONE,
    engine: Engine | None = None,
    memory: float | None = None,
) -> bool:
    """Train `run` to its end, from its last checkpoint where it has one.

    Parameters
    ----------
    device
        Where to compute; the fastest that is there if None.
    ranks
        The processes that share the work; the first one alone validates, logs and saves.
    engine
        How to compute; operation by operation if None.
    memory
        GB of the device's memory that slices may take, streamed from the run's directory beyond that; None: half
        of what is free. It changes no result.

    Returns
    -------
    False where Ctrl-C or a termination signal ended it early; it can be resumed.

    Raises
    ------
    InputError
        Where the corpus has changed since the run began, slices fit neither memory nor disk, a checkpoint can't be
        read or saved, the ranks can't share the work, or the device can't do what `engine` asks.
    """
    ranks.check(run.method, run.schedule.batch)
    place, engine = pick_device(device), engine or Engine()
    engine.check(place, ranks.size)
    corpus = same_corpus(run.corpus)
    slices = training_slices(run, corpus, place, memory)
    if not ranks.rank:
        tell_learnt(run, slices)
    loop = Loop(run, slices, prior_masks(run, place), place, ranks, engine)
    logged = None
    if run.checkpoint.is_file():
        state = run.load(place)
        loop.load(state)
        logged = state["log"]
    ranks.check_step(loop.step)
    with _interrupts() as interrupts:
        steps = _steps(loop, interrupts)
        if ranks.rank:
            deque(steps, maxlen=0)
        else:
            with Log(run, loop.step, logged) as log:
                _witness(loop, steps, Validation.load(corpus, run), log)
    return loop.step >= run.schedule.steps


def training_slices(run: Run, corpus: Corpus, device: torch.device, memory: float | None = None) -> Slices:
    """Load the slices that `run` learns from; `memory` as in `fit`."""
    slices = load_slices(
        corpus,
        corpus.of(run.corpus["train"]),
        grid=run.grid,
        supervision=run.method.supervision,
        enclosure=run.enclosure,
        device=device,
        beliefs=run.method.believes,
        memory=memory,
        folder=run.root,
    )
    if slices.mapping is not None:
        print(f"{run.root}: {len(slices.mapping) / GB:.1f} GB of slices stream from the disk", file=sys.stderr)
    return slices


def tell_learnt(run: Run, slices: Slices) -> None:
    """Say on stderr what `run` learns from, and what of its training part it does not."""
    if slices.learnt is not None:
        for line in slices.learnt.told().splitlines():
            print(f"{run.root}: {line}", file=sys.stderr)


def prior_masks(run: Run, device: torch.device) -> Masks | None:
    """Load the unpaired masks of `run`, if it has any."""
    if run.prior is None:
        return None
    corpus, cases = same_corpus(run.prior), set(run.prior["cases"])
    return load_masks(corpus, [e for e in corpus.entries if e.name in cases], grid=run.grid, device=device)


def _steps(loop: Loop, interrupts: list[int]) -> Iterator[dict[str, Tensor]]:
    """Take step after step, until the last one, or until a rank is asked to stop."""
    while loop.step < loop.run.schedule.steps and not loop.ranks.any(bool(interrupts)):
        yield loop.advance()


def _witness(loop: Loop, steps: Iterable[dict[str, Tensor]], validation: Validation, log: Log) -> None:
    """Log, validate and save what `steps` make of `loop`."""
    schedule, saved = loop.run.schedule, time.monotonic()
    for losses in steps:
        log.collect(losses)
        last = loop.step == schedule.steps
        if last or loop.step % LOG_STEPS == 0:
            log.write(loop.step, lr=schedule.lr_at(loop.step - 1))
        if last or loop.step % schedule.validate_every == 0:
            log.validated(loop.step, validation.dice(loop.scored, loop.step))
        if last or time.monotonic() - saved > SAVE_SECONDS:
            _save(loop, log)
            saved = time.monotonic()
    if loop.step < schedule.steps:
        _save(loop, log)


def _save(loop: Loop, log: Log) -> None:
    log.flush()
    save(loop.run.checkpoint, {**loop.state(), "log": log.state()})


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Signals that asked to stop; the step in progress is finished first, so that what is saved is whole."""
    caught: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
