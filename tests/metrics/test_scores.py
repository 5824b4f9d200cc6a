"""Rows of scores, tables of them, and their summary."""

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskmixadv.corpus.names import check_classes
from maskmixadv.errors import InputError
from maskmixadv.metrics import scores
from maskmixadv.metrics.scores import CaseScore
from maskmixadv.types import IGNORE
from scored import CLASSES, NOMINAL, case, row, shifted


def test_a_case_without_truth_is_not_scored() -> None:
    with pytest.raises(ValueError, match="no dense mask"):
        scores.rows(case(0, dense=False), shifted(case(0)), classes=CLASSES, nominal=NOMINAL)


@pytest.mark.parametrize(
    ("cells", "told"), [("nan,nan,nan,nan,5,4", "dice nan of a class"), ("0.5,1,1,1,nan,4", "truth_ml nan")]
)
def test_scores_that_no_evaluation_writes_are_refused(tmp_path: Path, cells: str, told: str) -> None:
    """They would be left out of the means as if the class were nowhere."""
    path = tmp_path / "scores.csv"
    path.write_text(scores.table([]) + f"a,a,,ED,LV,{cells},known\n")
    with pytest.raises(InputError, match=told):
        scores.read(path)


def test_one_is_told_as_one() -> None:
    summary = scores.summarise([row("a", "LV", 0.7, 4.0)], {})
    assert "\n1 case, known spacing" in str(summary)
    assert repr(summary).startswith("Summary(1 case, ")
    with pytest.raises(InputError, match="1 class, allowed are 2 to 250"):
        check_classes(["background"], "classes.toml")


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
        "a,a,,,LV,91,0,0,0,1,1,known\n",
        "a,a,,,LV,-0.1,0,0,0,1,1,known\n",
        "a,a,,,LV,1,-2,0,0,1,1,known\n",
        "a,a,,,LV,1,0,inf,0,1,1,known\n",
        "a,a,,,LV,1,0,0,0,1,1e999,known\n",
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
