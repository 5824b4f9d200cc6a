"""A corpus: a directory with one file for each case, and their index ``corpus.json``.

Axes are ``d h w`` (slice, row, column), which for a NIfTI file is its array transposed: ``z y x``.
Nothing here imports torch.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.channels import ONE, Channel, check_channels, named, records, windows
from maskmixadv.corpus.entry import Entry, KeptCase, Split, check_entry, check_words, split_from
from maskmixadv.corpus.names import check_classes, check_spacing, check_spellings
from maskmixadv.corpus.stored import must_be, must_be_labels, write_case
from maskmixadv.corpus.window import with_windows
from maskmixadv.errors import InputError, counted, listed, nearest
from maskmixadv.files import check_name, read_json, whole, work_ahead, write_texts
from maskmixadv.formats.reading import read_npz
from maskmixadv.formats.slicing import Header, Slicing, check_across
from maskmixadv.spelling import as_file
from maskmixadv.typed import made
from maskmixadv.typed import whole as whole_number
from maskmixadv.types import IGNORE, PathLike, Spacing

FORMAT: Final = 1
"""Version of the directory's layout."""


@dataclass(frozen=True)
class Corpus:
    """Cases in a directory, and their index. The index is in memory; cases are read from the disk when asked for.

    It stands for its directory wherever a path is asked for. `print` shows a summary.

    Attributes
    ----------
    root
        The directory.
    name
        Name of the data set, such as ``ACDC``; two corpora of one name hold the same patients.
    classes
        Names of the k classes, background first.
    entries
        Records of the cases, sorted by name.
    folds
        Folds by the name of their scheme (``paper``, ``stratified``, …).
    nominal
        Spacing in mm along d, h, w that is assumed for cases without one; results then say ``nominal``.
    source
        Where the images are from, and their licence.
    notes
        How the corpus was made, such as by the command ``annotate``.
    axis
        Axis of the source's arrays ``d h w`` along which most were cut into slices; it is the first axis of the cases.
    across
        The patient's axis along which most were cut (`maskmixadv.formats.slicing.ACROSS`); empty where it is unknown.
    radiological
        Whether slices are in the radiological view where their file says where it lies in the patient
        (`maskmixadv.formats.slicing.RADIOLOGICAL`).
    channels
        What the channels of all images are. CTs are stored in Hounsfield units, and scaled when they are loaded.

    Examples
    --------
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> corpus
    Corpus('phantom-0', root='corpus', 6 cases, 4 classes)
    >>> print(corpus)
    corpus phantom-0 in corpus
      cases:   6 of 3 patients; 6 with scribbles, 6 with masks
      classes: background, RV, Myo, LV
      folds:   paper (1 to 3)
      spacing: 8.1–9.6 × 3.8–4.4 × 3.8–4.4 mm along d, h, w
    >>> case = corpus.load(corpus.entries[0])
    >>> case.name, len(case.image)  # channels
    ('phantom000_ED', 1)
    >>> corpus.split("paper", 1)
    Split(train=('phantom002',), val=('phantom001',), test=('phantom000',))
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
    channels: tuple[Channel, ...] = ONE
    across: str = ""
    radiological: bool = False

    @classmethod
    def open(cls, root: PathLike) -> "Corpus":
        """Read ``corpus.json`` of directory `root`.

        Raises
        ------
        InputError
            If `root` is no corpus, or one of another version.
        """
        root = Path(root)
        index = root / "corpus.json"
        if not index.is_file():
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
        cases: Iterable[Case | KeptCase],
        *,
        name: str,
        classes: Sequence[str],
        folds: Mapping[str, Sequence[Split]] | Callable[[Sequence[Entry]], Mapping[str, Sequence[Split]]],
        nominal: Spacing = (1.0, 1.0, 1.0),
        source: str = "",
        notes: Sequence[str] = (),
        axis: int = 0,
        channels: Sequence[Channel] = ONE,
        across: str = "",
        radiological: bool = False,
        beside: Mapping[str, str] | None = None,
    ) -> "Corpus":
        """Write a new corpus, whole or not at all.

        Parameters
        ----------
        root
            A new or empty directory.
        cases
            The cases, with CTs in Hounsfield units; the file of a `KeptCase` is linked, not written.
        name, classes, nominal, source, notes, axis, across, radiological
            As the attributes.
        channels
            As the attribute. A CT without a window gets one (`maskmixadv.corpus.window.with_windows`), from the
            patients that folds of the first scheme learn from.
        folds
            Folds by the name of their scheme, or a function that makes them of the cases' entries.
        beside
            Texts of further files by their names.

        Raises
        ------
        InputError
            If `root` is not empty, two cases have one name, a case is not valid, or there are no cases.
        """
        check_name(name, f"{source or root}: corpus")
        check_classes(classes, str(source or root))
        check_spellings(classes, str(source or root))
        check_channels(channels, str(source or root))
        with whole(root) as place:
            entries = _written(place, cases, len(classes), where=source or str(root))
            _must_have(entries, channels, source or str(root))
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
                channels=tuple(channels),
                across=across,
                radiological=radiological,
            )
            corpus = replace(corpus, channels=with_windows(channels, corpus._learnt(place), source or str(root)))
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
                **({} if self.channels == ONE else {"channels": records(self.channels)}),
                **({"across": self.across} if self.across else {}),
                **({"radiological": True} if self.radiological else {}),
                "folds": {scheme: [split._asdict() for split in splits] for scheme, splits in self.folds.items()},
                "cases": [_table(entry) for entry in self.entries],
            },
            indent=1,
        )

    @property
    def measured(self) -> "Corpus":
        """The same corpus, which loads CTs in Hounsfield units."""
        return replace(self, channels=tuple(replace(channel, window=None) for channel in self.channels))

    def _learnt(self, place: Path) -> Iterator[Case]:
        """Load cases that folds of the first scheme learn from, or all where there are none; they lie in `place`."""
        first = next(iter(self.folds.values()), ())
        learnt = self.of(patient for split in first for patient in split.train) or self.entries
        yield from replace(self, root=place).load_all(learnt)

    @property
    def slicing(self) -> Slicing:
        """How its images are seen; whether cut along the thick axis, the spacings of its volumes say."""
        volumes = [Header(entry.shape, entry.spacing) for entry in self.entries if entry.shape[0] > 1]
        thickest = 2 * sum(each.thick == 0 for each in volumes) > len(volumes)
        return Slicing(self.axis, thickest, self.across, self.radiological)

    def split(self, scheme: str, fold: int) -> Split:
        """Return the patients of fold number `fold` (from 1) of `scheme`.

        Raises
        ------
        InputError
            If there is no such scheme or fold.
        """
        if not isinstance(scheme, str) or scheme not in self.folds:
            raise InputError(f"{self.root}: no folds named {scheme!r}, allowed are {', '.join(self.folds)}")
        folds, fold = self.folds[scheme], whole_number(fold, f"{self.root}: fold")
        if not 1 <= fold <= len(folds):
            raise InputError(f"{self.root}: no fold {fold} in {scheme!r}, allowed are 1 to {len(folds)}")
        return folds[fold - 1]

    def of(self, patients: Iterable[str]) -> tuple[Entry, ...]:
        """Return the entries of `patients`, in the corpus's order; `InputError` for a name alone, which has letters."""
        if isinstance(patients, str):
            raise InputError(f"{self.root}: patients are {patients!r:.60}, allowed is a list of names")
        wanted = set(patients)
        return tuple(entry for entry in self.entries if entry.patient in wanted)

    def load(self, entry: Entry | str) -> Case:
        """Read a case's arrays; `entry` is its line in the index, or its name.

        Raises
        ------
        InputError
            If there is no such case, or its file is missing or damaged.
        """
        if isinstance(entry, str):
            entry = self._named(entry)
        path = self.root / "cases" / f"{entry.name}.npz"
        try:
            stored = read_npz(path)
            must_be(path, stored, entry, len(self.classes))
        except InputError as error:
            raise _damaged(path, error) from None
        image = stored["image"] if entry.channels > 1 else stored["image"][None]
        return Case(
            name=entry.name,
            patient=entry.patient,
            image=windows(image, self.channels),
            scribble=stored.get("scribble"),
            dense=stored.get("dense"),
            spacing=entry.spacing,
            affine=stored.get("affine"),
            phase=entry.phase,
            group=entry.group,
            like_ct=entry.like_ct,
        )

    def drawn(self, entry: Entry) -> UInt8[np.ndarray, "d h w"] | None:
        """Read what is annotated in a case: its strokes or, where it has none, its mask. The image is not read.

        Raises
        ------
        InputError
            If its file is missing or damaged.
        """
        path, kind = self.root / "cases" / f"{entry.name}.npz", "scribble" if entry.scribble else "dense"
        try:
            labels = read_npz(path, only=(kind,)).get(kind)
            must_be_labels(path, kind, labels, entry.scribble or entry.dense, entry, len(self.classes))
        except InputError as error:
            raise _damaged(path, error) from None
        return labels

    def load_all(self, entries: Sequence[Entry]) -> Iterator[Case]:
        """Read several cases, in order, on all cores; large ones one by one."""
        return work_ahead(self.load, entries, threads=os.cpu_count() or 1, size=lambda entry: entry.bytes)

    def _named(self, name: str) -> Entry:
        found = next((entry for entry in self.entries if entry.name == name), None)
        if found is None:
            raise InputError(
                f"{self.root}: no case {name!r}, allowed are {nearest(name, [e.name for e in self.entries])}"
            )
        return found

    def __fspath__(self) -> str:
        return str(self.root)

    def __repr__(self) -> str:
        """Say in one line what it is."""
        cases, classes = counted(len(self.entries), "case"), counted(len(self.classes), "class")
        return f"Corpus({self.name!r}, root={str(self.root)!r}, {cases}, {classes})"

    def __str__(self) -> str:
        """Summarise it in a few lines."""
        patients = counted(len({entry.patient for entry in self.entries}), "patient")
        drawn, dense = (sum(getattr(entry, kind) for entry in self.entries) for kind in ("scribble", "dense"))
        folds = (f"{scheme} (1 to {len(of)})" if len(of) > 1 else scheme for scheme, of in self.folds.items())
        lines = {
            "cases": f"{len(self.entries)} of {patients}; {drawn} with scribbles, {dense} with masks",
            "classes": listed(self.classes),
            "folds": ", ".join(folds),
            "spacing": self._spacings(),
        }
        told = (f"  {key + ':':8} {value}" for key, value in lines.items())
        return "\n".join([f"corpus {self.name} in {self.root}", *told])

    def _spacings(self) -> str:
        known = [entry.spacing for entry in self.entries if entry.spacing is not None]
        if not known:
            return "unknown; " + " × ".join(f"{mm:g}" for mm in self.nominal) + " mm are assumed, as nominal"
        ends = [(f"{min(along):.2g}", f"{max(along):.2g}") for along in zip(*known, strict=True)]
        told = " × ".join(low if low == high else f"{low}–{high}" for low, high in ends) + " mm along d, h, w"
        lacking = len(self.entries) - len(known)
        return f"{told}; unknown in {counted(lacking, 'case')}" if lacking else told

    def assumed(self) -> str:
        """Return a line on what is assumed where some cases have a spacing and others do not; empty otherwise."""
        lacking = sum(entry.spacing is None for entry in self.entries)
        if lacking in (0, len(self.entries)):
            return ""
        mm = " × ".join(f"{size:g}" for size in self.nominal)
        return (
            f"{self.root}: no spacing in {lacking} of {len(self.entries)} cases; {mm} mm are assumed for distances in "
            "them, and training ignores mm: it scales the longer side of all slices to one number of pixels; give "
            "these files a spacing, or keep them apart"
        )

    def hash(self) -> str:
        """Return the SHA-256 of the classes and the cases' own hashes; it changes if the corpus's content does."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        if self.channels != ONE:
            digest.update(json.dumps(records(self.channels)).encode())
        for entry in self.entries:
            digest.update(f"{entry.name} {entry.sha256}\n".encode())
        return digest.hexdigest()

    def grids(self) -> str:
        """Return the SHA-256 of whose the cases are and of their spacings, which `hash` leaves out."""
        told = [[entry.name, entry.patient, entry.spacing] for entry in self.entries]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@dataclass(frozen=True)
class _Index:
    """Content of ``corpus.json``, with its types there."""

    name: str
    classes: tuple[str, ...]
    nominal: Spacing
    source: str
    notes: tuple[str, ...]
    folds: dict[str, tuple[dict[str, tuple[str, ...]], ...]]
    cases: tuple[Entry, ...]
    axis: int = 0
    channels: tuple[Channel, ...] = ONE
    across: str = ""
    radiological: bool = False


def _opened(root: Path, raw: dict[str, Any], where: str) -> Corpus:
    """Make a corpus of the content of its index, and check all of it."""
    known = {each.name for each in fields(_Index)}
    index = made(_Index, {key: value for key, value in raw.items() if key in known}, where)
    check_name(index.name, where)
    check_classes(index.classes, where)
    check_spacing(index.nominal, f"{where}: nominal")
    if index.axis not in (0, 1, 2):
        raise InputError(f"{where}: axis {index.axis}, allowed are 0, 1 and 2")
    check_channels(index.channels, where)
    _must_have(index.cases, index.channels, where)
    check_across(index.across, where)
    for entry in index.cases:
        check_entry(root, entry, f"{where}: case {entry.name[:60]!r}")
    if len({entry.name for entry in index.cases}) < len(index.cases):
        raise InputError(f"{where}: two cases have one name; names must be unique")
    return Corpus(
        root=root,
        name=index.name,
        classes=index.classes,
        entries=index.cases,
        folds={
            scheme: tuple(split_from(fold, f"{where}: folds {scheme!r}") for fold in index.folds[scheme])
            for scheme in index.folds
        },
        nominal=index.nominal,
        source=index.source,
        notes=index.notes,
        axis=index.axis,
        channels=index.channels,
        across=index.across,
        radiological=index.radiological,
    )


def _table(entry: Entry) -> dict[str, Any]:
    """Return a case's record as the index holds it; what early versions did not know is left out where it is usual."""
    usual = {"partly": False, "channels": 1, "like_ct": False}
    return {key: value for key, value in asdict(entry).items() if key not in usual or value != usual[key]}


def _must_have(entries: Iterable[Entry], channels: Sequence[Channel], where: str) -> None:
    for entry in entries:
        if entry.channels != len(channels):
            raise InputError(
                f"{where}: case {entry.name!r} has {counted(entry.channels, 'channel')}, the corpus "
                f"has {len(channels)} ({named(channels)}); all images must have the same"
            )


def _damaged(path: Path, error: InputError) -> InputError:
    reason = str(error).removeprefix(f"{path}: ")
    return InputError(f"{path}: missing or damaged ({reason}); prepare the corpus again")


def _written(root: Path, cases: Iterable[Case | KeptCase], classes: int, *, where: str) -> tuple[Entry, ...]:
    """Write `cases` into ``root/cases``; returns their entries, sorted by name."""
    (root / "cases").mkdir()
    made = work_ahead(
        partial(write_case, root, classes=classes),
        _named_once(cases, where),
        threads=os.cpu_count() or 1,
        size=lambda case: 0 if isinstance(case, KeptCase) else case.bytes,
    )
    entries = sorted(made, key=lambda entry: entry.name)
    if not entries:
        raise InputError(f"{where}: no case found in it")
    return tuple(entries)


def _named_once(cases: Iterable[Case | KeptCase], where: str) -> Iterator[Case | KeptCase]:
    """Yield the cases; one whose name is taken, or that has a wrong word, is an error."""
    seen: dict[str, str] = {}
    for case in cases:
        of = case.entry if isinstance(case, KeptCase) else case
        check_words(of, f"{where}: case {of.name!r}")
        if (other := seen.get(as_file(of.name))) is not None:
            both = f"cases {other!r:.62} and {of.name!r:.62} differ in upper and lower case alone"
            raise InputError(
                f"{where}: two cases are named {of.name!r}; names must be unique"
                if other == of.name
                else f"{where}: {both}, or in how accents are stored; many systems take their files for one"
            )
        seen[as_file(of.name)] = of.name
        del of
        yield case
        del case  # else it would stay in memory while the next one is read
