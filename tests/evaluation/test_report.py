"""Scores, their summary, the evaluation's files, and the pictures in its report."""

import base64
import csv
import io
import json
import math
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from maskmixadv import pictures
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.errors import InputError
from maskmixadv.evaluation import charts, report
from maskmixadv.evaluation.evaluate import CasePredictor, evaluate, score_cases
from maskmixadv.inference.predictor import Predictor
from maskmixadv.methods import PCE
from maskmixadv.metrics import scores
from maskmixadv.metrics.masks import Score
from maskmixadv.metrics.scores import CaseScore
from maskmixadv.runs.origin import Facts, LearntFrom, named
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import Schedule
from maskmixadv.sampling.grid import Grid
from maskmixadv.types import IGNORE

CLASSES = ("background", "R<V>", "LV")
NOMINAL = (10.0, 1.0, 1.0)


def case(number: int, *, spacing: tuple[float, float, float] | None = None, dense: bool = True) -> Case:
    rng = np.random.default_rng(number)
    labels = np.zeros((5, 40, 32), dtype=np.uint8)
    labels[1:4, 10:20, 8:16] = 1
    labels[1:4, 12:22, 16:24] = 2
    scribble = np.full_like(labels, IGNORE)
    scribble[:, 5, 5:25] = 0
    scribble[1:4, 15, 9:15] = 1
    return Case(
        name=f"p{number:02}_a",
        patient=f"p{number:02}",
        image=np.clip(labels / 3 + rng.uniform(0, 0.3, labels.shape), 0, 1).astype(np.float32),
        scribble=scribble,
        dense=labels if dense else None,
        spacing=spacing,
        phase="ED",
        group="NOR",
    )


def shifted(of: Case) -> np.ndarray:
    """Predict the truth moved aside by the case's number; case 3 lacks the first class."""
    assert of.dense is not None
    number = int(of.patient[1:])
    labels = np.roll(of.dense, number, axis=2)
    return np.where(labels == 1, 0, labels).astype(np.uint8) if number == 3 else labels


def row(name: str, class_name: str, dice: float, hd95: float, *, ml: tuple[float, float] = (1.0, 1.0)) -> CaseScore:
    return CaseScore(name, name, "", "", Score(class_name, dice, hd95, 2 * hd95, hd95 / 2, *ml), "known")


# Scores and summary


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


def test_a_case_without_truth_is_not_scored() -> None:
    with pytest.raises(ValueError, match="no dense mask"):
        scores.rows(case(0, dense=False), shifted(case(0)), classes=CLASSES, nominal=NOMINAL)


def test_summary_by_hand() -> None:
    rows = [
        row("a", "RV", 0.9, 2.0, ml=(10.0, 12.0)),
        row("a", "LV", 0.7, 4.0),
        row("b", "RV", 0.0, math.nan, ml=(10.0, 0.0)),
        row("b", "LV", 0.5, 8.0),
    ]
    summary = scores.summarise(rows, {})
    rv, lv = summary.classes["RV"], summary.classes["LV"]
    assert (summary.cases, summary.spacing, tuple(summary.results)) == (2, "known", ("RV", "LV", "mean"))
    assert (rv.dice.mean, rv.dice.std, rv.dice.median) == pytest.approx((0.45, 0.45, 0.45))
    assert (rv.hd95.mean, rv.hd95.std, rv.hd95.undefined) == (2.0, 0.0, ("b",))
    assert (lv.hd95.mean, lv.hd95.std, lv.hd95.undefined) == (6.0, 2.0, ())
    assert (lv.hd95_max.mean, lv.assd.mean) == (12.0, 3.0)
    assert rv.volume_ratio == pytest.approx(12 / 20)
    # The cases' averages: Dice .8 and .25; HD95 3 and, of the one class that has it, 8.
    assert (summary.mean.dice.mean, summary.mean.dice.std) == pytest.approx((0.525, 0.275))
    assert (summary.mean.hd95.mean, summary.mean.hd95.undefined) == (5.5, ("b",))
    assert summary.mean.volume_ratio == pytest.approx(14 / 22)
    assert (rv.cases_with_it, rv.no_distance, summary.mean.no_distance) == (2, ("b",), ("b",))
    assert rv.both_empty_perfect["dice"] == rv.dice


def rare(name: str, *, found: bool = False, there: bool = False) -> list[CaseScore]:
    """One common class, and one that may be in truth or prediction."""
    dice, hd95 = (0.8, 2.0) if found and there else (0.0 if found or there else math.nan, math.nan)
    return [row(name, "LV", 0.6, 4.0), row(name, "rare", dice, hd95, ml=(float(there), float(found)))]


def test_a_class_that_few_cases_have_is_scored_on_them() -> None:
    rows = [*rare("a", there=True), *(each for name in "bcdef" for each in rare(name))]
    summary = scores.summarise(rows, {})
    result = summary.classes["rare"]
    assert (result.dice.mean, result.dice.undefined, result.cases_with_it) == (0, tuple("bcdef"), 1)
    assert math.isnan(result.hd95.mean)
    assert result.no_distance == ("a",)
    perfect = result.both_empty_perfect
    assert (perfect["dice"].mean, perfect["hd95"].mean) == (pytest.approx(5 / 6), 0)
    assert summary.mean.dice.mean == pytest.approx((0.3 + 5 * 0.6) / 6)
    assert summary.mean.both_empty_perfect["dice"].mean == pytest.approx((0.3 + 5 * 0.8) / 6)
    told = str(summary).splitlines()
    assert told[0].split() == ["class", "n", "Dice", "HD95", "ASSD", "no", "distance", "Dice,", "empty=1"]
    assert told[2].split() == ["rare", "1", "0.000", "±", "0.000", "nan", "±", "nan", "nan", "±", "nan", "1", "0.833"]
    assert json.loads(summary.json())["classes"]["rare"]["both_empty_perfect"]["dice"]["mean"] == pytest.approx(5 / 6)
    # A false find is a score, too.
    summary = scores.summarise([*rows, *rare("g", found=True)], {})
    assert (summary.classes["rare"].dice.undefined, summary.classes["rare"].cases_with_it) == (tuple("bcdef"), 1)
    assert summary.classes["rare"].no_distance == ("a", "g")


def test_scores_of_the_time_when_empty_was_perfect_are_read_as_now(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(
        "case,patient,group,phase,class,dice,hd95,hd95_max,assd,truth_ml,predicted_ml,spacing\n"
        "a,a,,,LV,1,0,0,0,0,0,known\n"
        "b,b,,,LV,1,0,0,0,2.5,2.5,known\n"
    )
    summary = scores.summarise(scores.read(path), {})
    assert (summary.classes["LV"].dice.undefined, summary.classes["LV"].hd95.mean) == (("a",), 0)


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "a,a,,,LV,1,0,0,0,1,1,known\nb,b,,,RV,1,0,0,0,1,1,known\n",
        "a,a,,,LV,1,0,0,0,1,1,known\na,a,,,LV,1,0,0,0,1,1,known\n",
        "a,a,,,LV,1,0,0,0,1,1,inches\n",
        "a,a,,,LV,one,0,0,0,1,1,known\n",
    ],
)
def test_a_table_that_is_not_whole_is_refused(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(scores.table([]) + lines)
    with pytest.raises(InputError, match=r"scores\.csv: not a table of scores"):
        scores.read(path)


def test_names_in_tables_are_text_and_come_back(tmp_path: Path) -> None:
    path, name = tmp_path / "scores.csv", "=cmd|' C calc'!A0"
    path.write_text(scores.table([row(name, "@SUM(A1)", 0.5, 1.0)]))
    cells = [cell for line in csv.reader(path.open(newline="")) for cell in line]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@")]
    (back,) = scores.read(path)
    assert (back.case, back.score.class_name) == (name, "@SUM(A1)")


def test_mean_dice_is_that_of_the_summary() -> None:
    cases = [case(number) for number in range(5)]
    assert cases[4].dense is not None
    dense = cases[4].dense.copy()
    dense[:2] = IGNORE
    dense[dense == 1] = 0
    cases[4] = replace(cases[4], dense=dense)
    labels = [shifted(each) for each in cases[:4]] + [np.where(dense == 2, dense, 0).astype(np.uint8)]
    labels[4][0] = 1  # where nothing is known
    rows = [each for of, made in zip(cases, labels, strict=True)
            for each in scores.rows(of, made, classes=CLASSES, nominal=NOMINAL)]  # fmt: skip
    expected = scores.summarise(rows, {}).mean.dice.mean
    assert scores.mean_dice([*cases, case(5, dense=False)], [*labels, labels[0]], CLASSES) == expected
    assert 0.5 < expected < 1
    assert math.isnan(scores.mean_dice([], [], CLASSES))


def test_what_is_nowhere_defined_is_null() -> None:
    rows = [row("a", "RV", 0.0, math.nan, ml=(0.0, 3.0))]
    summary = scores.summarise([*rows, rows[0]._replace(case="b", source="nominal")], {"seed": 1})
    stored = json.loads(summary.json())
    assert summary.spacing == stored["spacing"] == "mixed"
    assert stored["classes"]["RV"]["hd95"] == {
        "mean": None,
        "std": None,
        "median": None,
        "undefined": ["a", "b"],
    }
    assert stored["mean"]["volume_ratio"] is None
    assert stored["provenance"] == {"seed": 1}
    assert "nan" in str(summary)


def test_table_has_a_line_for_each_case_and_class() -> None:
    text = scores.table([row("a", "RV", 0.9, 2.0), row("a", "LV", 0.0, math.nan)])
    lines = list(csv.DictReader(io.StringIO(text)))
    assert list(lines[0]) == [
        *("case", "patient", "group", "phase", "class"),
        *("dice", "hd95", "hd95_max", "assd", "truth_ml", "predicted_ml", "spacing"),
    ]
    assert (lines[0]["class"], lines[0]["dice"], lines[0]["hd95_max"]) == ("RV", "0.9", "4")
    assert (lines[1]["class"], lines[1]["hd95"], lines[1]["spacing"]) == ("LV", "nan", "known")


def test_best_median_and_worst() -> None:
    dices = {"a": 0.5, "b": 0.9, "c": 0.1, "d": 0.7, "e": 0.3}
    ranked = scores.ranked([row(name, "RV", dice, 0.0) for name, dice in dices.items()])
    assert [name for name, _ in ranked] == ["c", "e", "a", "d", "b"]
    assert report.telling(ranked) == [("best", "b", 0.9), ("median", "a", 0.5), ("worst", "c", 0.1)]
    assert [title for title, _, _ in report.telling(ranked[:2])] == ["best", "worst"]
    assert [title for title, _, _ in report.telling(ranked[:1])] == ["best"]


# The command


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a run over a corpus of six cases; its network is `shifted`, its test patients are 1, 2 and 3."""
    split = Split(train=("p00",), val=("p05",), test=("p01", "p02", "p03"))
    cases = [*(case(number) for number in range(5)), case(5, dense=False)]
    corpus = Corpus.write(
        tmp_path / "corpus", cases, name="Hearts", classes=CLASSES, folds={"paper": (split,)}, nominal=NOMINAL
    )
    directory = tmp_path / "run"
    made = Run(
        root=directory,
        learnt_from=LearntFrom(**named(corpus), scheme="paper", fold=1, **split._asdict()),
        prior_from=None,
        method=PCE(),
        schedule=Schedule(),
        grid=Grid(32),
        enclosure=False,
        seed=7,
        facts=Facts(preset=None, command="maskmixadv train corpus --out run", commit="abc", device="cpu", versions={}),
    )
    made.create()
    log = [
        "step,seconds,lr,net/dpce,val/dice",
        *(f"{k},{k}.5,0.1,{1 / k},{'.5' if k == 9 else ''}" for k in range(1, 10)),
    ]
    (directory / "log.csv").write_text("\n".join(log))
    of = {np.asarray(each.image).tobytes(): each for each in (*cases, *(case(number) for number in range(5, 9)))}
    predictor = SimpleNamespace(
        labels=lambda image, _, **__: shifted(of[image.tobytes()]),
        averages=lambda flips: flips,
        net=SimpleNamespace(parameters=lambda: iter([SimpleNamespace(device=torch.device("cpu"))])),
    )
    monkeypatch.setattr("maskmixadv.inference.predictor.Predictor.load", lambda _, __: predictor)
    monkeypatch.setattr("maskmixadv.provenance.commit", lambda: "c0ffee")
    return directory


def test_evaluate_writes_its_files(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = evaluate(run, flips=True)
    out = run / "evaluation-test"
    assert sorted(path.name for path in out.iterdir()) == [
        "clinical.csv",
        "report.html",
        "scores.csv",
        "summary.json",
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
        return np.zeros(image.shape, np.uint8)

    net = SimpleNamespace(parameters=lambda: iter([SimpleNamespace(device=torch.device(kind))]))
    stub: Any = SimpleNamespace(labels=labels, net=net)
    predictor = CasePredictor(stub, 3, flips=False, largest=False)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(predictor.predict, [case(number) for number in range(6)]))
    assert max(seen) <= most


def test_evaluate_twice_and_elsewhere(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    evaluate(run, split="train", out=out)
    evaluate(run, split="test", out=out)
    assert "p01_a" in (out / "scores.csv").read_text()
    assert "p00_a" not in (out / "scores.csv").read_text()


def other(root: Path, *, name: str = "Elsewhere", classes: tuple[str, ...] = CLASSES) -> Path:
    """A corpus of other patients than the run's."""
    cases = [replace(case(number + 5), name=f"q{number}", patient=f"q{number}") for number in (1, 3)]
    folds = {"own": (Split(train=("q3",), val=("q1",), test=()),)}
    return Corpus.write(root, cases, name=name, classes=classes, folds=folds, nominal=NOMINAL).root


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


def test_an_evaluation_lands_on_no_file_of_others(run: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("scores.csv", "summary.json"):
        (mine / name).write_text("{}")
    with pytest.raises(InputError, match=r"scores\.csv: is there already, and not of an evaluation"):
        evaluate(run, out=mine)
    assert [path.read_text() for path in mine.iterdir()] == ["{}", "{}"]


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


# The report


class Page(HTMLParser):
    """Collects what a page would load, its titles and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_report_stands_alone_and_says_all(run: Path) -> None:
    evaluate(run)
    source = (run / "evaluation-test" / "report.html").read_text(encoding="ascii")
    page = Page()
    page.feed(source)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.loaded)
    assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", source)
    names = re.findall(r'\bid="([^"]+)"', source)
    assert len(names) == len(set(names))
    assert page.tags.count("svg") == 3
    assert page.tags.count("img") == 3
    for said in (
        "R<V>",
        "10 × 1 × 1 mm",
        "c0ffee",
        "maskmixadv train corpus --out run",
        "net/dpce",
        "val/dice",
    ):
        assert said in page.text
    for said in ("best: p01_a", "median: p02_a", "worst: p03_a", "No distance for R<V> in: p03_a."):
        assert said in page.text
    mean = json.loads((run / "evaluation-test" / "summary.json").read_text())["mean"]["dice"]["mean"]
    assert f"{mean:.3f}" in page.text


def test_report_of_known_spacing_without_a_log(tmp_path: Path) -> None:
    of = case(3, spacing=(5.0, 1.0, 1.0))
    found = scores.rows(of, shifted(of), classes=CLASSES, nominal=NOMINAL)
    rows = [each._replace(case=f"c{number:02}") for number in range(12) for each in found]
    split = {"train": [], "val": [], "test": ["p03"]}
    corpus = {"name": "Hearts", "hash": "0", "scheme": "paper", "fold": 1, **split}
    evaluation = {"command": "x", "commit": None, "device": "cpu", "date": "today", "split": "test"}
    summary = scores.summarise(rows, {"corpus": corpus, "evaluation": evaluation})
    source = report.render(summary, rows, classes=CLASSES, examples=[], log=tmp_path / "log.csv")
    assert "ominal" not in source
    assert "Learning curves" not in source
    assert "HD95 (mm)" in source
    assert "c08, c09 and 2 more, named in" in source


def test_log_is_read_without_empty_cells(run: Path) -> None:
    log = charts.logged_curves(run / "log.csv")
    assert list(log) == ["val/dice", "net/dpce"]
    assert log["val/dice"].tolist() == [[9], [0.5]]
    assert log["net/dpce"].shape == (2, 9)


def test_boxes_hold_each_class_without_undefined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "_svg", lambda figure, _: figure)
    rows = [
        *(row("a", "RV", 0.9, 2.0), row("a", "LV", 0.7, 4.0)),
        *(row("b", "RV", 0.0, math.nan), row("b", "LV", 0.5, 8.0)),
    ]
    figure: Any = charts.boxes(rows, ("background", "RV", "LV"))
    points = [[sorted(line.get_ydata()) for line in axes.lines if line.get_marker() == "."] for axes in figure.axes]
    assert points == [[[0.0, 0.9], [0.5, 0.7]], [[2.0], [4.0, 8.0]]]


def test_long_curves_are_thinned() -> None:
    steps = np.arange(20_000.0)
    assert len(charts.curves({"a": np.stack([steps, np.sin(steps)])})) < 40_000


# Pictures


def drawn(labels: np.ndarray | None, *, size: int = 40) -> np.ndarray:
    """Render a dark slice under `labels`, a pixel a pixel, as RGB in [0, 1]."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    figure = Figure(figsize=(size / 100, size / 100), dpi=100)
    pictures.overlay(figure.add_axes((0, 0, 1, 1)), np.zeros((size, size), dtype=np.float32), labels, CLASSES)
    return imread(io.BytesIO(pictures.png(figure)))[..., :3]


def test_overlay_colours_each_class() -> None:
    labels = np.zeros((40, 40), dtype=np.uint8)
    labels[:, 30:] = 2
    picture = drawn(labels)
    assert picture[:, :28].max() == 0
    red, green, blue = (int(pictures.palette(3)[2][at : at + 2], 16) / 255 for at in (1, 3, 5))
    assert picture[20, 36] == pytest.approx([0.3 * red, 0.3 * green, 0.3 * blue], abs=0.01)
    assert picture[10:30, 28:32].max() > 0.6  # the outline


def test_overlay_shows_background_strokes_alone() -> None:
    labels = np.full((40, 40), IGNORE, dtype=np.uint8)
    labels[:20, :20] = 0
    picture = drawn(labels)
    assert picture[10, 10].min() > 0.5
    assert picture[25:, 25:].max() == 0
    assert drawn(None).max() == 0


def test_palette_keeps_classes_apart() -> None:
    colours = pictures.palette(30)
    assert len(set(colours)) == 30
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in colours)


def test_surroundings() -> None:
    labels = np.zeros((3, 100, 80), dtype=np.uint8)
    labels[0, 40:60, 30:34] = 1
    labels[1, :, :] = IGNORE
    rows, columns = pictures.surroundings(labels, margin=0.5)
    assert (rows.start, rows.stop) == (29, 70)
    assert (columns.start, columns.stop) == (11, 52)
    labels[2, 0, 0] = 2
    assert pictures.surroundings(labels)[0].start == 0
    assert pictures.surroundings(np.zeros_like(labels)) == (slice(0, 100), slice(0, 80))


def test_contact_sheet_takes_slices_of_any_size(tmp_path: Path) -> None:
    from matplotlib.image import imread

    images = [np.zeros(shape, dtype=np.float32) for shape in ((20, 40), (60, 40))]
    labels = [np.ones(image.shape, dtype=np.uint8) for image in images]
    pictures.contact_sheet(tmp_path / "sheet.png", images, {"prediction": labels, "truth": labels}, CLASSES)
    high, wide = imread(tmp_path / "sheet.png").shape[:2]
    assert wide == 600
    assert 400 < high < 500
    with pytest.raises(InputError, match="can't be written"):
        pictures.contact_sheet(tmp_path / "no" / "sheet.png", images, {}, CLASSES)


def test_sheet_gives_each_slice_the_same_width() -> None:
    images = [np.zeros(shape, dtype=np.float32) for shape in ((20, 40), (60, 40))]
    figure = pictures.sheet(images, {}, CLASSES, rows=["first", "second"])
    figure.draw_without_rendering()
    first, second = (axes.get_position() for axes in figure.axes)
    assert first.width == pytest.approx(second.width, rel=0.02)
    assert [axes.get_ylabel() for axes in figure.axes] == ["first", "second"]


def test_report_pictures_show_each_label_map(run: Path) -> None:
    from matplotlib.image import imread

    evaluate(run)
    source = (run / "evaluation-test" / "report.html").read_text()
    worst = re.findall(r"data:image/png;base64,([^\"]+)", source)[-1]
    picture = imread(io.BytesIO(base64.b64decode(worst)))[:-50, 25:, :3]  # without legend and slice numbers
    colour = np.array([int(pictures.palette(3)[1][at : at + 2], 16) / 255 for at in (1, 3, 5)])
    drawn = np.abs(picture - colour).max(axis=2) < 0.15
    shown = [part.any() for part in np.array_split(drawn, 4, axis=1)]
    assert shown == [False, True, False, True]  # in scribble and truth; the prediction lacks this class
