"""The classes of a folder of images: ``classes.toml``, or a guess from the codes in its files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Shaped

from maskmixadv.corpus.names import MOST_CLASSES, check_classes
from maskmixadv.errors import InputError
from maskmixadv.files import read_toml

FILE: Final = "classes.toml"
Codes = Shaped[np.ndarray, "_ _ _"]


@dataclass(frozen=True)
class Classes:
    """What the codes in label files mean.

    Attributes
    ----------
    names
        Of the k classes, background first; a class's code is its place.
    ignore
        Code of a pixel of which nothing is known; None where there is no such code.
    """

    names: tuple[str, ...]
    ignore: int | None

    def __str__(self) -> str:
        named = ", ".join(f"{code} {name}" for code, name in enumerate(self.names))
        return f"{named}; unlabelled {self.ignore}"


def read(path: Path) -> Classes:
    """Read a ``classes.toml``: a table ``[[class]]`` for each class, and ``ignore = N`` where it is not their number.

    Raises
    ------
    InputError
        Where it is missing, malformed, or names no structure.
    """
    if not path.is_file():
        raise InputError(f"{path}: missing; write a [[class]] with a name for each code, background first")
    raw = read_toml(path)
    tables = raw.get("class")
    if not isinstance(tables, list) or not 2 <= len(tables) <= MOST_CLASSES:
        count = len(tables) if isinstance(tables, list) else 0
        raise InputError(
            f"{path}: has {count} [[class]] tables, allowed are 2 (background, a structure) to {MOST_CLASSES}"
        )
    return Classes(_names(path, tables), _ignore(path, raw.get("ignore", len(tables)), len(tables)))


def guess(scribbles: Iterable[tuple[Path, Codes]], masks: Iterable[Codes]) -> Classes:
    """Guess what codes mean: in scribbles the most frequent one is "unlabelled", the highest other one the last class.

    Parameters
    ----------
    scribbles
        Files and what they hold.
    masks
        What other files hold, in which all is labelled.

    Raises
    ------
    InputError
        Where that can't be: the most frequent code is a class's, or there are no structures.
    """
    counts: dict[int, int] = {}
    last = ""
    for path, labels in scribbles:
        last = str(path)
        for code, count in zip(*np.unique(labels, return_counts=True), strict=True):
            counts[int(code)] = counts.get(int(code), 0) + int(count)
    dense = {int(code) for labels in masks for code in np.unique(labels)}
    ignore = max(counts, key=lambda code: counts[code]) if counts else None
    codes = dense | (set(counts) - {ignore})
    count = max(codes, default=0) + 1
    if ignore is not None and ignore < count:
        raise InputError(
            f"{last}: {ignore} is the scribbles' most frequent code, but no code above {count - 1} for unlabelled "
            f"pixels is there; say what codes mean in {FILE}"
        )
    if not 2 <= count <= MOST_CLASSES or min(codes) < 0:
        shown = ", ".join(map(str, sorted(codes)[:8])) or "none"
        raise InputError(f"codes {shown}: can't guess the classes; say what codes mean in {FILE}")
    return Classes(("background", *(f"class{code}" for code in range(1, count))), count if ignore is None else ignore)


def _names(path: Path, tables: list[Any]) -> tuple[str, ...]:
    names: list[str] = []
    for code, table in enumerate(tables):
        name = table.get("name") if isinstance(table, dict) else None
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{path}: class {code} has name {name!r:.62}, allowed is a word")
        if name in names:
            raise InputError(f"{path}: two classes are named {name!r}; names must be unique")
        names.append(name)
    check_classes(names, str(path))
    return tuple(names)


def _ignore(path: Path, ignore: Any, count: int) -> int:  # noqa: ANN401
    if isinstance(ignore, bool) or not isinstance(ignore, int) or not count <= ignore <= 255:
        raise InputError(f"{path}: ignore = {ignore!r}, allowed is a code from {count} to 255 that is no class's")
    return ignore
