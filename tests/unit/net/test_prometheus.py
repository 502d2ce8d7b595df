"""What becomes of each answer that Prometheus, or something else in its place, may give."""

import asyncio
import json
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelward.net.prometheus import Prometheus, PrometheusError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ask = Callable[..., Awaitable[float | None]]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Starts a server that answers everything with a handler; its base URL."""
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        server = TestServer(application)
        servers.append(server)
        await server.start_server()
        return str(server.make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
def ask(session: aiohttp.ClientSession, serve: Callable[[Handler], Awaitable[str]]) -> Ask:
    """The client's answer to what a server sends."""

    async def asked(body: Any, status: int = 200, **headers: str) -> float | None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def handler(_: web.Request) -> web.Response:
            return web.Response(body=data, status=status, headers=headers)

        return await Prometheus(session, await serve(handler)).query("up")

    return asked


def success(kind: str, result: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": result}}


def sample(value: Any) -> dict[str, Any]:
    return {"metric": {"job": "a"}, "value": [1767225600.123, value]}


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (success("scalar", [1767225600, "0.25"]), 0.25),
        (success("vector", [sample("0.25")]), 0.25),
        (success("vector", [sample("1e-07")]), 1e-7),
        (success("vector", [sample("+Inf")]), math.inf),
        (success("vector", [sample("-Inf")]), -math.inf),
        (success("vector", [sample("NaN")]), None),
        (success("scalar", [1767225600, "NaN"]), None),
        (success("vector", []), None),
        ({**success("vector", [sample("3")]), "warnings": ["from a store"], "infos": []}, 3.0),
    ],
)
async def test_one_number_or_no_data(ask: Ask, answer: Any, value: float | None) -> None:
    assert await ask(answer) == value


def error(kind: str, words: str) -> dict[str, str]:
    return {"status": "error", "errorType": kind, "error": words}


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (
            error("bad_data", "1:4: parse error: unexpected end"), 400,
            "Prometheus refuses the query: 1:4: parse error: unexpected end. Correct the query",
        ),
        (error("execution", "many-to-many matching not allowed"), 422, "not allowed. Correct the query"),
        (error("timeout", "query timed out"), 503, "timed out. Ask for less"),
        (error("internal", "disk\nfull."), 500, "refuses the query: disk full. See the logs of Prometheus"),
        (error("bad_data", "x" * 9000), 400, "x…. Correct the query"),
        ({"status": "error", "error": "no type"}, 500, "no type. See the logs"),
        (success("vector", [sample("1"), sample("2")]), 200, "more than one series, and a gate needs one number"),
        (success("vector", [{"metric": {}, "histogram": [1, {}]}]), 200, r"histogram_quantile"),
        (success("matrix", []), 200, "a range of values, and a gate needs one number"),
        (success("string", [1, "text"]), 200, "a text, and a gate needs one number"),
    ],
)  # fmt: skip
async def test_what_prometheus_says_against_the_query(ask: Ask, answer: Any, status: int, message: str) -> None:
    with pytest.raises(PrometheusError) as caught:
        await ask(answer, status)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600


MALFORMED: dict[str, Any] = {
    "a page": b"<!DOCTYPE html><html>sign in</html>",
    "nothing": b"",
    "no UTF-8": b"\xff\xfe",
    "cut off": b'{"status": "success", "data"',
    "deeply nested": b"[" * 100_000,
    "a list": [],
    "null": None,
    "no status": {"data": {"resultType": "vector", "result": []}},
    "another status": {"status": "fine"},
    "no data": {"status": "success"},
    "data of another shape": {"status": "success", "data": []},
    "no result": {"status": "success", "data": {"resultType": "vector"}},
    "an error without words": {"status": "error"},
    "a result of another shape": success("vector", {"a": 1}),
    "a sample of another shape": success("vector", ["1"]),
    "a value that is no text": success("vector", [sample(1)]),
    "a value that is no number": success("vector", [sample("much")]),
    "a value without time": success("vector", [{"metric": {}, "value": ["1"]}]),
    "a scalar of another shape": success("scalar", "1"),
    "another kind": success("tensor", []),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_what_is_not_prometheus(ask: Ask, case: str) -> None:
    with pytest.raises(PrometheusError, match=r"answers with HTTP status 200, and not as Prometheus does\. Write"):
        await ask(MALFORMED[case])


@pytest.mark.parametrize("status", [401, 403, 404, 502])
async def test_an_error_of_something_between_is_shown(ask: Ask, status: int) -> None:
    with pytest.raises(PrometheusError, match=f"HTTP status {status}, .*check whether it wants a login"):
        await ask(b"no", status)


async def test_a_redirect_is_not_followed(ask: Ask) -> None:
    with pytest.raises(PrometheusError, match=r"redirects to https://elsewhere/p\. Write where it leads"):
        await ask(b"", 302, Location="https://elsewhere/p")


async def test_an_endless_answer_is_not_read(session: aiohttp.ClientSession, serve: Any) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)

    with pytest.raises(PrometheusError, match="selects very much, and a gate needs one number"):
        await Prometheus(session, await serve(handler)).query("up")


async def test_an_answer_that_does_not_come(session: aiohttp.ClientSession, serve: Any) -> None:
    given_up = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await given_up.wait()
        return web.Response()

    with pytest.raises(PrometheusError, match=r"does not answer within 0\.2 s\. Check whether network policies"):
        await Prometheus(session, await serve(handler), timeout=0.2).query("up")
    given_up.set()


async def test_a_connection_that_breaks(session: aiohttp.ClientSession, serve: Any) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport
        request.transport.abort()
        return web.Response()

    with pytest.raises(PrometheusError, match=r"can't be reached: Server disconnected\. Check its address"):
        await Prometheus(session, await serve(handler)).query("up")


async def test_nobody_there(session: aiohttp.ClientSession) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can take it meanwhile
        prometheus = Prometheus(session, f"http://someone:secret@127.0.0.1:{closed.getsockname()[1]}/p")
        with pytest.raises(PrometheusError, match="can't be reached: Cannot connect to host") as caught:
            await prometheus.query("up")
    assert "secret" not in str(caught.value)


async def test_what_is_sent(session: aiohttp.ClientSession, serve: Any) -> None:
    seen: list[tuple[str, str, Any]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, dict(await request.post())))
        return web.json_response(success("vector", []))

    base = await serve(handler)
    query = 'sum(rate(x{path=~"/a+b&c=%20"}[5m])) > 0 # ' + "ä" * 10_000
    for url in (base, f"{base}/", f"{base}/prometheus", f"{base}/prometheus/"):
        assert await Prometheus(session, url).query(query) is None
    form = {"query": query, "timeout": "4.0"}
    prefixes = ["", "", "/prometheus", "/prometheus"]
    assert seen == [("POST", f"{prefix}/api/v1/query", form) for prefix in prefixes]


@pytest.mark.parametrize("url", ["", "prometheus:9090", "prometheus", "ftp://prometheus", "http://", "http://h:99999"])
async def test_an_address_that_is_none(session: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(ValueError, match="is no address of Prometheus; write one such as"):
        Prometheus(session, url)


async def test_it_is_told_who_asks(
    session: aiohttp.ClientSession, serve: Callable[[Handler], Awaitable[str]], tmp_path: Path
) -> None:
    asked: list[tuple[str | None, str | None]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append((request.headers.get("Authorization"), request.headers.get("X-Scope-OrgID")))
        return web.json_response(success("scalar", [0, "1"]))

    url, file = await serve(handler), tmp_path / "token"
    await Prometheus(session, url).query("up")
    known = Prometheus(session, url, token_file=file, tenant="team|other")
    for token in ("first\n", "renewed"):
        file.write_text(token)
        await known.query("up")
    assert asked == [(None, None), ("Bearer first", "team|other"), ("Bearer renewed", "team|other")]


@pytest.mark.parametrize("content", [None, b"", b"two\nlines", "t\u00f6ken".encode(), b"\xff"])
async def test_without_its_token_it_is_not_asked(
    session: aiohttp.ClientSession,
    serve: Callable[[Handler], Awaitable[str]],
    tmp_path: Path,
    content: bytes | None,
) -> None:
    async def handler(_: web.Request) -> web.Response:
        raise AssertionError

    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PrometheusError, match=str(file)) as error:
        await Prometheus(session, await serve(handler), token_file=file).query("up")
    assert "two" not in str(error.value)
