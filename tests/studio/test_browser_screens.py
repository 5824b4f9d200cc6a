"""Screens of every density and size: what is drawn lies under the pen, and the page's parts can be seen and reached."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

import own
import studio_page as sp
from studio_page import Studio

pytestmark = sp.NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with sp.studio(own.folder(tmp_path_factory.mktemp("studio") / "hearts", scribbled=0, masked=1)) as (url, _):
        studio = Studio.open(browser, url)
        yield studio
        assert studio.faults == []
        studio.page.context.close()


def test_a_window_on_a_denser_screen_shows_strokes_under_the_pen(page: Studio) -> None:
    """The canvas kept its pixels while drawing took the new density: the slice was shown elsewhere than the pen drew."""
    session = page.page.context.new_cdp_session(page.page)
    sides = "['canvas', 'strip'].map((id) => [document.getElementById(id).width, document.getElementById(id).clientWidth])"
    for density in (2, 1.5, 1):
        screen = {"width": 1280, "height": 720, "mobile": False, "deviceScaleFactor": density}
        session.send("Emulation.setDeviceMetricsOverride", screen)
        page.stroke("1", [(8, 8)])
        page.module("state", "m.emit('place')")
        page.settled()
        for pixels, css in page.page.evaluate(sides):
            assert pixels == round(density * css)
    page.saved()
