"""What a router pod said is believed while it may still be true."""

import time

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from builders import pod
from modelward.cluster.cache import Key
from modelward.cluster.poller import Poller
from modelward.cluster.routerprobe import ASK_MAX, KEPT_SECONDS, RouterProbe
from modelward.render.envoy_routes import CONFIG_HOST
from polled import told

OWNER, A = Key("ml", "fraud"), "fraud-a"


class Router:
    """A router pod that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = True

    async def handle(self, request: web.Request) -> web.Response:
        self.asked += 1
        if request.host == CONFIG_HOST:
            return web.Response(text="v1")
        return web.Response(status=200 if self.answers else 503)


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
        before, router.answers = router.asked, False
        assert await reached("service 1, ready")
        assert router.asked == before, "nothing says that it changed"
        assert not await reached("service 2, ready")
        router.answers = True
        now += ASK_MAX
        assert await reached("service 2, ready"), "a no is asked for again"
        router.answers = False
        now += KEPT_SECONDS
        assert not await reached("service 2, ready"), "and nothing is believed for ever"


GAUGE = "envoy_listener_ssl_certificate_expiration_unix_time_seconds"


@pytest.mark.parametrize(
    ("texts", "expires"),
    [
        ([f'{GAUGE}{{envoy_tls_certificate="certificate"}} 2000\n', f"# TYPE x\n{GAUGE}{{}} 1000\n"], 1000.0),
        (["", f"{GAUGE}{{}} 1000\n"], 1000.0),
        (["", "something_else 5\n"], None),
        ([f"{GAUGE}{{}} NaN\n", f"{GAUGE}{{}} soon\n", f"{GAUGE}{{}} 1e300\n", f"{GAUGE}{{}} -1\n", "\ud800"], None),
    ],
)
async def test_the_first_certificate_to_end_is_told_and_nonsense_is_not(
    texts: list[str], expires: float | None
) -> None:
    pending = list(texts)

    async def handle(request: web.Request) -> web.Response:
        assert "expiration" in request.query["filter"]
        return web.Response(body=pending.pop().encode(errors="surrogatepass"))

    app = web.Application()
    app.router.add_get("/stats/prometheus", handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        poller = Poller(lambda _: None, time.monotonic)
        probe = RouterProbe(session, poller, internal=server.port or 0)
        pods = [pod(f"router-{number}", ip="127.0.0.1") for number in range(len(texts))]
        assert probe.expires(OWNER, pods) is None, "nobody waits for it"
        await poller.idle()
        assert probe.expires(OWNER, pods) == expires
        assert pending == []
        await poller.idle()
        assert probe.expires(OWNER, pods) == expires, "it is believed for a while"
    gone = [pod("gone", ip=None), pod("unready", ready=False)]
    async with aiohttp.ClientSession() as session:
        poller = Poller(lambda _: None, time.monotonic)
        probe = RouterProbe(session, poller)
        assert probe.expires(OWNER, gone) is None
        await poller.idle()
        assert probe.expires(OWNER, gone) is None
