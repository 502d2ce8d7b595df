"""Budgets and decisions."""

import re
from typing import Any

import numpy as np
import pytest

from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.counts import zero
from modelward_drift.errors import SettingError
from modelward_drift.judging.budget import CAUTION, Budget, Persistence
from modelward_drift.judging.statistic import measure
from modelward_drift.judging.verdict import Decision, Outcome, Rule, decide, persists
from modelward_drift.metrics.registry import METRICS

REFERENCE = np.random.default_rng(1).normal(size=50_000)
PROFILE = profile_of("amount", "numeric", REFERENCE)


def decided(rows: int, shift: float, rule: Rule, metric: str = "psi") -> Decision:
    values = np.random.default_rng(2).normal(shift, 1, rows)
    (statistic,) = measure(PROFILE, count(PROFILE, values), [metric])
    return decide(statistic, rule)


@pytest.mark.parametrize(
    ("rows", "shift", "rule", "outcome"),
    [
        (500, 0.0, Rule(0.1, 1e-6), "BelowThreshold"),
        (20, 0.0, Rule(0.1, 1e-6), "NotSignificant"),
        (20, 0.0, Rule(0.1, 1.0), "Drifted"),
        (500, 1.0, Rule(0.1, 1e-6), "Drifted"),
        (500, 1.0, Rule(9.9, 1e-6), "BelowThreshold"),
        (100_000, 0.05, Rule(0.1, 1e-6), "BelowThreshold"),
        (100_000, 0.05, Rule(0.0, 1e-6), "Drifted"),
        (499, 1.0, Rule(0.1, 1e-6, min_rows=500), "TooFewRows"),
    ],
)
def test_effect_and_significance(rows: int, shift: float, rule: Rule, outcome: Outcome) -> None:
    decision = decided(rows, shift, rule)
    assert decision.outcome == outcome
    assert decision.drifted == (outcome == "Drifted")


@pytest.mark.parametrize(
    ("rows", "shift", "rule", "message"),
    [
        (500, 0.0, Rule(0.5, 1e-6), "over 500 rows, below 0.5"),
        (50, 0.0, Rule(0.0, 1e-6), "by chance once in .* windows, and the budget allows one in 1e\\+06"),
        (500, 2.0, Rule(0.1, 1e-6), "at least 0.1, and not by chance"),
        (5, 0.0, Rule(0.1, 1e-6, min_rows=500), "over 5 rows, of 500 that a verdict needs"),
    ],
)
def test_messages(rows: int, shift: float, rule: Rule, message: str) -> None:
    sentence = decided(rows, shift, rule).message
    assert sentence.startswith("amount: psi ")
    assert re.search(message, sentence)


@pytest.mark.parametrize("metric", METRICS)
def test_cuts_separate_what_the_test_separates(metric: str) -> None:
    """In the metric's own unit; for ordered metrics the cut is an upper bound."""
    rule = Rule(0.0, 1e-4)
    for shift in (0.0, 0.05, 0.1, 1.0):
        decision = decided(2000, shift, rule, metric)
        if decision.statistic.value > 1.2 * decision.cut:
            assert decision.drifted
        if decision.drifted and not METRICS[metric].ordered:
            assert decision.statistic.value > decision.cut / 1.2


def test_an_empty_window_is_no_drift() -> None:
    (statistic,) = measure(PROFILE, zero(PROFILE))
    assert decide(statistic, Rule(0.0, 0.5)).outcome == "TooFewRows"


def test_a_budget_is_spent_evenly() -> None:
    budget = Budget(0.05, features=20, metrics=2, looks_per_30_days=720)
    assert budget.tests == 28_800
    assert budget.alpha * budget.tests == pytest.approx(0.05 / CAUTION)


@pytest.mark.parametrize(("needed", "windows", "share"), [(1, 1, 1), (2, 3, 2 / 3), (3, 3, 1), (1, 4, 1 / 4)])
def test_persistence_is_worth_no_lower_cut(needed: int, windows: int, share: float) -> None:
    budget = Budget(0.05, 20, persistence=Persistence(needed, windows))
    assert budget.alpha == pytest.approx(Budget(0.05, 20).alpha * share)


@pytest.mark.parametrize(
    ("drifts", "expected"), [("", False), ("xx", True), ("x.x", True), ("x..x", False), ("xx.", True), ("xx..", False)]
)
def test_two_of_three_windows(drifts: str, expected: bool) -> None:
    drift, calm = decided(500, 1.0, Rule(0.1, 1e-6)), decided(500, 0.0, Rule(0.1, 1e-6))
    decisions = [drift if each == "x" else calm for each in drifts]
    assert persists(decisions, Persistence(2, 3)) is expected


@pytest.mark.parametrize(
    "build",
    [
        lambda: Budget(0, 1),
        lambda: Budget(-1, 1),
        lambda: Budget(0.05, 0),
        lambda: Budget(0.05, 1, metrics=0),
        lambda: Budget(0.05, 1, looks_per_30_days=0),
        lambda: Budget(1000, 1),
        lambda: Budget(float("nan"), 1),
        lambda: Persistence(0, 1),
        lambda: Persistence(3, 2),
        lambda: Rule(-0.1, 0.01),
        lambda: Rule(float("nan"), 0.01),
        lambda: Rule(0.1, 0),
        lambda: Rule(0.1, 0.01, 0),
    ],
)
def test_settings_that_make_no_sense_are_refused(build: Any) -> None:
    with pytest.raises(SettingError):
        build()
