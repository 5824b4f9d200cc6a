"""Images that come later do not change along which axis a case is cut in which somebody has worked."""

import json
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest

import own
from maskmixadv.errors import InputError
from maskmixadv.formats import nifti
from maskmixadv.inference.segment import segment
from maskmixadv.sources.opening import open_corpus
from studio_server import client, refused, trained

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")

WORK = ("drawn", "painted", "proposal")


def image(folder: Path, name: str, thick: int | None = None) -> None:
    """Write a volume of 20 x 22 x 24 voxels, of which axis `thick` (x, y, z) is five times as coarse as the others."""
    shape, spacing = [20, 22, 24], [1.0, 1.0, 1.0]
    if thick is not None:
        shape[thick], spacing[thick] = 6, 5.0
    array = np.random.default_rng(len(name)).integers(0, 1000, shape).astype(np.int16)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    nib.save(nib.Nifti1Image(array, affine), folder / "images" / f"{name}.nii.gz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a volume whose voxels are as long as wide: slices are cut along z, 24 of 22 x 20 pixels."""
    image(tmp_path / "hearts", "iso")
    (tmp_path / "hearts" / "classes.toml").write_text(own.CLASSES)
    return tmp_path / "hearts"


def plane() -> np.ndarray:
    mask = np.zeros((22, 20), np.uint8)
    mask[5:9, 5:9] = 1
    return mask


def strokes() -> np.ndarray:
    drawn = np.full((22, 20), 255, np.uint8)
    drawn[3, 3:16] = drawn[17, 3:16] = drawn[3:17, 3] = drawn[3:17, 15] = 0
    drawn[8:11, 8:11] = 1
    return drawn


def do(page: httpx.Client, what: str) -> None:
    place = "/api/cases/iso/slices/4"
    content = (strokes() if what == "drawn" else plane()).tobytes()
    part = {"drawn": "scribble", "painted": "mask", "proposal": "proposal"}[what]
    page.put(f"{place}/{part}", content=content).raise_for_status()


def told(page: httpx.Client) -> dict:
    return next(case for case in page.get("/api/folder").json()["cases"] if case["name"] == "iso")


@pytest.mark.parametrize("what", WORK)
def test_a_case_stays_cut_as_it_was_worked_on(folder: Path, what: str) -> None:
    with client(folder) as page:
        do(page, what)
        before = told(page)
        assert before["shape"] == [24, 22, 20]
        for number in range(2):
            image(folder, f"coronal{number}", thick=1)
        assert told(page) == before
        assert page.get("/api/folder").json()["problems"] == []
        if what != "drawn":
            told_of_others = ["coronal0, coronal1: not predicted, and nothing of them is accepted or painted"]
            assert page.post("/api/export", json={"what": "masks"}).json()["problems"] == told_of_others
            exported = nifti.read(folder / "export" / "masks" / "iso.nii.gz").array
            assert (exported == 1).sum() == 16
        page.post("/api/export", json={"what": "nnunet"}).raise_for_status()
    with client(folder) as page:  # anew
        assert told(page) == before


def test_a_training_cuts_as_the_page_does(folder: Path) -> None:
    with client(folder) as page:
        do(page, "drawn")
        for number in range(2):
            image(folder, f"coronal{number}", thick=1)
    layout = trained(folder)
    assert (layout.predictions / "001" / "codes.json").read_text() == "[0, 1, 2, 3]"
    learnt = json.loads((layout.state / "001" / "learnt.json").read_text())
    assert learnt["scribbled"] == 1  # cut along y, it would be nine slices
    with np.load(layout.predictions / "001" / "probabilities" / "iso.npz") as kept:
        assert {name.split("-")[0] for name in kept} == {"0"}


@pytest.mark.slow
def test_the_command_line_cuts_as_the_studio_does(folder: Path, tmp_path: Path) -> None:
    with client(folder) as page:
        do(page, "drawn")
        for number in range(2):  # these make the rule of the others
            image(folder, f"coronal{number}", thick=1)
        for number in range(2):
            drawn = np.full((24, 20), 255, np.uint8)
            drawn[3:20, 3], drawn[8:11, 8:11] = 0, 1
            page.put(f"/api/cases/coronal{number}/slices/2/scribble", content=drawn.tobytes()).raise_for_status()
    assert open_corpus(folder).load("iso").shape == (24, 22, 20)
    layout = trained(folder)
    segment(layout.runs / "001", [folder / "images"], tmp_path / "labels")
    for name in ("iso", "coronal0"):
        found = nifti.read(tmp_path / "labels" / f"{name}.nii.gz").array
        np.testing.assert_array_equal(found, nifti.read(layout.predictions / "001" / f"{name}.nii.gz").array)


@pytest.mark.parametrize(
    ("noted", "said"),
    [([], "has no notes by case"), ({"cases": {"iso": {"axis": 3}}}, "case iso has axis 3, allowed are 0 to 2")],
)
def test_damaged_notes_are_named_by_the_command_line(folder: Path, noted: object, said: str) -> None:
    with client(folder) as page:
        do(page, "drawn")
    (folder / "cases.json").write_text(json.dumps(noted))
    with pytest.raises(InputError, match=rf"cases\.json: .*{said}"):
        open_corpus(folder)


def test_work_along_another_axis_is_named_and_held_out(folder: Path) -> None:
    """In folders of earlier versions, no axis is noted."""
    with client(folder) as page:
        do(page, "painted")
        page.put("/api/cases/iso/slices/8/proposal", content=plane().tobytes()).raise_for_status()
        (folder / "cases.json").unlink()
    for number in range(2):
        image(folder, f"coronal{number}", thick=1)
    with client(folder) as page:
        lines = page.get("/api/folder").json()["problems"]
        assert [line.split(",")[0] for line in lines] == [
            "iso: 1 verdict left out of trainings and exports",
            "iso: what was painted is left out of trainings and exports",
        ]
        refused(page.post("/api/export", json={"what": "nnunet"}), 400, "what was painted is left out", "slice 9")


def test_the_axis_follows_an_image_that_is_saved_with_other_axes(folder: Path) -> None:
    with client(folder) as page:
        do(page, "drawn")
    path = folder / "images" / "iso.nii.gz"
    volume: Any = nib.load(path)
    turned = np.moveaxis(np.asarray(volume.dataobj), 0, 2)  # x, y, z become y, z, x
    nib.save(nib.Nifti1Image(turned, volume.affine[:, [1, 2, 0, 3]]), path)
    for name in ("thick", "thicker"):
        image(folder, name, thick=1)
    with client(folder) as page:
        assert told(page)["scribbled"] == [4]
        assert page.get("/api/folder").json()["problems"] == []
        np.testing.assert_array_equal(
            np.frombuffer(page.get("/api/cases/iso/slices/4/scribble").content, np.uint8).reshape(22, 20), strokes()
        )
