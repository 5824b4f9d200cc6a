"""Cases that once failed, each from its input to what the user sees: what a command says, its exit code, its files."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from PIL import Image

import own
import tiny
from holder import Hold
from maskmixadv.cli.app import run
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import DIVERGED
from maskmixadv.metrics.masks import surface
from maskmixadv.runs.run import Run
from maskmixadv.sources.phantoms import phantom
from maskmixadv.types import IGNORE
from quick import quick

pytestmark = pytest.mark.usefixtures("narrow", "unpictured", "undrawn")

SHORT = ["--preset", "cpu", "--size", "48", "--window", "32", "--batch", "2"]
Capture = pytest.CaptureFixture[str]


def command(*words: object) -> int:
    return run([str(word) for word in words])


def refused(capsys: Capture, *words: object) -> str:
    """The one line with which a command refuses."""
    capsys.readouterr()
    assert command(*words) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("maskmixadv: ")]
    return line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own.folder(tmp_path_factory.mktemp("own") / "folder", scribbled=4, masked=3)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    assert command("prepare", "folder", folder, root / "corpus") == 0
    assert command("train", root / "corpus", "--out", root / "run", *SHORT, "--steps", "4", "pce") == 0
    return root


def spoilt(trained: Path, place: Path) -> Path:
    """A copy of the run, whose weights are not finite."""
    shutil.copytree(trained / "run", place)
    state = torch.load(place / "last.pt", weights_only=True)
    next(iter(state["scored"].values())).fill_(float("nan"))
    torch.save(state, place / "last.pt")
    return place


# Trainings.


def test_10_a_training_that_diverged_is_no_success(
    trained: Path, folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = [*SHORT, "--steps", "40", "--optimiser", "sgd", "--lr", "1e20", "pce-dice"]
    assert command("train", trained / "corpus", "--out", tmp_path / "run", *words) == DIVERGED
    assert "is not finite at step" in capsys.readouterr().err
    bad = spoilt(trained, tmp_path / "spoilt")
    for rest in (
        ["evaluate", bad, "--split", "val"],
        ["predict", bad, folder / "images", "--out", tmp_path / "labels"],
        ["export", "model", bad, tmp_path / "model"],
    ):
        assert "not finite" in refused(capsys, *rest)
    assert not (tmp_path / "labels").exists()
    assert not (tmp_path / "model").exists()


def test_16_a_commit_of_another_repository_is_none(trained: Path) -> None:
    here = Path(__file__).resolve().parents[2]
    own_commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    ).stdout.strip()
    noted = Run.open(trained / "run").facts.commit
    assert noted is None or noted.removesuffix("-dirty") == own_commit


def test_21_two_resumes_of_one_run(trained: Path, tmp_path: Path, capsys: Capture, hold: Hold) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    with hold(tmp_path / "run") as holder:
        assert f"in use by process {holder.pid}" in refused(capsys, "train", "--resume", tmp_path / "run")


def test_23_a_corpus_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phantom.prepare(tmp_path / "ph", cases=5, size=64)
    monkeypatch.chdir(tmp_path)
    assert command("train", "ph", "--out", "r", *SHORT, "--steps", "1", "pce") == 0
    monkeypatch.chdir("/")
    assert command("evaluate", tmp_path / "r") == 0


# Files.


def test_11_a_link_behind_a_hidden_name_leads_nowhere(tmp_path: Path) -> None:
    from maskmixadv.studio.session import Session

    root, victim = tmp_path / "folder", tmp_path / "victim"
    victim.write_text("precious")
    own.write(root / "images" / "a.nii.gz", np.arange(3 * 64 * 64, dtype=np.int16).reshape(3, 64, 64))
    (root / "scribbles").mkdir()
    for name in ("scribbles/.partial-a.nii.gz", "studio.json.partial", ".studio.json.partial"):
        (root / name).symlink_to(victim)
    Session(root).draw("a", 1, bytes([1]) * 4096, 5.0)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "..", "a/b", "\0x", "x" * 300])
def test_12_names_of_cases_are_no_paths(name: str, tmp_path: Path, capsys: Capture) -> None:
    tiny.corpus(tmp_path / "c")
    index = tmp_path / "c" / "corpus.json"
    raw = json.loads(index.read_text())
    raw["cases"][0]["name"] = name
    index.write_text(json.dumps(raw))
    before = sorted(tmp_path.rglob("*"))
    for words in (["export", "nnunet", tmp_path / "c", tmp_path / "o"], ["annotate", "scribbles", tmp_path / "c"]):
        out = ["--out", tmp_path / "o"] if words[0] == "annotate" else []
        assert "corpus.json" in refused(capsys, *words, *out)
    assert sorted(tmp_path.rglob("*")) == before


def test_18_cells_are_no_formulas(folder: Path, trained: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    names = ["=cmd|' C calc'!A0", "-1+1", "@SUM(A1)", "+x", "plain"]
    for name in names:
        shutil.copy(folder / "images" / "s0.nii.gz", images / f"{name}.nii.gz")
    assert command("predict", trained / "run", images, "--out", tmp_path / "labels") == 0
    with (tmp_path / "labels" / "clinical.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@") and not cell.lstrip("+-")[:1].isdigit()]
    assert {f"'{name}" for name in names[:4]} <= set(cells)


def test_19_json_nested_deeply_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    for number, text in enumerate(("[" * 100_000, '{"a":' * 100_000, "1" * 100_000)):
        root = tmp_path / str(number)
        root.mkdir()
        (root / "corpus.json").write_text(text)
        assert "not readable JSON" in refused(capsys, "check", root)


def test_20_a_file_that_kills_its_reader_kills_no_more(trained: Path, tmp_path: Path) -> None:
    """Other files go on, and a good one of the same format is read by a new process."""
    import SimpleITK as sitk  # noqa: N813

    from maskmixadv.formats import image_files

    sitk.WriteImage(sitk.GetImageFromArray(tiny.volume()[0]), str(tmp_path / "good.mha"))
    text = b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementNumberOfChannels = 99999999\n"
    (tmp_path / "bad.mha").write_bytes(text + b"ElementType = MET_UCHAR\nElementDataFile = LOCAL\n" + bytes(64))
    words = ["predict", trained / "run", tmp_path / "bad.mha", tmp_path / "good.mha", "--out", tmp_path / "labels"]
    assert command(*words) == 2
    assert image_files.read(tmp_path / "labels" / "good.mha").array.shape == tiny.volume()[0].shape


def test_25_a_bad_file_costs_no_other(folder: Path, trained: Path, tmp_path: Path, capsys: Capture) -> None:
    raw = bytearray(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)).to_bytes())
    images = tmp_path / "images"
    images.mkdir()
    for name, code in (("bits", 1), ("float128", 1536), ("unknown", 9999)):
        raw[70:72] = code.to_bytes(2, "little")
        (images / f"{name}.nii").write_bytes(raw)
    (images / "empty.png").write_bytes(b"")
    (images / "cut.tif").write_bytes(b"II*\0\x08\0\0\0\xff\xff")
    shutil.copy(folder / "images" / "s0.nii.gz", images / "zgood.nii.gz")
    assert command("predict", trained / "run", images, "--out", tmp_path / "labels") == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("maskmixadv: ")]
    assert len(said) == 5
    assert (tmp_path / "labels" / "zgood.nii.gz").is_file()


# The studio.


@pytest.mark.slow
def test_13_the_second_studio_is_told_of_the_first(tmp_path: Path) -> None:
    own.write(tmp_path / "folder" / "images" / "a.nii.gz", np.arange(3 * 64 * 64, dtype=np.int16).reshape(3, 64, 64))
    words = [sys.executable, "-m", "maskmixadv", "studio", str(tmp_path / "folder")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline().startswith("http://")
            second = subprocess.run(words, capture_output=True, text=True, check=False)
            assert second.returncode == 2
            assert f"in use by process {first.pid}" in second.stderr
        finally:
            first.kill()
    again = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert again.stdout is not None
        assert again.stdout.readline().startswith("http://")
    finally:
        again.kill()
        again.communicate()


def test_14_a_damaged_image_is_a_line_in_the_list(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "folder", ignore=shutil.ignore_patterns(".corpus"))
    raw = bytearray(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)).to_bytes())
    raw[40:44] = b"\xff\x7f\xff\x7f"
    (tmp_path / "folder" / "images" / "bad.nii").write_bytes(raw)
    words = [sys.executable, "-m", "maskmixadv", "studio", str(tmp_path / "folder")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address, token = server.stdout.readline().strip().split("/#")
            told = httpx.get(f"{address}/api/folder", headers={"X-Token": token}, timeout=60)
            assert told.status_code == 200
            assert any("bad.nii" in problem for problem in told.json()["problems"])
            image = httpx.get(f"{address}/api/cases/s0/slices/1/image", headers={"X-Token": token}, timeout=60)
            assert image.status_code == 200
        finally:
            server.kill()


# What one stage assumed.


def test_02_labels_never_replace_images(folder: Path, trained: Path, tmp_path: Path, capsys: Capture) -> None:
    shutil.copytree(folder / "images", tmp_path / "images")
    before = {path.name: path.read_bytes() for path in (tmp_path / "images").iterdir()}
    (tmp_path / "link").symlink_to(tmp_path / "images")
    for out in (tmp_path / "images", tmp_path / "link"):
        refused(capsys, "predict", trained / "run", tmp_path / "images", "--out", out)
    assert {path.name: path.read_bytes() for path in (tmp_path / "images").iterdir()} == before


@pytest.mark.parametrize("dots", quick([False, True], "False"), ids=["strokes", "dots"])
def test_03_strokes_on_large_images_are_learnt_from(dots: bool, tmp_path: Path, capsys: Capture) -> None:
    root, n = tmp_path / "large", 1000
    for part in ("images", "scribbles"):
        (root / part).mkdir(parents=True)
    (root / "classes.toml").write_text('[[class]]\nname = "a"\n[[class]]\nname = "b"\n[[class]]\nname = "c"\n')
    strokes = np.full((n, n), 3, np.uint8)
    if dots:
        strokes[477, 475], strokes[750, 750], strokes[50, 50] = 1, 2, 0
    else:
        strokes[477:479, 400:550], strokes[750:752, 750:754], strokes[50:52, 50:900] = 1, 2, 0
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (n, n)).astype(np.uint8)).save(root / "images" / "a.png")
    Image.fromarray(strokes).save(root / "scribbles" / "a.png")
    assert command("train", root, "--out", tmp_path / "run", *SHORT, "--steps", "1", "pce") == 0
    assert "learnt from" in capsys.readouterr().err
    opened = Run.open(tmp_path / "run")
    case = Corpus.open(opened.learnt_from.root).load(Corpus.open(opened.learnt_from.root).entries[0])
    from maskmixadv.training.data import training_slices

    targets = training_slices(opened, Corpus.open(opened.learnt_from.root), torch.device("cpu")).target
    assert {0, 1, 2} <= set(targets.unique().tolist())
    assert case.scribble is not None


@pytest.mark.slow
def test_04_an_exported_model_cuts_the_run_s_slices(tmp_path: Path) -> None:
    root = own.folder(tmp_path / "sagittal", scribbled=4, masked=0)
    for path in root.glob("*/*.nii.gz"):
        image = nib.load(path)
        turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(("S", "A", "L")))  # pyright: ignore
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine).as_reoriented(turn), path)  # pyright: ignore
    assert command("train", root, "--out", tmp_path / "run", *SHORT, "--steps", "4", "pce") == 0
    assert command("export", "model", tmp_path / "run", tmp_path / "model") == 0
    image = root / "images" / "s0.nii.gz"
    assert command("predict", tmp_path / "run", image, "--out", tmp_path / "own") == 0
    subprocess.run(
        [sys.executable, str(tmp_path / "model" / "predict.py"), str(image), "--out", str(tmp_path / "theirs")],
        check=True,
    )
    one, other = (np.asarray(nib.load(tmp_path / place / "s0.nii.gz").dataobj) for place in ("own", "theirs"))  # pyright: ignore
    assert json.loads((tmp_path / "model" / "model.json").read_text())["axis"] != 0
    assert (one == other).mean() > 0.999


def test_06_a_slice_s_surface_is_its_contour() -> None:
    y, x = np.mgrid[:100, :100]
    one, other = (np.hypot(y - 50, x - middle)[None] < 20 for middle in (50, 56))
    found = surface(one, other, (1.0, 1.0, 1.0))
    assert found.hd95 == pytest.approx(6.0)
    assert found.assd == pytest.approx(3.59, abs=0.05)


def test_09_a_wide_field_of_view_keeps_its_strokes(tmp_path: Path) -> None:
    root = own.folder(tmp_path / "mixed", scribbled=4, masked=0)
    image, scribble, _ = tiny.volume(9)
    wide = [np.pad(array, ((0, 0), (0, 160), (0, 160)), constant_values=fill) for array, fill in
            (((image * 1000).astype(np.int16), 0), (own.coded(scribble), 4))]  # fmt: skip
    own.write(root / "images" / "wide.nii.gz", wide[0])
    own.write(root / "scribbles" / "wide.nii.gz", wide[1])
    assert command("train", root, "--out", tmp_path / "run", *SHORT, "--steps", "1", "pce") == 0
    opened = Run.open(tmp_path / "run")
    from maskmixadv.training.data import training_slices

    targets = training_slices(opened, Corpus.open(opened.learnt_from.root), torch.device("cpu")).target
    assert len(targets) == 5 * 3
    assert all({0, 1, 2, 3} <= set(target.unique().tolist()) for target in targets)


def test_12_a_class_that_is_never_found_scores_badly() -> None:
    """Cases without it say nothing of it."""
    _, _, dense = tiny.volume()
    from maskmixadv.metrics import scores

    cases = [tiny.case(f"p{k}", dense=np.where(dense == 3, 0, dense) if k else dense) for k in range(6)]
    never = np.where(dense == 3, 0, dense)
    rows = [row for case in cases for row in scores.rows(case, never, classes=tiny.CLASSES, nominal=(1.0, 1.0, 1.0))]
    summary = scores.summarise(rows, {})
    assert summary.classes["LV"].dice.mean == 0
    assert summary.mean.dice.mean == pytest.approx((1 / 1) * (5 * 1.0 + 2 / 3) / 6)


def test_19_what_is_not_learnt_from_is_said(tmp_path: Path, capsys: Capture) -> None:
    cases = [tiny.case(f"p{k}", k, scribble=None) if k < 3 else tiny.case(f"p{k}", k) for k in range(7)]
    tiny.corpus(tmp_path / "corpus", cases)
    train = ["train", tmp_path / "corpus", *SHORT, "--steps", "1"]
    assert command(*train, "--out", tmp_path / "strokes", "--masks", "none", "pce") == 0
    said = capsys.readouterr().err
    assert "not learnt from" in said
    assert "p0, p1, p2" in said
    assert command(*train, "--out", tmp_path / "run", "pce") == 0  # masks of patients without strokes teach
    said = capsys.readouterr().err
    assert "of them dense" in said
    assert "p0, p1, p2" not in said


def test_20_slices_without_strokes_are_no_problem(tmp_path: Path) -> None:
    sparse = []
    for number in range(6):
        each = tiny.case(f"p{number}", number)
        assert each.scribble is not None
        scribble = each.scribble.copy()
        scribble[1:] = IGNORE
        sparse.append(tiny.case(f"p{number}", number, scribble=scribble))
    tiny.corpus(tmp_path / "corpus", sparse)
    assert command("check", tmp_path / "corpus") == 0


def test_28_nnunet_s_first_class_is_background(tmp_path: Path, capsys: Capture) -> None:
    for name, first, second in (("german", "Hintergrund", "RV"), ("clash", "background", "ignore")):
        root = own.folder(tmp_path / name)
        text = (root / "classes.toml").read_text().replace("background", first).replace('"RV"', f'"{second}"')
        (root / "classes.toml").write_text(text)
    assert command("export", "nnunet", tmp_path / "german", tmp_path / "Dataset001_german") == 0
    labels = json.loads((tmp_path / "Dataset001_german" / "dataset.json").read_text())["labels"]
    assert labels["background"] == 0
    assert "ignore" in refused(capsys, "export", "nnunet", tmp_path / "clash", tmp_path / "Dataset002_clash")


def test_flips_are_those_that_training_saw(folder: Path, trained: Path, tmp_path: Path, capsys: Capture) -> None:
    """Preset cpu turns nothing: mirrored images are none that this network ever saw."""
    words = ["predict", trained / "run", folder / "images" / "s0.nii.gz", "--out"]
    assert command(*words, tmp_path / "plain") == 0
    capsys.readouterr()
    assert command(*words, tmp_path / "flipped", "--flips") == 0
    assert "flips" in capsys.readouterr().err
    one, other = (np.asarray(nib.load(tmp_path / place / "s0.nii.gz").dataobj) for place in ("plain", "flipped"))  # pyright: ignore
    assert (one == other).all()


def test_an_evaluation_elsewhere_has_its_own_place(trained: Path, tmp_path: Path) -> None:
    from maskmixadv.evaluation.evaluate import evaluate

    evaluate(trained / "run", split="val")
    own_scores = trained / "run" / "evaluation-val" / "scores.csv"
    before = own_scores.read_bytes()
    tiny.corpus(tmp_path / "corpus", name="another")
    evaluate(trained / "run", corpus_root=tmp_path / "corpus")
    assert own_scores.read_bytes() == before
    assert len(list((trained / "run").glob("evaluation-*"))) == 2


def test_headers_keep_nobody_s_name(folder: Path, trained: Path, tmp_path: Path) -> None:
    image = nib.load(folder / "images" / "s0.nii.gz")
    header: Any = image.header.copy()
    header["descrip"], header["db_name"] = b"Doe^Jane", b"Doe^Jane"
    header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Doe^Jane"))  # pyright: ignore
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, header), tmp_path / "a.nii")  # pyright: ignore
    assert command("predict", trained / "run", tmp_path / "a.nii", "--out", tmp_path / "labels") == 0
    assert b"Doe" not in (tmp_path / "labels" / "a.nii").read_bytes()
