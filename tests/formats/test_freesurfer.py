"""FreeSurfer's MGH files: read as NIfTI of the same voxels is, and as SimpleITK's NIfTI says where they lie."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import own
from maskmixadv.cli.app import run
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.formats import freesurfer, image_files, nifti
from maskmixadv.formats.slicing import Slicing

RNG = np.random.default_rng(0)
MGH: Any = nib.MGHImage  # whose annotation of arrays takes none
VOXELS = RNG.integers(0, 900, (5, 7, 3)).astype(np.int16)


def saved(path: Path, array: np.ndarray = VOXELS, affine: np.ndarray = own.AFFINE, repeats: float = 0.0) -> Path:
    image = MGH(array, affine)
    if repeats:
        image.header.set_zooms((*image.header.get_zooms()[:3], repeats))
    nib.save(image, path)
    return path


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32])
@pytest.mark.parametrize("suffix", freesurfer.SUFFIXES)
def test_it_is_what_nifti_of_the_same_voxels_is(tmp_path: Path, suffix: str, kind: type) -> None:
    array = (VOXELS % 200).astype(kind)
    nib.save(nib.Nifti1Image(array, own.AFFINE), tmp_path / "a.nii.gz")
    one, other = saved(tmp_path / f"b{suffix}", array), tmp_path / "a.nii.gz"
    mine, theirs = image_files.read(one), image_files.read(other)
    np.testing.assert_array_equal(mine.array, theirs.array)
    assert mine.array.dtype == kind
    assert mine.affine is not None
    assert theirs.affine is not None
    np.testing.assert_allclose(mine.affine, theirs.affine, atol=1e-4)
    np.testing.assert_allclose(mine.spacing or (), theirs.spacing or (), rtol=1e-5)
    heads = [image_files.header(path) for path in (one, other)]
    assert heads[0].shape == heads[1].shape
    views = [Slicing(radiological=True).of(head) for head in heads]
    assert views[0] == views[1]
    assert image_files.declared(one).shape == (5, 7, 3, 1)


@pytest.mark.parametrize("suffix", freesurfer.SUFFIXES)
def test_labels_lie_where_the_image_does(tmp_path: Path, suffix: str) -> None:
    path, out = saved(tmp_path / f"a{suffix}"), tmp_path / "out"
    codes = RNG.integers(0, 4, (3, 7, 5)).astype(np.uint8)
    out.mkdir()
    written = out / image_files.labels_name(path)
    volume = image_files.read(path)
    image_files.write_labels(written, codes, volume)
    nifti.write_labels(out / "a.nii.gz", codes, volume)
    assert sorted(each.name for each in out.iterdir()) == sorted(["a.nii.gz", f"a{suffix}"])
    for each in out.iterdir():
        found: Any = nib.load(each)
        np.testing.assert_array_equal(np.asarray(found.dataobj).T, codes)
        np.testing.assert_allclose(found.affine, own.AFFINE, atol=1e-4)
        assert found.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(image_files.read_labels(written).array, codes)


def test_one_that_does_not_say_where_it_lies_is_not_turned(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.mgh")
    content = bytearray(path.read_bytes())
    content[28:30] = b"\0\0"  # goodRASFlag
    path.write_bytes(content)
    volume, head = image_files.read(path), image_files.header(path)
    assert (volume.geometry.placed, volume.spacing, volume.affine) == (False, None, None)
    assert (head.spacing, head.affine) == (None, None)
    image_files.write_labels(tmp_path / "b.mgz", np.ones((3, 7, 5), np.uint8), volume)
    assert not image_files.read(tmp_path / "b.mgz").geometry.placed


def test_frames_are_channels_unless_they_are_times(tmp_path: Path) -> None:
    two = np.stack([VOXELS, VOXELS + 1], -1)
    volume = image_files.read(saved(tmp_path / "a.mgz", two))
    assert volume.channels is not None
    np.testing.assert_array_equal(volume.channels, two.T)
    assert image_files.channels(tmp_path / "a.mgz") == 2
    with pytest.raises(InputError, match=r"b\.mgz: has 2 frames, which are times: the repetition time is 2000 ms"):
        image_files.read(saved(tmp_path / "b.mgz", two, repeats=2000.0))
    with pytest.raises(InputError, match=r"c\.mgz: has 9 frames, allowed are up to 4 channels"):
        image_files.read(saved(tmp_path / "c.mgz", np.stack([VOXELS] * 9, -1)))
    with pytest.raises(InputError, match=r"a\.mgz: labels have 2 frames"):
        image_files.read_labels(tmp_path / "a.mgz")


def test_what_is_damaged_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.mgh").read_bytes()
    for name, content, told in (
        ("short.mgh", whole[:100], "it has no such header"),
        ("cut.mgh", whole[:300], "of which it holds 16 bytes"),
        ("cut.mgz", gzip.compress(whole[:300]), "it is cut off"),
        ("version.mgh", b"\0\0\0\2" + whole[4:], "it has no such header"),
        ("type.mgh", whole[:20] + b"\0\0\0\7" + whole[24:], "voxels are of type 7, allowed are FreeSurfer's"),
        ("large.mgh", whole[:4] + b"\x7f\0\0\0" * 3 + whole[16:], "declares"),
        ("text.mgz", b"no such file", "it has no such header"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: .*{told}"):
            image_files.read(tmp_path / name)
    sheared = own.AFFINE @ np.array([[1, 0.8, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    nib.save(MGH(VOXELS, sheared), tmp_path / "sheared.mgz")
    with pytest.raises(InputError, match=r"sheared\.mgz: axes are .* from right angles"):
        image_files.read(tmp_path / "sheared.mgz")


def test_a_folder_of_it_becomes_the_corpus_that_nifti_becomes(tmp_path: Path) -> None:
    for suffix in (".nii.gz", ".mgz"):
        source = own.folder(tmp_path / suffix[1:], scribbled=2, masked=1)
        if suffix == ".mgz":
            for path in source.rglob("*.nii.gz"):
                image: Any = nib.load(path)
                array = np.asarray(image.dataobj)
                kind = np.float32 if array.dtype.kind == "f" else np.int16 if "images" in str(path) else np.uint8
                saved(path.with_name(path.name.replace(".nii.gz", ".mgz")), array.astype(kind), image.affine)
                path.unlink()
        assert run(["prepare", "folder", str(source), str(tmp_path / f"corpus{suffix}")]) == 0
    one, other = (own.by_name(Corpus.open(tmp_path / f"corpus{suffix}")) for suffix in (".nii.gz", ".mgz"))
    assert set(one) == set(other)
    for name, mine in one.items():
        np.testing.assert_allclose(mine.image, other[name].image, atol=1e-6)
        for labels in ("scribble", "dense"):
            np.testing.assert_array_equal(getattr(mine, labels), getattr(other[name], labels))
