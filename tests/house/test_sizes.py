"""Modules and rooms stay small enough to be read at one go.

A module over 450 lines holds several things, which lie better in modules of their own. A room with over 22 entries is
no longer seen at a glance; it becomes several rooms, or gets rooms within. The limit of a room is the number that
`methods` has, which holds one module a method, 19 of them, and what lists and shares them.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "maskmixadv"
MOST_LINES = 450
MOST_ENTRIES = 22
ASSETS = {"web"}
"""Folders of what a browser loads; they hold no modules."""


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def rooms() -> Iterator[Path]:
    """Folders of modules, but for the package's root, whose public names and small modules everything uses."""
    yield from sorted({path.parent for path in modules()} - {SOURCE})


def entries(room: Path) -> list[str]:
    """What somebody who looks into `room` has to tell apart."""
    return [path.name for path in room.iterdir() if not path.name.startswith("__")]


def test_the_package_is_found() -> None:
    assert len(modules()) > 100
    assert SOURCE / "methods" in set(rooms())


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_is_read_at_one_go(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_LINES, f"{lines} lines; split what it holds"


@pytest.mark.parametrize("room", rooms(), ids=lambda room: str(room.relative_to(SOURCE)))
def test_a_room_is_seen_at_a_glance(room: Path) -> None:
    found = entries(room)
    assert room.name in ASSETS or len(found) <= MOST_ENTRIES, f"{len(found)} entries; make rooms of them"
