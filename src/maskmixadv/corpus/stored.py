"""A case's file: written once, and refused where it is not what the index says."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from maskmixadv.corpus.case import Case, validate
from maskmixadv.corpus.entry import Entry, Kept
from maskmixadv.errors import InputError
from maskmixadv.types import IGNORE


def write_case(root: Path, case: Case | Kept, classes: int) -> Entry:
    """Write a case's arrays into ``root/cases``; returns its line."""
    if isinstance(case, Kept):
        (root / "cases" / case.path.name).hardlink_to(case.path)
        return case.entry
    validate(case, classes=classes, where=case.name)
    arrays = {key: getattr(case, key) for key in ("image", "scribble", "dense", "affine")}
    path = root / "cases" / f"{case.name}.npz"
    try:
        np.savez_compressed(path, **{key: array for key, array in arrays.items() if array is not None})
    except OSError as error:
        raise InputError(f"{path}: can't be written ({error.strerror}); free space or name another place") from None
    return Entry(
        name=case.name,
        patient=case.patient,
        shape=_shape(case.image.shape),
        spacing=case.spacing,
        scribble=case.scribble is not None,
        dense=case.dense is not None,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        phase=case.phase,
        group=case.group,
    )


def must_be(path: Path, stored: Mapping[str, np.ndarray], entry: Entry, classes: int) -> None:
    """Refuse arrays that are not what a case's line in the index says."""
    image, affine = stored.get("image"), stored.get("affine")
    if image is None or image.shape != entry.shape or image.dtype not in (np.float32, np.float64):
        found = "no image" if image is None else f"an image of {image.shape} {image.dtype}"
        raise InputError(f"{path}: has {found}, corpus.json says {entry.shape}, of float32")
    if not np.isfinite(image).all():
        raise InputError(f"{path}: image holds NaN or infinity, allowed are finite numbers")
    if affine is not None and (affine.shape != (4, 4) or affine.dtype != np.float64):
        raise InputError(f"{path}: affine of {affine.shape} {affine.dtype}, allowed is (4, 4) of float64")
    for kind, said in (("scribble", entry.scribble), ("dense", entry.dense)):
        _must_be_labels(path, kind, stored.get(kind), said, entry, classes)


def _must_be_labels(path: Path, kind: str, labels: np.ndarray | None, said: bool, entry: Entry, classes: int) -> None:
    if (labels is not None) != said:
        raise InputError(f"{path}: {'no' if said else 'a'} {kind}, corpus.json says otherwise")
    if labels is None:
        return
    if labels.shape != entry.shape or labels.dtype != np.uint8:
        raise InputError(f"{path}: {kind} of {labels.shape} {labels.dtype}, corpus.json says {entry.shape}, of uint8")
    stray = labels[(labels >= classes) & (labels != IGNORE)]
    if stray.size:
        raise InputError(f"{path}: {kind} has label {stray[0]}, allowed are 0 to {classes - 1} and {IGNORE}")


def _shape(shape: Sequence[int]) -> tuple[int, int, int]:
    d, h, w = shape
    return int(d), int(h), int(w)
