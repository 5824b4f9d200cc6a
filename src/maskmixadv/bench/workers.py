"""Workers that make the runs of a table: processes of this machine, one a run or one a GPU, or tasks of Ray."""

import abc
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from maskmixadv.bench.cells import Job
from maskmixadv.bench.told import Told
from maskmixadv.errors import INTERRUPTED, InputError, say
from maskmixadv.optional import needed
from maskmixadv.processes import last_line, read_reason
from maskmixadv.typed import made

SIDE_BY_SIDE: Final = 12
"""Runs in training at a time on a GPU: as many as were measured (`benchmarks/gpu`)."""


@dataclass(frozen=True)
class Outcome:
    """How the process of a run ended.

    Attributes
    ----------
    code
        Its exit code; a negative number is the signal that killed it.
    reason
        Why it failed, in one line; the last line that it printed if it was killed.
    """

    code: int
    reason: str

    @classmethod
    def of(cls, job: Job, code: int) -> "Outcome":
        """Return the outcome of a job whose process has ended with `code`."""
        return cls(code, read_reason(job.reason) or last_line(job.output))


class Workers(abc.ABC):
    """Makes runs, several at a time."""

    slots: int
    """How many runs it makes at a time."""

    @abc.abstractmethod
    def submit(self, job: Job) -> "Future[Outcome]":
        """Make `job` as soon as there is room."""

    @abc.abstractmethod
    def close(self) -> None:
        """Stop the runs that are still running; they save themselves."""


class Local(Workers):
    """Makes each run in a process of this machine.

    Parameters
    ----------
    devices
        Devices such as cpu or cuda:0; None is the fastest one of this machine.
    jobs
        How many runs to make at a time on each device; at least 1.

    Raises
    ------
    InputError
        If a device does not exist, or `jobs` is below 1.
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
        """Stop the runs that are still running; they save themselves."""
        with self._lock:
            self._stopped = True
            for child in self._children:
                child.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, job: Job) -> "Future[Outcome]":
        """Make `job` as soon as a device has room."""
        return self._pool.submit(self._attend, job)

    def _attend(self, job: Job) -> Outcome:
        device = self._free.get()
        try:
            with self._lock:
                if self._stopped:
                    return Outcome(INTERRUPTED, "not begun")
                child = start(job, device, cores=max(1, _cores() // self.slots))
                self._children.add(child)
            code = child.wait()
            with self._lock:
                self._children.discard(child)
            return Outcome.of(job, code)
        finally:
            self._free.put(device)


class Together(Workers):
    """Makes runs side by side, in one process for each device (`maskmixadv.bench.several`).

    Parameters
    ----------
    devices
        Devices such as cuda:0; None is the fastest one of this machine.
    most
        Runs in training at a time on each device; at least 1.

    Raises
    ------
    InputError
        If a device does not exist, or `most` is below 1.
    """

    def __init__(self, devices: Sequence[str | None], most: int) -> None:
        if most < 1:
            raise InputError(f"together: {most}, allowed is 1 or more")
        for device in devices:
            _known(device)
        self.slots = most * len(devices)
        self._beside = [_Beside(device, most) for device in devices]

    def close(self) -> None:
        """Stop the runs that are still running; they save themselves."""
        for each in self._beside:
            each.close()

    def submit(self, job: Job) -> "Future[Outcome]":
        """Make `job` on the device that has fewest to make."""
        return min(self._beside, key=lambda each: len(each.ends)).submit(job)


class _Beside:
    """The process that makes runs on a device; it begins with the first of them."""

    def __init__(self, device: str | None, most: int) -> None:
        self._device, self._most = device, most
        self._process: subprocess.Popen[str] | None = None
        self._output = Path()
        self._lock = threading.Lock()
        self._reader: threading.Thread | None = None
        self.ends: dict[str, tuple[Job, Future[Outcome]]] = {}
        """Jobs that have not ended."""

    def submit(self, job: Job) -> "Future[Outcome]":
        end: Future[Outcome] = Future()
        if self._process is None:
            self._begin(job)
        assert self._process is not None
        assert self._process.stdin is not None
        with self._lock:
            self.ends[job.identity] = job, end
        try:
            self._process.stdin.write(f"{job.json()}\n")
            self._process.stdin.flush()
        except OSError:  # it is over, which what reads its output notices, too
            self._ended(job.identity, Outcome(1, last_line(self._output)))
        return end

    def close(self) -> None:
        if self._process is None or self._reader is None:
            return
        if self.ends:
            self._process.terminate()
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._process.wait()
        self._reader.join()

    def _begin(self, job: Job) -> None:
        self._output = job.run.with_name(f"together-{(self._device or 'fastest').replace(':', '-')}.txt")
        self._output.parent.mkdir(parents=True, exist_ok=True)
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "maskmixadv.bench.several", self._device or "", str(self._most)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                # So many streams run side by side; read when CUDA begins.
                env={"CUDA_DEVICE_MAX_CONNECTIONS": "32", "OMP_NUM_THREADS": str(_cores()), **os.environ},
                start_new_session=True,  # Ctrl-C reaches the table alone, which then stops its runs
            )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            told = made(Told, json.loads(line), "told")
            if told.line:
                say(f"maskmixadv: {told.line}")
            else:
                self._ended(told.identity, Outcome(told.code, told.reason))
        code = process.wait()
        for identity in tuple(self.ends):
            self._ended(identity, Outcome(code or 1, last_line(self._output)))

    def _ended(self, identity: str, outcome: Outcome) -> None:
        with self._lock:
            found = self.ends.pop(identity, None)
        if found is not None:
            found[1].set_result(outcome)


class Ray(Workers):
    """Makes each run as a task of a Ray cluster, whose machines share this file system.

    Parameters
    ----------
    address
        Address of the cluster, such as ``auto``; if None, a cluster is started on this machine.
    cores, gpus
        How many a run takes; with a fraction of a GPU, several runs share it.

    Raises
    ------
    InputError
        If Ray is not installed, or the cluster can't be reached.
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
        """Stop the runs that are still running; they save themselves."""
        for task in self._tasks:
            self._ray.cancel(task, force=True)
        self._ray.shutdown()

    def submit(self, job: Job) -> "Future[Outcome]":
        """Make `job` as soon as a machine has room."""
        task = self._task.remote(job, str(Path.cwd()), self._cores)
        self._tasks.append(task)
        return task.future()


def start(job: Job, device: str | None, *, cores: int) -> "subprocess.Popen[bytes]":
    """Start the process that makes `job`; everything that it prints is appended to ``job.output``."""
    job.output.parent.mkdir(parents=True, exist_ok=True)
    job.reason.unlink(missing_ok=True)  # of an earlier process
    with job.output.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "maskmixadv.bench.child", job.json(), device or ""],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"OMP_NUM_THREADS": str(cores), **os.environ},
            start_new_session=True,  # Ctrl-C reaches the table alone, which then stops its runs
        )


def _made(job: Job, folder: str, cores: int) -> Outcome:
    os.chdir(folder)
    # Ray sets OMP_NUM_THREADS to a number of its own.
    os.environ["OMP_NUM_THREADS"] = str(cores)
    return Outcome.of(job, start(job, None, cores=cores).wait())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def at_once(devices: Sequence[str | None], jobs: int) -> int:
    """Return how many runs train side by side where nobody says it: `SIDE_BY_SIDE` if all devices are GPUs."""
    import torch

    there = torch.cuda.device_count() > 0
    on_gpus = there and all(device is None or device.startswith("cuda") for device in devices)
    return SIDE_BY_SIDE if on_gpus and jobs == 1 else 1


def _known(device: str | None) -> None:
    """Refuse a device that does not exist, without initialising CUDA: the runs need the memory."""
    import torch

    kind, _, number = (device or "cpu").partition(":")
    if kind == "cuda" and (number or "0").isdecimal() and int(number or "0") < torch.cuda.device_count():
        return
    if device not in (None, "cpu", "mps"):
        raise InputError(f"devices: {device!r} is not there, {torch.cuda.device_count()} CUDA devices are")
