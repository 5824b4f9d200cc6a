"""Runs learn the same from a scan however its files store it, and their masks lie where the patient does."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import torch

import tiny
import turned
from maskmixadv import methods
from maskmixadv.cli.app import run
from maskmixadv.inference.predictor import Predictor
from maskmixadv.runs.checkpoint import save
from maskmixadv.runs.run import Run
from maskmixadv.sources import folder
from maskmixadv.training.begin import begin
from quick import quick
from weights import equal, weights

pytestmark = pytest.mark.usefixtures("narrow", "unpictured", "undrawn")

SHORT = ["--steps", "2", "--batch", "2", "--size", "48", "--window", "48", "--preset", "cpu", "--seed", "1"]


def trained(root: Path, *ways: str) -> Run:
    """A run of a few steps on three patients, whose files are stored along `ways`."""
    source = root / "src"
    for number, codes in enumerate(ways):
        turned.folder(source, {f"p{number}": codes}, seed=number)
    folder.prepare(source, root / "c")
    assert run(["train", str(root / "c"), "--out", str(root / "run"), *SHORT, "pce"]) == 0
    return Run.open(root / "run")


def test_a_run_learns_the_same_from_any_orientation(tmp_path: Path) -> None:
    runs = [
        trained(tmp_path / "".join(ways), *ways)
        for ways in (("LPS", "LPS", "LPS"), ("RAS", "RAS", "RAS"), ("PSR", "LAS", "RPS"))
    ]
    known = [weights({"net": each.weights(torch.device("cpu"))}) for each in runs]
    assert all(equal(known[0], each) for each in known[1:])
    for each in runs:
        assert json.loads((each.root / "run.json").read_text())["corpus"]["radiological"] is True


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network has many opinions."""
    root = tmp_path_factory.mktemp("turned")
    corpus = folder.prepare(turned.folder(root / "src", {"p0": "RAS", "p1": "PSR", "p2": "LPS"}), root / "c")
    begun = begin(root / "c", root / "run", method=methods.PCE(), schedule=tiny.SCHEDULE)
    torch.manual_seed(0)
    net: Any = begun.method.players(begun.task)["net"].eval()
    case = corpus.load("p0")
    image = begun.grid.image(torch.from_numpy(case.image[0]), case.spacing)[:, None]
    with torch.no_grad():
        for decoder in net.decoders:
            decoder.head.bias -= decoder(net.encode(image)).mean((0, 2, 3))
            decoder.head.weight *= 20
            decoder.head.bias *= 20
    save(begun.checkpoint, {"scored": net.state_dict()})
    return root


def scan(rotation: np.ndarray | None = None) -> Any:
    image = (900 * tiny.volume(7, d=4, h=44, w=36)[0]).astype(np.int16)
    return turned.scan(image, (1.5, 1.25, 8.0), rotation)


def predicted(root: Path, inputs: Path, out: Path) -> None:
    assert run(["predict", str(root / "run"), *map(str, sorted(inputs.iterdir())), "--out", str(out)]) == 0


def read(path: Path) -> Any:
    return SimpleITK.ReadImage(str(path))


def same_grid(one: Any, other: Any) -> None:
    assert one.GetSize() == other.GetSize()
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(one, name)(), getattr(other, name)(), atol=1e-5)


def agree(labels: Any, plain: Any, rotation: np.ndarray) -> None:
    """Voxels of `plain` have the label that `labels` have where they lie in the patient."""
    for index in list(np.ndindex(plain.GetSize()))[::7]:
        place = rotation @ plain.TransformIndexToPhysicalPoint(index)
        found = np.array(labels.TransformPhysicalPointToContinuousIndex(place.tolist()))
        assert np.abs(found - found.round()).max() < 0.1
        assert labels[found.round().astype(int).tolist()] == plain[index]


@pytest.mark.parametrize("suffix", quick([".nii.gz", ".nrrd", ".mha"], ".nii.gz"))
def test_masks_lie_on_each_files_own_grid(many: Path, tmp_path: Path, suffix: str) -> None:
    for codes in turned.WAYS:
        turned.write(tmp_path / "in" / f"{codes}{suffix}", turned.stored(scan(), codes))
        turned.write(tmp_path / "in" / f"o{codes}{suffix}", turned.stored(scan(turned.R20), codes))
    predicted(many, tmp_path / "in", tmp_path / "out")
    plain = read(tmp_path / "out" / f"LPS{suffix}")
    values, counts = np.unique(SimpleITK.GetArrayFromImage(plain), return_counts=True)
    assert len(values) > 1
    assert np.sort(counts)[-2] > 100
    for path in sorted((tmp_path / "in").iterdir()):
        labels = read(tmp_path / "out" / path.name)
        same_grid(labels, read(path))
        agree(labels, plain, turned.R20 if path.name.startswith("o") else np.eye(3))


def test_python_turns_where_it_is_told_where_the_image_lies(many: Path) -> None:
    predictor, plain = Predictor.load(many / "run", "cpu"), scan()
    wanted = predictor.segment(SimpleITK.GetArrayFromImage(plain), (8.0, 1.25, 1.5))
    for codes in turned.WAYS:
        image = turned.stored(plain, codes)
        affine = np.eye(4)
        affine[:3, :3] = np.diag([-1, -1, 1]) @ np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        affine[:3, 3] = np.array(image.GetOrigin()) * [-1, -1, 1]
        array, spacing = SimpleITK.GetArrayFromImage(image), image.GetSpacing()[::-1]
        labels = SimpleITK.GetImageFromArray(predictor.segment(array, spacing, affine=affine))
        labels.CopyInformation(image)
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(turned.stored(labels, "LPS")), wanted)
        probs = predictor.probabilities(array, spacing, affine=affine)
        np.testing.assert_array_equal(probs.argmax(0), SimpleITK.GetArrayFromImage(labels))


def test_a_run_of_before_does_not_turn(many: Path, tmp_path: Path) -> None:
    early = shutil.copytree(many / "run", tmp_path / "run")
    record = json.loads((early / "run.json").read_text())
    assert record["corpus"].pop("radiological") is True
    (early / "run.json").write_text(json.dumps(record))
    for codes in ("LPS", "RAS"):
        turned.write(tmp_path / "in" / f"{codes}.nii.gz", turned.stored(scan(), codes))
    predicted(tmp_path, tmp_path / "in", tmp_path / "out")
    predicted(many, tmp_path / "in", tmp_path / "turned")
    one, other = (SimpleITK.GetArrayFromImage(read(tmp_path / "out" / f"{codes}.nii.gz")) for codes in ("LPS", "RAS"))
    predictor = Predictor.load(early, "cpu")
    raw = SimpleITK.GetArrayFromImage(turned.stored(scan(), "RAS"))
    np.testing.assert_array_equal(other, predictor.segment(raw, (8.0, 1.25, 1.5)))
    assert (other != one[:, ::-1, ::-1]).mean() > 0.01, "what it sees is turned"
    same = [(tmp_path / name / "LPS.nii.gz").read_bytes() for name in ("out", "turned")]
    assert same[0] == same[1]


def test_the_exported_script_turns_by_the_same_rule(many: Path, tmp_path: Path) -> None:
    """Its own reading of headers, without the graph: slow to trace."""
    sys.modules.pop("standalone", None)
    place = Path(methods.__file__).parents[1] / "inference"
    sys.path.insert(0, str(place))
    try:
        standalone: Any = __import__("standalone")
    finally:
        sys.path.remove(str(place))
    predictor = Predictor.load(many / "run", "cpu")
    slicing = predictor.slicing

    class Model:
        about = vars(slicing) | {"channels": [{"name": "image", "kind": "MR"}], "pieces": {"together": []}}

        def predict(self, image: np.ndarray, spacing: Any, _: Any) -> tuple[None, np.ndarray]:
            return None, predictor.labels(standalone.scale(image, predictor.channels[0].percentile), spacing)

    assert Model.about["radiological"] is True
    for codes in turned.WAYS:
        turned.write(tmp_path / "in" / f"{codes}.nii.gz", turned.stored(scan(), codes))
        turned.write(tmp_path / "in" / f"o{codes}.nii.gz", turned.stored(scan(turned.R20), codes))
    predicted(many, tmp_path / "in", tmp_path / "own")
    (tmp_path / "alone").mkdir()
    for path in sorted((tmp_path / "in").iterdir()):
        standalone.segment(Model(), standalone.Named((path,), path.name), tmp_path / "alone")
        one, other = read(tmp_path / "own" / path.name), read(tmp_path / "alone" / path.name)
        same_grid(one, other)
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(one), SimpleITK.GetArrayFromImage(other))
