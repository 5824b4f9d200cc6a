"""Which structures a run keeps in one piece: read, written, carried out."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy

from maskmixadv.errors import InputError
from maskmixadv.networks import components
from maskmixadv.runs.pieces import FILE, Piece, Pieces

CLASSES = ("background", "RV", "LV")


def _piece(*names: str, kept: bool = True) -> Piece:
    return Piece(names, kept=kept, cases=9, outside=0.001, lost=0.0)


def test_a_run_without_a_decision_keeps_everything(tmp_path: Path) -> None:
    labels = np.array([[[1, 0, 1, 1, 0, 2]]], np.uint8)
    assert (Pieces.of_run(tmp_path, CLASSES).keep(labels, CLASSES) == labels).all()


def test_all_together_come_first_and_each_one_in_what_is_left() -> None:
    labels = np.array([[[1, 1, 1, 1, 0, 1, 2, 2, 1, 2]]], np.uint8)
    pieces = Pieces((_piece("RV", "LV"), _piece("RV", kept=False), _piece("LV")))
    assert pieces.keep(labels, CLASSES).tolist() == [[[0, 0, 0, 0, 0, 1, 2, 2, 1, 0]]]
    assert str(pieces) == "all structures together, LV"


def test_a_volume_is_gone_through_once_however_many_structures_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a CT of 300 slices each pass takes a third of a second."""
    names = ("background", *(f"organ {number}" for number in range(1, 31)))
    labels = np.random.default_rng(0).integers(0, 40, (4, 30, 30)).astype(np.uint8)
    labels[labels > 30] = 0
    expected, passes, find = labels, list[tuple[int, ...]](), scipy.ndimage.find_objects
    for structures in (list(range(1, 31)), *([label] for label in range(1, 31))):
        one = np.isin(expected, structures)
        parts, _ = scipy.ndimage.label(one, np.ones((3, 3, 3)))
        expected = np.where(one & (parts != 1 + np.bincount(parts.ravel())[1:].argmax()), 0, expected)
    monkeypatch.setattr(scipy.ndimage, "find_objects", lambda volume: passes.append(volume.shape) or find(volume))
    kept = Pieces((_piece(*names[1:]), *(_piece(name) for name in names[1:]))).keep(labels, names)
    assert passes == [labels.shape]
    assert np.array_equal(kept, expected)
    assert (kept != labels).mean() > 0.3


def test_structures_that_an_earlier_piece_has_emptied_are_none() -> None:
    labels = np.array([[[1, 1, 0, 2]]], np.uint8)
    boxes = components.boxes_of(labels)
    assert components.in_one_piece(np.array([[[1, 1, 0, 0]]], np.uint8), [2], boxes).tolist() == [[[1, 1, 0, 0]]]


def test_what_is_given_stays_as_it_is() -> None:
    labels = np.array([[[1, 0, 1, 1]]], np.uint8)
    assert Pieces((_piece("RV"),)).keep(labels, CLASSES).tolist() == [[[0, 0, 1, 1]]]
    assert labels.tolist() == [[[1, 0, 1, 1]]]


@pytest.mark.parametrize("names", [("liver",), ("RV", "background"), ()])
def test_structures_that_a_run_lacks_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    Pieces((_piece(*names),)).write(tmp_path)
    with pytest.raises(InputError, match=r"pieces\.json: structure '.*', allowed are those of the run: RV, LV"):
        Pieces.of_run(tmp_path, CLASSES)


@pytest.mark.parametrize("content", ['{"found": [{"structures": ["RV"]}]}', '{"found": 3}', "[]", "{"])
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=r"pieces\.json"):
        Pieces.of_run(tmp_path, CLASSES)


def test_the_file_tells_what_was_decided_by(tmp_path: Path) -> None:
    Pieces((_piece("RV", "LV"),)).write(tmp_path)
    told = json.loads((tmp_path / FILE).read_text())["found"][0]
    assert told == {"structures": ["RV", "LV"], "kept": True, "cases": 9, "outside": 0.001, "lost": 0.0, "masks": 0}
