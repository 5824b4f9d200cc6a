"""Words of a command line: an empty one is refused, and commands that a line tells can be typed as they stand."""

import shlex
import subprocess
from pathlib import Path

import pytest

from maskmixadv.cli.app import run
from maskmixadv.errors import word


@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "phantom", ""],
        ["predict", "run", "a.nii.gz", "--out", ""],
        ["predict", "run", "a.nii.gz", "--out="],
        ["evaluate", "run", "--corpus", ""],
        ["train", "corpus", "--out", ""],
        ["export", "model", "run", "--out", ""],
    ],
)
def test_an_empty_word_is_refused(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable of the shell that is not set became the current folder."""
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    told = capsys.readouterr().err
    assert "an empty word" in told
    assert told.count("\n") == 1
    assert (words[-2] if words[-1] == "" else "--out") in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["runs/pce", "my runs/pce", "a'b", 'a"b', "$HOME/`x`", "a\\b", "ü"])
def test_a_path_in_a_told_command_is_one_word(path: str) -> None:
    """A shell reads it back."""
    shown = subprocess.run(["sh", "-c", f"printf %s {word(path)}"], capture_output=True, check=True, text=True)
    assert shown.stdout == path


@pytest.mark.slow  # a whole round
def test_what_prepared_and_trained_can_be_gone_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, out = tmp_path / "my corpus", tmp_path / "my run"
    run(["prepare", "phantom", str(corpus), "--cases", "6", "--size", "64"])
    tiny = ["--preset", "cpu", "--steps", "2", "--size", "32", "--window", "32"]
    assert run(["train", str(corpus), "--out", str(out), *tiny, "pce"]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(told.split("'")[1]) == ["maskmixadv", "evaluate", str(out)]
