"""gRPC through the tap, between a real client and a real server: what comes through, and what of it is captured.

The server is grpc.aio's, answering Open Inference requests raw as Triton does, or typed as MLServer does typed ones.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import orjson
import pytest
import pytest_asyncio
import tritonclient.grpc.aio as triton

from modelward_inference.serve.grpc_api.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from modelward_inference.tap import metrics
from modelward_inference.tap.catcher import Catcher
from modelward_inference.tap.exchange import Exchange, Room
from modelward_inference.tap.frames import MAX_BLOCK, PREFACE
from modelward_inference.tap.reading import Answered, read
from modelward_inference.tap.run import GrpcTap
from modelward_inference.tap.settings import Settings
from modelward_inference.tap.spans import Spans
from modelward_inference.tap.streams import AT_ONCE, NO_INFERENCE, Streams
from modelward_inference.telemetry.samples import Samples
from modelward_inference.telemetry.tracing import Tracing
from modelward_telemetry.spans import Span
from modelward_telemetry.tracer import Tracer

from .test_tap_pipe import DEADLINE, skipped, until

MOST = 4096
SERVICE, TENSORFLOW = "inference.GRPCInferenceService", "tensorflow.serving.PredictionService"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"

REFUSED, SILENT = -1.0, -2.0
"""Values that the server answers with an error, and not at all."""


class Recording(Streams):
    """Keeps what it was shown."""

    shown: list[tuple[str, bytes]]

    def asked(self, data: bytes) -> None:
        self.shown.append(("asked", data))
        super().asked(data)

    def told(self, data: bytes) -> None:
        self.shown.append(("told", data))
        super().told(data)


class Tapped(GrpcTap):
    """`shown`: what its watches were shown."""

    shown: list[tuple[str, bytes]]

    def _watch(self) -> Streams:
        made = Recording("fraud", self._room, lambda: self._catcher.wanted, self._catcher.take, self._spans)
        made.shown = self.shown
        return made


@dataclass
class World:
    """`asked`: that the server has a request which it does not answer; `port`: the tap's."""

    seen: list[Answered] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    shown: list[tuple[str, bytes]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self) -> None:
        self.room, self.samples = Room(1 << 20, MOST), Samples()
        self.samples.page(0)  # somebody asks for them
        self.server = grpc.aio.server()
        methods = {
            "ModelInfer": grpc.unary_unary_rpc_method_handler(self._infer),
            "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(self._stream),
        }
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        others = {each: grpc.unary_unary_rpc_method_handler(self._echo) for each in ("Predict", "GetModelMetadata")}
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(TENSORFLOW, others),))
        behind = self.server.add_insecure_port("127.0.0.1:0")
        await self.server.start()
        settings = Settings("fraud", "fraud-1", grpc=1, grpc_server=behind)
        self.catcher = Catcher(self.room, self.samples, None, 1 << 20, self._read)
        tracing = Tracing(Tracer(self.spans.append, 0.0), "fraud-1")
        self.tap = Tapped(settings, self.catcher, self.room, asyncio.Protocol, tracing)
        self.tap.shown = self.shown
        self.front = await asyncio.get_running_loop().create_server(self.tap.client, "127.0.0.1", 0)
        self.port = self.front.sockets[0].getsockname()[1]
        self.client = triton.InferenceServerClient(f"127.0.0.1:{self.port}")
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")

    async def end(self) -> None:
        await self.client.close()
        await self.channel.close()
        self.front.close()
        await self.tap.ended(0)
        await until(self.tap._open.none.is_set)  # else a later test is told of connections that nobody closed
        await self.server.stop(None)
        await self.catcher.__aexit__()

    def _read(self, exchange: Exchange, limit: int) -> Answered:
        found = read(exchange, limit)
        self.seen.append(found)
        return found

    async def _infer(self, body: bytes, context: Any) -> bytes:
        request = ModelInferRequest.FromString(body)
        (tensor,) = request.inputs
        raw = bool(request.raw_input_contents)
        array = np.frombuffer(request.raw_input_contents[0], "<f8") if raw else np.array(tensor.contents.fp64_contents)
        if array[:1].tolist() == [SILENT]:
            self.asked.set()
            await asyncio.Event().wait()
        context.set_trailing_metadata((("x-odd", "yes"),))
        if array[:1].tolist() == [REFUSED]:
            await context.abort(grpc.StatusCode.INTERNAL, "not this one")
        sums = array.reshape(tuple(tensor.shape)).sum(axis=1)
        made = ModelInferResponse(model_name=request.model_name, id=request.id)
        output = made.outputs.add(name="sum", datatype="FP64", shape=sums.shape)
        if raw:
            made.raw_output_contents.append(sums.tobytes())
        else:
            output.contents.fp64_contents.extend(sums.tolist())
        return made.SerializeToString()

    async def _echo(self, body: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("x-odd", "yes"),))
        return body

    async def _stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        async for each in requests:
            await context.write(each)

    async def infer(self, *values: float, model: str = "fraud", **more: Any) -> list[float]:
        """Rows of two, by Triton's own client."""
        tensor = triton.InferInput("x", [len(values) // 2, 2], "FP64")
        tensor.set_data_from_numpy(np.array(values, float).reshape(-1, 2))
        async with asyncio.timeout(DEADLINE):
            answer = await self.client.infer(model, [tensor], **more)
        found: list[float] = answer.as_numpy("sum").tolist()
        return found

    def call(self, method: str, kind: str = "unary_unary") -> Any:
        return getattr(self.channel, kind)(f"/{SERVICE}/{method}")

    async def sampled(self, count: int) -> list[dict[str, Any]]:
        def found() -> list[dict[str, Any]]:
            return list(orjson.loads(orjson.dumps(self.samples.page(0)))["samples"])

        await until(lambda: len(found()) >= count)
        return found()


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.begin()
    yield made
    await made.end()


def typed(*values: float, **more: Any) -> bytes:
    """As clients of MLServer ask."""
    made = ModelInferRequest(model_name="fraud", **more)
    made.inputs.add(name="x", datatype="FP64", shape=[1, len(values)]).contents.fp64_contents.extend(values)
    return made.SerializeToString()


def shown(found: Answered) -> tuple[list[Any], list[Any], str, str | None, str]:
    origin = found.origin
    inputs, outputs = found.inputs["x"].tolist(), found.outputs["sum"].tolist()
    return inputs, outputs, origin.request_id, origin.key, origin.arms


async def test_raw_tensors_of_tritons_client_are_read_with_whose_they_are(world: World) -> None:
    told = {"x-request-id": "q1", "modelward-key": "order-1", "x-modelward-arms": "fraud-1=candidate"}
    assert await world.infer(1, 2, 3, 4, headers=told) == [3, 7]
    assert await world.infer(5, 6, headers={"x-request-id": "q2"}, compression_algorithm="gzip") == [11]
    await until(lambda: len(world.seen) == 2)
    assert [shown(each) for each in world.seen] == [
        ([[1, 2], [3, 4]], [3, 7], "q1", "order-1", "fraud-1=candidate"), ([[5, 6]], [11], "q2", None, ""),
    ]  # fmt: skip
    samples = await world.sampled(2)
    assert [each["outputs"] for each in samples] == [{"sum": [3.0, 7.0]}, {"sum": [11.0]}]
    await until(lambda: world.room.held == 0)


async def test_typed_tensors_are_read_and_ids_of_the_message(world: World) -> None:
    async with asyncio.timeout(DEADLINE):
        answer = await world.call("ModelInfer")(typed(1, 2, id="own"))
    assert ModelInferResponse.FromString(answer).outputs[0].contents.fp64_contents == [3]
    await until(lambda: world.seen)
    assert shown(world.seen[0]) == ([[1, 2]], [3], "own", None, "")


async def test_calls_of_one_connection_get_their_own_answers(world: World) -> None:
    count = 100
    asked = [world.infer(each, 1, headers={"x-request-id": str(each)}) for each in range(count)]
    assert await asyncio.gather(*asked) == [[each + 1] for each in range(count)]
    await until(lambda: len(world.seen) == count)
    assert {each.origin.request_id: each.outputs["sum"].tolist() for each in world.seen} == {
        str(each): [each + 1] for each in range(count)
    }


async def test_every_byte_by_itself_is_read_all_the_same(world: World) -> None:
    await world.infer(1, 2, headers={"x-request-id": "q"})
    await world.infer(3, 4, headers={"x-request-id": "r"})
    await until(lambda: len(world.seen) == 2)
    ended: list[Exchange] = []
    again = Streams("fraud", Room(1 << 20, MOST), lambda: True, ended.append)
    for side, data in world.shown:
        for place in range(len(data)):
            getattr(again, side)(data[place : place + 1])
    assert not again.blind
    assert [shown(read(each, MOST)) for each in ended] == [shown(each) for each in world.seen]


async def test_an_error_comes_through_and_is_a_sample_by_its_name(world: World) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await world.call("ModelInfer")(typed(REFUSED, 1), metadata=(("x-request-id", "q"),))
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.INTERNAL, "not this one")
    assert dict(failed.value.trailing_metadata())["x-odd"] == "yes"
    (sample,) = await world.sampled(1)
    assert (sample["error"], world.seen) == ("INTERNAL", [])


async def test_streams_and_methods_that_nobody_knows_are_passed_on(world: World) -> None:
    sent = [bytes([number]) * 5000 for number in range(50)]
    stream = world.call("ModelStreamInfer", "stream_stream")(iter(sent))
    async with asyncio.timeout(DEADLINE):
        assert [each async for each in stream] == sent
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await world.call("Nothing")(b"x")
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert await world.infer(1, 2, headers={"x-request-id": "q"}) == [3]
    await until(lambda: world.seen)
    assert (len(world.seen), len(await world.sampled(1))) == (1, 1)


async def test_a_prediction_by_a_method_that_is_not_known_passes_to_the_byte_and_is_counted(world: World) -> None:
    """As TensorFlow Serving's own; the server here is a stand-in that answers what it is sent. Questions about the
    server are none."""
    sent, before = bytes(range(256)) * 50, skipped("other_method")
    for method, counted in (("Predict", 1.0), ("GetModelMetadata", 1.0), ("Predict", 2.0)):
        call = world.channel.unary_unary(f"/{TENSORFLOW}/{method}")(sent)
        async with asyncio.timeout(DEADLINE):
            assert await call == sent
            assert dict(await call.trailing_metadata())["x-odd"] == "yes"
        assert skipped("other_method") - before == counted
    assert world.seen == []


@pytest.mark.parametrize(
    "path",
    [
        b"/grpc.health.v1.Health/Check", b"/inference.GRPCInferenceService/ModelReady",
        b"/inference.GRPCInferenceService/ModelMetadata", b"/tensorflow.serving.ModelService/GetModelStatus",
    ],
)  # fmt: skip
def test_questions_about_a_server_are_no_predictions(path: bytes) -> None:
    assert NO_INFERENCE.fullmatch(path)


@pytest.mark.parametrize(
    "path", [b"/inference.GRPCInferenceService/ModelStreamInfer", b"/grpcx.Own/Score", b"/a.B/ModelReady", b""]
)
def test_what_may_be_a_prediction_is_taken_for_one(path: bytes) -> None:
    assert not NO_INFERENCE.fullmatch(path)


def _twice() -> bytes:
    """Of which only the first name was looked at, and the second one counts."""
    return typed(1, 2) + ModelInferRequest(model_name="other").SerializeToString()


SKIPPED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a large request": ("too_large", lambda: typed(1, 2, id="i" * 2 * MOST)),
    "another model": ("other_model", lambda: typed(1, 2).replace(b"fraud", b"frauD")),
    "two models": ("unreadable", _twice),
    "a model that is not named first": ("unreadable", lambda: typed(1, 2).replace(b"\n\x05fraud", b"")),
    "no tensors that can be read": ("unreadable", lambda: typed(1, 2).replace(b"FP64", b"BF16")),
}


@pytest.mark.parametrize("what", SKIPPED)
async def test_what_is_not_captured_comes_through_and_is_counted(world: World, what: str) -> None:
    reason, body = SKIPPED[what]
    before = skipped(reason)
    async with asyncio.timeout(DEADLINE):
        answer = await world.call("ModelInfer")(body())
    assert ModelInferResponse.FromString(answer).outputs[0].contents.fp64_contents == [3]
    await until(lambda: skipped(reason) == before + 1)
    await until(lambda: world.room.held == 0)
    assert (world.seen, world.samples.page(0)["samples"]) == ([], [])


async def test_without_room_calls_come_through(world: World) -> None:
    before, world.room.held = skipped("busy"), world.room.limit
    assert await world.infer(1, 2) == [3]
    await until(lambda: skipped("busy") == before + 1)
    assert world.room.held == world.room.limit


async def test_a_call_that_is_cancelled_is_unfinished_and_no_failure_of_the_server(world: World) -> None:
    before = skipped("unfinished")
    call = world.call("ModelInfer")(typed(SILENT, 1), metadata=(("traceparent", PARENT),))
    async with asyncio.timeout(DEADLINE):
        await world.asked.wait()
    call.cancel()
    await until(lambda: skipped("unfinished") == before + 1)
    (span,) = world.spans
    assert (span.attributes["code"], span.failed, world.samples.page(0)["samples"]) == ("0", False, [])


async def test_spans_are_below_the_callers(world: World) -> None:
    assert await world.infer(1, 2, headers={"x-request-id": "q", "traceparent": PARENT}) == [3]
    with pytest.raises(grpc.aio.AioRpcError):
        await world.call("ModelInfer")(typed(REFUSED, 1), metadata=(("traceparent", PARENT),))
    other = typed(1, 2).replace(b"fraud", b"frauD")
    await world.call("ModelInfer")(other, metadata=(("traceparent", PARENT),))
    await until(lambda: world.seen)
    await until(lambda: len(world.spans) == 4)
    first, second = (each for each in world.spans if each.name == "infer")
    assert (first.trace_id, first.parent, first.attributes["protocol"]) == (TRACE, SPAN, "grpc")
    assert (first.attributes["code"], first.attributes["request_id"], first.failed) == ("OK", "q", False)
    assert (second.attributes["code"], second.failed) == ("INTERNAL", True)
    assert [each.parent for each in world.spans if each.name == "server"] == [first.span_id, second.span_id]
    assert world.seen[0].origin.trace == f"00-{TRACE}-{first.span_id}-01"


async def test_where_nobody_wants_copies_nothing_is_kept_and_the_trace_goes_on(world: World) -> None:
    world.samples.active = False
    assert await world.infer(1, 2, headers={"traceparent": PARENT}) == [3]
    await world.call("ModelInfer")(typed(1, 2).replace(b"fraud", b"frauD"), metadata=(("traceparent", PARENT),))
    await until(lambda: len(world.spans) == 2)
    assert (world.seen, world.room.held) == ([], 0)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


UNREADABLE = {
    "no HTTP/2": b"POST /v2 HTTP/1.1\r\n\r\n",
    "fields without an end": PREFACE + frame(1, 0, 1, b"\x82") + frame(9, 0, 1, b"\x82" * MAX_BLOCK),
    "fields that something else interrupts": PREFACE + frame(1, 0, 1, b"\x82") + frame(0, 0, 1, b"x"),
    "fields that go on without having begun": PREFACE + frame(9, 4, 1, b"\x82"),
    "a frame that is nothing but fields": PREFACE + (1 << 20).to_bytes(3) + b"\x01\x04" + bytes(4),
    "fields that stand for many": PREFACE + frame(1, 4, 1, b"\x82" * 5000),
    "a field that is not there": PREFACE + frame(1, 4, 1, b"\xff\xff\x01"),
    "padding that is longer than its frame": PREFACE + frame(1, 4 | 8, 1, b"\x09\x82"),
    "padding that is longer than its part of a body": PREFACE + frame(0, 8, 1, b"\x02x"),
    "a part of a body that is padded and has no length of it": PREFACE + frame(0, 8, 1, b""),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_is_not_understood_is_not_looked_at(what: str) -> None:
    streams = Streams("fraud", Room(1 << 20, MOST), lambda: True, lambda _: None)
    before = metrics.BLIND._value.get()
    streams.asked(UNREADABLE[what])
    assert (streams.blind, metrics.BLIND._value.get()) == (True, before + 1)
    streams.asked(b"x")
    streams.told(b"x")


def test_frames_of_no_body_are_passed_over_and_none_is_kept() -> None:
    streams = Streams("fraud", Room(1 << 20, MOST), lambda: True, lambda _: None)
    streams.asked(PREFACE + (1 << 23).to_bytes(3) + b"\x00\x00\x00\x00\x00\x01")
    for _ in range(128):
        streams.asked(bytes(1 << 16))
    assert not streams.blind
    assert streams._requests is not None
    assert (streams._requests._kept, streams._requests._left) == (b"", 0)


PATH = b"/inference.GRPCInferenceService/ModelInfer"
ASKS = b"\x04" + bytes([len(PATH)]) + PATH
ANSWERS, ENDS_WELL = b"\x88", b"\x00\x0bgrpc-status\x010"
END_STREAM, END_HEADERS, PADDED = 1, 4, 8


def message(content: bytes) -> bytes:
    return b"\0" + len(content).to_bytes(4) + content


ASKED = message(typed(1, 2))
TOLD = message(ModelInferResponse(
    outputs=[ModelInferResponse.InferOutputTensor(name="sum", datatype="FP64", shape=[1])],
    raw_output_contents=[np.array([3.0]).tobytes()],
).SerializeToString())  # fmt: skip


def watching(ended: list[Exchange], room: Room | None = None) -> Streams:
    made = Streams("fraud", room or Room(1 << 20, MOST), lambda: True, ended.append)
    made.asked(PREFACE)
    return made


def request(stream: int, *bodies: bytes, fields: bytes = b"") -> bytes:
    data = [frame(0, END_STREAM if each is bodies[-1] else 0, stream, each) for each in bodies]
    return frame(1, END_HEADERS, stream, ASKS + fields) + b"".join(data)


def answered(stream: int, *data: bytes) -> bytes:
    trailers = frame(1, END_HEADERS | END_STREAM, stream, ENDS_WELL)
    return frame(1, END_HEADERS, stream, ANSWERS) + b"".join(data) + trailers


def test_calls_that_are_never_answered_take_no_more_than_the_room() -> None:
    ended: list[Exchange] = []
    room = Room(50_000, MOST)
    streams = watching(ended, room)
    for stream in range(1, 8001, 2):
        streams.asked(frame(1, 4, stream, ASKS))
    assert room.held <= room.limit
    assert {each.missed for each in ended} == {"busy"}
    streams.end()
    assert (room.held, len(ended)) == (0, 4000)


def test_fields_may_come_a_byte_a_frame() -> None:
    ended: list[Exchange] = []
    streams = watching(ended)
    last = len(ASKS) - 1
    streams.asked(frame(1, 0, 1, b"") + b"".join(
        frame(9, END_HEADERS if each == last else 0, 1, ASKS[each : each + 1]) for each in range(len(ASKS))
    ))  # fmt: skip
    streams.asked(frame(0, END_STREAM, 1, ASKED) + request(3, ASKED))
    streams.told(answered(1, frame(0, 0, 1, TOLD)) + answered(3, frame(0, 0, 3, TOLD)))
    assert [(each.missed, each.status) for each in ended] == [(None, 200), (None, 200)]


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_padding_is_not_of_the_body(size: int) -> None:
    asked = frame(1, END_HEADERS, 1, ASKS) + b"".join((
        frame(0, PADDED, 1, b"\x02" + bytes(2)), frame(0, PADDED, 1, b"\x00"), frame(0, 0, 1, b""),
        frame(0, PADDED, 1, b"\x03" + ASKED[:9] + bytes(3)), frame(0, 0, 1, ASKED[9:]),
        frame(0, PADDED | END_STREAM, 1, b"\xff" + bytes(255)),
    ))  # fmt: skip
    told = answered(1, frame(0, PADDED, 1, b"\x01" + TOLD[:3] + b"\0"), frame(0, PADDED, 1, b"\x00" + TOLD[3:]))
    ended: list[Exchange] = []
    streams = watching(ended)
    for hear, data in ((streams.asked, asked), (streams.told, told)):
        for begin in range(0, len(data), size):
            hear(data[begin : begin + size])
    assert [shown(read(each, MOST)) for each in ended] == [([[1, 2]], [3], "", None, "")]


def test_a_stream_that_is_asked_by_twice_is_not_answered_by_what_the_first_was() -> None:
    ended: list[Exchange] = []
    streams = watching(ended)
    streams.asked(request(1, ASKED) + frame(3, 0, 1, bytes(4)) + request(1, message(typed(8, 9))))
    streams.told(answered(1, frame(0, 0, 1, TOLD)))
    assert [each.missed for each in ended] == ["unfinished"]
    streams.asked(request(3, ASKED))
    streams.told(answered(3, frame(0, 0, 3, TOLD)))
    assert [each.missed for each in ended] == ["unfinished", None]


def test_what_follows_the_end_of_a_request_is_not_of_it() -> None:
    ended: list[Exchange] = []
    streams = watching(ended)
    streams.asked(request(1, ASKED) + frame(0, 0, 1, b"more"))
    streams.told(answered(1, frame(0, 0, 1, TOLD)))
    assert [shown(read(each, MOST)) for each in ended] == [([[1, 2]], [3], "", None, "")]


def test_of_what_is_not_captured_no_fields_are_kept_but_the_beginning_of_its_id() -> None:
    room = Room(0, MOST)
    streams = watching([], room)
    long = b"\x7f\xa1\x1e" + b"k" * 4000
    streams.asked(request(1, ASKED[:9], fields=b"\x00\x0cx-request-id" + long + b"\x00\x0dmodelward-key" + long))
    (call,) = streams._calls.values()
    assert (call.exchange.missed, call.exchange.asked.headers) == ("busy", {b"x-request-id": b"k" * 128})


def test_a_message_that_does_not_begin_with_its_model_is_let_go_as_soon_as_that_is_known() -> None:
    ended: list[Exchange] = []
    room = Room(1 << 20, MOST)
    streams = watching(ended, room)
    streams.asked(frame(1, END_HEADERS, 1, ASKS) + frame(0, 0, 1, message(b"\x12" * 2000)[:1000]))
    assert room.held > 1000
    streams.asked(frame(0, 0, 1, b"\x12" * 29))
    assert (room.held, [call.exchange.missed for call in streams._calls.values()]) == (0, ["unreadable"])


@pytest.mark.parametrize("wanted", [True, False])
def test_whose_a_call_is_that_is_not_kept_is_known_however_it_comes(wanted: bool) -> None:
    ended: list[Exchange] = []
    spans: list[Span] = []
    traces = Spans(Tracing(Tracer(spans.append, 1.0), "fraud-1"), "fraud", "grpc")
    streams = Streams("fraud", Room(0, MOST), lambda: wanted, ended.append, traces)
    streams.asked(PREFACE)
    for stream, model in ((1, b"fraud"), (3, b"frauD")):
        body = ASKED.replace(b"fraud", model)
        streams.asked(request(stream, body[:3], body[3:9], body[9:]))
        streams.told(answered(stream, frame(0, 0, stream, TOLD)))
    assert [each.missed for each in ended] == (["busy", "other_model"] if wanted else [])
    assert [(each.name, each.attributes.get("code")) for each in spans] == [("infer", "OK"), ("server", None)]


@pytest.mark.parametrize(("fields", "status"), [(b"\x89", "UNKNOWN"), (b"\x88", 0), (b"\x08\x03503", 503)])
def test_an_answer_without_a_status_of_grpc_is_none_that_went_well(fields: bytes, status: int | str) -> None:
    """As 204 and 200, which clients of gRPC take for errors."""
    ended: list[Exchange] = []
    streams = watching(ended)
    streams.asked(request(1, ASKED))
    streams.told(frame(1, END_HEADERS, 1, fields) + frame(0, END_STREAM, 1, TOLD))
    assert [each.status for each in ended] == [status]
    assert ended[0].missed == (None if status else "unfinished")


def test_of_calls_beyond_those_that_are_followed_there_is_no_span() -> None:
    spans: list[Span] = []
    traces = Spans(Tracing(Tracer(spans.append, 0.0), "fraud-1"), "fraud", "grpc")
    streams = Streams("fraud", Room(1 << 20, MOST), lambda: False, lambda _: None, traces)
    parent = b"\x00\x0btraceparent" + bytes([len(PARENT)]) + PARENT.encode()
    streams.asked(PREFACE)
    for stream in range(1, 2 * AT_ONCE + 5, 2):
        streams.asked(frame(1, END_HEADERS, stream, ASKS + parent))
    assert spans == []
    streams.end()
    assert len(spans) == AT_ONCE
