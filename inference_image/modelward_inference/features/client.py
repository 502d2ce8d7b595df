"""POST to a feature server: few connections that stay open, bounded answers, no redirects, no proxy.

A name is looked up for each new connection, and what is connected to is what was looked at (addresses.py). A question
changes nothing, so one that an idle connection has lost is asked once more, by a new one.
Failure: StoreError, whose reason is one of REASONS. Belongs to one event loop.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httptools

from modelward_inference.features.addresses import is_allowed

MAX_ANSWER: Final = 16 << 20
"""Bytes, headers included."""

WAITING: Final = 8
"""Questions that may wait for each that is on its way."""

READ: Final = 64 << 10
"""Bytes at a time."""

PATH: Final = "/get-online-features"

OVERLOADED, TIMEOUT, UNREACHABLE, DENIED, FAILED = "overloaded", "timeout", "unreachable", "denied", "failed"
"""Too many questions wait already; no answer in time; no connection, or it broke; 401, 403 or 404; any other status
than 200, or no HTTP."""

Trust = Callable[[], ssl.SSLContext]


class StoreError(Exception):
    """No answer. `said`: the beginning of what the server said, for the log alone: it may be anybody's words."""

    def __init__(self, reason: str, message: str, said: str = "") -> None:
        super().__init__(message)
        self.reason, self.said = reason, said


class _LostError(Exception):
    """The server had closed a connection before a byte of this answer came."""


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass
class _Response:
    """What httptools tells. `keep_alive`: it knows that only while it is about to tell that all has come."""

    parser: Any = None
    keep_alive: bool = False
    complete: bool = False
    more: bool = False
    body: list[bytes] = field(default_factory=list)

    def on_message_begin(self) -> None:
        self.more = self.complete  # nobody asked for a second one

    def on_body(self, part: bytes) -> None:
        if not self.more:
            self.body.append(part)

    def on_message_complete(self) -> None:
        self.keep_alive = bool(self.parser.should_keep_alive())
        self.complete = True


class Client:
    """`url`: of the server, checked by FeatureSettings; `concurrent`: questions at a time; `token`: read for each
    question, so that it may change; `trust`: made once, for https."""

    def __init__(self, url: str, concurrent: int, trust: Trust, token: Callable[[], str] | None = None) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        self._path = parts.path.rstrip("/") + PATH
        self._authority = parts.netloc
        self._token = token
        self._context = trust() if self._secure else None
        self._slots = asyncio.Semaphore(concurrent)
        self._most = concurrent * WAITING
        self._idle: list[_Connection] = []
        self.waiting = 0
        """Questions that have not been answered."""

    async def ask(self, body: bytes, deadline: float) -> bytes:
        """The body of the answer. `deadline`: seconds of time.monotonic(). Raises StoreError."""
        if self.waiting >= self._most:
            raise StoreError(OVERLOADED, f"{self.waiting} questions wait for the feature server already")
        self.waiting += 1
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())), self._slots:
                return await self._asked(body)
        except TimeoutError:
            raise StoreError(TIMEOUT, "the feature server did not answer in time") from None
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """No question may be on its way."""
        while self._idle:
            connection = self._idle.pop()  # by a name: who is not held by one is gone before it is closed
            connection.writer.transport.abort()

    async def _asked(self, body: bytes) -> bytes:
        message = self._message(body)
        while self._idle:
            connection = self._idle.pop()
            if connection.reader.at_eof() or connection.writer.is_closing():
                connection.writer.transport.abort()
                continue
            try:
                return await self._exchanged(connection, message)
            except _LostError:
                continue
        try:
            return await self._exchanged(await self._connected(), message)
        except _LostError:
            raise StoreError(UNREACHABLE, "the feature server closed the connection without an answer") from None

    def _message(self, body: bytes) -> bytes:
        lines = [
            f"POST {self._path} HTTP/1.1", f"Host: {self._authority}", "Content-Type: application/json",
            f"Content-Length: {len(body)}", "Accept-Encoding: identity", "User-Agent: modelward-server",
        ]  # fmt: skip
        if self._token is not None:
            lines.append(f"Authorization: Bearer {self._token()}")
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            infos = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError:
            raise StoreError(UNREACHABLE, "the feature server's name leads nowhere") from None
        addresses = [str(info[4][0]) for info in infos if is_allowed(self._host, str(info[4][0]))]
        if not addresses:
            raise StoreError(
                UNREACHABLE, "the feature server's name leads to an address of the node, the pod or the cloud"
            )
        tls: dict[str, Any] = {"ssl": self._context, "server_hostname": self._host} if self._context else {}
        for address in dict.fromkeys(addresses):
            try:
                return _Connection(*await asyncio.open_connection(address, self._port, **tls))
            except ssl.SSLError as error:
                raise StoreError(UNREACHABLE, f"the feature server's certificate is not accepted: {error}") from None
            except OSError:
                continue
        raise StoreError(UNREACHABLE, "the feature server takes no connection")

    async def _exchanged(self, connection: _Connection, message: bytes) -> bytes:
        """Raises _LostError where nothing came back."""
        keep = False
        try:
            response = _Response()
            parser = response.parser = httptools.HttpResponseParser(response)
            received = 0
            connection.writer.write(message)
            await connection.writer.drain()
            while not response.complete:
                part = await connection.reader.read(READ)
                if not part:
                    if not received:
                        raise _LostError
                    raise StoreError(UNREACHABLE, "the feature server broke its answer off")
                received += len(part)
                if received > MAX_ANSWER:
                    raise StoreError(FAILED, f"the feature server's answer has more than {MAX_ANSWER} bytes")
                parser.feed_data(part)
            status = int(parser.get_status_code())
            keep = response.keep_alive and not response.more
            body = b"".join(response.body)
            if status != 200:
                reason = DENIED if status in (401, 403, 404) else FAILED
                raise StoreError(reason, f"the feature server answers {status}", _words(body))
            return body
        except httptools.HttpParserError:
            keep = False
            raise StoreError(FAILED, "the feature server does not speak HTTP") from None
        except OSError:
            raise _LostError from None
        finally:
            if keep:
                self._idle.append(connection)
            else:
                connection.writer.transport.abort()


def _words(body: bytes) -> str:
    """As one line of a log may have them."""
    text = body[:300].decode(errors="replace")
    return "".join(each if each.isprintable() else " " for each in text)
