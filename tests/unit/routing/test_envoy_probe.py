"""What a router pod said is believed while it may still be true."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from builders import pod
from modelward.facts import CertificateFacts, PodFacts
from modelward.kube.cache import Key
from modelward.kube.poller import Poller
from modelward.routing.envoy.probe import ASK_MAX, KEPT_SECONDS, RouterProbe
from modelward.routing.envoy.routes import CONFIG_HOST, REVISION_HEADER
from polled import told

OWNER, A = Key("ml", "fraud"), "fraud-a"


class Router:
    """A router pod that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers: str | None = A

    async def handle(self, request: web.Request) -> web.Response:
        self.asked += 1
        if request.host == CONFIG_HOST:
            return web.Response(text="v1")
        if self.answers is None:
            return web.Response(status=503)
        return web.Response(headers={REVISION_HEADER: self.answers})


async def test_a_revision_that_was_reached_once_is_not_reached_for_ever() -> None:
    router, now = Router(), 0.0
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", router.handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        poller = Poller(lambda _: None, lambda: now)
        probe = RouterProbe(session, poller, server.port or 0, clock=lambda: now)

        async def reached(way: str) -> bool:
            pods = [pod("router", ip="127.0.0.1")]
            (facts,) = await told(poller, lambda: probe.look(OWNER, pods, "v1", {A: way}))
            return A in facts.reachable

        assert await reached("service 1, ready")
        before, router.answers = router.asked, None
        assert await reached("service 1, ready")
        assert router.asked == before, "nothing says that it changed"
        assert not await reached("service 2, ready")
        router.answers = A
        now += ASK_MAX
        assert await reached("service 2, ready"), "a no is asked for again"
        router.answers = None
        now += KEPT_SECONDS
        assert not await reached("service 2, ready"), "and nothing is believed for ever"
        router.answers = "fraud-0"
        now += ASK_MAX
        assert not await reached("service 2, ready"), "the stable answers in its place"
        router.answers = A
        now += ASK_MAX
        assert await reached("service 2, ready")
        pods = [pod("router", ip="127.0.0.1")]
        (facts,) = await told(poller, lambda: probe.look(OWNER, pods, "v1", {}))
        assert facts.reachable == frozenset(), "nobody asks for it any more: none of its pods is ready"


GAUGE = "envoy_listener_ssl_certificate_expiration_unix_time_seconds"
FAILED = "envoy_sds_key_rotation_failed"


class Presenting:
    """Router pods that all give out the texts that they are told, one after the other."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)

    async def handle(self, request: web.Request) -> web.Response:
        assert "expiration" in request.query["filter"]
        return web.Response(body=self.texts.pop(0).encode(errors="surrogatepass"))

    @asynccontextmanager
    async def probe(self, clock: Callable[[], float]) -> AsyncIterator[tuple[RouterProbe, Poller]]:
        app = web.Application()
        app.router.add_get("/stats/prometheus", self.handle)
        async with TestServer(app) as server, aiohttp.ClientSession() as session:
            poller = Poller(lambda _: None, clock)
            yield RouterProbe(session, poller, clock=clock, internal=server.port or 0), poller


def router_pods(count: int) -> list[PodFacts]:
    return [pod(f"router-{number}", ip="127.0.0.1") for number in range(count)]


@pytest.mark.parametrize(
    ("texts", "expires"),
    [
        ([f'{GAUGE}{{envoy_tls_certificate="certificate"}} 2000\n', f"# TYPE x\n{GAUGE}{{}} 1000\n"], 1000.0),
        (["", f"{GAUGE}{{}} 1000\n"], 1000.0),
        (["", "something_else 5\n"], None),
        (
            [f"{GAUGE}{{}} NaN\n", f"{GAUGE}{{}} soon\n", f"{GAUGE}{{}} 1e300\n", f"{GAUGE}{{}} -1\n", "\ud800",
             f"{FAILED}{{}} -1\n", f"{FAILED}{{}} {'9' * 5000}\n"], None,
        ),
    ],
)  # fmt: skip
async def test_the_first_certificate_to_end_is_told_and_nonsense_is_not(
    texts: list[str], expires: float | None
) -> None:
    presenting = Presenting(*texts)
    async with presenting.probe(lambda: 0.0) as (probe, poller):
        assert probe.certificate(OWNER, router_pods(len(texts))) == CertificateFacts(), "nobody waits for it"
        for _ in range(2):  # what is known, and what nobody says, is not asked for again at once
            await poller.idle()
            assert probe.certificate(OWNER, router_pods(len(texts))) == CertificateFacts(expires)
    assert presenting.texts == []
    gone = [pod("gone", ip=None), pod("unready", ready=False)]
    async with Presenting().probe(lambda: 0.0) as (probe, poller):
        probe.certificate(OWNER, gone)
        await poller.idle()
        assert probe.certificate(OWNER, gone) == CertificateFacts()


async def test_a_change_that_could_not_be_loaded_is_news_once() -> None:
    def says(failures: int, expires: int = 9000) -> str:
        return f"{GAUGE}{{}} {expires}\n{FAILED}{{}} {failures}\n"

    now = 0.0
    texts = (says(0), says(2), says(2), says(3, 8000), says(1), says(0))
    async with Presenting(*texts).probe(lambda: now) as (probe, poller):
        news = []
        for _ in texts:
            probe.certificate(OWNER, router_pods(1))
            await poller.idle()
            told = probe.certificate(OWNER, router_pods(1))
            assert probe.certificate(OWNER, router_pods(1)) == CertificateFacts(told.expires), "it is believed"
            news.append(dict(told.refused))
            now += KEPT_SECONDS
    # A process that was started anew counts from the beginning.
    assert news == [{}, {"router-0": 2}, {}, {"router-0": 3}, {"router-0": 1}, {}]
