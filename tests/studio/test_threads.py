"""A training in the studio takes as many threads as make its steps shortest beside what else runs."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from maskmixadv.studio.learning import threads
from maskmixadv.studio.learning.threads import Threads

Cost = Callable[[int], Mapping[int, float]]
"""Returns what a step takes by number of threads, at a step."""


class Machine:
    """A training whose steps take what `cost` says."""

    def __init__(self, cost: Cost, most: int = 2, device: str = "cpu", beside: float = 0.0) -> None:
        self.now, self.threads, self.cost = 0.0, most, cost
        self.used: list[int] = []
        self.beside = beside
        self.loop = cast("Any", SimpleNamespace(device=torch.device(device)))
        self.watch = Threads(self.other, most, self.use, lambda: self.now)

    def use(self, count: int) -> None:
        self.threads = count

    def other(self, _: object) -> None:
        self.now += self.beside

    def run(self, steps: int) -> float:
        """Take steps; returns the time that they took."""
        began = self.now
        self.watch(self.loop)
        for step in range(steps):
            self.used.append(self.threads)
            self.now += self.cost(step)[self.threads]
            self.watch(self.loop)
        return self.now - began


def test_where_threads_wait_for_a_core_one_is_taken_alone() -> None:
    machine = Machine(lambda _: {1: 1.0, 2: 5.0})
    took = machine.run(1000)
    assert machine.used[threads.SEEN : 30].count(2) <= 1
    assert took < 1.1 * 1000
    assert machine.used.count(2) < 20


def test_where_cores_are_free_all_are_taken() -> None:
    machine = Machine(lambda _: {1: 1.0, 2: 0.6})
    took = machine.run(1000)
    assert machine.used.count(1) < 50
    assert took < 1.05 * 600


def test_it_follows_what_begins_and_ends_beside() -> None:
    busy = range(300, 600)
    machine = Machine(lambda step: {1: 1.0, 2: 5.0} if step in busy else {1: 1.0, 2: 0.6})
    machine.run(1200)
    assert machine.used[250:300].count(2) > 40
    assert machine.used[330:600].count(1) > 250
    assert machine.used[-300:].count(2) > 250


def test_what_else_watches_does_not_count() -> None:
    machine = Machine(lambda _: {1: 1.0, 2: 0.6}, beside=100.0)
    machine.run(200)
    assert machine.used.count(2) > 180


@pytest.mark.parametrize("most", [3, 16])
def test_of_more_cores_one_is_left_to_others(most: int) -> None:
    costs = {count: 16.0 / count for count in range(1, most)} | {most: 20.0}
    machine = Machine(lambda _: costs, most)
    machine.run(500)
    assert max(set(machine.used), key=machine.used.count) == most - 1


@pytest.mark.parametrize(("most", "device"), [(1, "cpu"), (2, "cuda")])
def test_nothing_is_tried_where_nothing_can_be_chosen(most: int, device: str) -> None:
    machine = Machine(lambda _: {1: 1.0, 2: 1.0}, most, device)
    machine.run(100)
    assert set(machine.used) == {most}


def test_torch_is_asked_and_told_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    watch = Threads(lambda _: None)
    loop = cast("Any", SimpleNamespace(device=torch.device("cpu")))
    for _ in range(threads.SEEN + 1):
        watch(loop)
    assert used == [3]


@pytest.mark.parametrize(("said", "kept"), [pytest.param(None, "1", marks=pytest.mark.slow), ("2", "2")])
def test_the_studio_and_its_trainings_leave_linear_algebra_one_thread(
    said: str | None, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    tried = f"""
import os, sys
from pathlib import Path
import maskmixadv.cli.app
from maskmixadv.cli.studio import Studio
from maskmixadv.errors import InputError
assert "numpy" not in sys.modules, "it has read already how many threads to take"
try:
    Studio(Path({str(tmp_path / "file")!r})).run()
except InputError:
    print(os.environ["OPENBLAS_NUM_THREADS"], "numpy" in sys.modules)
"""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", said)
    run = subprocess.run([sys.executable, "-c", tried], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [kept, "True"]
