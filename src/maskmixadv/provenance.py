"""Where a result comes from: the command and the commit of the code that made it."""

import json
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def command() -> str:
    """Return the command line that is running.

    Examples
    --------
    >>> command()
    'maskmixadv ...'
    """
    return shlex.join(["maskmixadv", *sys.argv[1:]])


def commit() -> str | None:
    """Return the commit of this package's code, with ``-dirty`` if the package was changed since.

    It is the commit of the project's checkout in which the package lies, or the one that pip noted when it installed
    the package from a repository. None if neither is known. Another repository round the environment does not count.

    Examples
    --------
    >>> len(commit() or "of no checkout") >= 12
    True
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
