"""Runs of a table that are trained side by side: the same files, failures of one run, stops, memory."""

import csv
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from maskmixadv.bench import workers
from maskmixadv.bench.cells import Job
from maskmixadv.bench.runner import make
from maskmixadv.bench.several import Several
from maskmixadv.bench.told import Told
from maskmixadv.bench.workers import Outcome, Together, at_once
from maskmixadv.cli.app import run
from maskmixadv.errors import INTERRUPTED, InputError
from maskmixadv.runs.checkpoint import stored
from maskmixadv.runs.course import read_course
from maskmixadv.runs.schedule import Changes
from maskmixadv.sources.phantoms import phantom
from maskmixadv.training import together as side_by_side
from maskmixadv.training.fit import fit
from maskmixadv.training.going import Going
from maskmixadv.training.recipe import Recipe

pytestmark = pytest.mark.usefixtures("plain", "narrow")

TABLE = """
title = "Two methods"
reference = "walks"
corpus = "{corpus}"
preset = "cpu"
folds = [1]

[schedule]
steps = 6
batch = 2
size = 48
window = 32

[[rows]]
name = "pCE"
method = "pce"

[[rows]]
name = "walks"
method = "walk-teacher"
"""
FILES = {"run.json", "log.csv", "scores.csv", "summary.json", "bench.json"}
CHANGES = Changes(steps=6, batch=2, size=48, window=32)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom.prepare(tmp_path_factory.mktemp("several") / "corpus", cases=6, size=64).root


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job(corpus: Path, name: str, **changes: Any) -> Job:
    recipe = Recipe(corpus, {"name": "pce"}, "cpu", replace(CHANGES, **changes), seed=sum(name.encode()))
    return Job(name, recipe, Path("runs") / name, recipe.changes.on("cpu").steps, "test", (Path("scores") / name,))


class Inline(Executor):
    """Stands for worker processes: does at once what it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def made(jobs: list[Job], most: int = 2, until: Callable[[Several], bool] | None = None) -> dict[str, Told]:
    """How the jobs ended, by name; `until` stops them. Lines for people are under the empty name."""
    told: dict[str, Told] = {}
    lines: list[str] = []

    def tell(each: Told) -> None:
        if each.line:
            lines.append(each.line)
        else:
            told[each.identity] = each

    several = Several(CPU, most, pool=Inline(), tell=tell)
    for each in jobs:
        several.add(each)
    while not several.idle and not (until is not None and until(several)):
        several.turn()
    several.stop()
    return {**told, "": Told(line="\n".join(lines))}


@pytest.mark.slow
def test_a_table_is_made_side_by_side(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("two.toml").write_text(TABLE.format(corpus=corpus))
    assert run(["bench", "two.toml", "--together", "2", "--devices", "cpu"]) == 0
    assert "2 of 2 runs are done" in capsys.readouterr().out
    for row in ("pce", "walks"):
        folder = tmp_path / "results" / "two" / row / "fold1-seed0"
        assert {path.name for path in folder.iterdir()} == FILES
        assert [row.step for row in read_course(folder / "log.csv")] == [6]
        assert json.loads((folder / "bench.json").read_text())["steps"] == 6
    lines = list(csv.DictReader((tmp_path / "results" / "two" / "results.csv").open()))
    assert [line["row"] for line in lines] == ["pCE", "walks"]
    assert all("thread" in line["device"] for line in lines)
    (output,) = (tmp_path / "runs" / "bench").glob("pce-*.txt")
    assert "learnt from: 1 patient" in output.read_text()
    assert not list((tmp_path / "runs" / "bench").glob(".partial*"))


def test_weights_are_those_of_a_run_alone(corpus: Path) -> None:
    ends = made([job(corpus, "a"), job(corpus, "b")])
    assert {name: end.code for name, end in ends.items()} == {"a": 0, "b": 0, "": 0}
    alone = job(corpus, "a").recipe.begin(Path("alone"), device="cpu")
    assert fit(alone, device="cpu")
    one, other = (stored(path / "last.pt", CPU) for path in (Path("alone"), Path("runs/a")))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other["scored"][name]) for name, value in one["scored"].items())


def test_what_fails_is_one_run(corpus: Path) -> None:
    jobs = [job(corpus, "good"), job(corpus, "diverging", optimiser="sgd", lr=1e38), job(Path("missing"), "nowhere")]
    ends = made(jobs)
    assert {name: end.code for name, end in ends.items()} == {"good": 0, "diverging": 3, "nowhere": 2, "": 0}
    assert "not finite" in ends["diverging"].reason
    assert "missing" in ends["nowhere"].reason
    assert "missing" in Path("runs/nowhere.txt").read_text()


def test_a_broken_step_is_one_run(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = Going.advance

    def broken(self: Going) -> None:
        if self.run.root.name == "broken":
            raise KeyError("x")
        advance(self)

    monkeypatch.setattr(Going, "advance", broken)
    ends = made([job(corpus, "broken"), job(corpus, "good")])
    assert (ends["broken"].code, ends["broken"].reason, ends["good"].code) == (1, "KeyError: 'x'", 0)
    assert "Traceback" in Path("runs/broken.txt").read_text()


def test_stopped_runs_go_on(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        # Each run stops in its midst, however much earlier than the other one it begins.
        patch.setattr(Going, "busy", lambda self: self.loop.step >= 3)
        midst = lambda several: [going.loop.step for going in several._together.going] == [3, 3]  # noqa: E731
        ends = made([job(corpus, "a"), job(corpus, "b")], until=midst)
    assert {name: end.code for name, end in ends.items()} == {"a": INTERRUPTED, "b": INTERRUPTED, "": 0}
    assert [stored(Path("runs") / name / "last.pt", CPU)["step"] for name in "ab"] == [3, 3]
    ends = made([job(corpus, "a")])
    assert (ends["a"].code, ends[""].line) == (0, "")
    assert fit(job(corpus, "a").recipe.begin(Path("alone"), device="cpu"), device="cpu")
    one, other = (stored(path / "last.pt", CPU)["scored"] for path in (Path("alone"), Path("runs/a")))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert [row.step for row in read_course(Path("runs/a/log.csv"))] == [6]


def test_a_run_that_was_killed_is_begun_anew_and_that_is_said(corpus: Path) -> None:
    killed = job(corpus, "a")
    killed.recipe.begin(killed.run, device="cpu")
    ends = made([killed])
    assert (ends["a"].code, ends[""].line) == (0, "a was stopped before it was saved: begun anew")


@pytest.mark.slow
def test_fewer_runs_at_a_time_where_memory_holds_no_more(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Going.__init__

    def full(self: Going, *args: Any, **more: Any) -> None:
        begun(self, *args, **more)
        full_at.append(self)

    advance, full_at, most = Going.advance, [], []

    def no_memory(self: Going) -> None:
        going = sum(each.left > 0 for each in full_at)
        most.append(going)
        if going > 1 and self is full_at[-1] and self.loop.step == 0:
            full_at.remove(self)
            raise torch.OutOfMemoryError("no memory")
        advance(self)

    monkeypatch.setattr(Going, "__init__", full)
    monkeypatch.setattr(Going, "advance", no_memory)
    ends = made([job(corpus, name) for name in "abc"], most=3)
    assert {name: end.code for name, end in ends.items()} == {"a": 0, "b": 0, "c": 0, "": 0}
    assert "memory holds 1 run at a time" in ends[""].line


@pytest.mark.slow
def test_memory_may_end_where_a_run_begins(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Path] = []

    def handed(file: Path, device: torch.device) -> Any:
        begun.append(file)
        if len(begun) == 2:
            raise torch.OutOfMemoryError("no memory")
        return side_by_side.handed(file, device)

    monkeypatch.setattr("maskmixadv.bench.several.handed", handed)
    ends = made([job(corpus, "a"), job(corpus, "b", size=64)])
    assert {name: end.code for name, end in ends.items()} == {"a": 0, "b": 0, "": 0}
    assert ends[""].line == "memory holds 1 run at a time; b waits for them"


def test_memory_that_holds_no_run_fails_it(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(_: Going) -> None:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(Going, "advance", no_memory)
    ends = made([job(corpus, "a")])
    assert (ends["a"].code, ends["a"].reason) == (1, "torch.OutOfMemoryError: no memory")


def test_runs_of_the_same_slices_share_them(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def handed(file: Path, device: torch.device) -> Any:
        read.append(file)
        return side_by_side.handed(file, device)

    monkeypatch.setattr("maskmixadv.bench.several.handed", handed)
    made([job(corpus, "a"), job(corpus, "b"), job(corpus, "c", size=64)], most=3)
    assert len(read) == 2


def test_a_process_that_dies_ends_its_runs(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: Any, _: Job) -> None:
        begin(self, _)
        self._process.kill()

    begin = workers._Beside._begin
    monkeypatch.setattr(workers._Beside, "_begin", killed)
    failed = make([job(corpus, "a"), job(corpus, "b")], Together(["cpu"], 2))
    assert {each.identity: outcome.code for each, outcome in failed.items()}.keys() == {"a", "b"}
    assert all(outcome.code for outcome in failed.values())


@pytest.mark.slow
def test_closing_saves_what_is_in_training(corpus: Path) -> None:
    together = Together(["cpu"], 2)
    long = job(corpus, "long", steps=100_000)
    end = together.submit(long)
    waiting = threading.Event()
    while not end.done() and not (long.run / "log.csv").is_file():
        waiting.wait(0.1)
    together.close()
    assert end.result() == Outcome(INTERRUPTED, "interrupted and saved")
    assert stored(long.run / "last.pt", CPU)["step"] > 0
    shutil.rmtree(long.run)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--together", "0"], "together: 0, allowed is 1 or more"),
        (["--together", "2", "--jobs", "2"], "jobs, together: 2, 2, one of them must be 1"),
        (["--together", "2", "--engine", "ray"], "together: 2, allowed on a Ray cluster is 1"),
    ],
)
def test_what_does_not_go_together(
    words: list[str], told: str, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("two.toml").write_text(TABLE.format(corpus=corpus))
    assert run(["bench", "two.toml", *words]) == 2
    assert told in capsys.readouterr().err


def test_runs_train_together_by_default_on_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (at_once([None], 1), at_once(["cuda:0", "cuda:1"], 1)) == (12, 12)
    assert (at_once(["cuda:0"], 2), at_once(["cuda:0", "cpu"], 1), at_once(["cpu"], 1)) == (1, 1, 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert at_once([None], 1) == 1
    with pytest.raises(InputError, match="'cuda:0' is not there"):
        Together(["cuda:0"], 12)
