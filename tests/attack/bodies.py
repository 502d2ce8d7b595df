"""Bodies and connections that cost a server more than they cost who sends them."""

import gzip
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from attack.attack import attack
from attack.clients import GOOD, INFER
from attack.raw import exchange, request
from unit.inference.processes import ServerProcess

PLAIN = 60 << 20
"""Bytes of a hostile body; as gzip a few hundred kilobytes."""

PROBE_SECONDS = 5.0
"""What the liveness probe waits for an answer."""

HONEST = 2.0
"""How many times the memory may be taken that an honest body of the same size takes: simdjson has some twelve bytes for
each byte of a body."""


class Watched:
    """A server whose liveness and memory are looked at all the time."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.port = server.port
        self.worst = 0.0
        self.peak = 0
        self.room = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def begin(self) -> int:
        """Forget what was seen; the memory now, in bytes."""
        self.worst, self.peak = 0.0, self.memory()
        return self.peak

    def harm(self, before: int) -> str:
        """What became of it since `begin`."""
        if self.server.process.poll() is not None:
            return "the server ended"
        if self.worst > PROBE_SECONDS:
            return f"a probe waited {self.worst:.1f} s"
        grown = self.peak - before
        return f"it took {grown >> 20} MiB" if grown > self.room else ""

    def honest(self) -> None:
        """Learn what numbers cost that are as their shape says."""
        body = BODIES["numbers, as its shape says"]()
        before = self.begin()
        said = exchange(self.port, request(INFER, b"POST", body), seconds=120.0)
        assert said.startswith(b"HTTP/1.1 "), said[:100]
        self.room = round(HONEST * max(self.peak - before, 8 * PLAIN))

    def memory(self) -> int:
        return int(Path(f"/proc/{self.server.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _look(self) -> None:
        live = request("/v2/health/live")
        while not self._over.wait(0.05):
            began = time.monotonic()
            with suppress(OSError):
                exchange(self.port, live, seconds=60.0)
            self.worst = max(self.worst, time.monotonic() - began)
            with suppress(OSError, IndexError):
                self.peak = max(self.peak, self.memory())

    def close(self) -> None:
        self._over.set()
        self._thread.join()


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """With a patience of two seconds, so that the slow ones need not be waited for."""
    with ServerProcess(folder, BODY_TIMEOUT_SECONDS="2") as server:
        made = Watched(server)
        try:
            made.honest()
            yield made
        finally:
            made.close()


def _tensor(data: str, datatype: str = "FP32", shape: str = "1,4") -> bytes:
    return f'{{"inputs":[{{"name":"X","shape":[{shape}],"datatype":"{datatype}","data":[{data}]}}]}}'.encode()


def _times(piece: str, last: str, first: str = "") -> str:
    return first + piece * (PLAIN // len(piece)) + last


SMALL = _tensor("1,2,3,4")[:-1]
BODIES: dict[str, Callable[[], bytes]] = {
    "numbers": lambda: _tensor(_times("1.5,", "1")),
    "numbers, as its shape says": lambda: _tensor(_times("1.5,", "1,1,1,1"), shape=f"{PLAIN // 16 + 1},4"),
    "null among numbers": lambda: _tensor(_times("1.5,", "1", "null,")),
    "null among numbers, as its shape says": lambda: _tensor(
        _times("1.5,", "1,1,1", "null,"), shape=f"{PLAIN // 16 + 1},4"
    ),
    "nothing but null": lambda: _tensor(_times("null,", "null")),
    "rows of unequal length": lambda: _tensor(_times("[1],", "[1,2]")),
    "rows of one": lambda: _tensor(_times("[1],", "[1]")),
    "rows of none": lambda: _tensor(_times("[],", "[]")),
    "deep rows": lambda: _tensor(_times("[[[[1]]]],", "1")),
    "lists in lists": lambda: b"[" * PLAIN,
    "objects in objects": lambda: b'{"a":' * (PLAIN // 5),
    "lists in lists as data": lambda: _tensor("[" * (PLAIN // 2) + "]" * (PLAIN // 2)),
    "texts": lambda: _tensor(_times('"",', '""'), "BYTES"),
    "texts among numbers": lambda: _tensor(_times('"1",', '"x"')),
    "one long text": lambda: _tensor('"' + "x" * PLAIN + '"'),
    "escaped texts": lambda: _tensor(_times('"\\u0000",', '""'), "BYTES"),
    "truths": lambda: _tensor(_times("true,", "true"), "BOOL"),
    "long numbers": lambda: _tensor("1" * PLAIN),
    "many exponents": lambda: _tensor(_times("1e-308,", "1")),
    "many tensors": lambda: (
        b'{"inputs":['
        + b",".join(b'{"name":"%x","shape":[1],"datatype":"FP64","data":[1]}' % number for number in range(PLAIN // 58))
        + b"]}"
    ),
    "many outputs": lambda: SMALL + b',"outputs":[' + b'{"name":"p"},' * (PLAIN // 13) + b'{"name":"p"}]}',
    "many parameters": lambda: (
        SMALL + b',"parameters":{' + b",".join(b'"%x":1' % number for number in range(PLAIN // 12)) + b"}}"
    ),
    "one parameter again and again": lambda: SMALL + b',"parameters":{' + b'"a":1,' * (PLAIN // 6) + b'"a":1}}',
    "a long id": lambda: SMALL + b',"id":"' + b"x" * PLAIN + b'"}',
    "a huge shape": lambda: _tensor("1", shape="1000000000000,4"),
    "a shape without an end": lambda: _tensor("1", shape=",".join(["1"] * (PLAIN // 2))),
    "blanks": lambda: SMALL + b" " * PLAIN + b"}",
}
FIRST = ("null among numbers", "rows of unequal length", "many tensors")

INSTANCES: dict[str, Callable[[], bytes]] = {
    "V1: rows of unequal length": lambda: b'{"instances":[' + b"[1]," * (PLAIN // 4) + b"[1,2]]}",
    "V1: rows": lambda: b'{"instances":[' + b"[1,2,3,4]," * (PLAIN // 10) + b"[1,2,3,4]]}",
    "V1: objects": lambda: b'{"instances":[' + b'{"X":1},' * (PLAIN // 8) + b'{"X":1}]}',
    "V1: null": lambda: b'{"instances":[' + b"[1,null,3,4]," * (PLAIN // 13) + b"[1,2,3,4]]}",
}

Sibling = tuple[str, str, Callable[[], bytes]]
SIBLINGS: dict[str, Sibling] = {
    f"{name}, {form}": (path, form, make)
    for path, bodies in (
        (INFER, {name: BODIES[name] for name in sorted(BODIES, key=lambda name: name not in FIRST)}),
        ("/v1/models/m:predict", INSTANCES),
    )
    for name, make in bodies.items()
    for form in ("gzip", "plain")
}


@attack("a body costs the others nothing: probes answer, memory is bounded", SIBLINGS, watched)
def bodies_that_cost(victim: Watched, sibling: Sibling) -> str:
    path, form, make = sibling
    body = make()
    lines = (b"Content-Encoding: gzip",) if form == "gzip" else ()
    sent = request(path, b"POST", gzip.compress(body, 1) if lines else body, *lines)
    del body
    before = victim.begin()
    exchange(victim.port, sent, seconds=120.0)
    return victim.harm(before)


def _deflated(size: int) -> bytes:
    squeeze = zlib.compressobj(9)
    return b"".join([*(squeeze.compress(bytes(1 << 20)) for _ in range(size >> 20)), squeeze.flush()])


ZEROS = 2 << 30
PACKED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "gzip": ("gzip", lambda: gzip.compress(bytes(256 << 20), 9) * 8),
    "gzip in gzip": ("gzip", lambda: gzip.compress(gzip.compress(bytes(256 << 20), 9) * 8, 9)),
    "gzip twice": ("gzip, gzip", lambda: gzip.compress(gzip.compress(bytes(256 << 20), 9) * 8, 9)),
    "deflate": ("deflate", lambda: _deflated(ZEROS)),
    "gzip, called deflate": ("deflate", lambda: gzip.compress(bytes(256 << 20), 9)),
    "many members": ("gzip", lambda: gzip.compress(b"", 9) * 100_000),
}


@attack("what a body unpacks to is bounded", PACKED, watched)
def bodies_that_unpack(victim: Watched, sibling: tuple[str, Callable[[], bytes]]) -> str:
    coding, make = sibling
    sent = request(INFER, b"POST", make(), b"Content-Encoding: " + coding.encode())
    before = victim.begin()
    exchange(victim.port, sent, seconds=120.0)
    return victim.harm(before)


CLIENTS = 40
HEAD = b"POST %s HTTP/1.1\r\nHost: f\r\nContent-Type: application/json\r\n" % INFER.encode()
UNFINISHED: dict[str, tuple[bytes, int]] = {
    # name: what is sent, and how many mebibytes of body after it
    "large bodies": (HEAD + b"Content-Length: 62914561\r\n\r\n", 60),
    "large bodies in chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3c00000\r\n", 59),
    "large packed bodies": (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 62914561\r\n\r\n", 60),
    "small bodies": (HEAD + b"Content-Length: 100\r\n\r\n{", 0),
    "heads": (HEAD, 0),
    "nothing": (b"", 0),
}


def _connected(port: int, receive: int | None = None) -> socket.socket:
    made = socket.socket()
    if receive:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    made.settimeout(1.0)
    made.connect(("127.0.0.1", port))
    return made


def _answers(victim: Watched) -> bool:
    return exchange(victim.port, request(INFER, b"POST", GOOD), seconds=30.0).startswith(b"HTTP/1.1 200")


@attack("bodies that do not end share one budget of bytes, and end", UNFINISHED, watched)
def bodies_that_do_not_end(victim: Watched, sibling: tuple[bytes, int]) -> str:
    begun, size = sibling
    before = victim.begin()
    with ExitStack() as held:
        for _ in range(CLIENTS if not size else 12):
            connection = held.enter_context(_connected(victim.port))
            with suppress(OSError):
                connection.sendall(begun)
                for _ in range(size):
                    connection.sendall(b" " * (1 << 20))
        if not _answers(victim):
            return "a good client got no answer"
    return victim.harm(before)


ROWS = 60_000
READERS = {"that read nothing": 0, "that read a byte at a time": 1}


@attack("who does not read his answer keeps no memory", READERS, watched)
def answers_that_nobody_reads(victim: Watched, taken: int) -> str:
    head = b'{"inputs":[{"name":"X","shape":[%d,4],"datatype":"FP32","parameters":{"binary_data_size":%d}}]}' % (
        ROWS,
        ROWS * 16,
    )
    sent = request(INFER, b"POST", head + bytes(ROWS * 16), b"Inference-Header-Content-Length: %d" % len(head))
    before = victim.begin()
    with ExitStack() as held:
        connections = [held.enter_context(_connected(victim.port, 4096)) for _ in range(CLIENTS)]
        for connection in connections:
            with suppress(OSError):
                connection.sendall(sent.replace(b"Connection: close\r\n", b""))
        end = time.monotonic() + 20.0
        while time.monotonic() < end and _open(victim) > 2:
            for connection in connections:
                with suppress(OSError):
                    connection.recv(taken) if taken else None
            time.sleep(0.2)
        if not _answers(victim):
            return "a good client got no answer"
    # An answer that fits into the kernel's buffer has left the server, whoever reads it: such a connection is idle, and
    # ends as idle ones do. What the server itself holds is what counts.
    return victim.harm(before)


def _open(victim: Watched) -> int:
    """The server's established connections, by the kernel."""
    port = f":{victim.port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in lines if line.split()[1].endswith(port) and line.split()[3] == "01")
