"""A real cluster with a real implementation of the Gateway API."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from examples.demo.cluster import create_namespace

from localcluster import cluster, gatewayapi, images, kind
from localcluster.clients import kubectl
from modelward.platform import Platform

from . import backends
from .bench import Bench, bench, owner, until
from .clients import Clients


@pytest.fixture(scope="session")
def namespace(in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[str]:
    name = f"gateway-{secrets.token_hex(3)}"
    with in_sight():
        cluster.up()
        gatewayapi.up()
        create_namespace(name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def platform() -> Platform:
    built = images.ensure(["inference", "router"])
    return Platform(server_image=built["inference"], router_image=built["router"])


@pytest.fixture(scope="module", params=["envoy", "gateway"])
def router(request: pytest.FixtureRequest, namespace: str) -> str:
    """Both kinds of router: every test of the contract runs with each, in front of backends a and b."""
    if kind.is_chosen():
        pytest.skip("the nodes' pods are not reachable from here: kind runs them inside Docker")
    backends.start(owner(namespace, request.param, gateway=False), f"{request.param}-a", f"{request.param}-b")
    return str(request.param)


@pytest.fixture
async def table(router: str, namespace: str, platform: Platform) -> AsyncIterator[Bench]:
    async with bench(owner(namespace, router, gateway=router == "gateway"), platform) as made:
        yield made


@pytest.fixture
async def open_clients() -> AsyncIterator[Callable[[Bench], Awaitable[Clients]]]:
    """Clients that are closed at the end."""
    opened: list[Clients] = []

    async def of(made_for: Bench) -> Clients:
        clients = made_for.clients()
        opened.append(clients)
        # The nodes' kube-proxy learns of a Service's first pods a moment after they are ready.
        await until(lambda: asyncio.to_thread(clients.connect), "the Service to be known to kube-proxy")
        return clients

    yield of
    for each in opened:
        each.close()
