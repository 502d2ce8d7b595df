"""From cached objects to what is known of the router, whichever of the two spec asks for.

An own Envoy's pods are asked what they follow; of an HTTPRoute, its Gateways have written down what they made of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment, ParentReference
from modelward.facts import GatewayFacts, RevisionFacts, RouterFacts
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.resources import DEPLOYMENTS, PODS, SERVICES
from modelward.revisions.observed.ownership import belongs_to, is_pod_of
from modelward.revisions.observed.workloads import label, workload_facts
from modelward.routing import routers
from modelward.routing.envoy import objects as router_objects
from modelward.routing.envoy.probe import RouterProbe
from modelward.routing.gateway import accepted
from modelward.routing.gateway.accepted import ParentFacts, RouteFacts, Since
from modelward.routing.routers import Stored, stored


class RouterObserver:
    """Remembers what pods said last, and since when Gateways say what they say. `clock`: monotonic seconds."""

    def __init__(self, cache: Cache, probe: RouterProbe, clock: Callable[[], float]) -> None:
        self._cache = cache
        self._probe = probe
        self._clock = clock
        self._since: dict[Key, Since] = {}

    def look(self, owner: ModelDeployment, asked: set[str], revisions: Mapping[str, RevisionFacts]) -> RouterFacts:
        """What is known now. `asked`: revisions that it has to be known of whether the router reaches them. Raises
        PendingError where that is not known yet."""
        own, former = self._stored(owner, routers.wanted(owner)), self._stored(owner, routers.former(owner))
        pods = [
            pod
            for pod in self._cache.children(_key(owner), PODS)
            if label(pod, names.LABEL_COMPONENT) == names.COMPONENT_ROUTER
            and is_pod_of(pod, router_objects.name_of(owner))
        ]
        if owner.spec.router.gateway is None:
            facts = self._own_envoy(owner, own, pods, asked, revisions)
        else:
            facts = RouterFacts(gateway=self._gateway(owner, own, revisions), former=bool(pods))
        facts = replace(
            facts,
            former=facts.former or self._remains(owner),
            version=own.version if own else None,
            tls=self._tls(owner, facts),
        )
        if facts.tls:
            presented = self._probe.certificate(_key(owner), [each.pod for each in facts.serving])
            facts = replace(facts, certificate=presented)
        # Where the new router has nothing yet, it begins where the former one is.
        found = own or former
        return replace(facts, routes=found.routes, progress=found.progress) if found else facts

    def forget(self, owner: Key) -> None:
        self._probe.forget(owner)
        self._since.pop(owner, None)

    def _stored(self, owner: ModelDeployment, router: routers.Router) -> Stored | None:
        resource, name = router.objects(owner)[-1]
        return stored(self._cache.get(resource, owner.namespace, name), owner)

    def _remains(self, owner: ModelDeployment) -> bool:
        """Whether an object of the router that spec does not ask for is there."""
        found = (
            self._cache.get(resource, owner.namespace, name) for resource, name in routers.former(owner).objects(owner)
        )
        return any(body is not None and belongs_to(body, owner) for body in found)

    def _tls(self, owner: ModelDeployment, facts: RouterFacts) -> bool:
        found = (
            self._cache.get(resource, owner.namespace, name)
            for resource, name in routers.OWN_ENVOY.objects(owner)
            if resource in (SERVICES, DEPLOYMENTS)
        )
        service, deployment = (body if body and belongs_to(body, owner) else None for body in found)
        complete = facts.workload is not None and facts.workload.complete
        return routers.clients_speak_tls(owner, service, deployment, complete=complete)

    def _own_envoy(
        self,
        owner: ModelDeployment,
        own: Stored | None,
        pods: list[Object],
        asked: set[str],
        revisions: Mapping[str, RevisionFacts],
    ) -> RouterFacts:
        body = self._cache.get(DEPLOYMENTS, owner.namespace, router_objects.name_of(owner))
        workload = workload_facts(body, pods) if body and belongs_to(body, owner) else None
        if own is None:
            return RouterFacts(workload)
        # Where no pod is ready nobody answers, and Envoy would remember the refusals: it would lead clients past the
        # pods for seconds after they are there.
        ready = {name for name, facts in revisions.items() if facts.workload.ready > 0}
        wanted = {own.routes.stable, *asked} & set(own.routes.revisions) & ready
        ways = {name: self._way(owner, name) for name in sorted(wanted)}
        told = self._probe.look(_key(owner), workload.pods if workload else (), own.version, ways)
        return RouterFacts(workload, pods=told)

    def _way(self, owner: ModelDeployment, revision: str) -> str:
        """What the way to a revision depends on: its Service as it is."""
        service = self._cache.get(SERVICES, owner.namespace, revision)
        return str(service["metadata"]["resourceVersion"]) if service else ""

    def _gateway(
        self, owner: ModelDeployment, own: Stored | None, revisions: Mapping[str, RevisionFacts]
    ) -> GatewayFacts:
        key = _key(owner)
        if own is None:
            self._since[key] = {}
            return GatewayFacts()
        route, now = route_facts(owner, own), self._clock()
        last = owner.status.get("router") or {}
        live = last.get("live") is True and last.get("configVersion") == own.version
        routed = (own.routes.stable, *(arm.revision for arm in own.routes.arms))
        complete = [name for name, facts in revisions.items() if facts.workload.complete and facts.addressed]
        trusted = accepted.trusted(route, routed, live)
        since = self._since[key] = accepted.holding(route, complete, self._since.get(key), trusted, now)
        return accepted.gateway_facts(route, since, now)


def _key(owner: ModelDeployment) -> Key:
    return Key(owner.namespace, owner.name)


def route_facts(owner: ModelDeployment, own: Stored) -> RouteFacts:
    """An HTTPRoute and what every Gateway that spec names says of it."""
    metadata = own.body["metadata"]
    said = (own.body.get("status") or {}).get("parents") or ()
    wanted = owner.spec.router.gateway.parent_refs if owner.spec.router.gateway else ()
    return RouteFacts(
        name=metadata["name"],
        form=f"{metadata['uid']}/{metadata.get('generation', 0)}",
        version=own.version,
        parents=tuple(_parent(each, owner.namespace, int(metadata.get("generation", 0)), said) for each in wanted),
    )


def _parent(wanted: ParentReference, namespace: str, generation: int, said: Any) -> ParentFacts:
    about = (wanted.name, wanted.namespace or namespace, wanted.section_name)
    name = "/".join(part for part in (about[1], about[0], about[2]) if part)
    answers = [each for each in said if _about(each["parentRef"], namespace) == about]
    # Controllers that share a Gateway are rare; one that takes the route is enough to be reached by.
    verdicts = [_verdict(name, each.get("conditions") or (), generation) for each in answers]
    return max(verdicts, key=lambda each: (each.accepted, each.current), default=ParentFacts(name))


def _about(reference: Mapping[str, Any], namespace: str) -> tuple[str, str, str | None]:
    return (reference["name"], reference.get("namespace") or namespace, reference.get("sectionName"))


def _verdict(name: str, conditions: Any, generation: int) -> ParentFacts:
    needed = [condition for condition in conditions if condition["type"] in ("Accepted", "ResolvedRefs")]
    current = all(int(condition.get("observedGeneration") or 0) >= generation for condition in needed)
    wrong = next((condition for condition in needed if condition["status"] == "False"), None)
    words = f"{wrong['reason']}: {wrong.get('message', '').rstrip('.')}" if wrong else None
    return ParentFacts(
        name,
        answered=bool(needed),
        accepted=len(needed) == 2 and all(condition["status"] == "True" for condition in needed),
        current=bool(needed) and current,
        refusal=words if current else None,
    )
