"""Every command is parsed to what can be run, also those that are groups of commands."""

import pytest

from maskmixadv.cli.app import COMMANDS, parse

LINES = {
    "prepare": "prepare phantom corpus",
    "split": "split cine.nii.gz images",
    "check": "check corpus",
    "annotate": "annotate points corpus --out new",
    "train": "train corpus --out run pce",
    "evaluate": "evaluate run",
    "predict": "predict run image.png --out masks",
    "export": "export model run out",
    "bench": "bench table.toml",
    "studio": "studio folder",
    "demo": "demo",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_can_be_run(name: str) -> None:
    command = parse(LINES[name].split())
    assert callable(command.run)
    assert type(command).__module__.startswith("maskmixadv.cli.") or name == "train"
