"""A table's grid of runs: each checked as 'maskmixadv train' would, and known by the content of its configuration."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from maskmixadv import cli
from maskmixadv.bench.table import Row, Table
from maskmixadv.data.corpus import Corpus, Part
from maskmixadv.errors import InputError
from maskmixadv.files import read_json
from maskmixadv.typed import as_type

if TYPE_CHECKING:
    from maskmixadv.run import Run

RECORD = "bench.json"
"""A finished cell's own file: identity and cost. It is written last."""


@dataclass(frozen=True)
class Job:
    """One run to make; cells that ask for the same one share it.

    Attributes
    ----------
    identity
        Hash of all that the run's course depends on.
    train
        Arguments of 'maskmixadv' that begin it.
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
    train: tuple[str, ...]
    run: Path
    steps: int
    split: Part
    folders: tuple[Path, ...]

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
        raw = json.loads(text)
        places = {"run": Path(raw["run"]), "folders": tuple(map(Path, raw["folders"]))}
        return cls(**{**raw, "train": tuple(raw["train"]), **places})


@dataclass(frozen=True)
class Cell:
    """A row's run of one fold with one seed; its scores lie in the job's folders, of which `folder` is one."""

    row: Row
    fold: int
    seed: int
    folder: Path
    job: Job


def cells(table: Table, *, out: Path, runs: Path) -> tuple[Cell, ...]:
    """Check every run of `table` and list them, in the order in which they are to be made.

    Corpora that are missing and that the table knows how to make are made, once all that needs no corpus is checked.

    Parameters
    ----------
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
            cli.parse(arguments(table, row, out=runs, fold=table.folds[0], seed=table.seeds[0]))
    prepare(table)
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


def prepare(table: Table) -> None:
    """Make those corpora that are missing and that the table knows how to make.

    Raises
    ------
    InputError
        Where a command can't be read, or fails.
    """
    for out, words in table.prepare.items():
        command = cli.parse([word if word != "{out}" else str(out) for word in words])
        if not (out / "corpus.json").is_file():
            command.run()


def arguments(table: Table, row: Row, *, out: Path, fold: int, seed: int) -> list[str]:
    """Arguments of 'maskmixadv' that begin the run `out`."""
    words = ["train", str(row.corpus), "--out", str(out), "--fold", str(fold)]
    words += ["--seed", str(seed), *(["--preset", row.preset] if row.preset else [])]
    words += ["--folds", table.scheme] if table.scheme else []
    words += ["--prior", str(row.prior)] if row.prior else []
    words += ["--enclosure"] if row.enclosure else []
    return [*words, *_options(table.schedule), row.method, *_options(row.fields)]


def identity(run: "Run") -> str:
    """Hash of all that a run's course depends on: method, schedule, data, seed; not of where things lie."""
    record = {key: value for key, value in run.record().items() if key not in run.facts}
    for key in ("corpus", "prior"):
        if record[key] is not None:
            record[key] = {k: v for k, v in record[key].items() if k not in ("root", "scheme", "fold")}
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]


def _cell(table: Table, row: Row, fold: int, seed: int, *, out: Path, runs: Path) -> Cell:
    with _named(table, row):
        run = cli.parse(arguments(table, row, out=runs, fold=fold, seed=seed)).begin(write=False)
        _scorable(row.corpus, run.corpus[table.split], table.split)
    folder, name = out / row.folder / f"fold{fold}-seed{seed}", identity(run)
    place = runs / f"{row.method}-{name}"
    begun = tuple(arguments(table, row, out=place, fold=fold, seed=seed))
    return Cell(row, fold, seed, folder, Job(name, begun, place, run.schedule.steps, table.split, (folder,)))


@contextmanager
def _named(table: Table, row: Row) -> Iterator[None]:
    """Errors of `row` say so."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{table.name}: row {row.name!r}: {error}") from None


def _known(row: Row) -> None:
    """Complain of a method or a field that does not exist, better than the command line's parser can."""
    from maskmixadv import methods

    if row.method not in methods.ALL:
        raise InputError(f"method: {row.method!r}, allowed are {', '.join(methods.ALL)}")
    names = [field.name for field in fields(cast("Any", methods.ALL[row.method]))]
    for name, value in row.fields.items():
        if name not in names:
            raise InputError(f"method {row.method!r} has no field {name!r}, it has {', '.join(names) or 'none'}")
        if isinstance(value, dict):
            raise InputError(f"field {name!r}: {value!r}, must be a number, a text, true or false, or a list of such")


def _scorable(root: Path, patients: Sequence[str], split: Part) -> None:
    if not any(entry.dense for entry in Corpus.open(root).of(patients)):
        raise InputError(f"{root}: no case of split {split!r} has a dense mask to score against")


def _options(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        else:
            yield from (f"--{option}", *map(str, value if isinstance(value, list) else (value,)))


def _record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        return as_type(read_json(path), dict[str, Any], str(path))
    except InputError as error:
        raise InputError(f"{error}; delete it, and the run is scored again") from None
