"""The two routers behind one interface, and the change from one to the other."""

from collections.abc import Iterator
from typing import Any

import pytest

from builders import PLATFORM, observed, owner, pod, revision, workload
from modelward.api.modeldeployment import Gateway, ModelDeployment, ParentReference, Router, RouterService
from modelward.facts import Arm, GatewayFacts, PodFacts, Progress, RouterFacts, RouterPodFacts, RouteTable
from modelward.kube.cache import Cache, Key
from modelward.kube.diff import stamped
from modelward.kube.resources import CONTROLLER_REVISIONS, DEPLOYMENTS, Resource, resource_of
from modelward.reconcilers.modeldeployment.plan import Plan, plan
from modelward.revisions import deployment as render_revision
from modelward.routing.envoy import objects as envoy
from modelward.routing.observe import RouterObserver
from modelward.routing.routers import GATEWAY_API, OWN_ENVOY, before, wanted

PUBLIC = Gateway((ParentReference("public", "infra", "http"), ParentReference("other")), ("fraud.example",))
OWN = owner()
SHARED = owner(router=Router(gateway=PUBLIC))
A = render_revision.name_of(OWN)
B = "fraud-b"
ROUTES = RouteTable(A, attached=(B,))
PROGRESS = Progress(B, 1, message="m")


class World:
    """Live objects, as plan and observe look them up."""

    def __init__(self, *manifests: Any) -> None:
        self.cache = Cache()
        for number, manifest in enumerate(manifests):
            metadata = {**manifest["metadata"], "uid": f"uid-{number}", "resourceVersion": "1", "generation": 1}
            self.cache.upsert(resource_of(manifest), {**stamped(manifest), "metadata": metadata | {
                "annotations": stamped(manifest)["metadata"]["annotations"]}})  # fmt: skip

    def live(self, resource: Resource, name: str) -> Any:
        return self.cache.get(resource, "ml", name)


def made(by: ModelDeployment, routes: RouteTable = ROUTES, progress: Progress | None = PROGRESS) -> Iterator[Any]:
    return iter(wanted(by).manifests(by, PLATFORM, routes, progress))


def planned(by: ModelDeployment, world: World, router: RouterFacts) -> Plan:
    facts = observed(A, revision(A), revision(B), router=router, router_replicas=2)
    return plan(by, facts, PLATFORM, world.live)


def applied(result: Plan) -> list[str]:
    return [f"{each['kind']} {each['metadata']['name']}" for each in result.applies if each["kind"] != "Service" or
            each["metadata"]["name"] == "fraud"]  # fmt: skip


def deleted(result: Plan) -> list[str]:
    return [f"{resource.kind} {body['metadata']['name']}" for resource, body in result.deletes]


def version(by: ModelDeployment) -> str:
    return wanted(by).version_of(by, PLATFORM, ROUTES)


def live_gateway() -> RouterFacts:
    gateway = GatewayFacts(True, version(SHARED), frozenset((A, B)))
    return RouterFacts(None, ROUTES, version(SHARED), progress=PROGRESS, gateway=gateway, former=True)


def live_envoy() -> RouterFacts:
    pods = (RouterPodFacts(pod("router"), version(OWN), frozenset((A, B))),)
    return RouterFacts(workload(1), ROUTES, version(OWN), pods, PROGRESS, former=True)


def test_spec_chooses_the_router() -> None:
    assert (wanted(OWN), wanted(SHARED)) == (OWN_ENVOY, GATEWAY_API)
    assert [each["kind"] for each in made(SHARED)] == ["HTTPRoute"]
    assert [each["kind"] for each in made(OWN)] == ["ConfigMap", "PodDisruptionBudget", "Deployment", "Service"]


@pytest.mark.parametrize("by", [OWN, SHARED], ids=["envoy", "gateway"])
def test_what_is_made_can_be_taken_away_by_name(by: ModelDeployment) -> None:
    manifests = {(resource_of(each), each["metadata"]["name"]) for each in made(by)}
    records = {(CONTROLLER_REVISIONS, name) for kind, name in manifests if kind is DEPLOYMENTS}
    assert manifests | records == set(wanted(by).objects(by))


@pytest.mark.parametrize(
    ("was", "becomes", "kept", "new"),
    [
        (OWN, SHARED, ["ConfigMap fraud-router", "Deployment fraud-router", "Service fraud"], ["HTTPRoute fraud"]),
        (SHARED, OWN, ["HTTPRoute fraud"], ["ConfigMap fraud-router", "Deployment fraud-router", "Service fraud"]),
    ],
    ids=["to the gateway", "to an own Envoy"],
)
def test_until_the_new_router_is_live_the_former_one_goes_on(
    was: ModelDeployment, becomes: ModelDeployment, kept: list[str], new: list[str]
) -> None:
    """Clients use it, so it gets what is decided meanwhile; and it comes first, for the new one may be refused."""
    world = World(*made(was, RouteTable(B), None))
    gateway = GatewayFacts() if becomes is SHARED else None
    result = planned(becomes, world, RouterFacts(None, ROUTES, None, progress=PROGRESS, gateway=gateway, former=True))
    assert [each for each in applied(result) if each in kept + new] == [
        *(each for each in kept if each.split()[0] in ("ConfigMap", "HTTPRoute")), *new,
    ]  # fmt: skip
    assert deleted(result) == []


ROUTERS_OBJECTS = [
    "Service fraud", "PodDisruptionBudget fraud-router", "Deployment fraud-router", "ConfigMap fraud-router",
]  # fmt: skip


@pytest.mark.parametrize(
    ("was", "becomes", "router", "gone"),
    [
        (
            OWN,
            SHARED,
            live_gateway(),
            ROUTERS_OBJECTS,
        ),
        (SHARED, OWN, live_envoy(), ["HTTPRoute fraud"]),
    ],
    ids=["to the gateway", "to an own Envoy"],
)
def test_when_the_new_router_is_live_the_former_one_goes_its_routes_last(
    was: ModelDeployment, becomes: ModelDeployment, router: RouterFacts, gone: list[str]
) -> None:
    result = planned(becomes, World(*made(was), *made(becomes)), router)
    assert deleted(result) == gone
    assert not set(applied(result)) & set(gone)


def test_no_revision_goes_while_the_former_router_may_lead_to_it() -> None:
    assert B not in planned(SHARED, World(*made(OWN), *made(SHARED)), live_gateway()).decision.remove


def test_the_former_route_keeps_its_gateways() -> None:
    """Spec does not name them any more."""
    (route,) = made(SHARED)
    was = before(OWN, [route])
    assert was is not None
    assert next(made(was)) == route


def test_a_namesake_is_not_the_former_router() -> None:
    reference = {**OWN.owner_reference, "uid": "another"}
    namesake = {**next(made(SHARED)), "metadata": {**next(made(SHARED))["metadata"], "ownerReferences": [reference]}}
    assert before(OWN, [namesake]) is None
    assert deleted(planned(OWN, World(namesake), live_envoy())) == []


class Probe:
    """Router pods that follow what is asked for."""

    def look(
        self, _owner: Key, pods: tuple[PodFacts, ...], version: str | None, revisions: list[str]
    ) -> tuple[RouterPodFacts, ...]:
        return tuple(RouterPodFacts(each, version, frozenset(revisions)) for each in pods)

    def forget(self, owner: Key) -> None:
        pass


async def look(by: ModelDeployment, world: World) -> RouterFacts:
    observer = RouterObserver(world.cache, Probe(), lambda: 0.0)  # type: ignore[arg-type]
    return observer.look(by, {A}, {A: revision(A), B: revision(B)})


@pytest.mark.parametrize(("was", "becomes"), [(OWN, SHARED), (SHARED, OWN)], ids=["to the gateway", "to an own Envoy"])
async def test_the_new_router_begins_where_the_former_one_is(was: ModelDeployment, becomes: ModelDeployment) -> None:
    routes = RouteTable(A, (Arm("candidate", B, 10),))
    facts = await look(becomes, World(*made(was, routes)))
    assert (facts.routes, facts.progress, facts.version, facts.former) == (routes, PROGRESS, None, True)
    assert not facts.follows(version(becomes))
    both = await look(becomes, World(*made(was, routes), *made(becomes)))
    assert (both.routes, both.version, both.former) == (ROUTES, version(becomes), True)


async def test_without_a_former_router_there_is_nothing_to_take_over() -> None:
    for by in (OWN, SHARED):
        facts = await look(by, World())
        assert (facts.routes, facts.progress, facts.former) == (None, None, False)
    assert not (await look(SHARED, World(*made(SHARED)))).former


async def test_router_pods_that_end_may_still_send_requests() -> None:
    world = World(*made(SHARED))
    labels = {"app.kubernetes.io/instance": "fraud", "app.kubernetes.io/component": "router"}
    metadata = {"name": "p", "namespace": "ml", "uid": "p", "resourceVersion": "1", "labels": labels}
    maker = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "fraud-router-5d8f", "uid": "r", "controller": True}
    metadata["ownerReferences"] = [maker]
    world.cache.upsert(resource_of({"apiVersion": "v1", "kind": "Pod"}), {"metadata": metadata, "status": {}})
    assert (await look(SHARED, world)).former


def test_a_load_balancer_stays_until_the_gateway_has_taken_over() -> None:
    service = RouterService(
        "LoadBalancer", {"example.com/scheme": "internal"}, load_balancer_class="example.com/nlb",
        load_balancer_source_ranges=("10.0.0.0/8",), external_traffic_policy="Local", ip_families=("IPv4",),
    )  # fmt: skip
    with_balancer = owner(router=Router(service=service))
    there = [stamped(envoy.service(with_balancer)), envoy.config_map(with_balancer, PLATFORM, ROUTES)]
    then = before(SHARED, there)
    assert then is not None
    assert then.spec.router.service == service
    assert envoy.service(then)["spec"] == envoy.service(with_balancer)["spec"]
