"""Command lines that can't be read: one line each, which names what is wrong, what was perhaps meant, where help is."""

import subprocess
import sys

import pytest
from tyro import _errors as failed

from maskmixadv import __version__
from maskmixadv.cli.app import COMMANDS, run
from maskmixadv.cli.complaint import Word, told, words
from maskmixadv.cli.train import train
from maskmixadv.errors import InputError

WRONG = {
    # missing
    "": (f"missing: one of {', '.join(COMMANDS)}", ""),
    "prepare": ("missing: one of acdc, mscmr, phantom, folder, nnunet, dicom", "prepare"),
    "evaluate": ("missing: RUN", "evaluate"),
    "predict x": ("missing: --out", "predict"),
    "predict": ("missing: RUN, --out", "predict"),
    "export model r": ("missing: OUT", "export model"),
    "predict r --oot o": ("missing: --out; unknown: --oot o", "predict"),
    "predict r --flipz": ("missing: --out; unknown: --flipz; did you mean --flips?", "predict"),
    # unknown, and near misses
    "wash": ("unknown: wash", ""),
    "-x": ("unknown: -x", ""),
    "trian c": ("unknown: trian c; did you mean train?", ""),
    "Train c": ("unknown: Train c; did you mean train?", ""),
    "prepare acdk a b": ("unknown: acdk a b; did you mean acdc?", "prepare"),
    "train c --stepz 5": ("unknown: --stepz 5; did you mean --steps?", "train"),
    "train c --stepz=5": ("unknown: --stepz=5; did you mean --steps?", "train"),
    "train c -steps 5": ("unknown: -steps 5; did you mean --steps?", "train"),
    "train c --no-enclosur": ("unknown: --no-enclosur; did you mean --no-enclosure?", "train"),
    "train c --out r maskmixad": ("unknown: maskmixad; did you mean maskmixadv?", "train"),
    "train c maskmixadv --ratioo 1": ("unknown: --ratioo 1; did you mean --ratio?", "train"),
    "evaluate a b": ("unknown: b", "evaluate"),
    # what stands in the wrong place
    "train c pce --steps 3": ("unknown: --steps 3; write --steps before pce", "train"),
    "train c --patch 4 maskmixadv": (
        "unknown: --patch 4; --patch is an option of maskmixadv: write it behind that name", "train",
    ),
    "train c pce mean-teacher": ("unknown: mean-teacher; pce is given already", "train"),
    # a bad choice
    "train c --preset slow": ("--preset: 'slow', allowed are cpu, fast, paper", "train"),
    "evaluate r --split all": ("--split: 'all', allowed are test, train, val", "evaluate"),
    "bench t --engine cloud": ("--engine: 'cloud', allowed are local, ray", "bench"),
    # a bad value
    "train c --steps x": ("--steps: 'x', must be a whole number", "train"),
    "train c --steps=x pce": ("--steps: 'x', must be a whole number", "train"),
    "train c --steps 1 --steps 2.5 pce": ("--steps: '2.5', must be a whole number", "train"),
    "train c --memory much": ("--memory: 'much', must be a number", "train"),
    "train c maskmixadv --ratio x": ("--ratio: 'x', must be a number", "train"),
    "bench t --fold 1 x": ("--fold: '1 x', must be whole numbers", "bench"),
    "train c maskmixadv --ratio 1.5": ("--ratio: 1.5, allowed", "train"),
    # a value that is missing
    "train c --out": ("--out: its value is missing", "train"),
    "prepare phantom c --cases": ("--cases: its value is missing", "prepare phantom"),
    "studio f --port --open": ("--port: its value is missing", "studio"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "words", "place"), [(line, *wrong) for line, wrong in WRONG.items()])
def test_what_is_wrong_is_told_in_one_line(
    line: str, words: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"maskmixadv: {words}")
    assert error.count("\n") == 1
    assert f"; see 'maskmixadv {place}".rstrip() in error
    assert error.endswith(" --help'\n")
    assert not set(error) & set("╭│╰─\x1b")


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            failed.SubcommandConflict("maskmixadv", "pce", "maskmixadv", "--patch", is_same_subcommand=False),
            "--patch is an option of maskmixadv: write it behind that name; see 'maskmixadv train --help'",
        ),
        (failed.ParseErrorEvent("maskmixadv"), "can't be read (ParseErrorEvent); see 'maskmixadv train --help'"),
    ],
)
def test_what_the_parser_may_say_but_never_does_here(event: failed.ParseErrorEvent, words: str) -> None:
    with pytest.raises(InputError) as caught, told(["train", "c"], train(["c"]), COMMANDS):
        failed._fire(event)
    assert words in str(caught.value)


def test_a_command_knows_its_words() -> None:
    known = list(words(train(["c", "maskmixadv"])))
    assert {Word("--steps"), Word("--no-enclosure"), Word("pce"), Word("--patch", "maskmixadv")} <= set(known)
    assert "--corpus" not in {word.text for word in known}  # a place, not an option
    assert not [word for word in known if word.owner == "pce"]  # its module is not loaded


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train c --out r --weight-decay -1", "--weight-decay: -1.0, allowed is a finite number of at least 0"),
        ("train c --out r --validate-every 0", "--validate-every: 0, allowed is 1 or more"),
        ("train c --out r --memory -1", "--memory: -1.0, allowed is 0 GB (nothing) or more"),
        ("train lr --out r", "lr: not a corpus"),
    ],
)
def test_a_value_is_told_by_its_option(line: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"maskmixadv: {words}")


@pytest.mark.parametrize("words", ["-h", "--help", "train -h", "prepare phantom --help"])
def test_help_is_no_error(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(words.split())
    told = capsys.readouterr()
    assert not end.value.code
    assert "usage: maskmixadv" in told.out
    assert told.err == ""


def test_the_version_costs_no_torch() -> None:
    code = (
        "import sys; from maskmixadv.cli.app import run; "
        "end = run(['--version']); sys.exit(end or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"maskmixadv {__version__}\n", "")
