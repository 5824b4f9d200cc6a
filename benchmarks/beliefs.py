"""How good walks, a network, and both together are: ``python benchmarks/beliefs.py RUN``.

On the validation patients of a run's fold, whose strokes the network has not seen: Dice of what random walks from these
strokes say, of what the network says, and of labels on which both agree, as `walk-teacher` makes them; each also with
the odds of classes that the run has found (``odds.json``). A line in ``records/beliefs.jsonl``.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line has it; before torch is imported

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from jaxtyping import Float
from tyro.conf import Positional, arg

import record
from maskmixadv.corpus.case import Case
from maskmixadv.errors import InputError
from maskmixadv.inference.predictor import Predictor
from maskmixadv.metrics.masks import dice
from maskmixadv.runs.odds import Odds
from maskmixadv.runs.origin import same_corpus
from maskmixadv.runs.run import Run
from maskmixadv.strokes.enclosure import enclose
from maskmixadv.strokes.walker import believe
from maskmixadv.types import IGNORE

Voice = Float[np.ndarray, "d k h w"]


@dataclass(frozen=True)
class Options:
    """Compare ways to a label: by walks, by the network, and by both, with and without odds.

    Attributes
    ----------
    run
        Directory of a run; its last checkpoint is asked.
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]


def factors(odds: Odds, network: Voice) -> Float[np.ndarray, "k 1 1"]:
    """What a case's probabilities are multiplied by, where the network says this of it."""
    drawn = np.bincount(network.argmax(1).ravel(), minlength=network.shape[1])
    return np.array(odds.of_case(drawn) or [1.0] * network.shape[1])[:, None, None]


def ways(walks: Voice, network: Voice, odds: Float[np.ndarray, "k 1 1"]) -> Iterator[tuple[str, Voice]]:
    """Each way to a label, and what it says."""
    drawn = walks.max((2, 3), keepdims=True) > 0
    present = drawn | ~drawn.any(1, keepdims=True)
    yield "walks", walks
    yield "walks, odds", walks * odds
    yield "network", network
    yield "network, odds", network * odds
    yield "both", walks + network
    yield "both, odds", (walks + network) * odds
    yield "both, odds, classes with a stroke", (walks + network * present) * odds


def scored(case: Case, said: Voice) -> tuple[list[float], list[float]]:
    """Dice and predicted over true volume by structure, where strokes are taken for what they say."""
    if case.dense is None or case.scribble is None:
        raise InputError(f"{case.name}: has no scribble or no dense mask, both are needed")
    labels = np.where(case.scribble != IGNORE, case.scribble, said.argmax(1))
    pairs = [(case.dense == label, labels == label) for label in range(1, said.shape[1])]
    return [dice(*pair) for pair in pairs], [(own.sum() + 1) / (truth.sum() + 1) for truth, own in pairs]


def main(options: Options) -> None:
    """Compare, print, append the record."""
    run = Run.open(options.run)
    corpus, predictor = same_corpus(run.learnt_from), Predictor.load(options.run, "cpu", odds=False)
    classes, odds = corpus.classes, Odds.of_run(options.run, corpus.classes)
    found: dict[str, list[Any]] = {}
    for entry in corpus.of(run.learnt_from.val):
        case = corpus.load(entry)
        if case.scribble is None:
            continue
        seeds = enclose(case.scribble) if run.enclosure else case.scribble
        walks = believe(case, seeds, classes=len(classes)) / 255
        network = predictor.probs(case.image, case.spacing).numpy()
        for name, said in ways(walks, network, factors(odds, network)):
            found.setdefault(name, []).append(scored(case, said))
    print(f"| labels | mean Dice | {' | '.join(classes[1:])} | volume ratio |\n|---|---|{'---|' * len(classes)}")
    figures: dict[str, Any] = {}
    for name, each in found.items():
        overlap, ratio = np.mean([d for d, _ in each], 0), np.exp(np.log([r for _, r in each]).mean(0))
        figures[name] = {"dice": overlap.round(4).tolist(), "volume_ratio": ratio.round(3).tolist()}
        by_class = " | ".join(f"{value:.3f}" for value in overlap)
        print(f"| {name} | {overlap.mean():.3f} | {by_class} | {' / '.join(f'{value:.2f}' for value in ratio)} |")
    facts = {
        "run": run.record()["method"],
        "odds": str(odds),
        "fold": run.learnt_from.fold,
        "cases": len(found["walks"]),
    }
    record.append("beliefs", {**figures, **facts}, torch.device("cpu"))


if __name__ == "__main__":
    try:
        main(tyro.cli(Options))
    except InputError as error:
        sys.exit(f"beliefs: {error}")
