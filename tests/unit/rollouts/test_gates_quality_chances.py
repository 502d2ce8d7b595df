"""How often chance alone has the gate on outcomes roll back a candidate that the margin allows, and how soon a worse
one is found: by simulation, at all looks of a rollout of thirty days."""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest

from modelward.api.rollout import parse_rollout
from modelward.rollouts.gates.gate import Observation
from modelward.rollouts.gates.gates import FALSE_ROLLBACKS, Case, opened
from modelward.rollouts.gates.quality import Compared, Interval, OutcomeGate, OutcomeLook, OutcomesTold
from modelward.rollouts.gates.tested import NOT_SHOWN
from modelward.rollouts.statistics.spending import CAUTION, level_of, looks
from modelward_evaluate.pairs import Pair, sides
from modelward_evaluate.sums import Group
from modelward_quality.clustered import BUCKETS, errors, widened
from modelward_quality.confusion import Confusion
from modelward_quality.confusion import Pair as Counted
from modelward_quality.difference import difference
from modelward_quality.estimate import Estimate, estimate, wilson
from modelward_quality.moments import Moments
from modelward_quality.statistics import Statistics, values

HOUR, DAY = 3600.0, 86400.0
SMALLEST = 500


def test_looks_spend_no_more_than_there_is_and_hold_each_more_surely() -> None:
    spent = [(1 - level_of(0.01, look)) / 2 for look in range(1, 2000)]
    assert 0.0099 < sum(spent) * CAUTION <= 0.01
    assert spent == sorted(spent, reverse=True)
    assert level_of(1e-15, 1000) < 1


@pytest.mark.parametrize(
    ("elapsed", "due"),
    [
        (0, (None, 1)), (0.99, (None, 1)), (1, (1, 2)), (4.5, (4, 5)), (5, (5, 6.25)), (6.3, (6.25, 7.8125)),
        (-100, (None, 1)),
    ],
)  # fmt: skip
def test_looks_come_an_hour_apart_and_then_after_a_quarter_of_the_time(elapsed: float, due: tuple[Any, float]) -> None:
    last, following = looks(HOUR, elapsed * HOUR)
    assert (None if last is None else round(last), round(following)) == (
        None if due[0] is None else round(due[0] * HOUR), round(due[1] * HOUR),
    )  # fmt: skip


def schedule(days: float = 30.0) -> list[float]:
    """Seconds of the looks of a rollout."""
    found, at = list[float](), 0.0
    while at <= days * DAY:
        _, at = looks(HOUR, at)
        found.append(at)
    return found[:-1]


def test_a_month_has_few_looks() -> None:
    assert len(schedule()) == 27
    assert looks(300.0, 10 * 366 * DAY)[1] < 13 * 366 * DAY


def case(metric: str, margin: str, smallest: int = SMALLEST) -> Case:
    task = {"kind": "Classes", "label": "l", "positive": "1"}
    asked = {"task": task, "metrics": [{"name": metric, "margin": margin}], "minSamples": smallest}
    return opened(parse_rollout({"gates": {"quality": asked}}).gates, "a", "b", 1)


def judged(
    begun: Case, metric: str, at: Callable[[int, float], tuple[Estimate, Estimate]]
) -> Iterator[tuple[int, str]]:
    """The number of each look and the verdict. `at`: the values of candidate and stable at a look and a level."""
    so_far, alpha = begun, begun.alpha
    for slot, _ in enumerate(schedule()):
        (gate,) = so_far.gates
        assert isinstance(gate, OutcomeGate)
        number = gate.looks + 1
        gaps = [(one, difference(one, other)) for level in (level_of(alpha, number), level_of(NOT_SHOWN, number))
                for one, other in [at(slot, level)]]  # fmt: skip
        one, other = at(slot, 0.95)
        ends = [Interval(gap.low, gap.high) for _, gap in gaps]
        found = Compared(one.value, one.rows, other.value, other.rows, one.value - other.value, *ends)
        look = OutcomeLook(number, float(slot), float(slot), {metric: found})
        so_far = so_far.add(Observation(own={"quality": OutcomesTold(0.0, float(slot), look)}))
        (gate,) = so_far.gates
        assert isinstance(gate, OutcomeGate)
        yield slot, gate.verdict


def share_of(hits: int, rows: int, level: float) -> Estimate:
    return estimate(hits / rows, wilson(hits / rows, rows, level), rows)


def shares(
    rng: np.random.Generator, candidate: float, stable: float, rows: int
) -> Callable[[int, float], tuple[Estimate, Estimate]]:
    """Of a canary that gets a tenth, `rows` an hour."""
    hours = np.diff([0.0, *schedule()]) / HOUR
    own, others = (np.cumsum(np.maximum(1, hours * rows * factor)).astype(int) for factor in (1, 9))
    hits, other_hits = (np.cumsum(rng.binomial(np.diff([0, *n]), p)) for n, p in ((own, candidate), (others, stable)))
    return lambda slot, level: (
        share_of(int(hits[slot]), int(own[slot]), level), share_of(int(other_hits[slot]), int(others[slot]), level),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "candidate", "stable", "margin", "rows", "smallest"),
    [
        ("accuracy", 0.88, 0.9, "0.02", 40, 500), ("accuracy", 0.989, 0.999, "0.01", 200, 200),
        ("recall", 0.85, 0.9, "0.05", 5, 200), ("precision", 0.985, 0.99, "0.005", 60, 200),
    ],
)  # fmt: skip
def test_a_candidate_at_the_margin_is_rolled_back_in_one_of_a_hundred_rollouts_at_most(
    metric: str, candidate: float, stable: float, margin: str, rows: int, smallest: int
) -> None:
    rng, runs = np.random.default_rng(16), 1500
    begun = case(metric, margin, smallest)
    assert begun.alpha == FALSE_ROLLBACKS
    failed = sum(
        any(verdict == "Fail" for _, verdict in judged(begun, metric, shares(rng, candidate, stable, rows)))
        for _ in range(runs)
    )
    assert failed / runs <= FALSE_ROLLBACKS


def test_so_it_is_of_losses_that_are_skewed() -> None:
    """Squared errors of a regression: chi-squared, of which means are hardly normal among few."""
    rng, runs, metric = np.random.default_rng(17), 1000, "rmse"
    hours = np.diff([0.0, *schedule()]) / HOUR

    def sums(rows: int) -> list[Moments]:
        """After each look."""
        made = Moments()
        found = []
        for count in np.maximum(1, hours * rows).astype(int):
            spread = rng.chisquare(1, int(count))
            mean = float(spread.mean())
            made += Moments(int(count), float(count), float(count), mean, float(((spread - mean) ** 2).sum()))
            found.append(made)
        return found

    def root(found: Moments, level: float) -> Estimate:
        of = found.estimate(0.0, level=level)
        assert of is not None
        assert of.low is not None
        assert of.high is not None
        return estimate(math.sqrt(of.value), (math.sqrt(of.low), math.sqrt(of.high)), of.rows)

    failed = 0
    for _ in range(runs):
        own, other = sums(10), sums(90)
        failed += any(
            verdict == "Fail"
            for _, verdict in judged(
                case(metric, "0"), metric,
                lambda slot, level, own=own, other=other: (root(own[slot], level), root(other[slot], level)),
            )
        )  # fmt: skip
    assert failed / runs <= FALSE_ROLLBACKS


def test_one_that_is_clearly_worse_is_found_in_days_and_one_that_is_as_good_passes() -> None:
    rng, runs = np.random.default_rng(18), 100
    begun = case("accuracy", "0.02")

    def first(verdict: str, candidate: float) -> list[float]:
        times = schedule()
        found = []
        for _ in range(runs):
            run = judged(begun, "accuracy", shares(rng, candidate, 0.9, 40))
            found.append(next((times[slot] for slot, said in run if said == verdict), math.inf))
        return sorted(found)

    assert first("Fail", 0.8)[runs // 2] <= 1.5 * DAY
    assert first("Fail", 0.8)[-1] < math.inf
    assert first("Pass", 0.9)[runs // 2] <= 10 * DAY


def of_users(
    rng: np.random.Generator, users: int, part: float, alpha: float, beta: float, heavy: float
) -> tuple[bool, bool]:
    """Whether a candidate that is as good as the stable is rolled back: by rows, and by users. Traffic sticks: `part`
    of the users are the candidate's, for good. What is right of a user's rows is his own share (beta distributed), and
    how much he asks differs (log-normal, `heavy`)."""
    arm, bucket = (rng.random(users) >= part).astype(int), rng.integers(0, BUCKETS, users)
    share, asks = rng.beta(alpha, beta, users), rng.lognormal(0, heavy, users)
    rows, hits = np.zeros((2, BUCKETS)), np.zeros((2, BUCKETS))
    number, by_rows, by_users = 0, False, False
    for hours in np.diff([0.0, *schedule()]) / HOUR:
        count = rng.poisson(hours * 400 * asks / asks.sum())
        right = rng.binomial(count, share)
        for of in (0, 1):
            rows[of] += np.bincount(bucket[arm == of], count[arm == of], BUCKETS)
            hits[of] += np.bincount(bucket[arm == of], right[arm == of], BUCKETS)
        if rows.sum(1).min() < SMALLEST:
            continue
        number += 1
        level = level_of(FALSE_ROLLBACKS, number)
        own, other = (share_of(int(hits[of].sum()), int(rows[of].sum()), level) for of in (0, 1))
        gap = difference(own, other)
        assert gap.high is not None
        if gap.high >= 0:
            continue  # an interval of users is never narrower
        by_rows = True
        one, two = ([confusion(int(n), int(k)) for n, k in zip(rows[of], hits[of], strict=True)] for of in (0, 1))
        found, freedom = errors(one, two, None)
        wide = widened(gap, found["accuracy"], freedom, level)
        by_users = by_users or (wide.high is not None and wide.high < 0)
    return by_rows, by_users


@pytest.mark.parametrize(
    ("users", "part", "alpha", "beta", "heavy"),
    [(1000, 0.1, 9, 1, 0.5), (500, 0.1, 2.25, 0.25, 1.0)],
)
def test_where_traffic_sticks_users_keep_the_bound_that_rows_break(
    users: int, part: float, alpha: float, beta: float, heavy: float
) -> None:
    rng, runs = np.random.default_rng(20), 60
    found = [of_users(rng, users, part, alpha, beta, heavy) for _ in range(runs)]
    assert sum(by_rows for by_rows, _ in found) / runs > 5 * FALSE_ROLLBACKS
    assert sum(by_users for _, by_users in found) / runs <= FALSE_ROLLBACKS


def confusion(rows: int, rights: int) -> Statistics:
    pairs = (("0", rows - rights), ("1", rights))
    return Statistics(confusion=Confusion(tuple(
        Counted("1", label, count, float(count), float(count)) for label, count in pairs if count
    )))  # fmt: skip


def test_days_that_are_hard_harm_no_candidate_whose_share_grows() -> None:
    """Requests of the second day are harder, and the candidate has half of these and a twentieth of the others. Hour by
    hour it is as good as the stable; of sums alone it would be rolled back nearly always."""
    rng, runs, start = np.random.default_rng(19), 150, datetime(2026, 3, 1, tzinfo=UTC)
    level = level_of(FALSE_ROLLBACKS, 3)
    pair = Pair(name="candidate", revision="b", arm="candidate", against="a", begin=start, levels=(level,))
    failed = {"by hours": 0, "of sums": 0}
    for _ in range(runs):
        found = []
        for hour in range(48):
            share, right = (0.05, 0.9) if hour < 24 else (0.5, 0.8)
            at = str((start + timedelta(hours=hour)).replace(tzinfo=None))
            for revision, arm, part in (("b", "candidate", share), ("a", "stable", 1 - share)):
                rows = int(rng.poisson(200 * part)) + 1
                found.append(Group(at, revision, arm, "", "", confusion(rows, int(rng.binomial(rows, right)))))
        both = sides(found, pair)
        assert both is not None
        whole = [reduce(add, (each.statistics for each in found if each.revision == of)) for of in ("b", "a")]
        for name, (one, other) in (("by hours", (both.arm, both.stable)), ("of sums", tuple(whole))):
            gap = difference(values(one, "1", level)["accuracy"], values(other, "1", level)["accuracy"])
            assert gap.high is not None
            failed[name] += gap.high < -0.005
    assert failed["by hours"] <= 1
    assert failed["of sums"] > runs * 0.8
