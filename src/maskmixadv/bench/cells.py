"""The grid of runs of a table: each is checked as 'maskmixadv train' checks it, and has a hash of its inputs."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from maskmixadv.bench.filed import SPACINGS, CellRecord, grids_of, has_other_grids
from maskmixadv.bench.table import Table, TableRow
from maskmixadv.corpus.entry import Entry
from maskmixadv.corpus.masks import Masks
from maskmixadv.corpus.names import MEAN
from maskmixadv.device import pick_device
from maskmixadv.errors import InputError, nearest, say
from maskmixadv.methods.registry import METHODS, load, method_from, present
from maskmixadv.runs.schedule import OFFERED, default_preset
from maskmixadv.sources.opening import open_corpus
from maskmixadv.training.recipe import Recipe
from maskmixadv.typed import made
from maskmixadv.types import Part

if TYPE_CHECKING:
    from maskmixadv.runs.run import Run


class Command(Protocol):
    """A command that makes a corpus."""

    def run(self) -> int:
        """Run the command; returns its exit code."""
        ...


Parse = Callable[[list[str]], Command]
"""Parses the words of a command line, without the program's name."""


@dataclass(frozen=True)
class Job:
    """A run to make. Cells that ask for the same run share the job.

    Attributes
    ----------
    identity
        Hash of everything that the run's result depends on.
    recipe
        The plain values that begin the run.
    run
        Directory of the run.
    steps
        How many steps the run has.
    split
        Which patients the run is scored on.
    folders
        Directories for the scores, one for each cell.
    grids
        Hashes of whose the cases of the run's corpora are and of their spacings (`grids_of`), beside the identity.
    """

    identity: str
    recipe: Recipe = field(hash=False)  # it holds a dictionary; the identity is its hash
    run: Path
    steps: int
    split: Part
    folders: tuple[Path, ...]
    grids: dict[str, str] = field(default_factory=dict, hash=False)

    def __hash__(self) -> int:
        return hash(self.identity)

    @property
    def output(self) -> Path:
        """File with everything that the run's process printed."""
        return self.run.with_name(f"{self.run.name}.txt")

    @property
    def reason(self) -> Path:
        """File in which the run's process writes why it failed."""
        return self.run.with_name(f"{self.run.name}.reason")

    @property
    def log(self) -> Path:
        """The run's ``log.csv``, which grows while the run trains."""
        return self.run / "log.csv"

    @property
    def done(self) -> bool:
        """Whether every folder holds this run's scores, measured by the spacings that its corpora have."""
        records = map(CellRecord.read, self.folders)
        return all(
            each is not None and (each.identity, each.split) == (self.identity, self.split) for each in records
        ) and not any(has_other_grids(folder, self.grids) for folder in self.folders)

    def json(self) -> str:
        """Return the job as text, for `from_json`."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Read a job from the text that `json` returned."""
        return made(cls, json.loads(text), "job")


@dataclass(frozen=True)
class Cell:
    """One row, fold and seed of a table.

    Attributes
    ----------
    row, fold, seed
        Which.
    folder
        Directory of its scores, one of the job's folders.
    job
        The run that it asks for.
    """

    row: TableRow
    fold: int
    seed: int
    folder: Path
    job: Job


def cells(table: Table, parse: Parse, *, out: Path, runs: Path) -> tuple[Cell, ...]:
    """Check every run of `table` and list the runs, in the order in which they are made.

    A corpus that is missing is made if the table says how. Before that, everything is checked that needs no corpus.

    Parameters
    ----------
    table
        The table.
    parse
        Parses the command that makes a corpus.
    out
        Directory for scores.
    runs
        Directory for runs.

    Raises
    ------
    InputError
        If a run can't be begun or scored, or a row has other cases than the reference; the message names table and row.
    """
    for row in table.rows:
        with _named(table, row):
            _known(row)
            _recipe(table, row, fold=table.folds[0], seed=table.seeds[0])
    prepare(table, parse)
    scored: dict[tuple[str, int], Sequence[Entry]] = {}
    found = [
        _cell(table, row, fold, seed, out=out, runs=runs, scored=scored)
        for seed in table.seeds
        for fold in table.folds
        for row in table.rows
    ]
    _comparable(table, scored)
    _tell_alike(table, found)
    shared: dict[str, list[Path]] = {}
    for cell in found:
        shared.setdefault(cell.job.identity, []).append(cell.folder)
    return tuple(replace(c, job=replace(c.job, folders=tuple(shared[c.job.identity]))) for c in found)


def prepare(table: Table, parse: Parse) -> None:
    """Make every missing corpus for which `table` has a command; `parse` parses the command.

    Raises
    ------
    InputError
        If a command can't be parsed, or fails.
    """
    for out, words in table.prepare.items():
        command = parse([word if word != "{out}" else str(out) for word in words])
        if not (out / "corpus.json").is_file():
            command.run()


def identity(run: "Run") -> str:
    """Return the hash of everything that a run's result depends on: method, schedule, data and seed, but no path.

    Biases that a norm subtracts again are no part of it (decision 20), nor hashes of spacings, which early runs lack
    (`Job.grids` has them), nor which colours a teacher sees where this changes nothing.
    """
    record = run.settings()
    record.pop("biases", None)
    record["method"] = {**record["method"], "name": _formerly(record["method"]["name"])}
    if record["method"].get("colours") == "changed" or run.learnt_from.channels[0].kind != "RGB":
        record["method"].pop("colours", None)
    for key in ("corpus", "prior"):
        if record[key] is not None:
            record[key] = {k: v for k, v in record[key].items() if k not in ("root", "scheme", "fold", *SPACINGS)}
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]


def _cell(
    table: Table,
    row: TableRow,
    fold: int,
    seed: int,
    *,
    out: Path,
    runs: Path,
    scored: dict[tuple[str, int], Sequence[Entry]],
) -> Cell:
    """Return a cell; the cases on which it is scored go into `scored`, by the row's name and the fold."""
    with _named(table, row):
        recipe = _recipe(table, row, fold=fold, seed=seed)
        run = recipe.begin(out, write=False)
        _published(row, run.learnt_from.classes)
        scored[row.name, fold] = _scorable(row.corpus, getattr(run.learnt_from, table.split), table.split)
    folder, name = out / row.folder / f"fold{fold}-seed{seed}", identity(run)
    place, grids = runs / f"{_formerly(recipe.method['name'])}-{name}", grids_of(run.record())
    if has_other_grids(place, grids):
        with _named(table, row):
            raise InputError(
                f"{place}: was begun when {row.corpus} had other spacings or patients; delete it to train it anew"
            )
    return Cell(row, fold, seed, folder, Job(name, recipe, place, run.schedule.steps, table.split, (folder,), grids))


def _recipe(table: Table, row: TableRow, *, fold: int, seed: int) -> Recipe:
    """Return the recipe of a row's run; checks the fields of the method and the schedule."""
    preset = row.preset or default_preset(pick_device(None).type)
    if preset not in OFFERED:
        raise InputError(f"preset: {preset!r}, allowed are {', '.join(OFFERED)}")
    table.changes.on(preset)
    method = {"name": present(row.method), **row.fields}
    method_from(method)
    Masks(row.masks, row.masks_of)
    return Recipe(
        corpus_root=row.corpus,
        prior_root=row.prior,
        method=method,
        preset=preset,
        changes=table.changes,
        scheme=table.scheme,
        fold=fold,
        enclosure=row.enclosure,
        masks=row.masks,
        masks_of=row.masks_of,
        unlabelled=row.unlabelled,
        seed=seed,
    )


def _formerly(name: str) -> str:
    """Return the method's first name. Directories and identities keep it when a method is renamed, for old runs."""
    return METHODS[name].formerly or name


@contextmanager
def _named(table: Table, row: TableRow) -> Iterator[None]:
    """Name the table and the row in an `InputError` that the block raises."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{table.name}.toml: row {row.name!r}: {error}") from None


def _known(row: TableRow) -> None:
    """Refuse a method or a field that does not exist; the message lists those that do."""
    names = [field.name for field in fields(cast("Any", load(row.method)))]
    for name, value in row.fields.items():
        if name not in names:
            raise InputError(f"method {row.method!r} has no field {name!r}, it has {nearest(name, names)}")
        if isinstance(value, dict):
            raise InputError(f"field {name!r}: {value!r}, must be a number, a text, true or false, or a list of such")


def _published(row: TableRow, classes: Sequence[str]) -> None:
    """Refuse published figures of a class that the row's runs do not have: they would be shown nowhere."""
    for measure, figures in row.published.items():
        for label in figures:
            if label not in (*classes[1:], MEAN):
                allowed = nearest(label, (*classes[1:], MEAN))
                raise InputError(f"published.{measure}: {label!r}, allowed are the classes of its corpus: {allowed}")


def _scorable(root: Path, patients: Sequence[str], split: Part) -> tuple[Entry, ...]:
    """Return the cases of patients that can be scored: those with a mask, of which there must be one."""
    found = tuple(entry for entry in open_corpus(root).of(patients) if entry.dense)
    if not found:
        raise InputError(f"{root}: no case of split {split!r} has a dense mask to score against")
    return found


def _comparable(table: Table, scored: Mapping[tuple[str, int], Sequence[Entry]]) -> None:
    """Refuse a row that is scored on other cases than the reference: rows are compared case by case.

    Cases of one name that have other shapes or spacings are other ones, as those of two sets of phantoms.
    """
    roots = {row.name: row.corpus for row in table.rows}
    for (name, fold), entries in scored.items():
        mine, theirs = (
            {each.name: (each.shape, each.spacing) for each in of} for of in (entries, scored[table.reference, fold])
        )
        if odd := sorted(case for case in {*mine, *theirs} if mine.get(case) != theirs.get(case)):
            case, other = odd[0], f"in {roots[table.reference]} {_size(theirs.get(odd[0]))}"
            raise InputError(
                f"{table.name}.toml: row {name!r}: is scored on other cases than {table.reference!r}, with which it is "
                f"compared case by case (fold {fold}: {case} is {_size(mine.get(case))} in {roots[name]}, {other})"
            )


def _tell_alike(table: Table, found: Sequence[Cell]) -> None:
    """Say on stderr which rows ask for the runs of an earlier row: their difference is 0 by that alone."""
    asked = {row.name: [cell.job.identity for cell in found if cell.row is row] for row in table.rows}
    first: dict[tuple[str, ...], str] = {}
    for name, jobs in asked.items():
        if (other := first.setdefault(tuple(jobs), name)) != name:
            told = f"asks for the same runs as {other!r}; they are made once and do not differ"
            say(f"{table.name}.toml: row {name!r}: {told}")


def _size(of: tuple[Sequence[int], Sequence[float] | None] | None) -> str:
    if of is None:
        return "not there"
    sides, mm = (" × ".join(f"{each:.4g}" for each in values) for values in (of[0], of[1] or ()))
    return f"{sides} voxels" + (f" of {mm} mm" if mm else "")
