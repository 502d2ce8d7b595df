"""How a variant differs from the stable: counts, shares and bounds, and that they go on after a restart."""

from typing import Any

import pytest

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
