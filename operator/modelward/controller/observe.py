"""From cached objects to facts. Reads the cache alone; only router pods are asked, and only what is not known yet."""

from collections.abc import Mapping
from typing import Any

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment
from modelward.cluster.cache import Cache, Key, Object
from modelward.cluster.resources import CONFIG_MAPS, DEPLOYMENTS, PODS
from modelward.cluster.routerprobe import RouterProbe
from modelward.domain.facts import (
    ContainerFacts,
    Observed,
    PodFacts,
    RevisionFacts,
    RouterFacts,
    WorkloadFacts,
)
from modelward.render import revision as render_revision
from modelward.render import router as render_router
from modelward.render.platform import Platform


async def observe(owner: ModelDeployment, cache: Cache, platform: Platform, probe: RouterProbe) -> Observed:
    """Everything that a reconcile of `owner` looks at."""
    key = Key(owner.namespace, owner.name)
    target = render_revision.name_of(owner, platform)
    pods = cache.children(key, PODS)
    revisions = {}
    for body in cache.children(key, DEPLOYMENTS):
        name = _label(body, names.LABEL_REVISION)
        if name and _belongs_to(body, owner):
            own = [pod for pod in pods if _label(pod, names.LABEL_REVISION) == name]
            model = render_revision.load_model(body["metadata"]["annotations"][names.ANNOTATION_MODEL])
            revisions[name] = RevisionFacts(name, model, workload_facts(body, own))
    return Observed(
        target=target,
        target_model=render_revision.model_of(owner),
        replicas=owner.spec.replicas,
        router_replicas=owner.spec.router.replicas,
        revisions=revisions,
        router=await _router_facts(owner, key, cache, probe, pods, target),
        last_stable=(owner.status.get("stable") or {}).get("revision"),
    )


async def _router_facts(
    owner: ModelDeployment, key: Key, cache: Cache, probe: RouterProbe, pods: list[Object], target: str
) -> RouterFacts:
    name = render_router.name_of(owner)
    own = [pod for pod in pods if _label(pod, names.LABEL_COMPONENT) == names.COMPONENT_ROUTER]
    body = cache.get(DEPLOYMENTS, owner.namespace, name)
    workload = workload_facts(body, own) if body and _belongs_to(body, owner) else None
    config = cache.get(CONFIG_MAPS, owner.namespace, name)
    annotation = (config["metadata"].get("annotations") or {}).get(names.ANNOTATION_ROUTES) if config else None
    if config is None or annotation is None or not _belongs_to(config, owner):
        return RouterFacts(workload=workload)
    routes, version = render_router.load_routes(annotation)
    asked = {routes.stable, target} & set(routes.revisions)
    facts = await probe.look(key, workload.pods if workload else (), version, sorted(asked))
    return RouterFacts(workload, routes, version, facts)


def workload_facts(body: Object, pods: list[Object]) -> WorkloadFacts:
    """A Deployment and the pods that carry its label."""
    status = body.get("status") or {}
    desired = int(body["spec"].get("replicas", 1))
    failure = next(
        (
            str(condition.get("message", ""))
            for condition in status.get("conditions") or ()
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        ),
        None,
    )
    return WorkloadFacts(
        desired=desired,
        ready=int(status.get("readyReplicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        settled=(
            int(status.get("observedGeneration") or 0) >= int(body["metadata"].get("generation") or 0)
            and int(status.get("updatedReplicas") or 0) >= desired
        ),
        failure=failure,
        pods=tuple(pod_facts(pod) for pod in pods),
    )


def pod_facts(body: Object) -> PodFacts:
    """One pod, from what the kubelet and the scheduler wrote."""
    status = body.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return PodFacts(
        name=body["metadata"]["name"],
        uid=body["metadata"]["uid"],
        ip=status.get("podIP"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        terminating=bool(body["metadata"].get("deletionTimestamp")),
        unschedulable=str(scheduled.get("message", "")) if scheduled.get("reason") == "Unschedulable" else None,
        containers=tuple(_container_facts(container) for container in containers),
    )


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
    )


def _label(body: Object, label: str) -> str | None:
    value = (body["metadata"].get("labels") or {}).get(label)
    return None if value is None else str(value)


def _belongs_to(body: Object, owner: ModelDeployment) -> bool:
    """Children of a deleted namesake are still there for a moment; they are not ours."""
    return any(reference["uid"] == owner.uid for reference in body["metadata"].get("ownerReferences") or ())
