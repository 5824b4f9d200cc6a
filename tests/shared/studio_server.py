"""A studio on loopback, for tests: a real server in a thread, and a client that knows its token."""

import json
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import httpx
import numpy as np

import tiny
from maskmixadv.formats import nifti
from maskmixadv.formats.volume import Volume
from maskmixadv.studio.http import server
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import job, training
from maskmixadv.studio.learning.predictions import PROBABILITIES
from maskmixadv.studio.learning.training import Order
from maskmixadv.studio.session import served

TOKEN = "right-token"
TRUSTED = {"X-Token": TOKEN}
SLICE = "/api/cases/s0/slices/1"
SHAPE = (40, 48)
"""Rows and columns of a slice of `own.folder`'s images, which have 3 slices."""
UNUSED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""A client makes one of its own and reads all certificates for it: that takes longer than many a test."""


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
        httpx.Client(base_url=address, headers=TRUSTED, timeout=60, verify=UNUSED, trust_env=False) as trusted,
    ):
        yield trusted


def refused(answer: httpx.Response, status: int, *words: str) -> None:
    """Check that an answer is a refusal in one line with `words`."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert "\n" not in error
    for word in words:
        assert word in error, error


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


def predict(folder: Path, run: str = "001", cases: Sequence[str] = ("m0", "s0", "s1")) -> np.ndarray:
    """Lay a prediction of every case down, as a run does; returns the labels."""
    dense, out = tiny.volume()[2], folder / "predictions" / run
    out.mkdir(parents=True)
    for case in cases:
        like = nifti.read(folder / "images" / f"{case}.nii.gz")
        nifti.write_labels(out / f"{case}.nii.gz", dense, like)
        doubt = np.zeros(dense.shape, np.uint8)
        doubt[2 if case == "s0" else 0] = 255
        np.savez_compressed(out / f"{case}.npz", disagreement=doubt)
    return dense


def probable(folder: Path, code: int, run: str = "001") -> Path:
    """Lay down that a run's network is sure of one class everywhere in the middle slice of s0; returns the file."""
    said = np.zeros((len(tiny.CLASSES), *SHAPE), np.uint8)
    said[code] = 255
    file = folder / "predictions" / run / PROBABILITIES / "s0.npz"
    file.parent.mkdir()
    np.savez_compressed(file, **{"0-1": said})  # pyright: ignore[reportArgumentType]
    return file


def trained(folder: Path, steps: int = 2) -> Layout:
    """Train a few steps and predict, as the studio's job does."""
    layout = Layout.open(folder)
    (layout.state / "001").mkdir()
    (layout.state / "001" / training.ORDER).write_text(json.dumps(asdict(Order("cpu", "pce", steps))))
    assert job.work(layout, "001") == 0
    return layout


def plane(answer: httpx.Response, dtype: str = "u1") -> np.ndarray:
    """Values of a slice out of an answer."""
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, dtype).reshape(SHAPE)
