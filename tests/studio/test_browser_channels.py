"""Colours and channels in a browser: what the canvas shows, the key that goes through channels, and lines that tell."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

import own
import studio_page as sp
import tiny
from studio_page import Studio

pytestmark = [sp.NEEDS_CHROMIUM, pytest.mark.slow]
PURPLE = (150, 60, 170)


def shown(studio: Studio, x: float, y: float) -> list[int]:
    """Red, green and blue of the canvas over a pixel of the slice."""
    studio.page.wait_for_timeout(100)
    at = studio.module("view", "m.toScreen(a[0], a[1])", [x, y])
    read = """([x, y]) => {
        const one = new OffscreenCanvas(1, 1).getContext("2d");
        one.drawImage(document.querySelector("#canvas"), -Math.round(x), -Math.round(y));
        return [...one.getImageData(0, 0, 1, 1).data.slice(0, 3)];
    }"""
    return studio.page.evaluate(read, at)


def middle(studio: Studio, selector: str) -> float:
    """How far down the page an element's middle lies, in px."""
    box = studio.page.locator(selector).bounding_box()
    assert box is not None
    return box["y"] + box["height"] / 2


def test_colours_stay_colours(browser: Browser, tmp_path: Path) -> None:
    images = tmp_path / "cells" / "images"
    images.mkdir(parents=True)
    picture = np.full((40, 48, 3), PURPLE, np.uint8)
    picture[:, 30:] = 240, 235, 200
    Image.fromarray(picture).save(images / "cell.png")
    with sp.studio(images.parent) as (url, _):
        studio = Studio.open(browser, url)
        page = studio.page
        expect(page.locator("#grey")).to_have_text("in colour")
        assert not page.locator("#channel-field").is_visible()
        assert shown(studio, 10.5, 10.5) == list(PURPLE)
        assert shown(studio, 40.5, 10.5) == [240, 235, 200]
        page.locator("#level").fill("60")  # a window brightens all three
        expect(page.locator("#grey")).to_contain_text("L 60")
        assert all(np.greater(shown(studio, 10.5, 10.5), PURPLE))
        page.locator("#canvas").focus()
        page.keyboard.press("w")
        assert shown(studio, 10.5, 10.5) == list(PURPLE)
        studio.stroke("1", [(8, 20), (20, 20)])
        studio.saved()
        assert shown(studio, 12.5, 20.5) != list(PURPLE)
        beside = shown(studio, 12.5, 21.1)  # the stroke's dark edge
        assert sum(beside) < sum(PURPLE) - 30
        assert studio.faults == []
        page.context.close()


def test_a_key_goes_through_the_channels(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "hearts"
    image = tiny.volume()[0]
    for number, array in enumerate((image * 1000, (1 - image) * 700)):
        own.write(folder / "images" / f"a_{number:04d}.nii.gz", array.astype(np.int16))
    own.write(folder / "images" / "b_0000.nii.gz", (image * 1000).astype(np.int16))
    with sp.studio(folder) as (url, _):
        studio = Studio.open(browser, url)
        page = studio.page
        studio.go("a", 1)
        name, choice = page.locator("#channel-name"), page.locator("#channel")
        expect(name).to_have_text("channel 0")
        middles = [middle(studio, f"#{button}") for button in ("across-toggle", "zoom-out", "zoom-in", "fit")]
        assert np.ptp(middles) < 8, "buttons of the view stay together where a line has no room for all"
        assert middle(studio, "#problems") < middle(studio, "#cases")
        row, column = np.unravel_index(image[1].argmax(), image[1].shape)
        bright = shown(studio, column + 0.5, row + 0.5)
        studio.stroke("1", [(20, 20), (30, 20)])
        page.keyboard.press("g")
        expect(name).to_have_text("channel 1")
        studio.settled()
        assert shown(studio, column + 0.5, row + 0.5)[0] < bright[0] - 100
        studio.saved()
        assert studio.drawn(), "strokes are those of the case"
        page.reload()
        page.wait_for_selector("body[data-ready]")
        studio.go("a", 1)
        expect(name).to_have_text("channel 1")
        expect(choice).to_have_value("1")
        choice.select_option("0")
        expect(name).to_have_text("channel 0")
        page.keyboard.press("g")
        page.keyboard.press("g")
        expect(name).to_have_text("channel 0")
        expect(page.locator("#problems li")).to_contain_text("add b_0001")

        # A range of intensities is one of the channel that is shown.
        def bounds() -> list[float]:
            return [float(page.locator(f"#range-{end}").input_value()) for end in ("low", "high")]

        studio.go("a", 0)
        for key in "py":
            page.keyboard.press(key)
        before = bounds()
        page.keyboard.press("g")
        studio.settled()
        levels = studio.module("window", "m.levels()")
        half = levels["width"] / 2
        assert bounds() == pytest.approx([levels["level"] - half, levels["level"] + half], rel=1e-3)
        page.fill("#range-high", "5000")
        page.fill("#range-low", "4000")
        page.locator("#canvas").focus()
        studio.stroke("1", [(20, 20), (30, 20)])
        expect(page.locator("#toast")).to_contain_text("from 4000 to 5000")
        page.keyboard.press("g")
        assert bounds() == before, "each channel keeps its own"
        for key in "yp":
            page.keyboard.press(key)
        page.click("#tab-draw")
        page.locator("#canvas").focus()
        studio.go("b", 1)
        assert not choice.is_visible()
        page.keyboard.press("?")
        expect(page.locator("#help-keys")).to_contain_text("next channel")
        assert studio.faults == []
        page.context.close()
    assert [path.name for path in (folder / "scribbles").iterdir()] == ["a.nii.gz"]


def test_padding_leaves_contrast(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    image = (tiny.volume()[0] * 1000 - 900).astype(np.int16)
    image[:, :30] = -32768  # most of the slice
    own.write(folder / "images" / "ct.nii.gz", image)
    with sp.studio(folder) as (url, _):
        studio = Studio.open(browser, url)
        studio.go("ct", 1)
        measured = image[1, 30:]
        low, high = (np.sort(measured, None)[int(part * (measured.size - 1))] for part in (0.01, 0.995))
        levels = studio.module("window", "m.levels()")
        assert levels["width"] == pytest.approx(high - low, rel=0.05)
        assert levels["level"] == pytest.approx((high + low) / 2, abs=0.05 * (high - low))
        assert shown(studio, 10.5, 10.5) == [0, 0, 0]
        assert studio.faults == []
        studio.page.context.close()
