"""Events: one for each change, none for standing still."""

from dataclasses import replace

from builders import observed, owner, revision, router
from modelward.api.rollout import CANARY, Rollout, Step
from modelward.facts import Arm, Judgement, Observed, Progress
from modelward.reconcilers.modeldeployment.events import command_event, transitions
from modelward.reconcilers.modeldeployment.status import build_status
from modelward.rollouts.decision import decide
from modelward.values.transition import Transition

A, B = "fraud-a", "fraud-b"


def status_of(facts: Observed) -> dict[str, object]:
    return build_status(owner(), facts, decide(facts), "v1", None, "2026-01-01T00:00:00Z")


def reasons(old: dict[str, object], new: dict[str, object]) -> list[str]:
    return [f"{each.kind} {each.reason}" for each in transitions(old, new)]


FIRST = status_of(observed(A))
READY = status_of(observed(A, revision(A), router=router(A)))
ROLLING = status_of(observed(B, revision(A), revision(B, ready=0), router=router(A, B)))
MOVED = status_of(observed(B, revision(A), revision(B), router=router(B, A)))
DOWN = status_of(observed(A, revision(A, ready=0), router=router(A)))


def test_each_change_is_told_once() -> None:
    assert reasons({}, FIRST) == ["Normal RevisionCreated"]
    assert reasons(FIRST, READY) == ["Normal Ready"]
    assert reasons(READY, ROLLING) == ["Normal RevisionCreated"]
    assert reasons(ROLLING, MOVED) == ["Normal TrafficMoved", "Normal Ready"]
    assert reasons(READY, DOWN) == ["Warning NotServable"]


def test_standing_still_is_not_told() -> None:
    for status in (FIRST, READY, ROLLING, MOVED, DOWN):
        assert reasons(status, status) == []


def test_a_repeated_attempt_has_the_same_name_and_another_time_another() -> None:
    change = Transition("Normal", "Ready", "m", since="1>1@t")
    assert change.name("fraud", "uid") == change.name("fraud", "uid")
    assert change.name("fraud", "uid") != Transition("Normal", "Ready", "m", since="2>2@t").name("fraud", "uid")


def test_a_revision_that_is_not_compiled_is_told_once() -> None:
    stable = {**READY["stable"], "fallback": "it can't be converted"}
    fell_back = {**READY, "stable": stable}
    assert reasons(READY, fell_back) == ["Normal NotCompiled"]
    assert reasons(fell_back, fell_back) == []
    candidate = {**ROLLING, "candidate": {**ROLLING["candidate"], "fallback": "it can't be converted"}}
    assert "Normal NotCompiled" in reasons(READY, candidate)
    assert "Normal NotCompiled" not in reasons(candidate, {**MOVED, "stable": candidate["candidate"]})


CANARIES = Rollout(CANARY, (Step(10), Step(50)))


def canary(step: int, weight: int, phase: str = "Progressing", message: str = "") -> Observed:
    progress = Progress(B, step, phase, message=message)
    arms = (Arm("candidate", B, weight),)
    return observed(B, revision(A), revision(B), router=router(A, arms=arms, progress=progress), rollout=CANARIES)


def test_each_step_of_a_rollout_and_its_end_are_told_once() -> None:
    preparing = status_of(observed(B, revision(A), revision(B, ready=0), router=router(A, B), rollout=CANARIES))
    first, second = status_of(canary(0, 10)), status_of(canary(1, 50))
    paused = status_of(canary(1, 50, "Paused", "Paused by hand"))
    assert reasons(READY, preparing) == ["Normal RevisionCreated"]
    assert reasons(preparing, first) == ["Normal RolloutStep"]
    assert reasons(first, second) == ["Normal RolloutStep"]
    assert reasons(second, paused) == ["Normal RolloutPaused"]
    assert reasons(paused, second) == ["Normal RolloutStep"]
    promoted = status_of(canary(2, 50))
    assert [reason for reason in reasons(second, promoted) if "Rollout" in reason] == ["Normal RolloutPromoted"]
    for status in (preparing, first, second, paused, promoted):
        assert reasons(status, status) == []


def test_a_rollback_is_a_warning_with_its_reason_and_is_not_told_twice() -> None:
    failed = replace(canary(0, 10), judgement=Judgement(failed="errorRate: 9 of 90 errors", passed=False))
    before, after = status_of(canary(0, 10)), status_of(failed)
    (told,) = transitions(before, after)
    assert (told.kind, told.reason, told.message) == ("Warning", "RolloutRolledBack", "errorRate: 9 of 90 errors")
    assert told.result == "RolledBack"


def test_a_command_is_told_with_what_came_of_it() -> None:
    aborted = decide(replace(canary(0, 10), command="abort"))
    assert command_event("abort", aborted, owner()).message.endswith("Aborted by hand")
    idle = decide(observed(A, revision(A), router=router(A)))
    assert command_event("abort", idle, owner()).reason == "CommandIgnored"
    unknown = command_event("explode", aborted, owner())
    assert unknown.reason == "UnknownCommand"
    assert "promote, pause, resume, abort, retry" in unknown.message


def drifting(drifted: int, end: str, revision: str = A) -> dict[str, object]:
    shown = {"window": {"end": end, "drifted": drifted}, "features": [{"message": "amount: psi 0.4"}]}
    return {**READY, "monitor": {"revision": revision, **shown}}


def test_drift_is_told_when_it_begins_and_when_it_goes() -> None:
    calm, drift, lasting = drifting(0, "t1"), drifting(2, "t2"), drifting(3, "t3")
    assert reasons(READY, calm) == []
    assert reasons(calm, drift) == ["Warning DriftDetected"]
    assert reasons(READY, drift) == ["Warning DriftDetected"]
    assert reasons(drift, lasting) == []
    assert reasons(lasting, drifting(0, "t4")) == ["Normal DriftGone"]
    assert reasons(lasting, drifting(0, "t4", revision=B)) == []
    (told,) = transitions(calm, drift)
    assert told.message == "2 features drifted in the window until t2. amount: psi 0.4"
