"""What clients may do to a connection: heads and bodies that are too long, too slow, or no HTTP at all."""

import contextlib
import json
import select
import socket
from collections.abc import Iterator
from unittest import mock

import pytest

from modelward_inference.serve import http

from .malformed import GOOD
from .rest_process import DEADLINE, Process, ask, serving

MAX_HEAD = 4096
MAX_BODY = 3_000_000


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """With a patience of a second: the slow ones need not be waited for."""
    limits = {"MAX_HEADER_BYTES": str(MAX_HEAD), "MAX_REQUEST_BYTES": str(MAX_BODY), "BODY_TIMEOUT_SECONDS": "0.5"}
    with serving(tmp_path_factory.mktemp("bundle"), **limits) as made:
        yield made
        assert ask(made, GOOD)[0] == 200, "it goes on to serve whatever the others did"


class Raw:
    """A connection on which anything may be sent."""

    def __init__(self, process: Process) -> None:
        self._socket = socket.create_connection(process.address, timeout=DEADLINE)
        self._stream = self._socket.makefile("rb")

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._socket.close()

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self._socket.sendall(part)

    def answer(self) -> tuple[int, dict[str, str]]:
        """Status and JSON of the next answer."""
        stream = self._stream
        status = int(stream.readline().split()[1])
        length = 0
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return status, json.loads(stream.read(length) or b"{}")

    def is_over(self) -> bool:
        """Whether the server has ended the connection, cleanly or not."""
        try:
            return self._stream.read(1) == b""
        except ConnectionResetError:
            return True


def head(length: int | None = None, extra: bytes = b"") -> bytes:
    size = len(GOOD) if length is None else length
    return b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n" % (extra, size)


LONG = b"x-long: %s\r\n" % (b"a" * MAX_HEAD)
MANY = b"".join(b"x-%d: a\r\n" % number for number in range(MAX_HEAD // 5))


@pytest.mark.parametrize("extra", [LONG, MANY], ids=["one long header", "many short headers"])
@pytest.mark.parametrize("size", [10**6, 1000, 1], ids=["at once", "in pieces", "byte by byte"])
def test_a_head_that_is_too_long_is_refused(process: Process, extra: bytes, size: int) -> None:
    request = head(extra=extra) + GOOD
    with Raw(process) as raw:
        raw.send(*(request[begin : begin + size] for begin in range(0, len(request), size)))
        status, answer = raw.answer()
        assert status == 431
        assert str(MAX_HEAD) in answer["error"]
        assert raw.is_over()


@pytest.mark.parametrize(("length", "status"), [(MAX_HEAD, 200), (MAX_HEAD + 1, 431)])
@pytest.mark.parametrize("cut", [1, 100, MAX_HEAD - 1])
def test_the_limit_is_exact_however_the_head_comes(process: Process, length: int, status: int, cut: int) -> None:
    request = head(extra=b"x: %s\r\n" % (b"a" * (length - len(head()) - 5)))
    assert len(request) == length
    with Raw(process) as raw:
        raw.send(request[:cut], request[cut:] + GOOD)
        assert raw.answer()[0] == status


BEGUN = [b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\n", head(), head() + GOOD[:20]]


@pytest.mark.parametrize("begun", BEGUN, ids=["head", "no body", "body"])
def test_a_request_that_does_not_arrive_is_given_up(process: Process, begun: bytes) -> None:
    with Raw(process) as raw:
        raw.send(begun)
        status, answer = raw.answer()
        assert status == 408
        assert "did not arrive within 0.5 s" in answer["error"]
        assert raw.is_over()


@pytest.mark.parametrize("noise", [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET\r\n\r\n", b"\0" * 100])
def test_what_is_no_http_is_told_so(process: Process, noise: bytes) -> None:
    with Raw(process) as raw:
        raw.send(noise)
        status, answer = raw.answer()
        assert status in (400, 408)
        assert answer["error"]
        assert raw.is_over()


def test_requests_one_behind_the_other_are_answered_in_turn(process: Process) -> None:
    with Raw(process) as raw:
        raw.send((head() + GOOD) * 3)
        assert raw.answer()[0] == 200  # nobody waits for the others: that is no failure of the server
    with Raw(process) as raw:
        for _ in range(3):
            raw.send(head(), GOOD[:10], GOOD[10:])
            assert raw.answer()[0] == 200


@pytest.mark.parametrize("size", [1 << 30, 50_000], ids=["at once", "in pieces"])
def test_a_large_body_is_taken(process: Process, size: int) -> None:
    body = GOOD + b" " * (MAX_BODY - len(GOOD))
    with Raw(process) as raw:
        raw.send(head(len(body)), *(body[begin : begin + size] for begin in range(0, len(body), size)))
        assert raw.answer()[0] == 200


def test_a_length_beyond_the_limit_is_refused_before_the_body_comes(process: Process) -> None:
    with Raw(process) as raw:
        raw.send(head(MAX_BODY + 1))
        status, answer = raw.answer()
        assert status == 413
        assert str(MAX_BODY) in answer["error"]


def test_a_body_in_chunks_may_not_be_larger_either(process: Process) -> None:
    piece = b"%x\r\n%s\r\n" % (100_000, b" " * 100_000)
    with Raw(process) as raw:
        raw.send(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        raw.send(*[piece] * (MAX_BODY // 100_000 + 1))
        assert raw.answer()[0] == 413


def test_chunks_within_the_limit_are_taken(process: Process) -> None:
    with Raw(process) as raw:
        raw.send(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        raw.send(*(b"1\r\n%c\r\n" % each for each in GOOD), b"0\r\n\r\n")
        assert raw.answer()[0] == 200


def test_who_asks_before_sending_is_told_to_go_on(process: Process) -> None:
    with Raw(process) as raw:
        raw.send(head(extra=b"Expect: 100-continue\r\n"))
        assert raw.answer()[0] == 100
        raw.send(GOOD)
        assert raw.answer()[0] == 200


def test_who_does_not_read_the_answer_is_cut_off(process: Process) -> None:
    """Answers repeat the id, and are together more than the kernel takes on the client's behalf."""
    body = json.dumps({"id": "x" * (MAX_BODY - 10_000), **json.loads(GOOD)}).encode()
    with Raw(process) as raw:
        ended = select.poll()
        ended.register(raw._socket, select.POLLHUP | select.POLLERR)
        with contextlib.suppress(ConnectionError):
            for _ in range(8):
                raw.send(head(len(body)) + body)
        assert ended.poll(1000 * DEADLINE)
    assert ask(process, GOOD)[0] == 200


class Connection(http.GuardedProtocol):
    """One whose progress the test tells."""

    def __init__(self) -> None:
        self.what: object | None = None
        self.refused: list[int] = []

    def unfinished(self) -> object | None:
        return self.what

    def unread(self) -> object | None:
        return None

    def unused(self) -> object | None:
        return None

    def refuse(self, status: int, _message: str) -> None:
        self.refused.append(status)


class State:
    def __init__(self, *connections: Connection) -> None:
        self.connections = set(connections)


def test_only_what_stands_still_for_too_long_is_refused() -> None:
    slow, quick, idle = Connection(), Connection(), Connection()
    clients = http.SlowClients(State(slow, quick, idle), timeout=5.0, keep_alive=75.0)  # type: ignore[arg-type]
    slow.what = "a request"
    for now in range(7):
        quick.what = f"request {now}"
        clients.sweep(float(now))
    assert (slow.refused, quick.refused, idle.refused) == ([408], [], [])


class Loaded(Connection):
    """One that has something to write, and counts how it is ended."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: object | None = None
        self.transport = mock.Mock()

    def unread(self) -> object | None:
        return self.answer


def test_only_an_answer_that_is_not_read_for_too_long_ends_the_connection() -> None:
    stuck, slow, idle = Loaded(), Loaded(), Loaded()
    clients = http.SlowClients(State(stuck, slow, idle), timeout=5.0, keep_alive=75.0)  # type: ignore[arg-type]
    stuck.answer = "an answer"
    for now in range(7):
        slow.answer = f"answer {now}"
        clients.sweep(float(now))
    assert [each.transport.abort.call_count for each in (stuck, slow, idle)] == [1, 0, 0]
    assert (stuck.refused, slow.refused) == ([], [])


class Kept(Connection):
    """One on which the test says which request was the last that was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.last: object | None = None
        self.transport = mock.Mock()

    def unused(self) -> object | None:
        return self.last


def test_only_a_connection_that_nobody_uses_for_too_long_is_closed() -> None:
    silent, rare, new = Kept(), Kept(), Kept()
    clients = http.SlowClients(State(silent, rare, new), timeout=1.0, keep_alive=5.0)  # type: ignore[arg-type]
    silent.last = "a request"
    for now in range(7):
        rare.last = f"request {now // 4}" if now != 3 else None
        clients.sweep(float(now))
    assert [each.transport.close.call_count for each in (silent, rare, new)] == [1, 0, 0]
