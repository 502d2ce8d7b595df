"""What traces cost the event loop: the spans of one request, as ratios of OpenTelemetry's SDK doing the same.

`python -m benchmarks.serving.tracing` prints one line of JSON; nothing is sent anywhere.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from modelward_inference.protocol.messages import Timing
from modelward_inference.protocol.origin import Origin
from modelward_inference.telemetry.tracing import Tracing
from modelward_telemetry.tracer import Tracer

TIMES, ROUNDS = 2_000, 7
TIMING = Timing(0.001, 0.002, 1)
LABELS = ("m", "1", "rest")


def parent(*, sampled: bool) -> dict[str, str]:
    return {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-0{int(sampled)}", "tracestate": ""}


def seconds(act: Callable[[], object]) -> float:
    """Of one call; the median of some rounds."""

    def one_round() -> float:
        began = time.perf_counter()
        for _ in range(TIMES):
            act()
        return (time.perf_counter() - began) / TIMES

    return statistics.median(one_round() for _ in range(ROUNDS))


def of_sdk() -> Callable[[], object]:
    """The same three spans, exported nowhere."""
    tracer, propagator = TracerProvider(shutdown_on_exit=False).get_tracer("modelward"), TraceContextTextMapPropagator()
    headers = parent(sampled=True)

    def act() -> None:
        told: dict[str, Any] = {"model": "m", "version": "1", "protocol": "rest", "code": "200", "batch_requests": 1}
        span = tracer.start_span("infer", propagator.extract(headers), trace.SpanKind.SERVER, told)
        inside = trace.set_span_in_context(span)
        for name in ("queue", "compute"):
            tracer.start_span(name, inside).end()
        span.end()

    return act


def answering(tracing: Tracing | None, headers: dict[str, str]) -> Callable[[], object]:
    """What a request does for its spans, from its begin to its answer; of one that is captured, which names its own."""

    def act() -> None:
        traced = None if tracing is None else tracing.begin(headers["traceparent"], headers["tracestate"])
        Origin("", None, "", "" if traced is None else traced.traceparent)
        if traced is not None:
            traced.end(LABELS, 200, 0.01, TIMING)

    return act


def main() -> None:
    on, off = Tracing(Tracer(lambda _: None)), None
    found = {
        "off": seconds(answering(off, parent(sampled=True))),
        "not kept": seconds(answering(on, parent(sampled=False))),
        "kept": seconds(answering(on, parent(sampled=True))),
        "sdk": seconds(of_sdk()),
    }
    print(json.dumps({f"{name} / sdk": round(each / found["sdk"], 4) for name, each in found.items()}))


if __name__ == "__main__":
    main()
