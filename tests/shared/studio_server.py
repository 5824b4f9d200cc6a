"""A studio on loopback, for tests: a real server in a thread, and a client that knows its token."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from maskmixadv.formats.volume import Volume
from maskmixadv.studio.http import server
from maskmixadv.studio.session import served

TOKEN = "right-token"
SLICE = "/api/cases/s0/slices/1"
SHAPE = (40, 48)
"""Rows and columns of a slice of `own.folder`'s images, which have 3 slices."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder; yields the address."""
    with served(folder) as session, server.listening(0) as bound:
        running = server.server(server.app(session, TOKEN))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
        thread.start()
        while not running.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()


@contextmanager
def client(folder: Path) -> Iterator[httpx.Client]:
    """Serve a folder; yields a client that the server trusts."""
    with (
        serving(folder) as address,
        httpx.Client(base_url=address, headers={"X-Token": TOKEN}, timeout=60, trust_env=False) as trusted,
    ):
        yield trusted


def refused(answer: httpx.Response, status: int, *words: str) -> None:
    """Check that an answer is a refusal in one line with `words`."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert "\n" not in error
    for word in words:
        assert word in error


def same_grid(labels: Volume, image: Volume) -> None:
    """Check that labels lie where their image does."""
    assert labels.affine is not None
    assert image.affine is not None
    assert labels.array.shape == image.array.shape
    np.testing.assert_allclose(labels.affine, image.affine)


def strokes(code: int = 1) -> np.ndarray:
    """Strokes on a slice."""
    labels = np.full(SHAPE, 255, np.uint8)
    labels[10, 10:20] = code
    return labels
