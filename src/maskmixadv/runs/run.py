"""A run: one directory with all that is needed to repeat it, to resume it and to use its network."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import nn

from maskmixadv.corpus.channels import records
from maskmixadv.corpus.masks import NONE, Masks
from maskmixadv.errors import InputError, counted, say, word
from maskmixadv.files import claim, in_use, read_json, write_text
from maskmixadv.formats.reading import reading
from maskmixadv.methods.method import Method
from maskmixadv.methods.registry import fields_of, named, recorded
from maskmixadv.networks.finite import not_finite
from maskmixadv.runs import pieces
from maskmixadv.runs.checkpoint import ANEW, Checkpoint, complete, scored, stored
from maskmixadv.runs.origin import Facts, LearntFrom, PriorFrom, StartedFrom, corpus_record
from maskmixadv.runs.schedule import MOST_SIDE, Schedule
from maskmixadv.runs.seal import without_seal
from maskmixadv.sampling.grid import Grid
from maskmixadv.sampling.ranges import Augment
from maskmixadv.tensors import Task
from maskmixadv.typed import as_type, made
from maskmixadv.types import PathLike

LARGEST_SEED: Final = 2**63 - 1


@dataclass(frozen=True)
class Run:
    """What ``run.json`` says, and the way to the files beside it.

    `maskmixadv.training.begin.begin` makes one, `Run.open` reads one.

    It stands for its directory wherever a path is asked for. `print` shows a summary.

    Attributes
    ----------
    root
        The run's directory.
    learnt_from
        The corpus that the run learns from, and its patients.
    prior_from
        The corpus whose masks teach a critic; None where the method has no critic.
    method
        How the run learns.
    schedule
        Resolution, length, optimiser and augmentation.
    grid
        Pixels that the network sees.
    enclosure
        Whether what lies beyond the hull of a slice's background stroke counts as background.
    seed
        Seed of everything random.
    facts
        What was there when the run began. Its course does not depend on them.
    masks
        Which dense masks are learnt from beside strokes.
    unlabelled
        Whether training slices without any annotation are learnt from, too.
    start
        The run whose network this one begins with; None: it begins anew.
    biases
        Whether its networks have biases that a batch norm subtracts again, as those of early versions do.

    Raises
    ------
    InputError
        Where the seed is not allowed.

    Examples
    --------
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> _ = begin(corpus.root, Path("run"), method=PCE(), schedule=PRESETS["demo"])
    >>> run = Run.open(Path("run"))
    >>> run.method, run.schedule.steps, run.learnt_from.train
    (PCE(), 1200, ('phantom002',))
    """

    root: Path
    learnt_from: LearntFrom
    prior_from: PriorFrom | None
    method: Method
    schedule: Schedule
    grid: Grid
    enclosure: bool
    seed: int
    facts: Facts
    masks: Masks = NONE
    unlabelled: bool = False
    start: StartedFrom | None = None
    biases: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= LARGEST_SEED:
            raise InputError(f"seed: {self.seed}, allowed are whole numbers from 0 to {LARGEST_SEED}")

    @classmethod
    def open(cls, root: PathLike) -> "Run":
        """Read the run in directory `root`.

        Raises
        ------
        InputError
            Where `root` is no run, or its ``run.json`` is malformed.
        """
        root = Path(root)
        path = root / "run.json"
        if not path.is_file():
            raise InputError(f"{root}: not a run (no run.json); make one with 'maskmixadv train'")
        try:
            raw = as_type(read_json(path), dict[str, Any], str(path))
            if missing := [key for key in (*_PARTS, *_FACTS) if key not in raw]:
                raise InputError(f"lacks {', '.join(missing)}")
            return cls(
                root=root,
                learnt_from=corpus_record(LearntFrom, raw["corpus"], f"{path}: corpus"),
                prior_from=None if raw["prior"] is None else corpus_record(PriorFrom, raw["prior"], f"{path}: prior"),
                method=recorded(as_type(raw["method"], dict[str, Any], f"{path}: method")),
                schedule=made(Schedule, raw["schedule"], f"{path}: schedule"),
                grid=_grid(raw["grid"], f"{path}: grid"),
                enclosure=as_type(raw["enclosure"], bool, f"{path}: enclosure"),
                seed=as_type(raw["seed"], int, f"{path}: seed"),
                facts=made(Facts, {key: raw[key] for key in _FACTS}, str(path)),
                masks=made(Masks, raw.get("masks", {}), f"{path}: masks"),
                unlabelled=as_type(raw.get("unlabelled", False), bool, f"{path}: unlabelled"),
                start=made(StartedFrom, raw["start"], f"{path}: start") if raw.get("start") else None,
                biases=as_type(raw.get("biases", True), bool, f"{path}: biases"),
            )
        except InputError as error:
            raise InputError(f"{path}: malformed ({str(error).removeprefix(f'{path}: ')}); train again") from None

    def __fspath__(self) -> str:
        return str(self.root)

    def __repr__(self) -> str:
        """Say in one line what it is."""
        of = self.learnt_from
        steps = self.schedule.steps
        said = f"{named(self.method)}, {steps} step{'' if steps == 1 else 's'} on {of.name}, fold {of.fold}"
        return f"Run({str(self.root)!r}, {said}, seed {self.seed})"

    def __str__(self) -> str:
        """Summarise it in a few lines."""
        schedule, grid, of = self.schedule, self.grid, self.learnt_from
        chosen = [
            f"{each.name}={value}"
            for each in fields(cast("Any", self.method))
            if (value := getattr(self.method, each.name)) != each.default
        ]
        patients = ", ".join(f"{len(part)} {name}" for name, part in of.split._asdict().items())
        lines = {
            "method": " ".join([named(self.method), *chosen]),
            "corpus": f"{of.name} in {_from_here(of.root)}",
            "fold": f"{of.fold or '?'} of {of.scheme or '?'}: {patients} patients",
            "steps": f"{schedule.steps:,} of {counted(schedule.batch, 'slice')}"
            + f", {schedule.window} × {schedule.window} pixels"
            + ("" if grid.mm is None else f" of {grid.mm:.3g} mm"),
            "with": f"enclosure {'on' if self.enclosure else 'off'}, seed {self.seed}"
            + ("" if self.masks == NONE else f", masks: {self.masks}")
            + (", slices without annotation" if self.unlabelled else "")
            + (f", begun with {_from_here(self.start.root)}" if self.start else ""),
            "weights": str(self.checkpoint) if self.checkpoint.is_file() else "none saved yet",
        }
        return "\n".join([f"run in {self.root}", *(f"  {key + ':':8} {value}" for key, value in lines.items())])

    def create(self) -> None:
        """Make the directory and write ``run.json``.

        Raises
        ------
        InputError
            Where the directory holds something already, or a name in the record is no text that could be read again.
        """
        record = self.record()
        try:
            json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            name = str(error.object)[max(0, error.start - 20) : error.end]
            raise InputError(f"{self.root}: {name!r} is no UTF-8, as names of folders must be; rename it") from None
        claim(self.root)
        write_text(self.root / "run.json", json.dumps(record, indent=1))

    def check_there(self) -> None:
        """Check that its directory still holds it, as somebody may remove or rename that while the run is trained.

        Raises
        ------
        InputError
            Where there is no ``run.json`` any more. Nothing is to be written there then.
        """
        try:
            (self.root / "run.json").stat()
        except (FileNotFoundError, NotADirectoryError):
            told = "is gone, as it has no run.json any more; what was trained since its last checkpoint is lost"
            raise InputError(f"{self.root}: {told}; where it was renamed, 'train --resume' goes on with it") from None
        except OSError:  # as of a disk that fails; what is written says so
            return

    def settings(self) -> dict[str, Any]:
        """Return all that the run's course depends on, as ``run.json`` holds it: plain values."""
        return {
            "corpus": self.learnt_from.table(),
            "prior": None if self.prior_from is None else self.prior_from.table(),
            "method": fields_of(self.method),
            "schedule": _schedule(self.schedule),
            "grid": asdict(self.grid),
            "enclosure": self.enclosure,
            "seed": self.seed,
            **({} if self.masks == NONE else {"masks": asdict(self.masks)}),
            **({"unlabelled": True} if self.unlabelled else {}),
            **({"start": self.start.table()} if self.start else {}),
            **({} if self.biases else {"biases": False}),
        }

    def record(self) -> dict[str, Any]:
        """Return the content of ``run.json``: the settings and the facts."""
        return {**self.settings(), **asdict(self.facts)}

    def published(self) -> dict[str, Any]:
        """Return `record` for files that are given away: it names corpora relative to the working directory.

        Corpora outside the working directory keep their whole path. ``run.json`` itself always holds whole paths, so
        that the run can be used from any directory.
        """
        record = self.record()
        for key, of in (("corpus", self.learnt_from), ("prior", self.prior_from)):
            if of is not None:
                record[key] = {**record[key], "root": _from_here(of.root)}
        return record

    @property
    def task(self) -> Task:
        """What the network segments."""
        of = self.learnt_from
        return Task(classes=of.classes, channels=len(of.channels), biases=self.biases)

    @property
    def checkpoint(self) -> Path:
        """Path of the last checkpoint."""
        return self.root / "last.pt"

    @property
    def step(self) -> int:
        """Step of the last checkpoint: 0 where there is none, the run's last one where it does not say."""
        if not self.checkpoint.is_file():
            return 0
        return self.stored(torch.device("cpu")).get("step", self.schedule.steps)

    def stored(self, device: torch.device) -> dict[str, Any]:
        """Read whatever the last checkpoint holds to `device`, without executing code.

        Raises
        ------
        InputError
            Where there is none, it is damaged, or ``run.json`` says otherwise what steers predictions.
        """
        if not self.checkpoint.is_file() and in_use(self.root):
            raise InputError(f"{self.checkpoint}: no checkpoint yet; wait for the training that goes on")
        state = stored(self.checkpoint, device)
        self._check_steers(state.get("steers"))
        return state

    @property
    def steers(self) -> dict[str, Any]:
        """What steers predictions beside the weights, as each checkpoint holds it, in plain values.

        So ``run.json`` can't be changed under a network that has learnt by it.
        """
        of, grid = self.learnt_from, self.grid
        told = {
            "grid": [grid.size, grid.mm],
            "classes": of.classes,
            "channels": records(of.channels),
            "turns": self.schedule.augment.turns,
            **{key: getattr(of, key) for key in ("axis", "thickest", "across", "radiological")},
        }
        return json.loads(json.dumps(told))

    def _check_steers(self, learnt: object) -> None:
        if not isinstance(learnt, dict):  # an early version's
            return
        for key, here in self.steers.items():
            if key in learnt and learnt[key] != here:
                told = (
                    f"{key}: {json.dumps(here)}, but {self.checkpoint.name} has learnt with {json.dumps(learnt[key])}"
                )
                raise InputError(f"{self.root / 'run.json'}: {told}; put the run's own file back, or train again")

    def load(self, device: torch.device) -> Checkpoint:
        """Read the last checkpoint to `device`, without executing code.

        Raises
        ------
        InputError
            Where there is none, it is damaged, or it lacks what a training needs to go on.
        """
        return complete(self.checkpoint, self.stored(device))

    def ended(self, checkpoint: Mapping[str, Any]) -> bool:
        """Whether all steps are done in what the last checkpoint holds, and what a run decides then is decided."""
        return checkpoint.get("step", self.schedule.steps) >= self.schedule.steps and not self.undecided(checkpoint)

    def weights(self, device: torch.device, *, deciding: bool = False) -> nn.Module:
        """Return the network that is scored, with the last checkpoint's weights, on the CPU.

        Where the run is not done, a line on stderr says so.

        Parameters
        ----------
        device
            Where the checkpoint is read to before its weights are copied.
        deciding
            Whether it is asked for to decide what the run decides at its end.

        Raises
        ------
        InputError
            Where there is no checkpoint, it is damaged or of another network, or a weight is not finite.
        """
        net, state = self.method.players(self.task)["net"], self.stored(device)
        weights = scored(self.checkpoint, state)
        with reading(self.checkpoint, "checkpoint", wrong="damaged", advice=ANEW):
            net.load_state_dict(weights)
        if (name := not_finite({"scored": net})) is not None:
            raise InputError(f"{self.checkpoint}: weight {name} is not finite{ANEW}")
        if (step := state.get("step", self.schedule.steps)) < self.schedule.steps:
            done = f"step {step} of {self.schedule.steps}; this is its network so far"
            say(f"{self.root}: {'goes on, and is saved' if in_use(self.root) else 'stopped'} at {done}")
        elif not deciding and self.undecided(state):
            what = "decided on odds of classes and structures in one piece, so predictions are without"
            if in_use(self.root):
                say(f"{self.root}: goes on, and has not {what}; wait for its end")
            else:
                say(f"{self.root}: stopped before it had {what}; 'maskmixadv train --resume {word(self.root)}' decides")
        if not (deciding and self.undecided(state)):  # else they are replaced
            self._check_seals(state, tell=not deciding)
        return net

    def _check_seals(self, state: Mapping[str, Any], *, tell: bool) -> None:
        """Refuse decisions without a seal, but those of an early version, which a line names."""
        if (names := without_seal(self.root, early="steers" not in state)) and tell:
            told = f"of an early version, which did not say of which network it is: {' and '.join(names)}"
            say(f"{self.root}: taken as this network's, but {told}")

    def undecided(self, checkpoint: Mapping[str, Any]) -> bool:
        """Whether a run that decides at its end has not yet, by its checkpoint; never one of an earlier version."""
        return checkpoint.get("settles", False) and not (self.root / pieces.FILE).is_file()


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _schedule(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule as plain values, without fields at their default that early versions did not know."""
    table, usual = asdict(schedule), asdict(Augment())
    for name in ("hue", "saturation"):
        if table["augment"][name] == usual[name]:
            del table["augment"][name]
    return table


def _grid(raw: object, where: str) -> Grid:
    grid = made(Grid, raw, where)
    if not 1 <= grid.size <= MOST_SIDE or not (grid.mm is None or grid.mm > 0):
        raise InputError(f"{where}: {grid.size} pixels of {grid.mm} mm, allowed are 1 to {MOST_SIDE}, above 0 mm")
    return grid


_FACTS = ("preset", "command", "commit", "device", "versions")
_PARTS = ("corpus", "prior", "method", "schedule", "grid", "enclosure", "seed")
