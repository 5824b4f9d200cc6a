"""The command ``check``: what a corpus holds, and what is wrong with it."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

from maskmixadv.checking import against, hints
from maskmixadv.corpus.case import Case, validate, whole_slices
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.corpus.masks import AUTO, is_benchmark
from maskmixadv.errors import InputError, counted
from maskmixadv.files import work_ahead
from maskmixadv.strokes.canvas import fitted
from maskmixadv.strokes.draw import pieces_of
from maskmixadv.strokes.enclosure import foreground, outside
from maskmixadv.strokes.regrid import DEFAULT, millimetres
from maskmixadv.types import IGNORE

_NOTES = 20
"""Notes that are shown at most."""
_SHOWN = 8
"""Cases that a note names at most, and slices of each."""


@dataclass
class Tally:
    """Counts over a corpus.

    Attributes
    ----------
    scribbled, dense
        Pixels of each label in scribbles and in dense masks.
    strokes
        Connected strokes of each label.
    slices
        Slices of cases with scribbles.
    stroked, masked, both
        Slices with strokes, with a mask of all their pixels, and with both.
    enclosing
        Of these, slices whose background stroke encloses the structures' strokes.
    beyond, wrong
        Pixels beyond the hulls of these background strokes, and those of them that are a structure's in the mask.
    shown
        Labels in the masks that a training learns from by default.
    taught
        Labels that a training learns from by default, in strokes and masks, by patient.
    bare
        Slices without a stroke, and without a mask that is learnt from by default, by the case's name.
    problems, notes
        Lines on errors, and on what deserves a look.

    Examples
    --------
    >>> tally = Tally()
    >>> tally.strokes.update({0: 1, 3: 2})
    >>> tally.strokes[3]
    2
    """

    scribbled: Counter[int] = field(default_factory=Counter)
    strokes: Counter[int] = field(default_factory=Counter)
    dense: Counter[int] = field(default_factory=Counter)
    slices: int = 0
    stroked: int = 0
    masked: int = 0
    both: int = 0
    shown: set[int] = field(default_factory=set)
    taught: dict[str, set[int]] = field(default_factory=dict)
    enclosing: int = 0
    beyond: int = 0
    wrong: int = 0
    bare: dict[str, list[int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(corpus: Corpus) -> tuple[str, list[str]]:
    """Read every case of a corpus and report on it.

    Returns
    -------
    A text that says what the corpus holds and what deserves a look; and a line for each error: a case that can't be
    read or trained on, or a class without strokes. Slices and cases without strokes are no errors.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.sources.phantoms import phantom
    >>> told, problems = check(phantom.prepare(Path("corpus"), cases=6, size=64))
    >>> print(told)
    phantom-0: 6 cases of 3 patients, 42 slices
      with scribbles 6, with dense masks 6, with both 6
      slices with strokes 42, with dense masks 42, with both 42
    ...
    >>> problems
    []
    """
    tally, size, thin = Tally(notes=list(hints.of_corpus(corpus))), _canvas(corpus), dict[str, int]()
    mm = millimetres(size, [each for each in corpus.entries if each.scribble or each.dense] or corpus.entries)
    entries, threads, said = iter(corpus.entries), os.cpu_count() or 1, dict[str, against.Sides]()
    for case in work_ahead(partial(_read, corpus), corpus.entries, threads=threads, size=lambda entry: entry.bytes):
        entry = next(entries)
        if isinstance(case, str):
            tally.problems.append(case)
        else:
            _count(tally, case)
            _compare(tally, case)
            shown = _shown(corpus, entry, case)
            tally.shown |= shown
            drawn = set[int]() if case.scribble is None else set(np.unique(case.scribble).tolist())
            tally.taught.setdefault(case.patient, set()).update(shown | drawn)
            tally.bare |= _bare(corpus, entry, case)
            tally.notes += hints.of_case(entry, case)
            if (sides := against.sides(case, len(corpus.classes))) is not None:
                said[entry.name] = sides
            try:
                thin[entry.name] = hints.count_thin(case, size, mm)
            except InputError as error:
                tally.problems.append(f"{corpus.root}: {entry.name}: {error}")
        del case  # else a large one would stay in memory while the next one is read
    tally.notes[:0] = [
        *hints.of_folds(corpus, tally.taught),
        *hints.of_thin(thin, size),
        *against.notes(said, corpus.classes),
        *against.of_scale(corpus.entries),
    ]
    if tally.bare:
        tally.notes.insert(0, _strokeless(tally))
    tally.problems += _unstroked(corpus, tally)
    return "\n".join(_told(corpus, tally)), tally.problems


def _canvas(corpus: Corpus) -> int:
    """Return the side of the coarsest canvas that a training of the corpus has by default."""
    try:
        return fitted(DEFAULT, corpus, corpus.entries).size
    except InputError:  # a damaged case, which is told of when it is its turn
        return DEFAULT


def _read(corpus: Corpus, entry: Entry) -> Case | str:
    try:
        case = corpus.load(entry)
        return validate(case, classes=len(corpus.classes), where=f"{corpus.root}: {entry.name}")
    except InputError as error:
        return str(error)


def _count(tally: Tally, case: Case) -> None:
    for counter, labels in ((tally.scribbled, case.scribble), (tally.dense, case.dense)):
        if labels is not None:
            values, counts = np.unique(labels, return_counts=True)
            counter.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    if case.scribble is None:
        return
    for number, scribble in enumerate(case.scribble):
        tally.slices += 1
        tally.strokes.update(_pieces(scribble))
        beyond = outside(scribble)
        if beyond is not None:
            tally.enclosing += 1
            tally.beyond += int(beyond.sum())
            tally.wrong += 0 if case.dense is None else foreground(case.dense[number], beyond)


def _compare(tally: Tally, case: Case) -> None:
    """Count the slices of a case by what is known of them."""
    none = np.zeros(case.shape[0], bool)
    stroked = none if case.scribble is None else (case.scribble != IGNORE).any(axis=(1, 2))
    masked = none if case.dense is None else whole_slices(case.dense)
    tally.stroked += int(stroked.sum())
    tally.masked += int(masked.sum())
    tally.both += int((stroked & masked).sum())


def _shown(corpus: Corpus, entry: Entry, case: Case) -> set[int]:
    """Return the labels of a case's mask if a training learns from it by default."""
    if case.dense is None or not AUTO.chooses(corpus, entry, "scribble"):
        return set()
    return set(np.unique(case.dense).tolist())


def _pieces(scribble: UInt8[np.ndarray, "h w"]) -> dict[int, int]:
    """Count each label's connected pieces."""
    # Boxes are found in one pass, so that pieces are counted in small arrays; IGNORE + 1 wraps to 0, which has no box.
    boxes = ((label, box) for label, box in enumerate(ndimage.find_objects(scribble + 1)) if box is not None)
    return {label: int(pieces_of(scribble[box] == label).max()) for label, box in boxes}


def _bare(corpus: Corpus, entry: Entry, case: Case) -> dict[str, list[int]]:
    if case.scribble is None:
        return {}
    nothing = (case.scribble == IGNORE).all(axis=(1, 2))
    if case.dense is not None and AUTO.chooses(corpus, entry, "scribble"):
        nothing &= (case.dense == IGNORE).all(axis=(1, 2))
    bare = np.flatnonzero(nothing).tolist()
    return {entry.name: bare} if bare else {}


def _strokeless(tally: Tally) -> str:
    count = sum(map(len, tally.bare.values()))
    shown = [f"{name} slice {_some(slices)}" for name, slices in list(tally.bare.items())[:_SHOWN]]
    more = f", and {counted(len(tally.bare) - _SHOWN, 'more case')}" if len(tally.bare) > _SHOWN else ""
    return f"no stroke in {count} of {tally.slices} slices of scribbled cases ({'; '.join(shown)}{more})"


def _some(slices: Sequence[int]) -> str:
    return ", ".join(str(index + 1) for index in slices[:_SHOWN]) + (", …" if len(slices) > _SHOWN else "")


def _unstroked(corpus: Corpus, tally: Tally) -> Iterator[str]:
    if not any(entry.scribble or entry.dense for entry in corpus.entries):
        yield f"{corpus.root}: no case has a stroke or a dense mask; nothing can be learnt from it, draw some"
    if tally.slices:
        for label, name in enumerate(corpus.classes):
            if not tally.scribbled[label] and label not in tally.shown:
                yield f"{corpus.root}: no stroke of class {label} ({name}) in any case; a class can't be learnt without"


def _told(corpus: Corpus, tally: Tally) -> Iterator[str]:
    entries = corpus.entries
    patients = counted(len({entry.patient for entry in entries}), "patient")
    slices = counted(sum(entry.shape[0] for entry in entries), "slice")
    yield f"{corpus.name}: {counted(len(entries), 'case')} of {patients}, {slices}"
    drawn, dense = sum(entry.scribble for entry in entries), sum(entry.dense for entry in entries)
    both = sum(entry.scribble and entry.dense for entry in entries)
    yield f"  with scribbles {drawn}, with dense masks {dense}, with both {both}"
    yield f"  slices with strokes {tally.stroked}, with dense masks {tally.masked}, with both {tally.both}"
    if any(entry.scribble and entry.masked for entry in entries) and not is_benchmark(corpus):
        yield "  where both are, training learns from the strokes; with --masks all, from the masks"
    if partly := sum(entry.partly for entry in entries):
        yield f"  partly dense volumes {partly}: their masks know only some slices, and teach these"
    if without := _without(corpus, tally):
        learnt = "with --unlabelled, methods with a teacher, such as walk-teacher, learn from them"
        yield f"  slices without annotation {without}: {learnt}"
    yield from (f"  made by: {note}" for note in corpus.notes)
    yield f"  spacing {_spacings(entries, corpus)}"
    yield from _folds(corpus)
    yield f"  {'class':<14}{'strokes':>10}{'dense':>10}   (share of pixels){'strokes a slice':>18}"
    for label, name in enumerate(corpus.classes):
        shares = f"{_share(tally.scribbled, label):>10}{_share(tally.dense, label):>10}"
        yield f"  {label} {name:<12}{shares}{_rate(tally, label):>38}"
    if tally.slices:
        yield from _enclosure(tally)
    yield from (f"note: {note}" for note in tally.notes[:_NOTES])
    if len(tally.notes) > _NOTES:
        yield f"note: and {len(tally.notes) - _NOTES} more"


def _without(corpus: Corpus, tally: Tally) -> int:
    """Count the slices that have neither strokes nor a mask that a training learns from by default."""
    nothing = [e for e in corpus.entries if not e.scribble and not AUTO.chooses(corpus, e, "scribble")]
    return sum(map(len, tally.bare.values())) + sum(entry.shape[0] for entry in nothing)


def _spacings(entries: Sequence[Entry], corpus: Corpus) -> str:
    known = [entry.spacing for entry in entries if entry.spacing is not None]
    if not known:
        return f"unknown; distances assume {' × '.join(f'{mm:g}' for mm in corpus.nominal)} mm and are marked nominal"
    low, high = np.min(known, axis=0), np.max(known, axis=0)
    ranges = " × ".join(f"{a:.3g}-{b:.3g}" if b - a > 5e-3 else f"{a:.3g}" for a, b in zip(low, high, strict=True))
    missing = len(entries) - len(known)
    return f"{ranges} mm" + (f", unknown in {counted(missing, 'case')}" if missing else "")


def _folds(corpus: Corpus) -> Iterator[str]:
    for scheme, folds in corpus.folds.items():
        counts = "  ".join("/".join(str(len(patients)) for patients in split) for split in folds)
        yield f"  folds {scheme}: {counts}   (patients in train/val/test)"


def _share(counts: Counter[int], label: int) -> str:
    total = sum(counts.values())
    return f"{counts[label] / total:.2%}" if total else "-"


def _rate(tally: Tally, label: int) -> str:
    """Return the strokes of a label in a slice that has strokes: others would hide how sparse, or dense, they are."""
    return f"{tally.strokes[label] / tally.stroked:.2f}" if tally.stroked else "-"


def _enclosure(tally: Tally) -> Iterator[str]:
    labelled = sum(tally.scribbled.values()) - tally.scribbled[IGNORE]
    total = sum(tally.scribbled.values())
    yield f"  enclosure holds in {tally.enclosing} of {counted(tally.stroked, 'slice')} with strokes"
    yield f"  labelled pixels: {labelled / total:.2%} by strokes, about {(labelled + tally.beyond) / total:.0%} with it"
    if tally.dense and tally.beyond:
        yield f"  foreground beyond the hull: {tally.wrong} of {tally.beyond} pixels"
