"""The report on a long-lived variant."""

from modelward.domain.comparison import Totals, rendered, restored
from modelward.domain.outcomes import Outcomes
from modelward.domain.tally import Counts


def test_only_what_was_seen_is_reported() -> None:
    assert rendered(Totals()) == []
    errors = Totals().plus(Counts(1000, 10), Counts(500, 5), Outcomes())
    assert [each["name"] for each in rendered(errors)] == ["errorRate"]
    everything = errors.plus(Counts(0, 0, 1000, 10), Counts(0, 0, 500, 50), Outcomes(100, 20))
    assert [each["name"] for each in rendered(everything)] == ["errorRate", "latency", "disagreement"]


def test_the_bounds_hold_the_difference_and_narrow_with_more_requests() -> None:
    def width(times: int) -> float:
        (shown,) = rendered(Totals(Counts(1000 * times, 10 * times), Counts(1000 * times, 30 * times)))
        low, middle, high = (float(shown[key].rstrip("%")) for key in ("low", "difference", "high"))
        assert low < middle == 2.0 < high
        return high - low

    assert width(100) < width(10) < width(1)


def test_totals_survive_the_status() -> None:
    totals = Totals(Counts(1000, 10, 990, 7), Counts(500, 5, 480, 9), Outcomes(100, 20))
    assert restored(rendered(totals)) == totals
