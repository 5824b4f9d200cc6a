"""Trainings that leave the finite numbers end, say so, and lose nothing; those as published stay within them."""

import dataclasses
import math
import re
from pathlib import Path

import pytest
import torch

import tiny
from holder import Hold
from maskmixadv import methods
from maskmixadv.cli.app import run as command
from maskmixadv.errors import DIVERGED, DivergedError, InputError
from maskmixadv.files import held
from maskmixadv.inference.predictor import Predictor
from maskmixadv.methods import MaskMixAdv, Method
from maskmixadv.networks.average import followed_closely
from maskmixadv.networks.finite import not_finite
from maskmixadv.runs import pieces
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import PRESETS, Schedule
from maskmixadv.training import fit as train
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit
from maskmixadv.training.loop import Loop
from quick import quick

SGD = dataclasses.replace(tiny.SCHEDULE, optimiser="sgd", decay="poly", steps=60, ema=0.0, validate_every=60)


def small(preset: str) -> Schedule:
    """A preset, with slices that a test can afford."""
    return dataclasses.replace(PRESETS[preset], size=48, window=32, batch=2)


def begun(tmp_path: Path, schedule: Schedule, method: Method | None = None) -> Run:
    tiny.corpus(tmp_path / "corpus")
    return begin(tmp_path / "corpus", tmp_path / "run", method=method or methods.PCEDice(), schedule=schedule)


def steps(method: Method, schedule: Schedule, *, enclosure: bool, count: int, seed: int = 0) -> None:
    """Take steps until one is not finite."""
    loop = tiny.loop(method.under(schedule), schedule=schedule, enclosure=enclosure, seed=seed)
    for step in range(count):
        for name, loss in loop.advance().items():
            assert loss.isfinite(), f"{name} is {loss} at step {step}"
    assert loop.not_finite() is None


def test_a_training_that_diverges_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "SAVE_SECONDS", math.inf)
    tiny.corpus(tmp_path / "corpus")
    words = ["train", str(tmp_path / "corpus"), "--out", str(tmp_path / "run"), "--preset", "paper", "--lr", "1e30"]
    assert command([*words, "--size", "48", "--window", "32", "--batch", "2", "--steps", "40", "pce-dice"]) == DIVERGED
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("maskmixadv: ")]
    assert re.search(
        r"run: net/\S+ is not finite at step \d+ of 40, with sgd at rate .*; try a lower --lr than 1e\+30", line
    )
    assert "no checkpoint was saved" in line
    assert not (tmp_path / "run" / "last.pt").exists()


def test_the_last_finite_checkpoint_is_kept_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(tmp_path, SGD)
    monkeypatch.setattr(train, "SAVE_SECONDS", 0.0)
    advance = Loop.advance

    def spoilt(self: Loop) -> dict[str, torch.Tensor]:
        losses = advance(self)
        if self.step == 5:
            next(self.nets["net"].parameters()).data.fill_(math.nan)
        return losses

    monkeypatch.setattr(Loop, "advance", spoilt)
    with pytest.raises(DivergedError, match=r"weight net\.\S+ is not finite at step 5 .* of step 4, is .*last\.pt"):
        fit(run)
    state = run.load(torch.device("cpu"))
    assert state["step"] == 4
    assert all(tensor.isfinite().all() for tensor in state["scored"].values())


def test_the_first_loss_that_is_not_finite_is_named_with_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Loop.advance

    def spoilt(self: Loop) -> dict[str, torch.Tensor]:
        losses = advance(self)
        return {name: loss if self.step < 7 else loss * math.inf for name, loss in losses.items()}

    monkeypatch.setattr(Loop, "advance", spoilt)
    with pytest.raises(DivergedError, match=r"net/\S+ is not finite at step 7 of 60"):
        fit(begun(tmp_path, SGD))


def test_what_is_not_finite_has_a_name() -> None:
    norm = torch.nn.BatchNorm2d(2)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), norm)
    assert not_finite({"net": net}) is None
    norm.running_mean = torch.tensor([0, math.inf])
    assert not_finite({"net": net}) == "net.1.running_mean"
    assert not_finite({}) is None


@pytest.mark.usefixtures("wide")
@pytest.mark.slow
def test_the_paper_s_schedule_is_learnt_at() -> None:
    """Restoration at four times its weight, which comes at every fourth step, was too much for SGD."""
    method = MaskMixAdv(level="image", patch=8)
    steps(method, small("paper"), enclosure=True, count=45)
    assert method.under(small("paper")).every == 1
    assert method.under(small("cpu")).every == 4
    assert MaskMixAdv(every=2).under(small("paper")).every == 2


@pytest.mark.usefixtures("wide")
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_paper_s_schedule_is_learnt_at_by_any_seed(seed: int) -> None:
    """Of three seeds one left the finite numbers at step 40: restoration's square had a slope without end."""
    steps(MaskMixAdv(), small("paper"), enclosure=False, count=60, seed=seed)


@pytest.mark.usefixtures("wide")
@pytest.mark.slow
@pytest.mark.parametrize("enclosure", [True, False], ids=["enclosure", "strokes"])
@pytest.mark.parametrize("preset", ["paper", "fast", "cpu", "demo"])
@pytest.mark.parametrize("name", methods.ALL)
def test_every_method_stays_finite_at_every_preset(name: str, preset: str, enclosure: bool) -> None:
    steps(methods.ALL[name](), small(preset), enclosure=enclosure, count=200)


# The scored average.


def test_the_scored_average_is_near_the_network_from_the_first_step_on() -> None:
    """It holds nothing of the random weights that were there before it, and little of what was long ago."""
    loop = tiny.loop(methods.PCE(), schedule=dataclasses.replace(tiny.SCHEDULE, ema=0.999))
    loop.advance()
    for mine, its in zip(loop.scored.parameters(), loop.nets["net"].parameters(), strict=True):
        assert torch.equal(mine, its)
    assert [round(followed_closely(0.999, step), 3) for step in (0, 1, 10, 100, 1000, 100_000)] == [
        0.0, 0.182, 0.55, 0.918, 0.991, 0.999,
    ]  # fmt: skip


def test_a_short_run_is_scored_as_its_network_is() -> None:
    """With a mean of all networks so far, this average found nothing."""
    schedule = dataclasses.replace(small("cpu"), ema=0.999, lr=3e-3)
    loop = tiny.loop(methods.PCE(), schedule=schedule)
    for _ in range(40):
        loop.advance()
    image = tiny.slices().image.float()
    with torch.inference_mode():
        one, other = (net.eval()(image).argmax(1) for net in (loop.nets["net"], loop.scored))
    assert (one > 0).any()
    assert ((one > 0) & (one == other)).sum() > 0.5 * (one > 0).sum()


def test_an_average_whose_decay_lies_on_the_device_is_the_same() -> None:
    def loop() -> Loop:
        return tiny.loop(methods.PCE(), schedule=dataclasses.replace(tiny.SCHEDULE, ema=0.9))

    one, other = loop(), loop()
    other._decay = torch.zeros(())
    for _ in range(4):
        one.advance()
        other.advance()
    for mine, its in zip(one.scored.parameters(), other.scored.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-6)


# Names.


@pytest.mark.parametrize("name", quick(methods.ALL, "walk-teacher", "maskmixadv", "pce", "shapepu", "zscribbleseg"))
def test_a_class_s_name_changes_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    for names in (tiny.CLASSES, ("sky", "Myo", "wall", "thin wall")):
        monkeypatch.setattr(tiny, "CLASSES", names)
        loop = tiny.loop(methods.ALL[name]())
        for _ in range(2):
            loop.advance()
        ends.append([tensor.clone() for tensor in loop.nets["net"].state_dict().values()])
    assert all(torch.equal(*pair) for end in ends[1:] for pair in zip(ends[0], end, strict=True))


# What a run is begun with, and who is at it.


def test_a_run_is_found_from_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.corpus(tmp_path / "corpus")
    monkeypatch.chdir(tmp_path)
    run = begin(Path("corpus"), Path("run"), method=methods.PCE(), schedule=tiny.SCHEDULE)
    assert run.published()["corpus"]["root"] == "corpus"
    monkeypatch.chdir("/")
    assert fit(Run.open(tmp_path / run.root))


def test_the_same_command_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = begun(tmp_path, tiny.SCHEDULE)
    assert begun_again(tmp_path).record() == Run.open(run.root).record()
    assert "begun before with the same settings" in capsys.readouterr().err
    with pytest.raises(InputError, match="already holds"):
        begin(tmp_path / "corpus", tmp_path / "run", method=methods.PCE(), schedule=tiny.SCHEDULE)
    assert fit(run)
    with pytest.raises(InputError, match="already holds"):
        begun_again(tmp_path)


def test_a_training_that_is_stopped_as_it_decides_is_not_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(tmp_path, tiny.SCHEDULE)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "settle", stopped)
        with pytest.raises(KeyboardInterrupt):
            fit(run)
    Predictor.load(run.root)
    told = "stopped before it had decided on odds of classes and structures in one piece"
    assert told in capsys.readouterr().err
    assert begun_again(tmp_path).root == run.root
    assert fit(Run.open(run.root))
    Predictor.load(run.root)
    assert told not in capsys.readouterr().err
    with pytest.raises(InputError, match="already holds"):
        begun_again(tmp_path)


def test_a_training_that_goes_on_is_not_called_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever evaluates a run meanwhile was told to resume it, which is refused as it is in use."""
    run = begun(tmp_path, tiny.SCHEDULE)
    with held(run.root), pytest.raises(InputError, match="no checkpoint yet; wait for the training that goes on"):
        Predictor.load(run.root)
    monkeypatch.setattr(train, "settle", lambda *_: None)
    fit(run)
    with held(run.root):
        Predictor.load(run.root)
    assert "goes on, and has not decided on odds of classes and structures in one piece" in capsys.readouterr().err
    state = torch.load(run.checkpoint, weights_only=True)
    torch.save({**state, "step": 1}, run.checkpoint)
    with held(run.root):
        Predictor.load(run.root)
    told = f"at step 1 of {tiny.SCHEDULE.steps}; this is its network so far\n"
    assert capsys.readouterr().err == f"{run.root}: goes on, and is saved {told}"
    Predictor.load(run.root)
    assert capsys.readouterr().err == f"{run.root}: stopped {told}"


def test_a_run_of_before_that_decides_nothing_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = begun(tmp_path, tiny.SCHEDULE)
    assert fit(run)
    (run.root / pieces.FILE).unlink()
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    del checkpoint["settles"]
    torch.save(checkpoint, run.checkpoint)
    Predictor.load(run.root)
    assert "stopped" not in capsys.readouterr().err
    with pytest.raises(InputError, match="already holds"):
        begun_again(tmp_path)


def begun_again(tmp_path: Path) -> Run:
    return begin(tmp_path / "corpus", tmp_path / "run", method=methods.PCEDice(), schedule=tiny.SCHEDULE)


def test_two_processes_do_not_train_one_run(tmp_path: Path, hold: Hold) -> None:
    run = begun(tmp_path, tiny.SCHEDULE)
    with hold(run.root) as holder, pytest.raises(InputError, match=f"in use by process {holder.pid} on .* since "):
        fit(run)
    assert fit(run)
