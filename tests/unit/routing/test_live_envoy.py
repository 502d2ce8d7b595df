"""A real Envoy with the configuration that routers get: what a client can't reach, and what it can't choose.

Only the addresses are others: every revision is a server of the test, on loopback.
"""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from builders import PLATFORM, owner
from live_envoy import LiveEnvoy
from modelward.api.modeldeployment import Resources, Router
from modelward.api.traffic import Traffic
from modelward.facts import Arm, Match, RouteTable
from modelward.rollouts.evidence.scrape import clusters_of, router_counts
from modelward.routing.envoy import bootstrap as envoy
from modelward.routing.envoy import objects as router
from modelward.routing.envoy import routes as envoy_routes
from modelward.runtimes.runtime import MODELWARD
from modelward_inference.protocol import origin
from unit.inference.grpc_api.served import Echo, Served
from unit.inference.grpc_api.test_bad_requests import raw

STABLE, CANDIDATE, DEAD = "fraud-a", "fraud-b", "fraud-c"
ROUTES = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 0, 100),))
INFER = "/v2/models/fraud/infer"


class Upstream(ThreadingHTTPServer):
    """A revision: keeps the headers of every request."""

    def __init__(self) -> None:
        seen: list[dict[str, str]] = []
        self.seen = seen

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                seen.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Live:
    """The router, and the two revisions behind it; of a third one nothing listens."""

    def __init__(
        self, folder: Path, program: Path, traffic: Traffic, routes: RouteTable = ROUTES, *, tell_arms: bool = False
    ) -> None:
        self.upstreams = {STABLE: Upstream(), CANDIDATE: Upstream()}
        ports = {name: upstream.server_port for name, upstream in self.upstreams.items()} | {DEAD: 1}
        self._envoy = LiveEnvoy(folder, program, routes, traffic, ports, tell_arms=tell_arms)
        self.http, self.ports = self._envoy.http, self._envoy.ports

    def ask(self, listener: str, path: str = INFER, **headers: str) -> urllib3.BaseHTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request("GET", f"http://127.0.0.1:{self.ports[listener]}{path}", headers=named)

    def seen(self, revision: str, count: int) -> list[dict[str, str]]:
        """The headers of the requests that a revision got, when there are so many."""
        end = time.monotonic() + 20.0
        while len(self.upstreams[revision].seen) < count:
            assert time.monotonic() < end, f"{revision} got {len(self.upstreams[revision].seen)} requests"
            time.sleep(0.01)
        return self.upstreams[revision].seen

    def metrics(self) -> str:
        url = f"http://127.0.0.1:{self._envoy.admin_port}/stats/prometheus"
        return self.http.request("GET", url).data.decode()

    def close(self) -> None:
        self._envoy.close()
        for upstream in self.upstreams.values():
            upstream.shutdown()
            upstream.server_close()


@pytest.fixture
def live(tmp_path: Path, program: Path) -> Iterator[Live]:
    made = Live(tmp_path, program, Traffic())
    yield made
    made.close()


def test_clients_reach_no_revision_by_its_host(live: Live) -> None:
    host = envoy_routes.revision_host(CANDIDATE)
    forged = {envoy_routes.INSIDE_HEADER.replace("-", "_"): envoy_routes.INSIDE_VALUE}
    for headers in ({}, forged):
        for name in (host, f"{host}:8080", envoy_routes.CONFIG_HOST, host.upper()):
            assert live.ask("traffic", host=name, **headers).status == 404
            assert live.ask("traffic", MODELWARD.ready, host=name, **headers).status == 404
    assert not live.upstreams[CANDIDATE].seen
    assert live.ask("traffic").headers[envoy_routes.REVISION_HEADER] == STABLE


def test_the_operator_asks_single_revisions_and_the_version_by_the_inside_port(live: Live) -> None:
    answer = live.ask("inside", host=envoy_routes.revision_host(CANDIDATE))
    assert (answer.status, answer.headers[envoy_routes.REVISION_HEADER]) == (200, CANDIDATE)
    assert live.ask("inside", MODELWARD.ready, host=envoy_routes.revision_host(STABLE)).status == 200
    version = envoy_routes.version_of(ROUTES, Traffic(), "ml", "cluster.local")
    assert live.ask("inside", "/", host=envoy_routes.CONFIG_HOST).data.decode() == version
    assert live.ask("inside", "/modelward/samples", host=envoy_routes.revision_host(CANDIDATE)).status == 404


def test_no_client_chooses_the_id_by_which_answers_are_paired(live: Live) -> None:
    for number in range(5):
        live.ask("traffic", x_request_id="forged", x_client_request_id=f"also forged {number}",
                 x_modelward_arms="shadow")  # fmt: skip
    live.ask("traffic")
    stable, copies = live.seen(STABLE, 6), live.seen(CANDIDATE, 6)
    ids = {headers["x-request-id"] for headers in stable}
    assert len(ids) == 6
    assert "forged" not in ids
    assert {headers["x-request-id"] for headers in copies} == ids
    told = [headers.get(envoy.CLIENT_ID_HEADER) for headers in stable]
    assert told[:5] == ["forged"] * 5
    assert all(envoy_routes.INSIDE_HEADER not in headers for headers in (*stable, *copies))
    assert all(envoy.ARMS_HEADER not in headers for headers in (*stable, *copies)), "nor calls it a copy"
    assert envoy.ARMS_HEADER == origin.ARMS_HEADER, "as the server reads it"


VERSIONED = RouteTable(
    STABLE, (Arm("candidate", CANDIDATE), Arm("dead", DEAD)),
    matches=(Match("x-beta", "1", CANDIDATE), Match("x-dead", "1", DEAD)),
    versions=((STABLE, "7 \u00fc\r\nset-cookie: a=b"), (DEAD, "9")),
)  # fmt: skip


def test_an_answer_names_the_revision_and_the_version_that_made_it_whatever_a_client_sends(
    tmp_path: Path, program: Path
) -> None:
    made = Live(tmp_path, program, Traffic(), VERSIONED)
    forged = {"x_modelward_revision": "forged", "x_modelward_model_version": "forged"}
    try:
        stable = made.ask("traffic", **forged)
        assert stable.headers[envoy_routes.REVISION_HEADER] == STABLE
        assert stable.headers[envoy_routes.VERSION_HEADER] == "7%20%C3%BC%0D%0Aset-cookie:%20a=b"
        assert "set-cookie" not in stable.headers
        candidate = made.ask("traffic", x_beta="1", **forged)
        assert candidate.headers[envoy_routes.REVISION_HEADER] == CANDIDATE
        assert envoy_routes.VERSION_HEADER not in candidate.headers, "it is of no registry"
        refused = made.ask("traffic", "/metrics", **forged)
        assert refused.status == 404
        assert not {envoy_routes.REVISION_HEADER, envoy_routes.VERSION_HEADER} & set(refused.headers), "no model's"
        # Nothing is in the answers that a client can ask for again: the id is the router's own.
        told = [each.headers["x-request-id"] for each in (stable, candidate)]
        assert [made.seen(name, 1)[0]["x-request-id"] for name in (STABLE, CANDIDATE)] == told
        stood_in = made.ask("traffic", x_dead="1", **forged)
        assert (stood_in.status, stood_in.headers[envoy_routes.REVISION_HEADER]) == (200, STABLE)
        assert stood_in.headers[envoy_routes.VERSION_HEADER].startswith("7")
        there = made.ask("inside", MODELWARD.ready, host=envoy_routes.revision_host(DEAD))
        assert there.headers[envoy_routes.REVISION_HEADER] == STABLE, "clients are led there, and so is who asks"
        failed = made.ask("inside", host=envoy_routes.revision_host(DEAD), **forged)
        assert (failed.status, failed.headers[envoy_routes.REVISION_HEADER]) == (503, DEAD), "who was asked last"
        assert failed.headers[envoy_routes.VERSION_HEADER] == "9"
    finally:
        made.close()


@pytest.mark.parametrize(
    "path",
    ["/modelward/samples", "/%6dodelward/samples", "//modelward/samples", "/v2/../modelward/samples", "/metrics",
     "/modelward%2Fsamples", "/v2/..%2fmetrics", "/./metrics"],
)  # fmt: skip
def test_no_spelling_of_a_private_path_gets_through(live: Live, path: str) -> None:
    assert live.ask("traffic", path).status in (400, 404)
    assert not live.upstreams[STABLE].seen


@pytest.mark.parametrize("form", ["application/grpc-web", "application/grpc-web+proto", "Application/gRPC-Web-Text"])
def test_grpc_web_is_refused_in_words(live: Live, form: str) -> None:
    answer = live.ask("traffic", "/inference.GRPCInferenceService/ModelInfer", content_type=form)
    assert (answer.status, answer.headers["content-type"]) == (415, "application/json")
    assert "gRPC-web is not spoken here" in answer.json()["error"]
    assert not live.upstreams[STABLE].seen


def test_outcomes_go_to_the_stable_alone_and_are_no_evidence(tmp_path: Path, program: Path) -> None:
    """Whatever leads predictions elsewhere or copies them."""
    routes = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 100, 100),), matches=(Match("x-beta", "1", CANDIDATE),))
    live = Live(tmp_path, program, Traffic(), routes)
    try:
        for path in ("/v2/models/fraud/outcomes", "/v2/models/fraud/outcomes/", "/v2/models/fraud/outcomes?a=b"):
            for headers in ({}, {"x_beta": "1"}):
                assert live.ask("traffic", path, **headers).headers[envoy_routes.REVISION_HEADER] == STABLE
        assert live.ask("traffic").headers[envoy_routes.REVISION_HEADER] == CANDIDATE
        assert len(live.seen(STABLE, 6)) == 6
        assert len(live.seen(CANDIDATE, 2)) == 2  # the last one and its copy
        text = live.metrics()
    finally:
        live.close()
    counts = router_counts(text, clusters_of(STABLE, CANDIDATE), 1.0)
    assert {name: each.requests for name, each in counts.items()} == {STABLE: 0, CANDIDATE: 1}


def test_an_answer_by_grpc_names_them_in_its_first_headers_and_so_does_an_error(tmp_path: Path, program: Path) -> None:
    told = {envoy_routes.REVISION_HEADER: STABLE, envoy_routes.VERSION_HEADER: "7"}
    routes = RouteTable(STABLE, versions=((STABLE, "7"),))
    with Served(Echo(), headers=((envoy_routes.REVISION_HEADER, "what-a-pod-says"),)) as served:
        made = LiveEnvoy(tmp_path, program, routes, Traffic(), {STABLE: served.server.port})
        options = [("grpc.enable_http_proxy", 0)]
        try:
            with grpc.insecure_channel(f"127.0.0.1:{made.ports['traffic']}", options) as channel:
                infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
                _, good = infer.with_call(raw().SerializeToString(), timeout=10.0, wait_for_ready=True)
                with pytest.raises(grpc.RpcError) as caught:
                    infer(b"no message", timeout=10.0)
            # An error has its status in them, and clients tell them as trailing metadata then.
            for metadata in map(dict, (good.initial_metadata(), caught.value.trailing_metadata())):
                assert told.items() <= metadata.items(), metadata
                assert len(metadata["x-request-id"]) == 36
        finally:
            made.close()


def test_every_metric_of_a_revisions_clusters_has_it_as_a_label(tmp_path: Path, program: Path) -> None:
    stable, arm = "fraud-b-0123456789", "a-arm-grpc-abcdef0123"
    upstream = Upstream()
    routes = RouteTable(stable, (Arm("candidate", arm, 0, 0),), matches=(Match("x-beta", "1", arm),))
    made = LiveEnvoy(tmp_path, program, routes, Traffic(), dict.fromkeys((stable, arm), upstream.server_port))
    try:
        for headers in ({}, {"x-beta": "1"}):
            url = f"http://127.0.0.1:{made.ports['traffic']}{INFER}"
            assert made.http.request("GET", url, headers=headers).status == 200
        text = made.http.request("GET", f"http://127.0.0.1:{made.admin_port}/stats/prometheus").data.decode()
        assert made.counter(f"cluster.{stable}.upstream_rq_total") == 1, "Envoy's own names stay"
    finally:
        made.close()
        upstream.shutdown()
        upstream.server_close()
    found = [each for family in text_string_to_metric_families(text) for each in family.samples]
    labels = {(each.labels["envoy_cluster_name"], each.labels.get("revision")) for each in found
              if "envoy_cluster_name" in each.labels}  # fmt: skip
    kinds = [f"{kind}{grpc}" for kind in ("", "-arm", "-aside", "-instead") for grpc in ("", "-grpc")]
    kinds.append("-check")
    assert labels == {("admin", None), *((f"{name}{kind}", name) for name in (stable, arm) for kind in kinds)}
    counts = router_counts(text, clusters_of(stable, arm), 1.0)
    assert {name: each.requests for name, each in counts.items()} == {stable: 1, arm: 1}


def test_slow_and_greedy_clients_are_bounded_and_probes_are_not() -> None:
    built = envoy.bootstrap()
    for listener in built["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        assert {"request_headers_timeout", "request_timeout", "stream_idle_timeout"} <= manager.keys()
        assert manager["http2_protocol_options"]["max_concurrent_streams"] == 100
        assert listener.get("bypass_overload_manager", False) is (listener["name"] != "traffic")
        assert listener.get("ignore_global_conn_limit", False) is (listener["name"] != "traffic")
    (traffic, *others) = (
        each["filter_chains"][0] for each in envoy.bootstrap(tls=True)["static_resources"]["listeners"]
    )
    assert traffic["transport_socket_connect_timeout"] == "10s"
    assert not any("transport_socket" in each for each in others)
    heap, connections = (each["typed_config"] for each in built["overload_manager"]["resource_monitors"])
    assert heap["max_heap_size_bytes"] == 192 << 20
    assert connections["max_active_downstream_connections"] == envoy.MAX_CONNECTIONS


@pytest.mark.parametrize(
    ("limits", "memory"),
    [
        ({}, 192 << 20),
        ({"memory": "1Gi"}, 960 << 20),
        ({"cpu": "1"}, 192 << 20),
        ({"memory": 10**9}, 10**9 - (64 << 20)),
        ({"memory": "64Mi"}, 32 << 20),
    ],
)
def test_heap_and_program_have_room_in_the_containers_limit(limits: dict[str, str | int], memory: int) -> None:
    made = router.deployment(owner(router=Router(resources=Resources(limits=limits))), PLATFORM)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    heap = json.loads(container["args"][1])["overload_manager"]["resource_monitors"][0]
    assert heap["typed_config"]["max_heap_size_bytes"] == memory


def test_a_small_router_serves(tmp_path: Path, program: Path) -> None:
    """What Envoy takes at rest is far from what makes it refuse requests."""
    upstream = Upstream()
    made = LiveEnvoy(
        tmp_path, program, ROUTES, Traffic(), dict.fromkeys((STABLE, CANDIDATE), upstream.server_port), memory=64 << 20
    )
    try:
        assert made.http.request("GET", f"http://127.0.0.1:{made.ports['traffic']}{INFER}").status == 200
        assert made.counter("overload.envoy.resource_monitors.fixed_heap.pressure") < 60
    finally:
        made.close()
        upstream.shutdown()
        upstream.server_close()


def test_a_request_that_may_take_long_is_not_ended_as_idle() -> None:
    def idle(timeout: str) -> set[str | None]:
        text = envoy_routes.configuration(ROUTES, Traffic(timeout=timeout), "ml", "cluster.local")["routes.json"]
        hosts = json.loads(text)["resources"][0]["virtual_hosts"]
        return {each["route"].get("idle_timeout") for host in hosts for each in host["routes"] if "route" in each}

    assert (idle("60s"), idle("1h")) == ({None}, {"3600s"})
