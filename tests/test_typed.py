"""Values out of JSON and TOML are of the types that are declared, or refused in one line."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from maskmixadv.errors import InputError
from maskmixadv.typed import as_type, made


@dataclass(frozen=True)
class Part:
    size: int
    mm: float | None = None


@dataclass(frozen=True)
class Whole:
    name: str
    way: Literal["up", "down"]
    parts: tuple[Part, ...]
    pair: tuple[int, float]
    place: Path = Path("here")
    more: dict[str, list[str]] = field(default_factory=dict)


RAW: dict[str, Any] = {"name": "a", "way": "up", "parts": [{"size": 1}, {"size": 2, "mm": 3}], "pair": [1, 2]}


def test_a_table_becomes_what_it_is_declared_to_be() -> None:
    whole = made(Whole, {**RAW, "place": "there", "more": {"x": ["y"]}}, "a.json")
    assert whole == Whole("a", "up", (Part(1), Part(2, 3.0)), (1, 2.0), Path("there"), {"x": ["y"]})
    assert isinstance(whole.pair[1], float)
    assert made(Whole, RAW, "a.json").place == Path("here")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"other": 1}, "'other' is unknown, allowed are name, way, parts, pair, place, more"),
        ({"name": 3}, "name: 3, must be a text"),
        ({"way": "left"}, "way: 'left', allowed are up, down"),
        ({"parts": 3}, "parts: 3, must be a list"),
        ({"parts": [{}]}, "parts: size is missing"),
        ({"parts": [{"size": True}]}, "parts: size: True, must be a whole number"),
        ({"parts": [{"size": 2**63}]}, "parts: size: a huge number, must be a whole number"),
        ({"parts": [{"size": 1, "mm": math.nan}]}, "parts: mm: nan, must be a finite number"),
        ({"parts": [{"size": 1, "mm": "x" * 100}]}, "parts: mm: 'x.*…, must be a finite number"),
        ({"pair": [1]}, "pair: has 1 value, allowed are 2"),
        ({"more": {"x": [1]}}, "more: x: 1, must be a text"),
        ({"more": [1, 2]}, "more: a list of 2, must be a table"),
    ],
)
def test_what_is_of_another_type_is_named(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=f"^a.json: {told}") as refused:
        made(Whole, {**RAW, **change}, "a.json")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match=r"^a\.json: name is missing"):
        made(Whole, {}, "a.json")


@pytest.mark.parametrize(("raw", "hint", "value"), [(None, int | None, None), (1, int | str, 1), ("1", int | str, "1")])
def test_one_of_several_types(raw: object, hint: Any, value: object) -> None:
    assert as_type(raw, hint, "x") == value
