"""Half of each batch is without annotation where there are such slices, and teachers' methods learn from it."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tape
import tiny
from ended import log, state
from maskmixadv.cli.app import run as command
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.methods import PCE, UAMT, USTM, MaskMixAdv, MeanTeacher, Method, WalkTeacher
from maskmixadv.methods.method import player
from maskmixadv.methods.parts.corrector import Corrector
from maskmixadv.methods.parts.pseudo import PseudoLabeller
from maskmixadv.networks.critic import Critic
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import Changes
from maskmixadv.sampling.slices import Slices, order
from maskmixadv.sources.phantoms import phantom
from maskmixadv.strokes.annotate import KeptAnnotator, annotate
from maskmixadv.strokes.imperfect import Imperfection
from maskmixadv.tensors import Batch
from maskmixadv.training.begin import begin
from maskmixadv.training.data import training_slices
from maskmixadv.training.distribute import ALONE, Ranks
from maskmixadv.training.engine import WARM, Engine, as_written
from maskmixadv.training.fit import fit
from maskmixadv.training.loop import Loop
from maskmixadv.training.recipe import Recipe
from maskmixadv.training.train import train
from maskmixadv.types import IGNORE
from quick import quick
from weights import equal, weights

CPU = torch.device("cpu")
TEACHERS = [WalkTeacher(), MeanTeacher(), UAMT(passes=2), USTM(passes=2)]
BARE = torch.tensor([True, False, True, True, False, True, False, True, True])
SCHEDULE = dataclasses.replace(tiny.SCHEDULE, batch=5)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


def slices(method: Method) -> Slices:
    """Nine slices; of six of them nothing is known."""
    made = tiny.slices(len(BARE), beliefs=method.believes)
    made.target[BARE], made.image[BARE, 1:] = IGNORE, 0
    return dataclasses.replace(made, bare=BARE)


def loop(
    method: Method, schedule: tiny.Schedule = SCHEDULE, ranks: Ranks = ALONE, engine: Engine | None = None
) -> Loop:
    return Loop(tiny.run(method, schedule=schedule), slices(method), None, CPU, ranks, engine)


# Order.


def test_half_of_a_batch_is_bare_each_kind_in_its_own_order() -> None:
    made = loop(MeanTeacher())
    steps = [made._order(step) for step in range(6)]
    assert all(BARE[each].tolist() == [False, True, False, True, False] for each in steps)
    labelled, bare = (torch.nonzero(each)[:, 0] for each in (~BARE, BARE))
    for kind, count in ((labelled, 3), (bare, 2)):
        wanted = torch.cat([kind[order(step, count=len(kind), batch=count, seed=0)] for step in range(6)])
        assert torch.equal(torch.cat([each[BARE[each] == BARE[kind[0]]] for each in steps]), wanted)
    assert not torch.equal(torch.stack(steps), torch.stack([steps[0]] * 6))


def test_without_bare_slices_the_order_is_as_ever() -> None:
    made = tiny.loop(MeanTeacher())
    how = {"count": 5, "batch": 3, "seed": 0}
    assert all(torch.equal(made._order(step), order(step, **how)) for step in range(4))
    assert made.batch().bare is None


def test_a_batch_of_one_is_labelled() -> None:
    made = loop(MeanTeacher(), dataclasses.replace(SCHEDULE, batch=1))
    assert not any(BARE[made._order(step)].any() for step in range(9))


def test_ranks_share_both_kinds() -> None:
    schedule = dataclasses.replace(SCHEDULE, batch=4)
    parts = [loop(WalkTeacher(), schedule, Ranks(rank, 2)).batch() for rank in range(2)]
    for batch in parts:
        assert batch.bare is not None
        assert batch.bare.tolist() == [False, True]
        assert torch.equal(batch.bare, BARE[batch.index])
        assert batch.weight[batch.bare].sum() == 0


# Walk-teacher.


def terms(batch: Batch, *, progress: float) -> dict[str, float]:
    method = WalkTeacher()
    torch.manual_seed(0)
    nets = method.players(tiny.TASK)
    net = nets["net"].eval()
    phase = next(iter(method.phases({**nets, "net": net}, dataclasses.replace(batch, progress=progress))))
    return {name: loss.item() for name, loss in phase.terms.items()}


def bare(batch: Batch, *samples: bool) -> Batch:
    """Of these samples nothing is known."""
    which = torch.tensor(samples)
    assert batch.belief is not None
    target, belief = batch.target.clone(), batch.belief.clone()
    target[which], belief[which] = IGNORE, 0
    return dataclasses.replace(batch, target=target, belief=belief, bare=which)


def alone(batch: Batch) -> Batch:
    """The first sample, twice as heavy in the mean: what the loss of two comes to if the second counts nothing."""
    fields = ("image", "target", "weight", "index", "affine", "belief")
    return dataclasses.replace(batch, **{name: getattr(batch, name)[:1] for name in fields}, prior=None, bare=None)


@pytest.mark.usefixtures("wide")
def test_a_bare_slice_teaches_next_to_nothing_at_first_and_like_others_in_the_end() -> None:
    batch = bare(tiny.batch(), False, True)
    forgotten = dataclasses.replace(batch, bare=None)
    first, only, others = (terms(each, progress=0.0) for each in (batch, alone(batch), forgotten))
    assert first["pse-ce"] == pytest.approx(only["pse-ce"] / 2, rel=0.02)
    assert first["pse-dice"] == pytest.approx(only["pse-dice"], abs=0.02)
    assert abs(others["pse-dice"] - only["pse-dice"]) > 0.03
    assert first["ce"] == others["ce"]
    last, same = (terms(each, progress=0.9) for each in (batch, forgotten))
    assert last == same


def test_bare_slices_move_no_odds() -> None:
    teacher = player(WalkTeacher().players(tiny.TASK), "teacher", PseudoLabeller)
    batch = bare(tiny.batch(), True, True)
    for _ in range(5):
        teacher.calibrate(batch, teacher.predict(batch), 0.5)
    assert teacher.odds.flatten().tolist() == pytest.approx([1, 1, 1, 1])
    assert teacher.counts.sum() == 0


def test_the_corrector_leaves_labels_of_bare_slices_alone() -> None:
    """Its errors are fewer, and it says class 2 everywhere: then the losses of slices with walks change, no others."""
    method, task = WalkTeacher(), dataclasses.replace(tiny.TASK, studied=90)

    def loss(batch: Batch, label: int) -> float:
        torch.manual_seed(0)
        nets = method.players(task)
        corrector = player(nets, "corrector", Corrector)
        with torch.no_grad():
            for name, parameter in corrector.scored.named_parameters():
                parameter.zero_()
                if name.endswith("head.bias"):
                    parameter[label] = 20
        corrector.errors.copy_(torch.tensor([0.2, 0.1]))
        phase = next(iter(method.phases(nets, dataclasses.replace(batch, step=9, progress=0.9))))
        return phase.terms["pse-ce"].item()

    assert loss(bare(tiny.batch(), True, True), 2) == loss(bare(tiny.batch(), True, True), 1)
    assert loss(bare(tiny.batch(), True, False), 2) != loss(bare(tiny.batch(), True, False), 1)


# All teachers.


@pytest.mark.parametrize("method", TEACHERS, ids=lambda method: type(method).__name__)
def test_a_teacher_s_method_learns_from_bare_slices(method: Method) -> None:
    """Other images in the bare slices alone come to other weights."""
    ends = []
    for shift in (0.0, 0.3):
        made = loop(method)
        made.slices.image[BARE, 0] += shift
        for _ in range(5):
            assert all(loss.isfinite() for loss in made.advance().values())
        ends.append(weights(made.nets))
    assert not equal(*ends)


@pytest.mark.parametrize(
    "method",
    [WalkTeacher(), pytest.param(MeanTeacher(), marks=pytest.mark.slow)],
    ids=lambda method: type(method).__name__,
)
def test_steps_are_recorded_as_they_are_written(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    tape.on_a_cpu(monkeypatch)
    schedule = dataclasses.replace(SCHEDULE, steps=2 * WARM + 4, batch=2)
    recorded, plain = (loop(method, schedule, engine=Engine(graph=True)) for _ in range(2))
    plain._steps = as_written
    for _ in range(schedule.steps):
        assert equal(recorded.advance(), plain.advance())
    assert equal(weights(recorded.nets), weights(plain.nets))


# Whole runs.


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """One training patient with strokes in one slice of each volume."""
    root = tmp_path_factory.mktemp("phantoms")
    whole = phantom.prepare(root / "whole", cases=6, size=64)
    return annotate(whole, root / "sparse", KeptAnnotator(), Imperfection(slices=1))


def started(corpus: Corpus, root: Path, method: Method | None = None, **options: Any) -> Run:
    options = {"unlabelled": True, **options}
    return begin(corpus.root, root, method=method or WalkTeacher(), schedule=tiny.SCHEDULE, **options)


def test_a_sparse_corpus_is_learnt_from_whole(
    phantoms: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = started(phantoms, tmp_path / "run")
    assert json.loads((run.root / "run.json").read_text())["unlabelled"] is True
    assert ", slices without annotation" in str(Run.open(run.root))
    assert fit(run)
    count = sum(entry.shape[0] for entry in phantoms.of(run.learnt_from.train))
    assert f"learnt from: 1 patient, 2 slices, {count - 2} slices without annotation; " in capsys.readouterr().err


def test_a_run_goes_on_bit_for_bit(phantoms: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parted = (started(phantoms, tmp_path / name) for name in ("whole", "parted"))
    assert fit(whole)
    advance = Loop.advance

    def interrupted(self: Loop) -> dict[str, torch.Tensor]:
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "advance", interrupted)
        assert not fit(parted)
    assert fit(Run.open(parted.root))
    torch.testing.assert_close(state(parted), state(whole), rtol=0, atol=0)
    assert log(parted) == log(whole)


def test_old_runs_and_runs_that_say_so_learn_from_labelled_slices_alone(phantoms: Corpus, tmp_path: Path) -> None:
    """As before there were others: the record says nothing of them, and only labelled slices are there."""
    run = started(phantoms, tmp_path / "run", unlabelled=False)
    assert "unlabelled" not in json.loads((run.root / "run.json").read_text())
    assert not Run.open(run.root).unlabelled
    assert "without annotation" not in str(run)
    slices = training_slices(run, phantoms, CPU)
    assert (len(slices), slices.bare) == (2, None)
    assert slices.learnt is not None
    assert "slices without a label" in slices.learnt.told()


def test_other_methods_never_do(phantoms: Corpus, tmp_path: Path) -> None:
    run = started(phantoms, tmp_path / "run", PCE())
    assert not run.unlabelled
    assert "without annotation" not in str(run)
    assert run.settings() == started(phantoms, tmp_path / "other", PCE(), unlabelled=False).settings()


def test_a_recipe_says_so_where_it_matters(phantoms: Corpus, tmp_path: Path) -> None:
    def line(name: str, *, unlabelled: bool) -> str:
        recipe = Recipe(phantoms.root, {"name": name}, "cpu", Changes(steps=3), unlabelled=unlabelled)
        assert recipe.begin(tmp_path / "run", write=False).unlabelled == (unlabelled and name != "pce")
        return recipe.command(tmp_path / "run")

    assert "--unlabelled" in line("walk-teacher", unlabelled=True)
    assert "unlabelled" not in line("walk-teacher", unlabelled=False) + line("pce", unlabelled=True)


@pytest.mark.parametrize(
    ("words", "unlabelled"),
    quick(
        [([], False), (["--unlabelled"], True), (["--no-unlabelled"], False)],
        "--unlabelled",
        name=lambda case: " ".join(case[0]),
    ),
)
def test_the_command_line_and_python_say_so_alike(
    phantoms: Corpus, tmp_path: Path, words: list[str], unlabelled: bool
) -> None:
    short = ["--preset", "cpu", "--steps", "1", "--size", "48", "--window", "32", "--batch", "2"]
    root, other = tmp_path / "run", tmp_path / "other"
    assert command(["train", str(phantoms.root), "--out", str(root), *short, *words, "mean-teacher"]) == 0
    assert Run.open(root).unlabelled == unlabelled
    how: Any = {"preset": "cpu", "steps": 1, "size": 48, "window": 32, "batch": 2, "unlabelled": unlabelled}
    run = train(phantoms, other, method="mean-teacher", **how)
    assert run.settings() == Run.open(root).settings()
    torch.testing.assert_close(state(run), state(Run.open(root)), rtol=0, atol=0)


ASKED = """
import sys, numpy, maskmixadv as mma
for wrong in ({"seed": 1.5}, {"seed": numpy.int64(1)}, {"fold": "1"}, {"enclosure": "no"}):
    try:
        mma.train(sys.argv[1], "run", method="pce", **wrong)
    except mma.InputError as error:
        print(error)
try:
    mma.evaluate(sys.argv[2], split="all")
except mma.InputError as error:
    print(error)
"""
"""A user's script, in a process in which nothing checks types."""


def test_what_a_record_can_not_hold_is_refused_before_it_is_written(phantoms: Corpus, tmp_path: Path) -> None:
    run = started(phantoms, tmp_path / "begun")
    words = [sys.executable, "-c", ASKED, str(phantoms.root), str(run.root)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    *refusals, scored = done.stdout.splitlines()
    begins = ["seed: 1.5", "seed: np.int64(1)", "fold: '1'", "enclosure: 'no'"]
    assert [line.split(", must be")[0] for line in refusals] == [f"train: {each}" for each in begins], done.stderr
    assert "no case of split 'all'" in scored
    assert not (tmp_path / "run").exists()


def test_a_batch_that_can_hold_none_is_refused(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "corpus")
    schedule = dataclasses.replace(tiny.SCHEDULE, batch=1)
    with pytest.raises(InputError, match=r"^batch: 1, allowed with --unlabelled is 2 or more"):
        begin(corpus.root, tmp_path / "run", method=MeanTeacher(), schedule=schedule, unlabelled=True)
    begin(corpus.root, tmp_path / "run", method=PCE(), schedule=schedule, unlabelled=True)  # which never learns from it


@pytest.mark.parametrize(("batch", "window", "ranks"), [(1, 16, 1), (2, 16, 2)])
def test_a_batch_without_a_spread_is_refused(tmp_path: Path, batch: int, window: int, ranks: int) -> None:
    """Batch norm divides by it; on the coarsest level a window of 16 pixels is one."""
    corpus = tiny.corpus(tmp_path / "corpus")
    schedule = dataclasses.replace(tiny.SCHEDULE, batch=batch, window=window)
    with pytest.raises(InputError, match=rf"^batch: {batch}, allowed with .*window of 16 pixels .*is {2 * ranks} or"):
        begin(corpus.root, tmp_path / "run", method=PCE(), schedule=schedule, ranks=Ranks(0, ranks))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", [MaskMixAdv(), WalkTeacher(adv=0.1)], ids=["maskmixadv", "walk-teacher"])
def test_a_window_that_the_critic_can_t_score_is_refused(tmp_path: Path, method: Method) -> None:
    """Its five strides leave nothing of 16 pixels; torch spoke of a kernel's size, in a run that had begun."""
    corpus, shapes = tiny.corpus(tmp_path / "corpus"), tiny.corpus(tmp_path / "shapes")
    schedule = dataclasses.replace(tiny.SCHEDULE, window=16)
    told = f"^window: 16, allowed with {'maskmixadv' if isinstance(method, MaskMixAdv) else 'walk-teacher'}'s critic "
    with pytest.raises(InputError, match=told + "is 32 or more pixels.*--adv 0"):
        begin(corpus.root, tmp_path / "run", method=method, schedule=schedule, prior_root=shapes.root)
    assert not (tmp_path / "run").exists()
    Critic(4)(torch.zeros(1, 4, 32, 32))


def test_enclosure_without_a_loop_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = tiny.corpus(tmp_path / "corpus")
    how: Any = {"preset": "cpu", "steps": 1, "size": 48, "window": 32, "batch": 2, "method": "pce", "enclosure": True}
    train(corpus, tmp_path / "loops", **how)
    assert "--enclosure" not in capsys.readouterr().err
    cases = [
        dataclasses.replace(case, scribble=np.where(case.scribble == 0, np.uint8(IGNORE), case.scribble))
        for case in corpus.measured.load_all(corpus.entries)
        if case.scribble is not None
    ]
    lines = Corpus.write(tmp_path / "lines", cases, name="lines", classes=corpus.classes, folds=corpus.folds)
    train(lines, tmp_path / "none", **how)
    assert "none: --enclosure: nothing lies beyond" in capsys.readouterr().err
    first, *others = corpus.measured.load_all(corpus.entries)
    assert first.scribble is not None
    first.scribble[0] = np.where(first.scribble[0] == 0, np.uint8(IGNORE), first.scribble[0])
    first.scribble[1, 0, 0] = 1  # a structure's stroke beyond the background's
    some = Corpus.write(tmp_path / "some", [first, *others], name="some", classes=corpus.classes, folds=corpus.folds)
    for out in ("again", "kept"):  # the second one reads the first one's slices
        train(some, tmp_path / out, **how)
        assert f"{out}: --enclosure: in 2 of 12 slices with strokes the" in capsys.readouterr().err


def test_options_that_change_nothing_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how: Any = {"preset": "cpu", "steps": 1, "size": 48, "window": 32, "batch": 2, "unlabelled": True}
    corpus = tiny.corpus(tmp_path / "corpus")
    train(corpus, tmp_path / "pce", method="pce", prior=corpus, **how)
    told = capsys.readouterr().err
    assert "note: --unlabelled: pce makes no use of it" in told
    assert "note: --prior: pce makes no use of it" in told
    train(corpus, tmp_path / "dense", method="supervised", enclosure=True, **how)
    assert "note: --enclosure: supervised makes no use of it" in capsys.readouterr().err
    train(corpus, tmp_path / "teacher", method="mean-teacher", **how)
    assert "teacher: --unlabelled: every training slice has strokes" in capsys.readouterr().err
