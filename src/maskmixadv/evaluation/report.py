"""The evaluation's report: one HTML file that needs nothing else, for light and dark screens and paper."""

import base64
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv import pictures
from maskmixadv.corpus.case import Case
from maskmixadv.errors import InputError
from maskmixadv.evaluation import charts
from maskmixadv.metrics import clinical
from maskmixadv.metrics.clinical import Record
from maskmixadv.metrics.scores import CaseScore, Summary

SLICES: Final = 4
"""Slices shown of an example."""
_TRAINING: Final = {
    "trained by": "command",
    "trained on": "device",
    "training commit": "commit",
    "seed": "seed",
    "preset": "preset",
    "enclosure": "enclosure",
}
"""What the page calls a fact of ``run.json``."""


class Example(NamedTuple):
    """A case to show, its Dice averaged over the classes, and what was predicted for it."""

    title: str
    dice: float
    case: Case
    predicted: UInt8[np.ndarray, "d h w"]


def telling(ranked: Sequence[tuple[str, float]]) -> list[tuple[str, str, float]]:
    """Pick (title, case, Dice) of the best, median and worst, no case twice; `ranked` is worst first.

    Cases without a Dice, that have no structure and in which none was found, are picked where there is no other.
    """
    ranked = [pair for pair in ranked if not math.isnan(pair[1])] or ranked
    places = {"best": -1, "median": len(ranked) // 2, "worst": 0}
    chosen: dict[str, tuple[str, str, float]] = {}
    for title, place in places.items():
        name, dice = ranked[place]
        chosen.setdefault(name, (title, name, dice))
    return list(chosen.values())


def render(
    summary: Summary,
    rows: Sequence[CaseScore],
    *,
    classes: Sequence[str],
    examples: Sequence[Example],
    log: Path,
    measured: Sequence[Record] = (),
) -> str:
    """Make the page.

    Parameters
    ----------
    summary, rows
        What the evaluation found; ``provenance`` has ``corpus`` as ``run.json`` does, and ``evaluation``.
    classes
        Names of the k classes, background first.
    examples
        Cases to show as pictures.
    log
        The run's ``log.csv``; without it, or where it can't be read, there are no learning curves.
    measured
        What ``clinical.csv`` holds, to be drawn against the truth.

    Returns
    -------
    ASCII text of an HTML document that loads nothing.
    """
    from jinja2 import Environment, PackageLoader

    templates = PackageLoader("maskmixadv.evaluation")
    pages = Environment(loader=templates, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    logged = _logged(log)
    text = pages.get_template("report.html").render(
        summary=summary,
        evaluation=summary.provenance["evaluation"],
        facts=list(_facts(summary.provenance)),
        boxes=charts.boxes(rows, classes),
        curves=charts.curves(logged) if logged else "",
        agreements=clinical.agreements(measured),
        agreement=charts.agreement(measured) if measured else "",
        examples=[(each, _picture(each, classes)) for each in examples],
        swatches=list(zip(classes[1:], pictures.palette(len(classes))[1:], strict=True)),
    )
    # References instead of other letters, so that no system's encoding can spoil the file.
    return text.encode("ascii", "xmlcharrefreplace").decode()


def _logged(log: Path) -> dict[str, Float[np.ndarray, "2 n"]]:
    """Read a log; a damaged one, as of a run that was killed, costs the curves and a line, not the report."""
    try:
        return charts.read_log(log) if log.is_file() else {}
    except InputError as error:
        print(f"maskmixadv: {error}; the report is without learning curves", file=sys.stderr)
        return {}


def _facts(provenance: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a reader needs to repeat the numbers, as (name, value)."""
    corpus, evaluation = provenance["corpus"], provenance["evaluation"]
    yield "evaluated by", evaluation["command"]
    yield "evaluated on", f"{evaluation['device']}, {evaluation['date']}, commit {evaluation['commit']}"
    for name, key in _TRAINING.items():
        if key in provenance:
            yield name, str(provenance[key])
    for name in ("method", "schedule", "grid", "versions"):
        if name in provenance:
            yield name, _flat(provenance[name])
    yield "corpus", _named(corpus)
    yield "patients", ", ".join(f"{len(corpus[part])} {part}" for part in ("train", "val", "test"))
    prior = provenance.get("prior")
    yield "prior", _named(prior) if prior else "none"


def _named(corpus: dict[str, Any]) -> str:
    return f"{corpus.get('name')}, content {str(corpus.get('hash'))[:12]}"


def _flat(fields: Any) -> str:  # noqa: ANN401
    if not isinstance(fields, dict):
        return str(fields)
    inner = {key: f"({_flat(of)})" if isinstance(of, dict) else of for key, of in fields.items()}
    return ", ".join(f"{key} {of}" for key, of in inner.items())


def _picture(example: Example, classes: Sequence[str]) -> str:
    """Draw slices from the structures' first to their last, cut to their surroundings: a PNG as base64."""
    case = example.case
    truth = example.predicted if case.dense is None else case.dense
    held = np.flatnonzero(((truth > 0) & (truth < len(classes))).any(axis=(1, 2)))
    first, last = (held[0], held[-1]) if held.size else (0, len(truth) - 1)
    shown = np.unique(np.linspace(first, last, SLICES).round().astype(int))
    window = (shown, *pictures.surroundings(truth))
    maps = {"scribble": case.scribble, "prediction": example.predicted, "truth": case.dense}
    figure = pictures.sheet(
        list(case.image[window]),
        {title: list(labels[window]) for title, labels in maps.items() if labels is not None},
        classes,
        rows=[f"slice {number + 1} of {len(truth)}" for number in shown],
    )
    return base64.b64encode(pictures.png(figure)).decode()
