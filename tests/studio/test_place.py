"""An image is saved anew with other axes, or one that lies elsewhere takes its place: labels follow, or are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

import own
import tiny
from maskmixadv.errors import InputError
from maskmixadv.studio import pending, scribbles
from maskmixadv.studio.session import Session, served
from studio_server import SHAPE, client, plane, predict, refused, strokes, trained

S0 = "/api/cases/s0/slices"
DEPTH = 3
DENSE = tiny.volume()[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = own.folder(tmp_path / "hearts", scribbled=2, masked=1)
    predict(found)
    return found


def turn(path: Path) -> None:
    """Save a volume anew with two axes that run the other way; each voxel stays where it is in the patient."""
    image: Any = nib.load(path)
    flipped = nib.orientations.apply_orientation(np.asarray(image.dataobj), [[0, -1], [1, 1], [2, -1]])
    way = nib.orientations.inv_ornt_aff([[0, -1], [1, 1], [2, -1]], image.shape)
    nib.save(nib.Nifti1Image(np.ascontiguousarray(flipped), image.affine @ way), path)


def move(path: Path) -> None:
    """Save a volume anew somewhere else in the patient."""
    image: Any = nib.load(path)
    affine = image.affine.copy()
    affine[:3, 3] += [80, -60, 40]
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)


def lies(path: Path, code: int) -> np.ndarray:
    """Where a class lies in the patient, in mm."""
    image: Any = nib.load(path)
    found = np.argwhere(np.asarray(image.dataobj) == code)
    return apply_affine(image.affine, found.mean(0))


def seen(page: httpx.Client, what: str) -> list[np.ndarray]:
    return [plane(page.get(f"{S0}/{index}/{what}")) for index in range(DEPTH)]


def problems(page: httpx.Client) -> str:
    return "\n".join(page.get("/api/folder").json()["problems"])


def work(page: httpx.Client) -> None:
    """Draw on the page's first and last slice, paint the second one."""
    page.put(f"{S0}/2/scribble", content=strokes(1).tobytes()).raise_for_status()
    page.put(f"{S0}/0/scribble", content=strokes(2).tobytes()).raise_for_status()
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:5, 3:9] = 3
    page.put(f"{S0}/1/mask", content=mask.tobytes()).raise_for_status()


WHAT = ("scribble", "prediction", "disagreement", "mask?of=given")


@pytest.mark.parametrize("anew", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["open", "restarted"])
def test_labels_follow_an_image_that_is_saved_with_other_axes(folder: Path, anew: bool) -> None:
    shutil.copy(folder / "predictions" / "001" / "s0.nii.gz", folder / "masks" / "s0.nii.gz")
    with client(folder) as page:
        work(page)
        before = {what: seen(page, what) for what in WHAT}
        painted, drawn = plane(page.get(f"{S0}/1/mask")), lies(folder / "scribbles" / "s0.nii.gz", 2)
        page.post("/api/export", json={"what": "masks"}).raise_for_status()
        exported = lies(folder / "export" / "masks" / "s0.nii.gz", 1)
        if not anew:
            turn(folder / "images" / "s0.nii.gz")
            follows(page, before, painted)
    if anew:
        turn(folder / "images" / "s0.nii.gz")
    with client(folder) as page:
        follows(page, before, painted)
        page.post("/api/export", json={"what": "masks"}).raise_for_status()
        np.testing.assert_allclose(lies(folder / "export" / "masks" / "s0.nii.gz", 1), exported, atol=1e-3)
        # One more stroke writes the file on the image's grid, and leaves the others where they are.
        page.put(f"{S0}/2/scribble", content=strokes(3).tobytes()).raise_for_status()
        np.testing.assert_allclose(lies(folder / "scribbles" / "s0.nii.gz", 2), drawn, atol=1e-3)


def follows(page: httpx.Client, before: dict[str, list[np.ndarray]], painted: np.ndarray) -> None:
    assert problems(page) == ""
    for what, slices in before.items():
        np.testing.assert_array_equal(seen(page, what), slices, what)
    np.testing.assert_array_equal(plane(page.get(f"{S0}/1/mask")), painted)


def test_labels_of_another_place_are_refused_and_stay(folder: Path) -> None:
    shutil.copy(folder / "predictions" / "001" / "s0.nii.gz", folder / "masks" / "s0.nii.gz")
    with client(folder) as page:
        work(page)
        files = [folder / part / "s0.nii.gz" for part in ("scribbles", "corrected", "masks")]
        content = [path.read_bytes() for path in files]
        move(folder / "images" / "s0.nii.gz")
        for path in files:
            (line,) = [each for each in problems(page).splitlines() if f"{path.parent.name}/s0.nii.gz" in each]
            for words in ("corners lie up to 108 mm from", "allowed are up to 0.752 mm", "put the image back"):
                assert words in line
        assert "predictions/001/s0.nii.gz" in problems(page)
        refused(page.get(f"{S0}/0/scribble"), 400, "108 mm")
        refused(page.get(f"{S0}/0/mask?of=given"), 400, "108 mm")
        refused(page.get(f"{S0}/0/prediction"), 400, "108 mm", "train again")
        refused(page.get(f"{S0}/0/disagreement"), 400, "108 mm", "train again")
        refused(page.put(f"{S0}/2/scribble", content=strokes().tobytes()), 400, "108 mm")
        refused(page.put(f"{S0}/2/mask", content=DENSE[0].tobytes()), 400, "108 mm")
        assert [path.read_bytes() for path in files] == content
        told = page.post("/api/export", json={"what": "masks"}).json()
        assert "108 mm" in " ".join(told["problems"])
        assert not (folder / "export" / "masks" / "s0.nii.gz").exists()


def test_an_accepted_proposal_follows_its_image_or_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "predictions")
    file = folder / "predictions" / "000" / "s0.nii.gz"
    with client(folder) as page:
        page.put(f"{S0}/1/proposal", content=DENSE[1].tobytes()).raise_for_status()
        turn(folder / "images" / "s0.nii.gz")
        np.testing.assert_array_equal(plane(page.get(f"{S0}/1/prediction")), DENSE[1])
        page.put(f"{S0}/0/proposal", content=DENSE[0].tobytes()).raise_for_status()
        np.testing.assert_array_equal([plane(page.get(f"{S0}/{k}/prediction")) for k in (0, 1)], DENSE[:2])
        content = file.read_bytes()
        move(folder / "images" / "s0.nii.gz")
        refused(page.put(f"{S0}/2/proposal", content=DENSE[2].tobytes()), 400, "108 mm", "put the image back")
        assert file.read_bytes() == content


def test_probabilities_of_other_axes_are_not_used(folder: Path) -> None:
    from maskmixadv.formats.slicing import View
    from maskmixadv.studio.layout import Layout
    from maskmixadv.studio.learning.predictions import StoredPredictions
    from studio_server import probable

    probable(folder, 1)
    stored = StoredPredictions(Layout.open(folder))
    assert stored.probabilities("001", "s0", View(), 1, (DEPTH, *SHAPE)) is not None
    for change in (turn, move):
        change(folder / "images" / "s0.nii.gz")
        assert stored.probabilities("001", "s0", View(), 1, (DEPTH, *SHAPE)) is None


def _nrrd(path: Path, part: tuple[slice, ...] = (slice(None),) * 3) -> Path:
    """Save strokes as 3D Slicer does; `part` is the part that it keeps. Returns the file."""
    sitk = pytest.importorskip("SimpleITK")
    sitk.WriteImage(sitk.ReadImage(str(path))[part], str(path.with_name("s0.nrrd")))
    path.unlink()
    return path.with_name("s0.nrrd")


def _straight(folder: Path) -> None:
    """Give the files of s0 axes at right angles, as ITK wants them."""
    for part in ("images", "scribbles"):
        image: Any = nib.load(folder / part / "s0.nii.gz")
        affine = np.diag([-1.5, -1.5, 8, 1.0])
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), folder / part / "s0.nii.gz")


def test_cropped_strokes_are_pasted_onto_their_image_and_kept(folder: Path) -> None:
    shutil.rmtree(folder / "predictions")
    _straight(folder)
    with client(folder) as page:
        whole = seen(page, "scribble")
    cropped = _nrrd(folder / "scribbles" / "s0.nii.gz", (slice(5, 40), slice(4, 38), slice(0, 2)))
    with client(folder) as page:
        found = seen(page, "scribble")
        np.testing.assert_array_equal(
            [each[4:38, 5:40] for each in found[:2]], [each[4:38, 5:40] for each in whole[:2]]
        )
        assert (found[2] == 255).all()
        content = cropped.read_bytes()
        page.put(f"{S0}/2/scribble", content=strokes().tobytes()).raise_for_status()
        np.testing.assert_array_equal(seen(page, "scribble"), [*found[:2], strokes()])
        assert not cropped.exists()
        assert cropped.with_name("s0.nrrd.bak").read_bytes() == content
        assert "s0" not in problems(page)


@pytest.mark.parametrize("part", ["scribbles", "corrected"])
def test_a_file_of_another_format_is_kept_beside_the_one_that_replaces_it(folder: Path, part: str) -> None:
    own.write(folder / part / "s0.nii", own.coded(tiny.volume()[1]))
    (folder / part / "s0.nii.gz").unlink(missing_ok=True)
    content = (folder / part / "s0.nii").read_bytes()
    (folder / part / "s0.nii.bak").write_bytes(b"earlier")
    with client(folder) as page:
        what, labels = ("scribble", strokes()) if part == "scribbles" else ("mask", DENSE[2])
        page.put(f"{S0}/2/{what}", content=labels.tobytes()).raise_for_status()
        assert problems(page) == ""
    names = {path.name: path.read_bytes() for path in (folder / part).glob("s0.nii*")}
    assert set(names) == {"s0.nii.gz", "s0.nii.bak", "s0.nii.1.bak"}
    assert (names["s0.nii.bak"], names["s0.nii.1.bak"]) == (b"earlier", content)


def reviews(page: httpx.Client, name: str = "s0") -> tuple[dict[str, str], list[int]]:
    """What holds of a case: verdicts, and slices that somebody looked at."""
    (case,) = (each for each in page.get("/api/folder").json()["cases"] if each["name"] == name)
    return case["reviews"], case["masks"]["looked"]


def judge(page: httpx.Client, name: str = "s0") -> None:
    """Accept the first slice of a case, look at the second, and correct the last."""
    at = f"/api/cases/{name}/slices"
    page.put(f"{at}/0/review", json={"verdict": "accepted"}).raise_for_status()
    page.put(f"{at}/1/looked").raise_for_status()
    page.put(f"{at}/2/scribble?seconds=2", content=strokes(1).tobytes()).raise_for_status()


HELD = {"0": "accepted"}, [0, 1]


@pytest.mark.parametrize("anew", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["open", "restarted"])
def test_verdicts_follow_an_image_that_is_saved_with_other_axes(folder: Path, anew: bool) -> None:
    (folder / "predictions" / "001" / "s0.nii.gz").unlink()
    like: Any = nib.load(folder / "images" / "s0.nii.gz")
    own.write(folder / "predictions" / "001" / "s0.nii.gz", np.array([DENSE[1], DENSE[1], DENSE[0]]), like.affine)
    with client(folder) as page:
        judge(page)
        assert reviews(page) == HELD
        queue = page.get("/api/queue").json()
        page.post("/api/export", json={"what": "nnunet"}).raise_for_status()
        if not anew:
            turn(folder / "images" / "s0.nii.gz")
            assert reviews(page) == HELD
    if anew:
        turn(folder / "images" / "s0.nii.gz")
    with client(folder) as page:
        assert reviews(page) == HELD
        assert problems(page) == ""
        assert page.get("/api/queue").json() == queue
        page.post("/api/export", json={"what": "nnunet"}).raise_for_status()
        page.put(f"{S0}/1/review", json={"verdict": "rejected"}).raise_for_status()
        both = {"0": "accepted", "1": "rejected"}, [0, 1]
        assert reviews(page) == both
        turn(folder / "images" / "s0.nii.gz")
        assert reviews(page) == both
    one, other = sorted((folder / "export").glob("Dataset*/labelsTr/s0.nii.gz"))
    for code in (1, 2, 3):
        np.testing.assert_allclose(lies(one, code), lies(other, code), atol=1e-3)


def test_verdicts_on_an_image_of_another_place_are_held_back_until_it_is_there_again(folder: Path) -> None:
    path = folder / "images" / "s0.nii.gz"
    content = path.read_bytes()
    with client(folder) as page:
        judge(page)
        move(path)
        assert reviews(page) == ({}, [])
        assert "images/s0.nii.gz: is another image" in problems(page)
        assert "held back: 1 verdict, 1 look" in problems(page)
        told = page.post("/api/export", json={"what": "nnunet"}).json()
        assert "s0: 1 slice accepted on another image of this name, left out" in told["problems"]
        # What is said of the new image does not touch what was said of the former one.
        for part in ("predictions/001", "scribbles"):
            move(folder / part / "s0.nii.gz")
        page.put(f"{S0}/1/review", json={"verdict": "rejected"}).raise_for_status()
        assert reviews(page) == ({"1": "rejected"}, [1])
        assert problems(page) == ""
    with client(folder) as page:
        assert reviews(page) == ({"1": "rejected"}, [1])
        path.write_bytes(content)
        shutil.copy(path.parents[1] / "predictions" / "001" / "s1.nii.gz", folder / "predictions" / "001" / "s0.nii.gz")
        assert reviews(page) == HELD


def test_a_picture_that_takes_the_place_of_another_is_told(tmp_path: Path) -> None:
    folder, noise = tmp_path / "cells", np.random.default_rng(0).integers(0, 255, (2, *SHAPE), np.uint8)
    for name, pixels in zip("ab", noise, strict=True):
        own.write(folder / "images" / f"{name}.png", pixels[None])
    with client(folder) as page:
        page.put("/api/cases/a/slices/0/mask", content=(noise[0] > 99).astype(np.uint8).tobytes()).raise_for_status()
        page.put("/api/cases/b/slices/0/scribble", content=strokes().tobytes()).raise_for_status()
        page.put("/api/cases/b/slices/0/proposal", content=np.zeros(SHAPE, np.uint8).tobytes()).raise_for_status()
        assert problems(page) == ""
        (folder / "images" / "a.png").rename(folder / "images" / "c.png")
        (folder / "images" / "b.png").rename(folder / "images" / "a.png")
        (folder / "images" / "c.png").rename(folder / "images" / "b.png")
        one, other = problems(page).splitlines()
        assert one.startswith("images/a.png: is another image than the one that was worked on; put that one back")
        assert other.startswith("images/b.png: is another image")
        assert "held back: 1 verdict;" in other
        assert reviews(page, "b")[0] == {}


def test_notes_of_earlier_versions_hold(folder: Path) -> None:
    with client(folder) as page:
        judge(page)
    for name in ("studio.json", "cases.json"):
        raw = json.loads((folder / name).read_text())
        del raw["former"]
        for case in raw["cases"].values():
            del case["image"], case["axis"]
        (folder / name).write_text(json.dumps(raw))
    with client(folder) as page:
        assert reviews(page) == HELD
        assert problems(page) == ""


@pytest.mark.parametrize("wrong", [{"affine": [[1, 0, 0]]}, {"shape": [3, 4]}, {"content": 7}, {"affine": "none"}])
def test_a_malformed_image_in_the_notes_is_one_line(folder: Path, wrong: dict[str, object]) -> None:
    with client(folder) as page:
        judge(page)
    raw = json.loads((folder / "studio.json").read_text())
    raw["cases"]["s0"]["image"] |= wrong
    (folder / "studio.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match=r"studio\.json: malformed"), client(folder):
        pass


def test_a_prediction_of_another_picture_is_not_shown(tmp_path: Path) -> None:
    folder, noise = tmp_path / "cells", np.random.default_rng(0).integers(0, 255, (3, *SHAPE), np.uint8)
    for name, pixels in zip("abc", noise, strict=True):
        own.write(folder / "images" / f"{name}.png", pixels[None])
    own.write(folder / "scribbles" / "a.nii.gz", own.coded(tiny.volume()[1][:1]))
    (folder / "classes.toml").write_text(own.CLASSES)
    trained(folder)
    at = "/api/cases/{}/slices/0/prediction"
    with client(folder) as page:
        assert problems(page) == ""
        labels = plane(page.get(at.format("c")))
        shutil.copy(folder / "images" / "a.png", folder / "images" / "b.png")
        (line,) = problems(page).splitlines()
        assert line.endswith("predictions/001/b.nii.gz: was predicted of another image of this name; train again")
        refused(page.get(at.format("b")), 400, "another image")
        np.testing.assert_array_equal(plane(page.get(at.format("c"))), labels)
        told = page.post("/api/export", json={"what": "masks"}).json()
        assert "another image of this name" in " ".join(told["problems"])
    (folder / "predictions" / "001" / "images.json").write_text('{"c": {}}')
    with client(folder) as page:
        refused(page.get(at.format("c")), 400, "images.json: malformed")
    (folder / "predictions" / "001" / "images.json").unlink()
    with client(folder) as page:  # runs of earlier versions have none
        assert problems(page) == ""


@pytest.fixture
def large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose images are taken as large: strokes are on disk as slices first."""
    monkeypatch.setattr(scribbles, "LARGE", 0)
    monkeypatch.setattr(pending, "IDLE", 60.0)
    shutil.rmtree(folder / "predictions")
    return folder


def drawn(session: Session) -> list[np.ndarray]:
    return [session.scribble("s0", index) for index in range(DEPTH)]


def test_strokes_that_are_slices_as_yet_follow_their_image(large: Path) -> None:
    session = Session(large)
    session.draw("s0", 0, strokes(2).tobytes(), 1.0)
    before = drawn(session)
    turn(large / "images" / "s0.nii.gz")
    np.testing.assert_array_equal(drawn(session), before)
    session.settle()
    np.testing.assert_array_equal(drawn(session), before)
    turn(large / "images" / "s0.nii.gz")
    session.draw("s0", 0, strokes(3).tobytes(), 1.0)
    before[0] = strokes(3)
    turn(large / "images" / "s0.nii.gz")
    session.draw("s0", 2, strokes(1).tobytes(), 1.0)
    np.testing.assert_array_equal(drawn(session), [*before[:2], strokes(1)])
    with served(large) as again:  # the first one was killed
        assert again.folder().problems == []
        np.testing.assert_array_equal(drawn(again), [*before[:2], strokes(1)])


def test_strokes_that_are_slices_as_yet_are_refused_on_an_image_of_another_place(large: Path) -> None:
    session, path = Session(large), large / "images" / "s0.nii.gz"
    session.draw("s0", 0, strokes(2).tobytes(), 1.0)
    content = path.read_bytes()
    move(path)
    with pytest.raises(InputError, match="108 mm"):
        session.draw("s0", 2, strokes(1).tobytes(), 1.0)
    path.write_bytes(content)
    np.testing.assert_array_equal(session.scribble("s0", 0), strokes(2))


@pytest.mark.parametrize("change", [turn, move])
def test_slices_that_a_killed_server_left_wait_for_their_image(large: Path, change: Callable[[Path], None]) -> None:
    path = large / "images" / "s0.nii.gz"
    Session(large).draw("s0", 0, strokes(2).tobytes(), 1.0)
    (large / "scribbles" / "s0.nii.gz").unlink()
    content = path.read_bytes()
    change(path)
    with served(large) as session:  # the first one was killed
        assert [line for line in session.folder().problems if ".studio/strokes/s0" in line]
        with pytest.raises(InputError, match="not in scribbles/; put the image back that they were drawn on"):
            session.draw("s0", 1, strokes(1).tobytes(), 1.0)
    path.write_bytes(content)
    with served(large) as session:
        assert session.folder().problems == []
        np.testing.assert_array_equal(session.scribble("s0", 0), strokes(2))
