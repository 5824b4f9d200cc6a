"""What was seen to go wrong before people's eyes, where no other test of the studio holds it."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

import own
from maskmixadv.formats import image_files, nifti
from studio_server import SHAPE, SLICE, client, plane, predict, refused, strokes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own.folder(tmp_path / "hearts", scribbled=2, masked=1)


def test_a_slice_that_was_accepted_and_then_corrected_comes_out_as_it_is_shown(folder: Path) -> None:
    """It came out as it was accepted, uncorrected in 84 of 84 pixels of the stroke."""
    dense = predict(folder)
    with client(folder) as page:
        page.put(f"{SLICE}/review", json={"verdict": "accepted"}).raise_for_status()
        stroke = np.full(SHAPE, 255, np.uint8)
        rows, columns = (places[:84] for places in np.nonzero(dense[1] == 0))
        stroke[rows, columns] = 3
        page.put(f"{SLICE}/scribble", content=stroke.tobytes()).raise_for_status()
        predict(folder, "002")  # which has learnt from the stroke
        like, learnt = nifti.read(folder / "images" / "s0.nii.gz"), dense.copy()
        learnt[1, rows, columns] = 3
        nifti.write_labels(folder / "predictions" / "002" / "s0.nii.gz", learnt, like)
        page.post("/api/export", json={"what": "masks"}).raise_for_status()
        mask = nifti.read(folder / "export" / "masks" / "s0.nii.gz").array[1]
        assert (mask[rows, columns] == 3).sum() == 84
        np.testing.assert_array_equal(mask, plane(page.get(f"{SLICE}/prediction")))
    assert "s0,1,predicted" in (folder / "export" / "masks" / "slices.csv").read_text()


def test_a_volume_that_nobody_looked_at_is_no_fact(folder: Path) -> None:
    """A myocardium of 46 ml was shown beside a truth of 117, without a word that nobody had looked."""
    predict(folder)
    with client(folder) as page:
        told = page.get("/api/clinical").json()
        assert {case["case"] for case in told["cases"]} == {"m0", "s0", "s1"}
        assert [told["slices"][case]["looked_at"] for case in ("m0", "s0", "s1")] == [0, 0, 0]
        table = Path(page.post("/api/export", json={"what": "volumes"}).json()["path"])
    assert [row["share_looked_at"] for row in csv.DictReader(table.read_text().splitlines())] == ["0.0"] * 3


def test_a_renamed_image_costs_its_own_strokes_alone(folder: Path) -> None:
    """It made every training fail; nnU-Net's data set is made of the same corpus as a training's."""
    (folder / "images" / "s0.nii.gz").rename(folder / "images" / "renamed.nii.gz")
    with client(folder) as page:
        told = page.get("/api/folder").json()
        assert [case["name"] for case in told["cases"]] == ["m0", "renamed", "s1"]
        (line,) = told["problems"]
        assert re.fullmatch(r"scribbles/s0\.nii\.gz: no image of this name; .*put the image back.*", line)
        answer = page.post("/api/export", json={"what": "nnunet"})
        assert answer.json()["problems"] == [line]
        assert sorted(path.name for path in Path(answer.json()["path"], "labelsTr").iterdir()) == [
            "m0.nii.gz",
            "s1.nii.gz",
        ]
        refused(page.get(f"{SLICE}/image"), 404, "no such case")


def test_the_first_stroke_on_a_case_reads_no_other_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It notes along which axis the case is cut, for which all headers were read: of 500 images in five seconds."""
    read, done = image_files.header, list[str]()
    monkeypatch.setattr(image_files, "header", lambda path: done.append(path.name) or read(path))
    with client(folder) as page:
        page.get("/api/folder").raise_for_status()
        assert "s1.nii.gz" in done
        done.clear()
        page.put("/api/cases/s0/slices/1/scribble", content=strokes().tobytes()).raise_for_status()
        page.get("/api/folder").raise_for_status()
        assert not {"s1.nii.gz", "m0.nii.gz"} & {*done}
