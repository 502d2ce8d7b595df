"""What the status tells of a rollout, and that nothing is lost on the way back."""

from dataclasses import replace
from typing import Any

import pytest

from builders import observed, pod, revision, router
from modelward.api.rollout import (
    AT_ONCE,
    BLUE_GREEN,
    CANARY,
    PAUSE,
    REPORT,
    SHADOW,
    BlueGreen,
    Disagreement,
    Gates,
    Rollout,
    Shadow,
    Step,
)
from modelward.facts import Arm, Clock, Judgement, Observed, Progress, RouterFacts, RouterPodFacts
from modelward.rollouts.decision import decide
from modelward.rollouts.status import clock_of, progress_of, rollout_essence, rollout_status

A, B, C = "fraud-a", "fraud-b", "fraud-c"
NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"
CANARIES = Rollout(CANARY, (Step(10, "60s"), Step(50, "60s")))
MIRRORED = replace(CANARIES, gates=Gates(disagreement=Disagreement("5%", mirror_percent=30)))
SHADOWED = Rollout(SHADOW, shadow=Shadow(40, 1000))
GREEN = Rollout(BLUE_GREEN, blue_green=BlueGreen("5m"))
GOOD, BAD = Judgement(compared=250), Judgement(failed="errorRate: 9 of 90 errors", passed=False)
FEW = Judgement(passed=False, waits_for="errorRate: 3 of 100 requests", compared=3)
SICK = revision(B, desired=10, ready=0)


def rolling(weight: int | None = None, mirror: int = 0, step: int = 0, **facts: Any) -> Observed:
    """From A to B, whose arm is live since 10 s; None: it has none yet."""
    arms = () if weight is None else (Arm("candidate", B, weight, mirror),)
    progress = facts.pop("progress", Progress(B, step, reason="Started", message=f"Waiting for {B} to become ready"))
    candidate = facts.pop("candidate", revision(B, desired=10))
    routes = facts.pop("router", None) or router(A, *([B] if weight is None else []), arms=arms, progress=progress)
    values = {"rollout": CANARIES, "replicas": 10, "clock": Clock(1000.0, step=990.0), **facts}
    return observed(B, revision(A, desired=10), candidate, router=routes, **values)


def told(facts: Observed, stored: dict[str, Any] | None = None, gates: Any = None, now: str = NOW) -> dict[str, Any]:
    status = rollout_status(stored or {}, facts, decide(facts), gates, now)
    assert status is not None
    return status


BEHIND = router(A, arms=(Arm("candidate", B, 10),), pods=(RouterPodFacts(pod("r"), "v0", frozenset({A, B})),))
ONE_AWAY = revision(B, desired=10, ready=9)

SITUATIONS: dict[str, tuple[Observed, str, str, str]] = {
    # what: (facts, phase, progress, message)
    "pods come up": (rolling(candidate=SICK), "Preparing", "1/2 Preparing", "Waiting for fraud-b to become ready"),
    "the first step begins": (
        rolling(), "Progressing", "1/2 10%",
        "Step 1 of 2: fraud-b gets 10% of the requests, as soon as the router follows",
    ),
    "not every router pod follows yet": (
        rolling(router=replace(BEHIND, progress=Progress(B)), clock=Clock(1000.0)), "Progressing", "1/2 10%",
        "Step 1 of 2: fraud-b gets 10% of the requests, as soon as the router follows",
    ),
    "it holds": (
        rolling(10, judgement=GOOD), "Progressing", "1/2 10%",
        "Step 1 of 2: fraud-b gets 10% of the requests, for 60 s at least",
    ),
    "it waits for its gates": (
        rolling(10, judgement=FEW), "Progressing", "1/2 10%",
        "Step 1 of 2: fraud-b gets 10% of the requests. Waiting for errorRate: 3 of 100 requests",
    ),
    "one of its pods is being replaced": (
        rolling(10, judgement=GOOD, candidate=ONE_AWAY), "Progressing", "1/2 10%",
        "Step 1 of 2: fraud-b gets 10% of the requests. Waiting for every pod of it and of the router to be ready "
        "again",
    ),
    "it gets copies, too": (
        rolling(10, 30, judgement=GOOD, rollout=MIRRORED), "Progressing", "1/2 10%",
        "Step 1 of 2: fraud-b gets 10% of the requests and copies of 30%, for 60 s at least",
    ),
    "the next step's pods come up": (
        rolling(10, judgement=GOOD, candidate=revision(B), clock=Clock(1000.0, step=900.0)), "Progressing", "2/2 10%",
        "Step 1 of 2 is passed. Waiting for more pods of fraud-b to become ready",
    ),
    "full size before promotion": (
        rolling(50, step=1, judgement=GOOD, candidate=revision(B, desired=5), clock=Clock(1000.0, step=900.0)),
        "Promoting", "2/2 50%", "Step 2 of 2 is passed, taking over",
    ),
    "promoted": (
        rolling(50, progress=Progress(B, 2, reason="StepPassed")), "Promoted", "Promoted",
        "fraud-b is the stable revision now: it passed every step",
    ),
    "promoted by hand": (
        rolling(10, command="promote"), "Promoted", "Promoted", "fraud-b is the stable revision now, by hand",
    ),
    "promoted by hand before it is ready": (
        rolling(candidate=SICK, command="promote"), "Promoting", "2/2 Promoting",
        "Promoted by hand, whatever the gates say",
    ),
    "it was the stable before": (
        rolling(candidate=revision(B, promoted=1, desired=10), progress=None), "Promoted", "Promoted",
        "fraud-b is the stable revision now again",
    ),
    "a gate fails": (rolling(10, judgement=BAD), "RolledBack", "RolledBack", "errorRate: 9 of 90 errors"),
    "a gate fails, and a person is to decide": (
        rolling(10, judgement=BAD, rollout=replace(CANARIES, on_failure=PAUSE)), "Paused", "Paused 1/2 10%",
        "errorRate: 9 of 90 errors",
    ),
    "aborted": (rolling(10, command="abort"), "Aborted", "Aborted", "Aborted by hand"),
    "paused by hand": (rolling(10, command="pause"), "Paused", "Paused 1/2 10%", "Paused by hand"),
    "paused before it is ready": (
        rolling(candidate=SICK, command="pause"), "Paused", "Paused 1/2 Preparing", "Paused by hand",
    ),
    "a shadow": (
        rolling(0, 40, rollout=SHADOWED, judgement=GOOD), "Progressing", "1/1 40% mirrored",
        "Step 1 of 1: fraud-b gets 0% of the requests and copies of 40%. 250 of 1,000 requests are compared",
    ),
    "a shadow at which nobody has looked": (
        rolling(0, 40, rollout=SHADOWED), "Progressing", "1/1 40% mirrored",
        "Step 1 of 1: fraud-b gets 0% of the requests and copies of 40%. 0 of 1,000 requests are compared",
    ),
    "a shadow that has reported": (
        rolling(0, 40, rollout=replace(SHADOWED, shadow=Shadow(40, 250, then=REPORT)), judgement=GOOD),
        "Paused", "Paused 1/1 40% mirrored", "The comparison is complete; promote or abort it by hand",
    ),
    "blue beside green": (
        rolling(0, rollout=GREEN, judgement=GOOD), "Progressing", "1/1 0%",
        "Step 1 of 1: fraud-b gets 0% of the requests, for 300 s at least",
    ),
    "without steps": (
        rolling(candidate=SICK, rollout=AT_ONCE), "Preparing", "Preparing", "Waiting for fraud-b to become ready",
    ),
    "without steps, promoted": (
        rolling(rollout=AT_ONCE), "Promoted", "Promoted", "fraud-b is the stable revision now",
    ),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_told(situation: str) -> None:
    facts, phase, progress, message = SITUATIONS[situation]
    status = told(facts)
    assert (status["phase"], status["progress"], status["message"]) == (phase, progress, message)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_way_back(situation: str) -> None:
    """Whoever loses the routes' progress finds it in the status, but for the reason; and the times exactly."""
    facts = SITUATIONS[situation][0]
    decision, status = decide(facts), told(facts)
    assert decision.progress is not None
    found = progress_of(status)
    assert found == replace(decision.progress, reason="", message=status["message"])
    assert clock_of(status, decision.progress, B, 1000.0) == Clock(1000.0, decision.step_since, decision.waiting_since)


def test_no_rollout_is_told_where_there_never_was_one() -> None:
    facts = observed(A, revision(A), router=router(A))
    assert rollout_status({}, facts, decide(facts), None, NOW) is None
    assert progress_of({}) is None
    assert clock_of({}, None, A, 7.0) == Clock(7.0)


def test_the_frame_of_a_rollout_stays_while_it_is_the_same() -> None:
    first = told(rolling())
    assert (first["from"], first["revision"], first["startedAt"], first["attempt"]) == (A, B, NOW, 1)
    later = told(rolling(10, judgement=GOOD), first, now=LATER)
    assert (later["from"], later["startedAt"]) == (A, NOW)
    promoted = told(rolling(50, progress=Progress(B, 2)), later, now=LATER)
    after = replace(rolling(), router=router(B, progress=Progress(B, 2, "Promoted", "StepPassed", "done")))
    ended = told(replace(after, rollout=SHADOWED), promoted, now=LATER)
    assert (ended["from"], ended["startedAt"], ended["strategy"]) == (A, NOW, CANARY), "as it was when it ended"
    again = rolling(10, command="retry", progress=Progress(B, 0, "Aborted"))
    assert told(again, first, now=LATER)["startedAt"] == LATER
    assert told(rolling(), {**first, "revision": C}, now=LATER)["startedAt"] == LATER


def test_when_it_ended_is_told_once() -> None:
    rolled_back = rolling(10, progress=Progress(B, 0, "RolledBack", "GateFailed", "too many errors"))
    first = told(rolling())
    assert "endedAt" not in first
    ended = told(rolled_back, first, now=LATER)
    assert ended["endedAt"] == LATER
    assert told(rolled_back, ended, now="2026-01-09T00:00:00Z")["endedAt"] == LATER
    of_before = {name: value for name, value in ended.items() if name != "endedAt"}
    assert "endedAt" not in told(rolled_back, of_before, now=LATER), "nobody knows when that was"
    again = rolling(10, command="retry", progress=Progress(B, 0, "Aborted"))
    assert "endedAt" not in told(again, ended, now=LATER)


def test_gates_stay_until_they_are_looked_at_again() -> None:
    gates = [{"name": "errorRate", "verdict": "Pass"}]
    first = told(rolling(10), gates=gates)
    assert first["gates"] == gates
    assert told(rolling(10), first)["gates"] == gates
    assert "gates" not in told(rolling(10, progress=Progress(B, attempt=2)), first)
    assert "gates" not in told(rolling(10), first, gates=[])


def test_a_clock_of_another_step_or_attempt_or_revision_is_none() -> None:
    status = told(rolling(10, judgement=GOOD))
    assert clock_of(status, Progress(B), B, 1000.0).step == 990.0
    for progress, target in ((Progress(B, 1), B), (Progress(B, attempt=2), B), (Progress(C), C), (None, C)):
        assert clock_of(status, progress, target, 1000.0) == Clock(1000.0)


def test_a_status_that_somebody_cut_is_read_as_far_as_it_goes() -> None:
    assert progress_of({"revision": B}) == Progress(B)


def test_words_and_counts_are_no_reason_to_write_at_once() -> None:
    def gate(verdict: str, message: str) -> list[dict[str, str]]:
        return [{"name": "errorRate", "verdict": verdict, "message": message}]

    first = told(rolling(10, judgement=GOOD), gates=gate("Inconclusive", "1 of 9"))
    more = {**first, "message": "other", "gates": gate("Inconclusive", "2 of 9")}
    assert rollout_essence(first) == rollout_essence(more)
    assert rollout_essence(first) != rollout_essence({**first, "gates": gate("Pass", "1 of 9")})
    assert rollout_essence(first) != rollout_essence({**first, "phase": "Paused"})


def test_the_times_are_those_of_the_decision() -> None:
    live = told(rolling(10, judgement=GOOD))
    waiting = told(rolling(candidate=SICK, clock=Clock(1000.25, waiting=999.125)))
    assert live["stepStartedAt"] == "1970-01-01T00:16:30+00:00"
    assert waiting["waitingSince"] == "1970-01-01T00:16:39.125000+00:00"
    assert "waitingSince" not in live
    assert "stepStartedAt" not in waiting


def test_a_rollout_that_outlives_the_router_says_what_it_is_measured_against() -> None:
    assert told(rolling(router=RouterFacts(), last_stable=A))["from"] == A
