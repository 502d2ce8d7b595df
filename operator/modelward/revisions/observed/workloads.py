"""From Deployments and pods, as the API server stores them, to facts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelward.api.names import VOLUME_IDENTITY
from modelward.facts import ContainerFacts, PodFacts, WorkloadFacts
from modelward.kube.cache import Object
from modelward.kube.ends import has_ended
from modelward.revisions.health.pod_volumes import needs
from modelward.revisions.observed.artifact import announced_key
from modelward.values.times import read_time


def workload_facts(body: Object, pods: list[Object]) -> WorkloadFacts:
    """A Deployment and the pods that carry its label."""
    status = body.get("status") or {}
    desired, updated = int(body["spec"].get("replicas", 1)), int(status.get("updatedReplicas") or 0)
    failure = next(
        (
            str(condition.get("message", ""))
            for condition in status.get("conditions") or ()
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        ),
        None,
    )
    seen = int(status.get("observedGeneration") or 0) >= int(body["metadata"].get("generation") or 0)
    return WorkloadFacts(
        desired=desired,
        ready=int(status.get("readyReplicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        settled=(
            seen
            # As `kubectl rollout status` has it: what is available may be a pod of the manifest before.
            and updated >= max(desired, int(status.get("replicas") or 0))
        ),
        failure=failure,
        overdue=seen and _is_overdue(status),
        pods=tuple(pod_facts(pod) for pod in pods if not has_ended(pod)),
    )


def _is_overdue(status: Mapping[str, Any]) -> bool:
    said = {condition["type"]: condition for condition in status.get("conditions") or ()}.get("Progressing") or {}
    return (said.get("status"), said.get("reason")) == ("False", "ProgressDeadlineExceeded")


def pod_facts(body: Object) -> PodFacts:
    """One pod, from what the kubelet and the scheduler wrote."""
    status = body.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    found = PodFacts(
        name=body["metadata"]["name"],
        uid=body["metadata"]["uid"],
        ip=status.get("podIP"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        terminating=bool(body["metadata"].get("deletionTimestamp")),
        unschedulable=str(scheduled.get("message", "")) if scheduled.get("reason") == "Unschedulable" else None,
        waits_since=_false_since(conditions.get("Ready") or scheduled),
        containers=tuple(_container_facts(container) for container in containers),
        namespace=body["metadata"].get("namespace", ""),
        maker=_maker(body),
        needs=needs(body),
    )
    # By its spec, which nobody can change: what a status lacks must not make a pod one that is asked unsigned.
    has_key = any(volume["name"] == VOLUME_IDENTITY for volume in (body.get("spec") or {}).get("volumes") or ())
    return replace(found, key=announced_key(found)) if has_key else found


def _maker(body: Object) -> str:
    references = body["metadata"].get("ownerReferences") or ()
    return next((str(each.get("name", "")) for each in references if each.get("controller")), "")


def _false_since(condition: Mapping[str, Any]) -> float | None:
    if condition.get("status") != "False":
        return None
    try:
        return read_time(condition["lastTransitionTime"])
    except (KeyError, TypeError, ValueError):
        return None


def _container_facts(raw: Mapping[str, Any]) -> ContainerFacts:
    state = raw.get("state") or {}
    waiting = state.get("waiting") or {}
    ended = state.get("terminated") or (raw.get("lastState") or {}).get("terminated") or {}
    return ContainerFacts(
        name=raw["name"],
        ready=bool(raw.get("ready")),
        waiting_reason=waiting.get("reason"),
        waiting_message=waiting.get("message", ""),
        exit_code=ended.get("exitCode"),
        exit_reason=ended.get("reason", ""),
        exit_message=ended.get("message", ""),
        restarts=int(raw.get("restartCount") or 0),
        running=state.get("running") is not None,
    )


def label(body: Object, name: str) -> str | None:
    """The value of a label, None where there is none."""
    value = (body["metadata"].get("labels") or {}).get(name)
    return None if value is None else str(value)
