"""Values that tests begin with; each test changes what it is about."""

from typing import Any

from modelward.api.modeldeployment import Model, ModelDeployment, Spec
from modelward.facts import (
    Arm,
    ContainerFacts,
    GatewayFacts,
    ModelFacts,
    Observed,
    PodFacts,
    Progress,
    Promotion,
    RevisionFacts,
    RouterFacts,
    RouterPodFacts,
    RouteTable,
    WorkloadFacts,
)
from modelward.platform import Platform

PLATFORM = Platform(server_image="inference:1", router_image="envoy:1")
NO_ROUTER = RouterFacts()
MODEL = ModelFacts("s3://models/a.onnx", "auto")


class FixedKeys:
    """Instead of a Keyring: the operator's public keys never change."""

    async def public(self) -> tuple[str, ...]:
        return ("key",)


def owner(name: str = "fraud", **spec: Any) -> ModelDeployment:
    return ModelDeployment("ml", name, "uid-1", 1, Spec(**({"model": Model("s3://models/a.onnx")} | spec)))


def pod(name: str = "pod", ready: bool = True, **facts: Any) -> PodFacts:
    return PodFacts(**({"name": name, "uid": f"uid-{name}", "ip": "10.0.0.1", "ready": ready} | facts))


def container(name: str = "server", **facts: Any) -> ContainerFacts:
    return ContainerFacts(name, **facts)


def workload(desired: int = 1, ready: int | None = None, **facts: Any) -> WorkloadFacts:
    """Complete, unless `ready` says less."""
    count = desired if ready is None else ready
    return WorkloadFacts(**({"desired": desired, "ready": count, "available": count, "settled": True} | facts))


def revision(name: str, promoted: int | None = None, **facts: Any) -> RevisionFacts:
    """`promoted`: the number of its promotion, at time 0."""
    return RevisionFacts(name, MODEL, workload(**facts), Promotion(promoted, 0.0) if promoted else None)


def router(
    stable: str,
    *attached: str,
    arms: tuple[Arm, ...] = (),
    version: str = "v1",
    pods: tuple[RouterPodFacts, ...] | None = None,
    progress: Progress | None = None,
) -> RouterFacts:
    """A router whose pods follow its configuration and reach everything."""
    routes = RouteTable(stable, arms, attached)
    if pods is None:
        pods = (RouterPodFacts(pod("router"), version, frozenset(routes.revisions)),)
    return RouterFacts(workload(len(pods)), routes, version, pods, progress)


def shared_router(
    stable: str,
    *attached: str,
    arms: tuple[Arm, ...] = (),
    version: str = "v1",
    progress: Progress | None = None,
    former: bool = False,
    **facts: Any,
) -> RouterFacts:
    """An HTTPRoute that its Gateways follow, and by which they reach everything."""
    routes = RouteTable(stable, arms, attached)
    values = {"accepted": True, "live": version, "reachable": frozenset(routes.revisions)} | facts
    return RouterFacts(None, routes, version, progress=progress, gateway=GatewayFacts(**values), former=former)


def observed(target: str, *revisions: RevisionFacts, router: RouterFacts = NO_ROUTER, **facts: Any) -> Observed:
    values = {"replicas": 1, "router_replicas": 1} | facts
    return Observed(target, MODEL, revisions={each.name: each for each in revisions}, router=router, **values)
