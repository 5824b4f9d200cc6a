"""How long runs took to a validation Dice: ``python benchmarks/time_to_dice.py runs/* --dice 0.8 0.85 0.887``.

Read from the runs' logs: seconds of training and validation until the first validation that reached each value, and
the last one's Dice. A run that validates seldom is known no better than its validations.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from tyro.conf import Positional, arg

import record
from maskmixadv.errors import InputError
from maskmixadv.runs.course import read_course
from maskmixadv.runs.run import Run


@dataclass(frozen=True)
class TimeToDice:
    """Print and record when runs reached a validation Dice.

    Attributes
    ----------
    runs
        Directories of runs, which log.csv tells of.
    dice
        Values to reach.
    """

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")]
    dice: tuple[float, ...] = (0.8, 0.85, 0.887)


def reached(root: Path, values: tuple[float, ...]) -> dict[str, Any]:
    """Figures of one run."""
    run = Run.open(root)
    log = root / "log.csv"
    if not log.is_file():
        raise InputError(f"{log}: not there; the run has not begun")
    found = [(row.seconds, row.values["val/dice"]) for row in read_course(log) if "val/dice" in row.values]
    if not found:
        raise InputError(f"{log}: holds no validation")
    first = {f"{value:g}": next((seconds for seconds, dice in found if dice >= value), None) for value in values}
    return {
        "run": root.name, "method": run.record()["method"]["name"], "preset": run.facts.preset,
        "device": run.facts.device, "commit": run.facts.commit, "steps": run.schedule.steps,
        "seconds_to": first, "last_dice": round(found[-1][1], 4), "seconds": found[-1][0],
    }  # fmt: skip


def main(options: TimeToDice) -> None:
    """Print a Markdown table, append the record."""
    if not options.runs:
        raise InputError("missing: RUN")
    rows = [reached(root, options.dice) for root in options.runs]
    record.append("time-to-dice", rows, torch.device("cpu"))
    header = ["run", "method", *(f"s to {value:g}" for value in options.dice), "last Dice", "s", "device"]
    print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}")
    for row in rows:
        times = ["–" if seconds is None else f"{seconds:.0f}" for seconds in row["seconds_to"].values()]
        cells = [row["run"], row["method"], *times, row["last_dice"], f"{row['seconds']:.0f}", row["device"]]
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    try:
        main(tyro.cli(TimeToDice))
    except InputError as error:
        sys.exit(f"time_to_dice: {error}")
