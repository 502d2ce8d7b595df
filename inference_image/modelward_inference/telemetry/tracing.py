"""OpenTelemetry traces with W3C context, where they are switched on and installed (the extra `tracing`).

A span for each request, below the caller's, and inside it how long the request waited and how long the model took. When
off, neither OpenTelemetry's SDK nor an exporter is imported (its bare API comes with FastAPI) and a request costs one
comparison. Failure: InvalidConfiguration where traces are wanted and the extra is missing.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

from modelward_inference.errors import InvalidConfiguration
from modelward_inference.protocol.messages import Timing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own variables; one of them switches traces on."""

_NANOSECONDS = 1_000_000_000


class Tracing:
    """`provider`: of OpenTelemetry's SDK."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("modelward")
        self._propagator = TraceContextTextMapPropagator()
        self._server = trace.SpanKind.SERVER
        self._failed = trace.Status(trace.StatusCode.ERROR)
        self._in = trace.set_span_in_context

    def record(
        self,
        parent: Mapping[str, str],
        labels: tuple[str, str, str],
        code: int | str,
        seconds: float,
        timing: Timing | None,
        failed: bool | None = None,
    ) -> None:
        """A request that has just been answered. `parent`: traceparent and tracestate; `labels`: model, version,
        protocol; `failed`: by the server's fault, None: tell by HTTP's code."""
        end = time.time_ns()
        begin = end - int(seconds * _NANOSECONDS)
        model, version, protocol = labels
        attributes = {"model": model, "version": version, "protocol": protocol, "code": str(code)}
        context = self._propagator.extract(parent)
        span = self._tracer.start_span("infer", context, self._server, attributes, start_time=begin)
        if failed if failed is not None else isinstance(code, int) and code >= 500:
            span.set_status(self._failed)
        if timing is not None:
            span.set_attribute("batch_requests", timing.batch)
            self._parts(span, end, timing)
        span.end(end)

    def _parts(self, span: Any, end: int, timing: Timing) -> None:
        inside = self._in(span)
        computed = end - int(timing.computed * _NANOSECONDS)
        queued = computed - int(timing.queued * _NANOSECONDS)
        self._tracer.start_span("queue", inside, start_time=queued).end(computed)
        self._tracer.start_span("compute", inside, start_time=computed).end(end)

    def shutdown(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def from_environment(model: str, environment: Mapping[str, str] = os.environ) -> Tracing | None:
    """None where nothing asks for traces. Raises InvalidConfiguration where they can't be made."""
    if not any(environment.get(name) for name in ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidConfiguration(
            f"{' or '.join(ENDPOINTS)} asks for traces, but {error.name} is not installed; install the extra "
            "modelward-inference[tracing], or take the variable away"
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": model}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)
