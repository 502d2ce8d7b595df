"""From cached objects to facts. Reads the cache, and what router pods were heard to say."""

from dataclasses import dataclass, replace

from modelward.api.modeldeployment import ModelDeployment, Variant
from modelward.facts import Observed, VariantFacts
from modelward.kube.cache import Cache, Key
from modelward.kube.resources import CONTROLLER_REVISIONS, DEPLOYMENTS, PODS, SERVICES
from modelward.platform import Platform
from modelward.revisions import deployment as render_revision
from modelward.revisions.intent import held
from modelward.revisions.observe import revisions_of
from modelward.rollouts.status import clock_of, progress_of
from modelward.routing.observe import RouterObserver


@dataclass(frozen=True)
class Wanted:
    """What spec asks for, named: the same for the same spec and platform, and costly, since names are hashes of pods.

    `fresh`: the revision of spec.model; `intent`: see intent_of.
    """

    fresh: str
    intent: str
    variants: tuple[VariantFacts, ...]


def wanted_of(owner: ModelDeployment, platform: Platform) -> Wanted:
    return Wanted(
        render_revision.name_of(owner, platform),
        render_revision.intent_of(owner),
        tuple(_variant_facts(owner, platform, variant) for variant in owner.spec.variants),
    )


def observe(
    owner: ModelDeployment,
    cache: Cache,
    platform: Platform,
    routers: RouterObserver,
    now: float = 0.0,
    wanted: Wanted | None = None,
) -> Observed:
    """Everything that a reconcile of `owner` looks at, but for the evidence. `now`: seconds since the epoch. `wanted`:
    where it is known already. Raises PendingError where the router's pods have just been asked."""
    key = Key(owner.namespace, owner.name)
    wanted = wanted or wanted_of(owner, platform)
    fresh, intent, variants = wanted.fresh, wanted.intent, wanted.variants
    told = owner.status.get("rollout") or {}
    tried = {str(told["revision"])} if "revision" in told else set()
    asked = {fresh, *tried, *(variant.revision for variant in variants)}
    deployments, records, services, pods = (
        cache.children(key, resource) for resource in (DEPLOYMENTS, CONTROLLER_REVISIONS, SERVICES, PODS)
    )
    revisions = revisions_of(owner, deployments, records, services, pods)
    router = routers.look(owner, asked, revisions)
    progress = router.progress if router.routes else progress_of(told)
    served = owner.status.get("model")
    unchanged = (
        owner.status.get("observedGeneration") == owner.generation
        and (served is None or (served["uri"], served.get("digest")) == (owner.spec.model.uri, owner.spec.model.digest))
        and progress is not None
        and progress.revision in tried
    )
    target, progress = held(fresh, intent, progress, router, revisions, owner.command, unchanged=unchanged)
    observed = Observed(
        target=target,
        target_model=render_revision.model_of(owner.spec.model),
        replicas=owner.spec.replicas,
        router_replicas=owner.spec.router.replicas,
        revisions=revisions,
        router=replace(router, progress=progress) if router.routes else router,
        last_stable=(owner.status.get("stable") or {}).get("revision"),
        last_progress=progress,
        rollout=owner.spec.rollout,
        command=owner.command,
        variants=variants,
        matches=owner.spec.traffic.match,
        history_limit=owner.spec.revision_history_limit,
        intent=intent,
        held=target != fresh,
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
