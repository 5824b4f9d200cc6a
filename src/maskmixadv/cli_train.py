"""The command ``train``; apart from the others, as its methods need torch."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Union, cast

from tyro.conf import Positional, arg, subcommand

from maskmixadv import methods
from maskmixadv.begin import begin
from maskmixadv.distribute import ALONE, Ranks, joined
from maskmixadv.engine import Engine
from maskmixadv.errors import InputError
from maskmixadv.methods import Flagship, Method
from maskmixadv.run import Run, fields_of, pick_device
from maskmixadv.schedule import PRESETS, Optimiser, Precision, Schedule, default_preset
from maskmixadv.train import fit

if TYPE_CHECKING:
    AnyMethod = Method
else:
    AnyMethod = Union[tuple(Annotated[kind, subcommand(name)] for name, kind in methods.ALL.items())]  # noqa: UP007


@dataclass(frozen=True)
class Train:
    """Learn from a corpus's scribbles; the method and its own fields come last.

    Attributes
    ----------
    corpus
        Directory that 'maskmixadv prepare' made.
    method
        How to learn.
    out
        Directory of the run; must be new or empty, or hold the same run, begun and not done, which then goes on.
    resume
        Go on with the run in this directory; everything else is as it was begun.
    fold
        Which fold's patients to hold out, counted from 1.
    folds
        Which scheme of folds; by default the corpus's first.
    prior
        Corpus whose dense masks, of other patients, teach the critic shapes.
    preset
        Resolution, length and optimiser: paper (256 pixels, 60,000 steps), fast (256, GPU), cpu (96, minutes). By
        default fast on a CUDA device, cpu elsewhere.
    enclosure
        Take what lies beyond the hull of a slice's background stroke as background.
    seed
        Of everything random.
    device
        Where to compute, such as cpu or cuda:0; by default the fastest that is there.
    memory
        GB of the device's memory that slices may take; what is more streams from the run's directory, with the same
        result. By default half of what is free.
    steps
        Optimiser steps, instead of the preset's.
    batch
        Slices a step, instead of the preset's.
    size
        Side of a slice's canvas in pixels, instead of the preset's.
    window
        Side in pixels of the part of the canvas that a step sees, instead of the preset's; a multiple of 16.
    optimiser
        Of the network, instead of the preset's.
    lr
        Highest learning rate, instead of the preset's.
    weight_decay
        Of the network's optimiser, instead of the preset's.
    ema
        Decay of the scored average of the weights, 0 to switch it off, instead of the preset's.
    precision
        Arithmetic, instead of the preset's: auto takes bf16 where the device has it.
    validate_every
        Steps between validations, instead of the preset's.
    compile
        Compile the networks, which takes a minute; results agree to rounding.
    graph
        On a CUDA device: record steps as graphs and replay them; results agree to rounding.
    deterministic
        On a GPU: the same bits from the same run, more slowly; a CPU's are the same anyway.
    """

    corpus: Annotated[Positional[Path | None], arg(metavar="CORPUS")] = None
    method: AnyMethod = Flagship()  # noqa: RUF009
    out: Annotated[Path | None, arg(metavar="RUN")] = None
    resume: Annotated[Path | None, arg(metavar="RUN")] = None
    fold: int = 1
    folds: Annotated[str | None, arg(metavar="SCHEME")] = None
    prior: Annotated[Path | None, arg(metavar="CORPUS")] = None
    preset: Annotated[Literal["paper", "fast", "cpu"] | None, arg(metavar="{paper,fast,cpu}")] = None
    enclosure: bool = False
    seed: int = 0
    device: Annotated[str | None, arg(metavar="DEVICE")] = None
    memory: Annotated[float | None, arg(metavar="GB")] = None
    steps: Annotated[int | None, arg(metavar="INT")] = None
    batch: Annotated[int | None, arg(metavar="INT")] = None
    size: Annotated[int | None, arg(metavar="PIXELS")] = None
    window: Annotated[int | None, arg(metavar="PIXELS")] = None
    optimiser: Annotated[Optimiser | None, arg(metavar="{sgd,adamw,muon}")] = None
    lr: Annotated[float | None, arg(metavar="RATE")] = None
    weight_decay: Annotated[float | None, arg(metavar="DECAY")] = None
    ema: Annotated[float | None, arg(metavar="DECAY")] = None
    precision: Annotated[Precision | None, arg(metavar="{auto,fp32,bf16}")] = None
    validate_every: Annotated[int | None, arg(metavar="STEPS")] = None
    compile: bool = False
    graph: bool = False
    deterministic: bool = False

    def run(self) -> int:
        """Train, together with the other processes that torchrun has started; returns 130 where it was interrupted."""
        if self.memory is not None and not self.memory >= 0:
            raise InputError(f"memory: {self.memory}, allowed is 0 GB (nothing) or more")
        engine = Engine(self.compile, self.graph, self.deterministic)
        with joined(self.device) as ranks:
            engine.check(pick_device(ranks.device), ranks.size)
            run = self._open(ranks)
            if ranks.rank == 0:
                _announce(run)
            done = fit(run, device=ranks.device, ranks=ranks, engine=engine, memory=self.memory)
            if ranks.rank == 0:
                _tell(run, done=done)
        return 0 if done else 130

    def begin(self, *, ranks: Ranks = ALONE, write: bool = True) -> Run:
        """Begin the run; without `write` it is only checked (`maskmixadv.begin.begin`)."""
        if self.corpus is None or self.out is None:
            raise InputError("train: give a CORPUS and --out RUN, or --resume RUN")
        preset = self.preset or default_preset(pick_device(ranks.device or self.device))
        return begin(
            self.corpus,
            self.out,
            method=self.method,
            schedule=self._schedule(preset),
            preset=preset,
            scheme=self.folds,
            fold=self.fold,
            prior_root=self.prior,
            enclosure=self.enclosure,
            seed=self.seed,
            device=ranks.device or self.device,
            ranks=ranks,
            write=write,
        )

    def _open(self, ranks: Ranks) -> Run:
        """Open the run to resume, or the one that the first rank begins."""
        if self.resume is not None:
            return Run.open(self.resume)
        if ranks.rank == 0:
            self.begin(ranks=ranks)
        ranks.wait()
        return Run.open(cast("Path", self.out))

    def _schedule(self, preset: str) -> Schedule:
        names = (
            "steps", "batch", "size", "window", "optimiser", "lr", "weight_decay", "ema", "precision", "validate_every",
        )  # fmt: skip
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return replace(PRESETS[preset], **given)


def _announce(run: Run) -> None:
    """Say what is about to run, as much of it is chosen where nothing is said."""
    schedule, preset = run.schedule, run.facts["preset"] or "none"
    print(
        f"{run.root}: {fields_of(run.method)['name']}, preset {preset}, {schedule.steps:,} steps of {schedule.batch} "
        f"slices, {schedule.window} × {schedule.window} pixels, on {run.facts['device']}",
        file=sys.stderr,
    )


def _tell(run: Run, *, done: bool) -> None:
    if done:
        print(f"{run.root}: done; score it with 'maskmixadv evaluate {run.root}'")
    else:
        print(
            f"{run.root}: interrupted and saved; go on with 'maskmixadv train --resume {run.root}'",
            file=sys.stderr,
        )
