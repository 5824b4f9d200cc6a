"""Tables as they are shown: of runs whose scores are made up."""

import csv
import dataclasses
import functools
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskmixadv.bench import paired, records
from maskmixadv.bench.cells import Cell, Job
from maskmixadv.bench.filed import CellRecord
from maskmixadv.bench.records import Finished
from maskmixadv.bench.render import render
from maskmixadv.bench.stats import Comparison
from maskmixadv.bench.table import Table, TableRow
from maskmixadv.errors import InputError
from maskmixadv.metrics import scores
from maskmixadv.metrics.masks import Score
from maskmixadv.runs.origin import Facts
from maskmixadv.runs.schedule import Changes
from maskmixadv.training.recipe import Recipe

GOLDEN = Path(__file__).with_name("golden.md")
HEARTS = ("RV", "LV")


def row(name: str, **changes: Any) -> TableRow:
    fields = {"method": "pce", "fields": {}, "corpus": Path("c"), "prior": None, "preset": "cpu", "enclosure": True}
    return TableRow(name=name, **{**fields, "published": {}, **changes})


ROWS = (
    row("Flag", method="maskmixadv", published={"dice": {"RV": 0.878, "LV": 0.923, "mean": 0.9}}),
    row("Plain", published={"dice": {"mean": 0.686}, "hd95": {"RV": 187.2, "LV": 167.7, "mean": 173.3}}),
    row("Later"),
)
TABLE = Table(
    name="t", title="Two rows", reference="Flag", split="test", scheme=None, folds=(1, 2), seeds=(0, 1),
    changes=Changes(steps=100), prepare={}, rows=ROWS,
)  # fmt: skip


def finished(name: str, fold: int, *, seed: int = 0, dice: float, cases: int = 6, hd95: float = 5.0) -> Finished:
    """A run whose Dice falls by .01 a case, and is .1 higher in LV."""
    made = next(each for each in ROWS if each.name == name)
    job = Job("abc", Recipe(Path("c"), {"name": "pce"}, "cpu"), Path("runs/x"), 100, "test", (Path("x"),))
    found = tuple(
        scores.CaseScore(
            f"p{fold}{number}", f"p{fold}{number}", "", "ED",
            Score(label, dice - 0.01 * number + 0.1 * k, hd95 + number, 9.0, 1.0, 10.0, 12.0), "nominal",
        )
        for number in range(cases)
        for k, label in enumerate(HEARTS)
    )  # fmt: skip
    record = CellRecord("abc", "test", steps=100, seconds=50.0, peak_mib=400.4, gpu_peak_mib=0.0)
    facts = Facts(
        preset="cpu", command="maskmixadv train …", commit="0123456789ab", device="CPU, 1 threads", versions={}
    )
    return Finished(Cell(made, fold, seed, Path("x"), job), record, facts, found)


FOUND = (
    finished("Flag", 1, dice=0.8, hd95=3.0),
    finished("Flag", 2, dice=0.78),
    finished("Plain", 1, dice=0.7),
    finished("Plain", 2, dice=0.72, hd95=math.nan),
)


@functools.cache
def compared() -> tuple[paired.Paired, ...]:
    """Of what was found; exact tests with ties take a second."""
    return paired.against_reference(TABLE, FOUND)


@functools.cache
def page() -> str:
    return render(TABLE, FOUND, compared())


def line(name: str, text: str, *, section: str = "Dice") -> list[str]:
    body = text.split(f"## {section}\n")[1].split("##")[0]
    return [cell.strip() for cell in next(x for x in body.splitlines() if x.startswith(f"| {name} |")).split("|")[1:-1]]


def test_two_rows_look_as_they_did() -> None:
    assert page() == GOLDEN.read_text()


def test_figures_by_hand() -> None:
    # Flag: fold 1 .80 … .75, fold 2 .78 … .73 in RV; Plain .70 … .65 and .72 … .67: differences -.10 and -.06.
    dice = line("Plain", page())
    values = [0.70 - 0.01 * k for k in range(6)] + [0.72 - 0.01 * k for k in range(6)]
    assert dice[:3] == ["Plain", "2/4", f"{np.mean(values):.3f} ± {np.std(values):.3f}*"]
    assert dice[4] == f"{np.mean(values) + 0.05:.3f} ± {np.std(values):.3f}"
    assert dice[5] == "1.20 / 1.20"
    assert dice[6].startswith("-0.080 [-0.0")
    assert dice[7] == "< 0.001"
    assert dice[8] == "– / – / 0.686"
    assert line("Flag", page())[6:] == ["–", "–", "0.878 / 0.923 / 0.900"]
    assert line("Later", page()) == ["Later", "0/4", *["–"] * 7]


def test_names_are_shown_as_they_are() -> None:
    name, other = "ce | *dice*", "<b>Plain</b> \\ `x`"
    rows = (dataclasses.replace(ROWS[0], name=name), dataclasses.replace(ROWS[1], name=other), ROWS[2])
    table = dataclasses.replace(TABLE, title="A <script>\n| B", reference=name, rows=rows)
    renamed = {"Flag": rows[0], "Plain": rows[1]}
    found = [
        dataclasses.replace(each, cell=dataclasses.replace(each.cell, row=renamed[each.cell.row.name]))
        for each in FOUND
    ]
    text = render(table, found, paired.against_reference(table, found))
    shown = {r"ce \| \*dice\*": "Flag", r"\<b>Plain\</b> \\ \`x\`": "Plain", r"A \<script> \| B": "Two rows"}
    for escaped, plain in shown.items():
        assert escaped in text
        text = text.replace(escaped, plain)
    assert text == page()


def test_undefined_distances_are_counted_and_left_out() -> None:
    distances = line("Plain", page(), section="HD95")
    assert distances[2] == f"{5 + 2.5:.1f} ± {np.std(range(6)):.1f}*"
    assert distances[5] == "12"
    (test,) = [t for t in compared() if (t.measure, t.column) == ("hd95", "mean")]
    assert test.comparison.n == 6
    assert test.comparison.difference == pytest.approx(2.0)


def without(each: Finished, label: str, *places: int) -> Finished:
    """Take a class from truth and prediction of some of a run's rows."""
    absent = {**dict.fromkeys(("dice", "hd95", "hd95_max", "assd"), math.nan), "truth_ml": 0.0, "predicted_ml": 0.0}
    rows = [
        row._replace(score=row.score._replace(**absent)) if row.score.class_name == label and at // 2 in places else row
        for at, row in enumerate(each.scores)
    ]
    return dataclasses.replace(each, scores=tuple(rows))


def test_absent_classes_are_left_out_of_means_and_pairs_and_counted() -> None:
    found = (without(FOUND[0], "RV", 0, 1), FOUND[1], without(FOUND[2], "RV", 0), FOUND[3])
    compared = paired.against_reference(TABLE, found)
    made = {(t.measure, t.column): t.comparison for t in compared}
    assert (made["dice", "RV"].n, made["dice", "LV"].n, made["dice", "mean"].n) == (10, 12, 12)
    assert made["dice", "RV"].difference == pytest.approx(-(4 * 0.1 + 6 * 0.06) / 10)
    text = render(TABLE, found, compared)
    assert "have no Dice and are left out of means and pairs: Flag 2, Plain 1." in text
    assert line("Flag", text, section="HD95")[5] == "0", "they are not missed"
    values = [0.8 - 0.01 * k for k in range(2, 6)] + [0.78 - 0.01 * k for k in range(6)]
    assert line("Flag", text)[2] == f"{np.mean(values):.3f} ± {np.std(values):.3f}"
    assert "have no Dice" not in page()


def test_means_are_compared_over_the_classes_that_both_rows_have() -> None:
    """By hand: rows differ by .1 in each class of fold 1, and by .06 in fold 2, whatever the classes' own levels."""
    found = (without(FOUND[0], "RV", 0, 1), FOUND[1], without(FOUND[2], "LV", 2), FOUND[3])
    compared = paired.against_reference(TABLE, found)
    (mean,) = [each for each in compared if (each.measure, each.column) == ("dice", "mean")]
    assert mean.comparison.difference == pytest.approx(-0.08)
    assert (mean.comparison.low, mean.comparison.n, mean.left_out) == (pytest.approx(-0.09, abs=5e-3), 12, 3)
    assert "pairs and their mean are without it: Plain 3 of Dice, Plain 15 of HD95." in render(TABLE, found, compared)
    assert csv_lines(paired.csv_text(compared))["Plain", "dice", "mean"]["left_out"] == "3"


def csv_lines(text: str) -> dict[tuple[str, str, str], dict[str, str]]:
    """Lines of ``tests.csv`` by row, measure and class."""
    return {(line["row"], line["measure"], line["class"]): line for line in csv.DictReader(io.StringIO(text))}


def test_pairs_are_by_case_and_class_whatever_their_order() -> None:
    turned = tuple(
        dataclasses.replace(each, scores=each.scores[::-1] if each.cell.row.name == "Plain" else each.scores)
        for each in FOUND
    )
    assert paired.csv_text(paired.against_reference(TABLE, turned)) == paired.csv_text(compared())


def phases(each: Finished, *, unknown: bool = False) -> Finished:
    """Make two volumes of one patient of each two cases."""
    rows = [row._replace(patient="" if unknown else f"{row.case[:-1]}{at // 4}") for at, row in enumerate(each.scores)]
    return dataclasses.replace(each, scores=tuple(rows))


def test_two_volumes_of_a_patient_count_as_one() -> None:
    """By hand: of three patients of fold 1, whose volumes differ by .1 and .3, by .1 and .3, and by .2 and .4."""
    flag, plain = finished("Flag", 1, dice=0.8), finished("Plain", 1, dice=0.8)
    more = (0.1, 0.3, 0.1, 0.3, 0.2, 0.4)
    rows = [
        row._replace(score=row.score._replace(dice=row.score.dice + more[at // 2]))
        for at, row in enumerate(plain.scores)
    ]
    plain = dataclasses.replace(plain, scores=tuple(rows))
    tests = paired.against_reference(TABLE, [phases(flag), phases(plain)])
    (test,) = [each.comparison for each in tests if (each.measure, each.column) == ("dice", "RV")]
    assert (test.n, test.p) == (3, 2 / 8)
    assert test.difference == pytest.approx((0.2 + 0.2 + 0.3) / 3)
    assert (test.low, test.high) == pytest.approx((0.2, 0.3)), "all resamples are of patients: .2, .2 and .3"
    tests = paired.against_reference(TABLE, [phases(flag, unknown=True), phases(plain, unknown=True)])
    assert tests[0].comparison.n == 6, "volumes of unknown patients are patients of their own"


def test_a_patients_volume_without_a_distance_leaves_the_other_one() -> None:
    flag, plain = (phases(finished(name, 1, dice=0.8)) for name in ("Flag", "Plain"))
    lost = plain.scores[0]._replace(score=plain.scores[0].score._replace(hd95=math.nan))
    both = [flag, dataclasses.replace(plain, scores=(lost, *plain.scores[1:]))]
    tests = {(each.measure, each.column): each.comparison for each in paired.against_reference(TABLE, both)}
    assert (tests["hd95", "RV"].n, tests["hd95", "RV"].difference) == (3, 0.0)


def test_only_runs_that_both_have_are_paired() -> None:
    found = paired.against_reference(TABLE, (*FOUND[:1], *FOUND[2:]))
    assert {test.comparison.n for test in found if test.measure == "dice"} == {6}


def test_a_missing_case_is_no_pair() -> None:
    with pytest.raises(InputError, match=r"'Plain' and 'Flag'.*fold1/p15 LV"):
        paired.against_reference(TABLE, (*FOUND[:2], finished("Plain", 1, dice=0.7, cases=5)))


def test_seeds_are_averaged_by_case_and_do_not_count_as_cases() -> None:
    both = [finished("Plain", 1, dice=0.7), finished("Plain", 1, seed=1, dice=0.74, hd95=math.nan)]
    rows = records.pooled(both)
    assert len(rows) == 12
    assert rows[0].case == "fold1/p10"
    assert rows[0].score.dice == pytest.approx(0.72)
    assert math.isnan(rows[0].score.hd95)
    flag = [finished("Flag", 1, dice=0.8), finished("Flag", 1, seed=1, dice=0.8)]
    assert paired.against_reference(TABLE, [*both, *flag])[0].comparison.n == 6


def test_nothing_done_yet_shows_what_was_published() -> None:
    text = render(TABLE, (), paired.against_reference(TABLE, ()))
    assert "0 of 12 runs" in text
    assert line("Flag", text)[-1] == "0.878 / 0.923 / 0.900"


def test_results_have_a_line_a_run() -> None:
    lines = list(csv.DictReader(io.StringIO(records.table(FOUND))))
    assert [(each["row"], each["fold"], each["seed"]) for each in lines[:2]] == [("Flag", "1", "0"), ("Flag", "2", "0")]
    first = lines[0]
    assert first["command"] == "maskmixadv train …"
    assert (first["steps_per_second"], first["peak_mib"], first["seconds"]) == ("2.000", "400", "50.0")
    assert float(first["dice_RV"]) == pytest.approx(0.775)
    assert float(first["dice_mean"]) == pytest.approx(0.825)
    assert float(first["hd95_mean"]) == pytest.approx(5.5)
    assert lines[3]["hd95_mean"] == "nan"


def test_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(scores.table(FOUND[3].scores))
    read = scores.read(path)
    assert scores.table(read) == path.read_text()
    assert read[0]._replace(score=None) == FOUND[3].scores[0]._replace(score=None)  # pyright: ignore[reportArgumentType]
    path.write_text("case,class\na,b\n")
    with pytest.raises(InputError, match=r"scores\.csv"):
        scores.read(path)


def test_scores_against_other_masks_are_no_pair() -> None:
    plain = FOUND[2]
    first = plain.scores[0]._replace(score=plain.scores[0].score._replace(truth_ml=11.0))
    other = dataclasses.replace(plain, scores=(first, *plain.scores[1:]))
    with pytest.raises(
        InputError, match=r"'Plain' and 'Flag': not scored against the same masks, fold1/p10 has 11 and"
    ):
        paired.against_reference(TABLE, (*FOUND[:2], other, *FOUND[3:]))


def test_a_class_is_gone_through_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of all classes were gone through for each class: with 100 classes it took a hundred times as long."""
    gone: list[int] = []

    def counted(**of: Any) -> Comparison:
        gone.append(len(of["patients"]))
        return Comparison(1, 0.0, 0.0, 0.0, 1.0)

    values = paired._values
    monkeypatch.setattr(paired, "compare", counted)
    monkeypatch.setattr(paired, "_values", lambda *of: gone.append(len(of[0])) or values(*of))
    paired.against_reference(TABLE, FOUND)
    assert gone[:9] == [12, 12, 12, 12, 12, 12, 24, 24, 12]  # of RV, LV and the mean: rows, the other's, and cases
