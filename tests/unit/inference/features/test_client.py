"""The client against servers that do what servers do: slow, hostile, gone, and in need of a token."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import certificates
from feastserver.recorded import Handler, Recorded, send
from modelward_inference.features import client as module
from modelward_inference.features.client import Client, StoreError

LONG = 60.0
"""Seconds that are never waited for."""

SHORT = 0.2

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def client(url: str, concurrent: int = 4, token: Callable[[], str] | None = None) -> Client:
    return Client(url, concurrent, ssl.create_default_context, token)


async def ask(made: Client, seconds: float = LONG, body: bytes = b"{}") -> bytes:
    return await made.ask(body, time.monotonic() + seconds)


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[str]:
    """The address of a server that says just that."""
    talks: list[asyncio.Task[None]] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.append(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(one, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for each in talks:
            each.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def saying(*pieces: bytes, close: bool = False) -> Talk:
    """To every question, in a loop."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"\r\n\r\n" in await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(2)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if close:
                return

    return talk


async def refused(made: Client, seconds: float = LONG) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await ask(made, seconds)
    made.close()
    return caught.value


async def test_a_connection_is_used_again() -> None:
    with Recorded() as store:
        made = client(store.url)
        body = b'{"feature_service": "drivers_v1", "entities": {"driver_id": [1]}}'
        for _ in range(5):
            assert b"driver_stats__trips" in await ask(made, body=body)
        made.close()
    assert store.connections == 1
    assert store.headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in store.headers


async def test_an_idle_connection_that_the_server_closed_is_replaced() -> None:
    async with talking(saying(OK, close=True)) as url:
        made = client(url)
        assert [await ask(made) for _ in range(3)] == [b"{}"] * 3
        made.close()


async def test_the_token_is_read_for_each_question() -> None:
    tokens = iter(["first", "second"])
    with Recorded() as store:
        store.instead = lambda handler: send(handler, 200, "{}")
        made = client(store.url, token=lambda: next(tokens))
        await ask(made)
        assert store.headers["Authorization"] == "Bearer first"
        await ask(made)
        assert store.headers["Authorization"] == "Bearer second"
        made.close()


async def test_a_server_behind_a_path_is_asked_there() -> None:
    paths = []

    def told(handler: Handler) -> None:
        paths.append(handler.path)
        send(handler, 200, "{}")

    with Recorded() as store:
        store.instead = told
        made = client(f"{store.url}/feast")
        await ask(made)
        made.close()
    assert paths == ["/feast/get-online-features"]


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "denied"), (403, "denied"), (404, "denied"), (500, "failed"), (302, "failed")]
)
async def test_other_answers_are_failures_and_no_redirect_is_followed(status: int, reason: str) -> None:
    with Recorded() as store:
        store.instead = lambda handler: send(handler, status, "a\r\nb", Location=f"{store.url}/elsewhere")
        error = await refused(client(store.url))
    assert (error.reason, str(error)) == (reason, f"the feature server answers {status}")
    assert error.said == "a  b", "for the log, on one line"
    assert len(store.asked) == 1


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"], "unreachable"), ([b"220 mail\r\n"], "failed"),
        ([b"HTTP/1.1 200 OK\r\n"], "unreachable"), ([], "unreachable"),
    ],
)  # fmt: skip
async def test_what_breaks_off_or_is_no_http_is_told(pieces: list[bytes], reason: str) -> None:
    async with talking(saying(*pieces, close=True)) as url:
        assert (await refused(client(url))).reason == reason


async def test_an_answer_without_an_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER", 1 << 20)
    endless = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 32]
    async with talking(saying(*endless)) as url:
        error = await refused(client(url))
    assert (error.reason, str(error)) == ("failed", "the feature server's answer has more than 1048576 bytes")


async def test_headers_without_an_end_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER", 1 << 20)
    async with talking(saying(b"HTTP/1.1 200 OK\r\n", *[b"x: " + b"y" * 4096 + b"\r\n"] * 512)) as url:
        assert (await refused(client(url))).reason == "failed"


async def test_a_second_answer_that_nobody_asked_for_is_nobodys() -> None:
    forged = b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a":"b"}'
    async with talking(saying(OK + forged)) as url:
        made = client(url)
        assert [await ask(made) for _ in range(3)] == [b"{}"] * 3
        made.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def test_who_does_not_answer_costs_no_more_than_the_deadline() -> None:
    async with talking(silent) as url:
        made = client(url)
        error = await refused(made, SHORT)
        assert error.reason == "timeout"
        assert made.waiting == 0


async def test_questions_beyond_the_limits_wait_or_are_told_so_at_once() -> None:
    async with talking(silent) as url:
        made = client(url, concurrent=1)
        waiting = [asyncio.create_task(refused(made, SHORT)) for _ in range(module.WAITING)]
        await asyncio.sleep(0)
        assert made.waiting == module.WAITING
        with pytest.raises(StoreError, match="8 questions wait") as caught:
            await ask(made)
        assert caught.value.reason == "overloaded"
        assert {each.reason for each in await asyncio.gather(*waiting)} == {"timeout"}


async def test_a_cancelled_question_leaves_no_connection_behind() -> None:
    """What comes later for it must not be the next one's answer."""
    began, go_on = asyncio.Event(), asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not began.is_set():
            began.set()
            await go_on.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        else:
            writer.write(OK)
        writer.close()

    async with talking(late) as url:
        made = client(url, concurrent=1)
        first = asyncio.create_task(ask(made))
        await began.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        go_on.set()
        assert await ask(made) == b"{}"
        made.close()


async def test_nobody_there_and_no_such_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert (await refused(client(f"http://127.0.0.1:{port}"))).reason == "unreachable"
    error = await refused(client("http://no-such-host.invalid"))
    assert (error.reason, str(error)) == ("unreachable", "the feature server's name leads nowhere")


async def test_the_clouds_own_address_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a name leads there: what is connected to is what was looked at."""
    asked = []

    async def lookup(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
    error = await refused(client("http://rebound.example"))
    assert asked == ["rebound.example"]
    assert "an address of the node, the pod or the cloud" in str(error)


async def test_https_is_checked_against_the_authorities(tmp_path: Path) -> None:
    made = certificates.made()
    files = {name: tmp_path / name for name in made.files}
    for name, path in files.items():
        path.write_bytes(made.files[name])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files["tls.crt"], files["tls.key"])

    def trusting() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(files["tls.crt"]))

    with Recorded(tls=server) as store:
        store.instead = lambda handler: send(handler, 200, "{}")
        known = Client(store.url, 1, trusting)
        assert await ask(known) == b"{}"
        known.close()
        error = await refused(Client(store.url, 1, ssl.create_default_context))
    assert error.reason == "unreachable"
    assert "certificate is not accepted" in str(error)
