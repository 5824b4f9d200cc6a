"""Statistics of a comparison: paired by case, corrected for how many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

RESAMPLES = 10_000


@dataclass(frozen=True)
class Comparison:
    """One row against the reference, over the cases in which the measure is defined for both.

    Attributes
    ----------
    n
        Cases.
    difference
        Mean of row less reference; NaN without cases.
    low, high
        95 % bootstrap confidence interval of `difference`.
    p
        Of a two-sided Wilcoxon signed-rank test, uncorrected.
    """

    n: int
    difference: float
    low: float
    high: float
    p: float


def compare(*, row: Float[np.ndarray, "n"], reference: Float[np.ndarray, "n"]) -> Comparison:
    """Compare two measurements of the same cases, in the same order; NaN where undefined."""
    differences = row - reference
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return Comparison(0, np.nan, np.nan, np.nan, np.nan)
    low, high = interval(differences)
    return Comparison(len(differences), float(differences.mean()), low, high, wilcoxon(differences))


def wilcoxon(differences: Float[np.ndarray, "n"]) -> float:
    """Two-sided p of the signed-rank test (Wilcoxon 1945); 1 where no pair differs, whose test is undefined."""
    if not np.any(differences):
        return 1.0
    tested: Any = stats.wilcoxon(differences)
    return float(tested.pvalue)


def interval(differences: Float[np.ndarray, "n"], *, seed: int = 0) -> tuple[float, float]:
    """95 % confidence interval of the mean: percentiles over resamples of the cases (Efron 1979)."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(differences), size=(RESAMPLES, len(differences)))
    low, high = np.percentile(differences[drawn].mean(1), (2.5, 97.5))
    return float(low), float(high)


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Adjust p-values of one family (Holm 1979): the smallest times n, the next times n - 1, …, never falling.

    NaN, a test that could not be made, stays and does not count.
    """
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(len(values), np.nan)
    order = [int(k) for k in np.argsort(values) if not np.isnan(values[k])]
    largest = 0.0
    for place, k in enumerate(order):
        largest = max(largest, min(1.0, float(values[k]) * (len(order) - place)))
        adjusted[k] = largest
    return tuple(float(value) for value in adjusted)
