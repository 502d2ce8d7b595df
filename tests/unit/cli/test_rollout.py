"""`modelward rollout` as a program: watched to its end, and told what to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelward_cli.fleet.rollout import ACTIONS

from .test_status import STALLED, model
from .world import Namespace

MODELS = "modeldeployments.modelward.io"
CANDIDATE = {"revision": "fraud-bbbbbbbbbb", "weight": 25}


@pytest.fixture
def namespace(tmp_path: Path) -> Namespace:
    return Namespace(tmp_path)


def at(phase: str, progress: str, of: str = "Progressing", *, attempt: int = 1, **more: Any) -> dict[str, Any]:
    rollout = {
        "revision": "fraud-bbbbbbbbbb",
        "attempt": attempt,
        "phase": phase,
        "progress": progress,
        "message": f"It is {phase}",
    }
    candidate = {} if phase == "Promoted" else {"candidate": CANDIDATE}
    return model("fraud", of, rollout=rollout, **candidate, **more)


RUNNING = at("Progressing", "1/2 25%")
PAUSED = at("Paused", "Paused 1/2 25%", "Paused")
PROMOTED = at("Promoted", "Promoted", "Ready")
ROLLED_BACK = at(
    "RolledBack", "RolledBack", "RolledBack", conditions=[{**each, "reason": "RolledBack"} for each in STALLED]
)
ABORTED = at("Aborted", "Aborted", "RolledBack")


def test_a_rollout_is_watched_until_it_is_promoted(namespace: Namespace) -> None:
    stale = at("Promoted", "Promoted", "Ready")
    stale["metadata"]["generation"] = 4  # the change of spec that is to be watched
    namespace.then(MODELS, [stale], [RUNNING], [RUNNING], [PROMOTED])
    ended = namespace.modelward("rollout", "watch", "fraud")
    assert ended.returncode == 0, ended.stderr
    said = [line[11:] for line in ended.stdout.splitlines()]
    assert said == [
        "The operator has not taken up the last change of spec yet",
        "1/2 25%  It is Progressing",
        "Promoted  It is Promoted",
    ], "a line for each change"


@pytest.mark.parametrize("end", [ROLLED_BACK, ABORTED, PAUSED, model("fraud", "Failed", STALLED)])
def test_another_end_has_another_exit_code(namespace: Namespace, end: dict[str, Any]) -> None:
    namespace.then(MODELS, [RUNNING], [end])
    ended = namespace.modelward("rollout", "watch", "fraud", "-o", "json")
    assert ended.returncode == 4, ended.stderr
    first, last = map(json.loads, ended.stdout.splitlines())
    assert (first["rollout"]["phase"], first["model"], first["namespace"]) == ("Progressing", "fraud", "ml")
    assert last["phase"] == end["status"]["phase"]


def test_a_watch_ends_when_its_time_is_over(namespace: Namespace) -> None:
    namespace.holds(MODELS, RUNNING)
    assert namespace.modelward("rollout", "watch", "fraud", "--timeout", "0").returncode == 5
    for wrong in ("-1", "soon", "nan", "inf"):
        assert namespace.modelward("rollout", "watch", "fraud", f"--timeout={wrong}").returncode == 2


def test_the_first_revision_is_watched_until_it_answers(namespace: Namespace) -> None:
    waiting = [{"type": "Ready", "status": "False", "reason": "WaitingForPods", "message": "Waiting for pods"}]
    namespace.then(MODELS, [model("fraud", "Pending", waiting)], [model("fraud")])
    ended = namespace.modelward("rollout", "watch", "fraud")
    assert ended.returncode == 0
    assert "Waiting for pods" in ended.stdout


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("promote", RUNNING, at("Promoting", "2/2 Promoting", attempt=2)),
        ("promote", ROLLED_BACK, at("Progressing", "2/2", attempt=2)),
        ("pause", RUNNING, PAUSED),
        ("resume", PAUSED, at("Progressing", "1/2 25%", attempt=2)),
        ("abort", RUNNING, ABORTED),
        ("abort", PAUSED, ABORTED),
        ("retry", ROLLED_BACK, at("Preparing", "1/2 Preparing", attempt=2)),
        ("retry", ABORTED, at("Preparing", "1/2 Preparing", attempt=2)),
    ],
)
def test_a_command_is_an_annotation_and_waited_for(
    namespace: Namespace, action: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    asked = json.loads(json.dumps(before))
    asked["metadata"]["annotations"] = {"modelward.io/rollout": action}
    # The annotation goes a moment before the status is written.
    namespace.then(MODELS, [before], [asked], [before], [after])
    ended = namespace.modelward("rollout", action, "fraud")
    assert ended.returncode == 0, ended.stderr
    assert after["status"]["rollout"]["progress"] in ended.stdout
    (call,) = [call for call in namespace.calls() if call[0] == "annotate"]
    assert call == ["annotate", MODELS, "fraud", f"modelward.io/rollout={action}"]


@pytest.mark.parametrize(
    ("body", "sensible"),
    [
        (RUNNING, {"promote", "pause", "abort"}),
        (PAUSED, {"promote", "resume", "abort"}),
        (PROMOTED, set()),
        (ROLLED_BACK, {"promote", "retry"}),
        (ABORTED, {"promote", "retry"}),
        (model("fraud"), set()),
    ],
)
def test_what_makes_no_sense_now_is_not_asked_for(
    namespace: Namespace, body: dict[str, Any], sensible: set[str]
) -> None:
    namespace.holds(MODELS, body)
    for action in set(ACTIONS) - sensible:
        ended = namespace.modelward("rollout", action, "fraud")
        assert (ended.returncode, ended.stdout) == (1, ""), action
        assert "fraud" in ended.stderr
    assert not [call for call in namespace.calls() if call[0] == "annotate"]


def test_nobody_speaks_over_another(namespace: Namespace) -> None:
    asked = json.loads(json.dumps(RUNNING))
    asked["metadata"]["annotations"] = {"modelward.io/rollout": "abort"}
    namespace.holds(MODELS, asked)
    ended = namespace.modelward("rollout", "promote", "fraud")
    assert ended.returncode == 1
    assert "`abort` is asked for already" in ended.stderr


def test_where_no_operator_runs_it_says_so(namespace: Namespace) -> None:
    namespace.holds(MODELS, RUNNING)
    ended = namespace.modelward("rollout", "pause", "fraud", "--timeout", "0")
    assert ended.returncode == 5
    assert "the operator has not taken it up; it will when it runs" in ended.stderr
