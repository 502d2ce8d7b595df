"""Differences by users: what the jackknife says against exact formulas, and that it says nothing of a few users."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from modelward_quality.beta import student
from modelward_quality.clustered import BUCKETS, effective, errors, widened
from modelward_quality.confusion import Confusion, Pair
from modelward_quality.estimate import estimate
from modelward_quality.moments import moments
from modelward_quality.scores import scores
from modelward_quality.statistics import Statistics


def rights(hits: Any, rows: Any) -> list[Statistics]:
    """Of buckets with so many rows and right answers."""
    return [
        Statistics(confusion=Confusion(tuple(
            Pair("1", label, int(n), float(n), float(n)) for label, n in (("0", all_ - right), ("1", right)) if n
        )))
        for right, all_ in zip(hits, rows, strict=True)
    ]  # fmt: skip


def worths(rng: np.random.Generator, users: int, each: int, common: float) -> list[Statistics]:
    """Of buckets of users whose rows have something in common."""
    of_bucket = users // BUCKETS
    return [
        Statistics(
            worth=moments((common * rng.normal(size=(of_bucket, 1)) + rng.normal(size=(of_bucket, each))).ravel())
        )
        for _ in range(BUCKETS)
    ]


@pytest.mark.parametrize("freedom", [1.0, 7.3, 31.0, 63.0, 5000.0])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.99, 1 - 1e-6, 1 - 1e-11])
def test_quantiles_are_those_of_students_distribution(freedom: float, level: float) -> None:
    assert student(level, freedom) == pytest.approx(
        stats.t.isf((1 - level) / 2, freedom), rel=1e-4 if freedom == 1 else 1e-7
    )


@pytest.mark.parametrize("common", [0.0, 0.5, 2.0])
def test_errors_are_as_wide_as_users_leave_them(common: float) -> None:
    """The variance of a mean of users of `each` rows: (common² + 1 / each) / users."""
    rng, users, each = np.random.default_rng(3), 1920, 10
    found = [errors(worths(rng, users, each, common), worths(rng, users, each, common), None) for _ in range(10)]
    truth = np.sqrt(2 * (common**2 + 1 / each) / users)
    assert np.mean([each["worth"] for each, _ in found]) == pytest.approx(truth, rel=0.08)
    assert min(freedom for _, freedom in found) > 60


def test_of_copies_what_both_arms_have_in_common_is_no_doubt() -> None:
    rng, rows = np.random.default_rng(4), np.full(BUCKETS, 200)
    hits = rng.binomial(rows, rng.beta(5, 1, BUCKETS))
    alone, _ = errors(rights(hits, rows), rights(rng.permutation(hits), rows), None)
    copies, _ = errors(rights(hits, rows), rights(hits - 2, rows), None)
    assert copies["accuracy"] < alone["accuracy"] / 50


def test_every_value_that_is_made_of_sums_has_an_error() -> None:
    rng = np.random.default_rng(5)

    def arm() -> list[Statistics]:
        made = []
        for _ in range(BUCKETS):
            truth, score = rng.random(40) < 0.4, rng.random(40)
            made.append(Statistics(scores=scores(score, truth), brier=moments((score - truth) ** 2)))
        return made

    found, _ = errors(arm(), arm(), "1")
    # Of an AUC of noise, by Hanley and McNeil 1982.
    n, m = 40 * 0.4 * BUCKETS, 40 * 0.6 * BUCKETS
    assert found["rocAuc"] == pytest.approx(np.sqrt(2 * (n + m + 1) / (12 * n * m)), rel=0.35)
    assert found["brier"] > 0


def test_a_few_users_say_nothing() -> None:
    rows = np.zeros(BUCKETS, int)
    rows[:5] = 1000
    few, many = rights(rows // 2, rows), rights(np.full(BUCKETS, 50), np.full(BUCKETS, 100))
    assert effective(few) == pytest.approx(5)
    found, freedom = errors(few, many, None)
    gap = estimate(0.1, (0.05, 0.15), 100)
    assert widened(gap, found["accuracy"], freedom, 0.95).low is None
    assert effective([Statistics()] * BUCKETS) == 0.0


def test_one_heavy_user_is_one_user() -> None:
    rows = np.full(BUCKETS, 10)
    rows[0] = 10_000
    assert effective(rights(rows // 2, rows)) < 1.2


def test_an_interval_is_never_narrower_than_that_of_rows() -> None:
    gap = estimate(0.1, (0.0, 0.2), 100)
    assert widened(gap, 1e-9, 60.0, 0.95) == gap
    wide = widened(gap, 1.0, 60.0, 0.95)
    assert wide.low is not None
    assert wide.low < -1.5
    assert widened(estimate(0.1, None, 100), 0.1, 60.0, 0.95).low is None
    assert widened(gap, None, 60.0, 0.95).low is None
