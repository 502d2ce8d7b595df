"""uvicorn's HTTP protocol, with limits on what a client may do before the application is asked, and errors in JSON.

uvicorn neither bounds the head of a request nor the time that it takes to arrive. Both cost a working request next to
nothing here: the head is measured where it did not come in one piece, and clients that are slow, or gone silent, are
found by a look at all connections about once a second. Failure: 400, 408 and 431 with `{"error": …}`, after which the
connection ends.
"""

import asyncio
import math
import weakref
from collections.abc import Iterable
from typing import Any

import orjson
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

MAX_HEAD = 64 * 1024
"""Bytes of a request line and headers; Envoy's own limit is 60 KiB."""

LINGER = 2.0
"""Seconds for a refused client to read the answer while what it still sends is thrown away."""


SELDOM = 0.05
"""Between two looks for unused connections, as a part of the time that one may be: where there are many, most are."""

EXCHANGE = "modelward.exchange"
"""An ASGI extension: an `Exchange`. ASGI's own messages of a body and an answer, which are put together, checked and
taken apart again, cost more than a small model."""


class Exchange:
    """A request, and the connection on which it waits for its answer.

    Lives as long as the application works at the request. The reference is weak: the request's scope holds this object,
    and uvicorn's object holds the scope, so that each request would leave some twenty objects to the garbage collector,
    whose passes are what the slowest requests then wait for.
    """

    __slots__ = ("_lines", "_reference")

    def __init__(self, cycle: RequestResponseCycle, lines: bytes) -> None:
        self._reference = weakref.ref(cycle)
        self._lines = lines

    @property
    def _cycle(self) -> RequestResponseCycle:
        cycle = self._reference()
        assert cycle is not None, "who works at a request keeps it"
        return cycle

    def body(self, most: int) -> bytes | None:
        """The whole body, if all of it has come and it has no more than `most` bytes; None: it is to be received."""
        cycle = self._cycle
        if cycle.more_body or cycle.waiting_for_100_continue or cycle.disconnected or len(cycle.body) > most:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        cycle.message_event.clear()  # what comes from now on is that the client has left
        cycle.flow.resume_reading()
        return body

    def gone(self) -> bool:
        """Whether the client has left: then nobody reads an answer, and none need be given."""
        return _gone(self._cycle)

    def answer(self, status: int, headers: bytes, body: bytes) -> bool:
        """A whole answer in one call. `headers`: lines, each with its end, content-length among them, and none about
        the connection. False: the client reads too slowly, and the ordinary way is to be taken, which waits."""
        cycle = self._cycle
        if _gone(cycle):
            return True
        if cycle.flow.write_paused:
            return False
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
        cycle.transport.write(b"".join((STATUS_LINE[status], self._lines, headers, end, body)))
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True


def _gone(cycle: RequestResponseCycle) -> bool:
    if not cycle.disconnected and cycle.transport.is_closing():
        cycle.disconnected = True  # uvicorn does not hear of it for requests that wait behind another one
    return cycle.disconnected


class GuardedProtocol(HttpToolsProtocol):
    """One connection. `lines`: headers of every answer, each with its end."""

    max_head = MAX_HEAD
    lines = b""
    _head = 0
    _refused = False

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        # Where data begins with the rest of a body, a head behind that is counted from the next piece on.
        while (begins_in_head := self.cycle is None or not self.cycle.more_body) and len(data) > self._room():
            room, before = self._room(), self.cycle
            super().data_received(data[:room])
            if self._in_head() and self.cycle is before:
                self.refuse(431, f"the headers have more than {self.max_head} bytes")
            if self._refused or self.transport.is_closing():
                return
            # What goes on, if anything, is the head of another request, which began somewhere in this part.
            data, self._head = data[room:], 0
        before = self.cycle
        super().data_received(data)
        same = begins_in_head and self.cycle is before
        self._head = self._head + len(data) if same and self._in_head() else 0

    def _room(self) -> int:
        return self.max_head - self._head

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.scope["extensions"] = {EXCHANGE: Exchange(cycle, self.lines)}  # type: ignore[dict-item]
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        # As uvicorn has it, without a timer that each request sets and the next one takes back: see `unused`.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def unused(self) -> object | None:
        """The last request, where it has been answered and no other one has begun: one object until one does."""
        answered = self.cycle is not None and self.cycle.response_complete and self.cycle.scope is self.scope
        return self.cycle if answered else None

    def unfinished(self) -> object | None:
        """What has begun to arrive and is not complete: one object for as long as it is the same; else None."""
        if self._refused or self.pipeline:
            return None
        if self.scope is None:
            return self
        if self._in_head():
            return self.scope
        return self.cycle if self.cycle.more_body else None

    def unread(self) -> object | None:
        """The answer that the client does not take from us: one object for as long as it is the same; else None."""
        return self.cycle if self.cycle is not None and self.transport.get_write_buffer_size() else None

    def refuse(self, status: int, message: str) -> None:
        """Answer where that is still possible, and end the connection once the client has had time to read it.

        Requests before this one are answered first; behind them, a head that is not complete ends the connection
        without a word.
        """
        if self._refused:
            return
        self._refused = True
        if self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete:
            self.cycle.keep_alive = False  # its answer is due first, and ends the connection
            return
        if self.pipeline:
            self.pipeline[0] = (self.cycle, _refusal(status, message))  # when its turn comes
            return
        answered = self.cycle is not None and (self.cycle.response_started or not self.cycle.more_body)
        if self.scope is not None and (self._in_head() or not answered):
            self.transport.write(_answer(status, message, self.lines))
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(LINGER, self.transport.abort)
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, f"this is no HTTP request that can be read ({msg})")

    def _in_head(self) -> bool:
        # uvicorn sets the path once the head is complete.
        return self.scope is not None and "path" not in self.scope


def _refusal(status: int, message: str) -> ASGI3Application:
    body = orjson.dumps({"error": message})
    length = (b"content-length", b"%d" % len(body))
    headers = [(b"content-type", b"application/json"), length, (b"connection", b"close")]

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


def _answer(status: int, message: str, lines: bytes) -> bytes:
    body = orjson.dumps({"error": message})
    return b"%s%scontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (
        STATUS_LINE[status], lines, len(body), body,
    )  # fmt: skip


Since = dict[GuardedProtocol, tuple[object, float]]
"""What each connection is at, and since when (seconds, monotonic)."""


class SlowClients:
    """Finds connections whose request does not arrive, whose answer is not read, or that nobody uses. `timeout`:
    seconds from the first byte of either to its last; `keep_alive`: from an answer to the next request."""

    def __init__(self, state: ServerState, timeout: float, keep_alive: float) -> None:
        self._state = state
        self._timeout = timeout
        self._keep_alive = keep_alive
        self._arriving: Since = {}
        self._leaving: Since = {}
        self._unused: Since = {}
        self._looked = -math.inf

    def sweep(self, now: float) -> None:
        """End what has been unfinished or unused for too long. `now`: seconds, monotonic; to be called every second."""
        connections = [each for each in list(self._state.connections) if isinstance(each, GuardedProtocol)]
        found = {each: what for each in connections if (what := each.unfinished()) is not None}
        self._arriving, late = _sorted(self._arriving, found, now, self._timeout)
        for connection in late:
            connection.refuse(408, f"the request did not arrive within {self._timeout:g} s")
        found = {each: what for each in connections if (what := each.unread()) is not None}
        self._leaving, late = _sorted(self._leaving, found, now, self._timeout)
        for connection in late:
            connection.transport.abort()  # a word more would only wait behind what is not read
        if now - self._looked < SELDOM * self._keep_alive:
            return
        self._looked = now
        found = {each: what for each in connections if (what := each.unused()) is not None}
        self._unused, late = _sorted(self._unused, found, now, self._keep_alive)
        for connection in late:
            connection.transport.close()


def _sorted(
    before: Since, found: dict[GuardedProtocol, object], now: float, most: float
) -> tuple[Since, list[GuardedProtocol]]:
    """Since when each is what it is, and those for which that is too long. `most`: seconds."""
    since: Since = {}
    late = []
    for connection, what in found.items():
        known, began = before.get(connection, (None, now))
        if known is not what:
            began = now
        if now - began > most:
            late.append(connection)
        else:
            since[connection] = (what, began)
    return since, late


def protocol(max_head: int, headers: Iterable[tuple[str, str]] = ()) -> type[asyncio.Protocol]:
    """The class for uvicorn's configuration. `max_head`: bytes; `headers`: of every answer that uvicorn does not write,
    which is to be told the same ones."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("ascii")
    return type("Protocol", (GuardedProtocol,), {"max_head": max_head, "lines": lines})
