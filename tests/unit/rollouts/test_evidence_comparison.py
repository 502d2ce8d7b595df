"""How a variant differs from the stable: counts, shares and bounds, and that they go on after a restart."""

from dataclasses import replace
from typing import Any

import pytest

from modelward.rollouts.evidence.by_users import ROWS, ByUsers
from modelward.rollouts.evidence.comparison import Totals, rendered, restored
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.statistics.outcomes import Outcomes, difference

NOTHING, NO_PAIRS = Counts(), Outcomes()
TOTALS = Totals(Counts(1000, 10, 900, 90), Counts(500, 15, 450, 36), Outcomes(200, 6))


def shown(totals: Totals) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in rendered(totals)}


def test_what_is_told() -> None:
    told = shown(TOTALS)
    assert list(told) == ["errorRate", "latency", "disagreement"]
    low, high = difference(Outcomes(1000, 10), Outcomes(500, 15), 0.05)
    assert told["errorRate"] == {
        "name": "errorRate",
        "stable": {"requests": 1000, "bad": 10}, "variant": {"requests": 500, "bad": 15},
        "difference": "+2.00%", "low": f"{low:+.2%}", "high": f"{high:+.2%}",
    }  # fmt: skip
    assert told["latency"]["difference"] == "-2.00%"
    assert told["disagreement"]["difference"] == "+3.00%"
    assert told["disagreement"]["variant"] == {"requests": 200, "bad": 6}
    assert "stable" not in told["disagreement"]


@pytest.mark.parametrize("name", ["errorRate", "latency", "disagreement"])
def test_the_difference_lies_within_its_bounds(name: str) -> None:
    told = shown(TOTALS)[name]
    low, middle, high = (float(told[key].rstrip("%")) for key in ("low", "difference", "high"))
    assert -100 <= low < middle < high <= 100


@pytest.mark.parametrize(
    ("totals", "measures"),
    [
        (Totals(), []),
        (Totals(stable=Counts(1000, 10, 1000, 10)), []),
        (Totals(variant=Counts(1000, 10, 1000, 10)), []),
        (Totals(Counts(10), Counts(10)), ["errorRate"]),
        (Totals(pairs=Outcomes(5, 0)), ["disagreement"]),
    ],
    ids=["nothing", "the stable alone", "the variant alone", "no objective for latency", "pairs alone"],
)
def test_only_what_was_seen_on_both_sides_is_told(totals: Totals, measures: list[str]) -> None:
    assert list(shown(totals)) == measures


def test_they_add_up_and_go_on_after_a_restart() -> None:
    more = Counts(10, 1, 9, 2), Counts(20, 2, 18, 3), Outcomes(7, 1)
    assert restored(rendered(TOTALS)) == TOTALS
    assert restored(rendered(TOTALS)).plus(*more) == TOTALS.plus(*more)
    assert TOTALS.plus(*more) == Totals(Counts(1010, 11, 909, 92), Counts(520, 17, 468, 39), Outcomes(207, 7))
    assert restored([]) == Totals()


def test_a_failure_that_is_counted_in_the_look_after_its_request_is_not_shown_before() -> None:
    told = shown(Totals(Counts(10, 12), Counts(10, 11)))["errorRate"]
    assert (told["stable"], told["variant"]) == ({"requests": 10, "bad": 10}, {"requests": 10, "bad": 10})


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "disagreement", "variant": {"requests": 1, "bad": 2}}, {"name": "errorRate", "stable": 7},
        {"name": "latency", "variant": {"requests": "many"}}, {"strange": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_can_not_be_read_begins_anew(broken: dict[str, Any]) -> None:
    assert restored([broken]) == Totals()


def rows(first: tuple[int, int], others: tuple[int, int] = (100, 0)) -> tuple[Counts, ...]:
    filled = [first, *[others] * (ROWS - 2), (0, 0)]
    return tuple(Counts(trials, bad, trials, bad) for trials, bad in filled)


def by_users(stable: tuple[Counts, ...], variant: tuple[Counts, ...]) -> Totals:
    counts = (sum(side, Counts()) for side in (stable, variant))
    return Totals().plus(*counts, Outcomes(), ByUsers(stable, variant))


def bounds(totals: Totals, name: str = "errorRate") -> tuple[float, float]:
    told = shown(totals)[name]
    return float(told["low"].rstrip("%")), float(told["high"].rstrip("%"))


@pytest.mark.parametrize("name", ["errorRate", "latency"])
def test_one_user_makes_no_difference_that_is_shown_where_users_stay(name: str) -> None:
    totals = by_users(rows((3000, 0), (3000, 0)), rows((3000, 3000), (3000, 0)))
    low, high = bounds(totals, name)
    assert low < 0 < high
    assert bounds(replace(totals, users=None), name)[0] > 2, "by requests it would be one"
    everybody = by_users(rows((3000, 0), (3000, 0)), rows((3000, 90), (3000, 90)))
    low, high = bounds(everybody, name)
    assert 2 < low < 3 < high < 4


def test_users_add_up_and_go_on_after_a_restart() -> None:
    totals = by_users(rows((7, 3)), rows((9, 1)))
    more = Counts(3200), Counts(3200), Outcomes(), ByUsers(rows((1, 1)), rows((2, 0)))
    assert restored(rendered(totals)) == totals
    assert totals.plus(*more).users == ByUsers(
        rows((8, 4), (200, 0)), rows((11, 1), (200, 0)),
    )  # fmt: skip
    assert TOTALS.plus(*more) == Totals(*more[:2], TOTALS.pairs, more[3]), "what no users are known of does not count"
    stored = [{**each, "users": {"stable": "1"}} for each in rendered(totals)]
    assert restored(stored) == replace(totals, users=None)


def test_what_never_reached_a_pod_is_compared_by_requests() -> None:
    totals = replace(by_users(rows((100, 0)), rows((100, 0))), variant=Counts(3200, 1600))
    assert bounds(totals)[0] > 40
