"""Where a result comes from: the command and the commit of the code that made it."""

import json
import shlex
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

FROM_PYTHON: Final = "called from Python"
"""What a record says instead of a command line where there was none."""


def command_line(words: Iterable[str]) -> str:
    """Return the command line with `words` behind the program's name, as a shell would read it.

    Examples
    --------
    >>> command_line(["train", "my corpus", "--out", "run"])
    "maskmixadv train 'my corpus' --out run"
    """
    return shlex.join(["maskmixadv", *words])


def commit() -> str | None:
    """Commit of this package's code, with ``-dirty`` where the package was changed since.

    That of a checkout of the project in which the package lies, or that which pip noted when it installed from a
    repository. None where neither is known: a repository that only happens to lie round the environment says nothing.
    """
    here = Path(__file__).resolve().parent
    try:
        root = Path(_git(here, "rev-parse", "--show-toplevel")).resolve()
        # Only the project's own repository has the package there, and keeps it.
        if here == root / "src" / "maskmixadv" and _git(here, "ls-files", "--", "__init__.py"):
            number = _git(here, "rev-parse", "--short=12", "HEAD")
            return f"{number}-dirty" if _git(here, "status", "--porcelain", "--", ".") else number
    except (OSError, subprocess.CalledProcessError):
        pass
    return _installed()


def _installed() -> str | None:
    """Commit that pip installed from (PEP 610)."""
    with suppress(PackageNotFoundError, ValueError, KeyError, TypeError):
        noted = distribution("maskmixadv").read_text("direct_url.json")
        return str(json.loads(noted)["vcs_info"]["commit_id"])[:12] if noted else None
    return None


def _git(here: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
