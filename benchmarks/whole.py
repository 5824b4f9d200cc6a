"""All structures taken as one: ``python benchmarks/whole.py RUN [RUN ...] --out SCORES.csv``.

Dice of what is any structure on each run's test patients, such as the whole spinal cord of its white and grey matter.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line has it; before torch is imported

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional, arg

from maskmixadv.errors import InputError
from maskmixadv.inference.predictor import Predictor
from maskmixadv.metrics.masks import dice
from maskmixadv.runs.origin import same_corpus
from maskmixadv.runs.run import Run
from maskmixadv.tabular import csv_text


@dataclass(frozen=True)
class Options:
    """Score runs on whole organs: all structures together, case by case.

    Attributes
    ----------
    runs
        Directories of runs; their last checkpoints are scored.
    out
        Table of the scores of each case.
    """

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")]
    out: Annotated[Path, arg(metavar="SCORES.csv")]


def scored(root: Path) -> Iterator[dict[str, Any]]:
    """Yield the scores of each test case of a run."""
    run = Run.open(root)
    corpus, predictor = same_corpus(run.learnt_from), Predictor.load(root, "cpu")
    for entry in corpus.of(run.learnt_from.test):
        case = corpus.load(entry)
        if case.dense is None:
            continue
        found, truth = predictor.labels(case.image, case.spacing) > 0, case.dense > 0
        yield {
            "method": run.record()["method"]["name"], "fold": run.learnt_from.fold, "seed": run.seed,
            "commit": run.facts.commit, "case": entry.name, "dice": round(float(dice(truth, found)), 4),
            "volume_ratio": round(float(found.sum() / truth.sum()), 3),
        }  # fmt: skip


def main(options: Options) -> None:
    """Score, write the table, print its means by method."""
    if not options.runs:
        raise InputError("missing: RUN")
    rows = [row for root in options.runs for row in scored(root)]
    options.out.write_text(csv_text(list(rows[0]), rows))
    for method in sorted({row["method"] for row in rows}):
        found = [row["dice"] for row in rows if row["method"] == method]
        print(f"{method}: {sum(found) / len(found):.3f} ({len(found)} cases)")


if __name__ == "__main__":
    try:
        main(tyro.cli(Options))
    except InputError as error:
        sys.exit(f"whole: {error}")
