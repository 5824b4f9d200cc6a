"""Statistics on cases that can be worked out by hand, or by another library."""

import itertools
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy import stats

from maskmixadv.bench.stats import compare, holm, interval, wilcoxon


def test_holm_by_hand() -> None:
    # In order: 4 × .005, 3 × .01, 2 × .03, and .04, which may not fall below .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_holm_stops_at_one_and_leaves_out_what_was_not_tested() -> None:
    adjusted = holm([0.6, math.nan, 0.9])
    assert adjusted[0] == adjusted[2] == 1.0
    assert math.isnan(adjusted[1])
    assert holm([0.02, math.nan]) == pytest.approx((0.02, math.nan), nan_ok=True)
    assert holm([]) == ()


def test_holm_does_not_depend_on_the_order() -> None:
    p = np.random.default_rng(0).random(12)
    turned = np.random.default_rng(1).permutation(12)
    np.testing.assert_array_equal(np.array(holm(p.tolist()))[turned], holm(p[turned].tolist()))


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3, 4, 5], 2 / 32),  # of 32 signs, these and their opposites
        ([-1, 2, 3, 4, 5], 4 / 32),  # rank sums of 0 and 1, and their opposites
        ([0, 0, 0], 1.0),
    ],
)
def test_wilcoxon_by_hand(differences: list[float], p: float) -> None:
    assert wilcoxon(np.array(differences, dtype=float)) == pytest.approx(p)
    assert wilcoxon(-np.array(differences, dtype=float)) == pytest.approx(p)


@pytest.mark.parametrize("differences", [[1, -1, 2, 2, 3, -3, 4, 5, 5], [2, 2, 2, 2, -2, 1], [0, 3, 3, -1, 0, 2]])
def test_wilcoxon_with_ties_counts_all_signs(differences: list[float]) -> None:
    """Zeros are left out, ties share their ranks, and each choice of signs is as likely as any other."""
    values = np.array([each for each in differences if each], dtype=float)
    ranks = np.array([np.mean([1 + k for k, x in enumerate(sorted(abs(values))) if x == abs(v)]) for v in values])
    sums = [
        sum(r for r, up in zip(ranks, ups, strict=True) if up) for ups in itertools.product((0, 1), repeat=len(ranks))
    ]
    away = np.abs(np.array(sums) - ranks.sum() / 2)
    expected = np.mean(away >= abs(ranks[values > 0].sum() - ranks.sum() / 2) - 1e-9)
    assert wilcoxon(np.array(differences, dtype=float)) == pytest.approx(float(expected))


@pytest.mark.parametrize("zeros", [0, 6, 60])
def test_wilcoxon_of_some_patients_is_that_of_those_who_differ(zeros: int) -> None:
    """Zeros say nothing; among so many patients they had p-values be those of a normal distribution."""
    differing = np.array([1.0, 2, 3, 4, 5, 6, 7, -8])
    assert wilcoxon(np.append(differing, np.zeros(zeros))) == wilcoxon(differing) == 50 / 256


@pytest.mark.parametrize("count", [14, 20, 50])
def test_wilcoxon_with_ties_is_exact_for_as_many_as_without(count: int) -> None:
    """So few values that their sign is all that is left: the sign test."""
    positive = count // 2 + 4
    expected = stats.binomtest(positive, count).pvalue
    assert wilcoxon(np.repeat([1.0, -1.0], [positive, count - positive])) == pytest.approx(expected)


@pytest.mark.parametrize("count", [1, 2, 9, 25, 50, 51, 400])
def test_wilcoxon_without_ties_is_scipys(count: int) -> None:
    differences = np.random.default_rng(count).normal(0.2, size=count)
    tested: Any = stats.wilcoxon(differences)
    assert wilcoxon(differences) == pytest.approx(float(tested.pvalue))


def test_holm_is_the_step_down_procedure() -> None:
    """A hypothesis is rejected at a level where all with smaller p-values are, each at its share of the level."""
    p = np.random.default_rng(2).random(9) ** 3
    for level in (0.01, 0.05, 0.2, 0.6):
        order, rejected = np.argsort(p), np.zeros(9, bool)
        for place, k in enumerate(order):
            if p[k] > level / (9 - place):
                break
            rejected[k] = True
        assert ((np.array(holm(p.tolist())) <= level) == rejected).all()


def test_sums_in_another_order_are_no_difference() -> None:
    """Seen: two rows with the same scores, of seeds in another order, differed by 1e-16 with p = .002."""
    of = [(0.1, 0.2, 0.3)] * 10
    row, reference = (np.array(each) for each in ([(a + b) + c for a, b, c in of], [(c + b) + a for a, b, c in of]))
    assert (row != reference).any()
    found = compare(row=row, reference=reference)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_one_unit_alone_has_no_interval() -> None:
    assert all(math.isnan(end) for end in interval(np.array([0.1])))
    found = compare(row=np.array([0.5]), reference=np.array([0.4]))
    assert (found.n, found.p) == (1, 1.0)


def test_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(0.03, 0.05, 40)
    found = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(7))
    expected = found.confidence_interval
    assert interval(values) == pytest.approx((expected.low, expected.high), abs=1e-3)
    assert interval(values) == interval(values)
    assert interval(np.full(5, 0.25)) == (0.25, 0.25)


def test_interval_of_many_patients_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskmixadv.bench.stats.RESAMPLES", 2_000)
    values = np.random.default_rng(0).normal(0.03, 0.05, 4_001)
    drawn = np.random.default_rng(0).integers(4_001, size=(2_000, 4_001))
    expected = np.percentile(values[drawn].mean(1), (2.5, 97.5)).tolist()
    del drawn
    tracemalloc.start()
    try:
        assert interval(values) == tuple(expected)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_compare_leaves_out_cases_in_which_one_is_undefined() -> None:
    row, flagship = np.array([0.5, 0.7, np.nan, 0.9]), np.array([0.4, 0.9, 0.5, np.nan])
    found = compare(row=row, reference=flagship)
    assert found.n == 2
    assert found.difference == pytest.approx(-0.05)
    assert found.low == pytest.approx(-0.2)
    assert found.high == pytest.approx(0.1)
    nothing = compare(row=row[2:3], reference=flagship[2:3])
    assert nothing.n == 0
    assert math.isnan(nothing.p)
