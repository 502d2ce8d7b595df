"""Verdicts by users: how far the shares of buckets of users lie apart, and when that is too little to say anything."""

import math
import random

import pytest

from modelward.rollouts.statistics.clustered import BUCKETS, difference, effective, is_enough, log_evidence
from modelward.rollouts.statistics.outcomes import Outcomes


def arm(*shares: float, trials: int = 100) -> list[Outcomes]:
    return [Outcomes(trials, round(share * trials)) for share in shares]


GOOD = arm(*[0.0] * BUCKETS)
FAILS = math.log(200)


def test_one_bucket_that_always_fails_proves_nothing_however_often_it_asks() -> None:
    for trials in (100, 10_000, 1_000_000):
        candidate = [*arm(*[0.0] * (BUCKETS - 1), trials=trials), Outcomes(trials, trials)]
        assert log_evidence(GOOD, candidate, 0.01, worse=True) < math.log(2)


def test_two_of_few_prove_nothing_and_all_of_many_do() -> None:
    assert log_evidence(GOOD, arm(1.0, 1.0), 0.01, worse=True) < FAILS
    assert log_evidence(GOOD, arm(*[1.0] * 8), 0.01, worse=True) > FAILS
    assert log_evidence(GOOD, arm(*[0.3, 0.4] * 8), 0.01, worse=True) > FAILS


def test_users_who_are_alike_are_judged_nearly_as_requests_are() -> None:
    """Twenty thousand answers by chance, 1 % of them bad, 5 % of the candidate's."""
    draw = random.Random(5)

    def by_chance(share: float) -> list[Outcomes]:
        return [Outcomes(300, sum(draw.random() < share for _ in range(300))) for _ in range(BUCKETS)]

    assert log_evidence(by_chance(0.01), by_chance(0.05), 0.01, worse=True) > FAILS
    assert log_evidence(by_chance(0.01), by_chance(0.01), 0.01, worse=True) < 0
    assert log_evidence(by_chance(0.01), by_chance(0.01), 0.05, worse=False) > math.log(20)


def test_only_one_side_of_the_margin_has_evidence() -> None:
    bad = arm(*[0.5, 0.6] * 16)
    assert log_evidence(GOOD, bad, 0.01, worse=False) == -math.inf
    assert log_evidence(bad, GOOD, 0.01, worse=True) == -math.inf
    assert log_evidence(bad, GOOD, 0.01, worse=False) > FAILS


@pytest.mark.parametrize("candidate", [[], arm(1.0), [Outcomes()] * BUCKETS])
def test_nobody_or_one_says_nothing(candidate: list[Outcomes]) -> None:
    for worse in (True, False):
        assert log_evidence(GOOD, candidate, 0.01, worse=worse) == -math.inf
        assert log_evidence(candidate, GOOD, 0.01, worse=worse) == -math.inf
    assert not is_enough(GOOD, candidate)


def test_a_heavy_user_makes_few_of_many() -> None:
    heavy = [*arm(*[0.0] * 31), Outcomes(100_000, 0)]
    assert effective(GOOD) == BUCKETS
    assert effective(heavy) < 2
    assert effective([]) == 0
    assert is_enough(GOOD, arm(*[0.0] * 8))
    assert not is_enough(heavy, GOOD)
    assert not is_enough(GOOD, heavy)


def test_at_one_look_it_is_an_e_value() -> None:
    """For buckets that differ by chance, the evidence against a true null is 1 on average, at most."""
    draw, values = random.Random(7), []
    for _ in range(3000):
        sides = [[Outcomes(10_000, round(10_000 * draw.gauss(0.3, 0.05))) for _ in range(12)] for _ in range(2)]
        values.append(math.exp(log_evidence(sides[0], sides[1], 0.0, worse=True)))
    assert sum(values) / len(values) <= 1.0
    assert sum(each >= 100 for each in values) / len(values) <= 0.01


def test_bounds_are_the_margins_that_are_not_refuted() -> None:
    good, bad = arm(*[0.01, 0.03] * 16, trials=1000), arm(*[0.05, 0.07] * 16, trials=1000)
    middle, low, high = difference(good, bad, 0.05)
    assert middle == pytest.approx(0.04)
    assert low < middle < high
    for margin, worse in ((low, True), (high, False)):
        assert log_evidence(good, bad, margin, worse=worse) == pytest.approx(math.log(20), rel=1e-6)
    assert difference(good, good, 0.05)[1] < 0 < difference(good, good, 0.05)[2]


@pytest.mark.parametrize("few", [[], arm(1.0), arm(0.0, 1.0)])
def test_few_users_bound_nothing(few: list[Outcomes]) -> None:
    assert difference(GOOD, few, 0.05)[1:] == (-1.0, 1.0)
    assert difference(few, GOOD, 0.05)[1:] == (-1.0, 1.0)


def test_an_arm_without_the_users_that_fail_does_not_seem_sure_to_be_better() -> None:
    """Ten of the stable's groups of users always fail, none of the candidate's fewer: so it may be by chance."""
    some = [*arm(*[1.0] * 10, trials=1000), *arm(*[0.0] * 22, trials=1000)]
    few = arm(*[0.0] * 16, trials=1000)
    assert log_evidence(some, few, 0.01, worse=False) < math.log(20)
    middle, low, high = difference(some, few, 0.05)
    assert middle == pytest.approx(-10 / 32)
    assert low < 0 < high
    # What differs within both alike is a difference.
    assert difference(arm(*[0.3, 0.33] * 16, trials=1000), arm(*[0.01, 0.02] * 8, trials=1000), 0.05)[2] < 0
