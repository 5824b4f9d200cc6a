"""A stranger's ten minutes in the studio, timed: ``python benchmarks/stranger.py MSCMR``.

Six late-gadolinium volumes: three that people drew on (*train*), and three with dense masks (*val*), whose strokes are
drawn from the masks as `maskmixadv annotate scribbles` does it. A script drives the page in a browser as a person
would, with a mouse and keys: *Next*, the strokes of that slice, and so on, one slice in every `--pace` seconds. After
`--first` slices it presses *Train* and goes on drawing. When a training has ended, the next one begins. At the end, the
predictions that are there by then are compared with the masks. Nothing else may run on the machine meanwhile.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import nibabel as nib
import numpy as np
import torch
import tyro
from playwright.sync_api import Page, sync_playwright
from scipy import spatial
from skimage.measure import approximate_polygon
from skimage.morphology import skeletonize

from maskmixadv.corpus.case import Case
from maskmixadv.errors import InputError
from maskmixadv.sources.opening import open_corpus
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning.training import Training
from maskmixadv.studio.refusals import TakenError
from maskmixadv.types import IGNORE
from record import append

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
CLASSES = ("background", "RV", "Myo", "LV")
DRAWN, MASKED = 3, 3
"""How many volumes with known strokes there are, and how many with masks."""
SHORTEST = 5
"""Pixels of the shortest stroke beside a longer one."""
GAP = 3.0
"""Pixels between which a stroke goes on."""
STRAIGHT = 1.0
"""Pixels by which the mouse's straight moves may leave a stroke."""
SEEN = """async () => {
    const { on } = await import(new URL("state.js", location.href).href);
    window.times = {};
    const first = (what) => (window.times[what] ??= performance.now() / 1000);
    addEventListener("pointerup", () => first("stroke"), true);
    const picture = () => document.querySelector("#accept-proposal")?.disabled === false && first("picture");
    on("proposed", () => requestAnimationFrame(() => requestAnimationFrame(picture)));
    byPreview();
    function byPreview() {
        if (document.querySelector("#preview")?.hidden === false) return first("preview");
        setTimeout(byPreview, 50);
    }
}"""


@dataclass(frozen=True)
class Stranger:
    """Time a stranger's ten minutes in the studio: strokes, trainings, and how good predictions are then.

    Attributes
    ----------
    data
        Directory with the folders train and val of MSCMR.
    seconds
        Wall time of the round.
    pace
        Seconds that a slice takes.
    first
        Slices that are drawn before the first training.
    pictures
        Folder for a picture of the page after each training; None takes none.
    """

    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MSCMR")]
    seconds: Annotated[float, tyro.conf.arg(metavar="S")] = 600
    pace: Annotated[float, tyro.conf.arg(metavar="S")] = 20
    first: int = 9
    pictures: Path | None = None


Path2D = list[tuple[float, float]]


def trace(mask: np.ndarray) -> list[Path2D]:
    """Return the strokes, (x, y) in pixels, that go along the middle lines of a slice's drawn pixels."""
    left = [(float(x), float(y)) for y, x in np.argwhere(skeletonize(mask))]
    found: list[Path2D] = []
    while left:
        ends = [len(near) for near in spatial.KDTree(left).query_ball_point(left, 1.5)]
        stroke = [left.pop(int(np.argmin(ends)))]
        while left:
            distances = np.hypot(*(np.array(left) - stroke[-1]).T)
            nearest = int(np.argmin(distances))
            if distances[nearest] > GAP:
                break
            stroke.append(left.pop(nearest))
        found.append(stroke)
    longest = max(map(len, found), default=0)
    return [_straightened(stroke) for stroke in found if len(stroke) >= min(SHORTEST, longest)]


def _straightened(stroke: Path2D) -> Path2D:
    points = approximate_polygon(np.array(stroke), STRAIGHT) + 0.5
    return [(x, y) for x, y in points.tolist()]


@dataclass
class Person:
    """Somebody at the page, who knows what to draw.

    Attributes
    ----------
    page
        The page.
    strokes
        What to draw, by case.
    pace
        Seconds that a slice takes.
    slices
        The slices that were drawn, in order.
    """

    page: Page
    strokes: dict[str, np.ndarray]
    pace: float
    slices: list[tuple[str, int]] = field(default_factory=list)

    def module(self, name: str, expression: str, argument: Any = None) -> Any:  # noqa: ANN401
        """Evaluate `expression` over module `m` of the page and argument `a`."""
        where = f"new URL('{name}.js', location.href).href"
        return self.page.evaluate(f"async (a) => {{ const m = await import({where}); return {expression}; }}", argument)

    def here(self) -> tuple[str, int]:
        """Return the shown case and slice, once they are here."""
        self.page.wait_for_timeout(300)
        self.page.wait_for_function(
            """async () => {
                const { arrays } = await import(new URL('slices.js', location.href).href);
                return Boolean(arrays().image && arrays().scribble);
            }"""
        )
        place = self.module("state", "m.state.place")
        return place["name"], place["z"]

    def draw(self) -> None:
        """Go to the next slice, unless this is the first one, and draw its strokes; takes `pace` seconds."""
        began = time.monotonic()
        if self.slices:
            self.page.keyboard.press("n")
        name, z = self.here()
        drawn = self.strokes[name][z]
        for code in range(len(CLASSES)):
            for path in trace(drawn == code):
                self._stroke(str(code), path)
        self.slices.append((name, z))
        self.page.wait_for_timeout(1000 * max(0.0, self.pace - (time.monotonic() - began)))

    def _stroke(self, key: str, path: Path2D) -> None:
        self.page.keyboard.press(key)
        box = self.page.locator("#canvas").bounding_box()
        assert box is not None
        places = self.module("view", "a.map(([x, y]) => m.toScreen(x, y))", path)
        mouse = self.page.mouse
        mouse.move(box["x"] + places[0][0], box["y"] + places[0][1])
        mouse.down()
        for x, y in places[1:]:
            mouse.move(box["x"] + x, box["y"] + y)
        mouse.up()

    def train(self) -> None:
        """Press *Train* and come back to the strokes."""
        self.page.click("#tab-train")
        self.page.click("#train")
        self.page.wait_for_selector("#train-state[data-state=running]", timeout=30_000)
        self.page.click("#tab-draw")

    def training(self) -> str:
        """Return the state of the training."""
        return self.page.get_attribute("#train-state", "data-state") or "idle"


def volumes(data: Path, place: Path) -> tuple[dict[str, np.ndarray], dict[str, Path]]:
    """Write the images to ``place/folder``; return what to draw, slice by slice as the page shows it, and the masks."""
    _command("prepare", "mscmr", data, place / "corpus")
    _command("annotate", "scribbles", place / "corpus", "--from", "dense", "--out", place / "annotated")
    known, made = open_corpus(place / "corpus"), open_corpus(place / "annotated")
    drawn = {entry.name: _scribble(known.load(entry)) for entry in known.entries}
    masked = {entry.name: _scribble(made.load(entry)) for entry in made.entries}
    found: dict[str, np.ndarray] = {}
    masks: dict[str, Path] = {}
    (place / "folder" / "images").mkdir(parents=True)
    for part, many, of in (("train", DRAWN, drawn), ("val", MASKED, masked)):
        for path in sorted((data / part / "images").iterdir())[:many]:
            name = path.name.removesuffix(".nii.gz")
            shutil.copy(path, place / "folder" / "images")
            strokes = of[name]
            if strokes is None:
                raise InputError(f"{path}: no strokes are known")
            found[name] = strokes
            if part == "val":
                masks[name] = data / "val" / "labels" / f"{name}_manual.nii.gz"
    (place / "folder" / "classes.toml").write_text("".join(f'[[class]]\nname = "{name}"\n' for name in CLASSES))
    return found, masks


def _scribble(case: Case) -> np.ndarray | None:
    return None if case.scribble is None else np.where(case.scribble == IGNORE, -1, case.scribble.astype(np.int16))


def _command(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "maskmixadv", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def opened(folder: Path) -> Iterator[Page]:
    """Serve a folder and open its page."""
    command = [sys.executable, "-m", "maskmixadv", "studio", str(folder), "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run,
        sync_playwright() as play,
    ):
        try:
            address = next(word for line in run.stdout or () for word in line.split() if "/#" in word)
            browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address)
            page.wait_for_selector("body[data-ready]")
            yield page
            browser.close()
        finally:
            run.terminate()


def dice(folder: Path, masks: dict[str, Path]) -> dict[str, dict[str, list[float]]]:
    """Return the Dice of each structure by run and volume."""
    found: dict[str, dict[str, list[float]]] = {}
    for run in sorted((folder / "predictions").glob("[0-9]*")):
        paths = {name: run / f"{name}.nii.gz" for name in masks}
        if all(path.exists() for path in paths.values()):
            found[run.name] = {name: _dice(paths[name], mask) for name, mask in masks.items()}
    return found


def _dice(predicted: Path, mask: Path) -> list[float]:
    one, other = (np.asarray(nib.load(path).dataobj) for path in (predicted, mask))  # pyright: ignore[reportAttributeAccessIssue]
    codes = range(1, len(CLASSES))
    return [float(2 * ((one == c) & (other == c)).sum() / ((one == c).sum() + (other == c).sum())) for c in codes]


def round_of(options: Stranger, place: Path) -> dict[str, Any]:
    """Do the round; return its figures."""
    strokes, masks = volumes(options.data, place)
    folder = place / "folder"
    ended: list[tuple[float, int]] = []  # seconds, and slices drawn when the training began
    with opened(folder) as page:
        page.evaluate(SEEN)
        person = Person(page, strokes, options.pace)
        began, since = time.monotonic(), 0
        pressed: float | None = None
        while (spent := time.monotonic() - began) < options.seconds:
            state = person.training()
            if since and state in ("done", "failed", "stopped"):
                ended.append((spent, since))
                print(f"{spent:.0f} s: training {len(ended)} {state}, begun with {since} slices")
                if options.pictures is not None:
                    options.pictures.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=options.pictures / f"{len(ended)}.png")
                since = 0
            if not since and len(person.slices) >= options.first:
                person.train()
                pressed = time.monotonic() - began if pressed is None else pressed
                since = len(person.slices)
            elif spent + options.pace <= options.seconds and len(person.slices) < _most(strokes):
                person.draw()
            else:
                page.wait_for_timeout(500)
        said = [page.text_content(f"#train-{what}") for what in ("state", "run")]
        scores = dice(folder, masks)
        times = page.evaluate("() => window.times")
        offset = page.evaluate("() => performance.now() / 1000") - (time.monotonic() - began)
    after = {what: second - offset for what, second in times.items()}
    return {
        "seconds": {
            "first picture after the first stroke": after.get("picture", np.nan) - after["stroke"],
            "Train pressed": pressed,
            "first preview after Train": after["preview"] - pressed if pressed and "preview" in after else None,
            "trainings ended": [round(second) for second, _ in ended],
        },
        "training at the end": said,
        "slices": person.slices,
        "slices when trainings began": [since for _, since in ended],
        "dice": scores,
        "mean": {run: float(np.mean(list(volumes.values()))) for run, volumes in scores.items()},
    }


def end_training(folder: Path) -> None:
    """End the training that goes on when the time is over, so that nothing is written any more where all is deleted."""
    training = Training(Layout.open(folder))
    with suppress(TakenError):
        while True:  # asked again, it ends at once
            training.stop()
            time.sleep(1)


def _most(strokes: dict[str, np.ndarray]) -> int:
    return sum(int((each >= 0).any((1, 2)).sum()) for each in strokes.values())


def main(argv: Sequence[str]) -> None:
    """Do the round, print its figures, add the record's line."""
    options = tyro.cli(Stranger, args=argv)
    if CHROMIUM is None:
        raise InputError("no browser: chromium or google-chrome is needed on the path")
    load = os.getloadavg()[0]
    with TemporaryDirectory() as temporary:
        figures = round_of(options, Path(temporary))
        end_training(Path(temporary) / "folder")
    for what, seconds in figures["seconds"].items():
        print(f"{what}: {seconds}")
    print("in the end:", *figures["training at the end"])
    for run, mean in figures["mean"].items():
        print(f"run {run}: mean Dice {mean:.3f}", np.mean(list(figures["dice"][run].values()), axis=0).round(3))
    asked = {"seconds": options.seconds, "pace": options.pace, "first": options.first}
    append("stranger", {**asked, "load": load, **figures}, torch.device("cpu"))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"stranger: {error}")
