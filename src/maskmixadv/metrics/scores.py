"""Scores of an evaluation: one for each case and class, and their means over the cases.

A class that is in neither prediction nor truth of a case has no score there and is left out of the means, as in
nnU-Net. The means in which it counts as a perfect match are given beside them (docs/decisions/0012).
"""

import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.names import MEAN
from maskmixadv.errors import InputError, counted
from maskmixadv.metrics.clinical import Agreement, CaseVolumes
from maskmixadv.metrics.excess import ByPhase, Excess, excess, told
from maskmixadv.metrics.masks import Score, dices, score
from maskmixadv.tabular import csv_text, read_csv
from maskmixadv.types import Spacing

MEASURES: Final = ("dice", "hd95", "hd95_max", "assd")
PERFECT: Final = {"dice": 1.0, "hd95": 0.0, "hd95_max": 0.0, "assd": 0.0}
"""Scores of a class that is in neither mask, if that counts as a perfect match."""
SpacingSource = Literal["known", "nominal", "mixed"]
"""Whether millimetres are the images' own, or assumed, or both among the cases."""


class CaseScore(NamedTuple):
    """A case's score in one class.

    Attributes
    ----------
    case, patient, group, phase
        As `maskmixadv.corpus.case.Case` has them; empty if unknown.
    score
        The class and its score.
    source
        Whether millimetres are the image's own (``known``) or assumed (``nominal``).
    excess
        What is predicted where the class is not; None for scores that were read from a file.

    Examples
    --------
    >>> lv = Score("LV", 0.9, 3.5, 4.0, 1.2, 120.0, 114.0)
    >>> CaseScore("p1_ED", "p1", "", "ED", lv, "known").score.dice
    0.9
    """

    case: str
    patient: str
    group: str
    phase: str
    score: Score
    source: SpacingSource
    excess: Excess | None = None


@dataclass(frozen=True)
class Spread:
    """Statistics of one measure over the cases in which it is defined.

    Attributes
    ----------
    mean, std, median
        NaN if it is defined in no case; the standard deviation is the population's (it divides by n).
    undefined
        Names of the cases in which it is not defined.

    Examples
    --------
    >>> Spread(mean=0.91, std=0.02, median=0.92, undefined=("p7_ES",)).mean
    0.91
    """

    mean: float
    std: float
    median: float
    undefined: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """Scores of one class over all cases, or of all classes.

    Attributes
    ----------
    dice
        Over the cases with the class in prediction or truth.
    hd95, hd95_max, assd
        Distances in mm, over the cases with the class in both.
    cases_with_it
        Number of cases with the class (or any class) in the truth.
    no_distance
        Cases with the class in prediction or truth alone: Dice is 0 there, and there is no distance.
    both_empty_perfect
        The four measures by name, if a class that is in neither counts with Dice 1 and distances of 0.
    volume_ratio
        Predicted over true volume, each summed over the cases; NaN if the true volume is 0.

    Examples
    --------
    >>> scored = [CaseScore("a", "a", "", "", Score("LV", 0.9, 3.5, 4.0, 1.2, 120.0, 114.0), "known")]
    >>> summarise(scored, {}).classes["LV"].volume_ratio
    0.95
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
    """Summary of an evaluation, the content of ``summary.json``.

    Attributes
    ----------
    cases
        Number of cases.
    spacing
        Whether millimetres are the images' own or assumed.
    classes
        Result of each class by its name.
    mean
        Result of the classes' mean: each case is first averaged over the classes in which a measure is defined.
        ``undefined`` names the cases that lack the measure in one class or more.
    provenance
        Commit, command, run and corpus that the scores come from.
    clinical
        Agreement of volumes, and of a heart's measures, with the truth; by column of ``clinical.csv``.
    volumes
        Volumes, and what is predicted where there is nothing; by phase and class.
    ejection
        Agreement of the change of volume from end-diastole to end-systole with the truth; by class.

    Examples
    --------
    >>> scored = [CaseScore("a", "a", "", "", Score("LV", 0.9, 3.5, 4.0, 1.2, 120.0, 114.0), "known")]
    >>> print(summarise(scored, {}))
    class           n           Dice             HD95             ASSD  no distance  Dice, empty=1
    LV              1  0.900 ± 0.000      3.50 ± 0.00      1.20 ± 0.00            0          0.900
    mean            1  0.900 ± 0.000      3.50 ± 0.00      1.20 ± 0.00            0          0.900
    1 case, known spacing; distances in mm, mean ± std
    n: cases that have the class; a class in neither prediction nor truth of a case is left out, and has Dice 1 ...
    """

    cases: int
    spacing: SpacingSource
    classes: dict[str, Result]
    mean: Result
    provenance: dict[str, Any]
    clinical: dict[str, Agreement] = field(default_factory=dict)
    volumes: ByPhase = field(default_factory=dict)
    ejection: dict[str, Agreement] = field(default_factory=dict)

    @property
    def results(self) -> dict[str, Result]:
        """Results by class, the mean last."""
        return {**self.classes, MEAN: self.mean}

    def json(self) -> str:
        """Return the text of ``summary.json``, with null for NaN, which JSON lacks."""
        return json.dumps(_plain(asdict(self)), indent=1, allow_nan=False)

    def __repr__(self) -> str:
        """Say in one line what it is of; `print` shows the table."""
        dice = ", ".join(f"{name} {result.dice.mean:.3f}" for name, result in self.results.items())
        return f"Summary({counted(self.cases, 'case')}, Dice: {dice})"

    def __str__(self) -> str:
        """Return tables for a terminal: means and standard deviations, distances in mm; and volumes, if known."""
        header = f"{'class':12}{'n':>5}{'Dice':>15}{'HD95':>17}{'ASSD':>17}{'no distance':>13}{'Dice, empty=1':>15}"
        lines = [
            f"{name:12}{result.cases_with_it:>5}{_pm(result.dice, 3):>15}{_pm(result.hd95, 2):>17}"
            f"{_pm(result.assd, 2):>17}{len(result.no_distance):>13}{result.both_empty_perfect['dice'].mean:>15.3f}"
            for name, result in self.results.items()
        ]
        footer = f"{counted(self.cases, 'case')}, {self.spacing} spacing; distances in mm, mean ± std"
        legend = (
            "n: cases that have the class; a class in neither prediction nor truth of a case is left out, and has "
            "Dice 1 in the last column"
        )
        volumes = ["", told(self.volumes, self.ejection)] if self.volumes else []
        return "\n".join([header, *lines, footer, legend, *volumes])


def rows(case: Case, labels: np.ndarray, *, classes: Sequence[str], nominal: Spacing) -> tuple[CaseScore, ...]:
    """Score a prediction for a case with a dense mask, in every class but the background.

    Parameters
    ----------
    case
        The case.
    labels
        The predicted class indices ``d h w``.
    classes
        Names of the k classes, background first.
    nominal
        Spacing in mm along d, h, w that is assumed if the case has none.

    Raises
    ------
    ValueError
        If the case has no dense mask, or the prediction has another shape.

    Examples
    --------
    >>> mask = np.zeros((1, 8, 8), np.uint8)
    >>> mask[0, 2:6, 2:6] = 1
    >>> case = Case("a", "p", mask[None].astype(np.float32), dense=mask)
    >>> (lv,) = rows(case, mask, classes=["background", "LV"], nominal=(10.0, 1.0, 1.0))
    >>> lv.score.dice, lv.source
    (1.0, 'nominal')
    """
    if case.dense is None:
        raise ValueError(f"{case.name}: no dense mask to score against")
    spacing = case.spacing or nominal
    scores = score(case.dense, labels, classes=classes, spacing=spacing)
    found = excess(case.dense, labels, classes=len(classes), spacing=spacing)
    source: SpacingSource = "known" if case.spacing else "nominal"
    return tuple(
        CaseScore(case.name, case.patient, case.group or "", case.phase or "", each, source, more)
        for each, more in zip(scores, found, strict=True)
    )


def table(rows: Iterable[CaseScore]) -> str:
    """Return the text of ``scores.csv``: a line for each case and class, NaN as ``nan``.

    Examples
    --------
    >>> print(table([CaseScore("a", "a", "", "ED", Score("LV", 0.9, 3.5, 4.0, 1.2, 120.0, 114.0), "known")]))
    case,patient,group,phase,class,dice,hd95,hd95_max,assd,truth_ml,predicted_ml,spacing
    a,a,,ED,LV,0.9,3.5,4,1.2,120,114,known
    """
    columns = (*CaseScore._fields[:4], "class", *Score._fields[1:], "spacing")
    return csv_text(columns, (dict(zip(columns, _cells(row), strict=True)) for row in rows))


def _cells(row: CaseScore) -> tuple[str, ...]:
    name, *numbers = row.score
    return (*row[:4], name, *(f"{number:.6g}" for number in numbers), row.source)


def read(path: Path) -> tuple[CaseScore, ...]:
    """Read a ``scores.csv``.

    In files of earlier versions a class that is in neither mask has Dice 1; it becomes NaN here.

    Raises
    ------
    InputError
        If `path` is no such file, or a case lacks a class.

    Examples
    --------
    >>> scored = CaseScore("a", "a", "", "ED", Score("LV", 0.9, 3.5, 4.0, 1.2, 120.0, 114.0), "known")
    >>> _ = Path("scores.csv").write_text(table([scored]))
    >>> read(Path("scores.csv")) == (scored,)
    True
    """
    try:
        rows = tuple(_row(line) for line in read_csv(path))
        _must_be_whole(rows)
    except (KeyError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a table of scores ({error!r:.200}); evaluate the run again") from None
    return rows


def _must_be_whole(rows: Sequence[CaseScore]) -> None:
    """Complain if not every case has every class, in one order."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.case, []).append(row.score.class_name)
    wanted = next(iter(found.values()), [])
    wrong = next((case for case, of in found.items() if of != wanted or len(set(of)) < len(of)), None)
    if not wanted or wrong is not None:
        raise ValueError(f"case {wrong} lacks a class" if wanted else "no case")


def volumes(rows: Iterable[CaseScore], nominal: Spacing) -> tuple[CaseVolumes, ...]:
    """Collect each case's volumes: in ml, or in voxels for a case of nominal spacing.

    Parameters
    ----------
    rows
        Scores of all classes of each case.
    nominal
        Spacing in mm along d, h, w by which the scores of cases without one were measured.

    Examples
    --------
    >>> scored = CaseScore("a", "a", "", "ED", Score("LV", 0.9, 3.5, 4.0, 1.2, 120.0, 114.0), "known")
    >>> volumes([scored], nominal=(10.0, 1.0, 1.0))[0].predicted
    {'LV': 114.0}
    """
    found: dict[str, CaseVolumes] = {}
    for row in rows:
        known, score = row.source == "known", row.score
        size = 1.0 if known else math.prod(nominal) / 1000
        empty = CaseVolumes(row.case, row.patient, row.phase, "ml" if known else "voxels", {}, {})
        each = found.setdefault(row.case, empty)
        for of, ml in ((each.predicted, score.predicted_ml), (each.truth, score.truth_ml)):
            of[score.class_name] = ml if known else float(round(ml / size))
    return tuple(found.values())


def summarise(rows: Sequence[CaseScore], provenance: dict[str, Any]) -> Summary:
    """Summarise scores.

    Parameters
    ----------
    rows
        Scores with the same classes in the same order for every case.
    provenance
        Where they come from; it goes into the summary as it is.

    Examples
    --------
    >>> scored = [
    ...     CaseScore(name, name, "", "", Score("LV", dice, 3.5, 4.0, 1.2, 120.0, 114.0), "known")
    ...     for name, dice in (("a", 0.9), ("b", 0.8))
    ... ]
    >>> summarise(scored, {}).mean.dice
    Spread(mean=0.85, std=0.05, median=0.85, undefined=())
    """
    names = tuple(dict.fromkeys(row.score.class_name for row in rows))
    cases = tuple(dict.fromkeys(row.case for row in rows))
    numbers = np.array([row.score[1:] for row in rows], dtype=np.float64).reshape(len(cases), len(names), -1)
    values = dict(zip(Score._fields[1:], np.moveaxis(numbers, -1, 0), strict=True))
    sources: set[SpacingSource] = {row.source for row in rows}
    return Summary(
        cases=len(cases),
        spacing=sources.pop() if len(sources) == 1 else "mixed",
        classes={name: _result(cases, {key: of[:, [k]] for key, of in values.items()}) for k, name in enumerate(names)},
        mean=_result(cases, values),
        provenance=provenance,
    )


def mean_dice(cases: Sequence[Case], predicted: Sequence[UInt8[np.ndarray, "d h w"]], classes: Sequence[str]) -> float:
    """Return the mean Dice that `summarise` finds, without measuring distances.

    It is NaN if neither truth nor prediction has a structure in any case.

    Parameters
    ----------
    cases
        Those without a dense mask do not count.
    predicted
        Class indices predicted for each of `cases`, on its grid.
    classes
        Names of the k classes, background first.

    Examples
    --------
    >>> mask = np.zeros((1, 8, 8), np.uint8)
    >>> mask[0, 2:6, 2:6] = 1
    >>> case = Case("a", "p", mask[None].astype(np.float32), dense=mask)
    >>> mean_dice([case], [np.roll(mask, 1, axis=2)], ["background", "LV"])
    0.75
    """
    return mean_dice_of(zip(cases, predicted, strict=True), classes)


def mean_dice_of(pairs: Iterable[tuple[Case, UInt8[np.ndarray, "d h w"]]], classes: Sequence[str]) -> float:
    """As `mean_dice`, of cases and their predictions one by one, as large ones do not fit into memory together.

    Examples
    --------
    >>> mask = np.eye(4, dtype=np.uint8)[None]
    >>> case = Case("a", "p", mask[None].astype(np.float32), dense=mask)
    >>> mean_dice_of(iter([(case, mask)]), ["background", "LV"])
    1.0
    """
    names, values = list[str](), []
    for case, labels in pairs:
        if case.dense is not None:
            names.append(case.name)
            values.append(dices(case.dense, labels, len(classes)))
        del case, labels  # else large ones would stay in memory while the next ones are made
    return _spread(names, np.array(values).reshape(len(names), len(classes) - 1)).mean


def ranked(rows: Sequence[CaseScore]) -> list[tuple[str, float]]:
    """Sort cases by their mean Dice, worst first.

    Returns
    -------
    Names of cases and their Dice, averaged over the classes that have one; a case without any has NaN and comes last.

    Examples
    --------
    >>> scored = [
    ...     CaseScore(name, name, "", "", Score("LV", dice, 3.5, 4.0, 1.2, 120.0, 114.0), "known")
    ...     for name, dice in (("a", 0.9), ("b", 0.8))
    ... ]
    >>> ranked(scored)
    [('b', 0.8), ('a', 0.9)]
    """
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row.case, []).append(row.score.dice)
    means = ((case, _defined_mean(of)) for case, of in found.items())
    return sorted(means, key=lambda pair: (math.isnan(pair[1]), pair[1]))


def _defined_mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def _row(line: dict[str, Any]) -> CaseScore:
    score = Score(line["class"], *(float(line[name]) for name in Score._fields[1:]))
    if line["spacing"] not in get_args(SpacingSource):
        raise ValueError(f"spacing {line['spacing'][:40]!r}")
    for name, number in zip(score._fields[1:], score[1:], strict=True):
        if number < 0 or number > (1 if name == "dice" else sys.float_info.max):
            raise ValueError(f"{name} {number:g}")
    if math.isnan(score.truth_ml + score.predicted_ml):
        raise ValueError(f"truth_ml {score.truth_ml:g}, predicted_ml {score.predicted_ml:g}")
    if math.isnan(score.dice) and (score.truth_ml or score.predicted_ml):  # it would be left out of means
        raise ValueError(f"dice {score.dice:g} of a class that is there")
    if score.truth_ml == score.predicted_ml == 0:
        score = score._replace(**dict.fromkeys(MEASURES, math.nan))
    return CaseScore(line["case"], line["patient"], line["group"], line["phase"], score, line["spacing"])


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
    """Statistics of the cases' averages over their defined classes."""
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
