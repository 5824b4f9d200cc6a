"""Values of JSON and TOML files as typed dataclasses; a value of another type raises an `InputError` at once."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from numbers import Integral
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from maskmixadv.errors import InputError, counted

_Made = TypeVar("_Made")
_WORDS: Final = {
    str: "a text", bool: "true or false", int: "a whole number", float: "a finite number", NoneType: "null",
    dict: "a table", list: "a list", tuple: "a list", Mapping: "a table",
}  # fmt: skip
MOST: Final = 2**63
"""Whole numbers are below it, either way."""


def made(kind: type[_Made], raw: object, where: str) -> _Made:
    """Make a dataclass of a table that has its fields and no others; a field with a default may be missing.

    Parameters
    ----------
    kind
        The dataclass.
    raw
        The table, a dictionary.
    where
        Beginning of the error's text.

    Raises
    ------
    InputError
        If `raw` is no table, lacks a field, has an unknown one, or a value is of another type.

    Examples
    --------
    >>> from maskmixadv.sampling.grid import Grid
    >>> made(Grid, {"size": 96, "mm": 1}, "grid")
    Grid(size=96, mm=1.0)
    """
    table = as_type(raw, dict[str, Any], where)
    known = {field.name: field for field in fields(kind) if field.init}  # pyright: ignore[reportArgumentType]
    for name in table:
        if name not in known:
            raise InputError(f"{where}: {_shown(name)} is unknown, allowed are {', '.join(known) or 'none'}")
    for name, field in known.items():
        if name not in table and field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"{where}: {name} is missing")
    hints = get_type_hints(kind)
    return kind(**{name: as_type(value, hints[name], f"{where}: {name}") for name, value in table.items()})


def as_type(raw: object, hint: Any, where: str) -> Any:  # noqa: ANN401
    """Return `raw` as the type `hint`: lists become tuples, and whole numbers floats, if the hint says so.

    Parameters
    ----------
    raw
        A value as JSON and TOML have it.
    hint
        A type: str, int, float, bool, None, Path, a literal, a dataclass, or a list, tuple, dict or union of these.
    where
        Beginning of the error's text.

    Raises
    ------
    InputError
        If it is of another type.

    Examples
    --------
    >>> as_type([8, 1.5, 1.5], tuple[float, float, float], "corpus.json: spacing")
    (8.0, 1.5, 1.5)
    >>> as_type("8", int, "run.json: steps")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: run.json: steps: '8', must be a whole number
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return raw
    if origin is Literal:
        if any(type(raw) is type(each) and raw == each for each in inner):
            return raw
        raise InputError(f"{where}: {_shown(raw)}, allowed are {', '.join(map(str, inner))}")
    if origin in (Union, UnionType):
        return _one_of(raw, inner, where)
    if hint is Path:
        return Path(_plain(raw, str, where))
    if is_dataclass(hint):
        return made(cast("type[Any]", hint), raw, where)
    if origin is tuple:
        return _tuple(raw, inner, where)
    if origin is list:
        return [as_type(each, inner[0], where) for each in _plain(raw, list, where)]
    if origin in (dict, Mapping):
        return {key: as_type(each, inner[1], f"{where}: {key}") for key, each in _plain(raw, dict, where).items()}
    return _plain(raw, hint, where)


def _one_of(raw: object, kinds: tuple[Any, ...], where: str) -> Any:  # noqa: ANN401
    if raw is None and NoneType in kinds:
        return None
    for kind in kinds[:-1]:
        try:
            return as_type(raw, kind, where)
        except InputError:
            continue
    return as_type(raw, next(kind for kind in reversed(kinds) if kind is not NoneType), where)


def _tuple(raw: object, inner: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    values = _plain(raw, list, where)
    if inner[-1] is Ellipsis:
        return tuple(as_type(each, inner[0], where) for each in values)
    if len(values) != len(inner):
        raise InputError(f"{where}: has {counted(len(values), 'value')}, allowed are {len(inner)}")
    return tuple(as_type(each, kind, where) for each, kind in zip(values, inner, strict=True))


def _plain(raw: Any, kind: type, where: str) -> Any:  # noqa: ANN401
    if kind is list and type(raw) is tuple:
        return list(raw)
    if kind is float and type(raw) is int and abs(raw) < MOST:
        return float(raw)
    fits = type(raw) is kind
    if not fits or (kind is float and not math.isfinite(raw)) or (kind is int and abs(raw) >= MOST):
        raise InputError(f"{where}: {_shown(raw)}, must be {_WORDS.get(kind, kind.__name__)}")
    return raw


def _shown(raw: object) -> str:
    """Show a value, or the beginning of one that is long."""
    if isinstance(raw, int) and abs(raw) >= MOST:  # whose digits take long to find
        return "a huge number"
    if isinstance(raw, (dict, list)):
        return f"a {'table' if isinstance(raw, dict) else 'list'} of {len(raw)}"
    text = repr(raw)
    return text if len(text) <= 60 else f"{text[:60]}…"


def whole(value: object, where: str) -> int:
    """Return a whole number of Python or NumPy as an int; `where` begins the error's text.

    Raises
    ------
    InputError
        If it is none; a switch and a number with a point are none.

    Examples
    --------
    >>> import numpy as np
    >>> whole(np.int64(5), "cases")
    5
    >>> whole("5", "cases")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: cases: '5', must be a whole number
    """
    return _plain(int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value, int, where)


def check_numbers(of: object, *names: str, fraction: bool = False) -> None:
    """Check that each of the fields `names` is a finite number of at least 0 and, as a `fraction`, at most 1.

    Raises
    ------
    InputError
        Where it is not so.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> check_numbers(SimpleNamespace(stray=1.5), "stray", fraction=True)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: stray: 1.5, allowed is a fraction from 0 to 1
    """
    allowed = "a fraction from 0 to 1" if fraction else "a finite number of at least 0"
    for name in names:
        value = getattr(of, name)
        if not (0 <= value <= 1 if fraction else 0 <= value < math.inf):  # NaN is refused, too
            raise InputError(f"{name}: {value}, allowed is {allowed}")
