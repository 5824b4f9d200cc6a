"""What a training says of its losses while it runs."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from maskmixadv.methods.pce import PCE
from maskmixadv.runs.schedule import PRESETS
from maskmixadv.training.begin import begin
from maskmixadv.training.log import RunLog


def test_losses_of_two_players_have_two_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The network's and the corrector's cross-entropy are both called `ce`."""
    corpus = tiny.corpus(tmp_path / "c")
    schedule = replace(PRESETS["demo"], size=32, window=32, steps=1)
    run = begin(corpus.root, tmp_path / "run", method=PCE(), schedule=schedule)
    with RunLog(run, step=0, state=None) as log:
        log.collect({"net/ce": torch.tensor(0.5), "corrector/ce": torch.tensor(0.25)})
        log.write(1, lr=0.01)
    assert capsys.readouterr().err.rstrip().endswith("  ce 0.500  corrector/ce 0.250")
