"""A run from its beginning to its end, its interruptions, and what it may not see."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from full_disk import Full
from maskmixadv import methods
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError, UnwritableError
from maskmixadv.files import partial_name
from maskmixadv.inference.predictor import Predictor
from maskmixadv.methods import PCE, MaskMixAdv, Method, WalkTeacher
from maskmixadv.methods.supervised import Supervised
from maskmixadv.runs.checkpoint import Checkpoint, save
from maskmixadv.runs.origin import same_corpus
from maskmixadv.runs.run import Run
from maskmixadv.training import fit as train
from maskmixadv.training import validation
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit
from maskmixadv.training.log import RunLog
from maskmixadv.training.loop import Loop
from quick import quick

NO_CRITIC = MaskMixAdv(adv=0.0)


def started(tmp_path: Path, name: str = "run", *, method: Method = NO_CRITIC, **options: Any) -> Run:
    root = tmp_path / "corpus"
    if not root.exists():
        tiny.corpus(root)
    return begin(root, tmp_path / name, method=method, schedule=tiny.SCHEDULE, **options)


def state(run: Run) -> Checkpoint:
    return run.load(torch.device("cpu"))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def assert_same_end(one: Run, other: Run) -> None:
    ends = [{key: value for key, value in state(run).items() if key != "log"} for run in (one, other)]
    assert same(*ends)
    logs = [list(csv.DictReader((run.root / "log.csv").open())) for run in (one, other)]
    for first, second in zip(*logs, strict=True):
        assert {**first, "seconds": ""} == {**second, "seconds": ""}


@pytest.mark.usefixtures("pictures")
def test_a_run_leaves_what_it_says(tmp_path: Path) -> None:
    run = started(tmp_path, enclosure=True)
    assert fit(run)
    assert state(run)["step"] == tiny.SCHEDULE.steps
    written = json.loads((run.root / "run.json").read_text())
    assert written["method"] == {"name": "maskmixadv", **asdict(NO_CRITIC.under(tiny.SCHEDULE))}
    assert written["corpus"]["train"] == ["p0", "p1", "p2", "p3"]
    assert written["seed"] == 0
    rows = list(csv.DictReader((run.root / "log.csv").open()))
    assert {"step", "seconds", "lr", "net/dpce", "net/rec", "net/pse", "val/dice"} == set(rows[0])
    assert [row["step"] for row in rows if row["val/dice"]] == ["3", "6"]
    assert sorted(path.name for path in (run.root / "pictures").iterdir()) == [
        "step_000003.png",
        "step_000006.png",
    ]
    assert list((run.root / "tensorboard").iterdir())
    assert Run.open(run.root) == run


@pytest.mark.usefixtures("pictures")
def test_a_picture_that_a_killed_training_left_unfinished_is_deleted(tmp_path: Path) -> None:
    run = started(tmp_path, "run")
    (run.root / "pictures").mkdir()
    prefix, host, _, rest = partial_name(run.root / "step_000001.png").name.split("-", 3)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = run.root / "pictures" / "-".join((prefix, host, str(gone.pid), rest))
    left.touch()
    assert fit(run)
    assert not left.exists()


def test_a_checkpoint_predicts(tmp_path: Path) -> None:
    run = started(tmp_path)
    fit(run)
    image, _, _ = tiny.volume()
    labels = Predictor.load(run.root).labels(image[None], (8.0, 1.5, 1.5))
    assert labels.shape == image.shape
    assert labels.dtype == np.uint8


@pytest.mark.parametrize("method", quick([NO_CRITIC, PCE(), MaskMixAdv(level="feature")], str(NO_CRITIC)), ids=str)
def test_an_interrupted_run_goes_on_as_if_nothing_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Method
) -> None:
    tiny.corpus(tmp_path / "prior", [tiny.case(f"q{number}", number + 6) for number in range(6)], name="others")
    whole, parted = (
        started(tmp_path, name, method=method, prior_root=tmp_path / "prior") for name in ("whole", "parted")
    )
    assert fit(whole)
    advance = Loop.advance

    def interrupted(self: Loop) -> dict[str, torch.Tensor]:
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "advance", interrupted)
        assert not fit(parted)
    assert state(parted)["step"] == 4
    assert fit(Run.open(parted.root))
    assert_same_end(whole, parted)


@pytest.mark.usefixtures("wide")
@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    whole, killed = started(tmp_path, "whole"), started(tmp_path, "killed")
    script = f"""
import os, signal, torch
from pathlib import Path
from maskmixadv import methods
from maskmixadv.training import fit as train
from maskmixadv.training.log import RunLog
from maskmixadv.training.loop import Loop
from maskmixadv.runs.run import Run
train.SAVE_SECONDS = 0.0
advance = Loop.advance
def dying(self):
    if self.step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return advance(self)
Loop.advance = dying
train.fit(Run.open(Path({str(killed.root)!r})))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert state(killed)["step"] == 4
    fit(whole)
    fit(killed)
    assert_same_end(whole, killed)


def test_checkpoints_are_saved_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    monkeypatch.setattr(train, "save", lambda _, content: saved.append(content["step"]))
    monkeypatch.setattr(train, "settle", lambda *_: None)  # there is no network to ask
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(train.time, "monotonic", lambda: float(next(clock)))
    fit(started(tmp_path))
    assert saved[-1] == tiny.SCHEDULE.steps
    assert len(saved) > 1
    assert train.SAVE_SECONDS <= 60


@pytest.mark.usefixtures("pictures")
def test_a_picture_that_cannot_be_written_costs_no_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = started(tmp_path)
    (run.root / "pictures").touch()
    assert fit(run)
    assert "the training goes on without this picture" in capsys.readouterr().err
    assert "val/dice" in (run.root / "log.csv").read_text()


@pytest.mark.parametrize("last", [1, tiny.SCHEDULE.steps - 1])
def test_a_run_that_is_removed_meanwhile_is_not_made_again(tmp_path: Path, last: int) -> None:
    run = started(tmp_path, method=PCE())

    def removed(loop: Loop) -> None:
        if loop.step == last:
            shutil.rmtree(run.root)

    with pytest.raises(InputError, match=r"run: is gone, as it has no run\.json any more"):
        fit(run, device="cpu", watch=removed)
    assert not run.root.exists()


def test_a_run_that_is_removed_while_it_is_validated_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(tmp_path, method=PCE())

    def removed(*_: object) -> float:
        shutil.rmtree(run.root)
        return 0.5

    monkeypatch.setattr(validation, "mean_dice_of", removed)
    with pytest.raises(InputError, match=r"run: is gone, as it has no run\.json any more"):
        fit(run, device="cpu")
    assert not run.root.exists()


@pytest.mark.parametrize(("failing", "step"), [("validated", 3), ("flush", tiny.SCHEDULE.steps)])
def test_what_fails_beside_a_training_costs_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, step: int
) -> None:
    run = started(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise UnwritableError("log.csv: can't be written")

    monkeypatch.setattr(RunLog, failing, fail)
    with pytest.raises(UnwritableError, match=r"log\.csv: can't be written"):
        fit(run)
    assert state(run)["step"] == step


def test_what_fails_after_the_last_step_says_that_all_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a corpus that went while the network was trained."""
    run = started(tmp_path)

    def fails(*_: Any) -> None:
        raise UnwritableError("corpus: is gone")

    with monkeypatch.context() as gone:
        gone.setattr(train, "settle", fails)
        with pytest.raises(UnwritableError, match=r"is gone; all steps are taken and saved; '.*train --resume .*run'"):
            fit(run, device="cpu")
    assert not (run.root / "pieces.json").exists()
    assert fit(run, device="cpu")
    assert (run.root / "pieces.json").is_file()


def test_a_full_disk_keeps_the_earlier_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save(path, {"step": 1})
    with Full(2000), pytest.raises(UnwritableError, match=r"last\.pt: can't be saved .*; free space, then resume"):
        save(path, {"step": 2, "more": torch.zeros(1000)})
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["last.pt"]


def test_the_advice_is_that_of_the_cause(tmp_path: Path) -> None:
    """A large network's checkpoint fails in the middle of torch's file, which then speaks of positions in it."""
    path = tmp_path / "last.pt"
    with Full(2000), pytest.raises(UnwritableError, match=r"saved \(File too large\); free space, then resume with"):
        save(path, {"step": 2, "more": torch.zeros(1_000_000)})
    with pytest.raises(UnwritableError, match=r"\(No such file or directory\); make its folder again, then"):
        save(tmp_path / "gone" / "last.pt", {"step": 2})


def test_a_checkpoint_cannot_execute_code(tmp_path: Path) -> None:
    run = started(tmp_path)
    torch.save({"step": Path("/")}, run.checkpoint)
    with pytest.raises(InputError, match=r"last\.pt: damaged"):
        run.load(torch.device("cpu"))


WEAK = [NO_CRITIC if kind is MaskMixAdv else kind() for kind in methods.ALL.values() if kind.supervision != "dense"]


SHORT = replace(tiny.SCHEDULE, steps=3, validate_every=3)
"""Long enough for what methods begin with only after a part of the steps."""


@pytest.fixture(scope="module")
def with_other_masks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two corpora, alike but for the dense masks of the patients, which in one are noise."""
    root, rng = tmp_path_factory.mktemp("masks"), np.random.default_rng(0)
    cases = [tiny.case(f"p{number}", number) for number in range(6)]
    noisy = [replace(case, dense=rng.integers(0, 4, case.shape).astype(np.uint8)) for case in cases]
    return tiny.corpus(root / "true", cases).root, tiny.corpus(root / "noise", noisy).root


def ends(corpora: tuple[Path, Path], place: Path, method: Method) -> list[Any]:
    """Weights after a training on each corpus."""
    runs = [begin(root, place / root.name, method=method, schedule=SHORT) for root in corpora]
    assert all(fit(run) for run in runs)
    return [state(run)["nets"] for run in runs]


KEPT = ("WalkTeacher", "PCE")


def named(method: Method) -> str:
    return type(method).__name__


@pytest.mark.parametrize("method", quick(WEAK, *KEPT, name=named), ids=named)
def test_dense_masks_do_not_reach_the_weights(
    tmp_path: Path, with_other_masks: tuple[Path, Path], method: Method
) -> None:
    assert same(*ends(with_other_masks, tmp_path, method))


def test_full_supervision_learns_from_dense_masks(tmp_path: Path, with_other_masks: tuple[Path, Path]) -> None:
    """Sanity of the test above: masks of noise do show in the weights of what learns from them."""
    assert not same(*ends(with_other_masks, tmp_path, Supervised()))


def test_test_cases_are_not_read(tmp_path: Path) -> None:
    run = started(tmp_path)
    (tmp_path / "corpus" / "cases" / "p5.npz").unlink()
    assert fit(run)


@pytest.mark.parametrize(
    ("first", "changes"),
    [(9, {}), (0, {"spacing": (5.0, 1.5, 1.5)}), (0, {"spacing": None}), (0, {"patient": "p1"})],
    ids=["images", "spacing", "none", "patient"],
)
def test_a_changed_corpus_is_refused(tmp_path: Path, first: int, changes: dict[str, Any]) -> None:
    run = started(tmp_path)
    (tmp_path / "corpus").rename(tmp_path / "old")
    cases = [tiny.case(f"p{number}", number + first) for number in range(6)]
    tiny.corpus(tmp_path / "corpus", [replace(cases[0], **changes), *cases[1:]])
    with pytest.raises(InputError, match="has changed since the run began"):
        fit(run)


def test_another_spacing_that_is_assumed_is_refused(tmp_path: Path) -> None:
    cases = [tiny.case(f"p{number}", number, spacing=None) for number in range(6)]
    tiny.corpus(tmp_path / "corpus", cases)
    run = started(tmp_path)
    index = tmp_path / "corpus" / "corpus.json"
    raw = json.loads(index.read_text())
    index.write_text(json.dumps({**raw, "nominal": [8.0, 1.5, 1.5]}))
    told = r"8 × 1\.5 × 1\.5 mm are assumed for cases without a spacing, 1 × 1 × 1 mm were when the run began"
    with pytest.raises(InputError, match=told):
        same_corpus(Run.open(run.root).learnt_from)
    # A run of before does not say, and goes on.
    record = json.loads((run.root / "run.json").read_text())
    assert record["corpus"].pop("nominal") == [1, 1, 1]
    (run.root / "run.json").write_text(json.dumps(record))
    assert same_corpus(started(tmp_path).learnt_from).nominal == (8, 1.5, 1.5)


def test_a_run_of_before_spacings_were_recorded_goes_on(tmp_path: Path) -> None:
    run = started(tmp_path)
    record = json.loads((run.root / "run.json").read_text())
    assert record["corpus"].pop("grids")
    (run.root / "run.json").write_text(json.dumps(record))
    assert started(tmp_path).learnt_from.grids == ""
    assert same_corpus(Run.open(run.root).learnt_from)


def test_a_run_directory_is_used_once(tmp_path: Path) -> None:
    run = started(tmp_path)
    before = (run.root / "run.json").read_text()
    with pytest.raises(InputError, match="already holds"):
        started(tmp_path, enclosure=True)
    assert (run.root / "run.json").read_text() == before


def test_the_critic_needs_masks_of_others(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--prior CORPUS.*--adv 0"):
        started(tmp_path, method=MaskMixAdv())
    with pytest.raises(InputError, match=r"--prior CORPUS.*'walk-teacher --adv 0'"):
        started(tmp_path, method=WalkTeacher(adv=0.1))
    with pytest.raises(InputError, match="no dense mask of a patient outside"):
        started(tmp_path, method=MaskMixAdv(), prior_root=tmp_path / "corpus")
    other = [replace(tiny.case(f"q{number}"), dense=None) for number in range(3)]
    tiny.corpus(tmp_path / "scribbled", other, name="others")
    with pytest.raises(InputError, match="no dense mask"):
        started(tmp_path, method=MaskMixAdv(), prior_root=tmp_path / "scribbled")
    two = Corpus.write(
        tmp_path / "two",
        [replace(tiny.case("q"), scribble=None, dense=(tiny.volume()[2] > 0).astype(np.uint8))],
        name="others",
        classes=("background", "heart"),
        folds={},
    )
    with pytest.raises(InputError, match="classes background, heart, allowed are background, RV, Myo, LV"):
        started(tmp_path, method=MaskMixAdv(), prior_root=two.root)
    assert not (tmp_path / "run").exists()


def test_a_prior_is_compared_by_its_images_whatever_its_name(tmp_path: Path) -> None:
    cases = [tiny.case(f"p{number}", number) for number in range(6)]
    tiny.corpus(tmp_path / "corpus", cases)
    tiny.corpus(tmp_path / "copy", cases, name="copy")
    with pytest.raises(InputError, match="no dense mask of a patient outside"):
        started(tmp_path, method=MaskMixAdv(), prior_root=tmp_path / "copy")
    tiny.corpus(tmp_path / "more", [*cases, tiny.case("q", 7)], name="more")
    run = started(tmp_path, method=MaskMixAdv(), prior_root=tmp_path / "more")
    assert run.prior_from is not None
    assert run.prior_from.cases == ("q",)


@pytest.mark.parametrize("millimetres", [1.5e-3, 1.5e2])
@pytest.mark.parametrize("number", [0, 4, 5])
def test_a_spacing_in_another_unit_is_named_before_a_run_begins(
    tmp_path: Path, number: int, millimetres: float
) -> None:
    """Of the six patients number 4 is one of validation, and number 5 of the test."""
    cases = [tiny.case(f"p{each}", each) for each in range(6)]
    cases[number] = tiny.case(f"p{number}", number, spacing=(8.0, millimetres, millimetres))
    tiny.corpus(tmp_path / "corpus", cases)
    with pytest.raises(InputError, match=rf"corpus: p{number}: pixels of 0?\.?0*15.* mm: .* correct the unit"):
        started(tmp_path)
    assert not (tmp_path / "run").exists()


def test_pixels_of_a_microscope_are_learnt_from(tmp_path: Path) -> None:
    cases = [tiny.case(f"p{number}", number, spacing=(1e-3, 1e-5, 1e-5)) for number in range(6)]
    tiny.corpus(tmp_path / "corpus", cases)
    run = started(tmp_path)
    assert run.grid.mm == pytest.approx(1e-5, rel=1e-2)
    assert "pixels of 1e-05 mm" in str(Run.open(run.root))


def test_the_grid_is_in_mm_where_all_spacings_are_known(tmp_path: Path) -> None:
    assert started(tmp_path).grid.mm == pytest.approx(48 * 1.5 / tiny.SCHEDULE.size)
    cases = [tiny.case(f"p{number}", spacing=None if number == 1 else (8.0, 1.5, 1.5)) for number in range(6)]
    corpus = tiny.corpus(tmp_path / "unknown", cases)
    assert begin(corpus.root, tmp_path / "r2", method=PCE(), schedule=tiny.SCHEDULE).grid.mm is None
