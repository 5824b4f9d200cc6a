"""Volumes by phase, by hand; what is predicted where there is nothing; the change from diastole to systole."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskmixadv.metrics import phases, scores
from maskmixadv.metrics.excess import Excess, excess, shown, told
from maskmixadv.metrics.masks import Score
from maskmixadv.metrics.scores import CaseScore
from maskmixadv.types import IGNORE


def scored(patient: str, phase: str, ml: tuple[float, float], more: Excess) -> CaseScore:
    """A row of true and predicted volume."""
    return CaseScore(
        f"{patient}_{phase}",
        patient,
        "",
        phase,
        Score("RV", 0.5, 1.0, 1.0, 1.0, float(ml[0]), float(ml[1])),
        "known",
        more,
    )


NONE = Excess(0, 0, 0.0, 0.0)
ROWS = [
    scored("a", "ED", (100, 110), Excess(2, 1, 4.0, 16.0)),
    scored("a", "ES", (50, 70), Excess(4, 3, 10.0, 15.0)),
    scored("b", "ED", (60, 50), Excess(1, 0, 0.0, 4.0)),
    scored("b", "ES", (30, 40), Excess(3, 1, 2.0, 9.0)),
]


def test_excess_by_hand() -> None:
    truth, predicted = np.zeros((4, 2, 10), np.uint8), np.zeros((4, 2, 10), np.uint8)
    truth[1:3, 0, :4] = 1
    truth[3] = IGNORE  # nothing is known there, so that it is no slice without the class
    predicted[0, 0, :3] = predicted[3] = 1
    predicted[1, 0, 2:7] = 1
    truth[2, 1, 0], predicted[2, 1, 0] = IGNORE, 1
    predicted[1, 1, :2] = 2
    spacing = (10.0, 5.0, 20.0)  # 1 ml a voxel
    one, two = excess(truth, predicted, classes=3, spacing=spacing)
    assert one == Excess(empty_slices=1, stray_slices=1, stray_ml=3.0, beyond_ml=3.0)
    assert two == Excess(empty_slices=3, stray_slices=1, stray_ml=2.0, beyond_ml=0.0)


def test_volumes_by_phase_by_hand() -> None:
    found = phases.by_phase(ROWS)
    assert list(found) == ["ED", "ES", "all"]
    late, everything = found["ES"]["RV"], found["all"]["RV"]
    assert (late.cases, late.empty_slices, late.stray_slices) == (2, 7, 4)
    assert (late.ratio, late.stray, late.beyond) == pytest.approx((110 / 80, 12 / 80, 24 / 80))
    assert everything.ratio == pytest.approx(270 / 240)
    assert [row[:2] for row in shown(found)] == [("RV", "ED"), ("RV", "ES")]


def test_without_phases_all_cases_are_one_line() -> None:
    found = phases.by_phase([row._replace(phase="") for row in ROWS])
    assert [row[:2] for row in shown(found)] == [("RV", "all")]
    assert phases.ejection([row._replace(phase="") for row in ROWS]) == {}


def test_the_change_from_diastole_to_systole_by_hand() -> None:
    walls = [replace_label(row) for row in ROWS]
    alone = scored("c", "ED", (10, 10), NONE)
    empty = [scored("d", "ED", (0, 0), NONE), scored("d", "ES", (0, 0), NONE)]
    found = phases.ejection([*ROWS, *walls, alone, *empty])
    assert list(found) == ["RV", "wall"]
    truth, predicted = [50.0, 50.0], [100 * 40 / 110, 100 * 10 / 50]
    differences = np.subtract(predicted, truth)
    reach = 1.96 * differences.std(ddof=1)
    rv = found["RV"]
    assert (rv.count, rv.truth) == (2, 50)
    expected = (differences.mean(), differences.mean() - reach, differences.mean() + reach)
    assert (rv.bias, rv.low, rv.high) == pytest.approx(expected)


def replace_label(row: CaseScore) -> CaseScore:
    return row._replace(score=row.score._replace(class_name="wall"))


def test_phases_of_two_units_are_no_pair() -> None:
    assert phases.ejection([ROWS[0], ROWS[1]._replace(source="nominal")]) == {}


def test_a_class_that_is_nowhere_has_no_shares() -> None:
    (of,) = phases.by_phase([scored("a", "", (0, 5), Excess(3, 2, 5.0, 0.0))])["all"].values()
    assert np.isnan([of.ratio, of.stray, of.beyond]).all()
    text = told(phases.by_phase([scored("a", "", (0, 5), Excess(3, 2, 5.0, 0.0))]), {})
    assert text.splitlines()[1].split() == ["RV", "all", "1", "0.500", "nan", "2", "of", "3", "nan", "nan"]


def test_the_summary_holds_and_tells_them(tmp_path: Path) -> None:
    summary = scores.summarise(ROWS, {})
    assert "stray" not in str(summary)  # of scores alone nothing of slices is known
    summary = replace(summary, volumes=phases.by_phase(ROWS), ejection=phases.ejection(ROWS))
    stored = json.loads(summary.json())
    assert stored["volumes"]["ES"]["RV"]["ratio"] == pytest.approx(1.375)
    assert stored["ejection"]["RV"]["bias"] == pytest.approx(-21.82, abs=0.01)
    lines = str(summary).splitlines()
    assert any(line.split()[:5] == ["RV", "ES", "2", "0.500", "1.38"] for line in lines)
    assert "RV -21.8 (-44.5 to +0.9)" in lines[-1]
    path = tmp_path / "scores.csv"
    path.write_text(scores.table(ROWS))
    assert scores.read(path) == tuple(row._replace(excess=None) for row in ROWS)
    with pytest.raises(ValueError, match="say nothing of slices"):
        phases.by_phase(scores.read(path))


def test_one_patient_alone_has_no_limits() -> None:
    text = told(phases.by_phase(ROWS[:2]), phases.ejection(ROWS[:2]))
    assert text.splitlines()[-1].endswith("limits: RV -13.6")


def test_the_table_has_a_line_a_case_and_class() -> None:
    lines = list(csv.DictReader(io.StringIO(phases.table(ROWS))))
    assert [line["case"] for line in lines] == ["a_ED", "a_ES", "b_ED", "b_ES"]
    assert (lines[1]["class"], lines[1]["stray_slices"], lines[1]["stray_ml"], lines[1]["beyond_ml"]) == (
        *("RV", "3", "10", "15"),
    )


def test_cases_of_unknown_phase_are_shown_too() -> None:
    """Where one case of many had a phase, the table was of that case alone."""
    rows = [*ROWS, scored("c", "", (10, 20), NONE)]
    found = phases.by_phase(rows)
    assert [(phase, of.cases) for _, phase, of in shown(found)] == [("ED", 2), ("ES", 2), ("all", 5)]
    assert [phase for _, phase, _ in shown(phases.by_phase(ROWS))] == ["ED", "ES"]


def test_the_change_of_volume_is_of_one_visit_and_of_whole_hearts() -> None:
    def visit(name: str, phase: str, ml: float) -> CaseScore:
        return scored("a", phase, (ml, ml), NONE)._replace(case=f"a_{name}_{phase}")

    rows = [visit("2", "ED", 200), visit("1", "ES", 50), visit("1", "ED", 100), visit("2", "ES", 50)]
    assert phases.ejection(rows)["RV"].count == 2
    assert phases.ejection(rows)["RV"].truth == pytest.approx((75 + 50) / 2)
    assert phases.ejection(rows, {"a_2_ES"})["RV"].truth == pytest.approx(50)
