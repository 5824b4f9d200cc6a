"""Statistics of paired comparisons, with a correction for many tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from scipy import stats

RESAMPLES: Final = 10_000
"""Of the bootstrap."""
_AT_ONCE: Final = 2**22
"""Values that are drawn at once: those of 2,000 patients would take 320 MB together."""
DIGITS: Final = 9
"""Behind the point, of differences: more than scores have in files, and fewer than sums are exact to."""
EXACT: Final = 50
"""Patients who differ up to whom all signs are counted, as SciPy does where there are no ties; beyond, it is normal."""
SEED: Final = 0
"""Of the bootstrap: the same runs have the same intervals."""


@dataclass(frozen=True)
class Comparison:
    """A row compared with the reference, over the patients with cases in which the measure is defined for both.

    Attributes
    ----------
    n
        Number of patients.
    difference
        Mean over patients of row minus reference, each patient's the mean over the cases; NaN without cases.
    low, high
        95 % bootstrap confidence interval of `difference`; NaN if there are fewer than two patients.
    p
        P-value of a two-sided Wilcoxon signed-rank test, uncorrected.
    """

    n: int
    difference: float
    low: float
    high: float
    p: float


def compare(
    *, row: Float[np.ndarray, "n"], reference: Float[np.ndarray, "n"], patients: Sequence[str] | None = None
) -> Comparison:
    """Compare two measurements of the same cases, in the same order; NaN where undefined.

    Parameters
    ----------
    row, reference
        The measurements.
    patients
        Whose case each one is. A patient's cases resemble one another, so that they count as one: their mean
        difference. None: each case is a patient's only one.

    Examples
    --------
    >>> compare(row=np.array([0.8, 0.9, np.nan]), reference=np.array([0.7, 0.8, 0.6])).difference
    0.1
    >>> compare(row=np.array([0.8, 0.9, 0.7]), reference=np.array([0.7, 0.6, 0.6]), patients=["a", "a", "b"]).n
    2
    """
    by_patient: dict[str, list[float]] = {}
    for patient, difference in zip(patients or map(str, range(len(row))), row - reference, strict=True):
        if not np.isnan(difference):
            by_patient.setdefault(patient, []).append(float(difference))
    # Sums of the same numbers in another order differ by 1e-16, which are no difference, and break no tie.
    differences = np.round([np.mean(of) for of in by_patient.values()], DIGITS)
    if not len(differences):
        return Comparison(0, np.nan, np.nan, np.nan, np.nan)
    low, high = interval(differences)
    return Comparison(len(differences), float(differences.mean()), low, high, wilcoxon(differences))


def wilcoxon(differences: Float[np.ndarray, "n"]) -> float:
    """Return the p-value of the two-sided signed-rank test (Wilcoxon 1945); 1 if no pair differs.

    Zeros are left out, ties share their ranks. Of up to 50 others it is exact: the share of all choices of signs that
    are at least as far from even. With ties or zeros, SciPy's is exact of up to 13 pairs alone, zeros among them.

    Examples
    --------
    >>> wilcoxon(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    0.03125
    """
    differing = differences[differences != 0]
    if not len(differing):
        return 1.0
    if len(differing) > EXACT:
        tested: Any = stats.wilcoxon(differing)
        return float(tested.pvalue)
    # Twice the ranks, which are whole numbers with ties, too.
    ranks = np.rint(2 * stats.rankdata(np.abs(differing))).astype(np.int64)
    share = np.zeros(int(ranks.sum()) + 1)  # of the choices of signs that have each sum of positive ranks
    share[0] = 1
    for rank in ranks:
        share[rank:] = (share[rank:] + share[:-rank]) / 2
        share[:rank] /= 2
    least = min(int(ranks[differing > 0].sum()), int(ranks[differing < 0].sum()))
    return min(1.0, 2 * float(share[: least + 1].sum()))


def interval(differences: Float[np.ndarray, "n"]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean: percentiles over resamples (Efron 1979); NaN of less than two.

    Examples
    --------
    >>> interval(np.array([1.0, 2.0, 3.0, 4.0]))
    (1.5, 3.5)
    """
    if len(differences) < 2:  # all resamples of one are alike, which says nothing of its spread
        return np.nan, np.nan
    rng = np.random.default_rng(SEED)
    count, rows = len(differences), max(1, _AT_ONCE // len(differences))
    sizes = [min(rows, RESAMPLES - first) for first in range(0, RESAMPLES, rows)]
    means = [differences[rng.integers(count, size=(size, count))].mean(1) for size in sizes]
    low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
    return float(low), float(high)


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Adjust the p-values of one family of tests (Holm 1979).

    The smallest is multiplied by n, the next one by n - 1, and so on; none gets smaller than the one before. NaN stands
    for a test that could not be made: it stays NaN and does not count.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(len(values), np.nan)
    order = [int(k) for k in np.argsort(values) if not np.isnan(values[k])]
    largest = 0.0
    for place, k in enumerate(order):
        largest = max(largest, min(1.0, float(values[k]) * (len(order) - place)))
        adjusted[k] = largest
    return tuple(float(value) for value in adjusted)
