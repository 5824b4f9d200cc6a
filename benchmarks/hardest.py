"""What a mean Dice hides: ``python benchmarks/hardest.py RUN [RUN ...]``.

On each run's test patients: mean Dice of the worst twentieth of the volumes, Dice of the right ventricle in the first
and last slice that shows it (its apex and base), HD95, and the error of the left ventricle's ejection fraction. A line
in ``records/hardest.jsonl`` a run.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line has it; before torch is imported

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from jaxtyping import UInt8
from rich.progress import track
from tyro.conf import Positional, arg

import record
from maskmixadv.corpus.case import Case
from maskmixadv.errors import InputError
from maskmixadv.inference.predictor import Predictor
from maskmixadv.metrics import clinical
from maskmixadv.metrics.masks import dice, score
from maskmixadv.runs.origin import same_corpus
from maskmixadv.runs.run import Run

WORST = 0.05
"""Part of the volumes that counts as the worst."""
UNDEFINED = clinical.Agreement(0, *[math.nan] * 5)
"""Of ejection fractions where no left ventricle was found."""


@dataclass(frozen=True)
class Options:
    """Score runs on what a mean Dice hides: worst volumes, apex and base, ejection fractions.

    Attributes
    ----------
    runs
        Directories of runs; their last checkpoints are scored.
    largest
        Keep each structure's largest component only.
    """

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")]
    largest: bool = False


def ends(truth: UInt8[np.ndarray, "d h w"], labels: UInt8[np.ndarray, "d h w"], label: int) -> list[float]:
    """Dice in the first and in the last slice that truly shows a class."""
    shown = np.flatnonzero((truth == label).any((1, 2)))
    return [dice(truth[[k]] == label, labels[[k]] == label) for k in (shown[0], shown[-1])]


def measured(root: Path, *, largest: bool) -> dict[str, Any]:
    """All of a run's figures."""
    run = Run.open(root)
    corpus, predictor = same_corpus(run.learnt_from), Predictor.load(root, "cpu")
    overlap, far, end, volumes = [], [], [], []
    for entry in track(corpus.of(run.learnt_from.test), root.name, disable=not sys.stderr.isatty()):
        case: Case = corpus.load(entry)
        if case.dense is None:
            continue
        labels = predictor.labels(case.image, case.spacing, largest=largest or None)
        scores = score(case.dense, labels, classes=corpus.classes, spacing=case.spacing or corpus.nominal)
        overlap.append([each.dice for each in scores])
        far.append([each.hd95 for each in scores])
        end.append(ends(case.dense, labels, corpus.classes.index("RV")))
        volumes.append(_volumes(case, labels, corpus.classes))
    by_case = np.sort(np.mean(overlap, 1))
    agreed = clinical.agreements(clinical.records(clinical.with_phases(volumes)))
    fraction = next((found for measure, found in agreed.items() if measure.name == "LV EF"), UNDEFINED)
    return {
        "method": run.record()["method"]["name"], "steps": run.schedule.steps, "largest": largest,
        "dice": np.mean(overlap), "worst": by_case[: max(1, round(WORST * len(by_case)))].mean(),
        "rv_first": np.mean(end, 0)[0], "rv_last": np.mean(end, 0)[1], "hd95": np.nanmean(far),
        "ef_bias": fraction.bias, "ef_low": fraction.low, "ef_high": fraction.high, "ef_r": fraction.r,
    }  # fmt: skip


def _volumes(case: Case, labels: UInt8[np.ndarray, "d h w"], classes: tuple[str, ...]) -> clinical.CaseVolumes:
    assert case.dense is not None
    predicted, truth = (
        clinical.volumes(case.name, each, classes=classes, spacing=case.spacing) for each in (labels, case.dense)
    )
    return replace(predicted, patient=case.patient, phase=case.phase or "", truth=truth.predicted)


def main(options: Options) -> None:
    """Measure, print, append the records."""
    if not options.runs:
        raise InputError("missing: RUN")
    print("| run | Dice | worst 5 % | RV, first and last slice | HD95 | EF error: bias, 95 % limits | r |")
    print("|---|---|---|---|---|---|---|")
    for root in options.runs:
        found = measured(root, largest=options.largest)
        found = {name: round(float(v), 4) if isinstance(v, float | np.floating) else v for name, v in found.items()}
        print(
            f"| {found['method']}, {found['steps']} steps | {found['dice']:.3f} | {found['worst']:.3f} "
            f"| {found['rv_first']:.3f}, {found['rv_last']:.3f} | {found['hd95']:.1f} "
            f"| {found['ef_bias']:+.1f}, {found['ef_low']:.1f} to {found['ef_high']:+.1f} | {found['ef_r']:.2f} |"
        )
        record.append("hardest", found, torch.device("cpu"))


if __name__ == "__main__":
    try:
        main(tyro.cli(Options))
    except InputError as error:
        sys.exit(f"hardest: {error}")
