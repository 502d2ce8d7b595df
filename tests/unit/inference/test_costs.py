"""What is cheap enough for the event loop."""

import pytest

from modelward_inference.costs import INLINE_BUDGET, RETRY, Costs

QUICK, SLOW = INLINE_BUDGET / 10, INLINE_BUDGET * 10


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_cheap_that_was_never_measured(clock: Clock) -> None:
    assert Costs(clock).cheap_size == -1


def test_what_is_smaller_than_something_cheap_is_cheap(clock: Clock) -> None:
    costs = Costs(clock)
    costs.threaded(100, QUICK)
    assert costs.cheap_size >= 100
    costs.threaded(10_000, SLOW)
    assert 100 <= costs.cheap_size < 10_000


def test_one_slow_measurement_bars_nothing_several_do(clock: Clock) -> None:
    costs = Costs(clock)
    costs.threaded(100, QUICK)
    costs.inline(100, SLOW)
    assert costs.cheap_size >= 100
    for _ in range(3):
        costs.inline(100, SLOW)
    assert costs.cheap_size < 100


def test_what_was_barred_is_tried_again_later(clock: Clock) -> None:
    costs = Costs(clock)
    costs.threaded(100, QUICK)
    for _ in range(4):
        costs.inline(100, SLOW)
    costs.threaded(100, QUICK)
    assert costs.cheap_size < 100, "too soon"
    clock.now += RETRY
    costs.threaded(100, QUICK)
    assert costs.cheap_size >= 100
