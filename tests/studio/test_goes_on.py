"""Trainings that go on from the last run, and previews of them. The job runs in this process, which spares a start."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import own
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import PRESETS
from maskmixadv.studio import palette
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import job, preview, training
from maskmixadv.studio.learning.preview import Look, Previews
from maskmixadv.studio.learning.training import Order, Training
from studio_server import SHAPE, SLICE, client, refused


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A folder with a run of two steps."""
    folder = own.folder(tmp_path_factory.mktemp("goes-on") / "hearts", scribbled=1, masked=0)
    layout = Layout.open(folder)
    trained(layout, "001", Order("cpu", "pce", 2, goes_on=True))
    return layout


def ordered(layout: Layout, run: str, order: Order) -> Path:
    notes = layout.state / run
    notes.mkdir(exist_ok=True)
    (notes / training.ORDER).write_text(json.dumps(asdict(order)))
    return notes


def trained(layout: Layout, run: str, order: Order) -> None:
    ordered(layout, run, order)
    assert job.work(layout, run) == 0


def test_the_first_run_begins_anew(layout: Layout) -> None:
    assert Run.open(layout.runs / "001").start is None
    assert json.loads((layout.state / "001" / training.LEFT_OUT).read_text()) == []


def test_a_later_run_goes_on_and_previews_are_written(layout: Layout) -> None:
    notes = ordered(layout, "002", Order("cpu", "pce", 3, goes_on=True))
    assert preview.ask(notes, Look("s0", 1)) is None
    assert job.work(layout, "002") == 0
    course = Training(layout).course()
    assert (course.run, course.state, course.start, course.steps) == ("002", "done", "001", 3)
    found = preview.ask(notes, Look("s0", 1))
    assert found is not None
    assert (found.labels.shape, found.step) == (SHAPE, 0), "at once, with the network that it goes on from"
    predicted = np.load(layout.predictions / "001" / "s0.npz")
    assert predicted["disagreement"].shape[1:] == SHAPE
    assert preview.ask(notes, Look("s0", 0)) is None, "another slice"
    assert Training(layout).preview(Look("s0", 1)) is None, "no training runs"


def test_how_long_it_goes_on_if_nothing_else_is_said(layout: Layout) -> None:
    ordered(layout, "003", Order("cpu", "pce", goes_on=True))
    assert job._begun(layout, "003").schedule.steps == training.further("cpu") < PRESETS["cpu"].steps


def test_a_teacher_that_goes_on_counts_at_once(layout: Layout) -> None:
    """Else the first steps unlearn what walks from strokes don't say."""
    ordered(layout, "007", Order("cpu", "walk-teacher", 2, goes_on=True))
    ordered(layout, "008", Order("cpu", "walk-teacher", 2))
    ramps = [job._begun(layout, run).method.scalars(0, 0.0)["trust"] for run in ("007", "008")]
    assert (ramps[0], ramps[1] < 0.1) == (1.0, True)
    assert "--ramp 0" in str(Run.open(layout.runs / "007").facts.command)


def test_a_network_that_does_not_fit_is_left_out_with_a_line(layout: Layout) -> None:
    notes = ordered(layout, "004", Order("cpu", "maskmixadv", 2, goes_on=True))
    run = job._begun(layout, "004")
    assert (run.start, run.schedule.steps) == (None, 2)
    (line,) = json.loads((notes / training.LEFT_OUT).read_text())
    assert "another network" in line


def test_a_preview_that_fails_ends_no_training(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    notes = ordered(layout, "005", Order("cpu", "pce", 3))
    preview.ask(notes, Look("gone", 0))
    assert job.work(layout, "005") == 0
    assert capsys.readouterr().err.count("previews end") == 1


@pytest.mark.parametrize(("took", "apart"), [(0.05, preview.EVERY), (0.5, 10.0), (4.0, 80.0)])
def test_previews_take_a_twentieth_of_the_time(
    layout: Layout, took: float, apart: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, written = 100.0, list[float]()

    def write(*_: object) -> None:
        nonlocal now
        written.append(now)
        now += took

    monkeypatch.setattr(Previews, "_write", write)
    notes = ordered(layout, "006", Order("cpu", "pce", 3))
    (notes / preview.LOOK).unlink(missing_ok=True)
    previews = Previews(layout, "006", clock=lambda: now)
    for _ in range(1000):
        previews(cast("Any", None))
        if now < 103:  # somebody looks after three seconds
            assert not written
        else:
            preview.ask(notes, Look("s0", 1))
        now += 0.25
    first, *later = written
    assert first <= 103.5
    assert np.diff([first, *later]) == pytest.approx(apart, abs=0.3)


def test_previews_are_asked_for_by_the_page(layout: Layout) -> None:
    with client(layout.root) as page:
        assert page.get(f"{SLICE}/preview").status_code == 204
        refused(page.get("/api/cases/s0/slices/9/preview"), 404, "no such slice")
        refused(page.get("/api/cases/none/slices/1/preview"), 404, "no such slice")
        assert page.get("/api/train").json()["start"] is None


@pytest.fixture
def renamed(layout: Layout, tmp_path: Path) -> Layout:
    """The folder with its run, and its first structure renamed since."""
    shutil.copytree(layout.root, tmp_path / "hearts")
    with client(tmp_path / "hearts") as page:
        before = page.get("/api/folder").json()["classes"]
        named = [{**each, "name": "ventricle"} if each["name"] == "RV" else each for each in before]
        page.put("/api/classes", json={"classes": named}).raise_for_status()
    return Layout.open(tmp_path / "hearts")


def test_a_training_goes_on_where_a_class_was_renamed(renamed: Layout) -> None:
    """In the studio classes keep their places, and strokes their codes."""
    with client(renamed.root) as page:
        told = page.get("/api/ready").json()
        assert "pce" not in told["anew"]
        assert told["renamed"] == ["RV is called ventricle now"]
    notes = ordered(renamed, "009", Order("cpu", "pce", 2, goes_on=True))
    run = job._begun(renamed, "009")
    assert json.loads((notes / training.LEFT_OUT).read_text()) == []
    assert run.start is not None
    assert "ventricle" in run.task.classes


def test_the_page_is_told_beforehand_that_a_training_begins_anew(layout: Layout, tmp_path: Path) -> None:
    with client(layout.root) as page:
        told = page.get("/api/ready").json()
        assert (set(told["anew"]), told["renamed"]) == ({"maskmixadv", "wsl4mis"}, [])
        assert "pce" in told["anew"]["maskmixadv"]
    shutil.copytree(layout.root, tmp_path / "hearts")
    before = palette.read(Layout.open(tmp_path / "hearts"))
    more = (*before.classes, palette.PaletteClass("scar", "#123456"))
    replace(before, classes=more, codes=(0, 1, 2, 3, 9)).write(tmp_path / "hearts" / "classes.toml")
    with client(tmp_path / "hearts") as page:
        assert "scar" in page.get("/api/ready").json()["anew"]["pce"]
    newer = Layout.open(tmp_path / "hearts")
    latest = max(path.name for path in newer.predictions.iterdir())
    (newer.runs / latest / "last.pt").unlink()
    with client(newer.root) as page:
        assert f"runs/{latest}" in page.get("/api/ready").json()["anew"]["pce"]
        assert str(newer.root) not in page.get("/api/ready").json()["anew"]["pce"]


def test_a_training_begins_anew_where_classes_have_another_order(layout: Layout, tmp_path: Path) -> None:
    shutil.copytree(layout.root, tmp_path / "hearts")
    found = Layout.open(tmp_path / "hearts")
    names = palette.read(found).classes
    swapped = replace(palette.read(found), classes=(names[0], *names[:0:-1]), codes=(0, *range(len(names) - 1, 0, -1)))
    swapped.write(found.root / "classes.toml")
    notes = ordered(found, "009", Order("cpu", "pce", 2, goes_on=True))
    assert job._begun(found, "009").start is None
    (line,) = json.loads((notes / training.LEFT_OUT).read_text())
    assert "in this order" in line
    with client(found.root) as page:
        assert "in this order" in page.get("/api/ready").json()["anew"]["pce"]
