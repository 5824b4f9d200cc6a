"""Rows of a table are compared case by case, so they must be scored on the same cases against the same masks."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from maskmixadv.bench.cells import Cell, cells
from maskmixadv.bench.filed import CellRecord
from maskmixadv.bench.table import read
from maskmixadv.cli.app import run
from maskmixadv.sources.making import make_phantoms

TABLE = """
title = "Two corpora"
reference = "One"
folds = [1]
preset = "cpu"

[[rows]]
name = "One"
method = "pce"
corpus = "one"

[[rows]]
name = "Other"
method = "pce"
corpus = "other"
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.toml").write_text(TABLE)
    return tmp_path / "two.toml"


def test_cases_of_one_name_that_are_others_are_refused(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Phantoms of two seeds have the same names, and their differences were tested as if they were pairs."""
    for seed, name in enumerate(("one", "other")):
        make_phantoms(name, cases=6, size=64, seed=seed)
    assert run(["bench", table.name, "--dry"]) == 2
    told = capsys.readouterr().err
    assert "two.toml: row 'Other': is scored on other cases than 'One', with which it is compared case by case" in told
    assert "phantom000_ED is 9 × 58 × 63 voxels" in told
    assert "in one 6 × 60 × 56 voxels" in told
    assert run(["bench", table.name, "--dry", "--only", "One"]) == 2, "the table has both rows"


def test_another_corpus_of_the_same_cases_is_compared(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_phantoms("one", cases=6, size=64)
    assert run(["annotate", "scribbles", "one", "--out", "other"]) == 0
    assert run(["bench", table.name, "--dry"]) == 0
    assert "other" in capsys.readouterr().out


def test_rows_that_ask_for_the_same_runs_are_named(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their difference is 0 and their p is 1, by which others are corrected, too."""
    make_phantoms("one", cases=6, size=64)
    table.write_text(TABLE.replace('corpus = "other"', 'corpus = "one"'))
    assert run(["bench", table.name, "--dry"]) == 0
    assert "two.toml: row 'Other': asks for the same runs as 'One'; they are made once" in capsys.readouterr().err
    table.write_text(TABLE.replace('corpus = "other"', 'corpus = "one"\nenclosure = true'))
    assert run(["bench", table.name, "--dry"]) == 0
    assert "same runs" not in capsys.readouterr().err


def test_a_table_does_not_write_over_another_one(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "other"):
        make_phantoms(name, cases=6, size=64)
    (table.parent / "out").mkdir()
    (table.parent / "out" / "table.md").write_text("# Hearts\n\n3 of 4 runs are done: 2 rows\n")
    assert run(["bench", table.name, "--dry", "--out", "out"]) == 2
    assert "out/table.md: is of a table with another title, 'Hearts'; name another directory" in capsys.readouterr().err
    (table.parent / "out" / "table.md").write_text("# Two corpora\n\n3 of 4 runs are done: 2 rows\n")
    assert run(["bench", table.name, "--dry", "--out", "out"]) == 0


def test_scores_by_other_spacings_are_not_used(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Distances are in mm: seen where slices were said to be closer together when they were scored."""
    make_phantoms("one", cases=6, size=64)
    table.write_text(TABLE.split('[[rows]]\nname = "Other"')[0])

    def only() -> Cell:
        (cell,) = cells(read(table), lambda _: pytest.fail("no corpus is missing"), out=Path("out"), runs=Path("runs"))
        return cell

    cell = only()
    job, begun = cell.job, cell.job.recipe.begin(Path("begun"))
    cell.folder.mkdir(parents=True)
    record = CellRecord(job.identity, "test", steps=100, seconds=9.0, peak_mib=300.0, gpu_peak_mib=0.0)
    (cell.folder / "bench.json").write_text(json.dumps(asdict(record)))
    (cell.folder / "run.json").write_text(json.dumps(begun.published()))
    assert job.done
    index = json.loads(Path("one/corpus.json").read_text())
    for case in index["cases"]:
        case["spacing"][0] *= 1.5
    Path("one/corpus.json").write_text(json.dumps(index))
    thinner = only().job
    assert (thinner.identity, thinner.done) == (job.identity, False)
    early = json.dumps(replace(begun, learnt_from=replace(begun.learnt_from, grids="")).published())
    (cell.folder / "run.json").write_text(early)
    assert thinner.done, "an early version's run does not say"
    assumed = {**thinner.grids, "corpus nominal": str([8.0, 1.5, 1.5])}
    before = replace(begun.learnt_from, grids="", nominal=(1.0, 1.0, 1.0))
    (cell.folder / "run.json").write_text(json.dumps(replace(begun, learnt_from=before).published()))
    assert not replace(thinner, grids=assumed).done, "another spacing is assumed"
    job.run.parent.mkdir()
    Path("begun").rename(job.run)
    assert run(["bench", table.name, "--dry", "--out", "out", "--runs", "runs"]) == 2
    assert "was begun when one had other spacings or patients; delete it" in capsys.readouterr().err
