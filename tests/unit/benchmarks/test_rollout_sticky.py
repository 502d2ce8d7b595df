"""The simulation of sticky users, and in a short form what it has to show: one bad user rolls nothing back."""

import numpy as np
import pytest

from benchmarks.rollout.sticky import BUCKETS, Users, failures, looks, outcomes, table, total

HALF = np.full(20, 0.5)


def test_users_stay_on_their_side_and_in_their_bucket() -> None:
    users = Users("", 40, 1.0, bad=0.1, others=0.0)
    stable, candidate = (sum(each) for each in zip(*looks(users, HALF, np.random.default_rng(3)), strict=True))
    bad = [np.count_nonzero(arm[1]) for arm in (stable, candidate)]
    assert 1 <= sum(bad) <= 4, "the four that are always bad, each in its bucket"
    assert all(each.bad <= each.trials for each in outcomes(candidate))
    assert total(candidate).bad == sum(each.bad for each in outcomes(candidate))


def test_a_growing_candidate_takes_users_and_gives_none_back() -> None:
    asked = [
        np.count_nonzero(candidate[0])
        for _, candidate in looks(Users("", 500, 0.0), np.array([0.0, 0.2, 1.0]), np.random.default_rng(1))
    ]
    assert asked[0] == 0
    assert 0 < asked[1] <= asked[2] <= BUCKETS


@pytest.mark.parametrize(
    "users",
    [
        Users("one always bad", 50, 0.0, 1 / 50), Users("two, and heavy users", 50, 1.5, 2 / 50),
        Users("many", 300, 1.5, 0.1), Users("few users", 20, 1.5, 0.3),
    ],
    ids=lambda users: users.name,
)  # fmt: skip
def test_bad_users_of_one_side_roll_nothing_back(users: Users) -> None:
    found = failures(users, 12, 3.0)
    assert found["failed_by_requests"] > 0, "by requests they would"
    assert found["failed_by_users"] == 0


def test_a_candidate_that_is_worse_for_everybody_still_fails() -> None:
    found = failures(Users("", 300, 1.0, worse=0.5), 5, 3.0)
    assert found["failed_by_users"] == 5


def test_the_tables() -> None:
    row = failures(Users("a few", 50, 0.0, 1 / 50), 2, 0.2)
    told = table([row], [row], 0.2)
    assert "| a few" in told
    assert told.count("###") == 2
