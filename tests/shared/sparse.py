"""Volumes of which few slices have strokes, and patients without any."""

from dataclasses import replace
from pathlib import Path

import torch

import tiny
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.sampling.grid import Grid
from maskmixadv.sampling.loading import load_slices
from maskmixadv.sampling.slices import Slices
from maskmixadv.types import IGNORE

CPU = torch.device("cpu")


def corpus(root: Path) -> Corpus:
    """Four patients to train: two with strokes in slice 1 alone, two without strokes; and a constant image in p0."""
    cases = [tiny.case(f"p{k}", k) for k in range(6)]
    for case in cases[:2]:
        assert case.scribble is not None
        case.scribble[[0, 2]] = IGNORE
    cases[0].image[:, 2] = 0.5
    cases[1:3] = [moved(cases[1]), replace(cases[2], scribble=None)]
    cases[3] = replace(cases[3], scribble=None, dense=None)
    return tiny.corpus(root, cases)


def moved(case: tiny.Case) -> tiny.Case:
    """The same, four pixels to the right."""
    assert case.scribble is not None
    case.scribble[:, :, 4:] = case.scribble[:, :, :-4].copy()
    case.scribble[:, :, :4] = IGNORE
    return case


def loaded(corpus: Corpus, *, grid: Grid | None = None, unlabelled: bool = True, **options: object) -> Slices:
    """Slices of the training patients."""
    how = {"supervision": "scribble", "enclosure": False, "device": CPU, "beliefs": True, **options}
    patients = next(iter(corpus.folds.values()))[0].train
    return load_slices(corpus, corpus.of(patients), grid=grid or Grid(48, 1.5), unlabelled=unlabelled, **how)
