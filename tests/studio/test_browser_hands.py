"""Pens, fingers and hands that come down on the slice in any order: what is drawn is what somebody meant to draw."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

import own
import studio_page as sp
from studio_page import Studio

pytestmark = [sp.NEEDS_CHROMIUM, pytest.mark.slow]
Event = tuple[str, str, int, int, int]
"""Kind, pointer, its number, and where: column and row of the slice."""
PEN: list[Event] = [("down", "pen", 1, 4, 4), ("move", "pen", 1, 10, 4), ("up", "pen", 1, 10, 4)]

PLAY = """(async () => {
    const view = await import(new URL("view.js", location.href).href);
    view.canvas.setPointerCapture = () => {}; // no real pointer has these numbers
    const box = view.canvas.getBoundingClientRect();
    for (const [kind, pointerType, pointerId, x, y] of a) {
        const [left, top] = view.toScreen(x + 0.5, y + 0.5);
        const at = { clientX: box.left + left, clientY: box.top + top, button: 0, bubbles: true };
        view.canvas.dispatchEvent(new PointerEvent(`pointer${kind}`, { pointerType, pointerId, ...at }));
    }
    const { h, w } = view.grid();
    const { scribble } = (await import(new URL("slices.js", location.href).href)).arrays();
    const drawn = [...scribble.keys()].filter((index) => scribble[index] !== 255);
    return [[...new Set(drawn.map((index) => Math.floor(index / w)))], m.canUndo().undo];
})()"""


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with sp.studio(own.folder(tmp_path_factory.mktemp("studio") / "hearts", scribbled=0, masked=1)) as (url, _):
        studio = Studio.open(browser, url)
        studio.module("state", "m.setTool({ size: 1, closing: false })")
        yield studio
        assert studio.faults == []
        studio.page.context.close()


def play(page: Studio, events: list[Event]) -> tuple[list[int], bool]:
    """Play events; return the rows with strokes, and whether something can be undone; then undo it."""
    rows, undone = page.module("draw", f"await {PLAY}", events)
    while page.module("draw", "m.canUndo().undo"):
        page.module("draw", "m.undo()")
    return rows, undone


def test_a_hand_beside_the_pen_draws_nothing(page: Studio) -> None:
    down, move, up = PEN
    palm: list[Event] = [("down", "touch", 2, 3, 12), ("move", "touch", 2, 9, 12)]
    lifted: Event = ("up", "touch", 2, 9, 12)
    leave: Event = ("leave", "pen", 1, 10, 4)
    assert play(page, [down, *palm, move, lifted, up, leave]) == ([4], True)
    assert play(page, [*palm, down, move, palm[1], lifted, up, leave]) == ([4], True)
    assert play(page, [("move", "pen", 1, 4, 4), *palm, lifted, leave]) == ([], False), "the pen is above the slice"
    assert play(page, [*palm, lifted]) == ([12], True), "a finger alone draws"


def test_fingers_that_come_and_go_draw_nothing(page: Studio) -> None:
    two: list[Event] = [("down", "touch", 1, 4, 4), ("down", "touch", 2, 10, 4)]
    third: list[Event] = [("down", "touch", 3, 4, 12), ("move", "touch", 3, 9, 12), ("up", "touch", 3, 9, 12)]
    one_up: list[Event] = [("up", "touch", 2, 10, 4), ("move", "touch", 1, 8, 8)]
    last_up: Event = ("up", "touch", 1, 8, 8)
    assert play(page, [*two, *third, *one_up, last_up]) == ([], False)
    assert play(page, [*two, *one_up, ("down", "touch", 2, 9, 9), ("up", "touch", 2, 9, 9), last_up]) == ([], False)


def test_a_stroke_of_the_keyboard_is_kept_when_the_mouse_begins_one(page: Studio) -> None:
    page.module("draw", "m.penDown(5.5, 12.5)")
    assert play(page, PEN) == ([4, 12], True)
    rows = page.module("slices", "m.arrays().scribble.filter((label) => label !== 255).length")
    assert rows == 0, "both strokes can be undone"


def test_thin_strokes_are_seen_where_the_slice_is_small(page: Studio) -> None:
    """At a quarter of the size, three of four lines of one pixel were gone."""
    seen = """(async () => {
        const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const found = [];
        for (let row = 4; row < 8; row++) {
            m.penDown(0.5, row + 0.5);
            m.penTo(15.5, row + 0.5);
            m.penUp();
            const view = await import(new URL("view.js", location.href).href);
            view.setFrame({ zoom: 0.25, x: 40, y: 40, fitted: false });
            await frame();
            const context = new OffscreenCanvas(44, 44).getContext("2d", { willReadFrequently: true });
            context.drawImage(view.canvas, 0, 0);
            const { data } = context.getImageData(40, 40, 4, 4);
            const pixels = Array.from({ length: 16 }, (_, i) => data.slice(4 * i, 4 * i + 3));
            found.push(pixels.some((rgb) => Math.max(...rgb) - Math.min(...rgb) > 25));
            m.undo();
        }
        return found;
    })()"""
    page.module("state", "m.setOverlay({ shown: false, proposed: false })")
    assert page.module("draw", f"await {seen}") == [True] * 4


def test_the_help_begins_at_its_beginning(page: Studio) -> None:
    page.page.keyboard.press("?")
    assert page.page.evaluate("document.getElementById('help').scrollTop") == 0
    page.page.keyboard.press("Escape")


def test_the_keyboards_focus_stays_on_buttons_that_cannot_be_used_any_more(page: Studio) -> None:
    """They were disabled under the focus, or made anew with their list, and the browser moved it away."""
    tab, keys, (name, z) = page.page, page.page.keyboard, page.place
    focus = "document.activeElement.id || document.activeElement.dataset.key || document.activeElement.dataset.name"
    page.stroke("1", [(8, 8), (14, 8)])
    for button in ("undo", "redo"):
        tab.focus(f"#{button}")
        keys.press("Enter")
        expect(tab.locator(f"#{button}")).to_be_disabled()
        keys.press("Enter")
        assert tab.evaluate(focus) == button
    assert page.module("draw", "m.canUndo()") == {"undo": True, "redo": False}
    tab.focus("#clear")
    keys.press("Enter")
    expect(tab.locator("#clear")).to_be_disabled()
    assert tab.evaluate(focus) == "clear"
    page.module("proposals", "m.setProposal(a, new Uint8Array(40 * 48))", {"name": name, "z": z})
    tab.focus("#turn-away")
    keys.press("Enter")
    expect(tab.locator("#turn-away")).to_be_disabled()
    assert tab.evaluate(focus) == "turn-away"
    for found in ("#queue li:nth-child(2) button", "#cases li:last-child button"):
        tab.focus(found)
        before = tab.evaluate(focus)
        keys.press("Enter")
        page.module("state", "m.emit('scribbled')")
        assert tab.evaluate(focus) == before
    page.saved()


def test_a_button_that_hides_hands_the_focus_on(page: Studio) -> None:
    tab = page.page
    tab.click("#tab-review")
    tab.keyboard.press("p")
    tab.click("#keep-mask")
    page.saved()
    tab.focus("#discard")
    tab.keyboard.press("Enter")
    expect(tab.locator("#discard")).to_be_hidden()
    assert tab.evaluate("document.activeElement.id") == "paint"
    tab.keyboard.press("p")
    tab.click("#tab-draw")
    page.saved()


def test_a_panel_that_hides_hands_the_focus_to_its_tab(page: Studio) -> None:
    tab = page.page
    tab.focus("#closing")
    tab.keyboard.press("p")
    assert tab.evaluate("document.activeElement.id") == "tab-review"
    tab.keyboard.press("p")
    tab.click("#tab-draw")


def test_pixels_are_counted_right_whatever_happens_under_the_pen(page: Studio) -> None:
    """What a stroke had drawn by the time of a count was counted twice."""

    counts = "[...m.drawnPixels()].map(([code, number]) => [code, number])"
    page.module("draw", "m.clearSlice()")
    page.module("state", "m.setTool({ code: 1, size: 1, erasing: false })")
    page.module("draw", "(m.penDown(4.5, 4.5), m.penTo(8.5, 4.5))")
    page.module("state", "m.emit('pixels')")  # as answers do that come meanwhile
    page.module("state", "m.emit('arrays')")
    page.module("draw", "(m.penTo(13.5, 4.5), m.penUp())")
    assert page.module("draw", counts) == [[1, 10]]
    page.module("draw", "(m.penDown(4.5, 8.5), m.penTo(8.5, 8.5), m.clearSlice(), m.penTo(9.5, 8.5), m.penUp())")
    assert page.module("draw", counts) == []
    page.module("draw", "(m.undo(), m.undo())")
    assert page.module("draw", counts) == [[1, 10]], "the stroke that was under the pen is one of its own"
    page.module("draw", "m.clearSlice()")
    page.saved()


def test_a_mask_that_is_discarded_under_the_pen_stays_discarded(page: Studio) -> None:
    tab = page.page
    tab.keyboard.press("p")
    page.module(
        "paint", "(m.penDown(4.5, 4.5), m.penUp(), m.penDown(8.5, 8.5), m.discard(), m.penTo(9.5, 8.5), m.penUp())"
    )
    assert not page.module("painting", "m.isCorrected()")
    tab.keyboard.press("p")
    tab.click("#tab-draw")
    page.saved()
