"""What people read in the status."""

import dataclasses
from typing import Any

import pytest

from builders import MODEL, container, observed, owner, pod, revision, router, shared_router
from modelward.api.conditions import by_type
from modelward.api.modeldeployment import Gateway, ParentReference, Router
from modelward.api.rollout import CANARY, SHADOW, Rollout, Shadow, Step
from modelward.facts import Arm, Clock, Observed, PodFacts, Progress, Promotion, RevisionFacts, VariantFacts
from modelward.reconcilers.modeldeployment.assessment import patience_left
from modelward.reconcilers.modeldeployment.status import build_status, is_urgent
from modelward.revisions.health.diagnosis import PATIENCE, Problem, diagnose
from modelward.rollouts.decision import decide

A, B, C, D = "fraud-a", "fraud-b", "fraud-c", "fraud-d"
NOW = "2026-01-01T00:00:00Z"


def status_of(facts: Observed, refused: Problem | None = None, version: str = "v1") -> dict[str, Any]:
    return build_status(owner(), facts, decide(facts), version, refused, NOW)


def summary(status: dict[str, Any]) -> dict[str, str]:
    return {kind: f"{each['status']} {each['reason']}" for kind, each in by_type(status["conditions"]).items()}


FAILING = pod(
    ready=False, containers=(container("download", exit_code=1, exit_message='{"reason": "X", "message": "m"}'),)
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


@pytest.mark.parametrize("value", ["now", ""])
def test_the_annotation_that_pods_were_made_anew_for_is_remembered_also_where_it_is_empty(value: str) -> None:
    facts, asks = observed(A, revision(A), router=router(A)), dataclasses.replace(owner(), restart=value)
    done = build_status(asks, facts, decide(facts), "v1", None, NOW, restarted=True)
    assert done["restart"] == value
    later = dataclasses.replace(owner(), status=done)
    assert build_status(later, facts, decide(facts), "v1", None, NOW)["restart"] == value
    assert "restart" not in status_of(facts)


def test_a_stable_that_is_gone_is_told_of_as_what_it_was_and_never_as_the_target() -> None:
    facts = observed(B, revision(B), router=router(A, B, progress=Progress(B, 1, "RolledBack")))
    gone = {"revision": A, "uri": "s3://models/what-it-was.onnx", "format": "onnx", "digest": "sha256:1"}
    for told, expected in ((gone, gone), ({"revision": A}, {"revision": A})):
        last = dataclasses.replace(owner(), status={"stable": told})
        status = build_status(last, facts, decide(facts), "v1", None, NOW)
        assert summary(status)["Stalled"] == "True StableGone"
        assert {key: value for key, value in status["stable"].items() if key in gone} == expected


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


CANARIES = Rollout(CANARY, (Step(10), Step(50)))
FEW = revision(B, desired=4, ready=1)


def rolling(phase: str = "Progressing", step: int = 0, weight: int | None = 10, **facts: Any) -> Observed:
    """From A to B in steps; B has an arm unless `weight` is None."""
    arms = () if weight is None else (Arm("candidate", B, weight),)
    progress = facts.pop("progress", Progress(B, step, phase, message="The cause"))
    routes = router(A, *([B] if weight is None else []), arms=arms, progress=progress)
    candidate = facts.pop("candidate", revision(B))
    values = {"rollout": CANARIES, "clock": Clock(1000.0, step=990.0), **facts}
    return observed(B, revision(A), candidate, router=routes, **values)


ROLLOUTS: dict[str, tuple[Observed, str, str, str, str]] = {
    # what: (facts, phase, Ready, Stalled, a part of Ready's message)
    "its pods come up": (
        rolling(weight=None, candidate=revision(B, ready=0)), "Progressing", "False WaitingForPods", "False NoProblem",
        "Waiting for the pods of fraud-b to become ready. Until then fraud-a keeps serving.",
    ),
    "a step": (
        rolling(), "Progressing", "False RollingOut", "False NoProblem",
        "Waiting for the rollout of fraud-b: step 1 of 2. Until then fraud-a keeps serving.",
    ),
    "full size": (
        rolling(step=2, weight=50, replicas=4, candidate=FEW), "Progressing", "False RollingOut", "False NoProblem",
        "Waiting for the rollout of fraud-b: full size.",
    ),
    "paused": (
        rolling("Paused"), "Paused", "False Paused", "False NoProblem", "Waiting for a person: The cause.",
    ),
    "rolled back": (
        rolling("RolledBack", weight=None), "RolledBack", "False RolledBack", "True RolledBack",
        "fraud-b does not get the traffic. The cause. Change spec, set it back, or try once more",
    ),
    "aborted": (
        rolling("Aborted", weight=None), "RolledBack", "False Aborted", "True Aborted", "modelward.io/rollout=retry`",
    ),
    "promoted": (
        observed(B, revision(B), router=router(B, progress=Progress(B, 2, "Promoted"))),
        "Ready", "True Serving", "False NoProblem", "fraud-b answers on 1 replica",
    ),
    "its pods fail, and it is not given up yet": (
        rolling(weight=None, candidate=revision(B, ready=0, pods=(FAILING,))),
        "Failed", "False X", "True X", "m. Until then fraud-a keeps serving.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ROLLOUTS)
def test_a_rollout_in_the_conditions(case: str) -> None:
    facts, phase, ready, stalled, message = ROLLOUTS[case]
    status = status_of(facts)
    conditions = by_type(status["conditions"])
    assert (status["phase"], summary(status)["Ready"], summary(status)["Stalled"]) == (phase, ready, stalled)
    assert message in conditions["Ready"]["message"]
    assert summary(status)["Servable"] == "True Answering"


def test_who_gets_how_much() -> None:
    status = status_of(rolling())
    assert (status["stable"]["weight"], status["candidate"]["weight"], status["candidate"]["revision"]) == (90, 10, B)
    assert status["rollout"]["progress"] == "1/2 10%"
    mirrored = router(A, arms=(Arm("candidate", B, 0, 40),), progress=Progress(B, 0, "Paused"))
    shadow = status_of(observed(B, revision(A), revision(B), router=mirrored, rollout=CANARIES))
    assert (shadow["stable"]["weight"], shadow["candidate"]["weight"]) == (100, 0)
    assert shadow["candidate"]["mirrorPercent"] == 40


def test_a_candidate_that_was_given_up_is_none() -> None:
    assert "candidate" not in status_of(rolling("RolledBack", weight=None))


def test_no_rollout_and_nothing_beside_the_stable() -> None:
    status = status_of(observed(A, revision(A), router=router(A)))
    assert not status.keys() & {"rollout", "candidate", "history", "variants"}


def test_earlier_revisions_that_still_run() -> None:
    earlier = (revision(A, promoted=1, desired=2), revision(B, promoted=2, desired=2, ready=1))
    facts = observed(
        C, *earlier, revision(C, promoted=3, desired=2), router=router(C, A, B), history_limit=2, replicas=2
    )
    status = status_of(facts)
    assert [(each["revision"], each["replicas"], each["readyReplicas"]) for each in status["history"]] == [
        (B, 2, 1), (A, 2, 2),
    ]  # fmt: skip
    assert summary(status)["Ready"] == "True Serving"


VARIANT = VariantFacts("b", C, MODEL, weight=20, mirror=5, replicas=3)
COMPARED = [{"name": "errorRate", "difference": "+1.00%"}]


def beside(*revisions: RevisionFacts, arms: tuple[Arm, ...] = (Arm("b", C, 20, 5),), **facts: Any) -> Observed:
    attached = tuple(each.name for each in revisions if each.name not in {arm.revision for arm in arms})
    return observed(A, revision(A), *revisions, router=router(A, *attached, arms=arms), variants=(VARIANT,), **facts)


VARIANTS: dict[str, tuple[Observed, dict[str, Any], str]] = {
    # what: (facts, what is told besides name, against and uri, Ready)
    "it is being made": (
        beside(arms=()),
        {"revision": C, "weight": 0, "mirrorPercent": 0, "replicas": 3, "readyReplicas": 0,
         "message": "fraud-c is being prepared"},
        "True Serving",
    ),
    "it gets its share": (
        beside(revision(C, desired=3)),
        {"revision": C, "weight": 20, "mirrorPercent": 5, "replicas": 3, "readyReplicas": 3},
        "True Serving",
    ),
    "none of its pods is ready": (
        beside(revision(C, desired=3, ready=0)),
        {"revision": C, "weight": 0, "mirrorPercent": 0, "replicas": 3, "readyReplicas": 0,
         "message": "No pod of fraud-c is ready; the stable gets its requests"},
        "True Serving",
    ),
    "its pods fail": (
        beside(revision(C, ready=0, pods=(FAILING,)), arms=()),
        {"revision": C, "weight": 0, "mirrorPercent": 0, "replicas": 3, "readyReplicas": 0,
         "message": "fraud-c is being prepared. m"},
        "True Serving",
    ),
    "its next revision is being made": (
        beside(revision(D), revision(C, ready=0), arms=(Arm("b", D, 20, 5),)),
        {"revision": D, "weight": 20, "mirrorPercent": 5, "readyReplicas": 1,
         "message": "fraud-c is being prepared, and takes over when it answers"},
        "True Serving",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", VARIANTS)
def test_a_variant(case: str) -> None:
    facts, told, ready = VARIANTS[case]
    status = status_of(facts)
    assert status["variants"] == [{"name": "b", "against": A, "uri": MODEL.uri, **told}]
    assert status["stable"]["weight"] == 100 - told["weight"]
    assert summary(status)["Ready"] == ready


def test_a_variant_that_is_being_made_is_work_left_to_do() -> None:
    assert summary(status_of(beside(revision(C, ready=0), arms=())))["Reconciling"] == "True WaitingForVariants"
    assert summary(status_of(beside(revision(C))))["Reconciling"] == "False UpToDate"


def compared(facts: Observed, stored: dict[str, Any], comparisons: dict[str, Any] | None = None) -> Any:
    last = dataclasses.replace(owner(), status={"variants": [stored]} if stored else {})
    status = build_status(last, facts, decide(facts), "v1", None, NOW, comparisons=comparisons)
    return status["variants"][0].get("comparisons")


def test_comparisons_stay_while_both_are_what_they_are() -> None:
    facts = beside(revision(C, desired=3))
    stored = {"name": "b", "revision": C, "against": A, "comparisons": COMPARED}
    assert compared(facts, stored) == COMPARED
    assert compared(facts, stored, {"b": [{"name": "latency"}]}) == [{"name": "latency"}]
    assert compared(facts, stored, {"other": []}) == COMPARED
    assert compared(facts, {**stored, "revision": D}) is None
    assert compared(facts, {**stored, "against": D}) is None
    assert compared(facts, {}) is None


@pytest.mark.parametrize(
    ("path", "value", "urgent"),
    [
        (("rollout", "message"), "other words", False),
        (("rollout", "gates"), [{"name": "errorRate", "verdict": "Inconclusive", "message": "2 of 9"}], False),
        (("rollout", "gates"), [{"name": "errorRate", "verdict": "Fail", "message": "1 of 9"}], True),
        (("rollout", "phase"), "Paused", True),
        (("rollout", "stepStartedAt"), "2027-01-01T00:00:00Z", True),
        (("candidate", "readyReplicas"), 7, False),
        (("candidate", "weight"), 50, True),
        (("variants",), [{"name": "b", "revision": C, "weight": 20, "comparisons": COMPARED}], False),
        (("variants",), [{"name": "b", "revision": C, "weight": 0}], True),
        (("variants",), [], True),
    ],
)
def test_only_counts_of_a_rollout_may_wait(path: tuple[str, ...], value: Any, urgent: bool) -> None:
    facts = rolling()
    gates = [{"name": "errorRate", "verdict": "Inconclusive", "message": "1 of 9"}]
    status = build_status(owner(), facts, decide(facts), "v1", None, NOW, gates)
    status["variants"] = [{"name": "b", "revision": C, "weight": 20}]
    changed = {**status, path[0]: {**status[path[0]], path[1]: value} if len(path) == 2 else value}
    assert is_urgent(status, changed) is urgent


SERVERS = "app.kubernetes.io/instance=fraud,app.kubernetes.io/component=server,modelward.io/revision"


def test_an_autoscaler_measures_the_pods_that_share_the_requests() -> None:
    rollout = Rollout(CANARY, (Step(50, "60s"),))

    routers = router(A, arms=(Arm("candidate", B, 50),), progress=Progress(B))
    facts = observed(B, revision(A), revision(B), router=routers, rollout=rollout, clock=Clock(10.0, step=9.0))
    assert status_of(facts)["selector"] == f"{SERVERS} in ({A},{B})"
    assert status_of(observed(A, revision(A), router=router(A)))["selector"] == f"{SERVERS}={A}"


def test_copies_relieve_nobody() -> None:
    routers = router(A, arms=(Arm("candidate", B, 0, 100),), progress=Progress(B))
    shadow = Rollout(SHADOW, shadow=Shadow(100, requests=10))
    facts = observed(B, revision(A), revision(B), router=routers, rollout=shadow, clock=Clock(10.0, step=9.0))
    assert status_of(facts)["selector"] == f"{SERVERS}={A}"


NO_NODE = pod("new", ready=False, unschedulable="0/5 nodes: Insufficient memory", waits_since=1000.0)
NO_IMAGE = pod(
    "new", ready=False, waits_since=1000.0,
    containers=(container(waiting_reason="ErrImagePull", waiting_message='Back-off pulling image "x:1"'),),
)  # fmt: skip


@pytest.mark.parametrize(("waits", "reason"), [(NO_NODE, "Unschedulable"), (NO_IMAGE, "ImagePullFailed")])
def test_what_may_pass_by_itself_stalls_after_a_while_only(waits: PodFacts, reason: str) -> None:
    """An HPA asks for one more, and the autoscaler makes a node for it."""

    def after(seconds: float) -> Observed:
        scaled = revision(A, desired=3, ready=2, pods=(pod("p1"), pod("p2"), waits))
        return observed(A, scaled, router=router(A), replicas=3, clock=Clock(1000.0 + seconds))

    status = status_of(after(PATIENCE - 1))
    assert summary(status) == {
        "Ready": f"False {reason}", "Servable": "True Answering",
        "Reconciling": f"True {reason}", "Stalled": "False NoProblem",
    }  # fmt: skip
    assert status["phase"] == "Progressing"
    problem = diagnose(after(0).revisions[A].workload, "spec.resources.limits.memory")
    assert problem is not None
    assert problem.message in by_type(status["conditions"])["Ready"]["message"]
    assert patience_left(after(PATIENCE - 1), A) == 1.0
    status = status_of(after(PATIENCE))
    assert (summary(status)["Stalled"], status["phase"]) == (f"True {reason}", "Failed")
    assert patience_left(after(PATIENCE), A) is None


def test_what_passes_hides_nothing_that_does_not() -> None:
    failing = dataclasses.replace(FAILING, waits_since=1000.0)
    for pods in ((NO_NODE, failing), (failing, NO_NODE)):
        facts = observed(A, revision(A, desired=2, ready=0, pods=pods), router=router(A), clock=Clock(1000.0))
        assert summary(status_of(facts))["Stalled"] == "True X"
        assert patience_left(facts, A) is None


def test_a_candidate_that_was_rolled_back_stays_stalled_while_something_passes() -> None:
    progress = Progress(B, 0, "RolledBack", "it was worse")
    facts = observed(
        B, revision(A, desired=2, ready=1, pods=(pod("p1"), NO_NODE)), router=router(A, progress=progress),
        clock=Clock(1000.0),
    )  # fmt: skip
    assert summary(status_of(facts))["Stalled"] == "True RolledBack"


@pytest.mark.parametrize(
    ("reason", "why", "said"),
    [("FormatNotAllowed", "no right.", True), ("FormatNotAllowed", None, False), ("X", "no right", False)],
)
def test_a_refused_format_is_not_told_as_the_namespaces_word_where_nobody_could_read_it(
    reason: str, why: str | None, said: bool
) -> None:
    refused = container("download", exit_code=1, exit_message=f'{{"reason": "{reason}", "message": "a pickle"}}')
    facts = observed(
        B, revision(A), revision(B, ready=0, pods=(pod(ready=False, containers=(refused,)),)), router=router(A)
    )
    message = by_type(status_of(dataclasses.replace(facts, consent_unread=why))["conditions"])["Stalled"]["message"]
    assert "a pickle. " in message
    assert ("could not be read, so it counts as absent: no right. Give" in message) == said


def promoted(name: str, number: int, version: str | None) -> RevisionFacts:
    lineage = {"commit": f"commit of {version}"} if version else {}
    return dataclasses.replace(
        revision(name, promoted=number), model=dataclasses.replace(MODEL, version=version, lineage=lineage)
    )


def test_what_was_stable_before_is_told_also_when_it_is_gone() -> None:
    status: dict[str, Any] = {}
    names, seen = (A, B, C, D, A), []
    for number, name in enumerate(names, 1):
        before = [promoted(names[number - 2], number - 1, str(number - 1))] if number > 1 else []
        facts = observed(name, *before, promoted(name, number, str(number)), router=router(name))
        for _ in range(2):  # and again, when nothing has changed
            status = build_status(
                dataclasses.replace(owner(), status=status), facts, decide(facts), "v1", None, f"2026-01-0{number}"
            )
        seen.append([each["revision"] for each in status.get("previous", ())])
    assert seen == [[], [A], [B, A], [C, B, A], [D, C, B]]
    assert status["previous"][0] == {
        "revision": D, "uri": MODEL.uri, "version": "4", "commit": "commit of 4", "format": "auto",
        "lineage": {"commit": "commit of 4"}, "since": "1970-01-01T00:00:00Z", "until": "2026-01-05",
    }  # fmt: skip


def test_a_stable_that_went_before_anybody_looked_is_told_by_what_status_had() -> None:
    told: dict[str, Any] = {"revision": A, "uri": "s3://m/1", "version": "1", "digest": "sha256:1", "weight": 100}
    told["features"] = {"service": "drivers_v1"}
    model = {"uri": "s3://m/1", "version": "1", "lineage": {"runId": "r1"}}
    facts = observed(B, promoted(B, 2, "2"), router=router(B))
    last = dataclasses.replace(owner(), status={"stable": told, "model": model})
    (entry,) = build_status(last, facts, decide(facts), "v1", None, NOW)["previous"]
    assert entry == {
        "revision": A, "uri": "s3://m/1", "version": "1", "digest": "sha256:1", "lineage": {"runId": "r1"},
        "features": {"service": "drivers_v1"}, "until": NOW,
    }  # fmt: skip


@pytest.mark.parametrize("at", [1e300, -1e300, float("inf"), float("nan"), 1e17])
def test_a_time_that_is_none_is_left_out(at: float) -> None:
    gone = dataclasses.replace(promoted(A, 1, "1"), promoted=Promotion(1, at))
    facts = observed(B, gone, promoted(B, 2, "2"), router=router(B))
    last = dataclasses.replace(owner(), status={"stable": {"revision": A}})
    (entry,) = build_status(last, facts, decide(facts), "v1", None, NOW)["previous"]
    assert (entry["revision"], entry["until"], "since" in entry) == (A, NOW, False)
