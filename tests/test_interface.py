"""What `import maskmixadv` gives: few names, typed and documented, with NumPy arrays in and out."""

import ast
import inspect
import json
import shlex
import subprocess
import sys
import threading
import tomllib
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import nibabel as nib
import numpy as np
import pytest
import torch

import maskmixadv as mma
import tiny
from maskmixadv.cli.app import parse
from maskmixadv.inference.segment import segment
from maskmixadv.runs.checkpoint import save
from maskmixadv.runs.schedule import Changes
from maskmixadv.training import fit as fitting
from maskmixadv.training.train import Replaced

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")

SMALL: dict[str, Any] = {
    "method": "pce", "preset": "cpu", "device": "cpu", "steps": 20, "size": 48, "window": 32, "batch": 2, "ema": 0.0,
}  # fmt: skip
MODULES = {"losses", "methods", "metrics", "perturb", "pictures"}
NAMES: list[str] = vars(mma)["__all__"]
PUBLIC = sorted(set(NAMES) - MODULES - {"IGNORE"})


def stubbed() -> set[str]:
    tree = ast.parse(Path(mma.__file__).with_suffix(".pyi").read_text())
    return {name.name for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names}


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Public functions, and the public methods of public classes that this package defines."""
    for name in PUBLIC:
        thing = getattr(mma, name)
        if not isinstance(thing, type):
            yield name, thing
            continue
        for own, member in vars(thing).items():
            function = getattr(member, "__func__", member)
            if not own.startswith("_") and inspect.isfunction(function):
                yield f"{name}.{own}", function


# Names


def test_the_names_are_those_of_the_stub_and_few() -> None:
    assert set(NAMES) == stubbed()
    assert len(NAMES) <= 25
    assert set(dir(mma)) == {*NAMES, "__doc__", "__version__"}
    assert all(getattr(mma, name) is not None for name in NAMES)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = mma.no_such_name  # pyright: ignore[reportAttributeAccessIssue]


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert mma.__version__ == project["version"]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_are_modules(name: str) -> None:
    module = getattr(mma, name)
    assert isinstance(module, ModuleType)
    assert module.__doc__


def test_it_is_imported_quickly_and_without_libraries() -> None:
    code = "import sys, maskmixadv; print(sorted({'numpy', 'torch', 'scipy'} & set(sys.modules)))"
    seconds = []
    for _ in range(3):  # the least, as other processes take their share
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout == "[]\n"
        (line,) = [line for line in done.stderr.splitlines() if line.endswith("| maskmixadv")]
        seconds.append(int(line.split("|")[1]) / 1e6)
    assert min(seconds) <= 0.1


@pytest.mark.parametrize("name", PUBLIC)
def test_each_name_has_an_example(name: str) -> None:
    assert ">>> " in (inspect.getdoc(getattr(mma, name)) or "")


@pytest.mark.parametrize(("name", "function"), list(callables()))
def test_it_is_typed_and_documented(name: str, function: Callable[..., Any]) -> None:
    hints, text = get_type_hints(inspect.unwrap(function)), inspect.getdoc(function) or ""
    parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
    assert parameters | {"return"} <= set(hints)
    if "." not in name:
        assert not [each for each in parameters if each not in text]


def test_a_former_name_is_understood_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="Flagship is called WalkTeacher"):
        former = mma.methods.Flagship  # pyright: ignore[reportAttributeAccessIssue]
    assert former is mma.methods.WalkTeacher
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mma.methods.load("flagship") is mma.methods.WalkTeacher


# Corpora


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> mma.Corpus:
    return tiny.corpus(tmp_path_factory.mktemp("interface") / "corpus")


def test_cases_that_are_drawn_in_one_array_keep_what_was_drawn() -> None:
    image, labels = np.random.default_rng(0).random((1, 8, 8), dtype=np.float32), np.zeros((1, 8, 8), np.uint8)
    how: dict[str, Any] = {"name": "a", "channels": [mma.Channel("map", "noNorm")]}
    labels[:, 4:] = 255
    case = mma.Case.from_arrays(image, scribble=labels, dense=labels, **how)
    before = [array.copy() for array in (image, labels, labels)]
    image[:], labels[:] = 0, 1
    for made, was in zip((case.image[0], case.scribble, case.dense), before, strict=True):
        np.testing.assert_array_equal(made, was)


def test_raw_arrays_become_a_corpus_and_come_back(tmp_path: Path) -> None:
    image, scribble, dense = tiny.volume()
    codes = np.where(scribble == mma.IGNORE, 9, scribble)  # the user's own code for "nothing drawn"
    case = mma.Case.from_arrays(
        (700 * image).astype(">i2"), name="a", scribble=codes.astype(np.int64), dense=dense.astype(float), ignore=9,
        spacing=np.array([8, 1.5, 1.5], np.float32), patient="anna",
    )  # fmt: skip
    made = mma.make_corpus(str(tmp_path / "made"), iter([case]), classes=tiny.CLASSES)
    back = mma.open_corpus(str(tmp_path / "made")).load("a")
    assert (made.name, back.patient, back.spacing) == ("made", "anna", (8.0, 1.5, 1.5))
    assert back.image.dtype == np.float32
    assert (back.image.min(), back.image.max()) == (0.0, 1.0)
    assert back.scribble is not None
    assert back.dense is not None
    np.testing.assert_array_equal(back.scribble, scribble)
    np.testing.assert_array_equal(back.dense, dense)


def test_phantoms_are_those_of_the_command(tmp_path: Path) -> None:
    assert parse(["prepare", "phantom", str(tmp_path / "one"), "--cases", "5", "--size", "64"]).run() == 0
    made = mma.make_phantoms(tmp_path / "other", cases=5, size=64)
    assert mma.open_corpus(tmp_path / "one").hash() == made.hash()


IMAGE, SCRIBBLE, DENSE = tiny.volume()
WRONG_ARRAYS: dict[str, dict[str, Any]] = {
    r"image: has shape \(40, 48\), allowed are 3 axes": {"image": IMAGE[0]},
    r"image: has shape \(3, 0, 48\)": {"image": IMAGE[:, :0]},
    "image: is of type complex64": {"image": IMAGE.astype(np.complex64)},
    "image holds NaN or infinity": {"image": np.where(IMAGE > 0.7, np.nan, IMAGE)},
    r"image is constant \(7\)": {"image": np.full(IMAGE.shape, 7)},
    r"spacing \(8, 0, 1\), allowed are 3 finite numbers above 0": {"spacing": (8, 0, 1)},
    r"spacing \(8, nan, 1\)": {"spacing": (8, np.nan, 1)},
    r"spacing \(1.5, 1.5\)": {"spacing": (1.5, 1.5)},
    r"spacing: a voxel of 8 × 0.001 × 1.5 mm, of which one side is 1500 times": {"spacing": (8, 0.001, 1.5)},
    r"spacing: a voxel of 8 × 1500 × 1500 mm, allowed are 1e-06 to 500 mm": {"spacing": (8, 1500, 1500)},
    r"dense mask has shape \(2, 40, 48\), image has \(3, 40, 48\)": {"dense": DENSE[:2]},
    "dense mask: label 1.5, allowed are whole numbers": {"dense": DENSE * 1.5},
    "scribble: label -1, allowed are whole numbers": {"scribble": SCRIBBLE.astype(int) - 1},
    "scribble: label 256, allowed are whole numbers": {"scribble": SCRIBBLE.astype(int) + 1},
    "scribble has no voxel of 255": {"scribble": DENSE},
}


@pytest.mark.parametrize("said", WRONG_ARRAYS)
def test_wrong_arrays_are_one_clear_line(said: str) -> None:
    with pytest.raises(mma.InputError, match=rf"^p9: {said}[^\n]*$"):
        mma.Case.from_arrays(**{"image": IMAGE, "name": "p9", **WRONG_ARRAYS[said]})


WRONG_CORPORA: dict[str, dict[str, Any]] = {
    "p0: scribble: label 3 is not declared, allowed are 0, 1, 2, 255": {"classes": tiny.CLASSES[:3]},
    "1 class, allowed are 2 to 250": {"classes": ["background"]},
    "fold 1 names patient 'p7', of whom there is no case": {"folds": [mma.Split(("p0",), (), ("p7",))]},
    "fold 1 names patient 'p0' twice": {"folds": [mma.Split(("p0",), (), ("p0",))]},
    "folds: none given": {"folds": []},
    "two cases are named 'p0'": {"cases": [tiny.case("p0"), tiny.case("p0")]},
}


@pytest.mark.parametrize("said", WRONG_CORPORA)
def test_a_wrong_corpus_is_one_clear_line_and_is_not_there(said: str, tmp_path: Path) -> None:
    given = {"cases": [tiny.case("p0"), tiny.case("p1")], "classes": tiny.CLASSES, **WRONG_CORPORA[said]}
    with pytest.raises(mma.InputError, match=rf"^[^\n]*{said}[^\n]*$"):
        mma.make_corpus(tmp_path / "corpus", **given)
    assert not (tmp_path / "corpus").exists()


# Training


@pytest.fixture(scope="module")
def run(corpus: mma.Corpus) -> mma.Run:
    return mma.train(corpus, corpus.root.parent / "run", **SMALL)


def weights(run: mma.Run) -> dict[str, torch.Tensor]:
    return run.weights(torch.device("cpu")).state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_it_trains_what_its_recorded_command_trains(run: mma.Run) -> None:
    words = shlex.split(run.record()["command"])
    assert words[:2] == ["maskmixadv", "train"]
    words[words.index("--out") + 1] = str(run.root.parent / "again")
    assert parse(words[1:]).run() == 0
    again = mma.Run.open(run.root.parent / "again")
    assert again.record() == {**run.record(), "command": again.record()["command"]}
    assert same(weights(run), weights(again))


def test_it_goes_on_where_it_stopped(run: mma.Run, corpus: mma.Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    out, steps = run.root.parent / "stopped", fitting._steps
    monkeypatch.setattr(fitting, "_steps", lambda *given: islice(steps(*given), 7))
    with pytest.raises(KeyboardInterrupt, match="the same call goes on with it"):
        mma.train(corpus, out, **SMALL)
    monkeypatch.setattr(fitting, "_steps", steps)
    assert same(weights(mma.train(corpus, out, **SMALL)), weights(run))
    with pytest.raises(mma.InputError, match="stopped"):  # it is done
        mma.train(corpus, out, **SMALL)


def test_it_trains_in_a_thread_a_method_with_fields(corpus: mma.Corpus, tmp_path: Path) -> None:
    made: list[mma.Run] = []
    method = mma.methods.WalkTeacher(trust=0.5, ramp=0.25)
    given: dict[str, Any] = {**SMALL, "method": method, "steps": 1}

    def work() -> None:
        made.append(mma.train(corpus, tmp_path / "run", **given))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    record = made[0].record()
    assert (record["method"]["trust"], record["method"]["ramp"]) == (0.5, 0.25)
    assert record["command"].endswith("walk-teacher --trust 0.5 --ramp 0.25")


WRONG_TRAININGS: dict[str, dict[str, Any]] = {
    "train: 'stepz' is unknown, allowed are steps, batch": {"stepz": 3},
    "train: steps: 'many', must be a whole number": {"steps": "many"},
    "steps: 0, allowed is 1 or more": {"steps": 0},
    "window: 40, allowed is a multiple of 16": {"window": 40},
    "method: 'unet', allowed are walk-teacher": {"method": "unet"},
    "no fold 2 in 'paper'": {"fold": 2},
    "no folds named 'ten'": {"folds": "ten"},
    "needs masks of other patients": {"method": "maskmixadv"},
    "device: 'tpu9' is not usable here": {"device": "tpu9"},
    "nowhere: not a corpus": {"corpus": "nowhere"},
}


@pytest.mark.parametrize("said", WRONG_TRAININGS)
def test_a_wrong_training_is_one_clear_line_and_is_not_begun(said: str, corpus: mma.Corpus, tmp_path: Path) -> None:
    given = {"corpus": corpus, **SMALL, **WRONG_TRAININGS[said]}
    with pytest.raises(mma.InputError, match=rf"^[^\n]*{said}[^\n]*$"):
        mma.train(out=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_every_field_of_a_preset_can_be_replaced() -> None:
    given, kept = get_type_hints(Replaced), get_type_hints(Changes)
    assert list(given) == list(kept)
    assert all(kept[name] == given[name] | None for name in given)


# Segmentation


@pytest.fixture(scope="module")
def predictor(run: mma.Run) -> mma.Predictor:
    return mma.Predictor.load(run, device="cpu")


SPACING = (8.0, 1.5, 1.5)
RAW = (1000 * tiny.volume(5, h=37, w=50)[0]).astype(np.int16)


def test_labels_and_probabilities_of_raw_intensities(predictor: mma.Predictor) -> None:
    labels, probs = predictor.segment(RAW, SPACING, largest=False), predictor.probabilities(RAW, SPACING)
    assert (labels.dtype, labels.shape) == (np.uint8, RAW.shape)
    assert (probs.dtype, probs.shape) == (np.float32, (4, *RAW.shape))
    np.testing.assert_allclose(probs.sum(0), 1, rtol=1e-5)
    np.testing.assert_array_equal(probs.argmax(0), labels)
    assert len(np.unique(labels)) > 1


@pytest.mark.parametrize(
    "given",
    [
        RAW.astype(np.float64),
        RAW.astype(">i2"),
        np.asfortranarray(RAW),
        RAW.astype(np.float32) * 4,
        2 * RAW.astype(int),
    ],
    ids=["float64", "big-endian", "fortran", "scaled", "int64"],
)
def test_what_numbers_and_unit_an_image_has_is_no_matter(given: np.ndarray, predictor: mma.Predictor) -> None:
    np.testing.assert_array_equal(predictor.segment(given, SPACING), predictor.segment(RAW, SPACING))


def test_an_image_is_left_as_it_is(predictor: mma.Predictor) -> None:
    image = RAW.astype(np.float32)
    image.setflags(write=False)
    predictor.segment(image, np.array(SPACING, np.float32))
    np.testing.assert_array_equal(image, RAW)


@pytest.mark.parametrize("axis", range(3))
def test_it_does_what_the_command_does_along_any_axis(axis: int, run: mma.Run, tmp_path: Path) -> None:
    record = run.record()
    record["corpus"]["axis"] = axis
    root = tmp_path / "run"
    root.mkdir()
    (root / "run.json").write_text(json.dumps(record))
    learnt: Any = run.stored(torch.device("cpu"))
    save(root / "last.pt", {**learnt, "steers": {**learnt["steers"], "axis": axis}})
    image, spacing = np.moveaxis(RAW, 0, axis), list(SPACING[1:])
    spacing.insert(axis, SPACING[0])
    nib.save(nib.Nifti1Image(image.T, np.diag([*spacing[::-1], 1.0])), tmp_path / "a.nii")  # pyright: ignore
    assert segment(root, [tmp_path / "a.nii"], tmp_path / "out", device="cpu") == 0
    written = np.asarray(nib.load(tmp_path / "out" / "a.nii").dataobj).T  # pyright: ignore
    predictor = mma.Predictor.load(root, device="cpu")
    np.testing.assert_array_equal(predictor.segment(image, spacing), written)
    np.testing.assert_array_equal(predictor.probabilities(image, spacing).argmax(0), written)


WRONG_IMAGES: dict[str, tuple[np.ndarray, Any]] = {
    r"image: has shape \(37, 50\), allowed are 3 axes": (RAW[0], SPACING),
    r"image: has shape \(1, 1, 3, 37, 50\), allowed are 3 axes": (RAW[None, None], SPACING),
    r"image: number of channels is 2, allowed is 1 \(image\)": (np.stack([RAW, RAW]), SPACING),
    "image: image holds NaN or infinity": (np.where(RAW > 700, np.nan, RAW), SPACING),
    "image: image is constant": (np.zeros(RAW.shape), SPACING),
    "image: is of type <U1": (np.full(RAW.shape, "a"), SPACING),
    r"image: spacing \(8, 1.5, -1.5\), allowed are 3 finite numbers above 0": (RAW, (8, 1.5, -1.5)),
    r"image: spacing \(8, 1.5\)": (RAW, (8, 1.5)),
    r"image: spacing: a voxel of 8 × 0.001 × 1.5 mm, of which one side is 1500 times": (RAW, (8, 0.001, 1.5)),
    "image has no voxel spacing": (RAW, None),
}


@pytest.mark.parametrize("said", WRONG_IMAGES)
def test_a_wrong_image_is_one_clear_line(said: str, predictor: mma.Predictor) -> None:
    image, spacing = WRONG_IMAGES[said]
    for made in (predictor.segment, predictor.probabilities):
        with pytest.raises(mma.InputError, match=rf"^[^\n]*{said}[^\n]*$"):
            made(image, spacing)


# Scores


def test_scores_of_any_whole_numbers() -> None:
    moved = np.roll(DENSE, 1, axis=2)
    found = mma.score(DENSE.astype(np.int64), moved.astype(float), classes=tiny.CLASSES, spacing=(8, 1.5, 1.5))
    assert found == mma.score(DENSE, moved, classes=tiny.CLASSES, spacing=SPACING)
    assert [each.class_name for each in found] == ["RV", "Myo", "LV"]
    assert found[2].dice == 0.875
    assert found[2].truth_ml == pytest.approx((DENSE == 3).sum() * 8 * 1.5 * 1.5 / 1000)
    assert all(type(value) is float for value in found[0][1:])


WRONG_PAIRS: dict[str, tuple[np.ndarray, np.ndarray, Any]] = {
    "prediction has shape": (DENSE, DENSE[:2], SPACING),
    "truth: has shape": (DENSE[0], DENSE[0], SPACING),
    "truth: label 4, allowed are 0 to 3 and 255": (DENSE + (DENSE == 3), DENSE, SPACING),
    "prediction: label 255, allowed are 0 to 3$": (DENSE, SCRIBBLE, SPACING),
    "prediction: label 0.5": (DENSE, DENSE / 2, SPACING),
}


@pytest.mark.parametrize("said", WRONG_PAIRS)
def test_wrong_pairs_are_one_clear_line(said: str) -> None:
    truth, predicted, spacing = WRONG_PAIRS[said]
    with pytest.raises(mma.InputError, match=said) as raised:
        mma.score(truth, predicted, classes=tiny.CLASSES, spacing=spacing)
    assert "\n" not in str(raised.value)


def test_an_evaluation_takes_a_run_and_agrees_with_scores(run: mma.Run, predictor: mma.Predictor) -> None:
    summary = mma.evaluate(run, device="cpu")
    (entry,) = mma.open_corpus(run.record()["corpus"]["root"]).of(run.record()["corpus"]["test"])
    case = mma.open_corpus(run.record()["corpus"]["root"]).load(entry)
    assert case.dense is not None
    found = mma.score(case.dense, predictor.labels(case.image, case.spacing), classes=tiny.CLASSES, spacing=SPACING)
    assert [summary.classes[each.class_name].dice.mean for each in found] == [each.dice for each in found]
    assert (run.root / "evaluation-test" / "report.html").is_file()


# Wrong types, which are checked here as users have it: they have no hooks that do it before.

UNCHECKED = """
import warnings
import numpy as np, torch
import maskmixadv as mma

image = np.zeros((3, 8, 8), np.uint8)
for call in (
    lambda: mma.score(image, image, classes=["a", "b"], spacing=1.5),
    lambda: mma.score(image, image, classes=["a", "b"], spacing="thin"),
    lambda: mma.score(torch.zeros(3, 8, 8), image, classes=["a", "b"], spacing=(1, 1, 1)),
    lambda: mma.Case.from_arrays([[[0, 1]]], name="a"),
    lambda: mma.train("corpus", "run", preset="quick"),
):
    try:
        call()
    except mma.InputError as error:
        print(error)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("default")
    mma.methods.Flagship
print(told[0].filename)
"""


def test_wrong_types_are_one_clear_line() -> None:
    done = subprocess.run([sys.executable, "-c", UNCHECKED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "score: spacing 1.5, allowed are 3 finite numbers above 0 (mm along d, h, w)",
        "score: spacing 'thin', allowed are 3 finite numbers above 0 (mm along d, h, w)",
        "truth: is a Tensor, allowed is a NumPy array",
        "a: image: is a list, allowed is a NumPy array",
        "preset: 'quick', allowed are paper, fast, cpu",
        "<string>",
    ]


# What is printed


@pytest.mark.usefixtures("plain")
def test_what_is_printed_is_short_and_says_what_it_is(
    corpus: mma.Corpus, run: mma.Run, predictor: mma.Predictor
) -> None:
    summary = mma.evaluate(run, device="cpu")
    case = corpus.load("p0")
    for thing in (corpus, case, run, predictor, summary):
        assert repr(thing).startswith(f"{type(thing).__name__}(")
        assert "\n" not in repr(thing)
        assert len(repr(thing).replace(str(corpus.root.parent), "")) < 200
    assert "6 of 6 patients" in str(corpus)
    assert "pce" in str(run)
    assert "UNet" in str(predictor)
    assert "array" not in repr(case)


def test_a_large_corpus_is_printed_as_shortly(corpus: mma.Corpus) -> None:
    large = mma.Corpus(
        corpus.root, corpus.name, (*corpus.classes, *(f"c{k}" for k in range(200))), 500 * corpus.entries,
        corpus.folds, corpus.nominal,
    )  # fmt: skip
    assert len(str(large).splitlines()) == 5
    assert max(map(len, str(large).splitlines())) < 200
    assert "196 more" in str(large)
