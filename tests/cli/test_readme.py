"""The commands that README and docs show are ones that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest

from maskmixadv.cli.app import parse

ROOT = Path(__file__).parents[2]


def shown() -> list[tuple[str, str]]:
    """Each command in a fenced block, with its page; those with an ellipsis stand for several."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        (str(page.relative_to(ROOT)), line)
        for page in pages
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("maskmixadv ") and "…" not in line
    ]


def test_there_are_some() -> None:
    assert sum(page == "README.md" for page, _ in shown()) >= 10


@pytest.mark.parametrize(("page", "line"), shown())
def test_it_is_taken(page: str, line: str) -> None:
    argv = shlex.split(line, comments=True)[1:]
    assert callable(parse(argv).run), page
