"""Annotations as people give them: on few slices, of few patients, and partly wrong."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8

from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError
from maskmixadv.strokes.slips import slip
from maskmixadv.types import IGNORE

Labels = UInt8[np.ndarray, "d h w"]


@dataclass(frozen=True)
class Imperfection:
    """What annotators leave out, and what they get wrong.

    Attributes
    ----------
    errors
        Fraction of each structure's stroke pixels that get a wrong class, 0 to 0.5: runs of a stroke slip over the
        border, or whole points do. The background's strokes stay right.
    slices
        Number of slices of each volume that are annotated, 1 or more, spread evenly over those that show a structure;
        by default all slices.
    patients
        Fraction of the patients that are annotated, above 0, at most 1; each group has its share, and a smaller
        fraction is part of a larger one.

    Examples
    --------
    >>> print(Imperfection(errors=0.03, slices=3))
     --errors 0.03 --slices 3
    >>> Imperfection(errors=3.0)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: errors: 3.0, allowed is a fraction from 0 to 0.5
    """

    errors: float = 0.0
    slices: int | None = None
    patients: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not 0 <= self.errors <= 0.5:
            raise InputError(f"errors: {self.errors}, allowed is a fraction from 0 to 0.5")
        if self.slices is not None and self.slices < 1:
            raise InputError(f"slices: {self.slices}, allowed is 1 or more")
        if not 0 < self.patients <= 1:
            raise InputError(f"patients: {self.patients}, allowed is a fraction above 0, at most 1")

    def __str__(self) -> str:
        """Return the words of the command line that differ from the defaults, each after a space."""
        return "".join(f" --{name} {value}" for name, value in self._set())

    def _set(self) -> Iterator[tuple[str, float]]:
        if self.errors:
            yield "errors", self.errors
        if self.slices is not None:
            yield "slices", self.slices
        if self.patients < 1:
            yield "patients", self.patients

    def among(self, entries: Sequence[Entry], seed: int) -> frozenset[str]:
        """Choose the patients that are annotated.

        Parameters
        ----------
        entries
            Cases of all patients that can be annotated. Their order changes nothing.
        seed
            Seed of the random numbers.
        """
        groups: dict[str, set[str]] = {}
        for entry in entries:
            groups.setdefault(entry.group or "", set()).add(entry.patient)
        places: dict[str, tuple[float, int]] = {}
        for patients in groups.values():
            ordered = sorted(patients, key=lambda patient: hashed(f"{seed} {patient}"))
            for rank, patient in enumerate(ordered):
                place = ((rank + 0.5) / len(ordered), hashed(f"{seed} {patient}"))
                places[patient] = min(place, places.get(patient, place))
        count = max(1, round(self.patients * len(places)))
        return frozenset(sorted(places, key=lambda patient: places[patient])[:count])

    def applied(self, drawn: Labels, masks: Labels | None, case: str, *, seed: int, whole: bool) -> Labels:
        """Leave out slices of an annotation, and make a part of the rest wrong.

        Parameters
        ----------
        drawn
            Class indices, ``IGNORE`` where nothing is drawn.
        masks
            The dense mask. Without one, or where it does not know a stroke's pixels, slices that show a structure are
            those with a structure's stroke, and nothing is made wrong.
        case
            Name of the case.
        seed
            Seed of the random numbers.
        whole
            Whether whole strokes slip, as points do.
        """
        if self.slices is not None:
            truth = drawn if masks is None else np.where(masks == IGNORE, drawn, masks)
            kept = spread(_shown(drawn) & _shown(truth), self.slices)
            drawn = np.where(kept[:, None, None], drawn, np.uint8(IGNORE))
        if self.errors and masks is not None:
            rng = np.random.default_rng((seed, hashed(f"errors in {case}")))
            drawn = slip(drawn, masks, rate=self.errors, whole=whole, rng=rng)
        return drawn


PERFECT: Final = Imperfection()
"""Nothing is left out, and nothing is wrong."""


def spread(shown: Bool[np.ndarray, "d"], count: int) -> Bool[np.ndarray, "d"]:
    """Choose the middle slices of `count` equal parts of those that are shown; all of them where there are no more.

    Examples
    --------
    >>> spread(np.array([False, True, True, True, True, True, True, False]), 2).nonzero()[0].tolist()
    [2, 5]
    """
    held = np.flatnonzero(shown)
    chosen = held if count >= len(held) else held[[math.floor((k + 0.5) * len(held) / count) for k in range(count)]]
    kept = np.zeros_like(shown)
    kept[chosen] = True
    return kept


def hashed(word: str) -> int:
    """Return a number of 64 bits that depends on a word alone.

    Examples
    --------
    >>> hashed("patient001_ED") == hashed("patient001_ED") != hashed("patient001_ES")
    True
    """
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])


def _shown(labels: Labels) -> Bool[np.ndarray, "d"]:
    return ((labels != 0) & (labels != IGNORE)).any(axis=(1, 2))
