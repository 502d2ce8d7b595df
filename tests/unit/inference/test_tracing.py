"""Traces of both protocols, as values; and that they cost nothing where they are off."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Exemplar
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.protocol.messages import DeadlineExceededError
from modelward_inference.serve.rest import Rest
from modelward_inference.serve.state import State
from modelward_inference.telemetry import tracing
from modelward_telemetry.spans import SERVER, Span
from modelward_telemetry.tracer import Tracer

from .grpc_api.served import DEADLINE, Echo, Identity, Served, data_plane
from .processes import ServerProcess
from .test_requests import COUNT, KIND, X, call

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


class Recorded:
    """Tracing, and the spans that it made."""

    def __init__(self) -> None:
        self._made: list[Span] = []
        self.tracing = tracing.Tracing(Tracer(self._made.append), "m-0123456789")

    @property
    def spans(self) -> dict[str, Span]:
        assert len({span.name for span in self._made}) == len(self._made)
        return {span.name: span for span in self._made}


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def check(spans: Mapping[str, Span], protocol: str, code: str) -> None:
    """The request below its caller, and inside it first the queue, then the model."""
    infer, queue, compute = spans["infer"], spans["queue"], spans["compute"]
    assert {infer.trace_id, queue.trace_id, compute.trace_id} == {TRACE}
    assert infer.parent == SPAN
    assert infer.kind == SERVER
    told = dict(infer.attributes)
    seconds = [float(told.pop(name)) for name in ("queue_seconds", "compute_seconds")]
    assert told == {
        "model": "m", "version": "1", "protocol": protocol, "code": code, "batch_requests": 1,
        "revision": "m-0123456789", "request_id": "q",
    }  # fmt: skip
    assert queue.parent == compute.parent == infer.span_id
    assert len({infer.span_id, queue.span_id, compute.span_id}) == 3
    times = [queue.begin, queue.end, compute.begin, compute.end]
    assert times == sorted(times)
    assert queue.end == compute.begin
    assert compute.end == infer.end
    for part, length in zip((queue, compute), seconds, strict=True):
        assert abs((part.end - part.begin) / 1e9 - length) < 1e-6


def body(kind: str = "a") -> bytes:
    return json.dumps({"inputs": [X, {**KIND, "data": [kind]}, COUNT]}).encode()


async def test_a_request_over_rest(recorded: Recorded) -> None:
    app = Rest(data_plane(Echo()), State(), 10_000, recorded.tracing)
    assert (await call(app, body(), traceparent=PARENT, tracestate="vendor=1", x_request_id="q"))[0] == 200
    check(recorded.spans, "rest", "200")
    assert not recorded.spans["infer"].failed
    assert {span.state for span in recorded.spans.values()} == {"vendor=1"}


@pytest.mark.parametrize(
    ("content", "headers", "code", "failed"),
    [
        (b"{", {}, "400", False),
        (body("fail"), {}, "500", True),
        (body(), {"x_envoy_expected_rq_timeout_ms": "0"}, "504", True),
    ],
)
async def test_a_failure_over_rest(
    recorded: Recorded, content: bytes, headers: dict[str, str], code: str, failed: bool
) -> None:
    app = Rest(data_plane(Echo()), State(), 10_000, recorded.tracing)
    assert (await call(app, content, traceparent=PARENT, **headers))[0] == int(code)
    assert set(recorded.spans) == {"infer"}
    assert recorded.spans["infer"].failed is failed
    assert recorded.spans["infer"].attributes["code"] == code


@pytest.mark.parametrize("parent", ["", "nonsense", PARENT[:-2] + "00"])
async def test_who_has_no_parent_begins_a_trace_and_who_is_not_sampled_has_none(
    recorded: Recorded, parent: str
) -> None:
    app = Rest(data_plane(Echo()), State(), 10_000, recorded.tracing)
    assert (await call(app, body(), **({"traceparent": parent} if parent else {})))[0] == 200
    if parent.endswith("-00"):
        assert recorded.spans == {}
    else:
        assert recorded.spans["infer"].parent == ""


def exemplars(page: str) -> list[tuple[dict[str, str], Exemplar]]:
    """Of requests, by the labels of their buckets."""
    return [
        (sample.labels, sample.exemplar)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.exemplar and family.name == "modelward_inference_request_duration_seconds"
    ]


async def test_a_bucket_of_latency_leads_to_the_trace_of_its_last_request(recorded: Recorded) -> None:
    app = Rest(data_plane(Echo()), State(), 10_000, recorded.tracing, revision="m-0123456789")
    assert (await call(app, body(), traceparent=PARENT))[0] == 200
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    status, page, headers = await call(app, b"", path="/metrics", method="GET", accept=accept)
    assert (status, headers["content-type"].partition(";")[0]) == (200, "application/openmetrics-text")
    (labels, found), *_ = [each for each in exemplars(page.decode()) if each[1].labels == {"trace_id": TRACE}]
    assert labels["revision"] == "m-0123456789"
    assert 0 < found.value <= float(labels["le"])
    for other in ("", "text/plain", "*/*"):
        status, page, headers = await call(app, b"", path="/metrics", method="GET", accept=other)
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        assert b"trace_id" not in page


def handed_over(plane: DataPlane) -> list[str]:
    """What the monitor is told of the spans of requests, from now on."""
    told: list[str] = []
    plane.observe(lambda _inputs, _outputs, _rows, asked: told.extend(each[0].trace for each in asked if each[0]))
    return told


async def test_what_is_captured_over_rest_goes_below_the_span_of_its_request(recorded: Recorded) -> None:
    plane = data_plane(Echo())
    told = handed_over(plane)
    for app in (Rest(plane, State(), 10_000), Rest(plane, State(), 10_000, recorded.tracing)):
        for flag in ("00", "01"):
            assert (await call(app, body(), traceparent=PARENT[:-2] + flag))[0] == 200
    assert told == ["", "", "", f"00-{TRACE}-{recorded.spans['infer'].span_id}-01"]


def test_what_is_captured_over_grpc_goes_below_the_span_of_its_request(recorded: Recorded) -> None:
    with Served(Identity("FP32"), tracing=recorded.tracing) as served:
        told = handed_over(served.plane)
        infer(served)
    assert told == [f"00-{TRACE}-{recorded.spans['infer'].span_id}-01"]


class Refusing(Identity):
    """Fails as it is told."""

    def __init__(self, error: Exception) -> None:
        super().__init__("FP32")
        self._error = error

    def predict(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:  # noqa: ARG002
        raise self._error


def infer(served: Served) -> None:
    request = pb.ModelInferRequest(model_name="m")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 1]).contents.fp32_contents.append(1.0)
    with grpc.insecure_channel(served.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.ModelInfer(request, timeout=DEADLINE, metadata=[("traceparent", PARENT), ("x-request-id", "q")])


def test_a_request_over_grpc(recorded: Recorded) -> None:
    with Served(Identity("FP32"), tracing=recorded.tracing) as served:
        infer(served)
    check(recorded.spans, "grpc", "OK")
    assert not recorded.spans["infer"].failed


@pytest.mark.parametrize(
    ("error", "code", "failed"),
    [
        (ValueError("no"), "INVALID_ARGUMENT", False),
        (RuntimeError("no"), "INTERNAL", True),
        (DeadlineExceededError("no"), "DEADLINE_EXCEEDED", True),
    ],
)
def test_a_failure_over_grpc(recorded: Recorded, error: Exception, code: str, failed: bool) -> None:
    with Served(Refusing(error), tracing=recorded.tracing) as served, pytest.raises(grpc.RpcError):
        infer(served)
    assert set(recorded.spans) == {"infer"}
    assert recorded.spans["infer"].failed is failed
    assert recorded.spans["infer"].attributes["code"] == code


def test_nothing_asks_for_traces() -> None:
    assert tracing.from_environment("m", dict.fromkeys(tracing.ENDPOINTS, "")) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://ann:hunter2@collector"), ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"), ("OTEL_TRACES_SAMPLER_ARG", "nan"), ("OTEL_RESOURCE_ATTRIBUTES", "team"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key=hunter2%0d%0ax: y"), ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem"),
    ],
)  # fmt: skip
def test_what_can_t_be_used_is_told_without_secrets(name: str, text: str) -> None:
    with pytest.raises(InvalidConfiguration, match=f"^{name}") as found:
        tracing.from_environment("m", {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318", name: text})
    assert "hunter2" not in str(found.value)


LOADED = """
import sys
from modelward_inference import cli
cli.main(["serve"])
heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "modelward_telemetry.tracer", "modelward_telemetry.exporter")
print([name for name in sys.modules if name.startswith(heavy)], file=sys.stderr)
"""


def test_where_traces_are_off_neither_tracer_nor_exporter_is_loaded(tmp_path: Path) -> None:
    off = dict.fromkeys(tracing.ENDPOINTS, "")
    with ServerProcess(tmp_path, "-c", LOADED, DRAIN_SECONDS="0", GRPC_PORT="0", **off) as server:
        server.terminate()
        assert server.process.wait(DEADLINE) == 0
    assert server.log.splitlines()[-1] == "[]"
