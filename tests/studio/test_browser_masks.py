"""Painting on masks in a browser: brush, eraser, polygon, fill, range, undo, and what then lies on disk."""

import os
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

import own
import studio_page as sp
import tiny
from maskmixadv.formats import nifti
from studio_page import Studio
from studio_server import predict

pytestmark = sp.NEEDS_CHROMIUM
DENSE = tiny.volume()[2]


def await_mask(studio: Studio) -> None:
    """Wait until the shown slice's mask has come: the page's own waiting does not await what a promise brings."""
    for _ in range(100):
        if studio.module("slices", "m.arrays().mask !== null"):
            return
        studio.page.wait_for_timeout(100)
    pytest.fail("the mask did not come")


def shown(studio: Studio) -> np.ndarray:
    await_mask(studio)
    rows, columns = DENSE.shape[1:]
    return np.array(studio.module("slices", "Array.from(m.arrays().mask)")).reshape(rows, columns)


def corners(studio: Studio, points: list[tuple[float, float]]) -> None:
    box = studio.page.locator("#canvas").bounding_box()
    assert box is not None
    for x, y in studio.module("view", "a.map(([x, y]) => m.toScreen(x, y))", points):
        studio.page.mouse.click(box["x"] + x, box["y"] + y)


def test_masks_are_painted(browser: Browser, tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=1, masked=1)
    own.case(folder, "s1", 1)
    predict(folder)
    with sp.studio(folder) as (url, _):
        studio = Studio.open(browser, url, size=(1280, 900))
        page = studio.page
        page.click("#tab-review")
        page.uncheck("#advance")
        studio.go("s0", 1)
        page.keyboard.press("a")
        expect(page.locator("#verdict")).to_have_text("Accepted")
        page.keyboard.press("p")
        await_mask(studio)
        np.testing.assert_array_equal(shown(studio), DENSE[1])

        # A stroke of the brush makes the slice dense; the acceptance gives way to it.
        studio.stroke("3", [(36, 8), (44, 8)])
        expect(page.locator("#verdict")).to_have_text("Corrected by hand")
        assert shown(studio)[8, 40] == 3
        studio.saved()
        np.testing.assert_array_equal(nifti.read(folder / "corrected/s0.nii.gz").array[1], shown(studio))
        page.keyboard.press("a")
        expect(page.locator("#toast")).to_contain_text("discard it to judge")

        # The eraser leaves other structures if it is asked to.
        page.check("#sparing")
        page.keyboard.press("2")
        page.keyboard.press("e")
        studio_drag(studio, [(5, 14), (40, 14)])
        assert not (shown(studio)[14] == 2).any()
        assert (shown(studio)[14] == 1).any()
        page.keyboard.press("e")
        page.uncheck("#sparing")

        # A polygon by its corners, which a click on the first one closes; undo and redo.
        before = shown(studio)
        page.keyboard.press("s")
        page.keyboard.press("3")
        corners(studio, [(2, 34), (12, 34), (12, 38), (2, 38), (2, 34)])
        np.testing.assert_array_equal(np.argwhere(shown(studio) != before).min(0), [34, 2])
        np.testing.assert_array_equal(np.argwhere(shown(studio) != before).max(0), [37, 11])
        page.keyboard.press("Control+z")
        np.testing.assert_array_equal(shown(studio), before)
        page.keyboard.press("Control+Shift+z")
        assert (shown(studio) != before).sum() == 40

        # Fill one region of a label.
        page.keyboard.press("h")
        page.keyboard.press("1")
        corners(studio, [(5, 36)])
        assert (shown(studio)[34:38, 2:12] == 1).all()
        assert shown(studio)[8, 40] == 3

        # The brush within a range of intensities: the image is bright where the structures are.
        page.keyboard.press("b")
        page.keyboard.press("y")
        page.fill("#range-low", "150")
        page.fill("#range-high", "2000")
        before = shown(studio)
        page.locator("#canvas").focus()
        studio.stroke("3", [(3, 31), (44, 31)])
        changed = np.argwhere(shown(studio) != before)
        assert len(changed)
        image = nifti.read(folder / "images" / "s0.nii.gz").array[1]
        assert (image[tuple(changed.T)] >= 150).all()
        page.keyboard.press("y")
        studio.saved()
        np.testing.assert_array_equal(nifti.read(folder / "corrected/s0.nii.gz").array[1], shown(studio))
        if "MASKMIXADV_SCREENSHOTS" in os.environ:
            pictures = Path(os.environ["MASKMIXADV_SCREENSHOTS"])
            studio.look("paint", pictures)
            page.emulate_media(color_scheme="light")
            studio.look("paint-light", pictures)

        # Strokes would not count here; painting that is all taken back was none.
        page.keyboard.press("p")
        studio.stroke("2", [(20, 4), (30, 4)])
        expect(page.locator("#toast")).to_contain_text("The painted mask of this slice counts")
        studio.go("s0", 2)
        page.keyboard.press("p")
        await_mask(studio)
        studio.stroke("3", [(36, 8), (44, 8)])
        studio.saved()
        page.keyboard.press("Control+z")
        studio.saved()
        expect(page.locator("#verdict")).to_have_text("Not judged yet")

        # A mask that came with the folder is opened.
        studio.go("m0", 0)
        page.check("#given")
        expect(page.locator("#mask-state")).to_contain_text("the mask that came with the folder")
        page.click("#keep-mask")
        expect(page.locator("#verdict")).to_have_text("Corrected by hand")
        studio.saved()
        np.testing.assert_array_equal(nifti.read(folder / "corrected/m0.nii.gz").array[0], DENSE[0])
        page.select_option("#use", "validate")

        page.click("#tab-numbers")
        expect(page.locator("#numbers")).to_contain_text("2 of 3")
        expect(page.locator("#numbers .nobody")).to_have_count(1)
        if "MASKMIXADV_SCREENSHOTS" in os.environ:
            studio.look("volumes-light", Path(os.environ["MASKMIXADV_SCREENSHOTS"]))

        # Regions: a triangle's pixels, and what is joined by sides alone.
        triangle = studio.module("region", "m.inside([[0, 0], [4, 0], [0, 4]], {h: 4, w: 5})")
        assert triangle == [0, 1, 2, 5, 6, 10]
        assert sorted(studio.module("region", "m.joined([1, 0, 1, 1, 0, 1], {h: 2, w: 3}, 0)")) == [0, 3]
        assert studio.module("state", "m.state.tool.size") < 8, "strokes have the width that they had"
        assert studio.faults == []
        page.context.close()
    stored = nifti.read(folder / "corrected" / "s0.nii.gz").array
    assert (stored[[0, 2]] == 4).all()
    assert '"use": "validate"' in (folder / "cases.json").read_text()


@pytest.mark.slow
def test_painting_is_undone_also_after_a_reload(browser: Browser, tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=1, masked=1)
    own.case(folder, "s1", 1)
    predict(folder)
    painted = folder / "corrected/s0.nii.gz"
    with sp.studio(folder) as (url, _):
        studio = Studio.open(browser, url, size=(1280, 900))
        page = studio.page
        page.click("#tab-review")
        studio.go("s0", 1)

        def again() -> None:
            studio.saved()
            page.reload()
            page.wait_for_selector("body[data-ready]")
            studio.settled()
            page.keyboard.press("p")
            await_mask(studio)

        def press(key: str) -> np.ndarray:
            page.locator("#canvas").focus()
            page.keyboard.press(key)
            return shown(studio)

        page.keyboard.press("p")
        await_mask(studio)
        studio.stroke("3", [(36, 8), (44, 8)])
        first = shown(studio)
        studio.stroke("3", [(5, 14), (40, 14)])
        second = shown(studio)
        assert (first != second).any()
        again()
        np.testing.assert_array_equal(press("Control+z"), first)
        studio.saved()
        np.testing.assert_array_equal(nifti.read(painted).array[1], first)
        again()
        np.testing.assert_array_equal(press("Control+Shift+Z"), second)
        press("Control+z")
        np.testing.assert_array_equal(press("Control+z"), DENSE[1])
        studio.saved()
        expect(page.locator("#verdict")).to_have_text("Not judged yet")  # who takes all back has not painted
        again()
        np.testing.assert_array_equal(press("Control+Shift+Z"), first)
        studio.saved()
        np.testing.assert_array_equal(nifti.read(painted).array[1], first)

        # What was discarded is not put back, and may be discarded before it is saved.
        page.click("#discard")
        studio.saved()
        studio.stroke("3", [(36, 8), (44, 8)])
        page.click("#discard")
        again()
        np.testing.assert_array_equal(press("Control+Shift+Z"), DENSE[1])
        assert studio.faults == []
        page.context.close()


def studio_drag(studio: Studio, path: list[tuple[float, float]]) -> None:
    """Drag the mouse along `path` without choosing a class."""
    box = studio.page.locator("#canvas").bounding_box()
    assert box is not None
    (x, y), *rest = studio.module("view", "a.map(([x, y]) => m.toScreen(x, y))", path)
    studio.page.mouse.move(box["x"] + x, box["y"] + y)
    studio.page.mouse.down()
    for x, y in rest:
        studio.page.mouse.move(box["x"] + x, box["y"] + y)
    studio.page.mouse.up()
