"""Traces, logs and settings of the server."""

import json
import logging
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from modelward_inference import logs, tracing
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.protocol import Timing
from modelward_inference.server import Settings

from .rest_process import ENVIRONMENT

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LABELS = ("m", "1", "rest")


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> tracing.Tracing:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return tracing.Tracing(provider)


def test_a_request_is_a_span_below_its_callers_with_its_parts_inside(
    tracer: tracing.Tracing, exporter: InMemorySpanExporter
) -> None:
    tracer.record({"traceparent": PARENT}, LABELS, 200, 0.010, Timing(queued=0.004, computed=0.005, batch=3))
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"infer", "queue", "compute"}
    infer = spans["infer"]
    assert infer.parent is not None
    assert f"{infer.parent.span_id:016x}" == PARENT.split("-")[2]
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {PARENT.split("-")[1]}
    assert dict(infer.attributes or {}) == {
        "model": "m", "version": "1", "protocol": "rest", "code": "200", "batch_requests": 3,
    }  # fmt: skip
    for name, seconds in {"infer": 0.010, "queue": 0.004, "compute": 0.005}.items():
        assert math.isclose((spans[name].end_time - spans[name].start_time) / 1e9, seconds, abs_tol=1e-6)
        if name != "infer":
            assert spans[name].parent.span_id == infer.context.span_id
    assert infer.status.is_unset


@pytest.mark.parametrize(
    ("code", "failed", "is_ok"), [(500, None, False), (400, None, True), ("INTERNAL", True, False)]
)
def test_a_failure_of_the_server_marks_the_span(
    tracer: tracing.Tracing, exporter: InMemorySpanExporter, code: Any, failed: bool | None, is_ok: bool
) -> None:
    tracer.record({}, LABELS, code, 0.01, None, failed)
    (span,) = exporter.get_finished_spans()
    assert span.status.is_unset is is_ok
    assert span.parent is None


def test_switched_off_it_costs_nothing() -> None:
    assert tracing.from_environment("m", {}) is None
    # FastAPI imports OpenTelemetry's interface by itself where it is installed; it does nothing without the SDK.
    code = "import sys\nfrom modelward_inference import server\nprint('opentelemetry.sdk' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, text=True, capture_output=True, check=True)
    assert shown.stdout.strip() == "False"


def test_traces_without_the_extra_are_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(InvalidConfiguration, match=r"modelward-inference\[tracing\]"):
        tracing.from_environment("m", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})


def test_a_log_line_is_one_json_object() -> None:
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "the model %s", ("failed\nbadly",), None)
    record.request_id = "r-1"
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["level"], entry["message"], entry["request_id"]) == ("ERROR", "the model failed\nbadly", "r-1")


SETTINGS: dict[str, tuple[str, str, Any]] = {
    "PORT": ("8081", "port", 8081),
    "GRPC_PORT": ("9001", "grpc_port", 9001),
    "DRAIN_SECONDS": ("7", "drain", 7),
    "MAX_REQUEST_BYTES": ("1000", "max_body", 1000),
    "MAX_HEADER_BYTES": ("2048", "max_head", 2048),
    "MAX_ROWS": ("10", "max_rows", 10),
    "MAX_WAITING_REQUESTS": ("0", "max_waiting", 0),
    "MAX_BATCH_ROWS": ("1", "max_batch_rows", 1),
    "MAX_BATCH_DELAY_MS": ("2.5", "max_batch_delay", 0.0025),
    "REQUEST_TIMEOUT_SECONDS": ("0.5", "timeout", 0.5),
    "BODY_TIMEOUT_SECONDS": ("3", "body_timeout", 3.0),
    "MODEL_VERSION": ("7", "version", "7"),
    "LOG_LEVEL": ("debug", "log_level", "DEBUG"),
    "HOST": ("127.0.0.1", "host", "127.0.0.1"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name: str) -> None:
    text, field, value = SETTINGS[name]
    assert getattr(Settings.from_environment(1, {name: text}), field) == value
    assert getattr(Settings.from_environment(1, {}), field) != value


TEXTS = {"MODEL_VERSION", "LOG_LEVEL", "HOST"}


@pytest.mark.parametrize("name", sorted(SETTINGS.keys() - TEXTS))
@pytest.mark.parametrize("text", ["-1", "x", "1e3", " 1"])
def test_a_wrong_setting_is_named(name: str, text: str) -> None:
    with pytest.raises(InvalidConfiguration, match=name):
        Settings.from_environment(1, {name: text})


def test_the_documents_name_every_setting() -> None:
    page = (Path(__file__).parents[3] / "docs" / "bundle.md").read_text()
    assert [name for name in SETTINGS if name not in page] == []
