"""Gates where traffic sticks: what requests say has to be borne out by users; and how that is stored and read again."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from modelward.api.rollout import FAIL, HOLD, PASS, ErrorRate, Gates, Latency, Refusals
from modelward.rollouts.evidence.by_users import ROWS, ByUsers
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.gates.gate import Observation
from modelward.rollouts.gates.gates import Case, judge, opened, rendered
from modelward.rollouts.statistics.clustered import BUCKETS

A, B = "fraud-a", "fraud-b"
BOTH = Gates(ErrorRate("1%"), refusals=Refusals("1%"))
EVERY = Gates(ErrorRate("1%"), Latency("50ms"), refusals=Refusals("1%"))

Row = tuple[int, int]
"""Answers, and bad ones in every way."""

USUAL: Row = (100, 0)


def rows(*some: Row, others: Row = USUAL, matched: Row = (0, 0)) -> tuple[Counts, ...]:
    filled = [*some, *[others] * (BUCKETS - len(some)), matched]
    return tuple(Counts(n, bad, n, bad, n, bad) for n, bad in filled)


def total(counts: Sequence[Counts]) -> Counts:
    return sum(counts, Counts())


def look(case: Case, stable: tuple[Counts, ...], candidate: tuple[Counts, ...], counted: Counts | None = None) -> Case:
    """`counted`: of the candidate where nobody knows users, if it is not the sum of theirs."""
    return case.add(Observation(total(stable), counted or total(candidate), users=ByUsers(stable, candidate)))


ONE_BAD = rows((100, 100))
ALL_BAD = rows(others=(100, 60))
START = opened(BOTH, A, B, 1)


def verdicts(case: Case) -> list[str]:
    return [each["verdict"] for each in rendered(case)]


def test_one_user_does_not_decide_where_all_stay_on_a_side() -> None:
    by_requests = START.add(Observation(total(rows()), total(ONE_BAD)))
    assert verdicts(by_requests) == ["Fail", "Fail"]
    case = look(START, rows(), ONE_BAD)
    assert verdicts(case) == ["Inconclusive", "Inconclusive"]
    judged = judge(case, BOTH, 60.0, final=False)
    assert (judged.failed, judged.waits_for) == (None, None)
    assert rendered(case)[0]["message"].endswith("; by users, that it is worse is not shown")


def test_what_all_users_get_decides_as_before() -> None:
    case = look(START, rows(), ALL_BAD)
    assert verdicts(case) == ["Fail", "Fail"]
    failed = judge(case, BOTH, 60.0, final=False).failed
    assert failed is not None
    assert failed.startswith("errorRate: 1,920 of 3,200 (60.00%) errors, against 0 of 3,200")


def test_a_pass_needs_users_too() -> None:
    few = rows((3200, 0), others=(0, 0))
    assert verdicts(look(START, rows(), few)) == ["Inconclusive", "Inconclusive"]
    assert verdicts(look(START, rows(), rows())) == ["Pass", "Pass"]


def test_what_never_reached_a_pod_is_no_users_doing() -> None:
    """The candidate can't be reached: routers alone count that."""
    case = look(START, rows(), rows(), Counts(3200, 3200, answered=3200))
    assert verdicts(case) == ["Fail", "Pass"]


def test_pods_of_an_earlier_version_know_no_users() -> None:
    nobody = tuple(Counts() for _ in range(ROWS))
    for stable, candidate in ((nobody, ONE_BAD), (nobody, nobody)):
        seen = Observation(total(rows()), total(ONE_BAD), users=ByUsers(stable, candidate))
        assert verdicts(START.add(seen)) == ["Fail", "Fail"]


def test_what_a_rule_sent_proves_nothing() -> None:
    """A tester with bad input, whom a header match leads to the candidate."""
    tester = rows(matched=(900, 900))
    case = look(START, rows(), tester)
    assert total(tester).errors == 900
    assert verdicts(case) == ["Inconclusive", "Inconclusive"]
    assert judge(case, BOTH, 60.0, final=False).failed is None


@pytest.mark.parametrize(
    ("hold", "elapsed", "said"),
    [
        (HOLD, 60.0, "Wait"), (HOLD, 9999.0, "Wait"), (FAIL, 60.0, "Wait"), (FAIL, 9999.0, "Fail"),
        (PASS, 60.0, "Wait"), (PASS, 9999.0, "Pass"),
    ],
)  # fmt: skip
def test_users_who_are_too_few_hold_up_what_requests_say_is_bad(hold: str, elapsed: float, said: str) -> None:
    """Everything fails, for two users: no proof, and no reason to send it more of them."""
    gates = Gates(ErrorRate("1%"), on_no_data=hold)
    case = look(opened(gates, A, B, 1), rows(), rows((100, 100), (100, 100), others=(0, 0)))
    judged = judge(case, gates, elapsed, final=False)
    assert (judged.failed is not None, judged.waits_for is not None, judged.passed) == (
        said == "Fail", said == "Wait", said == "Pass",
    )  # fmt: skip
    assert "too few users stay on a side" in f"{judged.failed}{judged.waits_for}" or said == "Pass"


def test_some_bad_users_of_few_hold_up_nothing() -> None:
    """More users tell, and a rollout that waits gets no more."""
    case = look(START, rows(), rows((100, 100), (100, 0), others=(0, 0)))
    judged = judge(case, BOTH, 60.0, final=False)
    assert (judged.failed, judged.waits_for) == (None, None)
    assert verdicts(case) == ["Inconclusive", "Inconclusive"]


def test_users_are_stored_and_go_on() -> None:
    case = look(look(opened(EVERY, A, B, 1), rows((7, 3)), ONE_BAD), rows((5, 1)), rows(matched=(4, 4)))
    stored = rendered(case)
    assert stored[0]["users"]["stable"].split(" ")[:2] == ["12:4", "200"]
    assert stored[2]["users"]["candidate"].split(" ")[-1] == "4:4"
    again = opened(EVERY, A, B, 1, stored)
    assert rendered(again) == stored
    later = [[each["users"] for each in rendered(look(some, rows(), rows()))] for some in (again, case)]
    assert later[0] == later[1]
    assert "users" not in rendered(opened(replace(EVERY, error_rate=ErrorRate("2%")), A, B, 1, stored))[0]


@pytest.mark.parametrize(
    "users", [{}, {"stable": "1"}, {"stable": "a", "candidate": "b"}, "text", 7, {"stable": "1:9", "candidate": "1"}]
)
def test_users_that_can_not_be_read_begin_anew_and_the_rest_goes_on(users: Any) -> None:
    stored = rendered(look(START, rows(), rows()))
    again = rendered(opened(BOTH, A, B, 1, [{**each, "users": users} for each in stored]))
    assert [{**each, "users": None} for each in stored] == [{**each, "users": None} for each in again]
    assert all("users" not in each for each in again)


def test_nothing_changes_where_traffic_does_not_stick() -> None:
    case = START.add(Observation(total(rows()), total(ONE_BAD)))
    assert all("users" not in each for each in rendered(case))


def test_evidence_of_before_users_were_known_begins_anew() -> None:
    """Somebody makes traffic stick in mid-rollout, or an API server without the new CRD drops what was stored."""
    before = START.add(Observation(total(rows()), total(rows((30, 20)))))
    after = look(before, rows((7, 0)), rows((8, 0)))
    assert [each["candidate"] for each in rendered(after)] == [{"requests": 3108, "bad": 0}] * 2
    assert rendered(look(after, rows(), rows()))[0]["candidate"]["requests"] == 6308
    pruned = [
        {name: value for name, value in each.items() if name != "users"}
        for each in rendered(look(START, rows(), ONE_BAD))
    ]
    restored = opened(BOTH, A, B, 1, pruned)
    assert verdicts(look(restored, rows(), rows())) == ["Pass", "Pass"]
