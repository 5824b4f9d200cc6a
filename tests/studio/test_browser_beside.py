"""What comes while somebody draws: an answer, a training's end, a folder that is back; the pen's work goes on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

import own
import studio_page as sp
from maskmixadv.formats import nifti
from studio_page import Studio
from studio_server import TOKEN, predict, serving

pytestmark = [sp.NEEDS_CHROMIUM, pytest.mark.slow]
DOWN = "m.penDown(5, 5) && m.penTo(20, 5)"
FASTER = "(() => { const set = setInterval; window.setInterval = (act, every) => set(act, every / 50); })()"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own.folder(tmp_path / "hearts", scribbled=2, masked=1)


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as address:
        yield f"{address}/#{TOKEN}"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Studio]:
    studio = Studio.open(browser, address)
    yield studio
    studio.page.context.close()


def test_next_ends_no_stroke(page: Studio) -> None:
    """Who pressed N and drew on was taken away, with half a stroke."""
    page.go("s0", 0)
    [route] = page.held("**/api/queue", "queue: m.next()")
    page.module("draw", DOWN)
    route.fulfill(json=[{"case": "s1", "slice": 2, "reason": "proposed"}])
    expect(page.page.locator("#toast")).to_contain_text("Next goes on when it is asked again")
    assert page.place == ("s0", 0)
    assert page.module("draw", "m.penIsDown()")


def test_copying_to_the_next_slice_ends_no_stroke(page: Studio) -> None:
    page.go("s1", 0)
    page.module("hand", "(() => { const done = m.copyToNext(); m.penDown(5, 5); return done; })()")
    expect(page.page.locator("#toast")).to_contain_text("on the next slice, too")
    assert page.place == ("s1", 0)
    assert page.module("draw", "m.penIsDown()")


def ends(page: Studio, answer: dict[str, Any]) -> None:
    """A training runs, and ends with `answer`."""
    common = {"run": "001", "step": 3, "steps": 10, "losses": [], "validation": []}
    page.page.route("**/api/train", lambda route: route.fulfill(json={**common, "state": "running"}))
    page.module("train", "m.watchTraining()")
    page.page.unroute("**/api/train")
    page.page.route("**/api/train", lambda route: route.fulfill(json={**common, **answer}))
    page.module("train", "m.watchTraining()")


def test_a_training_that_ends_ends_no_stroke(page: Studio, folder: Path) -> None:
    """The page went to Review, which ended the stroke."""
    page.go("s0", 0)
    page.module("draw", DOWN)
    predict(folder)
    ends(page, {"state": "done"})
    expect(page.page.locator("#toast")).to_contain_text("predictions are there")
    assert page.module("draw", "m.penIsDown()")
    assert page.module("state", "m.state.tab") == "draw"


def test_a_mask_is_painted_on_while_a_later_run_predicts(page: Studio, folder: Path) -> None:
    """What was shown, and saved by the next stroke, was the later prediction, without the first stroke."""
    predict(folder)
    page.module("folder", "m.refresh()")
    page.page.click("#tab-review")
    page.go("s0", 1)
    page.page.keyboard.press("p")
    page.page.wait_for_function("() => window.slices.arrays().mask !== null")
    code = page.module("state", "(m.setTool({ code: 3, size: 4 }), m.state.tool.code)")
    page.module("paint", "(m.penDown(2, 2), m.penTo(9, 2))")
    predict(folder, "002")
    page.module("folder", "m.refresh()")
    page.module("paint", "(m.penTo(30, 2), m.penUp())")
    page.saved()
    row = page.module("slices", "[...m.arrays().mask.slice(2 * 48, 3 * 48)]")
    assert row[2:30] == [code] * 28
    assert nifti.read(folder / "corrected" / "s0.nii.gz").array[1, 2].tolist() == row


def test_a_polygon_stays_open_while_the_folder_is_read(page: Studio) -> None:
    page.page.click("#tab-review")
    page.go("s0", 2)
    page.page.keyboard.press("s")
    page.page.wait_for_function("() => window.slices.arrays().mask !== null")
    page.module("paint", "(m.penDown(2, 2), m.penUp(), m.penDown(9, 2), m.penUp())")
    page.module("folder", "m.refresh()")
    assert page.module("paint", "m.polygonIsOpen()")
    page.go("s0", 1)
    assert not page.module("paint", "m.polygonIsOpen()")


@pytest.mark.parametrize("drawn", [False, True])
def test_an_image_that_is_back_is_shown_where_somebody_was(page: Studio, folder: Path, drawn: bool) -> None:
    """The page showed the first image without a word, and stayed there; who had drawn there meanwhile stays."""
    page.go("s1", 2)
    image = folder / "images" / "s1.nii.gz"
    away = image.rename(folder / image.name)
    page.module("folder", "m.refresh()")
    expect(page.page.locator("#toast")).to_have_text("s1 is gone: its image was renamed, or taken away. This is m0.")
    page.settled()
    if drawn:
        page.module("draw", DOWN)
    away.rename(image)
    page.module("folder", "m.refresh()")
    assert page.place == (("m0", 1) if drawn else ("s1", 2))
    assert page.module("draw", "m.penIsDown()") == drawn
    if not drawn:
        expect(page.page.locator("#toast")).to_have_text("s1 is there again.")


@pytest.mark.slow
def test_an_image_that_is_back_is_shown_where_somebody_was_before_the_page_was_loaded_again(
    page: Studio, folder: Path
) -> None:
    """The first image's place replaced the one that the tab remembered."""
    page.go("s1", 2)
    image = folder / "images" / "s1.nii.gz"
    away = image.rename(folder / image.name)
    for _ in range(2):
        page.page.reload()
        page.page.wait_for_selector("body[data-ready]")
        page.settled()
        told = "s1 is gone: its image was renamed, or taken away. This is m0."
        expect(page.page.locator("#toast")).to_have_text(told)
    away.rename(image)
    page.module("folder", "m.refresh()")
    assert page.place == ("s1", 2)
    expect(page.page.locator("#toast")).to_have_text("s1 is there again.")


def test_a_training_that_is_stopped_twice_has_predicted_nothing(page: Studio) -> None:
    """It said that predictions are there."""
    ends(page, {"state": "stopped"})
    expect(page.page.locator("#toast")).to_have_text("Run 001 has ended, and predicts nothing.")


@pytest.mark.slow
@pytest.mark.parametrize("noticed", [True, False])
def test_strokes_are_sent_when_a_folder_is_renamed_back(
    browser: Browser, folder: Path, address: str, noticed: bool
) -> None:
    """They waited until somebody came back to the page, which had the focus all the time."""
    studio = Studio.open(browser, address)
    studio.page.add_init_script(FASTER)
    studio.page.reload()
    studio.page.wait_for_selector("body[data-ready]")
    studio.module("state", "m.go('s1', 2)")
    studio.settled()
    away = folder.rename(folder.with_name("away"))
    studio.stroke("1", [(5, 5), (20, 5)])
    saved = studio.page.locator("#saved")
    expect(saved).to_have_attribute("data-state", "refused")
    if noticed:
        expect(studio.page.locator("#empty")).to_be_visible()
    away.rename(folder)
    expect(saved).to_have_attribute("data-state", "saved", timeout=15_000)
    assert studio.place == ("s1", 2), "where somebody drew"
    studio.page.context.close()


SLEEP = "() => { const now = Date.now; Date.now = () => now() + 3_600_000; }"


@pytest.mark.slow
def test_a_page_that_slept_shows_what_another_program_did(browser: Browser, folder: Path, address: str) -> None:
    """Neither focus nor sight changes where a laptop is opened again, and the page showed the folder of yesterday."""
    studio = Studio.open(browser, address)
    studio.page.add_init_script(FASTER)
    studio.page.reload()
    studio.page.wait_for_selector("body[data-ready]")
    studio.page.wait_for_timeout(300)
    own.case(folder, "late", scribble=False)
    studio.page.wait_for_timeout(500)
    assert studio.page.locator("[data-name=late]").count() == 0
    studio.page.evaluate(SLEEP)
    expect(studio.page.locator("[data-name=late]")).to_be_visible()
    studio.page.context.close()


@pytest.mark.slow
def test_a_page_that_slept_sends_its_token_only_to_who_knows_it(page: Studio) -> None:
    """Its server may have ended meanwhile, and another user's program may listen on the port."""
    sent = list[str]()
    page.page.route("**/known/*", lambda route: route.fulfill(json={"proof": "none"}))
    page.page.route("**/api/**", lambda route: (sent.append(route.request.url), route.abort()))
    page.page.evaluate(SLEEP)
    page.module("folder", "m.refresh().catch((error) => error.message)")
    page.page.wait_for_timeout(300)
    assert sent == []
    page.page.unroute("**/known/*")
    page.page.unroute("**/api/**")
    page.module("folder", "m.refresh()")
