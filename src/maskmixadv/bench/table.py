"""A table of runs, read from a TOML file; every key and every type is checked."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from maskmixadv.corpus.masks import AUTO
from maskmixadv.errors import InputError
from maskmixadv.files import LONGEST_NAME, read_toml
from maskmixadv.methods.registry import FORMER
from maskmixadv.runs.schedule import Changes
from maskmixadv.typed import made
from maskmixadv.types import Part

_SHARED: Final[dict[str, type]] = {
    "corpus": str,
    "prior": str,
    "preset": str,
    "enclosure": bool,
    "masks": str,
    "masks_of": str,
    "unlabelled": bool,
}
_TABLE: Final[dict[str, type]] = {
    "title": str, "reference": str, "split": str, "scheme": str, "folds": list, "seeds": list, **_SHARED,
    "schedule": dict, "prepare": dict, "rows": list,
}  # fmt: skip
_ROW: Final[dict[str, type]] = {"name": str, "method": str, "fields": dict, **_SHARED, "published": dict}
_WORDS: Final = {
    str: "a text in quotes", bool: "true or false", int: "a whole number", float: "a number", dict: "a table",
    list: "a list",
}  # fmt: skip


MOST_FIGURE: Final = {"dice": 1.0, "hd95": 1e6}
"""The largest figures of a paper; Dice is none in percent, hd95 is in mm."""


@dataclass(frozen=True)
class TableRow:
    """A row of a table: one way to train, which is run on every fold with every seed.

    Attributes
    ----------
    name
        Name in the rendered table.
    method, fields
        Name of a method, and those of its fields that differ from their defaults.
    corpus, prior, preset, enclosure, masks, masks_of
        As in 'maskmixadv train'. The table's value holds where the row gives none, and then the command's default.
    unlabelled
        The same, but off by default, so that rows stay what they were.
    published
        Figures of a paper: ``dice`` and ``hd95``, each by class and ``mean``.
    """

    name: str
    method: str
    fields: Mapping[str, Any]
    corpus: Path
    prior: Path | None
    preset: str | None
    enclosure: bool
    published: Mapping[str, Mapping[str, float]]
    masks: str = AUTO.which
    masks_of: str = AUTO.of
    unlabelled: bool = False

    @property
    def folder(self) -> str:
        """The name as that of a directory."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


@dataclass(frozen=True)
class Table:
    """Content of a table's file.

    Attributes
    ----------
    name
        Name of the file, without its suffix.
    title
        Heading of the rendered table.
    reference
        Name of the row that the others are tested against.
    split
        Which of a fold's patients are scored.
    scheme
        Name of the scheme of folds; the corpus's first if None.
    folds, seeds
        On which folds, counted from 1, and with which seeds each row is run.
    changes
        Values that replace those of the preset.
    prepare
        How to make a missing corpus: maps its directory to a maskmixadv command, in which ``{out}`` is the directory.
    rows
        The rows, in the order in which they are shown.
    """

    name: str
    title: str
    reference: str
    split: Part
    scheme: str | None
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    changes: Changes
    prepare: Mapping[Path, tuple[str, ...]]
    rows: tuple[TableRow, ...]


def read(path: Path) -> Table:
    """Read the file of a table.

    Raises
    ------
    InputError
        If the file is missing or no TOML, or a key is unknown, missing or of a wrong type.
    """
    raw = read_toml(path)
    if "flagship" in raw:  # the former name of the key
        raw.setdefault("reference", raw.pop("flagship"))
    where = str(path)
    _check(raw, _TABLE, needed=("title", "reference", "rows", "folds"), where=where)
    table = Table(
        name=path.stem,
        title=raw["title"],
        reference=raw["reference"],
        split=cast("Part", _one_of(raw.get("split", "test"), ("test", "val", "train"), f"{where}: split")),
        scheme=raw.get("scheme"),
        folds=_numbers(raw["folds"], 1, f"{where}: folds"),
        seeds=_numbers(raw.get("seeds", [0]), 0, f"{where}: seeds"),
        changes=made(Changes, raw.get("schedule", {}), f"{where}: schedule"),
        prepare={Path(out): _command(line, out, where) for out, line in raw.get("prepare", {}).items()},
        rows=tuple(_row(row, number, raw, where) for number, row in enumerate(raw["rows"], 1)),
    )
    _unique([row.name for row in table.rows], [row.folder for row in table.rows], where)
    _one_of(table.reference, [row.name for row in table.rows], f"{where}: reference")
    return table


def _row(raw: object, number: int, shared: dict[str, Any], where: str) -> TableRow:
    if not isinstance(raw, dict):
        raise InputError(f"{where}: row {number} is {raw!r}, must be a [[rows]] table")
    where = f"{where}: row {raw.get('name', number)!r}"
    _check(raw, _ROW, needed=("name", "method"), where=where)
    own = {key: raw.get(key, shared.get(key)) for key in _SHARED}
    if own["corpus"] is None:
        raise InputError(f"{where}: corpus is missing, here and for all rows")
    row = TableRow(
        name=raw["name"],
        method=FORMER.get(raw["method"], raw["method"]),
        fields=raw.get("fields", {}),
        corpus=Path(own["corpus"]),
        prior=None if own["prior"] is None else Path(own["prior"]),
        preset=own["preset"],
        enclosure=bool(own["enclosure"]),
        published=_published(raw.get("published", {}), f"{where}: published"),
        masks=AUTO.which if own["masks"] is None else own["masks"],
        masks_of=AUTO.of if own["masks_of"] is None else own["masks_of"],
        unlabelled=bool(own["unlabelled"]),
    )
    if not row.folder:
        raise InputError(
            f"{where}: name has neither a letter from a to z nor a digit, by which its folder is called; add one"
        )
    if len(row.folder) > LONGEST_NAME:  # known only once its first run has trained
        raise InputError(f"{where[:120]}…: name has {len(row.folder)} signs, allowed are up to {LONGEST_NAME}")
    return row


def _published(raw: dict[str, Any], where: str) -> Mapping[str, Mapping[str, float]]:
    _check(raw, {"dice": dict, "hd95": dict}, where=where)
    for measure, figures in raw.items():
        for label, figure in figures.items():
            _typed(figure, float, f"{where}.{measure}.{label}")
            if not 0 <= figure <= MOST_FIGURE[measure]:  # NaN is refused, too
                allowed = f"numbers from 0 to {MOST_FIGURE[measure]:g}"
                raise InputError(f"{where}.{measure}.{label}: {figure}, allowed are {allowed}")
    return {measure: {label: float(figure) for label, figure in figures.items()} for measure, figures in raw.items()}


def _command(line: object, out: str, where: str) -> tuple[str, ...]:
    where = f"{where}: prepare {out!r}"
    _typed(line, str, where)
    try:
        words = shlex.split(str(line))
    except ValueError as error:
        raise InputError(f"{where}: {line!r} ({error}); mend its quotes") from None
    if words[:1] not in (["prepare"], ["annotate"]) or "{out}" not in words:
        raise InputError(f"{where}: {line!r}, must be a 'prepare' or 'annotate' command that makes {{out}}")
    return tuple(words)


def _check(raw: dict[str, Any], kinds: Mapping[str, type], *, needed: tuple[str, ...] = (), where: str) -> None:
    for key, value in raw.items():
        _one_of(key, tuple(kinds), f"{where}: key")
        _typed(value, kinds[key], f"{where}: {key}")
    missing = [key for key in needed if not raw.get(key)]
    if missing:
        raise InputError(f"{where}: {missing[0]} is missing or empty")


def _typed(value: object, kind: type, where: str) -> None:
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise InputError(f"{where}: {value!r}, must be {_WORDS[kind]}")


def _one_of(value: str, allowed: tuple[str, ...] | list[str], where: str) -> str:
    if value not in allowed:
        raise InputError(f"{where}: {value!r}, allowed are {', '.join(allowed)}")
    return value


def _numbers(values: list[Any], least: int, where: str) -> tuple[int, ...]:
    for value in values:
        _typed(value, int, where)
        if value < least or values.count(value) > 1:
            raise InputError(f"{where}: {values}, must be different whole numbers of at least {least}")
    if not values:
        raise InputError(f"{where}: empty, at least one is needed")
    return tuple(values)


def _unique(names: list[str], folders: list[str], where: str) -> None:
    for place, folder in enumerate(folders):
        first = folders.index(folder)
        if first != place:
            told = f"rows {names[first]!r} and {names[place]!r} have the same letters from a to z and digits"
            raise InputError(f"{where}: {told}, which call their folders; rename one")
