"""Where a table's runs are made: in processes of this machine, or as tasks of a Ray cluster."""

import abc
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskmixadv.bench.cells import Job
from maskmixadv.errors import InputError
from maskmixadv.optional import needed


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the exit code of its process (below 0: killed by that signal), and its last words."""

    code: int
    words: str


class Workers(abc.ABC):
    """Makes runs."""

    slots: int
    """Runs at a time."""

    @abc.abstractmethod
    def submit(self, job: Job) -> "Future[Outcome]":
        """Have `job` made when there is room."""

    @abc.abstractmethod
    def close(self) -> None:
        """Stop what is still running; it saves itself."""


class Local(Workers):
    """A process a run, `jobs` at a time on each of `devices`.

    Parameters
    ----------
    devices
        Such as cpu or cuda:0; None is the fastest that is there.
    jobs
        Runs at a time on each, at least 1.

    Raises
    ------
    InputError
        Where a device is not there, or `jobs` is below 1.
    """

    def __init__(self, devices: Sequence[str | None], jobs: int) -> None:
        if jobs < 1:
            raise InputError(f"jobs: {jobs}, allowed is 1 or more")
        for device in devices:
            _known(device)
        self.slots = jobs * len(devices)
        self._free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        for device in list(devices) * jobs:
            self._free.put(device)
        self._pool = ThreadPoolExecutor(self.slots)
        self._lock, self._stopped = threading.Lock(), False
        self._children: set[subprocess.Popen[bytes]] = set()

    def close(self) -> None:
        """Stop what is still running; it saves itself."""
        with self._lock:
            self._stopped = True
            for child in self._children:
                child.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, job: Job) -> "Future[Outcome]":
        """Have `job` made when a device has room."""
        return self._pool.submit(self._attend, job)

    def _attend(self, job: Job) -> Outcome:
        device = self._free.get()
        try:
            with self._lock:
                if self._stopped:
                    return Outcome(130, "not begun")
                child = start(job, device, cores=max(1, _cores() // self.slots))
                self._children.add(child)
            code = child.wait()
            with self._lock:
                self._children.discard(child)
            return Outcome(code, last_words(job.output))
        finally:
            self._free.put(device)


class Ray(Workers):
    """A task a run, on all machines of a Ray cluster that share this file system.

    Parameters
    ----------
    address
        Of the cluster, such as ``auto``; None: one of its own, on this machine.
    cores, gpus
        What a run takes; a fraction of a GPU lets several share it.

    Raises
    ------
    InputError
        Where Ray is not installed, or not to be reached at `address`.
    """

    def __init__(self, address: str | None, *, cores: int, gpus: float) -> None:
        ray = needed("ray", extra="ray", what="engine: ray")
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"address: {address!r} can't be reached ({str(error).split(chr(10), 1)[0]})") from None
        self._ray: Any = ray
        self._task = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=0)(_made)
        self._cores, self._tasks = cores, []
        self.slots = max(1, int(ray.cluster_resources().get("CPU", 1)) // cores)

    def close(self) -> None:
        """Stop what is still running; it saves itself."""
        for task in self._tasks:
            self._ray.cancel(task, force=True)
        self._ray.shutdown()

    def submit(self, job: Job) -> "Future[Outcome]":
        """Have `job` made when a machine has room."""
        task = self._task.remote(job, str(Path.cwd()), self._cores)
        self._tasks.append(task)
        return task.future()


def start(job: Job, device: str | None, *, cores: int) -> "subprocess.Popen[bytes]":
    """Start the process that makes `job`; what it prints goes to the job's output file."""
    job.output.parent.mkdir(parents=True, exist_ok=True)
    with job.output.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "maskmixadv.bench.child", job.json(), device or ""],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"OMP_NUM_THREADS": str(cores), **os.environ},
            start_new_session=True,  # Ctrl-C reaches the table alone, which then stops its runs
        )


def last_words(output: Path) -> str:
    """Return the last line that a run printed."""
    lines = output.read_text(errors="replace").split("\n") if output.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _made(job: Job, folder: str, cores: int) -> Outcome:
    os.chdir(folder)
    # Ray sets it to its own idea, where a run's own cores are meant.
    os.environ["OMP_NUM_THREADS"] = str(cores)
    return Outcome(start(job, None, cores=cores).wait(), last_words(job.output))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _known(device: str | None) -> None:
    """Complain of a device that is not there, without waking it: the runs need its memory."""
    import torch

    kind, _, number = (device or "cpu").partition(":")
    if kind == "cuda" and (number or "0").isdecimal() and int(number or "0") < torch.cuda.device_count():
        return
    if device not in (None, "cpu", "mps"):
        raise InputError(f"devices: {device!r} is not there, {torch.cuda.device_count()} CUDA devices are")
