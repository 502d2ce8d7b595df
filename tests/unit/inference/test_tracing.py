"""Traces of both protocols, by OpenTelemetry's exporter in memory; and that they cost nothing where they are off."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from modelward_inference.errors import InvalidConfiguration
from modelward_inference.protocol.messages import DeadlineExceededError
from modelward_inference.serve.rest import Rest
from modelward_inference.serve.state import State
from modelward_inference.telemetry import tracing

from .grpc_api.served import DEADLINE, Echo, Identity, Served, data_plane
from .processes import ServerProcess
from .test_requests import COUNT, KIND, X, call

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


class Recorded:
    """Tracing, and the spans that it made."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = tracing.Tracing(provider)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        spans = self._exporter.get_finished_spans()
        assert len({span.name for span in spans}) == len(spans)
        return {span.name: span for span in spans}


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def check(spans: Mapping[str, ReadableSpan], protocol: str, code: str) -> None:
    """The request below its caller, and inside it first the queue, then the model."""
    infer, queue, compute = spans["infer"], spans["queue"], spans["compute"]
    assert infer.parent is not None
    assert f"{infer.parent.trace_id:032x}" == TRACE
    assert f"{infer.parent.span_id:016x}" == SPAN
    assert infer.kind is SpanKind.SERVER
    assert infer.attributes == {
        "model": "m", "version": "1", "protocol": protocol, "code": code, "batch_requests": 1
    }  # fmt: skip
    assert queue.parent == compute.parent == infer.context
    times: list[Any] = [queue.start_time, queue.end_time, compute.start_time, compute.end_time]
    assert times == sorted(times)
    assert queue.end_time == compute.start_time
    assert compute.end_time == infer.end_time


def body(kind: str = "a") -> bytes:
    return json.dumps({"inputs": [X, {**KIND, "data": [kind]}, COUNT]}).encode()


async def test_a_request_over_rest(recorded: Recorded) -> None:
    app = Rest(data_plane(Echo()), State(), 10_000, recorded.tracing)
    assert (await call(app, body(), traceparent=PARENT, tracestate="vendor=1"))[0] == 200
    check(recorded.spans, "rest", "200")
    assert recorded.spans["infer"].status.status_code is StatusCode.UNSET
    context = recorded.spans["infer"].context
    assert context is not None
    assert context.trace_state["vendor"] == "1"


@pytest.mark.parametrize(
    ("content", "headers", "code", "status"),
    [
        (b"{", {}, "400", StatusCode.UNSET),
        (body("fail"), {}, "500", StatusCode.ERROR),
        (body(), {"x_envoy_expected_rq_timeout_ms": "0"}, "504", StatusCode.ERROR),
    ],
)
async def test_a_failure_over_rest(
    recorded: Recorded, content: bytes, headers: dict[str, str], code: str, status: StatusCode
) -> None:
    app = Rest(data_plane(Echo()), State(), 10_000, recorded.tracing)
    assert (await call(app, content, traceparent=PARENT, **headers))[0] == int(code)
    assert set(recorded.spans) == {"infer"}
    assert recorded.spans["infer"].status.status_code is status
    assert (recorded.spans["infer"].attributes or {})["code"] == code


@pytest.mark.parametrize("parent", ["", "nonsense", PARENT[:-2] + "00"])
async def test_who_has_no_parent_begins_a_trace_and_who_is_not_sampled_has_none(
    recorded: Recorded, parent: str
) -> None:
    app = Rest(data_plane(Echo()), State(), 10_000, recorded.tracing)
    assert (await call(app, body(), **({"traceparent": parent} if parent else {})))[0] == 200
    if parent.endswith("-00"):
        assert recorded.spans == {}
    else:
        assert recorded.spans["infer"].parent is None


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
        stub.ModelInfer(request, timeout=DEADLINE, metadata=[("traceparent", PARENT)])


def test_a_request_over_grpc(recorded: Recorded) -> None:
    with Served(Identity("FP32"), tracing=recorded.tracing) as served:
        infer(served)
    check(recorded.spans, "grpc", "OK")
    assert recorded.spans["infer"].status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (ValueError("no"), "INVALID_ARGUMENT", StatusCode.UNSET),
        (RuntimeError("no"), "INTERNAL", StatusCode.ERROR),
        (DeadlineExceededError("no"), "DEADLINE_EXCEEDED", StatusCode.ERROR),
    ],
)
def test_a_failure_over_grpc(recorded: Recorded, error: Exception, code: str, status: StatusCode) -> None:
    with Served(Refusing(error), tracing=recorded.tracing) as served, pytest.raises(grpc.RpcError):
        infer(served)
    assert set(recorded.spans) == {"infer"}
    assert recorded.spans["infer"].status.status_code is status
    assert (recorded.spans["infer"].attributes or {})["code"] == code


def test_nothing_asks_for_traces() -> None:
    assert tracing.from_environment("m", dict.fromkeys(tracing.ENDPOINTS, "")) is None


@pytest.mark.parametrize("name", tracing.ENDPOINTS)
def test_an_endpoint_without_the_extra_is_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(
        InvalidConfiguration, match=r"but opentelemetry\.exporter\S* is not installed; install the extra"
    ):
        tracing.from_environment("m", {name: "http://collector:4318"})


LOADED = """
import sys
from modelward_inference import cli
cli.main(["serve"])
heavy = ("opentelemetry.sdk", "opentelemetry.exporter")
print([name for name in sys.modules if name.startswith(heavy)], file=sys.stderr)
"""


def test_where_traces_are_off_neither_sdk_nor_exporter_is_loaded(tmp_path: Path) -> None:
    off = dict.fromkeys(tracing.ENDPOINTS, "")
    with ServerProcess(tmp_path, "-c", LOADED, DRAIN_SECONDS="0", GRPC_PORT="0", **off) as server:
        server.terminate()
        assert server.process.wait(DEADLINE) == 0
    assert server.log.splitlines()[-1] == "[]"
