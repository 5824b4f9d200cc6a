"""One run over several devices: a process for each takes its part of every batch, and gradients are averaged.

``torchrun --nproc-per-node N -m -- maskmixadv train …`` starts the processes, here called ranks. All of them draw a
step's slices and augmentation alike, and after it they hold the same weights, bit for bit. Losses that are sums over
weighted pixels are the same as on one device. Whatever a method computes over a batch, such as batch norm's statistics,
a Dice loss or ratios of classes, it computes over its rank's part of the batch, as is usual.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from maskmixadv.device import pick_device
from maskmixadv.errors import InputError, one_line
from maskmixadv.methods.method import Method
from maskmixadv.methods.registry import fields_of
from maskmixadv.tensors import Loss

PATIENCE = timedelta(hours=1)
"""How long a rank waits for the others; the first one validates while they wait."""

LAST_WORDS = 4.0
"""Seconds for which a rank outlives the one that failed first, whose error and exit code torchrun is to report."""


@dataclass(frozen=True)
class Ranks:
    """The processes of one run, and which of them this one is. By default there is only this one.

    Attributes
    ----------
    rank
        Number of this process, from 0. Only process 0 prints, validates and saves.
    size
        Number of processes.
    device
        Where this process computes; None: on the fastest device that is there.

    Examples
    --------
    >>> from maskmixadv.methods.walk_teacher import WalkTeacher
    >>> second = Ranks(rank=1, size=2)
    >>> second.part(12)
    slice(6, 12, None)
    >>> second.check(WalkTeacher(), batch=5)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: batch: 5, allowed with 2 processes is a multiple of 2
    """

    rank: int = 0
    size: int = 1
    device: str | None = None

    @property
    def key(self) -> tuple[int, ...]:
        """Numbers that a rank adds to the seed of its own random numbers; none where it is alone."""
        return () if self.size == 1 else (self.rank + 1,)  # numpy takes a 0 at the end of a seed for nothing

    def check(self, method: Method, batch: int) -> None:
        """Raise `InputError` where `method` can't be split over the ranks, or a batch of `batch` slices can't."""
        if self.size > 1 and method.remembers:
            raise InputError(
                f"method: {fields_of(method)['name']} remembers each slice and runs in 1 process, here are {self.size}"
            )
        if batch % self.size:
            raise InputError(f"batch: {batch}, allowed with {self.size} processes is a multiple of {self.size}")

    def check_step(self, step: int) -> None:
        """Raise `InputError` on all ranks where they do not stand at the same `step`."""
        highest, lowest = (sign * self._highest(sign * step) for sign in (1, -1))
        if highest != lowest:
            raise InputError(
                f"checkpoints: of steps {lowest} to {highest}; all processes must be given the same directory"
            )

    def part(self, batch: int) -> slice:
        """Which of a step's `batch` samples are this rank's."""
        own = batch // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def average(self, parameters: Sequence[nn.Parameter], terms: dict[str, Loss]) -> dict[str, Loss]:
        """Average the gradients of `parameters` over the ranks, in place; returns the averages of `terms`.

        A parameter that has a gradient on one rank has one on all of them afterwards. The names of `terms` must be
        the same on all ranks.
        """
        losses = {name: loss.detach() for name, loss in terms.items()}
        if self.size == 1:
            return losses
        with _others():
            gradients = _gradients(parameters)
            means = _means([*gradients, *losses.values()])
        for gradient, mean in zip(gradients, means, strict=False):
            gradient.copy_(mean)
        return dict(zip(losses, means[len(gradients) :], strict=True))

    def share_buffers(self, nets: Iterable[nn.Module]) -> None:
        """Give all ranks the first one's buffers, such as batch norm's statistics; counters are alike anyway."""
        buffers = [buffer for net in nets for buffer in net.buffers() if buffer.is_floating_point()]
        if self.size == 1 or not buffers:
            return
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        with _others():
            distributed.broadcast(flat, 0)
        for buffer, shared in zip(buffers, _apart(flat, buffers), strict=True):
            buffer.copy_(shared)

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true on any rank; waits for the other ranks, not for a device."""
        return bool(self._highest(int(flag)))

    def wait(self) -> None:
        """Wait until all ranks are here."""
        self._highest(0)

    def _highest(self, number: int) -> int:
        if self.size == 1:
            return number
        highest = torch.tensor(number)
        with _others():
            distributed.all_reduce(highest, distributed.ReduceOp.MAX)
        return int(highest)


ALONE = Ranks()


@contextmanager
def joined(device: str | None = None) -> Iterator[Ranks]:
    """Join the processes that torchrun has started, until the end of the block.

    Where torchrun has started no other, the process is alone. Where a rank fails, the others lose the connection to it
    and end too: the first error is raised, and the other ranks exit silently.

    Parameters
    ----------
    device
        ``cpu``, ``cuda`` (each process takes the GPU of its local number), or None for the fastest device that is
        there. A process that is alone may name any device.

    Raises
    ------
    InputError
        Where the device can't be shared out, or is not there; or where the environment names several processes, but
        not all that torchrun says of them.

    Examples
    --------
    >>> with joined("cpu") as ranks:
    ...     ranks
    Ranks(rank=0, size=1, device='cpu')
    """
    if _begun() == 1:
        yield Ranks(device=device)
        return
    from torch.distributed.rendezvous import rendezvous  # not in every torch

    store, rank, size = next(iter(rendezvous("env://", timeout=PATIENCE)))
    try:
        place = _place(device)
        # What is agreed on beside gradients lies in main memory, so that no device is waited for.
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo",
            store=store,
            rank=rank,
            world_size=size,
            timeout=PATIENCE,
        )
        yield Ranks(rank, size, str(place))
    except Exception as error:
        # The group is left to the end of the process: to take it down would wait for ranks that have gone.
        if not _first_to_fail(store):
            time.sleep(LAST_WORDS)
            sys.stdout.flush()
            sys.stderr.flush()
            own = isinstance(error, InputError) and not isinstance(error, _LostError)
            os._exit(2 if own else 1)  # torch may abort at a regular exit without its peers
        raise
    distributed.destroy_process_group()


class _LostError(InputError):
    """Another rank is lost."""


@contextmanager
def _others() -> Iterator[None]:
    """Say in a line where another rank is lost, as one that the system killed, in place of what the network says."""
    try:
        yield
    except RuntimeError as error:
        reason = one_line(str(error)).partition(". ")[0][:200]
        told = f"one of this run ended, or can't be reached ({reason}); 'maskmixadv train --resume' goes on"
        raise _LostError(f"processes: {told} from the last checkpoint") from error


def _begun() -> int:
    """Return how many processes torchrun has started; other programs set its variables, too, and not always all."""
    size = _number("WORLD_SIZE", "1", least=1)
    if size > 1:
        most = {"RANK": size - 1, "LOCAL_RANK": size - 1, "MASTER_PORT": 65535}
        for name, highest in most.items():
            _number(name, most=highest, beside=size)
        if not os.environ.get("MASTER_ADDR"):
            raise InputError(_incomplete("MASTER_ADDR", "is not set", size))
    return size


def _number(name: str, default: str = "", *, least: int = 0, most: int | None = None, beside: int = 1) -> int:
    text = os.environ.get(name) or default
    number = int(text) if text.isdecimal() else -1
    if number < least or (most is not None and number > most):
        found = f"{text!r}, allowed is a number from {least}{'' if most is None else f' to {most}'}"
        raise InputError(_incomplete(name, found if text else "is not set", beside))
    return number


def _incomplete(name: str, what: str, size: int) -> str:
    beside = f" with WORLD_SIZE={size}" if size > 1 else ""
    return f"environment: {name}: {what}{beside}; torchrun sets it, and for one process alone WORLD_SIZE is unset"


def _place(device: str | None) -> torch.device:
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind not in ("cpu", "cuda"):
        raise InputError(f"device: {kind!r}, allowed with several processes are cpu and cuda, of which each takes one")
    if kind == "cpu":
        return torch.device("cpu")
    place = pick_device(f"cuda:{os.environ['LOCAL_RANK']}")
    torch.cuda.set_device(place)
    return place


def _first_to_fail(store: Any) -> bool:  # noqa: ANN401
    try:
        return store.add("maskmixadv/failed", 1) == 1
    except RuntimeError:  # gone with the rank that kept it
        return False


def _gradients(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Return the gradients of all parameters that have one on any rank; 0 where only other ranks had it."""
    present = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8)
    distributed.all_reduce(present, distributed.ReduceOp.MAX)
    gradients: list[Tensor] = []
    for parameter, wanted in zip(parameters, present.tolist(), strict=True):
        if wanted:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    return gradients


def _means(values: Sequence[Tensor]) -> list[Tensor]:
    flat = torch.cat([value.float().flatten() for value in values])
    distributed.all_reduce(flat)
    return _apart(flat / distributed.get_world_size(), values)


def _apart(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    parts = flat.split([each.numel() for each in like])
    return [part.view(each.shape) for part, each in zip(parts, like, strict=True)]
