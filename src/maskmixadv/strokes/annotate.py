"""The commands ``annotate``: a corpus with scribbles or points drawn from its dense masks, or with fewer of its own.

The drawing in a structure of a slice depends on the seed, the case's name, the slice, the class and that class's mask
alone. Other cases, their order and other structures change nothing. Errors are drawn for a whole case.
"""

import abc
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, Literal, final

import numpy as np
import scipy
from jaxtyping import UInt8
from rich.progress import track

from maskmixadv.corpus.case import Case, structures
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError, counted, say
from maskmixadv.processes import process_pool
from maskmixadv.strokes.draw import SliceMask, draw_round, pieces_of
from maskmixadv.strokes.imperfect import PERFECT, Imperfection, hashed
from maskmixadv.strokes.points import draw_discs, place_points, scatter_points
from maskmixadv.strokes.styles import draw_in
from maskmixadv.types import IGNORE

Style = Literal["paper", "open", "random", "centre"]
SliceLabels = UInt8[np.ndarray, "h w"]

NEAR, FAR = 4, 24
"""Distance in pixels from the organ between which an open background stroke is drawn, where the gap is 1."""
GAPS: Final = (0.1, 10.0)
"""Least and greatest gap between the background's stroke and the organ."""
BACKGROUND_POINTS: Final = 10
_LACKING: Final = {"dense": "a dense mask to draw from", "scribble": "a scribble to keep"}


@dataclass(frozen=True)
class Annotator(abc.ABC):
    """Annotates cases: a `Drawer` draws from dense masks, `KeptAnnotator` keeps what is there.

    Attributes
    ----------
    name
        Name of its command.
    source
        The labels of a case that it annotates from.
    whole
        Whether a whole connected stroke goes wrong at a time.
    seed
        Seed of the random numbers, 0 or more.

    Examples
    --------
    >>> case = Case("p1", "p1", np.ones((1, 1, 8, 8), np.float32), scribble=np.full((1, 8, 8), 255, np.uint8))
    >>> [annotator.of(case) is None for annotator in (PointAnnotator(), KeptAnnotator())]
    [True, False]
    """

    name: ClassVar[str]
    source: ClassVar[Literal["dense", "scribble"]]
    whole: ClassVar[bool] = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a seed below 0."""
        if self.seed < 0:
            raise InputError(f"seed: {self.seed}, allowed is 0 or more")

    def __str__(self) -> str:
        """Return the words of the command line that make this annotator."""
        return " ".join((self.name, *_options(self)))

    @property
    def closed_background(self) -> bool:
        """Whether the background's strokes go round the organ, where they did so in the corpus that is annotated."""
        return True

    @abc.abstractmethod
    def of(self, case: Case) -> UInt8[np.ndarray, "d h w"] | None:
        """Annotate a case; None where it lacks the labels that this needs."""


@final
@dataclass(frozen=True)
class KeptAnnotator(Annotator):
    """Keeps the strokes that a corpus has, such as those that people drew.

    Examples
    --------
    >>> print(KeptAnnotator(seed=1))
    kept --seed 1
    """

    name: ClassVar[str] = "kept"
    source: ClassVar[Literal["dense", "scribble"]] = "scribble"

    def of(self, case: Case) -> UInt8[np.ndarray, "d h w"] | None:
        """Return the case's strokes."""
        return case.scribble


@dataclass(frozen=True)
class Drawer(Annotator):
    """Draws an annotation from dense masks; `ScribbleAnnotator` and `PointAnnotator` say how.

    Examples
    --------
    >>> masks = np.zeros((2, 32, 32), np.uint8)
    >>> masks[0, 8:24, 4:28] = 1
    >>> scribble = ScribbleAnnotator(seed=7).draw(masks, "patient001_ED")
    >>> np.unique(scribble[0]).tolist()
    [0, 1, 255]
    >>> bool((scribble[scribble != IGNORE] == masks[scribble != IGNORE]).all())
    True
    """

    source: ClassVar[Literal["dense", "scribble"]] = "dense"

    def of(self, case: Case) -> UInt8[np.ndarray, "d h w"] | None:
        """Draw from the case's dense mask."""
        return None if case.dense is None else self.draw(case.dense, case.name)

    def draw(self, masks: UInt8[np.ndarray, "d h w"], case: str) -> UInt8[np.ndarray, "d h w"]:
        """Annotate the dense masks of the case called `case`.

        Returns
        -------
        Class indices, ``IGNORE`` where nothing is drawn. Nothing is drawn beyond its structure.
        """
        number = hashed(case)
        return np.stack([self._slice(plane, (self.seed, number, k)) for k, plane in enumerate(masks)])

    def _slice(self, masks: SliceLabels, seeds: tuple[int, int, int]) -> SliceLabels:
        drawn = np.full_like(masks, IGNORE)
        for label in np.unique(masks[masks != IGNORE]).tolist():
            held = masks == label
            rng = np.random.default_rng((*seeds, label))
            drawn[held & (self._structure(held, rng) if label else self._background(masks, rng))] = label
        return drawn

    @abc.abstractmethod
    def _structure(self, structure: SliceMask, rng: np.random.Generator) -> SliceMask: ...

    @abc.abstractmethod
    def _background(self, masks: SliceLabels, rng: np.random.Generator) -> SliceMask: ...


@final
@dataclass(frozen=True)
class ScribbleAnnotator(Drawer):
    """Draws strokes.

    Attributes
    ----------
    style
        How to draw in a structure: paper (along its skeleton, without branches), open (part of a ring in a round one,
        of the middle line in a long one), random (a wandering curve) or centre (one short straight line).
    length
        Fraction of each stroke that is kept, in one piece; above 0, at most 1. A closed background stroke stays whole.
    closed
        Draw the background's stroke as a loop round the organ, as --enclosure needs it; otherwise as an open stroke
        near the organ, in the style.
    thickness
        Thickness of strokes in pixels, 1 to 15; the paper has 3.
    gap
        How far from the organ the background's stroke runs: 1 is as in the paper (4 to 13 pixels for a loop), 0.3 three
        tenths of it; 0.1 to 10. Use less where what lies next to the organ looks like it, or the organ is small.

    Examples
    --------
    >>> print(ScribbleAnnotator(style="random", length=0.5))
    scribbles --seed 0 --style random --length 0.5 --closed --thickness 2 --gap 1.0
    """

    name: ClassVar[str] = "scribbles"
    style: Style = "paper"
    length: float = 1.0
    closed: bool = True
    thickness: int = 2
    gap: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        if not 0 < self.length <= 1:
            raise InputError(f"length: {self.length}, allowed is a fraction above 0, at most 1")
        if not 1 <= self.thickness <= 15:
            raise InputError(f"thickness: {self.thickness}, allowed are 1 to 15 pixels")
        least, most = GAPS
        if not least <= self.gap <= most:
            raise InputError(f"gap: {self.gap}, allowed are {least:g} to {most:g}")

    @property
    def closed_background(self) -> bool:
        """Whether the background's strokes go round the organ."""
        return self.closed

    def _structure(self, structure: SliceMask, rng: np.random.Generator) -> SliceMask:
        return draw_in(structure, style=self.style, length=self.length, thickness=self.thickness, rng=rng)

    def _background(self, masks: SliceLabels, rng: np.random.Generator) -> SliceMask:
        organ = (masks != 0) & (masks != IGNORE)
        if self.closed:
            brush = np.ones((self.thickness, self.thickness), bool)
            return np.asarray(scipy.ndimage.binary_dilation(draw_round(organ, rng, self.gap), brush))
        if not organ.any():
            organ[tuple(np.array(organ.shape) // 2)] = True
        away = np.asarray(scipy.ndimage.distance_transform_edt(~organ))
        band = (masks == 0) & (away > NEAR * self.gap) & (away <= FAR * self.gap)
        return self._structure(band if band.any() else masks == 0, rng)


@final
@dataclass(frozen=True)
class PointAnnotator(Drawer):
    """Draws points: 10 in the background, some in each piece of each structure.

    Attributes
    ----------
    per_class
        Points in each connected piece of a structure: 1 (near its middle), 2 or 3 (anywhere in it).
    radius
        Radius of a point's disc in pixels, 0 to 15.

    Examples
    --------
    >>> masks = np.zeros((1, 32, 32), np.uint8)
    >>> masks[0, 8:24, 4:28] = 1
    >>> points = PointAnnotator(per_class=2, radius=0).draw(masks, "patient001_ED")
    >>> int((points == 1).sum()), int((points == 0).sum())
    (2, 10)
    """

    name: ClassVar[str] = "points"
    whole: ClassVar[bool] = True
    per_class: int = 1
    radius: int = 3

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        if self.per_class not in (1, 2, 3):
            raise InputError(f"per-class: {self.per_class}, allowed is 1, 2 or 3")
        if not 0 <= self.radius <= 15:
            raise InputError(f"radius: {self.radius}, allowed are 0 to 15 pixels")

    @property
    def closed_background(self) -> bool:
        """Points do not go round the organ."""
        return False

    def _structure(self, structure: SliceMask, rng: np.random.Generator) -> SliceMask:
        return draw_discs(place_points(structure, count=self.per_class, rng=rng), structure, radius=self.radius)

    def _background(self, masks: SliceLabels, rng: np.random.Generator) -> SliceMask:
        places = scatter_points(masks == 0, count=BACKGROUND_POINTS, rng=rng)
        return draw_discs(places, masks == 0, radius=self.radius)


def annotate(corpus: Corpus, root: Path, annotator: Annotator, imperfection: Imperfection = PERFECT) -> Corpus:
    """Make a copy of a corpus whose scribbles are those that `annotator` gives.

    Cases that it can't annotate get no scribble: those without a dense mask, or without strokes to keep. The new
    corpus's notes say how it was made.

    Parameters
    ----------
    corpus
        It stays as it is.
    root
        A new or empty directory outside of it.
    annotator
        Who draws, or keeps the strokes that are there.
    imperfection
        Which slices and patients are left out, and how much is wrong.

    Raises
    ------
    InputError
        If no case has the labels that `annotator` needs, one can't be read, or `root` is not empty or lies in the
        corpus.

    Examples
    --------
    >>> from maskmixadv.sources.phantoms import phantom
    >>> hearts = phantom.prepare(Path("hearts"), cases=6, size=64)
    >>> annotate(hearts, Path("points"), PointAnnotator()).notes[0]
    'annotate points --seed 0 --per-class 1 --radius 3 --from dense; of the corpus ...'
    >>> sparse = annotate(hearts, Path("sparse"), KeptAnnotator(), Imperfection(slices=2, patients=0.34))
    >>> print(sparse)
    corpus phantom-0 in sparse
      cases:   6 of 3 patients; 2 with scribbles, 6 with masks
    ...
    """
    able = [entry for entry in corpus.entries if getattr(entry, annotator.source)]
    if not able:
        raise InputError(f"{corpus.root}: no case has {_LACKING[annotator.source]}; at least one is needed")
    if root.resolve().is_relative_to(corpus.root.resolve()):
        raise InputError(f"{root}: lies in the corpus {corpus.root}, which stays as it is; name another place")
    origin = " --from dense" if annotator.source == "dense" else ""
    note = f"annotate {annotator}{imperfection}{origin}; of the corpus {corpus.hash()[:16]}"
    patients = imperfection.among(able, annotator.seed)
    told = _without_errors(able, imperfection, patients)
    with process_pool() as pool:
        made = pool.map(partial(_annotated, corpus, annotator, imperfection, patients), corpus.entries, chunksize=2)
        written = Corpus.write(
            root,
            _shown(made, corpus),
            name=corpus.name,
            classes=corpus.classes,
            folds=corpus.folds,
            nominal=corpus.nominal,
            source=corpus.source,
            notes=(*corpus.notes, f"{note}; {told}" if told else note),
            axis=corpus.axis,
            channels=corpus.channels,
            across=corpus.across,
            radiological=corpus.radiological,
        )
    if told:
        say(f"{corpus.root}: {told}")
    return written


def _without_errors(able: Sequence[Entry], imperfection: Imperfection, patients: frozenset[str]) -> str:
    """Say how many cases should have errors and lack a mask, which says what is wrong; empty where none does."""
    right = sum(entry.patient in patients and not entry.masked for entry in able) if imperfection.errors else 0
    return f"strokes of {counted(right, 'case')} have no errors where no mask is known" if right else ""


def _annotated(
    corpus: Corpus, annotator: Annotator, imperfection: Imperfection, patients: frozenset[str], entry: Entry
) -> tuple[Case, Counter[int]]:
    """Return the case with what was drawn, and how many pieces of each class nothing was drawn in."""
    case, missed = corpus.measured.load(entry), Counter[int]()
    drawn = annotator.of(case) if case.patient in patients else None
    if drawn is not None:
        if annotator.source == "dense" and case.dense is not None:
            missed = undrawn(case.dense, drawn)
        drawn = imperfection.applied(drawn, case.dense, case.name, seed=annotator.seed, whole=annotator.whole)
    return replace(case, scribble=drawn), missed


def undrawn(masks: UInt8[np.ndarray, "d h w"], drawn: UInt8[np.ndarray, "d h w"]) -> Counter[int]:
    """Count the connected pieces of each structure, slice by slice, in which nothing is drawn.

    Examples
    --------
    >>> masks = np.array([[[1, 1, 0, 1]]], np.uint8)
    >>> undrawn(masks, np.array([[[1, 255, 255, 255]]], np.uint8))
    Counter({1: 1})
    """
    missed = Counter[int]()
    for mask, strokes in zip(masks, drawn, strict=True):
        for label in np.unique(mask[structures(mask)]).tolist():
            pieces = pieces_of(mask == label)
            missed[label] += int(pieces.max()) - len(np.unique(pieces[strokes == label]))
    return +missed


def _shown(made: Iterable[tuple[Case, Counter[int]]], corpus: Corpus) -> Iterator[Case]:
    """Yield the cases, and say at their end in what nothing was drawn."""
    missed, total = Counter[int](), len(corpus.entries)
    for case, few in track(made, description="annotate", total=total, disable=not sys.stderr.isatty()):
        missed += few
        yield case
        del case
    if missed:
        told = ", ".join(f"{missed[label]} of {corpus.classes[label]}" for label in sorted(missed))
        say(f"{corpus.root}: nothing is drawn in small pieces beside a larger one: {told}")


def _options(annotator: Annotator) -> Iterator[str]:
    for field in fields(annotator):
        value, option = getattr(annotator, field.name), field.name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        else:
            yield f"--{option} {value}"
