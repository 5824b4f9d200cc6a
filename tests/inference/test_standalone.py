"""The script of an exported model: for every file the mask of 'maskmixadv predict', or a line that refuses it.

Its graph is run as the module that is exported, as torch's exporter takes seconds. `test_onnx` runs the script as users
do.
"""

import ast
import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import runpy
import shutil
import signal
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import packed_tiff
import tiny
from maskmixadv import methods
from maskmixadv.cli.app import run
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import INTERRUPTED, InputError
from maskmixadv.files import held, sha256, sweep
from maskmixadv.formats import image_files
from maskmixadv.inference import onnx, outputs, segment, standalone, standalone_outputs
from maskmixadv.inference.predictor import Predictor
from maskmixadv.processes import using
from maskmixadv.runs.checkpoint import save
from maskmixadv.runs.run import Run
from maskmixadv.training.begin import begin

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")

SHAPE = (20, 24, 4)
AFFINE = np.array([[-4.0, 0, 0, 100], [0, -4.0, 0, 100], [0, 0, 9.0, -30], [0, 0, 0, 1]])
CLASSES = '[[class]]\nname = "background"\n[[class]]\nname = "core"\n'


class Session:
    """Takes the place of onnxruntime's: runs the module that is exported, of the run that `model.onnx` names."""

    def __init__(self, graph: bytes) -> None:
        predictor = Predictor.load(graph.decode(), "cpu", odds=False)
        self.module = onnx.OnOwnGrid(predictor.net, predictor.multiple).eval()

    def run(self, _: list[str], given: dict[str, np.ndarray]) -> list[np.ndarray]:
        with torch.inference_mode():
            image = torch.from_numpy(np.ascontiguousarray(given["image"], np.float32))
            return [each.numpy() for each in self.module(image, torch.from_numpy(given["size"]))]


def voxels(seed: int = 0) -> np.ndarray:
    """Intensities along x, y, z that vary along each axis."""
    return (np.random.default_rng(seed).random(SHAPE) * 900 + np.arange(SHAPE[0])[:, None, None] * 40).astype(np.int16)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (20, 24)).astype(np.uint8)


def coloured(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (20, 24, 3)).astype(np.uint8)


def exported(root: Path, write: Callable[[Path, int], None], suffix: str, channels: str = "") -> Path:
    """Begin a run on images that `write` makes, give its network many opinions, and lay a model beside it."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    mask = np.zeros(SHAPE, np.uint8)
    mask[6:14, 8:20] = 1
    for number in range(3):
        write(root / "images", number)
        path = root / "masks" / f"m{number}{suffix}"
        if suffix == ".png":
            Image.fromarray(mask[..., 0]).save(path)
        else:
            nib.save(nib.Nifti1Image(mask, AFFINE), path)
    (root / "classes.toml").write_text(CLASSES + channels)
    assert run(["prepare", "folder", str(root), str(root / "corpus"), "--validate", "1"]) == 0
    corpus = Corpus.open(root / "corpus")
    begun = begin(corpus.root, root / "run", method=methods.Supervised(), schedule=tiny.SCHEDULE)
    case = corpus.load(corpus.entries[0])
    image = torch.stack([begun.grid.image(torch.from_numpy(part), case.spacing) for part in case.image], 1)
    torch.manual_seed(0)
    net: Any = begun.method.players(begun.task)["net"].eval()
    with torch.no_grad():
        for decoder in net.decoders:
            decoder.head.bias -= decoder(net.encode(image)).mean((0, 2, 3))
            decoder.head.weight *= 20
            decoder.head.bias *= 20
    save(begun.checkpoint, {"scored": net.state_dict()})
    (root / "model").mkdir()
    graph = str(root / "run").encode()
    (root / "model" / "model.onnx").write_bytes(graph)
    hashes = hashlib.sha256(graph).hexdigest(), sha256(begun.checkpoint)
    told = onnx.about(Run.open(root / "run"), Predictor.load(root / "run", "cpu"), *hashes)
    (root / "model" / "model.json").write_text(json.dumps(told))
    return root


def scans(folder: Path, number: int) -> None:
    nib.save(nib.Nifti1Image(voxels(number), AFFINE), folder / f"m{number}.nii.gz")


def pairs(folder: Path, number: int) -> None:
    for channel in range(2):
        image = nib.Nifti1Image(voxels(7 * channel + number), AFFINE)
        nib.save(image, folder / f"m{number}_{channel:04d}.nii.gz")


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("volumes"), scans, ".nii.gz")


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    two = '[[channel]]\nname = "T1"\n[[channel]]\nname = "T2"\n'
    return exported(tmp_path_factory.mktemp("channels"), pairs, ".nii.gz", two)


@pytest.fixture(scope="module")
def greys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    write = lambda folder, number: Image.fromarray(picture(number)).save(folder / f"m{number}.png")  # noqa: E731
    return exported(tmp_path_factory.mktemp("greys"), write, ".png")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    write = lambda folder, number: Image.fromarray(coloured(number)).save(folder / f"m{number}.png")  # noqa: E731
    return exported(tmp_path_factory.mktemp("colours"), write, ".png")


@pytest.fixture(autouse=True)
def _without_the_exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(standalone.onnxruntime, "InferenceSession", Session)
    with warnings.catch_warnings():
        yield


Script = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def notes() -> list[str]:
    """Return what the script has told of files that it segments."""
    return []


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], notes: list[str]) -> Script:
    """Run the script of an exported model; returns the exit code and the lines on stderr that are no `notes`."""

    def called(root: Path, files: list[Path], out: Path) -> tuple[int, list[str]]:
        monkeypatch.setattr(standalone, "HERE", root / "model")
        monkeypatch.setattr("sys.argv", ["predict.py", *map(str, files), "--out", str(out)])
        capsys.readouterr()
        code = standalone.main()
        lines = capsys.readouterr().err.splitlines()
        notes.extend(line for line in lines if line.startswith("predict.py: note: "))
        return code, [line for line in lines if line not in notes]

    return called


def masks(folder: Path) -> dict[str, np.ndarray]:
    """Return what labels a folder holds, by their files' names."""
    found = {}
    for path in folder.glob("[!.]*"):
        if path.name.lower().endswith((".nii", ".nii.gz")):
            image: Any = nib.load(path)
            found[path.name] = np.asarray(image.dataobj)
        elif path.suffix in (".png", ".tif", ".tiff"):
            found[path.name] = np.asarray(Image.open(path))
    return found


def predicted(root: Path, files: list[Path], out: Path) -> tuple[int, list[str]]:
    """Run 'maskmixadv predict'; returns the exit code and its lines on stderr that name one of the files."""
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        code = run(["predict", str(root / "run"), *map(str, files), "--out", str(out)])
    return code, [line for line in errors.getvalue().splitlines() if any(str(path) in line for path in files)]


def as_told(lines: list[str], path: Path) -> list[str]:
    """Return what lines tell of a file, without the words before it, in which both differ."""
    told = [line.partition(f"{path}: ")[2].replace("its header or the studio", "its header") for line in lines]
    return sorted(filter(None, told))


def same_or_refused(
    root: Path, folder: Path, script: Script, notes: list[str], tmp_path: Path, *, alike: set[str]
) -> dict[str, str]:
    """See that each file in a folder has one mask by both, or is refused by the script; return the lines by name.

    Both tell the same of a file that has a mask. Files of `alike` must have one.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix != ".json")
    _, told = predicted(root, files, tmp_path / "own")
    code, lines = script(root, files, tmp_path / "alone")
    own, alone = masks(tmp_path / "own"), masks(tmp_path / "alone")
    refused = {Path(line.split(": ")[1]).name: line for line in lines}
    assert code == (2 if refused else 0)
    assert len(refused) == len(lines), "a line a file"
    assert alike <= set(alone), {name: refused.get(name) for name in alike - set(alone)}
    assert {image_files.labels_name(path) for path in files if path.name not in refused} == set(alone)
    drawn = [path for path in files if path.name not in refused]
    assert {path.name: as_told(notes, path) for path in drawn} == {path.name: as_told(told, path) for path in drawn}
    for name, labels in alone.items():
        assert name in own, f"{name}: refused by 'maskmixadv predict'"
        assert labels.shape == own[name].shape, name
        assert (labels == own[name]).mean() >= 0.999, name
        assert name not in alike or len(np.unique(labels)) > 1, name
    record = json.loads((tmp_path / "alone" / standalone_outputs.RECORD).read_text())["written"]
    assert set(record) == set(alone), "no file that was not written is taken for one that was"
    return refused


def test_the_script_is_one_file_without_the_package() -> None:
    text = onnx._script()
    compile(text, "predict.py", "exec")
    assert not re.search(r"^\s*(from|import) maskmixadv", text, re.MULTILINE)
    names = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert {"load_nifti", "check_tiff", "grouped", "must_be_free", "main"} <= names
    assert text.startswith('"""Segment NIfTI volumes')


# NIfTI


def turn(axis: int, degrees: float) -> np.ndarray:
    """A rotation about one of the patient's axes."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix, (a, b) = np.eye(3), [(1, 2), (0, 2), (0, 1)][axis]
    matrix[a, a] = matrix[b, b] = c
    matrix[a, b], matrix[b, a] = -s, s
    return matrix


def affine_of(*steps: np.ndarray) -> np.ndarray:
    made = AFFINE.copy()
    made[:3, :3] = np.linalg.multi_dot([*steps, AFFINE[:3, :3]])
    return made


def headers() -> dict[str, Any]:
    """Images of odd headers, by name."""
    base = nib.Nifti1Image(voxels(), AFFINE)

    def changed(form: np.ndarray | None = None, **fields: Any) -> Any:
        image = nib.Nifti1Image(voxels(), AFFINE if form is None else form)
        image.set_qform(AFFINE if form is None else form, 1)
        for name, value in fields.items():
            image.header[name] = value
        return nib.Nifti1Image(voxels(), None, image.header)

    def sform(rows: Any, **fields: Any) -> Any:
        return changed(sform_code=2, srow_x=rows[0], srow_y=rows[1], srow_z=rows[2], **fields)

    sheared = np.array([[0, 0, 9.0, 0], [-4, 2, 0, 0], [0, 4, 0, 0]])
    none, nothing = np.full((3, 4), np.nan), np.zeros((3, 4))
    rng = np.random.default_rng(0)
    ways = [(45, 0, 0), (0, 45, 0), (0, 0, 45), (45, 45, 0), (45, 35.264, 45), (54.7356, 0, 45), (30, 40, 10)]
    ways += [tuple(rng.uniform(0, 360, 3)) for _ in range(8)]
    obliques = {
        f"oblique{n}": changed(affine_of(*(turn(*each) for each in enumerate(way)))) for n, way in enumerate(ways)
    }
    return {
        **obliques,
        "plain": base,
        "two": nib.Nifti2Image(voxels(), AFFINE),
        "sheared": sform(sheared, qform_code=0),
        "sheared_and_qform": sform(sheared),
        "no_sform": sform(none),
        "empty_sform": sform(nothing),
        "empty_sform_alone": sform(nothing, qform_code=0),
        "bad_qform": sform(AFFINE[:3], quatern_b=3.0),
        "resized": sform(np.diag([2.0, 2.0, 5.0, 1.0])[:3]),
        "elsewhere": sform(np.array([[0, 0, 9.0, 0], [-4, 0, 0, 0], [0, 4, 0, 0]])),
        "no_form": changed(sform_code=0, qform_code=0),
        "unit5": changed(xyzt_units=5),
        "metre": changed(np.diag([1e-3, 1e-3, 1e-3, 1]) @ AFFINE, xyzt_units=1),
        "size_nan": changed(pixdim=[1, np.nan, 4, 9, 1, 1, 1, 1]),
        "size_nan_without_sform": changed(sform_code=0, pixdim=[1, np.nan, 4, 9, 1, 1, 1, 1]),
        "huge": changed(np.diag([900.0, 900, 900, 1])),
        "needle": changed(np.diag([1e-4, 1.5, 8, 1])),
        "scaled": changed(scl_slope=2.5, scl_inter=-100),
        "inter_nan": changed(scl_slope=2.5, scl_inter=np.nan),
        "four": nib.Nifti1Image(voxels()[..., None], AFFINE),
        "several": nib.Nifti1Image(np.stack([voxels()] * 2, 3), AFFINE),
        "complex": nib.Nifti1Image(voxels().astype(np.complex64), AFFINE),
        "float": nib.Nifti1Image(voxels().astype(np.float64) * 1e300, AFFINE),
        "padded": nib.Nifti1Image(np.where(np.arange(SHAPE[0])[:, None, None] < 3, -32768, voxels()), AFFINE),
        "single": nib.Nifti1Image(voxels()[:, 7:8], AFFINE),
        "row": nib.Nifti1Image(voxels()[:, 7:8, 2:3], AFFINE),
        "flat": nib.Nifti1Image(voxels()[:, :, 1], AFFINE),
        "colours": nib.Nifti1Image(np.zeros(SHAPE, [(each, "u1") for each in "RGB"]), AFFINE),
    }


def test_headers_are_read_as_the_program_does(volumes: Path, script: Script, notes: list[str], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, image in headers().items():
        nib.save(image, tmp_path / "in" / f"{name}.nii.gz")
    raw = gzip.decompress((tmp_path / "in" / "no_form.nii.gz").read_bytes())
    for name, place, value in [
        ("dim0", 40, b"\x09\x00"), ("datatype", 70, b"\x33\x33"), ("dims", 42, b"\xff\x7f"), ("start", 108, bytes(4)),
        ("far", 108, struct.pack("<f", 1e9)), ("negative", 42, b"\xff\xff"), ("pair", 344, b"ni1\0"),
        ("magic", 344, b"\0"), ("width", 80, bytes(4)), ("slope", 112, struct.pack("<f", np.inf)),
        ("code", 254, b"\x09\0"), ("bitpix", 72, b"\x20\0"),
    ]:  # fmt: skip
        (tmp_path / "in" / f"{name}.nii").write_bytes(raw[:place] + value + raw[place + len(value) :])
    fine = {f"{name}.nii.gz" for name in headers() if name.startswith("oblique")}
    fine |= {f"{name}.nii.gz" for name in ("plain", "two", "sheared_and_qform", "no_sform", "empty_sform", "bad_qform")}
    fine |= {
        f"{name}.nii.gz" for name in ("resized", "elsewhere", "no_form", "metre", "scaled", "single", "flat", "four")
    }
    refused = same_or_refused(volumes, tmp_path / "in", script, notes, tmp_path, alike=fine)
    names = {"sheared", "empty_sform_alone", "unit5", "size_nan_without_sform", "huge", "needle", "complex", "colours"}
    raws = {f"{name}.nii" for name in ("dim0", "datatype", "width", "slope", "code", "bitpix")}
    assert {f"{name}.nii.gz" for name in names} | raws <= set(refused)


def test_damaged_files_are_refused_and_others_go_on(
    volumes: Path, script: Script, notes: list[str], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    nib.save(nib.Nifti1Image(voxels(), AFFINE), tmp_path / "in" / "good.nii.gz")
    packed = (tmp_path / "in" / "good.nii.gz").read_bytes()
    raw = gzip.decompress(packed)
    stored = bytearray(gzip.compress(raw, 0))
    stored[500:560] = b"\xff" * 60  # what is unpacked is wrong, which its checksum alone says
    for name, content in {
        "checksum.nii.gz": stored,
        "cut.nii.gz": packed[:-9],
        "garbage.nii.gz": packed[:300] + b"\xff" * 60 + packed[360:],
        "short.nii": raw[:-10],
        "behind.nii": raw + bytes(10),
        "behind2.nii.gz": gzip.compress(raw + bytes(10)),
        "more.nii.gz": gzip.compress(raw + bytes(2**21)),
        "trailing.nii.gz": packed + b"garbage",
        "packed.nii": packed,
        "UPPER.NII.GZ": packed,
        "unpacked.nii.gz": raw,
        "empty.nii": b"",
        "text.nii": b"hello" * 200,
    }.items():
        (tmp_path / "in" / name).write_bytes(content)
    fine = {"good.nii.gz", "UPPER.NII.GZ", "packed.nii", "unpacked.nii.gz", "behind.nii", "behind2.nii.gz"}
    refused = same_or_refused(volumes, tmp_path / "in", script, notes, tmp_path, alike=fine)
    assert {"checksum.nii.gz", "cut.nii.gz", "garbage.nii.gz", "short.nii", "more.nii.gz"} <= set(refused)


def test_an_interrupted_call_forgets_what_it_has_not_written(
    volumes: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    scans(tmp_path, 0)
    with monkeypatch.context() as patch:
        patch.setattr(standalone, "segment", interrupted)
        with pytest.raises(KeyboardInterrupt):
            script(volumes, [tmp_path / "m0.nii.gz"], tmp_path / "out")
    (tmp_path / "out" / "m0.nii.gz").write_text("mine")
    code, lines = script(volumes, [tmp_path / "m0.nii.gz"], tmp_path / "out")
    assert code == 2
    assert "is there already" in lines[0]


def test_an_interrupted_script_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("argparse.ArgumentParser.parse_args", interrupted)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(standalone.__file__), run_name="__main__")
    assert ended.value.code == INTERRUPTED
    told = "predict.py: interrupted; the same command, given again, goes on or begins anew\n"
    assert capsys.readouterr().err == told


def test_a_script_that_is_interrupted_while_it_imports_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It showed a traceback, or told to install a package whose import was interrupted."""

    class Interrupted:
        def __init__(self, *, wrapped: bool) -> None:
            self.wrapped = wrapped

        def find_spec(self, name: str, *_: object) -> None:
            if name != "onnxruntime":
                return
            if self.wrapped:
                raise ImportError("initialization failed") from KeyboardInterrupt()
            raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    for wrapped in (False, True):
        monkeypatch.setattr("sys.meta_path", [Interrupted(wrapped=wrapped), *sys.meta_path[-3:]])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(standalone.__file__), run_name="__main__")
        assert ended.value.code == INTERRUPTED
        assert capsys.readouterr().err == "predict.py: interrupted\n"


# Channels


def written(folder: Path, *names: str) -> list[Path]:
    """Write a volume under each name."""
    paths = [folder / name for name in names]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(voxels(number), AFFINE), path)
    return paths


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (("x_0000.nii.gz", "x_0002.nii.gz"), "x_0001 is missing"),
        (("x_0001.nii.gz", "x_0002.nii.gz"), "x_0000 is missing"),
        (("a/heart.nii.gz", "b/heart.nii.gz"), "has this name"),
        (("heart.nii", "heart.nii.gz"), "has this name"),
        (("a/x_0000.nii.gz", "b/x_0000.nii.gz"), "has this name"),
        (("x_0000.nii.gz", "x_0001.nii"), "allowed is one"),
        (("a/x_0000.nii.gz", "b/x_0001.nii.gz"), "allowed is one"),
        (("x_0000.nii.gz", "x_0001.nii.gz", "x.nii.gz"), "is image 'x', too"),
    ],
)
def test_files_are_taken_for_channels_by_their_numbers_alone(
    channels: Path, script: Script, tmp_path: Path, names: tuple[str, ...], word: str
) -> None:
    code, lines = script(channels, written(tmp_path, *names), tmp_path / "out")
    assert (code, len(lines)) == (2, 1)
    assert word in lines[0]
    assert not (tmp_path / "out").exists()


def test_two_files_of_one_name_are_refused(volumes: Path, script: Script, tmp_path: Path) -> None:
    code, lines = script(volumes, written(tmp_path, "a/heart.nii.gz", "b/heart.nii"), tmp_path / "out")
    assert (code, len(lines)) == (2, 1)
    assert f"{tmp_path / 'b' / 'heart.nii'}: another image has this name" in lines[0]


def test_channels_have_the_programs_masks(channels: Path, script: Script, notes: list[str], tmp_path: Path) -> None:
    files = written(tmp_path / "in", *(f"{name}_000{number}.nii.gz" for name in ("x", "é", "far") for number in (1, 0)))
    nib.save(nib.Nifti1Image(voxels(), AFFINE + np.eye(4)[:, [3, 0, 1, 2]] * 50), files[-1])
    four = nib.Nifti1Image(np.stack([voxels(), voxels(1)], 3), AFFINE)
    files += [tmp_path / "in" / name for name in ("four.nii.gz", "alone_0000.nii.gz")]
    for path in files[-2:]:
        nib.save(four, path)
    four.header.set_xyzt_units("mm", "sec")  # as the Decathlon has it
    nib.save(four, tmp_path / "in" / "task.nii.gz")
    files.append(tmp_path / "in" / "task.nii.gz")
    (tmp_path / "dataset.json").write_text('{"modality": {"0": "T2", "1": "ADC"}}')
    damaged, padded = voxels(), np.where(voxels() < 300, -9999, voxels())
    shifted = AFFINE + np.outer([1, 0, 0, 0], [0, 0, 0, 1])
    for name, array, place in (("x_0001", padded, shifted), ("é_0000", damaged, AFFINE)):
        header = nib.Nifti1Image(array, place)
        header.set_qform(place, 1)
        header.header["quatern_b"] = 3
        nib.save(nib.Nifti1Image(array, None, header.header), tmp_path / "in" / f"{name}.nii.gz")
    own_code, told = predicted(channels, files, tmp_path / "own")
    code, lines = script(channels, files, tmp_path / "out")
    assert (own_code, code, len(lines)) == (2, 2, 1)
    assert "far_0000.nii.gz" in lines[0]
    assert {path.name: as_told(notes, path) for path in files} == {
        path.name: as_told(told, path) if "far" not in path.name else [] for path in files
    }
    assert "qform is damaged, and not used" in as_told(told, tmp_path / "in" / "x_0001.nii.gz")
    assert ["channel 'T2': " in line for line in notes if "padding" in line] == [True]
    assert sum("of a voxel; it is taken" in line for line in notes) == 1
    own, alone = masks(tmp_path / "own"), masks(tmp_path / "out")
    assert set(own) == set(alone) == {"x.nii.gz", "é.nii.gz", "four.nii.gz", "alone_0000.nii.gz", "task.nii.gz"}
    for name in own:
        assert (own[name] == alone[name]).mean() >= 0.999


def test_colours_are_no_channels(channels: Path, script: Script, tmp_path: Path) -> None:
    Image.fromarray(coloured()).save(tmp_path / "a.png")
    code, lines = script(channels, [tmp_path / "a.png"], tmp_path / "out")
    assert (code, len(lines)) == (2, 1)
    assert "has red, green and blue" in lines[0]


# Pictures


def png(array: np.ndarray, kind: int, rows: int | None = None) -> bytes:
    """A PNG of 16 bits, of the kind of colours that PNG numbers so; it holds the first `rows` alone."""
    h, w = array.shape[:2]
    packed = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array[:rows])
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", w, h, 16, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(packed)),
        (b"IEND", b""),
    )
    made = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def pictures(folder: Path) -> None:
    """Write one picture in many ways."""
    folder.mkdir()
    grey, rgb = picture(), coloured()
    deep = grey.astype(np.uint16) * 200
    drawn, mixed = Image.fromarray(grey), Image.fromarray(rgb)
    drawn.save(folder / "l8.png")
    Image.fromarray(deep).save(folder / "l16.png")
    mixed.save(folder / "rgb.png")
    Image.fromarray(np.stack([grey] * 3, 2)).save(folder / "same.png")
    mixed.save(folder / "rgbj.jpg", quality=95)
    drawn.save(folder / "lj.jpeg")
    mixed.quantize(64).save(folder / "palette.png")
    content = (folder / "palette.png").read_bytes()
    at = content.index(b"PLTE")
    head = struct.pack(">I", 9) + content[at : at + 13]
    few = head + struct.pack(">I", zlib.crc32(head[4:]))
    (folder / "few.png").write_bytes(content[: at - 4] + few + content[content.index(b"IDAT") - 4 :])
    Image.fromarray(grey > 100).save(folder / "bit.png")
    drawn.convert("LA").save(folder / "la.png")
    mixed.convert("RGBA").save(folder / "rgba.png")
    mixed.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    turned = Image.Exif()
    turned[0x0112] = 6
    mixed.save(folder / "turned.jpg", exif=turned, quality=95)
    mixed.save(folder / "turned8.png", exif=turned)
    (folder / "rgb16.png").write_bytes(png(rgb.astype(np.uint16) * 257, 2))
    (folder / "la16.png").write_bytes(png(np.dstack([deep, np.full_like(deep, 30000)]), 4))
    drawn.save(folder / "gif.png", format="GIF")
    drawn.save(folder / "png.tif", format="PNG")
    drawn.save(folder / "jpeg.png", format="JPEG")
    drawn.save(folder / "moving.png", save_all=True, append_images=[Image.fromarray(255 - grey)])
    (folder / "closed.jpg").write_bytes((folder / "rgbj.jpg").read_bytes()[:-300] + b"\xff\xd9")
    (folder / "cut.png").write_bytes((folder / "l8.png").read_bytes()[:200])
    (folder / "half.png").write_bytes(png(deep, 0, rows=10))
    drawn.crop((0, 0, 24, 1)).save(folder / "row.png")
    drawn.crop((0, 0, 1, 20)).save(folder / "column.png")
    big = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
    start = png(deep, 0)
    (folder / "bomb.png").write_bytes(start[:16] + big + struct.pack(">I", zlib.crc32(b"IHDR" + big)) + start[33:])
    tiffs(folder, grey, rgb)


def tiffs(folder: Path, grey: np.ndarray, rgb: np.ndarray) -> None:
    """Write one picture as many kinds of TIFF."""
    deep = grey.astype(np.uint16) * 200

    def tiff(name: str, array: np.ndarray, **how: Any) -> None:
        how = {"photometric": "rgb" if array.shape[-1] == 3 or array.shape[0] == 3 else "minisblack"} | how
        tifffile.imwrite(folder / f"{name}.tif", array, **how)

    tiff("t8", grey)
    tiff("t16", deep)
    tiff("big", deep, byteorder=">")
    tiff("bigtiff", deep, bigtiff=True)
    tiff("ti16", deep.astype(np.int16) - 9000)
    tiff("tf32", grey.astype(np.float32) / 7)
    tiff("packed", deep, compression="zlib", predictor=True)
    tiff("packed2", grey, compression="zlib")
    tiff("strips", deep, rowsperstrip=7, compression="zlib")
    tiff("rows", grey, rowsperstrip=7)
    tiff("tiled", grey, tile=(16, 16))
    tiff("tf64", grey.astype(np.float64))
    tiff("tf16", grey.astype(np.float16))
    tiff("tu32", grey.astype(np.uint32) * 16_000_000)
    tiff("ti32", grey.astype(np.int32))
    tiff("w8", grey, photometric="miniswhite")
    tiff("w16", deep, photometric="miniswhite")
    tiff("rgb", rgb)
    tiff("rgb16", rgb.astype(np.uint16) * 257)
    tiff("planar", np.moveaxis(rgb, -1, 0), planarconfig="separate")
    tiff("alpha", np.dstack([rgb, grey]), photometric="rgb", extrasamples=["assocalpha"])
    tiff("stack", np.stack([grey] * 4))
    tiff("one", grey[None])
    tiff("imagej", grey, imagej=True, resolution=(1 / 4, 1 / 1.5), metadata={"unit": "mm"})
    tiff("ijstack", np.stack([grey] * 4), imagej=True)
    sizes = {f"PhysicalSize{axis}{end}": value for axis in "XY" for end, value in (("", 3.5), ("Unit", "mm"))}
    tiff("ome.ome", grey, metadata={"axes": "YX", **sizes})
    tiff("swapped", grey, metadata={"axes": "XY"})
    tiff("text", grey, description="a scan", metadata=None)
    tiff("bare", grey, metadata=None)
    for orientation in range(1, 9):
        tiff(f"or{orientation}", deep, extratags=[(274, "H", 1, orientation, True)])
    for name, told in (("json", {"spacing": [9, 4, 1.5]}), ("json_0000", {"spacing": [9, 4, 1.5]}), ("own", {"a": 1})):
        tiff(name, grey)
        (folder / f"{name.removesuffix('_0000')}.json").write_text(json.dumps(told))
    tiff("gel", deep, extratags=[(33445, "I", 1, 2, True), (33446, "2I", 1, (1, 100), True)])
    Image.fromarray(grey).save(folder / "pil.tif")
    Image.fromarray(deep).save(folder / "pil16.tif")
    Image.fromarray(rgb).save(folder / "pilrgb.tif")
    Image.fromarray(grey).save(folder / "lzw.tiff", compression="tiff_lzw")
    for name, array in (("z8", grey), ("z16", deep), ("zi16", deep.astype(np.int16)), ("zf32", grey / np.float32(7))):
        for order in "<>":
            tag = "b" if order == ">" else ""
            packed_tiff.write(folder / f"{name}{tag}.tif", array, photometric="minisblack", byteorder=order)
    Image.fromarray(rgb).save(folder / "lossy.tif", compression="jpeg")
    for mode in ("CMYK", "YCbCr", "LAB", "P"):
        Image.fromarray(rgb).convert(mode).save(folder / f"mode{mode}.tif")
    Image.fromarray(grey > 100).save(folder / "bit.tif")
    (folder / "cut.tif").write_bytes((folder / "t8.tif").read_bytes()[:500])
    tiff("short", grey)
    (folder / "short.tif").write_bytes((folder / "short.tif").read_bytes()[:-40])
    with tifffile.TiffFile(folder / "packed2.tif") as file:
        page: Any = file.pages[0]
        last = page.dataoffsets[0] + page.databytecounts[0] - 1
    content = bytearray((folder / "packed2.tif").read_bytes())
    content[last] ^= 1
    (folder / "checksum.tif").write_bytes(content)
    tiff("overlap", grey, rowsperstrip=10)
    content = (folder / "overlap.tif").read_bytes()
    rows = struct.pack("<HHII", 278, 4, 1, 10)
    assert rows in content
    (folder / "overlap.tif").write_bytes(content.replace(rows, struct.pack("<HHII", 278, 4, 1, 7)))


GREYS = {"l8.png", "l16.png", "lj.png", "bit_.png", "la.png", "t8.tif", "t16.tif", "big.tif", "ti16.tif", "tf32.tif"}
GREYS |= {
    "packed.tif",
    "packed2.tif",
    "strips.tif",
    "rows.tif",
    "bare.tif",
    "pil.tif",
    "pil16.tif",
    "lzw.tiff",
    "or1.tif",
}
MIXED = {"rgb_.png", "rgbj.png", "palette.png", "rgba.png", "cmyk.png", "turned.png", "rgb.tif", "pilrgb.tif"}


def apart(folder: Path) -> None:
    """Give files that share a name but for the suffix names of their own."""
    for path in sorted(folder.glob("*.tif")):
        for other in folder.glob(f"{path.stem}.*"):
            if other.suffix in (".png", ".jpg"):
                other.rename(folder / f"{path.stem}_{other.suffix}")


def test_pictures_have_the_programs_masks_or_are_refused(
    greys: Path, script: Script, notes: list[str], tmp_path: Path
) -> None:
    pictures(tmp_path / "in")
    apart(tmp_path / "in")
    hollow = Path(__file__).parents[1] / "hostile" / "files" / "height-missing.tif"
    shutil.copy(hollow, tmp_path / "in" / "hollow.tif")
    refused = same_or_refused(greys, tmp_path / "in", script, notes, tmp_path, alike=GREYS | MIXED | {"same.png"})
    assert refused["hollow.tif"].endswith("hollow.tif: can't be segmented (KeyError: 257)"), "it is said what is wrong"
    wrong = {"rgb16.tif", "w16.tif", "tu32.tif", "json.tif", "json_0000.tif", "imagej.tif", "ome.ome.tif", "gif.png"}
    wrong |= {"png.tif", "moving.png", "stack.tif", "ijstack.tif", "swapped.tif", "gel.tif", "bomb.png", "half.png"}
    wrong |= {"checksum.tif", "overlap.tif", "short.tif", "closed.jpg", "few.png"}
    wrong |= {"la16.png", "rgb16_.png", *(f"or{number}.tif" for number in range(5, 9))}
    assert wrong <= set(refused)
    assert all("maskmixadv predict" in refused[name] for name in ("w16.tif", "imagej.tif", "json.tif", "png.tif"))


def test_pictures_in_colour_have_the_programs_masks_or_are_refused(
    colours: Path, script: Script, notes: list[str], tmp_path: Path
) -> None:
    pictures(tmp_path / "in")
    apart(tmp_path / "in")
    refused = same_or_refused(colours, tmp_path / "in", script, notes, tmp_path, alike=MIXED | {"same.png"})
    assert {"l8.png", "t8.tif", "rgb16.tif"} <= set(refused)


# What is told, and names


def test_what_is_odd_about_a_file_is_told_as_the_program_tells_it(
    greys: Path, volumes: Path, script: Script, notes: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    drawn, mixed = Image.fromarray(picture()), Image.fromarray(coloured())
    drawn.save(tmp_path / "in" / "a.png", dpi=(100, 200))
    drawn.save(tmp_path / "in" / "b.jpg", dpi=(200, 100))
    drawn.save(tmp_path / "in" / "c.tif", resolution_unit=2, x_resolution=100, y_resolution=200)
    drawn.save(tmp_path / "in" / "c2.tif", resolution_unit=3, x_resolution=5000, y_resolution=5000)
    drawn.save(tmp_path / "in" / "c3.png", dpi=(5000, 5000))
    drawn.save(tmp_path / "in" / "c4.jpg", dpi=(5000, 2500))
    mixed.quantize(64).save(tmp_path / "in" / "d.png")
    drawn.convert("LA").save(tmp_path / "in" / "e.png")
    drawn.save(tmp_path / "in" / "f.png", dpi=(100, 100))
    nib.save(nib.Nifti1Image(voxels(), AFFINE), tmp_path / "g.nii")
    raw = (tmp_path / "g.nii").read_bytes()
    raw = raw[:112] + struct.pack("<ff", 0, -1024) + raw[120:]
    (tmp_path / "g.nii.gz").write_bytes(gzip.compress(raw + bytes(4800)))
    nib.save(nib.Nifti1Image(voxels().swapaxes(1, 2), np.diag([4.0, 9, 4, 1])), tmp_path / "h.nii.gz")
    nib.save(nib.Nifti1Image(voxels()[:, :, :1].swapaxes(1, 2), np.diag([4.0, 9, 4, 1])), tmp_path / "i.nii.gz")
    nib.save(nib.Nifti1Image(voxels() % 200 + 1e9, AFFINE, dtype=np.float64), tmp_path / "j.nii.gz")
    scanned = [tmp_path / f"{name}.nii.gz" for name in "ghij"]
    for root, files in ((greys, sorted((tmp_path / "in").iterdir())), (volumes, scanned)):
        notes.clear()
        assert script(root, files, tmp_path / root.name) == (0, [])
        capsys.readouterr()
        assert run(["predict", str(root / "run"), *map(str, files), "--out", str(tmp_path / f"{root.name}-own")]) == 0
        told = [line for line in capsys.readouterr().err.splitlines() if str(tmp_path) in line]
        own = [line.removeprefix("maskmixadv: note: ") for line in told if "largest piece" not in line]
        own = [line.replace("its header or the studio says", "its header says") for line in own]
        assert [line.removeprefix("predict.py: note: ") for line in notes] == own
        assert notes


def test_names_that_differ_in_case_alone_are_refused(volumes: Path, script: Script, tmp_path: Path) -> None:
    for folder, name in (("one", "Heart.nii.gz"), ("two", "heart.nii.gz")):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(voxels(), AFFINE), tmp_path / folder / name)
    files = [tmp_path / "one" / "Heart.nii.gz", tmp_path / "two" / "heart.nii.gz"]
    code, lines = script(volumes, files, tmp_path / "out")
    assert (code, len(lines)) == (2, 1)
    assert "(but for upper and lower case), by which labels go; segment them apart" in lines[0]


def test_labels_of_another_network_are_not_mixed(
    volumes: Path, script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        scans(tmp_path, number)
    files = [str(tmp_path / f"m{number}.nii.gz") for number in range(2)]
    other, out = another_network(tmp_path / "other", volumes / "run"), tmp_path / "out"
    assert run(["predict", str(volumes / "run"), files[0], "--out", str(out)]) == 0
    assert script(volumes, [tmp_path / "m1.nii.gz"], tmp_path / "out") == (0, [])  # which keeps what is noted there
    kept = (out / "clinical.csv").read_text()
    assert run(["predict", str(other), files[1], "--out", str(out)]) == 2
    assert "out: holds m0.nii.gz of another network than this run's, and results" in capsys.readouterr().err
    assert (out / "clinical.csv").read_text() == kept
    assert run(["predict", str(other), *files, "--out", str(out)]) == 0, "all is made anew"
    assert run(["predict", str(volumes / "run"), *files, "--out", str(out)]) == 0
    assert run(["predict", str(volumes / "run"), files[1], "--out", str(out)]) == 0
    assert len((out / "clinical.csv").read_text().splitlines()) == 3


def another_network(root: Path, of: Path) -> Path:
    """Copy a run, but for the weights of its network."""
    shutil.copytree(of, root)
    state = torch.load(root / "last.pt", weights_only=True)
    next(value for value in state["scored"].values() if value.is_floating_point()).mul_(1.5)
    save(root / "last.pt", state)
    return root


def test_labels_whose_names_begin_alike_are_told_apart(
    volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = written(tmp_path, "p.1.nii.gz", "p.2.nii.gz")
    other, out = another_network(tmp_path / "other", volumes / "run"), tmp_path / "out"
    assert run(["predict", str(volumes / "run"), str(one), str(two), "--out", str(out)]) == 0
    assert run(["predict", str(other), str(one), "--out", str(out)]) == 2
    assert "out: holds p.2.nii.gz of another network than this run's, and results" in capsys.readouterr().err


@pytest.mark.parametrize("others", [False, True])
def test_labels_of_an_image_that_fails_now_do_not_stay(
    volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], others: bool
) -> None:
    good, bad = written(tmp_path, "a.nii.gz", "b.nii.gz")
    out = tmp_path / "out"
    anew = another_network(tmp_path / "other", volumes / "run") if others else volumes / "run"
    assert run(["predict", str(volumes / "run"), str(good), str(bad), "--out", str(out)]) == 0
    bad.write_bytes(bad.read_bytes()[:-9])
    capsys.readouterr()
    assert run(["predict", str(anew), str(good), str(bad), "--out", str(out)]) == 2
    (line,) = [each for each in capsys.readouterr().err.splitlines() if str(bad) in each]
    assert line.endswith("; b.nii.gz of an earlier call is deleted") is not others
    assert set(masks(out)) == {"a.nii.gz"}
    assert [row.split(",")[1] for row in (out / "clinical.csv").read_text().splitlines()] == ["case", "a"]
    good.write_bytes(b"")
    assert run(["predict", str(anew), str(good), "--out", str(out)]) == 2
    assert [path.name for path in out.glob("[!.]*")] == [], "nothing is left of it"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_volumes_of_what_was_segmented_are_there_after_an_interruption(
    volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def interrupted(*given: Any) -> Any:
        if given[1].name == "b":
            signal.raise_signal(number)
        return one(*given)

    files = [str(path) for path in written(tmp_path, "a.nii.gz", "b.nii.gz")]
    one = segment._one
    monkeypatch.setattr(segment, "_one", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where a shell runs tests behind
    try:
        assert run(["predict", str(volumes / "run"), *files, "--out", str(tmp_path / "out")]) == INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)
    rows = (tmp_path / "out" / "clinical.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["case", "a"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_labels_without_volumes_are_told(
    volumes: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that is killed leaves labels without a line in ``clinical.csv``; nothing ever said so."""

    def killed(*given: Any) -> Any:
        if given[1].name == "b":
            raise SystemExit
        return one(*given)

    files = [str(path) for path in written(tmp_path, "a.nii.gz", "b.nii.gz", "c.nii.gz", "d.nii.gz")]
    one, out = segment._one, tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(segment, "_one", killed)
        patch.setattr(segment, "_write_volumes", lambda *_: set())
        with pytest.raises(SystemExit):
            run(["predict", str(volumes / "run"), *files[:2], "--out", str(out)])
    assert script(volumes, [tmp_path / "c.nii.gz"], out) == (0, [])
    capsys.readouterr()
    with using(out):
        assert run(["predict", str(volumes / "run"), files[3], "--out", str(out)]) == 0
    assert not capsys.readouterr().err, "another process still adds labels, and its lines"
    told = "without a.nii.gz, c.nii.gz, which a call that was killed or an exported model wrote"
    for given, line in (files[3:], f"{out / 'clinical.csv'}: {told}; predict these images again\n"), (files, ""):
        assert run(["predict", str(volumes / "run"), *given, "--out", str(out)]) == 0
        assert capsys.readouterr().err == line


def test_names_that_are_no_utf_8_are_refused_and_the_others_go_on(
    volumes: Path, script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their labels were written, with a record that could not be read: nothing more could be added to the folder."""
    (good,) = written(tmp_path / "in", "a.nii.gz")
    bad = Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/\xfcb.nii.gz"))
    try:
        shutil.copy(good, bad)
    except OSError:
        pytest.skip("this file system takes no such names")
    told = f"{str(bad)!r}: its name is no UTF-8, as that of its labels must be; rename it"
    assert run(["predict", str(volumes / "run"), str(good.parent), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"maskmixadv: {told}\n"
    assert [path.name for path in (tmp_path / "out").glob("[!.]*.nii.gz")] == ["a.nii.gz"]
    assert script(volumes, [good, bad], tmp_path / "out") == (2, [f"predict.py: {told}"])
    assert script(volumes, [bad], tmp_path / "out") == (2, [f"predict.py: {told}"])
    assert run(["predict", str(volumes / "run"), str(good), "--out", str(tmp_path / "out")]) == 0


def test_labels_with_other_options_are_not_mixed(
    volumes: Path, script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, out = written(tmp_path, "a.nii.gz", "b.nii.gz"), tmp_path / "out"
    command = ["predict", str(volumes / "run"), "--out", str(out)]
    assert run([*command, str(files[0])]) == 0
    assert run([*command, str(files[1]), "--largest"]) == 2
    assert "out: holds a.nii.gz made with flips off, largest piece alone of none, " in capsys.readouterr().err
    assert run([*command, str(files[1]), "--pieces", "all"]) == 0, "it amounts to the same"
    assert run([*command, *map(str, files), "--largest"]) == 0, "all is made anew"
    code, lines = script(volumes, files[:1], out)
    assert (code, len(lines)) == (2, 1)
    assert "out: holds b.nii.gz made with flips off, largest piece alone of core, " in lines[0]
    assert script(volumes, files, out) == (0, [])
    assert not (out / "clinical.csv").exists(), "it had volumes of the others"


def test_the_script_does_not_mix_networks(volumes: Path, script: Script, tmp_path: Path) -> None:
    files, out = written(tmp_path, "a.nii.gz", "b.nii.gz"), tmp_path / "out"
    other = another_network(tmp_path / "other", volumes / "run")
    assert run(["predict", str(other), *map(str, files), "--out", str(out)]) == 0
    code, lines = script(volumes, files[:1], out)
    assert (code, len(lines)) == (2, 1)
    assert "out: holds b.nii.gz of another network, and results would be mixed" in lines[0]
    assert script(volumes, files[:1], tmp_path / "new") == (0, [])
    assert run(["predict", str(other), str(files[1]), "--out", str(tmp_path / "new")]) == 2, "the record says it"


def test_the_script_deletes_labels_of_an_image_that_fails_now(volumes: Path, script: Script, tmp_path: Path) -> None:
    good, bad = written(tmp_path, "a.nii.gz", "b.nii.gz")
    assert script(volumes, [good, bad], tmp_path / "out") == (0, [])
    bad.write_bytes(bad.read_bytes()[:-9])
    code, lines = script(volumes, [good, bad], tmp_path / "out")
    assert (code, len(lines)) == (2, 1)
    assert lines[0].endswith("; b.nii.gz of an earlier call is deleted")
    assert set(masks(tmp_path / "out")) == {"a.nii.gz"}


def test_scripts_that_write_into_one_folder_lose_nothing_of_its_record(tmp_path: Path) -> None:
    """Each reads the record and writes it again: without a lock the entries of one are lost."""
    named = [standalone_outputs.Named((tmp_path / f"{name}.nii",), f"{name}.nii") for name in "abcdefgh"]
    out, made, barrier = tmp_path / "out", {"network": "9f3c", "how": "flips off"}, threading.Barrier(len(named))
    out.mkdir()

    def called(image: standalone_outputs.Named) -> None:
        barrier.wait()
        standalone_outputs.note(out, [image], made, done=False)

    threads = [threading.Thread(target=called, args=(image,)) for image in named]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(standalone_outputs.written(out)) == {image.labels for image in named}


def test_the_script_and_the_program_see_each_other_at_work(tmp_path: Path) -> None:
    image, alone = standalone_outputs.Named((tmp_path / "a.nii",), "a.nii"), tmp_path / "out"
    mine, other = {"network": "9f3c", "how": "flips off"}, {"network": "51d0", "how": "flips off"}
    told = "another process adds labels of another network, and results would be mixed"
    for at_work in (standalone_outputs.begun(alone, [], mine), outputs.made_alike(alone, outputs.Made(**mine), [])):
        with at_work, pytest.raises(ValueError, match=told), standalone_outputs.begun(alone, [image], other):
            pass
    both = standalone_outputs.begun(alone, [], mine), standalone_outputs.begun(alone, [image], mine)
    with both[0], both[1], pytest.raises(InputError, match="another process"):
        outputs.made_alike(alone, outputs.Made(**other), []).__enter__()
    with standalone_outputs.begun(alone, [image], other):
        pass
    assert {path.name for path in alone.iterdir()} == {".lock", outputs.RECORD}


def test_the_script_leaves_nothing_of_one_that_was_killed(tmp_path: Path) -> None:
    def killed(partial: Path) -> None:
        partial.write_text("half")
        raise SystemExit

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    name = f"{'ä' * 124}.nii.gz"  # 255 bytes, the most that a name may have
    for process in (ended.pid, os.getpid()):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "getpid", lambda of=process: of)
            patch.setattr(Path, "unlink", lambda *_, **__: None)
            with pytest.raises(SystemExit):
                standalone_outputs.whole(tmp_path / name, name, killed)
    assert len(list(tmp_path.iterdir())) == 2
    assert all(path.name.endswith("ä.nii.gz") for path in tmp_path.iterdir()), "nibabel knows the format by it"
    (tmp_path / ".used-9f3c").touch()
    with standalone_outputs.begun(tmp_path, [], {}):
        assert not (tmp_path / ".used-9f3c").exists()
        assert [path.name.split("-")[2] for path in tmp_path.glob(".partial-*")] == [str(os.getpid())]
    sweep(tmp_path)
    assert [path.name.split("-")[2] for path in tmp_path.glob(".partial-*")] == [str(os.getpid())], "the program, too"
    standalone_outputs.whole(tmp_path / name, name, lambda partial: partial.write_text("all of it"))
    assert (tmp_path / name).read_text() == "all of it"


@pytest.mark.parametrize("package", ["nibabel", "numpy", "onnxruntime"])
def test_the_script_names_a_package_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    (tmp_path / "predict.py").write_text(onnx._script())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(tmp_path / "predict.py"), run_name="__main__")
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert re.fullmatch(rf"predict.py: a package is missing \(.*{package}.*\); install it: pip install numpy .*", line)


def test_the_script_names_the_onnxruntime_that_cant_load_its_graph(
    volumes: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> None:
        raise RuntimeError("Unsupported model IR version: 10, max supported IR version: 9")

    monkeypatch.setattr(standalone.onnxruntime, "InferenceSession", fail)
    code, (line,) = script(volumes, written(tmp_path, "a.nii.gz"), tmp_path / "out")
    assert code == 2
    assert "model.onnx: onnxruntime " in line
    assert line.endswith("max supported IR version: 9); install another version of it")


def test_the_script_names_what_it_cant_write(
    volumes: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> None:
        if target.name == lacking:
            raise OSError(28, "No space left on device")
        self.rename(target)

    monkeypatch.setattr(Path, "replace", full)
    (path,), out = written(tmp_path, "a.nii.gz"), tmp_path / "out"
    told = "can't be written (No space left on device); free space or name another directory"
    lacking = "a.nii.gz"
    assert script(volumes, [path], out) == (2, [f"predict.py: {path}: {out / lacking}: {told}"])
    lacking = ".maskmixadv.json"
    assert script(volumes, [path], out) == (2, [f"predict.py: {out / lacking}: {told}"])
    assert {each.name for each in out.iterdir()} == {".lock", ".maskmixadv.json"}


def test_the_script_waits_for_the_programs_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, noted = standalone_outputs.Named((tmp_path / "a.nii",), "a.nii"), threading.Event()

    def called() -> None:
        standalone_outputs.note(tmp_path, [image], {}, done=False)
        noted.set()

    thread = threading.Thread(target=called)
    with held(tmp_path):
        thread.start()
        assert not noted.wait(0.2)
    thread.join()
    assert f"{tmp_path}: waiting for another process that writes there" in capsys.readouterr().err
    assert standalone_outputs.written(tmp_path) == {"a.nii": None}
    with standalone_outputs.locked(tmp_path), pytest.raises(InputError, match="in use"), held(tmp_path):
        pass


def test_images_of_one_name_share_no_folder(
    volumes: Path, script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both had the line of one in ``clinical.csv``, or it was dropped where the second could not be segmented."""
    packed, plain = written(tmp_path, "a.nii.gz", "A.nii")
    out = tmp_path / "out"
    assert run(["predict", str(volumes / "run"), str(packed), "--out", str(out)]) == 0
    kept = {path.name: path.read_bytes() for path in out.glob("[!.]*")}
    told = "a.nii.gz: labels of another image "
    assert run(["predict", str(volumes / "run"), str(plain), "--out", str(out)]) == 2
    assert told in capsys.readouterr().err
    code, lines = script(volumes, [plain], out)
    assert (code, len(lines)) == (2, 1)
    assert told in lines[0]
    assert {path.name: path.read_bytes() for path in out.glob("[!.]*")} == kept


def test_the_script_leaves_no_volumes_of_labels_that_it_replaces(
    volumes: Path, script: Script, tmp_path: Path, notes: list[str]
) -> None:
    files, out = written(tmp_path, "a.nii.gz", "b.nii.gz"), tmp_path / "out"
    assert run(["predict", str(volumes / "run"), "--out", str(out), *map(str, files)]) == 0
    assert script(volumes, files[:1], out) == (0, [])
    table = (out / "clinical.csv").read_text()
    assert [row.split(",")[1] for row in table.splitlines()] == ["case", "b"]
    told = "without a, of which labels are made anew; 'maskmixadv predict' measures volumes"
    assert notes == [f"predict.py: note: {out / 'clinical.csv'}: {told}"]
    (out / "clinical.csv").write_text(table + "\n")
    code, lines = script(volumes, files[1:], out)
    assert (code, len(lines)) == (2, 1)
    assert "clinical.csv: has volumes of these images, and was changed since; move it away" in lines[0]
    (out / "clinical.csv").write_text(table)
    files[1].write_bytes(b"")
    assert script(volumes, files[1:], out)[0] == 2
    assert not (out / "clinical.csv").exists()


def test_a_model_of_a_training_that_was_stopped_says_so(
    volumes: Path, script: Script, tmp_path: Path, notes: list[str]
) -> None:
    """It looked as one of the training's end."""
    shutil.copytree(volumes, tmp_path / "of")
    began = Run.open(tmp_path / "of" / "run")
    save(began.checkpoint, {**torch.load(began.checkpoint, weights_only=True), "step": 2})
    path = tmp_path / "of" / "model" / "model.json"
    hashes = (json.loads(path.read_text())[key] for key in ("sha256", "checkpoint"))
    path.write_text(json.dumps(onnx.about(began, Predictor.load(began.root, "cpu"), *hashes)))
    assert script(tmp_path / "of", written(tmp_path, "a.nii.gz"), tmp_path / "out") == (0, [])
    told = f"its training stopped at step 2 of {began.schedule.steps}; this is its network so far"
    assert notes == [f"predict.py: note: {path.parent}: {told}"]


# The odds of model.json


@pytest.mark.parametrize(
    ("odds", "word"),
    [
        ({"factors": [1.0, 1e13]}, "factors"),
        ({"factors": [0.0, 1.0]}, "factors"),
        ({"factors": [float("nan"), 1.0]}, "factors"),
        ({"factors": [1.0]}, "factors"),
        ({"factors": [1.0, 1.0], "power": 11.0}, "power"),
        ({"factors": [1.0, 1.0], "power": -1.0}, "power"),
    ],
)
def test_odds_out_of_bounds_are_refused(
    volumes: Path, script: Script, tmp_path: Path, odds: dict[str, Any], word: str
) -> None:
    (tmp_path / "model").mkdir()
    for name in ("model.onnx", "model.json"):
        (tmp_path / "model" / name).write_bytes((volumes / "model" / name).read_bytes())
    told = json.loads((tmp_path / "model" / "model.json").read_text())
    told["odds"] |= odds
    (tmp_path / "model" / "model.json").write_text(json.dumps(told))
    scans(tmp_path, 0)
    code, lines = script(tmp_path, [tmp_path / "m0.nii.gz"], tmp_path / "out")
    assert (code, len(lines)) == (2, 1)
    assert re.search(rf"model.json: odds have {word}", lines[0])


def test_probabilities_that_are_not_finite_are_refused(
    volumes: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Session, names: list[str], given: dict[str, np.ndarray]) -> list[np.ndarray]:
        probs, labels = run_(self, names, given)
        return [probs * np.float32("nan"), labels]

    run_ = Session.run
    monkeypatch.setattr(Session, "run", broken)
    scans(tmp_path, 0)
    code, lines = script(volumes, [tmp_path / "m0.nii.gz"], tmp_path / "out")
    assert (code, len(lines)) == (2, 1)
    assert "not finite" in lines[0]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {standalone_outputs.LOCK, standalone_outputs.RECORD}
