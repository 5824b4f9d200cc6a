"""The commands that README and the documentation show are ones that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest

from maskmixadv.cli.app import parse

ROOT = Path(__file__).parents[2]
MADE = {"_build", "made"}
COMMAND = re.compile(r"(?:\$ )?(?:(?:torchrun|python)\b.*? -m |uvx )?maskmixadv (?P<words>.*)")


def shown() -> list[tuple[str, str]]:
    """Words of each command in a fenced block, with its page; those with an ellipsis stand for several."""
    docs = [page for page in (ROOT / "docs").rglob("*.md") if not MADE & {*page.parts}]
    return [
        (str(page.relative_to(ROOT)), command["words"])
        for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(docs)]
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
        for line in block.replace("\\\n", " ").splitlines()
        if (command := COMMAND.match(line)) and "…" not in line
    ]


@pytest.mark.parametrize(
    ("page", "count"),
    [("README.md", 9), ("docs/index.md", 4), ("docs/tutorials/command-line.md", 8), ("docs/how-to/own-images.md", 6)],
)
def test_there_are_some(page: str, count: int) -> None:
    assert sum(each == page for each, _ in shown()) >= count


@pytest.mark.parametrize(("page", "words"), [each for each in shown() if each[1] != "--help"])
def test_it_is_taken(page: str, words: str) -> None:
    assert callable(parse(shlex.split(words, comments=True)).run), page
