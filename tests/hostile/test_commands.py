"""Commands that are killed, or find the disk full: the same command, given again, makes what it should have made."""

import contextlib
import os
import random
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import BY_NAME, COMMANDS, Command, Given

KILLS = int(os.environ.get("MASKMIXADV_KILLS", "200"))
"""Of the long harness, over all commands."""
SIZES = (4, 12, 40, 100, 200, 400, 800, 1600, 3000, 6000, 12_000, 25_000)
"""Of the full disk, in KiB."""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    return Given.make(tmp_path_factory.mktemp("given"))


@pytest.fixture(scope="module")
def whole(given: Given, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Command], tuple[Any, float]]:
    """What each command makes where nothing happens, and the seconds that it takes; made once."""
    place, known = tmp_path_factory.mktemp("whole"), dict[str, tuple[Any, float]]()

    def make(command: Command) -> tuple[Any, float]:
        if command.name not in known:
            began = time.monotonic()
            code, said = command.finish(given, place / command.name)
            assert code == 0, said
            known[command.name] = command.made(place / command.name), time.monotonic() - began
        return known[command.name]

    return make


def goes_on_after_a_kill(command: Command, given: Given, expected: Any, place: Path, after: float) -> bool:
    """Kill and repeat; returns whether the kill came before the end."""
    out = place / "out"
    killed = command.killed(given, out, after)
    code, said = command.finish(given, out) if killed else (0, "")
    # Killed after all was in its place, and before it could end: what is whole is not made again.
    assert code == 0 or (code == 2 and "already holds" in said), f"killed after {after:.2f} s, then: {said}"
    assert command.made(out) == expected, f"killed after {after:.2f} s"
    left = [path.name for path in (*place.iterdir(), *out.iterdir()) if path.name.startswith(".partial-")]
    assert left == [], f"killed after {after:.2f} s"
    return killed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["annotate", "train"])
def test_a_killed_command_works_again(
    name: str, given: Given, whole: Callable[[Command], tuple[Any, float]], tmp_path: Path
) -> None:
    expected, seconds = whole(BY_NAME[name])
    places = {share: tmp_path / str(share) for share in (0.75, 0.5, 0.3)}
    for place in places.values():
        place.mkdir()
    # On a machine that has become quicker meanwhile, the first kill can come too late.
    killed = (goes_on_after_a_kill(BY_NAME[name], given, expected, at, share * seconds) for share, at in places.items())
    assert any(killed)


@pytest.mark.hostile
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_commands_killed_at_random_work_again(
    command: Command, given: Given, whole: Callable[[Command], tuple[Any, float]], tmp_path: Path
) -> None:
    (expected, seconds), rng = whole(command), random.Random(command.name)
    killed = 0
    for number in range(-(-KILLS // len(COMMANDS))):
        place = tmp_path / str(number)
        place.mkdir()
        killed += goes_on_after_a_kill(command, given, expected, place, seconds * rng.uniform(0.2, 1.0))
        shutil.rmtree(place)
    print(f"\n{command.name}: {killed} kills, 0 lost")
    assert killed


# Full disks.


@contextlib.contextmanager
def disk(place: Path, kib: int) -> Iterator[Callable[[int], None]]:
    """A disk of its own at `place`, and what changes its size in KiB."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(place)]
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small disk, which only root may")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}k", str(place)], check=True) and None
    finally:
        subprocess.run(["umount", str(place)], check=True)


def works_once_there_is_space(command: Command, given: Given, expected: Any, place: Path, kib: int) -> bool:
    """Run on a full disk, make room, repeat; returns whether it was full."""
    with disk(place, kib) as resize:
        code, said = command.finish(given, place / "out")
        assert code in (0, 2), said
        if code == 2:
            assert_told(said)
            resize(400_000)
            again, said = command.finish(given, place / "out")
            assert again == 0, f"{kib} KiB, then: {said}"
        assert command.made(place / "out") == expected, f"{kib} KiB"
        left = [path.name for path in (*place.iterdir(), *(place / "out").iterdir()) if ".partial" in path.name]
        assert left == []
    return code == 2


def assert_told(said: str) -> None:
    told = [line for line in said.splitlines() if line.startswith("maskmixadv: ")]
    assert told, said
    assert "Traceback" not in said
    assert "Exception" not in said


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kib"), [("annotate", 40), ("train", 4)])
def test_a_command_on_a_full_disk_works_again(
    name: str, kib: int, given: Given, whole: Callable[[Command], tuple[Any, float]], tmp_path: Path
) -> None:
    assert works_once_there_is_space(BY_NAME[name], given, whole(BY_NAME[name])[0], tmp_path / "disk", kib)


@pytest.mark.hostile
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_commands_on_disks_of_all_sizes_work_again(
    command: Command, given: Given, whole: Callable[[Command], tuple[Any, float]], tmp_path: Path
) -> None:
    full = 0
    for kib in SIZES:
        full += works_once_there_is_space(command, given, whole(command)[0], tmp_path / str(kib), kib)
    print(f"\n{command.name}: {full} full disks of {len(SIZES)}, 0 lost")
    assert full


@pytest.mark.slow
def test_a_command_whose_files_may_not_grow_says_so(given: Given, tmp_path: Path) -> None:
    """Where no disk may be mounted, a limit of the files' size is one."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    code, said = BY_NAME["annotate"].finish(given, tmp_path / "out", preexec_fn=limit)
    assert code == 2
    assert_told(said)
    assert not (tmp_path / "out").exists()
