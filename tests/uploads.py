"""Uploads that stop on their way, and models that read them: what a router has to hold of them.

Clients speak HTTP/1.1, and HTTP/2 as frames of their own making, since no library stops in the middle of a message.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import grpc

from threaded import answering

DEADLINE: Final = 60.0
PATH: Final = "/v2/models/fraud/infer"


class Received:
    """Bytes of bodies that have come, all together."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.total = 0

    def add(self, count: int) -> None:
        with self._changed:
            self.total += count
            self._changed.notify_all()

    def wait(self, total: int, *, otherwise: Callable[[], bool] = lambda: False) -> None:
        """Until so many have come, or `otherwise` is true."""
        end = time.monotonic() + DEADLINE
        with self._changed:
            while self.total < total and not otherwise():
                assert time.monotonic() < end, f"only {self.total} of {total} bytes have come"
                self._changed.wait(0.02)


class Reader(ThreadingHTTPServer):
    """A model that reads all of a body and says how many bytes it had."""

    daemon_threads = True
    request_queue_size = 1024

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server: "Reader"

        def do_GET(self) -> None:
            self._answer(b"{}")

        def do_POST(self) -> None:
            total = sum(map(len, self._parts()))
            self._answer(str(total).encode())

        def _answer(self, body: bytes) -> None:
            self.server.asked.append((self.path, dict(self.headers.items())))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _parts(self) -> Iterator[bytes]:
            length = self.headers["content-length"]
            if length is not None:
                yield from self._read(int(length))
                return
            while size := int(self.rfile.readline() or b"0", 16):
                yield from self._read(size)
                self.rfile.readline()
            self.rfile.readline()

        def _read(self, left: int) -> Iterator[bytes]:
            while left and (got := self.rfile.read1(min(left, 1 << 16))):
                self.server.received.add(len(got))
                left -= len(got)
                yield got

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    def __init__(self) -> None:
        self.received = Received()
        self.asked: list[tuple[str, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), self.Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested."""


class GrpcReader(grpc.GenericRpcHandler):
    """A model by gRPC that reads messages until the client has no more."""

    def __init__(self) -> None:
        self.received = Received()

    def service(self, _details: Any) -> grpc.RpcMethodHandler:
        def read(messages: Iterator[bytes], _context: Any) -> bytes:
            for message in messages:
                self.received.add(len(message))
            return b""

        return grpc.stream_unary_rpc_method_handler(read)


@contextmanager
def reading(*, by_grpc: bool, at_once: int) -> Iterator[tuple[int, Received]]:
    """A model and its port."""
    if not by_grpc:
        with answering(Reader()) as server:
            yield server.server_port, server.received
        return
    handler = GrpcReader()
    server = grpc.server(ThreadPoolExecutor(at_once), handlers=(handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port, handler.received
    finally:
        server.stop(None)


Begin = Callable[[ExitStack, int, int, int], Callable[[], bool]]
"""Sends so many bytes of a body of a size to a port, and leaves the rest. What it gives tells whether the router has
ended the request since."""


def declared(stack: ExitStack, port: int, sent: int, size: int) -> Callable[[], bool]:
    return _http1(stack, port, f"Content-Length: {size}", b" " * sent)


def chunked(stack: ExitStack, port: int, sent: int, _size: int) -> Callable[[], bool]:
    part = b" " * 10_000
    whole, rest = divmod(sent, len(part))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in (*[part] * whole, part[:rest]) if each)
    return _http1(stack, port, "Transfer-Encoding: chunked", chunks)


def _http1(stack: ExitStack, port: int, header: str, body: bytes) -> Callable[[], bool]:
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE))
    client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: m\r\n{header}\r\n\r\n".encode() + body)
    return lambda: _arrived(client) is not None


def http2(stack: ExitStack, port: int, sent: int, size: int) -> Callable[[], bool]:
    return _http2(stack, port, {b":path": PATH.encode(), b"content-length": str(size).encode()}, b" " * sent)


def by_grpc(stack: ExitStack, port: int, sent: int, _size: int) -> Callable[[], bool]:
    """Messages of 10 kB."""
    message = b" " * 10_000
    headers = {
        b":path": b"/inference.GRPCInferenceService/ModelInfer",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
    }
    framed = b"".join(struct.pack(">BI", 0, len(message)) + message for _ in range(sent // len(message)))
    return _http2(stack, port, headers, framed)


_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
_ACK, _END_HEADERS = 1, 4


def _http2(stack: ExitStack, port: int, headers: dict[bytes, bytes], body: bytes) -> Callable[[], bool]:
    """One request, not longer than the windows that the router opens first."""
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE))
    client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b""))
    told: set[int] = set()
    while not told >= {_SETTINGS, _WINDOW_UPDATE}:
        header = _exactly(client, 9)
        _exactly(client, int.from_bytes(header[:3], "big"))
        told.add(header[3])
    frames = [_frame(_SETTINGS, _ACK, 0, b""), _frame(_HEADERS, _END_HEADERS, 1, _block(headers))]
    frames += [_frame(_DATA, 0, 1, body[at : at + (1 << 14)]) for at in range(0, len(body), 1 << 14)]
    client.sendall(b"".join(frames))
    unread = bytearray()

    def ended() -> bool:
        arrived = _arrived(client)
        unread.extend(arrived or b"")
        while len(unread) >= 9 + (length := int.from_bytes(unread[:3], "big")):
            if unread[3] in (_HEADERS, _RST_STREAM, _GOAWAY):
                return True
            del unread[: 9 + length]
        return arrived == b""

    return ended


def _block(headers: dict[bytes, bytes]) -> bytes:
    """:method POST and :scheme http by their numbers in HPACK's static table, the others as they stand; what begins
    with a colon comes first."""
    every = sorted({b":authority": b"m", **headers}.items(), key=lambda each: each[0][:1] != b":")
    return b"\x83\x86" + b"".join(_literal(*each) for each in every)


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\x00%c%b%c%b" % (len(name), name, len(value), value)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _exactly(client: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        part = client.recv(count - len(got))
        assert part, "closed"
        got += part
    return got


def _arrived(client: socket.socket) -> bytes | None:
    """What has come by now; None for nothing, no bytes for the end."""
    try:
        client.setblocking(False)
        return client.recv(1 << 16)
    except BlockingIOError:
        return None
    except ConnectionError:
        return b""
