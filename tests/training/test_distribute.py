"""One run over two processes: what it comes to, what it refuses, how it stops."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
import two_ranks
from maskmixadv.errors import InputError
from maskmixadv.methods import PCE, Scribble2Label
from maskmixadv.runs.run import Run
from maskmixadv.training import fit as train
from maskmixadv.training.distribute import ALONE, Ranks, joined
from maskmixadv.training.loop import Loop

HERE = Path(__file__).parent
SHORT = ["--size", "48", "--window", "32", "--preset", "cpu", "--device", "cpu", "--validate-every", "100000"]
FAILING = """
import sys
from maskmixadv.cli import app as cli
from maskmixadv.training.distribute import joined
from maskmixadv.errors import InputError

class Command:
    def run(self):
        with joined("cpu") as ranks:
            ranks.wait()
            if ranks.rank:
                raise InputError("planted")
            ranks.wait()

cli.parse = lambda _: Command()
sys.argv[1:] = ["check"]
cli.main()
"""

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")


def started(*command: str, **variables: str) -> subprocess.Popen[str]:
    """Begin a Python process, on one thread."""
    path = os.pathsep.join([str(Path(tiny.__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables},
    )


def torchrun(*command: str) -> subprocess.Popen[str]:
    """Begin two ranks of the command line, as users do."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    return started(*launcher, "-m", "maskmixadv", *command)


def ended(*command: str) -> list[tuple[int, str]]:
    """Exit code and complaints of two ranks that were begun without torchrun, which takes seconds to load."""
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        processes = [started(*command, RANK=rank, LOCAL_RANK=rank, **place) for rank in ("0", "1")]
        errors = [process.communicate(timeout=300)[1] for process in processes]
        if not any("EADDRINUSE" in error for error in errors):  # somebody else was given the port meanwhile
            return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """What each of two ranks has come to."""
    folder = tmp_path_factory.mktemp("ranks")
    for code, error in ended(str(HERE / "two_ranks.py"), str(folder)):
        assert code == 0, error
    first, second = (torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    return first, second


def assert_close(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def assert_same(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["weighted", "enclosed"])
def test_two_ranks_come_to_what_one_process_does(ranks: tuple[dict[str, Any], ...], name: str) -> None:
    alone = two_ranks.course(two_ranks.loop(two_ranks.Weighted(), enclosure=name == "enclosed"))
    for rank in ranks:
        assert_close(rank[name]["losses"], alone["losses"])
        assert_close(rank[name]["nets"], alone["nets"])
        assert_close(rank[name]["scored"], alone["scored"])


def test_without_averages_they_do_not(ranks: tuple[dict[str, Any], ...]) -> None:
    """Sanity of the test above."""
    first, second = (rank["mutant"]["nets"] for rank in ranks)
    for one, other in ((first, second), (first, ranks[0]["weighted"]["nets"])):
        with pytest.raises(AssertionError, match="not close"):
            assert_close(one, other)


@pytest.mark.parametrize("name", ["weighted", *two_ranks.METHODS])
def test_all_ranks_hold_the_same(ranks: tuple[dict[str, Any], ...], name: str) -> None:
    first, second = ranks
    assert_same(first[name], second[name])


@pytest.mark.parametrize("name", two_ranks.METHODS)
def test_two_ranks_resume_bit_for_bit(ranks: tuple[dict[str, Any], ...], name: str) -> None:
    for rank in ranks:
        assert_same(rank[f"{name}-resumed"], rank[name])


def test_a_gradient_on_one_rank_is_one_on_all(ranks: tuple[dict[str, Any], ...]) -> None:
    for rank in ranks:
        both, one, none = rank["one-sided"]
        assert both.tolist() == [1.5, 1.5]
        assert one.tolist() == [0.5, 0.5]
        assert none is None


def test_ranks_have_noise_of_their_own(ranks: tuple[dict[str, Any], ...]) -> None:
    alone = torch.rand(2, generator=two_ranks.loop(two_ranks.Weighted()).batch().rng)
    drawn = [alone, *(rank["noise"] for rank in ranks)]
    assert len({tuple(each.tolist()) for each in drawn}) == 3


def test_what_one_rank_is_told_all_know(ranks: tuple[dict[str, Any], ...]) -> None:
    assert [rank["flags"] for rank in ranks] == [[False, True, True]] * 2


def test_parts_make_up_the_batch() -> None:
    alone = two_ranks.loop(two_ranks.Weighted(), enclosure=True).batch()
    parts = [two_ranks.loop(two_ranks.Weighted(), Ranks(rank, 2), enclosure=True).batch() for rank in range(2)]
    for field in ("image", "target", "prior", "index", "affine"):
        assert torch.equal(torch.cat([getattr(part, field) for part in parts]), getattr(alone, field)), field
    assert_close(torch.cat([part.weight for part in parts]) / 2, alone.weight)


def test_without_torchrun_there_is_one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as ranks:
        assert ranks == ALONE


def test_what_cannot_be_shared_is_refused() -> None:
    two = Ranks(size=2)
    with pytest.raises(InputError, match="method: scribble2label remembers each slice and runs in 1 process, here"):
        two.check(Scribble2Label(), 4)
    with pytest.raises(InputError, match="batch: 3, allowed with 2 processes is a multiple of 2"):
        two.check(PCE(), 3)
    two.check(PCE(), 4)
    ALONE.check(Scribble2Label(), 3)


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_other() -> None:
    """Without torchrun, which would end it anyway."""
    (first, first_error), (second, second_error) = ended("-c", FAILING)
    assert (first, second) == (1, 2)
    assert re.findall("^maskmixadv: .*", first_error + second_error, re.MULTILINE) == ["maskmixadv: planted"]
    assert "Traceback" not in first_error + second_error


def test_a_rank_that_was_killed_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a system without memory: the others see that a connection was closed."""

    def closed(*_: object) -> None:
        raise RuntimeError("[pair.cc:534] Connection closed\nby peer")

    for name in ("all_reduce", "broadcast"):
        monkeypatch.setattr(torch.distributed, name, closed)
    two, layer = Ranks(0, 2), torch.nn.BatchNorm2d(1)
    told = r"^processes: one of this run ended, .* \(\[pair\.cc:534\] Connection closed by peer\); '.*train --resume'"
    for call in (
        two.wait,
        lambda: two.share_buffers([layer]),
        lambda: two.average([*layer.parameters()], {"pce": torch.ones(())}),
    ):
        with pytest.raises(InputError, match=told):
            call()


@pytest.mark.slow
def test_a_refusal_is_told_once(tmp_path: Path) -> None:
    tiny.corpus(tmp_path / "corpus")
    run = ["train", str(tmp_path / "corpus"), "--out", str(tmp_path / "run"), "--batch", "3", *SHORT, "pce"]
    (first, first_error), (second, second_error) = ended("-m", "maskmixadv", *run)
    error = first_error + second_error
    assert 2 in (first, second)
    assert 0 not in (first, second)
    assert re.findall("^maskmixadv: .*", error, re.MULTILINE) == [
        "maskmixadv: --batch: 3, allowed with 2 processes is a multiple of 2"
    ]
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("wide")
@pytest.mark.slow
def test_a_signal_stops_both_ranks_and_one_process_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.corpus(tmp_path / "corpus")
    root = tmp_path / "run"
    command = ["train", str(tmp_path / "corpus"), "--out", str(root), "--batch", "2", "--steps", "100000", *SHORT]
    process = torchrun(*command, "pce")
    assert process.stderr is not None
    told = next(line for line in process.stderr if line.startswith("step "))
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert error.count("interrupted and saved; go on with") == 1, error
    assert "step " not in error, "the other rank speaks, too"
    run = Run.open(root)
    assert run.facts.device.startswith("2 × ")
    assert len(list((root / "tensorboard").iterdir())) == 1
    reached = run.load(torch.device("cpu"))["step"]
    assert reached >= int(told.split()[1].split("/")[0])
    assert _goes_on(run, monkeypatch) == reached + 1


def _goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> int:
    """Resume for one step, in this process."""
    advance = Loop.advance

    def interrupted(self: Loop) -> dict[str, torch.Tensor]:
        os.kill(os.getpid(), signal.SIGINT)
        return advance(self)

    monkeypatch.setattr(Loop, "advance", interrupted)
    assert not train.fit(run, device="cpu")
    return run.load(torch.device("cpu"))["step"]


TORCHRUNS = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("WORLD_SIZE", "two", "environment: WORLD_SIZE: 'two', allowed is a number from 1; "),
        ("WORLD_SIZE", "0", "environment: WORLD_SIZE: '0', allowed is a number from 1; "),
        ("RANK", "", "environment: RANK: is not set with WORLD_SIZE=2; "),
        ("RANK", "2", "environment: RANK: '2', allowed is a number from 0 to 1 with WORLD_SIZE=2; "),
        ("LOCAL_RANK", "", "environment: LOCAL_RANK: is not set with WORLD_SIZE=2; "),
        ("MASTER_ADDR", "", "environment: MASTER_ADDR: is not set with WORLD_SIZE=2; "),
        (
            "MASTER_PORT",
            "-1",
            "environment: MASTER_PORT: '-1', allowed is a number from 0 to 65535 with WORLD_SIZE=2; ",
        ),
    ],
)
def test_an_environment_that_torchrun_did_not_make_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    for each, text in {**TORCHRUNS, name: value}.items():
        monkeypatch.setenv(each, text)
    with pytest.raises(InputError, match=f"^{re.escape(told)}.*torchrun sets it"), joined("cpu"):
        pass


def test_an_empty_number_of_processes_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "")
    with joined("cpu") as ranks:
        assert ranks.size == 1


def test_torchrun_leaves_our_options_alone() -> None:
    """It takes any beginning of its own options for them, also behind the program's name, but not behind dashes."""
    from torch.distributed.run import get_args_parser  # takes a second

    start = ["--start", "runs/two"]
    page = Path(__file__).parents[2] / "docs" / "how-to" / "several-devices.md"
    commands = [line.split() for line in page.read_text("utf-8").splitlines() if line.startswith("torchrun ")]
    assert len(commands) == 2
    for _, *words in commands:
        given = get_args_parser().parse_args([*words, *start])
        assert [given.training_script, *given.training_script_args] == [*words[words.index("maskmixadv") :], *start]
