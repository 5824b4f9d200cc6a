"""What a run records of its corpora and of its beginning, and what its log says: typed, and the same bytes as ever."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tiny
from maskmixadv.cli.app import run as command
from maskmixadv.corpus.masks import Masks
from maskmixadv.errors import InputError
from maskmixadv.evaluation.evaluate import evaluate
from maskmixadv.methods.pce import PCE
from maskmixadv.runs.course import course_text, read_course
from maskmixadv.runs.origin import LearntFrom, PriorFrom, corpus_record
from maskmixadv.runs.run import Run
from maskmixadv.training.begin import begin

COMMITTED = sorted((Path(__file__).parents[2] / "results").rglob("run.json"))
KEYS = ["corpus", "prior", "method", "schedule", "grid", "enclosure", "seed", "biases"]
KEYS += ["preset", "command", "commit", "device"]
CORPUS = ["root", "name", "hash", "classes", "scheme", "fold", "train", "val", "test"]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: str(path.parent.relative_to(path.parents[2])))
def test_old_runs_open_and_are_recorded_as_they_were(path: Path) -> None:
    raw, run = json.loads(path.read_text()), Run.open(path.parent)
    for key in ("corpus", "prior", "grid", "enclosure", "seed", "preset", "command", "commit", "device", "versions"):
        assert json.dumps(run.record()[key]) == json.dumps(raw[key])
    assert list(run.record()) == list(raw)


def test_a_run_is_written_as_it_is_read(tmp_path: Path) -> None:
    tiny.corpus(tmp_path / "corpus")
    run = begin(tmp_path / "corpus", tmp_path / "run", method=PCE(), schedule=tiny.SCHEDULE)
    text = (run.root / "run.json").read_text()
    written = json.loads(text)
    assert list(written) == [*KEYS, "versions"]
    assert list(written["corpus"]) == [*CORPUS[:4], "thickest", "grids", *CORPUS[4:]]
    assert written["command"] == "called from Python"
    opened = Run.open(run.root)
    assert opened.learnt_from == run.learnt_from
    assert json.dumps(opened.record(), indent=1) == text


def test_masks_that_teach_are_recorded(tmp_path: Path) -> None:
    tiny.corpus(tmp_path / "corpus")
    begun: dict[str, Any] = {"method": PCE(), "schedule": tiny.SCHEDULE, "masks": Masks("3", "slices")}
    run = begin(tmp_path / "corpus", tmp_path / "run", **begun)
    assert json.loads((run.root / "run.json").read_text())["masks"] == {"which": "3", "of": "slices"}
    assert Run.open(run.root).masks == run.masks
    assert "seed 0, masks: 3 slices" in str(run)
    (run.root / "run.json").write_text((run.root / "run.json").read_text().replace('"slices"', '"cases"'))
    with pytest.raises(InputError, match=r"run.json: malformed \(masks_of: 'cases', allowed are patients and slices"):
        Run.open(run.root)


def test_an_axis_is_recorded_where_it_is_not_the_first() -> None:
    whole = replace(tiny.LEARNT_FROM, scheme="paper", fold=2)
    assert list(whole.table()) == CORPUS
    turned = replace(whole, axis=2).table()
    assert list(turned) == [*CORPUS[:4], "axis", *CORPUS[4:]]
    assert corpus_record(LearntFrom, turned, "x").axis == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"axis": 3}, r"x: axis 3, allowed are 0, 1 and 2"),
        ({"classes": ["a"]}, r"x: 1 class,"),
        ({"cases": "a"}, r"x: cases: 'a', must be a list"),
        ({"train": ["a"]}, r"x: 'train' is unknown"),
        ({"hash": 1}, r"x: hash: 1, must be a text"),
    ],
)
def test_a_record_that_can_t_be_is_refused(change: dict[str, object], words: str) -> None:
    right = {"root": "r", "name": "n", "hash": "h", "classes": ["a", "b"], "cases": ["c"]}
    assert corpus_record(PriorFrom, right, "x").table() == right
    with pytest.raises(InputError, match=words):
        corpus_record(PriorFrom, {**right, **change}, "x")


@pytest.mark.slow
def test_the_command_line_is_recorded_whatever_else_runs(tmp_path: Path) -> None:
    tiny.corpus(tmp_path / "corpus")
    words = ["train", str(tmp_path / "corpus"), "--out", str(tmp_path / "run"), "--preset", "cpu", "--steps", "1"]
    words += ["--size", "48", "--window", "32", "--batch", "2", "pce"]
    assert command(words) == 0
    assert Run.open(tmp_path / "run").facts.command == " ".join(["maskmixadv", *words])
    words = ["evaluate", str(tmp_path / "run"), "--split", "val", "--out", str(tmp_path / "scores")]
    assert command(words) == 0
    told = json.loads((tmp_path / "scores" / "summary.json").read_text())["provenance"]["evaluation"]["command"]
    assert told == " ".join(["maskmixadv", *words])
    again = evaluate(tmp_path / "run", split="val", out=tmp_path / "scores")
    assert again.provenance["evaluation"]["command"] == "called from Python"


LOG = "step,seconds,lr,net/ce,val/dice\n20,1.5,0.003,0.812346,\n40,3.0,,,0.7\n"


def test_a_log_is_read_and_written_back(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    rows = read_course(path)
    assert [(row.step, row.seconds, dict(row.values)) for row in rows] == [
        (20, 1.5, {"lr": 0.003, "net/ce": 0.812346}),
        (40, 3.0, {"val/dice": 0.7}),
    ]
    assert course_text(rows) == LOG


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("4.5,1,,,", "step '4.5'"),
        ("60,x,,,", "seconds 'x', must be a number"),
        ("60,4,,x,", "net/ce 'x', must be a number"),
        ("60,,,,", "seconds are missing"),
        ("60,4,", "number of cells"),
    ],
)
def test_a_damaged_log_is_refused_or_read_in_part(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(LOG + line + "\n")
    with pytest.raises(InputError, match=words):
        read_course(path)
    assert [row.step for row in read_course(path, partial=True)] == [20, 40]
