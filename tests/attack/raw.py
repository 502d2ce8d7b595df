"""Requests as bytes: no client library puts a path or a header into order before it is sent."""

import contextlib
import socket

SECONDS = 10.0


def exchange(port: int, *parts: bytes, seconds: float = SECONDS) -> bytes:
    """What comes back on one connection until it is closed, or nothing comes for a while."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with contextlib.suppress(OSError):
            for part in parts:
                connection.sendall(part)
        found = b""
        with contextlib.suppress(OSError):
            while piece := connection.recv(1 << 16):
                found += piece
        return found


def request(
    path: str | bytes, method: bytes = b"GET", body: bytes = b"", *headers: bytes, host: bytes = b"fraud"
) -> bytes:
    """An HTTP/1.1 request that ends its connection. `headers`: lines."""
    target = path.encode("latin-1") if isinstance(path, str) else path
    lines = [b"%s %s HTTP/1.1" % (method, target), b"Connection: close", *headers]
    if host:
        lines.append(b"Host: " + host)
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
