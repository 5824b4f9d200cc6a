"""What a step consists of, and how far it is from its floor: ``python benchmarks/parts.py --methods pce maskmixadv``.

A step is taken apart into drawing (rows and parameters to a batch), forward passes with losses, backward passes and
updates; the parts are those of `maskmixadv.training.loop.Loop`. The floor is the time that the step's multiplications
would take at the rate that this device reaches in one large matrix product in the step's own arithmetic: convolutions
of few channels and all that moves memory can't reach it. Means over steps, so that lazy terms count in their share.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line has it; before torch is imported

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeVar

import torch
import tyro
from torch.utils.flop_counter import FlopCounterMode
from tyro.conf import arg

import record
from maskmixadv.device import autocast, pick_device
from maskmixadv.errors import InputError
from maskmixadv.training.loop import Loop
from steps import check_methods, finish, smaller
from steps import loop as made_up_loop

Result = TypeVar("Result")


@dataclass(frozen=True)
class Parts:
    """Take steps apart.

    Attributes
    ----------
    methods
        Names.
    preset
        Resolution, batch and optimiser.
    batch
        Slices a step, instead of the preset's.
    window
        Side in pixels of what a step sees, instead of the preset's; a multiple of 16.
    side
        Of the matrix product that shows the device's rate.
    steps
        How many are timed; a multiple of 4 holds MaskMixAdv's lazy terms in their share.
    device
        Where to compute; by default the fastest that is there.
    """

    methods: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]")] = ("pce", "maskmixadv")
    preset: Literal["paper", "fast", "cpu"] = "cpu"
    batch: Annotated[int | None, arg(metavar="INT")] = None
    window: Annotated[int | None, arg(metavar="PIXELS")] = None
    side: int = 4096
    steps: int = 24
    device: Annotated[str | None, arg(metavar="DEVICE")] = None


def rate(device: torch.device, precision: torch.dtype, side: int) -> float:
    """Floating-point operations a second in a matrix product of `side` rows and columns: the best of five."""
    one = torch.randn(side, side, device=device).to(precision)
    seconds = []
    for _ in range(6):
        finish(device)
        began = time.perf_counter()
        torch.mm(one, one)
        finish(device)
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds[1:])


def parts(loop: Loop, steps: int) -> dict[str, float]:
    """Seconds of each part of a step, mean over `steps`."""
    seconds: dict[str, float] = defaultdict(float)

    def timed(name: str, do: Callable[[], Result]) -> Result:
        began = time.perf_counter()
        result = do()
        finish(loop.device)
        seconds[name] += (time.perf_counter() - began) / steps
        return result

    inside = autocast(loop.run.schedule.precision, loop.device)
    for _ in range(steps):
        finish(loop.device)
        phases = loop.run.method.phases(loop.nets, timed("draw", loop.batch))

        def forward(phases: object = phases) -> object:
            with inside():
                return next(phases, None)  # pyright: ignore[reportArgumentType, reportCallIssue]

        while phase := timed("forward", forward):
            player, terms = phase  # pyright: ignore[reportGeneralTypeIssues]
            total = torch.stack(list(terms.values())).sum()
            timed("backward", lambda total=total, player=player: total.backward(inputs=loop.parameters[player]))
            timed("update", loop.optimisers[player].step)
            loop.optimisers[player].zero_grad()
        loop.step += 1
    return dict(seconds)


def operations(loop: Loop, steps: int) -> float:
    """Floating-point operations a step in convolutions and products, mean over `steps`."""
    with FlopCounterMode(display=False) as counter:
        for _ in range(steps):
            loop.advance()
    return counter.get_total_flops() / steps


def main(options: Parts) -> None:
    """Measure, print a Markdown table, append the record."""
    check_methods(options.methods)
    device = pick_device(options.device)
    schedule = replace(smaller(options.preset, options.batch, options.window), steps=10**6)
    with autocast(schedule.precision, device)():
        precision = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32
    reached, rows = rate(device, precision, options.side), []
    for name in options.methods:
        loop = made_up_loop(name, schedule, device)
        for _ in range(4):
            loop.advance()
        seconds = parts(loop, options.steps)
        total, floor = sum(seconds.values()), operations(loop, 4) / reached
        rows.append(
            {
                "method": name,
                **{f"{part}_ms": round(1000 * took, 2) for part, took in seconds.items()},
                "step_ms": round(1000 * total, 2),
                "floor_ms": round(1000 * floor, 2),
                "to_floor": round(total / floor, 1),
            }
        )
    facts = {"preset": options.preset, "batch": schedule.batch, "window": schedule.window, "precision": str(precision)}
    record.append("parts", {**facts, "gflops": round(reached / 1e9), "rows": rows}, device)
    print(f"Batches of {schedule.batch}, {schedule.window} pixels, {precision}, {reached / 1e9:.0f} GFLOP/s\n")
    print(f"| {' | '.join(rows[0])} |\n|{' --- |' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(map(str, row.values()))} |")


if __name__ == "__main__":
    try:
        main(tyro.cli(Parts))
    except InputError as error:
        sys.exit(f"parts: {error}")
