"""Classes change while something else goes on: what is shown and learnt keeps its meaning."""

from pathlib import Path

import httpx
import numpy as np
import pytest

import own
import tiny
from maskmixadv.errors import InputError
from maskmixadv.studio.learning.process import Process
from maskmixadv.studio.session import Session
from studio_server import SHAPE, SLICE, client, plane, predict, refused, strokes

NAMES = ["background", "RV", "Myo", "LV"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose classes have no strokes yet."""
    found = own.folder(tmp_path / "hearts", scribbled=1, masked=0)
    (found / "scribbles" / "s0.nii.gz").unlink()
    return found


def classes(*was: int) -> dict[str, object]:
    rows = [{"name": NAMES[place], "colour": "#4aa8ff", "was": place} for place in was]
    return {"classes": rows, "placed": True}


def test_a_given_mask_is_read_again_when_a_class_is_removed(folder: Path) -> None:
    dense = np.where(tiny.volume()[2] == 3, 3, 0).astype(np.uint8)  # LV alone
    own.write(folder / "masks" / "s0.nii.gz", dense)
    with client(folder) as page:
        assert set(np.unique(plane(page.get(f"{SLICE}/mask?of=given")))) == {0, 3}
        page.put("/api/classes", json=classes(0, 1, 3)).raise_for_status()
        assert set(np.unique(plane(page.get(f"{SLICE}/mask?of=given")))) == {0, 2}


def test_what_another_program_wrote_into_the_classes_is_not_lost(folder: Path) -> None:
    declared = folder / "classes.toml"
    with client(folder) as page:
        page.put("/api/classes", json=classes(0, 1, 2, 3)).raise_for_status()
        by_hand = declared.read_text().replace("RV", "right ventricle")
        declared.write_text(by_hand)
        refused(page.put("/api/classes", json=classes(0, 1, 3)), 409, "classes.toml: another program changed it")
        assert declared.read_text() == by_hand
    with client(folder) as page:
        assert page.get("/api/folder").json()["classes"][1]["name"] == "right ventricle"
        page.put("/api/classes", json=classes(0, 1, 3)).raise_for_status()


def test_no_class_is_removed_that_a_training_learns(folder: Path) -> None:
    with client(folder) as page:
        notes = folder / ".studio" / "001"
        notes.mkdir()
        Process.this().write(notes / "process.json")
        refused(page.put("/api/classes", json=classes(0, 1, 3)), 400, "'Myo' is not removed", "run 001")
        (notes / "phase").write_text("failed")
        (notes / "process.json").unlink()
        page.put("/api/classes", json=classes(0, 1, 3)).raise_for_status()


def test_labels_of_a_page_that_knows_other_classes_are_refused(folder: Path) -> None:
    """Another page has removed a class: this one's third class would be taken for another one."""
    mask = np.zeros(SHAPE, np.uint8)
    both = strokes(2)
    both[20, 10:20] = 0
    with client(folder) as page:
        before = page.get("/api/folder").json()["coding"]
        page.put(f"{SLICE}/scribble", params={"coding": before}, content=strokes(255).tobytes()).raise_for_status()
        after = page.put("/api/classes", json=classes(0, 1, 3)).json()["coding"]
        assert after != before
        for method, what, labels in (
            ("PUT", "scribble", strokes(2)),
            ("PUT", "mask", mask),
            ("PUT", "proposal", mask),
            ("POST", "proposal", both),
        ):
            sent = labels.tobytes()
            refused(page.request(method, f"{SLICE}/{what}", params={"coding": before}, content=sent), 412, "classes")
            told = page.request(method, f"{SLICE}/{what}", params={"coding": after}, content=sent)
            assert told.status_code == 200, told.text
            if method == "PUT":
                page.request("DELETE", f"{SLICE}/mask")


def test_no_class_gets_the_code_of_one_that_was_removed(folder: Path) -> None:
    """Else strokes of the removed class, on a page that was not loaded since, would become the new one's."""

    def put(page: httpx.Client, *was: int, new: str) -> str:
        rows = [*classes(*was)["classes"], {"name": new, "colour": "#4aa8ff", "was": None}]  # type: ignore[misc]
        return page.put("/api/classes", json={"classes": rows, "placed": True}).raise_for_status().json()["coding"]

    with client(folder) as page:
        known = [put(page, 0, 1, 2, new="scar")]
        for new in ("aorta", "septum"):
            page.put("/api/classes", json=classes(0, 1, 2)).raise_for_status()
            known.append(put(page, 0, 1, 2, new=new))
        for before in known[:-1]:
            sent = page.put(f"{SLICE}/scribble", params={"coding": before}, content=strokes(3).tobytes())
            refused(sent, 412, "classes")
        page.put(f"{SLICE}/scribble", params={"coding": known[-1]}, content=strokes(3).tobytes()).raise_for_status()
    with client(folder) as page:  # also after a restart
        erased = {"coding": known[-1]}
        page.put(f"{SLICE}/scribble", params=erased, content=strokes(255).tobytes()).raise_for_status()
        page.put("/api/classes", json=classes(0, 1, 2)).raise_for_status()
        assert put(page, 0, 1, 2, new="valve") not in known
    for line in ("removed = 3\n", "removed = [true]\n"):
        (folder / "classes.toml").write_text(line + own.CLASSES)
        with pytest.raises(InputError, match=r"classes.toml: removed = .*, allowed is a list of codes"):
            Session(folder)


def test_added_classes_leave_the_others_as_they_are(folder: Path) -> None:
    with client(folder) as page:
        before = page.get("/api/folder").json()["coding"]
        body = classes(0, 1, 2, 3)
        body["classes"] = [*body["classes"], {"name": "scar", "colour": "#4aa8ff", "was": None}]  # type: ignore[misc]
        page.put("/api/classes", json=body).raise_for_status()
        told = page.put(f"{SLICE}/scribble", params={"coding": before}, content=strokes(3).tobytes())
        assert told.status_code == 200, told.text


def test_classes_that_another_program_changed_are_noticed(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=1, masked=0)
    predict(folder, cases=("s0",))
    swapped = own.CLASSES.replace("RV", "x").replace("LV", "RV").replace("x", "LV")
    mask = np.zeros(SHAPE, np.uint8).tobytes()
    with client(folder) as page:
        before = (folder / "scribbles" / "s0.nii.gz").read_bytes()
        (folder / "classes.toml").write_text(swapped)
        said = ("classes.toml: another program changed it", "started anew")
        refused(page.put(f"{SLICE}/scribble", content=strokes().tobytes()), 400, *said)
        refused(page.put(f"{SLICE}/mask", content=mask), 400, *said)
        refused(page.put(f"{SLICE}/proposal", content=mask), 400, *said)
        refused(page.put(f"{SLICE}/review", json={"verdict": "accepted"}), 400, *said)
        refused(page.post("/api/export", json={"what": "nnunet"}), 400, *said)
        refused(page.post("/api/train", json={"preset": "cpu", "steps": 1}), 400, *said)
        assert said[0] in page.get("/api/folder").json()["problems"][0]
        assert (folder / "scribbles" / "s0.nii.gz").read_bytes() == before
        (folder / "classes.toml").write_text(own.CLASSES + "# the same again")
        assert page.get("/api/folder").json()["problems"] == []
        assert page.put(f"{SLICE}/scribble", content=strokes().tobytes()).status_code == 200
        (folder / "classes.toml").write_text("[[class]]")
        refused(page.put(f"{SLICE}/scribble", content=strokes(2).tobytes()), 400, "classes.toml", "mended")


def test_labels_are_not_shown_under_other_classes_whose_order_was_changed(tmp_path: Path) -> None:
    """Somebody puts the tables of classes.toml in another order, with their codes: strokes stay what they were."""
    folder = own.folder(tmp_path / "hearts", scribbled=2, masked=0)
    coded = [f'[[class]]\nname = "{name}"\ncode = {code}\n' for code, name in enumerate(tiny.CLASSES)]
    order = folder / "classes.toml"
    order.write_text("ignore = 4\n" + "".join(coded))
    predict(folder, cases=("s0", "s1"))
    (folder / "predictions" / "001" / "codes.json").write_text("[0, 1, 2, 3]")  # as a training writes it
    case, proposed = "/api/cases/s1/slices/0", np.ones(SHAPE, np.uint8).tobytes()
    with client(folder) as page:
        page.put(f"{case}/proposal", content=proposed).raise_for_status()
        assert page.get(f"{SLICE}/prediction").status_code == 200
    order.write_text("ignore = 4\n" + "".join([coded[0], coded[2], coded[1], coded[3]]))
    with client(folder) as page:
        told = ("had the codes 1, 2, 3", "has 2, 1, 3", "order back")
        refused(page.get(f"{SLICE}/prediction"), 400, "predictions/001/s0.nii.gz", *told, "train again")
        refused(page.get(f"{case}/prediction"), 400, "predictions/000/s1.nii.gz", *told, "take the file away")
        refused(page.put(f"{case}/proposal", content=proposed), 400, *told)
        assert "order back" in " ".join(page.get("/api/folder").json()["problems"])
        assert "order back" in page.post("/api/export", json={"what": "masks"}).json()["error"]
    order.write_text("ignore = 4\n" + "".join([*coded, '[[class]]\nname = "scar"\ncode = 7\n']))
    with client(folder) as page:  # classes that come last change nothing
        assert page.get(f"{SLICE}/prediction").status_code == 200
        assert page.get(f"{case}/prediction").content == proposed
