"""Many small trainings in one process: ``python benchmarks/gpu/together.py LOT --work WORK --out OUT``.

A small training keeps a GPU waiting: its steps are a thousand small kernels, one after another. So several runs share
one process; each has a CUDA stream of its own, and its steps are recorded, so that those of different runs overlap.
README.md beside this file says how a lot is written and what is handed out.
"""

import os

os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")  # so many streams run side by side; read when CUDA begins

import gc
import json
import multiprocessing
import sys
import time
import traceback
from collections import deque
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Annotated, Any

import torch
import tyro
from tyro.conf import Positional, arg

import handout
import working
from lot import Lot, Piece
from maskmixadv.device import device_name, pick_device
from maskmixadv.errors import DivergedError, InputError, one_line
from maskmixadv.runs.run import Run
from maskmixadv.training.going import Going
from maskmixadv.training.together import Ended, Together, start_worker
from readying import Readying
from working import say

TURN_SECONDS = 0.1
"""Between two looks at what the workers have done."""
TELL_SECONDS = 20.0
"""Between two lines of progress."""
PACKING_SECONDS = 5.0
"""For the results' files, at the end."""
EVALUATION_SECONDS = 20.0
"""Of an evaluation, until one has been measured."""
KEPT_MARKS = 30
"""Turns over which the pace of all runs together is measured."""
NOISE = "Each run draws its own noise, as if it were alone; cuDNN chooses its kernels by time, so no bit is promised."


@dataclass(frozen=True)
class Options:
    """Train and score a lot of runs.

    Attributes
    ----------
    lot
        TOML file of the lot.
    work
        Folder with the corpora; runs are made in it.
    out
        Folder for the results.
    at_once
        Runs that train at a time.
    seconds
        Time for everything. What can't be trained and scored in it is left out.
    processes
        Worker processes; by default one fewer than there are processors.
    plain
        Take steps operation by operation; on a CPU they always are.
    must_record
        End a run where its steps can't be recorded, so that a lot that would take too long is over soon.
    device
        Where to train; by default the fastest that is there.
    dry
        Try the lot: each of its runs for two steps, on phantoms.
    """

    lot: Positional[Path]
    work: Path
    out: Path
    at_once: int = 12
    seconds: float = 300.0
    processes: Annotated[int | None, arg(metavar="INT")] = None
    plain: bool = False
    must_record: bool = False
    device: Annotated[str | None, arg(metavar="DEVICE")] = None
    dry: bool = False


class Scoring:
    """Scores runs in worker processes."""

    def __init__(self, pool: Executor, workers: int) -> None:
        self._pool, self._workers = pool, workers
        self._pending: dict[Future[float], tuple[Piece, str]] = {}
        self._took: list[float] = []
        self.failed: dict[str, str] = {}
        """Why evaluations failed, by run and evaluation."""

    def submit(self, piece: Piece) -> None:
        """Score a run that is trained."""
        for split, largest in piece.evaluations:
            name = f"{piece.name} {split}{' largest' if largest else ''}"
            self._pending[self._pool.submit(working.score, piece.root, split, largest=largest)] = (piece, name)

    def poll(self) -> int:
        """See what is done; returns the number of evaluations that are not."""
        for future in [future for future in self._pending if future.done()]:
            piece, name = self._pending.pop(future)
            error = future.exception()
            if error is None:
                self._took.append(future.result())
                continue
            self.failed[name] = one_line(str(error))[:300]
            say(piece.root, "".join(traceback.format_exception(error)))
            print(f"{name}: not scored: {self.failed[name]}", flush=True)
        return len(self._pending)

    def needed(self, more: int) -> float:
        """Seconds until all that is pending and so many `more` evaluations are done."""
        return max(1.0, (len(self._pending) + more) / self._workers) * self.seconds

    def give_up(self) -> None:
        """Name what could not be scored in time."""
        for _, name in self._pending.values():
            self.failed[name] = "no time"

    @property
    def seconds(self) -> float:
        """What an evaluation takes."""
        return mean(self._took) if self._took else EVALUATION_SECONDS


class Training:
    """Trains a lot's runs side by side, newest from the list, and has them scored."""

    def __init__(self, options: Options, pool: Executor, workers: int, began: float) -> None:
        self._options, self._began = options, began
        self._device = pick_device(options.device)
        lot, work = Lot.read(options.lot), options.work.resolve()
        lot = lot.tiny() if options.dry else lot
        self.pieces = lot.pieces(work)
        self.readying = Readying(lot, self.pieces, work, pool, device_name(self._device))
        self.scoring = Scoring(pool, workers)
        graph = self._device.type == "cuda" and not options.plain
        self._trainer = Together(self._device, options.at_once, graph=graph, must_record=options.must_record)
        self._of: dict[Going, Piece] = {}
        self._pace = 0.0
        self._marks: deque[tuple[float, int]] = deque(maxlen=KEPT_MARKS)
        self._turned = self._told = 0.0
        self.done: dict[str, dict[str, Any]] = {}
        """What became of each run, by name."""
        self.first_step: float | None = None
        """Seconds until the first step."""

    @property
    def clock(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @property
    def best_rate(self) -> float:
        """Most steps a second of all runs together, over some seconds."""
        return self._pace

    def train(self) -> None:
        """Train until all is done or time is up."""
        while self._going or self.readying.waiting:
            if self.clock - self._turned > TURN_SECONDS:
                self._turn()
                if self.clock > self._until():
                    break
            steps = self._trainer.steps
            for ended in self._trainer.go_on():
                self._over(ended)
            if self._trainer.steps == steps:
                time.sleep(2e-4 if self._going else TURN_SECONDS)
        for going in self._going:
            self._leave(going, "stopped: no time")
        for piece in self.readying.waiting:
            self.done[piece.name] = {"state": "not begun"}

    def score(self) -> None:
        """Wait for what is being scored, as long as there is time."""
        while self.scoring.poll() and self.clock < self._options.seconds - PACKING_SECONDS:
            self._tell()
            time.sleep(TURN_SECONDS)
        self.scoring.give_up()

    def _turn(self) -> None:
        """See what the workers have done, and begin runs where there is room and time."""
        self._turned = self.clock
        self.readying.poll()
        self.scoring.poll()
        self._marks.append((self.clock, self._trainer.steps))
        self._pace = max(self._pace, self._together())
        for going in self._going:
            going.mark()
        while not self._trainer.full and self._begin():
            pass
        self._tell()

    def _begin(self) -> bool:
        """Begin the next run that is ready and can end in time; returns whether there was one."""
        taken = self.readying.take(self._fits(), self._device)
        if taken is None:
            return False
        piece, (slices, prior) = taken
        try:
            going = self._trainer.begin(Run.open(piece.root), slices, prior, tell=partial(_told, piece))
            self._of[going] = piece
        except Exception as error:
            self._fail(piece, error, step=0)
        self.first_step = self.first_step or self.clock
        return True

    def _fits(self) -> int | None:
        """How many steps a run that begins now can take; None where that is not known yet."""
        paces = [pace for going in self._going if (pace := going.pace) is not None]
        if not paces:
            return None
        pace = median(paces) * len(self._going) / (len(self._going) + 1)
        return max(0, int(pace * (self._until(more=1) - self.clock)))

    def _until(self, more: int = 0) -> float:
        """When training must stop, so that all runs that can end by then, and so many more, can be scored."""
        last = self._options.seconds - PACKING_SECONDS
        left = last - self.scoring.seconds - self.clock
        ending = [going for going in self._going if going.pace is None or going.left / going.pace < left]
        most = max((len(piece.evaluations) for piece in self.pieces), default=1)
        coming = sum(len(self._of[going].evaluations) for going in ending)
        return last - self.scoring.needed(coming + more * most)

    @property
    def _going(self) -> list[Going]:
        return self._trainer.going

    def _over(self, ended: Ended) -> None:
        going, error = ended
        if error is not None:
            self._fail(self._of.pop(going), error, step=going.loop.step)
            return
        self.scoring.submit(self._of[going])
        self._leave(going, "trained")

    def _leave(self, going: Going, state: str) -> None:
        facts = {"seconds": round(going.seconds, 1), "steps": going.loop.step, "recorded": going.graph}
        self.done[self._of.pop(going).name] = {"state": state, **facts}

    def _fail(self, piece: Piece, error: Exception, step: int) -> None:
        """Note why a run ended early; the others go on."""
        if not isinstance(error, DivergedError):
            say(piece.root, "".join(traceback.format_exception(error)))
        self.done[piece.name] = {"state": f"failed: {one_line(str(error))[:300]}", "steps": step}
        print(f"{piece.name}: failed at step {step}: {one_line(str(error))[:300]}", flush=True)

    def _together(self) -> float:
        """Steps a second of all runs together, lately."""
        if len(self._marks) < self._marks.maxlen:  # pyright: ignore[reportOperatorIssue]
            return 0.0
        (since, first), (until, last) = self._marks[0], self._marks[-1]
        return (last - first) / max(until - since, 1e-9)

    def _tell(self) -> None:
        """Say now and then how far everything is."""
        if self.clock - self._told < TELL_SECONDS:
            return
        self._told = self.clock
        gpu = f", {torch.cuda.memory_reserved(self._device) / 2**30:.1f} GiB" if self._device.type == "cuda" else ""
        trained = sum(of["state"] == "trained" for of in self.done.values())
        print(
            f"[{self.clock:5.0f} s] {trained} of {len(self.pieces)} trained, {len(self.readying.waiting)} to begin; "
            f"{self._together():.0f} steps/s of {len(self._going)}{gpu}; at steps "
            f"{' '.join(str(going.loop.step) for going in self._going) or '–'}; {self.scoring.poll()} to score "
            f"({self.scoring.seconds:.0f} s each); {self._options.seconds - self.clock:.0f} s left; "
            f"ready: {self.readying.seconds}",
            flush=True,
        )


def _told(piece: Piece, line: str) -> None:
    print(line, flush=True)
    say(piece.root, line)


def main(options: Options) -> dict[str, Any]:
    """Train, score and pack; returns the content of ``lot.json``."""
    began = time.monotonic()
    if options.at_once < 1:
        raise InputError(f"at_once: {options.at_once}, allowed is 1 or more")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.work / "runs").mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    workers = options.processes or max(1, (os.cpu_count() or 1) - 1)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker) as pool:
        lot = Training(options, pool, workers, began)
        try:
            lot.train()
            trained = lot.clock
            lot.score()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.kill()
    told = _pack(options, lot, trained)
    print(f"{options.out}: {told['trained']} of {len(lot.pieces)} runs trained, in {lot.clock:.0f} s", flush=True)
    return told


def _pack(options: Options, lot: Training, trained: float) -> dict[str, Any]:
    work = options.work.resolve()
    handout.pack_scores(lot.pieces, work, options.out / "scores.tgz")
    failed: dict[str, dict[str, Any]] = {name: {"state": f"failed: {why}"} for name, why in lot.readying.failed.items()}
    done = lot.done | failed
    for piece in lot.pieces:
        found = {folder.name.removeprefix("evaluation-"): handout.dice(folder) for folder in handout.evaluations(piece)}
        done[piece.name]["dice"] = found
        shown = "  ".join(f"{name} {value:.4f}" for name, value in found.items() if value is not None)
        print(f"{piece.name:40} {done[piece.name]['state']:12} {shown}")
    told: dict[str, Any] = {
        "device": device_name(pick_device(options.device)),
        "torch": torch.__version__,
        "at_once": options.at_once,
        "trained": sum(of["state"] == "trained" for of in done.values()),
        "seconds": {
            "first_step": lot.first_step and round(lot.first_step, 1), "trained": round(trained, 1),
            "all": round(lot.clock, 1), "evaluation": round(lot.scoring.seconds, 1), **lot.readying.seconds,
        },
        "steps_per_second": round(lot.best_rate, 1),
        "runs": done,
        "not_scored": lot.scoring.failed,
        "weights": handout.pack_weights(lot.pieces, options.out),
        "noise": NOISE,
        "lot": options.lot.read_text(),
    }  # fmt: skip
    (options.out / "lot.json").write_text(handout.published(json.dumps(told, indent=1), work))
    return told


if __name__ == "__main__":
    gc.freeze()  # what was imported is not searched for garbage again and again
    try:
        main(tyro.cli(Options))
    except InputError as error:
        sys.exit(f"together: {error}")
