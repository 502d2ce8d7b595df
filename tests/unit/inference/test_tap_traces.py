"""Spans of requests that pass by a tap, as values: where they stand, what they tell, and that they change no byte."""

import asyncio
import sys
from collections.abc import AsyncIterator
from subprocess import run
from typing import Any

import pytest
import pytest_asyncio

from modelward_inference.tap.spans import TRACED, Spans
from modelward_inference.telemetry.tracing import Tracing
from modelward_telemetry.spans import SERVER, Span
from modelward_telemetry.tracer import Tracer

from .test_tap_pipe import DEADLINE, World, answer, by, request, until

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


class Traced(World):
    """A tap that traces what its callers keep; `spans`: that it made."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Span] = []
        self.tracing = Tracing(Tracer(self.spans.append, 0.0), "m-0123456789")

    async def made(self, count: int) -> dict[str, Span]:
        await until(lambda: len(self.spans) >= count)
        assert len(self.spans) == count
        return {each.name: each for each in self.spans}


@pytest_asyncio.fixture
async def world() -> AsyncIterator[Traced]:
    made = Traced()
    yield made
    await made.end()


async def test_a_request_has_a_span_below_its_callers_and_in_it_the_servers_time(world: Traced) -> None:
    came = bytearray()
    sent, told = request(traceparent=PARENT, tracestate="vendor=1", x_request_id="q"), answer()
    await world.begin(by(told, came=came), world.tracing)
    assert await world.ask(sent, size=len(told)) == told
    assert bytes(came) == sent, "the caller's traceparent with it"
    spans = await world.made(2)
    infer, server = spans["infer"], spans["server"]
    assert (infer.trace_id, infer.parent, infer.kind, infer.state) == (TRACE, SPAN, SERVER, "vendor=1")
    attributes = dict(infer.attributes)
    seconds = attributes.pop("server_seconds")
    assert isinstance(seconds, float)
    assert attributes == {
        "model": "fraud", "protocol": "rest", "code": "200", "revision": "m-0123456789", "request_id": "q",
    }  # fmt: skip
    assert (server.trace_id, server.parent) == (TRACE, infer.span_id)
    assert infer.begin <= server.begin <= server.end <= infer.end
    assert abs((server.end - server.begin) / 1e9 - seconds) < 1e-6
    await until(lambda: world.seen)
    assert world.seen[0].origin.trace == f"00-{TRACE}-{infer.span_id}-01", "what is captured goes below it"


@pytest.mark.parametrize("parent", ["", "nonsense", PARENT[:-2] + "00"])
async def test_what_nobody_keeps_has_none(world: Traced, parent: str) -> None:
    told: dict[str, Any] = {"traceparent": parent} if parent else {}
    await world.begin(by(answer()), world.tracing)
    assert await world.ask(request(**told), size=len(answer())) == answer()
    await until(lambda: world.seen)
    assert (world.spans, world.seen[0].origin.trace) == ([], "")


NONE_OF_THE_MODELS = {"another model": "/v2/models/other/infer", "no inference": "/v2/models/fraud/ready"}


@pytest.mark.parametrize("what", NONE_OF_THE_MODELS)
async def test_only_what_is_asked_of_the_model_has_one(world: Traced, what: str) -> None:
    await world.begin(by(answer(), answer()), world.tracing)
    sent = request(NONE_OF_THE_MODELS[what], traceparent=PARENT) + request(x_request_id="own")
    assert await world.ask(sent, size=2 * len(answer())) == 2 * answer()
    await until(lambda: world.seen)
    assert world.spans == []


FAILURES: dict[str, tuple[bytes, str, bool]] = {
    "a mistake of the client's": (answer(b"{}", "400 Bad Request"), "400", False),
    "an error of the server's": (answer(b"{}", "500 Internal Server Error"), "500", True),
    "no answer at all": (b"", "0", True),
}


@pytest.mark.parametrize("what", FAILURES)
async def test_a_failure_is_told(world: Traced, what: str) -> None:
    told, code, failed = FAILURES[what]
    await world.begin(by(told), world.tracing)
    reader, writer = await world.connect()
    writer.write(request(traceparent=PARENT))
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == told
    writer.close()
    spans = await world.made(2 if told else 1)
    assert (spans["infer"].attributes["code"], spans["infer"].failed) == (code, failed)


async def test_a_client_that_goes_is_no_failure_of_the_server(world: Traced) -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    await world.begin(silent, world.tracing)
    _, writer = await world.connect()
    writer.write(request(traceparent=PARENT))
    async with asyncio.timeout(DEADLINE):
        await asked.wait()
    writer.close()
    spans = await world.made(1)
    assert (spans["infer"].attributes["code"], spans["infer"].failed) == ("0", False)


async def test_where_nobody_wants_copies_there_is_a_span_all_the_same(world: Traced) -> None:
    world.samples.active = False
    await world.begin(by(answer()), world.tracing)
    assert await world.ask(request(traceparent=PARENT, x_request_id="q" * 500), size=len(answer())) == answer()
    spans = await world.made(2)
    assert spans["infer"].attributes["request_id"] == "q" * 128
    assert (world.seen, world.room.held) == ([], 0)


OFF = """
import sys
from modelward_inference.tap import exchange, run, watch
from modelward_inference.telemetry import tracing
print(tracing.from_environment("m", {}))
eye = watch.Watch(exchange.Paths("m"), exchange.Room(1 << 20, 1 << 10), lambda: True, lambda _: None)
eye.asked(b"POST /v2/models/m/infer HTTP/1.1\\r\\ntraceparent: %s\\r\\n\\r\\n")
print(eye.oldest.asked.headers, eye.oldest.traced)
print([name for name in sys.modules if name.startswith(("modelward_telemetry.tracer", "modelward_telemetry.exporter"))])
"""


def test_where_traces_are_off_nothing_of_them_is_loaded_or_kept() -> None:
    told: Any = run([sys.executable, "-c", OFF % PARENT], capture_output=True, text=True, check=True).stdout
    assert told.split("\n") == ["None", "{} None", "[]", ""]
    assert {b"traceparent", b"tracestate"} <= TRACED
    assert Spans(Tracing(Tracer(lambda _: None)), "m") is not None
