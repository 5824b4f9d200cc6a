"""Large volumes: the first slice is shown before all of it is read."""

import time
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest

import own
import tiny
from maskmixadv.formats import image_files, nifti
from maskmixadv.formats.slicing import Header
from maskmixadv.studio.cache import FileCache
from maskmixadv.studio.images import volumes
from maskmixadv.studio.session import Session
from studio_server import SHAPE, client, plane, refused

SLICE = "/api/cases/s0/slices"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose image was seen by an earlier server."""
    folder = own.folder(tmp_path / "hearts", scribbled=1, masked=0)
    with client(folder) as page:
        assert page.get(f"{SLICE}/1/image").status_code == 200
    return folder


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Take any image as large, and the whole of it as slow to read."""
    read, done = volumes.several.read, list[str]()

    def slowly(paths: tuple[Path, ...]) -> object:
        time.sleep(1.0)
        done.append(paths[0].name)
        return read(paths)

    monkeypatch.setattr(volumes.several, "read", slowly)
    monkeypatch.setattr(volumes, "LARGE", 1)
    return done


def shown(page: httpx.Client, index: int) -> np.ndarray:
    return plane(page.get(f"{SLICE}/{index}/image"), "<u2")


def test_the_first_slice_is_there_before_the_whole_image_is(folder: Path, slow: list[str]) -> None:
    with client(folder) as page:
        first = shown(page, 2)
        assert plane(page.get(f"{SLICE}/2/scribble")).min() < 4
        assert slow == []
        np.testing.assert_array_equal(shown(page, 2), first)  # of the whole image
        assert shown(page, 0).tobytes() != first.tobytes()
        assert slow == ["s0.nii.gz"]  # once


@pytest.mark.parametrize("change", ["flipped", "padded", "scaled", "thick"])
def test_it_is_the_same_slice(folder: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    path = folder / "images" / "s0.nii.gz"
    image = (tiny.volume()[0] * 1500 - 1000).astype(np.int16)
    affine = own.AFFINE.copy()
    if change == "flipped":
        affine[:, :3] *= -1
    if change == "padded":
        image[:, :8] = -32768
    if change == "thick":  # slices lie along another axis of the file
        image, affine = image.transpose(1, 0, 2), affine[:, [0, 2, 1, 3]]
    stored = nib.Nifti1Image(np.ascontiguousarray(image.T), affine)
    if change == "scaled":
        stored.header.set_slope_inter(0.37, 11)
    nib.save(stored, path)
    (folder / "scribbles" / "s0.nii.gz").unlink()
    with client(folder) as page:
        expected = [shown(page, index) for index in range(3)]
    monkeypatch.setattr(volumes, "LARGE", 1)
    for index in range(3):
        with client(folder) as page:
            np.testing.assert_array_equal(shown(page, index), expected[index])
            refused(page.get(f"{SLICE}/3/image"), 404, "slice")


@pytest.mark.usefixtures("slow")
def test_an_image_that_was_cut_off_meanwhile_is_refused(folder: Path) -> None:
    with client(folder) as page:
        assert shown(page, 1).shape == SHAPE
        (folder / "images" / "s0.nii.gz").write_bytes((folder / "images" / "s0.nii.gz").read_bytes()[:2000])
        assert page.get(f"{SLICE}/1/image").status_code == 400


def test_a_slice_alone_is_that_of_the_whole(tmp_path: Path) -> None:
    for kind, suffix in ((np.int16, ".nii.gz"), (np.float32, ".nii"), (np.uint8, ".nii.gz")):
        path = tmp_path / f"a{suffix}"
        nib.save(nib.Nifti1Image(np.arange(60).reshape(5, 4, 3).astype(kind), np.eye(4)), path)
        whole = nifti.read(path).array
        for index in range(3):
            found = nifti.read_slice(path, index)
            assert found is not None
            assert found.dtype == whole.dtype
            np.testing.assert_array_equal(found, whole[index])
        assert nifti.read_slice(path, 3) is None
    nib.save(nib.Nifti1Image(np.zeros((5, 4, 3, 2)), np.eye(4)), path)
    assert nifti.read_slice(path, 0) is None


def test_an_image_that_is_sent_is_read_once(folder: Path, slow: list[str]) -> None:
    with client(folder) as page:
        sent = (folder / "images" / "s0.nii.gz").read_bytes()
        assert page.put("/api/images/new.nii.gz", content=sent).json() == {"case": "new"}
        assert page.get("/api/cases/new/slices/1/image").status_code == 200
    assert len(slow) == 1


def test_many_cases_are_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a listing for each case, or each in which somebody drew, 500 took a hundred times as long as 50."""
    from maskmixadv.studio import layout

    listed = list[Path]()
    shown = layout._shown  # pyright: ignore[reportPrivateUsage]

    def counting(folder: Path) -> list[Path]:
        listed.append(folder)
        return shown(folder)

    monkeypatch.setattr(layout, "_shown", counting)
    counts = list[list[int]]()
    for cases in (2, 9):
        folder = own.folder(tmp_path / f"hearts{cases}", scribbled=cases, masked=2)
        session = Session(folder)
        counts.append([])
        stroke = np.full(SHAPE, 255, np.uint8)
        stroke[5, 5:30] = 1

        def draw(case: str = "s0", session: Session = session, stroke: np.ndarray = stroke) -> object:
            return session.draw(case, 1, stroke.tobytes(), 1.0)

        for number in range(cases):
            draw(f"s{number}")
        for ask in (session.folder, session.queue, session.ready, draw):
            ask()
            listed.clear()
            ask()
            counts[-1].append(len(listed))
    assert counts[0] == counts[1]


def test_a_known_image_is_opened_with_its_header_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was read for its view, and again for its mark; with 500 images that is a second of a core."""
    read, header = list[Path](), image_files.header

    def counting(path: Path) -> Header:
        read.append(path)
        return header(path)

    monkeypatch.setattr(image_files, "header", counting)
    later = folder.rename(folder.with_name("later"))  # nothing in memory is known of it
    (later / "scribbles" / "s0.nii.gz").unlink()  # strokes are compared with the image's place, too
    Session(later).folder()
    assert read == [later.resolve() / "images" / "s0.nii.gz"]


def test_sizes_in_a_cache_are_asked_for_once() -> None:
    """All were summed again for each new one: 500 images took half a second of a core, 5000 a minute."""
    asked = list[int]()

    def size(content: int) -> int:
        asked.append(content)
        return content

    cache = FileCache(lambda path: int(path.suffix[1:]), size, 10)
    paths = [Path(f"a.{number}") for number in range(1, 9)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskmixadv.studio.cache.stamp", lambda path: (path, 0, 0, 0))
        assert [cache.get(path) for path in paths] == [*range(1, 9)]
        assert asked == [*range(1, 9)]
        assert [cache.holds(path) for path in paths] == [False] * 7 + [True]
        cache.put(1, paths[0])
        cache.put(2, paths[0])
        assert cache.get(paths[0]) == 2
        assert [cache.holds(path) for path in paths] == [True] + [False] * 6 + [True]
