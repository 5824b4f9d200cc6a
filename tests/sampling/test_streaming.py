"""Slices that stream from the disk are the slices that lie in memory."""

import dataclasses
import itertools
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

import tiny
from ended import log, state
from maskmixadv.cli.train import Train
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError, UnwritableError
from maskmixadv.files import AHEAD, work_ahead
from maskmixadv.methods import PCE, MaskMixAdv, Method
from maskmixadv.methods.random_walker import RandomWalker
from maskmixadv.methods.scribble2label import Scribble2Label
from maskmixadv.sampling import storage
from maskmixadv.sampling.grid import Grid
from maskmixadv.sampling.loading import load_slices
from maskmixadv.sampling.slices import Slices, order
from maskmixadv.sampling.storage import Resident, Streamed, make_room
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit
from maskmixadv.training.loop import Loop
from quick import quick

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")

CPU = torch.device("cpu")


def loaded(corpus: Corpus, folder: Path, *, memory: float, size: int = 48) -> Slices:
    return load_slices(
        corpus, corpus.entries, grid=Grid(size), supervision="scribble", enclosure=True, device=CPU, memory=memory,
        folder=folder,
    )  # fmt: skip


@pytest.mark.parametrize(
    "method", quick([PCE(), MaskMixAdv(), RandomWalker(), Scribble2Label()], str(MaskMixAdv())), ids=str
)
def test_a_run_learns_the_same_from_memory_and_from_disk(
    tmp_path: Path, method: Method, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tiny.corpus(tmp_path / "corpus").root
    others = [tiny.case(f"q{number}", number + 6) for number in range(6)]
    prior = tiny.corpus(tmp_path / "prior", others, name="others").root
    runs = []
    for name, memory in (("memory", None), ("disk", 0.0)):
        run = begin(root, tmp_path / name, method=method, schedule=tiny.SCHEDULE, prior_root=prior, enclosure=True)
        assert fit(run, memory=memory)
        assert ("stream from the disk" in capsys.readouterr().err) == (name == "disk")
        runs.append(run)
    memory, disk = runs
    torch.testing.assert_close(state(disk), state(memory), rtol=0, atol=0)
    assert log(disk) == log(memory)
    assert sorted(p.name for p in disk.root.iterdir()) == sorted(p.name for p in memory.root.iterdir())
    assert disk.record() == memory.record()


@pytest.mark.parametrize("size", [48, 47])
def test_streamed_slices_are_the_resident_ones(tmp_path: Path, size: int) -> None:
    """A record of an odd side has an odd number of bytes."""
    corpus = tiny.corpus(tmp_path / "corpus")
    memory, disk = (loaded(corpus, tmp_path, memory=gb, size=size) for gb in (1.0, 0.0))
    assert memory.mapping is None
    assert disk.mapping is not None
    assert len(disk) == len(memory) == 18
    for name in ("image", "target", "centre"):
        assert torch.equal(getattr(disk, name), getattr(memory, name))
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
    for index in (torch.tensor([17, 0, 5]), torch.tensor([3, 3, 3])):
        disk.expect(index)
        assert all(map(torch.equal, disk.rows(index), memory.rows(index)))


def test_slices_without_labels_are_left_out(tmp_path: Path) -> None:
    """Room is made for all, before what they hold is known."""
    corpus = tiny.corpus(tmp_path / "corpus", [_half_drawn(f"p{number}", number) for number in range(3)])
    for memory in (1.0, 0.0):
        slices = loaded(corpus, tmp_path, memory=memory)
        assert slices.image.shape == (6, 1, 48, 48)
        assert slices.target.shape == (6, 48, 48)
        assert (slices.target != 255).flatten(1).any(1).all()


def _half_drawn(name: str, seed: int) -> Any:
    case = tiny.case(name, seed)
    assert case.scribble is not None
    scribble = case.scribble.copy()
    scribble[1] = 255
    return dataclasses.replace(case, scribble=scribble)


def test_a_streamed_run_goes_on_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tiny.corpus(tmp_path / "corpus").root
    whole, parted = (begin(root, tmp_path / name, method=PCE(), schedule=tiny.SCHEDULE) for name in ("a", "b"))
    assert fit(whole)
    advance = Loop.advance

    def interrupted(self: Loop) -> dict[str, torch.Tensor]:
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "advance", interrupted)
        assert not fit(parted, memory=0.0)
    assert fit(parted)
    torch.testing.assert_close(state(parted), state(whole), rtol=0, atol=0)


def test_memory_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def room(count: int, memory: float | None, folder: Path | None = tmp_path) -> type:
        return type(make_room(count, (1, 100, 100), device=CPU, memory=memory, folder=folder))

    assert room(1000, 0.03) is Resident  # 3 bytes a pixel
    assert room(1001, 0.03) is Streamed
    assert room(1001, 0.03, None) is Resident
    monkeypatch.setattr(storage, "_free", lambda _: 60_000_000)
    assert room(1000, None) is Resident
    assert room(1001, None) is Streamed


def test_free_memory_is_known() -> None:
    assert 2**20 < storage._free(CPU) < 2**50


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tiny.corpus(tmp_path / "corpus")
    error = r"GB of slices can't be kept there \(No space left on device\); free space, or raise --memory"

    def full(**_: object) -> BinaryIO:
        return open("/dev/full", "r+b", buffering=0)  # noqa: PTH123

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", full)
        with pytest.raises(UnwritableError, match=error) as caught:
            loaded(corpus, tmp_path, memory=0.0)
    assert "\n" not in str(caught.value)
    usage = shutil.disk_usage(tmp_path)._replace(free=18 * 48**2 * 3 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UnwritableError, match=error):
        loaded(corpus, tmp_path, memory=0.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=usage.free + 1))
    loaded(corpus, tmp_path, memory=0.0)


def test_a_file_can_only_be_where_the_folder_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone: .*can't be kept there"):
        loaded(tiny.corpus(tmp_path / "corpus"), tmp_path / "gone", memory=0.0)


def test_memory_is_at_least_nothing(tmp_path: Path) -> None:
    for memory in (-1.0, float("nan")):
        with pytest.raises(InputError, match=r"memory: .*allowed is 0 GB"):
            Train(corpus=tmp_path, out=tmp_path / "run", memory=memory).run()
    assert not (tmp_path / "run").exists()


def test_work_goes_ahead_in_order_and_not_far() -> None:
    begun: list[int] = []

    def square(number: int) -> int:
        begun.append(number)
        return number**2

    results = work_ahead(square, itertools.count(), threads=2)
    assert list(itertools.islice(results, 10)) == [number**2 for number in range(10)]
    assert len(begun) <= 10 + 4
    assert list(work_ahead(square, range(3), threads=4)) == [0, 1, 4]
    assert list(work_ahead(square, (), threads=os.cpu_count() or 1)) == []


def test_every_epoch_has_an_order_of_its_own() -> None:
    epochs = [torch.cat([order(step, count=6, batch=2, seed=1) for step in range(3 * e, 3 * e + 3)]) for e in range(9)]
    assert all(sorted(epoch.tolist()) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) > 5


def test_large_items_are_worked_on_alone() -> None:
    working: list[int] = []
    most = 0

    def square(number: int) -> int:
        nonlocal most
        working.append(number)
        most = max(most, len(working))
        time.sleep(0.01)
        working.remove(number)
        return number**2

    results = work_ahead(square, range(6), threads=3, size=lambda _: AHEAD + 1)
    for number, found in enumerate(results):
        assert found == number**2
        assert not working  # the next one is begun when this one was taken
    assert most == 1
    assert list(work_ahead(square, range(9), threads=3, size=lambda number: number * AHEAD // 4)) == [
        number**2 for number in range(9)
    ]
