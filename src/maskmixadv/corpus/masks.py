"""Which dense masks a run learns from, beside strokes: a setting, and the masks that it chooses. No torch here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar, cast

import numpy as np

from maskmixadv.corpus.case import structures, whole_slices
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError
from maskmixadv.types import Supervision

Taught = Mapping[str, tuple[int, ...] | None]
"""Names of the cases whose masks are learnt from, and the numbers of the slices that are; None: all slices."""
NOTHING: Final[Taught] = {}
"""No mask is learnt from."""
Counted = Literal["patients", "slices"]
"""What a number of masks counts."""
_BENCHMARKS: Final = ("ACDC (", "MSCMRseg (", "maskmixadv's ")
"""Beginnings of the sources of this library's benchmarks. Their masks are there to score with; where strokes were drawn
anew for some cases alone, the others' masks must not teach unasked."""
_Thing = TypeVar("_Thing")
_STREAM: Final = 15
"""Keeps the choice of masks apart from other random numbers of a run's seed."""


@dataclass(frozen=True)
class Masks:
    """Which dense masks a run learns from.

    Attributes
    ----------
    which
        ``none``; ``all``; ``auto``: masks of cases without strokes, and masks that know only some of a volume's pixels,
        but none of this library's benchmarks; or a number from 1 on.
    of
        What a number counts: training patients whose masks are learnt from, or single slices that show a structure.

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> Masks("4", "slices").number, Masks("auto").number
    (4, None)
    >>> Masks("some")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: masks: 'some', allowed are auto, none, all, or a whole number from 1 on
    """

    which: str = "none"
    of: str = "patients"

    def __post_init__(self) -> None:
        if self.which not in ("auto", "none", "all") and not (self.which.isdecimal() and int(self.which)):
            raise InputError(f"masks: {self.which!r}, allowed are auto, none, all, or a whole number from 1 on")
        if self.of not in ("patients", "slices"):
            raise InputError(f"masks_of: {self.of!r}, allowed are patients and slices")
        if self.of == "slices" and self.number is None:
            raise InputError(f"masks_of: slices, which counts a number of masks, but masks is {self.which}")

    def __str__(self) -> str:
        """Say it in a word or two."""
        return self.which if self.number is None else f"{self.which} {self.of}"

    @property
    def number(self) -> int | None:
        """The number of patients or slices; None where it is no number."""
        return None if self.which in ("auto", "none", "all") else int(self.which)

    def settled(self, corpus: Corpus, entries: Sequence[Entry], supervision: Supervision) -> "Masks":
        """Return what a run records: ``none`` where ``auto`` chooses no mask, and for all masks of full supervision.

        Parameters
        ----------
        corpus, entries
            The corpus, and the training cases.
        supervision
            What the run's method learns from.

        Raises
        ------
        InputError
            Where full supervision is to have no mask.

        Examples
        --------
        >>> from pathlib import Path
        >>> from maskmixadv.sources.phantoms import phantom
        >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
        >>> [Masks(which).settled(corpus, corpus.entries, "scribble").which for which in ("auto", "all")]
        ['none', 'all']
        """
        if supervision == "dense":
            if self.which == "none":
                raise InputError("masks: none, but the method learns from masks alone; allowed are all or a number")
            return self if self.number else Masks()
        chooses = self.which != "auto" or any(self.chooses(corpus, entry, supervision) for entry in entries)
        return self if chooses else Masks()

    def chooses(self, corpus: Corpus, entry: Entry, supervision: Supervision) -> bool:
        """Whether the mask of a case of `corpus` is learnt from, where no number is given.

        Examples
        --------
        >>> from pathlib import Path
        >>> entry = Entry("a", "a", (1, 8, 8), None, scribble=False, dense=True, sha256="0")
        >>> corpus = Corpus(Path(), "mine", ("background", "LV"), (entry,), {}, (1.0, 1.0, 1.0))
        >>> [Masks(which).chooses(corpus, entry, "scribble") for which in ("auto", "none")]
        [True, False]
        """
        if self.which == "auto" and supervision != "dense":
            return entry.dense and (entry.partly or not entry.scribble) and not is_benchmark(corpus)
        return entry.dense and (supervision == "dense" or self.which == "all")


NONE: Final = Masks()
"""Strokes alone; for full supervision, all masks."""
AUTO: Final = Masks("auto")
"""What a run begins with, unless another setting is given."""


def taught(corpus: Corpus, entries: Sequence[Entry], masks: Masks, *, supervision: Supervision, seed: int) -> Taught:
    """Return the masks that a run learns from.

    A number of them is chosen by the seed alone, the same for all methods. The choice of a smaller number is a part of
    that of a larger one. Slices are spread as evenly as possible over the patients.

    Parameters
    ----------
    corpus, entries
        The corpus, and the training cases.
    masks
        The run's setting.
    supervision
        What the run's method learns from.
    seed
        The run's seed.

    Raises
    ------
    InputError
        Where there are fewer masks than are wanted.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> chosen = taught(corpus, corpus.entries, Masks("3", "slices"), supervision="scribble", seed=0)
    >>> len({name.split("_")[0] for name in chosen}), sum(len(slices) for slices in chosen.values())
    (3, 3)
    """
    masked = [entry for entry in entries if entry.dense]
    if masks.number is None:
        return {entry.name: None for entry in masked if masks.chooses(corpus, entry, supervision)}
    random = np.random.default_rng((seed, _STREAM))
    if masks.of == "slices":
        return _some_slices(corpus, masked, masks.number, random)
    patients = _shuffled(sorted({entry.patient for entry in masked}), random)
    _must_suffice(corpus, len(patients), masks)
    chosen = set(patients[: masks.number])
    return {entry.name: None for entry in masked if entry.patient in chosen}


def is_benchmark(corpus: Corpus) -> bool:
    """Whether it is one of this library's benchmarks, whose training cases have masks to score with.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.sources.phantoms import phantom
    >>> is_benchmark(phantom.prepare(Path("corpus"), cases=6, size=64))
    True
    """
    return corpus.source.startswith(_BENCHMARKS)


def _some_slices(corpus: Corpus, entries: Sequence[Entry], number: int, random: np.random.Generator) -> Taught:
    """Choose dense slices with a structure, in rounds: a round takes one more slice of each patient that has one."""
    by_patient: dict[str, list[tuple[str, int]]] = {}
    for entry, slices in zip(entries, _showing(corpus, entries), strict=True):
        by_patient.setdefault(entry.patient, []).extend((entry.name, k) for k in slices)
    patients = _shuffled(sorted(by_patient), random)
    ranked = [_shuffled(by_patient[patient], random) for patient in patients]
    rounds = [each[turn] for turn in range(max(map(len, ranked), default=0)) for each in ranked if turn < len(each)]
    _must_suffice(corpus, len(rounds), Masks(str(number), "slices"))
    chosen: dict[str, tuple[int, ...]] = {}
    for name, k in sorted(rounds[:number]):
        chosen[name] = (*chosen.get(name, ()), k)
    return chosen


def _showing(corpus: Corpus, entries: Sequence[Entry]) -> Iterator[list[int]]:
    """Yield the numbers of each case's dense slices that show a structure."""
    for case in corpus.load_all(entries):
        dense = cast("np.ndarray", case.dense)
        yield np.flatnonzero(whole_slices(dense) & structures(dense).any(axis=(1, 2))).tolist()


def _must_suffice(corpus: Corpus, there: int, masks: Masks) -> None:
    if there < cast("int", masks.number):
        what = "training patients have" if masks.of == "patients" else "slices that show a structure have training"
        raise InputError(f"{corpus.root}: masks: {masks.which}, but only {there} {what} masks")


def _shuffled(things: Sequence[_Thing], random: np.random.Generator) -> list[_Thing]:
    return [things[place] for place in random.permutation(len(things))]
