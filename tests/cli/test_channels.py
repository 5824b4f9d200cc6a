"""Images of several channels, from files to masks: pictures in colour, and sequences in files of their own."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from maskmixadv.cli.app import run as command
from maskmixadv.corpus.channels import COLOURS, ONE, Channel, own
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.runs.run import Run

SHORT = ["--preset", "cpu", "--size", "48", "--window", "48", "--batch", "4", "--ema", "0.9"]
CLASSES = '[[class]]\nname = "background"\n[[class]]\nname = "core"\n[[class]]\nname = "ring"\n'
Capture = pytest.CaptureFixture[str]


def drawn(seed: int, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """A disc in a ring: the mask, and strokes with 3 for nothing drawn."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    radius = np.hypot(*(axis - side * (0.42 + 0.16 * rng.random()) for axis in (y, x)))
    mask = np.select([radius < 7, radius < 12], [1, 2], 0).astype(np.uint8)
    strokes = np.full_like(mask, 3)
    strokes[radius < 2], strokes[abs(radius - 9.5) < 0.7], strokes[abs(radius - 16) < 0.7] = 1, 2, 0
    return mask, strokes


def tints() -> np.ndarray:
    """Colours that are equally bright."""
    colours = np.array([[230, 180, 210], [120, 213, 200], [170, 180, 20]], float)
    return colours * (185 / (colours @ [0.2125, 0.7154, 0.0721]))[:, None]


@pytest.fixture
def stains(tmp_path: Path) -> Path:
    """Pictures whose structures differ in hue and not in brightness."""
    root = tmp_path / "stains"
    for part in ("images", "scribbles", "masks"):
        (root / part).mkdir(parents=True)
    (root / "classes.toml").write_text(CLASSES)
    for number in range(4):
        mask, strokes = drawn(number)
        noise = np.random.default_rng(number).normal(0, 6, (*mask.shape, 3))
        pixels = (tints()[mask] + noise).clip(0, 255).astype(np.uint8)
        for part, array in (("images", pixels), ("scribbles", strokes), ("masks", mask)):
            Image.fromarray(array).save(root / part / f"c{number}.png")
    return root


@pytest.fixture
def sequences(tmp_path: Path) -> Path:
    """Volumes of two sequences with three discs each: the first one shows core and ring, the second one core alone.

    A third disc, which is background, shows in the second sequence.
    """
    root = tmp_path / "sequences"
    root.mkdir()
    (root / "classes.toml").write_text(CLASSES)
    y, x = np.mgrid[:48, :48]
    for number in range(4):
        rng = np.random.default_rng(number)
        mask, strokes = np.zeros((2, 3, 48, 48), np.uint8)
        shades = rng.normal(200, 30, (2, 3, 48, 48))
        strokes[:] = 3
        for k in range(3):
            corners = rng.permutation(4)[:3]  # which disc lies where says nothing
            for disc, corner in enumerate(corners):
                radius = np.hypot(y - 13 - 22 * (corner // 2), x - 13 - 22 * (corner % 2))
                shades[0, k][radius < 7] += 400 * (disc < 2)
                shades[1, k][radius < 7] += 400 * (disc != 1)
                label = (1, 2, 0)[disc]
                mask[k][radius < 7], strokes[k][radius < 3] = label, label
            strokes[k, [0, -1]], strokes[k, :, [0, -1]], strokes[k, 23:25, 23:25] = 0, 0, 0
        files = {f"images/c{number}_{place:04d}": shade for place, shade in enumerate(shades)}
        files |= {f"scribbles/c{number}": strokes, f"masks/c{number}": mask}
        for name, array in files.items():
            path = root / f"{name}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(array.T.astype(np.int16), np.diag([1.5, 1.5, 8, 1])), path)
    return root


def made(source: Path, *options: str) -> Corpus:
    root = source.parent / "corpus"
    assert command(["prepare", "folder", str(source), str(root), "--validate", "1", *options]) == 0
    return Corpus.open(root)


def dice(run: Path) -> float:
    assert command(["evaluate", str(run), "--split", "val"]) == 0
    return json.loads((run / "evaluation-val" / "summary.json").read_text())["mean"]["dice"]["mean"]


def trained(corpus: Corpus, *words: str, steps: int = 60) -> Path:
    root = corpus.root.parent / "run"
    assert (
        command(["train", str(corpus.root), "--out", str(root), *SHORT, "--steps", str(steps), "--enclosure", *words])
        == 0
    )
    return root


@pytest.mark.slow
def test_stains_that_differ_in_hue_are_told_apart(stains: Path, tmp_path: Path, capsys: Capture) -> None:
    corpus = made(stains)
    assert corpus.channels == COLOURS
    assert "grey" not in capsys.readouterr().err
    assert command(["check", str(corpus.root), "--sheet", str(tmp_path / "sheet.png")]) == 0
    run = trained(corpus, "pce")
    assert Run.open(run).task.channels == 3
    assert dice(run) > 0.6
    assert command(["predict", str(run), str(stains / "images"), "--out", str(tmp_path / "labels")]) == 0
    labels, mask = (np.asarray(Image.open(root / "c0.png")) for root in (tmp_path / "labels", stains / "masks"))
    assert labels.shape == mask.shape
    assert (labels == mask).mean() > 0.8


def test_grey_pictures_are_no_business_of_a_run_of_colours(stains: Path, tmp_path: Path, capsys: Capture) -> None:
    run = trained(made(stains), "pce", steps=1)
    Image.open(stains / "images" / "c0.png").convert("L").save(tmp_path / "grey.png")
    assert command(["predict", str(run), str(tmp_path / "grey.png"), "--out", str(tmp_path / "labels")]) == 2
    said = capsys.readouterr().err
    assert "grey.png: has one channel, allowed are images with 3 (red, green, blue)" in said


def test_pictures_without_colours_stay_grey(stains: Path) -> None:
    for path in (stains / "images").iterdir():
        Image.open(path).convert("L").convert("RGB").save(path)
    corpus = made(stains)
    assert len(corpus.channels) == 1
    assert corpus.channels == own(ONE)
    assert not any("channels" in entry for entry in json.loads((corpus.root / "corpus.json").read_text())["cases"])


@pytest.mark.slow
def test_two_sequences_tell_apart_what_neither_does_alone(sequences: Path, tmp_path: Path) -> None:
    corpus = made(sequences)
    assert [channel.name for channel in corpus.channels] == ["channel 0", "channel 1"]
    run = trained(corpus, "walk-teacher", steps=100)
    both = dice(run)
    images = [str(path) for path in sorted((sequences / "images").glob("c0_*"))]
    assert command(["predict", str(run), *images, "--out", str(tmp_path / "labels")]) == 0
    assert sorted(path.name for path in (tmp_path / "labels").glob("*.nii.gz")) == ["c0.nii.gz"]
    for number in range(2):
        alone = tmp_path / f"alone{number}" / "alone"
        for path in sequences.rglob("*.nii.gz"):
            if path.parent.name != "images" or path.name.endswith(f"_{number:04d}.nii.gz"):
                place = alone / path.parent.name / path.name.replace(f"_{number:04d}", "")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(path.read_bytes())
        (alone / "classes.toml").write_text(CLASSES)
        assert dice(trained(made(alone), "walk-teacher", steps=100)) < both - 0.3
    assert both > 0.9


@pytest.mark.slow
def test_channels_that_are_not_numbered_are_told_how_to(sequences: Path, tmp_path: Path, capsys: Capture) -> None:
    run = trained(made(sequences), "pce", steps=1)
    for number, name in enumerate(("t1", "t2")):
        (sequences / "images" / f"c0_{number:04d}.nii.gz").rename(tmp_path / f"c0_{name}.nii.gz")
    capsys.readouterr()
    assert command(["predict", str(run), str(tmp_path), "--out", str(tmp_path / "labels")]) == 2
    assert "NAME_0000, NAME_0001 and so on in order: channel 0, channel 1\n" in capsys.readouterr().err


def test_a_channel_that_is_missing_is_named(sequences: Path, capsys: Capture) -> None:
    (sequences / "images" / "c1_0000.nii.gz").unlink()
    assert command(["prepare", "folder", str(sequences), str(sequences.parent / "corpus")]) == 2
    assert "c1" in capsys.readouterr().err


def test_numbered_pictures_are_images_of_their_own(stains: Path) -> None:
    for part in ("images", "scribbles", "masks"):
        for number in range(4):
            (stains / part / f"c{number}.png").rename(stains / part / f"c_{number:04d}.png")
    assert len(made(stains).entries) == 4


def test_channels_go_out_to_nnunet_and_come_back(sequences: Path, tmp_path: Path) -> None:
    corpus = made(sequences)
    assert command(["export", "nnunet", str(corpus.root), str(tmp_path / "Dataset001_x")]) == 0
    assert json.loads((tmp_path / "Dataset001_x/dataset.json").read_text())["channel_names"] == {
        "0": "channel 0",
        "1": "channel 1",
    }
    assert command(["prepare", "nnunet", str(tmp_path / "Dataset001_x"), str(tmp_path / "back")]) == 0
    back = Corpus.open(tmp_path / "back")
    assert back.channels == own((Channel("channel 0"), Channel("channel 1")))
    for entry in back.entries:
        np.testing.assert_allclose(back.load(entry).image, corpus.load(entry.name).image, atol=1e-3)
