"""Cost of a step against batch, window and number of slices: ``python benchmarks/scaling.py``.

Methods train with the cpu preset's network on made-up slices; one number changes, the others are the preset's. Each
figure is measured in a process of its own, so that its peak of memory is its own. Beside each, in turns, a reference is
timed: the preset's batch and window on a few slices in memory. So the ratio to it holds on a machine whose speed
drifts. Seconds are medians over rounds, ratios the medians of the rounds' ratios.

Against the number of slices, which one method is enough for, slices lie in memory as long as they fit, and stream from
the disk beyond. The smallest number is measured both ways, so that the cost of streaming shows by itself. Streamed
steps are timed twice: with what the system caches of the file, and after that was dropped, when every slice comes from
the disk.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import tyro
from rich.progress import track
from tyro.conf import arg

from fresh import forget, run_apart
from maskmixadv.bench.child import gpu_peak_memory, peak_memory
from maskmixadv.device import device_name, pick_device
from maskmixadv.errors import InputError
from maskmixadv.provenance import commit
from maskmixadv.runs.schedule import PRESETS, Schedule
from maskmixadv.sampling.slices import Slices
from maskmixadv.sampling.storage import GB, Resident, Streamed, make_room, slice_bytes
from maskmixadv.training.loop import Loop
from record import append
from steps import MadeUp, check_methods, finish, loop_on, make_up, turn

PRESET = PRESETS["cpu"]
BLOCK = 64
"""Slices that differ; they are repeated as often as it takes."""
BATCHES = 20
"""Batches drawn to time that alone."""


@dataclass(frozen=True)
class Scaling:
    """Time steps, and measure memory, against batch, window and number of slices.

    Attributes
    ----------
    methods
        Names; the first one is measured against the number of slices.
    batches
        Slices a step.
    windows
        Sides in pixels of what a step sees, multiples of 16; the canvas is the preset's, or as large as the window.
    slices
        Numbers of slices.
    memory
        GB of the device's memory that slices may take; by default half of what is free.
    folder
        Whose disk slices stream from.
    rounds
        How often steps are timed, at least 1; one more goes before, untimed.
    steps
        Steps a round, at least 1; a multiple of 4 holds MaskMixAdv's lazy terms in their share.
    device
        Where to compute; by default the fastest that is there.
    """

    methods: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]")] = ("pce", "maskmixadv")
    batches: Annotated[tuple[int, ...], arg(metavar="INT [INT ...]")] = (1, 2, 4, 8, 16)
    windows: Annotated[tuple[int, ...], arg(metavar="PIXELS [PIXELS ...]")] = (64, 96, 128, 192)
    slices: Annotated[tuple[int, ...], arg(metavar="INT [INT ...]")] = (1_902, 10_000, 100_000)
    memory: Annotated[float | None, arg(metavar="GB")] = None
    folder: Annotated[Path, arg(metavar="FOLDER")] = Path()
    rounds: int = 3
    steps: int = 4
    device: Annotated[str | None, arg(metavar="DEVICE")] = None


@dataclass(frozen=True)
class Point:
    """What is measured at a time; fields as in `Scaling`."""

    method: str
    batch: int
    window: int
    slices: int
    memory: float | None
    folder: Path
    rounds: int
    steps: int
    device: str | None

    @property
    def schedule(self) -> Schedule:
        """The preset's, with this point's batch and window."""
        size = max(PRESET.size, self.window)
        return replace(PRESET, batch=self.batch, window=self.window, size=size, steps=10**6)


@dataclass(frozen=True)
class Times:
    """What a step takes.

    Attributes
    ----------
    ratio
        Of the step's seconds to the reference's.
    seconds_per_batch
        Of the part of the step that draws the batch.
    extra_seconds_per_batch
        By how much that is more than the reference's.
    """

    seconds_per_step: float
    ratio: float
    seconds_per_batch: float
    extra_seconds_per_batch: float


@dataclass(frozen=True)
class Figures:
    """What was measured at a point.

    Attributes
    ----------
    gigabytes
        What the slices take, in memory or on the disk.
    streamed
        Whether they lie on the disk.
    cached, cold
        Times with what the system caches of the file, and with nothing of it in memory; None where slices lie there.
    peak_mib, gpu_peak_mib
        Memory of the process, a file's mapped pages included, and of its tensors on the GPU; without the reference.
    """

    method: str
    batch: int
    window: int
    slices: int
    gigabytes: float
    streamed: bool
    cached: Times
    cold: Times | None
    peak_mib: float
    gpu_peak_mib: float


def measure(point: Point) -> Figures:
    """Measure one point, in this process."""
    schedule, device = point.schedule, pick_device(point.device)
    made = make_up(point.method, BLOCK, schedule.size)
    shape = (made.image.shape[1], schedule.size, schedule.size)
    room = make_room(point.slices, shape, device=device, memory=point.memory, folder=point.folder)
    fill(room, made, point.slices)
    file = os.dup(room.file.fileno()) if isinstance(room, Streamed) else None
    loop = looped(point.method, room, made, schedule, device)
    turn(loop, point.steps)  # memory is claimed and kernels are chosen
    peaks = peak_memory(), gpu_peak_memory()
    reference = referred(point.method, point.steps, device)
    cached, cold = timed(loop, reference, point), None
    if file is not None:
        forget(file)
        cold = timed(loop, reference, point)
        os.close(file)
    return Figures(
        point.method, point.batch, point.window, point.slices, point.slices * slice_bytes(shape) / GB,
        file is not None, cached, cold, *peaks,
    )  # fmt: skip


def looped(method: str, room: Resident | Streamed, made: MadeUp, schedule: Schedule, device: torch.device) -> Loop:
    """A method's loop on what was put into `room`."""
    rows = room.rows()
    centre = torch.zeros(len(rows.image), 2, device=device)
    return loop_on(method, Slices(rows.image, rows.target, centre, rows.mapping), made.dense, schedule)


def referred(method: str, steps: int, device: torch.device) -> Loop:
    """The loop that all points are compared with, after its first `steps` steps."""
    made = make_up(method, BLOCK, PRESET.size)
    room = Resident(BLOCK, (made.image.shape[1], PRESET.size, PRESET.size), device)
    fill(room, made, BLOCK)
    loop = looped(method, room, made, replace(PRESET, steps=10**6), device)
    turn(loop, steps)
    return loop


def fill(room: Resident | Streamed, made: MadeUp, count: int) -> None:
    """Put `count` slices into `room`."""
    for start in range(0, count, BLOCK):
        some = min(BLOCK, count - start)
        room.put(made.image[:some], made.target[:some])


def timed(loop: Loop, reference: Loop, point: Point) -> Times:
    """Time both loops' steps and batches in turns."""
    steps = [(turn(loop, point.steps), turn(reference, point.steps)) for _ in range(point.rounds)]
    batches = [(batch_seconds(loop), batch_seconds(reference)) for _ in range(BATCHES)]
    return Times(
        seconds_per_step=median(own for own, _ in steps),
        ratio=median(own / other for own, other in steps),
        seconds_per_batch=median(own for own, _ in batches),
        extra_seconds_per_batch=median(own - other for own, other in batches),
    )


def batch_seconds(loop: Loop) -> float:
    """Seconds that the next step's batch takes; the step itself is left out."""
    finish(loop.device)
    began = time.perf_counter()
    loop.batch()
    finish(loop.device)
    loop.step += 1
    return time.perf_counter() - began


def points(options: Scaling) -> dict[str, list[Point]]:
    """What is to be measured, by what changes."""
    found: dict[str, list[Point]] = {"batch": [], "window": [], "slices": []}
    for method in options.methods:
        usual = Point(
            method, PRESET.batch, PRESET.window, BLOCK, options.memory, options.folder, options.rounds, options.steps,
            options.device,
        )  # fmt: skip
        found["batch"] += [replace(usual, batch=batch) for batch in options.batches]
        found["window"] += [replace(usual, window=window) for window in options.windows]
        if method == options.methods[0]:  # more slices change how a batch is drawn, which is the same for all
            least = min(options.slices)
            found["slices"] += [replace(usual, slices=least, memory=gb) for gb in (math.inf, 0.0)]
            found["slices"] += [replace(usual, slices=count) for count in sorted(options.slices) if count > least]
    return found


def main(argv: Sequence[str]) -> None:
    """Measure, print Markdown tables, add the record's line."""
    options = _checked(tyro.cli(Scaling, args=argv))
    device = pick_device(options.device)
    todo = [(kind, point) for kind, some in points(options).items() for point in some]
    found: dict[str, list[Figures]] = {}
    for kind, point in track(todo, "points", disable=not sys.stderr.isatty()):
        found.setdefault(kind, []).append(run_apart(measure, point))
    print(f"The cpu preset's network and schedule, {device_name(device)}, commit {commit()}\n")
    for kind, some in found.items():
        print(table(kind, some, gpu=device.type == "cuda"))
    append(
        "scaling",
        {
            "preset": "cpu", "rounds": options.rounds, "steps": options.steps,
            **{kind: [asdict(figures) for figures in some] for kind, some in found.items()},
        },
        device,
    )  # fmt: skip


def table(kind: str, found: Sequence[Figures], *, gpu: bool) -> str:
    """A Markdown table of one sweep."""
    columns: dict[str, Callable[[Figures], str]] = {
        "method": lambda f: f.method,
        kind: lambda f: f"{getattr(f, kind):,}",
        "ms a step": lambda f: _ms(f.cached.seconds_per_step),
        "to the reference": lambda f: f"{f.cached.ratio:.2f}×",
    }
    if kind == "slices":
        columns |= {
            "nothing cached": lambda f: "–" if f.cold is None else f"{f.cold.ratio:.2f}×",
            "GB": lambda f: f"{f.gigabytes:.2f}",
            "lie": lambda f: "on disk" if f.streamed else "in memory",
            "ms for the batch, beyond the reference's": lambda f: _ms(f.cached.extra_seconds_per_batch),
            "likewise, nothing cached": lambda f: "–" if f.cold is None else _ms(f.cold.extra_seconds_per_batch),
        }
    else:
        columns["ms a slice"] = lambda f: _ms(f.cached.seconds_per_step / f.batch)
    columns["peak MiB"] = lambda f: f"{f.peak_mib:,.0f}"
    if gpu:
        columns["GPU peak MiB"] = lambda f: f"{f.gpu_peak_mib:,.0f}"
    lines = [list(columns), ["---"] * len(columns), *([cell(f) for cell in columns.values()] for f in found)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _checked(options: Scaling) -> Scaling:
    check_methods(options.methods)
    least = min(options.rounds, options.steps, *options.batches, *options.slices)
    if least < 1:
        raise InputError(f"rounds, steps, batches, slices: {least}, allowed are 1 or more")
    return options


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"scaling: {error}")
