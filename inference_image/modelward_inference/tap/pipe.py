"""A client's connection and the server's behind it: every byte is passed on, in its order, as it came.

Each connection of a client has one of its own to the server, so that whatever the server says of a connection (that it
stays, or ends, or speaks something else now) holds for the client's as well. What the tap itself answers is told by the
first bytes of a request, before any other is under way; such a connection is handed to the tap's own server, which ends
it with its answer. Failure: where the server takes no connection, or breaks one off, so is the client's; one that says
nothing is ended.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from modelward_inference.tap import metrics
from modelward_inference.tap.streams import Streams
from modelward_inference.tap.watch import Watch

CONNECT_SECONDS: Final = 10.0

SILENT_SECONDS: Final = 75.0
"""For which a client may say nothing before there is a connection to the server, whose own limits hold from then on."""

HIGH_WATER: Final = 256 << 10
"""Bytes that wait for one side to read them, from which on the other is not read from."""


class Own:
    """What the tap answers itself. `paths`: of POST; `prefixes`: of GET and POST."""

    def __init__(self, paths: Sequence[str], prefixes: Sequence[str]) -> None:
        self._paths = tuple(b"POST " + each.encode() for each in paths)
        self._prefixes = tuple(method + each.encode() for each in prefixes for method in (b"GET ", b"POST "))

    def says(self, begin: bytes) -> bool | None:
        """Of the first bytes of a request. None: too few have come."""
        for each in self._prefixes:
            if begin.startswith(each):
                return True
        for each in self._paths:
            end = begin[len(each) : len(each) + 1]
            if begin.startswith(each) and end:
                if end in b" ?/":
                    return True
            elif each.startswith(begin[: len(each)]):
                return None
        return None if any(each.startswith(begin) for each in self._prefixes) else False


class Open:
    """Clients' connections that are there. `none`: set while there is none."""

    def __init__(self) -> None:
        self.none = asyncio.Event()
        self.none.set()
        self._each: set[Client] = set()

    def add(self, client: "Client") -> None:
        self._each.add(client)
        self.none.clear()
        metrics.CONNECTIONS.set(len(self._each))

    def discard(self, client: "Client") -> None:
        self._each.discard(client)
        metrics.CONNECTIONS.set(len(self._each))
        if not self._each:
            self.none.set()

    def close(self) -> None:
        """All of them, at once."""
        for each in tuple(self._each):
            each.close()


class Server(asyncio.Protocol):
    """The connection to the server behind the tap."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self.transport: asyncio.Transport | None = None
        self.writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        self._client.answer(data)

    def eof_received(self) -> None:
        """It ends what it says, and so the connection."""

    def pause_writing(self) -> None:
        self.writable = False
        self._client.hold()

    def resume_writing(self) -> None:
        self.writable = True
        self._client.let_go()

    def connection_lost(self, error: Exception | None) -> None:
        self._client.server_gone(error)


class Client(asyncio.Protocol):
    """A client's connection. `connect`: makes one to the server; `own`: what the tap answers itself, by the protocol
    that `hand_over` makes; `open_ones`: it is one of these while it is there; `on_refused`, `on_ended`: called where
    the server takes no connection, or ends it."""

    def __init__(
        self,
        connect: Callable[[Callable[[], Server]], Any],
        watch: Watch | Streams,
        own: Own,
        hand_over: Callable[[], asyncio.Protocol],
        open_ones: "Open",
        on_refused: Callable[[], None],
        on_ended: Callable[[], None],
    ) -> None:
        self._connect, self._watch, self._own, self._hand_over = connect, watch, own, hand_over
        self._open, self._on_refused, self._on_ended = open_ones, on_refused, on_ended
        self._until: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._server: Server | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._begun = b""  # of a request of which is not known yet who answers it
        self._waiting: list[bytes] = []  # until there is a connection
        self._ended = False  # the client says nothing more
        self._reading = True  # from the client
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._open.add(self)
        self._until = asyncio.get_running_loop().call_later(SILENT_SECONDS, self.close)

    def data_received(self, data: bytes) -> None:
        if self._begun or self._watch.between:
            data = self._begun + data
            answers = self._own.says(data)
            self._begun = data if answers is None else b""
            if answers is None:
                return
            if answers:
                self._give_away(data)
                return
        self._pass_on(data)

    def eof_received(self) -> bool:
        self._ended = True
        if self._begun:
            begun, self._begun = self._begun, b""
            self._pass_on(begun)
        if self._server is not None and self._server.transport is not None:
            self._end_server(self._server.transport)
            return True
        return self._connecting is not None

    def pause_writing(self) -> None:
        transport = self._server.transport if self._server is not None else None
        if transport is not None and not transport.is_closing():
            transport.pause_reading()

    def resume_writing(self) -> None:
        transport = self._server.transport if self._server is not None else None
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._open.discard(self)
        self._heard()
        self._watch.end()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._server is not None and self._server.transport is not None:
            if error is None:
                self._server.transport.close()
            else:
                self._server.transport.abort()

    def close(self) -> None:
        """At once."""
        if self._transport is not None:
            self._transport.abort()

    # What the server's side tells.

    def answer(self, data: bytes) -> None:
        if self._transport is not None and not self._lost:
            self._transport.write(data)
            self._watch.told(data)

    def hold(self) -> None:
        self._read(wanted=False)

    def let_go(self) -> None:
        self._read(wanted=True)

    def server_gone(self, error: Exception | None) -> None:
        if self._transport is None or self._lost:
            return
        self._on_ended()
        self._watch.end(broken=not self._ended)
        if error is None:
            self._transport.close()  # after what is still to be written
        else:
            self._transport.abort()

    def _heard(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None

    def _pass_on(self, data: bytes) -> None:
        self._heard()
        server = self._server
        if server is None or server.transport is None:
            self._waiting.append(data)
            if self._connecting is None:
                self._read(wanted=False)
                self._connecting = asyncio.get_running_loop().create_task(self._find_server())
        elif not server.transport.is_closing():  # else the client's ends in a moment, too
            server.transport.write(data)
        self._watch.asked(data)

    async def _find_server(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, server = await self._connect(lambda: Server(self))
        except OSError:  # also where it takes too long
            metrics.UNREACHABLE.inc()
            self._watch.end(broken=True)
            self._on_refused()
            self.close()
            return
        self._server = server
        transport = server.transport
        if self._lost or transport is None:
            if transport is not None:
                transport.abort()
            return
        for each in self._waiting:
            transport.write(each)
        self._waiting.clear()
        if self._ended:
            self._end_server(transport)
        if server.writable:
            self._read(wanted=True)

    def _read(self, *, wanted: bool) -> None:
        transport = self._transport
        if transport is None or self._lost or transport.is_closing() or self._reading == wanted:
            return
        self._reading = wanted
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _end_server(self, transport: asyncio.Transport) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            if transport.can_write_eof() and not transport.is_closing():
                transport.write_eof()

    def _give_away(self, data: bytes) -> None:
        """To the tap's own server, which ends the connection with its answer."""
        transport, server = self._transport, self._server
        assert transport is not None
        self._lost, self._transport = True, None  # nothing more happens here
        self._heard()
        self._open.discard(self)
        if server is not None and server.transport is not None:
            server.transport.close()
        if not self._reading:
            transport.resume_reading()
        protocol = self._hand_over()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)
