"""The two ways to lead requests to revisions behind one interface: an Envoy of the model's own, or the Gateway API.

Whichever spec asks for, routes and progress are the same and are stored the same way, so the one goes on where the
other was. When spec changes from one to the other, both are kept up to date until the new one is live.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment, RouterService, parse_gateway, parse_service
from modelward.facts import Progress, RouteTable
from modelward.kube.cache import Object
from modelward.kube.resources import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    HTTP_ROUTES,
    SERVICES,
    Resource,
)
from modelward.platform import Platform
from modelward.revisions.observed.ownership import is_ours
from modelward.routing.envoy import certificate
from modelward.routing.envoy import objects as router_objects
from modelward.routing.gateway import route
from modelward.routing.stored import load_routes


class Router(Protocol):
    """One way. What it makes is applied, and taken away again, object by object."""

    def objects(self, owner: ModelDeployment) -> tuple[tuple[Resource, str], ...]:
        """Resource and name of what it makes, in the order in which it can be taken away; the last holds the routes."""
        ...

    def manifests(
        self,
        owner: ModelDeployment,
        platform: Platform,
        routes: RouteTable,
        progress: Progress | None,
        *,
        tls: bool = False,
    ) -> Iterator[Mapping[str, Any]]:
        """What it makes, in the order in which it can be applied. `tls`: whether clients speak TLS with an Envoy of the
        model's own by now."""
        ...

    def version_of(self, owner: ModelDeployment, platform: Platform, routes: RouteTable) -> str:
        """Names the configuration that `routes` become."""
        ...


class OwnEnvoy:
    """An Envoy for each model: clients call its Service, and its pods follow a ConfigMap."""

    def objects(self, owner: ModelDeployment) -> tuple[tuple[Resource, str], ...]:
        name = router_objects.name_of(owner)
        return (
            (SERVICES, owner.name), (DISRUPTION_BUDGETS, name), (DEPLOYMENTS, name), (CONTROLLER_REVISIONS, name),
            (CONFIG_MAPS, name),
        )  # fmt: skip

    def manifests(
        self,
        owner: ModelDeployment,
        platform: Platform,
        routes: RouteTable,
        progress: Progress | None,
        *,
        tls: bool = False,
    ) -> Iterator[Mapping[str, Any]]:
        return router_objects.manifests(owner, platform, routes, progress, tls=tls)

    def version_of(self, owner: ModelDeployment, platform: Platform, routes: RouteTable) -> str:
        return router_objects.version_of(owner, platform, routes)


class GatewayApi:
    """An HTTPRoute for each model, below Gateways that somebody else runs."""

    def objects(self, owner: ModelDeployment) -> tuple[tuple[Resource, str], ...]:
        return ((HTTP_ROUTES, route.name_of(owner)),)

    def manifests(
        self,
        owner: ModelDeployment,
        platform: Platform,
        routes: RouteTable,
        progress: Progress | None,
        *,
        tls: bool = False,  # noqa: ARG002
    ) -> Iterator[Mapping[str, Any]]:
        return route.manifests(owner, platform, routes, progress)

    def version_of(self, owner: ModelDeployment, platform: Platform, routes: RouteTable) -> str:
        return route.version_of(owner, platform, routes)


OWN_ENVOY: Final = OwnEnvoy()
GATEWAY_API: Final = GatewayApi()


def wanted(owner: ModelDeployment) -> Router:
    """The router that spec asks for."""
    return OWN_ENVOY if owner.spec.router.gateway is None else GATEWAY_API


def former(owner: ModelDeployment) -> Router:
    """The other one: spec may have asked for it before."""
    return GATEWAY_API if owner.spec.router.gateway is None else OWN_ENVOY


@dataclass(frozen=True)
class Stored:
    """What a router's object says that it does, in `version` of its configuration."""

    body: Object
    routes: RouteTable
    version: str
    progress: Progress | None


def stored(body: Object | None, owner: ModelDeployment) -> Stored | None:
    """What is stored in `body`; None where it is no object of this ModelDeployment's, or says nothing."""
    if body is None or not is_ours(body, owner):
        return None
    loaded = load_routes((body["metadata"].get("annotations") or {}).get(names.ANNOTATION_ROUTES))
    return None if loaded is None else Stored(body, *loaded)


def before(owner: ModelDeployment, objects: Sequence[Object]) -> ModelDeployment | None:
    """`owner` as it was when spec asked for the other router, `objects` of which are still there; None where it holds
    no routes (any more)."""
    found = next((body for body in objects if stored(body, owner)), None)
    if found is None:
        return None
    gateway_then = parse_gateway(found["spec"]) if found["kind"] == HTTP_ROUTES.kind else None
    tls_then = certificate.tls_of(next((body for body in objects if body["kind"] == DEPLOYMENTS.kind), None))
    service_then = _service_then(next((body for body in objects if body["kind"] == SERVICES.kind), None))
    then = replace(owner.spec.router, gateway=gateway_then, tls=tls_then, service=service_then)
    return replace(owner, spec=replace(owner.spec, router=then))


def _service_then(body: Object | None) -> RouterService:
    """As it is: whoever comes by a load balancer must not lose it before there is another way."""
    if body is None:
        return RouterService()
    annotations = body["metadata"].get("annotations") or {}
    others = {name: value for name, value in annotations.items() if not name.startswith(f"{names.GROUP}/")}
    return parse_service({**body["spec"], "annotations": others})


def clients_speak_tls(
    owner: ModelDeployment, service: Object | None, deployment: Object | None, *, complete: bool
) -> bool:
    """Whether clients are led to pods that speak TLS: as spec asks, as soon as all router pods are made so and ready.

    Until then everything stays as it is: pods of a new kind that do not come up, since the Secret is missing, take no
    client away from those that serve. `service`, `deployment`: the own Envoy's; `complete`: all of its pods.
    """
    wanted_now = owner.spec.router.tls is not None
    if service is not None:
        now = certificate.leads_to_tls(service)
    else:
        # Somebody has deleted it, or there never was one.
        told = owner.status.get("url")
        now = wanted_now if told is None else str(told).startswith("https:")
    if owner.spec.router.gateway is not None:
        return now
    made = deployment is not None and certificate.tls_of(deployment) == owner.spec.router.tls
    return wanted_now if made and complete else now
