"""MetaImage: voxels that are not there, or are packed and damaged, are refused; ITK would take what is in memory."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files, itk

VOXELS = np.random.default_rng(0).integers(-500, 2000, (3, 70, 50)).astype(np.int16)
PACKED = zlib.compress(VOXELS.tobytes())
HEAD = "ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 50 70 3\nElementSpacing = 2 3 8\n"
TYPE = "ElementType = MET_SHORT\n"
ZIPPED = "CompressedData = True\nCompressedDataSize = {}\n"


def mha(path: Path, more: str, content: bytes = b"", data: str = "LOCAL") -> Path:
    path.write_bytes(f"{HEAD}{more}{TYPE}ElementDataFile = {data}\n".encode() + content)
    return path


@pytest.mark.parametrize("size", [0, len(PACKED)])
def test_packed_voxels_come_in(tmp_path: Path, size: int) -> None:
    (tmp_path / "b.zraw").write_bytes(PACKED)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.zraw").write_bytes(PACKED)
    more = ZIPPED.format(size)
    for path in (mha(tmp_path / "b.mhd", more, data="b.zraw"), mha(tmp_path / "c.mhd", more, data="sub/c.zraw")):
        np.testing.assert_array_equal(image_files.read(path).array, VOXELS)
    np.testing.assert_array_equal(
        image_files.read(mha(tmp_path / "a.mha", ZIPPED.format(len(PACKED)), PACKED)).array, VOXELS
    )


FLIPPED = PACKED[:5000] + bytes([PACKED[5000] ^ 255]) + PACKED[5001:]
SHORT = zlib.compress(VOXELS[:2].tobytes())
LONG = zlib.compress(VOXELS.tobytes() + b"more")


@pytest.mark.parametrize(
    ("size", "content", "told"),
    [
        (len(PACKED), FLIPPED, "while decompressing"),
        (len(PACKED) // 2, PACKED, r"its packed voxels are \d+ bytes, and 21000 are declared"),
        (len(PACKED) // 2, PACKED[: len(PACKED) // 2], r"packed voxels are \d+ bytes, and 21000 are declared"),
        (len(SHORT), SHORT, "packed voxels are 14000 bytes, and 21000 are declared"),
        (len(LONG), LONG, "packed voxels are more than 21000 bytes"),
        (len(PACKED) - 4, PACKED, "packed voxels are cut off"),
        (VOXELS.nbytes, VOXELS.tobytes(), "while decompressing"),
        (0, PACKED, "CompressedDataSize is missing"),
    ],
)
def test_damaged_packed_voxels_are_refused(tmp_path: Path, size: int, content: bytes, told: str) -> None:
    path = mha(tmp_path / "a.mha", ZIPPED.format(size), content)
    for read in (image_files.read, image_files.read_labels):
        with pytest.raises(InputError, match=rf"a\.mha: .*{told}"):
            read(path)


def test_a_header_whose_own_text_would_be_voxels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.mha: HeaderSize 4 with ElementDataFile LOCAL"):
        image_files.read(mha(tmp_path / "a.mha", "HeaderSize = 4\n", b"1234" + VOXELS.tobytes()))
    (tmp_path / "b.raw").write_bytes(b"1234" + VOXELS.tobytes())
    for size in (4, -1):
        path = mha(tmp_path / "b.mhd", f"HeaderSize = {size}\n", data="b.raw")
        np.testing.assert_array_equal(image_files.read(path).array, VOXELS)


@pytest.mark.parametrize(
    ("whole", "lacking"),
    [("s%d.raw 0 2 1", "s%d.raw 0 1 1"), ("LIST\ns0.raw\ns1.raw\ns2.raw", "LIST\ns0.raw\ns1.raw")],
)
def test_a_slice_that_no_file_holds_is_told(tmp_path: Path, whole: str, lacking: str) -> None:
    for place, part in enumerate(VOXELS):
        (tmp_path / f"s{place}.raw").write_bytes(part.tobytes())
    path = mha(tmp_path / "a.mhd", "", data=whole)
    np.testing.assert_array_equal(image_files.read(path).array, VOXELS)
    assert [each.name for each in itk.beside(path)] == ["s0.raw", "s1.raw", "s2.raw"]
    with pytest.raises(InputError, match=r"b\.mhd: ElementDataFile .*: 2 files, and its \(50, 70, 3\) voxels lie in 3"):
        image_files.read(mha(tmp_path / "b.mhd", "", data=lacking))


def test_a_colon_is_an_equals_sign(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(f"{HEAD}{TYPE}ElementDataFile = LOCAL\n".replace(" = ", ": ").encode() + VOXELS.tobytes())
    assert image_files.read(path).spacing == (8.0, 3.0, 2.0)


def test_nrrd_also_lists_files(tmp_path: Path) -> None:
    for place in range(2):
        (tmp_path / f"s{place}.raw").write_bytes(VOXELS[place].tobytes())
    path = tmp_path / "a.nhdr"
    head = "NRRD0004\ntype: int16\ndimension: 3\nsizes: 50 70 2\nendian: little\nencoding: raw\n"
    for data in ("LIST\ns0.raw\ns1.raw\n", "s%d.raw 0 1 1\n"):
        path.write_text(f"{head}data file: {data}")
        np.testing.assert_array_equal(image_files.read(path).array, VOXELS[:2])
        assert [each.name for each in itk.beside(path)] == ["s0.raw", "s1.raw"]
