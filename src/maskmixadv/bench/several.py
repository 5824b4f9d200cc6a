"""Runs of a table, trained side by side: ``python -m maskmixadv.bench.several DEVICE MOST``.

A line of stdin is a job (`Job.json`). A line of stdout is a `Told`: what became of a job, or a line for people. Each
run goes through four stages:

1. a thread waits for the lock of the run, as another process may be at it;
2. a worker process begins the run, or opens it, and another hands its slices over, once for all runs that share them;
3. the run is trained here, beside at most MOST - 1 others (`maskmixadv.training.together`);
4. a worker process scores it on the CPU and files the scores, as `maskmixadv.bench.child` does.

What fails is one run. When this process is asked to stop, it saves the runs in training, and the next call goes on with
them. Where it is killed, they are begun anew.
"""

import contextlib
import gc
import json
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch

from maskmixadv.bench.cells import Job
from maskmixadv.bench.child import follow, measured, opened, score
from maskmixadv.bench.told import Told
from maskmixadv.device import device_name, pick_device
from maskmixadv.errors import INTERRUPTED, DivergedError, InputError, counted, one_line, report
from maskmixadv.files import held, make_directory, partial_name
from maskmixadv.processes import process_pool, told_to
from maskmixadv.runs.run import Run
from maskmixadv.sampling.slices import PriorMasks, Slices
from maskmixadv.sources.states import kept
from maskmixadv.training.going import Going
from maskmixadv.training.together import Ended, Together, begin_for, hand_over, handed, start_worker

LOOK_SECONDS: Final = 0.1
"""Between two looks at what workers have done."""
LOG_SECONDS: Final = 3.0
"""Between two writings of the runs' logs."""


@dataclass
class _Group:
    """Runs that learn from the same slices: their file, when a worker has made it, and the slices on the device."""

    file: Path
    made: "Future[None] | None" = None
    there: tuple[Slices, PriorMasks | None] | None = None


@dataclass
class _End:
    """How a job ended: its exit code, and why it failed."""

    code: int = 0
    reason: str = ""


@dataclass
class _Made:
    """A job in one of its stages before training."""

    job: Job
    group: _Group
    locks: ExitStack
    stage: "Future[None]"
    begun: bool = False
    ready: bool = False


class Several:
    """Makes jobs, most of them side by side.

    Parameters
    ----------
    device
        Where to train.
    most
        Runs in training at a time.
    pool
        Worker processes.
    tell
        Takes what is to be told.
    """

    def __init__(self, device: torch.device, most: int, *, pool: Executor, tell: Callable[[Told], None]) -> None:
        self._device, self._pool, self._tell, self._most = device, pool, tell, most
        self._together = Together(device, most, graph=device.type == "cuda", whole=True)
        self._waiting: list[Job] = []
        self._groups: dict[str, _Group] = {}
        self._made: list[_Made] = []
        self._training: dict[Going, _Made] = {}
        self._scoring: dict[Future[None], _Made] = {}
        self._put_back: set[Job] = set()
        self._looked = self._logged = 0.0

    @property
    def idle(self) -> bool:
        """Whether all jobs have ended."""
        return not (self._waiting or self._made or self._training or self._scoring)

    def add(self, job: Job) -> None:
        """Make `job`, too."""
        self._waiting.append(job)

    def turn(self) -> None:
        """Hand steps to the device, and now and then see what workers have done; waits a little if all is under way."""
        steps = self._together.steps
        for ended in self._together.go_on():
            self._over(ended)
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._look()
            self._looked = time.monotonic()
        if self._together.steps == steps:
            time.sleep(2e-4 if self._together.going else LOOK_SECONDS)

    def stop(self) -> None:
        """Save what is in training."""
        for going, made in self._training.items():
            with _said_to(made.job.output) as end:
                going.end(whole=True)
            self._end(made, end if end.code else _End(INTERRUPTED, "interrupted and saved"))

    def _look(self) -> None:
        while self._waiting and len(self._made) < self._most:
            self._claim(self._waiting.pop(0))
        for made in tuple(self._made):
            if made.stage.done() and not (made.ready and self._together.full):
                self._go_on(made)
        for future in [future for future in self._scoring if future.done()]:
            made = self._scoring.pop(future)
            with _said_to(made.job.output) as end:
                future.result()
            self._end(made, end)
        if time.monotonic() - self._logged > LOG_SECONDS:
            self._logged = time.monotonic()
            for going, made in self._training.items():
                with _said_to(made.job.output):  # a full disk ends the run when it is saved
                    going.write_log()
        wanted = {id(made.group) for made in self._made} | {id(self._group(job)) for job in self._waiting}
        for group in self._groups.values():
            if id(group) not in wanted:
                group.there = group.made = None  # the device's memory is for others

    def _group(self, job: Job) -> _Group:
        key = job.recipe.learnt_from
        if key not in self._groups:
            self._groups[key] = _Group(partial_name(job.run.with_name("slices.pt")))
        return self._groups[key]

    def _claim(self, job: Job) -> None:
        """Have a thread wait for the run's lock."""
        locks = ExitStack()
        make_directory(job.run.parent)
        lock = held(job.run.parent, name=f".{job.run.name}.lock", wait=True)
        claimed: Future[None] = Future()
        # Nobody waits for a thread that waits for a lock when all else is over.
        threading.Thread(target=_enter, args=(locks, lock, claimed), daemon=True).start()
        self._made.append(_Made(job, self._group(job), locks, claimed))

    def _go_on(self, made: _Made) -> None:
        """Bring a job whose stage is done one further, up to its training."""
        job, group = made.job, made.group
        with _said_to(job.output) as end:
            made.stage.result()
            if not made.begun and job.done:
                self._made.remove(made)
                self._end(made, end)
            elif not made.begun:
                made.begun = True
                self._see(job)
                made.stage = self._pool.submit(begin, job, device_name(self._device))
            elif group.there is None and (group.made is None or (group.made.done() and group.made.exception())):
                group.made = made.stage = self._pool.submit(slices, job, group.file)
            elif group.there is None and group.made is not None and not group.made.done():
                made.stage = group.made
            else:
                made.ready = True
                if not self._together.full:
                    self._train(made)
        if end.code:
            self._made.remove(made)
            self._end(made, end)

    def _see(self, job: Job) -> None:
        """Say so where a run was stopped before it was saved, by an earlier process."""
        if job not in self._put_back and (job.run / "run.json").is_file() and not (job.run / "last.pt").is_file():
            self._tell(Told(line=f"{job.run.name} was stopped before it was saved: begun anew"))

    def _train(self, made: _Made) -> None:
        try:
            self._begin(made)
        except torch.OutOfMemoryError:
            if not self._together.going:
                raise
            self._made.remove(made)
            self._fewer(made)

    def _begin(self, made: _Made) -> None:
        job, group = made.job, made.group
        if group.there is None:
            slices, prior, told = handed(group.file, self._device)
            group.there = slices, prior
            with contextlib.suppress(OSError):  # a system may hold on to what is mapped
                group.file.unlink()
            print("\n".join(f"{job.run}: {line}" for line in told.splitlines()))
        made.locks.enter_context(held(job.run))
        run = Run.open(job.run)
        made.locks.enter_context(kept(run.learnt_from.root))
        state = run.load(self._device) if run.checkpoint.is_file() else None
        going = self._together.begin(run, *group.there, state=state, tell=lambda line: _say(job.output, line))
        self._made.remove(made)
        self._training[going] = made

    def _over(self, ended: Ended) -> None:
        made = self._training.pop(ended.going)
        if isinstance(ended.error, torch.OutOfMemoryError) and self._together.going:
            self._fewer(made)
            return
        with _said_to(made.job.output) as end:
            if ended.error is not None:
                raise ended.error
            self._scoring[self._pool.submit(scored, made.job)] = made
        if end.code:
            self._end(made, end)

    def _fewer(self, made: _Made) -> None:
        """Put back a run that memory had no room for."""
        most = self._together.fewer()
        self._tell(Told(line=f"memory holds {counted(most, 'run')} at a time; {made.job.run.name} waits for them"))
        made.locks.close()
        self._waiting.append(made.job)
        self._put_back.add(made.job)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _end(self, made: _Made, end: "_End") -> None:
        made.locks.close()
        self._tell(Told(made.job.identity, end.code, end.reason))


def begin(job: Job, device: str) -> None:
    """Write the run of `job` down as one that trains on the device called `device`, unless it is there."""
    with told_to(job.output):
        if opened(job) is None:
            begin_for(job.recipe, job.run, device)


def slices(job: Job, file: Path) -> None:
    """Save in a file what the run of `job` learns from."""
    with told_to(job.output):
        hand_over(Run.open(job.run), file)


def scored(job: Job) -> None:
    """Score the run of `job` on the CPU, and file the scores; its memory is not known, as others shared the process."""
    with told_to(job.output):
        score(job, measured(job.run / "usage.json"), device="cpu", jobs=1)


def _enter(locks: ExitStack, lock: AbstractContextManager[None], entered: "Future[None]") -> None:
    try:
        locks.enter_context(lock)
    except InputError as error:
        entered.set_exception(error)
    else:
        entered.set_result(None)


def _say(output: Path, line: str) -> None:
    with told_to(output):
        print(line)


@contextlib.contextmanager
def _said_to(output: Path) -> "Iterator[_End]":
    """Add to a file what is printed and what goes wrong; yields what then says how it ended."""
    end = _End()
    with told_to(output):
        try:
            yield end
        except (InputError, DivergedError) as error:
            end.code, end.reason = report(error), one_line(str(error))
        except Exception as error:
            traceback.print_exc()
            end.code, end.reason = 1, one_line("".join(traceback.format_exception_only(error)))


def _read(jobs: "queue.SimpleQueue[Job | None]") -> None:
    for line in sys.stdin:
        jobs.put(Job.from_json(line))
    jobs.put(None)


def main(device: str | None, most: int) -> int:
    """Make the jobs of stdin; returns the exit code."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    threading.Thread(target=follow, args=(os.getppid(),), daemon=True).start()
    out, sys.stdout = sys.stdout, sys.stderr  # what anything prints is no message

    def tell(told: Told) -> None:
        print(json.dumps(asdict(told)), file=out, flush=True)

    place = pick_device(device)
    if place.type == "cuda":
        torch.set_num_threads(1)
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()
    more = True
    workers = max(1, (os.cpu_count() or 1) - 1)
    with process_pool(workers, fresh=True, begin=start_worker) as pool:
        several = Several(place, most, pool=pool, tell=tell)
        gc.freeze()  # what was imported is not searched for garbage again and again
        while not stopped.is_set() and (more or not several.idle):
            while not jobs.empty():
                job = jobs.get()
                more = more and job is not None
                if job is not None:
                    several.add(job)
            several.turn()
        several.stop()
        if stopped.is_set():
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.kill()
    return INTERRUPTED if stopped.is_set() else 0


if __name__ == "__main__":
    wanted, at_once = sys.argv[1:]
    try:
        sys.exit(main(wanted or None, int(at_once)))
    except InputError as error:
        sys.exit(report(error))
