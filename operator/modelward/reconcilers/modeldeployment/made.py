"""What the pods of a ModelDeployment would be made of now, beside what they were, and which of the two is taken.

Reads the cache. What spec asks for can be made anew for a newer platform, and what it asked for before by what its
record has of it; a record of an earlier operator has not, and its pods stay what they are.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from modelward.api.asked import as_asked, asked_of
from modelward.api.modeldeployment import ModelDeployment, Spec
from modelward.api.names import ANNOTATION_MADE_OF, ANNOTATION_RUNTIME
from modelward.facts import PAUSED, Observed, WorkloadFacts
from modelward.kube.cache import Object
from modelward.kube.diff import covers
from modelward.kube.resources import CONTROLLER_REVISIONS, DEPLOYMENTS, Resource
from modelward.models.resolved import as_resolved
from modelward.platform import Platform
from modelward.revisions import deployment, record
from modelward.revisions.health.diagnosis import ROUTER_MEMORY_FIELD, SERVER_MEMORY_FIELD
from modelward.revisions.observed.ownership import is_ours
from modelward.revisions.pods import foreign_pod
from modelward.revisions.pods.cache_mounts import claim_in, claim_of
from modelward.revisions.update import Choice, Mark, Phase, Pods, Update, is_at_rest, lost_without, update
from modelward.rollouts.history import kept
from modelward.routing.envoy import objects as router_objects
from modelward.runtimes.runtime import MODELWARD
from modelward.values.hashing import content_hash

Live = Callable[[Resource, str], Object | None]

_FRESH = Choice(fresh=True)


@dataclass(frozen=True)
class Known:
    """What two live objects say, kept while they are the very same ones: who changes one replaces it, and comparing
    costs. `recorded`, `made_of`, `mark`: see Pods; `intent`: of the record; `claim`: its pods mount that cache."""

    deployment: Object | None
    record: Object | None
    recorded: str | None
    made_of: str | None
    mark: Mark | None
    intent: str
    claim: str | None = None


@dataclass(frozen=True)
class Made:
    """`shapes`: of the revisions that are kept and of which is known what the user wrote (`asked`), as they would be
    made now; `templates`: of all pods, the router's too, and `hashes`, `intents`: their hashes, and those of what the
    user wrote of them, all by Deployment. `update`: what is taken of it; `restarts`: the revision whose pods are made
    anew because somebody asks for it. `caches`: claims that may be mounted now; `uncached`: of the
    templates that mount one, the hashes without it. `known`: what there is."""

    shapes: Mapping[str, deployment.Shape]
    templates: Mapping[str, Mapping[str, Any]]
    hashes: Mapping[str, str]
    intents: Mapping[str, str]
    asked: Mapping[str, Mapping[str, Any]]
    update: Update = field(default_factory=Update)
    restarts: str | None = None
    caches: tuple[str, ...] = ()
    uncached: Mapping[str, str] = field(default_factory=dict)
    known: dict[str, Known] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, owner: ModelDeployment, observed: Observed, platform: Platform) -> "Made":
        """As all of it would be made now."""
        specs = ({} if observed.unresolved else {observed.target: owner.spec}) | {
            facts.revision: replace(owner.spec, model=variant.model)
            for facts, variant in zip(observed.variants, owner.spec.variants, strict=True)
        }
        specs = {
            name: found for name, asked in kept_besides(observed) if (found := _as_asked(owner.spec, asked))
        } | specs
        # Of what an earlier revision ran in, and the installation has no more: that stays as it is recorded.
        specs = {name: spec for name, spec in specs.items() if foreign_pod.unknown(spec.runtime, platform) is None}
        by = {name: replace(owner, spec=spec) for name, spec in specs.items()}
        shapes = {name: deployment.shape(each, platform, name) for name, each in by.items()}
        templates = {name: shape.template for name, shape in shapes.items()}
        intents = {name: deployment.intent_of(each) for name, each in by.items()}
        asked = {name: asked_of(spec, spec.model) for name, spec in specs.items()}
        if owner.spec.router.gateway is None:
            name = router_objects.name_of(owner)
            templates[name] = router_objects.template_of(owner, platform)
            intents[name] = router_objects.intent_of(owner)
        hashes = {name: content_hash(template) for name, template in templates.items()}
        plain = replace(platform, caches=())
        uncached = {
            name: content_hash(deployment.shape(each, plain, name).template)
            for name, each in by.items()
            if claim_of(each.spec.model, platform) is not None
        }
        return cls(shapes, templates, hashes, intents, asked, caches=platform.caches, uncached=uncached)

    def choice(self, name: str) -> Choice:
        """What the Deployment of that name is made of."""
        return self.update.choices.get(name, _FRESH)


def kept_besides(observed: Observed) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """The stable that spec does not ask for, and earlier ones that keep running, with what the user wrote of them."""
    routes = observed.router.routes
    if routes is None:
        return ()
    asked = {variant.revision for variant in observed.variants}
    if not observed.unresolved:
        asked.add(observed.target)
    names = dict.fromkeys((routes.stable, observed.target, *kept(observed, routes.stable)[0]))
    found = ((name, observed.revisions.get(name)) for name in names if name not in asked)
    return tuple((name, facts.asked) for name, facts in found if facts is not None and facts.asked is not None)


def _as_asked(spec: Spec, asked: Mapping[str, Any]) -> Spec | None:
    """With what a registry had said then."""
    found = as_asked(spec, asked)
    return None if found is None else replace(found, model=as_resolved(found.model, asked["model"]))


def updated(
    made: Made,
    owner: ModelDeployment,
    observed: Observed,
    platform: Platform,
    live: Live,
    *,
    granted: bool,
    refused: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> Update:
    """Where the model stands, and what its pods are made of. `granted`: it is its turn to be updated; `refused`: by
    Deployment and hash of its template, why the API server did not take it."""
    found = _pods_of(owner, observed, made, live)
    pods = tuple(replace(each, refused=refused.get((each.name, each.wanted))) for each in found)
    old_routers = any(each.outdated for each in pods if each.name not in made.shapes)
    may_begin = is_at_rest(observed, old_routers=old_routers)
    step = update(pods, granted=granted, may_begin=may_begin, command=owner.platform_command, now=observed.clock.now)
    if step.phase is Phase.CURRENT and _is_behind(owner, observed, made, platform, live):
        return replace(step, phase=Phase.WAITING)
    return step


def _pods_of(owner: ModelDeployment, observed: Observed, made: Made, live: Live) -> Iterator[Pods]:
    """Each Deployment that spec asks for."""
    routes = observed.router.routes
    used = {routes.stable, *(arm.revision for arm in routes.arms)} if routes is not None else set()
    is_paused = observed.progress is not None and observed.progress.phase == PAUSED
    begun = {observed.target, *(variant.revision for variant in observed.variants)}
    for name, wanted in made.hashes.items():
        known = _known(owner, name, made, live)
        workload: WorkloadFacts | None
        if name in made.shapes:
            facts, memory = observed.revisions.get(name), SERVER_MEMORY_FIELD
            workload, at_once = facts.workload if facts is not None else None, name in begun - used and not is_paused
            at_once = at_once or _is_about_its_cache(known, made, name, observed)
        else:
            # What the user changes of the router begins at once, with the pods of now.
            workload, at_once = observed.router.workload, known.intent not in ("", made.intents[name])
            memory = ROUTER_MEMORY_FIELD
        is_marked = known.mark is not None and known.mark.to == wanted
        lost = workload is not None and not is_marked and lost_without(workload, memory)
        yield Pods(name, wanted, known.recorded, known.made_of, known.mark, workload, at_once or lost, memory)


def _is_about_its_cache(known: Known, made: Made, name: str, observed: Observed) -> bool:
    """Whether pods are made anew for a claim alone, which is the model's own affair and no newer platform: at once
    where they mount one that would keep them from starting; where they may mount one now, once nothing else goes on."""
    if known.claim is not None and known.claim not in made.caches:
        return True
    return known.recorded is not None and known.recorded == made.uncached.get(name) and is_at_rest(observed)


def _known(owner: ModelDeployment, name: str, made: Made, live: Live) -> Known:
    body, kept = (_ours(owner, kind, name, live) for kind in (DEPLOYMENTS, CONTROLLER_REVISIONS))
    before = made.known.get(name)
    if before is None or before.deployment is not body or before.record is not kept:
        made.known[name] = before = _compared(name, made, body, kept)
    return before


def _compared(name: str, made: Made, body: Object | None, kept: Object | None) -> Known:
    wanted, template = made.hashes[name], made.templates[name]
    made_of = ((body or {"metadata": {}})["metadata"].get("annotations") or {}).get(ANNOTATION_MADE_OF)
    recorded = record.template_of(kept)
    if recorded is None and body is not None and made_of != wanted and not covers(body["spec"]["template"], template):
        # Nobody made a record of it: it is what it is.
        recorded = body["spec"]["template"]
    # Comparing is much cheaper than hashing, and mostly they are the same.
    hashed = None if recorded is None else wanted if recorded == template else content_hash(recorded)
    return Known(body, kept, hashed, made_of, record.mark_in(kept), record.intent_in(kept), claim_in(recorded))


def _is_behind(owner: ModelDeployment, observed: Observed, made: Made, platform: Platform, live: Live) -> bool:
    """Whether what serves is of an earlier image, and is not updated since spec asks for something else."""
    stable = observed.router.routes.stable if observed.router.routes is not None else None
    if stable is None or stable in made.shapes:
        return False
    template = record.template_of(_ours(owner, CONTROLLER_REVISIONS, stable, live)) or {}
    pod = template.get("spec") or {}
    # Also of those that bring the model, since the server's may be the user's own.
    runs = [each for kind in ("containers", "initContainers") for each in pod.get(kind) or ()]
    images = {each.get("image") for each in runs}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    if ANNOTATION_RUNTIME in annotations and all(each.get("name") != MODELWARD.containers.download for each in runs):
        return False  # nothing of it is ours
    return bool(images) and platform.server_image not in images


def _ours(owner: ModelDeployment, resource: Resource, name: str, live: Live) -> Object | None:
    body = live(resource, name)
    return body if body is not None and is_ours(body, owner) else None
