"""The tap between sockets: what comes through, byte for byte, what of it is captured, and what the tap answers itself.

The server behind it is one of this test: it answers what it is told to, as no real one would.
"""

import asyncio
import gzip
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest
import pytest_asyncio

from modelward_inference.tap import metrics, pipe
from modelward_inference.tap.catcher import Catcher
from modelward_inference.tap.exchange import Exchange, Paths, Room
from modelward_inference.tap.pipe import Own
from modelward_inference.tap.reading import Answered, read
from modelward_inference.tap.run import Tap
from modelward_inference.tap.settings import Settings
from modelward_inference.tap.watch import MAX_HEAD, Watch
from modelward_inference.telemetry.samples import Samples
from modelward_inference.telemetry.tracing import Tracing

from .processes import free_port

DEADLINE = 60.0
"""Seconds after which a test fails instead of hanging."""

MOST = 4096

ASKED = orjson.dumps({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [7]}]})
TOLD = orjson.dumps({"outputs": [{"name": "y", "datatype": "INT64", "shape": [1], "data": [1]}]})


def request(path: str = "/v2/models/fraud/infer", body: bytes = ASKED, method: str = "POST", **headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\nHost: m\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def answer(body: bytes = TOLD, status: str = "200 OK", head: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nX-OdD: Yes\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class World:
    """A tap, what is behind it (`serve`), and what it read (`seen`)."""

    def __init__(self) -> None:
        self.room, self.samples, self.seen = Room(1 << 20, MOST), Samples(), list[Answered]()
        self.samples.page(0)  # somebody asks for them
        self.handed_over = list[bytes]()

    async def begin(self, serve: Serve, tracing: Tracing | None = None) -> None:
        self.behind = await asyncio.start_server(self._served(serve), "127.0.0.1", 0)
        (socket,) = self.behind.sockets
        settings = Settings("fraud", "fraud-1", server=socket.getsockname()[1])
        self.catcher = Catcher(self.room, self.samples, None, 1 << 20, self._read)
        self.tap = Tap(settings, self.catcher, self.room, lambda: HandedOver(self.handed_over), tracing)
        self.front = await asyncio.get_running_loop().create_server(self.tap.client, "127.0.0.1", 0)

    def _served(self, serve: Serve) -> Serve:
        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            finally:
                writer.close()

        return served

    def _read(self, exchange: Exchange, limit: int) -> Answered:
        found = read(exchange, limit)
        self.seen.append(found)
        return found

    async def end(self) -> None:
        self.front.close()
        self.behind.close()
        await self.tap.ended(0)
        await until(self.tap._open.none.is_set)  # else a later test is told of connections that nobody closed
        await self.catcher.__aexit__()

    async def sampled(self, count: int) -> list[dict[str, Any]]:
        """Once there are so many."""
        await until(lambda: len(self.samples.page(0)["samples"]) >= count)
        return list(orjson.loads(orjson.dumps(self.samples.page(0)))["samples"])

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.front.sockets[0].getsockname())

    async def ask(self, *sent: bytes, size: int) -> bytes:
        reader, writer = await self.connect()
        writer.write(b"".join(sent))
        async with asyncio.timeout(DEADLINE):
            found = await reader.readexactly(size)
        writer.close()
        return found


class HandedOver(asyncio.Protocol):
    """In the place of the tap's own server."""

    def __init__(self, came: list[bytes]) -> None:
        self._came = came

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._came.append(data)
        self._transport.write(b"own")
        self._transport.close()


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.end()


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():
            await asyncio.sleep(0.01)


def skipped(reason: str) -> float:
    return float(metrics.SKIPPED.labels(reason)._value.get())


def by(*replies: bytes, came: bytearray | None = None) -> Serve:
    """Answers each whole request with the next of these, and ends after the last; `came`: what it was sent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            body = await reader.readexactly(size)
            if came is not None:
                came.extend(head + body)
            writer.write(reply)
            await writer.drain()

    return serve


async def test_what_comes_through_is_what_was_sent_to_the_byte(world: World) -> None:
    came, sent, told = bytearray(), request(X_REQUEST_ID="r1", X_oDD="a,b"), answer(head="Via: nobody\r\n")
    await world.begin(by(told, came=came))
    assert await world.ask(sent, size=len(told)) == told
    assert bytes(came) == sent
    await until(lambda: world.seen)
    (seen,) = world.seen
    assert (seen.inputs["x"].tolist(), seen.outputs["y"].tolist(), seen.origin.request_id) == ([7], [1], "r1")
    (sample,) = await world.sampled(1)
    assert (sample["outputs"], sample["error"]) == ({"y": [1]}, None)
    await until(lambda: world.room.held == 0)


async def test_every_byte_by_itself_is_read_all_the_same(world: World) -> None:
    sent, told = request(), answer()
    await world.begin(by(told))
    reader, writer = await world.connect()
    for place in range(len(sent)):
        writer.write(sent[place : place + 1])
        await writer.drain()
    async with asyncio.timeout(DEADLINE):
        assert await reader.readexactly(len(told)) == told
    writer.close()
    await until(lambda: world.seen)


async def test_requests_of_one_connection_are_told_apart(world: World) -> None:
    """Chunks without a length, an answer before the one that counts, HEAD with the length of no body, an error."""
    chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked += b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (5, TOLD[:5], len(TOLD) - 5, TOLD[5:])
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
    failed = answer(b'{"error": "no"}', "500 Internal Server Error")
    replies = (chunked, head, failed, answer())
    await world.begin(by(*replies))
    reader, writer = await world.connect()
    asked = (request(x_request_id="a"), request("/v2/health/ready", b"", "HEAD"), request(x_request_id="b"), request())
    for sent, told in zip(asked, replies, strict=True):
        writer.write(sent)
        async with asyncio.timeout(DEADLINE):
            assert await reader.readexactly(len(told)) == told
    writer.close()
    await until(lambda: len(world.seen) == 2)
    found = await world.sampled(2)
    assert sorted((each["error"] or "") for each in found) == ["", "500"]


async def test_pipelined_requests_get_their_own_answers(world: World) -> None:
    other = TOLD.replace(b"[1]}", b"[2]}")
    await world.begin(by(answer(), answer(other)))
    told = answer() + answer(other)
    assert await world.ask(request(x_request_id="a"), request(x_request_id="b"), size=len(told)) == told
    await until(lambda: len(world.seen) == 2)
    assert [(each.origin.request_id, each.outputs["y"].tolist()) for each in world.seen] == [("a", [1]), ("b", [2])]


BIG = orjson.dumps({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [7], "pad": "p" * MOST}]})
SKIPPED: dict[str, tuple[str, bytes, bytes]] = {
    "a large request": ("too_large", request(body=BIG), answer()),
    "a large answer": ("too_large", request(), answer(TOLD + b" " * MOST)),
    "an answer that can't be read": ("unreadable", request(), answer(b'{"error": "as 200"}')),
    "a small request that unpacks to a large one": (
        "too_large", request(body=gzip.compress(ASKED + b" " * (2 << 20)), content_encoding="gzip"), answer(),
    ),
    "another model": ("other_model", request("/v2/models/other/infer"), answer()),
    "no HTTP from the server": ("unreadable", request(), b"SSH-2.0-odd\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("what", SKIPPED)
async def test_what_is_not_captured_comes_through_and_is_counted(world: World, what: str) -> None:
    reason, sent, told = SKIPPED[what]
    before = skipped(reason)
    await world.begin(by(told))
    assert await world.ask(sent, size=len(told)) == told
    await until(lambda: skipped(reason) == before + 1)
    assert world.seen == []
    await until(lambda: world.room.held == 0)


async def test_without_room_requests_come_through(world: World) -> None:
    before = skipped("busy")
    world.room.held = world.room.limit
    await world.begin(by(answer()))
    assert await world.ask(request(), size=len(answer())) == answer()
    await until(lambda: skipped("busy") == before + 1)
    assert world.room.held == world.room.limit, "what was there stays"


async def test_an_answer_that_breaks_off_breaks_off_for_the_client(world: World) -> None:
    before, part = skipped("unfinished"), answer()[:-3]
    await world.begin(by(part))
    reader, writer = await world.connect()
    writer.write(request())
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == part
    writer.close()
    await until(lambda: skipped("unfinished") == before + 1)


async def test_where_nobody_listens_the_clients_connection_ends(world: World) -> None:
    before = metrics.UNREACHABLE._value.get()
    await world.begin(by())
    world.behind.close()
    await world.behind.wait_closed()
    reader, writer = await world.connect()
    writer.write(request())
    async with asyncio.timeout(DEADLINE):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    writer.close()
    assert metrics.UNREACHABLE._value.get() == before + 1


async def test_while_nobody_listens_behind_nobody_does_before() -> None:
    """So that routers see a connection that can't be made, and try another pod, instead of a request that failed."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await by(answer())(reader, writer)
        writer.close()

    async def answers() -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", settings.port)
        except ConnectionRefusedError:
            return False
        try:
            writer.write(request("/v2/health/ready", b"", "GET"))
            return await reader.readexactly(len(answer())) == answer()
        except (ConnectionError, asyncio.IncompleteReadError):
            return await answers()  # the door was open: only a connection that is refused says that it is not
        finally:
            writer.close()

    settings = Settings("fraud", "fraud-1", host="127.0.0.1", port=free_port(), server=free_port())
    room = Room(1 << 20, MOST)
    async with Catcher(room, Samples(), None, 1 << 20) as catcher, asyncio.timeout(DEADLINE):
        tap = Tap(settings, catcher, room, lambda: HandedOver([]))
        await tap.door.open()
        for _ in range(2):
            assert not await answers()
            behind = await asyncio.start_server(served, "127.0.0.1", settings.server)
            while not await answers():
                await asyncio.sleep(0.01)
            behind.close()
            await behind.wait_closed()
            tap.door.refused()
        tap.door.close()


async def test_who_says_nothing_does_not_stay(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until there is a connection to the server, no limit of the server's holds for him."""
    monkeypatch.setattr(pipe, "SILENT_SECONDS", 0.05)
    await world.begin(by(answer()))
    for said in (b"", b"POST /v2/mod"):
        reader, writer = await world.connect()
        writer.write(said)
        async with asyncio.timeout(DEADLINE):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        writer.close()


@pytest.mark.parametrize(
    "begin",
    [
        b"POST /v2/models/fraud/infer?",
        b"POST /v2/models/fraud/infer HTTP/1.1\r\nx: ",
        b"POST /v2/models/fraud/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx: ",
    ],
)
def test_lines_without_an_end_are_kept_no_longer_than_a_head_may_be(begin: bytes) -> None:
    watch = Watch(Paths("fraud"), Room(1 << 20, MOST), lambda: True, lambda _: None)
    watch.asked(begin)
    for _ in range(MAX_HEAD // 1000):
        assert not watch.blind
        watch.asked(b"x" * 1000)
    watch.asked(b"x" * 1000)
    assert watch.blind


def test_what_follows_a_body_does_not_say_whose_it_is() -> None:
    watch = Watch(Paths("fraud"), Room(1 << 20, MOST), lambda: True, lambda _: None)
    watch.asked(b"POST /v2/models/fraud/infer HTTP/1.1\r\nModelward-Key: one\r\nTransfer-Encoding: chunked\r\n\r\n")
    watch.asked(b"1\r\nx\r\n0\r\nModelward-Key: other\r\nX-Modelward-Arms: shadow\r\n\r\n")
    assert (watch.oldest.complete, watch.oldest.asked.headers) == (True, {b"modelward-key": b"one"})


async def test_of_what_was_read_no_inputs_stay_in_memory() -> None:
    """Read, a body takes some times its room; a whole turn's are not there together."""
    inputs, alive = list[weakref.ref[Any]](), list[int]()

    def reads(exchange: Exchange, limit: int) -> Answered:
        alive.append(sum(each() is not None for each in inputs))
        found = read(exchange, limit)
        inputs.append(weakref.ref(found.inputs["x"]))
        return found

    async with Catcher(Room(1 << 20, MOST), Samples(), None, 1 << 20, reads) as catcher:
        for _ in range(5):
            made = Exchange("v2", status=200)
            made.asked.body += ASKED
            made.told.body += TOLD
            catcher.take(made)
        await until(lambda: len(alive) == 5)
    assert alive == [0] * 5


async def test_an_error_of_another_model_is_no_sample(world: World) -> None:
    failed = answer(b"{}", "500 Internal Server Error")
    await world.begin(by(failed, answer()))
    sent = request("/v2/models/other/infer", x_request_id="a"), request(x_request_id="b")
    reader, writer = await world.connect()
    async with asyncio.timeout(DEADLINE):
        for each, told in zip(sent, (failed, answer()), strict=True):
            writer.write(each)
            assert await reader.readexactly(len(told)) == told
    writer.close()
    (sample,) = await world.sampled(1)
    assert sample["error"] is None


async def test_other_protocols_are_passed_on(world: World) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            writer.write(data)
            await writer.drain()

    await world.begin(echo)
    sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(range(256)) * 64
    assert await world.ask(sent, size=len(sent)) == sent


async def test_a_slow_reader_holds_up_what_is_behind_and_gets_it_all(world: World) -> None:
    """Neither side's bytes pile up in the tap."""
    size, written = 8 << 20, 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 16):
            writer.write(b"x" * (1 << 16))
            await writer.drain()
            written += 1 << 16

    await world.begin(pour)
    reader, writer = await world.connect()
    writer.write(request("/big", b"", "GET"))
    async with asyncio.timeout(DEADLINE):
        await reader.readuntil(b"\r\n\r\n")
        assert len(await reader.readexactly(size)) == size
    assert written == size
    writer.close()


OWN = [
    request("/modelward/samples?after=0", b"", "GET"),
    request("/modelward/users", b"", "GET"),
    request("/v2/models/fraud/outcomes"),
    request("/v2/models/fraud/outcomes/"),
]
THE_SERVERS = [
    request("/v2/models/fraud/outcomes", b"", "GET"),
    request("/v2/models/fraud/outcomesx"),
    request("/v2/models/frau/outcomes"),
    request("/modelwards", b"", "GET"),
    request("/metrics", b"", "GET"),
]


@pytest.mark.parametrize("sent", OWN)
async def test_what_is_the_taps_is_handed_to_its_own_server(world: World, sent: bytes) -> None:
    """Also behind a request of the server's, and where it comes in parts."""
    await world.begin(by(answer(), answer()))
    assert await world.ask(sent, size=3) == b"own"
    reader, writer = await world.connect()
    async with asyncio.timeout(DEADLINE):
        writer.write(request())
        assert await reader.readexactly(len(answer())) == answer()
        writer.write(sent[:12])
        await writer.drain()
        writer.write(sent[12:])
        assert await reader.read() == b"own"
    writer.close()
    assert [each.startswith(sent[:20]) for each in world.handed_over] == [True, True]


@pytest.mark.parametrize("sent", THE_SERVERS)
async def test_what_only_looks_like_it_is_the_servers(world: World, sent: bytes) -> None:
    await world.begin(by(answer()))
    assert await world.ask(sent, size=len(answer())) == answer()
    assert world.handed_over == []


async def test_a_body_that_looks_like_a_request_of_the_taps_is_a_body(world: World) -> None:
    inner = request("/modelward/samples", b"", "GET")
    came, whole = bytearray(), request("/v2/models/fraud/other", inner)
    await world.begin(by(answer(), came=came))
    reader, writer = await world.connect()
    writer.write(whole[: -len(inner)])
    await writer.drain()
    await until(lambda: metrics.CONNECTIONS._value.get() >= 1)
    writer.write(inner)
    async with asyncio.timeout(DEADLINE):
        assert await reader.readexactly(len(answer())) == answer()
    writer.close()
    assert bytes(came) == whole
    assert world.handed_over == []


def test_it_is_decided_as_soon_as_it_can_be() -> None:
    own = Own(["/v2/models/m/outcomes"], ["/modelward/"])
    whole = b"POST /v2/models/m/outcomes HTTP/1.1\r\n"
    assert [own.says(whole[:size]) for size in range(1, len(b"POST /v2/models/m/outcomes") + 1)].count(None) == 26
    assert own.says(whole) is True
    assert own.says(b"GET /modelward/") is True
    assert own.says(b"GET /modelwar") is None
    assert own.says(b"PUT") is False
    assert own.says(b"GET /v2") is False
