"""Tables that are run: skipped, resumed, failed."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO

import pytest
import torch

import tiny
from maskmixadv.bench import workers
from maskmixadv.bench.cells import Cell, Job
from maskmixadv.bench.child import work
from maskmixadv.bench.filed import CellRecord, text_hash
from maskmixadv.bench.records import finished
from maskmixadv.bench.runner import make, reached, report_failures
from maskmixadv.bench.table import TableRow
from maskmixadv.bench.workers import Local, Outcome
from maskmixadv.cli.app import run
from maskmixadv.errors import InputError
from maskmixadv.metrics import scores
from maskmixadv.training.recipe import Recipe

STEPS = 80
TABLE = f"""
title = "Two methods"
flagship = "DpCE"
corpus = "corpus"
preset = "cpu"
enclosure = true
folds = [1, 2]

[schedule]
steps = {STEPS}
batch = 2
size = 48
window = 32
validate_every = {STEPS}

[prepare]
corpus = "prepare phantom {{out}} --cases 6 --size 64"

[[rows]]
name = "pCE"
method = "pce"

[[rows]]
name = "DpCE"
method = "maskmixadv"
fields = {{ rec = 0, pse = 0, adv = 0, level = "image" }}
"""
ALONE = ("bench", "two.toml", "--together", "1")
"""Each run in a process of its own, as by default where there is no GPU."""
FILES = {"run.json", "log.csv", "scores.csv", "summary.json", "bench.json"}


def place(root: Path) -> Path:
    """The only run's directory."""
    return next(path for path in (root / "runs" / "bench").iterdir() if path.is_dir())


def until(happened: object, seconds: float = 300.0) -> None:
    assert callable(happened)
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table whose process was killed in the midst of its first run."""
    root = tmp_path_factory.mktemp("bench")
    (root / "two.toml").write_text(TABLE)
    script = "from maskmixadv.cli.app import main; main()"
    told = root / "told.txt"
    with told.open("wb") as output:
        table = subprocess.Popen(
            [sys.executable, "-c", script, *ALONE, "--fold", "1", "--only", "pCE"],
            cwd=root, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            until(lambda: table.poll() is not None or any(map(reached, (root / "runs").glob("bench/*/log.csv"))))
        finally:
            table.kill()
            table.wait()
    return root


@pytest.fixture(scope="module")
def done(killed: Path) -> Path:
    """The same table after a second call."""
    before = (place(killed) / "run.json").read_bytes()
    with contextlib.chdir(killed):
        assert run([*ALONE, "--fold", "1", "--only", "pCE"]) == 0
    assert (place(killed) / "run.json").read_bytes() == before, "was begun again, not resumed"
    return killed


@pytest.fixture(autouse=True)
def _there(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(killed)


def test_a_killed_table_leaves_runs_that_saved_themselves(killed: Path) -> None:
    checkpoint = place(killed) / "last.pt"
    until(checkpoint.is_file)
    assert 0 < torch.load(checkpoint, weights_only=True)["step"] <= STEPS


def test_the_next_call_goes_on_and_files_the_scores(done: Path) -> None:
    folder = done / "results" / "two" / "pce" / "fold1-seed0"
    assert {path.name for path in folder.iterdir()} == FILES
    output = Path(f"{place(done)}.txt").read_text()
    assert output.count(f"step {STEPS}/{STEPS} ") == 1
    with (folder / "log.csv").open(newline="") as file:
        assert [int(line["step"]) for line in csv.DictReader(file)][-1] == STEPS
    record = json.loads((folder / "bench.json").read_text())
    assert record["steps"] == STEPS
    assert record["seconds"] > 0
    assert 100 < record["peak_mib"] < 10_000
    assert record["gpu_peak_mib"] == 0
    (line,) = csv.DictReader((done / "results" / "two" / "results.csv").open())
    assert line["command"].startswith("maskmixadv train corpus --out runs/bench/pce-")
    assert line["command"].endswith(" pce")
    assert (line["row"], line["method"], line["fold"], line["seed"]) == ("pCE", "pce", "1", "0")
    assert 0 <= float(line["dice_mean"]) <= 1
    assert "| pCE | 1/2 |" in (done / "results" / "two" / "table.md").read_text()


def test_what_is_done_is_skipped(
    done: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert done
    monkeypatch.setattr(workers, "start", lambda *_, **__: pytest.fail("a run was started"))
    assert run([*ALONE, "--fold", "1", "--only", "pCE"]) == 0
    assert "1 of 4 runs are done" in capsys.readouterr().out


def test_dry_lists_and_makes_nothing(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(done.rglob("*"))
    assert run(["bench", "two.toml", "--dry"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["done", "results/two/pce/fold1-seed0"],
        ["missing", "results/two/dpce/fold1-seed0"],
        ["missing", "results/two/pce/fold2-seed0"],
        ["missing", "results/two/dpce/fold2-seed0"],
    ]
    assert sorted(done.rglob("*")) == before


def test_a_changed_row_is_a_new_run(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (done / "two.toml").write_text(TABLE.replace(f"steps = {STEPS}", "steps = 7", 1))
    try:
        assert run(["bench", "two.toml", "--dry", "--only", "pCE", "--fold", "1"]) == 0
        assert capsys.readouterr().out.startswith("missing")
    finally:
        (done / "two.toml").write_text(TABLE)


def test_a_half_made_record_is_scored_again(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = done / "results" / "two" / "pce" / "fold1-seed0" / "bench.json"
    text = record.read_text()
    record.unlink()
    try:
        assert run(["bench", "two.toml", "--dry", "--only", "pCE", "--fold", "1"]) == 0
        assert capsys.readouterr().out.startswith("begun")
    finally:
        record.write_text(text)


def job(name: str, root: Path) -> Job:
    return Job(name, Recipe(root / "c", {"name": "pce"}, "cpu"), root / "runs" / name, 100, "test", (root / name,))


def test_a_failed_run_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts = {
        "good": "print('step 100/100  done')",
        "wrong": f"open({str(tmp_path / 'runs' / 'wrong.reason')!r}, 'w').write('prior: none'); raise SystemExit(2)",
        "broken": "raise KeyError('x')",
        "killed": "import os; os.kill(os.getpid(), 9)",
    }

    def start(job: Job, device: str | None, *, cores: int) -> "subprocess.Popen[bytes]":
        assert device == "cpu"
        assert cores >= 1
        job.output.parent.mkdir(exist_ok=True)
        with job.output.open("ab") as output:
            return subprocess.Popen([sys.executable, "-c", scripts[job.identity]], stdout=output, stderr=output)

    monkeypatch.setattr(workers, "start", start)
    failed = make([job(name, tmp_path) for name in scripts], Local(["cpu"], jobs=2))
    assert {each.identity: outcome.code for each, outcome in failed.items()} == {"wrong": 2, "broken": 1, "killed": -9}
    told = capsys.readouterr().err
    assert "4/4" in told
    assert "failed: prior: none" in told
    assert report_failures(failed) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "wrong ended with 2: prior: none" in lines[[("wrong" in x) for x in lines].index(True)]
    assert any("killed was killed by signal 9" in each for each in lines)
    assert any("KeyError: 'x'" in each for each in lines)
    assert report_failures({each: outcome for each, outcome in failed.items() if outcome.code == 2}) == 2
    assert report_failures({}) == 0


def test_closing_stops_what_runs_and_begins_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object, **__: object) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    monkeypatch.setattr(workers, "start", start)
    engine = Local(["cpu"], jobs=1)
    first, second = (engine.submit(job(name, tmp_path)) for name in ("one", "two"))
    until(first.running)
    began = time.monotonic()
    time.sleep(0.1)
    engine.close()
    assert time.monotonic() - began < 30
    assert first.result() == Outcome(-15, "")
    assert second.cancelled()


def test_a_run_that_another_process_finished_is_not_made_again(tmp_path: Path) -> None:
    one = job("one", tmp_path)
    one.folders[0].mkdir()
    record = CellRecord("one", "test", steps=100, seconds=9.0, peak_mib=300.0, gpu_peak_mib=0.0)
    (one.folders[0] / "bench.json").write_text(json.dumps(asdict(record)))
    assert work(one, None) == 0
    assert not one.run.exists()
    assert Job.from_json(one.json()) == one


def test_how_far_a_run_is_stands_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    assert reached(log) == 0
    log.write_text("step,seconds,net/ce\n20,1.0,0.5\n60,2.0,0.4\n")
    assert reached(log) == 60
    log.write_text("step,seconds\nx\n")
    assert reached(log) == 0


def test_a_run_says_itself_why_it_failed(tmp_path: Path) -> None:
    """The reason is in a file of its own; that of an earlier process is gone once another one is started."""
    wrong = job("wrong", tmp_path)
    with pytest.raises(InputError, match="not a corpus"):
        work(wrong, "cpu")
    assert Outcome.of(wrong, 2) == Outcome(2, wrong.reason.read_text().strip())
    assert "not a corpus" in Outcome.of(wrong, 2).reason
    wrong.output.write_text("step 20/100\nstep 40/100\n\n")
    wrong.reason.write_text("of an earlier process")
    child = workers.start(wrong, "cpu", cores=1)
    assert not wrong.reason.exists()
    child.kill()
    assert Outcome.of(wrong, child.wait()) == Outcome(-9, "step 40/100")


@pytest.mark.parametrize("text", ["{}", "[]", '{"identity": 1}', "{"])
def test_a_record_that_is_malformed_says_what_to_do(tmp_path: Path, text: str) -> None:
    one = job("one", tmp_path)
    one.folders[0].mkdir()
    (one.folders[0] / "bench.json").write_text(text)
    with pytest.raises(InputError, match=r"bench\.json.*delete it, and the run is scored again"):
        _ = one.done


def test_scores_that_are_damaged_say_what_to_do(tmp_path: Path) -> None:
    one = job("one", tmp_path)
    folder = one.folders[0]
    folder.mkdir()
    record = CellRecord("one", "test", steps=100, seconds=9.0, peak_mib=300.0, gpu_peak_mib=0.0)
    (folder / "bench.json").write_text(json.dumps(asdict(record)))
    (folder / "run.json").write_text('{"versions": {}, "command": "", "device": ""}')
    row = TableRow("A", "pce", {}, Path("c"), None, "cpu", enclosure=False, published={})
    for text in ("case,class\n", None):
        (folder / "scores.csv").write_text(text) if text else (folder / "scores.csv").unlink()
        with pytest.raises(InputError, match=r"scores\.csv.*'bench' does so once .*bench\.json is deleted"):
            finished([Cell(row, 1, 0, folder, one)])


def test_scores_that_were_changed_since_are_refused(tmp_path: Path) -> None:
    """A case that was deleted there was left out of the table's means without a word."""
    one = job("one", tmp_path)
    folder, path = one.folders[0], one.folders[0] / "scores.csv"
    folder.mkdir()
    image, _, dense = tiny.volume()
    rows = [
        row
        for name in ("p0_ED", "p1_ED")
        for row in scores.rows(tiny.case(name, image=image), dense, classes=tiny.CLASSES, nominal=(1.0, 1.0, 1.0))
    ]
    path.write_text(scores.table(rows))
    record = CellRecord("one", "test", 100, 9.0, 300.0, 0.0, text_hash(path))
    (folder / "bench.json").write_text(json.dumps(asdict(record)))
    (folder / "run.json").write_text('{"versions": {}, "command": "", "device": ""}')
    cell = Cell(TableRow("A", "pce", {}, Path("c"), None, "cpu", enclosure=False, published={}), 1, 0, folder, one)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(finished([cell])) == 1, "git and editors change the ends of lines"
    path.write_text(scores.table(rows[:3]))
    with pytest.raises(
        InputError, match=r"scores\.csv: was changed since the run was scored, .*bench\.json is deleted"
    ):
        finished([cell])
    (folder / "bench.json").write_text(json.dumps({k: v for k, v in asdict(record).items() if k != "scores"}))
    assert len(finished([cell])) == 1, "early records do not say"


def test_damaged_scores_are_found_before_runs_are_made(
    done: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hours of training came before the line that a file can't be read."""
    path = done / "results" / "two" / "pce" / "fold1-seed0" / "scores.csv"
    text, calls = path.read_text(), list[object]()
    monkeypatch.setattr("maskmixadv.bench.command.make", lambda *given: calls.append(given) or {})
    try:
        for changed in (text.replace("_ED", "_ES", 1), text[:50]):
            path.write_text(changed)
            assert run(["bench", "two.toml"]) == 2
            assert "fold1-seed0/scores.csv" in capsys.readouterr().err
    finally:
        path.write_text(text)
    assert calls == []


@pytest.mark.parametrize("option", ["--out", "--runs"])
def test_a_place_that_cannot_be_written_is_found_before_runs_are_made(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hours of training came before the line that nothing can be filed there."""
    calls = list[object]()
    monkeypatch.setattr("maskmixadv.bench.command.make", lambda *given: calls.append(given) or {})

    def refused(folder: Path) -> IO[bytes]:
        if folder == tmp_path / "closed":
            raise PermissionError(13, "Permission denied")
        return Path(os.devnull).open("rb")

    monkeypatch.setattr("maskmixadv.bench.command.nameless", refused)
    (tmp_path / "file").write_text("")
    for name, told in (("closed", "Permission denied"), ("file", "can't be made a directory")):
        given = {"--out": tmp_path / "out", "--runs": tmp_path / "runs", option: tmp_path / name}
        assert run(["bench", "two.toml", *(str(word) for pair in given.items() for word in pair)]) == 2
        error = capsys.readouterr().err
        assert f"{tmp_path / name}: " in error
        assert told in error
    assert calls == []


def test_an_interrupted_table_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("maskmixadv.bench.command.make", interrupted)
    assert run(["bench", "two.toml"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_a_table_that_a_queue_ends_says_so_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """SIGTERM, as when its time is over, is what Ctrl-C is."""
    monkeypatch.setattr("maskmixadv.bench.command.make", lambda *_: signal.raise_signal(signal.SIGTERM))
    assert run([*ALONE, "--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")]) == 130
    assert "interrupted, runs are saved; the same command goes on" in capsys.readouterr().err


def test_what_attends_a_run_may_fail_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workers, "start", start)
    (outcome,) = make([job("one", tmp_path)], Local(["cpu"], jobs=1)).values()
    assert outcome == Outcome(1, "OSError: [Errno 28] No space left on device")


def test_help_explains_without_torch() -> None:
    script = (
        "import sys\nfrom maskmixadv.cli.app import run\n"
        "try:\n    run(['bench', '--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' not in sys.modules, 'help imports torch'"
    )
    source = Path(workers.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "TABLE.toml" in done.stdout
