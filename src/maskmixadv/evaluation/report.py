"""The report of an evaluation: one HTML file that loads nothing, for light and dark screens and for paper."""

import base64
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv import pictures
from maskmixadv.corpus.case import Case
from maskmixadv.errors import InputError, say
from maskmixadv.evaluation import charts
from maskmixadv.metrics import clinical
from maskmixadv.metrics.clinical import Record
from maskmixadv.metrics.excess import shown
from maskmixadv.metrics.scores import CaseScore, Summary

SLICES: Final = 4
"""Number of slices that are shown of an example."""
_TRAINING: Final = {
    "trained by": "command",
    "trained on": "device",
    "training commit": "commit",
    "seed": "seed",
    "preset": "preset",
    "enclosure": "enclosure",
}
"""Names of facts of ``run.json`` on the page."""


class Example(NamedTuple):
    """A case to show as pictures.

    Attributes
    ----------
    title
        Such as ``best: patient012_ED``.
    dice
        Dice averaged over the classes, in [0, 1]; NaN where it is undefined.
    case
        The case.
    predicted
        Labels that the network gave it.

    Examples
    --------
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> case = corpus.load(corpus.entries[0])
    >>> Example(f"best: {case.name}", 1.0, case, case.dense).title
    'best: phantom000_ED'
    """

    title: str
    dice: float
    case: Case
    predicted: UInt8[np.ndarray, "d h w"]


def telling(ranked: Sequence[tuple[str, float]]) -> list[tuple[str, str, float]]:
    """Pick the best, the median and the worst case, as (title, name, Dice), and no case twice.

    Parameters
    ----------
    ranked
        Names and Dice of all cases, the worst first. A case's Dice is NaN where it has no structure and none was found.
        Such cases are picked only where there are no others.

    Examples
    --------
    >>> telling([("c", 0.1), ("e", 0.3), ("a", 0.5), ("d", 0.7), ("b", 0.9)])
    [('best', 'b', 0.9), ('median', 'a', 0.5), ('worst', 'c', 0.1)]
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
        Results of the evaluation. The summary's ``provenance`` has ``corpus`` as ``run.json`` has it, and
        ``evaluation``.
    classes
        Names of the k classes, background first.
    examples
        Cases to show as pictures.
    log
        The run's ``log.csv``. Without it, or where it can't be read, there are no learning curves.
    measured
        Records of ``clinical.csv``, to be drawn against the truth.

    Returns
    -------
    ASCII text of an HTML document that loads nothing.

    Examples
    --------
    >>> from maskmixadv.metrics import scores
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> case = corpus.load(corpus.entries[0])
    >>> rows = scores.rows(case, case.dense, classes=corpus.classes, nominal=corpus.nominal)
    >>> evaluation = {"command": "x", "commit": None, "device": "cpu", "date": "2026-01-01", "corpus": "phantom-0",
    ...               "split": "test", "flips": False, "largest": "RV", "odds": "neutral",
    ...               "nominal_mm": [1.0, 1.0, 1.0]}
    >>> learnt_from = {"name": corpus.name, "hash": corpus.hash(), "train": [], "val": [], "test": ["phantom000"]}
    >>> summary = scores.summarise(rows, {"corpus": learnt_from, "evaluation": evaluation})
    >>> render(summary, rows, classes=corpus.classes, examples=[], log=Path("log.csv"))[:15]
    '<!doctype html>'
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
        volumes=shown(summary.volumes),
        bars=charts.volumes(summary.volumes, classes) if summary.volumes else "",
        agreements=clinical.agreements(measured),
        agreement=charts.agreement(measured) if measured else "",
        examples=[(each, _picture(each, classes)) for each in examples],
        swatches=list(zip(classes[1:], pictures.palette(len(classes))[1:], strict=True)),
    )
    # References instead of other letters, so that no system's encoding can spoil the file.
    return text.encode("ascii", "xmlcharrefreplace").decode()


def _logged(log: Path) -> dict[str, Float[np.ndarray, "2 n"]]:
    """Read a log. Where it is damaged, a line on stderr says so, and the report is without curves."""
    try:
        return charts.logged_curves(log) if log.is_file() else {}
    except InputError as error:
        say(f"maskmixadv: {error}; the report is without learning curves")
        return {}


def _facts(provenance: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the facts that a reader needs to get the same numbers again, as (name, value)."""
    corpus, evaluation = provenance["corpus"], provenance["evaluation"]
    yield "evaluated by", evaluation["command"]
    yield "evaluated on", f"{evaluation['device']}, {evaluation['date']}, commit {evaluation['commit']}"
    if "step" in evaluation:
        steps, done = provenance["schedule"]["steps"], evaluation["step"]
        yield "checkpoint", f"of step {done} of {steps}" + ("" if done >= steps else ": the training was not done")
    yield "largest piece alone of", evaluation["largest"]
    yield "odds of classes", evaluation["odds"]
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
    """Draw slices from the first to the last with a structure, cut to its surroundings; returns a PNG as base64."""
    case = example.case
    truth = example.predicted if case.dense is None else case.dense
    held = np.flatnonzero(((truth > 0) & (truth < len(classes))).any(axis=(1, 2)))
    first, last = (held[0], held[-1]) if held.size else (0, len(truth) - 1)
    shown = np.unique(np.linspace(first, last, SLICES).round().astype(int))
    window = (shown, *pictures.surroundings(truth))
    maps = {"scribble": case.scribble, "prediction": example.predicted, "truth": case.dense}
    figure = pictures.sheet(
        list(case.picture[window]),
        {title: list(labels[window]) for title, labels in maps.items() if labels is not None},
        classes,
        rows=[f"slice {number + 1} of {len(truth)}" for number in shown],
    )
    return base64.b64encode(pictures.png(figure)).decode()
