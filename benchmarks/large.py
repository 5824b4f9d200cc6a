"""Time to the first slice of a large volume in the studio: ``python benchmarks/large.py``.

A volume of 512 × 512 × 300 like a CT, as ``.nii.gz``. Measured is the middle slice, in a new folder and in one that was
open before: over HTTP, and in a browser from the address to the picture.
"""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import nibabel as nib
import numpy as np
import torch
import tyro
from playwright.sync_api import Page, sync_playwright
from scipy import ndimage

from instant import CHROMIUM, Seconds, address_of
from maskmixadv.errors import InputError
from maskmixadv.formats import nifti
from record import append

SMALL = 8
"""By which factor the volume is enlarged from noise that varies smoothly."""
READY = 'async () => { window.slices = await import(new URL("slices.js", location.href).href); }'
SHOWN = "() => Boolean(window.slices.arrays().image)"


@dataclass(frozen=True)
class Large:
    """Time the first slice of a large volume.

    Attributes
    ----------
    side
        Pixels of a slice's side.
    depth
        Slices of the volume.
    rounds
        How often each is measured; the least counts, as other work on the machine only adds to it.
    """

    side: int = 512
    depth: int = 300
    rounds: int = 3


def write(path: Path, side: int, depth: int) -> None:
    """Write a volume with smooth organs, noise of 12 HU, and air round an ellipse."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (depth // SMALL + 1, side // SMALL, side // SMALL))
    small = np.asarray(ndimage.gaussian_filter(noise, 2))
    organs = np.asarray(ndimage.zoom(small / small.std(), (SMALL, 1, 1), order=1))[:depth]
    y, x = np.mgrid[:side, :side] / side - 0.5
    air = (x / 0.45) ** 2 + (y / 0.35) ** 2 > 1
    volume = np.empty((depth, side, side), np.int16)
    for place, organ in zip(volume, organs, strict=True):
        values = np.asarray(ndimage.zoom(organ, SMALL, order=1)) * 120 + 40
        place[:] = np.where(air, -1000, values) + rng.normal(0, 12, values.shape)
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(np.ascontiguousarray(volume.T), np.diag([-0.8, -0.8, 1.0, 1.0])), path)


def over_http(folder: Path, index: int) -> Seconds:
    """Return the seconds from the first request to the slice, of a server that has just started."""
    with (
        address_of(folder) as address,
        httpx.Client(base_url=address, headers={"X-Token": "token"}, timeout=60, trust_env=False) as client,
    ):
        began = time.perf_counter(), time.process_time()
        client.get("/api/folder").raise_for_status()
        client.get(f"/api/cases/ct/slices/{index}/image").raise_for_status()
        return Seconds(time.perf_counter() - began[0], time.process_time() - began[1])


def in_browser(folder: Path, page: Page) -> Seconds:
    """Return the seconds from the address to the picture."""
    with address_of(folder) as address:
        began = time.perf_counter()
        page.goto(f"{address}/#token")
        page.evaluate(READY)
        page.wait_for_function(SHOWN, timeout=60_000)
        took = time.perf_counter() - began
        page.goto("about:blank")
        return Seconds(took)


def measured(folder: Path, options: Large, page: Page | None) -> dict[str, list[Seconds]]:
    """Return what each round took."""
    found: dict[str, list[Seconds]] = {}
    for _ in range(options.rounds):
        for state in ("new folder", "folder that was open before"):
            if state == "new folder":
                shutil.rmtree(folder / ".studio", ignore_errors=True)
            found.setdefault(f"{state}, over HTTP", []).append(over_http(folder, options.depth // 2))
            if page is not None:
                if state == "new folder":
                    shutil.rmtree(folder / ".studio")
                found.setdefault(f"{state}, in a browser", []).append(in_browser(folder, page))
    return found


def main(argv: Sequence[str]) -> None:
    """Measure, print a Markdown table, add the record's line."""
    options = tyro.cli(Large, args=argv)
    if min(options.rounds, options.depth, options.side // SMALL) < 1:
        raise InputError(f"rounds, depth, side: allowed are 1 or more, and a side of {SMALL} or more")
    with TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary) / "folder"
        write(folder / "images" / "ct.nii.gz", options.side, options.depth)
        page = None
        if CHROMIUM is not None:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
        found = {what: min(each) for what, each in measured(folder, options, page).items()}
    load = os.getloadavg()[0]
    print(f"load {load:.1f} on {os.cpu_count()} cores, {nifti.GUNZIP.__name__}\n\n| what | s | s of cores |")
    print("| --- | --- | --- |")
    for what, (clock, cores) in found.items():
        print(f"| {what} | {clock:.2f} | {'' if cores is None else f'{cores:.2f}'} |")
    figures = {what: seconds._asdict() for what, seconds in found.items()}
    about = {"rounds": options.rounds, "load": load, "gunzip": nifti.GUNZIP.__name__}
    append("large", {**about, "seconds": figures}, torch.device("cpu"))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"large: {error}")
