"""A preset of two checkouts, turn by turn: ``python benchmarks/turns.py OLD corpora/acdc --prior corpora/mscmr``.

Each checkout steps on the same slices in a process of its own, with its own code and its own preset; both take turns,
so that a machine whose speed drifts slows both. What counts is the time of all of a preset's steps, new to old: the
median over rounds. `OLD` is another checkout of this project (``git worktree add OLD COMMIT``), 03acc8b or later.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import torch
import tyro
from rich.progress import track
from tyro.conf import Positional, arg

import record
from maskmixadv.errors import InputError
from steps import check_methods

SIDE = """
import json, os, sys, tempfile, time
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line has it
from pathlib import Path
import torch
from maskmixadv import methods
from maskmixadv.provenance import commit
try:  # modules in rooms
    from maskmixadv.corpus.corpus import Corpus
    from maskmixadv.runs.schedule import PRESETS
    from maskmixadv.training.begin import begin
    from maskmixadv.training.loop import Loop
    try:
        from maskmixadv.training.data import prior_masks, training_slices
    except ModuleNotFoundError:  # where they lay before
        from maskmixadv.training.fit import prior_masks, training_slices
except ModuleNotFoundError:  # modules side by side, as they lay before
    from maskmixadv.begin import begin
    from maskmixadv.data.corpus import Corpus
    from maskmixadv.loop import Loop
    from maskmixadv.schedule import PRESETS
    from maskmixadv.train import prior_masks, training_slices
name, preset, corpus, prior, steps = sys.argv[1:]
method, device = methods.ALL[name](), torch.device("cpu")
with tempfile.TemporaryDirectory() as folder:
    run = begin(Path(corpus), Path(folder) / "run", method=method, schedule=PRESETS[preset], preset=preset,
        prior_root=Path(prior) if prior else None, enclosure=method.supervision == "scribble", device="cpu",
        write=False)
    loop = Loop(run, training_slices(run, Corpus.open(Path(corpus)), device), prior_masks(run, device), device)
print(json.dumps({"commit": commit(), "steps": PRESETS[preset].steps}), flush=True)
while sys.stdin.readline():
    began = time.perf_counter()
    for _ in range(int(steps)):
        loop.advance()
    print((time.perf_counter() - began) / int(steps), flush=True)
"""
"""What runs in each checkout, with names that all of them have, wherever their modules lie."""
HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Turns:
    """Compare two checkouts' steps.

    Attributes
    ----------
    old
        Another checkout of this project.
    corpus
        To learn from.
    prior
        Corpus of unpaired masks, for methods with a critic.
    methods
        Names of methods that both have.
    preset
        What both run, each as it stands there.
    rounds
        Turns of each side, at least 1, after an untimed one.
    steps
        Steps a turn.
    """

    old: Annotated[Positional[Path], arg(metavar="OLD")]
    corpus: Annotated[Positional[Path], arg(metavar="CORPUS")]
    prior: Path | None = None
    methods: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]")] = ("pce", "maskmixadv")
    preset: Literal["paper", "fast", "cpu"] = "cpu"
    rounds: int = 8
    steps: int = 16


class Side:
    """A checkout's process."""

    def __init__(self, checkout: Path, words: Sequence[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout.resolve() / "src")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", SIDE, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.facts: dict[str, Any] = json.loads(self._answer())

    def turn(self) -> float:
        """Seconds a step."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._answer())

    def end(self) -> None:
        """Let the process go."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise InputError("a side ended early; its complaint stands above")
        return line


def measure(options: Turns, name: str) -> dict[str, Any]:
    """Figures of one method."""
    words = (name, options.preset, str(options.corpus), str(options.prior or ""), str(options.steps))
    sides = [Side(checkout, words) for checkout in (options.old, HERE)]
    for side in sides:
        side.turn()  # memory is claimed and kernels are chosen
    rounds = [
        [side.turn() for side in sides] for _ in track(range(options.rounds), name, disable=not sys.stderr.isatty())
    ]
    old, new = (side.facts for side in sides)
    for side in sides:
        side.end()
    return {
        "method": name,
        "commits": [old["commit"], new["commit"]],
        "preset_steps": [old["steps"], new["steps"]],
        "seconds_per_step": [round(median(each), 4) for each in zip(*rounds, strict=True)],
        "time": round(median(b / a for a, b in rounds) * new["steps"] / old["steps"], 3),
    }


def main(options: Turns) -> None:
    """Measure, print a Markdown table, append the record."""
    check_methods(options.methods)
    if options.rounds < 1 or options.steps < 1:
        raise InputError(f"rounds, steps: {options.rounds}, {options.steps}, allowed are 1 or more")
    if not (options.old / "src" / "maskmixadv").is_dir():
        raise InputError(f"{options.old}: holds no src/maskmixadv, allowed is another checkout of this project")
    rows = [measure(options, name) for name in options.methods]
    figures = {"preset": options.preset, "rounds": options.rounds, "steps": options.steps, "rows": rows}
    record.append("turns", figures, torch.device("cpu"))
    print("| method | steps, old and new | seconds a step, old and new | all steps, new to old |\n|---|---|---|---|")
    for row in rows:
        (a, b), (s, t) = row["preset_steps"], row["seconds_per_step"]
        print(f"| {row['method']} | {a}, {b} | {s:.3f}, {t:.3f} | {row['time']:.2f} |")


if __name__ == "__main__":
    try:
        main(tyro.cli(Turns))
    except InputError as error:
        sys.exit(f"turns: {error}")
