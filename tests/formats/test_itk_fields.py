"""NRRD and MetaImage: fields that ITK passes over are refused or told."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files

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
