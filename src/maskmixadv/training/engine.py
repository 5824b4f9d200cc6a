"""How a device does the work of a step: operation by operation, compiled, or recorded once and replayed."""

import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskmixadv.errors import InputError, one_line
from maskmixadv.networks.critic import Critic
from maskmixadv.networks.optimiser import Optimiser
from maskmixadv.networks.unet import Decoder, Encoder
from maskmixadv.sampling.slices import Rows

Losses = dict[str, Tensor]
"""Scalars by ``player/term``."""
WARM = 3
"""Steps of a kind that are taken operation by operation before one is recorded: in them memory and kernels are
chosen."""


Work = Callable[[Rows], Losses]
"""Does a whole step on the device: draws, losses, gradients, updates."""

Steps = Callable[[Hashable, Rows, Work], Losses]
"""Takes a step of a kind. Steps of one kind differ only in their tensors; steps of kind None may differ in anything."""


class RecordingError(RuntimeError):
    """A step can't be recorded: it waits for the device, or lacks memory.

    Examples
    --------
    >>> RecordingError("operation not permitted when stream is capturing")
    RecordingError('operation not permitted when stream is capturing')
    """


@dataclass(frozen=True)
class Engine:
    """Ways of computing that change no result beyond rounding.

    Attributes
    ----------
    compile
        Compile encoders, decoders and critics with torch.compile. It takes a minute, and a C++ compiler on a CPU.
    graph
        Record steps as CUDA graphs and replay them, so that the device never waits for Python. Where a step can't be
        recorded, a line says so, and all go operation by operation.
    deterministic
        Give the same bits from the same run on the same device, at some cost on a GPU. A CPU always does.
    strict
        Raise `RecordingError` where a step can't be recorded.
    recording
        The CUDA stream that records; None: one of its own.

    Examples
    --------
    >>> Engine(graph=True).check(torch.device("cpu"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: graph: recording steps needs a CUDA device, this is cpu; leave --graph out
    """

    compile: bool = False
    graph: bool = False
    deterministic: bool = False
    strict: bool = False
    recording: torch.cuda.Stream | None = None

    @classmethod
    def usual(
        cls,
        device: torch.device,
        processes: int = 1,
        *,
        compile: bool = False,
        graph: bool = True,
        deterministic: bool = False,
    ) -> "Engine":
        """Return the engine of a training: on a CUDA device with one process it records steps, unless `graph` is False.

        Parameters
        ----------
        device
            Where it trains.
        processes
            That share the steps.
        compile, graph, deterministic
            As the engine's attributes; `graph` counts on a CUDA device with one process alone.

        Examples
        --------
        >>> Engine.usual(torch.device("cpu")).graph, Engine.usual(torch.device("cuda")).graph
        (False, True)
        """
        return cls(compile, graph and device.type == "cuda" and processes == 1, deterministic)

    def check(self, device: torch.device, processes: int = 1) -> None:
        """Raise `InputError` where `device` has no graphs to record, or `processes` share the steps."""
        if self.graph and device.type != "cuda":
            raise InputError(f"graph: recording steps needs a CUDA device, this is {device}; leave --graph out")
        if self.graph and processes > 1:
            raise InputError(f"graph: steps are recorded in 1 process, here are {processes}; leave --graph out")

    def begin(self, nets: Iterable[nn.Module]) -> None:
        """Set torch up, and compile `nets` where that is asked for; before the first step."""
        if self.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = not self.deterministic
        if self.compile:
            compile_parts(nets)

    def steps(self, rng: torch.Generator) -> Steps:
        """Return the function that takes the steps; `rng` is the generator that they use beside torch's own one."""
        return Graphs(rng, self.recording) if self.graph else as_written


def compile_parts(nets: Iterable[nn.Module], *, backend: str = "inductor") -> None:
    """Compile the encoders, decoders and critics of `nets`, in place, by torch's `backend`.

    State dictionaries keep their keys.

    Examples
    --------
    Parts of other kinds stay as they are:

    >>> net = nn.Linear(2, 1)
    >>> compile_parts([net])
    >>> list(net.state_dict())
    ['weight', 'bias']
    """
    for net in nets:
        for part in net.modules():
            if isinstance(part, Encoder | Decoder | Critic):
                part.compile(backend=backend)


def as_written(kind: Hashable, rows: Rows, work: Work) -> Losses:  # noqa: ARG001
    """Take a step operation by operation.

    Examples
    --------
    >>> target = torch.zeros(2, 32, 32, dtype=torch.uint8)
    >>> whole = torch.zeros(2, dtype=torch.bool)
    >>> numbers, corner = torch.arange(2), torch.zeros(2, 2, dtype=torch.long)
    >>> rows = Rows(torch.zeros(2, 1, 32, 32), target, torch.zeros(2, 2), numbers, corner, whole, whole)
    >>> as_written(None, rows, lambda rows: {"net/mean": rows.image.mean()})
    {'net/mean': tensor(0.)}
    """
    return work(rows)


class Graphs:
    """Takes steps as CUDA graphs, one for each kind; the first few of a kind are taken operation by operation.

    Random numbers are the same as without graphs: both generators are seeded before a step, and a replay goes on
    drawing from there.

    Where a step can't be recorded, `RecordingError` is raised. Nothing of the step is done then, but there may be
    gradients.

    Parameters
    ----------
    rng
        Generator on the CUDA device.
    stream
        The CUDA stream that records; None: a new one.

    Examples
    --------
    It needs a CUDA device, and takes the place of `as_written` there:

    >>> if torch.cuda.is_available():
    ...     steps = Graphs(torch.Generator("cuda"))
    """

    def __init__(self, rng: torch.Generator, stream: torch.cuda.Stream | None = None) -> None:
        self._rng = rng
        self._stream = stream or torch.cuda.Stream(rng.device)
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
            try:
                self._recorded[kind] = self._record(kind, rows, work)
            except RuntimeError as error:
                raise RecordingError(one_line(str(error))[:200]) from error
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


def leave_recording(*generators: torch.Generator) -> None:
    """Give CUDA generators states of their own again, after a recording that failed: it may go on holding theirs.

    Examples
    --------
    >>> leave_recording(torch.Generator("cpu"))  # nothing to do
    """
    for generator in generators:
        if generator.device.type == "cuda":
            generator.graphsafe_set_state(torch.Generator(generator.device))


def set_rate(optimiser: Optimiser, rate: float) -> None:
    """Set the learning rate; in place where it is a tensor, so that recorded steps see it.

    Examples
    --------
    >>> from maskmixadv.networks.optimiser import Adam
    >>> optimiser = Adam([nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> set_rate(optimiser, 0.05)
    >>> optimiser.param_groups[0]["lr"]
    0.05
    """
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def make_recordable(optimiser: Optimiser, device: torch.device) -> None:
    """Keep on the device the numbers of `optimiser` that a recorded step reads anew each time, such as its rate.

    Examples
    --------
    >>> from maskmixadv.networks.optimiser import Adam
    >>> optimiser = Adam([nn.Parameter(torch.zeros(1))], lr=0.5)
    >>> make_recordable(optimiser, torch.device("cpu"))
    >>> optimiser.param_groups[0]["lr"]
    tensor(0.5000)
    """
    for group in optimiser.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
