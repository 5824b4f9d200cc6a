"""A table's grid of runs: each checked as 'maskmixadv train' checks it, and known by what it is made of."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from maskmixadv.bench.table import Row, Table
from maskmixadv.device import pick_device
from maskmixadv.errors import InputError
from maskmixadv.files import read_json
from maskmixadv.methods.registry import METHODS, load, method_from, present
from maskmixadv.runs.schedule import OFFERED, default_preset
from maskmixadv.sources.opening import open_corpus
from maskmixadv.training.recipe import Recipe
from maskmixadv.typed import as_type, made
from maskmixadv.types import Part

if TYPE_CHECKING:
    from maskmixadv.runs.run import Run


class Command(Protocol):
    """What makes a corpus."""

    def run(self) -> int:
        """Make it; returns an exit code."""
        ...


Parse = Callable[[list[str]], Command]
"""Reads the words of a command line, without the program's name."""
RECORD = "bench.json"
"""A finished cell's own file: identity and cost. It is written last."""


@dataclass(frozen=True)
class Job:
    """One run to make; cells that ask for the same one share it.

    Attributes
    ----------
    identity
        Hash of all that the run's course depends on.
    recipe
        What begins it.
    run
        Its directory: checkpoints, pictures, what it printed.
    steps
        How many it has.
    split
        What it is scored on.
    folders
        Where the scores go, one for each cell.
    """

    identity: str
    recipe: Recipe
    run: Path
    steps: int
    split: Part
    folders: tuple[Path, ...]

    def __hash__(self) -> int:
        return hash(self.identity)

    @property
    def output(self) -> Path:
        """File of what the run printed."""
        return self.run.with_name(f"{self.run.name}.txt")

    @property
    def done(self) -> bool:
        """Whether every folder holds this run's scores."""
        wanted = {"identity": self.identity, "split": self.split}
        return all(wanted.items() <= _record(folder).items() for folder in self.folders)

    def json(self) -> str:
        """Text that `from_json` reads."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Read what `json` wrote."""
        return made(cls, json.loads(text), "job")


@dataclass(frozen=True)
class Cell:
    """A row's run of one fold with one seed; its scores lie in the job's folders, of which `folder` is one."""

    row: Row
    fold: int
    seed: int
    folder: Path
    job: Job


def cells(table: Table, parse: Parse, *, out: Path, runs: Path) -> tuple[Cell, ...]:
    """Check every run of `table` and list them, in the order in which they are to be made.

    Corpora that are missing and that the table knows how to make are made, once all that needs no corpus is checked.

    Parameters
    ----------
    parse
        Reads the words of a command that makes a corpus.
    out
        Directory for scores.
    runs
        Directory for runs.

    Raises
    ------
    InputError
        Where a run can't be begun or scored; the message names the table and the row.
    """
    for row in table.rows:
        with _named(table, row):
            _known(row)
            _recipe(table, row, fold=table.folds[0], seed=table.seeds[0])
    prepare(table, parse)
    found = [
        _cell(table, row, fold, seed, out=out, runs=runs)
        for seed in table.seeds
        for fold in table.folds
        for row in table.rows
    ]
    shared: dict[str, list[Path]] = {}
    for cell in found:
        shared.setdefault(cell.job.identity, []).append(cell.folder)
    return tuple(replace(c, job=replace(c.job, folders=tuple(shared[c.job.identity]))) for c in found)


def prepare(table: Table, parse: Parse) -> None:
    """Make those corpora that are missing and that the table knows how to make; `parse` reads how.

    Raises
    ------
    InputError
        Where a command can't be read, or fails.
    """
    for out, words in table.prepare.items():
        command = parse([word if word != "{out}" else str(out) for word in words])
        if not (out / "corpus.json").is_file():
            command.run()


def identity(run: "Run") -> str:
    """Hash of all that a run's course depends on: method, schedule, data, seed; not of where things lie."""
    record = run.settings()
    record["method"] = {**record["method"], "name": _formerly(record["method"]["name"])}
    for key in ("corpus", "prior"):
        if record[key] is not None:
            record[key] = {k: v for k, v in record[key].items() if k not in ("root", "scheme", "fold")}
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]


def _cell(table: Table, row: Row, fold: int, seed: int, *, out: Path, runs: Path) -> Cell:
    with _named(table, row):
        recipe = _recipe(table, row, fold=fold, seed=seed)
        run = recipe.begin(out, write=False)
        _scorable(row.corpus, getattr(run.learnt_from, table.split), table.split)
    folder, name = out / row.folder / f"fold{fold}-seed{seed}", identity(run)
    place = runs / f"{_formerly(recipe.method['name'])}-{name}"
    return Cell(row, fold, seed, folder, Job(name, recipe, place, run.schedule.steps, table.split, (folder,)))


def _recipe(table: Table, row: Row, *, fold: int, seed: int) -> Recipe:
    """Return what begins a row's run, with its method's fields and the schedule checked."""
    preset = row.preset or default_preset(pick_device(None).type)
    if preset not in OFFERED:
        raise InputError(f"preset: {preset!r}, allowed are {', '.join(OFFERED)}")
    table.changes.on(preset)
    method = {"name": present(row.method), **row.fields}
    method_from(method)
    return Recipe(
        corpus_root=row.corpus,
        prior_root=row.prior,
        method=method,
        preset=preset,
        changes=table.changes,
        scheme=table.scheme,
        fold=fold,
        enclosure=row.enclosure,
        seed=seed,
    )


def _formerly(name: str) -> str:
    """Return the name that a run's directory and identity have: the method's first, so that old runs are found."""
    return METHODS[name].formerly or name


@contextmanager
def _named(table: Table, row: Row) -> Iterator[None]:
    """Errors of `row` say so."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{table.name}: row {row.name!r}: {error}") from None


def _known(row: Row) -> None:
    """Complain of a method or a field that does not exist, with what there is."""
    names = [field.name for field in fields(cast("Any", load(row.method)))]
    for name, value in row.fields.items():
        if name not in names:
            raise InputError(f"method {row.method!r} has no field {name!r}, it has {', '.join(names) or 'none'}")
        if isinstance(value, dict):
            raise InputError(f"field {name!r}: {value!r}, must be a number, a text, true or false, or a list of such")


def _scorable(root: Path, patients: Sequence[str], split: Part) -> None:
    if not any(entry.dense for entry in open_corpus(root).of(patients)):
        raise InputError(f"{root}: no case of split {split!r} has a dense mask to score against")


def _record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        return as_type(read_json(path), dict[str, Any], str(path))
    except InputError as error:
        raise InputError(f"{error}; delete it, and the run is scored again") from None
