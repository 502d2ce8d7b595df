"""The end of the process under load: nobody's request fails, and who must go is told so."""

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from .processes import DEADLINE, ServerProcess, free_port

CLIENTS = 8


@pytest.fixture
def body() -> bytes:
    rows = [[5.1, 3.5, 1.4, 0.2]] * 50
    return json.dumps({"inputs": [{"name": "X", "shape": [50, 4], "datatype": "FP32", "data": rows}]}).encode()


@contextmanager
def connected(server: ServerProcess) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    try:
        yield connection
    finally:
        connection.close()


def ask(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bool]:
    """The status, and whether the server asks to go elsewhere."""
    connection.request("POST", "/v2/models/m/infer", body)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("connection") == "close"


def readiness(server: ServerProcess) -> int:
    with connected(server) as connection:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status


def test_no_request_fails_while_the_server_ends(tmp_path: Path, body: bytes) -> None:
    began, gone = threading.Barrier(CLIENTS + 1), threading.Barrier(CLIENTS + 1)

    def client(server: ServerProcess) -> list[int]:
        """Goes on on one connection until the server asks to go, then once more on a new one."""
        with connected(server) as connection:
            statuses = [ask(connection, body)[0]]
            began.wait(DEADLINE)
            close = False
            while not close:
                status, close = ask(connection, body)
                statuses.append(status)
        with connected(server) as connection:
            statuses.append(ask(connection, body)[0])
        gone.wait(DEADLINE)
        return statuses

    with ServerProcess(tmp_path, DRAIN_SECONDS="3") as server, ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(client, server) for _ in range(CLIENTS)]
        began.wait(DEADLINE)
        with connected(server) as idle:
            assert ask(idle, body) == (200, False)
            server.terminate()
            gone.wait(DEADLINE)
            assert ask(idle, body) == (200, True)
        assert readiness(server) == 503
        statuses = [status for each in clients for status in each.result(DEADLINE)]
        assert server.process.wait(DEADLINE) == 0
    assert set(statuses) == {200}
    assert len(statuses) >= 3 * CLIENTS
    assert "Traceback" not in server.log


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, DRAIN_SECONDS="100000") as server:
        server.terminate()
        while readiness(server) == 200:
            pass
        server.terminate()
        assert server.process.wait(DEADLINE) == 0


def test_a_port_that_is_taken_is_reported(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        other = tmp_path / "other"
        other.mkdir()
        second = ServerProcess(other, PORT=str(server.port))
        second.port = free_port()
        with pytest.raises(AssertionError, match=f"REST can't listen on port {server.port}; set PORT to a free one"):
            second.__enter__()
    assert json.loads((other / "termination").read_text())["reason"] == "InvalidConfiguration"
    assert second.process.returncode == 1
