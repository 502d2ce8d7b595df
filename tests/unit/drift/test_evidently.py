"""What Evidently 0.7.23's own functions said, on a numeric and a categorical feature."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from modelward_drift import evidently

ROWS = np.arange(1000)
REFERENCE = 2 * np.sin(0.7 * ROWS) + 0.1 * (ROWS % 17)
CURRENT = REFERENCE[:500] + 0.3
LABELS = list("aaaaabbbcc" * 50), list("aaaabbbbcc" * 20)


@pytest.mark.parametrize(
    ("metric", "golden"),
    [
        (evidently.psi, 0.11471813214280356),
        (evidently.kl, 0.058135012078659766),
        (evidently.js, 0.1167415599779179),
        (evidently.wasserstein, 0.20049272476425806),
        (evidently.ks_p_value, 0.022155825529241124),
        (evidently.hellinger, 0.11819659981102006),
    ],
)
def test_numeric(metric: Callable[[Any, Any], float], golden: float) -> None:
    assert metric(REFERENCE, CURRENT) == pytest.approx(golden, rel=1e-10)


@pytest.mark.parametrize(
    ("metric", "golden"),
    [
        (evidently.psi, 0.05108256237659909),
        (evidently.kl, 0.025267153921570557),
        (evidently.js, 0.07979472622921702),
        (evidently.chi2_p_value, 0.004827949993831439),
    ],
)
def test_categorical(metric: Callable[[Any, Any], float], golden: float) -> None:
    assert metric(*LABELS) == pytest.approx(golden, rel=1e-10)


def test_nulls_and_infinities_are_dropped() -> None:
    odd = [math.nan, math.inf, -math.inf]
    assert evidently.psi(np.append(REFERENCE, odd), np.append(CURRENT, odd)) == evidently.psi(REFERENCE, CURRENT)
    assert evidently.js([*LABELS[0], None, math.nan], LABELS[1]) == evidently.js(*LABELS)


def test_one_outlier_hides_the_drift_from_it() -> None:
    assert evidently.psi(REFERENCE, np.append(CURRENT, 1e6)) < 0.01


def test_few_distinct_numbers_are_categories() -> None:
    reference, current = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert evidently.psi(reference, current) == pytest.approx(2 * 0.25 * math.log(3) / 2)
    assert evidently.psi(np.array([1.0, 1.0]), np.array([1.0, 2.0])) == pytest.approx(
        (1 - 0.5) * math.log(1 / 0.5) + (1e-4 - 0.5) * math.log(1e-4 / 0.5)
    )


def test_new_categories_are_impossible_by_its_goodness_of_fit() -> None:
    assert evidently.chi2_p_value(["a"], ["b"]) == 0


@pytest.mark.parametrize(
    ("rows", "columns", "shift"), [(7, 11, 0.5), (50, 50, 0), (60, 40, 3), (300, 200, 0.2), (1, 1, 9)]
)
def test_the_exact_ks_test(rows: int, columns: int, shift: float) -> None:
    random = np.random.default_rng(4)
    x, y = random.normal(size=rows), random.normal(shift, 1, columns)
    expected = stats.ks_2samp(x, y, method="exact").pvalue
    assert evidently.ks_p_value(x, y) == pytest.approx(expected, rel=1e-9, abs=1e-12)
