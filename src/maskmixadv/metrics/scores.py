"""What an evaluation found: a row for each case and class, and what they come to over the cases.

A class that is in neither prediction nor truth of a case has no score there and is left out of the means, as nnU-Net
does; beside them stands what they are where it counts as a perfect match (docs/decisions/0012).
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv.corpus.case import Case
from maskmixadv.errors import InputError
from maskmixadv.metrics.clinical import Agreement, Volumes
from maskmixadv.metrics.masks import Score, dices, score
from maskmixadv.tabular import csv_text, read_csv
from maskmixadv.types import Spacing

MEASURES: Final = ("dice", "hd95", "hd95_max", "assd")
PERFECT: Final = {"dice": 1.0, "hd95": 0.0, "hd95_max": 0.0, "assd": 0.0}
"""What a class that is in neither mask scores where it counts."""
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
    """What the rows of a class, or of all, come to.

    Attributes
    ----------
    dice, hd95, hd95_max, assd
        Over the cases with the class in prediction or truth; the distances where it is in both.
    cases_with_it
        How many cases have the class, or any, in the truth.
    no_distance
        Cases with the class in prediction or truth alone: Dice is 0 there, and there is no distance.
    both_empty_perfect
        The same measures where a class in neither counts, with Dice 1 and distances 0.
    volume_ratio
        All cases' predicted volume over their true volume; NaN where that is 0.
    """

    dice: Spread
    hd95: Spread
    hd95_max: Spread
    assd: Spread
    cases_with_it: int
    no_distance: tuple[str, ...]
    both_empty_perfect: dict[str, Spread]
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

    def __repr__(self) -> str:
        """Say in one line what it is of; `print` shows the table."""
        dice = ", ".join(f"{name} {result.dice.mean:.3f}" for name, result in self.results.items())
        return f"Summary({self.cases} cases, Dice: {dice})"

    def __str__(self) -> str:
        """Table for a terminal: means and standard deviations, distances in mm."""
        header = f"{'class':12}{'n':>5}{'Dice':>15}{'HD95':>17}{'ASSD':>17}{'no distance':>13}{'Dice, empty=1':>15}"
        lines = [
            f"{name:12}{result.cases_with_it:>5}{_pm(result.dice, 3):>15}{_pm(result.hd95, 2):>17}"
            f"{_pm(result.assd, 2):>17}{len(result.no_distance):>13}{result.both_empty_perfect['dice'].mean:>15.3f}"
            for name, result in self.results.items()
        ]
        told = f"{self.cases} cases, {self.spacing} spacing; distances in mm, mean ± std"
        legend = (
            "n: cases that have the class; a class in neither prediction nor truth of a case is left out, and has "
            "Dice 1 in the last column"
        )
        return "\n".join([header, *lines, told, legend])


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
    columns = (*Row._fields[:4], "class", *Score._fields[1:], "spacing")
    return csv_text(columns, (dict(zip(columns, _cells(row), strict=True)) for row in rows))


def _cells(row: Row) -> tuple[str, ...]:
    name, *numbers = row.score
    return (*row[:4], name, *(f"{number:.6g}" for number in numbers), row.source)


def read(path: Path) -> tuple[Row, ...]:
    """Read what `table` wrote, now or when a class in neither mask had Dice 1: it has no score.

    Raises
    ------
    InputError
        Where `path` is no such file.
    """
    try:
        rows = tuple(_row(line) for line in read_csv(path))
        _must_be_whole(rows)
    except (KeyError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a table of scores ({error!r:.200}); evaluate the run again") from None
    return rows


def _must_be_whole(rows: Sequence[Row]) -> None:
    """Complain where not every case has every class, in one order."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.case, []).append(row.score.class_name)
    wanted = next(iter(found.values()), [])
    wrong = next((case for case, of in found.items() if of != wanted or len(set(of)) < len(of)), None)
    if not wanted or wrong is not None:
        raise ValueError(f"case {wrong} lacks a class" if wanted else "no case")


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


def mean_dice(cases: Sequence[Case], predicted: Sequence[UInt8[np.ndarray, "d h w"]], classes: Sequence[str]) -> float:
    """Mean Dice as `summarise` has it, of densely labelled cases; NaN where no case has a structure, nor was one found.

    Parameters
    ----------
    cases
        Those with a dense mask count.
    predicted
        Labels of each of `cases`, on its grid.
    classes
        Names of the k classes, background first.
    """
    pairs = [(case, labels) for case, labels in zip(cases, predicted, strict=True) if case.dense is not None]
    values = [dices(case.dense, labels, len(classes)) for case, labels in pairs if case.dense is not None]
    return _spread([case.name for case, _ in pairs], np.array(values).reshape(len(pairs), len(classes) - 1)).mean


def ranked(rows: Sequence[Row]) -> list[tuple[str, float]]:
    """Cases and their Dice averaged over the classes that have one, worst first; NaN, where none has, comes last."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row.case, []).append(row.score.dice)
    means = ((case, _defined_mean(of)) for case, of in found.items())
    return sorted(means, key=lambda pair: (math.isnan(pair[1]), pair[1]))


def _defined_mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def _row(line: dict[str, Any]) -> Row:
    score = Score(line["class"], *(float(line[name]) for name in Score._fields[1:]))
    if line["spacing"] not in get_args(Source):
        raise ValueError(f"spacing {line['spacing'][:40]!r}")
    if score.truth_ml == score.predicted_ml == 0:
        score = score._replace(**dict.fromkeys(MEASURES, math.nan))
    return Row(line["case"], line["patient"], line["group"], line["phase"], score, line["spacing"])


def _result(cases: Sequence[str], values: dict[str, Float[np.ndarray, "n k"]]) -> Result:
    absent = np.isnan(values["dice"])
    missed = np.asarray((np.isnan(values["hd95"]) & ~absent).any(axis=1))
    truth, predicted = float(values["truth_ml"].sum()), float(values["predicted_ml"].sum())
    return Result(
        **{measure: _spread(cases, values[measure]) for measure in MEASURES},
        cases_with_it=int((values["truth_ml"] > 0).any(axis=1).sum()),
        no_distance=tuple(case for case, each in zip(cases, missed, strict=True) if each),
        both_empty_perfect={
            measure: _spread(cases, np.where(absent, perfect, values[measure])) for measure, perfect in PERFECT.items()
        },
        volume_ratio=predicted / truth if truth else math.nan,
    )


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
