"""The instant answer in a browser: it comes after a stroke, is hidden, accepted, turned away, and fills slices."""

import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Request, expect

import studio_page as sp
from maskmixadv.sources.phantoms.phantom import CLASSES
from maskmixadv.studio.session import Session
from maskmixadv.types import IGNORE
from studio_page import Studio

pytestmark = sp.NEEDS_CHROMIUM
SHOWN = "m.shownProposal() && [...m.shownProposal()]"


def proposed(studio: Studio) -> np.ndarray:
    """The labels that the slice shows as a proposal, when those of all strokes are here: its corner is background."""
    deadline = time.monotonic() + 15
    while (labels := studio.module("proposals", SHOWN)) is None or labels[0] != 0:
        assert time.monotonic() < deadline
        studio.page.wait_for_timeout(50)
    return np.array(labels, np.uint8)


def dice(labels: np.ndarray, truth: np.ndarray) -> float:
    scores = [2 * ((labels == k) & (truth == k)).sum() / ((labels == k).sum() + (truth == k).sum()) for k in (1, 2, 3)]
    return float(np.mean(scores))


def test_strokes_are_answered_accepted_turned_away_and_carried_between(browser: Browser, tmp_path: Path) -> None:
    root = tmp_path / "hearts"
    name, case = next(iter(sp.hearts(root, tmp_path / "corpus", cases=1, seed=5, size=104).items()))
    (root / "classes.toml").write_text("".join(f'[[class]]\nname = "{each}"\n' for each in CLASSES))
    truth = case.dense
    assert truth is not None
    with sp.studio(root) as (url, _):
        studio = Studio.open(browser, url)
        page, keys = studio.page, studio.page.keyboard
        studio.go(name, 3)
        assert studio.module("proposals", SHOWN) is None
        for key, path in sp.scribbles(truth[3]).items():
            studio.stroke(key, path)
        labels = proposed(studio).reshape(truth[3].shape)
        assert dice(labels, truth[3]) > 0.7
        keys.press("i")
        assert studio.module("proposals", SHOWN) is None
        expect(page.locator("#proposed")).not_to_be_checked()
        keys.press("i")
        proposed(studio)

        studio.go(name, 5)
        for key, path in sp.scribbles(truth[5]).items():
            studio.stroke(key, path)
        proposed(studio)
        keys.press("j")
        expect(page.locator("#toast")).to_contain_text("Filled slices 4 to 6", timeout=15_000)
        studio.go(name, 4)
        filled = proposed(studio).reshape(truth[4].shape)
        assert dice(filled, truth[4]) > 0.6
        keys.press("u")
        expect(page.locator("#toast")).to_contain_text("Accepted")
        assert studio.module("proposals", SHOWN) is None, "it is the slice's mask by now"
        deadline = time.monotonic() + 15
        while (kept := studio.module("slices", "m.arrays().prediction && [...m.arrays().prediction]")) is None:
            assert time.monotonic() < deadline
        assert kept == filled.ravel().tolist()

        studio.go(name, 5)
        proposed(studio)
        keys.press("q")
        assert studio.module("proposals", SHOWN) is None
        assert page.locator("#accept-proposal").is_disabled()
        assert studio.faults == []
        page.context.close()
    assert (sp.read(root / "predictions" / "000" / f"{name}.nii.gz")[4] == filled).all()


@pytest.mark.slow
def test_while_a_training_runs_only_what_is_drawn_is_asked_about(browser: Browser, tmp_path: Path) -> None:
    root = tmp_path / "hearts"
    name, case = next(iter(sp.hearts(root, tmp_path / "corpus", cases=1, seed=5, size=104).items()))
    (root / "classes.toml").write_text("".join(f'[[class]]\nname = "{each}"\n' for each in CLASSES))
    truth = case.dense
    assert truth is not None
    session = Session(root)
    for z in (3, 5):
        strokes = np.full(truth[z].shape, IGNORE, np.uint8)
        strokes[::9, ::9] = truth[z][::9, ::9]
        session.draw(name, z, strokes.tobytes(), 1.0)
    session.close()
    with sp.studio(root) as (url, _):
        studio = Studio.open(browser, url)
        asked = list[str]()

        def heed(request: Request) -> None:
            path = urlsplit(request.url).path
            if path.endswith("/proposal"):
                asked.append(path)

        studio.page.on("request", heed)
        studio.module("state", "m.emit('training', { state: 'running' })")
        studio.go(name, 3)
        studio.page.wait_for_timeout(400)
        assert studio.module("proposals", SHOWN) is None
        assert not asked
        for key, path in sp.scribbles(truth[3]).items():
            studio.stroke(key, path)
        proposed(studio)
        studio.go(name, 5)
        studio.page.wait_for_timeout(400)
        assert {url.split("slices/")[1] for url in asked} == {"3/proposal"}
        studio.module("state", "m.emit('training', { state: 'failed' })")
        deadline = time.monotonic() + 15
        while studio.module("proposals", SHOWN) is None:
            assert time.monotonic() < deadline
        assert asked[-1].endswith("5/proposal")
        studio.page.context.close()
