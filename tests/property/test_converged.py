"""What a model costs that is as it should be: nothing is written, and how many others there are does not matter."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from .cluster_world import KEY, ClusterWorld

OTHERS = 999
LOOKS = 100
"""The least of so many is free of what else a machine does."""


async def test_a_look_at_a_converged_model_is_no_dearer_among_a_thousand(measured: Callable[[str], None]) -> None:
    """By calls of functions, which are the same on each machine; the processor's time is told."""
    world = ClusterWorld()
    world.ask_for()
    await world.run()
    assert world.status["phase"] == "Ready"
    seconds, calls = await _seconds(world), await _calls(world)
    bodies = {key: json.dumps(body) for key, body in world.objects.items()}
    for number in range(OTHERS):
        for (resource, _), text in bodies.items():
            body = json.loads(text.replace('"fraud', f'"model{number}').replace('"md1"', f'"md1-{number}"'))
            body["metadata"]["uid"] += f"-{number}" * (body["metadata"]["uid"] != f"md1-{number}")
            world.cache.upsert(resource, body)
    among = await _seconds(world)
    assert await _calls(world) < calls + OTHERS / 10, "nothing is done once for each of the others"
    measured(f"a reconcile of a converged model: {1e3 * seconds:.2f} ms of CPU, {1e3 * among:.2f} ms among a thousand")


async def _seconds(world: ClusterWorld) -> float:
    """Of CPU."""
    writes, found = world.writes, []
    for _ in range(LOOKS):
        began = time.thread_time()
        await world.reconciler.reconcile(KEY)
        found.append(time.thread_time() - began)
    assert world.writes == writes
    return min(found)


async def _calls(world: ClusterWorld) -> int:
    """Of functions, ours and others, in one look."""
    count = 0

    def called(_: Any, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        await world.reconciler.reconcile(KEY)
    finally:
        sys.setprofile(before)
    return count
