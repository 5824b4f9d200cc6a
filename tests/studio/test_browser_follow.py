"""An open page follows what happens elsewhere: other pages, other programs, a training that another page began."""

import json
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

import own
import studio_page as sp
import tiny
from maskmixadv.formats import nifti
from studio_page import Studio
from studio_server import TOKEN, client, predict, serving, strokes

pytestmark = [sp.NEEDS_CHROMIUM, pytest.mark.slow]
DENSE = tiny.volume()[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own.folder(tmp_path / "hearts", scribbled=2, masked=1)


def labels(studio: Studio) -> list[int]:
    """Classes in the shown slice's prediction."""
    studio.page.wait_for_timeout(200)
    return studio.module("slices", "[...new Set(m.arrays().prediction ?? [])].sort()")


def come_back(studio: Studio) -> None:
    studio.module("folder", "m.refresh()")
    studio.settled()


def looked_at(studio: Studio) -> None:
    """Wait until the page has told the server that the shown slice was looked at."""
    studio.page.evaluate("async () => { window.folder = await import(new URL('state.js', location.href).href); }")
    studio.page.wait_for_function("() => window.folder.shown().masks.looked.includes(window.folder.state.place.z)")


def test_a_run_that_another_page_began_is_what_is_shown_and_judged(browser: Browser, folder: Path) -> None:
    predict(folder)
    with serving(folder) as address:
        studio = Studio.open(browser, f"{address}/#{TOKEN}")
        studio.page.click("#tab-review")
        studio.go("s0", 1)
        assert labels(studio) == [0, 1, 2, 3]
        looked_at(studio)  # else the page may say so when the next run is there, which the server refuses
        predict(folder, "002")
        like = nifti.read(folder / "images" / "s0.nii.gz")
        nifti.write_labels(folder / "predictions" / "002" / "s0.nii.gz", np.where(DENSE == 3, 3, 0).astype("u1"), like)
        come_back(studio)
        assert labels(studio) == [0, 3]
        assert studio.faults == []
        studio.page.context.close()


def test_a_training_that_another_page_began_is_shown_where_somebody_comes_back(browser: Browser, folder: Path) -> None:
    with serving(folder) as address:
        studio = Studio.open(browser, f"{address}/#{TOKEN}")
        page = studio.page
        page.click("#tab-train")
        expect(page.locator("#train-state")).to_have_text("Nothing has been trained yet.")
        running = {"state": "running", "run": "001", "step": 3, "steps": 10, "losses": [], "validation": []}
        page.route("**/api/train", lambda route: route.fulfill(json=running))
        page.evaluate("() => window.dispatchEvent(new Event('focus'))")
        expect(page.locator("#train-state")).to_have_text("Step 3 of 10")
        expect(page.locator("#train")).to_be_disabled()
        expect(page.locator("#stop")).to_be_visible()
        assert studio.faults == []
        page.context.close()


@pytest.mark.slow
def test_a_page_in_sight_follows_a_training_though_nobody_comes_back_to_it(browser: Browser, folder: Path) -> None:
    """Of two windows side by side, the one without the focus said that nothing has been trained."""
    with serving(folder) as address:
        studio = Studio.open(browser, f"{address}/#{TOKEN}")
        page = studio.page
        page.click("#tab-train")
        running = {"state": "running", "run": "001", "step": 3, "steps": 10, "losses": [], "validation": []}
        page.route("**/api/train", lambda route: route.fulfill(json=running))
        expect(page.locator("#train-state")).to_have_text("Step 3 of 10", timeout=15_000)
        page.unroute("**/api/train")
        assert studio.faults == []
        page.context.close()


def test_what_was_not_shown_was_not_looked_at(browser: Browser, folder: Path) -> None:
    """The prediction has changed on the server, and the page shows the one before; or it shows the given mask."""
    own.write(folder / "masks" / "s1.nii.gz", DENSE)
    predict(folder)
    with serving(folder) as address:
        studio = Studio.open(browser, f"{address}/#{TOKEN}")
        studio.go("s1", 1)
        studio.module("state", "m.setOverlay({ given: true })")
        studio.page.click("#tab-review")
        studio.page.wait_for_timeout(1200)
        studio.page.keyboard.press("a")
        expect(studio.page.locator("#toast")).to_contain_text("the mask that came with the folder is shown")
        studio.module("state", "m.setOverlay({ given: false })")
        studio.page.wait_for_timeout(200)
        predict(folder, "002")
        studio.page.wait_for_timeout(1500)
        raw = json.loads((folder / "cases.json").read_text()) if (folder / "cases.json").is_file() else {"cases": {}}
        assert raw["cases"].get("s1", {"looked": {}})["looked"] in ({}, {"1": "002"})
        assert studio.module("state", "m.state.folder.run.name") == "002"
        studio.page.context.close()


def test_a_class_that_another_page_removed_leaves_no_labels_of_other_classes(browser: Browser, tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=1, masked=0)
    (folder / "scribbles" / "s0.nii.gz").unlink()
    with serving(folder) as address:
        studio = Studio.open(browser, f"{address}/#{TOKEN}")
        studio.go("s0", 1)
        studio.module("proposals", "m.setProposal({ name: 's0', z: 1 }, new Uint8Array(40 * 48).fill(2))")
        studio.page.route("**/scribble?*", lambda route: route.abort())  # what is drawn now is not saved
        studio.stroke("2", [(10, 10), (20, 10)])
        expect(studio.page.locator("#saved")).to_have_attribute("data-state", "unsaved")
        rows = [{"name": f"c{place}", "colour": "#4aa8ff", "was": place} for place in (0, 1, 3)]
        put = studio.page.request.put(
            f"{address}/api/classes", headers={"X-Token": TOKEN}, data={"classes": rows, "placed": True}
        )
        assert put.ok, put.text()
        come_back(studio)
        studio.page.unroute("**/scribble?*")
        assert studio.module("proposals", "m.proposalAt({ name: 's0', z: 1 })") is None
        expect(studio.page.locator("#saved")).to_have_attribute("data-state", "saved")
        expect(studio.page.locator("#toast")).to_contain_text("A class was removed on another page")
        studio.page.wait_for_timeout(1000)
        assert studio.drawn() == {}
        assert not (folder / "scribbles" / "s0.nii.gz").exists()
        studio.stroke("2", [(10, 10), (20, 10)])
        studio.saved()
        assert (nifti.read(folder / "scribbles" / "s0.nii.gz").array == 3).any()  # the code of the class that stayed
        studio.page.context.close()


def test_an_image_that_is_replaced_by_a_smaller_one_is_shown(browser: Browser, folder: Path) -> None:
    with serving(folder) as address:
        studio = Studio.open(browser, f"{address}/#{TOKEN}")
        studio.go("s1", 2)
        studio.stroke("1", [(10, 10), (20, 10)])
        studio.saved()
        assert studio.page.is_enabled("#undo")
        studio.page.wait_for_load_state("networkidle")  # else a slice that was fetched ahead is asked of the new image
        (folder / "scribbles" / "s1.nii.gz").unlink()
        own.write(folder / "images" / "s1.nii.gz", (tiny.volume(3)[0][:2, :30] * 900).astype(np.int16))
        come_back(studio)
        assert studio.place == ("s1", 1)
        expect(studio.page.locator("#failure")).to_be_hidden()
        studio.go("s1", 0)
        assert studio.module("draw", "m.remembered().map(([key]) => key).filter((key) => key.startsWith('s1/'))") == [
            "s1/1", "s1/0",
        ]  # fmt: skip
        assert studio.page.is_disabled("#undo")
        assert studio.faults == []
        studio.page.context.close()


def test_every_key_is_harmless_where_there_is_no_image(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path / "empty") as address:
        studio = Studio.open(browser, f"{address}/#{TOKEN}", empty=True)
        keys = studio.page.evaluate("[...'0123456789abcdefghijklmnopqrstuvwxyz[].+-']")
        more = [
            "Enter", "Escape", "PageUp", "PageDown", "ArrowUp", "ArrowLeft", "Shift+ArrowUp", "Control+ArrowUp",
            "Control+Shift+ArrowLeft", "Control+z", "Control+Shift+z", "Control+y", "?", "Escape",
        ]  # fmt: skip
        for tab in ("draw", "train", "review", "numbers"):
            studio.page.click(f"#tab-{tab}")
            studio.page.locator("#canvas").focus()
            for key in [*keys, *more]:
                studio.page.keyboard.press(key)
        studio.page.wait_for_timeout(300)
        assert studio.faults == []
        studio.page.context.close()


def test_review_goes_on_showing_what_is_judged_while_a_training_runs(browser: Browser, folder: Path) -> None:
    predict(folder)
    with serving(folder) as address:
        studio = Studio.open(browser, f"{address}/#{TOKEN}")
        studio.page.route(
            "**/preview",
            lambda route: route.fulfill(
                status=200,
                body=bytes([1]) * DENSE[0].size,
                headers={"X-Step": "7", "Content-Type": "application/octet-stream"},
            ),
        )
        studio.go("s0", 1)
        studio.module("state", "m.emit('training', { state: 'running', run: '002', step: 7 })")
        expect(studio.page.locator("#preview")).to_contain_text("preview of run 002")
        studio.page.click("#tab-review")
        expect(studio.page.locator("#preview")).to_be_hidden()
        assert studio.module("preview", "m.shownPreview()") is None
        studio.page.click("#tab-draw")
        expect(studio.page.locator("#preview")).to_be_visible()
        studio.page.context.close()


def test_the_server_tells_a_page_of_a_later_run(folder: Path) -> None:
    predict(folder)
    with client(folder) as page:
        assert page.put("/api/cases/s0/slices/1/looked", params={"run": "001"}).json()["looked"] == [1]
        predict(folder, "002")
        told = page.put("/api/cases/s0/slices/2/looked", params={"run": "001"})
        assert told.status_code == 409
        assert strokes().shape == DENSE.shape[1:]
