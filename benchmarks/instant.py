"""Time from strokes to what they say: ``python benchmarks/instant.py``.

A phantom's slice of 512 × 512 pixels with strokes of all classes: computed alone, over HTTP, and in a browser from
pen-up to the picture. And the slices between strokes of a volume of 256 × 256 × 20, filled.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx
import numpy as np
import torch
import tyro
from playwright.sync_api import Page, sync_playwright
from scipy import ndimage

from maskmixadv.corpus.case import Case
from maskmixadv.errors import InputError
from maskmixadv.formats import nifti
from maskmixadv.formats.flat import NoGeometry
from maskmixadv.formats.volume import Volume
from maskmixadv.sources.phantoms import phantom
from maskmixadv.strokes.fill import fill
from maskmixadv.strokes.propose import propose_slice
from maskmixadv.studio.http import server
from maskmixadv.studio.session import served
from maskmixadv.types import IGNORE
from record import append

SIDE, DEPTH = 256, 20
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WATCH = """async () => {
    const { on } = await import(new URL("state.js", location.href).href);
    addEventListener("pointerup", () => (window.up = performance.now()), true);
    on("proposed", () => requestAnimationFrame(() => requestAnimationFrame(() => (window.seen = performance.now()))));
}"""


@dataclass(frozen=True)
class Instant:
    """Time the instant answer.

    Attributes
    ----------
    rounds
        How often each is measured; the median counts.
    """

    rounds: int = 7


class Seconds(NamedTuple):
    """Seconds on the clock, and of this process on all cores; the second does not grow with the machine's load."""

    clock: float
    cores: float | None = None


def timed(work: Callable[[], object], rounds: int) -> Seconds:
    """Return the medians of the seconds that `work` takes, after one round that warms up."""
    work()
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter(), time.process_time()
        work()
        seconds.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    return Seconds(*(median(each) for each in zip(*seconds, strict=True)))


def hearts(place: Path, size: int) -> Case:
    """Return a phantom with strokes."""
    corpus = phantom.prepare(place, cases=phantom.LEAST_CASES, size=size)
    return corpus.load(max(corpus.entries, key=lambda entry: entry.shape[1] * entry.shape[2]))


def whole(case: Case, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the image and the strokes of a phantom's middle slice on `side` × `side` pixels."""
    middle, scribble = case.shape[0] // 2, case.scribble
    assert scribble is not None
    across = [(0, side - length) for length in case.shape[1:]]
    return (
        np.pad(case.image[0, middle], across, mode="edge"),
        np.pad(scribble[middle], across, constant_values=IGNORE),
    )


def volume(place: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a phantom of `DEPTH` slices, with strokes on the second one, the middle one, and the last but one."""
    case = hearts(place, SIDE)
    factors = [new / old for new, old in zip((DEPTH, SIDE, SIDE), case.shape, strict=True)]
    image = np.asarray(ndimage.zoom(case.image[0], factors)).clip(0, 1)
    drawn = np.full(image.shape, IGNORE, np.uint8)
    scribble = whole(case, SIDE)[1]
    drawn[[1, DEPTH // 2, DEPTH - 2]] = scribble
    return image, drawn


@contextmanager
def page_of(image: np.ndarray, folder: Path) -> Iterator[str]:
    """Serve a folder of one image of one slice; yields the page's address."""
    (folder / "images").mkdir(parents=True)
    like = Volume(image[None], None, None, NoGeometry())
    nifti.write_labels(folder / "images" / "slice.nii.gz", (255 * image[None]).astype(np.uint8), like)
    classes = "".join(f'[[class]]\nname = "{name}"\n' for name in phantom.CLASSES)
    (folder / "classes.toml").write_text(classes)
    with address_of(folder) as address:
        yield address


@contextmanager
def address_of(folder: Path) -> Iterator[str]:
    """Serve a folder; yields the page's address."""
    with served(folder) as session, server.listening(0) as bound:
        running = server.server(server.app(session, "token"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
        thread.start()
        while not running.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()


def over_http(address: str, strokes: np.ndarray, rounds: int) -> Seconds:
    """Return the seconds from a request to its answer."""
    with httpx.Client(base_url=address, headers={"X-Token": "token"}, timeout=60, trust_env=False) as client:
        place = "/api/cases/slice/slices/0"
        client.put(f"{place}/scribble", content=strokes.tobytes()).raise_for_status()
        return timed(lambda: client.post(f"{place}/proposal", content=strokes.tobytes()).raise_for_status(), rounds)


def in_browser(address: str, rounds: int) -> Seconds | None:
    """Return the seconds from pen-up to the picture; None without a browser."""
    if CHROMIUM is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{address}/#token")
        page.wait_for_selector("body[data-ready]")
        page.evaluate(WATCH)
        page.wait_for_timeout(2000)
        return Seconds(median([_stroke(page, number) for number in range(rounds + 1)][1:]))


def _stroke(page: Page, number: int) -> float:
    page.evaluate("() => { window.up = window.seen = 0; }")
    page.mouse.move(500 + 5 * number, 300)
    page.mouse.down()
    page.mouse.move(500 + 5 * number, 320)
    page.mouse.up()
    page.wait_for_function("() => window.up && window.seen > window.up", timeout=30_000)
    return page.evaluate("() => (window.seen - window.up) / 1000")


def main(argv: Sequence[str]) -> None:
    """Measure, print a Markdown table, add the record's line."""
    options = tyro.cli(Instant, args=argv)
    if options.rounds < 1:
        raise InputError(f"rounds: {options.rounds}, allowed is 1 or more")
    classes = len(phantom.CLASSES)
    with TemporaryDirectory() as temporary:
        place = Path(temporary)
        image, strokes = whole(hearts(place / "large", 512), 512)
        open_strokes = np.where(strokes == 0, np.uint8(IGNORE), strokes)
        open_strokes[40:42, 40:-40] = 0  # nothing is enclosed
        found = {
            "slice, in a loop": timed(lambda: propose_slice(image, strokes, classes=classes), options.rounds),
            "slice, not enclosed": timed(lambda: propose_slice(image, open_strokes, classes=classes), options.rounds),
        }
        with page_of(image, place / "folder") as address:
            found["slice, not enclosed, over HTTP"] = over_http(address, open_strokes, options.rounds)
            seen = in_browser(address, options.rounds)
        if seen is not None:
            found["pen-up to picture"] = seen
        filled = volume(place / "deep")
        found[f"{SIDE} × {SIDE} × {DEPTH} filled"] = timed(lambda: fill(*filled, classes=classes), options.rounds)
    load = os.getloadavg()[0]
    print(f"load {load:.1f} on {os.cpu_count()} cores\n\n| what | ms | ms of cores |\n| --- | --- | --- |")
    for what, (clock, cores) in found.items():
        print(f"| {what} | {1000 * clock:.0f} | {'' if cores is None else f'{1000 * cores:.0f}'} |")
    figures = {what: seconds._asdict() for what, seconds in found.items()}
    append("instant", {"rounds": options.rounds, "load": load, "seconds": figures}, torch.device("cpu"))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"instant: {error}")
