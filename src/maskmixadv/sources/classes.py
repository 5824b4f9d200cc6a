"""The classes of a folder of images: read from ``classes.toml``, or guessed from the codes in its files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import NoneType
from typing import Any, Final

import numpy as np
from jaxtyping import Shaped, UInt8

from maskmixadv.corpus.case import not_declared
from maskmixadv.corpus.channels import KINDS, ONE, Channel, check_channels, check_scale
from maskmixadv.corpus.names import MOST_CLASSES, check_classes, check_spellings
from maskmixadv.errors import InputError, listed
from maskmixadv.files import read_toml
from maskmixadv.spelling import folded
from maskmixadv.types import IGNORE

FILE: Final = "classes.toml"
MOST_CODE: Final = 2**53
"""Largest code of a class; above it, files of floating-point numbers do not tell two codes apart."""
KEYS: Final = ("ignore", "removed", "class", "channel")
"""What a ``classes.toml`` says."""
OF_CLASS: Final = ("name", "code", "colour")
"""What a table ``[[class]]`` says; the colour is the studio's."""
BACKGROUND: Final = "background"
"""A class of this name is the first one."""
ROUNDED: Final = 1e-3
"""By how much a code that is stored with a fraction may differ from a whole number."""
_GAPS: Final = 2
"""A guess takes codes for places where the highest is below this many times their number."""
_NEAREST: Final = "resample labels by nearest neighbour, and save them as whole numbers"
_APART: Final = "each needs one of its own"
Codes = Shaped[np.ndarray, "_ _ _"]


@dataclass(frozen=True)
class Classes:
    """Meaning of the codes in label files.

    Attributes
    ----------
    names
        Names of the k classes, background first.
    ignore
        Code of an unlabelled pixel; None if there is no such code. Where it is 0, a 0 in a dense mask is background.
    codes
        Each class's code; None for a class that has none in scribbles, which only the background may be, where 0 means
        unlabelled. None instead of all: a class's code is its place, from 0.
    stated
        Whether somebody said the code of an unlabelled pixel. Else strokes that look as if they had another one are
        refused (`maskmixadv.sources.labels.read`).

    Examples
    --------
    >>> print(Classes(("background", "RV", "Myo", "LV"), ignore=4))
    0 background, 1 RV, 2 Myo, 3 LV; unlabelled 4
    >>> scar = Classes(("background", "heart", "scar"), ignore=0, codes=(None, 200, 500))
    >>> print(scar)
    200 heart, 500 scar; unlabelled 0
    >>> codes = np.array([[[0, 200, 500]]])
    >>> scar.indices(codes, dense=False, where="strokes.nii").tolist()
    [[[255, 1, 2]]]
    >>> scar.indices(codes, dense=True, where="mask.nii").tolist()
    [[[0, 1, 2]]]
    """

    names: tuple[str, ...]
    ignore: int | None
    codes: tuple[int | None, ...] | None = None
    stated: bool = field(default=False, repr=False, compare=False)

    def __str__(self) -> str:
        placed = self.codes or range(len(self.names))
        named = listed([f"{code} {name}" for code, name in zip(placed, self.names, strict=True) if code is not None])
        return named if self.ignore is None else f"{named}; unlabelled {self.ignore}"

    def indices(self, codes: Codes, *, dense: bool, where: str) -> UInt8[np.ndarray, "_ _ _"]:
        """Turn a file's codes into class indices and ``IGNORE``.

        Parameters
        ----------
        codes
            As the file has them, of any number type.
        dense
            Whether the file is a dense mask, in which 0 is background even where scribbles have it for unlabelled.
        where
            The file, for the error's text.

        Raises
        ------
        InputError
            If the file has any other code.

        Examples
        --------
        >>> binary = Classes(("background", "lesion"), ignore=-1, codes=(0, 255))
        >>> binary.indices(np.array([[[0, 255, -1]]]), dense=True, where="a.nii").tolist()
        [[[0, 1, 255]]]
        """
        codes, meant = whole(codes), self._meant(dense)
        stray = np.setdiff1d(np.unique(codes), np.array(list(meant)))
        if stray.size:
            raise InputError(self._stray(stray, meant, where))
        found = np.zeros(codes.shape, np.uint8)
        for code, index in meant.items():
            if index:
                found[codes == code] = index
        return found

    def encoded(self, labels: UInt8[np.ndarray, "d h w"]) -> UInt8[np.ndarray, "d h w"]:
        """Return the codes of strokes, given as class indices and ``IGNORE``; all codes must be 0 to 255.

        Examples
        --------
        >>> strokes = np.array([[[0, 1, 255]]], np.uint8)
        >>> Classes(("background", "LV"), ignore=0, codes=(2, 1)).encoded(strokes).tolist()
        [[[2, 1, 0]]]
        """
        table = np.arange(256, dtype=np.uint8)
        for code, index in self._meant(dense=False).items():
            table[index] = code
        return table[labels]

    def _meant(self, dense: bool) -> dict[int, int]:
        """Return the index of each code that a file may have."""
        meant = {code: index for index, code in enumerate(self.codes or range(len(self.names))) if code is not None}
        if self.ignore is not None:
            meant[self.ignore] = 0 if dense and self.ignore == 0 else IGNORE
        return meant

    def _stray(self, stray: Shaped[np.ndarray, "n"], meant: Mapping[int, int], where: str) -> str:
        if any(code % 1 for code in stray.tolist()):  # NaN, too
            shown = listed([f"{code:.9g}" for code in stray.tolist()], 5)
            return f"{where}: labels {shown}, allowed are whole numbers; {_NEAREST}"
        allowed = listed(sorted(meant))
        one = int(stray[0])
        own = f"'code = {one}' below its class's name in {FILE}, or 'ignore = {one}' if it is nothing drawn"
        told = "; the background's strokes need a code, too" if self.codes and self.codes[0] is None else ""
        allowed, them = f"{allowed} ({self}){told}", "it" if len(stray) == 1 else "them"
        return f"{where}: {not_declared(stray.tolist())}, allowed are {allowed}; declare {them}, in a folder by {own}"


def whole(codes: Codes) -> Codes:
    """Return codes, those that are whole numbers but for rounding as whole ones: programs store labels scaled.

    Examples
    --------
    >>> whole(np.array([[[0.9999999, 2.0, 0.5]]])).tolist()
    [[[1.0, 2.0, 0.5]]]
    """
    if codes.dtype.kind != "f":
        return codes
    nearest = np.rint(codes)
    return np.where(np.isclose(codes, nearest, rtol=0, atol=ROUNDED), nearest, codes)


def read(path: Path) -> Classes:
    r"""Read a ``classes.toml``.

    It has a table ``[[class]]`` with a name for each class, and ``code = N`` where the class's code is not its place,
    counted from 0. ``ignore = N`` is the code of unlabelled pixels; by default that is 1 above the highest code of
    a class. With ``ignore = 0`` the background has no code in scribbles, unless its table says one.
    ``removed`` lists codes for the studio alone (`removed`).

    Raises
    ------
    InputError
        If it is missing, malformed, or names no structure.

    Examples
    --------
    >>> _ = Path("classes.toml").write_text("ignore = 255\n[[class]]\nname = 'background'\n[[class]]\nname = 'LV'\n")
    >>> read(Path("classes.toml"))
    Classes(names=('background', 'LV'), ignore=255, codes=None)
    """
    if not path.is_file():
        raise InputError(f"{path}: missing; write a [[class]] with a name for each code, background first")
    raw = read_toml(path)
    _must_be_known(raw, KEYS, f"{path}: has")
    tables = raw.get("class")
    if not isinstance(tables, list) or not 2 <= len(tables) <= MOST_CLASSES:
        count = len(tables) if isinstance(tables, list) else 0
        raise InputError(
            f"{path}: has {count} [[class]] tables, allowed are 2 (background, a structure) to {MOST_CLASSES}"
        )
    names, ignore = _names(path, tables), _code(path, "ignore", raw.get("ignore"))
    codes = [
        _code(path, f"class {name!r}: code", table.get("code", None if (place, ignore) == (0, 0) else place))
        for place, (name, table) in enumerate(zip(names, tables, strict=True))
    ]
    _removed(path, raw)
    return replace(coded(names, codes, ignore, str(path)), stated=ignore is not None)


def removed(path: Path) -> frozenset[int]:
    """Read the codes of classes that were removed in the studio, which gives them to no other class.

    Raises
    ------
    InputError
        If the file can't be read, or does not list whole numbers there.

    Examples
    --------
    >>> _ = Path("classes.toml").write_text("removed = [2]")
    >>> removed(Path("classes.toml"))
    frozenset({2})
    """
    return _removed(path, read_toml(path))


def _removed(path: Path, raw: dict[str, Any]) -> frozenset[int]:
    codes = raw.get("removed", [])
    if not isinstance(codes, list) or not all(type(code) is int for code in codes):
        raise InputError(f"{path}: removed = {codes!r:.62}, allowed is a list of codes, such as [2, 5]")
    return frozenset(codes)


def channels(path: Path) -> tuple[Channel, ...]:
    r"""Read what a ``classes.toml`` says of the images' channels: nothing where it has no table ``[[channel]]``.

    There is one table for each channel, in the order of the files or of the file's axis, with a ``name`` and a
    ``kind`` (`maskmixadv.corpus.channels.Channel`). By default the kind is MR. The name of an only channel may be
    left out.

    Raises
    ------
    InputError
        If it is malformed, a kind is unknown, or two channels have one name.

    Examples
    --------
    >>> _ = Path("classes.toml").write_text('[[channel]]\nkind = "CT"\n')
    >>> channels(Path("classes.toml"))
    (Channel(name='image', kind='CT', window=None, percentile=None, knee=None),)
    """
    tables = read_toml(path).get("channel") if path.is_file() else None
    if tables is None:
        return ()
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"{path}: channel is no table, allowed is a [[channel]] with name and kind for each")
    found = []
    for number, table in enumerate(tables):
        _must_be_known(table, ("name", "kind", "percentile", "knee"), f"{path}: channel {number} has")
        name, kind = table.get("name", ONE[0].name if len(tables) == 1 else None), table.get("kind", "MR")
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{path}: channel {number} has name {name!r:.62}, allowed is a word")
        if kind not in KINDS:
            told = f"{path}: channel {name!r:.62} has kind {kind!r:.62}"
            raise InputError(f"{told}, allowed are {', '.join(KINDS)}")
        top, knee = (_number(path, name, key, table.get(key)) for key in ("percentile", "knee"))
        found.append(Channel(name, kind, percentile=top, knee=knee))
    check_channels(found, str(path))
    check_scale(found, str(path))
    return tuple(found)


def _must_be_known(table: Mapping[str, object], keys: Sequence[str], has: str) -> None:
    if unknown := min(set(table) - set(keys), default=None):
        # Whatever is written below a table belongs to that table.
        place = "; it belongs above the first table" if unknown in KEYS else ""
        raise InputError(f"{has} {unknown!r:.62}, allowed are {', '.join(keys[:-1])} and {keys[-1]}{place}")


def _number(path: Path, name: str, key: str, value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, NoneType)):
        raise InputError(f"{path}: channel {name!r:.62} has {key} {value!r:.62}, allowed is a number")
    return None if value is None else float(value)


def coded(names: Sequence[str], codes: Sequence[int | None], ignore: int | None, where: str) -> Classes:
    """Return classes with their codes, if no code has two meanings and no name two spellings.

    Parameters
    ----------
    names, codes
        Of each class, background first.
    ignore
        Code of unlabelled pixels; None: the one after the highest code of a class.
    where
        The file, for the error's text.

    Raises
    ------
    InputError
        If two classes have the same code, or names that differ in spelling alone, or a class has the code of unlabelled
        pixels.

    Examples
    --------
    >>> coded(["background", "LV"], [0, 255], None, "classes.toml")
    Classes(names=('background', 'LV'), ignore=256, codes=(0, 255))
    >>> coded(["background", "LV"], [0, 0], None, "classes.toml")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: classes.toml: code 0 is that of 'background' and of 'LV'; each needs one of its own
    """
    check_spellings(names, where)
    owners: dict[int, str] = {}
    for name, code in zip(names, codes, strict=True):
        if code is not None:
            if code in owners:
                raise InputError(f"{where}: code {code} is that of {owners[code]!r} and of {name!r}; {_APART}")
            owners[code] = name
    if ignore in owners:
        raise InputError(
            f"{where}: ignore = {ignore}, which is the code of {owners[ignore]!r}; allowed is a code that is no class's"
        )
    placed = list(codes) == list(range(len(names)))
    return Classes(tuple(names), max(owners) + 1 if ignore is None else ignore, None if placed else tuple(codes))


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
        for code, count in _counted(labels).items():
            counts[code] = counts.get(code, 0) + count
    dense = {code for labels in masks for code in _counted(labels)}
    ignore = max(counts, key=lambda code: counts[code]) if counts else None
    codes = sorted((dense | set(counts)) - {ignore})
    if ignore == 0 or (ignore is not None and ignore < max(codes, default=0)):
        raise InputError(
            f"{last}: {ignore} is the most frequent of the scribbles' codes {_listed([*codes, ignore])}, and may mean "
            f"background or nothing drawn; write {FILE}, with 'ignore = {ignore}' at its top if it means nothing drawn"
        )
    count = max(codes, default=0) + 1
    if not codes or codes[0] < 0 or len(codes) > MOST_CLASSES or count < 2:
        raise InputError(f"codes {_listed(codes) or 'none'}: can't guess the classes; say what codes mean in {FILE}")
    places = range(count) if count <= _GAPS * (len(codes) + 1) else sorted({0, *codes})
    names = ["background", *(f"class{code}" for code in places if code)]
    return coded(names, list(places), ignore, FILE)


def _counted(labels: Codes) -> dict[int, int]:
    """Return how many pixels have each code."""
    codes, counts = np.unique(whole(labels), return_counts=True)
    if codes.dtype.kind == "f" and (parts := codes[~np.isfinite(codes) | (codes != np.rint(codes))]).size:
        raise InputError(f"labels {parts[0]:g}, allowed are whole numbers; {_NEAREST}")
    return {int(code): int(count) for code, count in zip(codes, counts, strict=True)}


def _listed(codes: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(codes)[:8]))


def _names(path: Path, tables: list[Any]) -> tuple[str, ...]:
    names: list[str] = []
    for code, table in enumerate(tables):
        name = table.get("name") if isinstance(table, dict) else None
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{path}: class {code} has name {name!r:.62}, allowed is a word")
        _must_be_known(table, OF_CLASS, f"{path}: class {name!r:.62} has")
        if code and folded(name) == BACKGROUND:
            raise InputError(f"{path}: class {code} is the {BACKGROUND}, allowed is the first; put its table there")
        if name in names:
            raise InputError(f"{path}: two classes are named {name!r}; names must be unique")
        names.append(name)
    check_classes(names, str(path))
    return tuple(names)


def _code(path: Path, what: str, code: Any) -> int | None:  # noqa: ANN401
    if code is not None and (isinstance(code, bool) or not isinstance(code, int) or abs(code) > MOST_CODE):
        raise InputError(f"{path}: {what} = {code!r:.62}, allowed is a whole number that label files hold")
    return code
