"""A run: one directory with all that is needed to repeat it, resume it and use its network."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import torch

from maskmixadv import methods
from maskmixadv.augment import Augment
from maskmixadv.data.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.files import claim, write_text, written
from maskmixadv.grid import Grid
from maskmixadv.methods.method import Method
from maskmixadv.schedule import Schedule
from maskmixadv.types import Task


@dataclass(frozen=True)
class Run:
    """What ``run.json`` says.

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
    def open(cls, root: Path) -> "Run":
        """Read a run.

        Raises
        ------
        InputError
            Where `root` is no run.
        """
        path = root / "run.json"
        if not path.is_file():
            raise InputError(f"{root}: not a run (no run.json); make one with 'maskmixadv train'")
        try:
            raw = json.loads(path.read_text())
            schedule = raw["schedule"]
            return cls(
                root=root,
                corpus=raw["corpus"],
                prior=raw["prior"],
                method=method_from(raw["method"]),
                schedule=Schedule(**{**schedule, "augment": Augment(**schedule["augment"])}),
                grid=Grid(**raw["grid"]),
                enclosure=raw["enclosure"],
                seed=raw["seed"],
                facts={key: raw[key] for key in _FACTS},
            )
        except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: malformed ({error!r}); train again") from None

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

    @property
    def task(self) -> Task:
        """What the network segments."""
        return Task(classes=tuple(self.corpus["classes"]))

    @property
    def checkpoint(self) -> Path:
        """Where the last checkpoint lies."""
        return self.root / "last.pt"

    def load(self, device: torch.device) -> dict[str, Any]:
        """Read the last checkpoint, without executing code.

        Raises
        ------
        InputError
            Where there is none, or it is damaged.
        """
        if not self.checkpoint.is_file():
            raise InputError(f"{self.checkpoint}: no checkpoint yet; resume with 'maskmixadv train --resume'")
        try:
            return torch.load(self.checkpoint, map_location=device, weights_only=True)
        except Exception as error:  # torch raises whatever its unpickler met
            reason = str(error).split("\n", 1)[0]
            raise InputError(f"{self.checkpoint}: damaged ({reason}); train again") from None


def method_from(raw: dict[str, Any]) -> Method:
    """Make a method of its name and fields.

    Raises
    ------
    InputError
        Where there is no such method.
    """
    name = raw["name"]
    if name not in methods.ALL:
        raise InputError(f"method: {name!r}, allowed are {', '.join(methods.ALL)}")
    return methods.ALL[name](**{key: value for key, value in raw.items() if key != "name"})


def fields_of(method: Method) -> dict[str, Any]:
    """Return the name by which the command line knows `method`, and its fields: `method_from` reads them."""
    name = next(name for name, kind in methods.ALL.items() if isinstance(method, kind))
    return {
        "name": name,
        **{field.name: getattr(method, field.name) for field in fields(cast("Any", method))},
    }


def same_corpus(recorded: dict[str, Any]) -> Corpus:
    """Open the corpus that a run names.

    Raises
    ------
    InputError
        Where its content is another one now.
    """
    corpus = Corpus.open(Path(recorded["root"]))
    if corpus.hash() != recorded["hash"]:
        raise InputError(f"{corpus.root}: has changed since the run began; restore it or train anew")
    return corpus


def pick_device(name: str | None) -> torch.device:
    """Return the device called `name`, or the fastest that is there.

    Raises
    ------
    InputError
        Where it is not there.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device: {name!r} is not usable here ({str(error).split(chr(10), 1)[0]})") from None


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
