"""The tutorials' notebooks run without errors, and are stored as they ran; `jupyter execute --inplace` does it anew."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
MOST_BYTES = 200_000


def code(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def kinds(cell: dict[str, Any]) -> set[str]:
    """What a cell shows: text, or what data a picture has; progress on stderr depends on how fast it goes."""
    shown = (output for output in cell["outputs"] if output.get("name") != "stderr")
    return {key for output in shown for key in output.get("data", {"text/plain": ""}) if key != "text/html"}


def test_there_is_one() -> None:
    assert ROOT / "docs" / "tutorials" / "python.ipynb" in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_as_it_ran_and_small(path: Path) -> None:
    notebook = json.loads(path.read_text())
    assert path.stat().st_size < MOST_BYTES
    assert [cell["execution_count"] for cell in code(notebook)] == [*range(1, len(code(notebook)) + 1)]
    outputs = [output for cell in code(notebook) for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [word for word in ("/home/", "/root/", "/tmp/", "/work/") if word in path.read_text()]


def shorten(cell: dict[str, Any]) -> None:
    """Have a cell that trains do so for a few steps."""
    cell["source"] = cell["source"].replace("steps=60", "steps=12")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_in_an_empty_folder(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))  # the kernel takes this checkout
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    stored = [kinds(cell) for cell in code(notebook)]
    for cell in code(notebook):
        shorten(cell)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [kinds(cell) for cell in code(notebook)] == stored
