"""What has to be written so that the cluster becomes what was decided. Pure: the same input gives the same plan."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment
from modelward.facts import Observed, Promotion, RouterPodFacts
from modelward.kube.cache import Object
from modelward.kube.diff import differs, stamped
from modelward.kube.resources import (
    AUTOSCALERS,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
    Resource,
    resource_of,
)
from modelward.monitoring.store import store_name
from modelward.platform import Platform
from modelward.reconcilers.modeldeployment.made import Made
from modelward.revisions import autoscaler, deployment, disruption, pin, record, restart
from modelward.revisions.health.diagnosis import SERVER_MEMORY_FIELD, diagnose, not_ready
from modelward.revisions.naming import is_revision_of
from modelward.revisions.observed.artifact import artifacts_of
from modelward.revisions.observed.observe import shape_of
from modelward.revisions.observed.ownership import belongs_to, is_ours
from modelward.revisions.pods import identity
from modelward.revisions.update import Choice
from modelward.rollouts.decision import Decision, decide
from modelward.routing import network_policies, routers
from modelward.routing.envoy import objects as router_objects

Live = Callable[[Resource, str], Object | None]
"""Looks up an object of the ModelDeployment's namespace by resource and name."""


@dataclass(frozen=True)
class Plan:
    """Writes, in the order in which they are safe: `applies`, `touches`, then `deletes`.

    `touches`: the annotation's value by pod name.
    """

    decision: Decision
    version: str
    applies: tuple[Mapping[str, Any], ...] = ()
    touches: tuple[tuple[str, str], ...] = ()
    deletes: tuple[tuple[Resource, Object], ...] = ()


@dataclass
class Converged:
    """What was found to need no write, so that it is not rendered again while all that it is made of stays the same.

    Rendering is pure: `made_of` are its values (compared as such), `looked_up` the live objects that it read or was
    compared with (the very same ones: who changes one replaces it). `policies`: names of the NetworkPolicies among it.
    """

    version_of: tuple[Any, ...] = ()
    version: str = ""
    made_of: tuple[Any, ...] = ()
    looked_up: dict[tuple[Resource, str], Object | None] = field(default_factory=dict)
    policies: frozenset[str] = frozenset()

    def holds(self, made_of: tuple[Any, ...], live: Live) -> bool:
        return made_of == self.made_of and all(live(*about) is body for about, body in self.looked_up.items())


def plan(
    owner: ModelDeployment,
    observed: Observed,
    platform: Platform,
    live: Live,
    services: Iterable[Object] = (),
    config_maps: Iterable[Object] = (),
    retouch: Callable[[str], bool] = lambda _uid: False,
    converged: Converged | None = None,
    made: Made | None = None,
) -> Plan:
    """The writes that lead from `observed` one step on.

    `services`, `config_maps`: those of the ModelDeployment that exist. `retouch`: whether a pod (by uid) was touched so
    long ago that the kubelet must have missed it. `converged`: kept from one plan of the same ModelDeployment to the
    next; it spares work and changes no plan. `made`: what pods are made of; None: of what spec and platform say now.
    """
    converged = Converged() if converged is None else converged
    made = Made.of(owner, observed, platform) if made is None else made
    decision = decide(observed, cause_of(observed))
    version = _version(as_rendered(owner), platform, decision, converged)
    former = tuple(_former(owner, live))
    leaves = is_live(observed, decision, version)
    before = None if leaves else routers.before(owner, [body for _, body in former])
    applies = _applies(owner, before, observed, platform, decision, live, converged, made)
    return Plan(
        decision=decision,
        version=version,
        applies=applies,
        touches=tuple(_touches(observed, version, live, retouch)),
        deletes=(
            *(former if leaves else ()),
            *_deletes(owner, observed, decision, live, services),
            *_left_behind(owner, observed, decision, config_maps),
            *_needless_policies(owner, converged.policies, live, leaves=leaves),
        ),
    )


def as_rendered(owner: ModelDeployment) -> ModelDeployment:
    """Without what no manifest is made of: it changes with each write of the status."""
    return replace(owner, status={}, resource_version="", command=None, platform_command=None)


def _version(owner: ModelDeployment, platform: Platform, decision: Decision, converged: Converged) -> str:
    made_of = (owner, platform, decision.routes)
    if converged.version_of != made_of:
        converged.version = routers.wanted(owner).version_of(owner, platform, decision.routes)
        converged.version_of = made_of
    return converged.version


def _applies(
    owner: ModelDeployment,
    before: ModelDeployment | None,
    observed: Observed,
    platform: Platform,
    decision: Decision,
    live: Live,
    converged: Converged,
    made: Made,
) -> tuple[Mapping[str, Any], ...]:
    """The manifests that are not as they should be."""
    made_of = (
        as_rendered(owner), before and as_rendered(before), _told_digests(owner), platform,
        observed.target, observed.variants, observed.revisions,
        decision.replicas, decision.routes, decision.promotion, decision.progress, made,
    )  # fmt: skip
    if converged.holds(made_of, live):
        return ()
    looked_up: dict[tuple[Resource, str], Object | None] = {}

    def seen(resource: Resource, name: str) -> Object | None:
        looked_up[resource, name] = live(resource, name)
        return looked_up[resource, name]

    wanted = [stamped(manifest) for manifest in _manifests(owner, before, observed, platform, decision, seen, made)]
    applies = tuple(m for m in wanted if differs(m, seen(resource_of(m), m["metadata"]["name"])))
    converged.policies = frozenset(m["metadata"]["name"] for m in wanted if resource_of(m) is NETWORK_POLICIES)
    converged.made_of, converged.looked_up = ((), {}) if applies else (made_of, looked_up)
    return applies


def is_live(observed: Observed, decision: Decision, version: str) -> bool:
    """Whether clients can use the router that spec asks for, so that the one before may go."""
    router = observed.router
    complete = router.workload is None or router.workload.complete
    return complete and router.follows(version) and router.reaches(decision.routes.stable)


def _former(owner: ModelDeployment, live: Live) -> Iterator[tuple[Resource, Object]]:
    """What is there of the router that spec asked for before."""
    for resource, name in routers.former(owner).objects(owner):
        body = live(resource, name)
        if body is not None and belongs_to(body, owner):
            yield resource, body


def _deletes(
    owner: ModelDeployment, observed: Observed, decision: Decision, live: Live, services: Iterable[Object]
) -> Iterator[tuple[Resource, Object]]:
    for name in decision.remove:
        # The record last: while it is there, what a crash left is still known for a revision.
        children = (
            (SERVICES, name), (DISRUPTION_BUDGETS, name), (DEPLOYMENTS, name), (CONFIG_MAPS, store_name(name)),
            (CONFIG_MAPS, deployment.pin_name(name)), (CONTROLLER_REVISIONS, name),
        )  # fmt: skip
        for resource, child in children:
            if (body := _ours(owner, live(resource, child))) is not None:
                yield resource, body
    own_router = {} if owner.spec.router.gateway else {router_objects.name_of(owner): owner.spec.router.replicas}
    for name, pods in {**decision.replicas, **own_router}.items():
        if pods < disruption.LEAST and (body := _ours(owner, live(DISRUPTION_BUDGETS, name))) is not None:
            yield DISRUPTION_BUDGETS, body
    body = live(AUTOSCALERS, autoscaler.name_of(owner)) if owner.spec.autoscaling is None else None
    if body is not None and belongs_to(body, owner):
        yield AUTOSCALERS, body
    # A crash between the Service and the Deployment of a revision, and then another spec, leaves a Service alone.
    known = {*observed.revisions, *decision.replicas, *decision.routes.revisions}
    for body in services:
        name = body["metadata"]["name"]
        if is_revision_of(owner.name, name) and name not in known and belongs_to(body, owner):
            yield SERVICES, body


def _left_behind(
    owner: ModelDeployment, observed: Observed, decision: Decision, config_maps: Iterable[Object]
) -> Iterator[tuple[Resource, Object]]:
    """What monitors had counted for a revision that is gone: stored while the revision was being taken away."""
    known = {*observed.revisions, *decision.replicas, *decision.routes.revisions}
    for body in config_maps:
        labels = body["metadata"].get("labels") or {}
        revision_of, is_store = labels.get(names.LABEL_REVISION), labels.get(names.LABEL_COMPONENT)
        if is_store == names.COMPONENT_MONITOR and revision_of and revision_of not in known and belongs_to(body, owner):
            yield CONFIG_MAPS, body


def _needless_policies(
    owner: ModelDeployment, kept: Collection[str], live: Live, *, leaves: bool
) -> Iterator[tuple[Resource, Object]]:
    """NetworkPolicies that nothing is left for: the installation makes none any more, or the router's pods are gone.
    `kept`: their names that are wanted."""
    for name in network_policies.names_of(owner):
        body = live(NETWORK_POLICIES, name)
        if body is not None and name not in kept and belongs_to(body, owner) and (leaves or not kept):
            yield NETWORK_POLICIES, body


def cause_of(observed: Observed) -> str | None:
    """Why the target's pods do not come up, in a sentence."""
    target = observed.revisions.get(observed.target)
    if target is None:
        return None
    problem = diagnose(target.workload, SERVER_MEMORY_FIELD) or not_ready(
        target.workload, target.runtime, tapped=target.tapped
    )
    return problem.message if problem else None


def _manifests(
    owner: ModelDeployment,
    before: ModelDeployment | None,
    observed: Observed,
    platform: Platform,
    decision: Decision,
    live: Live,
    made: Made,
) -> Iterator[Mapping[str, Any]]:
    """Services before what needs their names; the former router, while clients use it, before what may be refused.

    Every revision that is kept is rendered, whether spec still asks for it or not: what somebody changed or deleted of
    it is made again.
    """
    # Before the pods that they are for. Where requests still come by the former router, that goes on.
    both = [each for each in (before, owner) if each is not None]
    by_gateway = any(each.spec.router.gateway is not None for each in both)
    policies = [each for one in both for each in network_policies.policies(one, platform, by_gateway=by_gateway)]
    yield from {each["metadata"]["name"]: each for each in policies}.values()
    if platform.operator_keys:
        yield identity.config_map(owner, platform.operator_keys)
    for name in dict.fromkeys([*(name for name in made.shapes if name in decision.replicas), *decision.replicas]):
        kept, body = (_ours(owner, live(kind, name)) for kind in (CONTROLLER_REVISIONS, DEPLOYMENTS))
        choice = made.choice(name)
        if name in made.shapes and choice.fresh:
            shape: deployment.Shape | None = made.shapes[name]
        else:
            shape = shape_of(body, kept)
        if shape is not None:
            promotion = (decision.promotion if name == decision.routes.stable else None) or _promoted(observed, name)
            intent = made.intents.get(name) or record.intent_in(kept) or None
            recorded = record.record(owner, name, shape, promotion, intent, choice.mark, made.asked.get(name))
            yield recorded if choice.confirmed else record.as_stored(recorded, kept)
            yield deployment.service(owner, name)
            if decision.replicas[name] >= disruption.LEAST:
                yield disruption.of_revision(owner, name)
            restarted = owner.restart if name == made.restarts else restart.mark_of(body)
            yield deployment.deployment_of(owner, shape, name, decision.replicas[name], promotion, restarted)
            digest = _first_digest(owner, observed, name, _ours(owner, live(CONFIG_MAPS, deployment.pin_name(name))))
            if digest is not None and shape.model.digest is None:
                yield pin.pin(owner, name, digest)
    for each in both:
        for manifest in routers.wanted(each).manifests(
            each, platform, decision.routes, decision.progress, tls=observed.router.tls
        ):
            if resource_of(manifest) is DEPLOYMENTS:
                yield from _router_pods(each, platform, live, made, is_former=each is not owner)
            else:
                yield manifest
    # The last: what the API server does not take of it holds nothing else up.
    if (scaled := autoscaler.manifest(owner)) is not None:
        yield scaled


def _router_pods(
    owner: ModelDeployment, platform: Platform, live: Live, made: Made, *, is_former: bool
) -> Iterator[Mapping[str, Any]]:
    """The router's Deployment and the record of its pods. That of a router which spec no longer asks for stays as it is
    until it goes."""
    name = router_objects.name_of(owner)
    kept, body = (_ours(owner, live(kind, name)) for kind in (CONTROLLER_REVISIONS, DEPLOYMENTS))
    choice = Choice(fresh=False) if is_former else made.choice(name)
    fresh = made.templates[name] if name in made.templates else router_objects.template_of(owner, platform)
    former = record.template_of(kept) or (body["spec"]["template"] if body is not None else None)
    template = fresh if choice.fresh or former is None else former
    if not is_former:
        recorded = record.router_record(owner, name, template, made.intents[name], choice.mark)
        yield recorded if choice.confirmed else record.as_stored(recorded, kept)
    yield router_objects.deployment(owner, platform, template)


def _ours(owner: ModelDeployment, body: Object | None) -> Object | None:
    return body if body is not None and is_ours(body, owner) else None


def _first_digest(owner: ModelDeployment, observed: Observed, name: str, kept: Object | None) -> str | None:
    """What the revision's first pod fetched: as it is pinned, as status has it, or as a pod says."""
    if (digest := pin.pinned(kept)) is not None:
        return digest
    facts = observed.revisions.get(name)
    known = [told for revision, told in _told_digests(owner) if revision == name]
    fetched = [artifact.digest for artifact in artifacts_of(facts.workload)] if facts else []
    return next(iter((*known, *fetched)), None)


def _told_digests(owner: ModelDeployment) -> tuple[tuple[str, str], ...]:
    """Of revisions, as status has them."""
    status = owner.status
    told = [status.get("stable"), status.get("candidate"), *(status.get("history") or ())]
    return tuple(
        (each["revision"], each["digest"]) for each in told if each and each.get("revision") and each.get("digest")
    )


def _promoted(observed: Observed, name: str) -> Promotion | None:
    facts = observed.revisions.get(name)
    return facts.promoted if facts else None


def _touches(observed: Observed, version: str, live: Live, retouch: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """The router pods that answered, but with another configuration than `version`."""
    for facts in observed.router.pods:
        if facts.config_version in (None, version):
            continue
        value = _annotation(facts, live)
        if value is None or value.split(".")[0] != version:
            yield facts.pod.name, version
        elif retouch(facts.pod.uid):
            attempt = value.partition(".")[2]
            yield facts.pod.name, f"{version}.{int(attempt) + 1 if attempt.isdecimal() else 1}"


def _annotation(facts: RouterPodFacts, live: Live) -> str | None:
    body = live(PODS, facts.pod.name) or {"metadata": {}}
    value = (body["metadata"].get("annotations") or {}).get(names.ANNOTATION_CONFIG)
    return None if value is None else str(value)
