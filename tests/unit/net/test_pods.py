"""A pod that means harm: what it can cost the operator, and what it can make it say."""

import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from builders import pod
from modelward.monitoring.client import Answer, Monitors
from modelward.net import pods as module
from modelward.net.body import open_session
from modelward.net.pods import AT_ONCE_BYTES, MAX_BYTES, PAUSE, PAUSE_MAX, BadAnswerError, NoAnswerError, Pods
from modelward.net.untrusted import QUOTED
from modelward.rollouts.evidence.scrape import MAX_LINE, MAX_LINES, server_counts

POD, OTHER = pod("one", ip="127.0.0.1"), pod("two", ip="127.0.0.1")
METRIC = 'modelward_inference_request_duration_seconds_count{code="200"} 1'

Serve = Callable[[Callable[[], web.Response]], Awaitable[int]]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as made:
        yield made


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Answers every request with what is given; returns the port."""
    servers: list[TestServer] = []

    async def start(answer: Callable[[], web.Response]) -> int:
        async def handler(_: web.Request) -> web.Response:
            return answer()

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        servers.append(TestServer(application, host="127.0.0.1"))
        await servers[-1].start_server()
        assert servers[-1].port is not None
        return servers[-1].port

    yield start
    for server in servers:
        await server.close()


BOMBS: dict[str, bytes] = {
    "more than two megabytes": b"[" + b" " * MAX_BYTES + b"]",
    "lists without number": b"[" + b"[]," * 600_000 + b"[]]",
    "lists in lists": b"[" * 5000 + b"]" * 5000,
    "a number without end": b'{"digest": ' + b"1" * 100_000 + b"}",
    "no JSON": b"\x1f\x8b\x08",
    "no text": b"\xff\xff",
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("status", [200, 503])
async def test_a_bomb_is_a_problem_in_our_words(
    serve: Serve, session: aiohttp.ClientSession, bomb: str, status: int
) -> None:
    port = await serve(lambda: web.Response(body=BOMBS[bomb], status=status))
    answer = await Monitors(session, port).counts(POD)
    assert answer == Answer(problem="it answers GET /v1/counts with what can't be read")


@pytest.mark.parametrize("body", ["[]", "7", "null", '{"learning": 3}', '{"learning": {"rows": 1}}', "{}", '"x"'])
async def test_a_refusal_that_is_none_is_a_problem_too(serve: Serve, session: aiohttp.ClientSession, body: str) -> None:
    port = await serve(lambda: web.Response(text=body, status=503))
    assert (await Monitors(session, port).counts(POD)).problem is not None


async def test_what_a_pod_says_is_quoted_short_and_plain(serve: Serve, session: aiohttp.ClientSession) -> None:
    said = "a\x1b[2J\u202e" + "b" * 5000
    port = await serve(lambda: web.Response(text=json.dumps({"error": said}), status=500))
    problem = (await Monitors(session, port).counts(POD)).problem
    assert problem is not None
    assert len(problem) == QUOTED
    assert problem.isascii()
    assert problem.isprintable()


async def test_a_pod_that_misbehaves_is_left_alone_for_longer_each_time(
    serve: Serve, session: aiohttp.ClientSession
) -> None:
    asked, now, body = [0], [0.0], ["{"]

    def answer() -> web.Response:
        asked[0] += 1
        return web.Response(text=body[0])

    port = await serve(answer)
    client = Pods(session, lambda: now[0])

    async def ask(which: object = POD) -> object:
        return await client.ask(which, port, "/x", lambda _, raw: json.loads(raw))  # type: ignore[arg-type]

    pause = PAUSE
    for round_ in range(1, 8):
        with pytest.raises(BadAnswerError):
            await ask()
        assert asked[0] == round_
        now[0] += pause - 0.001
        with pytest.raises(BadAnswerError, match="can't be read"):
            await ask()
        assert asked[0] == round_, "nobody asked it meanwhile"
        now[0] += 0.002
        pause = min(PAUSE_MAX, 2 * pause)
    body[0] = "{}"
    assert await ask(OTHER) == {}, "others are asked as before"
    assert await ask() == {}
    assert await ask() == {}, "it is forgiven"


async def test_who_does_not_answer_is_asked_again_at_once(session: aiohttp.ClientSession, serve: Serve) -> None:
    port = await serve(lambda: web.Response(text="{}"))
    client = Pods(session)
    for _ in range(3):
        with pytest.raises(NoAnswerError):
            await client.ask(pod("gone", ip="127.0.0.1"), 1, "/x", lambda _, raw: raw)
    assert await client.ask(pod("gone", ip="127.0.0.1"), port, "/x", lambda _, raw: raw) == b"{}"


async def test_large_answers_are_read_beside_the_loop(serve: Serve, session: aiohttp.ClientSession) -> None:
    size = [0]
    port = await serve(lambda: web.Response(body=b"x" * size[0]))
    for size[0], beside in ((AT_ONCE_BYTES, False), (AT_ONCE_BYTES + 1, True), (MAX_BYTES, True)):
        where = await Pods(session).ask(POD, port, "/x", lambda _, raw: (len(raw), threading.get_ident()))
        assert where[0] == size[0]
        assert (where[1] != threading.get_ident()) is beside


async def test_only_so_many_pods_are_remembered(
    serve: Serve, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    port = await serve(lambda: web.Response(text="{"))
    client = Pods(session)
    for number in range(5):
        with pytest.raises(BadAnswerError):
            await client.ask(pod(f"p{number}", ip="127.0.0.1"), port, "/x", lambda _, raw: json.loads(raw))
    assert sorted(client._left_alone) == ["uid-p2", "uid-p3", "uid-p4"]


def test_metrics_have_so_many_lines_and_no_line_without_end() -> None:
    assert server_counts("\n".join([METRIC] * MAX_LINES), None).requests == MAX_LINES
    for text in ("\n".join([METRIC] * (MAX_LINES + 1)), METRIC.replace("200", "2" * MAX_LINE)):
        with pytest.raises(ValueError, match="more than"):
            server_counts(text, None)
    foreign = "\n".join([f"another_{METRIC}"] * (2 * MAX_LINES))
    assert server_counts(f"{foreign}\n{METRIC}", None).requests == 1
