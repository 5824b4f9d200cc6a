"""The report: it stands alone, and shows what it should."""

import base64
import io
import itertools
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskmixadv import pictures
from maskmixadv.evaluation import charts, report
from maskmixadv.evaluation.evaluate import evaluate
from maskmixadv.metrics import clinical, scores
from maskmixadv.metrics.excess import Volumes
from scored import CLASSES, NOMINAL, case, row, shifted


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
    assert page.tags.count("svg") == 4
    assert page.tags.count("img") == 3
    for said in (
        "R<V>",
        "10 × 1 × 1 mm",
        "c0ffee",
        "maskmixadv train corpus --out run",
        "net/dpce",
        "val/dice",
        "are the parts of the loss that the network learns by",
    ):
        assert said in page.text
    for said in ("stray", "0 of 6", "volumes.csv"):
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
    evaluation = {"command": "x", "commit": None, "device": "cpu", "date": "today", "split": "test", "largest": "LV"}
    evaluation["odds"] = "neutral"
    summary = scores.summarise(rows, {"corpus": corpus, "evaluation": evaluation})
    source = report.render(summary, rows, classes=CLASSES, examples=[], log=tmp_path / "log.csv")
    assert "ominal" not in source
    assert "largest piece alone of" in source
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


def test_boxes_of_many_classes_lie_below_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside each other, their names stood over one another."""
    monkeypatch.setattr(charts, "_svg", lambda figure, _: figure)
    names = [f"vertebra L{number}" for number in range(12)]
    figure: Any = charts.boxes([row("a", name, 0.5, 2.0) for name in names], ("background", *names))
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert axes.yaxis_inverted()
        assert len([line for line in axes.lines if line.get_marker() == "."]) == 12
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == names
    places = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for one, other in itertools.pairwise(places))


def test_charts_of_many_cases_show_some_points_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "_svg", lambda figure, _: figure)
    monkeypatch.setattr(charts, "MOST", 20)
    found = [
        row(f"p{number:02}", name, number / 50, 1.0, ml=(9.0, number / 5)) for number in range(50) for name in "ab"
    ]
    figure: Any = charts.boxes(found, ("background", "a", "b"))
    points = [line.get_ydata() for line in figure.axes[0].lines if line.get_marker() == "."]
    assert [(len(of), min(of), max(of)) for of in points] == [(10, 0, 0.98)] * 2
    assert figure.axes[0].get_title() == "Dice, points of 20 scores"
    figure = charts.agreement(clinical.records(scores.volumes(found, NOMINAL)))
    assert [axes.get_title() for axes in figure.axes] == ["a (ml)\n10 of 50 points", "b (ml)\n10 of 50 points"]


def test_many_measures_are_laid_out_without_measuring_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout by texts of 100 axes took 6 s."""
    monkeypatch.setattr(charts, "_svg", lambda figure, _: figure)
    names = [f"organ {number}" for number in range(charts.SPACED + 1)]
    found = [row(f"p{number}", name, 0.5, 1.0, ml=(9.0, number + 0.5)) for number in range(3) for name in names]
    figure: Any = charts.agreement(clinical.records(scores.volumes(found, NOMINAL)))
    assert figure.get_layout_engine() is None
    shown = [axes.get_position() for axes in figure.axes if axes.get_visible()]
    assert len(shown) == len(names)
    assert all(0 < each.x0 < each.x1 <= 1 and 0 < each.y0 < each.y1 <= 1 for each in shown)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(shown, 2))
    figure = charts.agreement(
        clinical.records(scores.volumes([each for each in found if each.score.class_name in names[:2]], NOMINAL))
    )
    assert figure.get_layout_engine() is not None


def test_bars_add_up_to_the_predicted_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "_svg", lambda figure, _: figure)
    rv = Volumes(20, 0.7, ratio=1.5, empty_slices=60, stray_slices=31, stray=0.2, beyond=0.4)
    nowhere = Volumes(20, math.nan, math.nan, 60, 0, math.nan, math.nan)
    figure: Any = charts.volumes({"ES": {"RV": rv, "LV": nowhere}, "all": {"RV": rv}}, ("background", "RV", "LV"))
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.9, 0.4, 0.2])
    assert [bar.get_x() for bar in axes.patches] == pytest.approx([0, 0.9, 1.3])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["RV ES"]


def test_long_curves_are_thinned() -> None:
    steps = np.arange(20_000.0)
    assert len(charts.curves({"a": np.stack([steps, np.sin(steps)])})) < 40_000


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


def test_best_median_and_worst() -> None:
    dices = {"a": 0.5, "b": 0.9, "c": 0.1, "d": 0.7, "e": 0.3}
    ranked = scores.ranked([row(name, "RV", dice, 0.0) for name, dice in dices.items()])
    assert [name for name, _ in ranked] == ["c", "e", "a", "d", "b"]
    assert report.telling(ranked) == [("best", "b", 0.9), ("median", "a", 0.5), ("worst", "c", 0.1)]
    assert [title for title, _, _ in report.telling(ranked[:2])] == ["best", "worst"]
    assert [title for title, _, _ in report.telling(ranked[:1])] == ["best"]
