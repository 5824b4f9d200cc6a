"""What the page shows is so, in a browser: two tabs, a server that restarts, reloads, files that vanish."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

import own
import studio_page as sp
from studio_page import Studio

pytestmark = [sp.NEEDS_CHROMIUM, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own.folder(tmp_path / "hearts", scribbled=2, masked=1)


def stored(folder: Path, name: str, z: int) -> np.ndarray:
    return sp.read(folder / "scribbles" / f"{name}.nii.gz")[z]


def faults(studio: Studio) -> list[str]:
    """The page's faults, but for the refusals that it was to get."""
    return [each for each in studio.faults if not re.search("status of 4", each)]


def test_two_tabs_keep_the_strokes_of_both(browser: Browser, folder: Path) -> None:
    with sp.studio(folder) as (url, _):
        one, other = Studio.open(browser, url), Studio.open(browser, url)
        for tab in (one, other):
            tab.go("m0", 1)
        one.stroke("1", [(5, 5), (20, 5)])
        one.saved()
        other.stroke("2", [(5, 30), (20, 30)])
        expect(other.page.locator("#toast")).to_contain_text("both are kept")
        other.saved()
        both = stored(folder, "m0", 1)
        assert (both[4:6, 6:19] == 1).all()
        assert (both[29:31, 6:19] == 2).all()
        assert set(other.drawn()) == {"RV", "Myo"}
        # The first tab has not seen that, and draws where the second one drew.
        one.stroke("3", [(10, 25), (10, 35)])
        expect(one.page.locator("#conflict")).to_be_visible()
        one.page.click("#conflict button[value=theirs]")
        one.saved()
        both = stored(folder, "m0", 1)
        assert (both[29:31, 6:19] == 2).all(), "what the other tab was told is saved stays"
        assert (both[25:28, 9:11] == 3).all(), "and so do the strokes that are in nobody's way"
        # A tab that somebody comes back to shows what holds.
        other.page.evaluate("dispatchEvent(new Event('focus'))")
        expect(other.page.locator("#counts li").nth(2)).to_contain_text("px")
        assert faults(one) == faults(other) == []
        one.page.context.close()
        other.page.context.close()


def test_a_restarted_server_is_found_again_and_the_place_is_kept(browser: Browser, folder: Path) -> None:
    with sp.studio(folder) as (url, _):
        studio = Studio.open(browser, url)
        studio.go("s1", 2)
    studio.stroke("1", [(5, 5), (20, 5)])
    expect(studio.page.locator("#saved")).to_have_attribute("data-state", "unsaved", timeout=10_000)
    with sp.studio(folder) as (again, _):
        assert again == url
        studio.saved()
        drawn = stored(folder, "s1", 2)
        assert (drawn[4:6, 6:19] == 1).all()
        page = studio.page
        page.click("#tab-review")
        page.locator("#canvas").focus()
        for key in ("+", "+", "w"):
            page.keyboard.press(key)
        page.locator("#width").fill(page.get_attribute("#width", "max") or "")
        before = studio.module("view", "m.frameNow()"), page.inner_text("#grey")
        page.reload()
        page.wait_for_selector("body[data-ready]")
        studio.settled()
        assert studio.place == ("s1", 2)
        assert page.get_attribute("#tab-review", "aria-selected") == "true"
        assert (studio.module("view", "m.frameNow()"), page.inner_text("#grey")) == before
        page.locator("#canvas").focus()
        page.keyboard.press("Control+z")
        studio.saved()
        undone = stored(folder, "s1", 2)
        assert not (undone[4:6, 6:19] == 1).any()
        page.keyboard.press("Control+Shift+Z")
        studio.saved()
        np.testing.assert_array_equal(stored(folder, "s1", 2), drawn)
        page.context.close()


def test_next_goes_on_also_where_nothing_is_drawn(browser: Browser, folder: Path) -> None:
    with sp.studio(folder) as (url, _):
        studio = Studio.open(browser, url)
        been = []
        for _ in range(3):
            studio.page.keyboard.press("n")
            studio.page.wait_for_timeout(250)
            been.append(studio.place)
        assert len(set(been)) == 3, been
        assert studio.faults == []
        studio.page.context.close()


def test_an_image_that_vanishes_is_told_and_not_asked_for_without_end(browser: Browser, folder: Path) -> None:
    with sp.studio(folder) as (url, _):
        studio = Studio.open(browser, url)
        page, asked = studio.page, list[str]()
        studio.go("s0", 0)
        page.on("request", lambda request: asked.append(request.url))
        (folder / "images" / "s0.nii.gz").rename(folder / "images" / "s0new.nii.gz")
        studio.module("state", "m.go('s0', 2)")
        expect(page.locator("#problems")).to_contain_text("scribbles/s0.nii.gz: no image of this name; call it")
        expect(page.locator("#cases li")).to_have_text([re.compile(name) for name in ("m0", "s0new", "s1")])
        page.wait_for_timeout(6000)  # a page waits 2 s before it asks again for what did not come
        assert len([url for url in asked if "/s0/" in url]) <= 4, asked
        studio.go("s1", 1)
        studio.stroke("1", [(5, 5), (20, 5)])
        studio.saved()
        # A replaced image is read again, and strokes that no longer fit are told.
        own.write(folder / "images" / "s1.nii.gz", np.random.default_rng(0).random((3, 20, 24)))
        page.wait_for_timeout(600)
        page.evaluate("dispatchEvent(new Event('focus'))")
        expect(page.locator("#problems")).to_contain_text("put the image back that it was made on")
        assert studio.module("state", "m.shown().shape") == [3, 20, 24]
        # What the server does not take is named as long as it is not saved.
        studio.go("m0", 1)
        (folder / "images" / "m0.nii.gz").rename(folder / "images" / "m0new.nii.gz")
        studio.stroke("1", [(5, 5), (20, 5)])
        expect(page.locator("#saved")).to_have_text("Not saved: m0, slice 2")
        expect(page.locator("#toast")).to_contain_text("m0: no such case; its image was renamed")
        page.context.close()


def test_what_goes_wrong_in_a_dialog_is_told_in_it(browser: Browser, folder: Path) -> None:
    with sp.studio(folder) as (url, _):
        studio = Studio.open(browser, url)
        page = studio.page
        page.click("#edit-classes")
        page.click("#class-rows [aria-label='Remove Myo']")
        page.click("#classes-form button[type=submit]")
        expect(page.locator("#classes .trouble")).to_contain_text("'Myo' is not removed: s0, s1 have strokes of it")
        page.click("#cancel-classes")
        expect(page.locator("#class-buttons button")).to_have_count(4)
        assert faults(studio) == []
        page.context.close()
