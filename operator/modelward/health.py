"""The operator's HTTP endpoints: /healthz, /readyz and /metrics.

They are served by the loop that does the work, so a loop that hangs answers nothing, and the probe's time-out tells.
What a scrape shows is rendered in another thread: of a thousand models that takes longer than a reconcile may.
"""

import asyncio
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.registry import Collector

from modelward.net.listening import listen


async def serve(port: int, stuck: Callable[[], str | None], statuses: Callable[[], Collector]) -> web.AppRunner:
    """Start to serve. `stuck`: why the operator is not well, or None. `statuses`: what is there to be shown now, which
    has to stay as it is while another thread renders it. Call `cleanup()` of the result at the end."""
    one_scrape = asyncio.Lock()

    async def healthz(_: web.Request) -> web.Response:
        reason = stuck()
        return web.Response(status=500 if reason else 200, text=reason or "ok")

    async def metrics(_: web.Request) -> web.Response:
        async with one_scrape:
            body = await asyncio.to_thread(_rendered, statuses())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", healthz)
    application.router.add_get("/metrics", metrics)
    return await listen(application, port)


def _rendered(statuses: Collector) -> bytes:
    return generate_latest(REGISTRY) + generate_latest(statuses)
