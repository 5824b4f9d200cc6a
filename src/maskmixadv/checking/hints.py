"""Notes on a corpus: it can be trained on as it is, but may not be what its user meant."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from maskmixadv.corpus.alike import twins
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.corpus.scale import LIKE_CT
from maskmixadv.errors import counted, listed
from maskmixadv.strokes.enclosure import foreground, hull, outside
from maskmixadv.strokes.regrid import Strokes, nearest, resized
from maskmixadv.types import IGNORE

_PERSON = re.compile(r"(?i)(?:sub-[a-z0-9]+|(?:subj?|subject|pat|patient)[-_]?[0-9]+)(?=[_.-])")
"""How names begin that name a person first: as BIDS has them, and patients or subjects with a number."""
_BESIDE = "strokes on the empty margin round the image in slice {}; erase them there"
_OUTSIDE = (
    "a structure's stroke lies beyond the hull of the background's in slice {}; redraw the background round it, "
    "or --enclosure says nothing there"
)
_CUT = (
    "the dense mask reaches beyond the hull of the background stroke in slice {}; redraw it, or do not train with "
    "--enclosure"
)


def of_corpus(corpus: Corpus) -> Iterator[str]:
    """Yield a note on each oddity of the index: spacings of 1 mm, cases without annotation, patients under two names.

    Examples
    --------
    >>> from pathlib import Path
    >>> entry = Entry("a", "a", (1, 8, 8), (1.0, 1.0, 1.0), scribble=True, dense=False, sha256="0")
    >>> corpus = Corpus(Path(), "mine", ("background", "LV"), (entry,), {}, (1.0, 1.0, 1.0))
    >>> list(of_corpus(corpus))
    ['a: spacing is exactly 1 × 1 × 1 mm, as in files that lost theirs; mm are wrong if so']
    """
    unit = [entry.name for entry in corpus.entries if entry.spacing == (1.0, 1.0, 1.0)]
    if unit:
        yield f"{listed(unit)}: spacing is exactly 1 × 1 × 1 mm, as in files that lost theirs; mm are wrong if so"
    bare = [entry.name for entry in corpus.entries if not entry.scribble and not entry.dense]
    if bare:
        yield f"{listed(bare)}: neither scribble nor dense mask, left out but for train --unlabelled; draw some"
    if like := [entry.name for entry in corpus.entries if entry.like_ct]:
        yield f"{listed(like)}: {LIKE_CT}"
    if same := twins(corpus, corpus.entries, corpus.entries):
        yield f"{same}: have one image, under the names of two patients; a fold may learn from one and test the other"
    persons: dict[str, set[str]] = {}
    for entry in corpus.entries:
        if found := _PERSON.match(entry.patient):
            persons.setdefault(found[0], set()).add(entry.patient)
    if several := [listed(sorted(names)) for names in persons.values() if len(names) > 1]:
        more = f" (and so {counted(len(several) - 1, 'other')})" if len(several) > 1 else ""
        yield (
            f"{several[0]}{more}: named as of one patient, and taken for several; a fold may learn from one and test "
            "the other, prepare with --patient"
        )


def of_case(entry: Entry, case: Case) -> Iterator[str]:
    """Yield a note on each oddity of a case: constant slices, strokes on an empty margin or outside the background's.

    Examples
    --------
    >>> image = np.random.default_rng(0).random((2, 8, 8))
    >>> image[1] = 0.5
    >>> entry = Entry("a", "a", (2, 8, 8), None, scribble=False, dense=False, sha256="0")
    >>> list(of_case(entry, Case("a", "a", image[None])))
    ['a: slice 2 is constant; remove it, or its strokes']
    """
    constant = [k for k, image in enumerate(case.shown) if image.min() == image.max()]
    if constant:
        one = len(constant) == 1
        what = f"slice {_numbers(constant)} is" if one else f"slices {_numbers(constant)} are"
        yield f"{entry.name}: {what} constant; remove {'it, or its' if one else 'them, or their'} strokes"
    if case.scribble is not None:
        for problem, slices in _strokes(case, case.scribble, constant).items():
            if slices:
                yield f"{entry.name}: {problem.format(_numbers(slices))}"


def _numbers(slices: Sequence[int]) -> str:
    """List slices for people, who count them from 1, as viewers and reports do."""
    return listed([index + 1 for index in slices])


def of_folds(corpus: Corpus, taught: Mapping[str, Collection[int]]) -> Iterator[str]:
    """Yield a note on each class that some patient shows, and in some folds none that is learnt from.

    Parameters
    ----------
    corpus
        Says the folds.
    taught
        Labels that a training learns from by default, by patient.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.corpus.entry import Split
    >>> folds = {"own": (Split(("a",), (), ("b",)), Split(("b",), (), ("a",)))}
    >>> corpus = Corpus(Path(), "mine", ("background", "LV"), (), folds, (1.0, 1.0, 1.0))
    >>> list(of_folds(corpus, {"a": {0}, "b": {0, 1}}))
    ['LV: no training patient shows it in fold own 1; it is not learnt there, draw it in more patients']
    """
    for label, name in enumerate(corpus.classes):
        shows = {patient for patient, labels in taught.items() if label in labels}
        without = [
            f"{scheme} {number}"
            for scheme, folds in corpus.folds.items()
            for number, split in enumerate(folds, 1)
            if shows.isdisjoint(split.train)
        ]
        if shows and without:
            places = f"fold{'' if len(without) == 1 else 's'} {listed(without)}"
            yield f"{name}: no training patient shows it in {places}; it is not learnt there, draw it in more patients"


def of_thin(thin: Mapping[str, int], size: int) -> Iterator[str]:
    """Yield a note on the cases with thin strokes.

    Parameters
    ----------
    thin
        Number of thin strokes (`count_thin`) by the case's name.
    size
        Side of the canvas in pixels.

    Examples
    --------
    >>> list(of_thin({"a": 3, "b": 0}, 144))
    ['a: 3 strokes are thinner than a pixel of a canvas of 144 (train --preset cpu) ...']
    """
    cases = [name for name, count in thin.items() if count]
    if cases:
        strokes = sum(thin.values())
        are = "is" if strokes == 1 else "are"
        yield (
            f"{listed(cases)}: {counted(strokes, 'stroke')} {are} thinner than a pixel of a canvas of {size} (train "
            "--preset cpu) and learnt from as single pixels; draw with a wider brush, or train with a larger --size"
        )


def count_thin(case: Case, size: int, mm: float | None) -> int:
    """Count the strokes of a case that vanish on a canvas if pixels are taken by nearest neighbour.

    Parameters
    ----------
    case
        Any case; one without a scribble has none.
    size
        Side of the canvas in pixels.
    mm
        Millimetres a pixel of that canvas (`maskmixadv.strokes.regrid.millimetres`); None if a spacing is unknown.

    Examples
    --------
    >>> scribble = np.full((1, 720, 720), IGNORE, np.uint8)  # five times the canvas
    >>> scribble[0, 100, 100:600] = 1  # a line of one pixel, between the rows that are taken
    >>> scribble[0, 300:310, 100:600] = 2
    >>> count_thin(Case("a", "a", np.zeros((1, 1, 720, 720)), scribble), 144, None)
    1
    """
    if case.scribble is None or (case.spacing is None and mm is not None):
        return 0
    _, h, w = case.scribble.shape
    small = resized((h, w), case.spacing, size=size, mm=mm)
    shown = case.scribble[:, nearest(h, small[0])][:, :, nearest(w, small[1])]
    pairs = zip(case.scribble, shown, strict=True)
    return sum(int((~Strokes.of(drawn).visible(labels).present()).sum()) for drawn, labels in pairs)


def _strokes(case: Case, scribble: UInt8[np.ndarray, "d h w"], constant: Sequence[int]) -> dict[str, list[int]]:
    """Slices by what is odd in their strokes."""
    found: dict[str, list[int]] = {_BESIDE: [], _OUTSIDE: [], _CUT: []}
    for k, (image, strokes) in enumerate(zip(case.shown, scribble, strict=True)):
        if k not in constant and ((strokes != IGNORE) & _margin(image)).any():
            found[_BESIDE].append(k)
        beyond = outside(strokes)
        if beyond is None and hull(strokes == 0) is not None:
            found[_OUTSIDE].append(k)
        if beyond is not None and case.dense is not None and foreground(case.dense[k], beyond):
            found[_CUT].append(k)
    return found


def _margin(image: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Rows and columns at the edges that hold nothing but the lowest intensity: padding, not image."""
    margin, shown = np.ones(image.shape, bool), image > 0
    rows, columns = (np.flatnonzero(shown.any(axis)) for axis in (1, 0))
    margin[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = False
    return margin
