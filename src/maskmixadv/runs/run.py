"""A run: one directory with all that is needed to repeat it, resume it and use its network."""

import json
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import nn

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.names import check_classes
from maskmixadv.errors import InputError
from maskmixadv.files import claim, read_json, write_text, written
from maskmixadv.formats.reading import check_checkpoint, reading
from maskmixadv.methods.method import Method
from maskmixadv.methods.registry import fields_of, method_from
from maskmixadv.networks.finite import not_finite
from maskmixadv.runs.schedule import Schedule
from maskmixadv.sampling.grid import Grid
from maskmixadv.sources.opening import open_corpus
from maskmixadv.tensors import Task
from maskmixadv.typed import as_type, made
from maskmixadv.types import PathLike

ANEW: Final = "; train again"
MOST_SIDE: Final = 2**14
"""Pixels of a canvas's side."""


@dataclass(frozen=True)
class Run:
    """What ``run.json`` says.

    It stands for its directory wherever a path is asked for. `print` shows a summary.

    Attributes
    ----------
    root
        The run's directory.
    corpus, prior
        What was learnt from: where it lies, its content's hash, its patients.
    facts
        What was there when it began: command, commit, device, versions.
    """

    root: Path
    corpus: dict[str, Any]
    prior: dict[str, Any] | None
    method: Method
    schedule: Schedule
    grid: Grid
    enclosure: bool
    seed: int
    facts: dict[str, Any]

    @classmethod
    def open(cls, root: PathLike) -> "Run":
        """Read a run.

        Raises
        ------
        InputError
            Where `root` is no run.
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
                corpus=_learnt_from(raw["corpus"], _LISTS, f"{path}: corpus"),
                prior=None if raw["prior"] is None else _learnt_from(raw["prior"], ("cases",), f"{path}: prior"),
                method=method_from(as_type(raw["method"], dict[str, Any], f"{path}: method")),
                schedule=made(Schedule, raw["schedule"], f"{path}: schedule"),
                grid=_grid(raw["grid"], f"{path}: grid"),
                enclosure=as_type(raw["enclosure"], bool, f"{path}: enclosure"),
                seed=as_type(raw["seed"], int, f"{path}: seed"),
                facts={key: raw[key] for key in _FACTS},
            )
        except InputError as error:
            raise InputError(f"{path}: malformed ({str(error).removeprefix(f'{path}: ')}); train again") from None

    def __fspath__(self) -> str:
        return str(self.root)

    def __repr__(self) -> str:
        """Say in one line what it is."""
        record = self.record()
        said = f"{record['method']['name']}, {self.schedule.steps} steps on {record['corpus']['name']}"
        return f"Run({str(self.root)!r}, {said}, fold {record['corpus']['fold']}, seed {self.seed})"

    def __str__(self) -> str:
        """Summarise it in a few lines."""
        schedule, grid, corpus = self.schedule, self.grid, self.published()["corpus"]
        chosen = [
            f"{each.name}={value}"
            for each in fields(cast("Any", self.method))
            if (value := getattr(self.method, each.name)) != each.default
        ]
        patients = ", ".join(f"{len(corpus[part])} {part}" for part in _LISTS)
        lines = {
            "method": " ".join([fields_of(self.method)["name"], *chosen]),
            "corpus": f"{corpus['name']} in {corpus['root']}",
            "fold": f"{corpus['fold']} of {corpus['scheme']}: {patients} patients",
            "steps": f"{schedule.steps:,} of {schedule.batch} slices, {schedule.window} × {schedule.window} pixels"
            + ("" if grid.mm is None else f" of {grid.mm:.2f} mm"),
            "with": f"enclosure {'on' if self.enclosure else 'off'}, seed {self.seed}",
            "weights": str(self.checkpoint) if self.checkpoint.is_file() else "none saved yet",
        }
        return "\n".join([f"run in {self.root}", *(f"  {key + ':':8} {value}" for key, value in lines.items())])

    def create(self) -> None:
        """Make the directory and write ``run.json``.

        Raises
        ------
        InputError
            Where the directory holds something already.
        """
        claim(self.root)
        write_text(self.root / "run.json", json.dumps(self.record(), indent=1))

    def record(self) -> dict[str, Any]:
        """Content of ``run.json``."""
        return {
            "corpus": self.corpus,
            "prior": self.prior,
            "method": fields_of(self.method),
            "schedule": asdict(self.schedule),
            "grid": asdict(self.grid),
            "enclosure": self.enclosure,
            "seed": self.seed,
            **self.facts,
        }

    def published(self) -> dict[str, Any]:
        """`record` for files that are given away: corpora in the working directory are named from there.

        ``run.json`` itself names them by their whole path, so that the run is found from anywhere.
        """
        record = self.record()
        for key in ("corpus", "prior"):
            if record[key] is not None and "root" in record[key]:
                record[key] = {**record[key], "root": _from_here(Path(record[key]["root"]))}
        return record

    @property
    def task(self) -> Task:
        """What the network segments."""
        return Task(classes=tuple(self.corpus["classes"]))

    @property
    def checkpoint(self) -> Path:
        """Where the last checkpoint lies."""
        return self.root / "last.pt"

    def load(self, device: torch.device) -> dict[str, Any]:
        """Read the last checkpoint, without executing code: the whole state of a training, which `loop` reads.

        Raises
        ------
        InputError
            Where there is none, or it is damaged.
        """
        return _whole(self.checkpoint, self._stored(device))

    def _stored(self, device: torch.device) -> dict[str, Any]:
        if not self.checkpoint.is_file():
            raise InputError(f"{self.checkpoint}: no checkpoint yet; resume with 'maskmixadv train --resume'")
        check_checkpoint(self.checkpoint)
        with reading(self.checkpoint, "checkpoint", wrong="damaged", advice=ANEW):
            # Mapped, so that a tensor that claims more than the file holds is refused; read whole, it is memory's rest.
            state = torch.load(self.checkpoint, map_location=device, weights_only=True, mmap=True)
        if not isinstance(state, dict):
            raise InputError(f"{self.checkpoint}: damaged (it holds something else){ANEW}")
        if type(step := state.get("step", 0)) is not int or step < 0:
            raise InputError(f"{self.checkpoint}: damaged (its step is no whole number){ANEW}")
        return state

    def weights(self, device: torch.device) -> nn.Module:
        """Return the network that is scored, with the last checkpoint's weights, on the CPU.

        That of a run which is not done has a line on stderr.

        Raises
        ------
        InputError
            Where there is no checkpoint, or it is damaged, of another network, or not finite.
        """
        net, state = self.method.players(self.task)["net"], self._stored(device)
        if not isinstance(state.get("scored"), dict):
            raise InputError(f"{self.checkpoint}: damaged (it lacks scored){ANEW}")
        with reading(self.checkpoint, "checkpoint", wrong="damaged", advice=ANEW):
            net.load_state_dict(state["scored"])
        if (name := not_finite({"scored": net})) is not None:
            raise InputError(f"{self.checkpoint}: weight {name} is not finite{ANEW}")
        if (step := state.get("step", self.schedule.steps)) < self.schedule.steps:
            done = f"stopped at step {step} of {self.schedule.steps}"
            print(f"{self.root}: {done}; this is its network so far", file=sys.stderr)
        return net


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _whole(path: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a training if all is in it that it goes on with."""
    lacking = [key for key in _STATE if not isinstance(state.get(key), dict)] + ["step"] * ("step" not in state)
    if lacking:
        raise InputError(f"{path}: damaged (it lacks {', '.join(lacking)}){ANEW}")
    return state


def _learnt_from(raw: object, lists: tuple[str, ...], where: str) -> dict[str, Any]:
    """Return what a run says of a corpus if it names it, and the patients or cases that it learnt from."""
    table = as_type(raw, dict[str, Any], where)
    texts, names = dict.fromkeys(("root", "name", "hash"), str), dict.fromkeys(("classes", *lists), list[str])
    for key, kind in {**texts, **names}.items():
        as_type(table.get(key), kind, f"{where}: {key}")
    if as_type(table.get("axis", 0), int, f"{where}: axis") not in (0, 1, 2):
        raise InputError(f"{where}: axis {table['axis']}, allowed are 0, 1 and 2")
    check_classes(table["classes"], where)
    return table


def _grid(raw: object, where: str) -> Grid:
    grid = made(Grid, raw, where)
    if not 1 <= grid.size <= MOST_SIDE or not (grid.mm is None or grid.mm > 0):
        raise InputError(f"{where}: {grid.size} pixels of {grid.mm} mm, allowed are 1 to {MOST_SIDE}, above 0 mm")
    return grid


def same_corpus(recorded: dict[str, Any]) -> Corpus:
    """Open the corpus that a run names.

    Raises
    ------
    InputError
        Where its content is another one now.
    """
    corpus = open_corpus(Path(recorded["root"]))
    if corpus.hash() != recorded["hash"]:
        raise InputError(f"{corpus.root}: has changed since the run began; restore it or train anew")
    return corpus


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all; an earlier one stays until then.

    Raises
    ------
    InputError
        Where there is no space.
    """
    try:
        with written(path) as file:
            torch.save(content, file)
    except (InputError, RuntimeError) as error:  # torch wraps what the file says
        reason = str(error).split("\n", 1)[0]
        raise InputError(f"{path}: can't be saved ({reason}); free space, then resume with --resume") from None


_FACTS = ("command", "commit", "device", "versions", "preset")
_PARTS = ("corpus", "prior", "method", "schedule", "grid", "enclosure", "seed")
_LISTS = ("train", "val", "test")
_STATE = ("nets", "optimisers", "scored")
