"""At the end of a training: find out which structures are in one piece, by masks, or by the training cases.

Masks of validation patients, and those that were learnt from, say it themselves. Where there are too few, it is decided
by how the network draws its training cases.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.corpus.masks import Taught, taught
from maskmixadv.inference.predictor import Predictor
from maskmixadv.networks.components import Boxes, box_round, boxes_of, in_one_piece, one_of
from maskmixadv.runs.pieces import Piece, Pieces
from maskmixadv.runs.run import Run
from maskmixadv.strokes.known import known
from maskmixadv.training.asked import LEAST, asked, tell_asked

VOXELS: Final = 20_000_000
"""Voxels of a case that are looked at, at most: of a larger one, such as a CT, every second or third row and column."""
OUTSIDE: Final = 0.01
"""Part of a structure that may lie outside its largest piece, in masks or in what is drawn: more is no error."""
LOST: Final = 0.001
"""Part of a structure's annotated pixels that may be lost."""

Labels = UInt8[np.ndarray, "d h w"]


def found_pieces(run: Run, corpus: Corpus, predictor: Predictor) -> Pieces:
    """Return which structures are in one piece: in masks, or else in training cases as the network draws them.

    A network that draws second organs where they are not errs, however often it does so; masks say that. Without them a
    structure that is often drawn in two pieces may have two.

    Parameters
    ----------
    run, corpus
        The run and its corpus.
    predictor
        Its network.

    Examples
    --------
    >>> import maskmixadv as mma
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> run = mma.train(corpus, "run", method="pce", preset="cpu", steps=2, size=48, window=32)
    >>> found_pieces(run, corpus, Predictor.load(run, "cpu")).found[0].cases <= 2
    True
    """
    classes = run.task.classes
    names = [*([classes[1:]] if len(classes) > 2 else []), *((name,) for name in classes[1:])]
    tallies = [_Tally(each, [classes.index(name) for name in each]) for each in names]
    # What is left where all together are in one piece is not what is there where they are not.
    others = [_Tally(tally.names, tally.structures, beside=tally.beside) for tally in tallies[1:]]
    entries = corpus.of(run.learnt_from.train)
    masks = taught(corpus, entries, run.masks, supervision=run.method.supervision, seed=run.seed)
    for annotated, labels in _predicted(run, corpus, predictor, entries, masks):
        boxes = boxes_of(labels)  # what is left of a structure lies in its box, too
        left = tallies[0].add(labels, annotated, boxes)
        for after, before in zip(tallies[1:], others, strict=True):
            after.add(left, annotated, boxes)
            before.add(labels, annotated, boxes)
    learnt = [entry for entry in entries if entry.name in masks and masks[entry.name] is None]
    for mask in _masks(run, corpus, learnt):
        boxes = boxes_of(mask)
        for tally in tallies:
            tally.true(mask, boxes)
    first = tallies[0].piece
    return Pieces((first, *(tally.piece for tally in (tallies[1:] if first.kept else others))))


@dataclass
class _Tally:
    """Counts what some structures would lose if only their largest piece were kept."""

    names: tuple[str, ...]
    structures: Sequence[int]
    outside: list[float] = field(default_factory=list)
    right: Counter[int] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)
    beside: list[float] = field(default_factory=list)
    """Of masks, whose structures lie alike whatever is left of what is drawn."""

    def add(self, labels: Labels, annotated: Labels, boxes: Boxes) -> Labels:
        """Count a case, whose structures lie in `boxes`; returns its labels with the largest piece alone."""
        kept, box = in_one_piece(labels, self.structures, boxes), box_round(boxes, self.structures)
        if box is None:
            return kept
        part = labels[box]  # all else of a CT with 30 structures would be gone through for each of them
        dropped, one = kept[box] != part, one_of(part, self.structures)
        if drawn := int(one.sum()):
            self.outside.append(float(dropped.sum()) / drawn)
        one &= part == annotated[box]
        for counts, where in ((self.right, one), (self.lost, one & dropped)):
            number = np.bincount(part[where], minlength=len(boxes) + 1)
            counts.update({label: int(number[label]) for label in self.structures if label < len(number)})
        return kept

    def true(self, mask: Labels, boxes: Boxes) -> None:
        """Count a mask, whose structures lie in `boxes`."""
        box = box_round(boxes, self.structures)
        if box is None:
            return
        part = mask[box]
        size = int(one_of(part, self.structures).sum())
        if size:
            self.beside.append(float((in_one_piece(mask, self.structures, boxes)[box] != part).sum()) / size)

    @property
    def piece(self) -> Piece:
        """What follows."""
        cases, masks = len(self.outside), len(self.beside)
        by = self.beside if masks >= LEAST else self.outside
        outside = sum(by) / len(by) if by else 0.0
        lost = max(self.lost[label] / max(1, self.right[label]) for label in self.structures)
        one = cases >= LEAST and outside <= OUTSIDE and lost <= LOST
        return Piece(self.names, one, cases, round(outside, 6), round(lost, 6), masks if masks >= LEAST else 0)


def _predicted(
    run: Run, corpus: Corpus, predictor: Predictor, entries: Sequence[Entry], masks: Taught
) -> Iterator[tuple[Labels, Labels]]:
    """Yield what is annotated in training cases, and what the network draws there, every piece of it."""
    chosen = asked(run, [entry for entry in entries if _annotated(run, entry, masks)])
    tell_asked(run, chosen, of="training", finds="which structures are in one piece")
    for entry in chosen:
        case = corpus.load(entry)
        annotated = known(case, masks, enclosure=False).labels
        labels = predictor.labels(case.image, case.spacing, largest=False)
        yield _some(annotated), _some(labels)


def _masks(run: Run, corpus: Corpus, learnt: Sequence[Entry]) -> Iterator[Labels]:
    """Yield masks that know all of a volume's pixels: those of validation patients, and those that were learnt from."""
    validation = [entry for entry in corpus.of(run.learnt_from.val) if entry.dense]
    for entry in asked(run, [entry for entry in (*validation, *learnt) if not entry.partly]):
        mask = corpus.load(entry).dense
        if mask is not None:
            yield _some(mask)


def _some(labels: Labels) -> UInt8[np.ndarray, "d rows columns"]:
    """Every row and column, or every second or third one of a large volume."""
    step = math.ceil(math.sqrt(labels.size / VOXELS))
    return labels[:, ::step, ::step]


def _annotated(run: Run, entry: Entry, masks: Taught) -> bool:
    return entry.name in masks or (run.method.supervision != "dense" and entry.scribble)
