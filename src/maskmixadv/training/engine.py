"""How a device does a step's work: as it is written, compiled, or recorded once and replayed."""

import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskmixadv.errors import InputError
from maskmixadv.networks.critic import Critic
from maskmixadv.networks.unet import Decoder, Encoder
from maskmixadv.sampling.slices import Rows

Losses = dict[str, Tensor]
WARM = 3
"""Steps of a kind that are taken as they are before one is recorded: in them memory and kernels are chosen."""


Work = Callable[[Rows], Losses]
"""A whole step on the device: draws, losses, gradients, updates."""


Steps = Callable[[Hashable, Rows, Work], Losses]
"""What takes a step of a kind; steps of one kind differ in tensors alone, those of None in anything."""


@dataclass(frozen=True)
class Engine:
    """Ways of computing that change no result beyond rounding.

    Attributes
    ----------
    compile
        Compile encoders, decoders and critics with torch.compile; needs a C++ compiler on a CPU, and a minute.
    graph
        Record steps as CUDA graphs and replay them, so that the device never waits for Python.
    deterministic
        The same bits from the same run on the same device, at some cost on a GPU; a CPU's are the same anyway.
    """

    compile: bool = False
    graph: bool = False
    deterministic: bool = False

    def check(self, device: torch.device, processes: int = 1) -> None:
        """Raise `InputError` where `device` has no graphs to record, or `processes` share the steps."""
        if self.graph and device.type != "cuda":
            raise InputError(f"graph: recording steps needs a CUDA device, this is {device}; leave --graph out")
        if self.graph and processes > 1:
            raise InputError(f"graph: steps are recorded in 1 process, here are {processes}; leave --graph out")

    def begin(self, nets: Iterable[nn.Module]) -> None:
        """Set up what is to be set up before the first step of `nets`."""
        if self.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = not self.deterministic
        if self.compile:
            compile_parts(nets)

    def steps(self, rng: torch.Generator) -> Steps:
        """Return what takes the steps; `rng` is what they draw from beside torch's own generator."""
        return Graphs(rng) if self.graph else as_written


def compile_parts(nets: Iterable[nn.Module], *, backend: str = "inductor") -> None:
    """Compile the parts that methods call, in place, by torch's `backend`; state dictionaries keep their keys."""
    for net in nets:
        for part in net.modules():
            if isinstance(part, Encoder | Decoder | Critic):
                part.compile(backend=backend)


def as_written(kind: Hashable, rows: Rows, work: Work) -> Losses:  # noqa: ARG001
    """Take the step operation by operation."""
    return work(rows)


class Graphs:
    """Steps as CUDA graphs, one for each kind; the first few of a kind are taken as written.

    Random numbers are those of the steps as written: both generators are seeded before a step, and a replay draws
    from where they stand.

    Parameters
    ----------
    rng
        Generator on the device.
    """

    def __init__(self, rng: torch.Generator) -> None:
        self._rng = rng
        self._stream = torch.cuda.Stream(rng.device)
        self._pool = torch.cuda.graph_pool_handle()
        self._taken: Counter[Hashable] = Counter()
        self._rows: dict[Hashable, Rows] = {}
        self._recorded: dict[Hashable, tuple[torch.cuda.CUDAGraph, Losses]] = {}

    def __call__(self, kind: Hashable, rows: Rows, work: Work) -> Losses:
        """Take one step of `kind`."""
        self._taken[kind] += 1
        if kind is None or self._taken[kind] <= WARM:
            return self._aside(rows, work)
        if kind not in self._recorded:
            self._recorded[kind] = self._record(kind, rows, work)
        for place, row in zip(self._rows[kind], rows, strict=True):
            place.copy_(row)
        graph, losses = self._recorded[kind]
        graph.replay()
        return {name: loss.clone() for name, loss in losses.items()}

    def _aside(self, rows: Rows, work: Work) -> Losses:
        """Warm-up steps run on the stream that records, as torch asks for."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            losses = work(rows)
        torch.cuda.current_stream().wait_stream(self._stream)
        return losses

    def _record(self, kind: Hashable, rows: Rows, work: Work) -> tuple[torch.cuda.CUDAGraph, Losses]:
        self._rows[kind] = Rows(*(row.clone() for row in rows))
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._rng)
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            losses = work(self._rows[kind])
        return graph, losses


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate; in place where it is a tensor, so that recorded steps see it."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def make_recordable(optimiser: torch.optim.Optimizer, device: torch.device) -> None:
    """Keep on the device what a recorded step reads anew each time."""
    for group in optimiser.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
        if "capturable" in group:
            group["capturable"] = True
