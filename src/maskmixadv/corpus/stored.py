"""A case's file: it is written once, and refused if it does not hold what the index says."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from maskmixadv.corpus.case import Case, validate, whole_slices
from maskmixadv.corpus.entry import Entry, KeptCase
from maskmixadv.errors import InputError
from maskmixadv.files import cannot_write, sha256
from maskmixadv.types import IGNORE


def write_case(root: Path, case: Case | KeptCase, classes: int) -> Entry:
    """Write a case's arrays as ``root/cases/NAME.npz``, or link the file of a kept case; returns its record.

    Parameters
    ----------
    root
        Directory with a folder ``cases``.
    case
        A case, which `maskmixadv.corpus.case.validate` checks, or a kept one.
    classes
        Number of classes, with the background.

    Raises
    ------
    InputError
        If the case is not valid, or can't be written.

    Examples
    --------
    >>> mask = np.eye(4, dtype=np.uint8)[None]
    >>> Path("corpus/cases").mkdir(parents=True)
    >>> entry = write_case(Path("corpus"), Case("a", "p", image=mask[None].astype(np.float32), dense=mask), classes=2)
    >>> entry.shape, entry.dense, entry.scribble
    ((1, 4, 4), True, False)
    """
    if isinstance(case, KeptCase):
        (root / "cases" / case.path.name).hardlink_to(case.path)
        return case.entry
    validate(case, classes=classes, where=case.name)
    # One channel is stored as it was before there were more: ``d h w``.
    image = case.image[0] if len(case.image) == 1 else case.image
    arrays = {"image": image, "scribble": case.scribble, "dense": case.dense, "affine": case.affine}
    path = root / "cases" / f"{case.name}.npz"
    try:
        np.savez_compressed(path, **{key: array for key, array in arrays.items() if array is not None})
    except OSError as error:
        raise cannot_write(path, error) from None
    return Entry(
        name=case.name,
        patient=case.patient,
        shape=case.shape,
        spacing=case.spacing,
        scribble=case.scribble is not None,
        dense=case.dense is not None,
        sha256=sha256(path),
        phase=case.phase,
        group=case.group,
        partly=case.dense is not None and not whole_slices(case.dense).all(),
        channels=len(case.image),
        like_ct=case.like_ct,
    )


def must_be(path: Path, stored: Mapping[str, np.ndarray], entry: Entry, classes: int) -> None:
    """Check that the arrays of a case's file are what its record in the index says.

    Parameters
    ----------
    path
        The file, for the error's text.
    stored
        Its arrays by name.
    entry
        The case's record.
    classes
        Number of classes, with the background.

    Raises
    ------
    InputError
        If an array is missing, or one too many, of another shape or type, or has a label out of range.

    Examples
    --------
    >>> entry = Entry("a", "p", (1, 4, 4), None, scribble=False, dense=True, sha256="0")
    >>> must_be(Path("a.npz"), {"image": np.zeros((1, 4, 4), np.float32)}, entry, classes=2)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.npz: no dense, corpus.json says otherwise
    """
    image, affine = stored.get("image"), stored.get("affine")
    wanted = entry.shape if entry.channels == 1 else (entry.channels, *entry.shape)
    if image is None or image.shape != wanted or image.dtype not in (np.float32, np.float64):
        found = "no image" if image is None else f"an image of {image.shape} {image.dtype}"
        raise InputError(f"{path}: has {found}, corpus.json says {wanted}, of float32")
    if not all(np.isfinite(part).all() for part in image):
        raise InputError(f"{path}: image holds NaN or infinity, allowed are finite numbers")
    if affine is not None and (affine.shape != (4, 4) or affine.dtype != np.float64):
        raise InputError(f"{path}: affine of {affine.shape} {affine.dtype}, allowed is (4, 4) of float64")
    for kind, said in (("scribble", entry.scribble), ("dense", entry.dense)):
        must_be_labels(path, kind, stored.get(kind), said, entry, classes)


def must_be_labels(path: Path, kind: str, labels: np.ndarray | None, said: bool, entry: Entry, classes: int) -> None:
    """Check that a case's strokes or its mask are what its record in the index says.

    Parameters
    ----------
    path
        The file, for the error's text.
    kind
        ``scribble`` or ``dense``.
    labels
        The array; None if the file has none.
    said
        Whether the case has such labels by its record.
    entry, classes
        As in `must_be`.

    Raises
    ------
    InputError
        If they are missing, or one too many, of another shape or type, or have a label out of range.

    Examples
    --------
    >>> entry = Entry("a", "p", (1, 4, 4), None, scribble=False, dense=True, sha256="0")
    >>> must_be_labels(Path("a.npz"), "dense", np.full((1, 4, 4), 7, np.uint8), True, entry, classes=2)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.npz: dense has label 7, allowed are 0 to 1 and 255
    """
    if (labels is not None) != said:
        raise InputError(f"{path}: {'no' if said else 'a'} {kind}, corpus.json says otherwise")
    if labels is None:
        return
    if labels.shape != entry.shape or labels.dtype != np.uint8:
        raise InputError(f"{path}: {kind} of {labels.shape} {labels.dtype}, corpus.json says {entry.shape}, of uint8")
    stray = labels[(labels >= classes) & (labels != IGNORE)]
    if stray.size:
        raise InputError(f"{path}: {kind} has label {stray[0]}, allowed are 0 to {classes - 1} and {IGNORE}")
