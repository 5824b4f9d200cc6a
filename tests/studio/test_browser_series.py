"""A DICOM series in a browser: a folder and a zip are dropped onto the page, and drawn on."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect
from pydicom.dataset import FileDataset

import studio_page as sp
import tiny
from dicom_pictures import write_picture
from dicoms import AXIAL, packed, write_series
from studio_page import Studio

pytestmark = [sp.NEEDS_CHROMIUM, pytest.mark.slow]


HAND = (tiny.volume()[0][0] * 900).astype(np.uint16)


def at_the_detector(one: FileDataset) -> None:
    one.ImagerPixelSpacing = [0.5, 0.4]


def drop(studio: Studio, *paths: Path) -> None:
    """Drop files and folders onto the slice, as a file manager does."""
    session = studio.page.context.new_cdp_session(studio.page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": data})


def sorts_what_is_added(studio: Studio) -> None:
    """The pure parts of the page's module."""
    found = [
        {"folder": folder, "file": {"name": name, "size": 1}}
        for folder, name in (
            ("", "a.nii.gz"), ("", "b.zip"), ("study/s1", "IM1"), ("study/s1", "IM2"), ("study/s1", ".x"),
            ("study/s2", "1.dcm"), ("pictures", "p.png"), ("pictures", "notes.txt"), ("", "hand.dcm"),
        )
    ]  # fmt: skip
    shown = studio.module("uploads", "m.sorted(a).map((e) => [e.name, e.files.length, e.series])", found)
    assert shown == [
        ["a.nii.gz", 1, False], ["b.zip", 1, False], ["hand.dcm", 1, False], ["s1", 2, True], ["s2", 1, True],
        ["p.png", 1, False],
    ]  # fmt: skip
    assert studio.module("uploads", "m.leftOut(a)", found) == [
        "pictures: one file is not added, as images lie beside and the name is no image's (notes.txt)"
    ]
    said = "await m.send(a).catch((error) => error.message)"
    large = {"name": "a.nii", "files": [{"name": "a.nii", "size": 600 * 2**20}], "series": False}
    assert "600 MB, allowed are up to 512" in studio.module("uploads", said, large)
    loose = {"name": "IM1", "files": [{"name": "IM1", "size": 6}], "series": False}
    assert "add the folder" in studio.module("uploads", said, loose)


def test_a_series_is_dropped_and_drawn_on(browser: Browser, tmp_path: Path) -> None:
    source = write_series(tmp_path / "heart", (tiny.volume()[0] * 900).astype(np.uint16), directions=AXIAL)
    (source / ".DS_Store").write_bytes(b"x")
    packed(source, tmp_path / "packed.zip")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "IM1").write_bytes(sorted(source.iterdir())[1].read_bytes()[:900])
    folder = tmp_path / "hearts"
    with sp.studio(folder) as (url, _):
        studio = Studio.open(browser, url, empty=True)
        drop(studio, source, tmp_path / "packed.zip")
        page = studio.page
        expect(page.locator("#cases .name")).to_have_text(["heart", "packed"])
        studio.settled()
        studio.stroke("1", [(10, 20), (25, 20)])
        studio.saved()
        drop(studio, tmp_path / "broken")
        expect(page.locator("#toast")).to_contain_text("broken/IM1: ")
        page.locator("#series").set_input_files(source)
        expect(page.locator("#toast")).to_contain_text("heart: an image of this name is there already")
        drop(studio, write_picture(tmp_path / "hand.dcm", HAND, change=at_the_detector))
        expect(page.locator("#cases .name")).to_have_text(["hand", "heart", "packed"])
        expect(page.locator("#cases .reason")).not_to_be_visible()
        page.click("#cases button >> nth=0")
        expect(page.locator("#cases .reason")).to_contain_text("lengths are magnified")
        assert sorted(path.name for path in (folder / "images").iterdir()) == ["hand.dcm", "heart", "packed.zip"]
        assert [path.name for path in (folder / "scribbles").iterdir()] == ["heart.nii.gz"]
        refused = [fault for fault in studio.faults if "400" not in fault and "409" not in fault]
        assert refused == []
        sorts_what_is_added(studio)
        page.context.close()
