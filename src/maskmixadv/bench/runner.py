"""The runs of a table, from the first to the last: what is done is skipped, what fails does not stop the others."""

import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from maskmixadv.bench.cells import Job
from maskmixadv.bench.workers import Outcome, Workers

LOOK_SECONDS = 1.0
"""Between two looks at how far the runs are."""


def make(jobs: Sequence[Job], workers: Workers) -> dict[Job, Outcome]:
    """Make `jobs`, and show how it goes on stderr.

    Returns
    -------
    How those that failed ended; their scores are missing, and another call tries them again.
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
    # What attended the run died, not the run itself: a machine that left its cluster, a disk that is full.
    return future.result() if error is None else Outcome(1, f"{type(error).__name__}: {error}".split("\n", 1)[0])


class _Display:
    """A bar over all steps of all runs on a terminal; elsewhere a line a run."""

    def __init__(self, jobs: Sequence[Job], slots: int) -> None:
        self._total, self._slots = len(jobs), slots
        self._console = Console(stderr=True)
        self._began, self._steps = time.monotonic(), 0
        self._at_first = {job: reached(job.output) for job in jobs}
        self._bar = Progress(
            TextColumn("{task.fields[state]}"),
            BarColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        # What an earlier call has trained is no measure of this one's speed.
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
        """Tell of a run that has ended."""
        self._ended += 1
        self._steps += job.steps - self._at_first[job]
        state = "done" if outcome.code == 0 else f"failed: {outcome.words}"
        passed = time.monotonic() - self._began
        left = passed / self._ended * (self._total - self._ended)
        self._console.print(
            f"{self._ended}/{self._total} {job.run.name} {state}  ({passed:.0f} s, about {left:.0f} s left)",
            soft_wrap=True, highlight=False, markup=False,
        )  # fmt: skip

    def look(self, waiting: Sequence[Job], failed: int) -> None:
        """Bring the bar up to date."""
        steps = self._steps + sum(max(0, reached(job.output) - self._at_first[job]) for job in waiting)
        running = min(self._slots, len(waiting))
        state = f"{self._ended - failed} of {self._total} done, {running} running, {failed} failed"
        self._bar.update(self._task, completed=steps, state=state)


def reached(output: Path) -> int:
    """Return the last step that a run's output tells of; 0 where it tells of none."""
    if not output.is_file():
        return 0
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - 4096))
        told = re.findall(rb"^step (\d+)/\d+ ", file.read(), re.MULTILINE)
    return int(told[-1]) if told else 0


def complain(failed: dict[Job, Outcome]) -> int:
    """Tell of what failed, a line each; returns the exit code: 2 where input was wrong, 1 where the program was."""
    for job, outcome in failed.items():
        end = f"ended with {outcome.code}" if outcome.code >= 0 else f"was killed by signal {-outcome.code}"
        words = outcome.words.removeprefix("maskmixadv: ")
        print(f"maskmixadv: {job.run.name} {end}: {words}; all it said: {job.output}", file=sys.stderr)
    codes = {outcome.code for outcome in failed.values()}
    return 0 if not codes else 2 if codes == {2} else 1
