"""Traces with W3C context, where they are switched on.

A span for each request, below the caller's, and inside it how long the request waited and how long the model took. When
off, nothing of it is imported beyond this and a request costs a few comparisons. The span's place is known when the
request begins: what is made of it later, by the monitor, goes below it. Failure: InvalidConfiguration where traces are
wanted and the variables can't be used.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelward_inference.errors import InvalidConfiguration
from modelward_inference.protocol.messages import Timing
from modelward_inference.telemetry import metrics

if TYPE_CHECKING:
    from modelward_telemetry.context import Context
    from modelward_telemetry.exporter import Exporter
    from modelward_telemetry.tracer import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own variables; one of them switches traces on."""

INFER, OUTCOMES = "infer", "outcomes"
"""The spans of a request for predictions, and of one that tells outcomes."""

MAX_ID = 128
"""Characters of a request's id that a span has: clients that ask without a router choose them."""

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Behind:
    """What a server behind the one that traces took. `asked`, `answered`: seconds before the end, when it had the whole
    request, and when its answer began."""

    asked: float
    answered: float


class Tracing:
    """`tracer`: decides what is kept; `revision`: of the pod, empty where the server stands alone; `exporter`: sends
    what was made, None: somebody else does."""

    def __init__(self, tracer: "Tracer", revision: str = "", exporter: "Exporter | None" = None) -> None:
        from modelward_telemetry import context, spans

        self._read, self._written = context.read, context.written
        self._kind = spans.SERVER
        self._tracer = tracer
        self._revision = revision
        self._exporter = exporter
        if exporter is not None:
            exporter.start()

    def begin(self, traceparent: str, tracestate: str) -> "Traced | None":
        """A request that has just come, by its headers. None: its trace is not kept."""
        above = self._read(traceparent, tracestate)
        at = self._tracer.begin(above)
        return None if at is None else Traced(self, above, at, self._written(at))

    def record(
        self,
        traced: "Traced",
        labels: tuple[str, str, str],
        code: int | str,
        seconds: float,
        timing: Timing | None,
        failed: bool | None = None,
        request_id: str = "",
        name: str = INFER,
        behind: Behind | None = None,
    ) -> None:
        """A request that has just been answered; see Traced.end."""
        at = traced.at
        end = time.time_ns()
        model, version, protocol = labels
        told: dict[str, str | int | float] = {"model": model, "protocol": protocol, "code": str(code)}
        if version:
            told["version"] = version
        if self._revision:
            told["revision"] = self._revision
        if request_id:
            told["request_id"] = request_id[:MAX_ID]
        if timing is not None:
            told |= {
                "batch_requests": timing.batch, "queue_seconds": timing.queued, "compute_seconds": timing.computed
            }  # fmt: skip
        if behind is not None:
            told["server_seconds"] = behind.asked - behind.answered
        if failed is None:
            failed = isinstance(code, int) and code >= 500
        begin = end - int(seconds * _NANOSECONDS)
        self._tracer.end(at, traced.above, name, begin, end, told, kind=self._kind, failed=failed)
        if timing is not None:
            computed = end - int(timing.computed * _NANOSECONDS)
            queued = computed - int(timing.queued * _NANOSECONDS)
            self._tracer.part(at, "queue", queued, computed)
            self._tracer.part(at, "compute", computed, end)
        if behind is not None:
            asked, answered = (end - int(each * _NANOSECONDS) for each in (behind.asked, behind.answered))
            self._tracer.part(at, "server", asked, answered)

    def shutdown(self) -> None:
        """Send what is left."""
        if self._exporter is not None:
            self._exporter.close()


@dataclass(frozen=True, slots=True)
class Traced:
    """A request whose trace is kept, while it is answered. `above`: the caller's span; `at`: the place of its own;
    `traceparent`: which tells of that place."""

    tracing: Tracing
    above: "Context | None"
    at: "Context"
    traceparent: str

    @property
    def trace_id(self) -> str:
        return self.at.trace_id

    def end(
        self,
        labels: tuple[str, str, str],
        code: int | str,
        seconds: float,
        timing: Timing | None = None,
        failed: bool | None = None,
        request_id: str = "",
        name: str = INFER,
        behind: Behind | None = None,
    ) -> None:
        """It has just been answered. `labels`: model, version (empty: not known), protocol; `failed`: by the server's
        fault, None: tell by HTTP's code; `name`: of the span; `behind`: None: who traces has answered himself."""
        self.tracing.record(self, labels, code, seconds, timing, failed, request_id, name, behind)


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
