"""Stand-ins for torch.cuda's graphs, streams and pools on a CPU, which keep what a CUDA graph promises and no more.

While a step is recorded, nothing comes of it: its operations are noted with the very tensors that they read and write,
and afterwards all memory and all generators are as they were. A replay does these operations again on these tensors.
So Python's numbers are those of the recording, what the step reads anew must lie in tensors that it read then, and what
it returns is overwritten by the next replay.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from watch import WAITS

CUDAGraph = torch.cuda.CUDAGraph


class Stream:
    """In place of `torch.cuda.Stream`: a CPU has but one."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device

    def wait_stream(self, other: "Stream") -> None:
        """Do nothing: what was asked for before is done."""


class Tape(TorchDispatchMode):
    """In place of `torch.cuda.CUDAGraph`: operations, and the tensors that they were done with."""

    def __init__(self) -> None:
        super().__init__()
        self.replays = 0
        self._generators = [torch.default_generator]
        self._done: list[tuple[Any, Any, Any, list[Any]]] = []
        self._own: set[int] = set()
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]  # types are checked in tests
        """What it stands in for."""
        return CUDAGraph

    def register_generator_state(self, rng: torch.Generator) -> None:
        """Let the recording draw from `rng`."""
        self._generators.append(rng)

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket in WAITS:
            raise RuntimeError(f"{func}: not permitted while a stream is recorded")
        for each in tree_leaves((args, kwargs)):
            if isinstance(each, torch.Generator) and _handle(each) not in map(_handle, self._generators):
                raise RuntimeError(f"{func}: draws from a generator that is not registered")
            if isinstance(each, Tensor) and (place := _place(each)) not in self._own | self._before.keys():
                self._before[place] = each.untyped_storage(), each.untyped_storage().clone()
        out = tree_leaves(returned := func(*args, **kwargs))
        fresh = [isinstance(each, Tensor) and _place(each) not in self._own | self._before.keys() for each in out]
        self._own |= {_place(each) for each, new in zip(out, fresh, strict=True) if new}
        self._done.append((func, args, kwargs, [each if new else None for each, new in zip(out, fresh, strict=True)]))
        return returned

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Note what is done, and undo it."""
        states = [rng.get_state() for rng in self._generators]
        try:
            with self:
                yield
        finally:  # also where it fails
            self._undo(states)

    def _undo(self, states: list[Tensor]) -> None:
        for rng, state in zip(self._generators, states, strict=True):
            rng.set_state(state)
        for storage, before in self._before.values():
            storage.copy_(before)
        for each in (each for *_, fresh in self._done for each in fresh if each is not None):
            if each.is_floating_point():
                each.detach().fill_(torch.nan)  # nothing was computed yet

    def replay(self) -> None:
        """Do all again."""
        self.replays += 1
        with torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, fresh in self._done:
                for place, value in zip(fresh, tree_leaves(func(*args, **kwargs)), strict=True):
                    if place is not None:
                        place.copy_(value)


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _handle(rng: torch.Generator) -> int:
    """What a generator's wrappers have in common."""
    return rng._cdata  # pyright: ignore[reportAttributeAccessIssue]


def recording(graph: Tape, *, pool: object, stream: Stream) -> AbstractContextManager[None]:  # noqa: ARG001
    """In place of `torch.cuda.graph`."""
    return graph.recording()


def on_a_cpu(patch: pytest.MonkeyPatch) -> None:
    """Put the stand-ins in place."""
    patch.setattr(torch.cuda, "Stream", Stream)
    patch.setattr(torch.cuda, "CUDAGraph", Tape)
    patch.setattr(torch.cuda, "graph", recording)
    patch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    patch.setattr(torch.cuda, "current_stream", Stream)
    patch.setattr(torch.cuda, "stream", lambda _: nullcontext())
