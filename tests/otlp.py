"""A collector of traces: takes OTLP over HTTP, and reads it with OpenTelemetry's own messages."""

import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from threaded import Answers

DEADLINE = 30.0
"""Seconds until what is waited for has come."""


class Receiver(Answers):
    """`with` it, it takes spans at `address`; `status`: what it answers."""

    def __init__(self) -> None:
        self._came = threading.Condition()
        self._requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self._body()
                with receiver._came:
                    receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
                    if receiver.status == 200:
                        assert self.path == "/v1/traces"
                        receiver._requests.append(ExportTraceServiceRequest.FromString(body))
                    receiver._came.notify_all()
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def _body(self) -> bytes:
                if "content-length" in self.headers:
                    return self.rfile.read(int(self.headers["content-length"]))
                parts = []
                while size := int(self.rfile.readline(), 16):  # chunked, as Envoy sends it
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        super().__init__(Handler)

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    def spans(self, service: str) -> list[Span]:
        """Those that came from it."""
        found = []
        for request in self._requests:
            for each in request.resource_spans:
                if attributes(each.resource)["service.name"] == service:
                    found += [span for scope in each.scope_spans for span in scope.spans]
        return found

    def wait_for(self, service: str, count: int) -> list[Span]:
        """Its spans, once there are so many."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.spans(service)) >= count, DEADLINE), self._requests
            return self.spans(service)

    def wait_asked(self, times: int) -> None:
        """Until it has been asked so often, whatever it answered."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.headers) >= times, DEADLINE)


def attributes(of: Any) -> dict[str, Any]:
    """Those of a span, or of a resource."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}
