"""Public functions and classes explain themselves by an example, which is run as a test of its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "maskmixadv"
APPLICATIONS = {"bench", "cli", "studio"}
"""Rooms that are used by their commands, which how-tos explain; the rest is a library."""
SCRIPTS = {"inference/standalone.py"}
"""Programs of their own, which are copied to where they are used, and never imported."""


def rooms() -> list[str]:
    found = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in SOURCE.rglob("*.py")}
    return sorted(found - APPLICATIONS - {"__init__", "__main__"})


def bare(room: str) -> Iterator[str]:
    """Names of a room without an example; a class's covers its methods."""
    files = [SOURCE / f"{room}.py"] if (SOURCE / f"{room}.py").is_file() else sorted((SOURCE / room).rglob("*.py"))
    for path in files:
        if path.relative_to(SOURCE).as_posix() in SCRIPTS:
            continue
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if ">>> " not in (ast.get_docstring(node) or ""):
                yield f"{path.relative_to(SOURCE)}: {node.name}"


@pytest.mark.parametrize("room", rooms())
def test_everything_public_has_an_example(room: str) -> None:
    assert not list(bare(room))
