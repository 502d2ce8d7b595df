"""What is short enough for the event loop, by a given clock and given measurements."""

from modelward_inference.costs import INLINE_BUDGET, RETRY, Costs

SHORT, LONG = INLINE_BUDGET / 2, INLINE_BUDGET * 2


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_known_to_be_cheap_at_first() -> None:
    assert Costs().cheap_size == -1


def test_a_size_that_was_short_is_cheap_and_what_is_smaller_too() -> None:
    costs = Costs()
    costs.threaded(5, SHORT)
    assert costs.cheap_size == 7  # of the same class of powers of two


def test_a_size_that_was_never_measured_is_not_cheap() -> None:
    costs = Costs()
    costs.threaded(1, SHORT)
    assert costs.cheap_size == 1
    costs.threaded(1000, LONG)
    assert costs.cheap_size == 1


def test_what_is_larger_than_something_long_is_not_cheap() -> None:
    costs = Costs()
    costs.threaded(100, LONG)
    costs.threaded(1000, SHORT)
    costs.threaded(10, SHORT)
    assert costs.cheap_size == 15


def test_exactly_the_budget_is_cheap() -> None:
    costs = Costs()
    costs.threaded(1, INLINE_BUDGET)
    assert costs.cheap_size == 1


def test_nothing_at_all_has_a_class_of_its_own() -> None:
    costs = Costs()
    costs.threaded(0, SHORT)
    assert costs.cheap_size == 0


def test_one_slow_measurement_bars_nothing_and_several_do() -> None:
    costs = Costs()
    costs.threaded(100, SHORT)
    for _ in range(2):
        costs.inline(100, LONG)
        assert costs.cheap_size == 127
    costs.inline(100, LONG)
    assert costs.cheap_size == -1


def test_slow_ones_now_and_then_bar_nothing() -> None:
    costs = Costs()
    costs.threaded(100, SHORT)
    for number in range(100):
        costs.inline(100, SHORT if number % 4 else LONG)
        assert costs.cheap_size == 127


def barred(clock: Clock) -> Costs:
    costs = Costs(clock)
    costs.threaded(10, SHORT)
    costs.threaded(100, SHORT)
    while costs.cheap_size == 127:
        costs.inline(100, LONG)
    return costs


def test_smaller_sizes_stay_cheap_where_a_larger_one_is_barred() -> None:
    assert barred(Clock()).cheap_size == 15


def test_a_barred_size_is_tried_again_after_a_while() -> None:
    clock = Clock()
    costs = barred(clock)
    clock.now = RETRY - 1
    costs.threaded(100, SHORT)
    assert costs.cheap_size == 15
    clock.now = RETRY
    costs.threaded(100, SHORT)
    assert costs.cheap_size == 127


def test_a_barred_size_that_is_still_long_stays_barred() -> None:
    clock = Clock()
    costs = barred(clock)
    clock.now = RETRY
    costs.threaded(100, LONG)
    assert costs.cheap_size == 15
