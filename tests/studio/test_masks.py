"""Masks that people paint: they are kept, teach, come out with exports, and may validate."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import own
import tiny
from maskmixadv.formats import nifti
from maskmixadv.studio.images.cases import Cases
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import corpus as learning
from maskmixadv.studio.learning.training import LearntSlices
from maskmixadv.studio.session import Session
from maskmixadv.studio.versions import UNPAINTED
from maskmixadv.types import IGNORE
from studio_server import SHAPE, SLICE, client, plane, predict, refused, same_grid, strokes

DENSE = tiny.volume()[2]
PAINTED = np.zeros(SHAPE, np.uint8)
PAINTED[4:20, 30:44] = 3
MASK = f"{SLICE}/mask"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own.folder(tmp_path / "hearts", scribbled=2, masked=1)


@pytest.fixture
def page(folder: Path) -> Iterator[httpx.Client]:
    with client(folder) as trusted:
        yield trusted


def paint(page: httpx.Client, case: str = "s0", index: int = 1, labels: np.ndarray = PAINTED) -> dict[str, Any]:
    answer = page.put(f"/api/cases/{case}/slices/{index}/mask", content=labels.tobytes())
    assert answer.status_code == 200, answer.text
    return answer.json()


def review(page: httpx.Client, index: int, verdict: str) -> httpx.Response:
    return page.put(f"/api/cases/s0/slices/{index}/review", json={"verdict": verdict})


def told(page: httpx.Client, case: str) -> dict[str, Any]:
    return next(each for each in page.get("/api/folder").json()["cases"] if each["name"] == case)


def learnt(folder: Path) -> learning.Learnt:
    layout = Layout.open(folder)
    return learning.corpus(layout, Cases(layout).known(), learning.Dense.read(layout))


def test_a_painted_slice_is_kept_on_the_images_grid(page: httpx.Client, folder: Path) -> None:
    refused(page.get(MASK), 404, "no corrected mask")
    told = paint(page)
    assert told.pop("version") == page.get(MASK).headers["X-Version"]
    assert told == {"corrected": [1], "given": False, "looked": [1], "use": "auto", "reviews": {}}
    np.testing.assert_array_equal(plane(page.get(MASK)), PAINTED)
    refused(page.get("/api/cases/s0/slices/0/mask"), 404, "no corrected mask")
    stored, image = (nifti.read(folder / part / "s0.nii.gz") for part in ("corrected", "images"))
    np.testing.assert_array_equal(stored.array[1], PAINTED)
    assert (stored.array[[0, 2]] == 4).all(), "the folder's code of a pixel without label"
    same_grid(stored, image)
    paint(page, labels=np.zeros(SHAPE, np.uint8))
    assert not plane(page.get(MASK)).any()
    assert Session(folder).folder().cases[1].masks.corrected == [1], "a later server knows"
    assert page.delete(MASK).json()["corrected"] == []
    assert not list((folder / "corrected").iterdir())
    refused(page.delete(MASK), 404, "no corrected mask")


def test_a_mask_that_was_never_saved_or_is_gone_already_is_discarded(page: httpx.Client, folder: Path) -> None:
    assert page.delete(f"{MASK}?version={UNPAINTED}").json()["version"] == UNPAINTED
    version = paint(page)["version"]
    refused(page.delete(f"{MASK}?version={UNPAINTED}"), 409, "somebody else")
    for _ in range(2):  # the answer to the first one may get lost
        told = page.delete(f"{MASK}?version={version}")
        assert (told.status_code, told.json()["corrected"], told.json()["version"]) == (200, [], UNPAINTED)
    assert not list((folder / "corrected").iterdir())
    for place in ("gone/slices/1", "s0/slices/9"):
        assert page.delete(f"/api/cases/{place}/mask?version={UNPAINTED}").status_code == 404


def test_what_is_no_mask_is_refused(page: httpx.Client, folder: Path) -> None:
    refused(page.put(MASK, content=b"\0" * 3), 400, "3 bytes")
    refused(page.put(MASK, content=bytes(2**17)), 400, "131072 bytes")  # more than JSON may have
    refused(page.put(MASK, content=np.full(SHAPE, 4, np.uint8).tobytes()), 400, "class 4")
    refused(page.put(MASK, content=strokes().tobytes()), 400, "each pixel has a class")
    refused(page.put("/api/cases/s0/slices/3/mask", content=PAINTED.tobytes()), 404, "no slice 3")
    refused(page.put("/api/cases/none/slices/1/mask", content=PAINTED.tobytes()), 404)
    refused(page.put("/api/cases/..%5c..%5cx/slices/1/mask", content=PAINTED.tobytes()), 404)
    refused(page.put(MASK, content=PAINTED.tobytes(), headers={"X-Token": "wrong"}), 403, "X-Token")
    refused(page.put("/api/cases/s0/use", json={"use": "ignore"}), 400, "use")
    refused(page.put(f"{SLICE}/looked"), 409, "nothing to look at")
    assert not (folder / "corrected").exists()


def test_a_damaged_file_is_told_and_not_overwritten(page: httpx.Client, folder: Path) -> None:
    paint(page)
    path = folder / "corrected" / "s0.nii.gz"
    path.write_bytes(path.read_bytes()[:60])
    damaged = path.read_bytes()
    refused(page.put(MASK, content=PAINTED.tobytes()), 400, "corrected/s0.nii.gz")
    assert path.read_bytes() == damaged
    assert "corrected/s0.nii.gz" in " ".join(page.get("/api/folder").json()["problems"])
    page.put(f"{SLICE}/scribble", content=strokes(2).tobytes())
    np.testing.assert_array_equal(plane(page.get(f"{SLICE}/scribble")), strokes(2))
    found = learnt(folder)
    assert found.corrected == {}
    assert "corrected slices are left out" in found.left_out[0]
    path.rename(path.with_name("gone.nii.gz"))
    assert page.get("/api/folder").json()["problems"] == ["corrected/gone.nii.gz: no image of this name"]


def test_masks_have_the_folders_codes(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "f", scribbled=1, masked=0)
    tables = "".join(f'[[class]]\nname = "{name}"\ncode = {10 * code}\n' for code, name in enumerate(tiny.CLASSES, 1))
    (folder / "classes.toml").write_text("ignore = 0\n" + tables)
    drawn = tiny.volume()[1]
    own.write(folder / "scribbles/s0.nii.gz", np.where(drawn == IGNORE, 0, 10 * (drawn + 1.0)).astype(np.uint8))
    with client(folder) as page:
        paint(page)
        np.testing.assert_array_equal(plane(page.get(MASK)), PAINTED)
        stored = nifti.read(folder / "corrected/s0.nii.gz").array
        np.testing.assert_array_equal(stored[1], 10 * (PAINTED + 1))
        assert not stored[[0, 2]].any()
        scribble = own.by_name(learnt(folder).corpus)["s0"].scribble
        assert scribble is not None
        np.testing.assert_array_equal(scribble, np.stack([drawn[0], PAINTED, drawn[2]]))


# They teach.


def test_a_corrected_slice_teaches_instead_of_its_strokes(page: httpx.Client, folder: Path) -> None:
    before = own.by_name(learnt(folder).corpus)["s0"].scribble
    paint(page)
    found = learnt(folder)
    after = own.by_name(found.corpus)["s0"].scribble
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(after[1], PAINTED)
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert (found.accepted, found.corrected, found.left_out) == ({}, {"s0": [1]}, [])
    told = page.post("/api/export", json={"what": "nnunet"}).json()
    np.testing.assert_array_equal(nifti.read(Path(told["path"]) / "labelsTr" / "s0.nii.gz").array[1], PAINTED)
    assert told["problems"] == []
    shutil.copy(folder / "masks" / "m0.nii.gz", folder / "masks" / "s0.nii.gz")
    (told,) = page.post("/api/export", json={"what": "nnunet"}).json()["problems"]
    assert told == "of 1 case with strokes and a mask the masks are not written (--annotation dense writes them)"
    (folder / "masks" / "s0.nii.gz").unlink()
    plain = found.corpus.root
    page.delete(MASK)
    assert learnt(folder).corpus.root != plain


def test_correcting_an_accepted_slice_keeps_it_dense(page: httpx.Client, folder: Path) -> None:
    predict(folder)
    review(page, 1, "accepted")
    review(page, 2, "accepted")
    assert paint(page)["reviews"] == {"2": "accepted"}
    refused(review(page, 1, "accepted"), 409, "discard")
    found = learnt(folder)
    assert (found.accepted, found.corrected) == ({"s0": {2: "001"}}, {"s0": [1]})
    out = Path(page.post("/api/export", json={"what": "masks"}).json()["path"])
    labels = nifti.read(out / "s0.nii.gz").array
    np.testing.assert_array_equal(labels, np.stack([DENSE[0], PAINTED, DENSE[2]]))
    rows = (out / "slices.csv").read_text().splitlines()
    assert [row for row in rows if row.startswith("s0")] == ["s0,0,predicted", "s0,1,corrected", "s0,2,accepted"]
    page.delete(MASK)
    assert review(page, 1, "accepted").status_code == 200


def test_a_stroke_on_an_accepted_slice_changes_the_export(page: httpx.Client, folder: Path) -> None:
    predict(folder)
    review(page, 1, "accepted")
    predict(folder, "002")
    newer = np.full_like(DENSE, 2)
    nifti.write_labels(folder / "predictions/002/s0.nii.gz", newer, nifti.read(folder / "images/s0.nii.gz"))

    def exported() -> tuple[np.ndarray, str]:
        out = Path(page.post("/api/export", json={"what": "masks"}).json()["path"])
        state = (out / "slices.csv").read_text().split("s0,1,")[1].split()[0]
        return nifti.read(out / "s0.nii.gz").array[1], state

    for state in ("accepted", "predicted"):
        labels, said = exported()
        assert said == state
        np.testing.assert_array_equal(labels, plane(page.get(f"{SLICE}/prediction")))
        page.put(f"{SLICE}/scribble", content=strokes(2).tobytes())
    assert (labels == 2).all()


def test_what_was_painted_before_any_training_comes_out(page: httpx.Client) -> None:
    paint(page)
    answer = page.post("/api/export", json={"what": "masks"}).json()
    out = Path(answer["path"])
    assert sorted(path.name for path in out.iterdir()) == ["s0.nii.gz", "slices.csv"]
    labels = nifti.read(out / "s0.nii.gz").array
    np.testing.assert_array_equal(labels[1], PAINTED)
    assert (labels[[0, 2]] == 4).all()
    assert "s0,0,unlabelled" in (out / "slices.csv").read_text()
    assert page.get("/api/clinical").json()["cases"] == [], "a part of a volume is no volume"


def test_corrected_slices_are_not_proposed(page: httpx.Client, folder: Path) -> None:
    predict(folder)
    paint(page, index=2)  # the one in doubt
    assert ("s0", 2) not in [(each["case"], each["slice"]) for each in page.get("/api/queue").json()]


def test_records_of_earlier_versions_open(tmp_path: Path) -> None:
    path = tmp_path / "learnt.json"
    path.write_text('{"scribbled": 3, "accepted": {"a": {"1": "001"}}}')
    assert LearntSlices.read(path) == LearntSlices(3, {"a": {1: "001"}}, {})


# Masks that came with the folder.


def test_a_given_mask_is_shown_corrected_and_never_changed(page: httpx.Client, folder: Path) -> None:
    given = folder / "masks" / "m0.nii.gz"
    before = given.read_bytes()
    assert told(page, "m0")["masks"]["given"]
    assert not told(page, "s0")["masks"]["given"]
    np.testing.assert_array_equal(plane(page.get("/api/cases/m0/slices/1/mask?of=given")), DENSE[1])
    refused(page.get(f"{MASK}?of=given"), 404, "no given mask")
    paint(page, "m0")
    assert given.read_bytes() == before
    found = learnt(folder)
    assert found.corpus.split("own", 1).val == ("m0",), "it validates as it came"
    np.testing.assert_array_equal(own.by_name(found.corpus)["m0"].dense, DENSE)
    assert found.corrected == {}
    (line,) = found.left_out
    assert line.startswith("m0: corrected slices are left out")


def test_dense_slices_validate_where_somebody_asks_for_it(page: httpx.Client, folder: Path) -> None:
    predict(folder)
    paint(page, "m0")
    assert page.put("/api/cases/m0/use", json={"use": "validate"}).json()["use"] == "validate"
    found = learnt(folder)
    np.testing.assert_array_equal(own.by_name(found.corpus)["m0"].dense, np.stack([DENSE[0], PAINTED, DENSE[2]]))
    assert (found.corpus.split("own", 1).val, found.left_out, found.corrected) == (("m0",), [], {})
    page.put("/api/cases/m0/use", json={"use": "teach"})
    found = learnt(folder)
    assert found.corpus.split("own", 1) == (("m0", "s0", "s1"), (), ())
    scribble = own.by_name(found.corpus)["m0"].scribble
    assert scribble is not None
    np.testing.assert_array_equal(scribble[1], PAINTED)
    assert found.corrected == {"m0": [1]}
    paint(page, "s1")
    review(page, 2, "accepted")
    page.put("/api/cases/s1/use", json={"use": "validate"})
    found = learnt(folder)
    assert found.corpus.split("own", 1) == (("m0", "s0"), (), ()), "what is to validate is not learnt from meanwhile"
    (line,) = found.left_out
    assert line == "s1: is left out, as 2 of its 3 slices have no mask to validate on yet"
    for index in (0, 2):
        paint(page, "s1", index, np.zeros(SHAPE, np.uint8))
    found = learnt(folder)
    assert found.corpus.split("own", 1).val == ("s1",)
    case = own.by_name(found.corpus)["s1"]
    assert case.scribble is None, "what validates is not learnt from"
    assert case.dense is not None
    np.testing.assert_array_equal(case.dense[1], PAINTED)
    assert not case.dense[[0, 2]].any()
    assert found.accepted == {"s0": {2: "001"}}


def test_corrections_of_masks_that_are_learnt_from_are_learnt(page: httpx.Client, folder: Path) -> None:
    for path in (folder / "scribbles").iterdir():
        path.unlink()
    paint(page, "m0")
    found = learnt(folder)
    assert found.corpus.split("own", 1).train == ("m0",)
    np.testing.assert_array_equal(own.by_name(found.corpus)["m0"].dense, np.stack([DENSE[0], PAINTED, DENSE[2]]))
    assert (found.corrected, found.left_out) == ({"m0": [1]}, [])


# What people looked at.


def test_what_people_looked_at_holds_for_its_run(page: httpx.Client, folder: Path) -> None:
    predict(folder)
    assert page.put("/api/cases/s0/slices/0/looked").json()["looked"] == [0]
    review(page, 2, "rejected")
    assert told(page, "s0")["masks"]["looked"] == [0, 2]
    paint(page)
    assert Session(folder).folder().cases[1].masks.looked == [0, 1, 2]
    predict(folder, "002")
    assert told(page, "s0")["masks"]["looked"] == [1], "the newer run's labels were not seen yet"
    refused(page.put("/api/cases/s0/slices/9/looked"), 404)


def test_a_damaged_record_of_looks_is_told_before_it_is_written_over(folder: Path) -> None:
    (folder / "cases.json").write_text('{"format": 1, "cases": {"s0": {"looked": {"0": "x"}, "use": "auto"}}}')
    with pytest.raises(Exception, match=r"cases\.json: malformed"):
        Session(folder)
    assert json.loads((folder / "cases.json").read_text())["cases"]["s0"]["use"] == "auto"
