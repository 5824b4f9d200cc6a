"""What tests of several readers need: a network that draws something."""

from pathlib import Path

import pytest

import tiny
from maskmixadv.cli.app import run
from narrow import narrowed


@pytest.fixture(scope="module", autouse=True)
def _narrow(narrow: None, unpictured: None) -> None:
    """Make networks narrow and draw no progress: what readers give is the same at any width."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that learnt from `tiny.corpus`."""
    place = tmp_path_factory.mktemp("trained")
    tiny.corpus(place / "c")
    short = ["--steps", "60", "--batch", "2", "--size", "48", "--window", "48", "--preset", "cpu"]
    with narrowed():  # as they are in each file, which this fixture outlives
        assert run(["train", str(place / "c"), "--out", str(place / "run"), *short, "pce"]) == 0
    return place / "run"
