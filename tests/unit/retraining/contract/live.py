"""A run in a real system: it is brought on as the contract suite does, in real time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from modelward.retraining.lifecycle import run as runs

from .world import World

DEADLINE = 150.0
"""Seconds for what takes a process of the system's: it imports for 8 CPU seconds, and other tests run beside it."""

PAUSE = 1.0
"""Seconds between two questions: each costs the system processor that its runs need."""


async def reach(
    world: World, condition: Callable[[], Awaitable[bool] | bool], what: str, deadline: float = DEADLINE
) -> None:
    """Bring the run on until that is so."""
    end = time.monotonic() + deadline
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < end, f"not {what}: {world.run}; {world.told[-4:]}"
        await world.step()
        await asyncio.sleep(PAUSE)


async def reach_phase(world: World, phase: str, deadline: float = DEADLINE) -> None:
    await reach(world, lambda: world.run.phase in (phase, runs.ENDED), phase, deadline)
    assert world.run.phase == phase, world.run.message
