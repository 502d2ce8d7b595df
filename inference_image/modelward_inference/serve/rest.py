"""The REST adapter of the data plane: raw ASGI for inference; `endpoints` serves the rest.

No pydantic on the hot path: bytes → orjson → numpy → model → bytes. Every error is `{"error": "…"}`, which is what
tritonclient and the KServe client read.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

import orjson

from modelward_auth.guard import Guard
from modelward_auth.verifier import Verifier
from modelward_inference.capture.outcomes import Outcomes
from modelward_inference.engine.bodies import LARGE, MIDDLE, SMALL, Held
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.engine.sharedbytes import SharedBytes
from modelward_inference.protocol import codec, compression
from modelward_inference.protocol.messages import (
    DeadlineExceededError,
    InferRequest,
    InferResponse,
    ModelRefusedError,
    OverloadedError,
    RequestError,
    UnavailableError,
    is_large,
)
from modelward_inference.protocol.origin import ARMS_HEADER, KEY_HEADER, Origin, key_of
from modelward_inference.protocol.reading import Reading
from modelward_inference.protocol.v1 import V1
from modelward_inference.serve import http
from modelward_inference.serve.endpoints import PRIVATE_PREFIX, small_endpoints
from modelward_inference.serve.state import State as State  # adapters take it from here
from modelward_inference.telemetry import metrics, users
from modelward_inference.telemetry.requestlog import AccessLog, rows_of, whose
from modelward_inference.telemetry.tracing import Traced, Tracing
from modelward_telemetry.logs import QUOTES

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = dict[bytes, bytes]

REQUEST_ID = b"x-request-id"
PARENT, TRACE_STATE = b"traceparent", b"tracestate"
USERS = users.HEADER.encode()
KEY = KEY_HEADER.encode()
ARMS = ARMS_HEADER.encode()
ENCODING = b"content-encoding"
JSON_LENGTH = b"inference-header-content-length"
TIMEOUT = b"x-envoy-expected-rq-timeout-ms"
"""The router sets it to the milliseconds that it is going to wait; other clients may as well."""

MAX_PRIVATE_BODY = 64 << 10
"""Bytes; the operator sends none here."""

MAX_DIGITS = 18
"""Of a number in a header: more can't be the length of anything."""

READABLE = frozenset({
    b"", b"application/json", b"application/octet-stream", b"application/vnd.api+json", b"text/json",
    b"application/x-www-form-urlencoded",  # what curl -d says if it is not told otherwise
})  # fmt: skip
"""Content types of requests."""

_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")
_CLOSE = (b"connection", b"close")
_RETRY = (b"retry-after", b"1")


NOBODY: Final = Verifier("", None)
"""Refuses every request for what is the operator's."""


class ClientGoneError(Exception):
    """The client closed the connection; nobody is there to answer."""


class NeverArrivedError(ClientGoneError):
    """It did so before its request was complete."""


class Form(Protocol):
    """A protocol's bodies: of a request, and of its answer, with the length of the JSON where more follows."""

    def decode(self, body: bytes | memoryview, json_length: int | None) -> InferRequest: ...

    def decode_quickly(self, body: bytes | memoryview, json_length: int | None) -> InferRequest | None:
        """None: that takes too long."""
        ...

    def decode_plain(self, body: bytes) -> InferRequest | None:
        """Of JSON alone, in a thread. None: that takes too long."""
        ...

    def encode(self, response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]: ...


class Rest:
    """The ASGI application. `max_body`: bytes that a request may have, also after decompression; `verifier`: knows the
    operator, whose the paths below PRIVATE_PREFIX are; None: they are everybody's, and left out: nobody's;
    `revision`: that metrics tell of; `outcomes`: brings them to the monitor, None: there is none; `access`: the log,
    None: nobody switches it on."""

    def __init__(
        self,
        plane: DataPlane,
        state: State,
        max_body: int,
        tracing: Tracing | None = None,
        verifier: Verifier | None = NOBODY,
        revision: str = "",
        outcomes: Outcomes | None = None,
        access: AccessLog | None = None,
    ) -> None:
        self._plane = plane
        self._access = access if access is not None else AccessLog()
        self._state = state
        self._max_body = max_body
        self._small = min(SMALL, max_body)
        self._tracing = tracing
        base = f"/v2/models/{plane.name}"
        first = f"/v1/models/{plane.name}"
        v1 = V1(plane.signature, plane.max_rows)
        self._forms: dict[str, Form] = {
            f"{base}/infer": codec,
            f"{base}/versions/{plane.version}/infer": codec,
            f"{first}:predict": v1,
            f"{first}/versions/{plane.version}:predict": v1,
        }
        """How bodies are read and written, by path."""
        self._requests = metrics.Requests(plane.name, plane.version, "rest")
        self._samples = plane.samples
        self._users = plane.users
        self._bodies = plane.bodies
        self._others = Guard(
            small_endpoints(plane, state, revision, outcomes, tracing),
            verifier,
            lambda path: path.startswith(PRIVATE_PREFIX),
            MAX_PRIVATE_BODY,
        )

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        form = self._forms.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if form is not None:
            with self._bodies.hold() as held:
                await self._infer(scope, dict(scope["headers"]), receive, send, form, held)
        else:
            await self._others(_without_slash(scope), receive, send)

    async def _infer(
        self, scope: Message, headers: Headers, receive: Receive, send: Send, form: Form, held: Held
    ) -> None:
        began = time.perf_counter()
        more: list[tuple[bytes, bytes]] = []
        kind = _JSON
        exchange: http.Exchange | None = (scope.get("extensions") or {}).get(http.EXCHANGE)
        response: InferResponse | None = None
        refused = False
        tracing = self._tracing
        traced = None if tracing is None else tracing.begin(_text(headers, PARENT), _text(headers, TRACE_STATE))
        try:
            _check_type(headers)
            came = exchange.body(self._small) if exchange is not None else None
            body = await self._body(receive, headers, held) if came is None else came
            began = time.perf_counter()
            deadline = time.monotonic() + _number(headers, TIMEOUT) / 1000 if TIMEOUT in headers else None
            if ENCODING not in headers and isinstance(body, bytes) and len(body) <= SMALL:
                request = form.decode(body, _number(headers, JSON_LENGTH) if JSON_LENGTH in headers else None)
            else:
                request = await self._request(headers, body, form, held)
            if self._plane.observed:
                request.origin = _origin(headers, request, traced)
            if self._plane.busy:
                response = await self._while_connected(receive, self._plane.infer(request, deadline=deadline))
            else:
                response = await self._plane.infer(request, deadline=deadline)
            if is_large(response):
                answer, json_length = await self._bodies.apart(form.encode, response, request)
            else:
                answer, json_length = form.encode(response, request)
            status = 200
            if json_length is not None:
                kind = _BINARY
                more.append((JSON_LENGTH, b"%d" % json_length))
        except NeverArrivedError:
            return  # as gRPC has it: no request, so nothing is counted
        except ClientGoneError:
            status, answer = metrics.GONE, b""
        except RequestError as error:
            status, answer = error.status, _error(str(error))
            refused = isinstance(error, ModelRefusedError)
        except DeadlineExceededError as error:
            status, answer = 504, _error(str(error))
        except OverloadedError as error:
            status, answer = 503, _error(str(error))
            more.append(_RETRY)
        except UnavailableError as error:
            status, answer = error.status, _error(str(error))
            more += [_RETRY] if error.again else []
        except Exception as error:  # a model may raise anything; the process goes on
            log.exception("the model failed", extra={QUOTES: True, **_whose(headers)})
            status, answer = 500, _error(f"the model failed: {type(error).__name__}: {error}")
        if exchange is not None and exchange.gone():
            status = metrics.GONE
        seconds = time.perf_counter() - began
        self._requests.observe(status, seconds)
        if USERS in headers:
            self._users.count(
                _text(headers, USERS), lambda name: _text(headers, name.encode()), status, seconds, refused=refused
            )
        if traced is not None:
            labels = (self._plane.name, self._plane.version, "rest")
            timing = response.timing if response else None
            traced.end(labels, status, seconds, timing, request_id=_text(headers, REQUEST_ID))
            self._requests.exemplify(status, seconds, traced.trace_id)
        if self._access.active:
            self._access.take(
                "rest", status, seconds, rows_of(response), _text(headers, REQUEST_ID), _text(headers, PARENT)
            )
        if status == metrics.GONE:
            return
        if status != 200 and log.isEnabledFor(logging.DEBUG):
            log.debug("%d: %s", status, answer.decode(), extra=_whose(headers))
        if len(answer) >= compression.COMPRESS_FROM and b"accept-encoding" in headers:
            encoding = compression.chosen(_text(headers, b"accept-encoding")) or ""
            if encoding:
                pack = compression.compressed
                large = len(answer) > LARGE
                answer = await self._bodies.apart(pack, answer, encoding) if large else pack(answer, encoding)
                more.append((b"content-encoding", encoding.encode()))
        length = (b"content-length", b"%d" % len(answer))
        quick = exchange if not self._state.draining else None
        if quick is None or not quick.answer(status, _lines(kind, length, *more), answer):
            await self._send(send, status, [kind, length, *more], answer, headers)
        if self._samples.active:
            outputs = response.outputs if response is not None and status == 200 else None
            self._samples.take(headers.get(REQUEST_ID, b""), status, outputs)

    async def _send(
        self, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, asked: Headers
    ) -> None:
        if self._state.draining:
            headers.append(_CLOSE)
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        except RuntimeError as error:
            # uvloop's word for a connection that the client closed while a request behind another one was computed.
            log.debug("nobody is there to answer: %s", error, extra=_whose(asked))

    async def _request(self, headers: Headers, body: bytes | SharedBytes, form: Form, held: Held) -> InferRequest:
        """What was sent; read here only where that is quick."""
        encoding = compression.plainly(headers[ENCODING].decode("latin-1")) if ENCODING in headers else ""
        if encoding and isinstance(body, bytes) and len(body) <= SMALL:
            plain = compression.little(body, min(LARGE, self._max_body))
            body, encoding = (body, encoding) if plain is None else (plain, "")
        json_length = _number(headers, JSON_LENGTH) if JSON_LENGTH in headers else None
        if not encoding:
            request = _read_here(form, body, json_length)
            middle = isinstance(body, bytes) and LARGE < len(body) <= MIDDLE
            if request is None and json_length is None and middle:
                request = await self._bodies.apart(form.decode_plain, body)
            if request is not None:
                return request
        return await self._bodies.read(Reading(form.decode, json_length, encoding, self._max_body), body, held)

    async def _body(self, receive: Receive, headers: Headers, held: Held) -> bytes | SharedBytes:
        """The whole body. Raises RequestError where it is too long, OverloadedError, NeverArrivedError."""
        length = headers.get(b"content-length", b"")
        if len(length) > MAX_DIGITS or (length.isdigit() and int(length) > self._max_body):
            raise self._too_large()
        message = await receive()
        first: bytes = message.get("body", b"")
        if message.get("more_body") or len(first) > LARGE:
            held.add(len(first))
        body: bytes | SharedBytes = first
        if message.get("more_body"):
            body, message = await self._rest_of_it(first, receive, held)
        if message["type"] == "http.disconnect":
            raise NeverArrivedError
        if (len(body) if isinstance(body, bytes) else body.size) > self._max_body:
            raise self._too_large()
        return body

    async def _rest_of_it(self, first: bytes, receive: Receive, held: Held) -> tuple[bytes | SharedBytes, Message]:
        """A body that comes in parts, and the message with the last. Large ones are put together where the process that
        reads them can see them."""
        parts, size, shared = [first], len(first), None
        while True:
            if size > LARGE:
                await self._bodies.turn()
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size > self._max_body:
                raise self._too_large()
            held.add(len(part))
            parts.append(part)
            if shared is None and size > MIDDLE:
                shared = held.keep(SharedBytes())
            if shared is not None:
                for each in parts:
                    shared.write(each)
                parts.clear()
            if not message.get("more_body"):
                return b"".join(parts) if shared is None else shared, message

    def _too_large(self) -> RequestError:
        return RequestError(f"the body has more than {self._max_body} bytes; send fewer rows at a time", 413)

    async def _while_connected(self, receive: Receive, answer: Awaitable[InferResponse]) -> InferResponse:
        """The answer, as long as someone waits for it. Raises ClientGoneError."""
        waiting = asyncio.ensure_future(answer)
        gone = asyncio.ensure_future(receive())  # after the body only a disconnect can come
        try:
            await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ClientGoneError
            return waiting.result()
        finally:
            waiting.cancel()
            gone.cancel()


def _whose(headers: Headers) -> dict[str, Any]:
    return whose(_text(headers, REQUEST_ID), _text(headers, PARENT))


def _without_slash(scope: Message) -> Message:
    """`/v2/` is `/v2`, as the protocol's document has it: a redirect would lead from https to http behind a proxy."""
    path = scope.get("path", "")
    return {**scope, "path": path.rstrip("/")} if path.endswith("/") and path.strip("/") else scope


def _read_here(form: Form, body: bytes | SharedBytes, json_length: int | None) -> InferRequest | None:
    """None: that takes too long."""
    if isinstance(body, bytes):
        return form.decode(body, json_length) if len(body) <= SMALL else form.decode_quickly(body, json_length)
    return form.decode_quickly(body.mapped(), json_length) if json_length is not None else None


def _check_type(headers: Headers) -> None:
    kind = headers.get(b"content-type", b"")
    if kind not in READABLE and kind.partition(b";")[0].strip().lower() not in READABLE:
        raise RequestError(f"Content-Type {kind[:50].decode('latin-1')!r} is not supported; send application/json", 415)


def _lines(*headers: tuple[bytes, bytes]) -> bytes:
    return b"".join([b"%s: %s\r\n" % header for header in headers])


def _number(headers: Headers, name: bytes) -> int:
    raw = headers[name]
    if not raw.isdigit() or len(raw) > MAX_DIGITS:
        raise RequestError(f"the header {name.decode()} must be a number, not {raw.decode('latin-1')[:50]!r}")
    return int(raw)


def _origin(headers: Headers, request: InferRequest, traced: Traced | None) -> Origin:
    """Raises RequestError for a key that is none."""
    key = key_of(headers.get(KEY), request.parameters) if KEY in headers or request.parameters else None
    trace = "" if traced is None else traced.traceparent
    return Origin(_text(headers, REQUEST_ID) or request.id or "", key, _text(headers, ARMS), trace)


def _text(headers: Headers, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _error(message: str) -> bytes:
    # What a client sent may come back in a message, half a surrogate pair too.
    return orjson.dumps({"error": message.encode(errors="replace").decode()})
