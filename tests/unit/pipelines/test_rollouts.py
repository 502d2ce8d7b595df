"""How far a rollout is: a table. What is promoted, what never may be taken for it, and the reason of each failure."""

from typing import Any

import pytest

from modelward_cli.fleet.state import Model
from modelward_cli.pipeline.deploying import Version
from modelward_cli.pipeline.rollouts import NotPromotedError, State, is_promoted, progress

from .models import GATES, NEW, NEW_PIN, OLD, PIN, model, promoted, rolling

STALLED = [
    {"type": "Ready", "status": "False", "message": "The artifact is not there. Correct spec.model.uri"},
    {"type": "Stalled", "status": "True", "message": "The artifact is not there. Correct spec.model.uri"},
]


@pytest.mark.parametrize(
    ("body", "state", "said"),
    [
        (promoted(), State.PROMOTED, "Every gate is passed"),
        (model(NEW), State.PROMOTED, ""),
        (model(NEW, seen=2), State.WAITING, "has not taken up"),
        ({**model(NEW), "status": {}}, State.WAITING, "has written no status yet"),
        (rolling("Progressing", "Step 1 of 3"), State.WAITING, "Step 1 of 3"),
        (rolling("Paused", "Somebody paused it"), State.PAUSED, "Somebody paused it"),
        (rolling("RolledBack", "errorRate failed", gates=GATES), State.FAILED, "7 of 20 requests failed"),
        (rolling("Aborted", "Somebody gave it up"), State.FAILED, "Somebody gave it up"),
        (model(NEW, conditions=STALLED, phase="Failed"), State.FAILED, "The artifact is not there"),
        (model(OLD), State.SUPERSEDED, f"asks for {OLD} by now"),
        (model(NEW, PIN), State.SUPERSEDED, PIN),
    ],
)  # fmt: skip
def test_each_state_has_its_word_and_reason(body: Any, state: State, said: str) -> None:
    found = progress(Model(body), Version(NEW))
    assert found.state is state
    assert said in found.message


def test_the_version_before_is_never_taken_for_the_new_one() -> None:
    """The status speaks of the new spec, all is well, and the rollout is only about to begin."""
    stale = model(NEW, stable={"revision": "fraud-a", "uri": OLD})
    assert progress(Model(stale), Version(NEW)).state is State.WAITING
    other = model(NEW, NEW_PIN, stable={"revision": "fraud-a", "uri": NEW, "digest": PIN})
    found = progress(Model(other), Version(NEW, NEW_PIN))
    assert (found.state, PIN in found.message) == (State.WAITING, True)


def test_without_a_version_whatever_spec_asks_for_is_waited_for() -> None:
    assert progress(Model(model(OLD))).state is State.PROMOTED


def test_the_evidence_is_handed_on() -> None:
    found = progress(Model(rolling("RolledBack", "errorRate failed", gates=GATES)), Version(NEW))
    assert found.rollout is not None
    assert found.rollout["gates"][0]["candidate"] == {"requests": 20, "bad": 7}


@pytest.mark.parametrize(
    ("body", "paused", "expected"),
    [
        (promoted(), "fail", True),
        (rolling("Progressing", "Step 1"), "fail", False),
        (rolling("Paused", "Somebody paused it"), "wait", False),
        (rolling("Paused", "Somebody paused it"), "fail", "paused: .*Somebody paused it"),
        (rolling("RolledBack", "errorRate failed"), "wait", "failed: .*errorRate failed"),
        (model(OLD), "wait", "superseded: "),
    ],
)
def test_a_sensor_waits_ends_or_fails(body: Any, paused: str, expected: bool | str) -> None:
    found = progress(Model(body), Version(NEW))
    if isinstance(expected, bool):
        assert is_promoted(found, when_paused=paused) is expected
    else:
        with pytest.raises(NotPromotedError, match=expected):
            is_promoted(found, when_paused=paused)
