"""Images of any size and annotations of any kind, from files to scores."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.evaluation.evaluate import evaluate
from maskmixadv.inference.predictor import Predictor
from maskmixadv.runs.course import read_course
from maskmixadv.runs.run import Run
from maskmixadv.sources import folder
from maskmixadv.training import validation
from maskmixadv.training.train import train

CLASSES = '[[class]]\nname = "background"\n[[class]]\nname = "a"\n[[class]]\nname = "b"\n'
Mask = Callable[[int, int, int], np.ndarray]


def squares(number: int, h: int, w: int) -> np.ndarray:
    """Return structures in the middle; their sides depend on the image's, and a little on its number."""
    mask = np.zeros((h, w), np.uint8)
    mask[h // 4 : -(h // 4), w // 4 : -(w // 4) - number % 2] = 1
    mask[2 * h // 5 : h // 2 + 1, 2 * w // 5 : w // 2 + 1] = 2
    return mask


def healthy(number: int, h: int, w: int) -> np.ndarray:
    """Return structures in every second image alone."""
    return squares(number, h, w) * np.uint8(number % 2)


def rare(number: int, h: int, w: int) -> np.ndarray:
    """Return the second structure in two images alone, which fold 1 of `five` tests on."""
    mask = squares(number, h, w)
    return mask if number in (0, 5) else np.minimum(mask, 1)


def tiny(number: int, h: int, w: int) -> np.ndarray:
    """Return structures of one to three pixels, of which one has two pieces far apart."""
    mask = np.zeros((h, w), np.uint8)
    mask[1, 1] = mask[h - 2, w - 3 : w - 1] = 1
    mask[h // 2, 3 + number] = 2
    return mask


def made(root: Path, shapes: list[tuple[int, int]], mask: Mask = squares) -> Corpus:
    """Make a corpus of pictures with strokes and masks."""
    for part in ("images", "scribbles", "masks"):
        (root / "src" / part).mkdir(parents=True)
    (root / "src" / "classes.toml").write_text(CLASSES)
    for number, (h, w) in enumerate(shapes):
        rng, dense = np.random.default_rng(number), mask(number, h, w)
        image = (80 + 60 * dense + rng.normal(0, 10, (h, w))).clip(0, 255).astype(np.uint8)
        scribble = np.where(rng.random((h, w)) < 0.3, dense, 3).astype(np.uint8)
        scribble[dense == 2] = 2
        scribble[0, 0], scribble[0, 1] = dense[0, 0], 3
        for part, array in (("images", image), ("scribbles", scribble), ("masks", dense)):
            Image.fromarray(array).save(root / "src" / part / f"c{number}.png")
    return folder.prepare(root / "src", root / "corpus")


def learnt(corpus: Corpus, **changes: int) -> Run:
    """Train some steps."""
    given = {"size": 48, "window": 32, "steps": 2, "validate_every": 1, **changes}
    return train(corpus, corpus.root.parent / "run", preset="cpu", device="cpu", **given)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("shapes", "mask"),
    [
        ([(10, 10)] * 2, squares),
        pytest.param([(10, 1000)] * 2, squares, marks=pytest.mark.slow),
        pytest.param([(1000, 10)] * 2, squares, marks=pytest.mark.slow),
        pytest.param([(12, 12), (500, 400)], squares, marks=pytest.mark.slow),
        pytest.param([(40, 40)], squares, marks=pytest.mark.slow),
        ([(40, 40)] * 4, healthy),
        pytest.param([(40, 40)] * 2, tiny, marks=pytest.mark.slow),
    ],
)
def test_images_of_any_size_are_learnt_from_predicted_and_scored(
    shapes: list[tuple[int, int]], mask: Mask, tmp_path: Path
) -> None:
    corpus = made(tmp_path, shapes, mask)
    run = learnt(corpus)
    course = read_course(run.root / "log.csv")
    assert course
    assert all(np.isfinite(value) for row in course for value in row.values.values())
    predictor = Predictor.load(run, device="cpu")
    for entry in corpus.entries:
        case = corpus.load(entry)
        assert predictor.labels(case.image, case.spacing).shape == case.shape
    assert evaluate(run, split="train", device="cpu").cases == len(shapes)


def test_a_class_that_no_training_case_shows_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = made(tmp_path, [(40, 40)] * 10, rare)
    for fold, told in ((1, True), (3, False)):
        train(
            corpus, tmp_path / f"run{fold}", method="pce", preset="cpu", size=48, window=32, steps=1,
            folds="five", fold=fold, device="cpu",
        )  # fmt: skip
        assert ("no training case shows b" in capsys.readouterr().err) == told


@pytest.mark.usefixtures("pictures")
def test_large_validation_cases_are_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = made(tmp_path, [(40, 40)] * 10)
    logs = []
    for number, held in enumerate((10**9, 0)):
        monkeypatch.setattr(validation, "HELD", held)
        run = train(
            corpus, tmp_path / f"run{number}", method="pce", preset="cpu", size=48, window=32, steps=2,
            validate_every=1, folds="five", fold=2, device="cpu",
        )  # fmt: skip
        picture = (run.root / "pictures" / "step_000002.png").read_bytes()
        logs.append(((run.root / "log.csv").read_text().splitlines()[-1].split(",")[0], picture))
    assert logs[0] == logs[1]
