"""Any bytes become what a reader gives, or one `InputError`, within the memory that is said."""

import os
import random
import resource
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from maskmixadv.errors import InputError
from maskmixadv.formats.reading import MEMORY
from seeds import Reader, readers

ALL: tuple[str, ...] = (
    "NIfTI", "NIfTI, gz", "NIfTI labels", "MGH", "MGH, gz", "PNG", "JPEG", "TIFF", "NRRD", "MetaImage", "DICOM",
    "DICOM frames", "DICOM pictures", "SEG", "HDF5", "corpus.json", "npz of a corpus", "npz of a cache", "run.json",
    "last.pt", "dataset.json", "splits", "classes.toml", "table.toml", "studio.json", "images.json", "process",
    "order", "bench.json", "scores.csv", "log.csv",
)  # fmt: skip
SLOW: dict[str, int] = {"SEG": 1000, "last.pt": 1500, "DICOM": 2500, "DICOM frames": 1500, "DICOM pictures": 2500}
"""Readers that take long, and how many inputs they get."""
IN_ALL = int(os.environ.get("HOSTILE_INPUTS", "100000"))
SECONDS = 5.0
GIGABYTES = 0.2
"""What a file may take here."""
PEAK = 1500
"""MB more than before that a process may take while it reads: several copies of that, and a checkpoint."""


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    return readers(tmp_path_factory.mktemp("seeds"))


@pytest.fixture(autouse=True)
def _little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY, str(GIGABYTES))


class Tally:
    """What came of a reader's inputs."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.inputs = self.read = self.refused = 0
        self.other: list[str] = []
        self.slowest = 0.0
        self._before = self._peak()

    def take(self, path: Path) -> None:
        """Read a file; whatever is neither read nor refused in one line, or slow, is something else."""
        began = time.monotonic()
        self.inputs += 1
        try:
            self.reader.read(path)
            self.read += 1
        except InputError as error:
            self.refused += 1
            if "\n" in str(error) or len(str(error)) > 1000:
                self.other.append(f"more than a line: {str(error)[:200]!r}")
        except Exception as error:
            self.other.append(f"{type(error).__name__}: {str(error)[:300]}")
        took = time.monotonic() - began
        self.slowest = max(self.slowest, took)
        if took > SECONDS:
            self.other.append(f"{took:.1f} s")

    @property
    def grown(self) -> float:
        """MB that this process, or the largest one that it started, takes more than at first."""
        return (self._peak() - self._before) / 1024

    @staticmethod
    def _peak() -> int:
        return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def tally(reader: Reader, folder: Path, count: int, seed: int) -> Tally:
    """Read `count` damaged files; those that ended otherwise stay in `folder`."""
    told = Tally(reader)
    for number in range(count):
        suffix, content = reader.damaged(random.Random(f"{seed} {reader.name} {number}"))
        path = folder / f"file{suffix}"
        path.write_bytes(content)
        before = len(told.other)
        told.take(path)
        if len(told.other) > before:
            (folder / f"other-{number}{suffix}").write_bytes(content)
    return told


@pytest.mark.parametrize("name", ALL)
def test_right_files_are_read(known: dict[str, Reader], tmp_path: Path, name: str) -> None:
    """What is damaged below was right, so that the readers get far into it."""
    reader = known[name]
    for number, (suffix, content) in enumerate(reader.seeds):
        path = tmp_path / f"right{number}{suffix}"
        path.write_bytes(content)
        try:
            reader.read(path)
        except InputError as error:
            if "multi-frame" not in str(error) and "damaged (Error(s) in loading" not in str(error):
                raise


@pytest.mark.parametrize("name", ALL)
def test_damaged_files_are_read_or_refused(known: dict[str, Reader], tmp_path: Path, name: str) -> None:
    told = tally(known[name], tmp_path, 4 if name in SLOW else 10, seed=1)
    assert told.other == []
    assert told.grown < PEAK


@pytest.mark.hostile
@pytest.mark.parametrize("name", ALL)
def test_many_damaged_files(
    known: dict[str, Reader], tmp_path: Path, name: str, record_property: Callable[[str, object], None]
) -> None:
    quick = (IN_ALL - sum(SLOW.values())) // (len(ALL) - len(SLOW)) + 1
    count = SLOW.get(name, quick)
    told = tally(known[name], tmp_path, count, seed=zlib.crc32(b"many"))
    record_property(
        "readers",
        [name, told.inputs, told.read, told.refused, len(told.other), f"{told.slowest:.2f} s", f"{told.grown:.0f} MB"],
    )
    assert told.other == [], f"{len(told.other)} in {tmp_path}: {sorted(set(told.other))[:20]}"
    assert told.grown < PEAK
