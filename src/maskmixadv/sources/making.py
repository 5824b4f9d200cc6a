"""Corpora made in Python: of arrays, and of phantoms. Nothing here imports torch."""

from collections.abc import Iterable, Sequence
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Literal

from maskmixadv.corpus.case import Case, recode
from maskmixadv.corpus.channels import ONE, Channel, own
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry, Split
from maskmixadv.corpus.folds import folds as held_out
from maskmixadv.corpus.names import check_classes
from maskmixadv.errors import InputError
from maskmixadv.sources.phantoms import phantom
from maskmixadv.types import IGNORE, PathLike


def make_corpus(
    root: PathLike,
    cases: Iterable[Case],
    *,
    classes: Sequence[str],
    name: str | None = None,
    folds: Sequence[Split] | None = None,
    validate: float | None = None,
    channels: Sequence[Channel] = ONE,
) -> Corpus:
    """Write cases into the new directory `root`, which is there whole or not at all.

    Parameters
    ----------
    root
        A new or empty directory.
    cases
        What `Case.from_arrays` makes, also one by one from a generator, so that a few at a time are in memory.
    classes
        Names of the k classes, background first; code 0 is the first one, code k - 1 the last.
    name
        What the corpus is of; None: the directory's name. Two corpora of one name hold the same patients.
    folds
        Whom to learn from, validate on and test on, fold by fold. None: patients with scribbles are learnt from, those
        with dense masks alone are validated on; from five patients with masks on there is a second scheme, ``five``,
        which tests each of them once, and with two to ten a scheme ``one-out``, which tests each in a fold of its own.
    validate
        Without `folds`: patients with masks to validate on, a number from 1 on or a fraction below 1; those with masks
        alone first, and what is left of these is for testing.
    channels
        What the images' channels are, such as ``[Channel("T1"), Channel("T2")]``, or ``[Channel("CT", "CT")]``, for
        which one window is found for all volumes; `Case.from_arrays` takes the same.

    Raises
    ------
    InputError
        Where `root` holds something already, a case can't be learnt from or scored on, a label is not that of a class,
        or a fold names a patient who is missing, or one twice.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> def volume(patient):
    ...     dense = np.zeros((4, 64, 64), np.uint8)
    ...     dense[:, 20:40, 20:40] = 1
    ...     scribble = np.full_like(dense, 255)                              # 255: nothing drawn
    ...     scribble[:, 5, 5:60], scribble[:, 30, 25:35] = 0, 1
    ...     image = 100.0 * dense + rng.normal(300.0, 20.0, dense.shape)     # raw intensities
    ...     return Case.from_arrays(image, name=patient, scribble=scribble, dense=dense, spacing=(8, 1.5, 1.5))
    >>> corpus = make_corpus(
    ...     "corpus",
    ...     [volume(patient) for patient in ("a", "b", "c")],
    ...     classes=["background", "tumour"],
    ...     folds=[Split(train=("a",), val=("b",), test=("c",))],
    ... )
    >>> print(corpus)
    corpus corpus in corpus
      cases:   3 of 3 patients; 3 with scribbles, 3 with masks
      classes: background, tumour
      folds:   own
      spacing: 8 × 1.5 × 1.5 mm along d, h, w
    """
    root = Path(root)
    check_classes(classes, "make_corpus")
    if isinstance(cases, (Case, str)) or not isinstance(cases, Iterable):
        raise InputError(f"cases: {cases!r:.60}, allowed are several: a list or a generator of cases")

    def chosen(entries: Sequence[Entry]) -> dict[str, tuple[Split, ...]]:
        return held_out(entries, _real(validate)) if folds is None else {"own": _known(folds, entries)}

    return Corpus.write(
        root,
        map(partial(_declared, classes=len(classes)), cases),
        name=name or root.resolve().name,
        classes=tuple(map(str, classes)),
        folds=chosen,
        source="arrays",
        channels=own(channels),
    )


def make_phantoms(
    root: PathLike,
    *,
    organ: Literal["heart", "prostate", "kidney"] = "heart",
    cases: int = 20,
    size: int = 128,
    seed: int = 0,
) -> Corpus:
    """Make a corpus of synthetic patients, with scribbles and dense masks, to try things out without data.

    Parameters
    ----------
    root
        A new or empty directory. ``truth.csv`` in it has each patient's volumes, of hearts the ejection fraction.
    organ
        What to draw. A heart has two volumes, end-diastole and end-systole.
    cases
        Volumes, at least 5.
    size
        Side of a slice in pixels, about; at least 64.
    seed
        Which patients, 0 or more: the same seed makes the same ones.

    Raises
    ------
    InputError
        Where a number is out of its range, or `root` is taken.

    Examples
    --------
    >>> corpus = make_phantoms("corpus", organ="kidney", cases=5, size=64)
    >>> corpus.classes
    ('background', 'kidney', 'tumour')
    """
    return phantom.prepare(Path(root), organ=organ, cases=cases, seed=seed, size=size)


def _declared(case: Case, classes: int) -> Case:
    """Return `case` if it is one, and its labels are those of classes."""
    if not isinstance(case, Case):
        raise InputError(f"cases: {case!r:.60} is a {type(case).__name__}, allowed is what Case.from_arrays makes")
    for kind in ("scribble", "dense"):
        if (labels := getattr(case, kind)) is not None:
            recode(labels, classes=classes, ignore=IGNORE, where=f"{case.name}: {kind}")
    return case


def _known(folds: Sequence[Split], entries: Sequence[Entry]) -> tuple[Split, ...]:
    """Return `folds` if each of their patients is there, in one part alone."""
    patients = {entry.patient for entry in entries}
    if not isinstance(folds, Sequence) or isinstance(folds, (str, Split)):
        raise InputError(f"folds: {folds!r:.60}, allowed is a list of Split(train=…, val=…, test=…)")
    if not folds:
        raise InputError("folds: none given, at least one is needed")
    found = tuple(_split(split, number) for number, split in enumerate(folds, start=1))
    for number, split in enumerate(found, start=1):
        named = [patient for part in split for patient in part]
        if missing := sorted(set(named) - patients):
            raise InputError(f"folds: fold {number} names patient {missing[0]!r}, of whom there is no case")
        if twice := next((patient for patient in named if named.count(patient) > 1), None):
            raise InputError(f"folds: fold {number} names patient {twice!r} twice; each may be in one part")
    return found


def _split(raw: object, number: int) -> Split:
    """Return a fold as it was given: three lists of names. A name alone would be taken for its letters."""
    parts = list(raw) if isinstance(raw, Sequence) and not isinstance(raw, str) else []
    listed = [isinstance(part, Iterable) and not isinstance(part, str) for part in parts]
    if listed != [True] * len(Split._fields):
        raise InputError(
            f"folds: fold {number} is {raw!r:.60}, allowed is Split(train=[…], val=[…], test=[…]) of names"
        )
    split = Split(*map(tuple, parts))
    if stray := [patient for part in split for patient in part if not isinstance(patient, str)]:
        raise InputError(f"folds: fold {number} names patient {stray[0]!r:.60}, allowed are texts")
    return split


def _real(validate: float | None) -> float | None:
    if validate is not None and (isinstance(validate, bool) or not isinstance(validate, Real)):
        raise InputError(f"validate: {validate!r:.60}, allowed is a number")
    return validate
