"""From cached objects to facts. Reads the cache alone; only router pods are asked, and only what is not known yet."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment, Variant
from modelward.cluster.cache import Cache, Key, Object
from modelward.cluster.resources import CONFIG_MAPS, DEPLOYMENTS, PODS
from modelward.cluster.routerprobe import RouterProbe
from modelward.domain.facts import (
    Clock,
    ContainerFacts,
    Observed,
    PodFacts,
    Progress,
    RevisionFacts,
    RouterFacts,
    VariantFacts,
    WorkloadFacts,
)
from modelward.render import revision as render_revision
from modelward.render import router as render_router
from modelward.render.platform import Platform
from modelward.render.routes import load_routes


async def observe(
    owner: ModelDeployment, cache: Cache, platform: Platform, probe: RouterProbe, now: float = 0.0
) -> Observed:
    """Everything that a reconcile of `owner` looks at, but for the evidence. `now`: seconds since the epoch."""
    key = Key(owner.namespace, owner.name)
    target = render_revision.name_of(owner, platform)
    variants = tuple(_variant_facts(owner, platform, variant) for variant in owner.spec.variants)
    pods = cache.children(key, PODS)
    asked = {target, *(variant.revision for variant in variants)}
    router = await _router_facts(owner, key, cache, probe, pods, asked)
    return Observed(
        target=target,
        target_model=render_revision.model_of(owner.spec.model),
        replicas=owner.spec.replicas,
        router_replicas=owner.spec.router.replicas,
        revisions=_revisions(owner, cache.children(key, DEPLOYMENTS), pods),
        router=router,
        last_stable=(owner.status.get("stable") or {}).get("revision"),
        rollout=owner.spec.rollout,
        clock=_clock(owner, router.progress, target, now),
        command=owner.command,
        variants=variants,
        matches=owner.spec.traffic.match,
        history_limit=owner.spec.revision_history_limit,
    )


def _variant_facts(owner: ModelDeployment, platform: Platform, variant: Variant) -> VariantFacts:
    return VariantFacts(
        name=variant.name,
        revision=render_revision.name_of(owner, platform, variant),
        model=render_revision.model_of(variant.model),
        weight=variant.weight,
        mirror=variant.mirror_percent,
        replicas=variant.replicas or owner.spec.replicas,
    )


def _revisions(owner: ModelDeployment, deployments: list[Object], pods: list[Object]) -> dict[str, RevisionFacts]:
    revisions = {}
    for body in deployments:
        name = _label(body, names.LABEL_REVISION)
        if name and _belongs_to(body, owner):
            own = [pod for pod in pods if _label(pod, names.LABEL_REVISION) == name]
            annotations = body["metadata"]["annotations"]
            model = render_revision.load_model(annotations[names.ANNOTATION_MODEL])
            promoted = render_revision.load_promotion(annotations.get(names.ANNOTATION_PROMOTED))
            revisions[name] = RevisionFacts(name, model, workload_facts(body, own), promoted)
    return revisions


def _clock(owner: ModelDeployment, progress: Progress | None, target: str, now: float) -> Clock:
    """The rollout's times are in the status: what is lost with it begins anew."""
    stored = owner.status.get("rollout") or {}
    step, attempt = (progress.step, progress.attempt) if progress and progress.revision == target else (0, 1)
    if (stored.get("revision"), stored.get("step"), stored.get("attempt")) != (target, step + 1, attempt):
        return Clock(now)
    return Clock(now, _time(stored.get("stepStartedAt")), _time(stored.get("waitingSince")))


def _time(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


async def _router_facts(
    owner: ModelDeployment, key: Key, cache: Cache, probe: RouterProbe, pods: list[Object], asked: set[str]
) -> RouterFacts:
    name = render_router.name_of(owner)
    own = [pod for pod in pods if _label(pod, names.LABEL_COMPONENT) == names.COMPONENT_ROUTER]
    body = cache.get(DEPLOYMENTS, owner.namespace, name)
    workload = workload_facts(body, own) if body and _belongs_to(body, owner) else None
    config = cache.get(CONFIG_MAPS, owner.namespace, name)
    annotation = (config["metadata"].get("annotations") or {}).get(names.ANNOTATION_ROUTES) if config else None
    if config is None or annotation is None or not _belongs_to(config, owner):
        return RouterFacts(workload=workload)
    routes, version, progress = load_routes(annotation)
    wanted = {routes.stable, *asked} & set(routes.revisions)
    facts = await probe.look(key, workload.pods if workload else (), version, sorted(wanted))
    return RouterFacts(workload, routes, version, facts, progress)


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
