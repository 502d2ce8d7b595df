"""What both routers promise, measured at real backends."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
import urllib3
from examples.demo import objects
from scipy.stats import binom

from modelward.facts import Arm, Match, RouteTable

from . import backends
from .bench import Bench, until
from .clients import Clients

Open = Callable[[Bench], Awaitable[Clients]]

pytestmark = pytest.mark.quiet  # an overloaded machine loses copies of requests, which are nobody's promise

DOUBT = 1e-6
"""Chance that a right share is taken for a wrong one."""

REQUESTS = 1000
PROTOCOLS = ("rest", "grpc")


def names(table: Bench) -> tuple[str, str]:
    return f"{table.owner.name}-a", f"{table.owner.name}-b"


def likely(count: int, share: float) -> bool:
    low, high = binom.interval(1 - DOUBT, REQUESTS, share)
    return bool(low <= count <= high)


async def answers(clients: Clients, protocol: str, requests: int = REQUESTS, **headers: str) -> dict[str, int]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await asyncio.to_thread(clients.answers, protocol, requests, sent)


PRIVATE = (
    "/modelward/samples", "/%6dodelward/samples", "//modelward/samples", "/v2/../modelward/samples", "/metrics",
    "/%2fmodelward/samples", "/modelward%2fsamples", "/./metrics", "/v2/%2e%2e/metrics",
)  # fmt: skip
"""What pods tell the operator alone, in the spellings by which it might be reached all the same."""


def sent_to(table: Bench, name: str) -> dict[str, int]:
    """What the backend itself counted, asked directly."""
    address = objects.get("services", table.owner.namespace, name)["spec"]["clusterIP"]
    answer = urllib3.request("GET", f"http://{address}:8080/counts", retries=False)
    return dict.fromkeys(PROTOCOLS, 0) | json.loads(answer.data)


async def test_the_stable_alone_answers(table: Bench, open_clients: Open) -> None:
    a, _ = names(table)
    await table.route(RouteTable(a))
    clients = await open_clients(table)
    for protocol in PROTOCOLS:
        assert await answers(clients, protocol, 200) == {a: 200}
    for path in PRIVATE:
        assert clients.status("GET", path) in (400, 404), path


async def test_a_gateway_passes_on_which_version_answered(table: Bench, open_clients: Open) -> None:
    """As pods say it; of an own Envoy it is the router that does, and what these pods are it was not told."""
    if table.owner.spec.router.gateway is None:
        pytest.skip("tests/unit/routing has its headers")
    a, _ = names(table)
    await table.route(RouteTable(a))
    clients = await open_clients(table)
    assert await asyncio.to_thread(clients.versions) == {"7"}


@pytest.mark.parametrize("weight", [10, 50])
async def test_weights_are_shares(table: Bench, open_clients: Open, weight: int) -> None:
    a, b = names(table)
    await table.route(RouteTable(a, (Arm("candidate", b, weight),)))
    clients = await open_clients(table)
    for protocol in PROTOCOLS:
        told = await answers(clients, protocol)
        assert likely(told[b], weight / 100), told
        assert told[a] + told[b] == REQUESTS, told


async def test_a_header_leads_to_its_arm(table: Bench, open_clients: Open) -> None:
    a, b = names(table)
    await table.route(RouteTable(a, (Arm("candidate", b),), matches=(Match("x-group", "testers", b),)))
    clients = await open_clients(table)
    for protocol in PROTOCOLS:
        assert await answers(clients, protocol, 100, x_group="testers") == {b: 100}
        assert await answers(clients, protocol, 100, x_group="others") == {a: 100}
        assert await answers(clients, protocol, 100) == {a: 100}


@pytest.mark.parametrize("percent", [100, 50])
async def test_a_shadow_gets_copies_and_answers_nobody(table: Bench, open_clients: Open, percent: int) -> None:
    a, b = names(table)
    await table.route(RouteTable(a, (Arm("candidate", b, mirror=percent),)))
    clients = await open_clients(table)
    for protocol in PROTOCOLS:
        before = sent_to(table, b)[protocol]
        assert await answers(clients, protocol) == {a: REQUESTS}

        async def copied(protocol: str = protocol, before: int = before) -> bool:
            return likely(sent_to(table, b)[protocol] - before, percent / 100)

        await until(copied, f"copies of {percent} % of the requests by {protocol}")


async def test_an_arm_that_gives_its_weight_back_gets_nothing(table: Bench, open_clients: Open) -> None:
    a, b = names(table)
    await table.route(RouteTable(a, (Arm("candidate", b, 50),)))
    clients = await open_clients(table)
    assert b in await answers(clients, "rest", 200)
    for routes in (RouteTable(a, (Arm("candidate", b, 0),)), RouteTable(a, attached=(b,)), RouteTable(a)):
        await table.route(routes)
        for protocol in PROTOCOLS:
            assert await answers(clients, protocol, 200) == {a: 200}


async def test_no_request_is_lost_while_a_revision_comes_and_goes(
    table: Bench, open_clients: Open, measured: Callable[[str], None]
) -> None:
    a, c = names(table)[0], f"{table.owner.name}-c"
    await table.route(RouteTable(a))
    life = {
        "attached": RouteTable(a, attached=(c,)),
        "10 %": RouteTable(a, (Arm("candidate", c, 10),)),
        "50 %": RouteTable(a, (Arm("candidate", c, 50),)),
        "promoted": RouteTable(c, attached=(a,)),
        "back": RouteTable(a, attached=(c,)),
        "detached": RouteTable(a),
    }
    with (await open_clients(table)).steady() as load:
        await asyncio.to_thread(backends.start, table.owner, c)
        for load.phase, routes in life.items():
            await table.route(routes)
        load.phase = "removed"
        await asyncio.to_thread(backends.remove, table.owner, c)
        before = load.answered(a)

        async def more() -> bool:
            return load.answered(a) > before + 200

        await until(more, "some requests after it has gone")
    measured(f"{table.owner.name}: {load.answered(a)} by a, {load.answered(c)} by one that came and went")
    assert load.lost(a, c) == {}
    assert load.answered(c) > 0


async def test_nothing_is_left_of_it(table: Bench, open_clients: Open) -> None:
    a, _ = names(table)
    await table.route(RouteTable(a))
    clients = await open_clients(table)
    await table.remove()

    async def gone() -> bool:
        return not await table.remains()

    await until(gone, "its objects and pods to be gone")
    if table.owner.spec.router.gateway is not None:

        async def unknown() -> bool:
            return clients.status("POST", "/v2/models/m/infer") == 404

        await until(unknown, "the Gateway to know nothing of it")
