"""What the tests of triggers are given: a session as the operator has it, and systems that answer."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from modelward.net.guarded import open_guarded_session

from .world import Serve, System, World


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_guarded_session(("127.0.0.1",)) as made:
        yield made


@pytest.fixture
async def serve(session: aiohttp.ClientSession) -> AsyncIterator[Serve]:
    """A run in a system of its own, which answers."""
    runners = []

    async def made(system: System, **fields: Any) -> World:
        runner = web.AppRunner(system.application(), access_log=None)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        system.server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return World(system, session, **fields)

    yield made
    for each in runners:
        await each.cleanup()
