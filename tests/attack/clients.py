"""A client of the model's Service: private paths, revisions that are not released, ids that sway a gate, retries."""

import http.server
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attack.attack import attack
from attack.raw import exchange, request
from attack.router import CANDIDATE, STABLE, Router, envoy_before, mirroring, router
from modelward.routing.envoy.routes import CONFIG_HOST, INSIDE_HEADER, revision_host
from modelward.runtimes.runtime import MODELWARD
from threaded import answering
from unit.inference.processes import DEADLINE

INFER = "/v2/models/m/infer"
TENSOR = {"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]}
GOOD = json.dumps({"inputs": [TENSOR]}).encode()
PRIVATE = (b'"samples":[', b"# HELP", b"modelward_inference_request")
"""What only the operator and scrapers read."""

PATHS = [
    "/modelward/samples",
    "/%6dodelward/samples",
    "/%6Dodelward/samples?after=0",
    "/modelwar%64/samples",
    "//modelward/samples",
    "///modelward//samples",
    "/./modelward/samples",
    "/v2/../modelward/samples",
    "/v2/%2e%2e/modelward/samples",
    "/v2/.%2e/modelward/samples",
    "/v2/..%2fmodelward/samples",
    "/modelward%2Fsamples",
    "/modelward%5Csamples",
    "/modelward\\samples",
    "\\modelward\\samples",
    "/%2fmodelward/samples",
    "/modelward/samples/",
    "/modelward/samples#x",
    "/modelward/samples;a=b",
    "/modelward;a=b/samples",
    "/v2;/../modelward/samples",
    "/MODELWARD/samples",
    "/modelward/samples%00",
    "/modelward/samples%20",
    "/%256dodelward/samples",
    "/modelward/%73amples",
    "http://fraud/modelward/samples",
    "http://x/modelward/samples",
    "/metrics",
    "//metrics",
    "/%6detrics",
    "/v2/../metrics",
    "/v2/%2e%2e/metrics",
    "/./metrics",
    "/metrics/",
    "/metrics?x",
    "/metrics;x",
    "/metrics#x",
    "/metric%73",
    "http://fraud/metrics",
    "*",
    "/v2/models/../../metrics",
    "/metrics/.",
    "/metrics/..;/metrics",
    "/%2e/metrics",
    "/\tmetrics",
]


def _is_private(said: bytes) -> str:
    return "it got what is private" if any(each in said for each in PRIVATE) else ""


@attack(
    "a client reaches no path that is private, in no spelling",
    {f"{method.decode()} {path}": (method, path) for method in (b"GET", b"POST") for path in PATHS},
    router,
)
def private_paths(victim: Router, sibling: tuple[bytes, str]) -> str:
    method, path = sibling
    return _is_private(exchange(victim.port, request(path, method)))


LEADING = {
    name: (b"%s: %s" % (name.encode(), value))
    for name in (
        "x-original-url",
        "x-rewrite-url",
        "x-envoy-original-path",
        "x-forwarded-prefix",
        "x-http-method-override",
        "x-forwarded-path",
        "x-envoy-original-url",
        "forwarded",
    )
    for value in (b"/modelward/samples",)
}


@attack("no header leads a client to a private path", LEADING, router)
def headers_that_lead(victim: Router, line: bytes) -> str:
    return _is_private(exchange(victim.port, request("/v2", b"GET", b"", line)))


INNER = b"GET /modelward/samples HTTP/1.1\r\nHost: fraud\r\nConnection: close\r\n\r\n"
LENGTH = b"Content-Length: %d" % (5 + len(INNER))
CHUNKED = b"Transfer-Encoding: chunked"


def _hiding(*lines: bytes, body: bytes = b"0\r\n\r\n" + INNER, start: bytes = b"POST /v2 HTTP/1.1") -> bytes:
    return b"\r\n".join((start, b"Host: f", *lines)) + b"\r\n\r\n" + body


UPGRADE, START = b"Connection: Upgrade", b"GET /v2 HTTP/1.1"
SMUGGLED: dict[str, bytes] = {
    "a length and chunks": _hiding(b"Content-Length: 6", CHUNKED),
    "chunks and a length": _hiding(CHUNKED, LENGTH),
    "two lengths": _hiding(b"Content-Length: 0", LENGTH, body=INNER),
    "a blank before the colon": _hiding(b"Transfer-Encoding : chunked", LENGTH),
    "another coding": _hiding(b"Transfer-Encoding: xchunked", LENGTH),
    "chunks twice": _hiding(CHUNKED, b"Transfer-Encoding: identity"),
    "a chunk's extension": _hiding(CHUNKED, body=b'0;a="\r\n\r\n' + INNER + b'"\r\n\r\n'),
    "bare line feeds": b"POST /v2 HTTP/1.1\nHost: f\nContent-Length: %d\n\n" % len(INNER) + INNER,
    "a folded header": _hiding(b"Transfer-Encoding:\r\n chunked", LENGTH),
    "an upgrade to h2c": _hiding(
        UPGRADE + b", HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__", body=INNER, start=START
    ),
    "an upgrade to a websocket": _hiding(
        UPGRADE, b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        body=INNER, start=START,
    ),
    "CONNECT": _hiding(body=INNER, start=b"CONNECT 127.0.0.1:8080 HTTP/1.1"),
    "a path with a line break": _hiding(body=b"", start=b"GET /v2%0d%0aHost:%20f%0d%0a%0d%0aGET%20/metrics HTTP/1.1"),
    "HTTP/1.0": b"GET /modelward/samples HTTP/1.0\r\n\r\n",
    "HTTP/0.9": b"GET /modelward/samples\r\n\r\n",
}  # fmt: skip


@attack("no request hides another", SMUGGLED, router)
def smuggled_requests(victim: Router, content: bytes) -> str:
    return _is_private(exchange(victim.port, content, seconds=3.0))


REVISION = revision_host(CANDIDATE).encode()
INSIDE = INSIDE_HEADER.encode()
HOSTS: dict[str, tuple[bytes, tuple[bytes, ...]]] = {
    # name: host, further lines
    "its host": (REVISION, ()),
    "with a port": (REVISION + b":8080", ()),
    "with another port": (REVISION + b":9903", ()),
    "in capitals": (REVISION.upper(), ()),
    "with a full stop": (REVISION + b".", ()),
    "the inside header": (REVISION, (INSIDE + b": 1",)),
    "the inside header in capitals": (REVISION, (INSIDE.upper() + b": 1",)),
    "the inside header twice": (REVISION, (INSIDE + b": 0", INSIDE + b": 1")),
    "the inside header with underscores": (REVISION, (INSIDE.replace(b"-", b"_") + b": 1",)),
    "the inside header as one of a connection": (REVISION, (INSIDE + b": 1", b"Connection: " + INSIDE)),
    "two hosts": (REVISION, (b"Host: fraud",)),
    "a forwarded host": (b"fraud", (b"X-Forwarded-Host: " + REVISION,)),
    "a forwarded host, as standardised": (b"fraud", (b"Forwarded: host=" + REVISION,)),
    "an original host": (b"fraud", (b"X-Envoy-Original-Host: " + REVISION,)),
    "its cluster": (b"fraud", (b"x-envoy-upstream-alt-stat-name: x", b"cluster: " + CANDIDATE.encode())),
    "its revision": (b"fraud", (b"x-modelward-revision: " + CANDIDATE.encode(),)),
    "the configuration's host": (CONFIG_HOST.encode(), (INSIDE + b": 1",)),
}


@attack("a client reaches no revision that is not released to him", HOSTS, router)
def hosts_of_revisions(victim: Router, sibling: tuple[bytes, tuple[bytes, ...]]) -> str:
    host, lines = sibling
    before = victim.answered(victim.candidate)
    for path, method, body in (
        (INFER, b"POST", GOOD),
        (MODELWARD.ready, b"GET", b""),
        (f"http://{host.decode()}{INFER}", b"POST", GOOD),
    ):
        said = exchange(victim.port, request(path, method, body, *lines, host=host))
        if b"x-modelward-revision: " + CANDIDATE.encode() in said.lower():
            return "the candidate answered"
    return "the candidate was asked" if victim.answered(victim.candidate) != before else ""


IDS = [
    "x-request-id",
    "X-REQUEST-ID",
    "x_request_id",
    "x-client-trace-id",
    "x-client-request-id",
    "traceparent",
    "x-b3-traceid",
    "x-envoy-force-trace",
    "x-correlation-id",
    "x-ot-span-context",
    "x-modelward-request-id",
]
FORGED = "11111111-1111-4111-8111-111111111111"


@attack("a client does not choose what is compared", {name: name for name in IDS}, mirroring)
def ids_of_pairs(victim: Router, name: str) -> str:
    """The same id for each request, in a header: answers that are paired by it would be one pair."""
    count, before = 4, [len(victim.samples(port)) for port in (victim.stable, victim.candidate)]
    value = f"00-{FORGED.replace('-', '')}-1111111111111111-01" if name == "traceparent" else FORGED
    for _ in range(count):
        said = exchange(victim.port, request(INFER, b"POST", GOOD, f"{name}: {value}".encode()))
        assert said.startswith(b"HTTP/1.1 200"), said[:200]
    for port, seen in zip((victim.stable, victim.candidate), before, strict=True):
        end = time.monotonic() + DEADLINE
        while len(found := victim.samples(port)[seen:]) < count:
            assert time.monotonic() < end, f"{len(found)} of {count} answers were sampled"
            time.sleep(0.05)
        if len({each["id"] for each in found}) < count:
            return "the client's id became the pair's"
    return ""


class Failing(http.server.ThreadingHTTPServer):
    """A revision that answers 503 and counts."""

    daemon_threads = True
    count = 0

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.server.count += 1  # type: ignore[attr-defined]
            self.send_response(503)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""


@contextmanager
def failing(folder: Path) -> Iterator[tuple[Router, Failing]]:
    with (
        answering(Failing(("127.0.0.1", 0), Failing.Handler)) as server,
        envoy_before(folder, server.server_port, server.server_port, 0) as made,
    ):
        yield made, server


RETRIES: dict[str, tuple[bytes, ...]] = {
    "as it is": (),
    "retries": (b"x-envoy-retry-on: 5xx", b"x-envoy-max-retries: 50"),
    "retries, from inside": (b"x-forwarded-for: 10.0.0.1", b"x-envoy-retry-on: 5xx", b"x-envoy-max-retries: 50"),
    "retries, as internal": (
        b"x-envoy-internal: true",
        b"x-envoy-retry-on: 5xx,gateway-error",
        b"x-envoy-max-retries: 50",
    ),
    "retries of gRPC": (b"x-envoy-retry-grpc-on: unavailable,internal", b"x-envoy-max-retries: 50"),
    "retries of a status": (b"x-envoy-retry-on: retriable-status-codes", b"x-envoy-retriable-status-codes: 503"),
    "a hedge": (b"x-envoy-hedge-on-per-try-timeout: true", b"x-envoy-upstream-rq-per-try-timeout-ms: 1"),
}


@attack("one request of a client's is one request of a server's", RETRIES, failing)
def retries_that_amplify(victim: tuple[Router, Failing], lines: tuple[bytes, ...]) -> str:
    made, server = victim
    server.count = 0
    said = exchange(made.port, request(INFER, b"POST", GOOD, *lines))
    assert STABLE.encode() in said or b"503" in said, said[:200]
    return f"it became {server.count} requests" if server.count > 1 else ""
