"""One router of either kind in front of backends: routes are applied as the operator does, and seen live as it sees."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from examples.demo import objects

from localcluster import gatewayapi
from localcluster.clients import kubectl
from modelward.api import names
from modelward.api.modeldeployment import Gateway, Model, ModelDeployment, ParentReference, Spec
from modelward.api.modeldeployment import Router as RouterSpec
from modelward.facts import ModelFacts, RevisionFacts, RouterFacts, RouteTable
from modelward.kube.cache import Cache
from modelward.kube.poller import Poller
from modelward.kube.resources import CONFIG_MAPS, DEPLOYMENTS, HTTP_ROUTES, PODS
from modelward.platform import Platform
from modelward.revisions.observed.workloads import workload_facts
from modelward.routing import routers
from modelward.routing.envoy.probe import RouterProbe
from modelward.routing.observe import RouterObserver
from polled import told

from .backends import listed, without_owner
from .clients import Clients

DEADLINE = 60.0
"""Seconds; what takes longer on a small machine is broken."""

SEEN = (DEPLOYMENTS, CONFIG_MAPS, HTTP_ROUTES, PODS)


def owner(namespace: str, name: str, *, gateway: bool) -> ModelDeployment:
    """A ModelDeployment that is in no cluster, so that no operator has a hand in it."""
    parents = (ParentReference(gatewayapi.GATEWAY, gatewayapi.NAMESPACE),)
    router = RouterSpec(replicas=1, gateway=Gateway(parents, (host_of(namespace, name),)) if gateway else None)
    return ModelDeployment(namespace, name, f"uid-{name}", 1, Spec(Model("s3://none/model.onnx"), router=router))


def host_of(namespace: str, name: str) -> str:
    return f"{name}.{namespace}.test"


class Bench:
    """`a`, `b`, …: names of backends are `owner.name` with a letter."""

    def __init__(self, made_for: ModelDeployment, platform: Platform, session: aiohttp.ClientSession) -> None:
        self.owner = made_for
        self._platform = platform
        self._cache = Cache()
        self._poller = Poller(lambda _: None, time.monotonic)
        self._observer = RouterObserver(self._cache, RouterProbe(session, self._poller), time.monotonic)
        self._router = routers.wanted(made_for)

    async def route(self, routes: RouteTable) -> RouterFacts:
        """Apply `routes`, and return when the operator would take them for live and every revision for reached."""
        manifests = [without_owner(each) for each in self._router.manifests(self.owner, self._platform, routes, None)]
        await _kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=listed(manifests))
        version = self._router.version_of(self.owner, self._platform, routes)

        async def live() -> bool:
            facts = await self.look(*routes.revisions)
            for pod in facts.pods:
                if pod.config_version not in (None, version):
                    touch = f"{names.ANNOTATION_CONFIG}={version}"
                    await _kubectl("annotate", "pod", pod.pod.name, "-n", self.owner.namespace, "--overwrite", touch)
            return facts.settled and facts.follows(version) and all(map(facts.reaches, routes.revisions))

        await until(live, f"{routes} to be live")
        return await self.look(*routes.revisions)

    async def look(self, *revisions: str) -> RouterFacts:
        """What the operator would know now."""
        for resource in SEEN:
            bodies = await asyncio.to_thread(objects.find_all, resource.plural, self.owner.namespace)
            if resource != PODS:  # these have their ReplicaSet
                for body in bodies:
                    body["metadata"]["ownerReferences"] = [self.owner.owner_reference]
            self._cache.reconcile_with(resource, self._cache.snapshot(resource), bodies)
        found = (self._cache.get(DEPLOYMENTS, self.owner.namespace, name) for name in revisions)
        facts = {
            body["metadata"]["name"]: RevisionFacts(
                body["metadata"]["name"], ModelFacts("s3://none/model.onnx", "auto"), workload_facts(body, [])
            )
            for body in found
            if body is not None
        }
        return await told(self._poller, lambda: self._observer.look(self.owner, set(revisions), facts))

    async def remove(self) -> None:
        """As the operator takes a router away."""
        for resource, name in self._router.objects(self.owner):
            kind = f"{resource.plural}.{resource.group}"
            await _kubectl("delete", kind, name, "-n", self.owner.namespace, "--ignore-not-found")

    async def remains(self) -> list[str]:
        """What of the router is there, pods included."""
        selector = f"{names.LABEL_INSTANCE}={self.owner.name},{names.LABEL_COMPONENT}={names.COMPONENT_ROUTER}"
        kinds = ("deployments", "services", "configmaps", "httproutes", "pods")
        listed = [await asyncio.to_thread(objects.names, each, self.owner.namespace, selector) for each in kinds]
        return [name for names_of_kind in listed for name in names_of_kind]

    def clients(self) -> Clients:
        """By the way that spec asks for."""
        if self.owner.spec.router.gateway is None:
            address = _address(self.owner.namespace, self.owner.name)
            return Clients(f"{address}:80", f"{address}:{names.GRPC_PORT}", None, by_router=True)
        address = _address(gatewayapi.NAMESPACE, gatewayapi.GATEWAY)
        # No part of the API names the backend in an answer without a cost (routing/gateway/route.py): pods do.
        return Clients(
            f"{address}:80", f"{address}:80", host_of(self.owner.namespace, self.owner.name), by_router=False
        )


@asynccontextmanager
async def bench(made_for: ModelDeployment, platform: Platform) -> AsyncIterator[Bench]:
    async with aiohttp.ClientSession() as session:
        yield Bench(made_for, platform, session)


async def until(condition: Any, what: str) -> None:
    """Ask until the answer is true. Fails after DEADLINE seconds."""
    end = time.monotonic() + DEADLINE
    while not await condition():
        assert time.monotonic() < end, f"not within {DEADLINE:.0f} s: {what}"
        await asyncio.sleep(0.1)


async def _kubectl(*arguments: str, stdin: str | None = None) -> str:
    return await asyncio.to_thread(kubectl, *arguments, stdin=stdin)


def _address(namespace: str, service: str) -> str:
    return str(objects.get("services", namespace, service)["spec"]["clusterIP"])
