"""One schedule tried on validation patients: ``python benchmarks/search.py corpora/acdc --change size=144 lr=6e-3``.

A preset with some fields changed is run on the training patients of a fold and scored on its validation patients, which
are training patients of the paper's fold; test patients are never read. Each try is a JSON line in
``records/search.jsonl``: the whole schedule, Dice by class, volume ratios, seconds. ``docs/decisions`` say what was
chosen and why.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line has it; before torch is imported

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from rich.progress import track
from tyro.conf import Positional, arg

import record
from maskmixadv import methods
from maskmixadv.corpus.case import Case
from maskmixadv.device import pick_device
from maskmixadv.errors import InputError
from maskmixadv.inference.predictor import Predictor
from maskmixadv.methods.registry import method_from
from maskmixadv.metrics.masks import dice, surface
from maskmixadv.networks.components import largest_components
from maskmixadv.runs.schedule import PRESETS, Schedule
from maskmixadv.sources.opening import open_corpus
from maskmixadv.training.begin import begin
from maskmixadv.training.data import prior_masks, training_slices
from maskmixadv.training.loop import Loop


@dataclass(frozen=True)
class Search:
    """Train with one schedule and record the validation Dice.

    Attributes
    ----------
    corpus
        Corpus with scribbles, and dense masks of validation patients.
    method
        Name; its fields are its own defaults.
    prior
        Corpus of unpaired masks, for methods with a critic.
    preset
        Whose schedule is changed.
    change
        Fields of the schedule, of its augmentation (augment.stray=0.3) or of the method (method.every=8).
    fold
        Which fold's patients are learnt from, counted from 1.
    seed
        Of all random numbers.
    device
        Where to compute; by default the fastest that is there.
    """

    corpus: Annotated[Positional[Path], arg(metavar="CORPUS")]
    method: str = "pce"
    prior: Path | None = None
    preset: Literal["paper", "fast", "cpu"] = "cpu"
    change: Annotated[tuple[str, ...], arg(metavar="FIELD=VALUE [FIELD=VALUE ...]")] = ()
    fold: int = 1
    seed: int = 0
    device: Annotated[str | None, arg(metavar="DEVICE")] = None


def changed(options: Search) -> tuple[Schedule, methods.Method]:
    """The preset and the method, with the changes."""
    given = {name: value for name, _, value in (change.partition("=") for change in options.change)}
    of_method = {name.removeprefix("method."): given.pop(name) for name in [*given] if name.startswith("method.")}
    of_augment = {name.removeprefix("augment."): given.pop(name) for name in [*given] if name.startswith("augment.")}
    preset = PRESETS[options.preset]
    augment = replace(preset.augment, **_typed(preset.augment, of_augment))
    plain = method_from({"name": options.method})
    method = replace(plain, **_typed(plain, of_method))  # pyright: ignore[reportArgumentType]
    return replace(preset, augment=augment, **_typed(preset, given)), method


def _typed(of: object, given: dict[str, str]) -> dict[str, Any]:
    """Values of the types that the fields have now."""
    for name in given:
        if not hasattr(of, name):
            raise InputError(f"change: {name!r}, {type(of).__name__} has no such field")
    return {name: type(getattr(of, name))(value) for name, value in given.items()}


def score(loop: Loop, cases: Sequence[Case]) -> dict[str, Any]:
    """Scores of `cases`, as `measured` has them; with each structure's largest component alone as ``largest``."""
    run = loop.run
    predictor = Predictor(loop.scored, run.grid, run.task.classes)
    predicted = [predictor.labels(case.image, case.spacing) for case in cases]
    kept = [largest_components(labels, len(run.task.classes)) for labels in predicted]
    return {**measured(cases, predicted), "largest": measured(cases, kept)}


def measured(cases: Sequence[Case], predicted: Sequence[np.ndarray]) -> dict[str, Any]:
    """Mean Dice and HD95 (nominal mm), Dice by case and class; predicted over true volume, geometric mean by class."""
    found: list[list[float]] = []
    ratios: list[list[float]] = []
    far: list[float] = []
    for case, labels in zip(cases, predicted, strict=True):
        pairs = [(case.dense == label, labels == label) for label in range(1, int(case.dense.max()) + 1)]  # pyright: ignore
        found.append([dice(truth, own) for truth, own in pairs])
        ratios.append([(own.sum() + 1) / (truth.sum() + 1) for truth, own in pairs])
        far += [surface(truth, own, case.spacing or (10.0, 1.0, 1.0)).hd95 for truth, own in pairs]
    return {
        "dice": round(float(np.mean(found)), 4),
        "hd95": round(float(np.nanmean(far)), 2),
        "dice_by_class": np.mean(found, 0).round(4).tolist(),
        "volume_ratio": np.exp(np.log(ratios).mean(0)).round(3).tolist(),
        "cases": [round(float(np.mean(each)), 4) for each in found],
    }


def main(options: Search) -> None:
    """Train, score, append the record."""
    device = pick_device(options.device)
    schedule, method = changed(options)
    with tempfile.TemporaryDirectory() as folder:
        run = begin(
            options.corpus, Path(folder) / "run", method=method, schedule=schedule, preset=options.preset,
            prior_root=options.prior, fold=options.fold, seed=options.seed, enclosure=method.supervision == "scribble",
            device=options.device, write=False,
        )  # fmt: skip
    corpus = open_corpus(options.corpus)
    loop = Loop(run, training_slices(run, corpus, device), prior_masks(run, device), device)
    cases = list(corpus.load_all([entry for entry in corpus.of(run.learnt_from.val) if entry.dense]))
    began = time.perf_counter()
    for _ in track(range(schedule.steps), "steps", disable=not sys.stderr.isatty()):
        loop.advance()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - began
    found = {**score(loop, cases), "seconds": round(seconds, 1), "change": list(options.change)}
    facts = {"method": run.record()["method"], "fold": options.fold, "seed": options.seed, "schedule": asdict(schedule)}
    if os.environ.get("SAVE"):
        torch.save(loop.scored.state_dict(), os.environ["SAVE"])
    record.append("search", {**found, **facts}, device)
    print(found)


if __name__ == "__main__":
    try:
        main(tyro.cli(Search))
    except InputError as error:
        sys.exit(f"search: {error}")
