"""A worker thread with one job at a time: the newest request wins, and those that wait behind it are dropped."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Generic, TypeVar

from maskmixadv.errors import InputError, say

Result = TypeVar("Result")


class Newest(Generic[Result]):
    """Does jobs away from the threads that ask. The thread starts with the first job.

    Parameters
    ----------
    name
        What it does, for the line on stderr where a job fails.
    """

    def __init__(self, name: str) -> None:
        self._name, self._changed, self._failed = name, Condition(), set[str]()
        self._waiting: tuple[Callable[[], Result | None], Future[Result | None]] | None = None
        self._thread: Thread | None = None

    def ask(self, job: Callable[[], Result | None]) -> "Future[Result | None]":
        """Do `job` when the present one is done, unless another is asked for meanwhile.

        Returns
        -------
        Its result: None where the job was dropped, or failed. Each kind of failure is told on stderr once.
        """
        future: Future[Result | None] = Future()
        with self._changed:
            if self._waiting is not None and self._waiting[1].set_running_or_notify_cancel():
                self._waiting[1].set_result(None)
            self._waiting = job, future
            if self._thread is None:
                self._thread = Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()
        return future

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None)
                assert self._waiting is not None
                (job, future), self._waiting = self._waiting, None
            if future.set_running_or_notify_cancel():  # else whoever asked has gone
                future.set_result(self._done(job))

    def _done(self, job: Callable[[], Result | None]) -> Result | None:
        try:
            return job()
        except Exception as error:  # the thread must go on
            said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            if said not in self._failed:
                self._failed.add(said)
                say(f"maskmixadv: {self._name}: {' '.join(said.split())}")
            return None
