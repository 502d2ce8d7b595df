"""A pod that was taken over answers the operator: where it sends it, what it costs it, what it makes it say.

The victims are the operator's own clients, all of them, in this process.
"""

import asyncio
import gzip
import json
import os
import threading
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer

from attack.attack import attack
from builders import pod
from modelward.kube.cache import Key
from modelward.kube.poller import Poller
from modelward.monitoring.client import Monitors
from modelward.net.body import open_session
from modelward.rollouts.evidence.scrape import Scraper
from modelward.routing.envoy.probe import RouterProbe
from modelward_drift.errors import DriftError
from polled import told
from unit.monitor.worlds import reference

POD: Final = pod("one", ip="127.0.0.1")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ask = Callable[[Any, int], Awaitable[Any]]


async def _probe(session: Any, port: int) -> Any:
    poller = Poller(lambda _: None, time.monotonic)
    probe = RouterProbe(session, poller, port)
    return await told(poller, lambda: probe.look(Key("ml", "fraud"), [POD], "v", {"fraud-a": "w"}))


CLIENTS: dict[str, Ask] = {
    "counts": lambda session, port: Monitors(session, port).counts(POD),
    "reference": lambda session, port: Monitors(session, port).reference(POD),
    "adopt": lambda session, port: Monitors(session, port).adopt(POD, reference()),
    "samples": lambda session, port: Scraper(session, port, port).samples(POD, 0),
    "servers' metrics": lambda session, port: Scraper(session, port, port).servers({"a": [POD]}, None),
    "routers' metrics": lambda session, port: Scraper(session, port, port).routers([POD], "a", "b", None),
    "probe": _probe,
}


@asynccontextmanager
async def _serving(handler: Handler) -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(application, host="127.0.0.1") as server:
        yield server.port or 0


PLACES: dict[str, tuple[int, Callable[[int], dict[str, str]]]] = {
    **{
        str(code): (code, lambda port: {"Location": f"http://127.0.0.1:{port}/x"}) for code in (301, 302, 303, 307, 308)
    },
    "300": (300, lambda port: {"Location": f"http://127.0.0.1:{port}/x"}),
    "without a scheme": (302, lambda port: {"Location": f"//127.0.0.1:{port}/x"}),
    "by URI": (302, lambda port: {"URI": f"http://127.0.0.1:{port}/x"}),
    "by a refresh": (200, lambda port: {"Refresh": f"0; url=http://127.0.0.1:{port}/x"}),
    "another service": (
        200,
        lambda port: {"Alt-Svc": f'h2=":{port}"; persist=1', "Content-Location": f"http://127.0.0.1:{port}"},
    ),
    "a proxy": (305, lambda port: {"Location": f"http://127.0.0.1:{port}/"}),
}


@attack(
    "a pod sends the operator nowhere",
    {f"{client}, {place}": (client, place) for place in PLACES for client in CLIENTS},
)
def redirects(_: Path, sibling: tuple[str, str]) -> str:
    client, place = sibling
    status, headers = PLACES[place]
    arrived: list[str] = []

    async def inner(request: web.Request) -> web.Response:
        arrived.append(request.method)
        return web.Response(text="{}")

    async def run() -> None:
        async with (
            _serving(inner) as target,
            _serving(lambda _: _answer(status, headers(target))) as port,
            open_session() as session,
        ):
            with suppress(DriftError):
                await CLIENTS[client](session, port)

    asyncio.run(run())
    return f"the operator sent {arrived[0]} elsewhere" if arrived else ""


async def _answer(status: int, headers: dict[str, str], body: bytes = b"{}") -> web.Response:
    return web.Response(status=status, headers=headers, body=body)


MORE: Final = 64 << 20
"""What the plain form of a hostile answer has."""

BOMBS: dict[str, tuple[dict[str, str], Callable[[], bytes]]] = {
    "packed lists": (
        {"Content-Encoding": "gzip"},
        lambda: gzip.compress(b'{"counts":[' + b"[]," * (MORE // 3) + b"[]]}", 1),
    ),
    "deflated lists": ({"Content-Encoding": "deflate"}, lambda: zlib.compress(b"[" + b"[]," * (MORE // 3) + b"[]]", 1)),
    "plain lists": ({}, lambda: b"[" + b"[]," * (MORE // 3) + b"[]]"),
    "lists, just small enough": ({}, lambda: b'{"counts":[' + b"[]," * 690_000 + b"[]]}"),
    "objects, just small enough": ({}, lambda: b"[" + b"{}," * 690_000 + b"{}]"),
    "texts, just small enough": ({}, lambda: b"[" + b'"a",' * 520_000 + b'"a"]'),
    "numbers, just small enough": ({}, lambda: b"[" + b"1," * 1_040_000 + b"1]"),
    "lists in lists": ({}, lambda: b"[" * 2_000_000),
    "objects in objects": ({}, lambda: b'{"a":' * 400_000),
    "a long number": ({}, lambda: b'{"learning":{"rows":' + b"1" * 2_000_000 + b"}}"),
    "a huge number": ({}, lambda: b'{"learning":{"rows":1e400,"of":1}}'),
    "lines without number": (
        {},
        lambda: b'modelward_inference_request_duration_seconds_count{code="200"} 1\n' * 40_000,
    ),
    "a line without an end": (
        {},
        lambda: b'modelward_inference_request_duration_seconds_count{code="' + b"2" * 2_000_000,
    ),
    "labels without number": (
        {},
        lambda: b"modelward_inference_request_duration_seconds_count{" + b'a="b",' * 300_000 + b"} 1",
    ),
}
ROOM: Final = 128 << 20
SECONDS: Final = 5.0
"""How long the event loop may stand still at most: the lease is lost later."""


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Looks:
    """The operator's memory and the longest pause of its event loop, while in a `with`. The pause is of the processor's
    time: the hostile pod sends from this process, and a busy machine lets either wait."""

    def __init__(self) -> None:
        self.peak = self.before = _memory()
        self.worst, self._ticked, self._over = 0.0, time.process_time(), threading.Event()

    async def __aenter__(self) -> "Looks":
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        self._over.set()
        self._thread.join()

    async def _tick(self) -> None:
        while True:
            self._ticked = time.process_time()
            await asyncio.sleep(0.02)

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.peak = max(self.peak, _memory())
            self.worst = max(self.worst, time.process_time() - self._ticked)


@attack("a pod's answer costs little", {f"{client}, {bomb}": (client, bomb) for bomb in BOMBS for client in CLIENTS})
def answers_that_cost(_: Path, sibling: tuple[str, str]) -> str:
    client, bomb = sibling
    headers, make = BOMBS[bomb]
    body = make()

    async def run() -> str:
        async with _serving(lambda _: _stream(headers, body)) as port, open_session() as session, Looks() as looks:
            with suppress(DriftError):
                await CLIENTS[client](session, port)
        grown = looks.peak - looks.before
        if grown > ROOM:
            return f"it took {grown >> 20} MiB"
        return f"the operator stood still for {looks.worst:.1f} s" if looks.worst > SECONDS else ""

    async def _stream(given: dict[str, str], content: bytes) -> web.Response:
        return web.Response(headers=given, body=content)

    return asyncio.run(run())


WORDS = {
    "escapes": "a\x1b[2J\x1b]0;title\x07",
    "right to left": "\u202egnp.exe",
    "line breaks": "a\nb\r\nstatus: Ready",
    "without an end": "x" * 100_000,
    "invisible": "\u200b\u2066\ufeff",
    "null": "a\0b",
    "a list": ["a"] * 1000,
    "an object": {"a": {}},
    "half a character": "\ud800",
    "other blanks": "\u2028\u2029\x85",
}


@attack("a pod's words fill no condition", WORDS)
def words_that_fill(_: Path, words: Any) -> str:
    async def run() -> str:
        body = json.dumps({"error": words}).encode()
        async with _serving(lambda _: _answer(500, {}, body)) as port, open_session() as session:
            return (await Monitors(session, port).counts(POD)).problem or ""

    said = asyncio.run(run())
    return "" if len(said) <= 200 and said.isascii() and (not said or said.isprintable()) else f"it says {said[:50]!r}"
