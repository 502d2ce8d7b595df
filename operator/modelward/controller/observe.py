"""From cached objects to facts. Reads the cache alone; only router pods are asked, and only what is not known yet."""

from dataclasses import replace

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment, Variant
from modelward.cluster.cache import Cache, Key, Object
from modelward.cluster.resources import DEPLOYMENTS, PODS
from modelward.controller.observe_router import RouterObserver
from modelward.controller.ownership import belongs_to, is_pod_of
from modelward.controller.workloads import label, workload_facts
from modelward.domain.facts import Observed, RevisionFacts, VariantFacts
from modelward.domain.report import clock_of, progress_of
from modelward.render import revision as render_revision
from modelward.render.platform import Platform


async def observe(
    owner: ModelDeployment, cache: Cache, platform: Platform, routers: RouterObserver, now: float = 0.0
) -> Observed:
    """Everything that a reconcile of `owner` looks at, but for the evidence. `now`: seconds since the epoch."""
    key = Key(owner.namespace, owner.name)
    target = render_revision.name_of(owner, platform)
    variants = tuple(_variant_facts(owner, platform, variant) for variant in owner.spec.variants)
    pods = cache.children(key, PODS)
    asked = {target, *(variant.revision for variant in variants)}
    revisions = _revisions(owner, cache.children(key, DEPLOYMENTS), pods)
    router = await routers.look(owner, asked, revisions)
    told = owner.status.get("rollout") or {}
    observed = Observed(
        target=target,
        target_model=render_revision.model_of(owner.spec.model),
        replicas=owner.spec.replicas,
        router_replicas=owner.spec.router.replicas,
        revisions=revisions,
        router=router,
        last_stable=(owner.status.get("stable") or {}).get("revision"),
        last_progress=progress_of(told),
        rollout=owner.spec.rollout,
        command=owner.command,
        variants=variants,
        matches=owner.spec.traffic.match,
        history_limit=owner.spec.revision_history_limit,
    )
    return replace(observed, clock=clock_of(told, observed.progress, target, now))


def _variant_facts(owner: ModelDeployment, platform: Platform, variant: Variant) -> VariantFacts:
    return VariantFacts(
        name=variant.name,
        revision=render_revision.name_of(owner, platform, variant),
        model=render_revision.model_of(variant.model),
        weight=variant.weight,
        mirror=variant.mirror_percent,
        replicas=variant.replicas or owner.spec.replicas,
    )


def _is_server(pod: Object, deployment: Object) -> bool:
    """Whether what the pod says is evidence: the revision's own Deployment made it, for its server."""
    made = is_pod_of(pod, deployment["metadata"]["name"])
    return made and label(pod, names.LABEL_COMPONENT) == names.COMPONENT_SERVER


def _revisions(owner: ModelDeployment, deployments: list[Object], pods: list[Object]) -> dict[str, RevisionFacts]:
    revisions = {}
    for body in deployments:
        name = label(body, names.LABEL_REVISION)
        if name and belongs_to(body, owner):
            own = [pod for pod in pods if label(pod, names.LABEL_REVISION) == name and _is_server(pod, body)]
            annotations = body["metadata"]["annotations"]
            model = render_revision.load_model(annotations[names.ANNOTATION_MODEL])
            promoted = render_revision.load_promotion(annotations.get(names.ANNOTATION_PROMOTED))
            revisions[name] = RevisionFacts(name, model, workload_facts(body, own), promoted)
    return revisions
