"""No more memory is taken than there is."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import pytest

from maskmixadv import memory
from maskmixadv.memory import Budget


def test_no_more_memory_is_taken_than_there_is() -> None:
    budget, using, most = Budget(100), [0], [0]
    guard = Lock()

    def work(amount: int) -> None:
        with budget.taken(amount):
            with guard:
                using[0] += amount
                most[0] = max(most[0], using[0])
            time.sleep(0.002)
            with guard:
                using[0] -= amount

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [40, 30, 30, 60] * 8))
        assert 60 < most[0] <= 100
        list(pool.map(work, [10, 500, 10]))  # more than there is, but alone
    assert most[0] == 500


@pytest.mark.skipif(sys.platform != "linux", reason="where address spaces can be limited")
def test_free_memory_heeds_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell = f"{sys.executable} -c 'from maskmixadv.memory import free; print(free())'"
    command = ["bash", "-c", f"ulimit -v 3000000; {tell}"]  # of 1,024 bytes
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 10**8 < int(told.stdout) < 3_072_000_000
    before = memory.free()
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.stat").write_text("anon 100000000\nfile 5000\n")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert memory.free() == min(before, 200_000_000)
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free() > 200_000_000
