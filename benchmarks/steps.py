"""Seconds a step of every method, as a ratio to partial cross-entropy's: ``python benchmarks/steps.py --preset cpu``.

All methods train on the same made-up slices in one process, in turns: a round gives each method some steps, so that a
machine whose speed drifts slows all alike. A method's figure is the median over rounds, its ratio the median of the
rounds' ratios. Masks for methods with a critic are made up, too. What a method does once in a while, less often than
a round is long, is not in it.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Literal, NamedTuple, Protocol

import torch
import tyro
from jaxtyping import Float, UInt8
from rich.progress import track
from torch import Tensor
from tyro.conf import arg

from maskmixadv import methods
from maskmixadv.device import device_name, pick_device
from maskmixadv.errors import InputError
from maskmixadv.runs.origin import Facts, LearntFrom
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import PRESETS, Schedule
from maskmixadv.sampling.grid import Grid
from maskmixadv.sampling.slices import PriorMasks, Slices
from maskmixadv.training.engine import Engine
from maskmixadv.training.loop import Loop
from maskmixadv.types import IGNORE
from record import append

CLASSES = ("background", "RV", "Myo", "LV")
REFERENCE = "pce"
BATCHES = 4
"""Slices in memory, in batches."""
NOWHERE = LearntFrom(root=Path("none"), name="made up", hash="", classes=CLASSES, train=(), val=(), test=())
FACTS = Facts(preset=None, command="", commit=None, device="", versions={})
LABELLED = 0.05
"""Share of the pixels that strokes label."""


@dataclass(frozen=True)
class Steps:
    """Time the steps of methods against one another.

    Attributes
    ----------
    methods
        Names; by default all.
    preset
        Resolution, batch and optimiser.
    batch
        Slices a step, instead of the preset's.
    window
        Side in pixels of what a step sees, instead of the preset's; a multiple of 16.
    rounds
        How often each method has its turn, at least 1; one more goes before, untimed.
    steps
        Steps a turn, at least 1; a multiple of 4 holds MaskMixAdv's lazy terms in their share.
    engine
        How steps are taken: operation by operation, or on a CUDA device recorded as graphs, or compiled and recorded.
    device
        Where to compute; by default the fastest that is there.
    """

    methods: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]")] = ()
    preset: Literal["paper", "fast", "cpu"] = "cpu"
    batch: Annotated[int | None, arg(metavar="INT")] = None
    window: Annotated[int | None, arg(metavar="PIXELS")] = None
    rounds: int = 7
    steps: int = 8
    engine: Literal["plain", "graph", "compile"] = "plain"
    device: Annotated[str | None, arg(metavar="DEVICE")] = None

    @property
    def schedule(self) -> Schedule:
        """The preset's, with what was given instead."""
        return replace(smaller(self.preset, self.batch, self.window), steps=10**6)


def smaller(preset: str, batch: int | None, window: int | None) -> Schedule:
    """A preset's schedule, with what was given instead; a larger window has a larger canvas."""
    usual = PRESETS[preset]
    window = window or usual.window
    return replace(usual, batch=batch or usual.batch, window=window, size=max(usual.size, window))


class MadeUp(NamedTuple):
    """Slices of noise, their strokes or masks as a method wants them, and their masks."""

    image: Float[Tensor, "n c s s"]
    target: UInt8[Tensor, "n s s"]
    dense: UInt8[Tensor, "n s s"]


def make_up(name: str, count: int, size: int) -> MadeUp:
    """Slices for method `name`, on canvases of `size` pixels."""
    rng = torch.Generator().manual_seed(0)
    shape = (count, size, size)
    dense = torch.randint(len(CLASSES), shape, generator=rng).to(torch.uint8)
    drawn = torch.rand(shape, generator=rng) < LABELLED
    strokes = torch.where(drawn, dense, torch.full_like(dense, IGNORE))
    channels = 1 + methods.ALL[name].believes * len(CLASSES)
    image = torch.rand((count, channels, *shape[1:]), generator=rng).half()
    return MadeUp(image, strokes if methods.ALL[name].supervision == "scribble" else dense, dense)


def loop(name: str, schedule: Schedule, device: torch.device, engine: Engine | None = None) -> Loop:
    """A method's loop on slices and masks made up."""
    made = make_up(name, BATCHES * schedule.batch, schedule.size)
    image, target, centre = made.image.to(device), made.target.to(device), torch.zeros(len(made.dense), 2)
    return loop_on(name, Slices(image, target, centre.to(device)), made.dense, schedule, engine)


def loop_on(
    name: str, slices: Slices, dense: UInt8[Tensor, "m s s"], schedule: Schedule, engine: Engine | None = None
) -> Loop:
    """A method's loop on `slices`; masks are for a critic, if the method has one."""
    method, device = methods.ALL[name](), slices.centre.device
    prior = PriorMasks(dense.to(device), torch.zeros(len(dense), 2, device=device)) if method.wants_prior else None
    run = Run(
        root=Path(name), learnt_from=NOWHERE, prior_from=None, method=method, schedule=schedule,
        grid=Grid(schedule.size), enclosure=False, seed=0, facts=FACTS,
    )  # fmt: skip
    made = Loop(run, slices, prior, device, engine=engine)
    made.step = schedule.steps // 2  # past what methods begin with
    return made


class Advancing(Protocol):
    """What takes steps on a device."""

    device: torch.device

    def advance(self) -> object:
        """Take one."""
        ...


def turn(of: Advancing, steps: int) -> float:
    """Seconds a step, over `steps` of them."""
    finish(of.device)
    began = time.perf_counter()
    for _ in range(steps):
        of.advance()
    finish(of.device)
    return (time.perf_counter() - began) / steps


def measure(options: Steps, device: torch.device) -> dict[str, list[float]]:
    """Seconds a step of each method, by round."""
    names = list(dict.fromkeys((REFERENCE, *(options.methods or methods.ALL))))
    compiled = options.engine == "compile"
    engine = Engine(compile=compiled, graph=options.engine != "plain", strict=True)
    engine.check(device)
    loops = {name: loop(name, options.schedule, device, engine) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turns in track(range(options.rounds + 1), "rounds", disable=not sys.stderr.isatty()):
        for name, each in loops.items():
            took = turn(each, options.steps)
            if turns:  # in the first one memory is claimed and kernels are chosen
                seconds[name].append(took)
    return seconds


def lines(seconds: dict[str, list[float]]) -> list[dict[str, object]]:
    """Figures of each method, fastest first."""
    found = [
        {
            "method": name,
            "seconds_per_step": round(median(took), 5),
            "ratio": round(median(a / b for a, b in zip(took, seconds[REFERENCE], strict=True)), 3),
        }
        for name, took in seconds.items()
    ]
    return sorted(found, key=lambda line: float(str(line["ratio"])))


def main(argv: Sequence[str]) -> None:
    """Measure, print a Markdown table, append the record."""
    options = _checked(tyro.cli(Steps, args=argv))
    device, schedule = pick_device(options.device), options.schedule
    found = lines(measure(options, device))
    facts = {"preset": options.preset, "engine": options.engine, "batch": schedule.batch, "window": schedule.window}
    append("steps", {**facts, "rounds": options.rounds, "steps": options.steps, "rows": found}, device)
    taken = f"steps {options.engine}"
    print(f"Batches of {schedule.batch}, {schedule.window} pixels, {taken}, {device_name(device)}\n")
    print("| method | ms a step | to pCE |\n| --- | --- | --- |")
    for line in found:
        print(f"| {line['method']} | {1000 * float(str(line['seconds_per_step'])):.1f} | {line['ratio']}× |")


def check_methods(names: Sequence[str]) -> None:
    """Raise `InputError` where one of `names` is no method's."""
    unknown = [name for name in names if name not in methods.ALL]
    if unknown:
        raise InputError(f"methods: {unknown[0]!r}, allowed are {', '.join(methods.ALL)}")


def _checked(options: Steps) -> Steps:
    check_methods(options.methods)
    if options.rounds < 1 or options.steps < 1:
        raise InputError(f"rounds, steps: {options.rounds}, {options.steps}, allowed are 1 or more")
    return options


def finish(device: torch.device) -> None:
    """Wait until `device` has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"steps: {error}")
