"""The commands as users type them: exit codes, and one line for what is wrong."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import own
import tiny
from maskmixadv.cli.app import run
from maskmixadv.errors import InputError
from maskmixadv.formats import image_files
from maskmixadv.networks.unet import WIDTHS
from maskmixadv.sources.phantoms import phantom
from quick import quick

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")

AFFINE = np.array([[0, -1.5, 0, 10], [-1.5, 0.1, 0, 20], [0, 0, 8, -5], [0, 0, 0, 1.0]])
SHORT = ["--steps", "2", "--batch", "2", "--size", "48", "--window", "48", "--preset", "cpu"]


def refused(argv: list[str], capsys: pytest.CaptureFixture[str], *words: str) -> None:
    capsys.readouterr()
    assert run(argv) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert error.startswith("maskmixadv: ")
    for word in words:
        assert word in error


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli")
    phantom.prepare(root / "corpus", cases=6, size=64)
    phantom.prepare(root / "prior", cases=6, seed=1, size=64)
    command = [
        "train",
        str(root / "corpus"),
        "--out",
        str(root / "run"),
        "--prior",
        str(root / "prior"),
        "--enclosure",
    ]
    assert run([*command, *SHORT, "maskmixadv", "--patch", "4"]) == 0
    return root


def write(path: Path, array: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    return path


def test_train_writes_what_was_asked(trained: Path) -> None:
    written = json.loads((trained / "run" / "run.json").read_text())
    assert written["method"]["patch"] == 4
    assert written["schedule"]["steps"] == 2
    assert written["enclosure"] is True
    assert written["preset"] == "cpu"


@pytest.mark.usefixtures("undrawn")
def test_evaluate_writes_scores_summary_and_report(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", str(trained / "run"), "--out", str(tmp_path / "scores")]) == 0
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {
        "clinical.csv",
        "scores.csv",
        "summary.json",
        "report.html",
        "volumes.csv",
    }
    assert "Dice" in capsys.readouterr().out


@pytest.mark.usefixtures("plain")
def test_evaluate_scores_another_split_beside_it(trained: Path) -> None:
    assert run(["evaluate", str(trained / "run"), "--split", "val"]) == 0
    assert (trained / "run" / "evaluation-val" / "scores.csv").is_file()


def test_predict_keeps_name_grid_and_affine(trained: Path, tmp_path: Path) -> None:
    image = write(tmp_path / "heart.nii.gz", np.random.default_rng(0).random((50, 40, 5)).astype(np.float32))
    assert run(["predict", str(trained / "run"), str(image), "--out", str(tmp_path / "out")]) == 0
    labels: Any = nib.load(tmp_path / "out" / "heart.nii.gz")
    assert labels.shape == (50, 40, 5)
    assert labels.get_data_dtype() == np.uint8
    np.testing.assert_allclose(labels.affine, AFFINE, atol=1e-5)


def test_predict_goes_on_past_bad_files(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = np.random.default_rng(0).random((40, 40, 3)).astype(np.float32)
    write(folder / "a_nan.nii.gz", np.full((40, 40, 3), np.nan, np.float32))
    write(folder / "b_constant.nii.gz", np.ones((40, 40, 3), np.float32))
    write(folder / "c_4d.nii.gz", np.ones((40, 40, 3, 5), np.float32))
    write(folder / "d_cut.nii.gz", good)
    (folder / "d_cut.nii.gz").write_bytes((folder / "d_cut.nii.gz").read_bytes()[:90])
    write(folder / "e_good.nii.gz", good)
    capsys.readouterr()
    assert run(["predict", str(trained / "run"), str(folder), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert len(lines) == 4
    for line, word in zip(lines, ("a_nan", "b_constant", "c_4d", "d_cut"), strict=True):
        assert word in line
    assert "1 of 5 volumes segmented" in told.out
    assert seen(tmp_path / "out") == ["clinical.csv", "e_good.nii.gz"]


def seen(folder: Path) -> list[str]:
    """What is not hidden in a folder."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_predict_replaces_its_own_files_alone(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    image = write(tmp_path / "in" / "a.nii.gz", np.random.default_rng(0).random((40, 40, 3)).astype(np.float32))
    before = image.read_bytes()
    predict = ["predict", str(trained / "run"), str(tmp_path / "in"), "--out"]
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for out in (tmp_path / "in", tmp_path / "link", tmp_path / "none" / ".." / "in"):
        refused([*predict, str(out)], capsys, "holds a.nii.gz, which is an input")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.nii.gz"]
    assert image.read_bytes() == before
    masks = tmp_path / "masks"
    masks.mkdir()
    write(masks / "a.nii.gz", np.ones((40, 40, 3), np.uint8))
    drawn = (masks / "a.nii.gz").read_bytes()
    refused([*predict, str(masks)], capsys, str(masks / "a.nii.gz"), "was not written by this program")
    assert (masks / "a.nii.gz").read_bytes() == drawn
    for _ in range(2):
        assert run([*predict, str(tmp_path / "out")]) == 0
    assert seen(tmp_path / "out") == ["a.nii.gz", "clinical.csv"]
    write(tmp_path / "out" / "a.nii.gz", np.ones((40, 40, 3), np.uint8))
    refused([*predict, str(tmp_path / "out")], capsys, "a.nii.gz", "was changed since")


def test_whatever_goes_wrong_with_a_file_costs_that_file(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c", "d"):
        write(tmp_path / "in" / f"{name}.nii.gz", np.random.default_rng(0).random((40, 40, 3)).astype(np.float32))
    kept = image_files.write_labels
    wrong = {"a": MemoryError(), "b": RuntimeError("no\nroom"), "c": InputError("no spacing")}

    def fail(path: Path, *rest: Any) -> None:
        if path.name[0] in wrong:
            raise wrong[path.name[0]]
        kept(path, *rest)

    monkeypatch.setattr(image_files, "write_labels", fail)
    capsys.readouterr()
    assert run(["predict", str(trained / "run"), str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert lines[0].endswith("a.nii.gz: can't be segmented (MemoryError:)")
    assert lines[1].endswith("b.nii.gz: can't be segmented (RuntimeError: no room)")
    assert lines[2] == f"maskmixadv: {tmp_path / 'in' / 'c.nii.gz'}: no spacing"
    assert "1 of 4 volumes segmented" in told.out
    assert seen(tmp_path / "out") == ["clinical.csv", "d.nii.gz"]


@pytest.mark.usefixtures("plain")
def test_flips_that_training_never_saw_are_left_out(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write(tmp_path / "a.nii.gz", np.random.default_rng(0).random((40, 40, 3)).astype(np.float32))
    for out, flips in (("plain", []), ("flips", ["--flips"])):
        capsys.readouterr()
        assert run(["predict", str(trained / "run"), str(image), "--out", str(tmp_path / out), *flips]) == 0
        assert capsys.readouterr().err.count("--flips is left out") == len(flips)
    one, other = ((tmp_path / out / "a.nii.gz").read_bytes() for out in ("plain", "flips"))
    assert one == other
    assert run(["evaluate", str(trained / "run"), "--flips", "--out", str(tmp_path / "scores")]) == 0
    evaluation = json.loads((tmp_path / "scores" / "summary.json").read_text())["provenance"]["evaluation"]
    assert evaluation["flips"] is False


def test_predict_refuses(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    out = ["--out", str(tmp_path / "out")]
    refused(["predict", str(trained / "run"), str(tmp_path / "empty"), *out], capsys, "no .nii")
    refused(["predict", str(trained / "run"), *out], capsys, "image")
    refused(["predict", str(trained / "run"), "x.nii", *out], capsys, "x.nii: no such file or folder")
    refused(
        ["predict", str(trained / "run"), "/dev/null", *out], capsys, "/dev/null: is a device, allowed is a regular"
    )
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "same.nii.gz", np.ones((4, 4, 2), np.float32))
    refused(["predict", str(tmp_path), str(tmp_path / "one"), *out], capsys, "not a run")
    refused(
        ["predict", str(trained / "run"), str(tmp_path / "one"), str(tmp_path / "two"), *out],
        capsys,
        "same.nii.gz",
    )


def test_train_refuses(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, out = str(trained / "corpus"), ["--out", str(tmp_path / "run")]
    train = ["train", corpus, *out]
    refused([*train, "--fold", "9", "pce"], capsys, "no fold 9", "allowed are 1 to")
    refused([*train, "--folds", "mine", "pce"], capsys, "'mine'", "allowed are")
    refused([*train, "--fold", "one", "pce"], capsys, "--fold", "'one'")
    refused([*train, "maskmixadv", "--ratio", "1.5"], capsys, "ratio", "1.5", "allowed")
    refused([*train, "maskmixadv", "--adv", "-1"], capsys, "adv", "-1", "allowed")
    refused([*train, "maskmixadv"], capsys, "--prior", "--adv 0")
    refused([*train, "--steps", "0", "pce"], capsys, "steps: 0", "allowed")
    refused([*train, "--window", "50", "pce"], capsys, "window: 50", "multiple of 16")
    refused([*train, "--device", "cuda:99", "pce"], capsys, "cuda:99")
    refused([*train, "unet"], capsys, "unet")
    refused(["train", str(tmp_path / "none"), *out, "pce"], capsys, "not a corpus")
    refused(["train", corpus, "--out", str(trained / "run"), "pce"], capsys, "already holds")
    refused(["train", "--resume", str(tmp_path)], capsys, "not a run")
    refused(["train"], capsys, "CORPUS", "--resume")
    refused([*train, "--seed", "-1", "pce"], capsys, "seed: -1", "allowed are whole numbers from 0")
    refused([*train, "--seed", str(2**63), "pce"], capsys, "seed: 9223372036854775808", "allowed")
    assert not (tmp_path / "run").exists()


def test_prepare_refuses(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for layout in ("acdc", "mscmr"):
        refused(["prepare", layout, str(tmp_path / "empty"), str(tmp_path / "c")], capsys, "no", "case found")
    refused(["prepare", "phantom", str(trained / "corpus")], capsys, "already holds")
    refused(["prepare", "phantom", str(tmp_path / "c"), "--cases", "1"], capsys, "1", "allowed")
    refused(["prepare", "nothing"], capsys, "nothing")


def test_check(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(trained / "corpus")]) == 0
    assert "enclosure holds" in capsys.readouterr().out
    _, scribble, _ = tiny.volume()
    scribble[1] = 255
    cases = [tiny.case(f"p{number}", scribble=scribble if number == 1 else tiny.volume()[1]) for number in range(3)]
    assert run(["check", str(tiny.corpus(tmp_path / "c", cases).root)]) == 0
    assert "note: no stroke in 1 of 9 slices of scribbled cases (p1 slice 2)" in capsys.readouterr().out
    scribble[scribble == 2] = 255
    cases = [tiny.case(f"p{number}", scribble=scribble) for number in range(3)]
    refused(["check", str(tiny.corpus(tmp_path / "d", cases).root)], capsys, "no stroke of class 2 (Myo)")


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"], ["check", "CORPUS"]])
def test_a_reader_that_goes_away_is_no_failure(trained: Path, words: list[str]) -> None:
    """Closing the pipe before anything is read is what ``| head`` comes to, without its luck."""
    argv = [str(trained / "corpus") if word == "CORPUS" else word for word in words]
    command = [sys.executable, "-m", "maskmixadv", *argv]
    read, write_end = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("closed", quick(["1", "1 2", "0 1 2"], "0 1 2"))
@pytest.mark.slow
def test_a_program_without_streams_does_its_work(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    """As a service has none; what it writes must not land in a file that gets the number of a stream."""
    shut = " ".join(f"{number}>&-" for number in closed.split())
    image = write(tmp_path / "heart.nii.gz", np.random.default_rng(0).random((40, 40, 3), dtype=np.float32))
    monkeypatch.setattr("maskmixadv.networks.unet.WIDTHS", WIDTHS)  # as the other process has them
    train = ["train", str(trained / "corpus"), "--out", str(tmp_path / "run"), *SHORT, "--steps", "1", "pce"]
    assert run(train) == 0
    command = [sys.executable, "-m", "maskmixadv", "predict", str(tmp_path / "run"), str(image)]
    line = f"{shlex.join([*command, '--device', 'cpu', '--out', str(tmp_path / 'labels')])} {shut}"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "Traceback" not in done.stderr
    assert nib.load(tmp_path / "labels" / "heart.nii.gz").shape == (40, 40, 3)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("command", ["check", "evaluate", "train"])
def test_a_name_that_is_too_long_is_one_line(trained: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    words = ["train", str(trained / "corpus"), *SHORT, "--out"] if command == "train" else [command]
    refused([*words, str(trained / ("n" * 300))], capsys, "nnn", "File name too long")


def called(*words: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command in a process of its own, whose streams are those of a terminal."""
    command = [sys.executable, "-m", "maskmixadv", *words]
    return subprocess.run(command, capture_output=True, check=False, env={**os.environ, **environment})


@pytest.mark.slow  # two processes
def test_a_name_that_is_no_text_is_refused_before_a_run_begins(trained: Path, tmp_path: Path) -> None:
    """A Latin-1 name of a folder, from an old file system."""
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/r\xfc")
    train = called("train", str(trained / "corpus"), *SHORT, "--out", strange, "pce")
    assert train.returncode == 2
    assert train.stderr.count(b"\n") == 1
    assert b"is no UTF-8" in train.stderr
    assert not os.path.lexists(strange)
    source = own.folder(tmp_path / "own")
    for folder in ("images", "scribbles"):
        there = source / folder
        (there / "s0.nii.gz").rename(os.fsdecode(os.fsencode(there) + b"/s\xfc.nii.gz"))
    check = called("check", str(source))
    assert check.returncode == 2
    assert check.stderr.count(b"\n") == 1
    assert b"printable characters" in check.stderr


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_signs_that_a_terminal_lacks_end_no_command(trained: Path, encoding: str) -> None:
    for words in (["check", str(trained / "corpus")], ["train", "--help"]):
        done = called(*words, PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (0, b"")
    done = called("check", str(trained / "corpus"), PYTHONIOENCODING=f"{encoding}:surrogateescape")  # as in locale C
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_output_that_is_full_is_one_line(trained: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        words = [sys.executable, "-m", "maskmixadv", "check", str(trained / "corpus")]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False)
    told = b"maskmixadv: the output can't be written (No space left on device); free space, or send it elsewhere\n"
    assert (done.returncode, done.stderr) == (2, told)


@pytest.mark.parametrize("words", [["train", "corpus", "--out", "run"], ["check", "/"], ["bench", "table.toml"]])
def test_a_working_directory_that_was_removed_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Where torch computes in one, its library of algebra ends the program."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    monkeypatch.setenv("PWD", str(tmp_path / "gone"))
    (tmp_path / "gone").rmdir()
    refused(words, capsys, "gone: the working directory can't be found (No such file or directory)")


def test_evaluate_refuses(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["evaluate", str(tmp_path)], capsys, "not a run")
    refused(["evaluate", str(trained / "run"), "--split", "all"], capsys, "split", "all")


def test_an_interrupt_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(phantom, "prepare", interrupted)
    assert run(["prepare", "phantom", str(tmp_path / "c")]) == 130
    told = "maskmixadv: interrupted; the same command, given again, goes on or begins anew\n"
    assert capsys.readouterr().err == told


def test_an_interrupt_while_a_command_is_imported_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training imports torch before its words are parsed: two seconds in which Ctrl-C showed a traceback."""

    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("maskmixadv.cli.app.import_module", interrupted)
    assert run(["check", "corpus"]) == 130
    told = "maskmixadv: interrupted; the same command, given again, goes on or begins anew\n"
    assert capsys.readouterr().err == told


def test_resume_of_a_finished_run_changes_nothing(trained: Path) -> None:
    before = (trained / "run" / "last.pt").read_bytes()
    assert run(["train", "--resume", str(trained / "run")]) == 0
    assert (trained / "run" / "last.pt").read_bytes() == before


def test_resume_refuses_what_it_would_pass_over(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resume = ["train", "--resume", str(trained / "run")]
    refused([*resume, "--steps", "9", "--masks-of", "slices"], capsys, "--steps", "--masks-of", "not with --resume")
    refused([*resume, str(trained / "corpus")], capsys, "CORPUS: not with --resume", "allowed beside it are --device")
    refused([*resume, "walk-teacher", "--ce", "3"], capsys, "METHOD: not with --resume")
    assert run([*resume, "--device", "cpu", "--no-graph"]) == 0


def test_options_that_a_method_does_not_use_are_named(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--prior", str(trained / "corpus"), "--unlabelled", "--steps", "1", "--size", "48", "--window", "32"]
    assert run(["train", str(trained / "corpus"), "--out", str(tmp_path / "run"), *given, "pce"]) == 0
    told = capsys.readouterr().err
    for option in ("--prior", "--unlabelled"):
        assert f"note: {option}: pce makes no use of it\n" in told


HEAVY = {"torch", "matplotlib", "jinja2", "nibabel", "h5py", "tensorboard", "scipy.ndimage", "skimage.measure"}
COMMANDS = ("", "prepare acdc", "check", "annotate scribbles", "evaluate", "predict", "bench", "demo")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_without_heavy_imports(command: str) -> None:
    script = (
        "import sys\nfrom maskmixadv.cli.app import run\n"
        f"try:\n    run({[*command.split(), '--help']!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        f"assert not {HEAVY!r} & set(sys.modules), {HEAVY!r} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: maskmixadv" in done.stdout


def test_ctrl_c_while_the_command_line_is_imported_is_one_line(tmp_path: Path) -> None:
    """It was a traceback."""
    (tmp_path / "tyro.py").write_text("raise KeyboardInterrupt")
    places = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    program = [sys.executable, "-m", "maskmixadv", "--version"]
    ended = subprocess.run(
        program, env={**os.environ, "PYTHONPATH": places}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 130
    assert ended.stderr == "maskmixadv: interrupted; the same command, given again, goes on or begins anew\n"
    assert not ended.stdout
