"""HTTP servers of tests, in a thread of their own."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from types import TracebackType
from typing import Self, TypeVar

Server = TypeVar("Server", bound=HTTPServer)


@contextmanager
def answering(server: Server) -> Iterator[Server]:
    """It answers until the end, and is closed then."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Answers:
    """`with` it, it answers by a handler on a loopback port: `address` is host:port. `tls`: it
    speaks https."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True  # whoever keeps a connection must not keep the test
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        self.address = f"127.0.0.1:{server.server_port}"
        self._life = answering(server)

    def __enter__(self) -> Self:
        self._life.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._life.__exit__(kind, error, trace)
