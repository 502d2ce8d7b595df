"""False alarms by simulation: budgets are kept for independent and for correlated rows, and not by a fixed cut.

The budgets are large, so that seconds suffice to see them kept or broken; `make bench-drift` takes those of practice.
"""

import math

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import beta

from modelward_drift.arrays import Array
from modelward_drift.building.bootstrap import inflation
from modelward_drift.judging.budget import Budget
from modelward_drift.judging.significance import two_sample
from modelward_drift.profiles.bins import quantile_grid
from modelward_drift.profiles.inflation import Inflation

ROWS, WINDOWS, LOOKS = 200, 100, 100
FEATURES = 40
"""Each with a reference of its own."""

BUDGET = Budget(0.02 * LOOKS, features=1, looks_per_30_days=LOOKS)
ALLOWED = BUDGET.per_30_days / LOOKS
"""Of all windows."""


def upper95(alarms: int, tests: int) -> float:
    """Clopper and Pearson's upper limit of a share."""
    return float(beta.ppf(0.95, alarms + 1, tests - alarms))


def counts(values: Array, edges: Array) -> Array:
    """(windows, bins) of ROWS successive values each."""
    bins = len(edges) + 1
    cells = np.searchsorted(edges, values, side="right") + bins * (np.arange(len(values)) // ROWS)
    return np.bincount(cells, minlength=bins * (len(values) // ROWS)).reshape(-1, bins)


def alarms(correlation: float, *, calibrate: bool) -> int:
    """Of FEATURES times LOOKS windows that are no different from their reference: an AR(1) process."""
    random = np.random.default_rng(11)
    found = 0
    for _ in range(FEATURES):
        noise = random.standard_normal(ROWS * (WINDOWS + LOOKS) + 1000) * math.sqrt(1 - correlation**2)
        values = lfilter([1], [1, -correlation], noise)[1000:]
        reference, live = values[: ROWS * WINDOWS], values[ROWS * WINDOWS :]
        edges = np.array(quantile_grid(reference).edges)
        windows = counts(reference, edges)
        measured = inflation(windows) if calibrate else Inflation()
        tests = (two_sample(windows.sum(axis=0), each, measured) for each in counts(live, edges))
        found += sum(test.log_p <= math.log(BUDGET.alpha) for test in tests)
    return found


def test_independent_rows() -> None:
    """Two in a hundred: neither more nor, without need, many fewer."""
    found = alarms(0.0, calibrate=False)
    assert upper95(found, FEATURES * LOOKS) <= ALLOWED
    assert found >= 0.5 * ALLOWED * FEATURES * LOOKS


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_correlated_rows(correlation: float) -> None:
    assert upper95(alarms(correlation, calibrate=True), FEATURES * LOOKS) <= ALLOWED


def test_correlated_rows_without_calibration_break_the_budget() -> None:
    assert alarms(0.9, calibrate=False) > 10 * ALLOWED * FEATURES * LOOKS
