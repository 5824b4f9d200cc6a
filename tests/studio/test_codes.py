"""Codes of files that came with a folder: the studio reads them, and writes the same."""

from pathlib import Path

import numpy as np
import pytest

import own
import tiny
from maskmixadv.errors import InputError
from maskmixadv.formats import nifti
from maskmixadv.sources import follow
from maskmixadv.sources.classes import read
from maskmixadv.studio import palette
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.palette import PaletteClass
from maskmixadv.studio.refusals import RequestError
from maskmixadv.studio.scribbles import Scribbles
from maskmixadv.studio.session import Session
from maskmixadv.types import IGNORE
from studio_server import client, refused

IMAGE, SCRIBBLE, DENSE = tiny.volume()


def folder(root: Path, text: str, codes: np.ndarray) -> Layout:
    own.write(root / "images" / "a.nii.gz", IMAGE)
    own.write(root / "scribbles" / "a.nii.gz", codes)
    (root / "classes.toml").write_text(text)
    return Layout.open(root)


def scribbles(layout: Layout) -> Scribbles:
    return Scribbles(layout, palette.read(layout), lambda case: nifti.read(layout.images / f"{case}.nii.gz"))


def test_0_for_nothing_drawn_is_read_and_written(tmp_path: Path) -> None:
    drawn = np.where(SCRIBBLE == IGNORE, 0, SCRIBBLE).astype(np.uint8)  # the background has no strokes
    layout = folder(tmp_path, f"ignore = 0\n{own.CLASSES}", drawn)
    strokes = scribbles(layout)
    found = strokes.read("a", SCRIBBLE.shape)
    np.testing.assert_array_equal(found, np.where(SCRIBBLE == 0, IGNORE, SCRIBBLE))
    strokes.write("a", SCRIBBLE, nifti.read(tmp_path / "images" / "a.nii.gz"))  # now it has
    expected = np.where(SCRIBBLE == 0, 4, drawn)
    np.testing.assert_array_equal(nifti.read_labels(tmp_path / "scribbles" / "a.nii.gz").array, expected)
    declared = read(tmp_path / "classes.toml")
    assert (declared.ignore, declared.codes) == (0, (4, 1, 2, 3))
    np.testing.assert_array_equal(scribbles(layout).read("a", SCRIBBLE.shape), SCRIBBLE)


def test_strokes_that_would_become_background_are_refused(tmp_path: Path) -> None:
    layout = folder(tmp_path, own.CLASSES, np.where(SCRIBBLE == IGNORE, 0, SCRIBBLE).astype(np.uint8))
    with pytest.raises(InputError, match="write 'ignore = 0' at the top"):
        scribbles(layout).read("a", SCRIBBLE.shape)


def test_codes_stay_when_classes_are_added(tmp_path: Path) -> None:
    codes = np.array([0, 200, 100, 255], np.uint8)
    text = "".join(
        f'[[class]]\nname = "{name}"\ncode = {code}\n' for name, code in zip(tiny.CLASSES, codes, strict=True)
    )
    drawn = np.where(SCRIBBLE == IGNORE, 9, codes[SCRIBBLE % 4]).astype(np.uint8)
    layout = folder(tmp_path, f"ignore = 9\n{text}", drawn)
    found = palette.read(layout)
    np.testing.assert_array_equal(scribbles(layout).read("a", SCRIBBLE.shape), SCRIBBLE)
    more = found.of([*found.classes, PaletteClass("scar", "#ff0000")])
    more.write(tmp_path / "classes.toml")
    assert read(tmp_path / "classes.toml").codes == (0, 200, 100, 255, 4)
    assert (found.rejected, more.coded.encoded(np.array([[[4, IGNORE]]], np.uint8)).tolist()) == (9, [[[4, 9]]])


def test_codes_beyond_a_byte_are_refused(tmp_path: Path) -> None:
    layout = folder(tmp_path, own.CLASSES + "code = 500\n", own.coded(SCRIBBLE))
    with pytest.raises(InputError, match=r"classes\.toml: code 500, allowed in the studio are 0 to 255"):
        palette.read(layout)


def test_a_class_without_strokes_is_removed_and_the_others_keep_their_codes(tmp_path: Path) -> None:
    drawn = np.where(SCRIBBLE == 2, IGNORE, SCRIBBLE).astype(np.uint8)
    folder(tmp_path, own.CLASSES, own.coded(drawn))
    session = Session(tmp_path)
    before = session.classes()
    with pytest.raises(RequestError, match="'RV' is not removed: a has strokes of it; erase them first"):
        session.set_classes([before[0], before[2], before[3]], [0, 2, 3])
    more = PaletteClass("scar", "#ff0000")
    session.set_classes([before[0], before[1], before[3], more], [0, 1, 3, None])
    expected = np.where(drawn == 3, 2, drawn)
    for each in (session, Session(tmp_path)):
        assert [one.name for one in each.classes()] == ["background", "RV", "LV", "scar"]
        for index in range(len(drawn)):
            np.testing.assert_array_equal(each.scribble("a", index), expected[index])
    assert read(tmp_path / "classes.toml").codes == (0, 1, 3, 5), "the removed code is not used again"
    for wrong in ([0, 2, 1, 3], [1, 2], [0, 9]):
        with pytest.raises(RequestError, match="in order"):
            session.set_classes(session.classes()[: len(wrong)], wrong)


def test_a_class_in_masks_or_predictions_is_not_removed(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "hearts", scribbled=0, masked=1)
    session = Session(source)
    with pytest.raises(RequestError, match="masks/ holds it in m0; rename it"):
        session.set_classes(session.classes()[:-1])
    (source / "masks" / "m0.nii.gz").unlink()
    (source / "predictions" / "001").mkdir()
    (source / "predictions" / "001" / "m0.nii.gz").write_bytes(b"")
    with pytest.raises(RequestError, match="run 001 has learnt it"):
        session.set_classes(session.classes()[:-1])


def broad(*, wholly: bool = False) -> np.ndarray:
    """Strokes of a picture: most of it is background by a broad pen, beside a thin line."""
    drawn = np.full((64, 64), IGNORE, np.uint8)
    drawn[: 64 if wholly else 40] = 0
    drawn[50, 20:40] = 1
    return drawn


def thin() -> np.ndarray:
    """A thin stroke alone."""
    return np.where(broad() == 1, 1, IGNORE).astype(np.uint8)


def pictures(root: Path, *names: str) -> Path:
    for name in names:
        own.write(root / "images" / f"{name}.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    return root


@pytest.mark.parametrize("text", ["", "ignore = 9\n", None])
def test_strokes_by_a_broad_pen_are_read_again(tmp_path: Path, text: str | None) -> None:
    root = pictures(tmp_path, "pic")
    if text is not None:  # one that states the code of a pixel without stroke, and one that does not
        (root / "classes.toml").write_text(text + own.CLASSES)
    with client(root) as page:
        assert page.put("/api/cases/pic/slices/0/scribble", content=broad().tobytes()).status_code == 200
    with client(root) as page:
        told = page.get("/api/folder").json()
        assert (told["problems"], told["cases"][0]["scribbled"]) == ([], [0])
        served = np.frombuffer(page.get("/api/cases/pic/slices/0/scribble").content, np.uint8)
        np.testing.assert_array_equal(served.reshape(64, 64), broad())
        assert "No slice has strokes." not in [want["what"] for want in page.get("/api/ready").json()["wants"]]
    scribble = own.by_name(follow.current(root))["pic"].scribble
    assert scribble is not None
    np.testing.assert_array_equal(scribble[0], broad())


def test_strokes_that_would_not_be_read_again_are_refused(tmp_path: Path) -> None:
    root = pictures(tmp_path, "pic")
    with client(root) as page:
        whole = page.put("/api/cases/pic/slices/0/scribble", content=broad(wholly=True).tobytes())
        refused(whole, 400, "each pixel has a stroke", "paint the mask")
        assert page.get("/api/folder").json()["cases"][0]["scribbled"] == []


def test_a_stroke_does_not_say_what_codes_of_others_mean(tmp_path: Path) -> None:
    root = pictures(tmp_path, "foreign", "pic")
    own.write(root / "scribbles" / "foreign.png", np.where(broad() == 1, 1, 0).astype(np.uint8))
    (root / "classes.toml").write_text(own.CLASSES)
    with client(root) as page:
        refused(page.put("/api/cases/pic/slices/0/scribble", content=broad().tobytes()), 400, "foreign", "ignore = 0")
        assert page.put("/api/cases/pic/slices/0/scribble", content=thin().tobytes()).status_code == 200
    assert (root / "classes.toml").read_text() == own.CLASSES
    with pytest.raises(InputError, match=r"foreign.*write 'ignore = 0'"):
        follow.current(root)
