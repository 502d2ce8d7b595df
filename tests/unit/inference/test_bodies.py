"""Large bodies: what they may hold together, that the event loop goes on meanwhile, and what gzip may become."""

import asyncio
import gzip
import json
import threading
from typing import Any
from unittest import mock

import grpc
import pytest

from modelward_inference.engine.bodies import LARGE, Bodies
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.protocol import compression
from modelward_inference.protocol.messages import OverloadedError, RequestError
from modelward_inference.serve import rest
from modelward_inference.serve.grpc_api.open_inference_pb2 import ModelInferRequest
from modelward_inference.serve.grpc_api.server import GrpcServer
from modelward_inference.serve.rest import Rest, State

from .grpc_api.served import Identity, data_plane
from .queueing import DEADLINE
from .test_requests import call

ROWS = 20_000
MAX_BODY = 4 << 20


def body(rows: int = ROWS, **more: Any) -> bytes:
    tensor = {"name": "x", "shape": [rows, 1], "datatype": "FP32", "data": [1.5] * rows}
    return json.dumps({"inputs": [tensor], **more}).encode()


def served(budget: int = 1 << 30) -> Rest:
    plane: DataPlane = data_plane(Identity("FP32"))
    plane.bodies = Bodies(budget)
    return Rest(plane, State(), MAX_BODY)


def test_what_is_held_is_given_back_whatever_happens() -> None:
    bodies = Bodies(100)
    with bodies.hold() as held:
        held.add(60)
        held.add(40)
        assert bodies.held == 100
        with pytest.raises(OverloadedError):
            held.add(1)
    assert bodies.held == 0
    with bodies.hold() as first, bodies.hold() as second:
        first.add(60)
        with pytest.raises(OverloadedError, match="together have 60 bytes, and may have 100; try again"):
            second.add(41)
        second.add(40)
    assert bodies.held == 0


async def test_bodies_beyond_the_budget_are_told_to_come_again() -> None:
    large = body()
    app = served(budget=len(large) - 1)
    status, answer, headers = await call(app, large)
    assert (status, headers["retry-after"]) == (503, "1")
    assert "try again in a second, with fewer rows" in json.loads(answer)["error"]
    assert (await call(app, body(10)))[0] == 200
    assert app._bodies.held == 0


async def test_all_connections_share_the_budget() -> None:
    """One body is there in part; the other one finds no room beside it, and finds it when the first has left."""
    large = body()
    app = served(budget=len(large) + LARGE)
    never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    parts = iter([{"type": "http.request", "body": large[: LARGE + 1], "more_body": True}])

    async def receive() -> Any:
        return next(parts, None) or await never

    scope = {"type": "http", "method": "POST", "path": "/v2/models/m/infer", "headers": []}
    first = asyncio.ensure_future(app(scope, receive, mock.AsyncMock()))
    await asyncio.sleep(0)
    assert app._bodies.held == LARGE + 1
    assert (await call(app, large))[0] == 503
    never.set_result({"type": "http.disconnect"})
    await first
    assert app._bodies.held == 0
    assert (await call(app, large))[0] == 200


async def test_what_a_body_unpacks_to_counts_as_well() -> None:
    large = body()
    packed = gzip.compress(large)
    app = served(budget=len(large) - 1)
    assert (await call(app, packed, content_encoding="gzip"))[0] == 503
    app._bodies.budget = len(large) + len(packed)
    assert (await call(app, packed, content_encoding="gzip"))[0] == 200


def tensor(values: bytes, rest: bytes = b"", shape: bytes = b"[1,1]", datatype: bytes = b"FP32") -> bytes:
    return b'{"inputs":[{"name":"x","shape":%s,"datatype":"%s","data":[%s]%s}]}' % (shape, datatype, values, rest)


def numbers(size: int) -> bytes:
    return tensor(b",".join([b"1.5"] * size), shape=b"[%d,1]" % size)


PLAIN, BINARY = numbers(8_000), b'{"inputs":[{"name":"x","shape":[40000,1],"datatype":"%s","parameters":%s}]}'
RAW = BINARY % (b"FP32", b'{"binary_data_size":160000}')
FAR: dict[str, tuple[bytes, dict[str, str]]] = {
    "large": (numbers(300_000), {}),
    "middle-sized, and not plain": (tensor(b"null," * 100_000 + b"1"), {}),
    "a list of anything": (tensor(b"null," * 2_000 + b"1"), {}),
    "many lists": (tensor(b"[1]," * 3_000 + b"[1]", shape=b"[3001,1]"), {}),
    "many values beside the data": (tensor(b"1", b',"parameters":{"a":[%s1]}' % (b"1," * 5_000)), {}),
    "many outputs": (tensor(b"1")[:-1] + b',"outputs":[%s{"name":"y"}]}' % (b'{"name":"y"},' * 1_000), {}),
    "many tensors": (b'{"inputs":[%s{}]}' % (b'{"name":"x"},' * 1_000), {}),
    "texts": (tensor(b'"a",' * 3_000 + b'"a"', shape=b"[3001]", datatype=b"BYTES"), {}),
    "what is no JSON": (b"[" * 10_000, {}),
    "packed": (gzip.compress(body()), {"content_encoding": "gzip"}),
    "packed, of few bytes": (gzip.compress(bytes(1 << 20), 9), {"content_encoding": "gzip"}),
    "packed, and broken": (gzip.compress(PLAIN)[:-9], {"content_encoding": "gzip"}),
    "binary texts": (BINARY % (b"BYTES", b'{"binary_data_size":160000}'), {}),
    "binary texts, in other letters": (BINARY % (b"\\u0042YTES", b'{"binary_data_size":160000}'), {}),
    "binary truths": (BINARY % (b"BOOL", b'{"binary_data_size":40000}'), {}),
    "a long text before binary data": (RAW + b" " * 9_000, {}),
    "rows of the V1 protocol": (b'{"instances":[%s[1]]}' % (b"[1]," * 3_000), {"path": "/v1/models/m:predict"}),
}
"""What would keep the event loop, each in as few bytes as do."""

HERE: dict[str, tuple[bytes, dict[str, str]]] = {
    "small": (body(10), {}),
    "small, and no JSON": (b"[" * 8_000, {}),
    "plain numbers": (PLAIN, {}),
    "packed numbers": (gzip.compress(PLAIN, 1), {"content_encoding": "gzip"}),
    "a table of the middle size": (body(), {}),
    "binary": (RAW, {}),
    "V1": (b'{"instances":[[%s]]}' % b",".join([b"1.5"] * 5_000), {"path": "/v1/models/m:predict"}),
}


def _headers(name: str, sent: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    if "binary" not in name:
        return sent, headers
    return sent + bytes(160_000), {**headers, "inference_header_content_length": str(len(sent))}


@pytest.mark.parametrize("name", [*FAR, *HERE])
async def test_what_takes_long_is_read_by_another_process(name: str) -> None:
    sent, headers = _headers(name, *(FAR | HERE)[name])
    asked = []

    class Watched(Bodies):
        async def read(self, *arguments: Any) -> Any:
            asked.append(arguments)
            return await super().read(*arguments)

    app = served()
    app._bodies = Watched()
    status, answer, _ = await call(app, sent, **headers)
    assert bool(asked) == (name in FAR)
    app._bodies = Bodies()
    assert (status, answer) == await _read_in_one_piece(app, sent, headers)


async def _read_in_one_piece(app: Rest, sent: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """The answer of an application that reads everything itself."""
    headers = dict(headers)
    if headers.pop("content_encoding", ""):
        try:
            sent = compression.decompressed(sent, "gzip", MAX_BODY)
        except RequestError as error:
            return error.status, json.dumps({"error": str(error)}, separators=(",", ":")).encode()
    with mock.patch.object(rest, "SMALL", 1 << 30):
        return (await call(app, sent, **headers))[:2]


async def test_the_loop_goes_on_while_a_body_is_read() -> None:
    reading, go_on = threading.Event(), threading.Event()

    def read() -> str:
        reading.set()
        assert go_on.wait(DEADLINE)
        return "read"

    bodies = Bodies()
    task = asyncio.ensure_future(bodies.apart(read))
    while not reading.is_set():
        await asyncio.sleep(0)
    go_on.set()
    assert await asyncio.wait_for(task, DEADLINE) == "read"


async def test_a_message_beyond_the_budget_is_told_so_over_grpc() -> None:
    message = ModelInferRequest(
        model_name="m",
        inputs=[{"name": "x", "datatype": "FP32", "shape": [ROWS, 1]}],
        raw_input_contents=[bytes(4 * ROWS)],
    )
    plane = data_plane(Identity("FP32"))
    plane.bodies = Bodies(LARGE)
    server = GrpcServer(plane, State(), 0, 1 << 20, "127.0.0.1")
    async with server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.aio.AioRpcError, match="try again in a second") as caught:
            await ask(message.SerializeToString(), timeout=DEADLINE)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        plane.bodies.budget = 1 << 20
        await ask(message.SerializeToString(), timeout=DEADLINE)
    assert plane.bodies.held == 0


def test_a_body_may_unpack_to_so_many_times_its_size() -> None:
    zeros = bytes(50 << 20)
    packed = gzip.compress(zeros)
    with pytest.raises(RequestError, match=r"more than 100 times as large as its \d+ bytes of gzip") as caught:
        compression.decompressed(packed, "gzip", 64 << 20)
    assert caught.value.status == 413


def test_a_small_body_may_unpack_to_any_multiple() -> None:
    zeros = bytes(compression.FREE)
    assert compression.decompressed(gzip.compress(zeros), "gzip", 64 << 20) == zeros
