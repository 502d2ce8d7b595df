"""The operator's HTTP endpoints: /healthz, /readyz and /metrics.

They are served by the loop that does the work, so a loop that hangs answers nothing, and the probe's time-out tells.
"""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


async def serve(port: int, stuck: Callable[[], str | None]) -> web.AppRunner:
    """Start to serve. `stuck`: why the operator is not well, or None. Call `cleanup()` of the result at the end."""

    async def healthz(_: web.Request) -> web.Response:
        reason = stuck()
        return web.Response(status=500 if reason else 200, text=reason or "ok")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", healthz)
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
