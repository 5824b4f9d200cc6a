"""Volumes in which some slices are dense and others have strokes, or nothing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import tiny
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.masks import AUTO, Masks
from maskmixadv.sampling.grid import Grid
from maskmixadv.sampling.loading import load_slices
from maskmixadv.sampling.slices import Slices
from maskmixadv.types import IGNORE, Supervision

DENSE, BARE = 1, 2
"""Numbers of the dense slice of a mixed volume, and of the one without a label."""


def only(labels: np.ndarray | None, slices: Sequence[int]) -> np.ndarray:
    """The labels of some slices, nothing elsewhere."""
    assert labels is not None
    kept = np.full_like(labels, IGNORE)
    kept[list(slices)] = labels[list(slices)]
    return kept


def case(name: str, seed: int = 0, *, as_strokes: bool = False) -> Case:
    """A volume of a slice with strokes, a dense one (as a mask, or as strokes of all pixels), and one without label."""
    _, scribble, dense = tiny.volume(seed)
    scribble, dense = only(scribble, [0]), only(dense, [DENSE])
    if as_strokes:
        return tiny.case(name, seed, scribble=np.where(dense != IGNORE, dense, scribble), dense=None)
    return tiny.case(name, seed, scribble=scribble, dense=dense)


def corpus(root: Path, *, as_strokes: bool = False) -> Corpus:
    """Four such patients to train; one to validate and one to test have whole masks."""
    cases = [case(f"p{k}", k, as_strokes=as_strokes) for k in range(4)]
    return tiny.corpus(root, [*cases, tiny.case("p4", 4), tiny.case("p5", 5)])


def loaded(
    corpus: Corpus,
    *,
    masks: Masks = AUTO,
    supervision: Supervision = "scribble",
    enclosure: bool = False,
    beliefs: bool = False,
    seed: int = 0,
) -> Slices:
    """Slices of the training patients."""
    patients = next(iter(corpus.folds.values()))[0].train
    return load_slices(
        corpus, corpus.of(patients), grid=Grid(48, 1.5), supervision=supervision, enclosure=enclosure,
        device=torch.device("cpu"), beliefs=beliefs, masks=masks, seed=seed,
    )  # fmt: skip
