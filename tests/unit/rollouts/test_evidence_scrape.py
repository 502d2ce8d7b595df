"""What is read from pods, and that nothing is read from an answer that is not whole."""

import asyncio
import gzip
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import REGISTRY, generate_latest

from builders import pod
from modelward.kube.cache import Key
from modelward.kube.poller import Poller
from modelward.monitoring.client import Monitors
from modelward.net import pods
from modelward.net.body import open_session
from modelward.rollouts.evidence.pairs import Sample
from modelward.rollouts.evidence.scrape import NEWEST, Scraper, clusters_of, router_counts, server_counts
from modelward.rollouts.evidence.tally import Counts
from modelward.routing.envoy.probe import RouterProbe
from modelward_inference.telemetry.metrics import GONE, REFUSED, Requests
from modelward_inference.telemetry.samples import Samples
from modelward_inference.telemetry.users import Users
from polled import told

A, B = "fraud-a", "fraud-b"
ENVOY = (Path(__file__).parent / "envoy_stats.txt").read_text()
"""Envoy 1.40, asked as `routers` asks, after these requests: to A 10 good ones (three of them take 60 ms), two 400, one
500, one that hangs, and by gRPC 5 good ones, two INVALID_ARGUMENT, one that hangs; to B 4 good ones, and by gRPC three
while nobody listens; besides that copies, and failures by B's own host."""

COUNTED = {A: Counts(22, 3, 20, 3), B: Counts(7, 3, 4, 0)}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as made:
        yield made


@pytest.fixture
async def serve(session: aiohttp.ClientSession) -> AsyncIterator[Callable[[Handler], Awaitable[Scraper]]]:
    """Starts a pod that answers everything with a handler; a scraper that asks it."""
    servers: list[TestServer] = []

    async def start(handler: Handler) -> Scraper:
        application = web.Application()
        application.router.add_route("GET", "/{path:.*}", handler)
        server = TestServer(application, host="127.0.0.1")
        servers.append(server)
        await server.start_server()
        assert server.port is not None
        return Scraper(session, server.port, server.port)

    yield start
    for server in servers:
        await server.close()


Serve = Callable[[Handler], Awaitable[Scraper]]
POD = pod("one", ip="127.0.0.1")


def answering(body: str | bytes, status: int = 200) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, content_type="text/plain")

    return handler


@pytest.mark.parametrize(
    ("slo", "expected"),
    [
        (0.05, COUNTED),
        (0.045, COUNTED),  # judged at 50 ms, the next bound
        (0.051, {A: Counts(22, 3, 20, 0), B: Counts(7, 3, 4, 0)}),
        (None, {A: Counts(22, 3), B: Counts(7, 3)}),
    ],
)
def test_what_envoy_says(slo: float | None, expected: Mapping[str, Counts]) -> None:
    assert router_counts(ENVOY, clusters_of(A, B), slo) == expected


def test_other_revisions_are_not_counted() -> None:
    assert router_counts(ENVOY, clusters_of("fraud-c", B), 0.05) == {B: COUNTED[B]}
    assert router_counts(ENVOY, clusters_of(B, A), 0.05) == {}, "the stable's own clusters, and the candidate's arm"
    assert router_counts("", clusters_of(A, B), 0.05) == {}


def test_a_request_that_the_stable_had_to_answer_for_the_candidate_is_its_failure() -> None:
    retries = 'envoy_cluster_upstream_rq_retry{envoy_cluster_name="%s"} 5\n'
    text = retries % "fraud-a" + retries % "fraud-b-arm"
    assert router_counts(text, clusters_of(A, B), None) == {A: Counts(), B: Counts(errors=5, tried=5)}


def test_what_the_stable_answered_without_a_try_at_the_candidate_is_nobodys_evidence() -> None:
    """It is no success of the candidate's, and no failure of what nobody tried."""
    code = 'envoy_cluster_upstream_rq_xx{envoy_response_code_class="%s",envoy_cluster_name="%s"} %d\n'
    text = code % ("2", "fraud-b-arm", 14) + code % ("2", "fraud-b-arm-grpc", 2) + code % ("5", "fraud-b-instead", 1)
    text += 'envoy_cluster_upstream_rq_retry{envoy_cluster_name="fraud-b-arm"} 3\n'
    text += 'envoy_cluster_upstream_rq_total{envoy_cluster_name="fraud-b-instead"} 14\n'
    text += 'envoy_cluster_upstream_rq_total{envoy_cluster_name="fraud-b-arm"} 77\n'
    (counts,) = router_counts(text, clusters_of(A, B), None).values()
    assert counts == Counts(requests=16, errors=3, instead=14, tried=3)
    assert counts.own() == Counts(requests=5, errors=3)


def test_what_the_inference_server_says() -> None:
    """By its own code, over both protocols; whoever left before the answer says nothing of the model, and what clients
    do wrong is no error of it. What it refuses is counted by itself."""

    def counted(slo: float | None) -> Counts:
        return server_counts(generate_latest(REGISTRY).decode(), slo)

    before, untimed = counted(0.05), counted(None)
    rest, grpc = Requests("scraped", "1", "rest"), Requests("scraped", "1", "grpc")
    for protocol, code, seconds in [
        (rest, 200, 0.01), (rest, 200, 0.05), (rest, 200, 0.06), (rest, 400, 0.001), (rest, 413, 0.001),
        (rest, 503, 9.0), (rest, 504, 0.01), (rest, 500, 0.01), (rest, GONE, 9.0),
        (grpc, "OK", 0.01), (grpc, "INVALID_ARGUMENT", 0.001), (grpc, "NOT_FOUND", 0.001),
        (grpc, "OUT_OF_RANGE", 0.001), (grpc, "RESOURCE_EXHAUSTED", 0.001), (grpc, "DEADLINE_EXCEEDED", 0.001),
        (grpc, "INTERNAL", 0.001), (grpc, "CANCELLED", 9.0),
    ]:  # fmt: skip
        protocol.observe(code, seconds)
    REFUSED.labels("scraped", "1", "model").inc(2)
    REFUSED.labels("scraped", "1", "signature").inc()
    expected = Counts(requests=15, errors=6, timed=15, slow=2, answered=15, refused=3)
    assert counted(0.05).since(before) == expected
    assert counted(None).since(untimed) == replace(expected, timed=0, slow=0)


async def test_routers_are_asked_for_the_clients_counters_alone(serve: Serve) -> None:
    asked: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(text=ENVOY)

    scraper = await serve(handler)
    assert await scraper.routers([POD], A, B, 0.05) == {POD.uid: COUNTED}
    (request,) = asked
    assert request.path == "/stats/prometheus"
    assert "usedonly" in request.query_string
    names = (A, f"{A}-grpc", f"{B}-arm", f"{B}-arm-grpc", f"{B}-instead", f"{B}-instead-grpc")
    assert request.query["filter"].startswith(f"^cluster\\.({'|'.join(names)})\\.(")


async def test_model_pods_are_asked_by_revision(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.path == "/metrics"
        return web.Response(body=generate_latest(REGISTRY))

    other = pod("two", ip="127.0.0.1")
    readings = await (await serve(handler)).servers({A: [POD], B: [other], "fraud-c": []}, None)
    assert {uid: list(counts) for uid, counts in readings.items()} == {POD.uid: [A], other.uid: [B]}


async def test_only_ready_pods_with_an_address_are_asked(serve: Serve) -> None:
    scraper = await serve(answering(ENVOY))
    pods = [pod("new", ip=None), pod("unready", ready=False, ip="127.0.0.1"), POD]
    assert list(await scraper.routers(pods, A, B, None)) == [POD.uid]


async def test_an_answer_in_many_pieces_is_read_to_its_end(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(ENVOY), 1000):
            await response.write(ENVOY[start : start + 1000].encode())
            await asyncio.sleep(0)
        return response

    assert await (await serve(handler)).routers([POD], A, B, 0.05) == {POD.uid: COUNTED}


TOTAL = next(line for line in ENVOY.splitlines() if line.startswith("envoy_cluster_upstream_rq_time_count"))

BROKEN: dict[str, Handler] = {
    "an error": answering(ENVOY, status=503),
    "another status": answering(ENVOY, status=204),
    "no text": answering(b"envoy_cluster_\xff\xfe"),
    "a line that ends in the middle": answering(ENVOY + 'envoy_cluster_upstream_rq_xx{envoy_response_code_cl'),
    "a value that is none": answering(ENVOY + 'envoy_cluster_upstream_rq_xx{envoy_cluster_name="fraud-a"} many\n'),
    "a label that is missing": answering(ENVOY + 'envoy_cluster_upstream_rq_xx{envoy_cluster_name="fraud-a"} 3\n'),
    "a total that is missing": answering(ENVOY.replace(TOTAL + "\n", "")),
    "not a number": answering(ENVOY.replace(TOTAL, TOTAL.rpartition(" ")[0] + " NaN")),
    "an infinite number": answering(ENVOY.replace(TOTAL, TOTAL.rpartition(" ")[0] + " +Inf")),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_answer_is_left_out(serve: Serve, case: str) -> None:
    assert await (await serve(BROKEN[case])).routers([POD], A, B, 0.05) == {}


async def test_a_page_that_is_no_metrics_says_nothing(serve: Serve) -> None:
    assert await (await serve(answering("<html>a login</html>"))).routers([POD], A, B, 0.05) == {POD.uid: {}}


async def test_an_answer_that_is_cut_off_is_left_out(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(ENVOY))})
        await response.prepare(request)
        await response.write(ENVOY[: len(ENVOY) // 2].encode())
        assert request.transport is not None
        request.transport.close()
        return response

    assert await (await serve(handler)).routers([POD], A, B, 0.05) == {}


async def test_an_answer_that_is_too_long_or_too_late_is_left_out(serve: Serve) -> None:
    scraper = await serve(answering(ENVOY))
    with mock.patch.object(pods, "MAX_BYTES", len(ENVOY) - 1):
        assert await scraper.routers([POD], A, B, 0.05) == {}
    scraper = await serve(answering(ENVOY))
    with mock.patch.object(pods, "MAX_BYTES", len(ENVOY)):
        assert await scraper.routers([POD], A, B, 0.05) == {POD.uid: COUNTED}
    never = asyncio.Event()

    async def hangs(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response(text=ENVOY)

    scraper = await serve(hangs)
    with mock.patch.object(pods, "TIMEOUT", aiohttp.ClientTimeout(total=0.05)):
        assert await scraper.routers([POD], A, B, 0.05) == {}
        assert await scraper.samples(POD, 0) is None
    never.set()


async def test_a_pod_that_nobody_reaches_is_left_out(session: aiohttp.ClientSession) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scraper = Scraper(session, port, port)
    assert await scraper.routers([POD], A, B, 0.05) == {}
    assert await scraper.servers({A: [POD]}, 0.05) == {}
    assert await scraper.samples(POD, 0) is None


async def test_samples_as_the_inference_server_writes_them(serve: Serve) -> None:
    samples = Samples()
    samples.page(0)

    async def handler(request: web.Request) -> web.Response:
        return web.Response(
            body=orjson.dumps(samples.page(int(request.query["after"]))), content_type="application/json"
        )

    scraper = await serve(handler)
    assert await scraper.samples(POD, 0) == (samples.epoch, 0, [])
    samples.take(b"good", 200, {})
    samples.take(b"bad", 500)
    found = await scraper.samples(POD, 0)
    assert found is not None
    epoch, following, (good, bad) = found
    assert (epoch, following, good.outputs, bad.outputs) == (samples.epoch, 2, {}, None)
    assert good.id != bad.id
    assert await scraper.samples(POD, 1) == (samples.epoch, 2, [bad])
    assert await scraper.samples(POD, NEWEST) == (samples.epoch, 2, []), "where to go on, and nothing of what is there"


PAGE: dict[str, Any] = {"epoch": "e", "next": 1, "level": 0, "samples": [{"id": "1", "outputs": {"y": [1]}}]}


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "[]", "null", "7", "[" * 100_000,
        *(json.dumps({name: value for name, value in PAGE.items() if name != gone}) for gone in ("epoch", "next")),
        json.dumps({**PAGE, "next": None}), json.dumps({**PAGE, "samples": 3}), json.dumps({**PAGE, "samples": [1]}),
        json.dumps({**PAGE, "samples": [{"id": "1"}]}), json.dumps({**PAGE, "samples": [{"id": "1", "outputs": [1]}]}),
    ],
)  # fmt: skip
async def test_broken_samples_are_left_out(serve: Serve, body: str) -> None:
    assert await (await serve(answering(body))).samples(POD, 0) is None
    assert await (await serve(answering(json.dumps(PAGE)))).samples(POD, 0) == ("e", 1, [Sample("1", {"y": [1]})])


async def test_ipv6_addresses_are_written_as_addresses_are(session: aiohttp.ClientSession) -> None:
    with mock.patch.object(session, "request", side_effect=OSError) as get:
        assert await Scraper(session).samples(pod(ip="fd00::1"), 0) is None
    assert str(get.call_args.args[1]) == "http://[fd00::1]:8080/modelward/samples?after=0"


async def test_a_pod_sends_the_operator_nowhere(
    serve: Callable[[Handler], Awaitable[Scraper]], session: aiohttp.ClientSession
) -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/internal"})

    scraper = await serve(elsewhere)
    port = scraper._server_port
    own = pod("p", ip="127.0.0.1")
    await scraper.servers({A: [own]}, None)
    await scraper.samples(own, 0)
    poller = Poller(lambda _: None, time.monotonic)
    probe = RouterProbe(session, poller, port)
    await told(poller, lambda: probe.look(Key("n", "m"), [own], "v", {A: "way"}))
    await Monitors(session, port).reference(own)
    assert asked
    assert "/internal" not in asked


async def test_nothing_that_a_pod_packed_is_unpacked(serve: Callable[[Handler], Awaitable[Scraper]]) -> None:
    asked_for: list[str] = []

    async def bomb(request: web.Request) -> web.StreamResponse:
        asked_for.append(request.headers["Accept-Encoding"])
        body = gzip.compress(b"{" + b" " * 20_000_000 + b"}")
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    scraper = await serve(bomb)
    assert await scraper.samples(pod("p", ip="127.0.0.1"), 0) is None
    assert asked_for == ["identity"]


async def test_users_are_read_by_bucket_and_pods_of_an_earlier_version_have_none(serve: Serve) -> None:
    users = Users()
    users.count("header:x-user", lambda _: "anna", 500, 0.07, refused=False)
    users.count("matched", lambda _: "", 400, 0.01, refused=True)

    async def handler(request: web.Request) -> web.Response:
        assert request.path_qs == "/modelward/users?slo=0.05"
        return web.json_response(users.page(float(request.query["slo"])))

    readings = await (await serve(handler)).users({A: [POD]}, 0.045)
    asked = {name: counts for name, counts in readings[POD.uid].items() if counts.requests}
    assert list(asked.values()) == [Counts(1, 1, 1, 1, 1, 0), Counts(1, 0, 1, 0, 1, 1)]
    assert list(asked)[1] == f"{A}/32"
    assert len(readings[POD.uid]) == 33
    assert await (await serve(answering("no such path", 404))).users({A: [POD]}, None) == {}


@pytest.mark.parametrize(
    "rows",
    [[], [[0, 0, 0, 0]] * 32, [[1, 2, 0, 0]] * 33, [[1, 0, 0]] * 33, [[1, -1, 0, 0]] * 33, [[1.5, 0, 0, 0]] * 33, 7],
    ids=str,
)  # fmt: skip
async def test_users_that_can_not_be_are_no_answer(serve: Serve, rows: Any) -> None:
    assert await (await serve(answering(json.dumps({"users": rows})))).users({A: [POD]}, None) == {}
