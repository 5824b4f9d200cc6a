"""Files that once ended in a traceback, in a killed process, or in gigabytes; and those that only claim to be large."""

import gzip
import io
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import torch

import tiny
from maskmixadv.errors import InputError
from maskmixadv.formats import image_files
from maskmixadv.formats.reading import MEMORY, LargeError, most_memory, read_npz
from maskmixadv.methods import ALL
from maskmixadv.runs.checkpoint import save
from maskmixadv.runs.run import Run
from maskmixadv.sources import acdc
from maskmixadv.sources.opening import open_corpus

VOXELS = (image_files.read, image_files.read_labels)
FOUND = sorted((Path(__file__).parent / "files").iterdir())
SOON = 20.0
"""Seconds; they take milliseconds where nothing else runs, and once took minutes or all memory."""


@pytest.mark.parametrize("read", [image_files.read, image_files.read_labels, image_files.peek, image_files.declared])
@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_a_file_that_once_ended_otherwise(path: Path, read: Callable[[Path], Any]) -> None:
    """Headers of some are fine; voxels of none can be read."""
    began = time.monotonic()
    with pytest.raises(InputError, match=re.escape(path.name)) if read in VOXELS else suppress(InputError):
        read(path)
    assert time.monotonic() - began < SOON


def test_after_a_file_that_kills_the_reader_others_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import SimpleITK

    monkeypatch.setattr("maskmixadv.formats.details.metaimage.check_voxels", lambda *_: None)  # which refuses it sooner
    (bad,) = [path for path in FOUND if path.suffix == ".mha"]
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.ones((3, 4, 5), np.int16)), str(tmp_path / "good.mha"))
    for _ in range(2):
        with pytest.raises(InputError, match="it killed the reader"):
            image_files.read(bad)
        assert image_files.read(tmp_path / "good.mha").array.sum() == 60


def nifti(shape: tuple[int, ...], kind: int = 16, bits: int = 32) -> bytes:
    header = bytearray(348)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into(f"<h{len(shape)}h", header, 40, len(shape), *shape)
    struct.pack_into("<hh", header, 70, kind, bits)
    struct.pack_into("<8f", header, 76, *[1.0] * 8)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    return bytes(header) + bytes(4)


def bomb(size: int) -> bytes:
    """A gzip of zeros behind a right header, made of one piece again and again."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [pack.compress(nifti((4, 4, 4)))]
    parts += [pack.compress(bytes(2**20)) for _ in range(size >> 20)]
    return b"".join([*parts, pack.flush()])


HUGE = 10_000
CLAIMS: dict[str, bytes] = {
    "a.nii": nifti((HUGE, HUGE, HUGE)) + bytes(64),
    "a.nii.gz": gzip.compress(nifti((HUGE, HUGE, HUGE)) + bytes(64)),
    "bits.nii": nifti((4, 4, 4), 1, 1) + bytes(64),
    "float128.nii": nifti((4, 4, 4), 1536, 128) + bytes(1024),
    "bomb.nii.gz": bomb(2**26),
    "a.nrrd": b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 10000 10000 10000\nencoding: raw\n\n",
    "a.mha": b"NDims = 3\nDimSize = 10000 10000 10000\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n",
}


@pytest.mark.parametrize("name", CLAIMS)
def test_what_a_file_claims_is_looked_at_first(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(CLAIMS[name])
    began = time.monotonic()
    with pytest.raises(InputError, match=name):
        image_files.read(path)
    assert time.monotonic() - began < SOON


def test_the_limit_follows_from_the_machine_or_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2**26 < most_memory() < 2**45
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((100, 200), np.uint8), photometric="minisblack")
    assert image_files.read(path).array.shape == (1, 100, 200)
    monkeypatch.setenv(MEMORY, "0.00001")
    with pytest.raises(LargeError, match=rf"a\.tif: declares 100 × 200 .*2e-05 GB, allowed are 1e-05 GB.*{MEMORY}"):
        image_files.read(path)
    for wrong in ("x", "-1", "nan", "inf"):
        monkeypatch.setenv(MEMORY, wrong)
        with pytest.raises(InputError, match=f"{MEMORY}: '{wrong}', allowed is a number of GB"):
            image_files.read(path)


def test_archives_that_claim_or_hold_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = io.BytesIO()
    claim: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": (HUGE, HUGE, HUGE)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(tmp_path / "claim.npz", "w") as archive:
        archive.writestr("image.npy", header.getvalue() + bytes(100))
    with pytest.raises(InputError, match=r"claim\.npz: .*declares shape"):
        read_npz(tmp_path / "claim.npz")
    np.savez_compressed(tmp_path / "bomb.npz", image=np.zeros((64, 1024, 1024), np.uint8))
    monkeypatch.setenv(MEMORY, "0.05")
    with pytest.raises(LargeError, match=r"bomb\.npz: declares 1 array,"):
        read_npz(tmp_path / "bomb.npz")


def test_an_hdf5_file_that_claims_too_much(tmp_path: Path) -> None:
    path = tmp_path / "patient001_frame01.h5"
    with h5py.File(path, "w") as file:
        for name in ("image", "scribble", "label"):
            file.create_dataset(name, (HUGE, HUGE, HUGE), "u1", chunks=(1, 64, 64))
    with pytest.raises(LargeError, match=r"patient001_frame01\.h5: declares 10000"):
        acdc._read_volume(path)
    with h5py.File(path, "w") as file:
        for name in ("image", "scribble", "label"):
            file[name] = h5py.ExternalLink("/etc/passwd", "/x")
    with pytest.raises(InputError, match=r"patient001_frame01\.h5: not a readable"):
        acdc._read_volume(path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = tiny.run(ALL["pce"]())
    return replace(made, root=tmp_path)


def state(run: Run) -> dict[str, Any]:
    weights = run.method.players(run.task)["net"].state_dict()
    return {"step": 1, "nets": {"net": weights}, "optimisers": {"net": {}}, "scored": dict(weights)}


def test_weights_that_are_not_finite_are_refused(run: Run) -> None:
    made = state(run)
    name = next(iter(made["scored"]))
    made["scored"][name] = torch.full_like(made["scored"][name], float("nan"))
    save(run.checkpoint, made)
    with pytest.raises(InputError, match=rf"last\.pt: weight .*{name} is not finite; train again"):
        run.weights(torch.device("cpu"))


def _resumed(run: Run, device: torch.device) -> None:
    """What a network alone needs, and what a training does."""
    run.weights(device)
    run.load(device)


def test_checkpoints_of_something_else_are_refused(run: Run) -> None:
    device, right = torch.device("cpu"), state(run)
    save(run.checkpoint, right)
    run.weights(device)
    name = next(iter(right["scored"]))
    for wrong, words in (
        ({**right, "scored": {**right["scored"], name: torch.ones(1)}}, r"damaged \(Error\(s\) in loading"),
        ({key: value for key, value in right.items() if key != "nets"}, "lacks nets"),
        ({**right, "step": -1}, "step is no whole number"),
        ({**right, "scored": torch.ones(1)}, "lacks scored"),
    ):
        save(run.checkpoint, wrong)
        with pytest.raises(InputError, match=rf"last\.pt: .*{words}"):
            _resumed(run, device)
    save(run.checkpoint, right)
    content = bytearray(run.checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    run.checkpoint.write_bytes(content)
    with pytest.raises(InputError, match=r"last\.pt: damaged \(the checksum"):
        run.load(device)


@pytest.mark.parametrize("name", ["../../escaped", "/etc/passwd", ".hidden", "a\nb", "", "a\\b"])
def test_names_in_a_corpus_are_names(tmp_path: Path, name: str) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    index = corpus.root / "corpus.json"
    index.write_text(
        index.read_text().replace('"name": "p0"', f'"name": "{name}"'.replace("\\", "\\\\").replace("\n", "\\n"))
    )
    with pytest.raises(InputError, match=r"corpus\.json: case .*name"):
        open_corpus(corpus.root)
    with pytest.raises(InputError, match="name"):
        tiny.corpus(tmp_path / "d", [tiny.case("p0"), replace(tiny.case("p1"), name=name), tiny.case("p2")])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": np.zeros((3, 40, 47), np.float32)}, r"an image of \(3, 40, 47\)"),
        ({"image": np.zeros((3, 40, 48), np.int64)}, "int64"),
        ({"image": np.full((3, 40, 48), np.nan, np.float32)}, "NaN or infinity"),
        ({"scribble": np.zeros((3, 40, 48), np.int16)}, "scribble of .*int16"),
        ({"dense": np.full((3, 40, 48), 17, np.uint8)}, "dense has label 17"),
        ({"dense": None}, "no dense, corpus.json says otherwise"),
        ({"affine": np.eye(3)}, r"affine of \(3, 3\)"),
    ],
)
def test_arrays_are_what_the_index_says(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    path = corpus.root / "cases" / "p0.npz"
    arrays = {**read_npz(path), **change}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(InputError, match=rf"p0\.npz: .*{words}"):
        corpus.load(corpus.entries[0])
