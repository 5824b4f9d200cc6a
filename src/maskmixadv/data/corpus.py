"""A corpus: one directory, one file a case, and ``corpus.json`` that says what is in it.

Axes are ``d h w`` (slice, row, column), which for a NIfTI file is its array transposed: ``z y x``.
Nothing here imports torch.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv.data.reading import Declared, check_size, read_npz
from maskmixadv.errors import InputError
from maskmixadv.files import LONGEST_NAME, check_name, read_json, whole, work_ahead, write_texts
from maskmixadv.typed import made

IGNORE: Final = 255
"""Label of a pixel of which nothing is known."""
PERCENTILE: Final = 99
"""Of a volume's intensities, which is 1 after scaling."""
MOST_CLASSES: Final = 250
"""Classes; the codes above them have other meanings."""
FORMAT: Final = 1
"""Version of the directory's layout."""

Spacing = tuple[float, float, float]
Part = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Case:
    """One volume of one patient.

    Attributes
    ----------
    name
        Unique in its corpus; also the file's name.
    patient
        Whose volume it is; folds are by patient.
    image
        Intensities in [0, 1].
    scribble, dense
        Class indices of the image's shape (which `validate` sees to), ``IGNORE`` where nothing was drawn;
        either may be missing.
    spacing
        Millimetres between voxels along d, h, w; None where the source does not say.
    affine
        Voxel (x, y, z) to world in mm, as NIfTI has it; None where the source does not say.
    phase
        Time in the cardiac cycle, such as ``ED`` or ``ES``.
    group
        What folds are stratified by, such as a disease.
    """

    name: str
    patient: str
    image: Float[np.ndarray, "d h w"]
    scribble: UInt8[np.ndarray, "_ _ _"] | None = None
    dense: UInt8[np.ndarray, "_ _ _"] | None = None
    spacing: Spacing | None = None
    affine: Float[np.ndarray, "4 4"] | None = None
    phase: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Entry:
    """A case's line in ``corpus.json``: all but its arrays."""

    name: str
    patient: str
    shape: tuple[int, int, int]
    spacing: Spacing | None
    scribble: bool
    dense: bool
    sha256: str
    phase: str | None = None
    group: str | None = None


class Kept(NamedTuple):
    """A case that another corpus on the same disk holds already: its line and its file, which never change."""

    entry: Entry
    path: Path


class Split(NamedTuple):
    """Patients of one fold."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Corpus:
    """An index of cases on disk.

    Attributes
    ----------
    root
        The directory.
    name
        What the corpus is of, such as ``ACDC``; two corpora of one name hold the same patients.
    classes
        Names of the k classes, background first.
    nominal
        Spacing in mm along d, h, w that is assumed, and marked as ``nominal``, where a case has none.
    folds
        Scheme (``paper``, ``stratified``, …) to its folds, counted from 1.
    axis
        Which axis of the source's ``d h w`` the slices were cut along; it is the cases' first one.
    """

    root: Path
    name: str
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    folds: Mapping[str, tuple[Split, ...]]
    nominal: Spacing
    source: str = ""
    notes: tuple[str, ...] = field(default=())
    axis: int = 0

    @classmethod
    def open(cls, root: Path) -> "Corpus":
        """Read ``corpus.json`` of directory `root`, or make a corpus of it where it is a folder of images.

        Raises
        ------
        InputError
            Where `root` is no corpus, one of another version, or a folder whose images can't become one.
        """
        index = root / "corpus.json"
        if not index.is_file():
            if (root / "images").is_dir():
                from maskmixadv.data.follow import current  # it is made of corpora itself

                return current(root)
            raise InputError(f"{root}: not a corpus (no corpus.json); make one with 'maskmixadv prepare'")
        raw = read_json(index)
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            found = raw.get("format") if isinstance(raw, dict) else raw
            raise InputError(f"{index}: format {str(found)[:40]!r}, allowed is {FORMAT}; prepare the corpus again")
        try:
            return _opened(root, raw, str(index))
        except InputError as error:
            raise InputError(f"{error}; prepare the corpus again") from None

    @classmethod
    def write(
        cls,
        root: Path,
        cases: Iterable[Case | Kept],
        *,
        name: str,
        classes: Sequence[str],
        folds: Mapping[str, Sequence[Split]] | Callable[[Sequence[Entry]], Mapping[str, Sequence[Split]]],
        nominal: Spacing = (1.0, 1.0, 1.0),
        source: str = "",
        notes: Sequence[str] = (),
        axis: int = 0,
        beside: Mapping[str, str] | None = None,
    ) -> "Corpus":
        """Write `cases` into the new directory `root`, which is there whole or not at all.

        A `Kept` case's file is linked, not written. Folds may be what a function makes of the cases' entries. `beside`
        has texts of further files by their names.

        Raises
        ------
        InputError
            Where `root` holds something already, a case's name is taken, or there are no cases.
        """
        check_name(name, f"{source or root}: corpus")
        check_classes(classes, str(source or root))
        with whole(root) as place:
            entries = _written(place, cases, len(classes), where=source or str(root))
            made = folds(entries) if callable(folds) else folds
            corpus = cls(
                root=root,
                name=name,
                classes=tuple(classes),
                entries=entries,
                folds={scheme: tuple(splits) for scheme, splits in made.items()},
                nominal=nominal,
                source=source,
                notes=tuple(notes),
                axis=axis,
            )
            write_texts(
                {place / name: text for name, text in {**(beside or {}), "corpus.json": corpus._json()}.items()}
            )
        return corpus

    def _json(self) -> str:
        return json.dumps(
            {
                "format": FORMAT,
                "name": self.name,
                "classes": self.classes,
                "ignore": IGNORE,
                "nominal": self.nominal,
                "source": self.source,
                "notes": self.notes,
                "axis": self.axis,
                "folds": {scheme: [split._asdict() for split in splits] for scheme, splits in self.folds.items()},
                "cases": [asdict(entry) for entry in self.entries],
            },
            indent=1,
        )

    def split(self, scheme: str, fold: int) -> Split:
        """Patients of fold number `fold` (from 1) of `scheme`.

        Raises
        ------
        InputError
            Where there is no such scheme or fold.
        """
        if scheme not in self.folds:
            raise InputError(f"{self.root}: no folds named {scheme!r}, allowed are {', '.join(self.folds)}")
        folds = self.folds[scheme]
        if not 1 <= fold <= len(folds):
            raise InputError(f"{self.root}: no fold {fold} in {scheme!r}, allowed are 1 to {len(folds)}")
        return folds[fold - 1]

    def of(self, patients: Iterable[str]) -> tuple[Entry, ...]:
        """Entries of `patients`, in the corpus's order."""
        wanted = set(patients)
        return tuple(entry for entry in self.entries if entry.patient in wanted)

    def load(self, entry: Entry) -> Case:
        """Read a case's arrays.

        Raises
        ------
        InputError
            Where its file is missing or damaged.
        """
        path = self.root / "cases" / f"{entry.name}.npz"
        try:
            stored = read_npz(path)
            _must_be(path, stored, entry, len(self.classes))
        except InputError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise InputError(f"{path}: missing or damaged ({reason}); prepare the corpus again") from None
        return Case(
            name=entry.name,
            patient=entry.patient,
            image=stored["image"],
            scribble=stored.get("scribble"),
            dense=stored.get("dense"),
            spacing=entry.spacing,
            affine=stored.get("affine"),
            phase=entry.phase,
            group=entry.group,
        )

    def load_all(self, entries: Sequence[Entry]) -> Iterator[Case]:
        """Read several cases, in order, on all cores."""
        return work_ahead(self.load, entries, threads=os.cpu_count() or 1)

    def hash(self) -> str:
        """SHA-256 over classes and the cases' own hashes: names the corpus's content."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for entry in self.entries:
            digest.update(f"{entry.name} {entry.sha256}\n".encode())
        return digest.hexdigest()


def recode(labels: np.ndarray, *, classes: int, ignore: int | None, where: str) -> UInt8[np.ndarray, "..."]:
    """Turn a file's codes into class indices and ``IGNORE``.

    Parameters
    ----------
    labels
        Codes as the file has them, of any shape and number type.
    classes
        How many classes there are; codes 0..classes-1 stay.
    ignore
        The file's code for "unlabelled", or None where it can't occur.
    where
        The file, for the error's text.

    Raises
    ------
    InputError
        Where a code is not declared.
    """
    allowed = [*range(classes), *([] if ignore is None else [ignore])]
    stray = np.setdiff1d(np.unique(labels), allowed)
    if stray.size:
        shown = ", ".join(f"{code:g}" for code in stray[:5])
        raise InputError(f"{where}: label {shown} is not declared, allowed are {', '.join(map(str, allowed))}")
    coded = labels.astype(np.uint8)
    if ignore is not None:
        coded[labels == ignore] = IGNORE
    return coded


def validate(case: Case, *, classes: int, where: str) -> Case:
    """Return `case` unchanged if it can be learnt from or scored on.

    Raises
    ------
    InputError
        Where shapes differ, the image is not finite or constant, or its annotation shows no structure.
    """
    if case.image.ndim != 3 or 0 in case.image.shape:
        raise InputError(f"{where}: image has shape {case.image.shape}, allowed is a volume of 3 axes")
    if not np.isfinite(case.image).all():
        raise InputError(f"{where}: image holds NaN or infinity, allowed are finite numbers")
    if case.image.min() == case.image.max():
        raise InputError(f"{where}: image is constant ({case.image.flat[0]:g}), allowed is one with contrast")
    for kind, labels in (("scribble", case.scribble), ("dense mask", case.dense)):
        if labels is None:
            continue
        if labels.shape != case.image.shape:
            raise InputError(f"{where}: {kind} has shape {labels.shape}, image has {case.image.shape}; must be equal")
        codes = set(np.unique(labels).tolist())
        if not codes & set(range(1, classes)):
            raise InputError(f"{where}: {kind} is all background, allowed is one with at least one structure")
    return case


def normalise(image: np.ndarray, *, where: str) -> Float[np.ndarray, "d h w"]:
    """Scale a volume to [0, 1], cut off at its 99th percentile, as ACDC's pre-processed release does.

    Raises
    ------
    InputError
        Where it holds NaN or infinity, or is constant.
    """
    volume = np.asarray(image, dtype=np.float32)
    if not np.isfinite(volume).all():
        raise InputError(f"{where}: image holds NaN or infinity, allowed are finite numbers")
    low, high = float(volume.min()), float(np.percentile(volume, PERCENTILE))
    if high <= low:
        high = float(volume.max())
    if high <= low:
        raise InputError(f"{where}: image is constant ({low:g}), allowed is one with contrast")
    return np.clip((volume - low) / (high - low), 0.0, 1.0).astype(np.float32)


def _written(root: Path, cases: Iterable[Case | Kept], classes: int, *, where: str) -> tuple[Entry, ...]:
    """Write `cases` into ``root/cases``; returns their lines, in the order of their names."""
    (root / "cases").mkdir()
    seen: set[str] = set()
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        writing = []
        for case in cases:
            called = case.entry.name if isinstance(case, Kept) else case.name
            if called in seen:
                raise InputError(f"{where}: two cases are named {called!r}; names must be unique")
            seen.add(called)
            of = case.entry if isinstance(case, Kept) else case
            _check_words(of, f"{where}: case {called!r}")
            writing.append(pool.submit(_write_case, root, case, classes))
        entries = sorted((job.result() for job in writing), key=lambda entry: entry.name)
    if not entries:
        raise InputError(f"{where}: no case found in it")
    return tuple(entries)


def _write_case(root: Path, case: Case | Kept, classes: int) -> Entry:
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


@dataclass(frozen=True)
class _Index:
    """Content of ``corpus.json``, as it is typed there."""

    name: str
    classes: tuple[str, ...]
    nominal: Spacing
    source: str
    notes: tuple[str, ...]
    folds: dict[str, tuple[dict[str, tuple[str, ...]], ...]]
    cases: tuple[Entry, ...]
    axis: int = 0


def _opened(root: Path, raw: dict[str, Any], where: str) -> Corpus:
    """Make a corpus of what its index says, once all of it is as it should be."""
    known = {each.name for each in fields(_Index)}
    index = made(_Index, {key: value for key, value in raw.items() if key in known}, where)
    check_name(index.name, where)
    check_classes(index.classes, where)
    _check_spacing(index.nominal, f"{where}: nominal")
    if index.axis not in (0, 1, 2):
        raise InputError(f"{where}: axis {index.axis}, allowed are 0, 1 and 2")
    for entry in index.cases:
        _check_entry(root, entry, f"{where}: case {entry.name[:60]!r}")
    if len({entry.name for entry in index.cases}) < len(index.cases):
        raise InputError(f"{where}: two cases have one name; names must be unique")
    return Corpus(
        root=root,
        name=index.name,
        classes=index.classes,
        entries=index.cases,
        folds={
            scheme: tuple(_split(fold, f"{where}: folds {scheme!r}") for fold in index.folds[scheme])
            for scheme in index.folds
        },
        nominal=index.nominal,
        source=index.source,
        notes=index.notes,
        axis=index.axis,
    )


def check_classes(names: Sequence[str], where: str) -> None:
    """Raise `InputError` where `names` are not those of classes: 2 to 250, unique, printable."""
    if not 2 <= len(names) <= MOST_CLASSES or len(set(names)) < len(names):
        raise InputError(f"{where}: {len(names)} classes, allowed are 2 to {MOST_CLASSES} of unique names")
    for name in names:
        _check_word(name, f"{where}: class")


def _split(fold: dict[str, tuple[str, ...]], where: str) -> Split:
    if set(fold) != set(Split._fields):
        raise InputError(f"{where}: has {', '.join(sorted(fold))[:60]}, needed are {', '.join(Split._fields)}")
    return Split(**fold)


def _check_entry(root: Path, entry: Entry, where: str) -> None:
    _check_words(entry, where)
    if entry.spacing is not None:
        _check_spacing(entry.spacing, f"{where}: spacing")
    check_size(root / "corpus.json", Declared(entry.shape, 4), f"corpus: case {entry.name!r}")


def _check_words(case: Entry | Case, where: str) -> None:
    check_name(case.name, where)
    _check_word(case.patient, f"{where}: patient")
    for word in (case.phase, case.group):
        if word is not None:
            _check_word(word, f"{where}: phase or group", empty=True)


def _check_word(word: str, where: str, *, empty: bool = False) -> None:
    if not word.isprintable() or len(word) > LONGEST_NAME or not (empty or word.strip()):
        raise InputError(f"{where} {word[:60]!r}, allowed are up to {LONGEST_NAME} printable characters")


def _check_spacing(spacing: Spacing, where: str) -> None:
    if min(spacing) <= 0:
        raise InputError(f"{where} {spacing}, allowed are numbers above 0")


def _must_be(path: Path, stored: Mapping[str, np.ndarray], entry: Entry, classes: int) -> None:
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
