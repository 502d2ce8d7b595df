"""What the tap answers itself: the operator's questions, outcomes, and its own metrics. Raw ASGI, and small.

Paths below PRIVATE_PREFIX are for the operator alone (modelward_auth.guard stands before this). Every other path of a
connection that is here is none: 404. Failure: `{"error": …}`, as our own server has it.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qs

import orjson
from prometheus_client import REGISTRY

from modelward_inference.capture import outcomes as telling
from modelward_inference.capture.outcomes import Outcomes, Told
from modelward_inference.protocol.origin import ARMS_HEADER, COPY, arm_of
from modelward_inference.protocol.outcomes import MAX_BODY
from modelward_inference.tap.exchange import REQUEST_ID, Room
from modelward_inference.tap.spans import PARENT, STATE
from modelward_inference.telemetry.labelled import exposition
from modelward_inference.telemetry.samples import Samples
from modelward_inference.telemetry.tracing import OUTCOMES, Tracing

PRIVATE_PREFIX: Final = "/modelward/"
SAMPLES: Final = f"{PRIVATE_PREFIX}samples"
METRICS: Final = "/metrics"
LIVE: Final = "/live"

MAX_DIGITS: Final = 18
"""Of a sequence number."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = tuple[int, bytes, str]
"""Status, body, content type."""


def outcomes_of(name: str) -> str:
    """The path by which clients tell outcomes."""
    return f"/v2/models/{name}/outcomes"


class Application:
    """`outcomes`: brings them to the monitor, None: there is none; `room`: of all bodies; `revision`: this one's;
    `tracing`: None: traces are off."""

    def __init__(
        self,
        name: str,
        samples: Samples,
        outcomes: Outcomes | None,
        room: Room,
        revision: str,
        tracing: Tracing | None = None,
    ) -> None:
        self._outcomes_path, self._name, self._tracing = outcomes_of(name), name, tracing
        self._samples, self._outcomes, self._room, self._revision = samples, outcomes, room, revision

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, method, more = scope["path"].rstrip("/") or "/", scope["method"], []
        headers = dict(scope["headers"])
        if path == self._outcomes_path and method == "POST":
            told = await self._traced(headers, receive)
            telling.count(told)
            status, body, kind = _json(told.answer, told.status)
            more += [(b"retry-after", b"1")] if told.later else []
        elif path == SAMPLES and method == "GET":
            status, body, kind = self._page(scope.get("query_string", b""))
        elif path == METRICS and method == "GET":
            body, kind = exposition(REGISTRY, self._revision, _text(headers, b"accept"))
            status = 200
        elif path == LIVE and method == "GET":
            status, body, kind = _json({"live": True}, 200)
        else:
            status, body, kind = _json({"error": "there is no such path"}, 404)
        length = (b"content-length", b"%d" % len(body))
        # What comes next on this connection may be for the server behind the tap.
        more += [(b"content-type", kind.encode()), length, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": more})
        await send({"type": "http.response.body", "body": body})

    def _page(self, query: bytes) -> Answer:
        after = parse_qs(query.decode("latin-1")).get("after", ["0"])[-1]
        if not (after.isascii() and after.isdecimal()) or len(after) > MAX_DIGITS:
            said = f"after is {after[:50]!r}; set it to the last answer's `next`, or to 0 for all"
            return _json({"error": said}, 400)
        return _json(self._samples.page(int(after)), 200)

    async def _traced(self, headers: dict[bytes, bytes], receive: Receive) -> Told:
        """What becomes of a request that tells outcomes, with a span where its trace is kept."""
        if self._tracing is None:
            return await self._told(headers, receive)
        began = time.perf_counter()
        traced = self._tracing.begin(_text(headers, PARENT), _text(headers, STATE))
        if traced is None:
            return await self._told(headers, receive)
        told = await self._told(headers, receive, traced.traceparent)
        seconds, request_id = time.perf_counter() - began, _text(headers, REQUEST_ID)
        traced.end((self._name, "", "rest"), told.status, seconds, request_id=request_id, name=OUTCOMES)
        return told

    async def _told(self, headers: dict[bytes, bytes], receive: Receive, trace: str = "") -> Told:
        """`trace`: the tap's span, as traceparent."""
        if self._outcomes is None:
            return telling.nowhere()
        if arm_of(_text(headers, ARMS_HEADER.encode()), self._revision) == COPY:
            return Told(409, {"error": "outcomes of a copy are not taken; the original's are"})
        parts, size, more = [], 0, True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":  # nobody is there to answer
                    return Told(400, {"error": "the body did not come"})
                part = message.get("body", b"")
                if size + len(part) > MAX_BODY:
                    return telling.too_large()
                if not self._room.take(len(part)):
                    return Told(503, {"error": "too much waits already; send these outcomes again in a second"})
                size += len(part)
                parts.append(part)
                more = message.get("more_body", False)
            return await self._outcomes.hand_over(b"".join(parts), _text(headers, b"content-encoding"), trace)
        finally:
            self._room.give_back(size)


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _json(content: Any, status: int) -> Answer:
    return status, orjson.dumps(content), "application/json"
