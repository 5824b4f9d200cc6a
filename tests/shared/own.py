"""Folders of own images, as users have them, for tests."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

import tiny
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.types import IGNORE

AFFINE = np.array([[-1.5, 0.1, 0, 10], [0.1, -1.5, 0.3, 20], [0, 0.05, 8, -5], [0, 0, 0, 1.0]])
CLASSES = "".join(f'[[class]]\nname = "{name}"\n' for name in tiny.CLASSES)


def coded(labels: np.ndarray, ignore: int = 4) -> np.ndarray:
    return np.where(labels == IGNORE, ignore, labels).astype(np.uint8)


def write(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Write an array ``d h w``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".png", ".jpg"):
        Image.fromarray(array[0] if len(array) == 1 else array).save(path)
    else:
        nib.save(nib.Nifti1Image(array.T, affine), path)
    return path


def case(source: Path, name: str, seed: int = 0, *, scribble: bool = True, mask: bool = False) -> None:
    """Write the files of one case."""
    image, drawn, dense = tiny.volume(seed)
    write(source / "images" / f"{name}.nii.gz", (image * 1000).astype(np.int16))
    if scribble:
        write(source / "scribbles" / f"{name}.nii.gz", coded(drawn))
    if mask:
        write(source / "masks" / f"{name}.nii.gz", dense)


def folder(source: Path, *, scribbled: int = 3, masked: int = 2) -> Path:
    """Write cases with scribbles alone, cases with masks alone, and ``classes.toml``."""
    source.mkdir(parents=True, exist_ok=True)
    for number in range(scribbled):
        case(source, f"s{number}", number)
    for number in range(masked):
        case(source, f"m{number}", 10 + number, scribble=False, mask=True)
    (source / "classes.toml").write_text(CLASSES)
    return source


PATIENT = b"MUSTERMANN^ERIKA"
"""What no output may repeat of an image's header."""


def named(path: Path) -> None:
    """Give a NIfTI file texts and an extension that name the patient, and forms of several codes."""
    stored: Any = nib.load(path)
    image = nib.Nifti1Image(np.asarray(stored.dataobj), stored.affine, stored.header)
    image.set_qform(stored.affine, code=1)
    image.set_sform(stored.affine, code=3)
    image.header.set_xyzt_units("mm", "sec")
    for field, size in (("descrip", 80), ("db_name", 18), ("aux_file", 24), ("intent_name", 16)):
        image.header[field] = PATIENT[:size]
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", PATIENT))  # pyright: ignore
    nib.save(image, path)
    assert PATIENT in (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())


def same_place(path: Path, labels: Path) -> None:
    """See that `labels` lie where image `path` does, by all that a header says of it, and that it says no more."""
    images: list[Any] = [nib.load(each) for each in (path, labels)]
    one, other = (image.header for image in images)
    for field in ("qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_x", "xyzt_units"):
        np.testing.assert_array_equal(one[field], other[field])
    np.testing.assert_array_equal(one["pixdim"][:4], other["pixdim"][:4])
    assert [bytes(other[field].item()) for field in ("descrip", "db_name", "aux_file", "intent_name")] == [b""] * 4
    assert not other.extensions


def by_name(corpus: Corpus) -> dict[str, Case]:
    return {case.name: case for case in corpus.load_all(corpus.entries)}


def same(one: Case, other: Case) -> None:
    """To the bit, and of the same type."""
    for key in ("image", "scribble", "dense", "affine"):
        mine, yours = getattr(one, key), getattr(other, key)
        assert (mine is None) == (yours is None), key
        if mine is not None:
            assert mine.dtype == yours.dtype
            assert mine.tobytes() == yours.tobytes(), key
    assert one.spacing == other.spacing
