"""What a run decided, and what steers its predictions, stay with the network that they were decided for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.errors import InputError
from maskmixadv.inference.predictor import Predictor
from maskmixadv.methods import PCE
from maskmixadv.runs import odds, pieces
from maskmixadv.runs.checkpoint import save
from maskmixadv.runs.run import Run
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train two runs of one corpus, whose three validation patients have masks."""
    root, names = tmp_path_factory.mktemp("sealed"), [f"p{number}" for number in range(6)]
    split = Split((*names[:2],), (*names[2:5],), (*names[5:],))
    cases = [tiny.case(name, number) for number, name in enumerate(names)]
    Corpus.write(root / "corpus", cases, name="tiny", classes=tiny.CLASSES, folds={"one": [split]})
    for seed in (0, 1):
        run = begin(root / "corpus", root / str(seed), method=PCE(), schedule=tiny.SCHEDULE, seed=seed)
        assert fit(run, device="cpu")
    return root


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the first run."""
    return Path(shutil.copytree(trained / "0", tmp_path / "run"))


def edited(path: Path, change: Callable[[Any], object]) -> None:
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def early(run: Path) -> None:
    """Make the checkpoint one of an early version."""
    state = torch.load(run / "last.pt", weights_only=True)
    del state["steers"]
    save(run / "last.pt", state)


def test_what_a_run_decided_is_used_wherever_it_is_moved(run: Path) -> None:
    predictor = Predictor.load(run, "cpu")
    assert predictor.odds.patients == 3
    assert predictor.pieces.found


@pytest.mark.parametrize("names", [(odds.FILE,), (pieces.FILE,), (odds.FILE, pieces.FILE)])
def test_decisions_of_another_run_are_refused(trained: Path, run: Path, names: tuple[str, ...]) -> None:
    for name in names:
        shutil.copy(trained / "1" / name, run / name)
    with pytest.raises(InputError, match=r"run/(odds|pieces)\.json: .*delete odds\.json and pieces\.json"):
        Predictor.load(run, "cpu")


def test_decisions_of_another_checkpoint_are_refused(trained: Path, run: Path) -> None:
    shutil.copy(trained / "1" / "last.pt", run / "last.pt")
    with pytest.raises(InputError, match=r"pieces\.json: belongs to another network than last\.pt, or was edited"):
        Predictor.load(run, "cpu")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (odds.FILE, lambda raw: raw.update(used=not raw["used"])),
        (pieces.FILE, lambda raw: raw["found"][0].update(kept=not raw["found"][0]["kept"])),
    ],
)
def test_decisions_that_were_edited_are_refused(run: Path, name: str, change: Callable[[Any], object]) -> None:
    edited(run / name, change)
    with pytest.raises(InputError, match=rf"{name}: belongs to another network than last\.pt, or was edited"):
        Predictor.load(run, "cpu")


def test_odds_that_are_gone_are_missed_and_found_anew(run: Path) -> None:
    kept = {name: (run / name).read_text() for name in (odds.FILE, pieces.FILE)}
    (run / odds.FILE).unlink()
    with pytest.raises(InputError, match=r"odds\.json: is missing, though the run has decided"):
        Predictor.load(run, "cpu")
    Predictor.load(run, "cpu", odds=False)
    (run / pieces.FILE).unlink()
    assert fit(Run.open(run), device="cpu")
    assert {name: (run / name).read_text() for name in kept} == kept


def test_odds_count_only_once_all_is_decided(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / pieces.FILE).unlink()
    assert Predictor.load(run, "cpu").odds == odds.Odds()
    assert "so predictions are without" in capsys.readouterr().err


@pytest.mark.parametrize("name", [odds.FILE, pieces.FILE])
def test_decisions_without_a_seal_are_refused_beside_a_network_that_has_one(run: Path, name: str) -> None:
    edited(run / name, lambda raw: raw.pop("seal"))
    with pytest.raises(InputError, match=rf"{name}: has no seal, .*delete odds\.json and pieces\.json"):
        Predictor.load(run, "cpu")


def test_decisions_of_early_versions_have_no_seal_and_are_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    early(run)
    edited(run / pieces.FILE, lambda raw: (raw.pop("seal"), raw.pop("odds")))
    with pytest.raises(InputError, match=r"odds\.json: is not the one that pieces\.json was decided with"):
        Predictor.load(run, "cpu")
    edited(run / odds.FILE, lambda raw: raw.pop("seal"))
    capsys.readouterr()
    assert Predictor.load(run, "cpu").odds.patients == 3
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.endswith("of an early version, which did not say of which network it is: odds.json and pieces.json\n")


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("grid", lambda raw: raw["grid"].update(mm=2.5)),
        ("grid", lambda raw: raw["grid"].update(size=96)),
        ("classes", lambda raw: raw["corpus"]["classes"].reverse()),
        ("channels", lambda raw: raw["corpus"].update(channels=[{"name": "T2", "kind": "MR"}])),
        ("turns", lambda raw: raw["schedule"]["augment"].update(turns=not raw["schedule"]["augment"]["turns"])),
        ("radiological", lambda raw: raw["corpus"].update(radiological=True)),
    ],
)
def test_a_record_that_was_edited_is_refused(run: Path, key: str, change: Callable[[Any], object]) -> None:
    edited(run / "run.json", change)
    with pytest.raises(InputError, match=rf"run\.json: {key}: .*, but last\.pt has learnt with .*; put the run's own"):
        Predictor.load(run, "cpu")


def test_checkpoints_of_early_versions_do_not_say_what_steers(run: Path) -> None:
    early(run)
    edited(run / "run.json", lambda raw: raw["grid"].update(mm=2.5))
    Predictor.load(run, "cpu")
