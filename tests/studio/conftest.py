"""What tests of harmful requests share: a folder of one image, a page of it, and a watch over what lies around it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import own
from studio_server import client


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
