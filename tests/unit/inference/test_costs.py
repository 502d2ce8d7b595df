"""What is short enough for the event loop, by a given clock and given measurements."""

import random

import pytest

from modelward_inference.engine.costs import HELD, INLINE_BUDGET, LEAST, LONGEST_RETRY, MOST, RETRY, WAIT, Costs, Sample

SHORT, LONG = INLINE_BUDGET / 2, INLINE_BUDGET * 2


def took(cpu: float, wall: float | None = None, *, interrupted: bool = False) -> Sample:
    return Sample(cpu, cpu if wall is None else wall, interrupted)


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


def test_a_model_that_is_long_goes_to_threads_after_some_requests() -> None:
    costs = Costs()
    costs.threaded(100, SHORT)
    for _ in range(LEAST - 2):
        costs.inline(100, took(LONG))
        assert costs.cheap_size == 127
    costs.inline(100, took(LONG))
    assert costs.cheap_size == -1


@pytest.mark.parametrize("sample", [took(HELD), took(1.0), took(10e-6, WAIT), took(10e-6, 1.0)])
def test_one_that_holds_the_loop_for_long_goes_after_three(sample: Sample) -> None:
    costs = Costs()
    costs.threaded(100, SHORT)
    for _ in range(2):
        costs.inline(100, sample)
        assert costs.cheap_size == 127
    costs.inline(100, sample)
    assert costs.cheap_size == -1


def test_one_that_is_very_long_now_and_then_goes_as_well() -> None:
    costs = Costs()
    costs.threaded(100, SHORT)
    for number in range(99):
        costs.inline(100, took(HELD if number % 40 == 39 else SHORT))
    assert costs.cheap_size == 127
    for number in range(21):
        costs.inline(100, took(HELD if number == 20 else SHORT))
    assert costs.cheap_size == -1


def test_slow_ones_now_and_then_bar_nothing() -> None:
    costs = Costs()
    costs.threaded(100, SHORT)
    for number in range(100):
        costs.inline(100, took(SHORT if number % 4 else LONG))
        assert costs.cheap_size == 127


@pytest.mark.parametrize("share", [0.05, 0.10])
@pytest.mark.parametrize("together", [1, 3, 8])
@pytest.mark.parametrize("seed", range(5))
def test_cold_caches_of_a_busy_machine_never_send_a_short_model_away(share: float, together: int, seed: int) -> None:
    drawn = random.Random(seed)
    costs = Costs()
    costs.threaded(30, 50e-6)
    for _ in range(20_000 // together):
        cold = drawn.random() < share
        for _ in range(together):  # what is computed just after a pause is slow a few times in a row
            cpu = drawn.uniform(220e-6, 350e-6) if cold else drawn.uniform(45e-6, 80e-6)
            costs.inline(30, took(cpu, cpu + (drawn.uniform(0, 0.1) if cold and drawn.random() < 0.1 else 0)))
        assert costs.cheap_size == 31


def test_what_an_interruption_explains_says_nothing_of_the_model() -> None:
    costs = Costs()
    costs.threaded(30, 50e-6)
    for _ in range(1000):
        costs.inline(30, took(350e-6, 0.1, interrupted=True))
        costs.inline(30, took(50e-6, 0.1, interrupted=True))
    assert costs.cheap_size == 31
    assert len(costs._classes[5].seconds) == 1
    for _ in range(3):  # and so a model that waits is found out by those that were not interrupted
        costs.inline(30, took(50e-6, 0.1))
    assert costs.cheap_size == -1


def test_an_interruption_does_not_excuse_a_model_that_is_really_long() -> None:
    costs = Costs()
    costs.threaded(30, 50e-6)
    for _ in range(LEAST):
        costs.inline(30, took(0.005, 0.1, interrupted=True))
    assert costs.cheap_size == -1


def test_what_is_short_all_the_same_counts_though_interrupted() -> None:
    costs = Costs()
    costs.threaded(30, 50e-6)
    for number in range(400):
        costs.inline(30, took(SHORT, 0.01, interrupted=True) if number % 2 else took(LONG))
    assert costs.cheap_size == 31


def test_the_loop_may_be_held_for_as_long_as_the_hop_takes() -> None:
    costs = Costs()
    costs.threaded(30, 290e-6)
    assert costs.cheap_size == -1
    for seconds in (50e-6, 320e-6, 310e-6, 5.0, 330e-6):
        costs.hop(seconds)
    assert costs.budget == 320e-6
    costs.threaded(30, 290e-6)
    assert costs.cheap_size == 31


@pytest.mark.parametrize(("hop", "budget"), [(1e-6, INLINE_BUDGET), (0.1, MOST)])
def test_the_hop_counts_within_limits(hop: float, budget: float) -> None:
    costs = Costs()
    costs.hop(hop)
    assert costs.budget == budget


def test_the_time_of_a_size_is_that_of_the_next_smaller_one_in_proportion() -> None:
    costs = Costs()
    assert costs.estimate(100) == 0.0
    costs.threaded(10, 0.5)
    assert [costs.estimate(size) for size in (1, 8, 15, 16, 100)] == [0.0, 0.5, 0.5, 1.0, 4.0]


def barred(clock: Clock) -> Costs:
    costs = Costs(clock)
    costs.threaded(10, SHORT)
    costs.threaded(100, SHORT)
    bar(costs)
    return costs


def bar(costs: Costs) -> None:
    while costs.cheap_size == 127:
        costs.inline(100, took(LONG))


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


def tried_after(clock: Clock, costs: Costs) -> float:
    """Seconds until the barred size is tried in the loop again."""
    began = clock.now
    while costs.cheap_size != 127:
        clock.now += 1.0
        costs.threaded(100, SHORT)
    return clock.now - began


def test_a_size_that_turns_out_long_again_and_again_is_tried_ever_more_rarely() -> None:
    clock = Clock()
    costs = barred(clock)
    waits = [tried_after(clock, costs)]
    while len(waits) < 10:
        bar(costs)
        waits.append(tried_after(clock, costs))
    assert waits == [min(RETRY * 2**number, LONGEST_RETRY) for number in range(10)]


def test_a_size_that_was_short_for_long_is_tried_as_soon_as_at_first() -> None:
    clock = Clock()
    costs = barred(clock)
    tried_after(clock, costs)
    clock.now += 2 * RETRY
    bar(costs)
    assert tried_after(clock, costs) == RETRY
