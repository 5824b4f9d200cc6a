"""Images and JSON that are none, or only claim to be large, are refused in one line."""

import contextlib
import gzip
import struct
import time
import zlib
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest

from studio_server import client, refused

pytestmark = pytest.mark.usefixtures("untouched")


def header(*shape: int) -> bytes:
    """A NIfTI header that promises an image of `shape`, and a few bytes of it."""
    made = nib.Nifti1Header()
    made.set_data_dtype(np.float64)
    made.set_data_shape(shape)
    made["magic"], made["vox_offset"] = b"n+1", 352
    return made.binaryblock + bytes(4 + 64)


def tiff(w: int, h: int) -> bytes:
    """A TIFF that promises an image of `w` × `h` and holds none of it."""
    tags = [(256, w), (257, h), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, h), (279, w * h % 2**32)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def png(w: int, h: int) -> bytes:
    """A PNG that promises an image of `w` × `h`."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", w, h, 16, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(100))),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def saved(array: np.ndarray) -> bytes:
    return nib.Nifti1Image(array, np.eye(4)).to_bytes()


NRRD = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n{}\n\n"
MHA = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementDataFile = {}\n"
MALFORMED = {
    "garbage.nii.gz": (b"garbage" * 99, 400),
    "garbage.nii": (b"garbage" * 99, 400),
    "empty.nii": (b"", 400),
    "text.png": (b"hello", 400),
    "text.tif": (b"hello", 400),
    "huge.nii": (header(30000, 30000, 30000), 413),
    "huge.nii.gz": (gzip.compress(header(32000, 32000)), 413),
    "negative.nii": (header(4, 4, 4).replace(struct.pack("<h", 4), struct.pack("<h", -4)), 400),
    "five.nii": (header(2, 2, 2, 2, 2), 400),
    "short.nii": (header(40, 40, 40), 400),
    "flat.nii": (saved(np.zeros((4, 4, 4), np.float32)), 400),
    "nan.nii": (saved(np.full((4, 4, 4), np.nan, np.float32)), 400),
    "huge.png": (png(40000, 40000), 413),
    "short.png": (png(64, 64), 400),
    "huge.tif": (tiff(60000, 60000), 413),
    "short.tif": (tiff(64, 64), 400),
    "elsewhere.nrrd": (NRRD.format("data file: ../scribbles/s0.nii.gz").encode(), 400),
    "absolute.nrrd": (NRRD.format("datafile: /etc/passwd").encode(), 400),
    "elsewhere.mha": (MHA.format("/etc/passwd").encode(), 400),
    "short.nrrd": (NRRD.format("space: LPS").encode(), 400),
    "huge.nrrd": (NRRD.format("space: LPS").replace("4 4 4", "9999 9999 9999").encode(), 413),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_images_are_refused(page: httpx.Client, folder: Path, name: str) -> None:
    body, status = MALFORMED[name]
    answer = page.put(f"/api/images/{name}", content=body)
    refused(answer, status, name)
    assert str(folder) not in answer.text
    assert [path.name for path in (folder / "images").iterdir()] == ["s0.nii.gz"]


def test_truncated_gzip_and_bombs_are_refused(
    page: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (folder / "images" / "s0.nii.gz").read_bytes()
    refused(page.put("/api/images/cut.nii.gz", content=whole[: len(whole) // 2]), 400, "cut.nii.gz", "cut off")
    damaged = bytearray(whole)
    damaged[-6] ^= 255  # of the checksum
    refused(page.put("/api/images/damaged.nii.gz", content=bytes(damaged)), 400, "damaged.nii.gz")
    monkeypatch.setattr("maskmixadv.studio.images.intake.MOST_UNPACKED", 2**24)
    bomb = gzip.compress(header(4, 4, 4) + bytes(2**25))
    refused(page.put("/api/images/bomb.nii.gz", content=bomb), 413, "bomb.nii.gz")


def test_a_field_that_nobody_reads_is_refused(page: httpx.Client) -> None:
    """A misspelt number of steps trained for the preset's."""
    refused(page.post("/api/train", json={"preset": "cpu", "step": 1}), 400, "step")
    rows = [{"name": name, "colour": "#4aa8ff", "code": 7} for name in ("background", "RV")]
    refused(page.put("/api/classes", json={"classes": rows}), 400, "code")


LARGE = {
    "a list": lambda: b'{"classes":[' + b",".join([b'{"name":"a","colour":"#000000"}'] * 1_900_000) + b"]}",
    "nested": lambda: b"[" * 30_000_000 + b"]" * 30_000_000,
    "a string": lambda: b'{"classes":"' + b"a" * 60_000_000 + b'"}',
    "digits": lambda: b'{"steps":' + b"9" * 40_000_000 + b"}",
}


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("said", [True, False], ids=["declared", "chunked"])
def test_large_json_is_refused_at_once(folder: Path, name: str, said: bool) -> None:
    """It took 48 s in which nobody else was answered; what other processes do meanwhile does not count."""
    body = LARGE[name]()
    parts = (body[at : at + 2**20] for at in range(0, len(body), 2**20))
    with client(folder) as page:
        begun = time.process_time()
        with contextlib.suppress(httpx.WriteError):  # the server had hung up before all was sent
            headers = {"Content-Type": "application/json"}
            refused(page.put("/api/classes", content=body if said else parts, headers=headers), 413, "body")
        assert page.get("/api/folder").status_code == 200
        assert time.process_time() - begun < 5


SMALL = {
    "a list": b'{"classes":[' + b",".join([b"0"] * 30_000) + b"]}",
    "nested": b'{"classes":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "nested objects": b'{"a":' * 10_000 + b"0" + b"}" * 10_000,
    "digits": b'{"classes":' + b"9" * 60_000 + b"}",
    "half a sign": b'{"classes":[{"name":"\\ud800","colour":"#000000"},{"name":"b","colour":"#000000"}]}',
}


@pytest.mark.parametrize("name", SMALL)
def test_strange_json_is_refused_at_once(page: httpx.Client, name: str) -> None:
    begun = time.process_time()
    answer = page.put("/api/classes", content=SMALL[name], headers={"Content-Type": "application/json"})
    refused(answer, 400)
    assert len(answer.content) < 1000
    assert time.process_time() - begun < 2
