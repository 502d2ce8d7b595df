"""Events: one for each change, none for standing still."""

from builders import observed, owner, revision, router
from modelward.domain.facts import Observed
from modelward.domain.rollout import decide
from modelward.domain.status import build_status
from modelward.domain.transitions import Transition, transitions

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
