"""Concept drift: the budget of false alarms is kept, and a rise is found, with its size and its beginning."""

from dataclasses import astuple
from math import inf, nan

import numpy as np
import pytest

from modelward_quality import confusion
from modelward_quality.errors import QualityError
from modelward_quality.moments import Moments, moments
from modelward_quality.shift import Cohort, Shift, _log_evidence, shift
from modelward_quality.statistics import Statistics, losses_of

ROWS = 500


def cohort(random: np.random.Generator, name: str, share: float, apart: float = 0.0, rows: int = ROWS) -> Cohort:
    """Of 0/1 losses; `apart`: the standard deviation of the share over days."""
    found = random.binomial(rows, np.clip(share + apart * random.normal(), 0.001, 0.999)) / rows
    return Cohort(name, Moments(rows, rows, rows, found, rows * found * (1 - found)))


def cohorts(seed: int, days: int, share: float = 0.1, apart: float = 0.0, first: int = 0) -> list[Cohort]:
    random = np.random.default_rng((seed, first))
    return [cohort(random, f"day {each}", share, apart) for each in range(first, first + days)]


def alarm(reference: list[Cohort], later: list[Cohort], budget: float) -> tuple[int, Shift] | None:
    """The first day on which who looks each day is alarmed."""
    for day in range(len(later)):
        found = shift(reference, later[: day + 1], budget)
        if found is not None and found.alarm:
            return day, found
    return None


@pytest.mark.parametrize(("days", "apart"), [(7, 0.0), (14, 0.01), (5, 0.02)])
def test_false_alarms_stay_within_the_budget_however_often_one_looks(days: int, apart: float) -> None:
    """At one in 60 days, half a month's 120 days would see 86 of 100 alarmed where the budget were just used up."""
    runs = [
        alarm(cohorts(seed, days, apart=apart), cohorts(seed, 120, apart=apart, first=days), 0.5) for seed in range(40)
    ]
    assert sum(each is not None for each in runs) <= 10, "and the promise is kept with room"


def test_an_e_value_is_one_on_average_where_nothing_changes() -> None:
    random, spread, scale = np.random.default_rng(1), 0.3, 0.4
    rises = random.normal(0, np.sqrt(spread), 200_000)
    assert np.exp(_log_evidence(rises, np.full_like(rises, spread), scale)).mean() == pytest.approx(1.0, abs=0.02)
    far = _log_evidence(np.array([-4.999, -5.001, -50.0]) * np.sqrt(spread), np.full(3, spread), scale)
    assert np.isfinite(far).all()
    assert (np.diff(far) < 0).all(), "and falls smoothly with what speaks against a rise"


def test_a_rise_is_found_with_its_size_and_its_beginning() -> None:
    later = [*cohorts(3, 20, first=14), *cohorts(3, 30, share=0.15, first=34)]
    found = alarm(cohorts(3, 14), later, 0.05)
    assert found is not None
    day, told = found
    assert 20 <= day <= 25, "some days after it began"
    assert told.since in ("day 33", "day 34", "day 35")
    assert told.low < 0.05 < told.high
    assert told.before == pytest.approx(0.1, abs=0.01)
    assert told.rows == ROWS * (day + 14 - int(told.since.split()[1]) + 1)


def test_a_fall_and_what_does_not_matter_are_no_alarm() -> None:
    better = cohorts(4, 60, share=0.05, first=14)
    assert alarm(cohorts(4, 14), better, 0.5) is None
    worse = cohorts(4, 60, share=0.12, first=14)
    assert alarm(cohorts(4, 14), worse, 0.5) is not None
    found = shift(cohorts(4, 14), worse, 0.5, margin=0.05)
    assert found is not None
    assert not found.alarm


def test_more_tests_share_the_budget_and_longer_cohorts_are_fewer_looks() -> None:
    reference, later = cohorts(5, 7), cohorts(5, 3, first=7)
    needed = {
        (tests, days): found.needed
        for tests in (1, 10)
        for days in (1.0, 7.0)
        if (found := shift(reference, later, 0.05, days, tests))
    }
    assert needed[1, 1.0] == pytest.approx(600)
    assert needed[10, 1.0] == pytest.approx(6000)
    assert needed[1, 7.0] == pytest.approx(600 / 7)


def test_days_with_few_rows_wait_for_others() -> None:
    random = np.random.default_rng(6)
    few = [cohort(random, f"day {each}", 0.5, rows=10) for each in range(20)]
    assert shift(cohorts(6, 7), few[:2], 0.05) is None
    found = shift(cohorts(6, 7), few, 0.05)
    assert found is not None
    assert found.alarm, "but are not lost: half of 200 rows are wrong"
    assert found.since == "day 0"


def test_numbers_of_any_size_and_weights() -> None:
    random = np.random.default_rng(7)

    def day(name: str, mean: float) -> Cohort:
        return Cohort(name, moments(np.abs(random.normal(mean, mean, 300)), random.uniform(0.5, 2, 300)))

    for unit in (1e-9, 1.0, 1e12):
        reference = [day(f"r{each}", unit) for each in range(10)]
        assert alarm(reference, [day(str(each), unit) for each in range(20)], 0.05) is None
        assert alarm(reference, [day(str(each), 2 * unit) for each in range(20)], 0.05) is not None


@pytest.mark.parametrize(
    ("reference", "later"), [(0, 9), (2, 9), (7, 0)], ids=["no reference", "too short a reference", "nothing since"]
)
def test_too_little_says_nothing(reference: int, later: int) -> None:
    assert shift(cohorts(8, reference), cohorts(8, later, first=reference), 0.05) is None


PERFECT = [Cohort(f"day {each}", Moments(ROWS, ROWS, ROWS, 0.0, 0.0)) for each in range(30)]


def test_losses_that_never_differ_and_have_no_bound_say_nothing() -> None:
    assert shift(PERFECT[:10], PERFECT[10:], 0.05) is None


@pytest.mark.parametrize("mistakes", [0.0, 1e-6, 1e-3])
def test_a_model_that_hardly_ever_erred_and_has_become_a_coin_toss_is_an_alarm_on_the_second_day(
    mistakes: float,
) -> None:
    spread = ROWS * mistakes * (1 - mistakes)
    before = [Cohort(each.name, Moments(ROWS, ROWS, ROWS, mistakes, spread)) for each in PERFECT]
    quiet = shift(before[:14], before[14:], 0.05, largest=1.0)
    assert quiet is not None
    assert not quiet.alarm
    toss = [Cohort(f"day {each}", Moments(ROWS, ROWS, ROWS, 0.5, ROWS / 4)) for each in (30, 31)]
    found = shift(before[:14], [*before[14:], *toss], 0.05, largest=1.0)
    assert found is not None
    assert found.alarm
    assert found.since == "day 30"
    assert found.rise == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("share", [1e-4, 1e-3, 0.01])
def test_of_a_model_that_seldom_errs_false_alarms_stay_within_the_budget(share: float) -> None:
    """A reference of 7,000 rows has often seen no mistake at all."""
    runs = 0
    for seed in range(30):
        random = np.random.default_rng(seed)
        days = []
        for day in range(134):
            found = random.binomial(ROWS, share) / ROWS
            days.append(Cohort(f"day {day}", Moments(ROWS, ROWS, ROWS, found, ROWS * found * (1 - found))))
        runs += any(
            (told := shift(days[:14], days[14 : 14 + last], 0.5, largest=1.0)) is not None and told.alarm
            for last in range(1, 121)
        )
    assert runs <= 3, "of 30, of which 26 would be alarmed within 120 days where the budget were just used up"


@pytest.mark.parametrize(
    "wrong", [{"budget": 0.0}, {"budget": nan}, {"budget": inf}, {"days": 0.0}, {"tests": 0}, {"margin": -1.0}]
)
def test_a_budget_is_needed(wrong: dict[str, float]) -> None:
    with pytest.raises(QualityError, match="budget"):
        shift([], [], **{"budget": 0.05, **wrong})  # type: ignore[arg-type]


def test_which_loss_is_watched() -> None:
    table = confusion.confusion(["a", "a", "b", "b"], ["a", "b", "b", "b"], [1.0, 2.0, 1.0, 1.0])
    losses = losses_of(Statistics(confusion=table))
    assert losses is not None
    assert astuple(losses) == pytest.approx(astuple(moments([0, 1, 0, 0], [1.0, 2.0, 1.0, 1.0])))
    brier = moments([0.1, 0.2])
    assert losses_of(Statistics(confusion=table, brier=brier)) == brier
    ndcg = losses_of(Statistics(ndcg=moments([0.5, 1.0])))
    assert ndcg is not None
    assert (ndcg.mean, ndcg.spread) == (0.25, 0.125)
    assert losses_of(Statistics()) is None
