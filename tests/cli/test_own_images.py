"""Own images from the command line: in by prepare and train, out by predict."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from PIL import Image

import own
from maskmixadv.cli.app import run
from maskmixadv.corpus.channels import KNEE, TOP
from maskmixadv.corpus.scale import normalise
from maskmixadv.inference.predictor import Predictor

pytestmark = pytest.mark.usefixtures("narrow", "unpictured", "undrawn")

SHORT = ["--steps", "2", "--batch", "2", "--size", "48", "--window", "48", "--preset", "cpu"]


def refused(argv: list[str], capsys: pytest.CaptureFixture[str], *words: str) -> None:
    capsys.readouterr()
    assert run(argv) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    for word in words:
        assert word in error


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained on a folder whose slices lie along the last axis."""
    root = tmp_path_factory.mktemp("own")
    source = own.folder(root / "folder", scribbled=2, masked=1)
    for path in source.rglob("*.nii.gz"):
        stored: Any = nib.load(path)
        turned = np.asarray(stored.dataobj).transpose(2, 0, 1)  # the thick axis comes first in the file, last in d h w
        nib.save(nib.Nifti1Image(turned, stored.affine[:, [2, 0, 1, 3]]), path)
    assert run(["train", str(source), "--out", str(root / "run"), *SHORT, "pce"]) == 0
    return root


def test_a_folder_is_trained_on(trained: Path) -> None:
    written = json.loads((trained / "run" / "run.json").read_text())["corpus"]
    assert written["axis"] == 2
    assert (written["train"], written["val"]) == (["s0", "s1"], ["m0"])
    assert run(["evaluate", str(trained / "run"), "--split", "val"]) == 0
    assert run(["train", "--resume", str(trained / "run")]) == 0
    # Strokes that come later are another state of the folder; the run's own is kept.
    own.write(trained / "folder" / "images" / "later.nii.gz", np.random.default_rng(0).random((3, 40, 48)))
    assert run(["evaluate", str(trained / "run"), "--split", "val"]) == 0


def test_what_to_do_next_can_be_done(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No test patient of the folder has a mask, so a bare ``evaluate`` would be refused."""
    refused(["evaluate", str(trained / "run")], capsys, "'test' has a dense mask", "allowed: val; name it by --split")
    assert run(["train", "--resume", str(trained / "run")]) == 0
    told = shlex.split(capsys.readouterr().out.splitlines()[-1].split("'")[1])
    assert told == ["maskmixadv", "evaluate", str(trained / "run"), "--split", "val"]
    bare = own.folder(tmp_path / "bare", scribbled=2, masked=0)
    assert run(["train", str(bare), "--out", str(tmp_path / "run"), *SHORT, "pce"]) == 0
    assert f"'maskmixadv predict {tmp_path / 'run'} IMAGE --out DIR'" in capsys.readouterr().out
    points = ["annotate", "points", str(trained / "folder"), "--out", str(tmp_path / "points")]
    assert run(points) == 0  # of the one case with a mask, on which nobody trains
    refused(["train", str(tmp_path / "points"), "--out", str(tmp_path / "none"), "pce"], capsys, "--fold and --folds")


def test_predictions_go_back_onto_the_files_own_axes(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network sees slices along the trained axis, and its labels lie where what it saw lies."""
    raw = np.random.default_rng(0).integers(0, 900, (4, 40, 24)).astype(np.int16)  # d h w of the file
    raw[:, 0, 0] = 0
    affine = np.array([[0, -1.5, 0, 9], [-7, 0, 0.02, 8], [0, 0.03, 1.4, 7], [0, 0, 0, 1.0]])
    own.write(tmp_path / "in" / "a.nii.gz", raw, affine)
    image = SimpleITK.GetImageFromArray(raw)
    image.SetSpacing((7.0, 1.5, 1.4))
    SimpleITK.WriteImage(image, str(tmp_path / "in" / "b.nrrd"))
    seen: list[Any] = []

    def labels(_: Predictor, image: np.ndarray, spacing: Any, **__: Any) -> np.ndarray:
        seen.append((image.shape, spacing))
        return (image[0] > 0.5).astype(np.uint8)

    monkeypatch.setattr(Predictor, "labels", labels)
    assert run(["predict", str(trained / "run"), str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    wanted = (normalise(raw, where="", percentile=TOP, knee=KNEE) > 0.5).astype(np.uint8)
    written: Any = nib.load(tmp_path / "out" / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj).T, wanted)
    np.testing.assert_allclose(written.affine, affine, atol=1e-6)
    nrrd = SimpleITK.ReadImage(str(tmp_path / "out" / "b.nrrd"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(nrrd), wanted)
    assert nrrd.GetSpacing() == pytest.approx((7.0, 1.5, 1.4))
    assert [shape for shape, _ in seen] == [(1, 24, 4, 40)] * 2
    assert seen[1][1] == pytest.approx((7.0, 1.4, 1.5))


def test_pictures_are_segmented_as_pictures(tmp_path: Path) -> None:
    source = tmp_path / "src"
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        own.write(source / "images" / f"{name}.png", rng.integers(0, 255, (1, 50, 40)).astype(np.uint8))
        drawn = np.full((1, 50, 40), 2, np.uint8)
        drawn[0, 5], drawn[0, 20, 10:20] = 0, 1
        own.write(source / "scribbles" / f"{name}.png", drawn)
    assert run(["prepare", "folder", str(source), str(tmp_path / "c"), "--yes"]) == 0
    assert run(["train", str(tmp_path / "c"), "--out", str(tmp_path / "run"), *SHORT, "pce"]) == 0
    Image.fromarray(rng.integers(0, 255, (30, 47, 3)).astype(np.uint8)).save(source / "images" / "c.jpg")
    assert run(["predict", str(tmp_path / "run"), str(source / "images"), "--out", str(tmp_path / "out")]) == 0
    sizes = {path.name: Image.open(path).size for path in (tmp_path / "out").glob("*.png")}
    assert sizes == {"a.png": (40, 50), "b.png": (40, 50), "c.png": (47, 30)}


def test_prepare_folder_refuses(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = str(trained / "folder"), str(tmp_path / "c")
    (tmp_path / "empty").mkdir()
    refused(["prepare", "folder", str(tmp_path / "empty"), out], capsys, "no folder images/")
    refused(["prepare", "folder", source, out, "--axis", "3"], capsys, "--axis", "3")
    refused(["prepare", "folder", source, out, "--patient", "("], capsys, "--patient (")
    (trained / "folder" / "classes.toml").rename(tmp_path / "kept")
    refused(["prepare", "folder", source, out], capsys, "classes.toml: missing", "--yes")
    refused(["train", source, "--out", str(tmp_path / "run"), "pce"], capsys, "classes.toml: missing")
    (tmp_path / "kept").rename(trained / "folder" / "classes.toml")
    assert not Path(out).exists()


def test_a_person_at_the_terminal_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = own.folder(tmp_path / "src")
    (source / "classes.toml").unlink()
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    prepare = ["prepare", "folder", str(source), str(tmp_path / "c")]
    monkeypatch.setattr("builtins.input", lambda _: "")
    refused(prepare, capsys, "declined")
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert run(prepare) == 0
    assert "0 background, 1 class1, 2 class2, 3 class3; unlabelled 4" in capsys.readouterr().out


def test_predict_says_what_it_passes_over(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "in"
    raw = np.random.default_rng(0).integers(0, 900, (2, 40, 24)).astype(np.int16)
    own.write(images / "a.nii.gz", raw)
    (images / "sub").mkdir()
    for name in ("b.mnc", "notes.txt", "._a.nii.gz"):
        (images / name).touch()
    assert run(["predict", str(trained / "run"), str(images), "--out", str(tmp_path / "out")]) == 0
    assert "in: passed over, as no image of a known format: b.mnc, sub\n" in capsys.readouterr().err


def test_images_of_one_name_are_not_lost(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their labels have names of their own, but volumes go by the name without suffix."""
    raw = np.random.default_rng(0).integers(0, 900, (2, 40, 24)).astype(np.int16)
    for name in ("a.nii", "a.nii.gz"):
        own.write(tmp_path / "in" / name, raw)
    refused(
        ["predict", str(trained / "run"), str(tmp_path / "in"), "--out", str(tmp_path / "out")], capsys,
        "in/a.nii.gz: ", "in/a.nii has this name without suffix, too",
    )  # fmt: skip
    own.write(tmp_path / "other" / "A.nii.gz", raw)
    files = [str(tmp_path / name) for name in ("in/a.nii", "other/A.nii.gz")]
    refused(
        ["predict", str(trained / "run"), *files, "--out", str(tmp_path / "out")], capsys,
        "other/A.nii.gz: ", "in/a.nii has this name without suffix, too (but for upper and lower case)",
    )  # fmt: skip


def test_what_is_no_image_does_not_stop_the_others(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a shell's ``images/*`` names all that is there."""
    raw = np.random.default_rng(0).integers(0, 900, (2, 40, 24)).astype(np.int16)
    files = [own.write(tmp_path / "in" / "a.nii.gz", raw), tmp_path / "in" / "b.mnc", tmp_path / "in" / "notes.txt"]
    for file in files[1:]:
        file.touch()
    gone = tmp_path / "in" / "gone"
    for named, code, done in (
        (files, 2, "1 of 2"),
        ([files[0], files[2]], 0, "1 of 1"),
        ([files[0], gone], 2, "1 of 2"),
    ):
        argv = ["predict", str(trained / "run"), *map(str, named), "--out", str(tmp_path / "out")]
        assert run(argv) == code
        told = capsys.readouterr()
        assert f"{done} volumes segmented" in told.out
        lines = [line for line in told.err.splitlines() if "note:" not in line]
        assert len(lines) == len(named) - 1
        assert all(str(path) in told.err for path in named[1:])
    refused(["predict", str(trained / "run"), str(gone), "--out", str(tmp_path / "out")], capsys, "gone: no such file")
