"""What the benchmarks' help says: each option by itself, in plain words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def commands() -> Iterator[ast.ClassDef]:
    """The dataclasses that a benchmark's command line fills."""
    for path in sorted(BENCHMARKS.rglob("*.py")):
        text = path.read_text()
        for each in ast.walk(ast.parse(text)):
            if isinstance(each, ast.ClassDef) and re.search(rf"tyro\.cli\({each.name}\b", text):
                each.name = f"{path.stem}.{each.name}"
                yield each


@pytest.mark.parametrize("command", list(commands()), ids=lambda command: command.name)
def test_help_names_each_option_in_plain_words(command: ast.ClassDef) -> None:
    said = ast.get_docstring(command) or ""
    fields = [ast.unparse(each.target) for each in command.body if isinstance(each, ast.AnnAssign)]
    assert "``" not in said, "help shows backticks as they are"
    assert not said.startswith(("Which ", "What ")), "the first line says what the command does"
    lines = said.splitlines()
    assert not [name for name in fields if name not in lines], "an option without words"
