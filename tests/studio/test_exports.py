"""What comes out beside NIfTI: DICOM SEG, meshes, pictures, and volumes with who looked at what."""

import csv
import shutil
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

import dicoms
import own
import tiny
from maskmixadv.formats import image_files, nifti, seg
from maskmixadv.formats.details.class_colours import cielab
from maskmixadv.formats.slicing import View
from maskmixadv.inference import outputs
from maskmixadv.studio.export.masks import CaseMask
from maskmixadv.studio.export.meshes import TRIANGLE, write_meshes
from maskmixadv.studio.export.overlays import edges
from maskmixadv.studio.export.segmentations import write_segmentations
from maskmixadv.studio.images.volumes import ShownImage, show
from maskmixadv.studio.palette import PaletteClass
from maskmixadv.studio.session import Session
from studio_server import client, predict, refused

DENSE = tiny.volume()[2]
CLASSES = list(tiny.CLASSES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = own.folder(tmp_path / "hearts", scribbled=2, masked=1)
    predict(made)
    return made


def post(page: httpx.Client, what: str) -> httpx.Response:
    return page.post("/api/export", json={"what": what})


def mask(path: Path, labels: np.ndarray) -> CaseMask:
    return CaseMask("a", show(path), View(), labels, ("predicted",) * len(labels))


def corners(path: Path) -> np.ndarray:
    raw = path.read_bytes()
    found = np.frombuffer(raw[84:], TRIANGLE)
    assert len(found) == np.frombuffer(raw[80:84], "<u4")[0]
    return found["corners"].astype(np.float64)


def test_volumes_say_what_people_looked_at(folder: Path) -> None:
    with client(folder) as page:
        page.put("/api/cases/s0/slices/0/looked")
        page.put("/api/cases/s0/slices/1/review", json={"verdict": "accepted"})
        page.put("/api/cases/s1/slices/2/mask", content=np.zeros_like(DENSE[0]).tobytes())
        told = page.get("/api/clinical").json()
        counts = {"slices": 3, "looked_at": 2, "accepted": 1, "corrected": 0, "rejected": 0}
        assert told["slices"]["s0"] == counts
        assert told["slices"]["m0"]["looked_at"] == 0
        answer = post(page, "volumes").json()
    assert Path(answer["path"]).name == "volumes.csv"
    rows = {row["case"]: row for row in csv.DictReader(Path(answer["path"]).read_text().splitlines())}
    spacing = nifti.read(folder / "images" / "s0.nii.gz").spacing
    assert spacing is not None
    assert float(rows["s0"]["LV"]) == pytest.approx((DENSE == 3).sum() * np.prod(spacing) / 1000, rel=1e-3)
    assert float(rows["s1"]["LV"]) == pytest.approx(float(rows["s0"]["LV"]) * 2 / 3, rel=1e-3), "one slice was emptied"
    assert [rows[case]["share_looked_at"] for case in ("m0", "s0", "s1")] == ["0.0", "0.667", "0.333"]


def test_meshes_lie_where_the_structure_does(folder: Path) -> None:
    with client(folder) as page:
        answer = post(page, "meshes").json()
    out = Path(answer["path"])
    assert (answer["files"], answer["problems"]) == (9, [])
    assert sorted(path.name for path in out.glob("s0*")) == ["s0-1-RV.stl", "s0-2-Myo.stl", "s0-3-LV.stl"]
    one, two, three = np.moveaxis(corners(out / "s0-3-LV.stl"), 1, 0)
    volume = np.einsum("ij,ij->", one, np.cross(two, three)) / 6
    voxel = abs(np.linalg.det(own.AFFINE[:3, :3]))
    assert volume == pytest.approx((DENSE == 3).sum() * voxel, rel=0.1), "positive: normals point outwards"
    middle = np.argwhere(DENSE == 3).mean(0)[::-1]
    expected = np.diag([-1, -1, 1]) @ (own.AFFINE @ [*middle, 1])[:3]
    np.testing.assert_allclose((one.min(0) + one.max(0)) / 2, expected, atol=0.5)


def test_meshes_of_another_time_do_not_stay(folder: Path) -> None:
    session = Session(folder)
    session.export("meshes")
    like = nifti.read(folder / "images" / "s0.nii.gz")
    nifti.write_labels(folder / "predictions/001/s0.nii.gz", (DENSE == 1).astype(np.uint8), like)
    Session(folder).export("meshes")
    assert [path.name for path in (folder / "export/meshes").glob("s0*")] == ["s0-1-RV.stl"]


def test_a_mesh_needs_a_spacing(tmp_path: Path) -> None:
    path = own.write(tmp_path / "a.png", (tiny.volume()[0][:1] * 255).astype(np.uint8))
    problems = list[str]()
    with pytest.raises(Exception, match="nothing to export; a: no mesh, as its image does not say its spacing"):
        write_meshes(tmp_path / "out", [mask(path, DENSE[:1])], CLASSES, problems)


def test_an_export_of_nothing_names_each_case(folder: Path) -> None:
    """It named the first one alone, as if the others were exported."""
    with client(folder) as page:
        answer = post(page, "seg")
        refused(answer, 409, "nothing to export; ", "no DICOM SEG, as its image is no DICOM", "and 2 more")
        assert [line.split(":")[0] for line in answer.json()["problems"]] == ["m0", "s0", "s1"]


def test_rejected_slices_are_told(folder: Path) -> None:
    with client(folder) as page:
        page.put("/api/cases/s0/slices/1/review", json={"verdict": "rejected"})
        (line,) = post(page, "meshes").json()["problems"]
    assert line == "s0: nothing in slices that are rejected or unknown (2)"


def test_pictures_show_the_labels(folder: Path) -> None:
    with client(folder) as page:
        answer = post(page, "overlays").json()
        colour = page.get("/api/folder").json()["classes"][3]["colour"]
    assert answer["files"] == 9
    picture = np.asarray(Image.open(Path(answer["path"]) / "s0_002.png"))
    assert picture.shape[0] >= 512
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    assert (picture == wanted).all(-1).any(), "an outline in the structure's colour"
    assert (picture[0, 0] == picture[0, 0, 0]).all(), "background stays grey"


def test_edges_are_those_of_labels() -> None:
    found = edges(np.array([[0, 0, 0, 1], [0, 0, 0, 1]], np.uint8))
    np.testing.assert_array_equal(found, [[False, False, True, True]] * 2)


def test_a_segmentation_is_made_of_a_series_alone(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    with client(folder) as page:
        refused(post(page, "seg"), 409, "nothing to export", "no DICOM SEG, as its image is no DICOM")
    dicoms.write_series(tmp_path / "series", (tiny.volume()[0] * 900).astype(np.int16))
    volume = image_files.read(tmp_path / "series")
    image = ShownImage(volume, np.zeros((1, *DENSE.shape), np.uint16), (), coloured=False)
    series = CaseMask("a", image, View(), DENSE, ("predicted",) * len(DENSE))
    problems = list[str]()
    classes = [PaletteClass(name, "#ffffff") for name in CLASSES]
    assert (
        write_segmentations(tmp_path / "out", [series, mask(folder / "images/s0.nii.gz", DENSE)], classes, problems)
        == 1
    )
    assert len(problems) == 1
    (white,) = {tuple(each.RecommendedDisplayCIELabValue) for each in dcmread(tmp_path / "out/a.dcm").SegmentSequence}
    assert white == tuple(cielab("#ffffff"))
    np.testing.assert_array_equal(seg.read(tmp_path / "out" / "a.dcm", volume, CLASSES), DENSE)


def test_masks_by_hand_come_out_without_a_run(tmp_path: Path) -> None:
    """Accepted proposals, or painted slices, in a folder in which nothing was ever trained."""
    folder = own.folder(tmp_path / "hearts", scribbled=2, masked=0)
    with client(folder) as page:
        for what in ("masks", "volumes", "seg", "meshes", "overlays", "model"):
            refused(post(page, what), 409, "nothing is predicted, accepted or painted yet")
        for index, labels in enumerate(DENSE):
            page.put(f"/api/cases/s0/slices/{index}/proposal", content=labels.tobytes()).raise_for_status()
        (line,) = post(page, "masks").json()["problems"]
        assert line == "s1: not predicted, and nothing of it is accepted or painted"
        masks = folder / "export" / "masks"
        np.testing.assert_array_equal(nifti.read(masks / "s0.nii.gz").array, DENSE)
        assert not (masks / "s1.nii.gz").exists()
        assert (masks / "slices.csv").read_text().count("accepted") == 3
        assert post(page, "meshes").json()["files"] == 3
        assert [each["case"] for each in page.get("/api/clinical").json()["cases"]] == ["s0"]
        page.put("/api/cases/s1/slices/1/mask", content=DENSE[1].tobytes()).raise_for_status()
        post(page, "masks").raise_for_status()
        painted = nifti.read(masks / "s1.nii.gz").array
        np.testing.assert_array_equal(painted[1], DENSE[1])
        assert (painted[[0, 2]] == 4).all()
        refused(post(page, "model"), 409, "train first")


def test_masks_of_another_time_do_not_stay(folder: Path) -> None:
    with client(folder) as page:
        assert post(page, "masks").json()["files"] == 4
        (folder / "images" / "s1.nii.gz").unlink()
        assert post(page, "masks").json()["files"] == 3
        names = {path.name for path in (folder / "export" / "masks").iterdir()}
        assert names == {"m0.nii.gz", "s0.nii.gz", "slices.csv"}


def test_what_no_export_wrote_stays_and_is_named(folder: Path) -> None:
    masks = folder / "export" / "masks"
    with client(folder) as page:
        assert post(page, "masks").json()["problems"] == []
        shutil.copy(masks / "s0.nii.gz", masks / "s0_by_hand.nii.gz")
        (masks / "my_table.csv").write_text("mine")
        (masks / "old.gz").mkdir()
        like = nifti.read(folder / "images" / "s1.nii.gz")
        nifti.write_labels(masks / "s1.nii.gz", np.full_like(DENSE, 2), like)  # in another program, in its place
        nifti.write_labels(masks / "m0.nii.gz", np.full_like(DENSE, 1), like)
        (folder / "images" / "m0.nii.gz").unlink()  # its mask would be deleted
        nifti.write_labels(folder / "predictions/001/s0.nii.gz", DENSE % 3, like)
        told = post(page, "masks").json()
    assert (told["files"], told["problems"]) == (2, [
        "export/masks: not replaced, as changed since or not written by an export: s1.nii.gz; move it away to have the "
        "new one",
        "export/masks: beside the export stays what was changed since or not written by an export: m0.nii.gz, "
        "my_table.csv, old.gz, s0_by_hand.nii.gz",
    ])  # fmt: skip
    assert (masks / "my_table.csv").read_text() == "mine"
    assert (nifti.read(masks / "s1.nii.gz").array == 2).all()
    assert (nifti.read(masks / "m0.nii.gz").array == 1).all()
    np.testing.assert_array_equal(nifti.read(masks / "s0_by_hand.nii.gz").array, DENSE)
    np.testing.assert_array_equal(nifti.read(masks / "s0.nii.gz").array, DENSE % 3)


def test_exports_of_before_there_was_a_record_are_replaced_and_nothing_else_is_deleted(folder: Path) -> None:
    masks = folder / "export" / "masks"
    with client(folder) as page:
        post(page, "masks").raise_for_status()
        post(page, "volumes").raise_for_status()
        (folder / "export" / outputs.RECORD).unlink()
        (masks / "s0.nii.gz").write_text("of an earlier version")
        (folder / "images" / "s1.nii.gz").unlink()
        (line,) = post(page, "masks").json()["problems"]
        assert line.startswith("export/masks: beside the export stays")
        assert line.endswith(": s1.nii.gz")
        np.testing.assert_array_equal(nifti.read(masks / "s0.nii.gz").array, DENSE)
        assert (masks / "s1.nii.gz").exists()
        assert "s1" not in (masks / "slices.csv").read_text()
        assert post(page, "volumes").json()["problems"] == []
        assert "s1" not in (folder / "export" / "volumes.csv").read_text()


def test_a_folder_in_the_place_of_a_file_is_told(folder: Path) -> None:
    with client(folder) as page:
        (folder / "export" / "masks" / "s0.nii.gz").mkdir(parents=True)
        (line,) = post(page, "masks").json()["problems"]
        assert line.startswith("export/masks: not replaced")
        (folder / "export" / "volumes.csv").mkdir()
        refused(post(page, "volumes"), 409, "export: not replaced", "volumes.csv; move it away")


def test_a_link_in_the_place_of_a_file_stays(folder: Path) -> None:
    with client(folder) as page:
        post(page, "masks").raise_for_status()
        link = folder / "export" / "masks" / "s0.nii.gz"
        shutil.move(link, folder / "moved.nii.gz")
        link.symlink_to(folder / "moved.nii.gz")
        (line,) = post(page, "masks").json()["problems"]
        assert "not replaced" in line
    assert link.is_symlink()


def test_tables_of_hearts_of_another_time_do_not_stay(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=0, masked=0)
    (folder / "predictions" / "001").mkdir(parents=True)
    for case in ("p_ED", "p_ES"):
        own.case(folder, case)
        like = nifti.read(folder / "images" / f"{case}.nii.gz")
        nifti.write_labels(folder / "predictions" / "001" / f"{case}.nii.gz", DENSE, like)
    hearts = folder / "export" / "hearts.csv"
    with client(folder) as page:
        for changed in (False, True):
            assert post(page, "volumes").json()["files"] == 2
            assert "p," in hearts.read_text()
            if changed:
                hearts.write_text("mine")
            shutil.move(folder / "images/p_ES.nii.gz", folder / "p_ES.nii.gz")
            told = post(page, "volumes").json()
            assert told["files"] == 1
            assert [line for line in told["problems"] if "hearts.csv" in line] == [
                "export: beside the export stays what was changed since or not written by an export: hearts.csv"
            ] * changed
            assert hearts.exists() == changed
            shutil.move(folder / "p_ES.nii.gz", folder / "images/p_ES.nii.gz")
    assert hearts.read_text() == "mine"


def test_no_export_of_masks_is_empty(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=1, masked=0)
    with client(folder) as page:
        page.put("/api/cases/s0/slices/1/mask", content=DENSE[1].tobytes()).raise_for_status()
        (folder / "corrected" / "s0.nii.gz").write_bytes(b"damaged")
        refused(post(page, "masks"), 409, "nothing to export", "corrected/s0.nii.gz")
        assert not list((folder / "export").rglob("slices.csv"))


@pytest.mark.parametrize("what", ["masks", "volumes", "meshes", "overlays"])
def test_each_case_comes_out_or_is_named(folder: Path, what: str) -> None:
    for case in ("new", "newer"):
        own.case(folder, case, 7, scribble=False)
    with client(folder) as page:
        for case, verdict in (("s1", "accepted"), ("m0", "rejected")):
            page.put(f"/api/cases/{case}/slices/1/review", json={"verdict": verdict}).raise_for_status()
            (folder / "images" / f"{case}.nii.gz").unlink()
        page.put("/api/cases/newer/slices/0/mask", content=DENSE[1].tobytes()).raise_for_status()
        shutil.move(folder / "corrected" / "newer.nii.gz", folder / "corrected" / "gone.nii.gz")
        assert post(page, what).json()["problems"] == [
            "new, newer: not predicted by run 001, and nothing of them is accepted or painted",
            "gone, m0, s1: judged or painted, and there is no image of this name; put the image back",
        ]


@pytest.mark.parametrize("part", ["images", "scribbles"])
def test_each_case_of_a_data_set_that_can_not_be_is_named(folder: Path, part: str) -> None:
    (folder / "masks" / "m0.nii.gz").unlink()
    for name in ("s0", "s1"):
        if part == "images":
            (folder / part / f"{name}.nii.gz").unlink()
        else:
            (folder / part / f"{name}.nii.gz").write_bytes(b"no image")
    with client(folder) as page:
        told = post(page, "nnunet")
        assert (told.status_code, len(told.json()["problems"])) == (400, 2)
        assert [f"s{number}.nii.gz" in line for number, line in enumerate(told.json()["problems"])] == [True, True]
    assert not list((folder / "export").glob("Dataset*"))


def test_a_case_without_a_structure_has_no_mesh(folder: Path) -> None:
    path = folder / "images" / "s0.nii.gz"
    nifti.write_labels(folder / "predictions/001/s0.nii.gz", np.zeros_like(DENSE), nifti.read(path))
    with client(folder) as page:
        assert post(page, "meshes").json()["problems"] == ["s0: no mesh, as it holds no structure"]


def test_an_accepted_slice_that_is_lost_is_the_line_of_its_case(folder: Path) -> None:
    with client(folder) as page:
        page.put("/api/cases/s0/slices/1/review", json={"verdict": "accepted"}).raise_for_status()
        (folder / "predictions" / "001" / "s0.nii.gz").unlink()
        (line,) = post(page, "masks").json()["problems"]
    assert line == "s0: slice 2 as run 001 had it was accepted, and is gone"


def test_a_class_called_as_a_column_keeps_its_volume(folder: Path) -> None:
    with client(folder) as page:
        rows = page.get("/api/folder").json()["classes"]
        for row, name in zip(rows[1:], ("slices", "unit", "slices (class)"), strict=True):
            row["name"] = name
        page.put("/api/classes", json={"classes": rows}).raise_for_status()
        volumes = page.get("/api/clinical").json()["cases"][0]["volumes"]
        post(page, "volumes").raise_for_status()
    head, first, *_ = csv.reader((folder / "export" / "volumes.csv").read_text().splitlines())
    assert len(set(head)) == len(head)
    assert head[2:5] == ["slices (class) (class)", "unit (class)", "slices (class)"]
    assert [float(value) for value in first[2:5]] == pytest.approx(list(volumes.values()))
    assert first[head.index("slices")] == "3"


def test_volumes_leave_out_what_was_rejected_and_say_what_is_not_measured(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=2, masked=1)
    with client(folder) as page:
        for case in ("s0", "s1"):
            page.put(f"/api/cases/{case}/slices/1/mask", content=DENSE[1].tobytes()).raise_for_status()
        told = page.get("/api/clinical").json()
        assert told["cases"] == []
        assert told["problems"] == [
            "m0: not predicted, and nothing of it is accepted or painted",
            "no volumes of s0, s1: slices of theirs have no labels",
        ]
        predict(folder)
        whole = {each["case"]: each["volumes"]["LV"] for each in page.get("/api/clinical").json()["cases"]}
        page.put("/api/cases/s0/slices/0/review", json={"verdict": "rejected"}).raise_for_status()
        told = page.get("/api/clinical").json()
        volumes = {each["case"]: each["volumes"]["LV"] for each in told["cases"]}
        assert volumes["s1"] == whole["s1"]
        part = (DENSE[1:] == 3).sum() / (DENSE == 3).sum()
        assert volumes["s0"] == pytest.approx(whole["s0"] * part, rel=1e-3)
        assert told["problems"] == ["s0: nothing in slices that are rejected or unknown (1)"]


def test_long_names_of_structures_make_files(folder: Path) -> None:
    with client(folder) as page:
        rows = page.get("/api/folder").json()["classes"]
        rows[1]["name"] = "\u5fc3" * 40
        page.put("/api/classes", json={"classes": rows}).raise_for_status()
        long = "\u5fc3" * 60  # 180 bytes
        for part, suffix in (("images", ""), ("predictions/001", "")):
            path = folder / part / f"s0{suffix}.nii.gz"
            path.with_name(f"{long}.nii.gz").write_bytes(path.read_bytes())
        for what in ("masks", "meshes", "overlays", "volumes"):
            post(page, what).raise_for_status()
