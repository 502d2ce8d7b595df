"""Spans of requests that pass by: one each, below the caller's, and inside it the time of the server behind the tap.

The bytes go on as they came, the caller's `traceparent` with them: a server that traces as well has its span beside the
tap's, and what the monitor makes of the rows goes below the tap's. Where traces are off there is none of this.
"""

import time
from typing import Final

from modelward_inference.tap.exchange import KEPT, REQUEST_ID, Exchange
from modelward_inference.telemetry.tracing import Behind, Tracing

PARENT, STATE = b"traceparent", b"tracestate"

HTTP_OK: Final = 200

TRACED: Final = KEPT | {PARENT, STATE}
"""Headers that are kept where traces are on."""

GRPC_FAILURES: Final = frozenset({
    "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
})  # fmt: skip
"""Errors of a server, by OpenTelemetry's conventions."""


class Spans:
    """`model`: by whose name clients ask; `protocol`: rest or grpc."""

    def __init__(self, tracing: Tracing, model: str, protocol: str = "rest") -> None:
        self._tracing, self._labels, self._grpc = tracing, (model, "", protocol), protocol == "grpc"

    def begin(self, exchange: Exchange) -> None:
        """Its headers have come."""
        headers = exchange.asked.headers
        parent, state = headers.pop(PARENT, b""), headers.pop(STATE, b"")
        exchange.traced = self._tracing.begin(parent.decode("latin-1"), state.decode("latin-1"))
        if exchange.traced is not None:
            exchange.began = time.monotonic()

    def end(self, exchange: Exchange, *, broken: bool) -> None:
        """It has just ended. `broken`: the server ended the connection, or took none."""
        traced, status = exchange.traced, exchange.status
        if traced is None:
            return
        behind = None
        if exchange.answered:
            asked = exchange.arrived or exchange.began  # some answer before they have the whole request
            behind = Behind(max(exchange.ended - asked, 0.0), exchange.ended - exchange.answered)
        failed = status in GRPC_FAILURES if isinstance(status, str) else status >= 500 or (broken and not status)
        code = "OK" if self._grpc and status == HTTP_OK else status  # as our own server tells it
        request_id = exchange.asked.headers.get(REQUEST_ID, b"").decode("latin-1")
        traced.end(self._labels, code, exchange.ended - exchange.began, None, failed, request_id, behind=behind)
