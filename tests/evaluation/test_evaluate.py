"""An evaluation from its run to its files."""

import csv
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry, Split
from maskmixadv.errors import InputError
from maskmixadv.evaluation import report
from maskmixadv.evaluation.elsewhere import another
from maskmixadv.evaluation.evaluate import CasePredictor, evaluate, score_cases, tell_unpaired
from maskmixadv.inference.predictor import Predictor
from maskmixadv.metrics import clinical
from maskmixadv.metrics.clinical import CaseVolumes
from maskmixadv.networks.unet import UNet
from maskmixadv.runs.origin import LearntFrom, corpus_fields
from maskmixadv.runs.run import Run
from maskmixadv.sampling.grid import Grid
from maskmixadv.sources.phantoms import phantom
from scored import CLASSES, NOMINAL, case, shifted


def test_evaluate_writes_its_files(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = evaluate(run, flips=True)
    out = run / "evaluation-test"
    assert sorted(path.name for path in out.iterdir()) == [
        "clinical.csv",
        "report.html",
        "scores.csv",
        "summary.json",
        "volumes.csv",
    ]
    lines = list(csv.DictReader((out / "scores.csv").open()))
    assert [line["case"] for line in lines] == ["p01_a", "p01_a", "p02_a", "p02_a", "p03_a", "p03_a"]
    stored = json.loads((out / "summary.json").read_text())
    assert stored["classes"]["LV"]["dice"]["mean"] == pytest.approx(np.mean([14 / 16, 12 / 16, 10 / 16]))
    assert stored["classes"]["R<V>"]["hd95"]["undefined"] == ["p03_a"]
    assert (summary.cases, stored["cases"], stored["spacing"]) == (3, 3, "nominal")
    assert (stored["provenance"]["seed"], stored["provenance"]["method"]) == (7, {"name": "pce"})
    evaluation = stored["provenance"]["evaluation"]
    assert (evaluation["commit"], evaluation["split"], evaluation["flips"]) == ("c0ffee", "test", True)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert told[0].startswith("1/3 p01_a Dice 0.875")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_case_is_predicted_once_and_shown_as_it_was(run: Path, monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    predictor: Any = Predictor.load(run, None)
    labels, made, shown = predictor.labels, [], []

    def counted(image: np.ndarray, *options: Any, **how: Any) -> np.ndarray:
        made.append(torch.get_num_threads())
        return labels(image, *options, **how)

    predictor.labels = counted
    monkeypatch.setattr(report, "render", lambda *_, examples, **__: shown.extend(examples) or "")
    before = torch.get_num_threads()
    evaluate(run, jobs=jobs)
    assert made == [max(1, before // jobs)] * 3
    assert torch.get_num_threads() == before
    for each in shown:
        np.testing.assert_array_equal(each.predicted, shifted(each.case))
    assert len(shown) == 3


@pytest.mark.parametrize(("kind", "most"), [("cpu", 3), ("cuda", 1)])
def test_a_gpu_predicts_one_case_at_a_time(kind: str, most: int) -> None:
    inside, seen = [], []

    def labels(image: np.ndarray, *_: Any, **__: Any) -> np.ndarray:
        inside.append(1)
        time.sleep(0.02)
        seen.append(len(inside))
        inside.pop()
        return np.zeros(image.shape[1:], np.uint8)

    net = SimpleNamespace(parameters=lambda: iter([SimpleNamespace(device=torch.device(kind))]))
    stub: Any = SimpleNamespace(labels=labels, net=net)
    predictor = CasePredictor(stub, 3, flips=False, largest=False)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(predictor.predict, [case(number) for number in range(6)]))
    assert max(seen) <= most


@pytest.mark.usefixtures("plain")
def test_evaluate_twice_and_elsewhere(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    evaluate(run, split="train", out=out)
    evaluate(run, split="test", out=out)
    assert "p01_a" in (out / "scores.csv").read_text()
    assert "p00_a" not in (out / "scores.csv").read_text()


@pytest.mark.usefixtures("undrawn")
def test_scores_of_a_run_that_was_stopped_say_so(run: Path) -> None:
    """They looked as those of its end, once the line on the terminal was gone."""
    torch.save({"step": 4, "scored": {}}, run / "last.pt")
    evaluate(run)
    written = run / "evaluation-test"
    assert json.loads((written / "summary.json").read_text())["provenance"]["evaluation"]["step"] == 4
    steps = Run.open(run).schedule.steps
    assert f"of step 4 of {steps}: the training was not done" in (written / "report.html").read_text()


def other(root: Path, *, name: str = "Elsewhere", classes: tuple[str, ...] = CLASSES) -> Path:
    """A corpus of other patients than the run's."""
    cases = [replace(case(number + 5), name=f"q{number}", patient=f"q{number}") for number in (1, 3)]
    folds = {"own": (Split(train=("q3",), val=("q1",), test=()),)}
    return Corpus.write(root, cases, name=name, classes=classes, folds=folds, nominal=NOMINAL).root


@pytest.mark.usefixtures("plain")
def test_a_run_is_scored_on_another_corpus(run: Path, tmp_path: Path) -> None:
    summary = evaluate(run, split="val", corpus_root=other(tmp_path / "other"), out=tmp_path / "out")
    lines = list(csv.DictReader((tmp_path / "out" / "scores.csv").open()))
    assert {line["case"] for line in lines} == {"q1"}
    assert summary.provenance["evaluation"]["corpus"] == "Elsewhere"
    assert 0 < summary.mean.dice.mean < 1


def test_another_corpus_must_fit(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="classes background, A, B, C, allowed are"):
        evaluate(run, split="val", corpus_root=other(tmp_path / "more", classes=("background", "A", "B", "C")))
    with pytest.raises(InputError, match=r"all its patients are the run's own"):
        evaluate(run, split="val", corpus_root=tmp_path / "corpus")
    with pytest.raises(InputError, match=r"split 'test' .* allowed: train, val"):
        evaluate(run, corpus_root=other(tmp_path / "untested"))


def test_where_nothing_can_be_scored_no_split_is_offered(run: Path, tmp_path: Path) -> None:
    bare = Corpus.open(other(tmp_path / "bare"))
    cases = [replace(bare.load(entry), dense=None) for entry in bare.entries]
    without = Corpus.write(
        tmp_path / "without", cases, name="Bare", classes=CLASSES, folds=bare.folds, nominal=NOMINAL
    ).root
    with pytest.raises(InputError, match=r"split 'test' .* score against, nor has one of another split$"):
        evaluate(run, corpus_root=without)


@pytest.mark.usefixtures("plain")
def test_another_corpus_is_scored_into_a_folder_of_its_own(run: Path, tmp_path: Path) -> None:
    evaluate(run)
    before = (run / "evaluation-test" / "scores.csv").read_bytes()
    first = other(tmp_path / "one" / "site", name="Hearts")  # its name says nothing of whose patients they are
    evaluate(run, split="val", corpus_root=first)
    evaluate(run, split="val", corpus_root=first)
    assert "q1" in (run / "evaluation-site-val" / "scores.csv").read_text()
    assert (run / "evaluation-test" / "scores.csv").read_bytes() == before
    second = own_and_others(tmp_path / "two" / "site")
    with pytest.raises(InputError, match=r"evaluation-site-val: holds the evaluation of another corpus, Hearts"):
        evaluate(run, split="val", corpus_root=second)


def own_and_others(root: Path) -> Path:
    """A corpus of the run's name: a patient of its own, one of the same name, one whose strokes were drawn anew."""
    redrawn = replace(case(2), scribble=None)
    cases = [case(1), replace(case(8), patient="p00", name="p00_a"), redrawn]
    folds = {"own": (Split(train=(), val=("p00", "p01", "p02"), test=()),)}
    return Corpus.write(root, cases, name="Hearts", classes=CLASSES, folds=folds, nominal=NOMINAL).root


@pytest.mark.usefixtures("plain")
def test_the_runs_own_patients_are_left_out_by_content(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = evaluate(run, split="val", corpus_root=own_and_others(tmp_path / "site"))
    assert summary.cases == 1
    assert "2 patients are the run's own and left out: p01, p02\n" in capsys.readouterr().err
    # Without the run's corpus only names can tell.
    (tmp_path / "corpus").rename(tmp_path / "away")
    with pytest.raises(InputError, match="all its patients are the run's own"):
        evaluate(run, split="val", corpus_root=own_and_others(tmp_path / "again"))
    assert "corpus: a run learnt from it, and it is gone or has changed; its pat" in capsys.readouterr().err
    # Its own corpus is known by its content where it has another name and place.
    index = json.loads((tmp_path / "away" / "corpus.json").read_text())
    (tmp_path / "away" / "corpus.json").write_text(json.dumps({**index, "name": "Moved"}))
    with pytest.raises(InputError, match=r"run's own; put its corpus, or a link to where that is now, at .*corpus,"):
        evaluate(run, split="train", corpus_root=tmp_path / "away")


def test_an_evaluation_lands_on_no_file_of_others(run: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("scores.csv", "summary.json"):
        (mine / name).write_text("{}")
    with pytest.raises(InputError, match=r"scores\.csv: is there already, and not of an evaluation"):
        evaluate(run, out=mine)
    assert [path.read_text() for path in mine.iterdir()] == ["{}", "{}"]


@pytest.mark.usefixtures("plain")
def test_an_evaluation_lands_on_none_of_another_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was replaced without a line."""
    evaluate(run, split="train", out=tmp_path / "out")
    capsys.readouterr()
    moved = run.rename(tmp_path / "moved")
    evaluate(moved, out=tmp_path / "out")
    assert "its earlier evaluation will be replaced, of split train (now test)\n" in capsys.readouterr().err
    evaluate(moved, out=tmp_path / "out")
    assert "replaced" not in capsys.readouterr().err
    before = (tmp_path / "out" / "summary.json").read_bytes()
    record = json.loads((moved / "run.json").read_text())
    for other in ({"seed": 8}, {"command": "maskmixadv train corpus --out another"}):
        (moved / "run.json").write_text(json.dumps({**record, **other}))
        with pytest.raises(InputError, match=r"out: holds the evaluation of another run \(maskmixadv train corpus"):
            evaluate(moved, out=tmp_path / "out")
    assert (tmp_path / "out" / "summary.json").read_bytes() == before


@pytest.mark.usefixtures("undrawn")
def test_evaluations_that_end_in_one_folder_at_once_are_told(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The later one replaced the other without a line, also that of another run."""
    evaluate(run, out=tmp_path / "first")
    told = json.loads((tmp_path / "first" / "summary.json").read_text())
    capsys.readouterr()

    def render(*_: object, **__: object) -> str:
        (tmp_path / "out").mkdir(exist_ok=True)  # the other one made it
        (tmp_path / "out" / "summary.json").write_text(json.dumps(told))
        return ""

    monkeypatch.setattr("maskmixadv.evaluation.report.render", render)
    evaluate(run, out=tmp_path / "out")
    assert "out: another evaluation has ended there meanwhile, and is replaced\n" in capsys.readouterr().err
    told["provenance"]["seed"] = 8
    with pytest.raises(InputError, match="holds the evaluation of another run"):
        evaluate(run, out=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == told


@pytest.mark.usefixtures("plain")
def test_an_evaluation_lands_not_among_images(run: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.nii.gz").touch()
    with pytest.raises(InputError, match=r"images: holds a\.nii\.gz, an image, .*; name another directory by --out"):
        evaluate(run, split="train", out=images)
    assert [path.name for path in images.iterdir()] == ["a.nii.gz"]
    # What somebody put beside an evaluation stays there.
    evaluate(run, split="train", out=run / "out")
    (run / "out" / "figure.png").touch()
    evaluate(run, split="train", out=run / "out")


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("full_at", [1, 3])
def test_an_evaluations_files_come_together(run: Path, monkeypatch: pytest.MonkeyPatch, full_at: int) -> None:
    evaluate(run, split="train", out=run / "out")
    before = {path.name: path.read_bytes() for path in (run / "out").iterdir()}
    synced: list[int] = []

    def fsync(number: int) -> None:
        synced.append(number)
        if len(synced) == full_at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(InputError, match="can't be written"):
        evaluate(run, split="test", out=run / "out")
    assert {path.name: path.read_bytes() for path in (run / "out").iterdir()} == before


def test_an_evaluation_that_fails_leaves_no_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_: Corpus, __: Entry) -> Case:
        assert not out.parent.exists()  # nor does one that is killed
        raise InputError("a: no such file")

    out = run / "new" / "out"
    monkeypatch.setattr(Corpus, "load", stopped)
    with pytest.raises(InputError, match="no such file"):
        evaluate(run, split="train", out=out)
    assert not out.parent.exists()
    (run / "file").touch()
    with pytest.raises(InputError, match="file/out: can't be made a directory"):
        evaluate(run, split="train", out=run / "file" / "out")


def test_a_case_that_is_gone_costs_its_picture_alone(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load, seen = Corpus.load, set[str]()

    def gone(corpus: Corpus, entry: Entry) -> Case:
        if entry.name in seen:
            raise InputError(f"{entry.name}: no such file")
        seen.add(entry.name)
        return load(corpus, entry)

    monkeypatch.setattr(Corpus, "load", gone)
    evaluate(run, split="train", out=tmp_path / "out")
    assert "; the report is without its picture" in capsys.readouterr().err
    assert (tmp_path / "out" / "scores.csv").is_file()


def test_evaluate_refuses(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "run.json").read_text())

    def change(**corpus: str) -> None:
        (run / "run.json").write_text(json.dumps({**record, "corpus": {**record["corpus"], **corpus}}))

    with pytest.raises(InputError, match="not a run"):
        evaluate(tmp_path)
    with pytest.raises(InputError, match=r"split 'val' .* allowed: train, test"):
        evaluate(run, split="val")
    with pytest.raises(InputError, match="jobs: 0"):
        evaluate(run, jobs=0)
    with pytest.raises(InputError, match="can't be made a directory"):
        evaluate(run, out=run / "run.json")
    change(hash="0" * 64)
    with pytest.raises(InputError, match="has changed since"):
        evaluate(run)
    change(root=str(tmp_path / "gone"))
    with pytest.raises(InputError, match="not a corpus"):
        evaluate(run)
    for text in ("{", "[]", "{}", '{"corpus": {"root": "x"}}'):
        (run / "run.json").write_text(text)
        with pytest.raises(InputError, match=r"run\.json: malformed"):
            evaluate(run)
    assert not (run / "evaluation-test").exists()


@pytest.mark.parametrize("millimetres", [1.5e-3, 1.5e3])
def test_a_case_whose_spacing_is_in_another_unit_is_named(millimetres: float) -> None:
    on_mm = Predictor(UNet(1, 4), Grid(64, 1.5), CLASSES)
    predictor = CasePredictor(on_mm, 1, flips=False, largest=None)
    with pytest.raises(InputError, match=r"^far: pixels of .* correct the unit"):
        predictor.predict(replace(case(1), name="far", spacing=(8.0, millimetres, millimetres)))


@pytest.mark.parametrize("jobs", [1, 3])
def test_rows_come_in_order_and_say_whose_spacing_it_is(jobs: int) -> None:
    cases = [case(0), case(1, spacing=(5.0, 2.0, 2.0)), case(2), case(4)]
    with ThreadPoolExecutor(jobs) as pool:
        found = list(score_cases(cases, shifted, pool, ahead=jobs, classes=CLASSES, nominal=NOMINAL))
    assert [[each.score.class_name for each in of] for of in found] == [["R<V>", "LV"]] * 4
    assert [of[0].case for of in found] == ["p00_a", "p01_a", "p02_a", "p04_a"]
    assert [of[0].source for of in found] == ["nominal", "known", "nominal", "nominal"]
    assert [of[0].score.hd95_max for of in found] == pytest.approx([0, 2, 2, 4])
    assert found[1][1].score.truth_ml == pytest.approx(3 * 10 * 8 * 20 / 1000)


def test_cases_are_taken_one_by_one() -> None:
    taken = []

    def cases() -> Iterator[Case]:
        for number in range(20):
            taken.append(number)
            yield case(number % 3)

    with ThreadPoolExecutor(2) as pool:
        next(score_cases(cases(), shifted, pool, ahead=2, classes=CLASSES, nominal=NOMINAL))
    assert len(taken) <= 3


def test_patients_of_the_run_that_a_network_began_with_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = (phantom.prepare(tmp_path / f"{seed}", cases=6, size=64, seed=seed) for seed in (0, 1))
    own, before = (LearntFrom(**corpus_fields(each), **each.split("paper", 1)._asdict()) for each in (here, there))
    _, patients = another(there.root, own, [before])
    assert (patients.train, patients.val, patients.test) == ((), (), before.test)
    assert "2 patients are the run's own and left out: phantom001, phantom002" in capsys.readouterr().err


def test_a_case_that_the_grid_cannot_show_is_named_before_any_is_predicted(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended an evaluation in the middle, and nothing of it was kept."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("predicted")

    monkeypatch.setattr(Predictor, "load", never)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "grid": {"size": 32, "mm": 1.5}}))
    with pytest.raises(InputError, match="p01_a: image has no voxel spacing, and the grid is in mm"):
        evaluate(run)


def test_patients_with_several_cases_of_a_phase_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    cases = {"a_x": "ED", "a_y": "ED", "a_z": "ES", "b_ED": "ED", "b_ES": "ES", "c_ED": "ED"}
    volumes = [CaseVolumes(case, case[0], phase, "ml", {"LV": 100.0}, {}) for case, phase in cases.items()]
    tell_unpaired(Path("run"), volumes, clinical.records(volumes))
    told = capsys.readouterr().err
    assert told.startswith("run: a: several cases of one phase, or volumes in two units, so no ejection fraction;")
    assert told.count("\n") == 1
