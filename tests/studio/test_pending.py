"""Strokes of large images: each is on disk as a slice when it is acknowledged, and in the file when there is time."""

import time
from pathlib import Path

import numpy as np
import pytest

import own
from maskmixadv.errors import InputError
from maskmixadv.formats import nifti
from maskmixadv.studio import pending, scribbles
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning.training import Order
from maskmixadv.studio.refusals import RequestError
from maskmixadv.studio.session import Session, served
from maskmixadv.types import IGNORE
from studio_server import SHAPE, strokes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scribbles, "LARGE", 0)
    monkeypatch.setattr(pending, "IDLE", 60.0)
    return own.folder(tmp_path / "hearts", scribbled=1, masked=1)


def stored(folder: Path, case: str) -> np.ndarray:
    return nifti.read(folder / "scribbles" / f"{case}.nii.gz").array


def test_what_was_acknowledged_outlives_a_killed_server(folder: Path) -> None:
    before = stored(folder, "s0")
    session = Session(folder)
    session.draw("s0", 1, strokes(2).tobytes(), 1.0)
    session.draw("m0", 2, strokes(1).tobytes(), 1.0)
    session.draw("s0", 0, np.full(SHAPE, IGNORE, np.uint8).tobytes(), 1.0)
    assert session.folder().cases[1].scribbled == (1, 2)
    np.testing.assert_array_equal(session.scribble("s0", 1), strokes(2))
    np.testing.assert_array_equal(stored(folder, "s0"), before)
    assert not (folder / "scribbles" / "m0.nii.gz").exists()
    with served(folder) as again:  # the first one was killed
        np.testing.assert_array_equal(again.scribble("s0", 1), strokes(2))
        assert {each.name: tuple(each.scribbled) for each in again.folder().cases} == {"m0": (2,), "s0": (1, 2)}
        assert again.folder().problems == []
    np.testing.assert_array_equal(stored(folder, "s0")[1], own.coded(strokes(2)))
    np.testing.assert_array_equal(stored(folder, "s0")[2], before[2])
    assert not list((folder / ".studio" / "strokes").iterdir())


def test_files_are_written_when_idle_and_at_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(folder) as session:
        session.draw("s0", 1, strokes(2).tobytes(), 1.0)
        assert not (stored(folder, "s0")[1] == own.coded(strokes(2))).all()
    assert (stored(folder, "s0")[1] == own.coded(strokes(2))).all()
    monkeypatch.setattr(pending, "IDLE", 0.05)
    with served(folder) as session:
        session.draw("s0", 1, strokes(1).tobytes(), 1.0)
        deadline = time.monotonic() + 10
        while list((folder / ".studio" / "strokes").iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (stored(folder, "s0")[1] == own.coded(strokes(1))).all()


def test_a_training_and_an_export_learn_from_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(folder)
    monkeypatch.setattr(session.training, "start", lambda _: None)
    session.draw("s0", 1, strokes(2).tobytes(), 1.0)
    session.train(Order("cpu", "pce"))
    assert (stored(folder, "s0")[1] == own.coded(strokes(2))).all()
    session.draw("s0", 1, strokes(3).tobytes(), 1.0)
    session.export("nnunet")
    assert (stored(folder, "s0")[1] == own.coded(strokes(3))).all()


def test_slices_that_can_not_be_written_are_not_acknowledged_and_those_of_a_lost_image_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(folder)
    session.draw("s0", 1, strokes(2).tobytes(), 1.0)

    def full(*_: object) -> None:
        raise InputError("can't be written")

    with monkeypatch.context() as patch:
        patch.setattr(pending.Pending, "keep", full)
        with pytest.raises(InputError):
            session.draw("s0", 1, strokes(1).tobytes(), 1.0)
    np.testing.assert_array_equal(session.scribble("s0", 1), strokes(2))
    (folder / "images" / "s0.nii.gz").rename(folder / "gone.nii.gz")
    with served(folder) as again:
        assert [line for line in again.folder().problems if ".studio/strokes/s0" in line]
    (folder / "gone.nii.gz").rename(folder / "images" / "s0.nii.gz")
    with served(folder) as again:
        np.testing.assert_array_equal(again.scribble("s0", 1), strokes(2))


def left(folder: Path, *slices: int) -> Path:
    """Draw on slices of s0, kill the server, and take the image away; returns where that is."""
    session = Session(folder)
    for index in slices:
        session.draw("s0", index, strokes(2).tobytes(), 1.0)
    away = folder / "away.nii.gz"
    (folder / "images" / "s0.nii.gz").rename(away)
    return away


def test_strokes_that_wait_for_their_image_outlive_a_stroke_on_it(folder: Path) -> None:
    before = stored(folder, "s0")
    away = left(folder, 0, 1)
    with served(folder) as again:
        assert [line for line in again.folder().problems if ".studio/strokes/s0" in line]
        away.rename(folder / "images" / "s0.nii.gz")
        again.draw("s0", 1, strokes(3).tobytes(), 1.0)
        np.testing.assert_array_equal(again.scribble("s0", 0), strokes(2))
        assert again.folder().problems == []
    for index, drawn in enumerate([own.coded(strokes(2)), own.coded(strokes(3)), before[2]]):
        np.testing.assert_array_equal(stored(folder, "s0")[index], drawn)
    assert not list((folder / ".studio" / "strokes").iterdir())


@pytest.mark.parametrize("then", ["shown", "listed", "exported"])
def test_strokes_that_wait_for_their_image_are_written_when_it_is_back(folder: Path, then: str) -> None:
    (folder / "scribbles" / "s0.nii.gz").unlink()
    away = left(folder, 1)
    with served(folder) as again:
        away.rename(folder / "images" / "s0.nii.gz")
        if then == "shown":
            np.testing.assert_array_equal(again.scribble("s0", 1), strokes(2))
        elif then == "listed":
            told = again.folder()
            assert told.problems == []
            assert told.cases[1].scribbled == (1,)
        else:
            again.export("nnunet")
        np.testing.assert_array_equal(stored(folder, "s0")[1], own.coded(strokes(2)))


def test_strokes_that_do_not_fit_the_image_are_neither_shown_nor_lost(folder: Path) -> None:
    away = left(folder, 2)
    own.write(folder / "images" / "s0.nii.gz", nifti.read(away).array[:2])
    (folder / "scribbles" / "s0.nii.gz").unlink()
    with served(folder) as again:
        for ask in (lambda: again.scribble("s0", 0), lambda: again.draw("s0", 0, strokes(1).tobytes(), 1.0)):
            with pytest.raises(InputError, match="put the image back that they were drawn on"):
                ask()
        assert [line for line in again.folder().problems if ".studio/strokes/s0" in line]
    away.replace(folder / "images" / "s0.nii.gz")
    with served(folder) as again:
        np.testing.assert_array_equal(again.scribble("s0", 2), strokes(2))


def test_a_class_of_strokes_that_wait_is_not_removed(folder: Path) -> None:
    left(folder, 1)
    (folder / "scribbles" / "s0.nii.gz").unlink()
    with served(folder) as again, pytest.raises(RequestError, match="s0 has strokes of it"):
        again.set_classes(again.classes()[:3], [0, 1, 2])


def test_slices_that_the_file_does_not_hold_stay(folder: Path) -> None:
    kept = pending.Pending(Layout.open(folder))
    for index in (1, 2):
        kept.keep("s0", 0, index, strokes(index))
    kept.done("s0", [(0, 1)])
    assert [each.index for each in kept.of("s0")] == [2]
    kept.done("s0", [(0, 2)])
    assert kept.cases() == []
