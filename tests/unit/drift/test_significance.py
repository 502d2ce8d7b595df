"""The two-sample test."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from modelward_drift.judging.significance import NOTHING, two_sample
from modelward_drift.profiles.inflation import Inflation
from modelward_drift.special import chi2_log_sf

REFERENCE = np.array([1000, 2000, 3000, 0])
CURRENT = np.array([120, 190, 310, 0])


def test_of_many_rows_it_is_the_log_likelihood_ratio_test() -> None:
    test = two_sample(REFERENCE * 10**6, CURRENT * 10**6)
    table = np.array([REFERENCE, CURRENT])[:, :3] * 10**6
    expected = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
    assert test.dof == expected.dof
    assert test.statistic == pytest.approx(expected.statistic, rel=1e-6)
    assert test.log_p == pytest.approx(chi2_log_sf(expected.statistic, expected.dof), rel=1e-6)


def test_of_few_rows_it_is_corrected_after_williams() -> None:
    """His divisor: 1 + (sum of N / row - 1) (sum of N / column - 1) / (6 N (rows - 1) (columns - 1))."""
    rows, columns, total = (6000, 620), (1120, 2190, 3310), 6620
    of_rows, of_columns = (sum(total / each for each in side) - 1 for side in (rows, columns))
    first_order = 1 + of_rows * of_columns / (6 * total * 1 * 2)
    plain = stats.chi2_contingency(np.array([REFERENCE, CURRENT])[:, :3], lambda_="log-likelihood").statistic
    assert plain / two_sample(REFERENCE, CURRENT).statistic == pytest.approx(first_order, rel=1e-4)


def test_the_reference_is_finite_too() -> None:
    assert two_sample(REFERENCE, CURRENT).variance == pytest.approx(1 / 6000 + 1 / 620)


def test_correlated_rows_of_both_sides_widen_it() -> None:
    plain, wide = two_sample(REFERENCE, CURRENT), two_sample(REFERENCE, CURRENT, Inflation(4.0, 4.0, 620))
    assert wide.variance == pytest.approx(4 * plain.variance)
    assert wide.statistic == pytest.approx(plain.statistic / 4)


def test_a_sample_of_a_large_reference_hangs_together_less() -> None:
    test = two_sample(REFERENCE, CURRENT, Inflation(4.0, 4.0, 620), rows=6_000_000)
    assert test.variance == pytest.approx(4 / 620 + 1 / 6000 + 3 / 6_000_000)


@pytest.mark.parametrize(
    ("reference", "current"),
    [([0, 0], [5, 5]), ([5, 5], [0, 0]), ([5, 0], [9, 0])],
    ids=["no reference", "no rows", "a single cell"],
)
def test_where_nothing_can_differ_nothing_is_significant(reference: list[int], current: list[int]) -> None:
    test = two_sample(np.array(reference), np.array(current))
    assert test.log_p == 0
    assert test.statistic == 0


def test_psi_by_chance() -> None:
    """A tenth at 50 rows of 10 bins is no drift: chance reaches it in most windows."""
    even = np.full(10, 1000)
    test = two_sample(even, np.full(10, 5))
    assert test.psi_by_chance(0.77) > 0.1
    assert test.psi_by_chance(0.05) == pytest.approx((1 / 10_000 + 1 / 50) * stats.chi2.isf(0.05, 9))
    assert NOTHING.psi_by_chance(0.05) == 0


@pytest.mark.parametrize("blocks", [20, 720])
def test_estimated_inflations_make_it_an_f_test(blocks: int) -> None:
    test = two_sample(REFERENCE, CURRENT, Inflation(1.0, 1.0, 620, blocks))
    assert math.exp(test.log_p) == pytest.approx(stats.f.sf(test.statistic / 2, 2, blocks - 1))
    expected = (1 / 6000 + 1 / 620) * 2 * stats.f.isf(1e-6, 2, blocks - 1)
    assert test.psi_by_chance(1e-6) == pytest.approx(expected)


def test_where_one_contrast_scatters_most_there_are_fewer_degrees() -> None:
    assert two_sample(REFERENCE, CURRENT, Inflation(8.0, 6.0, 620)).dof == pytest.approx(1.5)
    assert two_sample(REFERENCE, CURRENT, Inflation(8.0, 1.0, 620)).dof == 1


@pytest.mark.parametrize(
    ("scatter", "tail"), [((1, 1, 1), 1e-4), ((9, 1, 1, 1, 1, 1, 1, 1, 1), 1e-4), ((9, 8, 3, 1), 1e-3), ((5, 1), 1e-5)]
)
def test_the_degrees_bound_the_tail_of_the_true_mixture(scatter: tuple[float, ...], tail: float) -> None:
    random = np.random.default_rng(0)
    values = sum(each * random.chisquare(1, 1_000_000) for each in scatter) / max(scatter)
    cut = stats.chi2.isf(tail, sum(scatter) / max(scatter))
    assert (values > cut).mean() < tail + 5 * math.sqrt(tail / len(values))


@pytest.mark.parametrize(
    "figures", [(0.5,), (math.nan,), (math.inf,), (1, 2), (2, 0.5), (1, 1, -1), (1, 1, 5, 1), ("1",)]
)
def test_an_inflation_that_is_none_is_refused(figures: Any) -> None:
    with pytest.raises(ValueError, match="calibrate anew"):
        Inflation(*figures)


@pytest.mark.parametrize(("rows", "expected"), [(100, 3), (500, 3), (1000, 5), (5000, 21)])
def test_windows_that_are_larger_than_those_measured_may_scatter_more(rows: int, expected: float) -> None:
    inflation = Inflation(3.0, 2.0, 500, 20)
    assert inflation.at(rows).factor == expected
    assert inflation.at(rows).mean == 1 + (expected - 1) / 2
    assert inflation.effective(rows) == rows / expected
