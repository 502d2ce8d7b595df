"""The gate on outcomes: what it waits for in words, when it passes and fails, and that a restart changes none of it."""

from dataclasses import replace
from typing import Any

import pytest

from modelward.api.quality_gate import QualityGate, quality_gate_of
from modelward.api.rollout import Gates, parse_rollout
from modelward.facts import Judgement
from modelward.rollouts.gates.gate import Context, Observation
from modelward.rollouts.gates.gates import Case, judge, limits, opened, rendered
from modelward.rollouts.gates.quality import (
    Compared,
    Interval,
    OutcomeGate,
    OutcomeLook,
    OutcomesTold,
    patience_of,
    period_in_words,
)

A, B = "fraud-a", "fraud-b"
DAY = 86400.0
SINCE = 1764547200.0  # 2025-12-01T00:00:00Z
TASK = {"kind": "Classes", "label": "output.label", "positive": "1"}
QUALITY: dict[str, Any] = {
    "task": TASK, "labelWindow": "7d", "metrics": [{"name": "accuracy", "margin": "0.02"}], "minSamples": 500,
}  # fmt: skip


def gates(**changes: Any) -> Gates:
    return parse_rollout({"gates": {"quality": {**QUALITY, **changes}}}).gates


def asked(**changes: Any) -> QualityGate:
    found = quality_gate_of(gates(**changes))
    assert found is not None
    return found


def case(wanted: Gates, stored: Any = ()) -> Case:
    return opened(wanted, A, B, 1, stored)


def found(low: float, high: float, rows: int = 500, stable_rows: int = 9000, likely: Any = None) -> Compared:
    """A difference with these ends; the interval of passing is a bit narrower, as looks have it."""
    middle = (low + high) / 2
    near = likely or ((low + middle) / 2, (high + middle) / 2)
    return Compared(0.9 + middle, rows, 0.9, stable_rows, middle, Interval(low, high), Interval(*near))


def told(
    at: float = 9 * DAY, look: OutcomeLook | None = None, problem: str | None = None, following: float | None = None
) -> Observation:
    return Observation(own={"quality": OutcomesTold(SINCE, SINCE + at, look, problem, following)})


def look(number: int = 1, at: float = 9 * DAY, **metrics: Compared) -> OutcomeLook:
    return OutcomeLook(number, SINCE + at, SINCE + at - 7 * DAY, metrics)


def said(wanted: Gates, *seen: Observation, final: bool = True) -> Judgement:
    so_far = case(wanted)
    for each in seen:
        so_far = so_far.add(each)
    return judge(so_far, wanted, 0.0, final=final)


def test_it_waits_and_says_for_what() -> None:
    nothing = said(gates())
    assert nothing.waits_for == "quality:accuracy: 0 of 500 matured outcomes"
    early = said(gates(), told(DAY, following=SINCE + 7 * DAY + 3600))
    assert early.waits_for == (
        "quality:accuracy: 0 of 500 matured outcomes; the label window of 7d of its first predictions ends "
        "2025-12-08T00:00:00Z. Outcomes are looked at again 2025-12-08T01:00:00Z"
    )
    few = said(gates(), told(look=look(accuracy=found(-0.1, 0.1, rows=120)), following=SINCE + 10 * DAY))
    assert few.waits_for == (
        "quality:accuracy: 120 of 500 matured outcomes; outcomes count 7d after their predictions. Outcomes are looked "
        "at again 2025-12-11T00:00:00Z"
    )
    assert not few.passed
    broken = said(gates(), told(problem="s3://lake can't be listed", following=SINCE))
    assert broken.waits_for == "quality:accuracy: 0 of 500 matured outcomes. s3://lake can't be listed"
    at_once = said(gates(labelWindow=None), told(1.0))
    assert at_once.waits_for == "quality:accuracy: 0 of 500 matured outcomes"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.05, -0.021, "Fail"), (-0.05, -0.019, "Inconclusive"), (-0.06, -0.03, "Fail"), (-0.024, 0.1, "Pass"),
        (-0.06, 0.01, "Inconclusive"), (0.01, 0.1, "Pass"),
    ],
)  # fmt: skip
def test_all_beyond_the_margin_fails_and_nothing_of_it_passes(low: float, high: float, verdict: str) -> None:
    """By the wider interval it fails, by the narrower one it passes."""
    so_far = case(gates()).add(told(look=look(accuracy=found(low, high))))
    (shown,) = rendered(so_far)
    assert shown["verdict"] == verdict
    judged = judge(so_far, gates(), 0.0, final=True)
    assert (judged.failed is not None) == (verdict == "Fail")
    assert judged.passed == (verdict == "Pass")
    if verdict == "Fail":
        assert judged.failed == (
            f"quality:accuracy: {0.9 + (low + high) / 2:.4g} of 500 outcomes, against 0.9 of 9,000 of the stable: a "
            f"difference of {(low + high) / 2:.4g} ({low:.4g} to {high:.4g}), of predictions until "
            "2025-12-03T00:00:00Z; that is worse than 0.02 allows"
        )


@pytest.mark.parametrize(("metric", "task"), [("logLoss", {**TASK, "score": "s"}), ("rmse", {"kind": "Numbers"})])
def test_of_losses_more_is_worse(metric: str, task: dict[str, Any]) -> None:
    wanted = gates(task=task, metrics=[{"name": metric, "margin": "0.02"}])
    worse = case(wanted).add(told(look=look(**{metric: found(0.03, 0.05)})))
    better = case(wanted).add(told(look=look(**{metric: found(-0.05, -0.03)})))
    assert [rendered(each)[0]["verdict"] for each in (worse, better)] == ["Fail", "Pass"]


def test_what_business_is_worth_is_a_gate_of_its_own_and_each_has_a_part_of_the_chance() -> None:
    wanted = gates(business={"expression": "outcome", "margin": "0.5"})
    so_far = case(wanted).add(told(look=look(accuracy=found(-0.01, 0.01), worth=found(-0.9, -0.6))))
    assert [(each["name"], each["limit"], each["verdict"]) for each in rendered(so_far)] == [
        ("quality:accuracy", "0.02", "Pass"), ("quality:worth", "0.5", "Fail"),
    ]  # fmt: skip
    assert so_far.alpha == 0.005
    assert "quality:worth" in str(judge(so_far, wanted, 0.0, final=False).failed)


def test_few_rows_neither_pass_nor_fail_nor_spend_a_look() -> None:
    for few in ({"rows": 499}, {"stable_rows": 499}):
        so_far = case(gates()).add(told(look=look(accuracy=found(-0.9, -0.8, **few))))
        (shown,) = rendered(so_far)
        assert (shown["verdict"], shown["outcomes"]["looks"]) == ("Inconclusive", 0)
        so_far = so_far.add(told(look=look(1, 10 * DAY, accuracy=found(-0.9, -0.8))))
        assert rendered(so_far)[0]["verdict"] == "Fail"


def test_each_look_counts_once_and_of_each_number_one() -> None:
    first = look(1, accuracy=found(-0.06, 0.01))
    so_far = case(gates()).add(told(look=first)).add(told(10 * DAY, look=first))
    assert rendered(so_far)[0]["outcomes"]["looks"] == 1
    again = so_far.add(told(look=look(1, 10 * DAY, accuracy=found(-0.9, -0.8))))
    assert rendered(again)[0]["verdict"] == "Inconclusive", "the chance of look 1 is spent"
    older = so_far.add(told(look=look(2, 8 * DAY, accuracy=found(-0.9, -0.8))))
    assert rendered(older)[0]["verdict"] == "Inconclusive"
    assert rendered(so_far.add(told(look=look(2, 10 * DAY, accuracy=found(-0.9, -0.8)))))[0]["verdict"] == "Fail"


def test_what_was_shown_once_stays_shown_unless_the_opposite_is() -> None:
    good, vague, bad = found(-0.01, 0.01), found(-0.06, 0.02), found(-0.06, -0.04)
    so_far = case(gates()).add(told(look=look(1, accuracy=good))).add(told(look=look(2, 10 * DAY, accuracy=vague)))
    assert rendered(so_far)[0]["verdict"] == "Pass"
    failed = so_far.add(told(look=look(3, 11 * DAY, accuracy=bad)))
    assert rendered(failed)[0]["verdict"] == "Fail"
    again = case(gates(), rendered(failed)).add(told(12 * DAY, look=look(4, 12 * DAY, accuracy=vague)))
    assert rendered(again)[0]["verdict"] == "Fail", "also for an operator that died before it had rolled back"
    assert rendered(again.add(told(13 * DAY, look=look(5, 13 * DAY, accuracy=good))))[0]["verdict"] == "Pass"


def test_a_metric_that_rows_do_not_define_is_waited_for() -> None:
    so_far = case(gates()).add(told(look=look(recall=found(0.0, 0.0))))
    (shown,) = rendered(so_far)
    assert (shown["verdict"], shown["message"]) == ("Inconclusive", "it is not defined by the rows that there are")
    assert not judge(so_far, gates(), 0.0, final=False).passed


@pytest.mark.parametrize(
    ("on_no_data", "failed", "passed"), [("Hold", False, False), ("Fail", True, False), ("Pass", False, True)]
)
def test_without_data_after_its_own_time(on_no_data: str, failed: bool, passed: bool) -> None:
    """Not after that of a step: a canary takes days, and a label window no less."""
    wanted = gates(onNoData=on_no_data, maxDuration="20d")
    few = look(accuracy=found(-0.1, 0.1, rows=120))
    waiting = judge(case(wanted).add(told(19 * DAY, few)), wanted, 19 * DAY, final=True)
    assert (waiting.failed, waiting.passed) == (None, False)
    late = judge(case(wanted).add(told(21 * DAY, few)), wanted, 21 * DAY, final=True)
    assert (late.failed is not None, late.passed) == (failed, passed)
    if failed:
        assert late.failed == "quality:accuracy: 120 of 500 matured outcomes after 20d"


def test_undecided_with_its_samples_it_holds_up_promotion_until_its_time_is_over() -> None:
    vague = look(accuracy=found(-0.06, 0.02))
    assert said(gates(), told(look=vague), final=False).passed
    waits = said(gates(), told(look=vague, following=SINCE + 10 * DAY))
    assert waits.waits_for is not None
    assert waits.waits_for.endswith("; not decided yet. Outcomes are looked at again 2025-12-11T00:00:00Z")
    assert said(gates(), told(15 * DAY, look=vague)).passed


def test_where_only_the_last_step_waits_the_others_go_on_and_a_failure_is_one_at_any() -> None:
    wanted = gates(waitAt="LastStep")
    assert said(wanted, told(DAY), final=False).passed
    assert not said(wanted, told(DAY), final=True).passed
    assert said(wanted, told(look=look(accuracy=found(-0.9, -0.8))), final=False).failed is not None


def test_who_gets_no_requests_is_not_held_up() -> None:
    """A blue-green rollout without copies has no rows in the log."""
    assert judge(case(gates()), gates(), 0.0, final=True, asked=False).passed


def test_patience() -> None:
    assert patience_of(asked()) == 14 * DAY
    assert patience_of(asked(maxDuration="90m")) == 5400
    assert [period_in_words(each) for each in (14 * DAY, 5400, 7200, 61.0)] == ["14d", "90m", "2h", "61s"]


def test_it_goes_on_with_what_is_stored_of_it() -> None:
    so_far = case(gates()).add(told(look=look(3, accuracy=found(-0.06, 0.0123456789))))
    stored = rendered(so_far)
    again = case(gates(), stored)
    assert rendered(again) == stored
    assert limits(again) == limits(so_far)
    assert rendered(again.add(told(look=look(3, 9 * DAY, accuracy=found(-0.9, -0.8))))) == stored, "the same look"
    passed = rendered(case(gates()).add(told(look=look(1, accuracy=found(-0.01, 0.01)))))
    assert rendered(case(gates(), passed)) == passed
    fresh = rendered(case(gates()))
    changes: list[dict[str, Any]] = [
        {"metrics": [{"name": "accuracy", "margin": "0.03"}]}, {"labelWindow": "8d"}, {"minSamples": 600},
        {"task": {**TASK, "positive": "0"}}, {"outcomes": {"absent": "0"}}, {"days": 3},
    ]  # fmt: skip
    for change in changes:
        (begun,) = rendered(case(gates(**change), passed))
        assert begun["verdict"] == "Inconclusive", change
        assert limits(case(gates(**change))) != limits(so_far), change
    assert rendered(case(gates(every="2h"), passed)) == passed, "what was seen does not depend on it"
    for broken in (
        {"outcomes": None}, {"outcomes": {"basis": "x"}}, {"verdict": "Maybe"}, {"limit": "1"},
        {"outcomes": {**passed[0]["outcomes"], "value": "much"}}, {"outcomes": {**passed[0]["outcomes"], "looks": -1}},
        {"outcomes": {**passed[0]["outcomes"], "until": "yesterday"}},
    ):  # fmt: skip
        assert rendered(case(gates(), [{**passed[0], **broken}])) == fresh, broken


def test_a_value_without_an_interval_decides_nothing() -> None:
    bare = replace(found(-0.9, -0.8), sure=Interval(), likely=Interval())
    so_far = case(gates()).add(told(look=look(accuracy=bare)))
    assert rendered(so_far)[0]["verdict"] == "Inconclusive"
    assert "(" not in rendered(so_far)[0]["message"]


@pytest.mark.parametrize(
    ("on_no_data", "failed", "passed"), [("Hold", False, False), ("Fail", True, False), ("Pass", False, True)]
)
def test_rows_of_too_few_users_are_no_data(on_no_data: str, failed: bool, passed: bool) -> None:
    """They promote nobody when the time is over, hold up each step, and no look's chance is spent on them."""
    wanted = gates(onNoData=on_no_data, maxDuration="20d", unit="key")
    bare = replace(found(-0.9, -0.8), sure=Interval(), likely=Interval())
    so_far = case(wanted).add(told(19 * DAY, look(accuracy=bare)))
    assert rendered(so_far)[0]["outcomes"]["looks"] == 0
    waiting = judge(so_far, wanted, 0.0, final=False)
    assert waiting.waits_for is not None
    assert waiting.waits_for.startswith("quality:accuracy: 0.05 of 500 outcomes")
    assert "without an interval; 500 outcomes are of too few of 'key'" in waiting.waits_for
    late = judge(case(wanted).add(told(21 * DAY, look(accuracy=bare))), wanted, 21 * DAY, final=True)
    assert (late.failed is not None, late.passed) == (failed, passed)


def test_it_asks_for_nothing_of_pods() -> None:
    (gate,) = case(gates()).gates
    assert isinstance(gate, OutcomeGate)
    assert (gate.needs, gate.compared, gate.by_pairs) == (frozenset(), 0, False)
    assert gate.opinion(Context(gates(), 0.01)).waits_for
