"""The page in a browser: two tabs that paint, what a person hides, shapes between slices; and no fault of access."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

import own
import studio_page as sp
import tiny
from maskmixadv.formats import nifti
from studio_page import Studio
from studio_server import predict

pytestmark = [sp.NEEDS_CHROMIUM, pytest.mark.slow]
DENSE = tiny.volume()[2]
AXE = Axe()
SCHEMES: dict[Literal["dark", "light"], list[str]] = {"dark": [], "light": ["color-contrast"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = own.folder(tmp_path_factory.mktemp("page") / "hearts", scribbled=1, masked=1)
    own.case(folder, "s1", 1, scribble=False)
    predict(folder)
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with sp.studio(folder) as (url, _):
        yield url


def painter(browser: Browser, address: str) -> Studio:
    studio = Studio.open(browser, address)
    studio.page.click("#tab-review")
    studio.go("s0", 1)
    studio.page.keyboard.press("p")
    mask(studio)
    return studio


def mask(studio: Studio) -> np.ndarray:
    """The shown slice's mask, when it has come."""
    for _ in range(100):
        if (found := studio.module("slices", "m.arrays().mask && [...m.arrays().mask]")) is not None:
            return np.array(found, np.uint8).reshape(DENSE.shape[1:])
        studio.page.wait_for_timeout(50)
    raise AssertionError("no mask came")


def kept(folder: Path) -> np.ndarray:
    return nifti.read(folder / "corrected" / "s0.nii.gz").array[1]


def test_two_tabs_that_paint_one_mask_keep_both(browser: Browser, address: str, folder: Path) -> None:
    one, other = painter(browser, address), painter(browser, address)
    one.stroke("3", [(36, 6), (44, 6)])
    one.saved()
    assert kept(folder)[6, 40] == 3
    other.stroke("2", [(36, 18), (44, 18)])  # elsewhere: nothing is asked
    expect(other.page.locator("#toast")).to_contain_text("both are kept")
    other.saved()
    assert (kept(folder)[6, 40], kept(folder)[18, 40]) == (3, 2)
    np.testing.assert_array_equal(mask(other), kept(folder))

    one.stroke("1", [(36, 18), (44, 18)])  # on the same pixels: a person chooses
    expect(one.page.locator("#conflict-title")).to_have_text("Another page has painted here, too")
    expect(one.page.locator("#conflict-where")).to_contain_text("pixels differ")
    one.page.click("#conflict button[value=theirs]")
    one.saved()
    assert (kept(folder)[6, 40], kept(folder)[18, 40]) == (3, 2)

    other.stroke("1", [(2, 38), (8, 38)])
    other.saved()
    one.page.click("#discard")  # not what this page saw
    expect(one.page.locator("#toast")).to_contain_text("is not discarded")
    assert mask(one)[38, 5] == 1
    one.saved()
    assert kept(folder)[38, 5] == 1
    one.page.click("#discard")
    one.saved()
    other.stroke("3", [(2, 20), (8, 20)])
    expect(other.page.locator("#toast")).to_contain_text("has discarded the mask")
    other.saved()
    assert (kept(folder)[38, 5], kept(folder)[20, 5]) == (1, 3)
    for studio in (one, other):
        assert [fault for fault in studio.faults if "409" not in fault and "404" not in fault] == []
        studio.page.context.close()


def pixels(studio: Studio) -> bytes:
    return studio.page.locator("#canvas").screenshot()


def test_strokes_and_labels_are_hidden_also_after_a_reload(browser: Browser, address: str) -> None:
    studio = Studio.open(browser, address)
    page, keys, note = studio.page, studio.page.keyboard, studio.page.locator("#hidden")
    studio.go("s0", 2)
    both = pixels(studio)
    keys.press("z")
    expect(note).to_have_text("hidden: strokes (Z)")
    expect(page.locator("#panel-draw [data-strokes]")).not_to_be_checked()
    without = pixels(studio)
    assert without != both
    keys.press("o")
    expect(note).to_have_text("hidden: strokes (Z), labels (O)")
    assert pixels(studio) not in (both, without)
    page.reload()
    page.wait_for_selector("body[data-ready]")
    studio.settled()
    expect(note).to_have_text("hidden: strokes (Z), labels (O)")
    studio.stroke("2", [(4, 4), (8, 4)])  # what is drawn is to be seen
    expect(note).to_have_text("hidden: labels (O)")
    keys.press("Control+z")
    page.click("#tab-review")
    keys.press("p")
    expect(note).to_have_text("")
    keys.press("o")
    page.click("#tab-draw")
    page.uncheck("#panel-draw [data-strokes]")
    expect(note).to_have_text("hidden: strokes (Z), labels (O)")
    assert studio.faults == []
    page.context.close()


@pytest.mark.slow
def test_shapes_between_painted_slices_are_one_key(browser: Browser, address: str) -> None:
    studio = Studio.open(browser, address)
    page, keys = studio.page, studio.page.keyboard
    page.click("#tab-review")
    for z in (0, 2):
        studio.go("s1", z)
        if z == 0:
            keys.press("p")
        mask(studio)
        page.click("[data-begin=empty]")
        studio.stroke("3", [(20 + z, 20), (24 + z, 20)])
        studio.saved()
    keys.press("p")
    page.click("#tab-draw")
    keys.press(".")
    expect(page.locator("#toast")).to_contain_text("Filled slice 2:")
    studio.go("s1", 1)
    labels = np.array(studio.module("proposals", "[...m.shownProposal()]"), np.uint8).reshape(DENSE.shape[1:])
    assert set(np.unique(labels)) == {0, 3}
    assert labels[20, 23] == 3
    keys.press("q")
    assert studio.module("proposals", "m.shownProposal()") is None
    keys.press(".")
    expect(page.locator("#accept-proposal")).to_be_enabled()
    keys.press("u")
    expect(page.locator("#toast")).to_contain_text("Accepted")
    assert studio.faults == []
    page.context.close()


def wrong(studio: Studio, where: str, rules: list[str]) -> list[str]:
    """What axe-core finds wrong with the page as it stands; by all rules, or by some."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    told = AXE.run(studio.page, options=options).response
    assert told["passes"], "it has looked at something"
    return [
        f"{where}: {each['id']}, {each['help']}: {node['html'][:150]} {node['failureSummary']}"
        for each in told["violations"]
        for node in each["nodes"]
    ]


def test_an_export_holds_what_was_painted_last_and_names_what_it_lacks(
    browser: Browser, address: str, folder: Path
) -> None:
    own.case(folder, "late", 2, scribble=False)  # no run has predicted it
    studio = painter(browser, address)
    page, button = studio.page, studio.page.locator("[data-export=masks]")
    studio.stroke("2", [(44, 30), (46, 30)])
    button.evaluate("(one) => one.click()")  # before what was painted is sent, which takes 0.3 s
    page.wait_for_selector("#exported:not([hidden])", state="attached")
    assert nifti.read(folder / "export" / "masks" / "s0.nii.gz").array[1][30, 45] == 2
    page.click("#tab-numbers")
    expect(page.locator("#export-left li")).to_contain_text(["Not exported: late"])
    expect(page.locator("#toast")).not_to_contain_text("late")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#exported:not([hidden])")
    assert button.evaluate("(one) => one === document.activeElement")
    assert studio.faults == []
    page.click("[data-export=seg]")  # of no DICOM
    expect(page.locator("#export-left li")).to_contain_text([f"Not exported: {name}" for name in ("m0", "s0", "s1")])
    expect(page.locator("#exported")).to_be_hidden()
    page.context.close()


@pytest.mark.slow
def test_axe_finds_nothing(browser: Browser, address: str) -> None:
    """All rules in the dark, and once more in the light what colours decide."""
    studio = Studio.open(browser, address)
    page, found = studio.page, []
    studio.go("s0", 1)
    for scheme, rules in SCHEMES.items():
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for tab in ("draw", "train", "review", "numbers"):
            page.click(f"#tab-{tab}")
            if tab == "review" and not page.locator("#mask-tools").is_visible():
                page.keyboard.press("p")
                page.check("#in-range")
            found += wrong(studio, f"{scheme}, {tab}", rules)
        page.click("#tab-draw")
        for dialog in ("help", "classes", "conflict"):
            if dialog == "classes":
                page.click("#edit-classes")
            else:
                page.evaluate("(name) => document.getElementById(name).showModal()", dialog)
            found += wrong(studio, f"{scheme}, {dialog}", rules)
            page.keyboard.press("Escape")
    assert found == []
    page.context.close()
