"""At the end of a training: find the odds of classes with which validation patients' masks are met best.

They are numbers of the classes, and a power of the structures' sizes (`maskmixadv.runs.odds`).

The network was not taught these patients. Their masks say where people draw borders, which strokes do not. It is the
same use that is made of them where nnU-Net decides on postprocessing (Isensee et al., Nature Methods 2021), and where
others choose a checkpoint. Shifting a classifier's odds to the data that it is used on: Saerens et al., Neural
Computation 2002, who have no labels there.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.inference.predictor import Predictor
from maskmixadv.runs.odds import RANGE, Odds, larger, sizes
from maskmixadv.runs.run import Run
from maskmixadv.training.asked import asked, tell_asked
from maskmixadv.types import IGNORE

LEAST: Final = 3
"""Validation patients with masks, at least: with fewer, nobody can tell odds from luck."""
FOLDS: Final = 5
"""Parts of the patients; each is judged by the odds that the others' masks give."""
OCTAVES: Final = 6
"""Octaves between the odds of two classes, at most, in any case, however large its structures are."""
PARTS: Final = 8
"""Parts of an octave in which odds are reckoned."""
STEPS: Final = (8, 4, 2)
"""Steps in which odds are looked for, one after the other, in these parts; the power of sizes in as many parts of 1."""
POWER: Final = 2
"""Power of sizes, at most."""
SHARE: Final = 0.75
"""By which the classes' logarithms are multiplied in the end. Others differ from the patients who were asked: on ACDC,
whole odds cost some of those with a disease that nobody was asked about (docs/decisions/0026, 0027)."""
ROUNDS: Final = 12
"""Rounds through all classes with each step, at most."""
MOST: Final = 20_000
"""Voxels of a case that are looked at, at most."""
AT_ONCE: Final = 2**25
"""Probabilities that are looked at at once, at most: of larger slices every second or third row."""
WORK: Final = 8_000_000
"""Voxels of all cases together, times the square of the number of classes, at most: a second's work."""


class Shift(NamedTuple):
    """How probabilities are changed.

    Attributes
    ----------
    logs
        Logarithms of the classes' odds, in `PARTS` of an octave; the least is 0.
    power
        Power of the structures' sizes, in `PARTS` of 1.

    Examples
    --------
    >>> best = Shift((8, 0, 3), power=6)
    >>> best.kept
    Shift(logs=(6, 0, 2), power=6)
    >>> best.reach  # a structure of 0 that is small, and one of 3 that is large, or the background of 8 and a small one
    15.0
    >>> [each.logs for each in best.near(0, step=4)]
    [(8, 0, 3), (12, 0, 3), (4, 0, 3)]
    """

    logs: tuple[int, ...]
    power: int = 0

    @classmethod
    def neutral(cls, classes: int) -> "Shift":
        """Return the one that changes nothing."""
        return cls((0,) * classes)

    @property
    def kept(self) -> "Shift":
        """What is kept of it in the end: of the power all, as it is what others differ by."""
        return Shift(tuple(int(SHARE * each) for each in self.logs), self.power)

    @property
    def reach(self) -> float:
        """How far apart the odds of two classes are in a case, at most, in `PARTS` of an octave.

        Of two structures one may be the larger, and the other the smaller, by all that counts of sizes; the background
        has no size.
        """
        more = abs(self.power) * math.log2(RANGE)
        background, *structures = self.logs
        low, high = min(structures), max(structures)
        between = high - low + 2 * more if len(structures) > 1 else 0.0
        return max(between, max(high - background, background - low) + more)

    def near(self, place: int, step: int) -> "Iterable[Shift]":
        """Yield it first, then those where class number `place` has more or less; after the last class, the power."""
        yield self
        for way in (step, -step):
            logs = [each + way * (number == place) for number, each in enumerate(self.logs)]
            power = self.power + way * (place == len(logs))
            shift = Shift(tuple(each - min(logs) for each in logs), power)
            if shift.reach <= PARTS * OCTAVES and 0 <= power <= PARTS * POWER:
                yield shift


def found_odds(run: Run, corpus: Corpus, predictor: Predictor) -> Odds:
    """Return three quarters of the odds with which the validation patients' masks are met best.

    They are meant of the classes' logarithms; the power of sizes is kept whole. Odds are used if they raise the mean
    Dice of patients whose own masks have not given them by more than the standard error of this gain.

    Parameters
    ----------
    run, corpus
        The run and its corpus.
    predictor
        Its network, without odds.

    Returns
    -------
    Neutral odds that know no patients, where fewer than three validation patients have masks.

    Examples
    --------
    >>> import maskmixadv as mma
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> run = mma.train(corpus, "run", method="pce", preset="cpu", steps=2, size=48, window=32)
    >>> print(found_odds(run, corpus, Predictor.load(run, "cpu")))   # there is one validation patient
    neutral
    """
    classes = run.task.classes
    entries = asked(run, [entry for entry in corpus.of(run.learnt_from.val) if entry.dense])
    names = [entry.patient for entry in entries]
    patients = np.unique(names, return_inverse=True)[1]
    if len(set(names)) < LEAST:
        return Odds()
    tell_asked(run, entries, of="validation", finds="the odds of classes")
    most = min(MOST, WORK // (len(classes) ** 2 * len(entries)))
    masks = _Masks.of([_met(predictor, corpus.load(entry), most) for entry in entries])
    best = masks.best(np.ones(len(entries), bool)).kept
    before, after = masks.dice(Shift.neutral(len(classes))), np.zeros(len(entries))
    folds = patients % FOLDS
    for fold in set(folds.tolist()):
        after[folds == fold] = masks.dice(masks.best(folds != fold).kept)[folds == fold]
    gains = [(after - before)[patients == patient].mean() for patient in set(patients.tolist())]
    error = float(np.std(gains, ddof=1) / math.sqrt(len(gains)))
    factors = 2.0 ** (np.array(best.logs) / PARTS)
    factors /= np.exp(np.log(factors[1:]).mean())
    return Odds(
        classes,
        tuple(round(float(factor), 4) for factor in factors),
        power=best.power / PARTS,
        usual=tuple(round(float(size), 4) for size in masks.usual) if best.power else (),
        used=bool(np.mean(gains) > error),
        patients=len(gains),
        cases=len(entries),
        before=round(float(before.mean()), 6),
        after=round(float(after.mean()), 6),
        error=round(error, 6),
    )


@dataclass(frozen=True)
class _Met:
    """How a network's probabilities meet a case's mask.

    Attributes
    ----------
    logs, truth, weight
        Logarithms of the probabilities in voxels where odds can decide, their class, and for how many voxels each one
        stands.
    sure
        In voxels where no odds can change the class, of each class: voxels that are drawn and true, and drawn; and in
        all voxels those that are true.
    drawn
        Number of voxels that are drawn of each class, wherever they are labelled or not.
    """

    logs: Float32[np.ndarray, "k v"]
    truth: UInt8[np.ndarray, "v"]
    weight: Float[np.ndarray, "v"]
    sure: Int[np.ndarray, "3 k"]
    drawn: Int[np.ndarray, "k"]

    @classmethod
    def together(cls, met: Sequence["_Met"]) -> "_Met":
        """Return several as one: parts of a case, or cases."""
        return cls(
            np.concatenate([each.logs for each in met], 1),
            np.concatenate([each.truth for each in met]),
            np.concatenate([each.weight for each in met]),
            np.sum([each.sure for each in met], 0),
            np.sum([each.drawn for each in met], 0),
        )


def _met(predictor: Predictor, case: Case, most: int) -> _Met:
    """Return how a network meets the mask of `case`, by at most some `most` voxels where odds can decide."""
    if case.dense is None:
        raise InputError(f"{case.name}: has no mask")
    parts, random, first, step = list[_Met](), np.random.default_rng(0), 0, 0
    for probs in predictor.parts(case.image, case.spacing):
        step = step or math.ceil(probs.numel() / AT_ONCE)  # one for all parts, as all voxels are to count alike
        truth = case.dense[first : first + len(probs), ::step]
        parts.append(_met_part(probs[:, :, ::step], truth, math.ceil(most * len(probs) / len(case.dense)), random))
        first += len(probs)
    return _Met.together(parts)


def _met_part(
    probs: Float[Tensor, "b k h w"], truth: UInt8[np.ndarray, "b h w"], most: int, random: np.random.Generator
) -> _Met:
    classes, known = probs.shape[1], truth != IGNORE
    wanted = truth[known]
    every = np.moveaxis(probs.detach().cpu().numpy(), 1, 0)
    labels, found = every.argmax(0), every[:, known]
    drawn, top = labels[known], np.partition(found, classes - 2, axis=0)[-2:]
    sure = top[0] * 2.0**OCTAVES < top[1]
    counted = (drawn[sure & (drawn == wanted)], drawn[sure], wanted)
    counts = np.stack([np.bincount(each, minlength=classes) for each in counted])
    places = np.flatnonzero(~sure)
    some = random.choice(places, most, replace=False) if len(places) > most else places
    weight = np.full(len(some), len(places) / max(1, len(some)))
    together = np.bincount(labels.flat, minlength=classes)
    return _Met(np.log(found[:, some].clip(1e-9)), wanted[some], weight, counts, together)


@dataclass(frozen=True)
class _Masks:
    """How a network's probabilities meet the masks of some cases, and how their Dice changes with odds."""

    cases: Int[np.ndarray, "v"]
    met: _Met
    sure: Int[np.ndarray, "n 3 k"]
    usual: Float[np.ndarray, "s"]
    """The structures' usual sizes."""
    larger: Float32[np.ndarray, "n k"]
    """By how much each structure is larger than usual in each case: logarithms; 0 for the background."""
    known: dict[Shift, Float[np.ndarray, "n"]] = field(default_factory=dict)
    """Dice of each case with odds that were asked for before."""

    @classmethod
    def of(cls, met: Sequence[_Met]) -> "_Masks":
        cases = np.repeat(np.arange(len(met)), [len(each.truth) for each in met])
        found = sizes(np.stack([each.drawn for each in met]))
        seen = found[~np.isnan(found).any(1)]
        usual = np.exp(np.log(seen).mean(0)) if len(seen) else np.ones(found.shape[1])
        more = np.pad(larger(found, usual), ((0, 0), (1, 0))).astype(np.float32)
        return cls(cases, _Met.together(met), np.stack([each.sure for each in met]), usual, more)

    def dice(self, shift: Shift) -> Float[np.ndarray, "n"]:
        """Return each case's mean Dice over the structures; 1 for one that is neither drawn nor true."""
        if shift not in self.known:
            n, _, k = self.sure.shape
            logs = self.met.logs + np.float32(math.log(2) / PARTS) * np.array(shift.logs, np.float32)[:, None]
            if shift.power:
                logs += np.float32(shift.power / PARTS) * self.larger[self.cases].T
            drawn = logs.argmax(0)
            right = drawn == self.met.truth
            place = self.cases * k + drawn
            both = self.sure[:, 0] + np.bincount(place[right], self.met.weight[right], n * k).reshape(n, k)
            size = self.sure[:, 1] + np.bincount(place, self.met.weight, n * k).reshape(n, k) + self.sure[:, 2]
            self.known[shift] = np.where(size, 2 * both / np.maximum(size, 1), 1.0)[:, 1:].mean(1)
        return self.known[shift]

    def best(self, of: Bool[np.ndarray, "n"]) -> Shift:
        """Return the shift with which the cases `of` have the highest mean Dice, as far as one step at a time finds."""
        best = Shift.neutral(self.sure.shape[2])
        for step in STEPS:
            for _ in range(ROUNDS):
                before = best
                for place in range(len(best.logs) + 1):
                    best = max(best.near(place, step), key=lambda shift: float(self.dice(shift)[of].mean()))
                if best == before:
                    break
        return best
