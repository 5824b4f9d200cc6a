"""The order of the house is checked, and the check can fail: layers, circles, no torch where files are read."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def checked(package: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    """What the contracts of pyproject.toml say of the package that lies in `package`."""
    chosen = [word for contract in contracts for word in ("--contract", contract)]
    code = (
        f"import sys; sys.path.insert(0, {str(package)!r}); from importlinter.cli import lint_imports_command as c; c()"
    )
    return subprocess.run(
        [sys.executable, "-P", "-c", code, "--config", str(ROOT / "pyproject.toml"), "--no-cache", *chosen],
        capture_output=True, text=True, check=False, cwd=package,
    )  # fmt: skip


@pytest.fixture
def package(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src" / "maskmixadv", tmp_path / "maskmixadv", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def plant(package: Path, module: str, line: str) -> None:
    path = package / "maskmixadv" / module
    path.write_text(f"{path.read_text()}\n{line}\n")


def test_the_house_is_in_order() -> None:
    pytest.importorskip("importlinter")
    done = checked(ROOT / "src")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("contract", "module", "line"),
    [
        ("layers", "networks/losses.py", "from maskmixadv.training.loop import Loop"),
        ("layers", "metrics/masks.py", "def late():\n    from maskmixadv.sampling import grid\n    return grid"),
        ("circles", "strokes/draw.py", "from maskmixadv.strokes import styles"),
        ("studio", "studio/review/queue.py", "from maskmixadv.studio.session import Session"),
        ("studio", "studio/layout.py", "from maskmixadv.studio.images import intake"),
        ("torch", "formats/flat.py", "import torch"),
        ("torch", "sources/pairs.py", "from maskmixadv import device"),
    ],
)
def test_a_planted_import_is_refused(package: Path, contract: str, module: str, line: str) -> None:
    pytest.importorskip("importlinter")
    plant(package, module, line)
    done = checked(package, contract)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout
