"""What every method is: an immutable dataclass that yields its losses."""

import abc
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import nn

from maskmixadv.errors import InputError, counted
from maskmixadv.networks.unet import UNet
from maskmixadv.strokes.corrections import PLAIN, Corrections
from maskmixadv.tensors import Batch, Loss, Scalar, Task
from maskmixadv.typed import check_numbers
from maskmixadv.types import Supervision

Net = TypeVar("Net", bound=nn.Module)


@runtime_checkable
class Descent(Protocol):
    """What a method may know of the schedule of its run.

    Examples
    --------
    >>> from maskmixadv.methods.method import Descent
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> isinstance(PRESETS["paper"], Descent), PRESETS["paper"].optimiser
    (True, 'sgd')
    """

    @property
    def optimiser(self) -> str:
        """Name of the network's optimiser: ``sgd``, ``adamw`` or ``muon``."""
        ...


class Phase(NamedTuple):
    """One player's part of a step.

    Attributes
    ----------
    player
        Name of the player whose parameters are updated.
    terms
        Weighted losses by name: their sum is minimised, each one is logged.

    Examples
    --------
    >>> from maskmixadv.methods import PCE
    >>> from maskmixadv.tensors import Batch, Task
    >>> phase = next(PCE().phases(PCE().players(Task.example()), Batch.example()))
    >>> phase.player, list(phase.terms)
    ('net', ['pce'])
    """

    player: str
    terms: dict[str, Loss]


class Method(abc.ABC):
    """A way to learn from annotations; concrete methods are final frozen dataclasses of their hyperparameters.

    Data, augmentation, optimisers, schedule, evaluation and checkpoints are the training loop's, so that methods are
    compared on equal terms. How to write a method: ``docs/how-to/new-method.md``.

    Examples
    --------
    >>> from maskmixadv.methods import ALL
    >>> [name for name, kind in ALL.items() if kind.supervision != "scribble"]
    ['random-walker', 'supervised']
    """

    supervision: ClassVar[Supervision] = "scribble"
    """The annotation that ``batch.target`` holds."""

    believes: ClassVar[bool] = False
    """Whether ``batch.belief`` must hold what random walks from the strokes say."""

    semi_supervised: ClassVar[bool] = False
    """Whether it learns from slices without any annotation, too, where the run says so."""

    remembers: ClassVar[bool] = False
    """Whether a player's buffers keep something of each slice: such a run can't be split over several processes, as
    what one of them writes is lost to the others."""

    scheduled: ClassVar[tuple[str, ...]] = ("net",)
    """Players that learn with the schedule's optimiser and rate; the others have Adam at a constant one."""

    studying: ClassVar[tuple[str, ...]] = ()
    """Fields that say how dense slices are studied; the first one is the number of steps between two batches."""

    def corrections(self) -> Corrections:
        """Return what is done with walks to make its beliefs of them."""
        return PLAIN

    def studies(self, step: int, progress: float, *, dense: int) -> bool:  # noqa: ARG002
        """Whether a step has a batch of dense slices beside its own (`Batch.dense`).

        Parameters
        ----------
        step
            Number of the step, counted from 0.
        progress
            Fraction of the run that is done.
        dense
            Number of dense slices whose strokes are known, too.
        """
        return False

    def stage(self, step: int, progress: float) -> Hashable | None:  # noqa: ARG002
        """Return the stage of a run in which dense slices are studied; asked for in such runs alone.

        It is told apart as `kind` is: steps of equal kind and stage differ in their tensors alone, and None means that
        this step is like no other.
        """
        return ()

    @property
    def weak(self) -> bool:
        """Whether ``batch.weak`` must hold images in their own colours, where augmentation changes colours."""
        return False

    @property
    def wants_prior(self) -> bool:
        """Whether ``batch.prior`` must hold masks of other patients."""
        return False

    def under(self, schedule: Descent) -> "Method":  # noqa: ARG002
        """Return the method with those fields decided that it leaves to a run's schedule; by default the method itself.

        A run records what is returned, so that it stays what it was begun as.
        """
        return self

    def idle(self, share: int, window: int) -> Sequence[str]:  # noqa: ARG002
        """Return a line on each field that does not do what it says on so few samples or pixels; told at the beginning.

        Parameters
        ----------
        share
            Number of samples that a process has of a batch.
        window
            Side of a sample in pixels.
        """
        return ()

    def begins(self) -> Mapping[str, str]:
        """Return the fields that are fractions of a run after which something begins, with what it is.

        Where no step of a run comes after one of them, its beginning says so (`never_begun`). Fields whose part has a
        weight of 0, and is switched off so, are left out.
        """
        return {}

    def kind(self, step: int, progress: float) -> Hashable | None:  # noqa: ARG002
        """Return what a step decides in Python by its number or the run's progress, not by arithmetic on tensors.

        Steps of equal kind differ in their tensors alone, so that one of them can be recorded and replayed for all.
        None means that this step is like no other. Methods that look at `Batch.step` or `Batch.progress` say here how
        they do.
        """
        return ()

    def scalars(self, step: int, progress: float) -> dict[str, float]:  # noqa: ARG002
        """Return the numbers that a step's arithmetic takes from its number and the run's progress, by name.

        A step finds them in `Batch.scalars`. A recorded step reads them anew each time, so that steps which differ in
        nothing else are of one kind.
        """
        return {}

    def now(self, batch: Batch) -> Mapping[str, Scalar]:
        """Return the `scalars` of the step that `batch` is made for."""
        return self.scalars(batch.step, batch.progress) if batch.scalars is None else batch.scalars

    def players(self, task: Task) -> dict[str, nn.Module]:
        """Return fresh modules by name; ``net`` maps an image to logits. By default it is one U-Net."""
        return {"net": UNet(task.channels, len(task.classes), biases=task.biases)}

    @abc.abstractmethod
    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Take one training step, player by player; code after a yield runs after that player's update.

        Which players and terms there are depends on ``batch.step`` and ``batch.progress``, not on what the batch shows:
        several devices take the step together.

        Parameters
        ----------
        nets
            What `players` returned.
        batch
            What the step sees.
        """


def first_terms(
    method: Method, batch: Batch | None = None, *, task: Task | None = None, seed: int = 0
) -> dict[str, float]:
    """Return the losses of one step of fresh players, to try out a method; nothing is learnt.

    Parameters
    ----------
    method
        The method, with its hyperparameters.
    batch
        What it sees; None: `Batch.example`.
    task
        What is segmented; None: `Task.example`.
    seed
        Of the players' weights and of dropout. Torch's global generator is left as it was.

    Returns
    -------
    dict[str, float]
        Weighted losses by ``player/term``, the names under which a run logs them.

    Examples
    --------
    >>> from maskmixadv.methods import MaskMixAdv, PCE, first_terms
    >>> from maskmixadv.tensors import Batch
    >>> list(first_terms(MaskMixAdv(), Batch.example(side=64)))
    ['net/dpce', 'net/pse', 'net/rec', 'net/adv', 'critic/critic']
    >>> first_terms(PCE(), seed=1) == first_terms(PCE(), seed=1)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nets = method.players(task or Task.example())
        phases = list(method.phases(nets, batch or Batch.example()))
    return {f"{phase.player}/{name}": loss.item() for phase in phases for name, loss in phase.terms.items()}


def player(nets: Mapping[str, nn.Module], name: str, kind: type[Net]) -> Net:
    """Return the player called `name`.

    Raises
    ------
    TypeError
        Where it is no `kind`.

    Examples
    --------
    >>> from torch import nn
    >>> from maskmixadv.methods.method import player
    >>> player({"net": nn.Linear(2, 1)}, "net", nn.Linear).in_features
    2
    """
    net = nets[name]
    if not isinstance(net, kind):
        raise TypeError(f"{name} is a {type(net).__name__}, must be a {kind.__name__}")
    return net


def check_weights(method: Method, *names: str, some: bool = False) -> None:
    """Check that each of the fields `names` is a finite number of at least 0 and, with `some`, that one is above 0.

    Raises
    ------
    InputError
        Where it is not so.

    Examples
    --------
    >>> from maskmixadv.methods import PCEEntropy
    >>> PCEEntropy(entropy=-1.0)
    Traceback (most recent call last):
    ...
    maskmixadv.errors.InputError: entropy: -1.0, allowed is a finite number of at least 0
    """
    check_numbers(method, *names)
    if some and not any(getattr(method, name) for name in names):
        raise InputError(f"{', '.join(names)}: all 0, at least one must be above 0")


def lazily(schedule: Descent) -> int:
    """Return the number of steps from one round of costly, slowly changing terms to the next: 4, but 1 under SGD.

    Between rounds such terms are left out; in a round they count that many times as much (lazy regularisation: Karras
    et al., CVPR 2020). An optimiser that divides by the gradients' size takes no harm from that. Under SGD at the
    published rate of 0.01, restoration at four times its weight of 10 diverged within 40 steps.

    Examples
    --------
    >>> from maskmixadv.methods.method import lazily
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> lazily(PRESETS["paper"]), lazily(PRESETS["cpu"])
    (1, 4)
    """
    return 1 if schedule.optimiser == "sgd" else 4


def unmixed(field: str, share: int) -> tuple[str, ...]:
    """Return a line, for `Method.idle`, where samples are to be mixed with each other and there is only one.

    Parameters
    ----------
    field
        The field that says how samples are mixed, and its value.
    share
        Number of samples that a process has of a batch.

    Examples
    --------
    >>> from maskmixadv.methods.method import unmixed
    >>> unmixed("blocks: 8", 1)
    ('blocks: 8, of 1 sample a process each is mixed with itself; 2 or more are mixed with another',)
    >>> unmixed("blocks: 8", 2)
    ()
    """
    if share > 1:
        return ()
    return (f"{field}, of 1 sample a process each is mixed with itself; 2 or more are mixed with another",)


def all_hidden(side: int, window: int) -> tuple[str, ...]:
    """Return a line, for `Method.idle`, where a hidden square of `side` pixels hides all of a window, wherever it lies.

    Parameters
    ----------
    side
        Side of the square, whose centre lies anywhere in the window, in pixels.
    window
        Side of a sample in pixels.

    Examples
    --------
    >>> from maskmixadv.methods.method import all_hidden
    >>> all_hidden(128, 64)
    ('side: 128, a window of 64 pixels is always hidden in whole, and nothing is learnt of what is hidden',)
    >>> all_hidden(32, 64)
    ()
    """
    if side < 2 * window:
        return ()
    told = f"a window of {window} pixels is always hidden in whole, and nothing is learnt of what is hidden"
    return (f"side: {side}, {told}",)


def never_begun(method: Method, steps: int, *, studied: bool = True) -> tuple[str, ...]:
    """Return a line on each part of a method that no step of a run has, and on fields that change nothing therefore.

    Parameters
    ----------
    method
        The method.
    steps
        Steps of the run.
    studied
        Whether the run may have dense slices whose strokes are known, too, which some methods study.

    Examples
    --------
    >>> from maskmixadv.methods import ShapePU
    >>> from maskmixadv.methods.method import never_begun
    >>> never_begun(ShapePU(warmup=1.0), steps=1500)
    ('warmup: 1, of 1,500 steps none comes after it, so that nothing is learnt from unlabelled pixels',)
    >>> never_begun(ShapePU(), steps=1500)
    ()
    """
    last = (steps - 1) / steps
    unstudied = set[str]() if studied else set(method.studying)
    begins = {name: part for name, part in method.begins().items() if name not in unstudied}
    late = {name: part for name, part in begins.items() if getattr(method, name) > last}
    told = f"of {counted(steps, 'step')} none comes after it, so that"
    lines = [f"{name}: {getattr(method, name):g}, {told} {part}" for name, part in late.items()]
    return (*lines, *_unstudied(method, steps, studied=studied))


def _unstudied(method: Method, steps: int, *, studied: bool) -> Iterator[str]:
    """Yield lines on fields that say how dense slices are studied, where no step of a run studies any."""
    if not method.studying or not getattr(method, study := method.studying[0]):
        return
    if studied:
        each_step = replace(cast("Any", method), **{study: 1})
        # Where that would study none either, the line on the part's begin says so.
        if _studies(each_step, steps) and not _studies(method, steps):
            told = f"of {counted(steps, 'step')} none that may study dense slices is a multiple of it"
            yield f"{study}: {getattr(method, study)}, {told}, so that none does, and none corrects a pseudo-label"
        return
    defaults = {each.name: each.default for each in fields(cast("Any", method))}
    for name in method.studying:
        if (value := getattr(method, name)) != defaults[name]:
            yield f"{name}: {value:g}, it changes nothing, as no case has both strokes and a mask that is learnt from"


def _studies(method: Method, steps: int) -> bool:
    return any(method.studies(step, step / steps, dense=1) for step in range(steps))


def check_every(every: int | None) -> None:
    """Check that costly terms come every so many steps, at least 1, or that this is left to the schedule (None).

    Raises
    ------
    InputError
        Where it is not so.

    Examples
    --------
    >>> from maskmixadv.methods.method import check_every
    >>> check_every(0)
    Traceback (most recent call last):
    ...
    maskmixadv.errors.InputError: every: 0, allowed is at least 1 step
    """
    if every is not None and every < 1:
        raise InputError(f"every: {every}, allowed is at least 1 step")


def check_fractions(method: Method, *names: str) -> None:
    """Check that each of the fields `names` is in [0, 1].

    Raises
    ------
    InputError
        Where one is not.

    Examples
    --------
    >>> from maskmixadv.methods import MeanTeacher
    >>> MeanTeacher(ramp=2.0)
    Traceback (most recent call last):
    ...
    maskmixadv.errors.InputError: ramp: 2.0, allowed is a fraction from 0 to 1
    """
    check_numbers(method, *names, fraction=True)
