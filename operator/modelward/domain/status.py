"""The status of a ModelDeployment: what people, Argo CD and Flux read instead of our code.

Pure: the same facts give the same status but for the times of transition, so a converged object is never written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelward.api import conditions
from modelward.api.conditions import Condition
from modelward.api.modeldeployment import ModelDeployment
from modelward.api.names import GRPC_PORT, LABEL_REVISION
from modelward.domain.artifact import artifacts_of, differing
from modelward.domain.diagnosis import Problem, diagnose
from modelward.domain.facts import Observed, RevisionFacts
from modelward.domain.rollout import Decision

SERVER_MEMORY_FIELD = "spec.resources.limits.memory"
ROUTER_MEMORY_FIELD = "spec.router.resources.limits.memory"


@dataclass(frozen=True)
class Assessment:
    """What is the matter, in the terms of the conditions."""

    servable: Condition
    problem: Problem | None
    waiting_for: str | None
    """What the operator waits for, as the end of a sentence; None when nothing is left to do."""
    reason: str


def problem_of(observed: Observed, refused: Problem | None) -> Problem | None:
    """The most telling problem: what the API server refused, then the target's pods, the router's, the stable's."""
    if refused:
        return refused
    target = observed.revisions.get(observed.target)
    problem = (diagnose(target.workload, SERVER_MEMORY_FIELD) or differing(target.workload)) if target else None
    if problem is None and observed.router.workload:
        router = diagnose(observed.router.workload, ROUTER_MEMORY_FIELD)
        problem = replace(router, message=f"The router does not come up. {router.message}") if router else None
    return problem


def assess(observed: Observed, decision: Decision, version: str, refused: Problem | None) -> Assessment:
    """Judge the facts. `version`: of the configuration that `decision` asks of the router."""
    problem = problem_of(observed, refused)
    stable = decision.routes.stable
    target = observed.revisions.get(observed.target)
    router = observed.router
    answering = _servable(observed, stable)
    waiting_for, reason = None, "Serving"
    if target is None or not target.workload.complete:
        waiting_for, reason = f"the pods of {observed.target} to become ready", "WaitingForPods"
    elif router.workload is None or not router.workload.complete:
        waiting_for, reason = "the router's pods to become ready", "WaitingForRouter"
    elif stable != observed.target or not router.follows(version) or not router.reaches(observed.target):
        waiting_for, reason = f"the router to follow configuration {version}", "WaitingForRouter"
    elif decision.routes.attached:
        waiting_for, reason = f"{', '.join(decision.routes.attached)} to be taken away", "RemovingOldRevision"
    return Assessment(answering, problem, waiting_for, reason)


def _servable(observed: Observed, stable: str) -> Condition:
    """Whether somebody gets answers now, from whatever revision the router really sends requests to."""
    routed = observed.router.routes.stable if observed.router.routes else stable
    facts = observed.revisions.get(routed)
    if facts is None or facts.workload.ready == 0:
        message = f"No pod of {routed}, which gets the traffic, is ready"
        return Condition(conditions.SERVABLE, False, "NoReadyPods", message)
    if not any(routed in pod.reachable for pod in observed.router.serving):
        message = f"Pods of {routed} are ready, but no router pod reaches them yet"
        return Condition(conditions.SERVABLE, False, "RouterNotReady", message)
    return Condition(conditions.SERVABLE, True, "Answering", f"{routed} answers requests")


def build_conditions(observed: Observed, assessment: Assessment, stable: str) -> tuple[Condition, ...]:
    """The four conditions, always all of them."""
    problem, waiting = assessment.problem, assessment.waiting_for
    keeps = f" Until then {stable} keeps serving." if stable != observed.target and assessment.servable.status else ""
    if problem:
        message = f"{problem.message}.{keeps}"
        ready = Condition(conditions.READY, False, problem.reason, message)
        reconciling = Condition(conditions.RECONCILING, False, problem.reason, "Waiting for the cause of Stalled to go")
        stalled = Condition(conditions.STALLED, True, problem.reason, message)
    elif waiting:
        message = f"Waiting for {waiting}.{keeps}"
        # Taking away what no longer gets traffic is work left to do, but the model that spec asks for does answer.
        done = assessment.reason == "RemovingOldRevision"
        ready = Condition(conditions.READY, done, "Serving" if done else assessment.reason, message)
        reconciling = Condition(conditions.RECONCILING, True, assessment.reason, message)
        stalled = Condition(conditions.STALLED, False, "NoProblem", "Nothing needs a person")
    else:
        replicas = f"{observed.replicas} replica{'s' if observed.replicas > 1 else ''}"
        message = f"{observed.target} answers on {replicas} with {observed.target_model.uri}"
        ready = Condition(conditions.READY, True, "Serving", message)
        reconciling = Condition(conditions.RECONCILING, False, "UpToDate", "Everything is as spec asks")
        stalled = Condition(conditions.STALLED, False, "NoProblem", "Nothing needs a person")
    return (ready, assessment.servable, reconciling, stalled)


def phase_of(rendered: tuple[Condition, ...], stalled: bool) -> str:
    """One word for the printer column."""
    by_type = {condition.type: condition for condition in rendered}
    if stalled:
        return "Failed"
    if by_type[conditions.READY].status:
        return "Ready"
    return "Progressing" if by_type[conditions.SERVABLE].status else "Pending"


def build_status(
    deployment: ModelDeployment,
    observed: Observed,
    decision: Decision,
    version: str,
    refused: Problem | None,
    now: str,
) -> dict[str, Any]:
    """The whole status, as it is to be stored. `now`: RFC 3339, UTC."""
    assessment = assess(observed, decision, version, refused)
    stable = decision.routes.stable
    built = build_conditions(observed, assessment, stable)
    stable_facts = observed.revisions.get(stable)
    router = observed.router
    status: dict[str, Any] = {
        "observedGeneration": deployment.generation,
        "phase": phase_of(built, stalled=assessment.problem is not None),
        "url": f"http://{deployment.name}.{deployment.namespace}.svc",
        "grpcAddress": f"{deployment.name}.{deployment.namespace}.svc:{GRPC_PORT}",
        "replicas": len(stable_facts.workload.pods) if stable_facts else 0,
        "readyReplicas": stable_facts.workload.ready if stable_facts else 0,
        "selector": f"{LABEL_REVISION}={stable}",
        "stable": _revision(observed, decision, stable),
        "router": {
            "configVersion": version,
            "replicas": observed.router_replicas,
            "readyReplicas": router.workload.ready if router.workload else 0,
            "liveReplicas": sum(pod.config_version == version for pod in router.serving),
        },
        "conditions": conditions.render(built, deployment.status.get("conditions") or (), deployment.generation, now),
    }
    if stable != observed.target:
        status["candidate"] = _revision(observed, decision, observed.target)
    return status


def _revision(observed: Observed, decision: Decision, name: str) -> dict[str, Any]:
    facts: RevisionFacts | None = observed.revisions.get(name)
    model = facts.model if facts else observed.target_model
    artifact = next(iter(artifacts_of(facts.workload)), None) if facts else None
    shown: dict[str, Any] = {
        "revision": name,
        "uri": model.uri,
        "format": artifact.format if artifact else model.format,
        "digest": artifact.digest if artifact else model.digest,
        "form": artifact.form if artifact else None,
        "fallback": artifact.fallback if artifact else None,
        "warnings": list(artifact.warnings) if artifact and artifact.warnings else None,
        "replicas": decision.replicas.get(name),
        "readyReplicas": facts.workload.ready if facts else 0,
    }
    return {key: value for key, value in shown.items() if value is not None}


def is_urgent(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether `new` says more than other counts, or other words for the same progress.

    Those change with every pod that comes up; writing each would cost more than it tells, so they may wait a little.
    """
    return _essence(old) != _essence(new)


def _essence(status: Mapping[str, Any]) -> dict[str, Any]:
    counts = ("replicas", "readyReplicas", "liveReplicas")
    kept = {
        key: _essence(value) if isinstance(value, Mapping) else value
        for key, value in status.items()
        if key not in (*counts, "conditions")
    }
    stored = conditions.by_type(status.get("conditions") or ())
    stalled = stored.get(conditions.STALLED, {})
    kept["conditions"] = {kind: condition["status"] for kind, condition in stored.items()}
    kept["problem"] = stalled.get("message") if stalled.get("status") == "True" else None
    return kept
