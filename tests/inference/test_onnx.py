"""Exported models: the same labels as the run's own predictor, from a script that has never heard of torch."""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import onnxruntime
import pytest
import scipy
import torch
from PIL import Image
from torch import nn

import own
import tiny
from maskmixadv import methods
from maskmixadv.cli.app import run
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.formats.slicing import Slicing
from maskmixadv.inference.onnx import OnOwnGrid, _write_graph, grow, shrink
from maskmixadv.inference.predictor import Predictor, fuse_norms
from maskmixadv.networks.unet import WIDTHS
from maskmixadv.runs.checkpoint import save
from maskmixadv.runs.odds import Odds
from maskmixadv.runs.pieces import Piece, Pieces
from maskmixadv.runs.run import Run
from maskmixadv.sampling.grid import Grid, covering
from maskmixadv.sources.phantoms import phantom
from maskmixadv.training.begin import begin
from maskmixadv.types import Spacing

WITHOUT_TORCH = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "maskmixadv", "scipy", "skimage"):
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
ODDS = (1.02, 0.98, 1.04, 1.0)
POWER, USUAL = 0.25, (0.3, 0.36, 0.4)
VOLUMES: list[tuple[tuple[int, int, int], Spacing]] = [
    ((3, 61, 55), (8.0, 4.0, 4.0)),
    ((1, 33, 90), (8.0, 2.0, 1.5)),
    ((5, 20, 24), (8.0, 11.0, 9.0)),
]


def undecided(of: Run, image: torch.Tensor) -> nn.Module:
    """Make a network whose classes are about equally probable in `image`, so that its labels vary."""
    torch.manual_seed(30)  # every class has several pieces
    net: Any = of.method.players(of.task)["net"].eval()
    with torch.no_grad():
        for decoder in net.decoders:
            decoder.head.bias -= decoder(net.encode(image)).mean((0, 2, 3))
            decoder.head.weight *= 20
            decoder.head.bias *= 20
    return net


@pytest.fixture(scope="module", autouse=True)
def shallow() -> Iterator[None]:
    """Make networks of two levels: torch's exporter takes many seconds for five, which a slow test has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskmixadv.networks.unet.WIDTHS", WIDTHS[:2])
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Begin a run whose network has two decoders; give it one of many opinions, and odds; and export that."""
    root = tmp_path_factory.mktemp("export")
    corpus = phantom.prepare(root / "corpus", cases=6, size=64)
    begun = begin(corpus.root, root / "run", method=methods.MaskMixAdv(adv=0.0), schedule=tiny.SCHEDULE)
    case = corpus.load(corpus.entries[0])
    image = begun.grid.image(torch.from_numpy(case.image[0]), case.spacing)[:, None]
    save(begun.checkpoint, {"scored": undecided(begun, image).state_dict()})
    network = Predictor.load(begun.root, "cpu").network
    Odds(begun.task.classes, ODDS, POWER, USUAL, used=True, patients=3, cases=6).write(begun.root, network)
    Pieces().write(begun.root, network)
    assert run(["export", "model", str(root / "run"), str(root / "model")]) == 0
    return root


@pytest.fixture
def graph_is_made(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take `made`'s graph for that of the next export, whose network is the same: torch's exporter takes seconds."""
    graph = (made / "model" / "model.onnx").read_bytes()
    monkeypatch.setattr("maskmixadv.inference.onnx._write_graph", lambda _, __, path: path.write_bytes(graph) and None)


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path)


def test_export_writes_its_files(made: Path) -> None:
    assert sorted(path.name for path in (made / "model").iterdir()) == ["model.json", "model.onnx", "predict.py"]
    text = (made / "model" / "model.json").read_text()
    about = json.loads(text)
    trained = json.loads((made / "run" / "run.json").read_text())
    assert about["sha256"] == hashlib.sha256((made / "model" / "model.onnx").read_bytes()).hexdigest()
    assert about["checkpoint"] == hashlib.sha256((made / "run" / "last.pt").read_bytes()).hexdigest()
    assert about["classes"] == ["background", "RV", "Myo", "LV"]
    assert (about["grid"]["size"], about["grid"]["mm"]) == (48, trained["grid"]["mm"])
    assert about["training"]["commit"] == trained["commit"]
    assert about["training"]["corpus"]["train"] == len(trained["corpus"]["train"])
    assert about["training"]["method"]["name"] == "maskmixadv"
    assert "maskmixadv's phantoms" in about["terms"]
    assert "not a medical device" in about["terms"]
    for private in (str(made), "phantom000", "phantom001"):
        assert private not in text


def test_phantoms_have_the_predictors_labels(made: Path) -> None:
    graph, predictor = session(made / "model" / "model.onnx"), Predictor.load(made / "run", "cpu", odds=False)
    corpus = Corpus.open(made / "corpus")
    for case in corpus.load_all(corpus.entries):
        size = np.array(predictor.grid.resized(case.shape[1:], case.spacing))
        probs, labels = graph.run(["probs", "labels"], {"image": case.image[0], "size": size})
        expected = predictor.probs(case.image, case.spacing).numpy()
        assert labels.dtype == np.uint8
        assert np.abs(probs - expected).max() < 1e-3
        assert (labels == predictor.labels(case.image, case.spacing)).mean() >= 0.999
        assert len(np.unique(labels)) > 1


@pytest.mark.parametrize(("shape", "spacing"), VOLUMES)
def test_any_shape_and_number_of_slices(made: Path, shape: tuple[int, int, int], spacing: Spacing) -> None:
    graph, predictor = session(made / "model" / "model.onnx"), Predictor.load(made / "run", "cpu", odds=False)
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    size = np.array(predictor.grid.resized(shape[1:], spacing))
    (probs,) = graph.run(["probs"], {"image": image, "size": size})
    np.testing.assert_allclose(probs, predictor.probs(image[None], spacing).numpy(), atol=1e-3)


@pytest.mark.parametrize(("shape", "spacing"), [*VOLUMES, ((2, 47, 48), None)])
def test_the_matrices_resample_as_the_grid_does(shape: tuple[int, int, int], spacing: Spacing | None) -> None:
    grid = Grid(48, None if spacing is None else 3.0)
    small = grid.resized(shape[1:], spacing)
    canvas = covering(small, 16)
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    ways = list(zip(torch.tensor(small), map(torch.arange, canvas), map(torch.arange, shape[1:]), strict=True))
    rows, columns = (shrink(*way) for way in ways)
    torch.testing.assert_close(rows @ image @ columns.T, grid.image(image, spacing, canvas), atol=1e-5, rtol=1e-5)
    maps = torch.rand(shape[0], 3, *canvas, generator=torch.Generator().manual_seed(1))
    rows, columns = (grow(*way) for way in ways)
    torch.testing.assert_close(
        rows @ maps @ columns.T, grid.restore(maps, (shape[1], shape[2]), spacing), atol=1e-5, rtol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", methods.ALL)
def test_every_methods_network_can_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("maskmixadv.networks.unet.WIDTHS", WIDTHS)
    torch.manual_seed(0)
    predictor = Predictor(fuse_norms(methods.ALL[name]().players(tiny.TASK)["net"]), Grid(48), tiny.CLASSES)
    _write_graph(OnOwnGrid(predictor.net, 16), 1, tmp_path / "model.onnx")
    image = tiny.volume(h=50, w=40)[0]
    (probs,) = session(tmp_path / "model.onnx").run(
        ["probs"], {"image": image, "size": np.array(predictor.grid.resized((50, 40), None))}
    )
    np.testing.assert_allclose(probs, predictor.probs(image[None], None).numpy(), atol=1e-3)


# The script


def alone(folder: Path, *words: object, scipy: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the exported script in a process that can import neither torch nor maskmixadv, and SciPy only if wanted."""
    without = WITHOUT_TORCH.replace('"scipy", ', "") if scipy else WITHOUT_TORCH
    command = [sys.executable, "-c", without, str(folder / "predict.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def files(made: Path, folder: Path) -> list[Path]:
    """Write three phantoms as NIfTI, with intensities as scanners have them."""
    corpus = Corpus.open(made / "corpus")
    folder.mkdir(exist_ok=True)
    paths = []
    for case in corpus.load_all(corpus.entries[:3]):
        paths.append(folder / f"{case.name}.nii.gz")
        raw = np.round(900 * case.image[0].T ** 1.5 + 17).astype(np.int16)
        nib.save(nib.Nifti1Image(raw, case.affine), paths[-1])
    return paths


def test_the_script_segments_without_torch(made: Path, tmp_path: Path) -> None:
    paths = files(made, tmp_path)
    done = alone(made / "model", *paths, "--out", tmp_path / "alone")
    assert (done.returncode, done.stderr) == (0, "")
    assert run(["predict", str(made / "run"), *map(str, paths), "--out", str(tmp_path / "own")]) == 0
    for path in paths:
        one, other = (nib.load(tmp_path / folder / path.name) for folder in ("alone", "own"))
        assert one.get_data_dtype() == np.uint8  # pyright: ignore[reportAttributeAccessIssue]
        np.testing.assert_array_equal(one.affine, other.affine)  # pyright: ignore[reportAttributeAccessIssue]
        labels, expected = (np.asarray(each.dataobj) for each in (one, other))  # pyright: ignore
        assert labels.shape == expected.shape
        assert (labels == expected).mean() >= 0.999
        assert len(np.unique(labels)) > 1


def test_the_script_goes_on_past_bad_files(made: Path, tmp_path: Path) -> None:
    good = files(made, tmp_path)[0]
    bad = {"constant": np.ones((9, 9, 2)), "nan": np.full((9, 9, 2), np.nan), "four": np.ones((9, 9, 2, 2))}
    for name, array in bad.items():
        nib.save(nib.Nifti1Image(array.astype(np.float32), np.eye(4)), tmp_path / f"{name}.nii.gz")
    (tmp_path / "cut.nii.gz").write_bytes(good.read_bytes()[:90])
    raw = bytearray(gzip.decompress(good.read_bytes()))
    raw[108:112] = bytes(4)  # nibabel would take the header for voxels
    (tmp_path / "offset.nii").write_bytes(raw)
    names = [*(f"{name}.nii.gz" for name in bad), "cut.nii.gz", "gone.nii.gz", "offset.nii", "text.txt"]
    (tmp_path / "text.txt").write_text("no image")
    done = alone(made / "model", *(tmp_path / name for name in names), good, "--out", tmp_path / "out")
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (2, len(names))
    for line, name in zip(lines, names, strict=True):
        assert line.startswith(f"predict.py: {tmp_path / name}: ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".lock", ".maskmixadv.json", good.name]


@pytest.mark.usefixtures("graph_is_made")
def test_the_script_cuts_slices_along_the_models_axis(made: Path, tmp_path: Path) -> None:
    (path,) = files(made, tmp_path)[:1]
    stored: Any = nib.load(path)
    # The slices' axis comes first in the file, which makes it the last one of d h w.
    turned = np.asarray(stored.dataobj).transpose(2, 0, 1)
    nib.save(nib.Nifti1Image(turned, stored.affine[:, [2, 0, 1, 3]]), path)
    sagittal = shutil.copytree(made / "run", tmp_path / "run")
    record = json.loads((sagittal / "run.json").read_text())
    record["corpus"]["axis"] = 2
    (sagittal / "run.json").write_text(json.dumps(record))
    assert run(["export", "model", str(sagittal), str(tmp_path / "model")]) == 0
    assert json.loads((tmp_path / "model" / "model.json").read_text())["axis"] == 2
    assert alone(tmp_path / "model", path, "--out", tmp_path / "alone").stderr == ""
    assert run(["predict", str(sagittal), str(path), "--out", str(tmp_path / "own")]) == 0
    labels, expected = (np.asarray(nib.load(tmp_path / out / path.name).dataobj) for out in ("alone", "own"))  # pyright: ignore
    assert labels.shape == expected.shape == turned.shape
    assert (labels == expected).mean() >= 0.999
    assert len(np.unique(labels)) > 1


@pytest.mark.usefixtures("graph_is_made")
def test_the_script_keeps_in_one_piece_what_the_run_does(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,), one_piece = files(made, tmp_path)[:1], shutil.copytree(made / "run", tmp_path / "run")
    found = [Piece(names, kept=True, cases=9, outside=0.0, lost=0.0) for names in (("RV", "Myo", "LV"), ("LV",))]
    Pieces(tuple(found)).write(one_piece, Predictor.load(one_piece, "cpu").network)
    assert run(["export", "model", str(one_piece), str(tmp_path / "model")]) == 0
    assert "scipy is not there" in alone(tmp_path / "model", path, "--out", tmp_path / "none").stderr
    told = alone(tmp_path / "model", path, "--out", tmp_path / "alone", scipy=True).stderr
    capsys.readouterr()
    assert run(["predict", str(one_piece), str(path), "--out", str(tmp_path / "own")]) == 0
    own_told = capsys.readouterr().err.replace(str(tmp_path / "own"), f"predict.py: note: {tmp_path / 'alone'}")
    assert told == own_told.replace("; '--pieces all' keeps it", "")
    same_masks(tmp_path / "alone" / path.name, tmp_path / "own" / path.name)
    labels: Any = nib.load(tmp_path / "own" / path.name)
    assert number_of_pieces(labels) == 1
    assert run(["predict", str(one_piece), str(path), "--out", str(tmp_path / "all"), "--pieces", "all"]) == 0
    every: Any = nib.load(tmp_path / "all" / path.name)
    assert number_of_pieces(every) > 1


def number_of_pieces(labels: Any) -> int:
    """Return the number of connected pieces of the left ventricle."""
    return scipy.ndimage.label(np.asarray(labels.dataobj) == 3, np.ones((3, 3, 3)))[1]  # pyright: ignore


def same_masks(one: Path, other: Path) -> None:
    """See that two files of labels have the same voxels, bit for bit the same geometry, and several classes."""
    first, second = nib.load(one), nib.load(other)  # pyright: ignore
    np.testing.assert_array_equal(first.affine, second.affine)  # pyright: ignore[reportAttributeAccessIssue]
    labels, expected = (np.asarray(each.dataobj) for each in (first, second))  # pyright: ignore
    assert labels.shape == expected.shape
    assert (labels == expected).mean() >= 0.999
    assert len(np.unique(labels)) > 1


def test_program_and_script_read_headers_alike(made: Path, tmp_path: Path) -> None:
    """One phantom, stored in other ways: its mask is the same, wherever its voxels lie in the file."""
    (path,) = files(made, tmp_path / "in")[:1]
    stored: Any = nib.load(path)
    raw, affine = np.asarray(stored.dataobj), stored.affine
    turned = nib.Nifti1Image(raw.transpose(2, 0, 1), affine[:, [2, 0, 1, 3]])
    micron = nib.Nifti1Image(raw, np.diag([1000.0, 1000.0, 1000.0, 1.0]) @ affine)
    micron.header.set_xyzt_units("micron")
    marked = np.where(np.arange(raw.shape[0])[:, None, None] < 3, -32768, raw).astype(np.int16)
    least = np.where(marked == -32768, marked[3:].min(), marked).astype(np.int16)
    slices = {f"single{axis}": np.moveaxis(raw[:, :, 2:3], 2, axis) for axis in range(3)}
    for name, image in {
        "turned": turned,
        "micron": micron,
        "marked": nib.Nifti1Image(marked, affine),
        "least": nib.Nifti1Image(least, affine),
        **{name: nib.Nifti1Image(array, np.diag([4.0, 4.0, 4.0, 1.0])) for name, array in slices.items()},
        "flat": nib.Nifti1Image(raw[:, :, 2], np.diag([4.0, 4.0, 4.0, 1.0])),
    }.items():
        nib.save(image, tmp_path / "in" / f"{name}.nii.gz")
    others = [each for each in (tmp_path / "in").iterdir() if "phantom" not in each.name or each == path]
    assert run(["predict", str(made / "run"), *map(str, others), "--out", str(tmp_path / "own")]) == 0
    padding, line = sorted(alone(made / "model", *others, "--out", tmp_path / "alone").stderr.splitlines())
    assert line.startswith(f"predict.py: note: {tmp_path / 'in' / 'turned.nii.gz'}: slices are cut along array axis 2,")
    assert padding.startswith(f"predict.py: note: {tmp_path / 'in' / 'marked.nii.gz'}: ")
    assert "are -32768, far below all others: taken as padding" in padding
    for each in others:
        same_masks(tmp_path / "alone" / each.name, tmp_path / "own" / each.name)
    masks: dict[str, np.ndarray] = {
        each.name.split(".")[0]: np.asarray(nib.load(tmp_path / "own" / each.name).dataobj)  # pyright: ignore
        for each in others
    }
    plain = masks[path.name.split(".")[0]]
    np.testing.assert_array_equal(masks["turned"].transpose(1, 2, 0), plain)
    np.testing.assert_array_equal(masks["micron"], plain)
    np.testing.assert_array_equal(masks["marked"], masks["least"])
    for axis in range(3):
        np.testing.assert_array_equal(np.moveaxis(masks[f"single{axis}"], axis, 2)[..., 0], masks["flat"])


def test_a_huge_grid_is_refused_and_others_go_on(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = files(made, tmp_path / "in")[:2]
    stored: Any = nib.load(bad)
    nib.save(nib.Nifti1Image(np.asarray(stored.dataobj), np.diag([400.0, 400.0, 400.0, 1.0])), bad)
    assert run(["predict", str(made / "run"), str(bad), str(good), "--out", str(tmp_path / "own")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{bad}: pixels of 400 × 400 mm" in line
    assert (tmp_path / "own" / good.name).is_file()
    done = alone(made / "model", bad, good, "--out", tmp_path / "alone")
    assert "pixels of 400 x 400 mm" in done.stderr
    assert (tmp_path / "alone" / good.name).is_file()


def test_an_early_run_cuts_as_its_corpus_says_or_by_number(made: Path, tmp_path: Path) -> None:
    early = shutil.copytree(made / "run", tmp_path / "run")
    record = json.loads((early / "run.json").read_text())
    assert record["corpus"].pop("thickest") is True
    (early / "run.json").write_text(json.dumps(record))
    assert Run.open(early).learnt_from.slicing.thickest
    record["corpus"]["root"] = str(tmp_path / "gone")
    (early / "run.json").write_text(json.dumps(record))
    assert Run.open(early).learnt_from.slicing == Slicing(0)


def test_the_contract_says_what_training_saw(made: Path) -> None:
    about = json.loads((made / "model" / "model.json").read_text())
    assert (about["format"], about["axis"]) == (9, 0)
    assert about["flips"]["learnt"] is True
    assert about["odds"]["factors"] == list(ODDS)
    assert (about["odds"]["power"], about["odds"]["usual"]) == (POWER, list(USUAL))
    assert about["scaling"]["percentile"] == 99


def test_the_scripts_labels_carry_geometry_alone(made: Path, tmp_path: Path) -> None:
    path = files(made, tmp_path)[0]
    own.named(path)
    assert alone(made / "model", path, "--out", tmp_path / "out").stderr == ""
    own.same_place(path, tmp_path / "out" / path.name)
    assert own.PATIENT not in gzip.decompress((tmp_path / "out" / path.name).read_bytes())


@pytest.mark.slow
def test_the_scripts_labels_land_on_nothing_of_others(made: Path, tmp_path: Path) -> None:
    path, out = files(made, tmp_path / "in")[0], tmp_path / "out"
    image = path.read_bytes()
    (tmp_path / "link").symlink_to(path.parent)
    for place in (path.parent, tmp_path / "link"):
        done = alone(made / "model", path, "--out", place)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "which is an input" in done.stderr
    assert path.read_bytes() == image
    out.mkdir()
    (out / path.name).write_text("by hand")
    done = alone(made / "model", path, "--out", out)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is there already" in done.stderr
    (out / path.name).unlink()
    for _ in range(2):
        assert alone(made / "model", path, "--out", out).returncode == 0
    assert run(["predict", str(made / "run"), str(path), "--out", str(out)]) == 0, "both know what the other wrote"
    assert alone(made / "model", path, "--out", out).returncode == 0


def test_a_changed_model_is_refused(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made / "model", tmp_path / "model")
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"x")
    done = alone(folder, files(made, tmp_path)[0], "--out", tmp_path / "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is not the model of model.json" in done.stderr


# What can't be exported


def refused(argv: list[str], capsys: pytest.CaptureFixture[str], *words: str) -> None:
    capsys.readouterr()
    assert run(argv) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for word in words:
        assert word in error


def test_export_refuses(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(["export", "model", str(tmp_path), str(tmp_path / "out")], capsys, "not a run")
    refused(["export", "model", str(made / "run"), str(made / "model")], capsys, "already holds")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    words = ("ONNX needs onnxscript", "pip install 'maskmixadv[onnx]'")
    refused(["export", "model", str(made / "run"), str(tmp_path / "out")], capsys, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("graph_is_made")
def test_an_export_that_ran_out_of_space_can_be_repeated(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["export", "model", str(made / "run"), str(tmp_path / "out")]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("maskmixadv.inference.onnx.write_text", full)
        refused(argv, capsys, "can't be written (No space left on device)")
    assert list(tmp_path.iterdir()) == []
    assert run(argv) == 0
    assert len(list((tmp_path / "out").iterdir())) == 3


def exported(root: Path, images: Mapping[str, np.ndarray | nib.Nifti1Image], channels: str) -> Path:
    """Make a folder with a mask for each image, begin a run on it, give it many opinions, and export it."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    mask = np.zeros((24, 32), np.uint8)
    mask[6:14, 8:20] = 1
    for name, image in images.items():
        stem = name.split(".")[0].removesuffix("_0000").removesuffix("_0001")
        if isinstance(image, np.ndarray):
            Image.fromarray(image).save(root / "images" / name)
            Image.fromarray(mask).save(root / "masks" / f"{stem}.png")
        else:
            nib.save(image, root / "images" / name)
            labels = np.stack([mask.T] * image.shape[2], 2)
            nib.save(nib.Nifti1Image(labels, image.affine), root / "masks" / f"{stem}.nii.gz")
    (root / "classes.toml").write_text(f'[[class]]\nname = "background"\n[[class]]\nname = "core"\n{channels}')
    assert run(["prepare", "folder", str(root), str(root / "corpus"), "--validate", "1"]) == 0
    corpus = Corpus.open(root / "corpus")
    supervised = methods.Supervised()
    begun = begin(corpus.root, root / "run", method=supervised, schedule=tiny.SCHEDULE)
    case = corpus.load(corpus.entries[0])
    image = torch.stack([begun.grid.image(torch.from_numpy(part), case.spacing) for part in case.image], 1)
    save(begun.checkpoint, {"scored": undecided(begun, image).state_dict()})
    assert run(["export", "model", str(root / "run"), str(root / "model")]) == 0
    return root


def both_agree(root: Path, files: list[Path]) -> None:
    """The script and the command write the same files with the same labels, to a few voxels."""
    names = list(map(str, files))
    script = [sys.executable, "-c", WITHOUT_TORCH, str(root / "model" / "predict.py"), *names]
    done = subprocess.run([*script, "--out", str(root / "script")], capture_output=True, text=True, check=False)
    stacked = [path for path in files if path.name.startswith("four")]
    told = [f"predict.py: note: {path}: the last axis, of 2, is taken as channels" for path in stacked]
    assert (done.returncode, done.stderr.splitlines()) == (0, told)
    assert run(["predict", str(root / "run"), *names, "--out", str(root / "command")]) == 0
    by_command, by_script = ({p.name for p in (root / name).glob("[!.]*")} for name in ("command", "script"))
    assert by_script == by_command - {"clinical.csv"}
    for name in by_script:
        here, there = (labels_of(root / place / name) for place in ("script", "command"))
        assert here.shape == there.shape
        assert (here == there).mean() >= 0.999
        assert len(np.unique(here)) > 1


def labels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path) if path.suffix == ".png" else nib.load(path).dataobj)  # pyright: ignore


@pytest.mark.slow
def test_colours_are_exported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = {f"c{k}.png": rng.integers(0, 255, (24, 32, 3)).astype(np.uint8) for k in range(3)}
    root = exported(tmp_path / "mine", images, "")
    assert [each["kind"] for each in json.loads((root / "model" / "model.json").read_text())["channels"]] == ["RGB"] * 3
    Image.fromarray(images["c0.png"]).save(tmp_path / "d.jpg")
    both_agree(root, [*sorted((root / "images").iterdir()), tmp_path / "d.jpg"])


@pytest.mark.slow
def test_a_ct_and_a_mask_of_its_own_are_exported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    affine = np.diag([1.5, 1.5, 8.0, 1.0])
    images, files = {}, []
    for k in range(3):
        ct = rng.normal(40, 300, (32, 24, 3)).clip(-1000).astype(np.int16)
        prior = rng.random((32, 24, 3)).astype(np.float32)
        images |= {
            f"c{k}_0000.nii.gz": nib.Nifti1Image(ct, affine),
            f"c{k}_0001.nii.gz": nib.Nifti1Image(prior, affine),
        }
        nib.save(nib.Nifti1Image(np.stack((ct, prior), 3), affine), tmp_path / f"four{k}.nii.gz")
        files.append(tmp_path / f"four{k}.nii.gz")
    kinds = '[[channel]]\nname = "dose"\nkind = "CT"\n[[channel]]\nname = "prior"\nkind = "noNorm"\n'
    root = exported(tmp_path / "mine", images, kinds)
    dose, prior = json.loads((root / "model" / "model.json").read_text())["channels"]
    window = Run.open(root / "run").learnt_from.channels[0].window
    assert window is not None
    assert (dose["window"], prior) == (list(window), {"name": "prior", "kind": "noNorm"})
    both_agree(root, [*sorted((root / "images").iterdir()), *files])
    names = sorted(path.name for path in (root / "script").glob("*.nii.gz"))
    assert names == ["c0.nii.gz", "c1.nii.gz", "c2.nii.gz", "four0.nii.gz", "four1.nii.gz", "four2.nii.gz"]
    for k in range(3):
        same = [nib.load(root / "script" / f"{name}{k}.nii.gz").get_fdata() for name in ("c", "four")]  # pyright: ignore
        np.testing.assert_array_equal(*same)
