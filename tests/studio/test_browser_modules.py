"""The page's modules, in Chromium: what they compute without a server; and the page in small windows."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

import own
import studio_page as sp
from studio_page import Studio

pytestmark = sp.NEEDS_CHROMIUM
LONG = "a_patient_with_a_name_that_is_much_longer_than_any_list_is_wide_0123456789_0123456789"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = own.folder(tmp_path_factory.mktemp("studio") / "hearts", scribbled=2, masked=1)
    for number in range(8):
        name = LONG if number == 0 else f"x{number}"
        shutil.copy(folder / "images" / "m0.nii.gz", folder / "images" / f"{name}.nii.gz")
    with sp.studio(folder) as (url, _):
        yield url


@pytest.fixture(scope="module")
def page(browser: Browser, address: str) -> Iterator[Studio]:
    studio = Studio.open(browser, address)
    yield studio
    assert studio.faults == []
    studio.page.context.close()


AXIAL = [["F", "H"], ["A", "P"], ["R", "L"]]
SAGITTAL = [["R", "L"], ["H", "F"], ["A", "P"]]
CASE = {"name": "Heart 7", "scribbled": [1], "predicted": True, "reviews": {"0": "rejected"}, "shape": [3, 4, 4]}
CHANGE = {"indices": [4, 5, 6, 7, 20], "before": [9, 9, 9, 0, 0], "after": [1, 1, 1, 1, 1]}
QUEUE = [{"case": "a", "slice": 1}, {"case": "b", "slice": 2}, {"case": "a", "slice": 3}]


@pytest.mark.parametrize(
    ("module", "expression", "argument", "expected"),
    [
        # Both draw: what only one changed is kept; where both did, the own pixel counts, and is told.
        ("versions", "m.merge(...a)", [[9, 9, 9, 9], [1, 9, 3, 9], [9, 2, 4, 9]], ([1, 2, 3, 9], [2])),
        ("versions", "m.merge(...a)", [[1, 1], [9, 1], [1, 2]], ([9, 2], [])),  # one erased, the other drew elsewhere
        ("versions", "m.merge(...a)", [[9], [5], [5]], ([5], [])),
        ("conflict", "m.boxOf(a, 10)", [23, 45, 14], [3, 1, 5, 4]),
        ("hiding", "m.hiddenOf(a)", {"strokes": True, "shown": True, "proposed": False}, "hidden: proposals (I)"),
        ("hiding", "m.hiddenOf(a)", {"strokes": True, "shown": True, "proposed": True}, ""),
        ("sides", "m.sidesOf(a)", AXIAL, ["A", "P", "R", "L"]),
        ("sides", "m.sidesOf(a)", None, ["", "", "", ""]),
        ("across", "m.arranged(a, 2).sides", AXIAL, ["H", "F", "R", "L"]),  # coronal
        ("across", "m.arranged(a, 1).sides", AXIAL, ["H", "F", "A", "P"]),  # sagittal
        ("across", "m.arranged(a, 1).sides", SAGITTAL, ["H", "F", "R", "L"]),
        ("across", "m.arranged(a, 2).sides", SAGITTAL, ["A", "P", "R", "L"]),  # axial
        ("across", "m.arranged(a, 2).flipped", AXIAL, [True, False]),
        ("across", "m.arranged(a, 1).rows", None, 0),
        ("memory", "m.pack(a)", CHANGE, [[4, 3, 9, 1], [7, 1, 0, 1], [20, 1, 0, 1]]),
        ("memory", "Array.from(m.unpack(m.pack(a)).indices)", CHANGE, [4, 5, 6, 7, 20]),
        ("memory", "Array.from(m.unpack(m.pack(a)).before)", CHANGE, [9, 9, 9, 0, 0]),
        ("window", "[false, true].map((padded) => m.ranked(Uint16Array.from(a), padded, [0, 0.5, 1]))",
         [0, 0, 0, 7, 9, 65535], [[0, 0, 65535], [7, 9, 65535]]),
        ("window", "m.ranked(new Uint16Array(4), true, [0, 1])", None, [0, 0]),
        # A German keyboard types brackets with AltGr, which some systems tell as Ctrl and Alt.
        ("state", """(() => {
            m.setTool({ size: 5 });
            const how = { key: "]", ctrlKey: true, altKey: true, bubbles: true };
            document.body.dispatchEvent(new KeyboardEvent("keydown", how));
            return m.state.tool.size;
         })()""", None, 6),
        # A class was removed, and one is added: its name and colour are those of no other.
        ("classes", "m.fresh(a)", [{"name": "Structure 2", "colour": "#ffb02e"}] * 2,
         {"name": "structure 3", "colour": "#4aa8ff"}),
        ("classes", "new Set(Array.from({ length: 40 }, () => (a.push(m.fresh(a)), a.at(-1).colour))).size", [], 40),
        ("filter", "m.matching(a, ' heart', 'scribbled')", CASE, True),
        ("filter", "m.matching(a, 'liver', 'all')", CASE, False),
        ("filter", "['bare', 'open', 'rejected'].map((is) => m.matching(a, '', is))", CASE, [False, True, True]),
        ("ready", "a.map(m.about)", [3, 34, 60, 240, 3 * 3600, 2.2 * 86400],
         ["10 seconds", "30 seconds", "1 minute", "4 minutes", "3 hours", "2 days"]),
    ],
)  # fmt: skip
def test_modules(page: Studio, module: str, expression: str, argument: Any, expected: Any) -> None:
    if module == "versions":
        argument = [list(each) for each in argument]
        expression = (
            "(({ merged, clashes }) => [[...merged], clashes])(m.merge(...a.map((each) => Uint8Array.from(each))))"
        )
        expected = list(expected)
    assert page.module(module, expression, argument) == expected


def test_next_leads_on_and_begins_again_after_the_last(page: Studio) -> None:
    walk = """(() => {
        const been = new Set();
        let here = "a/1";
        return Array.from({ length: 5 }, () => {
            const { case: name, slice } = m.following(a, here, been);
            return (here = `${name}/${slice}`);
        });
    })()"""
    assert page.module("queue", walk, QUEUE) == ["b/2", "a/3", "a/1", "b/2", "a/3"]


def test_undo_leaves_alone_what_others_drew(page: Studio) -> None:
    walk = """(() => {
        const labels = Uint8Array.from([255, 255, 255]);
        const history = new m.History();
        history.push(m.replace(labels, Uint8Array.from([1, 1, 255])));
        labels[1] = 2;
        history.undo(labels);
        return [...labels];
    })()"""
    assert page.module("brush", walk) == [255, 2, 255]


@pytest.mark.parametrize(("side", "most"), [(48, 40), (1000, 50), (9000, 200)])
def test_large_pictures_have_broad_brushes(page: Studio, side: int, most: int) -> None:
    """At 4000 × 4000 the broadest brush had 40 pixels, a hundredth of the picture's side."""
    walk = """(() => {
        const { state } = m;
        const [shape, { size }] = [m.shown().shape, state.tool];
        m.shown().shape = [shape[0], a, a + 10];
        m.setTool({ size: 999 });
        m.emit("place");
        const found = [state.tool.size, Number(document.getElementById("size").max)];
        m.shown().shape = shape;
        m.emit("place"); // a brush is no broader than its slice has them
        found.push(state.tool.size);
        m.setTool({ size });
        return found;
    })()"""
    assert page.module("state", walk, side) == [most, most, 40]


def test_a_broad_stroke_has_an_even_edge(page: Studio) -> None:
    walk = """(() => {
        const labels = new Uint8Array(300 * 400).fill(255);
        const stroke = new m.Stroke(labels, { h: 300, w: 400, aspect: 1 }, { code: 1, size: 200 });
        stroke.to(120, 150);
        stroke.to(280, 150);
        const drawn = (x) => [...labels.keys()].filter((i) => i % 400 === x && labels[i] === 1).length;
        return [120, 151, 203, 279].map(drawn);
    })()"""
    assert page.module("brush", walk) == [200] * 4


@pytest.mark.parametrize(("module", "key"), [("draw", "a/1"), ("paint", "a/1/mask")])
def test_nothing_is_undone_in_codes_that_mean_other_classes_by_now(page: Studio, module: str, key: str) -> None:
    walk = """(async () => {
        const holds = () => m.remembered().filter(([, { done }]) => done.length).map(([key]) => key);
        m.restored(a, { done: [{}], undone: [] });
        const before = holds();
        (await import(new URL("state.js", location.href).href)).emit("recoded");
        return [before, holds()];
    })()"""
    assert page.module(module, f"await {walk}", key) == [[key], []]


def test_cases_are_found_and_filtered(page: Studio) -> None:
    found = page.page.locator("#cases li")
    expect(found).to_have_count(11)
    page.page.fill("#search", "x")
    expect(found).to_have_count(7)
    page.page.select_option("#filter", "scribbled")
    expect(page.page.locator("#none")).to_be_visible()
    page.page.fill("#search", "")
    expect(found).to_have_count(2)
    page.page.select_option("#filter", "all")
    expect(found).to_have_count(11)


@pytest.mark.parametrize(("width", "height", "density"), [(640, 360, 1), (640, 360, 2), (420, 800, 1), (800, 600, 1)])
def test_the_image_keeps_most_of_a_small_window(
    browser: Browser, address: str, width: int, height: int, density: float
) -> None:
    """1280 × 720 at 200 % is a window of 640 × 360; the canvas was 0 px high."""
    context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=density)
    tab = context.new_page()
    tab.goto(address)
    tab.wait_for_selector("body[data-ready]")
    box = tab.locator("#canvas").bounding_box()
    assert box is not None
    assert box["width"] * box["height"] > 0.6 * width * height
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.click("#open-aside")
    tab.click("#tab-train")
    expect(tab.locator("#train")).to_be_visible()
    tab.click("#open-nav")
    expect(tab.locator("#train")).not_to_be_visible()
    tab.click("#cases button >> nth=1")
    expect(tab.locator("#lists")).not_to_be_visible()
    context.close()


def test_fingers_have_room_and_long_names_end_in_an_ellipsis(browser: Browser, address: str) -> None:
    tablet = Studio.open(browser, address, size=(820, 1180), touch=True)
    small = """() => [...document.querySelectorAll("button, select, input, summary")]
        .filter((one) => one.offsetParent && one.type !== "checkbox" && one.id !== "skip")
        .filter((one) => one.getBoundingClientRect().height < 44).map((one) => one.id || one.textContent)"""
    for tab in ("draw", "train", "review", "numbers"):
        tablet.page.click(f"#tab-{tab}")
        assert tablet.page.evaluate(small) == []
    assert tablet.page.locator("#strip").bounding_box()["width"] >= 44  # pyright: ignore[reportOptionalSubscript]
    tablet.go(LONG, 1)
    cut = """(selector) => {
        const one = document.querySelector(selector);
        return one.scrollWidth > one.clientWidth && getComputedStyle(one).textOverflow === "ellipsis";
    }"""
    assert tablet.page.evaluate(cut, "#cases [aria-current] .name")
    assert tablet.page.evaluate(cut, "#where")
    assert tablet.faults == []
    tablet.page.context.close()


def test_the_first_stop_of_the_keyboard_leads_past_the_lists(browser: Browser, address: str) -> None:
    studio = Studio.open(browser, address)
    studio.page.keyboard.press("Tab")
    assert studio.page.evaluate("document.activeElement.id") == "skip"
    studio.page.keyboard.press("Enter")
    assert studio.page.evaluate("document.activeElement.id") == "canvas"
    studio.page.context.close()


def test_lists_are_not_cut_off_where_filters_are(page: Studio) -> None:
    hidden = "(() => { const nav = document.querySelector('nav'); return nav.scrollWidth - nav.clientWidth; })()"
    assert page.page.locator("#filters").is_visible()
    assert page.page.evaluate(hidden) == 0


def test_only_the_box_of_a_stroke_is_coloured_anew(page: Studio) -> None:
    """All of a picture of 4000 × 4000 took a second for each move of the pen."""
    walk = """(async () => {
        const { Stroke } = await import(new URL("brush.js", location.href).href);
        const labels = new Uint8Array(48).fill(255);
        const made = m.scribbleLayer(labels, [6, 8]);
        const stroke = new Stroke(labels, { h: 6, w: 8, aspect: 1 }, { code: 1, size: 1 });
        labels[47] = 1; // outside the box: nobody told of it
        stroke.to(2.5, 1.5);
        stroke.to(4.5, 2.5);
        const box = stroke.takeBox();
        m.repaint(made, box);
        const pixels = made.getContext("2d").getImageData(0, 0, 8, 6).data;
        const shown = Array.from({ length: 48 }, (_, index) => index).filter((index) => pixels[4 * index + 3]);
        const drawn = [...labels.keys()].filter((index) => labels[index] === 1 && index !== 47);
        return [shown, drawn, stroke.takeBox(), stroke.change.boxIn(8), box];
    })()"""
    shown, drawn, rest, whole, box = page.module("layers", f"await {walk}")
    assert shown == drawn
    assert rest is None
    assert whole == box == {"top": 1, "left": 2, "bottom": 3, "right": 5}


def test_slices_are_coloured_in_strips_of_rows(page: Studio) -> None:
    """All words of a picture of 4000 × 4000 at once took twice as long; the last strip is lower than the others."""
    walk = """(async () => {
        const { classes } = await import(new URL("state.js", location.href).href);
        const [h, w] = [131, 5];
        const labels = Uint8Array.from({ length: h * w }, (_, index) => [0, 1, 2, 255][(index * 7) % 4]);
        const pixels = m.scribbleLayer(labels, [h, w]).getContext("2d").getImageData(0, 0, w, h).data;
        const wanted = (label) => (label === 255 ? [0, 0, 0, 0] : [...m.rgb(classes()[label].colour), 255]);
        return [...labels].every((label, index) => wanted(label).every((part, at) => pixels[4 * index + at] === part));
    })()"""
    assert page.module("layers", f"await {walk}") is True


def test_slices_are_sent_as_they_are_now_and_as_blobs(page: Studio) -> None:
    """Handing an array of 2000 × 2000 bytes to `fetch` held the page for a quarter of a second, a blob does not."""
    sent = page.module(
        "api",
        """(async () => {
            const [labels, bodies, fetch] = [new Uint8Array(8).fill(255), [], window.fetch];
            window.fetch = async (_, { body }) => bodies.push(body) && new Response(null, { status: 204 });
            const asked = m.getProposal("s0", 1, labels);
            labels.fill(1); // drawn meanwhile
            await asked;
            await m.putScribble("s0", 1, labels, 1, "v").catch(() => null); // the answer is empty
            window.fetch = fetch;
            const read = async (blob) => [blob instanceof Blob, ...new Uint8Array(await blob.arrayBuffer())];
            return Promise.all(bodies.map(read));
         })()""",
    )
    assert sent == [[True, *[255] * 8], [True, *[1] * 8]]


def test_drawn_pixels_are_counted_once_and_kept_up(page: Studio) -> None:
    walk = """(async () => {
        const { History, replace } = await import(new URL("brush.js", location.href).href);
        const labels = Uint8Array.from([255, 255, 2, 255]);
        const told = [[...m.countsOf(labels)]];
        const history = new History();
        const change = replace(labels, Uint8Array.from([1, 1, 1, 255]));
        history.push(change);
        m.count(labels, change);
        told.push([...m.countsOf(labels)]);
        m.count(labels, replace(labels, Uint8Array.from([3, 1, 1, 255])));
        m.count(labels, history.undo(labels)); // what was drawn over meanwhile stays
        return [...told, [...m.countsOf(labels)]];
    })()"""
    assert page.module("counts", f"await {walk}") == [[[2, 1]], [[1, 3]], [[2, 1], [3, 1]]]


def test_slices_of_large_pictures_leave_room(page: Studio) -> None:
    """240 slices of 4000 × 4000 in colour are 23 GB."""
    walk = """(() => {
        const shelf = new m.Shelf(null);
        for (let z = 0; z < 9; z++) shelf.keep(`a/${z}`, { byteLength: 100 * 2 ** 20 });
        return [...shelf.arrays.keys()];
    })()"""
    assert page.module("slices", walk) == ["a/5", "a/6", "a/7", "a/8"]


def test_a_tab_that_is_hidden_saves_at_once(page: Studio) -> None:
    """It may be closed then, or put to sleep on a tablet."""
    walk = """(() => {
        const sent = [];
        m.save({ name: "x", z: 0 }, new Uint8Array(4), { put: async ({ place }) => sent.push(place.name) });
        Object.defineProperty(document, "hidden", { value: true, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
        delete document.hidden;
        return sent;
    })()"""
    assert page.module("save", walk) == ["x"]


def test_only_the_bands_of_a_box_are_traced_anew(page: Studio) -> None:
    walk = """(() => {
        const [h, w] = [130, 4];
        const labels = new Uint8Array(h * w);
        const bands = m.outlines(labels, [h, w]);
        const before = [...bands];
        labels[63 * w + 1] = 1; // its lower edge lies in the second band
        m.retrace(bands, labels, [h, w], { top: 63, left: 1, bottom: 64, right: 2 });
        return [bands.map((one, at) => one !== before[at]), bands.map((one) => one[1] !== null)];
    })()"""
    assert page.module("layers", walk) == [[True, True, False], [True, True, False]]
