"""Load reaches every pod of a revision: a real Envoy before what balances by connection, as kube-proxy does."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import grpc
import pytest

from balancer import Balancer
from live_envoy import LiveEnvoy
from modelward.api.traffic import Traffic
from modelward.facts import RouteTable
from modelward.routing.envoy import routes as envoy_routes
from unit.inference.processes import ServerProcess, free_port

REVISION = "fraud-a"
PODS, CLIENTS = 4, 8
DEADLINE = 60.0


class Pod:
    """Counts what it is asked, by either protocol."""

    def __init__(self, stack: ExitStack) -> None:
        self.answered = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._lock = threading.Lock()
        pod = self

        class Http(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                pod.count()
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        class Grpc(grpc.GenericRpcHandler):
            def service(self, _details: Any) -> grpc.RpcMethodHandler:
                return grpc.unary_unary_rpc_method_handler(lambda message, _: pod.count() or message)

        web = stack.enter_context(Http(("127.0.0.1", 0), Handler))
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        stack.callback(thread.join)
        stack.callback(web.shutdown)
        rpc = grpc.server(ThreadPoolExecutor(CLIENTS), handlers=(Grpc(),))
        self.ports = {False: web.server_port, True: rpc.add_insecure_port("127.0.0.1:0")}
        rpc.start()
        stack.callback(rpc.stop, None)

    def count(self) -> None:
        with self._lock:
            self.answered += 1
        self.may_answer.wait(DEADLINE)


def by_http(port: int, stop: Callable[[int], bool]) -> int:
    """Asks over one connection until `stop`, which gets the number of requests so far. How many were lost."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    asked = lost = 0
    while not stop(asked):
        asked += 1
        try:
            connection.request("GET", "/v2/health/live")
            answer = connection.getresponse()
            answer.read()
            lost += answer.status != 200
        except (OSError, http.client.HTTPException):
            connection.close()
            lost += 1
    connection.close()
    return lost


def by_grpc(port: int, stop: Callable[[int], bool]) -> int:
    own = [("grpc.use_local_subchannel_pool", 1)]
    asked = lost = 0
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=own) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        while not stop(asked):
            asked += 1
            try:
                call(b"", timeout=DEADLINE)
            except grpc.RpcError:
                lost += 1
    return lost


WAYS = {False: by_http, True: by_grpc}


class Load:
    """Clients of a router with a balancer behind it."""

    def __init__(
        self, stack: ExitStack, folder: Path, program: Path, pods: list[int], grpc: bool, clients: int
    ) -> None:
        self._way, self._clients = WAYS[grpc], clients
        self.balancer = stack.enter_context(Balancer(*pods))
        self.live = LiveEnvoy(folder, program, RouteTable(REVISION), Traffic(), {REVISION: self.balancer.port})
        stack.callback(self.live.close)
        self._port = self.live.ports["traffic"]
        self._threads = stack.enter_context(ThreadPoolExecutor(clients))

    def requests(self, count: int) -> int:
        """So many, all together. How many were lost."""
        return sum(each.result() for each in self.until(lambda asked: asked >= count // self._clients))

    def until(self, stop: Callable[[int], bool]) -> list[Future[int]]:
        return [self._threads.submit(self._way, self._port, stop) for _ in range(self._clients)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.mark.parametrize("clients", [1, CLIENTS])
@pytest.mark.parametrize("grpc", [False, True], ids=["HTTP/1.1", "gRPC"])
def test_every_pod_gets_its_share_and_a_new_one_too(
    tmp_path: Path, program: Path, stack: ExitStack, grpc: bool, clients: int
) -> None:
    """Of 6000 requests each of four pods gets 5 to 50 % (chance chooses for 60 connections: 25 %, give or take 6); of
    the next 3000 a fifth pod gets some."""
    pods = [Pod(stack) for _ in range(PODS)]
    load = Load(stack, tmp_path, program, [each.ports[grpc] for each in pods], grpc, clients)
    assert load.requests(6000) == 0
    assert all(300 <= each.answered <= 3000 for each in pods), [each.answered for each in pods]
    fifth = Pod(stack)
    load.balancer.pods.append(fifth.ports[grpc])
    assert load.requests(3000) == 0
    assert fifth.answered > 0
    assert sum(each.answered for each in (*pods, fifth)) == 9000


@pytest.mark.parametrize("grpc", [False, True], ids=["HTTP/1.1", "gRPC"])
def test_a_request_outlives_its_connections_age(tmp_path: Path, program: Path, stack: ExitStack, grpc: bool) -> None:
    """Of slow models connections become old before they have had many requests: what is on its way is answered."""
    pod = Pod(stack)
    load = Load(stack, tmp_path, program, [pod.ports[grpc]], grpc, 1)
    old = f"cluster.{envoy_routes.cluster_of(REVISION, grpc=grpc)}.upstream_cx_max_duration_reached"
    pod.may_answer.clear()
    asking = load.until(lambda asked: asked >= 2)
    try:
        until(lambda: load.live.counter(old) > 0)
    finally:
        pod.may_answer.set()
    assert [each.result() for each in asking] == [0]
    assert load.balancer.opened == 2


@pytest.mark.parametrize("grpc", [False, True], ids=["HTTP/1.1", "gRPC"])
def test_a_pod_that_drains_loses_nothing(tmp_path: Path, program: Path, stack: ExitStack, grpc: bool) -> None:
    """The server itself, as it ends below the load; the Service leaves it out when it says that it is not ready."""
    servers = []
    for name in ("leaves", "stays"):
        folder = tmp_path / name
        folder.mkdir()
        rpc = free_port()
        server = stack.enter_context(ServerProcess(folder, GRPC_PORT=str(rpc), DRAIN_SECONDS="2"))
        servers.append((server, rpc if grpc else server.port))
    (leaving, port), _ = servers
    load = Load(stack, tmp_path, program, [each for _, each in servers], grpc, CLIENTS)
    over = threading.Event()
    asking = load.until(lambda _: over.is_set())
    try:
        leaving.terminate()
        until(lambda: not is_ready(leaving.port))
        load.balancer.pods.remove(port)
        leaving.process.wait(DEADLINE)
    finally:
        over.set()
    assert sum(each.result() for each in asking) == 0


def is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=DEADLINE) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end
        threading.Event().wait(0.02)


@pytest.mark.parametrize("grpc", [False, True], ids=["HTTP/1.1", "gRPC"])
def test_what_is_on_its_way_is_not_all_with_one_pod(
    tmp_path: Path, program: Path, stack: ExitStack, grpc: bool
) -> None:
    pods = [Pod(stack) for _ in range(PODS)]
    load = Load(stack, tmp_path, program, [each.ports[grpc] for each in pods], grpc, CLIENTS)
    for pod in pods:
        pod.may_answer.clear()
    asking = load.until(lambda asked: asked >= 1)
    try:
        until(lambda: sum(pod.answered for pod in pods) == CLIENTS)
        assert max(pod.answered for pod in pods) < CLIENTS
    finally:
        for pod in pods:
            pod.may_answer.set()
    assert sum(each.result() for each in asking) == 0
