"""Counts add up, go over the wire, and refuse what is not theirs."""

from typing import Any

import numpy as np
import pytest

from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.counts import Counts, quality, usual, zero
from modelward_drift.errors import MismatchError, ProfileError

PROFILE = profile_of("x", "numeric", [0, 1, 2])
OTHER = profile_of("x", "numeric", [0, 1, 2, 2])


def test_a_later_state_less_an_earlier_one_is_what_came_between() -> None:
    first, second = count(PROFILE, [0, 1, None, "a"]), count(PROFILE, [2, 9])
    assert (first + second) - first == second


def test_a_counter_that_began_anew_is_no_later_state() -> None:
    with pytest.raises(MismatchError, match="began anew"):
        _ = zero(PROFILE) - count(PROFILE, [1])


@pytest.mark.parametrize("operation", [Counts.__add__, Counts.__sub__])
def test_counts_of_another_reference_are_refused(operation: Any) -> None:
    with pytest.raises(MismatchError, match="same reference"):
        operation(count(PROFILE, [1]), zero(OTHER))


def test_there_and_back() -> None:
    counts = count(PROFILE, [0, 5, None, "a"])
    assert Counts.from_dict(counts.to_dict(), PROFILE) == counts


@pytest.mark.parametrize(
    "change",
    [
        {"cells": [1, 2]},
        {"cells": [-1] * 8},
        {"cells": [0.5] * 8},
        {"cells": [True] * 8},
        {"cells": [2**63] * 8},
        {"cells": None},
        {"quality": ["a"] * 4},
        {"quality": []},
    ],
)
def test_what_can_be_no_counts_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProfileError, match="whole numbers from 0"):
        Counts.from_dict(zero(PROFILE).to_dict() | change, PROFILE)


@pytest.mark.parametrize("raw", [{}, None, [], zero(OTHER).to_dict()])
def test_what_has_another_digest_is_refused(raw: Any) -> None:
    with pytest.raises(MismatchError, match="earlier reference"):
        Counts.from_dict(raw, PROFILE)


def test_counts_are_equal_by_what_they_hold() -> None:
    assert zero(PROFILE) == zero(PROFILE)
    assert zero(PROFILE) != zero(OTHER)
    assert zero(PROFILE) != count(PROFILE, [1])
    assert zero(PROFILE).cells.dtype == np.int64


def test_what_is_usual_by_the_reference() -> None:
    random = np.random.default_rng(5)
    numbers = random.normal(size=400)
    profiles = [
        profile_of("x", "numeric", [*numbers, *[None] * 100]),
        profile_of("city", "categorical", [*(["bern", "graz"] * 20), *[None] * 10]),
    ]
    expected = usual(profiles)
    assert (expected["missing"], expected["non_finite"], expected["type_errors"]) == (0.2 + 0.2, 0.0, 0.0)
    # Of many rows of the same world, as many lie beyond the extremes of 500 as it says (here 500 references).
    beyond = [
        quality(count(profile_of("x", "numeric", random.normal(size=500)), random.normal(size=1000))).out_of_range
        for _ in range(500)
    ]
    of_500 = usual([profile_of("x", "numeric", random.normal(size=500))])["out_of_range"]
    assert np.mean(beyond) / 1000 == pytest.approx(of_500, rel=0.15)
