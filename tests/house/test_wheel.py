"""The wheel holds all of the package, and works where there is no checkout."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "maskmixadv"
CELLS = 5
"""Of the tutorial: its arrays become a corpus, and strokes are drawn."""


def pip(*words: str) -> None:
    options = ["--disable-pip-version-check", "--no-deps", "--quiet"]
    done = subprocess.run([sys.executable, "-m", "pip", *words, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("needs hatchling, which builds the wheel: pip install hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", str(ROOT), "--no-build-isolation", "--wheel-dir", str(folder))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the wheel's package alone; what it depends on comes from the environment."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", str(wheel), "--target", str(folder))
    return folder


def python(place: Path, code: str, cwd: Path) -> str:
    """Run code with the package in `place`; returns what it prints."""
    paths = [str(place), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(cwd)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_every_file_of_the_package(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("maskmixadv/")}
    files = {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*") if path.is_file()}
    assert held == {path for path in files if "__pycache__" not in path}
    assert {"maskmixadv/py.typed", "maskmixadv/__init__.pyi", "maskmixadv/methods/__init__.pyi"} <= held
    for folder in ("studio/web", "evaluation/templates", "sources/registries"):
        assert any(name.startswith(f"maskmixadv/{folder}/") for name in held)


def test_it_says_what_it_is(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    said = HeaderParser().parsestr(archive.read(name).decode())
    assert said["Name"] == "maskmixadv"
    assert {"LICENSE", "NOTICE"} <= set(said.get_all("License-File") or [])
    assert any("torch" in each for each in said.get_all("Requires-Dist") or [])


def test_it_is_imported_from_where_it_was_installed(place: Path, tmp_path: Path) -> None:
    code = """
import importlib.metadata, importlib.resources, maskmixadv as mma
files = importlib.resources.files(mma)
print(mma.__file__)
print(mma.__version__ == importlib.metadata.version("maskmixadv"))
print(files.joinpath("py.typed").is_file(), all(getattr(mma, name) is not None for name in dir(mma)))
"""
    where, *said = python(place, code, tmp_path).splitlines()
    assert Path(where).is_relative_to(place)
    assert said == ["True", "True True"]


def test_the_tutorials_first_steps_work(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    notebook = json.loads((ROOT / "docs" / "tutorials" / "python.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"][:CELLS]
    said = python(place, "\n".join(cells), tmp_path)
    stored = ["".join(output.get("text", "")) for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert [text for text in stored if text][2] in said  # the corpus


def test_the_command_is_there(place: Path, tmp_path: Path) -> None:
    assert (place / "bin" / "maskmixadv").is_file()
    assert "Learn from a corpus's scribbles" in " ".join(python(place, COMMAND, tmp_path).replace("│", " ").split())


COMMAND = "import sys; sys.argv = ['maskmixadv', 'train', '--help']; from maskmixadv.cli.app import main; main()"
