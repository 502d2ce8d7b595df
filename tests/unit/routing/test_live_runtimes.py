"""A real Envoy before another server than ours: how it is asked, what stays hidden, what is counted of copies.

The servers are the test's own, with a path of readiness of their own, and nothing of what ours has.
"""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

from live_envoy import LiveEnvoy
from modelward.api.traffic import Traffic
from modelward.facts import Arm, RouteTable, RuntimeFacts
from modelward.rollouts.evidence.scrape import clusters_of, router_counts
from modelward.rollouts.evidence.tally import Counts
from modelward.routing.envoy import routes as envoy_routes
from modelward.routing.latency import bound_of
from modelward.runtime_files import presets
from modelward.runtimes.preset import Preset, problem_of_hidden
from modelward.runtimes.runtime import MODELWARD

STABLE, CANDIDATE = "fraud-a", "fraud-b"
RUNTIME = RuntimeFacts("container", "path", "/healthz", "/livez", ("/admin", "/models/*/unload"))
RUNTIMES = ((STABLE, RUNTIME), (CANDIDATE, RUNTIME))
SHADOW = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 0, 100),), runtimes=RUNTIMES)
CANARY = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 50),), runtimes=RUNTIMES)


class Foreign(ThreadingHTTPServer):
    """Knows three paths; `status`: of /predict. Whatever else it is asked it answers with 503, as some do."""

    daemon_threads = True

    def __init__(self, status: int = 200) -> None:
        asked: list[str] = []
        self.asked, self.status = asked, status
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                asked.append(self.path)
                known = {"/healthz": 200, "/livez": 200, "/predict": outer.status}
                self.send_response(known.get(self.path, 503))
                self.send_header("content-length", "0")
                self.end_headers()

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Live:
    def __init__(self, folder: Path, program: Path, routes: RouteTable, bad: int = 200) -> None:
        self.servers = {STABLE: Foreign(), CANDIDATE: Foreign(bad)}
        ports = {name: each.server_port for name, each in self.servers.items()}
        self.envoy = LiveEnvoy(folder, program, routes, Traffic(), ports)

    def ask(self, path: str, listener: str = "traffic", body: bytes = b"", **headers: str) -> urllib3.BaseHTTPResponse:
        method = "POST" if body else "GET"
        url = f"http://127.0.0.1:{self.envoy.ports[listener]}{path}"
        return self.envoy.http.request(method, url, headers=headers, body=body or None)

    def counts(self, slo: float, *, copies: bool) -> dict[str, Counts]:
        """As the operator reads them."""
        url = f"http://127.0.0.1:{self.envoy.admin_port}/stats/prometheus"
        text = self.envoy.http.request("GET", url).data.decode()
        return dict(router_counts(text, clusters_of(STABLE, CANDIDATE, copies=copies), slo))

    def close(self) -> None:
        self.envoy.close()
        for server in self.servers.values():
            server.shutdown()
            server.server_close()


@pytest.fixture
def live(tmp_path: Path, program: Path) -> Iterator[Live]:
    made = Live(tmp_path, program, SHADOW, bad=500)
    yield made
    made.close()


def test_whether_it_is_ready_is_asked_by_its_own_path(live: Live) -> None:
    for revision, server in live.servers.items():
        answer = live.ask(MODELWARD.ready, "inside", host=envoy_routes.revision_host(revision))
        assert (answer.status, answer.headers[envoy_routes.REVISION_HEADER]) == (200, revision)
        assert server.asked == ["/healthz"]


@pytest.mark.parametrize("path", ["/admin", "/admin/x", "/models/fraud/unload", "//admin", "/x/../admin", "/metrics"])
def test_no_client_reaches_what_is_hidden(live: Live, path: str) -> None:
    assert live.ask(path).status == 404
    assert not live.servers[STABLE].asked


@pytest.mark.parametrize("preset", presets(None), ids=lambda each: each.name)
def test_envoy_takes_what_each_preset_hides(tmp_path: Path, program: Path, preset: Preset) -> None:
    """All of it at once: what Envoy refuses keeps the whole configuration from being taken."""
    runtime = RuntimeFacts(preset.name, preset.protocol, "/healthz", "/livez", preset.hidden)
    live = Live(tmp_path, program, RouteTable(STABLE, (), runtimes=((STABLE, runtime),)))
    try:
        paths = [each.replace("*", "fraud") for each in preset.hidden]
        assert [path for path in paths for end in ("", "/x", "?x=1") if live.ask(path + end).status != 404] == []
        assert live.ask("/predict").status == 200
        assert live.servers[STABLE].asked == ["/predict"]
    finally:
        live.close()


@pytest.mark.parametrize("path", [f"/{'a' * 74}/*", "/*" * 20, f"/x{'/*' * 19}", "/a-b.c~d_e/*/a-b.c~d_e"])
def test_envoy_takes_the_longest_path_that_a_preset_may_hide(tmp_path: Path, program: Path, path: str) -> None:
    assert problem_of_hidden(path) is None
    runtime = RuntimeFacts("own", "path", "/healthz", "/livez", (path,))
    live = Live(tmp_path, program, RouteTable(STABLE, (), runtimes=((STABLE, runtime),)))
    try:
        assert live.ask("/predict").status == 200
        assert live.ask(path.replace("*", "part")).status == 404
    finally:
        live.close()


def test_the_router_counts_what_becomes_of_copies(live: Live) -> None:
    """By which a shadow of another server is judged: nobody else sees what it answered."""
    for _ in range(20):
        assert live.ask("/predict").status == 200
    slo, end = bound_of(1.0) / 1000, time.monotonic() + 20.0
    # Envoy adds up its histograms every few seconds.
    while (seen := live.counts(slo, copies=True)).get(CANDIDATE, Counts()).timed < 20:
        assert time.monotonic() < end, seen
        time.sleep(0.02)
    assert (seen[STABLE].requests, seen[STABLE].errors) == (20, 0)
    assert (seen[CANDIDATE].requests, seen[CANDIDATE].errors) == (20, 20)
    assert (seen[STABLE].slow, seen[CANDIDATE].slow) == (0, 0)
    assert live.counts(slo, copies=False).get(CANDIDATE, Counts()).requests == 0, "no client's"


def test_large_bodies_go_to_one_that_lives_by_a_path_of_its_own(tmp_path: Path, program: Path) -> None:
    """Asked by a path that it does not have, it would seem to be away, and get none of them."""
    live = Live(tmp_path, program, CANARY)
    try:
        body = b"x" * (envoy_routes.RETRIED_BODY + 1)
        answered = {live.ask("/predict", body=body).headers[envoy_routes.REVISION_HEADER] for _ in range(40)}
        assert answered == {STABLE, CANDIDATE}
        assert "/livez" in live.servers[CANDIDATE].asked
    finally:
        live.close()
