"""What people read in the status."""

from typing import Any

import pytest

from builders import container, observed, owner, pod, revision, router, shared_router
from modelward.api.conditions import by_type
from modelward.api.modeldeployment import Gateway, ParentReference, Router
from modelward.domain.diagnosis import Problem
from modelward.domain.facts import Observed
from modelward.domain.rollout import decide
from modelward.domain.status import build_status, is_urgent

A, B = "fraud-a", "fraud-b"
NOW = "2026-01-01T00:00:00Z"


def status_of(facts: Observed, refused: Problem | None = None, version: str = "v1") -> dict[str, Any]:
    return build_status(owner(), facts, decide(facts), version, refused, NOW)


def summary(status: dict[str, Any]) -> dict[str, str]:
    return {kind: f"{each['status']} {each['reason']}" for kind, each in by_type(status["conditions"]).items()}


FAILING = pod(
    ready=False, containers=(container("fetch", exit_code=1, exit_message='{"reason": "X", "message": "m"}'),)
)


def test_every_condition_is_there_from_the_first_status_on() -> None:
    status = status_of(observed(A))
    assert summary(status) == {
        "Ready": "False WaitingForPods",
        "Servable": "False NoReadyPods",
        "Reconciling": "True WaitingForPods",
        "Stalled": "False NoProblem",
    }
    assert status["phase"] == "Pending"


def test_converged() -> None:
    status = status_of(observed(A, revision(A), router=router(A)))
    assert summary(status) == {
        "Ready": "True Serving",
        "Servable": "True Answering",
        "Reconciling": "False UpToDate",
        "Stalled": "False NoProblem",
    }
    assert status["phase"] == "Ready"
    assert "candidate" not in status
    assert status["url"] == "http://fraud.ml.svc"


def test_a_bad_candidate_stalls_while_the_stable_keeps_serving() -> None:
    status = status_of(observed(B, revision(A), revision(B, ready=0, pods=(FAILING,)), router=router(A, B)))
    assert summary(status) == {
        "Ready": "False X",
        "Servable": "True Answering",
        "Reconciling": "False X",
        "Stalled": "True X",
    }
    assert status["phase"] == "Failed"
    assert status["stable"]["revision"] == A
    assert status["candidate"]["revision"] == B
    message = by_type(status["conditions"])["Ready"]["message"]
    assert f"Until then {A} keeps serving" in message


def test_ready_while_the_old_revision_is_taken_away() -> None:
    facts = observed(B, revision(A), revision(B), router=router(A, B))
    status = build_status(owner(), facts, decide(facts), "v2", None, NOW)
    assert summary(status)["Ready"] == "False WaitingForRouter"
    switched = observed(B, revision(A), revision(B), router=router(B, A, version="v1"))
    decision = decide(switched)
    assert decision.remove == (A,)
    assert summary(status_of(switched))["Ready"] == "True Serving"


def test_servable_follows_the_pods_that_get_the_traffic() -> None:
    status = status_of(observed(A, revision(A, ready=0), router=router(A)))
    assert summary(status)["Servable"] == "False NoReadyPods"


def test_what_the_api_server_refuses_is_shown_first() -> None:
    status = status_of(observed(A, revision(A), router=router(A)), refused=Problem("NameTaken", "Service fraud exists"))
    assert summary(status)["Stalled"] == "True NameTaken"


def test_the_time_of_transition_stays_while_the_status_does() -> None:
    facts = observed(A, revision(A), router=router(A))
    first = status_of(facts)
    changed = owner()
    later = build_status(
        type(changed)(**{**vars(changed), "status": first}), facts, decide(facts), "v1", None, "2030-01-01T00:00:00Z"
    )
    assert later == first


@pytest.mark.parametrize(
    ("change", "urgent"),
    [({"readyReplicas": 7}, False), ({"phase": "Failed"}, True), ({"stable": {"revision": B}}, True)],
)
def test_only_counts_may_wait(change: dict[str, Any], urgent: bool) -> None:
    status = status_of(observed(A, revision(A), router=router(A)))
    assert is_urgent(status, {**status, **change}) is urgent


SHARED = owner(router=Router(gateway=Gateway((ParentReference("public"),))))


def shared_status(facts: Observed, version: str = "v1") -> dict[str, Any]:
    return build_status(SHARED, facts, decide(facts), version, None, NOW)


def test_behind_a_gateway_only_the_gateway_knows_the_address() -> None:
    status = shared_status(observed(A, revision(A), router=shared_router(A)))
    assert summary(status)["Ready"] == "True Serving"
    assert status["router"] == {"configVersion": "v1", "live": True}
    assert not {"url", "grpcAddress"} & set(status)


@pytest.mark.parametrize(
    ("facts", "ready", "servable"),
    [
        ({}, "True Serving", "True Answering"),
        ({"live": None}, "False WaitingForRouter", "True Answering"),
        ({"reachable": frozenset()}, "False WaitingForRouter", "True Answering"),
        ({"accepted": False, "live": None}, "False WaitingForRouter", "False RouterNotReady"),
        ({"accepted": False, "live": None, "former": True}, "False WaitingForRouter", "True Answering"),
        ({"former": True}, "True Serving", "True Answering"),
        ({"accepted": False, "live": None, "refused": "Because"}, "False GatewayRefused", "False RouterNotReady"),
    ],
)
def test_conditions_behind_a_gateway(facts: dict[str, Any], ready: str, servable: str) -> None:
    found = summary(shared_status(observed(A, revision(A), router=shared_router(A, **facts))))
    assert (found["Ready"], found["Servable"]) == (ready, servable)


def test_what_gateways_have_not_done_is_said() -> None:
    status = shared_status(observed(A, revision(A), router=shared_router(A, live=None, waits_for="Gateway x to do it")))
    assert by_type(status["conditions"])["Reconciling"]["message"] == "Waiting for Gateway x to do it."


def test_a_refused_route_needs_a_person() -> None:
    refused = shared_router(A, live=None, accepted=False, refused="HTTPRoute fraud is not taken up")
    status = shared_status(observed(A, revision(A), router=refused))
    assert by_type(status["conditions"])["Stalled"]["message"] == "HTTPRoute fraud is not taken up."
    assert status["phase"] == "Failed"


def test_the_former_router_is_the_last_to_be_waited_for() -> None:
    status = shared_status(observed(A, revision(A), router=shared_router(A, former=True)))
    assert summary(status)["Reconciling"] == "True RemovingFormerRouter"
