"""Traces with W3C context, where they are switched on.

A span for each request, below the caller's, and inside it how long the request waited and how long the model took. When
off, nothing of it is imported beyond this and a request costs one comparison. Failure: InvalidConfiguration where
traces are wanted and the variables can't be used.
"""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelward_inference.errors import InvalidConfiguration
from modelward_inference.protocol.messages import Timing
from modelward_inference.telemetry import metrics

if TYPE_CHECKING:
    from modelward_telemetry.exporter import Exporter
    from modelward_telemetry.tracer import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own variables; one of them switches traces on."""

MAX_ID = 128
"""Characters of a request's id that a span has: clients that ask without a router choose them."""

_NANOSECONDS = 1_000_000_000


class Tracing:
    """`tracer`: decides what is kept; `revision`: of the pod, empty where the server stands alone; `exporter`: sends
    what was made, None: somebody else does."""

    def __init__(self, tracer: "Tracer", revision: str = "", exporter: "Exporter | None" = None) -> None:
        from modelward_telemetry import context, spans

        self._read = context.read
        self._kind = spans.SERVER
        self._tracer = tracer
        self._revision = revision
        self._exporter = exporter
        if exporter is not None:
            exporter.start()

    def record(
        self,
        parent: Mapping[str, str],
        labels: tuple[str, str, str],
        code: int | str,
        seconds: float,
        timing: Timing | None,
        failed: bool | None = None,
        request_id: str = "",
    ) -> str | None:
        """A request that has just been answered. `parent`: traceparent and tracestate; `labels`: model, version,
        protocol; `failed`: by the server's fault, None: tell by HTTP's code. Gives the id of its trace; None: it is
        not kept."""
        above = self._read(parent["traceparent"], parent["tracestate"])
        at = self._tracer.begin(above)
        if at is None:
            return None
        end = time.time_ns()
        model, version, protocol = labels
        told: dict[str, str | int | float] = {
            "model": model, "version": version, "protocol": protocol, "code": str(code)
        }  # fmt: skip
        if self._revision:
            told["revision"] = self._revision
        if request_id:
            told["request_id"] = request_id[:MAX_ID]
        if timing is not None:
            told |= {
                "batch_requests": timing.batch, "queue_seconds": timing.queued, "compute_seconds": timing.computed
            }  # fmt: skip
        if failed is None:
            failed = isinstance(code, int) and code >= 500
        begin = end - int(seconds * _NANOSECONDS)
        self._tracer.end(at, above, "infer", begin, end, told, kind=self._kind, failed=failed)
        if timing is not None:
            computed = end - int(timing.computed * _NANOSECONDS)
            queued = computed - int(timing.queued * _NANOSECONDS)
            self._tracer.part(at, "queue", queued, computed)
            self._tracer.part(at, "compute", computed, end)
        return at.trace_id

    def shutdown(self) -> None:
        """Send what is left."""
        if self._exporter is not None:
            self._exporter.close()


def from_environment(model: str, environment: Mapping[str, str] = os.environ, revision: str = "") -> Tracing | None:
    """None where nothing asks for traces. Raises InvalidConfiguration where they can't be made."""
    if not any(environment.get(name) for name in ENDPOINTS):
        return None
    from modelward_telemetry import exporter, tracer

    for result in (exporter.SENT, exporter.DROPPED):
        metrics.TRACE_SPANS.labels(result)
    try:
        made = tracer.from_environment(
            model, lambda result, spans: metrics.TRACE_SPANS.labels(result).inc(spans), environment
        )
    except tracer.TracingError as error:
        raise InvalidConfiguration(str(error)) from None
    if made is None:
        return None
    return Tracing(made[0], revision, made[1])
