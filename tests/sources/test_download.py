"""Downloads, from a server on this machine: whole, broken off, other than they were, not to be had."""

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import numpy as np
import pytest

from maskmixadv.cli.app import run
from maskmixadv.errors import InputError, UnwritableError
from maskmixadv.sources import download
from maskmixadv.sources.download import ACDC, MSCMR, Release

NAMES = ("patient001_frame01.h5", "patient001_frame12.h5", "patient002_frame01.h5")


@dataclass
class Served:
    """What the server has, what it was asked for, and how often it is still to break off."""

    files: dict[str, bytes]
    address: str = ""
    asked: list[str] = field(default_factory=list)
    breaks: int = 0


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    has = Served({name: content(tmp_path / name, number) for number, name in enumerate(NAMES)})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/folder/")
            has.asked.append(name)
            body = has.files.get(name)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            has.breaks -= (broken := has.breaks > 0)
            self.wfile.write((body or b"")[: len(body or b"") // 2 if broken else None])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("time.sleep", lambda _: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    has.address = f"http://127.0.0.1:{server.server_port}/folder/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield has
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def release(served: Served, monkeypatch: pytest.MonkeyPatch) -> Release:
    hashes = {name: hashlib.sha256(of).hexdigest() for name, of in served.files.items()}
    monkeypatch.setattr(Release, "hashes", lambda _: hashes)
    return replace(ACDC, address=served.address)


def content(path: Path, seed: int) -> bytes:
    """Bytes of a volume as the release has them."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((2, 16, 16), np.uint8)
    dense[:, 4:12, 4:12] = 3
    with h5py.File(path, "w") as file:
        file["image"], file["label"] = rng.random(dense.shape, np.float32), dense
        file["scribble"] = np.where(dense == 3, 3, 4).astype(np.uint16)
    return path.read_bytes()


def fetched(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_all_files_come_and_are_kept(served: Served, release: Release, tmp_path: Path) -> None:
    into = tmp_path / "new" / "folder"
    download.download(release, into)
    assert fetched(into) == served.files
    download.download(release, into)
    assert sorted(served.asked) == sorted(NAMES)


def test_what_is_damaged_or_missing_is_fetched_again(served: Served, release: Release, tmp_path: Path) -> None:
    into = tmp_path / "into"
    download.download(release, into)
    (into / NAMES[0]).write_bytes(served.files[NAMES[0]][:100])
    (into / NAMES[1]).unlink()
    served.asked.clear()
    download.download(release, into)
    assert served.asked == list(NAMES[:2])
    assert fetched(into) == served.files


def test_a_broken_connection_is_tried_again(served: Served, release: Release, tmp_path: Path) -> None:
    served.breaks = download.TRIES - 1
    download.download(release, tmp_path / "into")
    assert fetched(tmp_path / "into") == served.files
    assert served.asked.count(NAMES[0]) == download.TRIES


def test_what_came_before_the_break_stays(served: Served, release: Release, tmp_path: Path) -> None:
    gone = served.files.pop(NAMES[1])
    with pytest.raises(InputError, match=rf"{NAMES[1]}: can't be fetched \(404"):
        download.download(release, tmp_path / "into")
    assert fetched(tmp_path / "into") == {NAMES[0]: served.files[NAMES[0]]}
    served.files[NAMES[1]] = gone
    served.asked.clear()
    download.download(release, tmp_path / "into")
    assert served.asked == list(NAMES[1:])


def test_another_file_than_it_was(served: Served, release: Release, tmp_path: Path) -> None:
    served.files[NAMES[0]] = b"something else"
    with pytest.raises(InputError, match=rf"{NAMES[0]}: not the release's file, SHA-256 must be [0-9a-f]{{64}}"):
        download.download(release, tmp_path / "into")
    assert fetched(tmp_path / "into") == {}


def test_a_full_disk_is_told_as_one(release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pooch.core.stream_download", full)
    with pytest.raises(UnwritableError, match=rf"{NAMES[0]}: can't be written \(No space left on device\); free space"):
        download.download(release, tmp_path / "into")
    assert fetched(tmp_path / "into") == {}


# The command


def refused(capsys: pytest.CaptureFixture[str], argv: list[str], word: str) -> None:
    capsys.readouterr()
    assert run(argv) == 2
    _terms, *complaint = capsys.readouterr().err.splitlines()
    assert len(complaint) == 1
    assert word in complaint[0]


def test_prepare_downloads_first(release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ACDC", release)
    assert run(["prepare", "acdc", str(tmp_path / "source"), str(tmp_path / "corpus"), "--download"]) == 0
    assert (tmp_path / "corpus" / "corpus.json").is_file()
    assert len(list((tmp_path / "corpus" / "cases").iterdir())) == len(NAMES)


def test_one_line_for_what_can_not_be_had(
    served: Served,
    release: Release,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["prepare", "acdc", str(tmp_path / "source"), str(tmp_path / "corpus"), "--download"]
    monkeypatch.setattr(download, "ACDC", release)
    served.files[NAMES[0]] = b"something else"
    refused(capsys, argv, "not the release's file")
    # Nobody listens at port 1 of this machine, as without any network.
    monkeypatch.setattr(download, "ACDC", replace(release, address="http://127.0.0.1:1/"))
    refused(capsys, argv, "can't be fetched (ConnectionError)")
    assert not (tmp_path / "corpus").exists()


# The releases


@pytest.mark.parametrize(
    ("release", "count", "name"), [(ACDC, 200, NAMES[0]), (MSCMR, 60, "train/images/subject2_DE.nii.gz")]
)
def test_registries_name_every_file(release: Release, count: int, name: str) -> None:
    hashes = release.hashes()
    assert len(hashes) == len(set(hashes.values())) == count
    assert name in hashes
    assert {len(digest) for digest in hashes.values()} == {64}


def test_registries_are_of_the_data_at_hand(acdc_source: Path, mscmr_source: Path) -> None:
    for release, folder in ((ACDC, acdc_source / "ACDC_training_volumes"), (MSCMR, mscmr_source)):
        for name, digest in list(release.hashes().items())[::20]:
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
