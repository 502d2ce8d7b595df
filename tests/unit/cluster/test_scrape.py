"""Counters and answers as pods give them out, well and badly."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from builders import pod
from modelward.cluster import scrape
from modelward.cluster.scrape import Scraper, bound_of, clusters_of, router_counts, server_counts
from modelward.domain.pairs import Sample
from modelward.domain.tally import Counts
from modelward.render.envoy import LATENCY_BOUNDS
from modelward_inference.metrics import SECONDS

A, B = "fraud-a", "fraud-b"

ENVOY = """\
# TYPE envoy_cluster_upstream_rq_xx counter
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="fraud-a"} 90
envoy_cluster_upstream_rq_xx{envoy_response_code_class="4",envoy_cluster_name="fraud-a"} 3
envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="fraud-a"} 2
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="fraud-a-grpc"} 10
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="fraud-b"} 1000
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="fraud-b-arm"} 40
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="fraud-b-aside"} 1000
envoy_cluster_upstream_rq_retry{envoy_cluster_name="fraud-a"} 7
envoy_cluster_upstream_rq_retry{envoy_cluster_name="fraud-b-arm"} 5
envoy_cluster_external_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="fraud-a"} 90
# TYPE envoy_cluster_grpc_failure counter
envoy_cluster_grpc_failure{envoy_cluster_name="fraud-a-grpc"} 4
# TYPE envoy_cluster_upstream_rq_time histogram
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="fraud-a",le="40"} 70
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="fraud-a",le="50"} 80
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="fraud-a",le="+Inf"} 95
envoy_cluster_upstream_rq_time_sum{envoy_cluster_name="fraud-a"} 1234.5
envoy_cluster_upstream_rq_time_count{envoy_cluster_name="fraud-a"} 95
"""

SERVER = """\
# TYPE modelward_model_info gauge
modelward_model_info{model="fraud",version="1",format="onnx",digest="sha256:ab,c={}"} 1.0
# TYPE modelward_inference_request_duration_seconds histogram
modelward_inference_request_duration_seconds_bucket{code="200",le="0.05",model="fraud",protocol="rest",version="1"} 8.0
modelward_inference_request_duration_seconds_bucket{code="200",le="+Inf",model="fraud",protocol="rest",version="1"} 10.0
modelward_inference_request_duration_seconds_count{code="200",model="fraud",protocol="rest",version="1"} 10.0
modelward_inference_request_duration_seconds_count{code="500",model="fraud",protocol="rest",version="1"} 2.0
modelward_inference_request_duration_seconds_bucket{code="500",le="0.05",model="fraud",protocol="rest",version="1"} 2.0
modelward_inference_request_duration_seconds_count{code="OK",model="fraud",protocol="grpc",version="1"} 5.0
modelward_inference_request_duration_seconds_bucket{code="OK",le="0.05",model="fraud",protocol="grpc",version="1"} 5.0
modelward_inference_request_duration_seconds_count{code="CANCELLED",model="fraud",protocol="grpc",version="1"} 50.0
"""


def test_what_clients_saw_is_counted_by_revision() -> None:
    found = router_counts(ENVOY, clusters_of(A, B), 0.05)
    assert found[A] == Counts(requests=105, errors=9, timed=95, slow=15)
    # What was sent to it by its own host, or copied, is nobody's request; five had to be answered by the stable.
    assert found[B] == Counts(requests=40, errors=5)


def test_without_an_objective_no_time_is_taken() -> None:
    assert router_counts(ENVOY, clusters_of(A, B), None)[A] == Counts(requests=105, errors=9)
    assert server_counts(SERVER, None) == Counts(requests=17, errors=2)


def test_what_pods_did_is_counted_but_for_clients_that_left() -> None:
    assert server_counts(SERVER, 0.05) == Counts(requests=17, errors=2, timed=17, slow=2)


@pytest.mark.parametrize(
    ("slo", "bound"), [(0.05, 0.05), (0.051, 0.075), (0.0005, 0.001), (300.0, 300.0), (999, 300.0)]
)
def test_an_objective_is_judged_at_the_next_bound(slo: float, bound: float) -> None:
    assert bound_of(slo) == bound


def test_routers_and_pods_have_the_same_bounds() -> None:
    assert {bound / 1000 for bound in LATENCY_BOUNDS} <= set(map(float, SECONDS))


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def scraper(handler: Handler) -> AsyncIterator[Scraper]:
    """A scraper whose pods are all answered for by `handler`."""
    application = web.Application()
    application.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession() as session:
            yield Scraper(session, router_port=port, server_port=port)
    finally:
        await runner.cleanup()


HERE = pod("here", ip="127.0.0.1")
ELSEWHERE = pod("elsewhere", ip="127.0.0.9")


async def test_pods_that_do_not_answer_are_left_out() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.query["filter"].startswith("^cluster")
        return web.Response(text=ENVOY)

    async with scraper(answer) as one:
        unready = pod("unready", ready=False, ip="127.0.0.1")
        assert set(await one.routers([HERE, unready, pod("new", ip=None)], A, B, None)) == {HERE.uid}


@pytest.mark.parametrize(
    ("status", "body"), [(500, ENVOY.encode()), (200, b"\xff\xfe"), (404, b"")],
)  # fmt: skip
async def test_what_is_no_answer_is_left_out(status: int, body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    async with scraper(answer) as one:
        assert await one.routers([HERE], A, B, None) == {}
        assert await one.samples(HERE, None, 0) is None


async def test_a_pod_that_hangs_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "TIMEOUT", aiohttp.ClientTimeout(total=0.2))

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"modelward")
        async for _ in request.content:
            pass
        while not request.transport or not request.transport.is_closing():
            await response.write(b"\n")
        return response

    async with scraper(answer) as one:
        assert await one.servers({A: [HERE]}, None) == {}


PAGE = {
    "epoch": "one",
    "next": 7,
    "level": 0,
    "samples": [{"seq": 7, "id": "ab", "outputs": {"y": [1]}, "error": None}],
}


async def test_samples_are_those_of_the_process_that_was_asked_before() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert (request.path, request.query["after"]) == ("/modelward/samples", request.query["after"])
        return web.json_response(PAGE)

    async with scraper(answer) as one:
        assert await one.samples(HERE, "one", 3) == ("one", 7, [Sample("ab", {"y": [1]})])
        assert await one.samples(HERE, None, 0) == ("one", 7, [Sample("ab", {"y": [1]})])
        assert await one.samples(HERE, "before", 3) == ("one", 7, []), "its numbers are not ours"
