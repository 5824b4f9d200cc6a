"""Types are enforced while tests and examples run, and an example has a folder of its own to write in.

jaxtyping checks shapes, beartype the rest. Examples in docstrings are run as they stand: a reader can copy them.
"""

import gc
import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: test processes share the cores

import pytest
from jaxtyping import install_import_hook

install_import_hook("maskmixadv", "beartype.beartype").__enter__()

gc.disable()  # until all tests are collected: they stay, and looking for garbage among them takes seconds


def pytest_collection_finish() -> None:
    """Look for garbage from here on, but not among modules and tests, nor at each few hundred things that are made."""
    gc.set_threshold(20_000, 20, 20)
    gc.enable()
    gc.freeze()


@pytest.fixture(autouse=True)
def _folder_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        folder: Path = request.getfixturevalue("tmp_path")
        monkeypatch.chdir(folder)
