"""What other programs write, by their own conventions or their formats' specifications."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from dicom_pictures import write_picture
from maskmixadv.errors import InputError
from maskmixadv.formats import image_files
from packed_tiff import packbits

CODES = np.arange(64).reshape(8, 8)


def in_bits(rows: np.ndarray, bits: int) -> np.ndarray:
    """Pack numbers of a few bits, row by row."""
    return np.packbits(np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :].reshape(8, -1), axis=1)


def write_png(path: Path, rows: np.ndarray, bits: int) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", *rows.shape[::-1], bits, 0, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in in_bits(rows, bits)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b""))


def write_tiff(path: Path, rows: np.ndarray, bits: int) -> None:
    """Write grey of a few bits, packed by PackBits."""
    packed = packbits(in_bits(rows, bits).tobytes())
    h, w = rows.shape
    fields = {256: w, 257: h, 258: bits, 259: 32773, 262: 1, 273: 8, 277: 1, 278: h, 279: len(packed)}
    entries = b"".join(struct.pack("<HHII", number, 4, 1, value) for number, value in fields.items())
    at = 8 + len(packed) + len(packed) % 2
    head = b"II*\0" + struct.pack("<I", at) + packed.ljust(at - 8, b"\0")
    path.write_bytes(head + struct.pack("<H", len(fields)) + entries + bytes(4))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_codes_of_a_few_bits_are_those_that_were_stored(tmp_path: Path, bits: int, suffix: str) -> None:
    """Pillow spreads grey of 2 or 4 bits over 8, by which code 3 of 2 bits becomes 255."""
    codes = CODES % 2**bits
    {"png": write_png, "tif": write_tiff}[suffix](path := tmp_path / f"a.{suffix}", codes, bits)
    np.testing.assert_array_equal(image_files.read_labels(path).array[0], codes)


@pytest.mark.parametrize(("more", "depth"), [({}, 1.0), ({"zunit": "cm"}, 10.0), ({"spacing": 3.0}, 3.0)])
def test_imagej_leaves_out_a_distance_of_1(tmp_path: Path, more: dict[str, Any], depth: float) -> None:
    told: Any = {"axes": "ZYX", "unit": "mm", **more}
    stack = np.zeros((3, 4, 5), np.uint8)
    tifffile.imwrite(path := tmp_path / "a.tif", stack, imagej=True, resolution=(2, 4), metadata=told)
    assert image_files.read(path).spacing == pytest.approx((depth, 0.25, 0.5))


def jpeg(pixels: np.ndarray, **how: Any) -> bytes:
    Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG", **how)
    return file.getvalue()


NOISE = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("grey", [True, False])
def test_a_jpeg_that_was_cut_off_and_closed_is_refused(tmp_path: Path, how: dict[str, Any], grey: bool) -> None:
    """Programs show grey pixels where packed ones are missing, and say nothing."""
    content = jpeg(NOISE[..., 0] if grey else NOISE, **how)
    (path := tmp_path / "a.jpg").write_bytes(content)
    assert image_files.read(path).array.shape == (1, 40, 50)
    head = content.index(b"\xff\xda") + 20
    for left in (0.3, 0.6, 0.95):
        path.write_bytes(content[: head + int(left * (len(content) - head))] + b"\xff\xd9")
        with pytest.raises(InputError, match=r"a.jpg: not a readable image \(.*, as if cut off\); save it again"):
            image_files.read(path)


def test_frames_of_jpeg_that_were_cut_off_and_closed_are_refused(tmp_path: Path) -> None:
    content = jpeg(NOISE[..., 0])

    def stored(frame: bytes) -> Path:
        def change(made: FileDataset) -> None:
            made.PixelData, made.file_meta.TransferSyntaxUID = encapsulate([frame]), JPEGBaseline8Bit
            made["PixelData"].VR = "OB"

        return write_picture(tmp_path / "a.dcm", NOISE[..., 0], change=change)

    assert image_files.read(stored(content)).array.shape == (1, 40, 50)
    path = stored(content[:-200] + b"\xff\xd9")
    with pytest.raises(InputError, match=r"a.dcm: pixels can't be read \(.*, as if cut off\); export it again"):
        image_files.read(path)
