"""Answers that come late, or in another order than they were asked for: the page shows what is on disk by then."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

import own
import studio_page as sp
from studio_page import Studio

pytestmark = sp.NEEDS_CHROMIUM
MASK = "new Uint8Array(40 * 48).fill(1)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own.folder(tmp_path_factory.mktemp("studio") / "hearts", scribbled=2, masked=0)


@pytest.fixture(scope="module")
def page(browser: Browser, folder: Path) -> Iterator[Studio]:
    with sp.studio(folder) as (url, _):
        studio = Studio.open(browser, url)
        yield studio
        studio.page.context.close()


def corrected(page: Studio) -> list[int]:
    return page.module("painting", "[0, 1, 2].filter((z) => m.isCorrected({ name: a, z }))", page.place[0])


def paint(page: Studio) -> None:
    page.module("paint", "m.keepAsIs()")


@pytest.mark.parametrize("saved_before", [False, True])
def test_a_folder_that_was_asked_for_before_a_mask_was_painted(page: Studio, saved_before: bool) -> None:
    page.go("s1", int(saved_before))
    z = page.place[1]
    [route] = page.held("**/api/folder", "folder: m.refresh()")
    early = route.fetch()
    paint(page)
    if saved_before:
        page.saved()
    route.fulfill(response=early)
    page.page.wait_for_timeout(100)
    assert z in corrected(page)
    page.saved()
    assert z in corrected(page)


def test_a_mask_that_is_discarded_while_it_is_being_saved_is_gone(page: Studio) -> None:
    page.go("s1", 2)
    routes = page.held("**/slices/2/mask?*", "paint: m.keepAsIs()")
    page.module("paint", "m.discard()")
    assert 2 not in corrected(page)
    routes[0].fulfill(response=routes[0].fetch())
    page.page.wait_for_timeout(100)
    assert 2 not in corrected(page), "the answer is older than what was done since"
    page.saved()
    assert 2 not in corrected(page)


def test_who_goes_elsewhere_while_the_next_slice_is_asked_for_stays_there(page: Studio) -> None:
    page.go("s0", 0)
    [route] = page.held("**/api/queue", "queue: m.next()")
    page.go("s1", 2)
    route.fulfill(json=[{"case": "s0", "slice": 1, "reason": "proposed"}])
    page.page.wait_for_timeout(100)
    assert page.place == ("s1", 2)


def neighbour_on_its_way(page: Studio) -> Route:
    """Ask for all slices again, and return the request for the strokes of the second one, which is not answered."""
    routes = list[Route]()
    page.page.route("**/s0/slices/1/scribble", lambda route: routes.append(route), times=1)
    page.module("state", "(m.emit('recoded'), m.emit('place'))")
    page.settled()
    while not routes:
        page.page.wait_for_timeout(10)
    return routes[0]


def test_strokes_are_copied_to_a_slice_that_is_still_on_its_way(page: Studio) -> None:
    """Nothing was copied, without a word."""
    page.go("s0", 0)
    page.saved()
    route = neighbour_on_its_way(page)
    page.page.keyboard.press("d")
    page.page.wait_for_timeout(100)
    route.continue_()
    expect(page.page.locator("#strip")).to_have_attribute("aria-valuenow", "2")
    assert page.module("draw", "m.drawnPixels().size") > 0


def test_strokes_are_copied_before_anybody_can_draw_on_the_slice_that_came(page: Studio) -> None:
    """The copy came up to 50 ms later; a mask that was copied replaced what was painted in that time."""
    page.go("s0", 0)
    page.stroke("2", [(4, 36), (12, 36)])
    page.saved()
    route = neighbour_on_its_way(page)
    page.page.evaluate("""async () => {
        const module = (name) => import(new URL(`${name}.js`, location.href).href);
        const [draw, slices, state] = await Promise.all(["draw", "slices", "state"].map(module));
        window.copied = draw.copyTo({ name: "s0", z: 1 });
        state.go("s0", 1);
        window.first = new Promise((done) => state.on("arrays", () => {
            if (slices.arrays().scribble) setTimeout(() => done(slices.arrays().scribble[36 * 48 + 8]), 0);
        }));
    }""")
    route.continue_()
    assert page.page.evaluate("() => window.first") == 2
    page.page.evaluate("() => window.copied")
    page.page.keyboard.press("Control+z")
    page.saved()


def test_the_proposal_belongs_to_the_strokes_of_both_pages(page: Studio) -> None:
    page.go("s0", 2)
    page.module("draw", "m.clearSlice()")
    page.saved()
    for key, row in (("1", 5), ("2", 15)):
        page.stroke(key, [(5, row), (30, row)])
    page.saved()
    there = "m.proposalAt({ name: 's0', z: 2 })?.includes(3) ?? false"
    page.page.wait_for_function("() => !document.getElementById('accept-proposal').ariaDisabled")
    assert not page.module("proposals", there)
    other = "(() => { const all = new Uint8Array(40 * 48).fill(255); all.fill(3, 1500, 1530); return all; })()"
    page.module("api", f"m.putScribble('s0', 2, {other}, 0, null)")  # as another page does
    page.stroke("1", [(5, 8), (30, 8)])  # both are merged
    page.saved()
    page.page.wait_for_timeout(300)
    assert page.module("proposals", there)


def test_strokes_that_cannot_count_are_told_once_and_can_be_taken_back(page: Studio) -> None:
    """They were sent every 3 s without end, undo was barred, and nothing could be trained or exported."""
    page.go("s0", 0)
    page.module("api", f"m.putMask('s0', 0, {MASK}, 0, 'none')")  # as another page does
    sent = list[str]()
    page.page.on("request", lambda request: sent.append(request.method) if "scribble" in request.url else None)
    page.stroke("1", [(5, 5), (20, 5)])
    saved = page.page.locator("#saved")
    expect(saved).to_have_text("Not saved: s0, slice 1")
    expect(page.page.locator("#toast")).to_contain_text("discard the mask to draw strokes, or undo these")
    expect(page.page.locator("#mask-state")).to_contain_text("Painted here")  # the folder has been read again
    for _ in range(3):
        page.module("folder", "m.refresh()")
    page.page.wait_for_timeout(450)  # a save begins after 300 ms
    assert sent.count("PUT") <= 2
    page.page.keyboard.press("Control+z")
    expect(saved).to_have_text("Saved")
    page.page.keyboard.press("Control+z")
    expect(page.page.locator("#toast")).to_contain_text("Paint on it (P)")


@pytest.mark.parametrize(
    ("kind", "held"), [("scribble", "scribbles"), pytest.param("mask", "corrected", marks=pytest.mark.slow)]
)
def test_what_was_saved_without_an_answer_is_no_other_pages_work(
    page: Studio, folder: Path, kind: str, held: str
) -> None:
    """The stroke was taken for another page's, and its undoing for nothing: it came back, with that line."""
    page.go("s0", 1 if kind == "mask" else 2)
    if kind == "mask":
        page.module("masks", "m.toggle()")
        page.page.wait_for_function("() => window.slices.arrays().mask")
    page.stroke("1", [(4, 30), (12, 30)])
    page.saved()
    kept = sp.read(folder / held / f"{page.place[0]}.nii.gz").copy()
    lost = list[bool]()

    def lose(route: Route) -> None:
        lost.append(route.fetch().ok)
        route.abort()

    page.page.route(f"**/{kind}?*seconds*", lose, times=1)
    page.page.evaluate("() => (document.getElementById('toast').textContent = '')")
    page.stroke("2", [(20, 30), (28, 30)])
    page.page.wait_for_selector("#saved[data-state=unsaved]")
    page.page.keyboard.press("Control+z")
    page.page.evaluate("() => dispatchEvent(new Event('online'))")  # tried again at once
    page.saved()
    assert lost == [True]
    assert (sp.read(folder / held / f"{page.place[0]}.nii.gz") == kept).all()
    assert "nother page" not in page.page.locator("#toast").inner_text()


def shown_mask(page: Studio) -> list[int]:
    page.page.wait_for_function("() => window.slices.arrays().mask")
    return page.module("slices", "Array.from(m.arrays().mask)")


@pytest.fixture
def brush(page: Studio) -> Iterator[Studio]:
    """A brush on the mask of a slice that nobody painted; afterwards there is none again."""
    page.go("s1", 0)
    page.module("masks", "m.toggle()")
    shown_mask(page)
    yield page
    page.module("paint", "m.discard()")
    page.saved()
    page.module("masks", "m.toggle()")
    page.module("state", "m.setTab('draw')")


def held_pen(page: Studio, key: str, at: tuple[float, float], to: tuple[float, float]) -> None:
    """Draw, and leave the pen down."""
    page.page.keyboard.press(key)
    page.module("hand", "m.penDown(a[0], a[1])", at)
    page.module("hand", "m.penTo(a[0], a[1])", to)


@pytest.mark.parametrize("down", [False, True])
def test_a_mask_that_comes_late_replaces_nothing_that_was_painted_meanwhile(brush: Studio, down: bool) -> None:
    """*Begin with prediction* took away what somebody painted until its answer came, also from under the pen."""
    [route] = brush.held("**/slices/0/prediction", "paint: m.beginFrom('prediction')")
    if down:
        held_pen(brush, "3", (4, 30), (12, 30))
    else:
        brush.stroke("3", [(4, 30), (12, 30)])
    route.fulfill(body=bytes([2]) * (40 * 48))
    expect(brush.page.locator("#toast")).to_contain_text("painted meanwhile")
    brush.module("hand", "m.penUp()")
    assert set(shown_mask(brush)) == {0, 3}


def test_a_brush_goes_on_where_the_proposal_is_accepted_meanwhile(brush: Studio, folder: Path) -> None:
    """The page showed another mask than it saved."""
    held_pen(brush, "3", (4, 30), (12, 30))
    brush.module("state", "m.emit('taken', m.state.place)")
    brush.module("hand", "m.penUp()")
    assert set(shown_mask(brush)) == {0, 3}
    brush.saved()
    brush.stroke("2", [(4, 20), (12, 20)])
    brush.saved()
    assert set(sp.read(folder / "corrected" / "s1.nii.gz")[0].ravel().tolist()) == {0, 2, 3}


def test_a_mask_that_is_undone_after_a_training_begins_with_the_later_run(brush: Studio) -> None:
    brush.stroke("3", [(4, 30), (12, 30)])
    brush.saved()
    brush.module("state", "m.emit('trained')")
    brush.module("slices", "(window.before = m.arrays().mask, 0)")
    brush.page.keyboard.press("Control+z")
    brush.saved()
    shown_mask(brush)
    assert brush.page.evaluate("() => window.slices.arrays().mask !== window.before")


def test_slices_filled_late_keep_what_strokes_drawn_meanwhile_say(page: Studio) -> None:
    page.go("s0", 1)
    page.saved()
    [route] = page.held("**/api/cases/s0/fill", "instant: m.fillBetween()")
    page.stroke("2", [(4, 4), (12, 4)])
    page.module("proposals", "m.setProposal({ name: 's0', z: 1 }, new Uint8Array(40 * 48).fill(1))")  # its answer
    planes = bytes([3]) * (2 * 40 * 48)
    route.fulfill(body=planes, headers={"X-Slices": "1,2"})
    expect(page.page.locator("#toast")).to_contain_text("Filled")
    at = "m.proposalAt({ name: 's0', z: a })[0]"
    assert [page.module("proposals", at, z) for z in (1, 2)] == [1, 3]
    page.page.keyboard.press("Control+z")
    page.saved()


@pytest.mark.parametrize("act", ["instant: m.acceptProposal()", "review: m.accept()"])
def test_who_draws_before_a_verdict_is_sent_does_not_accept(page: Studio, act: str) -> None:
    """Strokes are saved first; those that were drawn until then lay on an accepted slice."""
    page.go("s0", 1)
    page.saved()
    page.module("state", "(m.shown().predicted = true, 0)")
    page.module("proposals", "m.setProposal({ name: 's0', z: 1 }, new Uint8Array(40 * 48).fill(1))")
    page.stroke("1", [(4, 4), (12, 4)])
    page.module("proposals", "m.setProposal({ name: 's0', z: 1 }, new Uint8Array(40 * 48).fill(1))")
    sent = list[str]()
    page.page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
    [route] = page.held("**/slices/1/scribble?*", act)
    page.stroke("2", [(4, 8), (12, 8)])
    route.continue_()
    expect(page.page.locator("#toast")).to_contain_text("not accepted")
    page.saved()
    assert not [url for url in sent if "scribble" not in url]
    for _ in range(2):
        page.page.keyboard.press("Control+z")
    page.saved()


@pytest.mark.parametrize("tab", ["draw", "review"])
def test_a_stroke_goes_on_where_a_key_opens_review(page: Studio, tab: str) -> None:
    """X ended the stroke under the keyboard's pen, and a verdict's late answer any stroke."""
    page.go("s0", 2)
    page.module("state", "m.setTab(a)", tab)
    held_pen(page, "1", (4, 36), (12, 36))
    page.page.keyboard.press("x")
    expect(page.page.locator("#toast")).to_contain_text("Draw on what is wrong")
    assert page.module("hand", "m.penIsDown()")
    page.module("hand", "m.penCancel()")
    page.module("state", "m.setTab('draw')")
