"""The studio shows a scan alike however its file stores it, and what is drawn lies there in the patient."""

import csv
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from PIL import Image

import own
import tiny
import turned
from maskmixadv.formats.slicing import Header, View
from maskmixadv.studio.refusals import MissingError
from maskmixadv.studio.session import Session
from maskmixadv.types import IGNORE

NAMED = {codes.lower(): codes for codes in turned.WAYS}
IMAGE, SCRIBBLE, DENSE = tiny.volume()
DEPTH = len(IMAGE)


def read(path: Path) -> Any:
    return SimpleITK.ReadImage(str(path))


def back(path: Path) -> np.ndarray:
    """The file's array with its axes to left, posterior and superior, by SimpleITK."""
    return SimpleITK.GetArrayFromImage(turned.stored(read(path), "LPS"))


def same_grid(one: Any, other: Any) -> None:
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(one, name)(), getattr(other, name)(), atol=1e-5)


def predict(source: Path) -> None:
    """Lay a prediction of each case down, with doubt in the uppermost slice."""
    for case, codes in NAMED.items():
        dense = DENSE.copy()
        dense[1] = 3 * (dense[1] > 0)
        turned.write(source / "predictions" / "001" / f"{case}.nii.gz", turned.stored(turned.scan(dense), codes))
        doubt = np.zeros_like(DENSE)
        doubt[DEPTH - 1] = 255
        stored = SimpleITK.GetArrayFromImage(turned.stored(turned.scan(doubt), codes))
        np.savez_compressed(source / "predictions" / "001" / f"{case}.npz", disagreement=stored)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return turned.folder(tmp_path / "hearts", NAMED)


def test_slices_and_strokes_are_shown_in_one_view(source: Path) -> None:
    """Also where the strokes' file is stored otherwise than its image."""
    turned.write(source / "scribbles" / "ras.nii.gz", turned.stored(turned.scan(own.coded(SCRIBBLE)), "PSR"))
    session = Session(source)
    answers = {each.name: each for each in session.folder().cases}
    assert session.folder().problems == []
    for case in NAMED:
        assert answers[case].shape == list(IMAGE.shape)
        assert answers[case].spacing == pytest.approx(turned.THICK[::-1])
        for index in range(DEPTH):
            np.testing.assert_array_equal(session.image(case, index), session.image("lps", index))
            np.testing.assert_array_equal(session.scribble(case, index), SCRIBBLE[index])


def test_what_is_drawn_lies_there_in_the_patient(source: Path) -> None:
    for path in (source / "scribbles").iterdir():
        path.unlink()
    session, plane = Session(source), np.full(IMAGE.shape[1:], IGNORE, np.uint8)
    plane[4, 10:30], plane[20, 7] = 2, 1
    for case in NAMED:
        assert session.draw(case, 0, plane.tobytes(), seconds=1.0).scribbled == (0,)
        np.testing.assert_array_equal(session.scribble(case, 0), plane)
        path = source / "scribbles" / f"{case}.nii.gz"
        same_grid(read(path), read(source / "images" / f"{case}.nii.gz"))
        found = back(path)
        np.testing.assert_array_equal(found[0], own.coded(plane))
        assert (found[1:] == own.coded(np.array(IGNORE))).all()
    # Another session reads the same.
    for case in NAMED:
        np.testing.assert_array_equal(Session(source).scribble(case, 0), plane)


def test_reviews_and_exports_go_by_what_is_seen(source: Path) -> None:
    predict(source)
    session = Session(source)
    most = {each.case: each.slice for each in reversed(session.queue())}
    assert most == dict.fromkeys(NAMED, DEPTH - 1), "the slice in doubt comes first"
    for case in NAMED:
        np.testing.assert_array_equal(session.predicted(case, 1, "prediction"), 3 * (DENSE[1] > 0))
        assert session.review(case, 0, "rejected") == {0: "rejected"}
        assert session.review(case, 2, "accepted") == {0: "rejected", 2: "accepted"}
        assert {each.name: each for each in session.folder().cases}[case].reviews == {0: "rejected", 2: "accepted"}
    session.export("masks")
    rows = list(csv.DictReader((source / "export" / "masks" / "slices.csv").open()))
    for case, codes in NAMED.items():
        path = source / "export" / "masks" / f"{case}.nii.gz"
        same_grid(read(path), read(source / "images" / f"{case}.nii.gz"))
        found = back(path)
        assert (found[0] == 4).all(), "what was rejected"
        np.testing.assert_array_equal(found[2], DENSE[2])
        states = [row["state"] for row in rows if row["case"] == case]
        assert states == ["rejected", "predicted", "accepted"][:: -1 if "I" in codes else 1], "as the file counts"
    # A stroke takes the acceptance back.
    plane = np.full(IMAGE.shape[1:], IGNORE, np.uint8)
    plane[4, 10:30] = 2
    for case in NAMED:
        assert session.draw(case, 2, plane.tobytes(), seconds=0.0).reviews == {0: "rejected"}


def test_the_edges_of_a_view_have_the_patients_letters(source: Path) -> None:
    """Seen before: the same head upside down, mirrored, or both, by its header, and nothing that told."""
    for case in Session(source).folder().cases:
        assert case.edges == (("F", "H"), ("A", "P"), ("R", "L"))


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (0, (("F", "H"), ("A", "P"), ("R", "L"))),
        (1, (("A", "P"), ("H", "F"), ("R", "L"))),
        (2, (("R", "L"), ("H", "F"), ("A", "P"))),
    ],
)
@pytest.mark.parametrize("signs", list(itertools.product((1.0, -1.0), repeat=3)))
def test_letters_are_those_of_the_radiological_views(
    axis: int, expected: tuple[tuple[str, str], ...], signs: tuple[float, ...]
) -> None:
    header = Header((8, 8, 8), (1.0, 1.0, 1.0), np.diag([*signs, 1.0]))
    assert header.edges(header.radiological(axis)) == expected


def test_letters_of_oblique_slices_and_of_none() -> None:
    askew = np.array([[0.8, 0.6, 0.0, 0.0], [-0.6, 0.8, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    header = Header((8, 8, 8), (1.0, 1.0, 1.0), askew)
    assert header.edges(header.radiological(0)) == (("F", "H"), ("AR", "PL"), ("RP", "LA"))
    assert Header((1, 8, 8)).edges(View()) is None


def test_a_picture_has_no_letters(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "images" / "cell.png")
    (case,) = Session(tmp_path).folder().cases
    assert case.edges is None


def test_planes_across_the_slices_are_those_of_the_view(source: Path) -> None:
    session = Session(source)
    for case in NAMED:
        slices = np.stack([session.image(case, index) for index in range(DEPTH)])
        np.testing.assert_array_equal(session.across(case, 1, 5), slices[:, 5])
        np.testing.assert_array_equal(session.across(case, 2, 7), slices[:, :, 7])
    for axis, index in ((0, 0), (1, IMAGE.shape[1]), (2, -1)):
        with pytest.raises(MissingError):
            session.across("lps", axis, index)
