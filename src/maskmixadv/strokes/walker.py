"""Random walker: dense labels, or probabilities (beliefs), from a slice's strokes; computed once and kept.

Source: Grady, *Random Walks for Image Segmentation*, IEEE TPAMI 2006. In a slice with strokes of two classes or more,
each pixel gets the class whose strokes a random walk from it most probably reaches first. A class without a stroke in
a slice gets no pixel there.

These pixels stay unknown:

- in a slice with strokes of one class alone, or with a constant image: all but the strokes;
- in other slices: pixels in which no class has a probability of at least ``THRESHOLD``.

Differs from the released code: there, a slice without strokes of one of the structures becomes background, and no
pixel stays unknown.

Beliefs are the probabilities themselves, 0 for every class if nothing is known. Their walks avoid edges more. They can
be multiplied by what pixels look like (`maskmixadv.strokes.appearance`), and evened for the sizes of
strokes (`maskmixadv.strokes.evened`).

Walks are solved exactly. Memory and time for that grow faster than the number of pixels. So as many are solved at once
as memory allows, and those of large slices on a coarser grid, from which their probabilities are interpolated.
"""

import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import scipy
import skimage
from jaxtyping import Float, Int, UInt8
from rich.progress import track

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.corpus.masks import NOTHING, Taught
from maskmixadv.errors import counted, say
from maskmixadv.files import work_ahead
from maskmixadv.memory import Budget, free
from maskmixadv.strokes.appearance import appearance
from maskmixadv.strokes.cache import ArrayCache, user_cache
from maskmixadv.strokes.corrections import PLAIN, Corrections
from maskmixadv.strokes.enclosure import ENCLOSED
from maskmixadv.strokes.evened import even
from maskmixadv.strokes.known import known
from maskmixadv.strokes.regrid import coarser
from maskmixadv.types import IGNORE

BETA: Final = 100.0
"""How much a walk avoids edges of the image, as in the released code."""
SHARP: Final = 1000.0
"""The same for beliefs, which are better with it (docs/decisions/0010)."""
THRESHOLD: Final = 0.5
"""Probability from which on a pixel gets a class: it is then likelier than all the others together."""
VERSION: Final = 1
"""Version of the kept files; it changes when the same input gives other labels."""

MOST: Final = 500_000
"""Unknown pixels of a slice up to which it is walked on its own grid: 15 s and 2 GB."""
BYTES: Final = 4_400
"""Memory that an exact solution requests for each unknown pixel: 4,250 were measured at 10,000 to 2,000,000 pixels, of
which it uses 1,300 to 2,400."""

LabelVolume = UInt8[np.ndarray, "d h w"]
StoredBelief = UInt8[np.ndarray, "d k h w"]
"""Probabilities in steps of 1/255."""


@dataclass(frozen=True)
class Plan:
    """How much memory walks may take.

    Attributes
    ----------
    most
        Unknown pixels up to which a slice is walked on its own grid; one with more is walked on a coarser grid.
    budget
        Bytes that simultaneous walks share.

    Examples
    --------
    >>> plan = Plan(most=10_000)
    >>> plan.factor(np.full((200, 200), IGNORE, np.uint8))
    2
    """

    most: int = MOST
    budget: Budget = field(default_factory=lambda: Budget(free() // 2))

    @classmethod
    def of_free_memory(cls) -> "Plan":
        """Plan for the memory that is free now: a walk takes at most three quarters of it, simultaneous ones half."""
        memory = free()
        return cls(max(1_000, min(MOST, memory * 3 // 4 // BYTES)), Budget(memory // 2))

    def factor(self, seeds: UInt8[np.ndarray, "h w"]) -> int:
        """Return how many of a slice's pixels make one side of a pixel of the grid on which it is walked."""
        return max(1, math.ceil(math.sqrt(np.count_nonzero(seeds == IGNORE) / self.most)))


def load_walked(
    corpus: Corpus, entries: Sequence[Entry], *, enclosure: bool, taught: Taught = NOTHING
) -> Iterator[LabelVolume]:
    """Yield the labels of `entries`, in order: kept ones are read, the others computed on all cores, and kept.

    They are kept in the corpus's directory ``cache``, or in the user's cache if that can't be written, under a hash of
    all that they depend on. Damaged ones are computed again.

    Parameters
    ----------
    corpus, entries
        The corpus, and the cases of it that are wanted.
    enclosure
        Whether pixels beyond the hull of a background stroke are background (`maskmixadv.strokes.enclosure`).
    taught
        The masks that are learnt from. Nothing is walked in dense slices.

    Raises
    ------
    InputError
        If a case has neither a scribble nor a mask that is learnt from, or can't be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> (labels,) = load_walked(corpus, corpus.entries[:1], enclosure=True)
    >>> np.unique(labels).tolist()  # 254: background by enclosure, 255: unknown
    [0, 1, 2, 3, 254, 255]
    """

    def seeds(case: Case) -> LabelVolume:
        return known(case, taught, enclosure=enclosure).labels

    return _made(corpus, entries, walk, [BETA, THRESHOLD], seeds)


def load_beliefs(
    corpus: Corpus,
    entries: Sequence[Entry],
    *,
    enclosure: bool,
    taught: Taught = NOTHING,
    corrections: Corrections = PLAIN,
) -> Iterator[StoredBelief]:
    """Yield the beliefs of `entries`, in order; kept and computed as in `load_walked`, which raises the same errors.

    In dense slices they are what walks from the slice's strokes say if these show at least two classes, and otherwise
    the mask itself.

    Parameters
    ----------
    corpus, entries, enclosure, taught
        As in `load_walked`.
    corrections
        What is done with walks.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> (belief,) = load_beliefs(corpus, corpus.entries[:1], enclosure=True)
    >>> belief.shape[1], belief.max().item()  # classes, certainty
    (4, 255)
    """

    def beliefs(case: Case, seeds: LabelVolume, plan: Plan) -> StoredBelief:
        return believe(case, seeds, classes=len(corpus.classes), plan=plan, corrections=corrections)

    def seeds(case: Case) -> LabelVolume:
        return known(case, taught, enclosure=enclosure).seeds

    parameters = [SHARP, len(corpus.classes), *corrections.parameters]
    return _made(corpus, entries, beliefs, parameters, seeds, maps=len(corpus.classes))


def _made(
    corpus: Corpus,
    entries: Sequence[Entry],
    make: Callable[[Case, LabelVolume, Plan], np.ndarray],
    parameters: list[Any],
    seeds: Callable[[Case], LabelVolume],
    maps: int = 1,
) -> Iterator[np.ndarray]:
    """Yield what `make` returns for each case and its `seeds`; `parameters` are all that this depends on besides."""
    cache = ArrayCache((corpus.root / "cache", user_cache()))
    maker = _Maker(corpus, make, parameters, seeds, cache, Plan.of_free_memory(), maps)
    with cache.turn() as turn:
        made = maker.all(entries, turn.take)
        yield from track(made, description="random walker", total=len(entries), disable=not sys.stderr.isatty())
    _tell(corpus, [factor for factors in maker.factors.values() for factor in factors if factor > 1], maker.plan)


@dataclass(frozen=True)
class _Maker:
    """Settings of walks, which give `maps` bytes a voxel; `factors` has by case how coarse each slice's grid was."""

    corpus: Corpus
    make: Callable[[Case, LabelVolume, Plan], np.ndarray]
    parameters: list[Any]
    seeds: Callable[[Case], LabelVolume]
    cache: ArrayCache
    plan: Plan
    maps: int = 1
    factors: dict[str, list[int]] = field(default_factory=dict)

    def all(self, entries: Sequence[Entry], take: Callable[[], None]) -> Iterator[np.ndarray]:
        """Yield what is kept, up to the first that is missing; from there on, after `take`, compute what is missing."""
        threads, found = os.cpu_count() or 1, 0
        for kept in work_ahead(self.kept, entries, threads=threads, size=self._size):
            if kept is None:
                break
            found += 1
            yield kept
            del kept  # else it would stay in memory while the next one is read
        if found < len(entries):
            take()
            # Where all is kept, nothing needs it. Threads must find it imported: two that import parts of one circle at
            # the same time may see half of a module.
            from skimage.segmentation import random_walker  # noqa: F401

            # Most of the time goes into solving, which leaves other threads the interpreter.
            yield from work_ahead(self.one, entries[found:], threads=threads, size=self._size)

    def _size(self, entry: Entry) -> int:
        """Return how many bytes a case and what is made of it take."""
        return entry.bytes + self.maps * math.prod(entry.shape)

    def kept(self, entry: Entry) -> np.ndarray | None:
        return self.cache.read(*self._named(*self._seeded(entry)))

    def one(self, entry: Entry) -> np.ndarray:
        case, seeds = self._seeded(entry)
        name, shape = self._named(case, seeds)
        kept = self.cache.read(name, shape)
        return self.cache.keep(name, self.make(case, seeds, self.plan)) if kept is None else kept

    def _seeded(self, entry: Entry) -> tuple[Case, LabelVolume]:
        case = self.corpus.load(entry)
        return case, self.seeds(case)

    def _named(self, case: Case, seeds: LabelVolume) -> tuple[str, tuple[int, ...]]:
        """Return the name of the file of a case's labels or beliefs, and their shape ``d h w``."""
        coarse = self.factors[case.name] = _factors(seeds, self.plan)
        parameters = [*self.parameters, *([coarse] if max(coarse) > 1 else [])]
        image = case.image[0] if len(case.image) == 1 else case.image
        return f"walker-{_key(image, seeds, parameters)}.npz", seeds.shape


def _factors(seeds: LabelVolume, plan: Plan) -> list[int]:
    """Return how coarse the grid of each slice's walk is; 1 for a slice without a walk."""
    factors = [plan.factor(drawn) for drawn in seeds]
    return [
        factor if factor == 1 or len(_markers(drawn)[0]) > 1 else 1
        for factor, drawn in zip(factors, seeds, strict=True)
    ]


def _tell(corpus: Corpus, factors: Sequence[int], plan: Plan) -> None:
    """Print a line on stderr if slices were walked on a coarser grid than their own."""
    if factors:
        low, high = min(factors), max(factors)
        why = " (all that memory holds)" if plan.most < MOST else ""
        say(
            f"{corpus.root}: random walks of {counted(len(factors), 'slice')} with more than {plan.most:,} unknown "
            f"pixels{why} go over a grid {low if low == high else f'{low} to {high}'} times as coarse"
        )


def walk(case: Case, seeds: LabelVolume, plan: Plan | None = None) -> LabelVolume:
    """Return labels of a case's slices: `walk_slice` for each.

    Parameters
    ----------
    case
        Of which the image counts.
    seeds
        Its strokes, or its strokes with ``ENCLOSED`` pixels.
    plan
        How much memory to take; None: half of what is free.

    Examples
    --------
    >>> image = np.zeros((1, 4, 8))
    >>> image[0, :, 4:] = 1
    >>> seeds = np.full((1, 4, 8), IGNORE, np.uint8)
    >>> seeds[0, 1, 1], seeds[0, 1, 6] = 0, 1
    >>> walk(Case("a", "a", image[None]), seeds)[0, 0]
    array([0, 0, 0, 0, 1, 1, 1, 1], dtype=uint8)
    """
    plan, labels = plan or Plan(), np.empty_like(seeds)
    for k, image in enumerate(_slices(case)):
        labels[k] = walk_slice(image, seeds[k], plan)
    return labels


def believe(
    case: Case,
    seeds: LabelVolume,
    *,
    classes: int,
    plan: Plan | None = None,
    corrections: Corrections = PLAIN,
) -> StoredBelief:
    """Return beliefs of a case's slices: `believe_slice` for each.

    Parameters
    ----------
    case
        Of which the image counts.
    seeds
        Its strokes, or its strokes with ``ENCLOSED`` pixels.
    classes
        Number of classes, with the background.
    plan
        How much memory to take; None: half of what is free.
    corrections
        What is done with walks.

    Examples
    --------
    >>> image = np.zeros((1, 4, 8))
    >>> image[0, :, 4:] = 1
    >>> seeds = np.full((1, 4, 8), IGNORE, np.uint8)
    >>> seeds[0, 1, 1], seeds[0, 1, 6] = 0, 1
    >>> believe(Case("a", "a", image[None]), seeds, classes=2)[0, 1, 0]
    array([  0,   0,   0,   0, 255, 255, 255, 255], dtype=uint8)
    """
    plan = plan or Plan()
    beliefs = np.zeros((len(seeds), classes, *seeds.shape[1:]), np.uint8)
    for k, image in enumerate(_slices(case)):
        # Of a long CT few slices have strokes, and zeros that are never written take no memory.
        if (seeds[k] != IGNORE).any():
            beliefs[k] = believe_slice(image, seeds[k], classes=classes, plan=plan, corrections=corrections)
    return beliefs


def believe_slice(
    image: Float[np.ndarray, "*c h w"],
    seeds: UInt8[np.ndarray, "h w"],
    *,
    classes: int,
    plan: Plan | None = None,
    corrections: Corrections = PLAIN,
) -> UInt8[np.ndarray, "k h w"]:
    """Return the probability of each class in each pixel of a slice, in steps of 1/255.

    Parameters
    ----------
    image
        Intensities in [0, 1]; several channels come first.
    seeds
        Strokes, which have a probability of 1; ``ENCLOSED`` is background.
    classes
        Number of classes, with the background.
    plan
        How much memory to take; None: half of what is free.
    corrections
        What is done with walks.

    Returns
    -------
    From 0 to 255; 0 for all classes if nothing is known.

    Examples
    --------
    >>> seeds = np.array([[0, IGNORE, IGNORE, 1]], np.uint8)
    >>> believe_slice(np.array([[0.0, 0.01, 0.02, 0.03]]), seeds, classes=2)[:, 0]
    array([[255, 170,  85,   0],
           [  0,  85, 170, 255]], dtype=uint8)
    """
    belief = (_classed(seeds) == np.arange(classes, dtype=np.uint8)[:, None, None]) * np.uint8(255)
    box = open_box(seeds)
    solved = solve_slice(image[(..., *box)], seeds[box], plan=plan or Plan(), corrections=corrections)
    if solved is None:
        return belief
    names, probs = solved
    inside = np.zeros((classes, *seeds[box].shape), np.uint8)
    for name, prob in zip(names, probs, strict=True):  # one by one, to save memory
        inside[name] = np.round(255 * prob.clip(0, 1))
    belief[(slice(None), *box)] = np.where(seeds[box] != IGNORE, belief[(slice(None), *box)], inside)
    return belief


def solve_slice(
    image: Float[np.ndarray, "*c h w"], seeds: UInt8[np.ndarray, "h w"], *, plan: Plan, corrections: Corrections = PLAIN
) -> tuple[UInt8[np.ndarray, "k"], Float[np.ndarray, "k h w"]] | None:
    """Return the classes with strokes in a slice, and the probability of each, of which `believe_slice` makes beliefs.

    Parameters
    ----------
    image, seeds, plan, corrections
        As for `believe_slice`.

    Returns
    -------
    None if nothing can be found: strokes are of one class, all is drawn, or the image is constant.

    Examples
    --------
    >>> seeds = np.array([[1, IGNORE, IGNORE, 3]], np.uint8)
    >>> names, probs = solve_slice(np.array([[0.0, 0.01, 0.02, 0.03]]), seeds, plan=Plan())
    >>> names, probs[0, 0].round(2)
    (array([1, 3], dtype=uint8), array([1.  , 0.67, 0.33, 0.  ]))
    """
    return _solved(image, seeds, SHARP, plan, corrections)


def open_box(seeds: UInt8[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """Return the box in which walks go: all that is not ``ENCLOSED``, and a pixel more on each side.

    Examples
    --------
    >>> seeds = np.full((8, 9), ENCLOSED, np.uint8)
    >>> seeds[3, 4:6] = IGNORE
    >>> seeds[open_box(seeds)]
    array([[254, 254, 254, 254],
           [254, 255, 255, 254],
           [254, 254, 254, 254]], dtype=uint8)
    """
    rows, columns = (np.flatnonzero((seeds != ENCLOSED).any(axis)) for axis in (1, 0))
    if not len(rows):
        return slice(None), slice(None)
    return slice(max(0, rows[0] - 1), rows[-1] + 2), slice(max(0, columns[0] - 1), columns[-1] + 2)


def walk_slice(
    image: Float[np.ndarray, "*c h w"], seeds: UInt8[np.ndarray, "h w"], plan: Plan | None = None
) -> UInt8[np.ndarray, "h w"]:
    """Return labels of one slice, ``IGNORE`` for pixels that stay unknown (see the module's text).

    Parameters
    ----------
    image
        Intensities in [0, 1]; several channels come first.
    seeds
        Strokes, which stay as they are; ``ENCLOSED`` is background.
    plan
        How much memory to take; None: half of what is free.

    Examples
    --------
    >>> image = np.array([[0.0, 0.0, 0.0, 1.0, 1.0]])
    >>> seeds = np.array([[0, IGNORE, IGNORE, IGNORE, 1]], np.uint8)
    >>> walk_slice(image, seeds)
    array([[0, 0, 0, 1, 1]], dtype=uint8)
    """
    solved = _solved(image, seeds, BETA, plan or Plan())
    if solved is None:
        return seeds.copy()
    classes, probs = solved
    likeliest = np.where(probs.max(0) >= THRESHOLD, classes[probs.argmax(0)], np.uint8(IGNORE))
    return np.where(seeds == IGNORE, likeliest, seeds)


def _solved(
    image: Float[np.ndarray, "*c h w"],
    seeds: UInt8[np.ndarray, "h w"],
    beta: float,
    plan: Plan,
    corrections: Corrections = PLAIN,
) -> tuple[UInt8[np.ndarray, "k"], Float[np.ndarray, "k h w"]] | None:
    """Return the classes with strokes, and the probability of each; None if nothing can be found."""
    classes, markers = _markers(seeds)
    unknown = int(np.count_nonzero(markers == 0))
    if len(classes) < 2 or image.min() == image.max() or not unknown:
        return None
    factor = plan.factor(seeds)
    if factor > 1:
        return _solved_coarsely(image, seeds, beta, plan, factor, corrections)
    # Solved exactly: of matrices this stiff, conjugate gradients are slower, and wrong here and there.
    with plan.budget.taken(BYTES * unknown):
        probs = skimage.segmentation.random_walker(
            scaled(image),
            markers,
            beta=beta,
            mode="bf",
            return_full_prob=True,
            channel_axis=0 if image.ndim == 3 else None,
        )
    if corrections.looks:
        probs = probs * appearance(image, seeds, classes) ** corrections.looks
    if corrections.evened:
        probs = even(probs / probs.sum(0).clip(1e-12), _classed(seeds), classes)
    return classes, probs if corrections == PLAIN else probs / probs.sum(0).clip(1e-12)


def _solved_coarsely(
    image: Float[np.ndarray, "*c h w"],
    seeds: UInt8[np.ndarray, "h w"],
    beta: float,
    plan: Plan,
    factor: int,
    corrections: Corrections,
) -> tuple[UInt8[np.ndarray, "k"], Float[np.ndarray, "k h w"]] | None:
    """As `_solved`, on a grid whose pixels are `factor` × `factor` of the slice's."""
    h, w = image.shape[-2:]
    beside = ((0, -h % factor), (0, -w % factor))
    whole = np.pad(image, beside if image.ndim == 2 else ((0, 0), *beside), mode="edge")
    rows = whole.shape[-2] // factor
    small = whole.reshape(*whole.shape[:-2], rows, factor, -1, factor).mean((-3, -1))
    # However few are left unknown there, no coarser grid will do.
    solved = _solved(small, coarser(seeds, factor), beta, replace(plan, most=math.prod(small.shape[-2:])), corrections)
    if solved is None:
        return None
    classes, probs = solved
    fine = (np.asarray(scipy.ndimage.zoom(prob, factor, order=1, mode="nearest", grid_mode=True)) for prob in probs)
    return classes, np.stack([prob[:h, :w] for prob in fine])


def _markers(seeds: UInt8[np.ndarray, "h w"]) -> tuple[UInt8[np.ndarray, "k"], Int[np.ndarray, "h w"]]:
    """Return the classes with strokes, and the strokes numbered by them from 1, with 0 for unknown pixels."""
    drawn = _classed(seeds)
    known = drawn != IGNORE
    classes = np.unique(drawn[known])
    return classes, np.where(known, np.searchsorted(classes, drawn) + 1, 0)


def _classed(seeds: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Return the classes of strokes; ``ENCLOSED`` becomes background."""
    return np.where(seeds == ENCLOSED, np.uint8(0), seeds)


def _slices(case: Case) -> Iterator[Float[np.ndarray, "*c h w"]]:
    """Yield the images of a case's slices; those of one channel have no axis for it."""
    yield from case.image[0] if len(case.image) == 1 else np.moveaxis(case.image, 1, 0)


def scaled(image: Float[np.ndarray, "*c h w"]) -> Float[np.ndarray, "*c h w"]:
    """Bring [-0.35, 1.35] to [-1, 1], as the released code does: edges count by differences in this scale.

    Examples
    --------
    >>> scaled(np.array([[-0.35, 0.5, 1.35]])).round(6)
    array([[-1.,  0.,  1.]])
    """
    return (image.astype(np.float64) + 0.35) / 1.7 * 2 - 1


def _key(image: np.ndarray, seeds: np.ndarray, parameters: list[Any]) -> str:
    digest = hashlib.sha256(json.dumps([VERSION, *parameters, image.shape, str(image.dtype)]).encode())
    for array in (image, seeds):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
