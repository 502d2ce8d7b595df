"""A real tap between a client and another server, and a real monitor beside it: rows, outcomes and samples as with our
own server. The server is one of this test, which answers V2 and V1 as their documents say."""

import asyncio
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import grpc
import numpy as np
import pytest

from modelward.net.body import open_session
from modelward.net.credentials import Credentials
from modelward.rollouts.evidence.pairs import Sample
from modelward.rollouts.evidence.scrape import Scraper
from modelward_auth.messages import SERVER
from modelward_auth.verifier import AHEAD
from modelward_inference.serve.grpc_api.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from operatoraccess import OPERATOR, Access, raw
from otlp import Receiver, attributes
from unit.inference.processes import free_port

from .predictionlog.logs import rows, settings, told, told_rows, until
from .worlds import DEADLINE, PACKAGE, POLL, MonitorProcess

SERVICE = "inference.GRPCInferenceService"
LEARN = 100
REFUSED = -1
SOON = AHEAD / 1000 - 0.5
"""Seconds by which the operator's clock is ahead here, so that nobody waits for the tap to take its first request."""


def infer_by_grpc(body: bytes, context: Any) -> bytes:
    """The same as Behind, over gRPC and raw, as Triton answers."""
    request = ModelInferRequest.FromString(body)
    array = np.frombuffer(request.raw_input_contents[0], "<f8").reshape(tuple(request.inputs[0].shape))
    if array[0, 0] == REFUSED:
        context.abort(grpc.StatusCode.INTERNAL, "not this one")
    made = ModelInferResponse(model_name=request.model_name, raw_output_contents=[array.sum(axis=1).tobytes()])
    made.outputs.add(name="score", datatype="FP64", shape=[len(array)])
    return made.SerializeToString()


class Behind(BaseHTTPRequestHandler):
    """Answers the sum of each row, and an error to REFUSED."""

    protocol_version, wbufsize = "HTTP/1.1", 1 << 16

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/v1/models/m:predict":
            told: dict[str, Any] = {"predictions": [float(sum(row)) for row in body["instances"]]}
        elif body["inputs"][0]["data"][0] == REFUSED:
            self._answer(500, {"error": "not this one"})
            return
        else:
            (tensor,) = body["inputs"]
            count, width = tensor["shape"]
            sums = [math.fsum(tensor["data"][place * width : (place + 1) * width]) for place in range(count)]
            told = {"model_name": "m", "outputs": [
                {"name": "score", "datatype": "FP64", "shape": [count], "data": sums},
            ]}  # fmt: skip
        self._answer(200, told)

    def do_GET(self) -> None:
        self._answer(200, {"ready": True})

    def _answer(self, status: int, told: Any) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the interface is http.server's
        """The test tells what it needs."""


@dataclass
class World:
    """`port`, `grpc_port`: clients'; `own`: the tap's metrics; `answered`: rows, so far."""

    monitor: MonitorProcess
    process: "subprocess.Popen[bytes]"
    port: int
    grpc_port: int
    own: int
    access: Access
    store: Path
    collector: Receiver
    answered: int = 0

    def ask(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            told = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", path, json.dumps(body), told)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def infer(self, *numbers: float, **headers: str) -> tuple[int, Any]:
        """Rows of two."""
        tensor = {"name": "x", "datatype": "FP64", "shape": [len(numbers) // 2, 2], "data": list(numbers)}
        told = self.ask("/v2/models/m/infer", {"inputs": [tensor]}, **headers)
        self.answered += len(numbers) // 2 if told[0] == 200 else 0
        return told

    def infer_by_grpc(self, *numbers: float, **metadata: str) -> list[float]:
        """The same over gRPC. Raises grpc.RpcError."""
        array = np.array(numbers, float).reshape(-1, 2)
        request = ModelInferRequest(model_name="m", raw_input_contents=[array.tobytes()])
        request.inputs.add(name="x", datatype="FP64", shape=array.shape)
        told = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            answer = call(request.SerializeToString(), metadata=told, timeout=DEADLINE, wait_for_ready=True)
        self.answered += len(array)
        found: list[float] = np.frombuffer(ModelInferResponse.FromString(answer).raw_output_contents[0]).tolist()
        return found

    def metrics(self) -> dict[str, float]:
        with urlopen(f"http://127.0.0.1:{self.own}/metrics", timeout=DEADLINE) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@contextmanager
def behind() -> Iterator[tuple[int, int]]:
    """The ports of a server of others, of HTTP and of gRPC."""
    by_grpc = grpc.server(ThreadPoolExecutor(2))
    methods = {"ModelInfer": grpc.unary_unary_rpc_method_handler(infer_by_grpc)}
    by_grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    port = by_grpc.add_insecure_port("127.0.0.1:0")
    by_grpc.start()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], port
    finally:
        by_grpc.stop(None)
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tap")
    empty, store, access = folder / "none", folder / "store", Access(folder)
    empty.mkdir()
    told = settings(store, LEARN_ROWS=str(LEARN), MONITOR_SIGNATURE="observed", BUNDLE_DIR=str(folder / "no-bundle"))
    told["OTEL_TRACES_SAMPLER"] = "parentbased_always_off"  # what a client keeps, and nothing else
    with (
        behind() as (server, server_grpc),
        Receiver() as collector,
        MonitorProcess(empty, **told, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as monitor,
    ):
        port, grpc_port, own = free_port(), free_port(), free_port()
        environment = {
            **monitor.environment, **access.environment, "PORT": str(port), "TAP_PORT": str(own),
            "GRPC_PORT": str(grpc_port), "TAP_GRPC_SERVER_PORT": str(server_grpc),
            "TAP_SERVER_PORT": str(server), "CAPTURE_SOCKET": str(monitor.socket), "MODEL_REVISION": "m-a",
            "PYTHONPATH": str(PACKAGE), "DRAIN_SECONDS": "0",
        }  # fmt: skip
        process = subprocess.Popen([sys.executable, "-m", "modelward_inference", "tap"], env=environment)
        try:
            made = World(monitor, process, port, grpc_port, own, access, store, collector)
            _until_it_answers(made)
            yield made
        finally:
            process.kill()
            process.wait(DEADLINE)


def _until_it_answers(world: World) -> None:
    end = time.monotonic() + DEADLINE
    while True:
        try:
            urlopen(f"http://127.0.0.1:{world.port}/v2/health/ready", timeout=DEADLINE).close()
            return
        except (URLError, OSError):
            assert world.process.poll() is None, "the tap has ended"
            assert time.monotonic() < end
            time.sleep(POLL)


def test_what_clients_ask_is_counted_against_what_is_learned_from_it(world: World) -> None:
    for number in range(LEARN // 2):
        status, answer = world.infer(number, 1, number, 2)
        assert (status, answer["outputs"][0]["data"]) == (200, [number + 1, number + 2])
    assert world.infer(REFUSED, 1)[0] == 500, "an error is no row"

    def counted() -> int:
        status, found = world.monitor.get("/v1/counts")
        return int(found["intake"]["counted"]) if status == 200 else 0

    until(lambda: counted() == LEARN, lambda: world.monitor.log)
    status, reference = world.monitor.get("/v1/reference")
    assert status == 200
    names = [each["profile"]["name"] for each in reference["features"]]
    assert names == ["x[0]", "x[1]", "output:score"]
    # V1's tensors have no name, and are known by their width.
    assert world.ask("/v1/models/m:predict", {"instances": [[1, 2], [3, 4]]}) == (200, {"predictions": [3.0, 7.0]})
    world.answered += 2
    until(lambda: counted() == LEARN + 2, lambda: world.monitor.log)
    captured = 'modelward_tap_captured_requests_total{revision="m-a"}'
    until(lambda: world.metrics()[captured] == LEARN // 2 + 1)
    shown = world.metrics()
    assert shown['modelward_tap_skipped_requests_total{reason="unreadable",revision="m-a"}'] == 0
    assert shown['modelward_capture_rows_total{result="dropped",revision="m-a"}'] == 0


def test_rows_and_outcomes_are_kept_by_their_ids(world: World) -> None:
    assert world.infer(1, 2, x_request_id="q1", modelward_key="order-1", x_modelward_arms="m-a=candidate")[0] == 200
    status, answer = world.ask("/v2/models/m/outcomes", {"outcomes": [{"key": "order-1", "value": 1}]})
    assert (status, answer) == (202, {"outcomes": 1})
    assert world.ask("/v2/models/m/outcomes", {"outcomes": [{"value": 1}]})[0] == 400
    copy = {"x_modelward_arms": "shadow"}
    assert world.ask("/v2/models/m/outcomes", {"outcomes": [{"key": "a", "value": 1}]}, **copy)[0] == 409
    until(lambda: told(world.monitor)["outcomes"]["stored"] == 1, lambda: world.monitor.log)
    assert [row["key"] for row in told_rows(world.store)] == ["order-1"]

    def kept() -> list[dict[str, Any]]:
        return [row for row in rows(world.store) if row["request_id"] == "q1"]

    until(lambda: bool(kept()), lambda: world.monitor.log)
    (row,) = kept()
    assert (row["key"], row["arm"]) == ("order-1", "candidate")
    assert any(value == 3.0 for value in row.values()), "what was answered"


def test_what_comes_by_grpc_is_kept_as_well(world: World) -> None:
    assert world.infer_by_grpc(3, 4, x_request_id="g1", modelward_key="order-3", x_modelward_arms="m-a=stable") == [7]
    with pytest.raises(grpc.RpcError):
        world.infer_by_grpc(REFUSED, 1)
    assert world.ask("/v2/models/m/outcomes", {"outcomes": [{"key": "order-3", "value": 1}]})[0] == 202

    def kept() -> list[dict[str, Any]]:
        return [row for row in rows(world.store) if row["request_id"] == "g1"]

    until(lambda: bool(kept()), lambda: world.monitor.log)
    (row,) = kept()
    assert (row["key"], row["arm"]) == ("order-3", "stable")
    assert any(value == 7.0 for value in row.values()), "what was answered"


def test_what_the_monitor_does_is_in_the_clients_trace(world: World) -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    assert world.infer(1, 2, traceparent=parent, x_request_id="t1", modelward_key="order-2")[0] == 200
    outcome = {"outcomes": [{"key": "order-2", "value": 1}]}
    assert world.ask("/v2/models/m/outcomes", outcome, traceparent=parent)[0] == 202
    tap = {each.name: each for each in world.collector.wait_for("m", 3)}
    monitor = {each.name: each for each in world.collector.wait_for("m-monitor", 2)}
    assert (set(tap), set(monitor)) == ({"infer", "server", "outcomes"}, {"observe", "keep"})
    assert {each.trace_id.hex() for each in (*tap.values(), *monitor.values())} == {"a" * 32}
    assert {tap[name].parent_span_id.hex() for name in ("infer", "outcomes")} == {"b" * 16}
    assert monitor["observe"].parent_span_id == tap["infer"].span_id == tap["server"].parent_span_id
    assert monitor["keep"].parent_span_id == tap["outcomes"].span_id
    assert (attributes(tap["infer"])["revision"], attributes(monitor["observe"])["request_id"]) == ("m-a", "t1")


async def test_the_operator_alone_reads_answers(world: World) -> None:
    assert (await raw(world.port, "GET", "/modelward/samples?after=0", None))[0] == 401
    header = world.access.header(SERVER, target="/modelward/samples?after=0", seconds=SOON)
    assert (await raw(world.port, "GET", "/modelward/samples?after=0", header))[::2] == (200, True)
    credentials = Credentials(lambda: OPERATOR, lambda: time.time() + SOON)
    async with open_session() as session:
        scraper = Scraper(session, world.port, world.port, credentials)
        facts = world.access.facts()
        first = await scraper.samples(facts, 0)
        assert first is not None
        assert (await asyncio.to_thread(world.infer, 4, 5, x_request_id="s1"))[0] == 200
        assert (await asyncio.to_thread(world.infer, REFUSED, 5, x_request_id="s2"))[0] == 500
        assert await asyncio.to_thread(world.infer_by_grpc, 6, 7, x_request_id="s3") == [13]
        samples: list[Sample] = []
        async with asyncio.timeout(DEADLINE):
            while len(samples) < 3:
                found = await scraper.samples(facts, first[1])
                samples = found[2] if found is not None else []
    assert sorted([each.outputs for each in samples], key=str) == [None, {"score": [13.0]}, {"score": [9.0]}]


def test_at_its_end_it_hands_over_what_it_has(world: World) -> None:
    """The last of this module: the tap ends."""
    for _ in range(max(20, LEARN - world.answered)):
        assert world.infer(1, 2)[0] == 200
    world.process.terminate()
    assert world.process.wait(DEADLINE) == 0
    until(lambda: world.monitor.get("/v1/counts")[1]["intake"]["counted"] == world.answered, lambda: world.monitor.log)
