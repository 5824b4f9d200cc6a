"""What is recorded of the code that made something."""

import subprocess
from pathlib import Path

import pytest

from maskmixadv import provenance


def test_a_commit_is_this_project_s_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that lies in somebody's repository says nothing of the package in it."""
    package = tmp_path / "venv" / "site-packages" / "maskmixadv"
    package.mkdir(parents=True)
    (package / "provenance.py").write_text("")
    git = ["git", "-c", "user.email=a@b", "-c", "user.name=x"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "foreign"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    monkeypatch.setattr(provenance, "_installed", lambda: None)
    assert provenance.commit() is None
