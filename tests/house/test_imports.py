"""What is imported is what is needed: the package itself costs neither NumPy nor torch."""

import subprocess
import sys

HEAVY = ("numpy", "torch", "scipy", "skimage", "matplotlib", "nibabel", "rich", "tyro")


def imported(code: str) -> set[str]:
    """Names of all modules that a fresh process imports while it runs `code`."""
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    return {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def heavy(names: set[str]) -> list[str]:
    return sorted({name.split(".")[0] for name in names} & set(HEAVY))


def test_the_package_costs_nothing() -> None:
    names = imported("import maskmixadv")
    assert "maskmixadv" in names
    assert heavy(names) == []


def test_what_is_imported_is_seen() -> None:
    """Sanity of the test above."""
    assert {"numpy"} <= set(heavy(imported("import numpy")))
