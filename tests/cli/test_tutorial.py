"""The tutorial on the command line is followed: its commands run one after another and print what it shows."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

from maskmixadv.cli.app import run

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorials" / "command-line.md"
NUMBER = re.compile(r"\d+(?:[.,]\d+)*|\bnan\b")


def shown() -> list[tuple[str, str]]:
    """The tutorial's commands, each with what it shows to be printed."""
    text = TUTORIAL.read_text().replace("\\\n", " ")
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [
        (match[1], match[2]) for block in blocks for match in re.finditer(r"\$ maskmixadv (.*)\n((?:[^$].*\n)*)", block)
    ]


def alike(shown: str, printed: str) -> bool:
    """Whether a command printed what is shown, whatever the numbers, processor, spaces and cut lines."""
    shown, printed = (NUMBER.sub("0", text) for text in (shown.replace("Intel Xeon, 2 threads", "…"), printed))
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(f"...{shown.strip().replace('…', '...')}...", printed, flags)


def follow(capfd: pytest.CaptureFixture[str], commands: list[tuple[str, str]]) -> str:
    """Give each command in turn; returns what `evaluate` printed."""
    scores = ""
    for command, expected in commands:
        words = shlex.split(command)
        assert run(words) == 0, command
        out, err = capfd.readouterr()
        assert alike(expected, err + out), f"{command}\n--- shown\n{expected}\n--- printed\n{err}{out}"
        scores = out if words[0] == "evaluate" else scores
    return scores


def smaller(command: str) -> str:
    """The same command on smaller images, with fewer steps."""
    return command.replace("--size 96", "--size 64").replace("--steps 150", "--steps 40").replace("dow 64", "dow 32")


@pytest.mark.slow
def test_it_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [(smaller(command), expected) for command, expected in shown()]
    assert len(commands) == 7
    follow(capfd, [each for each in commands if not each[0].startswith("export model")])  # which takes its time
    assert (tmp_path / "hearts.png").is_file()
    assert (tmp_path / "run" / "evaluation-test" / "report.html").is_file()
    assert len([*(tmp_path / "masks").glob("*.nii.gz")]) == 2
    assert (tmp_path / "masks" / "clinical.csv").read_text().startswith("patient,ed,es,lv_edv_ml,")


@pytest.mark.slow
def test_it_reaches_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    mean = re.search(r"^mean +4 +([\d.]+)", follow(capfd, shown()), re.MULTILINE)
    assert {path.name for path in (tmp_path / "model").iterdir()} >= {"model.onnx", "model.json", "predict.py"}
    assert mean
    assert float(mean[1]) > 0.8
