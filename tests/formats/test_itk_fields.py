"""NRRD and MetaImage: fields that ITK passes over are refused or told."""

import bz2
import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files, itk

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
CONTENT = VOXELS.tobytes()
MORE = "its voxels need 120 bytes, and more follow, which are left out; look whether its size and the bytes to skip are"
PLACED = "space: left-posterior-superior\nspace directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (0,0,0)\n"


def nrrd(path: Path, fields: str = PLACED, content: bytes = CONTENT, packing: str = "raw") -> Path:
    head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: 5 4 3\nencoding: {packing}\nendian: little\n{fields}\n"
    path.write_bytes(head.encode() + content)
    return path


def metaimage(path: Path, fields: str, content: bytes = CONTENT, where: str = "LOCAL") -> Path:
    head = (
        f"ObjectType = Image\nNDims = 3\nDimSize = 5 4 3\n{fields}ElementType = MET_SHORT\nElementDataFile = {where}\n"
    )
    path.write_bytes(head.encode() + content)
    return path


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            f"{PLACED}old min: -5\nold max: 9\n",
            "old min -5 and old max 9, which values the stored numbers stand for,",
        ),
        (f"{PLACED}old min: nan\n", ""),
        (
            "axis mins: 0 0 0\naxis maxs: 5 8 9\n",
            "axis mins 0 0 0 and axis maxs 5 8 9, which would say a spacing,",
        ),
    ],
)
def test_fields_of_nrrd_that_are_not_used_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: str, said: str
) -> None:
    path = nrrd(tmp_path / "a.nrrd", fields)
    np.testing.assert_array_equal(image_files.read(path).array, VOXELS)
    assert capsys.readouterr().err == (f"{path}: {said} is not used\n" if said else "")


@pytest.mark.parametrize("packing", ["raw", "gzip"])
@pytest.mark.parametrize("detached", [False, True])
def test_more_bytes_than_nrrd_declares_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], packing: str, detached: bool
) -> None:
    """A header that names a file of another format, whose own header it does not skip, moves all voxels."""
    for more, skip in ((0, ""), (99, ""), (99, "byte skip: -1\n"), (99, "byte skip: 99\n")):
        content = bytes(more) + CONTENT
        packed = gzip.compress(content) if packing == "gzip" else content
        (tmp_path / "a.raw").write_bytes(packed)
        path = tmp_path / ("a.nhdr" if detached else "a.nrrd")
        named = "data file: a.raw\n" if detached else ""
        image_files.read(nrrd(path, PLACED + skip + named, b"" if detached else packed, packing))
        assert (f"{path}: {MORE}" in capsys.readouterr().err) == bool(more and not skip)


@pytest.mark.parametrize("detached", [False, True])
def test_more_bytes_than_metaimage_declares_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], detached: bool
) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(99) + CONTENT)
    path, where = tmp_path / ("a.mhd" if detached else "a.mha"), "a.raw" if detached else "LOCAL"
    image_files.read(metaimage(path, "", b"" if detached else bytes(99) + CONTENT, where))
    assert f"{path}: {MORE}" in capsys.readouterr().err
    if detached:
        for size in (-1, 99):
            read = image_files.read(metaimage(path, f"HeaderSize = {size}\n", b"", where)).array
            np.testing.assert_array_equal(read, VOXELS)
    np.testing.assert_array_equal(image_files.read(metaimage(tmp_path / "b.mha", "")).array, VOXELS)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("elementspacing = 1 2 3\n", "field elementspacing, allowed is ElementSpacing"),
        ("ELEMENTTOINTENSITYFUNCTIONSLOPE = 2\n", "field ELEMENTTOINTENSITYFUNCTIONSLOPE, allowed is ElementTo"),
        (
            "ElementSpacing = 1 2 3\nElementSpacing = 4 5 6\n",
            "ElementSpacing is 1 2 3 and 4 5 6, allowed is one",
        ),
        (
            "BinaryDataByteOrderMSB = False\nElementByteOrderMSB = True\n",
            "BinaryDataByteOrderMSB False and ElementByteOrderMSB True contradict each other",
        ),
    ],
)
def test_fields_of_metaimage_that_its_library_takes_otherwise_are_refused(
    tmp_path: Path, fields: str, said: str
) -> None:
    with pytest.raises(InputError, match=f"a.mha: {said}"):
        image_files.read(metaimage(tmp_path / "a.mha", fields))


@pytest.mark.parametrize("name", ["bzip2", "bz2"])
def test_nrrd_that_is_packed_by_bzip2_is_read(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """ITK has no such unpacking."""
    path = nrrd(tmp_path / "a.nrrd", content=bz2.compress(CONTENT), packing=name)
    (tmp_path / "b.bin").write_bytes(bz2.compress(bytes(6) + CONTENT))
    other = nrrd(tmp_path / "b.nhdr", f"{PLACED}byte skip: 6\ndata file: b.bin\n", b"", packing=name)
    for each in (path, other):
        volume = image_files.read(each)
        np.testing.assert_array_equal(volume.array, VOXELS)
        assert volume.spacing == (3.0, 2.0, 1.0)
    np.testing.assert_array_equal(image_files.read_labels(path).array, VOXELS)
    assert capsys.readouterr().err == ""
    image_files.read(nrrd(tmp_path / "c.nrrd", content=bz2.compress(CONTENT + bytes(50)), packing=name))
    assert capsys.readouterr().err == f"{tmp_path / 'c.nrrd'}: {MORE} right\n"


@pytest.mark.parametrize(
    ("fields", "content", "told"),
    [
        (PLACED, bz2.compress(CONTENT[:-2]), "its packed voxels are 118 bytes, and 120 are declared"),
        (PLACED, bz2.compress(CONTENT)[:-9], "it is cut off"),
        (PLACED, b"hello", "Invalid data stream"),
        (f"{PLACED}line skip: 1\n", b"\n" + bz2.compress(CONTENT), "with parts to skip, allowed is one file of voxels"),
        (f"{PLACED}data file: none.bin\n", b"", "couldn.t open"),
    ],
)
def test_damaged_bzip2_is_refused(tmp_path: Path, fields: str, content: bytes, told: str) -> None:
    path = nrrd(tmp_path / "a.nrrd", fields, content, packing="bzip2")
    with pytest.raises(InputError, match=rf"a\.nrrd: .*({told})") as caught:
        image_files.read(path)
    assert "\n" not in str(caught.value)


def test_metaimage_of_text_is_refused(tmp_path: Path) -> None:
    """ITK failed, and said "Success"."""
    path = metaimage(tmp_path / "a.mha", "BinaryData = False\n", " ".join(map(str, VOXELS.ravel())).encode())
    for ask in (image_files.read, image_files.header):
        with pytest.raises(InputError, match=r"a\.mha: BinaryData False, which is voxels as text, allowed is True"):
            ask(path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.HDR", "half of a pair of NIfTI or Analyze"),
        ("a.img.gz", "half of a pair"),
        ("a.gif", "a GIF, allowed is PNG"),
        ("a.mrb", r"a scene of 3D Slicer, which holds several files, .* save each image and segmentation as \.nrrd"),
        ("a.h5", "HDF5, which says nothing of a grid, .*prepare acdc' takes ACDC's"),
    ],
)
def test_what_is_known_and_not_read_is_named(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).write_bytes(bytes(348))
    with pytest.raises(InputError, match=rf"{name}: .*{told}"):
        image_files.read(tmp_path / name)


@pytest.mark.parametrize("space", ["left-posterior-superior-time", "RAST"])
def test_an_axis_of_a_space_with_time_is_time(tmp_path: Path, space: str) -> None:
    """Two times were channels: NRRD says it by the space, and without kinds."""
    lines = "dimension: 4\nsizes: 2 3 2 2\nspace directions: (1,0,0,0) (0,1,0,0) (0,0,5,0) (0,0,0,20)\n"
    path = tmp_path / "a.nrrd"
    path.write_bytes(f"NRRD0004\ntype: uint8\nencoding: raw\nspace: {space}\n{lines}\n".encode() + bytes(24))
    with pytest.raises(InputError, match=rf"space: {space}: has 2 volumes \(fourth axis\) that are times"):
        image_files.read(path)
    assert itk.read_volumes(path)[1] == f"space: {space}"


IN_SPACE = "space directions: (1,0.1,0) (-0.1,1,0) (0,0,3)\nspace origin: (1,2,5)\n"


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        (f"space: scanner-xyz\n{IN_SPACE}", "space: scanner-xyz"),
        (f"space: 3D-left-handed\n{IN_SPACE}", "space: 3d-left-handed"),
        (f"space dimension: 3\n{IN_SPACE}", "space dimension: 3"),
        ("spacings: 1 1 3\n", "spacings: 1.0 1.0 3.0"),
        ("spacings: 1 1 3\naxis mins: 5 6 7\n", "axis mins: 5.0 6.0 7.0"),
        ("", "kinds: domain domain domain"),
    ],
)
def test_labels_say_the_space_of_their_image(tmp_path: Path, fields: str, kept: str) -> None:
    """They said the patient's, in which other programs turn them round, and the image they do not."""
    image = nrrd(tmp_path / "a.nrrd", fields)
    labels = tmp_path / "LABELS.NRRD"
    image_files.write_labels(labels, np.ones((3, 4, 5), np.uint8), image_files.read(image))
    head = labels.read_bytes().partition(b"\n\n")[0].decode().splitlines()
    assert kept in head
    assert "space: left-posterior-superior" not in head
    labels = labels.rename(tmp_path / "labels.nrrd")
    ours, theirs = (SimpleITK.ReadImage(str(path)) for path in (image, labels))
    for ask in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(ours, ask)() == pytest.approx(getattr(theirs, ask)())
    assert image_files.read_labels(labels).geometry == image_files.read(image).geometry


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("dimension: 2\nsizes: 5 4\nspace: LPS\nspace directions: (1,0,0) (0,1,0)", "has 2 axes in a space of 3, "),
        (
            "dimension: 4\nsizes: 5 4 3 2\nspace: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,1) none",
            "space directions has 'none' for 1 of 4 axes, .* write 'kinds: domain domain domain list' for channels",
        ),
        (
            f"dimension: 3\nsizes: 5 4 3\n{PLACED}kinds: domain domain list",
            "2 of its 3 axes lie in a space of 3, allowed are 3; mend kinds",
        ),
    ],
)
def test_a_space_of_other_axes_is_refused_by_name(tmp_path: Path, fields: str, told: str) -> None:
    """ITK's words were shown, with a place in its memory."""
    path = tmp_path / "a.nrrd"
    path.write_bytes(f"NRRD0004\ntype: uint8\nencoding: raw\n{fields}\n\n".encode() + bytes(120))
    for ask in (image_files.read, image_files.header):
        with pytest.raises(InputError, match=rf"a\.nrrd: {told}"):
            ask(path)
