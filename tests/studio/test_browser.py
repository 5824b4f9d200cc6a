"""The studio in a browser: real strokes with a real mouse, on hearts whose truth the test knows."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect
from scipy import ndimage

import studio_page as sp
from maskmixadv.formats import nifti
from maskmixadv.sources.phantoms.phantom import CLASSES, LV, MYO, RV
from maskmixadv.studio.learning import training
from maskmixadv.types import IGNORE
from studio_page import Studio

pytestmark = sp.NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small hearts with classes, one of them with pixels twice as wide as tall."""
    root = tmp_path_factory.mktemp("studio") / "hearts"
    cases = sp.hearts(root, root.parent / "corpus", cases=3, seed=5, size=64)
    (root / "classes.toml").write_text(
        "".join(f'[[class]]\nname = "{name}"\ncolour = "#{code}0a0f0"\n' for code, name in enumerate(CLASSES))
    )
    wide = next(iter(cases.values()))
    assert wide.affine is not None
    wide.affine[0, 0] = 2 * wide.affine[1, 1]
    sp.write(root / "images" / "wide.nii.gz", (wide.image[0] * 900).astype(np.int16), wide)
    return root


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with sp.studio(folder) as (url, _):
        yield url


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Studio]:
    studio = Studio.open(browser, address)
    yield studio
    assert studio.faults == []
    studio.page.context.close()


def stored(folder: Path, name: str, z: int) -> np.ndarray:
    """Strokes on disk: class indices, IGNORE where nothing is drawn."""
    codes = sp.read(folder / "scribbles" / f"{name}.nii.gz")[z]
    return np.where(codes == len(CLASSES), IGNORE, codes)


def test_strokes_are_saved_undone_and_redone(page: Studio, folder: Path) -> None:
    page.go("phantom000_ED", 1)
    page.stroke("1", [(20, 20), (30, 20)])
    page.saved()
    one = stored(folder, "phantom000_ED", 1)
    assert set(np.unique(one)) == {RV, IGNORE}
    assert (one[19:21, 20:30] == RV).all()
    page.stroke("3", [(25, 15), (25, 30)])
    page.saved()
    both = stored(folder, "phantom000_ED", 1)
    assert page.drawn() == {"RV": int((both == RV).sum()), "LV": int((both == LV).sum())}
    page.page.keyboard.press("Control+z")
    page.saved()
    np.testing.assert_array_equal(stored(folder, "phantom000_ED", 1), one)
    page.page.keyboard.press("Control+Shift+Z")
    page.saved()
    np.testing.assert_array_equal(stored(folder, "phantom000_ED", 1), both)


def test_eraser_brush_and_copy_to_the_next_slice(page: Studio, folder: Path) -> None:
    page.go("phantom000_ES", 2)
    for _ in range(4):
        page.page.keyboard.press("]")
    page.stroke("2", [(20, 30), (40, 30)])
    page.stroke("e", [(30, 20), (30, 40)])
    page.saved()
    left = stored(folder, "phantom000_ES", 2)
    pieces: Any = ndimage.label(left == MYO)
    assert pieces[1] == 2, "the eraser cuts the stroke in two"
    assert 5 <= (left == MYO).sum(0).max() <= 7, "a brush of 6 pixels"
    page.page.keyboard.press("d")
    page.settled()
    page.saved()
    assert page.place == ("phantom000_ES", 3)
    np.testing.assert_array_equal(stored(folder, "phantom000_ES", 3), left)


def test_the_keyboard_alone_draws_a_closed_loop(page: Studio, folder: Path) -> None:
    page.go("phantom000_ED", 2)
    keys = page.page.keyboard
    page.page.locator("#canvas").focus()
    keys.press("0")
    for way, times in (("Left", 2), ("Up", 2)):
        for _ in range(times):
            keys.press(f"Control+Shift+Arrow{way}")
    keys.press("Enter")
    for way in ("Right", "Down", "Left"):
        for _ in range(4):
            keys.press(f"Control+Shift+Arrow{way}")
    keys.press("Enter")  # three sides; the page closes the fourth
    page.saved()
    drawn = stored(folder, "phantom000_ED", 2) == 0
    inside = np.asarray(ndimage.binary_fill_holes(drawn)) & ~drawn
    assert inside.sum() > 15 * 15


@pytest.mark.slow
def test_strokes_outlive_a_server_that_goes_away(browser: Browser, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("scribbles", ".studio"))
    with sp.studio(copy) as (url, _):
        studio = Studio.open(browser, url)
        studio.go("phantom000_ED", 0)
    studio.stroke("1", [(20, 20), (30, 20)])
    saved = studio.page.locator("#saved")
    expect(saved).to_have_attribute("data-state", "unsaved", timeout=10_000)
    expect(saved).to_contain_text("Not saved")
    port = int(url.split(":")[2].split("/")[0])
    with sp.studio(copy, port) as (again, _):
        studio.page.evaluate("(hash) => { location.hash = hash; }", again.partition("#")[2])
        studio.saved()
        assert (stored(copy, "phantom000_ED", 0)[19:21, 20:30] == RV).all()
    studio.page.context.close()


@pytest.mark.slow
def test_images_are_added_and_refusals_are_told(browser: Browser, tmp_path: Path, folder: Path) -> None:
    """A file that is refused keeps no other one back, and each one that is not added is named."""
    refused = [tmp_path / f"{name}.nii.gz" for name in ("broken", "cut")]
    for path in refused:
        path.write_bytes(b"no image")
    with sp.studio(tmp_path / "new") as (url, _):
        studio = Studio.open(browser, url, empty=True)
        expect(studio.page.locator("#empty")).to_be_visible()
        studio.page.set_input_files("#files", [refused[0], folder / "images" / "wide.nii.gz", refused[1]])
        expect(studio.page.locator("#cases li")).to_have_text([re.compile("wide")])
        expect(studio.page.locator("#toast.trouble")).to_contain_text("broken")
        expect(studio.page.locator("#toast.trouble")).to_contain_text("and 1 more, which the list of cases names")
        expect(studio.page.locator("#problems li")).to_have_text([re.compile("broken"), re.compile("cut")])
        assert not studio.page.locator("#empty").is_visible()
        studio.page.context.close()


@pytest.mark.slow
def test_a_damaged_file_of_strokes_is_told_and_the_other_images_are_drawn_on(
    browser: Browser, folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("scribbles", ".studio"))
    (copy / "scribbles").mkdir()
    (copy / "scribbles" / "phantom000_ED.nii.gz").write_bytes(b"damaged")
    with sp.studio(copy) as (url, _):
        studio = Studio.open(browser, url, empty=True)
        page = studio.page
        expect(page.locator("#cases li")).to_have_count(len(list((copy / "images").iterdir())))
        expect(page.locator("#problems li")).to_contain_text("phantom000_ED.nii.gz")
        expect(page.locator("#toast.trouble")).to_contain_text("phantom000_ED.nii.gz")
        studio.go("phantom000_ES", 1)
        studio.stroke("1", [(20, 20), (30, 20)])
        studio.saved()
        page.context.close()
    assert (stored(copy, "phantom000_ES", 1)[19:21, 20:30] == RV).all()
    assert (copy / "scribbles" / "phantom000_ED.nii.gz").read_bytes() == b"damaged"


def test_two_fingers_move_the_view_and_one_draws(browser: Browser, address: str) -> None:
    tablet = Studio.open(browser, address, size=(820, 1180), touch=True)
    tablet.go("phantom000_ES", 0)
    touch = tablet.page.context.new_cdp_session(tablet.page)

    def fingers(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    before = tablet.module("view", "m.zoomFactor()")
    fingers("touchStart", (350, 400))
    fingers("touchStart", (350, 400), (450, 400))
    fingers("touchMove", (300, 400), (500, 400))
    fingers("touchEnd")
    assert tablet.module("view", "m.zoomFactor()") == pytest.approx(2 * before, rel=0.05)
    tablet.page.wait_for_timeout(100)
    assert tablet.drawn() == {}, "the first finger of two draws nothing"
    fingers("touchStart", (400, 400))
    fingers("touchMove", (400, 440))
    fingers("touchEnd")
    tablet.saved()
    assert set(tablet.drawn()) == {"RV"}
    assert tablet.faults == []
    tablet.page.context.close()


def test_looking_by_mouse_and_keys_draws_nothing(page: Studio) -> None:
    page.go("phantom001_ED", 1)
    keys, mouse = page.page.keyboard, page.page.mouse
    keys.press("ArrowDown")
    page.page.locator("#canvas").hover()
    page.settled()
    page.module("slices", "m.arrays().scribble.fill(1)")  # on this slice alone
    page.module("state", "m.emit('arrays')")
    expect(page.page.locator("#under")).to_contain_text("drawn RV")
    mouse.wheel(0, 120)
    page.settled()
    expect(page.page.locator("#under")).not_to_contain_text("drawn")
    page.module("slices", "m.scribbleAt({ name: 'phantom001_ED', z: 2 }).then((one) => one.fill(255))")
    assert page.place == ("phantom001_ED", 3)
    keys.press("ArrowLeft")
    assert page.place == ("phantom001_ED", 2)
    page.settled()
    keys.press("w")
    window, zoom = page.page.inner_text("#grey"), page.module("view", "m.zoomFactor()")
    mouse.down(button="right")
    mouse.move(600, 300)
    mouse.up(button="right")
    assert page.page.inner_text("#grey") != window
    keys.press("w")
    assert page.page.inner_text("#grey") == window
    keys.down("Control")
    mouse.wheel(0, -100)
    keys.up("Control")
    assert page.module("view", "m.zoomFactor()") > 1.2 * zoom
    before = page.module("view", "m.toScreen(0, 0)")
    keys.down(" ")
    mouse.down()
    mouse.move(640, 340)
    mouse.up()
    keys.up(" ")
    assert page.module("view", "m.toScreen(0, 0)") == [before[0] + 40, before[1] + 40]
    assert page.drawn() == {}
    keys.press("PageDown")
    assert page.place[0] == "wide"


@pytest.mark.slow
def test_a_stroke_takes_an_acceptance_back_on_the_page(browser: Browser, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("scribbles", ".studio"))
    like = nifti.read(copy / "images" / "phantom000_ED.nii.gz")
    for run, code in (("001", RV), ("002", LV)):
        (copy / "predictions" / run).mkdir(parents=True)
        labels = np.full(like.array.shape, code, np.uint8)
        nifti.write_labels(copy / "predictions" / run / "phantom000_ED.nii.gz", labels, like)
    accepted = {"1": {"verdict": "accepted", "run": "001"}}
    notes = {"format": 1, "cases": {"phantom000_ED": {"reviews": accepted, "seconds": {}}}}
    (copy / "studio.json").write_text(json.dumps(notes))
    with sp.studio(copy) as (url, _):
        studio = Studio.open(browser, url)
        page, verdict = studio.page, studio.page.locator("#verdict")

        def predicted(code: int) -> None:
            page.wait_for_function("(code) => window.slices.arrays().prediction?.[0] === code", arg=code)

        page.click("#tab-review")
        studio.go("phantom000_ED", 1)
        expect(verdict).to_have_text("Accepted")
        predicted(RV)
        studio.stroke("2", [(20, 20), (30, 20)])
        expect(verdict).to_have_text("Not judged yet")
        expect(page.locator("#toast")).to_have_text("No longer accepted: phantom000_ED, slice 2")
        expect(page.locator("#accept")).to_have_attribute("aria-pressed", "false")
        predicted(LV)  # of the latest run
        page.uncheck("#advance")
        studio.stroke("2", [(30, 30), (40, 30)])
        page.keyboard.press("a")  # before the stroke is saved
        expect(verdict).to_have_text("Accepted")
        studio.saved()
        expect(verdict).to_have_text("Accepted")
        assert studio.faults == []
        page.context.close()
    told = json.loads((copy / "studio.json").read_text())["cases"]["phantom000_ED"]["reviews"]
    assert told["1"]["run"] == "002"


@pytest.mark.slow
def test_the_page_says_what_a_training_learns_from(browser: Browser, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("scribbles", ".studio"))
    notes = copy / ".studio" / "002"
    notes.mkdir(parents=True)
    (notes / training.PHASE).write_text("done")
    training.LearntSlices(12, {"phantom000_ED": {1: "001", 3: "001"}, "wide": {2: "001"}}).write(
        notes / training.LEARNT
    )
    (notes / training.LEFT_OUT).write_text(
        json.dumps(["phantom000_ES: slice 5 as run 001 had it was accepted, and is gone"])
    )
    with sp.studio(copy) as (url, _):
        studio = Studio.open(browser, url)
        studio.page.click("#tab-train")
        said = "run 002, learns from 12 slices with strokes and 3 accepted slices, without phantom000_ES: slice 5"
        expect(studio.page.locator("#train-run")).to_contain_text(said)
        if "MASKMIXADV_SCREENSHOTS" in os.environ:
            studio.look("learns", Path(os.environ["MASKMIXADV_SCREENSHOTS"]))
        panel = "document.querySelector('#panel-train')"
        assert studio.page.evaluate(f"{panel}.scrollWidth <= {panel}.clientWidth"), "the line is broken"
        studio.page.context.close()


def test_cine_runs_through_the_phases(page: Studio) -> None:
    page.go("phantom000_ED", 1)
    page.page.keyboard.press("c")
    expect(page.page.locator("#where")).to_have_text("phantom000_ES")
    expect(page.page.locator("#where")).to_have_text("phantom000_ED")
    page.page.keyboard.press("c")
    assert page.place[1] == 1


def test_pixels_are_drawn_in_their_aspect(page: Studio) -> None:
    page.go("wide", 0)
    (x0, y0), (x1, y1) = page.module("view", "[m.toScreen(0, 0), m.toScreen(10, 10)]")
    assert (x1 - x0) / (y1 - y0) == pytest.approx(2, rel=0.01)


def test_all_of_the_page_is_to_be_seen_and_has_a_name(page: Studio) -> None:
    for width, height in ((1280, 720), (820, 1180)):
        page.page.set_viewport_size({"width": width, "height": height})
        for tab in ("draw", "train", "review", "numbers"):
            page.page.click(f"#tab-{tab}")
            assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    nameless = page.page.evaluate(
        """() => [...document.querySelectorAll("button, input:not([hidden]), select, canvas")]
            .filter((node) => !(node.ariaLabel || node.textContent.trim() || node.labels?.length))
            .map((node) => node.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.parametrize("steps", [4, pytest.param(120, marks=pytest.mark.slow)])
def test_the_whole_round(browser: Browser, tmp_path: Path, steps: int) -> None:
    """Name the classes, scribble proposed slices, train, correct, accept, export; then train from the shell.

    After 4 steps the round is as it is, and labels are anything; after 120 they are right.
    """
    root = tmp_path / "hearts"
    cases = sp.hearts(root, tmp_path / "corpus", cases=8 if steps == 120 else 4, seed=3, size=104)
    truth = {name: case.dense for name, case in cases.items() if case.dense is not None}
    pictures = Path(os.environ.get("MASKMIXADV_SCREENSHOTS", tmp_path / "pictures"))
    with sp.studio(root) as (url, _):
        studio = Studio.open(browser, url)
        page = studio.page
        _name_classes(studio)
        for name in list(cases)[-2:]:  # one patient to validate on
            sp.write(root / "masks" / f"{name}.nii.gz", truth[name], cases[name])
        sp.scribble(studio, truth, slices=6 if steps == 120 else 2)
        studio.look("scribble", pictures)
        _train(studio, pictures, steps=steps)
        _review(studio, truth, root)
        studio.look("review", pictures)
        exported = _export(studio)
        studio.look("results", pictures)
        if steps == 120:
            _look_round(studio, pictures)
        assert studio.faults == []
        page.context.close()
    scores = [_dice(sp.read(exported / f"{name}.nii.gz"), truth[name]) for name in truth]
    print("Dice of RV, Myo, LV:", np.mean(scores, axis=0).round(3))
    if steps == 120:
        assert np.nanmean(scores) >= 0.7
        _trains_from_the_shell(root, tmp_path / "run")


def _name_classes(studio: Studio) -> None:
    page = studio.page
    page.click("#edit-classes")
    page.click("#add-class")
    page.click("#add-class")
    for field, name in zip(page.locator("#class-rows input[type=text]").all(), CLASSES, strict=True):
        field.fill(name)
    page.click("#classes-form button[type=submit]")
    expect(page.locator("#class-buttons button")).to_have_count(len(CLASSES))


def _train(studio: Studio, pictures: Path, *, steps: int) -> None:
    page = studio.page
    page.click("#tab-train")
    page.select_option("#preset", "cpu")
    page.fill("#steps", str(steps))
    page.click("#train")
    if steps > 100:  # else it ends before one looks
        page.wait_for_selector("#curves svg", timeout=120_000)
        half = "(steps) => document.querySelector('#train-progress').value > steps / 2"
        page.wait_for_function(half, arg=steps, timeout=300_000)
        studio.look("train", pictures)
    page.wait_for_selector("#panel-review:not([hidden])", timeout=300_000)
    assert page.get_attribute("#train-state", "data-state") == "done"


def _review(studio: Studio, truth: dict[str, np.ndarray], root: Path) -> None:
    page = studio.page
    name, z = "phantom000_ED", 3
    studio.go(name, z)
    page.wait_for_function("() => window.slices.arrays().prediction")  # it comes behind image and strokes
    shown = studio.module("slices", "Array.from(m.arrays().prediction ?? [])")
    assert len(shown) == truth[name][z].size, "a prediction is shown"
    before = sp.read(root / "scribbles" / f"{name}.nii.gz")[z]
    studio.stroke("3", sp.arc(truth[name][z] == LV))
    studio.saved()
    after = sp.read(root / "scribbles" / f"{name}.nii.gz")[z]
    assert (after == LV).sum() > (before == LV).sum()
    studio.go(name, z + 1)
    page.uncheck("#advance")
    page.locator("#canvas").focus()
    page.keyboard.press("a")
    expect(page.locator("#verdict")).to_have_text("Accepted")
    assert "accepted" in json.dumps(json.loads((root / "studio.json").read_text()))
    page.keyboard.press("m")


def _export(studio: Studio) -> Path:
    page = studio.page
    page.keyboard.press("m")
    page.click("#tab-numbers")
    page.wait_for_selector("#numbers table")
    page.click("[data-export=masks]")
    page.wait_for_selector("#exported:not([hidden])")
    return Path(page.inner_text("#export-path"))


def _look_round(studio: Studio, pictures: Path) -> None:
    """Pictures of each screen, in light and on a tablet."""
    page = studio.page
    page.emulate_media(color_scheme="light")
    for size in ((1280, 720), (820, 1180)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        for tab in ("draw", "train", "review", "numbers"):
            page.click(f"#tab-{tab}")
            studio.look(f"{tab}-light-{size[0]}", pictures)


def _dice(labels: np.ndarray, dense: np.ndarray) -> list[float]:
    both = [(labels == code, dense == code) for code in (RV, MYO, LV)]
    return [2 * (one & other).sum() / (one.sum() + other.sum()) for one, other in both]


def _trains_from_the_shell(root: Path, out: Path) -> None:
    options = ["--out", str(out), "--preset", "cpu", "--steps", "2", "--batch", "2", "--size", "48", "--window", "48"]
    command = [sys.executable, "-m", "maskmixadv", "train", str(root), *options, "pce"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert (out / "last.pt").is_file()
