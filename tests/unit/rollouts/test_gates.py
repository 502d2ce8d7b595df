"""What the gates say of a candidate, and how their evidence goes on."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from modelward.api.rollout import FAIL, HOLD, PASS, Disagreement, ErrorRate, Gates, Latency, Metric, Refusals
from modelward.facts import Judgement
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.gates.gates import Case, heard, judge, limits, opened, rendered
from modelward.rollouts.gates.query import Reading
from modelward.rollouts.statistics.outcomes import Outcomes

A, B = "fraud-a", "fraud-b"
ERRORS = Gates(ErrorRate("1%"))
SLOW = Gates(latency=Latency("60ms", "2%"))
REFUSING = Gates(refusals=Refusals("1%"))
ANSWERS = Gates(disagreement=Disagreement("5%"))
REVENUE = Metric("revenue", 'sum(revenue{revision="$candidate"})', min="10", max="20")
BUSINESS = Gates(metrics=(REVENUE,))
EVERYTHING = Gates(ErrorRate("1%"), Latency("60ms"), Disagreement("5%"), (REVENUE,))

GOOD, HIGH, NONE = Reading(15.0), Reading(25.0), Reading()
NOTHING, NO_PAIRS = Counts(), Outcomes()
IN_TIME, LATE = 1800.0, 1800.1


def look(
    case: Case,
    stable: Counts = NOTHING,
    candidate: Counts = NOTHING,
    pairs: Outcomes = NO_PAIRS,
    *readings: Reading,
    times: int = 1,
) -> Case:
    """The case after looks that each find this; each reading is one more look."""
    for _ in range(times):
        case = heard(case, {A: stable, B: candidate}, pairs, {})
    for reading in readings:
        case = heard(case, {}, Outcomes(), {"revenue": reading})
    return case


def errors(
    stable: tuple[int, int] = (1000, 10), candidate: tuple[int, int] = (1000, 10), times: int = 1, gates: Gates = ERRORS
) -> Case:
    return look(opened(gates, A, B, 1), Counts(*stable), Counts(*candidate), times=times)


def timed(stable: tuple[int, int], candidate: tuple[int, int]) -> Case:
    return look(opened(SLOW, A, B, 1), Counts(timed=stable[0], slow=stable[1]), Counts(0, 0, *candidate))


def compared(trials: int, bad: int) -> Case:
    return look(opened(ANSWERS, A, B, 1), pairs=Outcomes(trials, bad))


def asked(*readings: Reading, gates: Gates = BUSINESS) -> Case:
    return look(opened(gates, A, B, 1), NOTHING, NOTHING, NO_PAIRS, *readings)


def said(judgement: Judgement) -> str:
    """In a word, and why."""
    if judgement.failed is not None:
        assert not judgement.passed
        assert judgement.waits_for is None
        return f"Fail: {judgement.failed}"
    assert judgement.passed is (judgement.waits_for is None)
    return "Pass" if judgement.passed else f"Wait: {judgement.waits_for}"


BAD_NEWS = (
    "Fail: errorRate: 30 of 100 (30.00%) errors, against 1 of 100 (1.00%) of the stable; that is worse than 1% allows"
)
BAD_SOON = (
    "Fail: errorRate: 15 of 20 (75.00%) errors, against 0 of 20 (0.00%) of the stable; that is worse than 1% allows"
)
UNDECIDED = (
    "Wait: errorRate: 20 of 1,000 (2.00%) errors, against 10 of 1,000 (1.00%) of the stable; not decided yet"
)  # fmt: skip

STEPS: dict[str, tuple[Case, Gates, dict[str, Any], str]] = {
    # what: (case, gates, how it is judged, what is said)
    "no gates": (opened(Gates(), A, B, 1), Gates(), {}, "Pass"),
    "nothing seen": (opened(ERRORS, A, B, 1), ERRORS, {}, "Wait: errorRate: 0 of 100 requests"),
    "too few of the candidate": (errors(candidate=(99, 0)), ERRORS, {}, "Wait: errorRate: 99 of 100 requests"),
    "too few of the stable": (errors(stable=(99, 0)), ERRORS, {}, "Wait: errorRate: 99 of 100 requests"),
    "enough of both": (errors((100, 1), (100, 1)), ERRORS, {}, "Pass"),
    "undecided, but another step comes": (errors(candidate=(1000, 20)), ERRORS, {}, "Pass"),
    "undecided, and promotion comes": (errors(candidate=(1000, 20)), ERRORS, {"final": True}, UNDECIDED),
    "undecided for too long": (errors(candidate=(1000, 20)), ERRORS, {"final": True, "elapsed": LATE}, "Pass"),
    "undecided until the very end": (
        errors(candidate=(1000, 20)), ERRORS, {"final": True, "elapsed": IN_TIME}, UNDECIDED,
    ),
    "decided": (errors(times=20), ERRORS, {"final": True}, "Pass"),
    "bad": (errors((100, 1), (100, 30)), ERRORS, {}, BAD_NEWS),
    "bad before there are enough samples": (
        errors((20, 0), (20, 15)), ERRORS, {},
        BAD_SOON,
    ),
    "bad, also for who gets nothing now": (errors((100, 1), (100, 30)), ERRORS, {"asked": False}, BAD_NEWS),
    "bad, however late, and whatever is to become of a gate without data": (
        errors((20, 0), (20, 15)), replace(ERRORS, on_no_data=PASS), {"elapsed": LATE},
        BAD_SOON,
    ),
    "who is asked nothing is not waited for": (opened(ERRORS, A, B, 1), ERRORS, {"asked": False}, "Pass"),
    "who is asked nothing does not fail for want of data": (
        opened(ERRORS, A, B, 1), replace(ERRORS, on_no_data=FAIL), {"asked": False, "elapsed": LATE}, "Pass",
    ),
    "the model refuses more": (
        look(opened(REFUSING, A, B, 1), Counts(0, 0, 0, 0, 100, 1), Counts(0, 0, 0, 0, 100, 30)), REFUSING, {},
        "Fail: refusals: 30 of 100 (30.00%) requests that the model refused, against 1 of 100 (1.00%) of the stable; "
        "that is worse than 1% allows",
    ),
    "the model refuses as much": (
        look(opened(REFUSING, A, B, 1), Counts(answered=100, refused=9), Counts(answered=100, refused=9)), REFUSING, {},
        "Pass",
    ),
    "what fails is not what is refused": (
        look(opened(REFUSING, A, B, 1), Counts(100, 0), Counts(100, 90)), REFUSING, {},
        "Wait: refusals: 0 of 100 requests",
    ),
    "no data, hold": (errors(candidate=(3, 0)), ERRORS, {"elapsed": LATE}, "Wait: errorRate: 3 of 100 requests"),
    "no data, pass": (errors(candidate=(3, 0)), replace(ERRORS, on_no_data=PASS), {"elapsed": LATE}, "Pass"),
    "no data, fail": (
        errors(candidate=(3, 0)), replace(ERRORS, on_no_data=FAIL), {"elapsed": LATE},
        "Fail: errorRate: 3 of 100 requests after 30m",
    ),
    "no data yet, pass": (
        errors(candidate=(3, 0)), replace(ERRORS, on_no_data=PASS), {"elapsed": IN_TIME},
        "Wait: errorRate: 3 of 100 requests",
    ),
    "no data yet, fail": (
        errors(candidate=(3, 0)), replace(ERRORS, on_no_data=FAIL), {"elapsed": IN_TIME},
        "Wait: errorRate: 3 of 100 requests",
    ),
    "slower": (
        timed((1000, 10), (1000, 200)), SLOW, {},
        "Fail: latency: 200 of 1,000 (20.00%) slower answers, against 10 of 1,000 (1.00%) of the stable; that is worse "
        "than 2% over 75ms allows",
    ),
    "as slow as the stable": (timed((1000, 900), (1000, 900)), SLOW, {}, "Pass"),
    "other answers": (
        compared(500, 100), ANSWERS, {},
        "Fail: disagreement: 100 of 500 (20.00%) answers differ from the stable's; that is worse than 5% allows",
    ),
    "the same answers": (compared(500, 0), ANSWERS, {"final": True}, "Pass"),
    "too few pairs": (compared(99, 0), ANSWERS, {}, "Wait: disagreement: 99 of 100 requests"),
    "not asked yet": (opened(BUSINESS, A, B, 1), BUSINESS, {}, "Wait: revenue: not asked yet"),
    "a good value": (asked(GOOD), BUSINESS, {"final": True}, "Pass"),
    "one bad value": (
        asked(HIGH), BUSINESS, {}, "Wait: revenue: 25, wanted: at least 10 and at most 20",
    ),
    "a bad value says something, however late": (
        asked(GOOD, HIGH), replace(BUSINESS, on_no_data=PASS), {"elapsed": LATE},
        "Wait: revenue: 25, wanted: at least 10 and at most 20",
    ),
    "a bad value is not yet a failure, however late": (
        asked(GOOD, HIGH), replace(BUSINESS, on_no_data=FAIL), {"elapsed": LATE},
        "Wait: revenue: 25, wanted: at least 10 and at most 20",
    ),
    "bad values in a row": (
        asked(HIGH, NONE, HIGH, Reading(-1.5)), BUSINESS, {},
        "Fail: revenue: -1.5, wanted: at least 10 and at most 20, 3 times in a row",
    ),
    "bad values, but not in a row": (asked(HIGH, HIGH, GOOD, HIGH, HIGH, GOOD), BUSINESS, {}, "Pass"),
    "a query without data": (asked(NONE), BUSINESS, {}, "Wait: revenue: the query gives no data"),
    "a query whose value is no number": (
        asked(Reading(math.nan)), BUSINESS, {}, "Wait: revenue: the query gives no data",
    ),
    "a query that can't be asked": (
        asked(Reading(error="Prometheus can't be reached")), BUSINESS, {}, "Wait: revenue: Prometheus can't be reached",
    ),
    "a query without data, hold": (
        asked(NONE), BUSINESS, {"elapsed": LATE}, "Wait: revenue: the query gives no data",
    ),
    "a query without data, pass": (asked(NONE), replace(BUSINESS, on_no_data=PASS), {"elapsed": LATE}, "Pass"),
    "a query without data, fail": (
        asked(NONE), replace(BUSINESS, on_no_data=FAIL), {"elapsed": LATE},
        "Fail: revenue: the query gives no data after 30m",
    ),
    "a query without data after a bad value, pass": (
        asked(HIGH, NONE), replace(BUSINESS, on_no_data=PASS), {"elapsed": LATE}, "Pass",
    ),
    "a query holds up also who is asked nothing": (
        asked(NONE), BUSINESS, {"asked": False}, "Wait: revenue: the query gives no data",
    ),
    "all that is waited for": (
        opened(EVERYTHING, A, B, 1), EVERYTHING, {},
        "Wait: errorRate: 0 of 100 requests; latency: 0 of 100 requests; disagreement: 0 of 100 requests; "
        "revenue: not asked yet",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STEPS)
def test_judgement(case: str) -> None:
    evidence, gates, how, expected = STEPS[case]
    assert said(judge(evidence, gates, **{"elapsed": 60.0, "final": False, **how})) == expected


def test_bounds_of_zero_are_bounds() -> None:
    case = opened(Gates(metrics=(Metric("m", "q", min="0"), Metric("n", "q", max="0"))), A, B, 1)
    assert [query.bounds for query in case.queries] == ["at least 0", "at most 0"]


@pytest.mark.parametrize(
    ("case", "number"),
    [
        (opened(Gates(), A, B, 1), 0),
        (errors(candidate=(700, 0)), 700),
        (look(opened(EVERYTHING, A, B, 1), Counts(9, 0, 9, 0), Counts(700, 0, 700, 0), Outcomes(300, 0)), 300),
        (look(opened(EVERYTHING, A, B, 1), Counts(9, 0, 9, 0), Counts(700, 0, 700, 0)), 0),
    ],
    ids=["no gates", "requests", "pairs, where answers are compared", "no pairs yet"],
)
def test_how_many_were_compared(case: Case, number: int) -> None:
    assert judge(case, Gates(), 0.0, final=False).compared == number


def test_a_failure_that_is_counted_in_the_look_after_its_request_does_no_harm() -> None:
    assert rendered(errors(candidate=(0, 3)))[0]["candidate"] == {"requests": 0, "bad": 0}


def test_the_chance_of_a_false_rollback_is_divided_among_the_gates() -> None:
    assert opened(ERRORS, A, B, 1).alpha == 0.01
    assert opened(EVERYTHING, A, B, 1).alpha == pytest.approx(0.01 / 3)
    assert opened(BUSINESS, A, B, 1).alpha == 0.01


SEEN = look(
    opened(EVERYTHING, A, B, 1), Counts(1000, 10, 1000, 20), Counts(300, 4, 300, 5), Outcomes(250, 3), HIGH, HIGH,
    times=7,
)  # fmt: skip


def again(gates: Gates, case: Case = SEEN) -> dict[str, Mapping[str, Any]]:
    """What the gates know that go on with what the status holds, by name."""
    return {each["name"]: each for each in rendered(opened(gates, A, B, 1, rendered(case)))}


def test_what_is_stored_goes_on_as_it_was() -> None:
    before = {each["name"]: each for each in rendered(SEEN)}
    assert before["errorRate"] == {
        "name": "errorRate", "limit": "1%", "verdict": "Inconclusive",
        "message": "28 of 2,100 (1.33%) errors, against 70 of 7,000 (1.00%) of the stable",
        "stable": {"requests": 7000, "bad": 70}, "candidate": {"requests": 2100, "bad": 28},
        "against": before["errorRate"]["against"], "supports": before["errorRate"]["supports"],
    }  # fmt: skip
    assert "stable" not in before["disagreement"]
    assert before["revenue"]["failures"] == 2
    after = again(EVERYTHING)
    statistics = ("errorRate", "latency", "disagreement")
    assert {name: after[name] for name in statistics} == {name: before[name] for name in statistics}
    assert after["revenue"] == {**before["revenue"], "message": "not asked yet"}


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        (replace(EVERYTHING, min_samples=7, max_duration="1h", on_no_data=FAIL), set()),
        (replace(EVERYTHING, error_rate=ErrorRate("2%")), {"errorRate"}),
        (replace(EVERYTHING, latency=Latency("70ms")), set()),  # judged at the same bound
        (replace(EVERYTHING, latency=Latency("80ms")), {"latency"}),
        (replace(EVERYTHING, latency=Latency("60ms", "3%")), {"latency"}),
        (replace(EVERYTHING, disagreement=Disagreement("4%")), {"disagreement"}),
        (replace(EVERYTHING, metrics=(replace(REVENUE, max="30"),)), {"revenue"}),
        (replace(EVERYTHING, metrics=(replace(REVENUE, query="other"),)), {"revenue"}),
        (replace(EVERYTHING, metrics=(replace(REVENUE, failure_limit=5),)), set()),
    ],
)
def test_only_what_has_another_limit_begins_anew(changed: Gates, anew: set[str]) -> None:
    nothing = {each["name"]: each for each in rendered(opened(changed, A, B, 1))}
    before, after = again(EVERYTHING), again(changed)
    assert {name for name in after if after[name] == nothing[name]} == anew
    assert all(after[name] == before[name] for name in after.keys() - anew)


def test_gates_come_and_go_in_the_middle_of_a_rollout() -> None:
    assert list(again(ERRORS)) == ["errorRate"]
    added = again(EVERYTHING, errors(times=3))
    assert added["errorRate"]["candidate"] == {"requests": 3000, "bad": 30}
    assert added["latency"]["candidate"] == added["disagreement"]["candidate"] == {"requests": 0, "bad": 0}


def test_gates_are_others_where_a_limit_or_a_query_is() -> None:
    assert limits(SEEN) == limits(opened(EVERYTHING, A, B, 1))
    others = [
        ERRORS, SLOW, replace(EVERYTHING, error_rate=ErrorRate("2%")), replace(EVERYTHING, metrics=()),
        replace(EVERYTHING, metrics=(replace(REVENUE, query="other"),)),
    ]  # fmt: skip
    assert all(limits(opened(gates, A, B, 1)) != limits(SEEN) for gates in others)


def test_a_margin_of_everything_allows_everything() -> None:
    case = errors((1000, 0), (1000, 1000), gates=Gates(ErrorRate("100%")))
    assert not said(judge(case, ERRORS, 0.0, final=False)).startswith("Fail")


@pytest.mark.parametrize("hold", [HOLD, FAIL, PASS])
def test_a_stable_that_nobody_asks_is_no_evidence(hold: str) -> None:
    """As in a step that sends everything to the candidate."""
    gates = replace(ERRORS, on_no_data=hold)
    case = errors((0, 0), (5000, 4000), times=10)
    assert said(judge(case, gates, 60.0, final=True)) == "Wait: errorRate: 0 of 100 requests"


@pytest.mark.parametrize(
    "spoilt",
    [
        {"against": "nan"}, {"supports": "-inf"}, {"against": ""}, {"against": 1.0}, {"against": None},
        {"candidate": {"requests": "1000", "bad": 10}}, {"candidate": {"requests": 9.5, "bad": 1}},
        {"stable": {"requests": 5, "bad": 6}}, {"stable": {"requests": -5, "bad": 0}}, {"stable": []}, {"stable": {}},
    ],
)  # fmt: skip
def test_evidence_that_can_not_be_is_none(spoilt: dict[str, Any]) -> None:
    """Else a gate would go on from it: with one that is no number it would never be decided."""
    (kept,) = rendered(errors(candidate=(1000, 900)))
    assert again(ERRORS, opened(ERRORS, A, B, 1, [kept]))["errorRate"]["verdict"] == "Fail"
    assert rendered(opened(ERRORS, A, B, 1, [kept | spoilt])) == rendered(opened(ERRORS, A, B, 1))
