"""Slices between others, by shapes and by walks; and intensities as the folder's channels say."""

import json
from pathlib import Path

import httpx
import numpy as np
import pytest

import own
import tiny
from maskmixadv.corpus.channels import Channel
from maskmixadv.corpus.window import PERCENTILES
from maskmixadv.sources import classes
from maskmixadv.strokes.fill import fill
from maskmixadv.strokes.propose import propose_slice
from maskmixadv.strokes.shapes import between
from maskmixadv.studio.palette import PaletteClass
from maskmixadv.studio.session import Session
from studio_server import SHAPE, SLICE, client, plane, predict, probable, refused, strokes

SHAPES = "/api/cases/s0/shapes"
SPACING = tuple(np.linalg.norm(own.AFFINE[:3, :3], axis=0)[[1, 0]].tolist())
CT = '\n[[channel]]\nname = "portal venous"\nkind = "CT"\n'


def disc(radius: int, middle: tuple[int, int] = (20, 24), label: int = 1) -> np.ndarray:
    y, x = np.indices(SHAPE)
    return np.where((y - middle[0]) ** 2 + (x - middle[1]) ** 2 <= radius**2, label, 0).astype(np.uint8)


def slices(answer: httpx.Response) -> dict[int, np.ndarray]:
    assert answer.status_code == 200, answer.text
    numbers = [int(each) for each in answer.headers["X-Slices"].split(",")]
    return dict(zip(numbers, np.frombuffer(answer.content, np.uint8).reshape(-1, *SHAPE), strict=True))


def alike(one: np.ndarray, other: np.ndarray) -> None:
    """Equal, but for the pixels that are as near to one label as to another."""
    assert (one != other).sum() <= 4


def bare(page: httpx.Client, *indices: int) -> None:
    """Take all strokes of slices away."""
    for index in indices:
        page.put(f"/api/cases/s0/slices/{index}/scribble", content=np.full(SHAPE, 255, np.uint8).tobytes())


def test_shapes_lie_between_painted_and_accepted_slices(page: httpx.Client, folder: Path) -> None:
    bare(page, 0, 1, 2)
    assert page.post(SHAPES).status_code == 204, "nothing is known"
    first, last = disc(6), np.maximum(disc(12), disc(3, (5, 5), 2))
    page.put("/api/cases/s0/slices/0/mask", content=first.tobytes()).raise_for_status()
    assert page.post(SHAPES).status_code == 204, "one slice is known"
    page.put("/api/cases/s0/slices/2/proposal", content=last.tobytes()).raise_for_status()
    found = slices(page.post(SHAPES))
    assert list(found) == [1], "known slices stay as they are"
    alike(found[1], between({0: first, 2: last}, spacing=SPACING)[1])
    assert set(np.unique(found[1])) == {0, 1}, "a structure on one slice alone is not between"
    page.put(f"{SLICE}/scribble", content=strokes(2).tobytes()).raise_for_status()
    assert (slices(page.post(SHAPES))[1][10, 10:20] == 2).all(), "strokes stand"
    accepted = page.put(f"{SLICE}/proposal", content=found[1].tobytes())
    assert accepted.json() == {"reviews": {"1": "accepted", "2": "accepted"}}
    assert page.post(SHAPES).status_code == 204
    refused(page.post("/api/cases/none/shapes"), 404, "no such case")
    (folder / "corrected" / "s0.nii.gz").write_bytes(b"damaged")
    refused(page.post(SHAPES), 400, "corrected/s0.nii.gz")


def test_shapes_lie_between_what_strokes_say(page: httpx.Client) -> None:
    bare(page, 0, 1, 2)
    labels = np.full(SHAPE, 255, np.uint8)
    labels[disc(9) != disc(8)] = 0  # a closed loop
    labels[18:22, 22:27] = 1
    for index in (0, 2):
        page.put(f"/api/cases/s0/slices/{index}/scribble", content=labels.tobytes()).raise_for_status()
    ends = {
        index: plane(page.post(f"/api/cases/s0/slices/{index}/proposal", content=labels.tobytes())) for index in (0, 2)
    }
    alike(slices(page.post(SHAPES))[1], between(ends, spacing=SPACING)[1])


def test_slices_between_are_filled_with_the_networks_probabilities(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "f", scribbled=2, masked=1)
    with client(folder) as page:
        _filled(page, folder)


def _filled(page: httpx.Client, folder: Path) -> None:
    ends = strokes(1)
    ends[30, 10:20] = 0
    bare(page, 1)
    for index in (0, 2):
        page.put(f"/api/cases/s0/slices/{index}/scribble", content=ends.tobytes()).raise_for_status()
    before = slices(page.post("/api/cases/s0/fill"))
    predict(folder)
    probable(folder, 0)
    after = slices(page.post("/api/cases/s0/fill"))
    for index in (0, 2):
        np.testing.assert_array_equal(after[index], before[index])
    assert (after[1] == 1).sum() < 0.9 * (before[1] == 1).sum()


def test_steps_within_slices_count_by_their_length() -> None:
    """A bar of tall pixels is thick, one of wide pixels thin, and soon lost."""
    image, scribble = np.full((7, 31, 31), 0.5), np.full((7, 31, 31), 255, np.uint8)
    scribble[::6, 13:18, 5:26], scribble[::6, [0, -1]], scribble[::6, :, [0, -1]] = 1, 0, 0

    def size(spacing: tuple[float, float]) -> int:
        return int((fill(image, scribble, classes=2, spacing=spacing)[3] == 1).sum())

    assert size((2.0, 2.0)) == size((1.0, 1.0))
    assert size((2.0, 1.0)) > 1.2 * size((1.0, 2.0))


@pytest.mark.parametrize("most", [10_000, 300])
def test_a_network_has_half_the_say_also_on_a_coarser_grid(most: int) -> None:
    image, scribble, said = np.full((5, 33, 35), 0.5), np.full((5, 33, 35), 255, np.uint8), np.zeros((3, 33, 35))
    scribble[::4, 12:20, 12:20], scribble[::4, [0, -1]], scribble[::4, :, [0, -1]] = 1, 0, 0
    said[1, 8:26, 8:26] = 1
    said[0] = 1 - said[1]
    alone = fill(image, scribble, classes=3, most=most)[2]
    both = fill(image, scribble, classes=3, most=most, said=lambda index: said if index == 2 else None)[2]
    assert (alone == 1).sum() < 100 < 150 < (both == 1).sum()


# Intensities.


@pytest.fixture
def scanned(tmp_path: Path) -> Path:
    """A folder of CTs: a structure of 40 to 80 HU, in a body whose bone reaches 1,500."""
    folder = own.folder(tmp_path / "scanned", scribbled=2, masked=1)
    (folder / "classes.toml").write_text(own.CLASSES + CT)
    own.write(folder / "images" / "s0.nii.gz", hounsfield())
    return folder


def hounsfield() -> np.ndarray:
    image = np.full((3, *SHAPE), -1000.0)
    image[:, 4:36, 4:44] = 30
    image[:, disc(9) > 0] = 70
    image[:, 4:36, 4:8] = 1500
    return (image + np.random.default_rng(0).normal(0, 12, image.shape)).astype(np.int16)


def drawn() -> np.ndarray:
    labels = np.full(SHAPE, 255, np.uint8)
    labels[20, 20:29], labels[6:34, 10] = 1, 0
    return labels


def test_a_ct_is_scaled_as_the_folder_says(scanned: Path) -> None:
    labels, image = drawn(), hounsfield().astype(np.float32)
    with client(scanned) as page:
        bare(page, 0, 1, 2)
        told = plane(page.post(f"{SLICE}/proposal", content=labels.tobytes()))
        low, high = np.percentile(image[1][labels == 1], PERCENTILES)
        expected = propose_slice(((image[1] - low) / (high - low)).clip(0, 1), labels, classes=len(tiny.CLASSES))
        assert expected is not None
        assert (told != expected).mean() < 0.01
        record = {
            "root": "c",
            "name": "c",
            "hash": "h",
            "classes": list(tiny.CLASSES),
            "train": [],
            "val": [],
            "test": [],
        }
        channel = {"name": "portal venous", "kind": "CT", "window": [-20.0, 90.0]}
        predict(scanned)
        (scanned / "runs" / "001").mkdir()
        (scanned / "runs" / "001" / "run.json").write_text(json.dumps({"corpus": record | {"channels": [channel]}}))
        told = plane(page.post(f"{SLICE}/proposal", content=labels.tobytes()))
        expected = propose_slice(((image[1] + 20) / 110).clip(0, 1), labels, classes=len(tiny.CLASSES))
        assert expected is not None
        assert (told != expected).mean() < 0.01
        truth, found = disc(9) > 0, told == 1
        assert 2 * (truth & found).sum() / (truth.sum() + found.sum()) > 0.9


def test_a_change_of_classes_keeps_what_was_said_of_channels(scanned: Path) -> None:
    """They were lost, so that the next training took the CT for MR."""
    session = Session(scanned)
    session.set_classes([*session.classes()[:-1], PaletteClass("spleen", "#112233")])
    assert classes.channels(scanned / "classes.toml") == (Channel("portal venous", "CT"),)
    assert classes.read(scanned / "classes.toml").names[-1] == "spleen"
