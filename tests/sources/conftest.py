"""What tests of several readers need: a network that draws something."""

from pathlib import Path

import pytest

import tiny
from maskmixadv.cli.app import run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that learnt from `tiny.corpus`."""
    place = tmp_path_factory.mktemp("trained")
    tiny.corpus(place / "c")
    short = ["--steps", "60", "--batch", "2", "--size", "48", "--window", "48", "--preset", "cpu"]
    assert run(["train", str(place / "c"), "--out", str(place / "run"), *short, "pce"]) == 0
    return place / "run"
