"""What a router does with large bodies, by a real Envoy: the stable answers where a candidate can't be reached, and
slow uploads take little memory."""

import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from live_envoy import LiveEnvoy
from modelward.api.traffic import Traffic
from modelward.facts import Arm, RouteTable
from modelward.routing.envoy import routes as envoy_routes
from threaded import answering

STABLE, CANDIDATE = "fraud-a", "fraud-b"
CANARY = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 50),))
DEADLINE = 60.0


class Reader(ThreadingHTTPServer):
    """A model that reads all of a body and says how many bytes it had."""

    daemon_threads = True

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            left = int(self.headers["content-length"])
            total = 0
            while total < left:
                got = self.rfile.read(min(left - total, 1 << 16))
                if not got:
                    return
                total += len(got)
            body = str(total).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)


@pytest.fixture
def stable() -> Iterator[Reader]:
    with answering(Reader()) as server:
        yield server


def refusing(stack: ExitStack) -> int:
    """A port where nobody listens, and nobody else comes to."""
    taken = stack.enter_context(socket.socket())
    taken.bind(("127.0.0.1", 0))
    return int(taken.getsockname()[1])


def silent(stack: ExitStack) -> int:
    """A port that answers no SYN any more: its queue is full."""
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(4):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
    return int(listener.getsockname()[1])


def ask(port: int, size: int) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("POST", "/v2/models/fraud/infer", b" " * size)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionError:
        return 0, "reset while the body was on its way"
    finally:
        connection.close()


@pytest.mark.parametrize("size", [100, envoy_routes.RETRIED_BODY])
@pytest.mark.parametrize("dead", [refusing, silent])
def test_the_stable_answers_for_a_candidate_that_cannot_be_reached(
    tmp_path: Path, program: Path, stable: Reader, dead: Callable[[ExitStack], int], size: int
) -> None:
    with ExitStack() as stack:
        ports = {STABLE: stable.server_port, CANDIDATE: dead(stack)}
        live = LiveEnvoy(tmp_path, program, CANARY, Traffic(), ports, timeout=DEADLINE)
        stack.callback(live.close)
        with ThreadPoolExecutor(4) as threads:
            answers = Counter(threads.map(lambda _: ask(live.ports["traffic"], size), range(24)))
    assert answers == {(200, str(size)): 24}


def test_of_larger_ones_few_are_lost_until_the_candidate_is_left_out(
    tmp_path: Path, program: Path, stable: Reader
) -> None:
    with ExitStack() as stack:
        ports = {STABLE: stable.server_port, CANDIDATE: refusing(stack)}
        live = LiveEnvoy(tmp_path, program, CANARY, Traffic(), ports, timeout=DEADLINE)
        stack.callback(live.close)
        lost = sum(ask(live.ports["traffic"], 8 << 20)[0] != 200 for _ in range(30))
    assert lost <= 3


CLIENTS, SENT = 100, 1_000_000


def test_slow_uploads_take_little_memory(tmp_path: Path, program: Path, stable: Reader) -> None:
    """Each client has sent a megabyte of three, and waits."""
    with ExitStack() as stack:
        live = LiveEnvoy(tmp_path, program, RouteTable(STABLE), Traffic(), {STABLE: stable.server_port})
        stack.callback(live.close)
        head = b"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n" % (3 * SENT)
        before = live.resident()

        def begin(_: int) -> None:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", live.ports["traffic"]), DEADLINE))
            client.sendall(head + b" " * SENT)

        for at in range(CLIENTS):
            begin(at)
        end = time.monotonic() + DEADLINE
        while live.active() < CLIENTS:
            assert time.monotonic() < end, "the requests do not arrive"
            threading.Event().wait(0.05)
        assert live.resident() - before < CLIENTS * SENT // 2
