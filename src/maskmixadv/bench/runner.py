"""Makes the runs of a table, one after another; a run that fails does not stop the others."""

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from maskmixadv.bench.cells import Job
from maskmixadv.bench.workers import Outcome, Workers
from maskmixadv.errors import InputError, say
from maskmixadv.runs.course import read_course

LOOK_SECONDS: Final = 1.0
"""How often the display is brought up to date."""


def make(jobs: Sequence[Job], workers: Workers) -> dict[Job, Outcome]:
    """Make `jobs`, and show the progress on stderr.

    Returns
    -------
    The jobs that failed, and how each ended. Their scores are missing; another call tries them again.
    """
    failed: dict[Job, Outcome] = {}
    if not jobs:
        return failed
    with _Display(jobs, workers.slots) as display, closing(workers):
        waiting: dict[Future[Outcome], Job] = {workers.submit(job): job for job in jobs}
        while waiting:
            ended, _ = wait(waiting, LOOK_SECONDS, FIRST_COMPLETED)
            for future in ended:
                job, outcome = waiting.pop(future), _outcome(future)
                if outcome.code:
                    failed[job] = outcome
                display.ended(job, outcome)
            display.look(list(waiting.values()), len(failed))
    return failed


def _outcome(future: "Future[Outcome]") -> Outcome:
    error = future.exception()
    # An error here is not the run's own: a machine left its cluster, or a process could not be started.
    return future.result() if error is None else Outcome(1, f"{type(error).__name__}: {error}".split("\n", 1)[0])


class _Display:
    """Shows the progress: on a terminal as a bar over all steps of all runs, elsewhere as a line for each run."""

    def __init__(self, jobs: Sequence[Job], slots: int) -> None:
        self._total, self._slots = len(jobs), slots
        self._console = Console(stderr=True)
        self._began, self._steps = time.monotonic(), 0
        self._at_first = {job: reached(job.log) for job in jobs}
        self._bar = Progress(
            TextColumn("{task.fields[state]}"),
            BarColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        # Steps that an earlier call has trained say nothing of this call's speed.
        self._task = self._bar.add_task(
            "", total=sum(job.steps - steps for job, steps in self._at_first.items()), state=""
        )
        self._ended = 0

    def __enter__(self) -> "_Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Print a line for a run that has ended."""
        self._ended += 1
        self._steps += job.steps - self._at_first[job]
        state = "done" if outcome.code == 0 else f"failed: {outcome.reason}"
        passed = time.monotonic() - self._began
        left = passed / self._ended * (self._total - self._ended)
        self._console.print(
            f"{self._ended}/{self._total} {job.run.name} {state}  ({passed:.0f} s, about {left:.0f} s left)",
            soft_wrap=True, highlight=False, markup=False,
        )  # fmt: skip

    def look(self, waiting: Sequence[Job], failed: int) -> None:
        """Bring the bar up to date."""
        steps = self._steps + sum(max(0, reached(job.log) - self._at_first[job]) for job in waiting)
        running = min(self._slots, len(waiting))
        state = f"{self._ended - failed} of {self._total} done, {running} running, {failed} failed"
        self._bar.update(self._task, completed=steps, state=state)


def reached(log: Path) -> int:
    """Return the last step in a run's ``log.csv``; 0 if there is none yet, or none that can be read."""
    try:
        return max((row.step for row in read_course(log)), default=0)
    except InputError:
        return 0


def report_failures(failed: dict[Job, Outcome]) -> int:
    """Print a line for each run that failed.

    Returns
    -------
    The exit code: 0 if none failed, 2 if all failed of wrong input, else 1.
    """
    for job, outcome in failed.items():
        end = f"ended with {outcome.code}" if outcome.code >= 0 else f"was killed by signal {-outcome.code}"
        say(f"maskmixadv: {job.run.name} {end}: {outcome.reason}; all it said: {job.output}")
    codes = {outcome.code for outcome in failed.values()}
    return 0 if not codes else 2 if codes == {2} else 1
