"""What an evaluation found: a row for each case and class, and what they come to over the cases."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from maskmixadv.clinical import Agreement, Volumes
from maskmixadv.data.corpus import Case, Spacing
from maskmixadv.errors import InputError
from maskmixadv.metrics import Score, score
from maskmixadv.tabular import read_csv

MEASURES: Final = ("dice", "hd95", "hd95_max", "assd")
Source = Literal["known", "nominal", "mixed"]
"""Whether millimetres are the images' own or assumed."""


class Row(NamedTuple):
    """A case's score in one class; `source` says whose its millimetres are."""

    case: str
    patient: str
    group: str
    phase: str
    score: Score
    source: Source


@dataclass(frozen=True)
class Spread:
    """One measure over the cases in which it is defined.

    Attributes
    ----------
    mean, std, median
        NaN where it is defined in none; the standard deviation is the population's (divides by n).
    undefined
        Names of the cases in which it is not defined.
    """

    mean: float
    std: float
    median: float
    undefined: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """Each measure's spread, and all cases' predicted volume over their true volume (NaN where that is 0)."""

    dice: Spread
    hd95: Spread
    hd95_max: Spread
    assd: Spread
    volume_ratio: float


@dataclass(frozen=True)
class Summary:
    """What the rows come to.

    Attributes
    ----------
    cases
        How many were scored.
    spacing
        Whose millimetres the distances and volumes are in.
    classes
        Result of each class by its name.
    mean
        The same of each case's average over the classes in which a measure is defined; ``undefined`` names
        the cases that lack it in one class or more.
    provenance
        Where it all comes from.
    clinical
        How volumes, and of hearts what follows from them, agree with the truth; by column of ``clinical.csv``.
    """

    cases: int
    spacing: Source
    classes: dict[str, Result]
    mean: Result
    provenance: dict[str, Any]
    clinical: dict[str, Agreement] = field(default_factory=dict)

    @property
    def results(self) -> dict[str, Result]:
        """Results by class, the mean last."""
        return {**self.classes, "mean": self.mean}

    def json(self) -> str:
        """Text of ``summary.json``; NaN, which JSON lacks, is null."""
        return json.dumps(_plain(asdict(self)), indent=1, allow_nan=False)

    def __str__(self) -> str:
        """Table for a terminal: means and standard deviations, distances in mm."""
        lines = [f"{'class':12}{'Dice':>15}{'HD95':>17}{'ASSD':>17}{'undefined':>11}"]
        lines += [
            f"{name:12}{_pm(result.dice, 3):>15}{_pm(result.hd95, 2):>17}{_pm(result.assd, 2):>17}"
            f"{len(result.hd95.undefined):>11}"
            for name, result in self.results.items()
        ]
        return "\n".join([*lines, f"{self.cases} cases, {self.spacing} spacing; distances in mm, mean ± std"])


def rows(case: Case, labels: np.ndarray, *, classes: Sequence[str], nominal: Spacing) -> tuple[Row, ...]:
    """Score a prediction for a case that has a dense mask, one row a class.

    Parameters
    ----------
    case
        What was predicted for.
    labels
        The predicted class indices ``d h w``.
    classes
        Names of the k classes, background first.
    nominal
        Spacing in mm along d, h, w where the case has none.

    Raises
    ------
    ValueError
        Where the case has no dense mask, or the prediction another shape.
    """
    if case.dense is None:
        raise ValueError(f"{case.name}: no dense mask to score against")
    scores = score(case.dense, labels, classes=classes, spacing=case.spacing or nominal)
    source: Source = "known" if case.spacing else "nominal"
    return tuple(Row(case.name, case.patient, case.group or "", case.phase or "", each, source) for each in scores)


def table(rows: Iterable[Row]) -> str:
    """Text of ``scores.csv``: a line for each case and class, NaN as ``nan``."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*Row._fields[:4], "class", *Score._fields[1:], "spacing"])
    for row in rows:
        name, *numbers = row.score
        writer.writerow([*row[:4], name, *(f"{number:.6g}" for number in numbers), row.source])
    return buffer.getvalue()


def read(path: Path) -> tuple[Row, ...]:
    """Read what `table` wrote.

    Raises
    ------
    InputError
        Where `path` is no such file.
    """
    try:
        return tuple(_row(line) for line in read_csv(path))
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, InputError) else repr(error)[:100]
        raise InputError(f"{path}: not a table of scores ({reason}); evaluate the run again") from None


def volumes(rows: Iterable[Row], nominal: Spacing) -> tuple[Volumes, ...]:
    """Collect each case's volumes; in voxels where its millimetres are those of `nominal` (mm; d, h, w)."""
    found: dict[str, Volumes] = {}
    for row in rows:
        known, score = row.source == "known", row.score
        size = 1.0 if known else math.prod(nominal) / 1000
        empty = Volumes(row.case, row.patient, row.phase, "ml" if known else "voxels", {}, {})
        each = found.setdefault(row.case, empty)
        for of, ml in ((each.predicted, score.predicted_ml), (each.truth, score.truth_ml)):
            of[score.class_name] = ml if known else float(round(ml / size))
    return tuple(found.values())


def summarise(rows: Sequence[Row], provenance: dict[str, Any]) -> Summary:
    """Average `rows`, which hold the same classes in the same order for every case."""
    names = tuple(dict.fromkeys(row.score.class_name for row in rows))
    cases = tuple(dict.fromkeys(row.case for row in rows))
    numbers = np.array([row.score[1:] for row in rows], dtype=np.float64).reshape(len(cases), len(names), -1)
    values = dict(zip(Score._fields[1:], np.moveaxis(numbers, -1, 0), strict=True))
    sources: set[Source] = {row.source for row in rows}
    return Summary(
        cases=len(cases),
        spacing=sources.pop() if len(sources) == 1 else "mixed",
        classes={name: _result(cases, {key: of[:, [k]] for key, of in values.items()}) for k, name in enumerate(names)},
        mean=_result(cases, values),
        provenance=provenance,
    )


def ranked(rows: Sequence[Row]) -> list[tuple[str, float]]:
    """Cases and their Dice averaged over the classes, worst first."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row.case, []).append(row.score.dice)
    return sorted(((case, float(np.mean(of))) for case, of in found.items()), key=lambda pair: pair[1])


def _row(line: dict[str, Any]) -> Row:
    score = Score(line["class"], *(float(line[name]) for name in Score._fields[1:]))
    return Row(line["case"], line["patient"], line["group"], line["phase"], score, line["spacing"])


def _result(cases: Sequence[str], values: dict[str, Float[np.ndarray, "n k"]]) -> Result:
    spreads = {measure: _spread(cases, values[measure]) for measure in MEASURES}
    truth, predicted = float(values["truth_ml"].sum()), float(values["predicted_ml"].sum())
    return Result(**spreads, volume_ratio=predicted / truth if truth else math.nan)


def _spread(cases: Sequence[str], values: Float[np.ndarray, "n k"]) -> Spread:
    """Of each case's average over its defined classes."""
    defined = ~np.isnan(values)
    held = defined.any(axis=1)
    average = np.nansum(values[held], axis=1) / defined[held].sum(axis=1)
    measures: tuple[Callable[..., Any], ...] = (np.mean, np.std, np.median)
    mean, std, median = (float(measure(average)) if held.any() else math.nan for measure in measures)
    lacking = tuple(case for case, each in zip(cases, defined, strict=True) if not each.all())
    return Spread(mean, std, median, lacking)


def _pm(spread: Spread, digits: int) -> str:
    return f"{spread.mean:.{digits}f} ± {spread.std:.{digits}f}"


def _plain(value: Any) -> Any:  # noqa: ANN401
    """`value` with null for NaN."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
