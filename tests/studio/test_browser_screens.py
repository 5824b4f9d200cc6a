"""Screens of every density and size: what is drawn lies under the pen, and the page's parts can be seen and reached."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

import own
import studio_page as sp
from studio_page import Studio

pytestmark = [sp.NEEDS_CHROMIUM, pytest.mark.slow]
MANY = "".join(f'[[class]]\nname = "structure of a long name {number}"\n' for number in range(4, 40))
DEEP = 1000  # slices
BOX = "(id) => document.getElementById(id).getBoundingClientRect().toJSON()"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = own.folder(tmp_path_factory.mktemp("studio") / "hearts", scribbled=0, masked=1)
    own.write(folder / "images" / "deep.nii.gz", np.arange(DEEP * 16, dtype=np.int16).reshape(DEEP, 4, 4))
    with (folder / "classes.toml").open("a") as file:
        file.write(MANY)
    with sp.studio(folder) as (url, _):
        yield url


@pytest.fixture(scope="module")
def page(browser: Browser, address: str) -> Iterator[Studio]:
    studio = Studio.open(browser, address)
    yield studio
    assert studio.faults == []
    studio.page.context.close()


def box(page: Studio, name: str) -> dict[str, Any]:
    return page.page.evaluate(BOX, name)


def test_a_window_on_a_denser_screen_shows_strokes_under_the_pen(page: Studio) -> None:
    """The canvas kept its pixels while drawing took the new density: the slice was not where the pen drew."""
    page.go("m0", 1)
    session = page.page.context.new_cdp_session(page.page)
    sides = (
        "['canvas', 'strip'].map((id) => [document.getElementById(id).width, document.getElementById(id).clientWidth])"
    )
    for density in (2, 1.5, 1):
        screen = {"width": 1280, "height": 720, "mobile": False, "deviceScaleFactor": density}
        session.send("Emulation.setDeviceMetricsOverride", screen)
        page.stroke("1", [(8, 8)])
        page.module("state", "m.emit('place')")
        page.settled()
        for pixels, css in page.page.evaluate(sides):
            assert pixels == round(density * css)
    page.saved()


def test_many_classes_leave_the_image_most_of_the_window(page: Studio) -> None:
    """Their buttons took all but a strip of 160 px."""
    viewer = box(page, "viewer")
    assert viewer["bottom"] - viewer["top"] > 400
    page.module("palette", "m.pick(35)")
    chosen = page.page.locator("#class-buttons [aria-pressed=true]")
    place, buttons = chosen.bounding_box(), box(page, "class-buttons")
    assert place is not None
    assert buttons["top"] <= place["y"]
    assert place["y"] + place["height"] <= buttons["bottom"], "the chosen one is in sight"
    page.module("palette", "m.pick(1)")


def test_what_lies_under_the_pointer_covers_no_other_text(page: Studio) -> None:
    page.go("m0", 1)
    page.module("state", "m.setTool({ code: 30, size: 9 })")
    at = page.page.locator("#canvas").bounding_box()
    assert at is not None
    page.page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    assert "structure of a long name 30" in page.page.locator("#under").inner_text()
    assert box(page, "under")["right"] <= box(page, "side-bottom")["left"]
    page.page.keyboard.press("Control+z")
    page.saved()


def test_copying_from_the_last_slice_says_that_there_is_no_next_one(page: Studio) -> None:
    page.go("deep", DEEP - 1)
    page.page.keyboard.press("d")
    assert "last slice" in page.page.locator("#toast").inner_text()


def test_marks_of_slices_thinner_than_a_pixel_are_seen(page: Studio) -> None:
    """Each slice's ground was drawn over the mark of the one before."""
    page.go("deep", 100)
    seen = """(() => {
        m.shown().scribbled = [500];
        m.emit("scribbled");
        const strip = document.getElementById("strip");
        const { data } = strip.getContext("2d").getImageData(4, 0, 1, strip.height);
        return Math.max(...data.filter((_, index) => index % 4 === 2).slice(strip.height / 4));
    })()"""
    assert page.module("state", seen) > 120


def test_pictures_of_every_size_fit_and_are_zoomed_the_way_that_is_asked_for(page: Studio) -> None:
    """A tiny one became smaller when it was to become larger, and of a huge one only a part was shown."""
    found = """(async () => {
        const { emit, shown } = await import(new URL("state.js", location.href).href);
        const kept = shown().shape;
        const told = [];
        for (const [side, factor] of [[4, 1.25], [9000, 0.8]]) {
            shown().shape = [kept[0], side, side];
            m.fit();
            const [width, before] = [m.toScreen(side, 0)[0] - m.toScreen(0, 0)[0], m.zoomFactor()];
            m.zoom(factor);
            told.push(width < m.canvas.clientWidth, (m.zoomFactor() - before) * (factor - 1) >= 0);
        }
        shown().shape = kept;
        m.fit();
        return told;
    })()"""
    page.go("deep", 5)
    assert page.module("view", f"await {found}") == [True] * 4


def test_a_phone_shows_whole_buttons(browser: Browser, address: str) -> None:
    """Those of the top line were higher than it, and cut off."""
    page = Studio.open(browser, address, size=(390, 844), touch=True)
    header = page.page.locator("header").bounding_box()
    assert header is not None
    for name in ("open-nav", "open-aside", "theme", "help-open"):
        here = box(page, name)
        assert 0 <= here["top"] < here["bottom"] <= header["y"] + header["height"], name
        assert here["bottom"] - here["top"] >= 44, name
    page.module("classes", "m.openClasses()")
    sides = "['scrollWidth', 'clientWidth'].map((side) => document.getElementById('classes')[side])"
    wide, seen = page.page.evaluate(sides)
    assert wide == seen, "the buttons that remove a class are in sight"
    page.page.keyboard.press("Escape")
    page.page.click("#open-aside")
    assert box(page, "work")["top"] >= header["y"] + header["height"]
    page.page.context.close()


def test_forced_colours_leave_classes_theirs_and_show_what_is_chosen(browser: Browser, address: str) -> None:
    """All swatches had the window's colour, and the chosen class looked like the others."""
    page = Studio.open(browser, address)
    page.page.emulate_media(forced_colors="active")
    colours = page.page.evaluate("""() => {
        const colour = (one) => getComputedStyle(one).backgroundColor;
        const of = (selector) => [...document.querySelectorAll(selector)].map(colour);
        return [of(".class .swatch"), of(".class[aria-pressed=true]"), of(".class[aria-pressed=false]")];
    }""")
    swatches, [chosen], others = colours
    assert len(set(swatches)) == len(swatches)
    assert chosen not in others
    page.page.context.close()


def test_text_is_as_large_as_somebody_has_it_in_the_browser(browser: Browser, address: str) -> None:
    """Sizes in pixels paid no heed to it."""
    page = Studio.open(browser, address)
    size = "Number.parseFloat(getComputedStyle(document.querySelector('#cases .number')).fontSize)"
    before = page.page.evaluate(size)
    sizes = {"fontSizes": {"standard": 32, "fixed": 26}}
    page.page.context.new_cdp_session(page.page).send("Page.setFontSizes", sizes)
    page.page.wait_for_function(f"() => {size} > 1.9 * {before}")
    cut = "(id) => { const one = document.querySelector(id); return one.scrollWidth > one.clientWidth; }"
    assert [each for each in ("html", "nav", "[role=tablist]", "header") if page.page.evaluate(cut, each)] == []
    viewer = box(page, "viewer")
    assert viewer["right"] - viewer["left"] > 500
    assert viewer["bottom"] - viewer["top"] > 250
    page.page.context.close()


def test_help_on_a_phone_leaves_most_of_its_width_to_what_keys_do(browser: Browser, address: str) -> None:
    page = Studio.open(browser, address, size=(390, 844), touch=True)
    page.page.click("#help-open")
    keys, told = page.page.evaluate(
        "() => ['dt', 'dd'].map((one) => document.querySelector(`#help ${one}`).getBoundingClientRect().width)"
    )
    assert told > 1.8 * keys
    page.page.context.close()


def test_an_upright_tablet_shows_several_cases_below_lines_on_files(browser: Browser, address: str) -> None:
    """The lines left room for one."""
    page = Studio.open(browser, address, size=(820, 1180), touch=True)
    lines = ["images/a.nii.gz: not a readable NIfTI file (it has no such header), which is a long line"] * 3
    cases = "m.cases().concat([...'abcdefgh'].map((name) => ({ ...m.cases()[0], name })))"
    page.module("state", f"m.setFolder({{ ...m.state.folder, problems: a, cases: {cases} }})", lines)
    assert box(page, "cases")["height"] > 2.5 * 44
    page.page.context.close()
