"""One trace from the client through a real Envoy to a real server, as a collector gets it."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from live_envoy import LiveEnvoy
from modelward.api.traffic import Traffic
from modelward.facts import RouteTable
from modelward.routing.envoy import bootstrap
from modelward.routing.envoy.tracing import Collector
from otlp import Receiver, attributes
from unit.inference.processes import ServerProcess
from unit.monitor.predictionlog.logs import settings
from unit.monitor.worlds import MonitorProcess

REVISION, ROUTER, PATH = "m-0123456789", "m-router", "/v2/models/m/infer"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BODY = orjson.dumps({"inputs": [{"name": "X", "datatype": "FP32", "shape": [2, 4], "data": [0.5] * 8}]})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def server(tmp_path: Path, receiver: Receiver) -> Iterator[ServerProcess]:
    """With a monitor, which keeps a prediction log."""
    folder, store = tmp_path / "server", tmp_path / "store"
    folder.mkdir()
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "MODEL_REVISION": REVISION}
    with (
        MonitorProcess(folder, **settings(store, **told)) as monitor,
        ServerProcess(folder, **told, DRAIN_SECONDS="0", CAPTURE_SOCKET=str(monitor.socket)) as running,
    ):
        yield running


@pytest.fixture
def envoy(tmp_path: Path, program: Path, receiver: Receiver, server: ServerProcess) -> Iterator[LiveEnvoy]:
    """Of the traces that begin with it, it keeps none."""
    folder = tmp_path / "router"
    folder.mkdir()
    collector = Collector(receiver.endpoint, 0.0, ROUTER, "ml")
    running = LiveEnvoy(folder, program, RouteTable(REVISION), Traffic(), {REVISION: server.port}, collector=collector)
    yield running
    running.close()


def post(envoy: LiveEnvoy, path: str, body: bytes, **headers: str) -> int:
    url = f"http://127.0.0.1:{envoy.ports['traffic']}{path}"
    return envoy.http.request("POST", url, body=body, headers={"content-type": "application/json", **headers}).status


def infer(envoy: LiveEnvoy, **headers: str) -> None:
    assert post(envoy, PATH, BODY, **headers) == 200


def test_a_clients_trace_goes_through_router_server_and_monitor(receiver: Receiver, envoy: LiveEnvoy) -> None:
    # Neither who has no trace, nor who asks for one by Envoy's own headers, nor whose beginner keeps none is kept.
    infer(envoy)
    infer(envoy, **{"x-client-trace-id": "1", "x-envoy-force-trace": "true"})
    infer(envoy, traceparent=f"00-{TRACE[::-1]}-{SPAN}-00")
    infer(envoy, traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="vendor=1")
    (routed,) = receiver.wait_for(ROUTER, 1)
    spans = {span.name: span for span in receiver.wait_for("m", 3)}
    assert set(spans) == {"infer", "queue", "compute"}
    served = spans["infer"]
    assert {span.trace_id.hex() for span in (routed, *spans.values())} == {TRACE}
    assert routed.parent_span_id.hex() == SPAN
    assert served.parent_span_id == routed.span_id
    assert spans["queue"].parent_span_id == spans["compute"].parent_span_id == served.span_id
    assert {span.trace_state for span in (routed, served)} == {"vendor=1"}
    of_router, of_server = attributes(routed), attributes(served)
    assert of_router["upstream_cluster.name"].startswith(REVISION)
    assert of_router["k8s.namespace.name"] == "ml"
    assert of_server["revision"] == REVISION
    assert of_server["batch_requests"] == 1
    assert of_server["request_id"] == of_router["guid:x-request-id"]
    assert 0 < of_server["compute_seconds"] < (served.end_time_unix_nano - served.start_time_unix_nano) / 1e9
    (observed,) = receiver.wait_for("m-monitor", 1)
    assert (observed.name, observed.trace_id.hex()) == ("observe", TRACE)
    assert observed.parent_span_id == served.span_id
    of_monitor = attributes(observed)
    assert 0 <= of_monitor.pop("delay_seconds") < 60
    assert of_monitor.pop("batch_requests") >= 1
    request_id = of_server["request_id"]
    assert of_monitor == {"revision": REVISION, "request_id": request_id, "rows": 2, "logged": True}

    # What becomes of it is told within another trace, which goes the same way.
    told = orjson.dumps({"request_id": request_id, "value": 1})
    other = TRACE[::-1]
    assert post(envoy, "/v2/models/m/outcomes", told, traceparent=f"00-{other}-{SPAN}-01") == 202
    (routed,) = [span for span in receiver.wait_for(ROUTER, 2) if span.trace_id.hex() == other]
    (taken,) = [span for span in receiver.wait_for("m", 4) if span.trace_id.hex() == other]
    (kept,) = [span for span in receiver.wait_for("m-monitor", 2) if span.trace_id.hex() == other]
    assert (taken.name, kept.name) == ("outcomes", "keep")
    assert [routed.parent_span_id.hex(), taken.parent_span_id, kept.parent_span_id] == [
        SPAN, routed.span_id, taken.span_id
    ]  # fmt: skip
    assert (attributes(taken)["code"], attributes(kept)["code"], attributes(kept)["outcomes"]) == ("202", "202", 1)


def test_a_router_without_a_collector_knows_nothing_of_traces() -> None:
    text = orjson.dumps(bootstrap.bootstrap())
    assert b"tracing" not in text
    assert b"collector" not in text
