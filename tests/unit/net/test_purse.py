"""What a namespace may cost, by itself."""

import pytest

from modelward.net.purse import BYTES, BYTES_EACH, SECONDS, SECONDS_EACH, SOON, WAIT, Purse

FULL = Purse().now(0.0)


def test_a_pod_that_answers_soon_costs_nothing_and_is_asked_whatever_its_neighbours_do() -> None:
    poor = Purse(seconds=0.0, at=0.0)
    left = poor.asked(suspect=False)
    assert left is not None
    assert left.answered(SOON, 0, suspect=False, in_vain=False) == poor


@pytest.mark.parametrize(("seconds", "in_vain", "costs"), [(2.0, True, 2.0), (0.1, True, 0.1), (1.9, False, 0.9)])
def test_waiting_costs_and_comes_back_with_time(seconds: float, in_vain: bool, costs: float) -> None:
    after = FULL.answered(seconds, 0, suspect=False, in_vain=in_vain)
    assert after.seconds == pytest.approx(SECONDS - costs)
    assert after.now(costs / SECONDS_EACH).seconds == pytest.approx(SECONDS)
    assert after.now(1e9).seconds == SECONDS


def test_suspects_at_once_take_no_more_than_there_is() -> None:
    purse, asked = FULL, 0
    while (left := purse.asked(suspect=True)) is not None:
        purse, asked = left, asked + 1
    assert asked == SECONDS / WAIT
    for _ in range(asked):
        purse = purse.answered(WAIT, 0, suspect=True, in_vain=True)
    assert purse.seconds == 0.0
    assert purse.asked(suspect=True) is None
    assert purse.now(WAIT / SECONDS_EACH).asked(suspect=True) is not None


def test_a_suspect_that_answers_gets_back_what_was_put_aside() -> None:
    left = FULL.asked(suspect=True)
    assert left is not None
    assert left.answered(0.0, 0, suspect=True, in_vain=False) == FULL


def test_many_that_fall_silent_at_once_leave_no_debt() -> None:
    purse = FULL
    for _ in range(1000):
        purse = purse.answered(WAIT, 0, suspect=False, in_vain=True)
    assert purse.seconds == 0.0


def test_bytes_are_bounded_for_everybody_and_come_back() -> None:
    spent = FULL.answered(0.0, BYTES, suspect=False, in_vain=False)
    assert spent.asked(suspect=False) is None
    assert spent.asked(suspect=True) is None
    assert spent.now(1 / BYTES_EACH).asked(suspect=False) is not None
    assert spent.now(1e9).size == BYTES


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    poor = Purse(0.0, 0.0, 100.0)
    assert (poor.now(100.0).seconds, poor.now(50.0).size) == (0.0, 0.0)
