"""A port of the operator's own that answers HTTP."""

from aiohttp import web


async def listen(application: web.Application, port: int) -> web.AppRunner:
    """Begin to answer, on all addresses. Call `cleanup()` of the result at the end."""
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
