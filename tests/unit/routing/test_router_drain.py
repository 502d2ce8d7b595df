"""A router pod that ends, ends after its last answer: the script of the pod, and a real Envoy."""

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from builders import PLATFORM, owner
from live_envoy import LiveEnvoy
from modelward.api.traffic import Traffic
from modelward.facts import RouteTable
from modelward.routing.envoy import objects as router
from threaded import answering

DEADLINE = 60.0


class Slow(ThreadingHTTPServer):
    """A model that answers when it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked, self.may_answer = threading.Event(), threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.set()
                server.may_answer.wait(DEADLINE)
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def slow() -> Iterator[Slow]:
    with answering(Slow()) as server:
        yield server
        server.may_answer.set()


@pytest.fixture
def live(tmp_path: Path, program: Path, slow: Slow) -> Iterator[LiveEnvoy]:
    made = LiveEnvoy(
        tmp_path, program, RouteTable("fraud-a"), Traffic(), {"fraud-a": slow.server_port}, timeout=DEADLINE
    )
    yield made
    made.close()


def test_the_script_waits_for_the_last_answer(live: LiveEnvoy, slow: Slow) -> None:
    script = ["bash", "-c", router.drain_command(live.admin_port, seconds=0)]
    address = f"http://127.0.0.1:{live.ports['traffic']}/v2/models/fraud/infer"
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(live.http.request, "GET", address)
        assert slow.asked.wait(DEADLINE)
        ending = subprocess.Popen(script)
        with pytest.raises(subprocess.TimeoutExpired):
            ending.wait(2)  # it asks twice a second
        slow.may_answer.set()
        assert answer.result(DEADLINE).status == 200
        assert ending.wait(DEADLINE) == 0


def test_the_script_ends_where_nobody_waits(live: LiveEnvoy) -> None:
    subprocess.run(["bash", "-c", router.drain_command(live.admin_port, seconds=0)], check=True, timeout=DEADLINE)


def test_the_script_ends_where_envoy_is_gone(live: LiveEnvoy) -> None:
    live.close()
    began = time.monotonic()
    subprocess.run(["bash", "-c", router.drain_command(live.admin_port, seconds=0)], check=False, timeout=DEADLINE)
    assert time.monotonic() - began < DEADLINE


def test_the_kubelet_waits_as_long_as_any_request_may_last() -> None:
    pod = router.deployment(owner(), PLATFORM)["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= 3600 + router.DRAIN_SECONDS
    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["bash", "-c", router.drain_command()]
