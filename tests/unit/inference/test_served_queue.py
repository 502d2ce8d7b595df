"""The queue as clients meet it, on real sockets of one event loop, before a model that answers when it is let."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any
from unittest import mock

import grpc
import numpy as np
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from modelward_inference.engine import batching
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.protocol.messages import InferRequest, Input, WantedOutput
from modelward_inference.serve.grpc_api.open_inference_pb2 import ModelInferRequest
from modelward_inference.serve.grpc_api.server import GrpcServer
from modelward_inference.serve.process import Settings, rest_server
from modelward_inference.serve.rest import Rest
from modelward_inference.serve.state import State
from modelward_inference.telemetry import metrics

from .grpc_api.served import MAX_BODY, Gate, data_plane
from .queueing import DEADLINE, Fixed, count
from .test_requests import MANIFEST, Echo


def long_predictions() -> Any:
    """A data plane that is made inside never runs a prediction in the event loop."""
    return mock.patch.object(batching, "Costs", return_value=Fixed(-1))


Reading = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class RestOnSocket:
    """`ask` sends and leaves the answer to `answered`."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        with long_predictions():
            self.plane = data_plane(gate)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._server = rest_server(
            Rest(self.plane, State(), MAX_BODY, verifier=None), State(), Settings.from_environment(1, {})
        )
        self._task = asyncio.ensure_future(self._server.serve(sockets=[self._listening]))

    async def stop(self) -> None:
        self.gate.open.set()
        self._server.should_exit = True
        await asyncio.wait_for(self._task, DEADLINE)

    async def ask(self, rows: int = 1, path: str = "/v2/models/m/infer", **headers: str) -> Reading:
        tensor = {"name": "x", "shape": [rows, 1], "datatype": "FP32", "data": list(range(rows))}
        body = json.dumps({"inputs": [tensor]}).encode() if path.endswith("/infer") else b""
        lines = [
            f"{'POST' if body else 'GET'} {path} HTTP/1.1", "host: h", "connection: close",
            f"content-length: {len(body)}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]  # fmt: skip
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        return reader, writer

    async def occupy(self) -> Reading:
        """A request that is in the model from now on."""
        asked = await self.ask()
        assert await asyncio.to_thread(self.gate.began.wait, DEADLINE)
        return asked


async def answered(asked: Reading) -> tuple[int, bytes]:
    reader, writer = asked
    head, _, body = (await asyncio.wait_for(reader.read(), DEADLINE)).partition(b"\r\n\r\n")
    await closed(writer)
    return int(head.split()[1]), body


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Gives the loop its turns until something has happened in it."""

    async def turns() -> None:
        while not condition():
            await asyncio.sleep(0)

    await asyncio.wait_for(turns(), DEADLINE)


@pytest_asyncio.fixture
async def rest() -> AsyncIterator[RestOnSocket]:
    served = RestOnSocket(Gate())
    yield served
    await served.stop()


async def test_a_client_that_disconnects_while_it_waits_is_not_computed(rest: RestOnSocket) -> None:
    abandoned = count("abandoned_total")
    first = await rest.occupy()
    _, gone = await rest.ask()
    await until(lambda: rest.plane.pending == 2)
    await closed(gone)
    await until(lambda: rest.plane.pending == 1)
    assert count("abandoned_total") == abandoned + 1
    rest.gate.open.set()
    assert (await answered(first))[0] == 200
    assert rest.gate.runs == 1


def counted(plane: DataPlane, protocol: str) -> dict[str, float]:
    """Requests by code, so far."""
    found = metrics.REQUEST_SECONDS.matching((plane.name, plane.version, protocol))
    return {values[-1]: sum(series.counts) for values, series in found}


def since(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {code: number - before.get(code, 0) for code, number in after.items() if number != before.get(code, 0)}


@pytest.mark.parametrize("queued", [True, False], ids=["while it waits", "while the model is at work"])
async def test_who_leaves_before_the_answer_is_counted_once_and_as_such(rest: RestOnSocket, queued: bool) -> None:
    before = counted(rest.plane, "rest")
    first = await rest.occupy()
    gone = await rest.ask() if queued else first
    await until(lambda: rest.plane.pending == 1 + queued)
    await closed(gone[1])
    if queued:
        await until(lambda: since(before, counted(rest.plane, "rest")) == {"499": 1})
    rest.gate.open.set()
    if queued:
        assert (await answered(first))[0] == 200
    await until(lambda: rest.plane.pending == 0)
    expected = {"499": 1, "200": 1} if queued else {"499": 1}
    await until(lambda: since(before, counted(rest.plane, "rest")) == expected)


@pytest.mark.parametrize("queued", [True, False], ids=["while it waits", "while the model is at work"])
async def test_who_leaves_is_counted_alike_over_grpc(rest: RestOnSocket, queued: bool) -> None:
    server = GrpcServer(rest.plane, State(), 0, MAX_BODY, "127.0.0.1")
    message = ModelInferRequest(
        model_name="m",
        inputs=[{"name": "x", "datatype": "FP32", "shape": [1, 1], "contents": {"fp32_contents": [1.0]}}],
    )
    before = counted(rest.plane, "grpc")
    async with server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        first = await rest.occupy() if queued else None
        call = ask(message.SerializeToString())
        await until(lambda: rest.plane.pending == 1 + queued)
        call.cancel()
        await until(lambda: since(before, counted(rest.plane, "grpc")) == {"CANCELLED": 1})
        rest.gate.open.set()
        if first is not None:
            assert (await answered(first))[0] == 200
        await until(lambda: rest.plane.pending == 0)
    assert since(before, counted(rest.plane, "grpc")) == {"CANCELLED": 1}


async def test_a_request_that_never_arrived_is_none(rest: RestOnSocket) -> None:
    before = counted(rest.plane, "rest")
    _, writer = await asyncio.open_connection("127.0.0.1", rest.port)
    writer.write(b"POST /v2/models/m/infer HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()
    await closed(writer)
    rest.gate.open.set()
    assert (await answered(await rest.ask()))[0] == 200
    assert since(before, counted(rest.plane, "rest")) == {"200": 1}


async def test_a_request_is_told_when_the_time_is_over_that_the_router_waits(rest: RestOnSocket) -> None:
    first = await rest.occupy()
    status, body = await answered(await rest.ask(x_envoy_expected_rq_timeout_ms="20"))
    assert status == 504
    assert "time was over" in json.loads(body)["error"]
    rest.gate.open.set()
    assert (await answered(first))[0] == 200
    assert rest.gate.runs == 1


async def test_a_time_that_is_no_number_is_told(rest: RestOnSocket) -> None:
    status, body = await answered(await rest.ask(x_envoy_expected_rq_timeout_ms="soon"))
    assert status == 400
    assert "x-envoy-expected-rq-timeout-ms must be a number" in json.loads(body)["error"]


async def test_who_comes_too_many_is_told_at_once(rest: RestOnSocket) -> None:
    asked = [await rest.occupy(), *[await rest.ask() for _ in range(16)]]
    await until(lambda: rest.plane.pending == 17)
    assert (await answered(await rest.ask()))[0] == 503
    rest.gate.open.set()
    assert [(await answered(each))[0] for each in asked] == [200] * 17
    assert rest.gate.runs == 2  # the first, and all that had gathered


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/metrics"])
async def test_a_long_prediction_holds_up_no_probe(rest: RestOnSocket, path: str) -> None:
    first = await rest.occupy()
    assert (await answered(await rest.ask(path=path)))[0] == 200
    assert rest.plane.pending == 1
    rest.gate.open.set()
    assert (await answered(first))[0] == 200


async def test_a_long_prediction_holds_up_no_probe_over_grpc(rest: RestOnSocket) -> None:
    first = await rest.occupy()
    server = GrpcServer(rest.plane, State(), 0, MAX_BODY, "127.0.0.1")
    async with server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert rest.plane.pending == 1
        rest.gate.open.set()
        assert (await answered(first))[0] == 200


class Recording(Echo):
    """Keeps the rows and the outputs of each call, once it is let."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, list[str]]] = []
        self.gate = Gate()

    def predict(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        self.calls.append((len(inputs["x"]), list(outputs)))
        self.gate.predict({"x": None}, ())
        return super().predict(inputs, outputs)


def request(number: int, *wanted: str) -> InferRequest:
    inputs = (
        Input("x", "FP32", np.full((1, 2), number, np.float32)),
        Input("kind", "BYTES", np.array([str(number)], dtype=object)),
        Input("count", "INT8", np.array([0], np.int8)),
    )
    return InferRequest(inputs, tuple(map(WantedOutput, wanted)), id=f"id {number}")


@pytest.mark.parametrize(
    ("rows", "calls"),
    [
        (256, [(1, ["sum"]), (2, ["sum"]), (1, ["echo"]), (1, ["sum", "echo"])]),
        (1, [(1, ["sum"]), (1, ["sum"]), (1, ["sum"]), (1, ["echo"]), (1, ["sum", "echo"])]),
    ],
)
async def test_only_requests_for_the_same_outputs_are_joined(rows: int, calls: list[tuple[int, list[str]]]) -> None:
    model = Recording()
    with long_predictions():
        plane = DataPlane(model, MANIFEST, "1", workers=1, max_waiting=8, max_batch_rows=rows)
    asked: list[Awaitable[Any]] = [asyncio.ensure_future(plane.infer(request(0, "sum")))]
    assert await asyncio.to_thread(model.gate.began.wait, DEADLINE)
    for number, wanted in enumerate((["sum"], ["sum"], ["echo"], []), 1):
        asked.append(asyncio.ensure_future(plane.infer(request(number, *wanted))))
    await until(lambda: plane.pending == 5)
    model.gate.open.set()
    answers = await asyncio.wait_for(asyncio.gather(*asked), DEADLINE)
    assert model.calls == calls
    assert [answer.id for answer in answers] == [f"id {number}" for number in range(5)]
    assert [list(answer.outputs) for answer in answers] == [["sum"], ["sum"], ["sum"], ["echo"], ["sum", "echo"]]
    for number in (0, 1, 2, 4):
        assert answers[number].outputs["sum"].tolist() == [2 * number]
    for number in (3, 4):
        assert answers[number].outputs["echo"].tolist() == [str(number)]
