"""The classes of a folder of images: read from ``classes.toml``, or guessed from the codes in its files."""

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
    """Meaning of the codes in label files.

    Attributes
    ----------
    names
        Names of the k classes, background first; a class's code is its place, from 0.
    ignore
        Code of an unlabelled pixel; None if there is no such code.

    Examples
    --------
    >>> print(Classes(("background", "RV", "Myo", "LV"), ignore=4))
    0 background, 1 RV, 2 Myo, 3 LV; unlabelled 4
    """

    names: tuple[str, ...]
    ignore: int | None

    def __str__(self) -> str:
        named = ", ".join(f"{code} {name}" for code, name in enumerate(self.names))
        return f"{named}; unlabelled {self.ignore}"


def read(path: Path) -> Classes:
    r"""Read a ``classes.toml``.

    It has a table ``[[class]]`` with a name for each code from 0 on. ``ignore = N`` is the code of unlabelled pixels;
    by default that is the number of classes.

    Raises
    ------
    InputError
        If it is missing, malformed, or names no structure.

    Examples
    --------
    >>> _ = Path("classes.toml").write_text("ignore = 255\n[[class]]\nname = 'background'\n[[class]]\nname = 'LV'\n")
    >>> read(Path("classes.toml"))
    Classes(names=('background', 'LV'), ignore=255)
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
    """Guess the classes: the most frequent code of scribbles is "unlabelled", the highest other code the last class.

    Parameters
    ----------
    scribbles
        Files and their codes.
    masks
        Codes of other files, in which few pixels are unlabelled, or none.

    Raises
    ------
    InputError
        If the most frequent code is not above all others, or there are no structures.

    Examples
    --------
    >>> scribble = np.full((1, 8, 8), 4, np.uint8)
    >>> scribble[0, 1, 1:4], scribble[0, 4, 2:4] = 0, 3
    >>> print(guess([(Path("a.png"), scribble)], []))
    0 background, 1 class1, 2 class2, 3 class3; unlabelled 4
    """
    counts: dict[int, int] = {}
    last = ""
    for path, labels in scribbles:
        last = str(path)
        for code, count in zip(*np.unique(labels, return_counts=True), strict=True):
            counts[int(code)] = counts.get(int(code), 0) + int(count)
    dense = {int(code) for labels in masks for code in np.unique(labels)}
    ignore = max(counts, key=lambda code: counts[code]) if counts else None
    codes = (dense | set(counts)) - {ignore}
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
