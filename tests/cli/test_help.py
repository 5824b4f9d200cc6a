"""Help says what a word is and what holds without it; `None` is a word of Python, not of the command line."""

import pytest

from maskmixadv.cli.app import COMMANDS, run

KINDS = {
    "prepare": ["acdc", "mscmr", "phantom", "folder", "nnunet", "dicom"],
    "annotate": ["scribbles", "points", "kept"],
    "export": ["nnunet", "model"],
    "train": ["CORPUS walk-teacher", "CORPUS maskmixadv", "CORPUS pce"],
}
ALL = [*COMMANDS, *(f"{command} {kind}" for command, kinds in KINDS.items() for kind in kinds)]


def shown(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command's help prints, without its frames and breaks of lines."""
    with pytest.raises(SystemExit):
        run([*words.split(), "--help"])
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.parametrize("words", ALL)
def test_no_word_of_python_is_shown(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(words, capsys)
    assert "None" not in said
    assert "(default: )" not in said


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("evaluate", "--device DEVICE "),
        ("prepare folder", "--axis {0,1,2} "),
        ("bench", "--address ADDRESS "),
        ("train CORPUS maskmixadv", "--level {image,feature} "),
        ("train CORPUS maskmixadv", "--every INT "),
        ("train CORPUS maskmixadv", "--adv FLOAT Weight of L_adv, the critic's opinion of the mixed soft map"),
        ("predict", "or folders of these. (required)"),
        ("train", "--seed INT Seed of all random numbers. (default: 0)"),
    ],
)
def test_what_is_shown(words: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert part in shown(words, capsys)
