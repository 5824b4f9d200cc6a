"""Public functions and classes explain themselves: by an example, which is run as a test, and name by name."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "maskmixadv"
APPLICATIONS = {"bench", "cli", "studio"}
"""Rooms that are used by their commands, which how-tos explain; the rest is a library."""
SCRIPTS = {"inference/standalone.py", "inference/standalone_files.py", "inference/standalone_outputs.py"}
"""Parts of a program of its own, which is written to where it is used, and never imported."""


def rooms() -> list[str]:
    found = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in SOURCE.rglob("*.py")}
    return sorted(found - APPLICATIONS - {"__init__", "__main__"})


def modules(room: str) -> list[Path]:
    files = [SOURCE / f"{room}.py"] if (SOURCE / f"{room}.py").is_file() else sorted((SOURCE / room).rglob("*.py"))
    return [path for path in files if path.relative_to(SOURCE).as_posix() not in SCRIPTS]


def bare(room: str) -> Iterator[str]:
    """Names of a room without an example; a class's covers its methods."""
    for path in modules(room):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if ">>> " not in (ast.get_docstring(node) or ""):
                yield f"{path.relative_to(SOURCE)}: {node.name}"


@pytest.mark.parametrize("room", rooms())
def test_everything_public_has_an_example(room: str) -> None:
    assert not list(bare(room))


def section(node: ast.FunctionDef | ast.ClassDef, title: str) -> list[str] | None:
    """Names that a section of a docstring explains; None where there is no such section."""
    found = re.search(
        rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", ast.get_docstring(node) or "", re.DOTALL | re.MULTILINE
    )
    if found is None:
        return None
    return [name.lstrip("*") for line in re.findall(r"^\S.*$", found[1], re.MULTILINE) for name in line.split(", ")]


def parameters(function: ast.FunctionDef) -> list[str]:
    of = function.args
    every = [*of.posonlyargs, *of.args, *([of.vararg] if of.vararg else []), *of.kwonlyargs]
    every += [of.kwarg] if of.kwarg else []
    return [each.arg for each in every if each.arg not in ("self", "cls")]


def fields(made: ast.ClassDef) -> list[str]:
    """Public fields of a class that no text of their own follows."""
    explained = [isinstance(after, ast.Expr) for after in made.body[1:]] + [False]
    return [
        each.target.id
        for each, own in zip(made.body, explained, strict=True)
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and not own
        if not each.target.id.startswith("_") and "ClassVar" not in ast.unparse(each.annotation)
    ]


def differing(node: ast.AST) -> list[str]:
    """Parameters or fields that a docstring's list of them lacks, and parameters in it that there are none of."""
    if isinstance(node, ast.ClassDef):
        made = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
        if not made:
            told = section(node, "Attributes")  # properties may stand in it, too
            return [] if told is None else sorted(set(fields(node)) - set(told))
        there, told = parameters(made[0]), section(node, "Parameters")
    elif isinstance(node, ast.FunctionDef):
        there, told = parameters(node), section(node, "Parameters")
    else:
        return []
    return [] if told is None else sorted(set(there) ^ set(told))


def unexplained(source: str) -> list[str]:
    return [f"{node.name}: {name}" for node in ast.walk(ast.parse(source)) for name in differing(node)]  # pyright: ignore[reportAttributeAccessIssue]


def test_a_parameter_that_is_left_out_is_found() -> None:
    listed = '"""Do.\n\n    Parameters\n    ----------\n    one, other\n        Which.\n    """'
    assert unexplained(f"def do(one, other):\n    {listed}") == []
    assert unexplained(f"def do(one, *, more):\n    {listed}") == ["do: more", "do: other"]


@pytest.mark.parametrize("room", rooms())
def test_a_list_of_parameters_is_that_of_the_function(room: str) -> None:
    assert not {path.name: found for path in modules(room) if (found := unexplained(path.read_text()))}
