"""Damage: seeded changes to files that were right."""

import copy
import json
import random
import re
from typing import Any, Final

Bytes = bytes
EXTREMES: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
HEADER: Final = 600
"""Bytes at a file's begin that are hit more often than the others."""
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 10**9, 2**40, 10**400, 1e308, 0.5, -0.0, "", " ", "../..", "/etc/passwd", "a\nb", "\0",
    "é" * 300, "\ud800", "1", "nan", [], {}, [[]], [None], {"": None}, [1, 2, 3],
    [1.0, -1.0, 0.0], ["x", "x"],
    {"x": {"x": []}},
)  # fmt: skip
TOKENS: Final = (
    "nan", "inf", "-inf", "true", "[]", "{}", "''", "'../..'", "-1", "1e400", "99999999999999999999999", "[[1]]",
    "{a.b.c=1}", '"\\u0000"', "1979-05-27", "", "=", "[" * 300,
)  # fmt: skip

DEEP: Final = ("[a" + ".a" * 3000 + "]", "x = " + "[" * 10**4, "a" + ".a" * 50_000 + " = 1", "[[class]]")
CELLS: Final = ("", "nan", "inf", "-1", "1e999", "x", "=1+1", '"', '"' + "x" * 200_000, "9" * 5000, "٣", "1_0", " 1")


def damaged(rng: random.Random, content: Bytes, others: list[Bytes]) -> Bytes:
    """Change a file's bytes in one to three ways."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(WAYS)(rng, made, others)
    return bytes(made)


def _place(rng: random.Random, made: bytearray) -> int:
    return rng.randrange(max(1, min(len(made), HEADER) if rng.random() < 0.7 else len(made)))


def _flip(rng: random.Random, made: bytearray, _: list[Bytes]) -> None:
    for _bit in range(rng.randint(1, 6)):
        if made:
            made[_place(rng, made)] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, made: bytearray, _: list[Bytes]) -> None:
    """Put an extreme number where a header may have one."""
    size = rng.choice((1, 2, 4, 8))
    at = _place(rng, made) // rng.choice((1, 2, 4)) * rng.choice((1, 2))
    number = rng.choice(EXTREMES) % 2 ** (8 * size)
    made[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))


def _cut(rng: random.Random, made: bytearray, _: list[Bytes]) -> None:
    del made[_place(rng, made) :]


def _lose(rng: random.Random, made: bytearray, _: list[Bytes]) -> None:
    at = _place(rng, made)
    del made[at : at + rng.choice((1, 2, 4, 16, 100))]


def _repeat(rng: random.Random, made: bytearray, _: list[Bytes]) -> None:
    at = _place(rng, made)
    part = made[at : at + rng.choice((1, 4, 12, 60, 400))]
    made[at:at] = part * rng.choice((1, 1, 2, 20))


def _insert(rng: random.Random, made: bytearray, _: list[Bytes]) -> None:
    at = _place(rng, made)
    made[at:at] = rng.randbytes(rng.choice((1, 2, 4, 30)))


def _splice(rng: random.Random, made: bytearray, others: list[Bytes]) -> None:
    other = rng.choice(others)
    made[_place(rng, made) :] = other[rng.randrange(max(1, len(other))) :]


WAYS: Final = (_flip, _flip, _overwrite, _overwrite, _overwrite, _cut, _lose, _repeat, _insert, _splice)


def _digits(rng: random.Random, text: str) -> str:
    """Replace one number of a text header."""
    found = list(re.finditer(r"-?\d[\d.]*", text))
    if not found:
        return text
    hit = rng.choice(found)
    new = rng.choice(("0", "-1", "1e999", "nan", "9" * 9, "9" * 25, "2147483648", "", "x", "0.0", "1 1 1 1 1"))
    return text[: hit.start()] + new + text[hit.end() :]


def text_header(rng: random.Random, content: Bytes, others: list[Bytes]) -> Bytes:
    """Change numbers in the text with which NRRD and MetaImage begin, or bytes anywhere."""
    if rng.random() < 0.5:
        return damaged(rng, content, others)
    head, rest = content[:HEADER], content[HEADER:]
    return _digits(rng, head.decode("latin1")).encode("latin1") + rest


def _places(raw: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    return [path, *(place for key, value in inner for place in _places(value, (*path, key)))]


def changed_json(rng: random.Random, content: Bytes, others: list[Bytes]) -> Bytes:
    """Replace, drop or add a value of a JSON file, or change its bytes."""
    if rng.random() < 0.25:
        return damaged(rng, content, others)
    if rng.random() < 0.02:
        return rng.choice((b"[" * 10**5, b'{"a":' * 10**5, b"9" * 10**5, b"NaN", b"", b"\xff\xfe", b'{"a": 1e999}'))
    raw = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.choice(_places(raw))
        if not place:
            raw = copy.deepcopy(rng.choice(VALUES)) if rng.random() < 0.1 else raw
            continue
        holder = raw
        for key in place[:-1]:
            holder = holder[key]
        way = rng.random()
        if way < 0.7:
            holder[place[-1]] = copy.deepcopy(rng.choice(VALUES))
        elif way < 0.85:
            del holder[place[-1]]
        elif isinstance(holder, dict):
            holder[rng.choice(("x", "", "__class__", "../x"))] = holder[place[-1]]
        else:
            holder.append(holder[place[-1]])
    return json.dumps(raw).encode()


def changed_toml(rng: random.Random, content: Bytes, others: list[Bytes]) -> Bytes:
    """Replace a value, or a line, of a TOML file, or change its bytes."""
    if rng.random() < 0.3:
        return damaged(rng, content, others)
    lines = content.decode().splitlines()
    at = rng.randrange(len(lines))
    name, sign, _ = lines[at].partition("=")
    way = rng.random()
    if way < 0.6 and sign:
        lines[at] = f"{name}= {rng.choice(TOKENS)}"
    elif way < 0.75:
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif way < 0.9:
        del lines[at]
    else:
        lines[at] = rng.choice(
            ("[a" + ".a" * 3000 + "]", "x = " + "[" * 10**4, "a" + ".a" * 50_000 + " = 1", "[[class]]")
        )
    return "\n".join(lines).encode()


def changed_csv(rng: random.Random, content: Bytes, others: list[Bytes]) -> Bytes:
    """Replace a cell of a table, or change its bytes."""
    if rng.random() < 0.3:
        return damaged(rng, content, others)
    rows = [line.split(",") for line in content.decode().splitlines()]
    for _ in range(rng.choice((1, 1, 3))):
        row = rng.choice(rows)
        cell = rng.choice(
            ("", "nan", "inf", "-1", "1e999", "x", "=1+1", '"', '"' + "x" * 200_000, "9" * 5000, "٣", "1_0", " 1")
        )
        row[rng.randrange(len(row))] = cell
    return "\n".join(",".join(row) for row in rows).encode()
