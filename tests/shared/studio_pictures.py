"""Make the pictures of the studio in the docs: ``python tests/shared/studio_pictures.py FOLDER docs/images``.

FOLDER becomes a folder of phantoms that is scribbled and trained on, which takes minutes. If it is there, what it holds
is used, and the picture of a training stays as it is. Other sizes and surroundings go to FOLDER's ``looks``.
"""

import sys
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

import studio_page as sp
from maskmixadv.sources.phantoms.phantom import CLASSES, LEAST_CASES
from studio_page import Studio

STEPS = 120
SIZES = ((1280, 720), (820, 1180), (640, 360))
TABS = ("draw", "train", "review", "numbers")
CASE = "phantom000_ED"


def main(root: Path, images: Path) -> None:
    """Make what is missing in the folder, and then all pictures."""
    corpus = root.parent / f"{root.name}-corpus"
    new = not (root / "predictions" / "001").is_dir()
    cases = sp.hearts(root, corpus, cases=LEAST_CASES, seed=3, size=104) if new else sp.phantoms(corpus)
    truth = {name: case.dense for name, case in cases.items() if case.dense is not None}
    if new:
        (root / "classes.toml").write_text("".join(f'[[class]]\nname = "{name}"\n' for name in CLASSES))
        for name in list(cases)[-2:]:
            sp.write(root / "masks" / f"{name}.nii.gz", truth[name], cases[name])
    with sync_playwright() as playwright, sp.studio(root) as (url, _):
        browser = playwright.chromium.launch(executable_path=sp.CHROMIUM, args=sp.ARGS)
        if new:
            _work(Studio.open(browser, url), truth, images)
        _pictures(browser, url, images)
        for size in SIZES:
            _looks(browser, url, size, root / "looks")


def _work(studio: Studio, truth: dict[str, np.ndarray], images: Path) -> None:
    """Scribble six slices, and train; pictures of both."""
    page = studio.page
    sp.scribble(studio, truth, slices=6)
    page.wait_for_timeout(1500)
    studio.look("studio-scribble", images)
    page.click("#tab-train")
    page.emulate_media(color_scheme="light")
    page.select_option("#preset", "cpu")
    page.fill("#steps", str(STEPS))
    page.click("#train")
    page.keyboard.press("i")  # the preview alone
    page.wait_for_selector("#curves svg", timeout=300_000)
    late = "(steps) => document.querySelector('#train-progress').value > 0.7 * steps"
    page.wait_for_function(late, arg=STEPS, timeout=1_200_000)
    studio.look("studio-train", images)
    page.wait_for_selector("#panel-review:not([hidden])", timeout=1_200_000)


def _pictures(browser: Browser, url: str, images: Path) -> None:
    """Pictures of the trained folder."""
    studio = Studio.open(browser, url)
    page = studio.page
    page.click("#tab-review")
    studio.go(CASE, 6)
    page.check("#disagreement")
    _quiet(page)
    studio.look("studio-review", images)
    page.uncheck("#disagreement")
    page.keyboard.press("v")
    page.click("#tab-draw")
    studio.go(CASE, 4)
    _quiet(page)
    studio.look("studio-views", images)
    page.keyboard.press("v")
    page.emulate_media(color_scheme="light")
    page.click("#tab-review")
    studio.go(CASE, 5)
    page.keyboard.press("p")
    _quiet(page)
    studio.look("studio-paint", images)
    page.keyboard.press("p")
    page.context.close()


def _looks(browser: Browser, url: str, size: tuple[int, int], folder: Path) -> None:
    """Pictures of each tab in the light and in the dark, to be looked at."""
    studio = Studio.open(browser, url, size=size)
    page = studio.page
    studio.go(CASE, 3)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for tab in TABS:
            studio.module("state", "m.setTab(a)", tab)
            if (
                page.locator("#open-aside").is_visible()
                and page.get_attribute("#open-aside", "aria-expanded") == "false"
            ):
                page.click("#open-aside")
            _quiet(page)
            studio.look(f"{tab}-{scheme}-{size[0]}", folder)
    page.context.close()


def _quiet(page: Page) -> None:
    """Wait until what was asked for is here; nothing has the focus then."""
    page.evaluate("document.activeElement.blur()")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(400)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
