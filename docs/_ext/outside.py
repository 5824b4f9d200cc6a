"""Pages and links that lie outside the folder of the documentation.

Some pages of the site are files of the repository that people also read where they are, such as ``CHANGELOG.md``. A
stub in the documentation names such a file in its front matter (``source``), and this extension puts the file's text in
the place of the stub's. Lists of pages (``toctree``) in the stub stay, below the text.

A link from any page to a file outside the documentation becomes a link to the page made of that file. Where there is no
such page, as for a folder of scores, the link becomes its text and the path in the repository. A link to a path that
does not exist is a warning.
"""

import os
import re
from pathlib import Path
from typing import Final

from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

CODE: Final = r"^(?P<fence>`{3,})(?!\{).*?^(?P=fence)$"
LINK: Final = re.compile(
    rf"{CODE}|(?P<image>!?)\[(?P<text>[^\]]+)\]\((?P<path>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)", re.DOTALL | re.MULTILINE
)
"""A block of code, or a link to a path."""
STUB: Final = re.compile(r"\A---\nsource: (?P<path>\S+)\n---\n")
LISTS: Final = re.compile(r"^```\{toctree\}\n.*?^```$", re.DOTALL | re.MULTILINE)
DOCS: Final = Path(__file__).resolve().parents[1]
ROOT: Final = DOCS.parent

log = logging.getLogger(__name__)


def stubs() -> dict[Path, Path]:
    """Return the files outside the documentation that are pages of it, with the stub of each."""
    found = {}
    for page in DOCS.rglob("*.md"):
        if "_build" not in page.parts and (stub := STUB.match(page.read_text())):
            found[(ROOT / stub["path"]).resolve()] = page
    return found


def rewritten(text: str, *, written: Path, shown: Path, pages: dict[Path, Path]) -> tuple[str, list[str]]:
    """Return `text` with its links as page `shown` needs them, and the paths that do not exist.

    `written` is the file that holds the text, and `pages` are those of `stubs`.
    """
    missing = []

    def link(match: re.Match[str]) -> str:
        if match["fence"]:
            return match[0]
        target = (written.parent / match["path"]).resolve()
        if not target.exists():
            missing.append(match["path"])
            return match["text"]
        if (page := pages.get(target, target)).is_relative_to(DOCS) and page.is_file():
            return f"{match['image']}[{match['text']}]({os.path.relpath(page, shown.parent)}{match['anchor'] or ''})"
        inside = target.relative_to(ROOT).as_posix()
        named = match["text"].strip("`").rstrip("/")
        return f"`{inside}`" if inside.endswith(named) else f"{match['text']} (`{inside}`)"

    return LINK.sub(link, text), missing


def read(app: Sphinx, name: str, content: list[str]) -> None:
    """Put the text of a page, with its links, into `content`."""
    shown = Path(app.env.doc2path(name))
    if shown.suffix != ".md":
        return
    written = shown
    if stub := STUB.match(content[0]):
        written = ROOT / stub["path"]
        app.env.note_dependency(str(written))
        content[0] = "\n\n".join([written.read_text(), *LISTS.findall(content[0])])
    content[0], missing = rewritten(content[0], written=written, shown=shown, pages=stubs())
    for path in missing:
        log.warning("%s: link to %s, which does not exist", written, path, location=name, type="outside")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect the extension."""
    app.connect("source-read", read)
    return {"version": "1", "parallel_read_safe": True}
