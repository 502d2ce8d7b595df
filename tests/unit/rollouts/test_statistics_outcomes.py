"""Counted answers, and the bounds that people are shown."""

import numpy as np
import pytest

from modelward.rollouts.statistics.outcomes import Outcomes, difference


def test_outcomes_add_up() -> None:
    assert Outcomes(10, 1) + Outcomes(30, 2) + Outcomes() == Outcomes(40, 3)
    assert Outcomes(40, 3).share == 0.075
    assert Outcomes().share is None


@pytest.mark.parametrize(("trials", "bad"), [(1, 2), (-1, -1), (5, -1)])
def test_impossible_outcomes_are_refused(trials: int, bad: int) -> None:
    with pytest.raises(ValueError, match="0 <= bad <= trials"):
        Outcomes(trials, bad)


@pytest.mark.parametrize(
    ("stable", "candidate", "low", "high"),
    [
        (Outcomes(), Outcomes(100, 1), -1, 1),
        (Outcomes(100, 1), Outcomes(), -1, 1),
        (Outcomes(1, 0), Outcomes(1, 1), -1, 1),
        # Where it is narrowest for its time: information 92,000, half-width one percentage point.
        (Outcomes(10**9, 2 * 10**7), Outcomes(1850, 37), -0.0095, 0.0105),
        # Later it narrows a little slower than the interval of one look, 1.96 standard errors: here 3.7 of them.
        (Outcomes(10**6, 2 * 10**4), Outcomes(10**6, 3 * 10**4), 0.0092, 0.0108),
    ],
)
def test_bounds_of_the_difference(stable: Outcomes, candidate: Outcomes, low: float, high: float) -> None:
    assert difference(stable, candidate) == pytest.approx((low, high), abs=1e-4)


def test_bounds_are_nearest_to_those_of_a_single_look_at_one_percentage_point() -> None:
    def price(answers: int) -> float:
        low, high = difference(Outcomes(10**12, 2 * 10**10), Outcomes(answers, answers // 50))
        return (high - low) * answers**0.5

    assert price(1850) < min(price(925), price(3700))


def test_bounds_are_wider_the_surer_they_are_and_swap_with_the_arms() -> None:
    stable, candidate = Outcomes(5000, 50), Outcomes(500, 10)
    low, high = difference(stable, candidate)
    wide_low, wide_high = difference(stable, candidate, alpha=0.001)
    assert wide_low < low < high < wide_high
    assert difference(candidate, stable) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("stable", "candidate"), [(0.001, 0.001), (0.001, 0.006), (0.01, 0.01), (0.2, 0.25)])
def test_bounds_hold_at_all_looks_together(stable: float, candidate: float) -> None:
    """200 times twenty minutes of a look every two seconds, at a weight of 5 % of 50 requests a second."""
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(200):
        bad = rng.binomial((95, 5), (stable, candidate), (600, 2)).cumsum(axis=0).tolist()
        for look, (bad_s, bad_c) in enumerate(bad, start=1):
            low, high = difference(Outcomes(95 * look, bad_s), Outcomes(5 * look, bad_c))
            if not low <= candidate - stable <= high:
                missed += 1
                break
    assert missed <= 0.05 * 200
