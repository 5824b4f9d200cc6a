"""The documentation hangs together: every page is listed, every link leads somewhere, and the site builds."""

import fnmatch
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MADE = {"_build", "made"}
"""Folders that Sphinx writes."""
LINK = re.compile(r"\[[^\]]*\]\((?P<path>[^)#\s:]*)(?:#(?P<anchor>[^)\s]*))?\)")
WIDEST = 95
"""Characters of code that a page of the site shows without scrolling, on a screen of 1280 pixels."""
SOURCE = re.compile(r"\A---\nsource: (\S+)\n---\n")


def pages() -> list[Path]:
    """Pages of the site, Markdown or notebooks."""
    found = [*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")]
    return sorted(page for page in found if not MADE & {*page.parts} and ".ipynb_checkpoints" not in page.parts)


def written() -> list[Path]:
    """Files in which people write links: pages, and what lies outside the site and is shown on it."""
    return [page for page in pages() if page.suffix == ".md"] + [
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "results/README.md",
                     "results/accuracy.md")
    ]  # fmt: skip


def listed(page: Path) -> Iterator[str]:
    """Names in the page's toctrees, relative to the documentation's folder, some with wildcards."""
    for block in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.strip() and not line.startswith(":"):
                yield (page.parent / line.strip()).relative_to(DOCS).as_posix()


def prose(path: Path) -> str:
    """The text of a file without its blocks and spans of code."""
    text = re.sub(r"^(`{3,})(?!\{).*?^\1$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(?<!`)`[^`\n]+`(?!`)", "x", text)


def anchors(path: Path) -> set[str]:
    """The anchors of a file's headings, as Sphinx and code hosts make them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE), re.M
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_listed() -> None:
    patterns = [name for page in pages() if page.suffix == ".md" for name in listed(page)]
    names = [page.relative_to(DOCS).with_suffix("").as_posix() for page in pages()]
    lost = [name for name in names if name != "index" and not any(fnmatch.fnmatch(name, each) for each in patterns)]
    assert not lost
    assert not [each for each in patterns if not fnmatch.filter(names, each)]


@pytest.mark.parametrize("path", written(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.finditer(prose(path)):
        target = (path.parent / link["path"]).resolve() if link["path"] else path
        assert target.exists(), link[0]
        if link["anchor"]:
            assert link["anchor"] in anchors(target), link[0]


def lines_of_code(path: Path) -> Iterator[str]:
    """Lines of a page's blocks of code, but for what programs printed: pages break these."""
    text = path.read_text()
    if path.suffix == ".ipynb":
        for cell in json.loads(text)["cells"]:
            if cell["cell_type"] == "code":
                yield from "".join(cell["source"]).splitlines()
    else:
        for language, block in re.findall(r"^ *```([a-z]*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE):
            if language not in ("text", "console"):
                yield from block.splitlines()


def sources() -> list[Path]:
    """Files outside the site that pages of it show."""
    return [ROOT / match[1] for page in pages() if page.suffix == ".md" and (match := SOURCE.match(page.read_text()))]


@pytest.mark.parametrize("path", [*pages(), *sources()], ids=lambda path: str(path.relative_to(ROOT)))
def test_code_fits_the_page(path: Path) -> None:
    assert not [line for line in lines_of_code(path) if len(line) > WIDEST]


def test_stubs_name_files() -> None:
    assert ROOT / "CHANGELOG.md" in sources()
    assert all(source.is_file() for source in sources())


def test_every_method_has_a_page() -> None:
    from maskmixadv.methods.registry import METHODS

    index = (DOCS / "methods" / "index.md").read_text()
    assert {page.stem for page in (DOCS / "methods").glob("*.md")} == {*METHODS, "index"}
    assert not [name for name in METHODS if f"[`{name}`]({name}.md)" not in index]


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", "-d", str(tmp_path / "trees")]
    done = subprocess.run(
        [*command, str(DOCS), str(tmp_path / "html")], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    reference = "".join(page.read_text() for page in (tmp_path / "html/api").rglob("*.html"))
    assert str(ROOT) not in reference, "a constant's value is a place on this machine"
    assert "Alias for field number" not in reference
    assert "maskmixadv.corpus.corpus.Corpus" in (tmp_path / "html/api/made/maskmixadv.corpus.corpus.html").read_text()
