"""The lots that wait for a GPU can be read, fit their time, and run from nothing on a bare machine."""

import json
import shlex
import tarfile
import time
from pathlib import Path

import pytest
import tyro

import bare
import evaluation
import nnunet
import parts
import released
import steps
import time_to_dice
from lot import Lot
from maskmixadv.cli.app import parse
from maskmixadv.methods.registry import method_from

LOTS = sorted((bare.HERE / "lots").glob("*.toml"))
PACE = {"fast": 109.0, "cpu": 500.0}
"""Steps a second of all runs together, as measured on one H200."""
OPTIONS = {
    Path(str(module.__file__)): options
    for module, options in (
        (evaluation, evaluation.Evaluation),
        (nnunet, nnunet.Options),
        (parts, parts.Parts),
        (released, released.Released),
        (steps, steps.Steps),
        (time_to_dice, time_to_dice.TimeToDice),
    )
}
"""Scripts that lots name, and what they are given."""
ROUND_IT = 60.0
"""Seconds for corpora and slices before, and for scores after."""


@pytest.mark.parametrize("path", LOTS, ids=lambda path: path.stem)
def test_a_lot_is_whole_and_fits_its_time(path: Path, tmp_path: Path) -> None:
    lot = Lot.read(path)
    pieces = lot.pieces(tmp_path)
    assert pieces or lot.commands
    made = {"acdc", "mscmr", *(corpus.name for corpus in lot.corpora)}
    for piece in pieces:
        assert piece.recipe.corpus_root.name in made
        assert piece.recipe.prior_root is None or piece.recipe.prior_root.name in made
    assert sum(piece.steps / PACE[piece.recipe.preset] for piece in pieces) + ROUND_IT < 360
    assert [piece.steps for piece in lot.tiny().pieces(tmp_path)] == [2] * len(lot.runs)
    assert bool(lot.tries) == bool(lot.commands)
    for command in (*lot.commands, *lot.tries):
        _, words = bare.parsed(command)
        if words[:2] == ["-m", "maskmixadv"]:
            parse(words[2:])
        else:
            tyro.cli(OPTIONS[bare.CHECKOUT / words[0]], args=words[1:])


def test_what_commands_make_is_handed_out() -> None:
    for path in LOTS:
        lot = Lot.read(path)
        made = {word for command in lot.commands for word in shlex.split(command) if word.startswith("runs/")}
        assert made == {"/".join(Path(name).parts[:2]) for name in lot.hand_out}, path.name


def test_every_lot_is_in_the_list() -> None:
    text = (bare.HERE / "README.md").read_text()
    assert [path.name for path in LOTS if f"`lots/{path.name}`" not in text] == []


def test_a_critic_has_a_prior() -> None:
    """Lots once named methods whose runs could not begin."""
    runs = [run for path in LOTS for run in Lot.read(path).runs]
    critics = [run for run in runs if method_from(run.method).wants_prior]
    assert critics
    assert all(run.prior for run in critics)


def test_commands_are_given_and_what_they_make_is_handed_out(tmp_path: Path) -> None:
    machine = bare.Machine(tmp_path / "work", tmp_path / "out", seconds=100.0)
    (machine.work / "a.json").write_text("[1]")
    lot = tmp_path / "lot.toml"
    lot.write_text('commands = ["-m json.tool a.json runs/b.json", "-m json.tool gone"]\nhand_out = ["runs", "none"]')
    assert bare.carry_out(machine, lot, dry=False) == 1
    with tarfile.open(tmp_path / "out" / "commands.tar") as archive:
        assert archive.getnames() == ["runs", "runs/b.json"]


def test_a_command_sets_its_environment(tmp_path: Path) -> None:
    settings, words = bare.parsed("MMA_ASKED=a=b -c \"import os, sys; sys.exit(os.environ['MMA_ASKED'] != 'a=b')\"")
    assert settings == {"MMA_ASKED": "a=b"}
    machine = bare.Machine(tmp_path / "work", tmp_path / "out", seconds=60.0)
    assert (machine.run(*words, settings=settings), machine.run(*words, settings={"MMA_ASKED": ""})) == (0, 1)


def test_a_command_ends_in_time(tmp_path: Path) -> None:
    machine = bare.Machine(tmp_path / "work", tmp_path / "out", seconds=60.0)
    began = time.monotonic()
    assert machine.run("-c", "import time; time.sleep(60)", until=59.0) != 0
    assert time.monotonic() - began < 30


@pytest.mark.slow
@pytest.mark.parametrize("path", LOTS, ids=lambda path: path.stem)
def test_a_lot_runs_from_nothing(path: Path, tmp_path: Path) -> None:
    if path.stem == "nnunet":
        pytest.importorskip("nnunetv2", reason="nnU-Net is not installed")
    machine = bare.Machine(tmp_path / "work", tmp_path / "out", seconds=900.0)
    assert bare.carry_out(machine, path, dry=True) == 0
    if runs := Lot.read(path).runs:
        told = json.loads((machine.out / "lot.json").read_text())
        assert {of["state"] for of in told["runs"].values()} == {"trained"}
        assert len(told["runs"]) == len(runs)
        assert not told["not_scored"]
