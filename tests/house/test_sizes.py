"""Modules and rooms stay small enough to be read at one go.

A module over 450 lines holds several things, which lie better in modules of their own; docstrings do not count, so that
nobody leaves out an example to stay below. A room with over 22 entries is not seen at a glance; it becomes several
rooms, or gets rooms within. 22 is what `methods` has: 19 methods, and what lists and shares them.
"""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "maskmixadv"
MOST_LINES = 450
MOST_ENTRIES = 22


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def lines(source: str) -> int:
    """Lines without docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(ast.parse(source)) if isinstance(node, documented)]
    first = [body[0] for body in bodies if body]
    said = [node for node in first if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return len(source.splitlines()) - sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in said)


def rooms() -> list[Path]:
    """Folders of modules, but for the package's root, whose public names and small modules everything uses."""
    return sorted({path.parent for path in modules()} - {SOURCE})


def entries(room: Path) -> list[str]:
    """What somebody who looks into `room` has to tell apart."""
    return [path.name for path in room.iterdir() if not path.name.startswith("__")]


def test_docstrings_do_not_count() -> None:
    assert lines('"""Two\nlines."""\n\n\ndef f():\n    """One."""\n    return 1\n') == 4


def test_the_package_is_found() -> None:
    assert len(modules()) > 100
    assert SOURCE / "methods" in set(rooms())


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_is_read_at_one_go(path: Path) -> None:
    found = lines(path.read_text())
    assert found <= MOST_LINES, f"{found} lines; split what it holds"


@pytest.mark.parametrize("room", rooms(), ids=lambda room: str(room.relative_to(SOURCE)))
def test_a_room_is_seen_at_a_glance(room: Path) -> None:
    found = entries(room)
    assert len(found) <= MOST_ENTRIES, f"{len(found)} entries; make rooms of them"
