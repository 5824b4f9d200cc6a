"""Benchmarks of corpora and runs run, with settings that take seconds, and record what their tables show."""

import dataclasses
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import beliefs
import evaluation
import fresh
import hardest
import loading
import table
import time_to_dice
import whole
import wrong_strokes
from maskmixadv.errors import InputError
from maskmixadv.inference.predictor import Predictor
from maskmixadv.metrics import scores
from maskmixadv.runs.odds import Odds
from maskmixadv.runs.pieces import Pieces
from maskmixadv.runs.run import Run
from recorded import Recorded
from scored import row


def test_beliefs(run: Path, recorded: Recorded) -> None:
    beliefs.main(beliefs.Options(run))
    figures = recorded("beliefs")
    assert figures["walks"]["dice"] != figures["network"]["dice"]
    assert len(figures["both, odds"]["dice"]) == 3


def test_beliefs_with_the_odds_of_the_run(run: Path, tmp_path: Path, recorded: Recorded) -> None:
    """Whatever its classes are called: no name of one changes what is compared."""
    shutil.copytree(run, tmp_path / "run")
    classes = Run.open(run).task.classes
    network = Predictor.load(run, "cpu").network
    Odds(classes, (1.0, *[0.01] * (len(classes) - 1)), used=True).write(tmp_path / "run", network)
    Pieces.of_run(run, classes).write(tmp_path / "run", network)
    beliefs.main(beliefs.Options(tmp_path / "run"))
    figures = recorded("beliefs")
    assert figures["both, odds"]["dice"] != figures["both"]["dice"]
    assert [each.name for each in dataclasses.fields(beliefs.Options)] == ["run"]


def test_hardest(run: Path, recorded: Recorded) -> None:
    hardest.main(hardest.Options((run,)))
    figures = recorded("hardest")
    assert (figures["method"], figures["steps"]) == ("pce", 2)
    assert 0 <= figures["worst"] <= figures["dice"] <= 1


def test_whole(run: Path, tmp_path: Path) -> None:
    whole.main(whole.Options((run,), tmp_path / "scores.csv"))
    head, *rows = (tmp_path / "scores.csv").read_text().splitlines()
    assert head == "method,fold,seed,commit,case,dice,volume_ratio"
    assert rows
    assert all(0 <= float(row.split(",")[-2]) <= 1 for row in rows)


def test_time_to_dice(run: Path, recorded: Recorded) -> None:
    time_to_dice.main(time_to_dice.TimeToDice((run,), (0.0, 2.0)))
    (figures,) = recorded("time-to-dice")
    assert figures["seconds_to"] == {"0": figures["seconds"], "2": None}
    assert figures["steps"] == 2


def test_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "results" / "pce"
    folder.mkdir(parents=True)
    summary = scores.summarise(
        [row("a", "RV", 0.9, 2.0, ml=(10, 10)), row("a", "LV", 0.7, 4.0, ml=(10, 12))], {"commit": "c0ffee"}
    )
    (folder / "summary.json").write_text(summary.json())
    (folder / "log.csv").write_text("step,seconds\n1,30\n2,90\n")
    table.main(table.Options(tmp_path / "results"))
    head, _, line = capsys.readouterr().out.splitlines()
    assert head.startswith("| run | RV | LV | mean Dice |")
    assert line == "| pce | 0.900 | 0.700 | **0.800** ± 0.000 | 3.0 | 1.5 | 0 | 1.00 / 1.20 | 1.5 | c0ffee |"


def test_wrong_strokes(tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    mask, strokes = np.zeros((20, 20), np.uint8), np.full((20, 20), 2, np.uint8)
    mask[5:15, 5:15] = 1
    strokes[8, 6:18] = 1  # three of its twelve pixels lie beyond the border
    strokes[2, 2:18] = 0
    for folder, labels in (("masks", mask), ("scribbles_0", strokes), ("scribbles_1", np.where(mask, 2, strokes))):
        (tmp_path / "data" / "square" / folder).mkdir(parents=True)
        image = nib.Nifti1Image(labels.astype(np.uint8), np.eye(4))
        nib.save(image, tmp_path / "data" / "square" / folder / "a.nii.gz")
    wrong_strokes.main(wrong_strokes.Options(tmp_path / "data"))
    of = recorded("wrong-strokes")["square"]
    assert of["background"]["wrong"] == 0
    assert (of["structure"]["pixels"], of["structure"]["runs"]) == (15, 2)
    assert (of["structure"]["wrong"], of["structure"]["in_runs"]) == (0.4, 1)
    assert (of["structure"]["distance"], of["structure"]["length"]) == (2, 3)
    assert "| square | background | 0.00% | – |" in capsys.readouterr().out
    with pytest.raises(InputError, match="no folder with masks/"):
        wrong_strokes.main(wrong_strokes.Options(tmp_path / "nowhere"))


def test_loading(
    corpus: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loading, "run_apart", lambda do, *args, **kwargs: do(*args, **kwargs))
    loading.main([str(corpus), "--rounds", "1", "--device", "cpu"])
    memory, disk, kept = recorded("loading")["loads"]
    assert [(each["streamed"], each["kept"]) for each in (memory, disk, kept)] == [
        (False, False), (True, False), (False, True)
    ]  # fmt: skip
    assert memory["slices"] == disk["slices"] == kept["slices"] > memory["cases"] > 0
    assert capsys.readouterr().out.count("| to ") == 3


def test_what_is_measured_apart_is_another_process(tmp_path: Path) -> None:
    assert fresh.run_apart(os.getpid) != os.getpid()
    path = tmp_path / "file"
    path.write_bytes(b"kept")
    with path.open("rb") as file:
        fresh.forget(file.fileno())
    assert path.read_bytes() == b"kept"


def test_help_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "COMMANDS", ("",))
    assert evaluation.helps(1)[""] > 0


@pytest.mark.slow
def test_evaluation(run: Path, recorded: Recorded) -> None:
    """A dozen processes."""
    evaluation.main([str(run), "--rounds", "1", "--device", "cpu"])
    figures = recorded("evaluation")
    assert set(figures["seconds"]) == {"help", "predict", "evaluate"}
    assert figures["seconds"]["evaluate"]["first"] > 0
    assert set(figures["seconds"]["help"]) == set(evaluation.COMMANDS)
