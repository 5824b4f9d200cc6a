"""What the browser tests share: folders of phantoms, a studio as a process, and a page with a mouse in a slice."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, ViewportSize, expect

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.sources.phantoms import phantom

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="browser tests need chromium or google-chrome on the path")
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
Path2D = list[tuple[float, float]]


def hearts(folder: Path, corpus: Path, *, cases: int, seed: int, size: int) -> dict[str, Case]:
    """Write phantoms' images into the studio's layout; return the cases, which hold the truth, by name."""
    made = phantom.prepare(corpus, cases=max(cases, phantom.LEAST_CASES), seed=seed, size=size)
    found = {entry.name: made.load(entry) for entry in made.entries[:cases]}
    (folder / "images").mkdir(parents=True)
    for name, case in found.items():
        write(folder / "images" / f"{name}.nii.gz", (case.image[0] * 900).astype(np.int16), case)
    return found


def phantoms(corpus: Path) -> dict[str, Case]:
    """Return the cases of a corpus of phantoms that is there."""
    made = Corpus.open(corpus)
    return {entry.name: made.load(entry) for entry in made.entries}


def write(path: Path, array: np.ndarray, case: Case) -> None:
    path.parent.mkdir(exist_ok=True)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ case.affine  # stored as the page shows it
    nib.save(nib.Nifti1Image(np.ascontiguousarray(array.T), affine), path)


def read(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj).T  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def studio(folder: Path, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A studio that serves `folder`, as its address and its process."""
    command = [sys.executable, "-m", "maskmixadv", "studio", str(folder), "--port", str(port)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as run:
        try:
            yield _address(run), run
        finally:
            run.terminate()


def _address(run: subprocess.Popen[str]) -> str:
    said = []
    for line in run.stdout or ():
        said.append(line)
        if found := re.search(r"http://127\.0\.0\.1:\d+/#\S+", line):
            return found[0]
    raise AssertionError(f"the studio did not say its address: {''.join(said)}")


@dataclass
class Studio:
    """A page, watched: `faults` are console errors, policy violations and requests to anywhere else."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)

    @classmethod
    def open(
        cls,
        browser: Browser,
        url: str,
        *,
        size: tuple[int, int] = (1280, 720),
        touch: bool = False,
        empty: bool = False,
    ) -> "Studio":
        viewport: ViewportSize = {"width": size[0], "height": size[1]}
        page = browser.new_context(viewport=viewport, has_touch=touch, color_scheme="dark").new_page()
        made = cls(page, url)
        page.on("console", made._heard)
        page.on("pageerror", lambda error: made.faults.append(str(error)))
        page.on("request", lambda request: made._asked(request.url))
        page.goto(url)
        page.wait_for_selector("body[data-ready]")
        if not empty:
            made.settled()
        return made

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, url: str) -> None:
        if not url.startswith(("data:", "blob:")) and urlsplit(url).netloc != urlsplit(self.url).netloc:
            self.faults.append(f"request to {url}")

    def module(self, name: str, expression: str, argument: Any = None) -> Any:
        """Evaluate `expression` over module `m` of the page and argument `a`."""
        where = f"new URL('{name}.js', location.href).href"
        return self.page.evaluate(f"async (a) => {{ const m = await import({where}); return {expression}; }}", argument)

    def held(self, pattern: str, act: str) -> list[Route]:
        """Do `act`, a module's name and expression; the answer to what it asks waits, until it is fulfilled."""
        routes = list[Route]()
        self.page.route(pattern, lambda route: routes.append(route), times=1)
        name, expression = act.split(": ")
        self.module(name, f"void {expression}")
        while not routes:
            self.page.wait_for_timeout(10)
        return routes

    def settled(self) -> None:
        """Wait until the shown slice is here and drawn, and the view has its place on the page."""
        self.page.wait_for_timeout(50)
        # A whole frame: the view is fitted after the first layout, and pixels' places on the screen are known then.
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        # What is waited for must not be asynchronous: a promise counts as true.
        self.page.evaluate("async () => { window.slices = await import(new URL('slices.js', location.href).href); }")
        self.page.wait_for_function(
            "() => { const { image, scribble } = window.slices.arrays(); return Boolean(image && scribble); }"
        )

    @property
    def place(self) -> tuple[str, int]:
        """Shown case and slice."""
        place = self.module("state", "m.state.place")
        return place["name"], place["z"]

    def go(self, name: str, z: int) -> None:
        self.module("state", "m.go(a[0], a[1])", [name, z])
        self.settled()

    def stroke(self, key: str, path: Path2D) -> None:
        """Choose a class by its key and drag the mouse along `path`, (x, y) in pixels of the slice."""
        self.page.keyboard.press(key)
        box = self.page.locator("#canvas").bounding_box()
        assert box is not None
        points = self.module("view", "a.map(([x, y]) => m.toScreen(x, y))", path)
        places = [(box["x"] + x, box["y"] + y) for x, y in points]
        mouse = self.page.mouse
        mouse.move(*places[0])
        mouse.down()
        for place in places[1:]:
            mouse.move(*place)
        mouse.up()

    def saved(self) -> None:
        self.page.wait_for_selector("#saved[data-state=saved]", timeout=15_000)

    def drawn(self) -> dict[str, int]:
        """Pixels drawn on the shown slice, by class, as the panel tells them."""
        rows = self.page.locator("#counts li").all_inner_texts()
        pairs = [re.split(r"\n+", row.strip()) for row in rows]
        return {name: int(count.removesuffix(" px")) for name, count in pairs if count != "–"}

    def look(self, name: str, folder: Path) -> None:
        """Take a picture of the page as it stands."""
        folder.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(150)
        self.page.screenshot(path=folder / f"{name}.png")


def scribbles(dense: np.ndarray) -> dict[str, Path2D]:
    """Strokes as somebody would draw them, by key, inside the structures of a slice's truth."""
    strokes = {str(code): arc(dense == code) for code in (phantom.MYO, phantom.LV)}
    strokes[str(phantom.RV)] = spine(dense == phantom.RV)
    strokes["0"] = loop(dense > 0)
    return strokes


def scribble(studio: Studio, truth: dict[str, np.ndarray], *, slices: int) -> None:
    """Draw on the shown slice, and on those that are proposed next."""
    for number in range(slices):
        if number:
            studio.page.keyboard.press("n")
            studio.page.wait_for_timeout(300)
        studio.settled()
        name, z = studio.place
        for key, path in scribbles(truth[name][z]).items():
            studio.stroke(key, path)
        studio.saved()
    expect(studio.page.locator("#budget-slices")).to_contain_text(f"{slices} of")


def spine(mask: np.ndarray) -> Path2D:
    """Down the middle of a structure."""
    rows = np.flatnonzero(mask.any(1))
    inner = rows[len(rows) // 6 : len(rows) - len(rows) // 6]
    return [(float(_longest(mask[row]).mean()) + 0.5, row + 0.5) for row in inner]


def _longest(row: np.ndarray) -> np.ndarray:
    columns = np.flatnonzero(row)
    return max(np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1), key=len)


def arc(mask: np.ndarray, part: float = 0.75) -> Path2D:
    """Three quarters of the way round, along the middle of a ring or well inside a disc."""
    rows, columns = np.nonzero(mask)
    y, x = rows - rows.mean(), columns - columns.mean()
    angle, radius = np.arctan2(y, x), np.hypot(y, x)
    path: Path2D = []
    for at in np.linspace(-np.pi, np.pi, 37)[: int(37 * part)]:
        near = np.abs(np.angle(np.exp(1j * (angle - at)))) < 0.12
        if near.any():
            middle = float(radius[near].mean())
            path.append((columns.mean() + 0.5 + middle * np.cos(at), rows.mean() + 0.5 + middle * np.sin(at)))
    return path


def loop(organ: np.ndarray, part: float = 0.9) -> Path2D:
    """Round an organ; its last part is left for the page to close."""
    rows, columns = np.nonzero(organ)
    middle = (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
    reach = np.ptp(columns) / 2 + 1, np.ptp(rows) / 2 + 1
    turns: Sequence[float] = np.linspace(0, 2 * np.pi * part, 36).tolist()
    # An ellipse of √2 times a box's sides goes through its corners.
    return [
        (middle[0] + (1.35 * reach[0] + 1) * np.cos(t), middle[1] + (1.35 * reach[1] + 1) * np.sin(t)) for t in turns
    ]
