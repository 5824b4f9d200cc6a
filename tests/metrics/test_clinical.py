"""Volumes, ejection fractions and agreement, by hand; the table, the files, the plots."""

import csv
import io
import json
import math
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import tiny
from maskmixadv.cli.app import run
from maskmixadv.corpus.names import check_spellings
from maskmixadv.errors import InputError
from maskmixadv.evaluation import charts
from maskmixadv.evaluation.evaluate import evaluate
from maskmixadv.methods import PCE
from maskmixadv.metrics import clinical, scores
from maskmixadv.metrics.clinical import Agreement, CaseVolumes, Measure, Record
from maskmixadv.metrics.masks import Score
from maskmixadv.metrics.scores import CaseScore, SpacingSource
from maskmixadv.sources.phantoms import phantom
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")

HEART = ("background", "RV", "Myo", "LV")


def volumes(case: str, phase: str, rv: float, myo: float, lv: float, **changes: Any) -> CaseVolumes:
    of = {"RV": float(rv), "Myo": float(myo), "LV": float(lv)}
    fields = {"patient": case.split("_")[0], "unit": "ml", "predicted": of, "truth": {}, **changes}
    return CaseVolumes(case=case, phase=phase, **fields)


def lines(found: list[Record]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(clinical.table(found))))


def test_a_heart_by_hand() -> None:
    (record,) = clinical.records([volumes("a_ES", "ES", 60, 110, 50), volumes("a_ED", "ED", 150, 100, 125)])
    assert record.cases == {"ed": "a_ED", "es": "a_ES"}
    measured = {measure.column: value for measure, value in record.predicted.items()}
    assert measured == pytest.approx(
        {
            "lv_edv_ml": 125,
            "lv_esv_ml": 50,
            "lv_sv_ml": 75,
            "lv_ef_percent": 60,
            "lv_mass_g": 105,
            "rv_edv_ml": 150,
            "rv_esv_ml": 60,
            "rv_sv_ml": 90,
            "rv_ef_percent": 60,
        }
    )
    assert record.truth == {}


def test_a_volume_is_counted_slice_by_slice() -> None:
    """A CT of 300 slices took 630 MB, as numpy counts in numbers of eight bytes."""
    labels = np.zeros((20, 500, 500), np.uint8)
    labels[3:5, :100, :100] = 2
    tracemalloc.start()
    found = clinical.volumes("p1", labels, classes=["background", "a", "b"], spacing=None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.predicted == {"a": 0.0, "b": 20_000.0}
    assert peak < labels.nbytes


def test_voxels_have_an_ejection_fraction_but_no_mass() -> None:
    found = [volumes("a_ED", "ED", 200, 90, 100, unit="voxels"), volumes("a_ES", "ES", 150, 90, 40, unit="voxels")]
    (line,) = lines(list(clinical.records(found)))
    assert (line["lv_edv_voxels"], line["lv_ef_percent"], line["rv_ef_percent"]) == ("100", "60", "25")
    assert line["lv_muscle_voxels"] == "90"
    assert not [column for column in line if column.endswith(("_ml", "_g"))]


def test_an_empty_ventricle_has_no_ejection_fraction() -> None:
    (line,) = lines(list(clinical.records([volumes("a_ED", "ED", 0, 0, 0), volumes("a_ES", "ES", 0, 0, 0)])))
    assert (line["lv_ef_percent"], line["lv_sv_ml"]) == ("nan", "0")


@pytest.mark.parametrize(
    "found",
    [
        [volumes("a_ED", "ED", 1, 2, 3)],
        [volumes("a_ED", "ED", 1, 2, 3), volumes("a_ES", "ES", 1, 2, 3, unit="voxels")],
        [volumes("a", "", 1, 2, 3), volumes("b", "", 1, 2, 3)],
        [volumes("a", "ED", 0, 0, 0, predicted={"RV": 1.0}), volumes("a_ES", "ES", 0, 0, 0, predicted={"RV": 1.0})],
    ],
    ids=["one phase", "two units", "no phases", "no left ventricle"],
)
def test_without_both_phases_each_case_has_its_volumes(found: list[CaseVolumes]) -> None:
    records = clinical.records(found)
    assert [record.cases for record in records] == [{"case": each.case} for each in found]
    for record, each in zip(records, found, strict=True):
        assert record.predicted == {Measure(name, each.unit): ml for name, ml in each.predicted.items()}


def test_any_other_organ_has_a_line_a_case() -> None:
    of = {"kidney": 151.5, "large tumour": 8.25}
    (line,) = lines(list(clinical.records([CaseVolumes("k_1", "k", "", "ml", of, dict.fromkeys(of, 1.0))])))
    assert list(line) == [
        *("patient", "case", "kidney_ml", "large_tumour_ml"),
        *("truth_kidney_ml", "truth_large_tumour_ml"),
    ]
    assert (line["kidney_ml"], line["large_tumour_ml"]) == ("151.5", "8.25")


def test_a_class_that_is_called_as_anothers_truth_has_a_column_of_its_own() -> None:
    """Seen: its predictions were replaced by the other class's truth."""
    of = {Measure(name, "ml"): ml for name, ml in (("lv", 1.0), ("truth lv", 2.0))}
    (line,) = lines([Record("p", {"case": "p"}, of, {measure: ml + 2 for measure, ml in of.items()})])
    assert line == {
        "patient": "p", "case": "p", "lv_ml": "1", "predicted_truth_lv_ml": "2", "truth_lv_ml": "3",
        "truth_truth_lv_ml": "4",
    }  # fmt: skip
    with pytest.raises(InputError, match="class 'Truth LV', by which tables call the truth of 'lv'; rename it"):
        check_spellings(["background", "Truth LV", "lv"], "classes.toml")


def test_a_class_that_is_called_as_a_hearts_volume_has_a_column_of_its_own() -> None:
    """Seen: the volume of a loose case's structure stood among the end-diastolic volumes of hearts."""
    of = {"LV": 120.0, "LV EDV": 7.0}
    found = [CaseVolumes(f"p_{phase}", "p", phase, "ml", of, of) for phase in ("ED", "ES")]
    records = clinical.records([*found, CaseVolumes("q", "q", "", "ml", of, of)])
    heart, loose = lines(list(records))
    assert (heart["lv_edv_ml"], heart["class_lv_edv_ml"]) == ("120", "")
    assert (loose["lv_edv_ml"], loose["class_lv_edv_ml"], loose["truth_class_lv_edv_ml"]) == ("", "7", "7")
    assert clinical.agreements(records)[Measure("LV EDV", "ml")].count == 1
    with pytest.raises(InputError, match="class 'lv_edv', by which tables call a volume of a heart; rename it"):
        check_spellings(["background", "LV", "lv_edv"], "classes.toml")
    check_spellings(["background", "RV", "LV EDV", "LV muscle"], "classes.toml")


def test_hearts_and_loose_cases_share_a_table() -> None:
    found = clinical.records(
        [volumes("a_ED", "ED", 1, 2, 4), volumes("a_ES", "ES", 1, 2, 3), volumes("b", "", 1, 2, 3, unit="voxels")]
    )
    heart, loose = lines(list(found))
    assert list(heart)[:4] == ["patient", "ed", "es", "case"]
    assert (heart["case"], heart["lv_ef_percent"], heart["lv_voxels"]) == ("", "25", "")
    assert (loose["case"], loose["lv_ef_percent"], loose["lv_voxels"]) == ("b", "", "3")


# What files' names say


@pytest.mark.parametrize(
    ("name", "patient", "phase"),
    [
        ("patient001_frame01", "patient001", ""),
        ("patient001_frame12_0000", "patient001", ""),
        ("phantom003_ED", "phantom003", "ED"),
        ("a_b_es", "a_b", "ES"),
        ("subject4_DE", "subject4_DE", ""),
    ],
)
def test_patients_and_phases_of_names(name: str, patient: str, phase: str) -> None:
    labels = np.array([[[0, 1, 1, 3]]], np.uint8)
    found = clinical.volumes(name, labels, classes=HEART, spacing=(10.0, 2.0, 2.5))
    assert (found.patient, found.phase, found.unit) == (patient, phase, "ml")
    assert found.predicted == pytest.approx({"RV": 0.1, "Myo": 0.0, "LV": 0.05})


def test_unknown_spacing_counts_voxels() -> None:
    found = clinical.volumes("a", np.array([[[0, 1, 1, 3]]], np.uint8), classes=HEART, spacing=None)
    assert (found.unit, found.predicted) == ("voxels", {"RV": 2.0, "Myo": 0.0, "LV": 1.0})


def test_the_largest_left_ventricle_is_diastole() -> None:
    frames = [volumes(f"p_frame0{k}", "", 9, 9, lv) for k, lv in enumerate((70, 50, 120, 90))]
    alone, known = volumes("q_frame01", "", 9, 9, 80), volumes("r_ED", "ED", 9, 9, 10)
    found = clinical.with_phases([*frames, alone, known])
    assert [each.phase for each in found] == ["", "ES", "ED", "", "", "ED"]
    heart, *others = clinical.records(found)
    assert heart.cases == {"ed": "p_frame02", "es": "p_frame01"}
    assert [each.cases["case"] for each in others] == ["p_frame00", "p_frame03", "q_frame01", "r_ED"]


# Agreement


def records(measure: Measure, *pairs: tuple[float, float]) -> list[Record]:
    return [
        Record(f"p{k}", {"case": f"p{k}"}, {measure: float(p)}, {measure: float(t)}) for k, (p, t) in enumerate(pairs)
    ]


def test_agreement_by_hand() -> None:
    volume = Measure("LV", "ml")
    found = clinical.agreements(records(volume, (12, 10), (19, 20), (33, 30), (40, 40)))[volume]
    # Differences 2, -1, 3, 0: mean 1, squares about it 1, 4, 4, 1.
    spread = math.sqrt(10 / 3)
    assert (found.count, found.truth, found.bias) == (4, 25, 1)
    assert (found.low, found.high) == pytest.approx((1 - 1.96 * spread, 1 + 1.96 * spread))
    # Predicted about its mean 26: -14, -7, 7, 14; true about 25: -15, -5, 5, 15.
    assert found.r == pytest.approx((210 + 35 + 35 + 210) / math.sqrt(490 * 500))


def test_a_correlation_of_two_says_nothing() -> None:
    """It is 1 or -1 whatever they are."""
    volume = Measure("LV", "ml")
    assert math.isnan(clinical.agreements(records(volume, (12, 10), (19, 20)))[volume].r)
    three = records(volume, (12, 10), (19, 20), (32, 30))
    assert clinical.agreements(three)[volume].r == pytest.approx(200 / math.sqrt(206 * 200))


@pytest.mark.parametrize("constant", [0.1, 57.3, 10])
def test_what_never_changes_has_no_correlation(constant: float) -> None:
    """The mean of three times 0.1 is not 0.1 but a little more, so that their deviation is not 0."""
    volume = Measure("LV", "ml")
    predicted, true = ([(constant, other) for other in (10, 20, 30)], [(other, constant) for other in (10, 20, 30)])
    for pairs in (predicted, true):
        assert math.isnan(clinical.agreements(records(volume, *pairs))[volume].r)


def test_agreement_leaves_out_what_is_undefined() -> None:
    fraction = Measure("LV EF", "%")
    found = clinical.agreements(records(fraction, (math.nan, 50), (40, 50)))[fraction]
    assert (found.count, found.bias) == (1, -10)
    assert math.isnan(found.low)
    assert math.isnan(found.r)
    assert clinical.agreements(records(fraction, (math.nan, 50))) == {}


def test_rows_become_volumes_in_their_own_unit() -> None:
    def row(case: str, label: str, truth: float, predicted: float, source: SpacingSource) -> CaseScore:
        return CaseScore(case, case[0], "", "ED", Score(label, 1.0, 0.0, 0.0, 0.0, truth, predicted), source)

    rows = [
        row("a1", "LV", 1.25, 1.5, "known"),
        row("a1", "RV", 2.0, 3.0, "known"),
        row("b1", "LV", 0.03, 0.07, "nominal"),
    ]
    known, nominal = scores.volumes(rows, (10.0, 1.0, 1.0))
    assert known == CaseVolumes("a1", "a", "ED", "ml", {"LV": 1.5, "RV": 3}, {"LV": 1.25, "RV": 2})
    assert nominal == CaseVolumes("b1", "b", "ED", "voxels", {"LV": 7.0}, {"LV": 3.0})


def test_the_plot_has_a_panel_a_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "_svg", lambda figure, _: figure)
    volume = Measure("LV EDV", "ml")
    figure: Any = charts.agreement(records(volume, (12, 10), (19, 20)))
    (axes,) = [each for each in figure.axes if each.get_visible()]
    points = next(line for line in axes.lines if line.get_marker() == ".")
    assert axes.get_title() == "LV EDV (ml)"
    assert (points.get_xdata().tolist(), points.get_ydata().tolist()) == ([11, 19.5], [2, -1])
    assert 0.5 in [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "-"]


# The commands


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clinical")
    phantom.prepare(root / "corpus", cases=8, size=64)
    assert fit(begin(root / "corpus", root / "run", method=PCE(), schedule=tiny.SCHEDULE))
    return root


def test_evaluate_measures_phantoms_as_they_were_made(trained: Path) -> None:
    summary = evaluate(trained / "run", split="train")
    out = trained / "run" / "evaluation-train"
    made = {line["patient"]: line for line in csv.DictReader((trained / "corpus" / "truth.csv").open())}
    found = list(csv.DictReader((out / "clinical.csv").open()))
    assert found
    for line in found:
        for column in ("lv_edv_ml", "lv_esv_ml", "rv_edv_ml", "rv_esv_ml"):
            assert float(line[f"truth_{column}"]) == pytest.approx(float(made[line["patient"]][column]), abs=0.01)
        expected = float(made[line["patient"]]["ef_percent"])
        assert float(line["truth_lv_ef_percent"]) == pytest.approx(expected, abs=0.01)
    stored = json.loads((out / "summary.json").read_text())["clinical"]
    differences = [float(line["rv_edv_ml"]) - float(line["truth_rv_edv_ml"]) for line in found]
    assert stored["rv_edv_ml"]["bias"] == pytest.approx(np.mean(differences), rel=1e-5, abs=1e-4)
    assert stored["rv_edv_ml"]["count"] == len(found)
    assert isinstance(summary.clinical["rv_edv_ml"], Agreement)
    page = (out / "report.html").read_text()
    assert "LV EDV (ml)" in page
    assert page.count("<svg") == 4


def test_predict_measures_files(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    names = ("patient007_frame01", "patient007_frame09", "alone")
    for name in names:
        image = nib.Nifti1Image(rng.random((40, 48, 3)).astype(np.float32), np.diag([2.0, 2.0, 5.0, 1.0]))
        nib.save(image, tmp_path / f"{name}.nii.gz")
    paths = [str(tmp_path / f"{name}.nii.gz") for name in names]
    assert run(["predict", str(trained / "run"), *paths, "--out", str(tmp_path / "out")]) == 0
    heart, loose = csv.DictReader((tmp_path / "out" / "clinical.csv").open())
    assert heart["patient"] == "patient007"
    assert {heart["ed"], heart["es"]} == set(names[:2])
    assert float(heart["lv_edv_ml"]) >= float(heart["lv_esv_ml"])
    labels: Any = nib.load(tmp_path / "out" / "alone.nii.gz")
    assert loose["case"] == "alone"
    loose_ml(loose, labels)
    added = tmp_path / "added.nii.gz"
    shutil.copy(tmp_path / "alone.nii.gz", added)
    for more in (added, tmp_path / f"{names[0]}.nii.gz"):
        assert run(["predict", str(trained / "run"), str(more), "--out", str(tmp_path / "out")]) == 0
        lines = list(csv.DictReader((tmp_path / "out" / "clinical.csv").open()))
        if more is added:
            assert lines[:2] == [heart, loose]
            assert {**lines[2], "patient": "", "case": ""} == {**loose, "patient": "", "case": ""}
    assert [line["case"] for line in lines] == ["alone", "added", names[0]]
    assert f"clinical.csv: without {names[1]}, as the other phase is measured anew" in capsys.readouterr().err


def loose_ml(loose: dict[str, str], labels: Any) -> None:
    for number, name in enumerate(("rv_ml", "myo_ml", "lv_ml"), 1):
        assert float(loose[name]) == pytest.approx((np.asarray(labels.dataobj) == number).sum() * 20 / 1000, rel=1e-5)


def test_two_visits_of_a_patient_are_two_hearts() -> None:
    """The diastole of one visit was measured against the systole of the other."""
    visits = [
        volumes(f"a_{visit}_{phase}", phase, 1, 1, ml)
        for visit, (diastole, systole) in {"1": (100, 50), "2": (200, 50)}.items()
        for phase, ml in (("ES", systole), ("ED", diastole))
    ]
    found = clinical.records([visits[0], visits[3], visits[1], visits[2]])
    assert [record.cases for record in found] == [{"ed": f"a_{k}_ED", "es": f"a_{k}_ES"} for k in ("1", "2")]
    assert [record.predicted[Measure("LV EF", "%")] for record in found] == [50, 75]


def test_phases_that_nothing_says_to_belong_together_are_no_heart() -> None:
    scans = [volumes("a_x", "ED", 1, 1, 100), volumes("a_y", "ED", 1, 1, 200), volumes("a_z", "ES", 1, 1, 50)]
    assert [record.cases for record in clinical.records(scans)] == [{"case": name} for name in ("a_x", "a_y", "a_z")]


def test_a_phase_that_a_name_says_is_given_to_no_other_frame() -> None:
    frames = [
        volumes("a_ED", "ED", 1, 1, 100),
        *(volumes(f"a_frame0{k}", "", 1, 1, ml) for k, ml in ((1, 120), (5, 50))),
    ]
    phased = clinical.with_phases(frames)
    assert [each.phase for each in phased] == ["ED", "", "ES"]
    assert clinical.records(phased)[0].cases == {"ed": "a_ED", "es": "a_frame05"}
