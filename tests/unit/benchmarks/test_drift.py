"""The simulation of false alarms looks closely only where an alarm may be: it must pass over none."""

from collections.abc import Callable
from math import log

import numpy as np
import pytest

from benchmarks.drift import false_alarms
from benchmarks.drift.false_alarms import Feature, Result
from modelward_drift.significance import two_sample


@pytest.mark.parametrize("feature", [false_alarms.independent, false_alarms.correlated])
def test_no_alarm_is_passed_over(feature: Callable[[np.random.Generator], Feature]) -> None:
    reference, windows, measured = feature(np.random.default_rng(1))
    moved = np.linspace(0, 1, len(windows))[:, None]
    drifting = np.floor(windows * (1 - moved)).astype(np.int64)
    drifting[:, 0] += false_alarms.ROWS - drifting.sum(axis=1)
    one_by_one = sum(two_sample(reference, each, measured).log_p <= log(false_alarms.BUDGET.alpha) for each in drifting)
    assert false_alarms._alarms(reference, drifting, measured) == one_by_one > 0


def test_rates() -> None:
    assert Result(100, 0, 0).upper95 == pytest.approx(1 - 0.05 ** (1 / 100))
    assert Result(10, 10, 12).upper95 == 1
    assert Result(10, 2, 5).rate == 0.2
