"""From cached objects to facts. Reads the cache, and what router pods were heard to say."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelward.api.modeldeployment import ModelDeployment, Variant
from modelward.api.rollout import Rollout, by_router_alone, left_out
from modelward.facts import Observed, RevisionFacts, RouterFacts, VariantFacts
from modelward.kube.cache import Cache, Key
from modelward.kube.resources import CONTROLLER_REVISIONS, DEPLOYMENTS, PODS, SERVICES
from modelward.models.following import Following
from modelward.revisions import deployment
from modelward.revisions.intent import held, known_as
from modelward.revisions.observed.observe import revisions_of
from modelward.rollouts.status import clock_of, progress_of
from modelward.routing.observe import RouterObserver


class NothingServesError(Exception):
    """spec.model can't be resolved, and there is no revision that could go on."""


@dataclass(frozen=True)
class Wanted:
    """What spec asks for, named: the same for the same spec. `fresh`: the revision of spec.model; `intent`: see
    intent_of; `variants`: by the name of the variant, its revision and its intent."""

    fresh: str
    intent: str
    variants: Mapping[str, tuple[str, str]]


def wanted_of(owner: ModelDeployment) -> Wanted:
    return Wanted(
        deployment.name_of(owner),
        deployment.intent_of(owner),
        {
            each.name: (deployment.name_of(owner, each), deployment.intent_of(owner, each.model))
            for each in owner.spec.variants
        },
    )


def observe(
    owner: ModelDeployment,
    cache: Cache,
    routers: RouterObserver,
    now: float = 0.0,
    wanted: Wanted | None = None,
    following: Following | None = None,
) -> Observed:
    """Everything that a reconcile of `owner` looks at, but for the evidence. `now`: seconds since the epoch. `wanted`:
    where it is known already; `following`: how it stands with the model's registry.

    Raises PendingError where the router's pods have just been asked, NothingServesError where spec.model means nothing
    yet and nothing is there to go on with.
    """
    key = Key(owner.namespace, owner.name)
    wanted = wanted or wanted_of(owner)
    told = owner.status.get("rollout") or {}
    tried = {str(told["revision"])} if "revision" in told else set()
    deployments, records, services, pods = (
        cache.children(key, resource) for resource in (DEPLOYMENTS, CONTROLLER_REVISIONS, SERVICES, PODS)
    )
    revisions = revisions_of(owner, deployments, records, services, pods)
    last_stable = (owner.status.get("stable") or {}).get("revision")
    model = deployment.model_of(owner.spec.model)
    is_same_spec = owner.status.get("observedGeneration") == owner.generation
    variants = tuple(_variant_facts(owner, variant, wanted, revisions, is_same_spec) for variant in owner.spec.variants)
    named = known_as(wanted.fresh, wanted.intent, revisions, last_stable if is_same_spec else None, model)
    asked = {wanted.fresh, named, *tried, *(variant.revision for variant in variants)}
    router = routers.look(owner, asked, revisions)
    progress = router.progress if router.routes else progress_of(told)
    served = owner.status.get("model")
    unchanged = (
        is_same_spec
        and (served is None or (served["uri"], served.get("digest")) == (owner.spec.model.uri, owner.spec.model.digest))
        and (progress is None or progress.revision in tried)
    )
    unresolved = following is not None and not following.usable
    if unresolved:
        # Nobody knows what spec asks for: what was decided about goes on, with the pods that there are.
        target = _serving(owner, router, revisions)
        decided = progress is not None and (progress.rejected or progress.revision in revisions)
        # Where spec was changed to what nobody knows, a rollout to what it asked for before has ended.
        if progress is not None and decided and following is not None and following.resolution is not None:
            target = progress.revision
        model = revisions[target].model if target in revisions else model
    else:
        target, progress = held(
            wanted.fresh, wanted.intent, progress, revisions, owner.command,
            unchanged=unchanged, last_stable=last_stable, model=model,
        )  # fmt: skip
    rollout = _judged(owner, revisions, target, router.routes.stable if router.routes else last_stable)
    observed = Observed(
        target=target,
        target_model=model,
        replicas=_replicas(owner),
        router_replicas=owner.spec.router.replicas,
        revisions=revisions,
        router=replace(router, progress=progress) if router.routes else router,
        last_stable=last_stable,
        last_progress=progress,
        rollout=rollout,
        unjudged=left_out(owner.spec.rollout, rollout),
        command=owner.command,
        variants=variants,
        matches=owner.spec.traffic.match,
        history_limit=owner.spec.revision_history_limit,
        intent=(progress.intent if progress is not None else "") if unresolved else wanted.intent,
        unresolved=unresolved,
    )
    return replace(observed, clock=clock_of(told, observed.progress, target, now))


def _judged(owner: ModelDeployment, revisions: Mapping[str, RevisionFacts], target: str, stable: str | None) -> Rollout:
    """spec.rollout, without the gates that need our own server on both sides where another one is on either."""
    sides = [facts for name in (target, stable) if name is not None and (facts := revisions.get(name)) is not None]
    asked = owner.spec.runtime
    if asked is None and all(facts.runtime is None for facts in sides):
        return owner.spec.rollout
    tapped = (asked is None or asked.tap is not None) and all(facts.keeps_answers for facts in sides)
    return by_router_alone(owner.spec.rollout, tapped=tapped)


def _replicas(owner: ModelDeployment) -> int:
    """Never out of the autoscaler's bounds, also before it has looked for the first time, and whatever else writes
    spec.replicas: it would set them right, a moment later."""
    wanted, bounds = owner.spec.replicas, owner.spec.autoscaling
    return wanted if bounds is None else min(max(wanted, bounds.min_replicas), bounds.max_replicas)


def _serving(owner: ModelDeployment, router: RouterFacts, revisions: Mapping[str, RevisionFacts]) -> str:
    """The revision that has the traffic. Raises NothingServesError."""
    told = (owner.status.get("stable") or {}).get("revision")
    promoted = [facts for facts in revisions.values() if facts.promoted is not None]
    latest = max(promoted, key=lambda facts: facts.promoted.number if facts.promoted else 0, default=None)
    for name in (router.routes.stable if router.routes else None, told, latest.name if latest else None):
        if name is not None:
            return str(name)
    raise NothingServesError


def _variant_facts(
    owner: ModelDeployment,
    variant: Variant,
    wanted: Wanted,
    revisions: Mapping[str, RevisionFacts],
    is_same_spec: bool,
) -> VariantFacts:
    (fresh, intent), model = wanted.variants[variant.name], deployment.model_of(variant.model)
    shown: Mapping[str, Any] = next(
        (each for each in owner.status.get("variants") or () if each["name"] == variant.name), {}
    )
    settled = shown.get("revision") if is_same_spec else None
    return VariantFacts(
        name=variant.name,
        revision=known_as(fresh, intent, revisions, settled, model),
        model=model,
        weight=variant.weight,
        mirror=variant.mirror_percent,
        replicas=variant.replicas or _replicas(owner),
    )
