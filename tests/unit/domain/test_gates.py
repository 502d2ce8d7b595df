"""What the gates say of a candidate, and how their evidence is kept."""

from dataclasses import replace

import pytest

from modelward.api.rollout import Disagreement, ErrorRate, Gates, Latency, Metric
from modelward.domain import gates
from modelward.domain.facts import Judgement
from modelward.domain.gates import Case
from modelward.domain.outcomes import Outcomes
from modelward.domain.promql import Reading
from modelward.domain.tally import Counts

A, B = "fraud-a", "fraud-b"
ERRORS = Gates(error_rate=ErrorRate("1%"), min_samples=100, max_duration="10m")
ALL = replace(ERRORS, latency=Latency("50ms", "5%"), disagreement=Disagreement("10%"))
REVENUE = Gates(metrics=(Metric("revenue", "sum(up)", min="0.9", max="2", failure_limit=2),), max_duration="10m")
NO_PAIRS = Outcomes()


def opened(wanted: Gates) -> Case:
    return gates.opened(wanted, A, B, 1)


def look(case: Case, stable: Counts, candidate: Counts, pairs: Outcomes = NO_PAIRS) -> Case:
    return gates.heard(case, {A: stable, B: candidate}, pairs, {})


def served(requests: int, errors: int = 0, slow: int = 0) -> Counts:
    return Counts(requests, errors, requests, slow)


def ask(case: Case, *values: float | None) -> Case:
    for value in values:
        case = gates.heard(case, {}, NO_PAIRS, {"revenue": Reading(value)})
    return case


def test_a_candidate_that_is_as_good_passes_in_the_end() -> None:
    case = opened(ERRORS)
    for _ in range(20):
        case = look(case, served(500), served(100))
    assert gates.judge(case, ERRORS, 60, final=True) == Judgement(passed=True, compared=2000)
    assert gates.rendered(case)[0]["verdict"] == "Pass"


def test_a_bad_one_fails_before_it_has_its_samples() -> None:
    case = look(look(opened(ERRORS), served(200), served(10, 0)), served(200), served(20, 8))
    judged = gates.judge(case, ERRORS, 1, final=False)
    assert judged.failed == (
        "errorRate: 8 of 30 (26.67%) errors, against 0 of 400 (0.00%) of the stable; that is worse than 1% allows"
    )


@pytest.mark.parametrize(
    ("wanted", "candidate", "pairs", "named"),
    [
        (ALL, served(60, 30), NO_PAIRS, "errorRate"),
        (ALL, served(60, 0, 40), NO_PAIRS, "latency"),
        (ALL, served(60), Outcomes(60, 45), "disagreement"),
    ],
)
def test_each_gate_fails_by_its_own_measure(wanted: Gates, candidate: Counts, pairs: Outcomes, named: str) -> None:
    case = look(look(opened(wanted), served(100), served(10)), served(100), candidate, pairs)
    assert (gates.judge(case, wanted, 1, final=False).failed or "").startswith(named)


def test_what_both_sides_fail_at_is_no_evidence() -> None:
    case = opened(ERRORS)
    for _ in range(30):
        case = look(case, served(100, 50), served(100, 50))
    assert gates.judge(case, ERRORS, 1, final=False).failed is None


@pytest.mark.parametrize(
    ("on_no_data", "elapsed", "expected"),
    [
        ("Hold", 60, Judgement(passed=False, waits_for="errorRate: 20 of 100 requests", compared=20)),
        ("Hold", 601, Judgement(passed=False, waits_for="errorRate: 20 of 100 requests", compared=20)),
        ("Pass", 60, Judgement(passed=False, waits_for="errorRate: 20 of 100 requests", compared=20)),
        ("Pass", 601, Judgement(passed=True, compared=20)),
        ("Fail", 601, Judgement(failed="errorRate: 20 of 100 requests in 10m", passed=False, compared=20)),
    ],
)
def test_without_enough_requests(on_no_data: str, elapsed: float, expected: Judgement) -> None:
    wanted = replace(ERRORS, on_no_data=on_no_data)
    assert gates.judge(look(opened(wanted), served(400), served(20)), wanted, elapsed, final=False) == expected


def test_only_before_promotion_a_gate_has_to_be_decided_and_only_for_so_long() -> None:
    undecided = opened(replace(ERRORS, error_rate=ErrorRate("0.1%")))
    undecided = look(undecided, served(1000, 10), served(150, 2))
    assert gates.judge(undecided, ERRORS, 60, final=False).passed
    waiting = gates.judge(undecided, ERRORS, 60, final=True)
    assert not waiting.passed
    assert "not decided yet" in str(waiting.waits_for)
    assert gates.judge(undecided, ERRORS, 601, final=True).passed


def test_the_chance_of_a_false_rollback_is_divided_among_the_gates() -> None:
    assert opened(ERRORS).alpha == pytest.approx(0.01)
    assert opened(ALL).alpha == pytest.approx(0.01 / 3)
    assert opened(Gates()).alpha == pytest.approx(0.01)


def test_evidence_survives_the_status() -> None:
    case = look(look(opened(ALL), served(500, 1, 3), served(90, 1, 2), Outcomes(40, 2)), served(500), served(95, 2))
    again = gates.opened(ALL, A, B, 1, gates.rendered(case))
    assert gates.rendered(again) == gates.rendered(case)
    assert again.compared == case.compared == 40


def test_a_gate_with_another_limit_begins_anew_and_the_others_go_on() -> None:
    case = look(opened(ALL), served(500), served(90), Outcomes(40, 2))
    changed = replace(ALL, error_rate=ErrorRate("2%"))
    again = {each["name"]: each for each in gates.rendered(gates.opened(changed, A, B, 1, gates.rendered(case)))}
    assert again["errorRate"]["candidate"]["requests"] == 0
    assert again["latency"]["candidate"]["requests"] == 90
    assert again["disagreement"]["candidate"]["requests"] == 40


def test_more_failures_than_answers_in_one_look_are_no_error() -> None:
    case = look(opened(ERRORS), served(10), Counts(2, 5, 2, 0))
    assert gates.rendered(case)[0]["candidate"] == {"requests": 2, "bad": 2}


def test_a_metric_fails_after_bad_values_in_a_row() -> None:
    case = ask(opened(REVENUE), 0.5, 1.0, 0.5)
    assert gates.judge(case, REVENUE, 1, final=False).failed is None
    failed = gates.judge(ask(case, 0.4), REVENUE, 1, final=False).failed
    assert failed == "revenue: 0.4, wanted: at least 0.9 and at most 2, 2 times in a row"
    assert gates.judge(ask(case, 1.5), REVENUE, 1, final=True).passed


def test_a_metric_without_data_holds_and_says_so() -> None:
    judged = gates.judge(ask(opened(REVENUE), None), REVENUE, 1, final=False)
    assert judged.waits_for == "revenue: the query gives no data"
    broken = gates.heard(opened(REVENUE), {}, NO_PAIRS, {"revenue": Reading(error="Prometheus can't be reached")})
    assert gates.judge(broken, REVENUE, 1, final=False).waits_for == "revenue: Prometheus can't be reached"
    assert gates.judge(broken, replace(REVENUE, on_no_data="Fail"), 601, final=False).failed


def test_bad_values_in_a_row_survive_the_status() -> None:
    case = ask(opened(REVENUE), 0.5)
    again = gates.opened(REVENUE, A, B, 1, gates.rendered(case))
    assert gates.judge(ask(again, 0.5), REVENUE, 1, final=False).failed
