"""What tests of harmful requests share: a folder of one image, a page of it, and a watch over what lies around it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

import own
from studio_server import client

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright  # slow to import, and most tests need no browser

    import studio_page as sp

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=sp.CHROMIUM, args=sp.ARGS)
        yield browser
        browser.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.nii.gz").write_bytes(b"secret")
    return own.folder(tmp_path / "hearts", scribbled=1, masked=0)


@pytest.fixture
def page(folder: Path) -> Iterator[httpx.Client]:
    with client(folder) as trusted:
        yield trusted


@pytest.fixture
def untouched(tmp_path: Path, folder: Path) -> Iterator[None]:
    """Whatever a test asks for, beside the folder nothing changes, and its image stays."""
    image = (folder / "images" / "s0.nii.gz").read_bytes()
    yield
    assert {path.name for path in tmp_path.iterdir()} <= {"hearts", "secret.nii.gz", "outside"}
    assert (tmp_path / "secret.nii.gz").read_bytes() == b"secret"
    assert (folder / "images" / "s0.nii.gz").read_bytes() == image
    assert not list(folder.rglob("*.partial*"))
